"""The token program through the real loader on surfnet, by the adapter as users and nodes use it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import tokens_governance as tg
from bridges.solana import tokens_instructions as ti
from bridges.solana.submitter import SolanaSubmitter
from bridges.solana.tokens import SolanaTokens
from bridges.solana.tokens_layout import NATIVE_MINT, TOKEN, TokenKind
from bridges.solana.tokens_ledger import SolanaTokenLedger
from bridges.solana.tokens_redeemer import FeePolicy
from contracts.solana.build import build_programs
from contracts.solana.deploy import deploy_program
from oracle.errors import ConfigError, Rejected, Transient
from oracle.ports import Submission, TokenHolding, TokenSide
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message, non_delivery_message
from oracle.protocol.tokens import TokenRegistration, TokenTransfer, create2_address
from oracle.protocol.types import Account, ChainType, Kind, Sequence, UnixSeconds
from tests.support import samples
from tests.support import solana_tokens as st
from tests.support.solana_world import SolanaNet, solana_net

pytestmark = pytest.mark.devnet

LINK = ti.Link(samples.EVM, st.FACTORY, bytes([0x11] * 32), bytes([0x22] * 32))
MAX_UNITS = 120_000


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[SolanaNet]:
    async with solana_net(tmp_path) as started:
        yield started


class Inbound:
    """Messages from the EVM side to the bridge authority, signed and delivered by a node."""

    def __init__(self, net: SolanaNet, tokens: SolanaTokens) -> None:
        self._net, self._tokens, self._sequence = net, tokens, 0
        program = Account(bytes(tokens.at.tokens.program))
        self.node = SolanaSubmitter(net.client, net.program, net.authority, tokens_program=program)

    def message(self, sender: Account, payload: bytes) -> Message:
        self._sequence += 1
        recipient = Account(bytes(self._tokens.at.authority))
        return Message(
            Kind.MESSAGE, samples.EVM, self._net.endpoint, Sequence(self._sequence), sender, recipient,
            UnixSeconds(0), payload,
        )  # fmt: skip

    def transfer(self, sender: Account, recipient: Pubkey, amount: int, fee: int = 0) -> Message:
        source = InteropAddress(samples.EVM.chain, samples.CONSUMER)
        return self.message(
            sender, TokenTransfer(source, ChainType.SOLANA, Account(bytes(recipient)), amount, fee).to_bytes()
        )

    async def deliver(self, message: Message, *others: Message) -> int:
        receipt = await self.node.submit(Submission(message, self._net.key.attest(message, *others)))
        assert receipt is not None
        assert receipt.size <= 1232
        return receipt.cost


async def deployed(net: SolanaNet) -> SolanaTokens:
    """The token program, by the real loader, linked to the EVM side of the samples."""
    program = Keypair()
    executable = (await asyncio.to_thread(build_programs)).tokens_so.read_bytes()
    await deploy_program(net.rpc_url, net.authority, program, executable)
    tokens = SolanaTokens(net.client, net.program, Account(bytes(program.pubkey())), net.authority)
    assert await tokens.initialise(LINK, ti.Settings(Pubkey.new_unique(), 3600, 1)) is not None
    return tokens


async def test_solana_tokens__both_ways__by_the_adapter_on_a_real_cluster(net: SolanaNet) -> None:
    tokens = await deployed(net)
    with pytest.raises(ConfigError):
        await tokens.initialise(LINK, ti.Settings(Pubkey.new_unique(), 3600, 1))
    inbound, user = Inbound(net, tokens), net.authority.pubkey()

    # A token of the EVM chain: registered, minted and burnt, each delivery in one transaction with what takes it.
    registration = inbound.message(st.FACTORY, TokenRegistration(st.ERC20, 6, b"Example", b"EX").to_bytes())
    await inbound.deliver(registration)
    token = await tokens.lookup.by_native(st.ERC20)
    assert token is not None
    assert token.kind is TokenKind.WRAPPED
    assert token.evm_bridge == create2_address(st.FACTORY, st.ERC20, LINK.native_init_code_hash)
    created = await inbound.deliver(inbound.transfer(token.evm_bridge, user, 700))
    existing = await inbound.deliver(inbound.transfer(token.evm_bridge, user, 300))
    assert existing <= min(MAX_UNITS, created)
    assert await tokens.balance(token.mint) == 1_000
    recipient = InteropAddress(samples.EVM.chain, samples.CONSUMER)
    sent = await tokens.transfer(token.mint, recipient, 400)
    assert st.outgoing(sent.body).amount == 400
    assert sent.body.recipient == token.evm_bridge
    status = await tokens.status(token.mint)
    assert (status.held, status.token.outstanding, status.paused) == (600, 600, False)
    with pytest.raises(Rejected, match="holds less"):
        await tokens.transfer(token.mint, recipient, 601)

    # SOL: wrapped, locked, and released again.
    registered = await tokens.register(NATIVE_MINT)
    assert TokenRegistration.from_bytes(registered.body.payload).symbol == b"SOL"
    await tokens.wrap(1_000_000)
    await tokens.transfer(NATIVE_MINT, recipient, 900_000)
    sol = await tokens.lookup.by_native(Account(bytes(NATIVE_MINT)))
    assert sol is not None
    assert sol.token_program == TOKEN
    await inbound.deliver(inbound.transfer(sol.evm_bridge, user, 250_000))
    assert await tokens.balance(NATIVE_MINT) == 350_000
    assert (await tokens.status(NATIVE_MINT)).held == 650_000
    stranger = Keypair().pubkey()
    # No room for the compute limit: an account to create.
    assert await inbound.deliver(inbound.transfer(sol.evm_bridge, stranger, 7)) > existing
    assert await tokens.balance(NATIVE_MINT, stranger) == 7
    # And none for a branch: two transactions.
    await inbound.deliver(*(inbound.transfer(sol.evm_bridge, Keypair().pubkey(), 7) for _ in range(2)))
    assert (await tokens.status(NATIVE_MINT)).held == 649_986
    await tokens.unwrap()
    assert await tokens.balance(NATIVE_MINT) == 0


async def test_solana_tokens__what_cannot_be_redeemed_now__is_delivered_and_waits(net: SolanaNet) -> None:
    tokens = await deployed(net)
    inbound, user = Inbound(net, tokens), net.authority.pubkey()
    early = inbound.transfer(create2_address(st.FACTORY, st.ERC20, LINK.native_init_code_hash), user, 1)
    await inbound.deliver(early)
    await inbound.deliver(inbound.message(st.FACTORY, TokenRegistration(st.ERC20, 6, b"E", b"E").to_bytes()))
    token = await tokens.lookup.by_native(st.ERC20)
    assert token is not None
    await tokens.redeem(early)
    assert await tokens.balance(token.mint) == 1
    assert await tokens.redeem(early) is None

    await tokens.pause(token.mint)
    paused = inbound.transfer(token.evm_bridge, user, 10)
    await inbound.deliver(paused)
    assert await tokens.balance(token.mint) == 1
    await tokens.govern(await tokens.unpausing(token.mint))
    assert await tokens.redeem(paused) is not None
    assert await tokens.balance(token.mint) == 11

    await tokens.govern(await tokens.limiting(token.mint, tg.Limits(inbound_capacity=50, cap=1_000)))
    over = inbound.transfer(token.evm_bridge, user, 51)
    await inbound.deliver(over)
    queued = await tokens.queued(over.digest)
    assert queued is not None
    assert queued.amount == 51
    with pytest.raises(Rejected, match="delay"):
        await tokens.release(over.digest)
    assert (await tokens.status(token.mint)).inbound_available == 50

    # Delivered by somebody who redeems nothing: the next one who tries to deliver does.
    lazy = SolanaSubmitter(net.client, net.program, net.authority)
    left = inbound.transfer(token.evm_bridge, user, 3)
    signed = Submission(left, net.key.attest(left))
    assert await lazy.submit(signed) is not None
    assert await tokens.balance(token.mint) == 11
    assert await inbound.node.submit(signed) is None
    assert await tokens.balance(token.mint) == 14

    # A long Merkle branch leaves no room: two transactions then.
    batch = [inbound.transfer(token.evm_bridge, user, 2) for _ in range(16)]
    await inbound.deliver(*batch)
    assert await tokens.balance(token.mint) == 16
    malformed = inbound.message(token.evm_bridge, b"not a transfer")
    await inbound.deliver(malformed)
    assert await tokens.redeem(malformed) is None


async def test_solana_tokens__transfer_that_expires__comes_back_with_its_non_delivery(net: SolanaNet) -> None:
    tokens = await deployed(net)
    inbound = Inbound(net, tokens)
    await tokens.wrap(1_000_000)
    await tokens.register(NATIVE_MINT)
    recipient = InteropAddress(samples.EVM.chain, st.EVM_RECIPIENT)
    before = await tokens.balance(NATIVE_MINT)
    receipt = await tokens.transfer(NATIVE_MINT, recipient, 400_000, fee=1_000)
    assert receipt.body.expiry > 0
    notice = non_delivery_message(receipt.body)
    await inbound.deliver(notice)
    assert await tokens.balance(NATIVE_MINT) == before
    assert (await tokens.status(NATIVE_MINT)).token.outstanding == 0
    assert await tokens.redeem(notice) is None
    with pytest.raises(Rejected) as caught:
        await tokens.close_sent(receipt.sequence)
    assert caught.value.reason == "TooEarly"

    # Over the limit the refund waits in the queue; paused, it waits in its inbox account.
    await tokens.govern(await tokens.limiting(NATIVE_MINT, tg.Limits(inbound_capacity=5_000)))
    again = await tokens.transfer(NATIVE_MINT, recipient, 300_000)
    over = non_delivery_message(again.body)
    await inbound.deliver(over)
    queued = await tokens.queued(over.digest)
    assert queued is not None
    assert (queued.amount, queued.recipient) == (300_000, net.authority.pubkey())
    small = non_delivery_message((await tokens.transfer(NATIVE_MINT, recipient, 2_000)).body)
    await tokens.pause(NATIVE_MINT)
    await inbound.deliver(small)
    held = await tokens.balance(NATIVE_MINT)
    await tokens.govern(await tokens.unpausing(NATIVE_MINT))
    assert await tokens.redeem(small) is not None
    assert await tokens.balance(NATIVE_MINT) == held + 2_000


async def test_solana_tokens__relayer__takes_the_fee_as_it_was_told_to(net: SolanaNet) -> None:
    tokens = await deployed(net)
    inbound = Inbound(net, tokens)
    await inbound.deliver(inbound.message(st.FACTORY, TokenRegistration(st.ERC20, 6, b"E", b"E").to_bytes()))
    token = await tokens.lookup.by_native(st.ERC20)
    assert token is not None
    relayer = net.authority.pubkey()
    expected = 0
    # Without a token account it takes nothing, unless it is told to create one for this very mint; then it has one.
    for fees, taken in (
        (None, 0),
        (FeePolicy(create_for=frozenset({NATIVE_MINT})), 0),
        (FeePolicy(take=False, create_for=frozenset({token.mint})), 0),
        (FeePolicy(create_for=frozenset({token.mint})), 7),
        (FeePolicy(create_for=frozenset({token.mint})), 7),
        (None, 7),
        (FeePolicy(take=False), 0),
    ):
        node = SolanaSubmitter(
            net.client, net.program, net.authority, tokens_program=Account(bytes(tokens.at.tokens.program)), fees=fees
        )
        recipient = Keypair().pubkey()
        message = inbound.transfer(token.evm_bridge, recipient, 100, fee=7)
        assert await node.submit(Submission(message, net.key.attest(message))) is not None
        expected += taken
        assert await tokens.balance(token.mint, recipient) == 100 - taken
        assert await tokens.balance(token.mint, relayer) == expected
    # A queued transfer pays all of it to its recipient, and what is for the relayer itself has no fee.
    own = inbound.transfer(token.evm_bridge, relayer, 50, fee=7)
    await inbound.deliver(own)
    assert await tokens.balance(token.mint, relayer) == expected + 50


async def test_solana_tokens_ledger__every_token__counter_and_what_is_held(net: SolanaNet) -> None:
    tokens = await deployed(net)
    program = Account(bytes(tokens.at.tokens.program))
    ledger = SolanaTokenLedger(net.client, net.program, program)
    assert await ledger.holdings() == ()
    inbound, user = Inbound(net, tokens), net.authority.pubkey()
    await inbound.deliver(inbound.message(st.FACTORY, TokenRegistration(st.ERC20, 6, b"E", b"E").to_bytes()))
    wrapped = await tokens.lookup.by_native(st.ERC20)
    assert wrapped is not None
    await inbound.deliver(inbound.transfer(wrapped.evm_bridge, user, 500))
    await tokens.wrap(1_000_000)
    await tokens.register(NATIVE_MINT)
    await tokens.transfer(NATIVE_MINT, InteropAddress(samples.EVM.chain, st.EVM_RECIPIENT), 300_000)
    # Anybody may send tokens to the vault: they are held, and not counted.
    vault = tokens.at.tokens.vault(NATIVE_MINT).address
    lamports = await net.client.balance(vault)
    found = (await net.client.accounts([vault], "confirmed")).accounts[0]
    assert found is not None
    more = found.data[:64] + (300_001).to_bytes(8, "little") + found.data[72:]
    await net.plant(vault, found.owner, more, lamports + 1)
    native = await tokens.lookup.by_mint(NATIVE_MINT)
    assert native is not None
    holdings = {one.bridge: one for one in await ledger.holdings()}
    assert holdings == {
        wrapped.evm_bridge: TokenHolding(wrapped.evm_bridge, st.ERC20, TokenSide.WRAPPED, 6, 500, 500),
        native.evm_bridge: TokenHolding(
            native.evm_bridge, Account(bytes(NATIVE_MINT)), TokenSide.NATIVE, 9, 300_000, 300_001
        ),
    }


async def test_solana_tokens_ledger__no_such_program__is_transient(net: SolanaNet) -> None:
    with pytest.raises(Transient, match="initialised"):
        await SolanaTokenLedger(net.client, net.program, Account(bytes(Pubkey.new_unique()))).holdings()
