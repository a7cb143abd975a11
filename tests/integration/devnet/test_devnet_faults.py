"""Faults, for real: nodes of a running devnet are killed, frozen, cut off and robbed of their journal while requests are under way.

Cited by the invariants: with a quorum up every request is answered, without one nothing is delivered and nothing is lost, and whatever dies at
whatever moment, each destination takes each answer once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
import tomlkit

from oracle.app.asking import EVM, SOLANA, Asked, Question
from oracle.app.devnet.nodes import NodeProcess
from oracle.pipeline import Stage, Work
from oracle.protocol.message import result_messages
from oracle.protocol.quorum import duty_order
from oracle.protocol.types import Policy
from tests.support.devnet import STAGES, Wire, World, damage_journal, frozen, journal_path

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

FROM_EVM = (EVM, Policy.BOTH, Policy.ATTESTED)
FROM_SOLANA = (SOLANA, Policy.ATTESTED, Policy.BOTH)
Way = tuple[str, Policy, Policy]


async def ask(world: World, *ways: Way) -> list[Asked]:
    """A question for each way, all at once, about different patients."""
    rows = world.user.model.heldout()
    return list(
        await asyncio.gather(
            *(world.user.ask(Question(rows[7 * number].inputs, *way)) for number, way in enumerate(ways))
        )
    )


async def assert_answered_once(world: World, asked: Sequence[Asked], nodes: Sequence[NodeProcess]) -> None:
    """Everything was answered on both chains, once, and these nodes know it."""
    await asyncio.gather(*(world.answered_once(one) for one in asked))
    for one in asked:
        await world.until_stage(one.request_id, Stage.CONFIRMED, nodes)


# ---- some of four are down ----


async def test_committee__one_then_two_of_four_are_down__answers_then_waits_and_resumes_when_one_is_back(
    world: World,
) -> None:
    first, second = world.node(1), world.node(3)
    present = [world.node(2), world.node(4)]
    await world.stop(first)
    early = await ask(world, FROM_EVM)
    await assert_answered_once(world, early, [*present, second])
    await world.stop(second)
    late = await ask(world, FROM_EVM, FROM_SOLANA)
    for one in late:
        await world.until_stage(one.request_id, Stage.INFERRED, present)
    await asyncio.sleep(4)  # two turns of the coordinator's duty
    for one in late:
        assert await world.user.evm.answer(one.request_id) is None
        assert await world.results_on_solana(one.request_id) == 0
        for node in present:
            report = await world.report(node, one.request_id)
            assert report is not None
            assert report["attestation"] is None
    await world.start(first)
    await assert_answered_once(world, late, [*present, first])
    await world.start(second)
    await assert_answered_once(world, [*early, *late], world.nodes)


# ---- kill -9 ----


def prover_of(world: World, asked: Asked) -> int:
    """Who proves first, and so also asks for signatures first."""
    return duty_order(world.members, asked.request_id, "prove")[0]


async def submitters_of(world: World, asked: Asked) -> set[int]:
    """Who delivers first to each destination."""
    messages = result_messages(asked.request, await world.truth(asked.question.inputs))
    return {duty_order(world.members, message.digest, "submit")[0] for message in messages}


async def kill_at(world: World, asked: Asked, victims: Sequence[NodeProcess], stage: Stage) -> list[Work]:
    """kill -9 as soon as these nodes say that they have come to `stage`; what their journals then hold."""
    await world.until_stage(asked.request_id, stage, victims, poll=0.002)
    await world.kill(*victims)
    works = [world.journalled(victim, asked.request_id) for victim in victims]
    for victim, work in zip(victims, works, strict=True):
        print(f"node {victim.identifier}, wanted dead at {stage.value}, died at {work and work.stage.value}")
    return [work for work in works if work is not None]


@pytest.mark.parametrize(
    ("stage", "way"),
    [
        (Stage.OBSERVED, FROM_EVM),
        (Stage.INFERRED, FROM_SOLANA),
        (Stage.PROVED, FROM_EVM),
        (Stage.ATTESTED, FROM_EVM),
    ],
    ids=["observed by its prover", "inferred by its prover", "proved by its coordinator", "attested by its submitters"],
)
async def test_nodes_on_duty__killed_at_a_step_and_restarted__answered_once_and_they_finish_too(
    world: World, stage: Stage, way: Way
) -> None:
    for _ in range(3):
        (asked,) = await ask(world, way)
        on_duty = {prover_of(world, asked)} if stage is not Stage.ATTESTED else await submitters_of(world, asked)
        victims = [world.node(identifier) for identifier in on_duty]
        works = await kill_at(world, asked, victims, stage)
        assert len(works) == len(victims)
        await world.start(*victims)
        await assert_answered_once(world, [asked], world.nodes)
        if all(STAGES.index(work.stage.value) - STAGES.index(stage.value) <= 1 for work in works):
            return  # the step, or the one after it: a node went on for the milliseconds until the signal came
    pytest.fail(f"three times a node was past {stage.value} before it could be killed; see what is printed")


async def test_all_nodes__killed_at_once_after_proving_and_restarted__answered_once(world: World) -> None:
    (asked,) = await ask(world, FROM_EVM)
    await world.until_stage(asked.request_id, Stage.PROVED, [world.node(prover_of(world, asked))], poll=0.002)
    works = await kill_at(world, asked, world.nodes, Stage.INFERRED)
    assert any(work.proof_id is not None for work in works)
    assert not all(work.finished for work in works)
    await world.start(*world.nodes)
    await assert_answered_once(world, [asked], world.nodes)


# ---- a damaged journal ----


async def test_prover__killed_and_its_journal_damaged__another_takes_over_and_it_works_again_once_that_is_moved_away(
    world: World,
) -> None:
    (asked,) = await ask(world, FROM_EVM)
    victim = world.node(prover_of(world, asked))
    (work,) = await kill_at(world, asked, [victim], Stage.INFERRED)
    assert work.proof_id is None
    damage_journal(victim)
    await _assert_refuses_to_start(victim, "event 2 has a wrong checksum")
    journal_path(victim).write_bytes(b"not a database at all" * 1000)
    await _assert_refuses_to_start(victim, "is damaged")
    others = world.others(victim.identifier)
    await assert_answered_once(world, [asked], others)
    report = await world.report(others[0], asked.request_id)
    assert report is not None
    assert report["proof"]["prover"] != victim.identifier

    for path in journal_path(victim).parent.glob("journal.sqlite*"):
        path.rename(victim.directory / f"away-{path.name}")
    await world.start(victim)
    # It reads both chains from their beginning and finds what was delivered. To prove that, or to have it signed, would be its duty no more.
    await world.until_stage(asked.request_id, Stage.CONFIRMED, [victim])
    await asyncio.sleep(2)
    assert await world.metric(victim, "sibyl_proof_seconds_count") == 0
    (after,) = await ask(world, FROM_SOLANA)
    await assert_answered_once(world, [asked, after], world.nodes)


async def _assert_refuses_to_start(node: NodeProcess, why: str) -> None:
    log = node.directory / "node.log"
    read = log.stat().st_size
    await node.start()
    assert node.child is not None
    code = await asyncio.wait_for(node.child.process.wait(), 60)
    await node.stop()
    said = log.read_bytes()[read:].decode()
    assert code not in (0, None)
    assert why in said
    assert "move it away" in " ".join(said.split())
    assert "Traceback" not in said


# ---- silence ----


async def test_node__frozen__is_passed_over_and_catches_up(world: World) -> None:
    (asked,) = await ask(world, FROM_EVM)
    victim = world.node(prover_of(world, asked))
    assert victim.child is not None
    others = world.others(victim.identifier)
    with frozen(victim.child.pid):
        (second,) = await ask(world, FROM_SOLANA)
        await assert_answered_once(world, [asked, second], others)
        assert victim.child.exit_code is None
    await assert_answered_once(world, [asked, second], [victim])


async def test_chains__silent_for_three_seconds_amid_requests__all_is_answered_once(world: World) -> None:
    asked = await ask(world, FROM_EVM)
    await world.until_stage(asked[0].request_id, Stage.INFERRED, [world.node(1)])
    with frozen(world.devnet.evm.pid, world.devnet.solana.pid):
        await asyncio.sleep(3)
    await assert_answered_once(world, asked, world.nodes)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wires(devnet: World) -> AsyncIterator[list[Wire]]:
    """Node 3's ways to both chains, which can be cut; it keeps them until the devnet ends."""
    node = devnet.node(3)
    document = tomlkit.parse(node.config_path.read_text())
    async with AsyncExitStack() as stack:
        made = []
        for part in ("evm", "solana"):
            address = urlsplit(document[part][0]["rpc_url"])
            wire = await stack.enter_async_context(Wire((address.hostname or "", address.port or 0)))
            document[part][0]["rpc_url"] = wire.url
            made.append(wire)
        await devnet.stop(node)
        node.config_path.write_text(tomlkit.dumps(document))
        await devnet.start(node)
        assert all(wire.carried for wire in made)
        yield made


async def test_node__cut_off_from_both_chains__others_answer_and_it_catches_up_once_mended(
    world: World, wires: list[Wire]
) -> None:
    victim = world.node(3)
    for wire in wires:
        wire.cut()
    try:
        asked = await ask(world, FROM_SOLANA)
        await assert_answered_once(world, asked, world.others(victim.identifier))
        for one in asked:
            assert await world.report(victim, one.request_id) is None
        chains = (await world.health(victim))["chains"]
        assert all(chain["last_error"] for chain in chains.values())
    finally:
        for wire in wires:
            wire.mend()
    await assert_answered_once(world, asked, [victim])
