"""What the Solana adapter takes for granted of its libraries and of surfnet. A failure here means: look at the adapter again."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message, MessageV0
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from bridges.solana.client import SolanaClient
from oracle.app.devnet.chains import SurfnetChain, start_surfnet
from tests.support.solana_world import cheat, toolchain

SLOT_MILLISECONDS = 50


@pytest.fixture
async def chain(tmp_path: Path) -> AsyncIterator[SurfnetChain]:
    async with start_surfnet(toolchain(), tmp_path, slot_milliseconds=SLOT_MILLISECONDS) as started:
        yield started


@pytest.fixture
async def client(chain: SurfnetChain) -> AsyncIterator[SolanaClient]:
    async with SolanaClient(chain.rpc_url, chain.genesis_hash) as opened:
        yield opened


def payment(payer: Keypair, to: Keypair, lamports: int, blockhash: Hash) -> VersionedTransaction:
    step = transfer(TransferParams(from_pubkey=payer.pubkey(), to_pubkey=to.pubkey(), lamports=lamports))
    return VersionedTransaction(Message.new_with_blockhash([step], payer.pubkey(), blockhash), [payer])


@pytest.mark.devnet
async def test_surfnet__account_read_at_finalized__is_answered_for_the_newest_slot(
    chain: SurfnetChain, client: SolanaClient
) -> None:
    """Why the reader compares slots with `getSlot(finalized)` itself."""
    to = Keypair()
    await client.send(bytes(payment(chain.payer, to, 1_000_000, await client.latest_blockhash())))
    snapshot = await client.accounts([to.pubkey()], "finalized")
    assert snapshot.accounts[0] is not None
    assert snapshot.slot > await client.slot("finalized")


@pytest.mark.devnet
async def test_surfnet__min_context_slot__is_ignored(chain: SurfnetChain) -> None:
    """Why the client checks the slot of each answer."""
    config = {"encoding": "base64", "commitment": "finalized", "minContextSlot": 1 << 40}
    answer = await cheat(chain.rpc_url, "getMultipleAccounts", [str(chain.payer.pubkey())], config)
    assert isinstance(answer, dict)
    assert answer["context"]["slot"] < 1 << 40


@pytest.mark.devnet
async def test_surfnet__transaction_sent_twice__is_taken_for_one(chain: SurfnetChain, client: SolanaClient) -> None:
    """Why sending again does no harm, and why equal transactions get different compute limits."""
    to, blockhash = Keypair(), await client.latest_blockhash()
    wire = payment(chain.payer, to, 1_000_000, blockhash)
    for _ in range(3):
        await client.send(bytes(wire))
    assert await client.balance(to.pubkey()) == 1_000_000
    assert bytes(payment(chain.payer, to, 1_000_000, blockhash)) == bytes(wire)
    async with asyncio.timeout(5):
        while (status := await client.status(wire.signatures[0])) is None:  # known from the end of its slot
            await asyncio.sleep(0.02)
    assert status.error is None


@pytest.mark.devnet
async def test_surfnet__unknown_blockhash__is_invalid_and_fails_a_simulation(
    chain: SurfnetChain, client: SolanaClient
) -> None:
    unknown = Hash(bytes(range(32)))
    assert await client.blockhash_valid(await client.latest_blockhash())
    assert not await client.blockhash_valid(unknown)
    simulation = await client.simulate(bytes(payment(chain.payer, Keypair(), 1_000_000, unknown)))
    assert simulation.error == "BlockhashNotFound"


def test_solders__legacy_message__is_a_versioned_transaction_two_bytes_shorter() -> None:
    """Why deliveries are legacy messages: each byte counts in a packet of 1,232."""
    payer, blockhash = Keypair(), Hash.default()
    legacy = VersionedTransaction(Message.new_with_blockhash([], payer.pubkey(), blockhash), [payer])
    versioned = VersionedTransaction(MessageV0.try_compile(payer.pubkey(), [], [], blockhash), [payer])
    assert len(bytes(versioned)) - len(bytes(legacy)) == 2
    assert base64.b64decode(base64.b64encode(bytes(legacy))) == bytes(VersionedTransaction.from_bytes(bytes(legacy)))
