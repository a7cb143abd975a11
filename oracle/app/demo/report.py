"""What the demo shows at its end, as tables and as JSON."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

from rich.console import Console
from rich.table import Table

from circuits.catalogue import ModelArtifacts
from oracle.app.asking import EVM, SOLANA, Arrival
from oracle.app.demo.lies import Refusal
from oracle.app.demo.requests import Answered
from oracle.app.figures import Figure, figure, figures_table
from oracle.protocol.types import Policy

COMMAND = "sibyl demo"


def rows(answered: Sequence[Answered], model: ModelArtifacts) -> list[dict[str, object]]:
    """One row for each delivery of each request."""
    return [_row(one, arrival, model) for one in answered for arrival in one.asked.arrivals]


def _row(one: Answered, arrival: Arrival, model: ModelArtifacts) -> dict[str, object]:
    proof = one.asked.zk_proof
    value = arrival.value
    return {
        "request_id": "0x" + one.asked.request_id.hex(),
        "patient": one.case.row.row,
        "from": one.case.origin,
        "to": arrival.chain,
        "policy": arrival.policy.name.lower(),
        "model": model.name,
        "predicted": {"logit": value, "label": None if value is None else model.card.label(value)},
        "onnxruntime": {"logit": one.float_output, "label": model.card.label(one.float_output)},
        "label": one.case.row.label,
        "zk_proof_seconds": one.asked.zk_proof_seconds,
        "zk_proof_bytes": None if proof is None else len(proof),
        "gas": arrival.cost if arrival.chain == EVM else None,
        "compute_units": arrival.cost if arrival.chain == SOLANA else None,
        "latency_seconds": round(arrival.seconds, 3),
        "finality_seconds": None if one.asked.final_seconds is None else round(one.asked.final_seconds, 3),
        "transaction": arrival.transaction,
    }


def agreed(answered: Sequence[Answered], model: ModelArtifacts) -> bool:
    """Whether every delivery says what onnxruntime says, within the card's bound, both chains the same, and the consumers used it so."""
    return all(
        arrival.value is not None
        and abs(arrival.value - one.float_output) <= model.card.error_bound
        and arrival.decided is (arrival.value > 0)
        for one in answered
        for arrival in one.asked.arrivals
    ) and all(len({arrival.outputs for arrival in one.asked.arrivals}) == 1 for one in answered)


@dataclass(frozen=True, slots=True)
class SolanaTransactions:
    """How many transactions made the answers on Solana: `attested` all that touched the replay bitmaps, without one for each proven answer;
    `proven` all that touched the accounts of proofs."""

    attested: int
    proven: int


def demo_figures(
    answered: Sequence[Answered], transactions: SolanaTransactions, memory_mb: float, program_bytes: int
) -> list[Figure]:
    """The bounds that the demo can measure on its way."""
    arrivals = [(one, arrival) for one in answered for arrival in one.asked.arrivals]
    proven = [a.cost for one, a in arrivals if a.chain == EVM and a.policy is Policy.PROVEN and a.cost]
    units = [a.cost for _, a in arrivals if a.chain == SOLANA and a.policy is not Policy.PROVEN and a.cost]
    checked = [a.cost for _, a in arrivals if a.chain == SOLANA and a.policy is Policy.PROVEN and a.cost]
    beyond = [
        a.seconds - one.asked.final_seconds - one.asked.zk_proof_seconds
        for one, a in arrivals
        if one.asked.final_seconds is not None and one.asked.zk_proof_seconds is not None
    ]
    made = []
    if proven:
        made.append(figure("EVM proven delivery with callback, whole transaction", max(proven), COMMAND))
    if units:
        made.append(figure("Solana delivery", max(units), COMMAND))
        made.append(figure("Solana delivery, transactions", transactions.attested / len(units), COMMAND))
    if checked:
        made.append(figure("Solana proven delivery, verifying transaction", max(checked), COMMAND))
        made.append(figure("Solana proven delivery, transactions", transactions.proven / len(checked), COMMAND))
    if beyond:
        name = "Request to delivered, beyond finality and proving (median)"
        made.append(figure(name, statistics.median(beyond), COMMAND))
    made.append(figure("Solana program", program_bytes, COMMAND))
    made.append(figure("Node resident memory, workers included (largest)", memory_mb, COMMAND))
    return made


def print_report(
    console: Console, deliveries: Sequence[dict[str, object]], refusals: Sequence[Refusal], figures: Sequence[Figure]
) -> None:
    """The tables."""
    console.print()
    console.print(_deliveries_table(deliveries))
    console.print()
    console.print(_refusals_table(refusals))
    console.print()
    console.print(figures_table(figures))


def _deliveries_table(deliveries: Sequence[dict[str, object]]) -> Table:
    table = Table(title="Answers delivered", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("patient", "asked → used", "policy", "predicted", "onnxruntime", "truth"):
        table.add_column(name, overflow="fold")
    for name in ("proof s", "proof B", "cost", "latency"):
        table.add_column(name, justify="right", overflow="fold")
    for row in deliveries:
        predicted, ort = cast(dict[str, object], row["predicted"]), cast(dict[str, object], row["onnxruntime"])
        right = predicted["label"] == row["label"]
        cost = f"{_number(row['gas'], ',d')} gas" if row["to"] == EVM else f"{_number(row['compute_units'], ',d')} CU"
        table.add_row(
            str(row["patient"]),
            f"{row['from']} → {row['to']}",
            str(row["policy"]),
            f"{predicted['label']} {_number(predicted['logit'], '+.3f')}",
            _number(ort["logit"], "+.3f"),
            f"[{'green' if right else 'yellow'}]{row['label']}[/]",
            _number(row["zk_proof_seconds"], ".2f"),
            _number(row["zk_proof_bytes"], ",d"),
            cost,
            f"{_number(row['latency_seconds'], '.1f')} s",
        )
    return table


def _refusals_table(refusals: Sequence[Refusal]) -> Table:
    table = Table(title="Lies refused", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("tried", "refused by", "why"):
        table.add_column(name, overflow="fold")
    for refusal in refusals:
        table.add_row(refusal.tried, refusal.refused_by, refusal.why)
    return table


def _number(value: object, form: str) -> str:
    return "–" if value is None else format(value, form)


def as_json(
    ok: bool, deliveries: Sequence[dict[str, object]], refusals: Sequence[Refusal], figures: Sequence[Figure]
) -> dict[str, object]:
    """The demo's JSON document."""
    return {
        "ok": ok,
        "requests": list(deliveries),
        "refusals": [asdict(refusal) for refusal in refusals],
        "figures": [asdict(one) for one in figures],
    }
