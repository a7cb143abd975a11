"""The times and shares that Solidity keeps by hand are those of `contracts/protocol.toml` (not generated there)."""

import re
from pathlib import Path

import pytest

from oracle.protocol import constants as c

SOURCES = Path(__file__).parents[2] / "contracts" / "evm" / "src" / "tokens"
HELD = re.compile(r"constant (\w+) = ([\d_]+);")


def held(name: str) -> dict[str, int]:
    """Constants of one Solidity file."""
    return {key: int(value) for key, value in HELD.findall((SOURCES / name).read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", ["DEFAULT_LIFETIME", "MAX_LIFETIME", "EXIT_PAUSE", "EXIT_PERIOD", "EXIT_SHARE"])
def test_terms__each__is_the_protocols(name: str) -> None:
    assert held("TokenTerms.sol")[name] == getattr(c, f"TOKENS_{name}")


@pytest.mark.parametrize("name", ["MAX_WIRE_DECIMALS", "MAX_NAME", "MAX_SYMBOL"])
def test_payload__each_bound__is_the_protocols(name: str) -> None:
    assert held("TokenPayload.sol")[name] == getattr(c, f"TOKENS_{name}")
