"""The demo's requests: held-out patients, asked about on both chains under every policy that a chain can check."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from circuits.card import HeldoutRow
from circuits.prover import LocalProver
from oracle.app.asking import EVM, SOLANA, Arrival, Asked, DevnetUser, Question
from oracle.protocol.types import Policy

ANSWER_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Case:
    """One patient of the held-out rows and how the question is put."""

    row: HeldoutRow
    origin: str
    policy: Policy
    remote_policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A case, what came of it, and what onnxruntime says for the same row on this machine."""

    case: Case
    asked: Asked
    float_output: float


def cases(rows: tuple[HeldoutRow, ...]) -> tuple[Case, ...]:
    """A benign and a malignant patient for each way of asking."""
    benign = [row for row in rows if row.label == "benign"]
    malignant = [row for row in rows if row.label == "malignant"]
    return (
        Case(malignant[0], EVM, Policy.BOTH, Policy.ATTESTED),
        Case(benign[0], EVM, Policy.BOTH, Policy.ATTESTED),
        Case(malignant[1], EVM, Policy.PROVEN),
        Case(benign[1], SOLANA, Policy.ATTESTED, Policy.ATTESTED),
        Case(malignant[2], SOLANA, Policy.ATTESTED, Policy.BOTH),
        Case(malignant[3], SOLANA, Policy.PROVEN),
    )


async def ask_all(
    user: DevnetUser, prover: LocalProver, asked: tuple[Case, ...], tell: Callable[[str], None]
) -> list[Answered]:
    """Ask about each case in turn, waiting for one answer before the next question, so that the times are its own."""
    answered = []
    for case in asked:
        also = "" if case.remote_policy is None else f", also on {_other(case.origin)} under {case.remote_policy.name}"
        tell(f"patient {case.row.row} asked about on {case.origin} under {case.policy.name}{also}")
        answered.append(await _ask(user, prover, case))
        for arrival in answered[-1].asked.arrivals:
            tell(f"    {_sentence(user, arrival)}")
    return answered


async def _ask(user: DevnetUser, prover: LocalProver, case: Case) -> Answered:
    inference, asked = await asyncio.gather(
        prover.infer(user.model.model_id, case.row.inputs),
        user.ask(Question(case.row.inputs, case.origin, case.policy, case.remote_policy)),
    )
    await user.arrivals(asked, ANSWER_SECONDS)
    return Answered(case, asked, inference.float_outputs[0])


def _sentence(user: DevnetUser, arrival: Arrival) -> str:
    if arrival.value is None:
        return f"refused on {arrival.chain}: {arrival.status.name}"
    unit = "gas" if arrival.chain == EVM else "compute units"
    cost = "by another" if arrival.cost is None else f"{arrival.cost:,} {unit}"
    label = user.model.card.label(arrival.value)
    return f"{label} ({arrival.value:+.3f}) on {arrival.chain} after {arrival.seconds:.1f} s, {arrival.policy.name}, {cost}"


def _other(chain: str) -> str:
    return SOLANA if chain == EVM else EVM
