"""Messages under one signature go to the gateway in one transaction; what one of them does wrong hurts only itself."""

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
import pytest_asyncio

from bridges.evm import gathering
from bridges.evm.submitter import EvmSubmitter
from oracle.errors import ChainError, Rejected
from oracle.ports import DeliveryState, Receipt, Submission
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import Account, Kind, ModelId, Policy, Sequence, Status, UnixSeconds, evm_account
from tests.support import samples
from tests.support.evm_chain import RECEIVER, Anvil, Deployed, anvil, deployed, reverting, selector

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
TAKES, REVERTS = evm_account(b"\xab" * 20), evm_account(b"\xcd" * 20)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    async with anvil(tmp_path_factory.mktemp("anvil")) as running:
        await running.set_code("0x" + TAKES[12:].hex(), RECEIVER)
        await running.set_code("0x" + REVERTS[12:].hex(), reverting(selector("No()")))
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def contracts(chain: Anvil) -> AsyncIterator[Deployed]:
    async with deployed(chain) as made:
        yield made


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine answers late; all that come together must be in time for the leader."""
    monkeypatch.setattr(gathering, "GATHER_SECONDS", 1.0)


def submitter(contracts: Deployed, index: int = 1) -> EvmSubmitter:
    return EvmSubmitter(contracts.sender(index), contracts.gateway, contracts.hub)


def message(contracts: Deployed, sequence: int, recipient: Account = TAKES) -> Message:
    here = submitter(contracts).destination
    return Message(
        Kind.MESSAGE, samples.SOLANA, here, Sequence(sequence), samples.SOLANA_CONSUMER, recipient, UnixSeconds(0), b"x"
    )


def signed(contracts: Deployed, messages: Iterable[Message]) -> list[Submission]:
    batch = tuple(messages)
    attestation = contracts.key.attest(*batch)
    return [Submission(one, attestation) for one in batch]


async def together(deliver: EvmSubmitter, batch: list[Submission]) -> list[Receipt | BaseException | None]:
    return await asyncio.gather(*(deliver.submit(one) for one in batch), return_exceptions=True)


async def transactions(contracts: Deployed, index: int = 1) -> int:
    return await contracts.client.account_nonce(contracts.sender(index).address, "latest")


async def test_submit__messages_under_one_signature__share_a_transaction(contracts: Deployed) -> None:
    deliver, batch = submitter(contracts), signed(contracts, [message(contracts, i) for i in range(1, 11)])
    alone = await submitter(contracts).submit(signed(contracts, [message(contracts, 99)])[0])
    before = await transactions(contracts)
    receipts = await together(deliver, batch)
    assert await transactions(contracts) == before + 1
    assert alone is not None
    for receipt in receipts:
        assert isinstance(receipt, Receipt)
        assert receipt.transaction == receipts[0].transaction  # type: ignore[union-attr]  # checked one line above
        assert receipt.cost < alone.cost
    assert [await deliver.state(one.message) for one in batch] == [DeliveryState.INCLUDED] * 10


async def test_submit__recipient_of_one_reverts__the_others_arrive_and_it_alone_hears_why(contracts: Deployed) -> None:
    recipients = [TAKES, REVERTS, TAKES, TAKES]
    batch = signed(contracts, [message(contracts, i + 1, to) for i, to in enumerate(recipients)])
    outcomes = await together(submitter(contracts), batch)
    assert [isinstance(one, Receipt) for one in outcomes] == [True, False, True, True]
    refused = outcomes[1]
    assert isinstance(refused, Rejected)
    assert refused.reason == "RecipientReverted"


async def test_submit__all_recipients_revert__each_hears_why(contracts: Deployed) -> None:
    outcomes = await together(
        submitter(contracts), signed(contracts, [message(contracts, i, REVERTS) for i in range(1, 4)])
    )
    assert [getattr(one, "reason", None) for one in outcomes] == ["RecipientReverted"] * 3


async def test_submit__two_members_with_the_same_batch__nothing_is_doubled_or_lost(contracts: Deployed) -> None:
    batch = signed(contracts, [message(contracts, i) for i in range(1, 9)])
    mine, theirs = await asyncio.gather(
        together(submitter(contracts, 1), batch), together(submitter(contracts, 3), batch[::-1])
    )
    assert all(one is None or isinstance(one, Receipt) for one in (*mine, *theirs))
    assert [await submitter(contracts).state(one.message) for one in batch] == [DeliveryState.INCLUDED] * 8


async def test_submit__more_than_a_transaction_takes__are_spread_over_several(
    contracts: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MAX_DELIVERIES", 4)
    before = await transactions(contracts)
    receipts = await together(submitter(contracts), signed(contracts, [message(contracts, i) for i in range(1, 11)]))
    assert all(isinstance(one, Receipt) for one in receipts)
    assert await transactions(contracts) - before == 3


async def test_submit__leader_cancelled__its_followers_deliver(contracts: Deployed) -> None:
    deliver, batch = submitter(contracts), signed(contracts, [message(contracts, i) for i in range(1, 5)])
    leader = asyncio.create_task(deliver.submit(batch[0]))
    while not deliver._gathered._open:
        await asyncio.sleep(0)
    rest = asyncio.gather(*(deliver.submit(one) for one in batch[1:]))
    while len(next(iter(deliver._gathered._open.values())).submissions) < 4:
        await asyncio.sleep(0)
    leader.cancel()
    assert all(receipt is not None for receipt in await rest)
    assert await deliver.state(batch[0].message) is DeliveryState.ABSENT
    assert await deliver.submit(batch[0]) is not None


async def test_submit__signature_of_another_batch__refused_alone_and_together(contracts: Deployed) -> None:
    forged = [
        Submission(one.message, contracts.key.attest(*(message(contracts, i) for i in (50, 51))))
        for one in signed(contracts, [message(contracts, 1), message(contracts, 2)])
    ]
    outcomes = await together(submitter(contracts), forged)
    assert all(isinstance(one, ChainError) for one in outcomes)


async def test_submit__results_of_several_requests__share_a_transaction(contracts: Deployed) -> None:
    requester = contracts.requester()
    deadline = UnixSeconds(await requester.chain_time() + 3600)
    policies = (Policy.ATTESTED, Policy.RECOMPUTED, Policy.RECOMPUTED)
    asked = [await requester.ask(ModelId(samples.MODEL), (1, -2, 3), policy, deadline) for policy in policies]
    results = [result_messages(one.body, Outcome(Status.ANSWERED, (7,), 14))[0] for one in asked]
    before = await transactions(contracts)
    receipts = await together(submitter(contracts), signed(contracts, results))
    assert all(isinstance(one, Receipt) for one in receipts)
    assert await transactions(contracts) == before + 1
    for one, policy in zip(asked, policies, strict=True):
        answer = await requester.answer(one.request_id)
        assert answer is not None
        assert (answer.policy, answer.outputs) == (policy, (7,))
