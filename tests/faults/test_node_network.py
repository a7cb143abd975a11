"""A whole committee under faults: silence, crashes at every write, lies. Each answer arrives once, or not at all and nothing is lost."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oracle.errors import JournalError, NotAuthorised, SigningError
from oracle.journal import Journal
from oracle.node.gossip import ProofNotice, encode_attestation
from oracle.pipeline import Event, Stage
from oracle.ports import Cursor, GroupAttestation, ModelInfo
from oracle.protocol.message import InferenceResult, Message, Outcome, result_messages
from oracle.protocol.types import CommitteeEpoch, Endpoint, Policy, Sequence, Status
from tests.support.network import Crash, Network
from tests.support.samples import EVM, evm_request, plain_message

ALL = (1, 2, 3, 4)
ANSWER = Outcome(Status.ANSWERED, (1 - 2 + 3,), 13)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        yield made


def start_all(network: Network) -> None:
    for identifier in ALL:
        network.start(identifier)


def post(network: Network, message: Message) -> Message:
    assert message.sequence == network.evm.next_sequence
    network.evm.append(message)
    return message


def answered_everywhere(network: Network, *requests: Message) -> bool:
    return all(network.delivered(chain, request) for chain in network.chains for request in requests)


async def test_network__request__is_delivered_once_on_both_chains_and_everyone_confirms(network: Network) -> None:
    start_all(network)
    request = post(network, evm_request())
    await network.until(lambda: answered_everywhere(network, request) and network.everyone_finished(ALL))
    home, remote = result_messages(request, ANSWER)
    assert network.evm.delivered[EVM, request.sequence][0] == home.digest
    assert network.solana.delivered[EVM, request.sequence][0] == remote.digest
    attestations = {network.members[i].running.pipeline.work(request.digest).attestation for i in ALL}  # type: ignore[union-attr]  # it is there: everyone finished
    attestations.discard(None)
    assert len(attestations) == 1, "both answers lie under one signature"


async def test_network__plain_message__is_signed_and_delivered(network: Network) -> None:
    start_all(network)
    message = post(network, plain_message())
    await network.until(lambda: network.delivered(network.solana, message) and network.everyone_finished(ALL))


async def test_network__many_requests__none_lost_none_twice(network: Network) -> None:
    start_all(network)
    requests = [post(network, evm_request(sequence=n)) for n in range(1, 26)]
    await network.until(lambda: answered_everywhere(network, *requests) and network.everyone_finished(ALL), 60)
    assert len(network.evm.delivered) == len(network.solana.delivered) == 25


@pytest.mark.parametrize("silent", ALL)
async def test_network__one_of_four_silent__the_answer_still_comes(network: Network, silent: int) -> None:
    network.down.add(silent)
    for identifier in ALL:
        if identifier != silent:
            network.start(identifier)
    request = post(network, evm_request())
    await network.until(lambda: answered_everywhere(network, request))


async def test_network__two_of_four_silent__nothing_is_delivered_nothing_is_lost_and_it_resumes(
    network: Network,
) -> None:
    network.start(1)
    network.start(2)
    request = post(network, evm_request())
    works = [network.members[i].running.pipeline for i in (1, 2)]
    await network.until(lambda: all((work := p.work(request.digest)) and work.stage is Stage.PROVED for p in works))
    with pytest.raises(TimeoutError):
        await network.until(lambda: bool(network.evm.delivered or network.solana.delivered), 2.0)
    network.start(3)
    await network.until(lambda: answered_everywhere(network, request) and network.everyone_finished((1, 2, 3)))


async def test_network__delivery_reorganised_away__is_made_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oracle.node.duties.VANISH_SECONDS", 0.3)
    network.solana.finality_depth = 10**6  # nothing becomes final before the reorganisation
    start_all(network)
    message = post(network, plain_message())
    nodes = [network.members[i].running for i in ALL]
    await network.until(lambda: all((w := n.pipeline.work(message.digest)) and w.delivered for n in nodes))
    del network.solana.delivered[EVM, message.sequence]
    await network.until(lambda: network.delivered(network.solana, message))
    network.solana.finality_depth = 2
    await network.until(lambda: network.everyone_finished(ALL))


async def test_network__refused_request__is_refused_by_signature(network: Network) -> None:
    start_all(network)
    request = post(network, evm_request(inputs=(1, 2)))
    await network.until(lambda: answered_everywhere(network, request))
    refused = result_messages(request, Outcome(Status.WRONG_SHAPE))
    assert network.evm.delivered[EVM, request.sequence][0] == refused[0].digest


async def test_network__proven_request__is_delivered_without_signature(network: Network) -> None:
    start_all(network)
    request = post(network, evm_request(policy=Policy.PROVEN, remotes=()))
    await network.until(lambda: network.delivered(network.evm, request) and network.everyone_finished(ALL))
    assert all(network.members[i].running.pipeline.work(request.digest).attestation is None for i in ALL)  # type: ignore[union-attr]  # everyone finished


async def test_network__late_member__learns_from_the_chains(network: Network) -> None:
    for identifier in (1, 2, 3):
        network.start(identifier)
    request = post(network, evm_request())
    await network.until(lambda: answered_everywhere(network, request) and network.everyone_finished((1, 2, 3)))
    network.start(4)
    await network.until(lambda: network.members[4].running.pipeline.work(request.digest) is not None)
    await network.until(lambda: network.everyone_finished((4,)))


class CrashingJournal(Journal):
    """Dies at the n-th write, before or after it reached the disk."""

    def __init__(self, path: Path, write: int, after: bool) -> None:
        super().__init__(path)
        self._left, self._after = write, after

    def append(self, events: tuple[Event, ...], cursor: tuple[Endpoint, Cursor] | None = None) -> None:
        self._left -= bool(events)
        if self._left == 0 and not self._after:
            raise Crash
        super().append(events, cursor)
        if self._left == 0 and events:
            raise Crash


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, 9))
async def test_network__all_members_crash_at_each_write__answered_exactly_once(
    network: Network, write: int, after: bool
) -> None:
    """Every member dies at its n-th write and is started again on what reached its disk."""
    for identifier in ALL:
        network.start(identifier, open_journal=lambda path: CrashingJournal(path, write, after))
    request = post(network, evm_request())
    restarted: set[int] = set()

    async def step() -> bool:
        for i in ALL:
            if network.crashed(i):
                assert i not in restarted, "a member that was started again runs on"
                await network.stop(i)
                network.start(i)
                restarted.add(i)
        return answered_everywhere(network, request) and network.everyone_finished(ALL)

    await network.until_async(step, 30.0)
    home, remote = result_messages(request, ANSWER)
    assert network.evm.delivered == {(EVM, 1): (home.digest, network.evm.delivered[EVM, 1][1])}
    assert network.solana.delivered == {(EVM, 1): (remote.digest, network.solana.delivered[EVM, 1][1])}
    # Observed, Inferred, Proved, Attested and two confirmations are written by everyone; two deliveries by those who saw them early.
    assert restarted == set(ALL) or write > 6


async def test_network__lying_member__is_outvoted_and_signs_nothing_alone(network: Network) -> None:
    """KelpDAO/LayerZero: one verifier that reports another output moves nothing; here it is member 2."""

    def lie(info: ModelInfo, inputs: tuple[int, ...]) -> tuple[int, ...]:
        return (sum(inputs) + 1_000_000,)

    network.members[2].function = lie
    start_all(network)
    requests = [post(network, evm_request(sequence=n)) for n in range(1, 6)]
    await network.until(lambda: answered_everywhere(network, *requests), 60)
    for request in requests:
        assert network.evm.delivered[EVM, request.sequence][0] == result_messages(request, ANSWER)[0].digest


async def test_network__lie_brought_to_the_signers__each_refuses_by_name(network: Network) -> None:
    start_all(network)
    request = post(network, evm_request())
    await network.until(lambda: network.everyone_finished(ALL) and answered_everywhere(network, request))
    lies = [message.digest for message in result_messages(request, Outcome(Status.ANSWERED, (999,), 13))]

    async def sign_anything(context: bytes) -> bytes:
        return b"\1" * 32

    liar = network.members[4].committee
    assert liar is not None
    liar.keys[0].signer._authorise = sign_anything
    with pytest.raises(SigningError, match="not reached"):
        await liar.sign(lies)
    assert all(network.members[i].running.metrics.refused_to_sign._value.get() >= 1 for i in (1, 2, 3))


async def test_network__doctored_proof__is_refused_and_its_sender_counted(network: Network) -> None:
    for identifier in (1, 2, 3):
        network.start(identifier)
    request = post(network, evm_request())
    node = network.members[1].running
    await network.until(lambda: (work := node.pipeline.work(request.digest)) is not None and work.outcome is not None)
    with pytest.raises(NotAuthorised, match="does not show the output"):
        await node.duties.take_proof(4, ProofNotice(evm_request(sequence=1).digest, b"\1" * 1952).to_bytes())
    assert node.metrics.bad_proofs.labels(peer="4")._value.get() == 1


async def test_network__forged_signature__is_refused_and_its_sender_counted(network: Network) -> None:
    start_all(network)
    request = post(network, evm_request())
    node = network.members[1].running
    await network.until(lambda: network.everyone_finished(ALL) and answered_everywhere(network, request))
    digests = tuple(message.digest for message in result_messages(request, ANSWER))
    for forged in (b"\2" * 65, bytes(65)):
        with pytest.raises(NotAuthorised, match="not the committee's"):
            await node.duties.take_attestation(
                3, encode_attestation(GroupAttestation(CommitteeEpoch(1), forged, digests))
            )
    assert node.metrics.bad_signatures.labels(peer="3")._value.get() == 2


async def test_network__broken_disk__ends_the_node_instead_of_going_on_unwritten(network: Network) -> None:
    class Full(Journal):
        def append(self, events: tuple[Event, ...], cursor: tuple[Endpoint, Cursor] | None = None) -> None:
            raise JournalError("The journal cannot be used: database or disk is full.")

    for identifier in (2, 3, 4):
        network.start(identifier)
    network.start(1, open_journal=Full)
    request = post(network, evm_request())
    await network.until(lambda: answered_everywhere(network, request))
    assert network.members[1].running.pipeline.work(request.digest) is None, "what is not on disk is not believed"
    assert network.members[1].running.readers[EVM].last_error.endswith("disk is full.")


def test_result__sequence_of_its_request__is_kept() -> None:
    request = evm_request(sequence=77)
    for message in result_messages(request, ANSWER):
        assert message.sequence == Sequence(77)
        assert InferenceResult.from_bytes(message.payload).request_id == request.digest
