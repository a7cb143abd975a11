"""Writes `risk_features.json`: what the risk model sees of a transfer, read by Python and Solidity (circuits/models/risk/features.py).

Run as `python tests/vectors/make_risk.py`; a test checks that the committed file is what this script writes. Amounts are decimal strings; a bucket
without limit has `unlimited` true and `bucket_available` "0". `features` are in the order of `names`, integers with `scale` bits after the point.
"""

import json
from pathlib import Path

from circuits.models.risk.features import NAMES, SCALE, U64_MAX, U128_MAX, Transfer, features
from oracle.protocol.hashing import keccak256

TARGET = Path(__file__).with_name("risk_features.json")


def edges() -> dict[str, Transfer]:
    """Each at one edge of one rule, with everything else ordinary."""

    def out(
        amount: int,
        total: int,
        available: int | None = None,
        moved: int = 0,
        fresh: bool = False,
        inbound: bool = False,
    ) -> Transfer:
        return Transfer(amount, total, available, moved, fresh, inbound)

    return {
        "amount 1 of a large total": out(1, 10**12),
        "amount 1 of a total of 1": out(1, 1),
        "amount 1 of nothing": out(1, 0),
        "amount 2^64 - 1 of nothing": out(U64_MAX, 0, inbound=True),
        "amount 2^64 - 1 of itself": out(U64_MAX, U64_MAX),
        "amount 2^64 - 1 of the largest total": out(U64_MAX, U128_MAX),
        "amount 2^64 - 1 everything largest": out(U64_MAX, U128_MAX, U64_MAX, U128_MAX, True, True),
        "amount 2^63, 64 bits": out(1 << 63, 1 << 70),
        "amount 2^63 - 1, 63 bits": out((1 << 63) - 1, 1 << 70),
        "amount 2^10, 11 bits": out(1 << 10, 1 << 30),
        "amount 2^10 - 1, 10 bits": out((1 << 10) - 1, 1 << 30),
        "share just under a step": out(1023, 1 << 20),
        "share of one step": out(1024, 1 << 20),
        "share just over a step": out(1025, 1 << 20),
        "share of a third, rounded down": out(10**9, 3 * 10**9),
        "all but one of the total": out(10**9 - 1, 10**9),
        "the whole total": out(10**9, 10**9, inbound=True),
        "more than the total, clipped": out(10**9 + 1, 10**9, inbound=True),
        "no limit": out(500, 10**6, None),
        "bucket empty": out(500, 10**6, 0),
        "bucket of 1": out(500, 10**6, 1),
        "bucket larger than the amount": out(500, 10**6, 1500),
        "bucket just enough": out(500, 10**6, 500),
        "bucket one short, clipped": out(500, 10**6, 499),
        "bucket largest": out(500, 10**6, U64_MAX),
        "nothing moved today": out(10**6, 10**12, moved=0),
        "1 moved today": out(10**6, 10**12, moved=1),
        "half the total moved today": out(10**6, 10**12, moved=5 * 10**11),
        "four times the total moved today, less one": out(10**6, 10**12, moved=4 * 10**12 - 1),
        "four times the total moved today": out(10**6, 10**12, moved=4 * 10**12),
        "more than four times moved today, clipped": out(10**6, 10**12, moved=4 * 10**12 + 10**9 + 7),
        "largest number moved today of a total of 1": out(1, 1, moved=U128_MAX),
        "moved today, and the total is 0": out(7, 0, moved=1),
        "nothing moved today, and the total is 0": out(7, 0, moved=0, fresh=True),
        "fresh, out": out(10**6, 10**12, fresh=True),
        "fresh, in": out(10**6, 10**12, fresh=True, inbound=True),
        "known, in": out(10**6, 10**12, inbound=True),
    }


def seeded(count: int) -> dict[str, Transfer]:
    """Transfers of any size from hashes, so that they are the same on every machine."""

    def number(case: int, what: str, bits: int) -> int:
        digest = keccak256(b"sibyl risk vectors", f"{case} {what}".encode())
        return int.from_bytes(digest[:16]) >> (128 - 1 - digest[31] % bits)

    made = {}
    for case in range(count):
        flags = number(case, "flags", 8)
        made[f"seeded {case}"] = Transfer(
            amount=max(1, number(case, "amount", 63)),
            total=number(case, "total", 80),
            bucket_available=None if flags & 4 else number(case, "bucket", 63),
            moved_today=number(case, "moved", 80),
            fresh=bool(flags & 1),
            inbound=bool(flags & 2),
        )
    return made


def document() -> str:
    """The file's text."""
    content = {
        "scale": SCALE,
        "names": list(NAMES),
        "cases": [
            {
                "name": name,
                "amount": str(transfer.amount),
                "total": str(transfer.total),
                "unlimited": transfer.bucket_available is None,
                "bucket_available": str(transfer.bucket_available or 0),
                "moved_today": str(transfer.moved_today),
                "fresh": transfer.fresh,
                "inbound": transfer.inbound,
                "features": list(features(transfer)),
            }
            for name, transfer in (edges() | seeded(19)).items()
        ],
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document())
