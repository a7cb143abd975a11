"""Governance by the timelock, rotations of the committee, and messages that lapse: the EVM adapter with the real contracts on anvil."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from bridges.evm.abi import account_of, interface
from bridges.evm.committee import EvmCommitteeView, committee_of, propose_rotation
from bridges.evm.deploy import create, deploy, deploy_tokens
from bridges.evm.governance import ADMIN_ROLE, GUARDIAN_ROLE, Governance, OperationState, Timelock, act, hand_over
from bridges.evm.reader import EvmReader
from bridges.evm.sender import Call, Sender
from bridges.evm.submitter import EvmSubmitter
from oracle.errors import ConfigError, Rejected, Transient
from oracle.ports import Cursor, DeliveryState, Submission
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import (
    Message,
    Rotation,
    RotationRemote,
    encode_endpoint,
    non_delivery_message,
    rotation_messages,
)
from oracle.protocol.types import Account, CommitteeEpoch, Kind, Sequence, UnixSeconds
from tests.support import samples
from tests.support.evm_chain import (
    DELAY,
    OPERATORS,
    QUICK,
    RECEIVER,
    Deployed,
    anvil,
    deployed,
    plan,
    returning,
    selector,
)
from tests.support.schnorr import SchnorrKey

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio, pytest.mark.timeout(60)]
NEXT = SchnorrKey.seeded("next group")
WAIT = 60
"""Seconds of the timelock."""
RECIPIENT = samples.CONSUMER
SENDER = account_of("0x" + "5e" * 20)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[Deployed]:
    async with anvil(tmp_path) as chain, deployed(chain) as contracts:
        await chain.set_code("0x" + RECIPIENT[12:].hex(), RECEIVER)
        yield contracts


async def later(world: Deployed, seconds: int, blocks: int = 3) -> None:
    """Let the chain's clock go on, and everything so far become final."""
    await world.anvil.rpc("evm_increaseTime", seconds)
    await world.anvil.mine(blocks)


async def now(world: Deployed) -> int:
    block = await world.client.block("latest")
    assert block is not None
    return block.timestamp


def inbound(world: Deployed, sequence: int, expiry: int = 0, **changes: object) -> Message:
    message = Message(
        Kind.MESSAGE,
        samples.SOLANA,
        world.deployment.endpoint,
        Sequence(sequence),
        samples.SOLANA_CONSUMER,
        RECIPIENT,
        UnixSeconds(expiry),
        b"tokens, say",
    )
    return replace(message, **changes)  # type: ignore[arg-type]  # the tests name fields of Message


def signed(world: Deployed, message: Message, key: SchnorrKey | None = None, epoch: int = 1) -> Submission:
    return Submission(message, (key or world.key).attest(message, epoch=epoch))


async def refusal(sender: Sender, to: str, contract: str, function: str, *arguments: object) -> str:
    with pytest.raises(Rejected) as caught:
        await sender.send(Call(to, interface(contract).encode(function, *arguments)))  # type: ignore[arg-type]  # checksummed
    return caught.value.reason


# ---- the timelock ----


async def test_hand_over__everything__belongs_to_the_timelock_and_nobody_else(world: Deployed) -> None:
    deployer, proposer, guardian, stranger = (world.sender(index) for index in (0, 3, 4, 5))
    at = world.deployment
    tokens = await deploy_tokens(deployer, at.gateway, InteropAddress(samples.SOLANA.chain, samples.SOLANA_CONSUMER))
    governance = Governance((proposer.address,), guardian.address, delay=WAIT)
    address = await hand_over(deployer, at, governance, tokens)
    peer = encode_endpoint(samples.SOLANA)
    for one in (deployer, proposer, guardian):
        assert await refusal(one, at.gateway, "Gateway", "setPeer", peer, False) == "OwnableUnauthorizedAccount"
        assert await refusal(one, at.committee, "Committee", "veto", 1) == "OwnableUnauthorizedAccount"
    unauthorised = "AccessControlUnauthorizedAccount"
    assert (
        await refusal(deployer, tokens.factory, "TokenFactory", "grantRole", ADMIN_ROLE, deployer.address)
        == unauthorised
    )
    assert await refusal(deployer, tokens.factory, "TokenFactory", "pause", at.gateway) == unauthorised
    act_ = act("Gateway", at.gateway, "setPeer", peer, False)
    for one in (deployer, guardian, stranger):
        with pytest.raises(Rejected) as caught:
            await Timelock(one, address).schedule([act_])
        assert caught.value.reason == unauthorised
    factory = interface("TokenFactory")
    answer = await world.client.call(tokens.factory, factory.encode("hasRole", GUARDIAN_ROLE, guardian.address))
    assert factory.decode("hasRole", answer) == (True,)
    assert await Timelock(stranger, address).delay() == WAIT


async def test_timelock__guardian_pauses__only_an_announced_act_resumes(world: Deployed) -> None:
    deployer, proposer, guardian, anyone = (world.sender(index) for index in (0, 3, 4, 5))
    at = world.deployment
    address = await hand_over(deployer, at, Governance((proposer.address,), guardian.address, delay=WAIT))
    await guardian.send(Call(at.gateway, interface("Gateway").encode("pause")))
    submitter = EvmSubmitter(world.sender(), world.gateway)
    with pytest.raises(Transient):
        await submitter.submit(signed(world, inbound(world, 1)))
    assert await refusal(guardian, at.gateway, "Gateway", "unpause") == "OwnableUnauthorizedAccount"
    timelock, executor = Timelock(proposer, address), Timelock(anyone, address)
    operation = await timelock.schedule([act("Gateway", at.gateway, "unpause")])
    assert await timelock.schedule(operation.acts) == operation  # again, as after a time-out: announced once
    assert await executor.state(operation) is OperationState.WAITING
    with pytest.raises(Rejected) as caught:
        await executor.execute(operation)
    assert caught.value.reason == "TimelockUnexpectedOperationState"
    await later(world, WAIT)
    await executor.wait(operation)
    assert await executor.execute(operation) is not None
    assert await executor.execute(operation) is None
    await submitter.submit(signed(world, inbound(world, 1)))


async def test_timelock__cancelled__cannot_be_carried_out(world: Deployed) -> None:
    proposer = world.sender(3)
    at = world.deployment
    address = await hand_over(world.sender(0), at, Governance((proposer.address,), proposer.address, delay=WAIT))
    timelock = Timelock(proposer, address)
    operation = await timelock.schedule([act("Gateway", at.gateway, "setGuardian", proposer.address)])
    await timelock.cancel(operation)
    await later(world, WAIT)
    with pytest.raises(Transient):
        await timelock.wait(operation)
    with pytest.raises(Rejected):
        await timelock.execute(operation)
    with pytest.raises(ConfigError):
        await timelock.schedule([])


async def test_timelock__act_that_fails__its_own_reason_and_nothing_else_happens(world: Deployed) -> None:
    proposer, at = world.sender(3), world.deployment
    address = await hand_over(world.sender(0), at, Governance((proposer.address,), proposer.address, delay=WAIT))
    timelock = Timelock(proposer, address)
    acts = [act("Gateway", at.gateway, "setGuardian", at.hub), act("Committee", at.committee, "veto", 9)]
    operation = await timelock.schedule(acts)
    await later(world, WAIT)
    with pytest.raises(Rejected) as caught:
        await timelock.execute(operation)
    assert caught.value.reason == "UnknownEpoch"
    assert await timelock.state(operation) is OperationState.READY


async def test_hand_over__veto_would_come_too_late_or_nobody_governs__config_error(world: Deployed) -> None:
    sender, at = world.sender(0), world.deployment
    with pytest.raises(ConfigError):
        await hand_over(sender, at, Governance((sender.address,), sender.address, delay=DELAY))
    with pytest.raises(ConfigError):
        await hand_over(sender, at, Governance((), sender.address, delay=WAIT))


# ---- rotations ----


def rotation(epoch: int, key: SchnorrKey, *remotes: RotationRemote, overlap: int = 100) -> Rotation:
    proof = key.proof_of_possession(epoch)
    return Rotation(
        CommitteeEpoch(epoch), key.px.to_bytes(32), key.parity, proof, overlap, bytes(32), 3, OPERATORS, remotes
    )


async def posted(world: Deployed) -> tuple[Message, ...]:
    await world.anvil.mine()
    return (await EvmReader(world.client, world.gateway).read(Cursor(0))).messages


async def test_rotation__proposed_signed_delivered__begins_after_the_delay_and_the_old_one_ends(
    world: Deployed,
) -> None:
    committee = account_of(world.deployment.committee)
    assert await committee_of(world.client, world.gateway) == committee
    view = await EvmCommitteeView.of_gateway(world.client, world.gateway)
    await world.anvil.mine()
    first = await view.active()
    assert (first.epoch, first.px, first.parity, first.valid_until) == (
        1,
        world.key.px.to_bytes(32),
        world.key.parity,
        0,
    )
    assert (first.threshold, first.members) == (3, 4)
    remote = RotationRemote(samples.SOLANA, samples.SOLANA.gateway)
    await propose_rotation(world.sender(5), committee, rotation(2, NEXT, remote).to_bytes())
    (post,) = await posted(world)
    home, away = rotation_messages(post)
    assert (post.kind, post.sender, post.recipient, home) == (Kind.ROTATION, committee, committee, post)
    assert away.destination == samples.SOLANA
    submitter = EvmSubmitter(world.sender(), world.gateway)
    with pytest.raises(Rejected):  # its new key may not bring itself
        await submitter.submit(signed(world, home, NEXT))
    receipt = await submitter.submit(signed(world, home))
    assert receipt is not None
    assert await submitter.submit(signed(world, home)) is None
    assert await submitter.state(home) is not DeliveryState.ABSENT
    await world.anvil.mine()
    second, still = await view.newest(), await view.active()
    assert (second.epoch, second.px, still.epoch) == (2, NEXT.px.to_bytes(32), 1)
    assert still.valid_until == second.valid_from + 100
    with pytest.raises(Rejected) as caught:
        await submitter.submit(signed(world, inbound(world, 1), NEXT, 2))
    assert caught.value.reason == "EpochNotBegun"
    await later(world, DELAY)
    assert (await view.active()).epoch == 2
    assert await view.epoch(CommitteeEpoch(1)) == still
    assert await view.epoch(CommitteeEpoch(3)) is None
    await submitter.submit(signed(world, inbound(world, 1), NEXT, 2))
    await submitter.submit(signed(world, inbound(world, 2)))  # what the old epoch signed is not stranded
    await later(world, 101)
    with pytest.raises(Rejected) as caught:
        await submitter.submit(signed(world, inbound(world, 3)))
    assert caught.value.reason == "EpochEnded"


async def test_rotation__old_epoch_in_its_overlap_replaces_its_successor__refused(world: Deployed) -> None:
    committee, submitter = account_of(world.deployment.committee), EvmSubmitter(world.sender(), world.gateway)
    await propose_rotation(world.sender(5), committee, rotation(2, NEXT, overlap=DELAY).to_bytes())
    (post,) = await posted(world)
    await submitter.submit(signed(world, post))
    await later(world, DELAY)
    await propose_rotation(world.sender(5), committee, rotation(3, SchnorrKey.seeded("third")).to_bytes())
    revenge = (await posted(world))[-1]
    with pytest.raises(Rejected) as caught:
        await submitter.submit(signed(world, revenge))
    assert "signature of the newest epoch" in str(caught.value)
    await submitter.submit(signed(world, revenge, NEXT, 2))  # control: the epoch in office may


async def test_rotation__vetoed__its_key_is_gone_and_the_view_follows(world: Deployed) -> None:
    committee, submitter = account_of(world.deployment.committee), EvmSubmitter(world.sender(), world.gateway)
    view = EvmCommitteeView(world.client, committee)
    await propose_rotation(world.sender(5), committee, rotation(2, NEXT).to_bytes())
    (post,) = await posted(world)
    await submitter.submit(signed(world, post))
    await world.sender(0).send(Call(world.deployment.committee, interface("Committee").encode("veto", 2)))
    await later(world, DELAY)
    active = await view.active()
    assert (active.epoch, active.valid_until) == (1, 0)
    with pytest.raises(Rejected) as caught:
        await propose_rotation(world.sender(5), committee, rotation(2, NEXT).to_bytes())
    assert caught.value.reason == "KeyVetoed"
    assert await submitter.submit(signed(world, post)) is None  # delivered before the veto, and never again
    assert (await view.active()).epoch == 1


async def test_committee_view__no_key_or_no_contract__transient(world: Deployed) -> None:
    sender = world.sender(0)
    keyless = account_of(await create(sender, "Committee", sender.address, DELAY))
    await world.anvil.mine()
    for account in (keyless, account_of("0x" + "ee" * 20)):
        with pytest.raises(Transient):
            await EvmCommitteeView(world.client, account).active()


# ---- messages that lapse ----


async def test_lapsed__by_the_final_block_alone(world: Deployed) -> None:
    submitter = EvmSubmitter(world.sender(), world.gateway)
    expiry = await now(world) + 50
    late, taken, endless = inbound(world, 1, expiry), inbound(world, 2, expiry), inbound(world, 3)
    await submitter.submit(signed(world, taken))
    await world.anvil.mine()
    for message in (late, taken, endless):
        assert not await submitter.lapsed(message)
    await later(world, 60, blocks=1)  # the newest block is past the expiry, the final one is not
    assert await now(world) > expiry
    assert not await submitter.lapsed(late)
    with pytest.raises(Rejected) as caught:
        await submitter.submit(signed(world, late))
    assert caught.value.reason == "Expired"
    await world.anvil.mine()
    assert await submitter.lapsed(late)
    assert not await submitter.lapsed(taken)
    assert not await submitter.lapsed(endless)
    assert not await submitter.lapsed(replace(late, destination=samples.EVM))


async def test_lapsed__gateway_without_code__not_sure_so_false(world: Deployed) -> None:
    nowhere = Account(account_of("0x" + "ee" * 20))
    submitter = EvmSubmitter(world.sender(), nowhere)
    message = replace(inbound(world, 1, await now(world) + 5), destination=submitter.destination)
    await later(world, 60)
    assert not await submitter.lapsed(message)


async def test_non_delivery__delivered_to_the_sender__once(world: Deployed) -> None:
    callback = returning(selector("receiveNonDelivery(bytes32,bytes)"))
    await world.anvil.set_code("0x" + SENDER[12:].hex(), callback)
    origin = world.deployment.endpoint
    message = Message(
        Kind.MESSAGE, origin, samples.SOLANA, Sequence(1), SENDER, samples.SOLANA_CONSUMER, UnixSeconds(1), b"lost"
    )
    notice = non_delivery_message(message)
    submitter = EvmSubmitter(world.sender(), world.gateway)
    assert await submitter.state(notice) is DeliveryState.ABSENT
    assert await submitter.submit(signed(world, notice)) is not None
    assert await submitter.submit(signed(world, notice)) is None
    await world.anvil.mine()
    assert await submitter.state(notice) is DeliveryState.FINAL
    # A sender that takes ordinary messages only is not called, and the notice stays deliverable.
    other = replace(message, sequence=Sequence(2), sender=RECIPIENT)
    with pytest.raises(Rejected) as caught:
        await submitter.submit(signed(world, non_delivery_message(other)))
    assert caught.value.reason == "RecipientReverted"
    assert await submitter.state(non_delivery_message(other)) is DeliveryState.ABSENT


async def test_deploy__unsound_committee__refused(tmp_path: Path) -> None:
    key = SchnorrKey.seeded("group")
    async with anvil(tmp_path) as chain, chain.client() as client:
        sound = plan(chain, key)
        changes = (
            (replace(sound.group_key, threshold=2), "InvalidThreshold"),
            (replace(sound.group_key, operators=bytes(4)), "OperatorTooHeavy"),
        )
        for key_, reason in changes:
            with pytest.raises(Rejected) as caught:
                await deploy(Sender(client, chain.account(0), QUICK), replace(sound, group_key=key_))
            assert caught.value.reason == reason
