"""KelpDAO on LayerZero, 18 April 2026: 116,500 rsETH (some 292 million dollars) were released for a burn that never took place.

What happened: messages for the token were believed on the word of a single verifier (1 of 1). The attackers took over RPC nodes that this verifier
read, let them show forged data to the verifier only and true data to everybody else, and drove it to them by flooding the
others. Every contract worked as specified; the verifier attested to what it saw.

Why it fails here: each member of the committee reads the chain for itself, infers for itself and checks the proof for itself, and signs nothing that
its own pipeline did not reach. A member whose endpoint lies reaches a message that the others have not; they refuse it by name and count the
request, and its share alone is no signature. With a quorum of t, t endpoints would have to tell one lie (THREATS.md "RPC trust": members
that share an endpoint share its lies). Invariant 3: a node signs only what its own pipeline reached.
"""

from collections.abc import Iterable

import pytest

from oracle.errors import SigningError
from oracle.ports import ModelInfo
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import Status
from tests.hacks.committee import counted, take_over
from tests.hacks.world import RELEASE, EvmWorld, secret_of, stolen
from tests.support import network as network_support
from tests.support.memory_chain import MemoryChain, MemoryReader
from tests.support.network import Network
from tests.support.samples import EVM, SOLANA, evm_request, plain_message
from tests.support.schnorr import SchnorrKey
from tests.support.solana_program import Bench

ALL = (1, 2, 3, 4)
FORGED = plain_message(payload=RELEASE)
"""What the poisoned endpoint shows as the chain's first post."""


def start(network: Network, poisoned: Iterable[int], patch: pytest.MonkeyPatch) -> None:
    """Start all; the readers of `poisoned` see a chain on which the forged message is final."""
    lies = MemoryChain(EVM, network.evm.group_key, peers={SOLANA})
    lies.append(FORGED)
    lies.finalise()

    def poisoned_reader(chain: MemoryChain) -> MemoryReader:
        return MemoryReader(lies if chain is network.evm else chain)

    for identifier in ALL:
        with patch.context() as patched:
            if identifier in poisoned:
                patched.setattr(network_support, "MemoryReader", poisoned_reader)
            network.start(identifier)


def reached(network: Network, identifier: int, message: Message) -> bool:
    work = network.members[identifier].running.pipeline.work(message.digest)
    return work is not None and work.ready_at is not None


def refusals(network: Network, identifiers: Iterable[int]) -> list[float]:
    return [counted(network, i, "refused_to_sign") for i in identifiers]


@pytest.mark.parametrize("poisoned", [(4,), (1,), (3, 4)], ids=["one", "the first", "two, fewer than a quorum"])
async def test_hack_kelpdao__forged_post_seen_by_poisoned_nodes__finds_no_quorum(
    network: Network, monkeypatch: pytest.MonkeyPatch, poisoned: tuple[int, ...]
) -> None:
    start(network, poisoned, monkeypatch)
    honest = [i for i in ALL if i not in poisoned]
    # Each poisoned member believes the post and asks the others for their signatures, as the protocol has it.
    await network.until(
        lambda: all(counted(network, i, "failures", duty="sign", error="TooFewSigners") for i in poisoned)
    )
    assert all(network.members[i].running.pipeline.work(FORGED.digest) is not None for i in poisoned)
    assert all(network.members[i].running.pipeline.work(FORGED.digest) is None for i in honest)
    assert all(count >= 1 for count in refusals(network, honest)), "refused, and counted"
    assert not network.solana.delivered
    for i in poisoned:
        work = network.members[i].running.pipeline.work(FORGED.digest)
        assert work is not None
        assert work.attestation is None
    if len(honest) < 3:
        return  # liveness needs a quorum that sees the truth; the next test shows that it comes back
    true = plain_message(payload=b"what was truly posted")  # control: the same sequence, as everybody else sees it
    network.evm.append(true)
    await network.until(lambda: network.delivered(network.solana, true))
    assert network.solana.delivered[EVM, true.sequence][0] == true.digest


async def test_hack_kelpdao__two_poisoned_nodes_that_read_the_truth_again__sign_with_the_others(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of the case above: it was the forged post that found no signatures, not these members."""
    start(network, (), monkeypatch)
    network.evm.append(FORGED)  # the very same bytes, truly posted
    await network.until(lambda: network.delivered(network.solana, FORGED) and network.everyone_finished(ALL))
    assert network.solana.delivered[EVM, 1][0] == FORGED.digest


async def test_hack_kelpdao__the_others_refuse_by_name__and_the_error_says_who_and_why(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(network, (4,), monkeypatch)
    await network.until(lambda: reached(network, 4, FORGED))
    poisoned = network.members[4].committee
    assert poisoned is not None
    with pytest.raises(SigningError) as caught:
        await poisoned.sign([FORGED.digest])
    for honest in (1, 2, 3):
        assert f"{honest}: Peer {honest} refused" in str(caught.value)
    assert str(caught.value).count("has not reached a message") == 3


async def test_hack_kelpdao__poisoned_output__is_not_signed_by_those_who_inferred_themselves(network: Network) -> None:
    def lie(info: ModelInfo, inputs: tuple[int, ...]) -> tuple[int, ...]:
        return (sum(inputs) + 1_000_000,)

    network.members[4].function = lie
    for identifier in ALL:
        network.start(identifier)
    request = evm_request()
    network.evm.append(request)
    await network.until(lambda: all(network.delivered(chain, request) for chain in network.chains))
    true = result_messages(request, Outcome(Status.ANSWERED, (2,), 13))
    assert network.evm.delivered[EVM, 1][0] == true[0].digest  # control: the true answer came
    assert network.solana.delivered[EVM, 1][0] == true[1].digest
    lies = [message.digest for message in result_messages(request, Outcome(Status.ANSWERED, (1_000_002,), 13))]
    thief, before = take_over(network, (4,))[4], refusals(network, (1, 2, 3))
    with pytest.raises(SigningError, match="has not reached"):
        await thief.sign(lies)
    assert all(b > a for a, b in zip(before, refusals(network, (1, 2, 3)), strict=True))


# ---- on the chains: what the one verifier can sign by itself ----


@pytest.mark.devnet
@pytest.mark.asyncio(loop_scope="module")
async def test_hack_kelpdao_evm__signature_of_the_one_poisoned_verifier__refused(evm: EvmWorld) -> None:
    message = evm.message()
    for share in stolen(4, 3):
        assert await evm.refused(message, evm.attest(message, key=SchnorrKey(secret_of(share)))) == "InvalidSignature"
    await evm.deliver(message, evm.attest(message))  # control


async def test_hack_kelpdao_solana__signature_of_the_one_poisoned_verifier__refused(bench: Bench) -> None:
    message = bench.inbound(payload=RELEASE)
    for share in stolen(4, 3):
        envelope = bench.envelope(message, key=SchnorrKey(secret_of(share)))
        assert bench.refused(bench.delivery(message, envelope)) == "InvalidSignature"
    bench.accepted(bench.delivery(message))  # control
