"""The node's bounds name what the contracts and programs really say."""

from bridges.evm.abi import interface
from contracts.solana.errors import program_errors
from oracle.node.limits import CLOSED, Limits


def test_closed__each_reason__is_an_error_of_a_contract_or_a_program() -> None:
    abis = (interface(name).errors() for name in ("Gateway", "Committee", "OracleHub", "NativeBridge", "WrappedBridge"))
    known = {entry["name"] for abi in abis for _, entry in abi} | {error.name for error in program_errors().values()}
    assert known >= CLOSED


def test_limits__patience__is_longer_for_what_may_come_back() -> None:
    patience = Limits().patience
    assert patience.failed_tries > patience.refused_tries
    assert patience.failed_seconds > patience.refused_seconds
