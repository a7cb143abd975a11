"""PROVEN on Solana with everything real: the consumer program asks, nodes prove, the chain checks, also after crashes and from the command line."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from solders.keypair import Keypair

from bridges.solana import verifier_instructions
from bridges.solana.layout import InboxAccount
from bridges.solana.transactions import TransactionSender, load_keypair
from bridges.solana.verifier_layout import ProofAccount, VerifierAddresses
from oracle.app.asking import FEE_LAMPORTS, SOLANA, Asked, Question
from oracle.app.relay import built_relayer
from oracle.config import load_relay_config
from oracle.pipeline import Stage
from oracle.protocol import constants as c
from oracle.protocol.types import Digest, Policy
from tests.support.devnet import ANSWER_SECONDS, TRANSACTION_LAMPORTS, World
from tests.support.solana_world import cheat

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(280)]

GOAL = 500_000
COMMAND_SECONDS = 200.0


def inputs(world: World, row: int) -> tuple[int, ...]:
    return world.user.model.heldout()[row].inputs


def node_keys(world: World) -> list[Keypair]:
    """What the nodes pay with on Solana."""
    return [load_keypair(node.directory / "solana.json") for node in world.nodes]


def verifier(world: World) -> VerifierAddresses:
    return VerifierAddresses(world.devnet.solana_programs.verifier_program)


async def proofs(world: World) -> list[ProofAccount]:
    """Every proof account that there is."""
    at = verifier(world)
    matches = [(0, bytes([c.VERIFIER_ACCOUNT_PROOF, c.ACCOUNT_LAYOUT_VERSION]))]
    found = await world.user.solana_client.find(at.program, matches, "processed")
    return [ProofAccount.decode(one.account, at.program) for one in found]


async def until_no_proofs(world: World) -> None:
    async with asyncio.timeout(ANSWER_SECONDS):
        while await proofs(world):
            await asyncio.sleep(0.3)


async def ask(world: World, row: int) -> Asked:
    return await world.user.ask(Question(inputs(world, row), SOLANA, Policy.PROVEN))


async def test_consumer_program__asks_under_proven__is_answered_by_proof_alone(world: World) -> None:
    keys, treasury = node_keys(world), await world.solana_treasury()
    asked = await world.user.arrivals(await ask(world, 0), ANSWER_SECONDS)
    await world.answered_once(asked)
    (arrival,) = asked.arrivals
    assert (arrival.chain, arrival.policy) == (SOLANA, Policy.PROVEN)
    assert arrival.cost is not None
    assert arrival.cost <= GOAL
    answer = await world.user.solana.answer(asked.request_id)
    assert answer is not None
    assert answer.payer in [key.pubkey() for key in keys]
    (account,) = (
        await world.user.solana_client.accounts([world.user.solana.addresses.inbox(answer.digest).address], "confirmed")
    ).accounts
    assert account is not None
    assert InboxAccount.decode(account, world.devnet.solana_programs.program).epoch == 0, (
        "no signature stands behind it"
    )
    assert await world.solana_treasury() == treasury, "the fee is the prover's, not the committee's"
    await world.until_stage(asked.request_id, Stage.CONFIRMED)
    reports = [await world.report(node, asked.request_id) for node in world.nodes]
    assert [report["attestation"] for report in reports if report is not None] == [None] * 4
    proof = verifier(world).proof(asked.request_id, answer.payer).address
    assert await world.user.solana_client.activity(proof) <= 3
    await until_no_proofs(world)


async def test_fee__of_a_proven_answer__pays_the_node_that_answered(world: World) -> None:
    keys = node_keys(world)
    before = [await world.user.solana_client.balance(key.pubkey()) for key in keys]
    asked = await world.user.arrivals(await ask(world, 1), ANSWER_SECONDS)
    await until_no_proofs(world)
    after = [await world.user.solana_client.balance(key.pubkey()) for key in keys]
    answer = await world.user.solana.answer(asked.request_id)
    assert answer is not None
    inbox = world.user.solana.addresses.inbox(answer.digest).address
    (account,) = (await world.user.solana_client.accounts([inbox], "confirmed")).accounts
    assert account is not None
    for key, had, has in zip(keys, before, after, strict=True):
        # The inbox account's rent comes back when it is closed; who lost a race has paid for some transactions.
        earned = FEE_LAMPORTS - account.lamports if key.pubkey() == answer.payer else 0
        assert 0 <= had + earned - has <= 4 * TRANSACTION_LAMPORTS


async def test_nodes__killed_as_soon_as_a_proof_is_there__answer_once_after_their_return(world: World) -> None:
    asked = await ask(world, 2)
    async with asyncio.timeout(ANSWER_SECONDS):
        while not await proofs(world) and await world.user.solana.answer(asked.request_id) is None:
            await asyncio.sleep(0.01)
    await world.kill(*world.nodes)
    await world.everybody_up()
    await world.answered_once(asked)
    await until_no_proofs(world)


async def test_node__started_beside_a_proof_that_nobody_waits_for__takes_its_rent_back(world: World) -> None:
    node, key, at = world.node(1), node_keys(world)[0], verifier(world)
    client, label = world.user.solana_client, Digest(b"\x07" * 32)
    await world.stop(node)
    assert "checked by the chain for tumour" in await _sibyl({}, "node", "check", "--config", str(node.config_path))
    before = await client.balance(key.pubkey())
    step = verifier_instructions.create_proof(at, key.pubkey(), label, 900, bytes(900))
    await TransactionSender(client, key).send([step])
    assert await client.balance(key.pubkey()) < before - TRANSACTION_LAMPORTS
    await world.start(node)
    await until_no_proofs(world)
    assert await client.balance(key.pubkey()) == before - 2 * TRANSACTION_LAMPORTS


async def test_relayer__nodes_without_lamports__answers_in_their_place_without_any_model(world: World) -> None:
    keys, rpc = node_keys(world), world.devnet.solana.rpc_url
    had = [await world.user.solana_client.balance(key.pubkey()) for key in keys]
    for key in keys:
        await cheat(rpc, "surfnet_setAccount", str(key.pubkey()), {"lamports": 1})
    try:
        asked = await ask(world, 4)
        async with built_relayer(load_relay_config(world.devnet.directory / "relay" / "relay.toml")) as relayer:
            running = asyncio.ensure_future(relayer.run())
            try:
                await world.user.arrivals(asked, ANSWER_SECONDS)
            finally:
                running.cancel()
    finally:
        for key, lamports in zip(keys, had, strict=True):
            await cheat(rpc, "surfnet_setAccount", str(key.pubkey()), {"lamports": lamports})
    await world.answered_once(asked)
    answer = await world.user.solana.answer(asked.request_id)
    assert answer is not None
    assert answer.payer == world.devnet.solana_programs.stranger.pubkey()
    await world.until_stage(asked.request_id, Stage.CONFIRMED)
    await until_no_proofs(world)


async def test_command__to_solana_under_proven__asks_there_and_shows_the_answer(world: World, tmp_path: Path) -> None:
    file, row = tmp_path / "devnet.json", tmp_path / "row.json"
    world.devnet.file().write(file)
    row.write_text(json.dumps(world.user.model.heldout()[3].raw))
    said = await _sibyl(
        {"SIBYL_DEVNET": str(file)}, "request", "--input", str(row), "--to", "solana", "--policy", "proven"
    )
    assert said.startswith("request 0x")
    assert "proof of 1,952 bytes" in said
    assert "on solana after" in said
    assert "under proven" in said
    assert "compute units" in said


async def _sibyl(environment: dict[str, str], *arguments: str) -> str:
    """What the command printed; its failure is the test's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "oracle.app.cli",
        *arguments,
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = " ".join(told.decode().split())
    assert process.returncode == 0, text
    return text
