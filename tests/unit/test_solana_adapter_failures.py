"""What the cluster says of a failed transaction becomes one error of the tree, with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridges.solana.failures import AlreadyProcessed, BlockhashExpired, failure
from contracts.solana.errors import program_errors
from oracle.errors import ChainError, Rejected, Transient


def custom(code: int) -> object:
    return {"InstructionError": [1, {"Custom": code}]}


def test_failures__each_error_of_the_program__carries_its_name_and_sentence() -> None:
    assert len(program_errors()) > 40
    for code, known in program_errors().items():
        error = failure(custom(code), ())
        assert known.sentence in str(error)
        if known.name == "TreasuryNotFunded":
            assert isinstance(error, Transient)
        else:
            assert isinstance(error, Rejected)
            assert error.reason == known.name


def test_failures__unknown_number__shows_the_last_log_line() -> None:
    error = failure(custom(99_999), ("first", "Program log: odd"))
    assert isinstance(error, Rejected)
    assert error.reason == "Custom99999"
    assert "Program log: odd" in str(error)


@pytest.mark.parametrize(
    "error",
    ["AccountNotFound", "InsufficientFundsForFee", {"InsufficientFundsForRent": {"account_index": 0}}, custom(1)],
)
def test_failures__a_payer_without_lamports__can_be_cured(error: object) -> None:
    found = failure(error, ())
    assert isinstance(found, Transient)
    assert "Fund it" in str(found)


@pytest.mark.parametrize("error", ["AccountInUse", "WouldExceedMaxBlockCostLimit", "ClusterMaintenance"])
def test_failures__a_busy_cluster__is_transient(error: str) -> None:
    assert isinstance(failure(error, ()), Transient)


def test_failures__blockhash_and_duplicates__have_types_of_their_own() -> None:
    assert isinstance(failure("BlockhashNotFound", ()), BlockhashExpired)
    assert isinstance(failure("AlreadyProcessed", ()), AlreadyProcessed)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"InstructionError": [0, "ProgramFailedToComplete"]}, "ProgramFailedToComplete"),
        ({"InstructionError": [0, "ComputationalBudgetExceeded"]}, "ComputationalBudgetExceeded"),
        ({"InstructionError": [0, {"BorshIoError": "x"}]}, "BorshIoError"),
        ({"InstructionError": "nonsense"}, "UnknownError"),
        ({"InstructionError": [0, {"Custom": "1"}]}, "Custom"),
        ("InvalidAccountIndex", "InvalidAccountIndex"),
        (17, "UnknownError"),
        ({}, "UnknownError"),
        (None, "UnknownError"),
    ],
)
def test_failures__anything_else__is_rejected_with_the_clusters_name(error: object, reason: str) -> None:
    found = failure(error, ("log",))
    assert isinstance(found, Rejected)
    assert found.reason == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
)


@given(JSON | st.fixed_dictionaries({"InstructionError": JSON}))
def test_failures__whatever_an_endpoint_says__is_an_error_of_the_tree(error: object) -> None:
    assert isinstance(failure(error, ()), ChainError)
