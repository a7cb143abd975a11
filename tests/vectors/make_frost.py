"""Write `frost_signatures.json`: committee signatures that every verifier must accept, and others that it must refuse.

Read by the Python, Solidity and Zig tests. Seeded, so a second run writes the same bytes. From the repository's root:
`python -m tests.vectors.make_frost` writes the file, with `--check` it only compares (exit status 1 on drift).

An entry has `name`, `group_key` (33 bytes compressed), `message` (32), `rx`, `ry`, `z` (32 each), `r33` (the parity of ry and
rx, or what `why` says), `ok` and `why`. Entries under `signatures` hold for verifiers that take r33 and for those that take
(rx, ry). Entries under `uncompressed_only` are wrong in ry alone, which r33 does not show.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bridges.frost import signing
from bridges.frost.group import FIELD, ORDER, Point, Scalar, base_times
from bridges.frost.keygen import GroupPublicKey
from tests.support.dealer import deal

OUTPUT = Path(__file__).with_name("frost_signatures.json")


def drbg(seed: str) -> Callable[[int], bytes]:
    """Deterministic bytes for vectors; never for keys."""
    counter = 0

    def draw(size: int) -> bytes:
        nonlocal counter
        counter += 1
        return hashlib.shake_256(f"{seed}/{counter}".encode()).digest(size)

    return draw


@dataclass(frozen=True)
class Case:
    name: str
    group_key: bytes
    message: bytes
    rx: int
    ry: int
    z: int
    ok: bool
    why: str
    r33: bytes | None = None

    def row(self) -> dict[str, object]:
        r33 = self.r33 if self.r33 is not None else bytes([2 + (self.ry & 1)]) + word(self.rx)
        return {
            "name": self.name,
            "group_key": hexed(self.group_key),
            "message": hexed(self.message),
            "rx": hexed(word(self.rx)),
            "ry": hexed(word(self.ry)),
            "r33": hexed(r33),
            "z": hexed(word(self.z)),
            "ok": self.ok,
            "why": self.why,
        }


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def digest(label: str) -> bytes:
    return hashlib.sha256(f"sibyl vector message {label}".encode()).digest()


def case(name: str, why: str, group: GroupPublicKey, message: bytes, signature: signing.GroupSignature) -> Case:
    assert signing.verify(group, signature, message)
    rx, ry = signature.r_uncompressed()
    return Case(name, group.to_bytes(), message, rx, ry, signature.z, True, why)


def committee_case(name: str, why: str, message: bytes, parity_p: int, parity_r: int) -> Case:
    """A 3-of-4 FROST run whose group key and R have the wanted parities of y."""
    draw = drbg(name)
    while True:
        shares = deal(4, 3, draw)
        public = shares[0].public
        chosen = [shares[0], shares[1], shares[3]]
        nonces = [signing.commit(share, draw(64)) for share in chosen]
        package = signing.prepare(public, message, [n.commitment for n in nonces])
        made = [signing.sign(share, n, package) for share, n in zip(chosen, nonces, strict=True)]
        signature = signing.aggregate(package, made)
        if (public.group_public_key.parity, signature.r.encoded[0] & 1) == (parity_p, parity_r):
            return case(name, why, public.group_public_key, message, signature)


def schnorr(secret: int, nonce: int, message: bytes) -> signing.GroupSignature:
    """What any quorum would make together, from the whole key: for cases that are ground for."""
    group = GroupPublicKey(base_times(Scalar(secret)))
    r = base_times(Scalar(nonce))
    z = (nonce + signing.challenge(r, group, message) * secret) % ORDER
    return signing.GroupSignature(r, Scalar(z))


def ground_case(name: str, why: str, wanted: Callable[[GroupPublicKey, signing.GroupSignature], bool]) -> Case:
    draw, message = drbg(name), digest(name)
    while True:
        secret = int.from_bytes(draw(32), "big") % ORDER
        signature = schnorr(secret, int.from_bytes(draw(32), "big") % ORDER, message)
        group = GroupPublicKey(base_times(Scalar(secret)))
        if wanted(group, signature):
            return case(name, why, group, message, signature)


def valid_cases() -> list[Case]:
    cases = [
        committee_case(f"p_{p}_r_{r}", f"3 of 4 signed; y of P is {p}, y of R is {r}", digest(p + r), i, j)
        for i, p in enumerate(("even", "odd"))
        for j, r in enumerate(("even", "odd"))
    ]
    cases += [
        committee_case("message_zero", "the message is 32 zero bytes", bytes(32), 0, 1),
        committee_case("message_ones", "the message is 32 bytes of 0xff", b"\xff" * 32, 1, 0),
        ground_case("rx_short", "Rx begins with a zero byte", lambda _, s: s.r.encoded[1] == 0),
        ground_case("px_short", "Px begins with a zero byte", lambda g, _: g.to_bytes()[1] == 0),
        ground_case("z_short", "z begins with a zero byte", lambda _, s: s.z >> 248 == 0),
        ground_case("z_high", "z is above n/2: there is no low-s rule here", lambda _, s: s.z > ORDER // 2),
    ]
    for high in (False, True):
        cases.append(
            ground_case(
                f"s_{'high' if high else 'low'}",
                f"e·Px mod n, the s given to ecrecover, is {'above' if high else 'below'} n/2",
                # The message is the name's digest, as in `ground_case`.
                lambda g, s, high=high: (
                    (signing.challenge(s.r, g, digest(f"s_{'high' if high else 'low'}")) * g.x % ORDER > ORDER // 2)
                    is high
                ),
            )
        )
    return cases


def off_curve_x(start: int) -> int:
    """The next x at or after `start` that is on no point of the curve."""
    while pow(pow(start, 3, FIELD) + 7, (FIELD - 1) // 2, FIELD) == 1:
        start += 1
    return start


def point_with_x_from(start: int) -> Point:
    """The point with even y and the least x at or after `start`."""
    while pow(pow(start, 3, FIELD) + 7, (FIELD - 1) // 2, FIELD) != 1:
        start += 1
    return Point(b"\x02" + word(start))


def other_scheme_cases(good: Case) -> list[Case]:
    """Signatures that verify under a challenge of another scheme, by the owner of the key."""
    draw = drbg("other scheme")
    secret, nonce = (int.from_bytes(draw(32), "big") % ORDER for _ in range(2))
    group, r = base_times(Scalar(secret)), base_times(Scalar(nonce))
    rx, ry = r.coordinates()
    plain = hashlib.sha256(r.encoded + group.encoded + good.message).digest()
    short = signing.ciphersuite.expand_message_xmd(
        (r.encoded + group.encoded + good.message,), b"FROST-secp256k1-SHA256-v1chal", 32
    )
    unbound = signing.ciphersuite.h2(r.encoded + good.message)
    wrong_tag = signing.ciphersuite.h1(r.encoded + group.encoded + good.message)
    challenges = {
        "challenge_sha256": (int.from_bytes(plain, "big"), "the challenge is a bare SHA-256"),
        "challenge_32_bytes": (int.from_bytes(short, "big"), "the challenge reduces 32 expanded bytes, not 48"),
        "challenge_without_key": (unbound, "the challenge leaves out the group key"),
        "challenge_rho_tag": (wrong_tag, "the challenge carries the tag of the binding factors"),
    }
    return [
        Case(name, group.encoded, good.message, rx, ry, (nonce + e * secret) % ORDER, False, why)
        for name, (e, why) in challenges.items()
    ]


def invalid_cases(good: Case, other: Case) -> list[Case]:
    rx, ry, z = good.rx, good.ry, good.z
    bad = replace(good, ok=False)
    flipped_key = bytes([good.group_key[0] ^ 1]) + good.group_key[1:]
    high_key = point_with_x_from(ORDER).encoded
    beyond = off_curve_x(rx)
    gx, gy = base_times(Scalar(1)).coordinates()
    flipped_message = bytes([good.message[0] ^ 1]) + good.message[1:]
    return [
        replace(bad, name="z_zero", z=0, why="z is 0"),
        replace(bad, name="z_is_n", z=ORDER, why="z is n"),
        replace(bad, name="z_above_n", z=ORDER + 1, why="z is n + 1"),
        replace(bad, name="z_max", z=2**256 - 1, why="z is 2^256 - 1"),
        replace(bad, name="z_negated", z=ORDER - z, why="z is negated"),
        replace(bad, name="z_plus_one", z=z + 1, why="z is off by one"),
        replace(bad, name="message_wrong", message=other.message, why="another message"),
        replace(bad, name="message_one_bit", message=flipped_message, why="one bit of the message"),
        replace(bad, name="message_zero_wrong", message=bytes(32), why="the zero message was not signed"),
        replace(bad, name="r_flipped", ry=FIELD - ry, why="the parity of R is flipped"),
        replace(bad, name="r_and_z_negated", ry=FIELD - ry, z=ORDER - z, why="R and z are both negated"),
        replace(bad, name="r_not_on_curve", rx=beyond, why="no point of the curve has this Rx"),
        replace(bad, name="r_zero", rx=0, ry=0, r33=bytes(33), why="R is the identity, written as zeros"),
        replace(bad, name="r_x_zero", rx=0, why="Rx is 0, which is on no point"),
        replace(bad, name="r_x_is_p", rx=FIELD, why="Rx is the field's characteristic"),
        replace(bad, name="r_max", rx=2**256 - 1, ry=2**256 - 1, why="Rx and Ry are 2^256 - 1"),
        replace(bad, name="r_generator", rx=gx, ry=gy, why="R is the base point"),
        replace(bad, name="r_is_key", **key_as_r(good), why="R is the group key"),
        replace(bad, name="r_of_other", rx=other.rx, ry=other.ry, why="R of another signature"),
        replace(bad, name="rx_z_swapped", rx=z, z=rx, why="Rx and z are exchanged"),
        replace(bad, name="key_other", group_key=other.group_key, why="another committee's key"),
        replace(bad, name="key_flipped", group_key=flipped_key, why="the parity of the group key is flipped"),
        replace(bad, name="key_x_above_n", group_key=high_key, why="the group key's x is n or more: refuse the key"),
        replace(bad, name="key_zero", group_key=bytes(33), why="the group key is the identity: refuse the key"),
        replace(bad, name="key_x_off_curve", group_key=b"\x02" + word(beyond), why="the group key is off the curve"),
        *other_scheme_cases(good),
    ]


def key_as_r(good: Case) -> dict[str, int]:
    x, y = Point(good.group_key).coordinates()
    return {"rx": x, "ry": y}


def uncompressed_only(good: Case) -> list[Case]:
    bad = replace(good, ok=False)
    return [
        replace(bad, name="ry_plus_two", ry=good.ry + 2, why="Ry has the right parity but is not on the curve"),
        replace(bad, name="ry_parity_only", ry=good.ry & 1, why="Ry is its own parity bit"),
        replace(bad, name="ry_max_parity", ry=2**256 - 2 + (good.ry & 1), why="Ry is above p, of the right parity"),
    ]


def document() -> str:
    good = valid_cases()
    first, second = good[0], good[3]
    content = {
        "about": "RFC 9591 FROST(secp256k1, SHA-256) group signatures; written by make_frost.py",
        "signatures": [c.row() for c in (*good, *invalid_cases(first, second))],
        "uncompressed_only": [c.row() for c in uncompressed_only(first)],
    }
    return json.dumps(content, indent=2) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    text = document()
    if parser.parse_args().check:
        return int(OUTPUT.read_text() != text)
    OUTPUT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
