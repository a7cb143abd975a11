"""Amounts that people type and read."""

import pytest

from oracle.app.tokens import parse_amount, show_amount
from oracle.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [("1.5", 18, 15 * 10**17), ("1", 0, 1), ("0.000000001", 9, 1), ("1e3", 2, 100_000), ("2.50", 1, 25)],
)
def test_amount__number__counts_smallest_units(text: str, decimals: int, units: int) -> None:
    assert parse_amount(text, decimals) == units


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("much", "is no amount"),
        ("", "is no amount"),
        ("0", "not more than zero"),
        ("-1", "not more than zero"),
        ("nan", "not more than zero"),
        ("inf", "not more than zero"),
        ("1.0000000001", "more than the token's 9 decimals"),
    ],
)
def test_amount__no_amount__says_why(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_amount(text, 9)


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(15 * 10**17, 18, "1.5"), (0, 9, "0"), (10**12, 9, "1,000"), (1, 9, "0.000000001"), (7, 0, "7")],
)
def test_amount__shown__without_trailing_zeros(units: int, decimals: int, text: str) -> None:
    assert show_amount(units, decimals) == text
