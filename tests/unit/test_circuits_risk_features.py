"""What the risk model sees of a transfer: the shared vectors, the edges, and what always holds."""

import json
import runpy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.models.risk.features import NAMES, ONE, SCALE, U64_MAX, U128_MAX, Transfer, features

VECTORS = Path(__file__).parent.parent / "vectors"

U64, U128 = st.integers(0, U64_MAX), st.integers(0, U128_MAX)
TRANSFERS = st.builds(
    Transfer, st.integers(1, U64_MAX), U128, st.none() | U64, U128, fresh=st.booleans(), inbound=st.booleans()
)


def test_vectors__committed_file__is_what_the_script_writes() -> None:
    written = runpy.run_path(str(VECTORS / "make_risk.py"))["document"]()
    assert (VECTORS / "risk_features.json").read_text() == written, "run: python tests/vectors/make_risk.py"


def test_vectors__each_case__within_range_and_no_two_names_alike() -> None:
    found = json.loads((VECTORS / "risk_features.json").read_text())
    assert (found["scale"], tuple(found["names"])) == (SCALE, NAMES)
    assert len({case["name"] for case in found["cases"]}) == len(found["cases"]) >= 40
    seen = [case["features"] for case in found["cases"]]
    for column, most in zip(zip(*seen, strict=True), (16, 1, 1, 4, 1, 1), strict=True):
        assert max(column) == most * ONE  # the vectors reach each feature's upper edge
        assert all(0 <= value <= most * ONE for value in column)


def test_features__a_transfer_worked_by_hand__as_written() -> None:
    # 1,000 has ten bits: 10 / 4 = 2.5. A quarter of the total, a third of the bucket, one and a half of the total moved before it.
    transfer = Transfer(1000, 4000, 3000, 6000, fresh=True, inbound=False)
    assert features(transfer) == (2560, 256, 341, 1536, 1024, 0)


@given(TRANSFERS)
def test_features__any_transfer__are_the_exact_shares_rounded_down(transfer: Transfer) -> None:
    def exact(part: int, whole: int, most: int) -> int:
        if whole == 0:
            return most * ONE if part else 0
        return int(min(Fraction(most), Fraction(part, whole)) * ONE)

    size, total, bucket, recent, fresh, inbound = features(transfer)
    assert 2 ** (size * 4 // ONE - 1) <= transfer.amount < 2 ** (size * 4 // ONE)
    assert total == exact(transfer.amount, transfer.total, 1)
    available = transfer.bucket_available
    assert bucket == (0 if available is None else exact(transfer.amount, available, 1))
    assert recent == exact(transfer.moved_today, transfer.total, 4)
    assert (fresh, inbound) == (transfer.fresh * ONE, transfer.inbound * ONE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount", 0),
        ("amount", -1),
        ("amount", U64_MAX + 1),
        ("total", -1),
        ("total", U128_MAX + 1),
        ("bucket_available", -1),
        ("bucket_available", U64_MAX + 1),
        ("moved_today", -1),
        ("moved_today", U128_MAX + 1),
    ],
)
def test_transfer__number_out_of_range__refused_by_name(field: str, value: int) -> None:
    valid = Transfer(1, 1, 1, 1, fresh=False, inbound=False)
    with pytest.raises(ValueError, match=field):
        replace(valid, **{field: value})
