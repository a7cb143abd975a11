"""Answers by proof on a real program (surfnet): cut short at each step, raced, too late, unpaid, spoilt, and never at the cost of the rent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from solders.hash import Hash
from solders.pubkey import Pubkey

from bridges.solana import instructions
from bridges.solana.layout import NOBODY, OutboxState
from bridges.solana.transactions import MAX_TRANSACTION
from bridges.solana.verifier_instructions import FIRST_CHUNK, KEY_CHUNK
from circuits.halo2.prepared import key_in, prepare
from circuits.halo2.upload import upload_for
from oracle.errors import ConfigError, Rejected, Transient
from oracle.ports import DeliveryState, Submission
from oracle.protocol import constants as c
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import Digest, Policy, Status
from tests.support.solana_proven import (
    FEE,
    TRANSACTION_LAMPORTS,
    Interruption,
    ProvenNet,
    Stored,
    Wire,
    answer,
    proven_net,
    stored,
    submission,
)

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

TINY = stored("tiny")
GOAL = 500_000
PROOF_ACCOUNT = c.VERIFIER_PROOF_ACCOUNT_SIZE + FIRST_CHUNK


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProvenNet]:
    async with proven_net(tmp_path_factory.mktemp("proven")) as started:
        await started.register(TINY)
        yield started


def inbox_size(model: Stored) -> int:
    """Of an answer's account."""
    return c.INBOX_ACCOUNT_SIZE + c.BODY_SIZE + c.RESULT_SIZE + 8 * len(model.outputs)


async def assert_answered(net: ProvenNet, model: Stored, request: Message) -> None:
    """The chain has this very answer, once."""
    message = answer(model, request)
    found = await net.net.requester().answer_by_digest(message.digest)
    assert found is not None
    assert found.message == message
    outbox = await net.net.requester().post(request.sequence)
    assert outbox is not None
    assert (outbox.state, outbox.fee) == (OutboxState.ANSWERED, 0)


# ---- the road ----


@pytest.mark.parametrize("name", ["tiny", "tumour"])
async def test_answer__by_proof__two_transactions_within_the_goal_and_all_rent_back_but_the_inboxs(
    net: ProvenNet, name: str
) -> None:
    model = stored(name)
    await net.register(model)
    first = (await net.ask(model)).body
    # The first of a window pays for the replay bitmap too; the second shows what every further one costs.
    assert await net.submitter(net.net.authority).submit(submission(model, first)) is not None
    receipt, payer = await net.ask(model), await net.funded()
    node = net.submitter(payer)
    wire, before = Wire().tap(node), await net.balance(payer)
    done = await node.submit(submission(model, receipt.body))
    assert done is not None
    assert (len(wire.sent), done.transaction) == (2, str(wire.sent[-1].signature))
    assert done.cost <= GOAL
    assert max(one.size for one in wire.sent) <= MAX_TRANSACTION
    await assert_answered(net, model, receipt.body)
    assert await net.proof_account(payer, receipt.request_id) is None
    inbox = await net.rent(inbox_size(model))
    assert await net.balance(payer) == before + FEE - inbox - 2 * TRANSACTION_LAMPORTS
    assert await node.state(answer(model, receipt.body)) in (DeliveryState.INCLUDED, DeliveryState.FINAL)
    assert await node.submit(submission(model, receipt.body)) is None
    assert len(wire.sent) == 2, "what is there already costs nothing"


async def test_answer__many_outputs__a_third_transaction(net: ProvenNet) -> None:
    model = stored("tumour", outputs=28)
    await net.register(model)
    receipt, payer = await net.ask(model), await net.funded()
    wire = Wire().tap(node := net.submitter(payer))
    done = await node.submit(submission(model, receipt.body))
    assert done is not None
    assert (len(wire.sent), wire.sent[-1].size) == (3, MAX_TRANSACTION)
    assert done.cost <= GOAL
    await assert_answered(net, model, receipt.body)


async def test_answer__priority_fee__fits_too(net: ProvenNet) -> None:
    receipt, payer = await net.ask(TINY), await net.funded()
    node = net.submitter(payer)
    node._sender._policy = replace(node._sender._policy, unit_price=1)
    wire = Wire().tap(node)
    assert await node.submit(submission(TINY, receipt.body)) is not None
    assert max(one.size for one in wire.sent) <= MAX_TRANSACTION


# ---- cut short ----


async def test_answer__killed_between_upload_and_fulfil__taken_up_by_the_next_life(net: ProvenNet) -> None:
    receipt, payer = await net.ask(TINY), await net.funded()
    dying = net.submitter(payer)
    Wire(after={1: Interruption}).tap(dying)
    with pytest.raises(Interruption):
        await dying.submit(submission(TINY, receipt.body))
    left = await net.proof_account(payer, receipt.request_id)
    assert left is not None
    assert left.content == upload_for(TINY.content, TINY.inputs, TINY.outputs, TINY.proof)[:FIRST_CHUNK]
    node = net.submitter(payer)
    assert await node.prune() == 0, "a request waits for it"
    wire = Wire().tap(node)
    assert await node.submit(submission(TINY, receipt.body)) is not None
    assert len(wire.sent) == 1, "the upload was found"
    assert await net.proof_account(payer, receipt.request_id) is None


@pytest.mark.parametrize("size", [1, FIRST_CHUNK - 1, FIRST_CHUNK])
async def test_answer__account_with_another_proof_or_of_another_size__written_over(net: ProvenNet, size: int) -> None:
    receipt, payer = await net.ask(TINY), await net.funded()
    await net.leave_proof(payer, receipt.request_id, b"\x5a" * size)
    before = await net.balance(payer)
    wire = Wire().tap(node := net.submitter(payer))
    assert await node.submit(submission(TINY, receipt.body)) is not None
    assert len(wire.sent) == (2 if size == FIRST_CHUNK else 3)
    assert await net.proof_account(payer, receipt.request_id) is None
    returned = await net.rent(c.VERIFIER_PROOF_ACCOUNT_SIZE + size)
    spent = await net.rent(inbox_size(TINY)) + len(wire.sent) * TRANSACTION_LAMPORTS
    assert await net.balance(payer) == before + FEE + returned - spent


async def test_answer__blockhash_expires_between_the_transactions__built_anew(net: ProvenNet) -> None:
    receipt, payer = await net.ask(TINY), await net.funded()
    wire = Wire().tap(node := net.submitter(payer))
    real, told = net.net.client.latest_blockhash, 0

    async def old_one() -> Hash:
        nonlocal told
        told += 1
        return Hash.new_unique() if told == 2 else await real()

    node._client.latest_blockhash = old_one  # type: ignore[method-assign]  # the endpoint's answer is what fails
    try:
        assert await node.submit(submission(TINY, receipt.body)) is not None
    finally:
        node._client.latest_blockhash = real  # type: ignore[method-assign]  # as above
    assert told >= 3
    assert len(wire.sent) == 2


async def test_answer__endpoint_lost_between_the_transactions__goes_on_where_it_was(net: ProvenNet) -> None:
    receipt, payer = await net.ask(TINY), await net.funded()
    wire = Wire(before={2: lambda: Transient("The endpoint is away.")}).tap(node := net.submitter(payer))
    with pytest.raises(Transient):
        await node.submit(submission(TINY, receipt.body))
    assert await net.proof_account(payer, receipt.request_id) is not None
    assert await node.submit(submission(TINY, receipt.body)) is not None
    assert len(wire.sent) == 2


# ---- too late ----


async def test_answer__nodes_racing__one_answers_and_nobody_loses_rent(net: ProvenNet) -> None:
    receipt = await net.ask(TINY)
    payers = [await net.funded() for _ in range(3)]
    before = [await net.balance(payer) for payer in payers]
    outcomes = await asyncio.gather(*(net.submitter(p).submit(submission(TINY, receipt.body)) for p in payers))
    assert sum(outcome is not None for outcome in outcomes) == 1
    for payer, outcome, had in zip(payers, outcomes, before, strict=True):
        assert await net.proof_account(payer, receipt.request_id) is None
        if outcome is None:
            assert await net.balance(payer) >= had - 3 * TRANSACTION_LAMPORTS
    await assert_answered(net, TINY, receipt.body)


async def test_answer__somebody_else_was_first__the_upload_is_closed(net: ProvenNet) -> None:
    receipt, slow, fast = await net.ask(TINY), await net.funded(), await net.funded()
    dying = net.submitter(slow)
    Wire(after={1: Interruption}).tap(dying)
    with pytest.raises(Interruption):
        await dying.submit(submission(TINY, receipt.body))
    assert await net.submitter(fast).submit(submission(TINY, receipt.body)) is not None
    assert await net.submitter(slow).submit(submission(TINY, receipt.body)) is None
    assert await net.proof_account(slow, receipt.request_id) is None


async def test_prune__answered_refused_expired_or_unknown_requests__closed_and_pending_kept(net: ProvenNet) -> None:
    payer, other = await net.funded(), await net.funded()
    answered, refused, waiting = [await net.ask(TINY) for _ in range(3)]
    expiring = await net.ask_expiring(TINY)
    labels = [one.request_id for one in (answered, refused, waiting, expiring)]
    await asyncio.gather(*(net.leave_proof(payer, label, bytes(FIRST_CHUNK)) for label in labels))
    await net.leave_proof(payer, Digest(bytes(32)), bytes(10))  # no request's id
    await net.leave_proof(other, answered.request_id, bytes(10))
    assert await net.submitter(other).submit(submission(TINY, answered.body)) is not None
    refusal = result_messages(refused.body, Outcome(Status.OUT_OF_RANGE))[0]
    signed = Submission(refusal, net.net.key.attest(refusal))
    assert await net.submitter(other).submit(signed) is not None, "refusals of PROVEN requests stay signed"
    node, before = net.submitter(payer), await net.balance(payer)
    async with asyncio.timeout(120):
        closed = await node.prune()
        while closed < 4:
            await asyncio.sleep(0.3)
            closed += await node.prune()
    kept = await net.proof_account(payer, waiting.request_id)
    assert kept is not None
    rent = 3 * await net.rent(PROOF_ACCOUNT) + await net.rent(c.VERIFIER_PROOF_ACCOUNT_SIZE + 10)
    assert await net.balance(payer) == before + rent - 4 * TRANSACTION_LAMPORTS
    assert await node.prune() == 0
    assert await node.submit(submission(TINY, waiting.body)) is not None, "what was kept serves"


async def test_answer__deadline_passed_after_the_upload__refused_and_closed(net: ProvenNet) -> None:
    receipt, payer = await net.ask_expiring(TINY), await net.funded()
    dying = net.submitter(payer)
    Wire(after={1: Interruption}).tap(dying)
    with pytest.raises(Interruption):
        await dying.submit(submission(TINY, receipt.body))
    node = net.submitter(payer)
    async with asyncio.timeout(120):
        while (await node._clock.read()).time <= receipt.body.expiry:
            await asyncio.sleep(0.2)
    with pytest.raises(Rejected) as caught:
        await node.submit(submission(TINY, receipt.body))
    assert caught.value.reason == "Expired"
    assert await net.proof_account(payer, receipt.request_id) is None


async def test_answer__request_refused_meanwhile__nothing_stays(net: ProvenNet) -> None:
    receipt, payer = await net.ask(TINY), await net.funded()
    await net.leave_proof(payer, receipt.request_id, bytes(FIRST_CHUNK))
    refusal = result_messages(receipt.body, Outcome(Status.OUT_OF_RANGE))[0]
    assert await net.submitter(net.net.authority).submit(Submission(refusal, net.net.key.attest(refusal))) is not None
    assert await net.submitter(payer).submit(submission(TINY, receipt.body)) is None
    assert await net.proof_account(payer, receipt.request_id) is None


# ---- unpaid, spoilt, unknown ----


async def test_answer__poor_payer__told_to_fund_and_goes_on_afterwards(net: ProvenNet) -> None:
    receipt, payer = await net.ask(TINY), await net.funded(890_880)
    node = net.submitter(payer)
    with pytest.raises(Transient, match="Fund it"):
        await node.submit(submission(TINY, receipt.body))
    # Enough for the upload, not for the second transaction's fee.
    await net.net.fund(payer.pubkey(), 890_880 + await net.rent(PROOF_ACCOUNT) + TRANSACTION_LAMPORTS)
    with pytest.raises(Transient, match="Fund it"):
        await node.submit(submission(TINY, receipt.body))
    assert await net.proof_account(payer, receipt.request_id) is not None
    # That fee is enough: the proof's rent, which comes back on the way, pays for the inbox account.
    await net.net.fund(payer.pubkey(), 890_880 + TRANSACTION_LAMPORTS)
    wire = Wire().tap(node)
    assert await node.submit(submission(TINY, receipt.body)) is not None
    assert len(wire.sent) == 1


async def test_answer__that_the_proof_does_not_show__refused_by_the_chain_and_closed(net: ProvenNet) -> None:
    receipt, payer = await net.ask(TINY), await net.funded()
    lie = replace(TINY, numbers=(*TINY.numbers[:-1], TINY.numbers[-1] + 1))
    with pytest.raises(Rejected) as caught:
        await net.submitter(payer).submit(submission(lie, receipt.body))
    assert caught.value.reason == "InvalidProof"
    assert await net.proof_account(payer, receipt.request_id) is None
    spoilt = TINY.proof[:960] + bytes([TINY.proof[960] ^ 1]) + TINY.proof[961:]
    with pytest.raises(Rejected) as caught:
        await net.submitter(payer).submit(submission(TINY, receipt.body, spoilt))
    assert caught.value.reason == "InvalidProof"
    assert await net.submitter(payer).submit(submission(TINY, receipt.body)) is not None, "the request still waits"


async def test_submission__that_lacks_something__refused_before_anything_is_sent(net: ProvenNet) -> None:
    receipt, other = await net.ask(TINY), await net.ask(TINY)
    honest, node = submission(TINY, receipt.body), net.submitter(net.net.authority)
    wire = Wire().tap(node)
    cases = {
        "ProofRequired": [replace(honest, zk_proof=None), replace(honest, request=None)],
        "ResultMismatch": [replace(honest, request=other.body)],
    }
    for reason, submissions in cases.items():
        for one in submissions:
            with pytest.raises(Rejected) as caught:
                await node.submit(one)
            assert caught.value.reason == reason
    with pytest.raises(Rejected, match="not told how to pack") as caught:
        await net.submitter(net.net.authority, pack=None).submit(honest)
    assert caught.value.reason == "UnsupportedPolicy"
    assert wire.tried == 0


# ---- keys ----


async def test_request__model_without_a_verifier__refused_at_once(net: ProvenNet) -> None:
    plain = stored("tumour", outputs=2)
    account = replace(net.model(plain, NOBODY), verifier=NOBODY)
    assert await net.governance.register_model(account) is not None
    with pytest.raises(Rejected) as caught:
        await net.ask(plain)
    assert caught.value.reason == "UnsupportedPolicy"
    receipt = await net.ask(plain, policy=Policy.ATTESTED)
    assert receipt.sequence > 0


async def test_register__key_missing_unsealed_or_of_another_program__refused_in_words(net: ProvenNet) -> None:
    payer, model = await net.funded(), stored("tumour", outputs=3)
    keys = net.keys(payer)
    Wire(after={2: Interruption}).tap(keys)
    with pytest.raises(Interruption):
        await keys.publish(model.content)
    for key, words in {
        Pubkey.new_unique(): "upload the model's key and seal it before",
        keys.address(model.content): "is not sealed: finish its upload",
        net.net.addresses.config.address: "is no key of the verifier",
    }.items():
        with pytest.raises(ConfigError, match=words):
            await net.governance.register_model(net.model(model, key))


@pytest.mark.parametrize(("case", "outputs"), [("KeyMissing", 4), ("KeyNotSealed", 5), ("InvalidKey", 6)])
async def test_answer__model_whose_key_cannot_be_used__says_what_is_missing(
    net: ProvenNet, case: str, outputs: int
) -> None:
    # A model of its own for each: what checks its proofs never changes once it is registered.
    model, payer = stored("tumour", outputs=outputs), await net.funded()
    keys = net.keys(await net.funded())
    if case == "KeyNotSealed":
        Wire(after={1: Interruption}).tap(keys)
        with pytest.raises(Interruption):
            await keys.publish(model.content)
    address = net.net.addresses.config.address if case == "InvalidKey" else keys.address(model.content)
    # Past the governance's own check, as careless governance could.
    step = instructions.register_model(net.net.addresses, net.net.authority.pubkey(), net.model(model, address))
    await net.governance.sender.send([step])
    receipt = await net.ask(model)
    wire = Wire().tap(node := net.submitter(payer))
    with pytest.raises(Rejected) as caught:
        await node.submit(submission(model, receipt.body))
    assert (caught.value.reason, wire.tried) == (case, 0)
    if case != "InvalidKey":
        await net.keys(keys._sender._payer).publish(model.content)
        assert await node.submit(submission(model, receipt.body)) is not None, "as soon as the key is there"


async def test_publish__cut_short_anywhere__goes_on_and_seals(net: ProvenNet) -> None:
    model, payer = stored("tumour"), await net.funded()
    parts = -(-len(model.content) // KEY_CHUNK)
    lives = [
        (Wire(after={1: Interruption}), 1),  # the account is there, and empty
        (Wire(before={3: Interruption, 5: Interruption}), parts),  # two parts are missing
        (Wire(after={1: Interruption}), 2),  # those two only; then nothing but the seal
        (Wire(before={1: Interruption}), 1),
    ]
    for wire, expected in lives:
        keys = net.keys(payer)
        wire.tap(keys)
        with pytest.raises(Interruption):
            await keys.publish(model.content)
        assert wire.tried == expected
        held = await keys.held(model.content)
        assert held is not None
        assert not held.sealed
    keys = net.keys(payer)
    wire = Wire().tap(keys)
    address = await keys.publish(model.content)
    assert address == keys.address(model.content)
    held = await keys.held(model.content)
    assert held is not None
    assert (held.sealed, held.content) == (True, model.content)
    assert wire.tried == 1, "what stood there was not sent again"
    assert await keys.publish(model.content) == address
    assert wire.tried == 1
    with pytest.raises(Rejected) as caught:
        await keys.abandon(model.content)
    assert caught.value.reason == "SealedKey"


async def test_publish__key_larger_than_one_growth__grows_on_the_real_chain(net: ProvenNet) -> None:
    # The form of a key with 120 instances, 19,728 bytes: the account is made with the first 10,168 and grows with the writes.
    content = prepare(replace(key_in(TINY.content), instance_count=120))
    assert len(content) > c.VERIFIER_GROWTH
    keys = net.keys(await net.funded())
    assert await keys.publish(content) == keys.address(content)
    held = await keys.held(content)
    assert held is not None
    assert (held.sealed, held.content) == (True, content)


async def test_abandon__unsealed_key__rent_comes_back(net: ProvenNet) -> None:
    payer = await net.funded()
    keys, before = net.keys(payer), await net.balance(payer)
    assert not await keys.abandon(TINY.content)
    Wire(after={1: Interruption}).tap(keys)
    with pytest.raises(Interruption):
        await keys.publish(TINY.content)
    assert await net.balance(payer) < before - await net.rent(len(TINY.content))
    fresh = net.keys(payer)
    assert await fresh.abandon(TINY.content)
    assert await net.balance(payer) == before - 2 * TRANSACTION_LAMPORTS
