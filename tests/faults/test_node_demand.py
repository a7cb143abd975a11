"""Proofs on demand in a whole committee: made once, checked by everyone, bounded in cost; nothing is signed or delivered for them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from oracle.node import demand
from oracle.node.demand import Demand
from oracle.node.status import application
from oracle.protocol.message import Message
from oracle.protocol.types import Digest, Policy
from tests.support.network import Network
from tests.support.samples import evm_request, plain_message

ALL = (1, 2, 3, 4)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        for identifier in ALL:
            made.start(identifier)
        yield made


async def answered(network: Network, *requests: Message) -> None:
    for request in requests:
        network.evm.append(request)
    await network.until(
        lambda: all(network.delivered(network.evm, one) for one in requests) and network.everyone_finished(ALL), 60
    )


def proof_of(network: Network, identifier: int, request: Message) -> bytes | None:
    work = network.members[identifier].running.pipeline.work(request.digest)
    return None if work is None else work.proof_id


def recomputed(sequence: int = 1) -> Message:
    return evm_request(sequence=sequence, policy=Policy.RECOMPUTED, remotes=())


async def test_recomputed__answered__without_any_proof(network: Network) -> None:
    request = recomputed()
    await answered(network, request)
    assert [proof_of(network, i, request) for i in ALL] == [None] * 4


async def test_demand__answered_request__is_proven_once_and_every_member_has_it(network: Network) -> None:
    request = recomputed()
    await answered(network, request)
    desk = network.members[2].running.demands
    assert desk.demand(request.digest) is Demand.WAITING
    assert desk.demand(request.digest) is Demand.WAITING
    await network.until(lambda: all(proof_of(network, i, request) for i in ALL))
    assert desk.demand(request.digest) is Demand.DONE
    work = network.members[2].running.pipeline.work(request.digest)
    assert work is not None
    assert work.prover == 2
    assert len(network.evm.delivered) == 1, "nothing was delivered for it"


async def test_demand__what_is_not_an_answer__is_refused(network: Network) -> None:
    refused = evm_request(sequence=1, policy=Policy.RECOMPUTED, remotes=(), inputs=(1, 2))
    message = plain_message(sequence=2)
    await answered(network, refused)
    network.evm.append(message)
    desk = network.members[1].running.demands
    await network.until(lambda: desk._node.pipeline.work(message.digest) is not None)
    assert desk.demand(refused.digest) is Demand.NOTHING
    assert desk.demand(message.digest) is Demand.NOTHING
    assert desk.demand(Digest(bytes(32))) is Demand.UNKNOWN


async def test_demand__many_at_once__wait_in_a_bounded_queue_and_none_is_made_twice(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [recomputed(n) for n in range(1, 7)]
    await answered(network, *requests)
    node = network.members[1].running
    made: list[object] = []
    prove = node.ports.prover.prove

    async def counted(*arguments: object) -> object:
        made.append(arguments)
        return await prove(*arguments)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(node.ports.prover, "prove", counted)
    monkeypatch.setattr(node.demands._waiting, "_maxsize", 3)
    said = [node.demands.demand(one.digest) for one in requests]
    assert said.count(Demand.FULL) == 3
    await network.until(lambda: sum(proof_of(network, 1, one) is not None for one in requests) == 3)
    assert len(made) == 3
    assert demand.MAX_WAITING <= 64


async def test_demand__prover_that_lies__is_no_proof_and_can_be_demanded_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = recomputed()
    await answered(network, request)
    member = network.members[3].running
    function = network.members[3].running.ports.prover
    honest = function.prove

    async def lying(model: object, inputs: object) -> object:
        made = await honest(model, inputs)  # type: ignore[arg-type]  # passed on as they came
        return type(made)(made.proof, tuple(value + 1 for value in made.outputs), made.seconds)

    monkeypatch.setattr(function, "prove", lying)
    assert member.demands.demand(request.digest) is Demand.WAITING
    await network.until(lambda: member.demands._waiting.empty() and not member.demands._known)
    assert proof_of(network, 3, request) is None
    monkeypatch.setattr(function, "prove", honest)
    assert member.demands.demand(request.digest) is Demand.WAITING
    await network.until(lambda: proof_of(network, 3, request) is not None)


async def test_demand__over_http__says_what_became_of_it(network: Network) -> None:
    request = recomputed()
    await answered(network, request)
    node = network.members[4].running
    async with TestClient(TestServer(application(node), host="127.0.0.1")) as client:
        path = f"/messages/0x{request.digest.hex()}/proof"
        assert (await client.post(path)).status == 202
        await network.until(lambda: proof_of(network, 4, request) is not None)
        done = await client.post(path)
        assert (done.status, await done.json()) == (200, {"proof": "done"})
        assert (await client.post(f"/messages/{'00' * 32}/proof")).status == 404
        assert (await client.post("/messages/nonsense/proof")).status == 400
        assert (await client.get(path)).status == 405, "a look costs nothing"
