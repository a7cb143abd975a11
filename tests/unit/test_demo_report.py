"""The demo's figures: answers by signature and by proof on Solana are measured apart."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from oracle.app.asking import EVM, SOLANA, Arrival
from oracle.app.demo.report import SolanaTransactions, demo_figures
from oracle.app.demo.requests import Answered
from oracle.protocol.types import Policy, Status

SIGNED = Arrival(SOLANA, Policy.ATTESTED, 4.0, Status.ANSWERED, (1,), 16, cost=42_000)
PROVEN = replace(SIGNED, policy=Policy.PROVEN, cost=400_000)
ON_EVM = Arrival(EVM, Policy.PROVEN, 4.0, Status.ANSWERED, (1,), 16, cost=530_000)


def answered(*arrivals: Arrival) -> Answered:
    asked = SimpleNamespace(arrivals=list(arrivals), final_seconds=3.0, zk_proof_seconds=0.5)
    return cast(Answered, SimpleNamespace(asked=asked))


def measured(*asked: Answered, transactions: SolanaTransactions) -> dict[str, float]:
    return {one.name: one.value for one in demo_figures(asked, transactions, 200.0, 60_000)}


def test_figures__answers_of_each_kind__each_in_its_own() -> None:
    found = measured(
        answered(SIGNED), answered(ON_EVM, replace(SIGNED, cost=43_000)), answered(PROVEN),
        transactions=SolanaTransactions(attested=2, proven=2),
    )  # fmt: skip
    assert found["Solana delivery"] == 43_000
    assert found["Solana delivery, transactions"] == 1
    assert found["Solana proven delivery, verifying transaction"] == 400_000
    assert found["Solana proven delivery, transactions"] == 2
    assert found["EVM proven delivery with callback, whole transaction"] == 530_000


@pytest.mark.parametrize(("shown", "hidden"), [(SIGNED, "Solana proven delivery"), (PROVEN, "Solana delivery")])
def test_figures__answers_of_one_kind__say_nothing_of_the_other(shown: Arrival, hidden: str) -> None:
    found = measured(answered(shown), transactions=SolanaTransactions(1, 2))
    assert not any(name.startswith(hidden) for name in found)


def test_figures__two_proven_answers__transactions_of_each() -> None:
    found = measured(answered(PROVEN), answered(PROVEN), transactions=SolanaTransactions(0, 5))
    assert found["Solana proven delivery, transactions"] == 2.5
