"""Users, nodes and governance on a real Solana program: surfnet, real transactions, the adapter as the node uses it."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from solders.keypair import Keypair

from bridges.solana import instructions
from bridges.solana.client import SolanaClient
from bridges.solana.clock import ClusterClock
from bridges.solana.committee import SolanaCommitteeView
from bridges.solana.consumer import SolanaConsumer
from bridges.solana.deploy import SolanaGovernance
from bridges.solana.layout import CommitteeAccount, OutboxState
from bridges.solana.reader import SolanaReader
from bridges.solana.submitter import SolanaSubmitter
from bridges.solana.transactions import TransactionSender
from contracts.solana.deploy import deploy_program
from oracle.app.devnet.chains import start_surfnet
from oracle.errors import ConfigError, Rejected, Transient
from oracle.ports import Cursor, DeliveryState, Submission
from oracle.protocol.message import (
    InferenceRequest,
    Message,
    Outcome,
    Remote,
    Rotation,
    RotationRemote,
    non_delivery_message,
    result_messages,
    rotation_messages,
)
from oracle.protocol.types import Account, CommitteeEpoch, Kind, Policy, Sequence, Status, UnixSeconds
from tests.support import samples
from tests.support.schnorr import SchnorrKey
from tests.support.solana_world import (
    ACTIVATION_DELAY,
    MODEL,
    SLOT_MILLISECONDS,
    SolanaNet,
    cheat,
    group_key,
    program_binary,
    solana_net,
    toolchain,
)

pytestmark = pytest.mark.devnet

FEE = 5_000
TO_EVM = Remote(Policy.ATTESTED, samples.EVM, samples.HUB, samples.CONSUMER)
ANSWER = Outcome(Status.ANSWERED, (-77_000,), MODEL.output_scale)
REFUSAL = Outcome(Status.OUT_OF_RANGE)
MAX_DELIVERY_UNITS = 60_000


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[SolanaNet]:
    async with solana_net(tmp_path) as started:
        yield started


def asked(**changes: object) -> InferenceRequest:
    usual = InferenceRequest(samples.MODEL, FEE, 100_000, Policy.ATTESTED, (TO_EVM,), (1, -2, 3))
    return replace(usual, **changes)  # type: ignore[arg-type]  # the tests name fields of InferenceRequest


def soon(seconds: int = 3600) -> UnixSeconds:
    return UnixSeconds(int(time.time()) + seconds)


def submitter(net: SolanaNet, payer: Keypair | None = None) -> SolanaSubmitter:
    return SolanaSubmitter(net.client, net.program, payer or net.authority)


async def funded(net: SolanaNet, lamports: int = 1_000_000_000) -> Keypair:
    key = Keypair()
    await net.fund(key.pubkey(), lamports)
    return key


async def test_solana__request__is_read_answered_and_paid(net: SolanaNet) -> None:
    user = await funded(net)
    requester = net.requester(user)
    receipt = await requester.ask(asked(), soon())
    assert 0 < receipt.compute_units < 20_000
    outbox = await requester.post(receipt.sequence)
    assert outbox is not None
    assert (outbox.state, outbox.fee, outbox.digest, outbox.message) == (
        OutboxState.PENDING,
        FEE,
        receipt.request_id,
        receipt.body,
    )
    await net.finalise()
    assert (await SolanaReader(net.client, net.program).read(Cursor(0))).messages == (receipt.body,)

    assert await requester.answer(receipt.request_id) is None
    results = result_messages(receipt.body, ANSWER)
    treasury = await net.client.balance(net.treasury)
    delivered = await submitter(net).submit(Submission(results[0], net.key.attest(*results)))
    assert delivered is not None
    assert delivered.cost <= MAX_DELIVERY_UNITS
    assert delivered.size <= 1232
    assert await net.client.balance(net.treasury) == treasury + FEE
    answer = await requester.wait_answer(receipt.request_id, timeout=5)
    assert answer == await requester.answer_by_digest(results[0].digest)
    assert answer.result.outputs == ANSWER.outputs
    settled = await requester.post(receipt.sequence)
    assert settled is not None
    assert settled.state is OutboxState.ANSWERED

    before = await net.client.balance(user.pubkey())
    await requester.close_outbox(receipt.sequence)
    assert await net.client.balance(user.pubkey()) > before
    await requester.close_inbox(answer.digest)
    assert await requester.answer(receipt.request_id) is None
    assert await submitter(net).submit(Submission(results[0], net.key.attest(*results))) is None, (
        "closing frees no replay"
    )


async def test_solana__signed_refusal__sends_the_fee_back(net: SolanaNet) -> None:
    user = await funded(net)
    requester = net.requester(user)
    receipt = await requester.ask(asked(fee=1_000_000), soon())
    before = await net.client.balance(user.pubkey())
    refusal = result_messages(receipt.body, REFUSAL)[0]
    assert await submitter(net).submit(Submission(refusal, net.key.attest(refusal))) is not None
    assert await net.client.balance(user.pubkey()) == before + 1_000_000
    answer = await requester.answer(receipt.request_id)
    assert answer is not None
    assert (answer.result.status, answer.result.outputs) == (Status.OUT_OF_RANGE, ())


async def test_solana__unanswered_request__is_refunded_after_its_deadline_only(net: SolanaNet) -> None:
    user = await funded(net)
    requester = net.requester(user)
    before = await net.client.balance(user.pubkey())
    receipt = await requester.ask(asked(fee=1_000_000), soon(3))
    with pytest.raises(Rejected) as early:
        await requester.refund(receipt.sequence)
    assert early.value.reason == "TooEarly"
    late = result_messages(receipt.body, ANSWER)[0]
    await _until_refundable(net, receipt.sequence)
    assert await net.client.balance(user.pubkey()) == before - 5_000, "all but the fee of the request's own transaction"
    assert await requester.post(receipt.sequence) is None
    with pytest.raises(Rejected) as caught:
        await submitter(net).submit(Submission(late, net.key.attest(late)))
    assert caught.value.reason in ("Expired", "WrongOwner")


async def _until_refundable(net: SolanaNet, sequence: Sequence) -> None:
    anyone = net.requester()
    async with asyncio.timeout(20):
        while True:
            try:
                await anyone.refund(sequence)
            except Rejected as error:
                if error.reason != "TooEarly":
                    raise
                await asyncio.sleep(0.3)
            else:
                return


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"inputs": (1, 2)}, "WrongInputCount"),
        ({"inputs": (1, 2, (1 << 20) + 1)}, "InputOutOfBounds"),
        ({"inputs": (1, 2, -(1 << 63))}, "InputOutOfBounds"),
        ({"fee": 999}, "FeeTooLow"),
        ({"policy": Policy.BOTH}, "UnsupportedPolicy"),
        ({"policy": Policy.PROVEN, "remotes": ()}, "UnsupportedPolicy"),
        ({"fee": 1 << 64}, "InvalidRequest"),
        ({"inputs": (1,) * 200}, "TransactionTooLarge"),
    ],
)
async def test_solana__request_that_the_chain_can_refuse__is_a_sentence(
    net: SolanaNet, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(Rejected) as caught:
        await net.requester().ask(asked(**changes), soon())
    assert caught.value.reason == reason
    assert str(caught.value).endswith(".")
    assert (await net.requester().config()).next_sequence == 1, "nothing was posted"


async def test_solana__deadline_in_the_past_or_own_chain_as_remote__is_refused(net: SolanaNet) -> None:
    with pytest.raises(Rejected) as caught:
        await net.requester().ask(asked(), UnixSeconds(1))
    assert caught.value.reason == "DeadlinePassed"
    itself = Remote(Policy.ATTESTED, net.endpoint, net.program, samples.SOLANA_CONSUMER)
    with pytest.raises(Rejected) as caught:
        await net.requester().ask(asked(remotes=(itself,)), soon())
    assert caught.value.reason == "DuplicateDestination"


async def test_solana__posters_at_once__get_a_sequence_each(net: SolanaNet) -> None:
    users = [await funded(net) for _ in range(4)]
    receipts = await asyncio.gather(*(net.requester(user).ask(asked(), soon()) for user in users))
    twice = net.requester()
    receipts += await asyncio.gather(*(twice.ask(asked(), soon()) for _ in range(2)))
    assert sorted(receipt.sequence for receipt in receipts) == [1, 2, 3, 4, 5, 6]
    for receipt in receipts:
        outbox = await net.requester().post(receipt.sequence)
        assert outbox is not None
        assert outbox.digest == receipt.request_id


async def test_solana__poor_user__is_told_to_fund(net: SolanaNet) -> None:
    with pytest.raises(Transient, match="Fund it"):
        await net.requester(Keypair()).ask(asked(), soon())
    poor = await funded(net, 900_000)
    with pytest.raises(Transient, match="Fund it"):
        await net.requester(poor).ask(asked(), soon())


async def test_solana__nodes_racing_to_deliver__deliver_once(net: SolanaNet) -> None:
    payers = [await funded(net) for _ in range(4)]
    message = samples.plain_message()
    message = replace(message, destination=net.endpoint)
    submission = Submission(message, net.key.attest(message))
    outcomes = await asyncio.gather(*(submitter(net, payer).submit(submission) for payer in payers))
    assert sum(outcome is not None for outcome in outcomes) == 1
    await net.finalise()
    # A submitter that just started knows nothing of when the delivery was first seen.
    fresh = submitter(net)
    assert await fresh.state(message) in (DeliveryState.INCLUDED, DeliveryState.FINAL)
    await net.finalise()
    assert await fresh.state(message) is DeliveryState.FINAL


async def test_solana__address_funded_beforehand__does_not_stop_a_delivery(net: SolanaNet) -> None:
    """Anyone can compute the accounts of a delivery, and send lamports there to make `create_account` fail."""
    message = replace(samples.plain_message(), destination=net.endpoint)
    for address in (net.addresses.inbox(message.digest), net.addresses.replay(message.origin, message.sequence)):
        await net.fund(address.address, 890_880)
    assert await submitter(net).state(message) is DeliveryState.ABSENT
    assert await submitter(net).submit(Submission(message, net.key.attest(message))) is not None


async def test_solana__message_with_the_largest_payload_that_fits__is_delivered(net: SolanaNet) -> None:
    sender = submitter(net)

    def sized(size: int) -> Message:
        return replace(samples.plain_message(payload=bytes(size)), destination=net.endpoint)

    with pytest.raises(Rejected, match="shorten the payload by") as caught:
        await sender.submit(Submission(sized(1000), net.key.attest(sized(1000))))
    excess = int(str(caught.value).split("by ")[1].split()[0])
    largest = sized(1000 - excess)
    receipt = await sender.submit(Submission(largest, net.key.attest(largest)))
    assert receipt is not None
    assert receipt.size == 1232


async def test_solana__result_of_another_chains_request__is_delivered_without_settling(net: SolanaNet) -> None:
    remote = Remote(Policy.ATTESTED, net.endpoint, net.program, Account(bytes(net.authority.pubkey())))
    request = samples.evm_request(remotes=(remote,))
    home, here = result_messages(request, ANSWER)
    receipt = await submitter(net).submit(Submission(here, net.key.attest(home, here)))
    assert receipt is not None
    answer = await net.requester().answer(request.digest)
    assert answer is not None
    assert answer.result.requester == request.sender


async def test_solana__second_committee__takes_over_and_the_first_ends(net: SolanaNet) -> None:
    governance, new = SolanaGovernance.of(net.client, net.program, net.authority), SchnorrKey.seeded("second committee")
    assert await governance.set_committee(group_key(new, 2), 0) is not None
    assert await governance.set_committee(group_key(new, 2), 0) is None
    message = replace(samples.plain_message(), destination=net.endpoint)
    await asyncio.sleep(ACTIVATION_DELAY + 1.5)  # the cluster's clock counts whole seconds
    with pytest.raises(Rejected) as caught:
        await submitter(net).submit(Submission(message, net.key.attest(message)))
    assert caught.value.reason == "EndedEpoch"
    assert await submitter(net).submit(Submission(message, new.attest(message, epoch=2))) is not None
    address = net.addresses.committee(CommitteeEpoch(1)).address
    account = (await net.client.accounts([address], "confirmed")).accounts[0]
    assert account is not None
    assert CommitteeAccount.decode(account, net.addresses.program).valid_until > 0


def rotation(net: SolanaNet, key: SchnorrKey, *, epoch: int = 2, sequence: int = 21) -> Message:
    """A rotation that brings `key`, as it reaches Solana."""
    brought = Rotation(
        CommitteeEpoch(epoch), key.px.to_bytes(32), key.parity, key.proof_of_possession(epoch), 600, bytes(32), 3,
        bytes(range(4)), (RotationRemote(net.endpoint, net.program),),
    )  # fmt: skip
    post = replace(samples.rotation_post(sequence=sequence), payload=brought.to_bytes())
    return rotation_messages(post)[1]


async def test_solana__rotation__is_delivered_and_taken_and_begins_after_the_delay(net: SolanaNet) -> None:
    view, new = SolanaCommitteeView(net.client, net.program), SchnorrKey.seeded("rotated")
    message = rotation(net, new)
    signed = Submission(message, net.key.attest(message))
    receipt = await submitter(net).submit(signed)
    assert receipt is not None
    assert receipt.size <= 1232
    newest = await view.newest()
    assert (newest.epoch, newest.px, newest.parity) == (2, new.px.to_bytes(32), new.parity)
    assert await submitter(net).submit(signed) is None
    while (await view.active()).epoch != 2:
        await asyncio.sleep(0.1)
    by_new = replace(samples.plain_message(), destination=net.endpoint)
    assert await submitter(net).submit(Submission(by_new, new.attest(by_new, epoch=2))) is not None
    assert (await view.epoch(CommitteeEpoch(1))) is not None


async def test_solana__rotation_delivered_by_another_who_left_it__is_taken_by_the_next_submission(
    net: SolanaNet,
) -> None:
    new, other = SchnorrKey.seeded("rotated"), await funded(net)
    message = rotation(net, new)
    attestation = net.key.attest(message)
    envelope = instructions.Envelope(attestation.epoch, attestation.signature)
    lazy = TransactionSender(net.client, other)
    await lazy.send([instructions.deliver(net.addresses, other.pubkey(), message, envelope, None)])
    view = SolanaCommitteeView(net.client, net.program)
    assert (await view.newest()).epoch == 1
    assert await submitter(net).submit(Submission(message, attestation)) is None
    assert (await view.newest()).epoch == 2
    assert await net.client.balance(net.addresses.inbox(message.digest).address) == 0


async def test_solana__rotation_of_a_large_committee__takes_two_transactions(net: SolanaNet) -> None:
    new = SchnorrKey.seeded("rotated")
    small = rotation(net, new)
    parts = Rotation.from_bytes(small.payload)
    large = replace(small, payload=replace(parts, operators=bytes(i % 8 for i in range(200)), threshold=134).to_bytes())
    receipt = await submitter(net).submit(Submission(large, net.key.attest(large)))
    assert receipt is not None
    assert (await SolanaCommitteeView(net.client, net.program).newest()).epoch == 2


async def test_solana__rotation_that_cannot_begin_now__is_delivered_and_waits(net: SolanaNet) -> None:
    third = SchnorrKey.seeded("third")
    message = rotation(net, third, epoch=3)
    view = SolanaCommitteeView(net.client, net.program)
    assert await submitter(net).submit(Submission(message, net.key.attest(message))) is not None
    assert await submitter(net).state(message) is not DeliveryState.ABSENT
    assert (await view.newest()).epoch == 1
    governance = SolanaGovernance.of(net.client, net.program, net.authority)
    await governance.set_committee(group_key(SchnorrKey.seeded("second"), 2), 600)
    while (await view.active()).epoch != 2:
        await asyncio.sleep(0.1)
    assert await submitter(net).submit(Submission(message, net.key.attest(message))) is None
    assert (await view.newest()).px == third.px.to_bytes(32)


async def test_solana__veto__removes_the_pending_epoch(tmp_path: Path) -> None:
    async with solana_net(tmp_path, activation_delay=3600) as net:
        message = rotation(net, SchnorrKey.seeded("evil"))
        await submitter(net).submit(Submission(message, net.key.attest(message)))
        view = SolanaCommitteeView(net.client, net.program)
        assert ((await view.newest()).epoch, (await view.active()).epoch) == (2, 1)
        governance = SolanaGovernance.of(net.client, net.program, net.authority)
        assert await governance.veto(CommitteeEpoch(2)) is not None
        assert await governance.veto(CommitteeEpoch(2)) is None
        assert ((await view.newest()).epoch, (await view.newest()).valid_until) == (1, 0)


async def test_solana__message_that_expired_undelivered__lapses_once_that_is_final(net: SolanaNet) -> None:
    node, now = submitter(net), (await ClusterClock(net.client).read()).time
    lost, kept, delivered = (
        replace(samples.plain_message(sequence=i, expiry=now + after), destination=net.endpoint)
        for i, after in ((1, 2), (2, 3600), (3, 3600))
    )
    assert await node.submit(Submission(delivered, net.key.attest(delivered))) is not None
    assert not await node.lapsed(lost)
    while not await node.lapsed(lost):
        await asyncio.sleep(0.1)
    assert not await node.lapsed(kept)
    assert not await node.lapsed(delivered)
    with pytest.raises(Rejected) as caught:
        await node.submit(Submission(lost, net.key.attest(lost)))
    assert caught.value.reason == "Expired"


async def test_solana__own_message_that_expired__comes_back_to_its_sender(net: SolanaNet) -> None:
    requester, clock = net.requester(), ClusterClock(net.client)
    expiry = UnixSeconds((await clock.read()).time + 2)
    receipt = await requester.send_message(samples.EVM, samples.CONSUMER, b"into the void", expiry)
    assert receipt.body.expiry == expiry
    notice = non_delivery_message(receipt.body)
    assert await submitter(net).submit(Submission(notice, net.key.attest(notice))) is not None
    with pytest.raises(Rejected) as caught:
        await requester.close_outbox(receipt.sequence)
    assert caught.value.reason == "TooEarly"
    while (await clock.read()).time <= expiry:
        await asyncio.sleep(0.1)
    await requester.close_outbox(receipt.sequence)
    assert await submitter(net).submit(Submission(notice, net.key.attest(notice))) is None


async def test_solana__governance_steps__can_be_repeated_and_changed(net: SolanaNet) -> None:
    governance = SolanaGovernance.of(net.client, net.program, net.authority)
    assert await governance.initialise(net.treasury, group_key(net.key), ACTIVATION_DELAY) is None
    assert await governance.register_model(MODEL) is None
    assert await governance.register_peer(samples.EVM) is None
    with pytest.raises(ConfigError, match="another treasury"):
        await governance.initialise(Keypair().pubkey(), group_key(net.key), ACTIVATION_DELAY)
    with pytest.raises(ConfigError, match="another group key"):
        await governance.initialise(net.treasury, group_key(SchnorrKey.seeded("stranger")), ACTIVATION_DELAY)
    assert await governance.register_model(replace(MODEL, active=False)) is not None
    assert await net.requester().model(samples.MODEL) == replace(MODEL, active=False)
    with pytest.raises(Rejected) as caught:
        await net.requester().ask(asked(), soon())
    assert caught.value.reason == "InactiveModel"
    assert await governance.register_peer(samples.EVM, active=False) is not None
    message = replace(samples.plain_message(), destination=net.endpoint)
    with pytest.raises(Rejected) as caught:
        await submitter(net).submit(Submission(message, net.key.attest(message)))
    assert caught.value.reason == "InactivePeer"


async def test_solana__stranger__governs_nothing(net: SolanaNet) -> None:
    stranger = SolanaGovernance.of(net.client, net.program, await funded(net))
    for step in (
        stranger.register_model(replace(MODEL, price=1)),
        stranger.register_peer(replace(samples.EVM, gateway=samples.HUB)),
        stranger.set_committee(group_key(SchnorrKey.seeded("stranger"), 2), 0),
    ):
        with pytest.raises(Rejected) as caught:
            await step
        assert caught.value.reason == "NotAuthority"


async def test_solana__message_to_a_peer__is_posted_read_and_closed_by_its_sender(net: SolanaNet) -> None:
    user = await funded(net)
    requester = net.requester(user)
    receipt = await requester.send_message(samples.EVM, samples.CONSUMER, b"to the other side")
    assert receipt.body.kind is Kind.MESSAGE
    with pytest.raises(Rejected) as caught:
        await net.requester().close_outbox(receipt.sequence)
    assert caught.value.reason == "MissingSignature"
    await net.finalise()
    reader = SolanaReader(net.client, net.program)
    reading = await reader.read(Cursor(0))
    assert reading.messages == (receipt.body,)
    await requester.close_outbox(receipt.sequence)
    second = await requester.send_message(samples.EVM, samples.CONSUMER, b"second")
    await net.finalise()
    assert (await SolanaReader(net.client, net.program).read(Cursor(0))).messages == (second.body,), (
        "the closed one is skipped"
    )
    with pytest.raises(Rejected) as caught:
        await requester.close_outbox(receipt.sequence)
    assert "closed" in str(caught.value)


async def test_solana__unregistered_peer__gets_no_message(net: SolanaNet) -> None:
    elsewhere = replace(samples.EVM, gateway=samples.HUB)
    with pytest.raises(Rejected):
        await net.requester().send_message(elsewhere, samples.CONSUMER, b"x")


async def consumer_of(net: SolanaNet) -> SolanaConsumer:
    """The example consumer, deployed and bound to the sample model and EVM consumer."""
    program = await net.plant_consumer()
    consumer = SolanaConsumer(net.client, net.program, program, net.authority)
    await consumer.configure(samples.MODEL, (samples.EVM, samples.CONSUMER))
    return consumer


async def test_solana__consumer_program__asks_and_decides_on_the_answer(net: SolanaNet) -> None:
    consumer = await consumer_of(net)
    receipt = await consumer.ask(asked(), soon())
    assert receipt.body.sender == consumer.asker_account
    outbox = await net.requester().post(receipt.sequence)
    assert outbox is not None
    assert outbox.message == receipt.body
    results = result_messages(receipt.body, ANSWER)
    assert await submitter(net).submit(Submission(results[0], net.key.attest(*results))) is not None
    assert await consumer.decision(receipt.request_id) is None
    assert (await consumer.read(results[0].digest, receipt.request_id)).units < 60_000
    decision = await consumer.decision(receipt.request_id)
    assert decision is not None
    assert (decision.status, decision.positive) == (Status.ANSWERED, False)
    assert (decision.logit, decision.output_scale) == (-77_000, MODEL.output_scale)
    assert decision.requester == consumer.asker_account
    assert decision.input_commitment == asked().input_commitment


async def test_solana__consumer_program__takes_the_answer_to_its_evm_consumer(net: SolanaNet) -> None:
    consumer = await consumer_of(net)
    remote = Remote(Policy.ATTESTED, net.endpoint, net.program, consumer.asker_account)
    request = samples.evm_request(remotes=(remote,))
    here = result_messages(request, Outcome(Status.ANSWERED, (5,), MODEL.output_scale))[1]
    assert await submitter(net).submit(Submission(here, net.key.attest(here))) is not None
    await consumer.read(here.digest, request.digest)
    decision = await consumer.decision(request.digest)
    assert decision is not None
    assert (decision.positive, decision.logit, decision.requester) == (True, 5, samples.CONSUMER)


async def test_solana__consumer_program__refuses_an_answer_to_somebody_else(net: SolanaNet) -> None:
    consumer = await consumer_of(net)
    receipt = await net.requester().ask(asked(), soon())
    result = result_messages(receipt.body, ANSWER)[0]
    assert await submitter(net).submit(Submission(result, net.key.attest(result))) is not None
    with pytest.raises(Rejected) as caught:
        await consumer.read(result.digest, receipt.request_id)
    assert str(caught.value).endswith(".")
    assert await consumer.decision(receipt.request_id) is None


async def test_solana__program_deployed_by_the_real_loader__is_governed_by_its_upgrade_authority_alone(
    tmp_path: Path,
) -> None:
    async with start_surfnet(toolchain(), tmp_path, slot_milliseconds=SLOT_MILLISECONDS) as chain:
        program, owner, treasury = Keypair(), Keypair(), Keypair().pubkey()
        for address in (owner.pubkey(), treasury):
            await cheat(chain.rpc_url, "surfnet_setAccount", str(address), {"lamports": 10**9})
        await deploy_program(chain.rpc_url, chain.payer, program, program_binary(), authority=owner)
        account, key = Account(bytes(program.pubkey())), SchnorrKey.seeded("group")
        async with SolanaClient(chain.rpc_url, chain.genesis_hash) as client:
            with pytest.raises(Rejected) as caught:
                await SolanaGovernance.of(client, account, chain.payer).initialise(treasury, group_key(key), 0)
            assert caught.value.reason == "NotUpgradeAuthority", "nobody can front-run the initialisation"
            governance = SolanaGovernance.of(client, account, owner)
            forged = replace(group_key(key), proof_of_possession=SchnorrKey.seeded("other").proof_of_possession())
            with pytest.raises(Rejected) as caught:
                await governance.initialise(treasury, forged, 0)
            assert caught.value.reason == "InvalidSignature"
            assert await governance.initialise(treasury, group_key(key), 0) is not None
            await governance.register_peer(samples.EVM)
            message = replace(samples.plain_message(), destination=governance.endpoint)
            node = SolanaSubmitter(client, account, chain.payer)
            assert await node.submit(Submission(message, key.attest(message))) is not None
