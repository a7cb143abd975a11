"""The demonstration from end to end: set-up, devnet, requests, lies, tables. Ends every process that it started, whatever happens."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import psutil
from rich.console import Console
from solders.pubkey import Pubkey

from bridges.solana.verifier_layout import VerifierAddresses
from circuits.prover import LocalProver
from contracts.solana.build import build_programs
from oracle.app.asking import EVM, SOLANA, DevnetUser, open_user
from oracle.app.demo.lies import Liar, Refusal
from oracle.app.demo.report import SolanaTransactions, agreed, as_json, demo_figures, print_report, rows
from oracle.app.demo.requests import Answered, ask_all, cases
from oracle.app.demo.round_trip import holdings_table, round_trip
from oracle.app.devnet.network import Devnet, DevnetOptions, running_devnet
from oracle.app.setup import run_setup
from oracle.app.tokens import open_tokens
from oracle.protocol.types import Policy


async def run_demo(console: Console, keep: Path | None) -> dict[str, object]:
    """Run the demo and return its JSON document. Raises SibylError when it cannot go on, LieAccepted when a lie was taken."""
    console.rule("[bold]Sibyl: an answer that two chains can check", align="left")
    toolchain = run_setup(console)

    def tell(line: str) -> None:
        console.print(f"[dim]·[/] {line}", highlight=False)

    async with running_devnet(toolchain, DevnetOptions(), tell, keep) as devnet:
        tell(
            f"devnet ready: EVM chain {devnet.evm.chain_id}, Solana chain, nodes {[n.child.pid for n in devnet.nodes if n.child]}"
        )
        async with (
            open_user(devnet.file(), devnet.model) as user,
            open_tokens(user) as tokens,
            LocalProver([devnet.model], devnet=True) as prover,
        ):
            heldout = devnet.model.heldout()
            console.rule("Questions", align="left")
            answered = await ask_all(user, prover, cases(heldout), tell)
            transactions = await _solana_transactions(user, answered)
            console.rule("Lies, while tokens cross", align="left")
            told: list[str] = []
            crossing = asyncio.ensure_future(round_trip(tokens, told.append))
            try:
                refusals = await _lies(Liar(devnet, user), answered, prover, tell)
                holdings = await crossing
            finally:
                crossing.cancel()
            console.rule("Tokens", align="left")
            for line in told:
                tell(line)
            figures = demo_figures(
                answered, transactions, _largest_node_mb(devnet), build_programs().sibyl_so.stat().st_size
            )
    ok = agreed(answered, devnet.model) and len(refusals) >= 4
    deliveries = rows(answered, devnet.model)
    print_report(console, deliveries, refusals, figures)
    console.print()
    console.print(holdings_table(holdings))
    console.print(
        "\n[green]Every answer is onnxruntime's, on both chains; every lie was refused; every token is accounted for; every process has ended.[/]"
        if ok
        else "[red]The answers differ.[/]"
    )
    return as_json(ok, deliveries, refusals, figures) | {"tokens": [asdict(one) for one in holdings]}


async def _lies(
    liar: Liar, answered: list[Answered], prover: LocalProver, tell: Callable[[str], None]
) -> list[Refusal]:
    both = next(one for one in answered if one.case.origin == EVM and one.case.policy is Policy.BOTH)
    from_solana = next(one for one in answered if one.case.origin != EVM and one.case.remote_policy is not None)
    unasked = [row for row in liar.devnet.model.heldout() if all(row != one.case.row for one in answered)]
    tell(f"node {liar.member} reports another output")
    refusals = await liar.another_output(both.asked)
    tell("a stranger answers PROVEN requests with doctored proofs, on both chains")
    refusals += await liar.doctored_proof(prover, unasked[0], tell)
    refusals += await liar.doctored_proof_on_solana(prover, unasked[1], tell)
    tell("signed messages are delivered again, and to the wrong chain")
    first, second = await liar.signed(both.asked), await liar.signed(from_solana.asked)
    refusals += await liar.replay(first)
    refusals += await liar.wrong_chain(first)
    refusals += await liar.wrong_chain_on_solana(second)
    return refusals


async def _solana_transactions(user: DevnetUser, answered: list[Answered]) -> SolanaTransactions:
    """By the accounts that the transactions touched: every delivery touches a replay bitmap, a proof's upload and its check the proof's account."""
    at, client = user.solana.addresses, user.solana_client
    bitmaps = {at.replay(one.asked.request.origin, one.asked.request.sequence).address for one in answered}
    deliveries = sum([await client.activity(bitmap) for bitmap in bitmaps])
    verifier = VerifierAddresses(Pubkey.from_string(user.devnet.solana.verifier_program))
    proven = [one.asked for one in answered if (one.case.origin, one.case.policy) == (SOLANA, Policy.PROVEN)]
    answers = [await user.solana.answer(asked.request_id) for asked in proven]
    proofs = [
        verifier.proof(answer.result.request_id, answer.payer).address for answer in answers if answer is not None
    ]
    return SolanaTransactions(deliveries - len(proofs), sum([await client.activity(proof) for proof in proofs]))


def _largest_node_mb(devnet: Devnet) -> float:
    """Resident memory of the largest node, its worker processes included."""
    sizes = []
    for node in devnet.nodes:
        if node.child is not None:
            process = psutil.Process(node.child.pid)
            sizes.append(sum(p.memory_info().rss for p in (process, *process.children(recursive=True))))
    return max(sizes, default=0) / 1e6
