"""The token bridge through the real contracts on anvil: both ways over both kinds of bridge, and each refusal in a sentence (TOKENS.md §4)."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio
from eth_typing import ChecksumAddress, HexStr

from bridges.evm.abi import account_of, address_of, creation_code, interface
from bridges.evm.account import EvmAccount
from bridges.evm.deploy import TokenDeployment, deploy_tokens
from bridges.evm.sender import Call, Sender
from bridges.evm.submitter import EvmSubmitter
from bridges.evm.token_ledger import PAGE, read_holdings
from bridges.evm.token_permits import PermitAccount
from bridges.evm.token_refusals import CONTRACTS, SENTENCES
from bridges.evm.tokens import EvmTokens, RefundState, TokenReceipt
from oracle.errors import ConfigError, Rejected, Transient
from oracle.ports import DeliveryState, Receipt, Submission, TokenHolding, TokenSide
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message, non_delivery_message
from oracle.protocol.tokens import TokenRegistration, TokenTransfer, create2_address
from oracle.protocol.types import Account, ChainType, Kind, Sequence, UnixSeconds
from tests.support import samples
from tests.support.evm_chain import QUICK, Anvil, Deployed, anvil, deployed

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]
AUTHORITY = Account(samples.seeded("bridge authority"))
SOL_USER = Account(samples.seeded("solana user"))
MINT = Account(samples.seeded("spl mint"))
TO = InteropAddress(samples.SOLANA.chain, SOL_USER)
ETHER = 10**18
GAS_BOUND = 130_000
"""Most gas of the whole transaction that delivers a transfer to an existing account."""


@dataclass
class World:
    """Contracts on an anvil, and the bridge authority's words."""

    contracts: Deployed
    tokens: TokenDeployment
    sequence: int = field(default=0)

    def user(self, index: int = 3, *, permits: bool = True) -> EvmTokens:
        account = PermitAccount(self.contracts.anvil.chain.accounts[index].private_key)
        sender = Sender(self.contracts.client, account, QUICK)
        return EvmTokens(sender, account_of(self.tokens.factory), account if permits else None)

    def message(self, recipient: ChecksumAddress, payload: bytes, *, sender: Account = AUTHORITY) -> Message:
        self.sequence += 1
        destination, sequence = self.contracts.deployment.endpoint, Sequence(self.sequence)
        to = account_of(recipient)
        return Message(Kind.MESSAGE, samples.SOLANA, destination, sequence, sender, to, UnixSeconds(0), payload)

    def transfer(self, bridge: ChecksumAddress, to: ChecksumAddress, amount: int, fee: int = 0) -> Message:
        payload = TokenTransfer(TO, ChainType.EIP155, account_of(to), amount, fee).to_bytes()
        return self.message(bridge, payload)

    async def lapse(self, sent: TokenReceipt) -> Message:
        """The committee's word that a transfer from here expired undelivered."""
        word = non_delivery_message(sent.message)
        await self.deliver(word)
        return word

    async def deliver(self, message: Message) -> Receipt:
        submitter = EvmSubmitter(self.contracts.sender(), self.contracts.gateway)
        receipt = await submitter.submit(Submission(message, self.contracts.key.attest(message)))
        assert receipt is not None
        assert await submitter.state(message) is not DeliveryState.ABSENT
        return receipt

    async def register_mint(self, mint: Account = MINT, name: bytes = b"A Mint") -> ChecksumAddress:
        """The bridge of a mint, registered by a message."""
        await self.deliver(self.message(self.tokens.factory, TokenRegistration(mint, 9, name, b"MNT").to_bytes()))
        bridge = await self.user().bridge_of(mint)
        assert bridge is not None
        return bridge

    async def owner(self, to: ChecksumAddress, contract: str, function: str, *arguments: object) -> None:
        data = interface(contract).encode(function, *arguments)
        await self.contracts.sender(0).send(Call(to, data))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    async with anvil(tmp_path_factory.mktemp("anvil")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def world(chain: Anvil) -> AsyncIterator[World]:
    async with deployed(chain) as contracts:
        authority = InteropAddress(samples.SOLANA.chain, AUTHORITY)
        made = await deploy_tokens(contracts.sender(0), contracts.deployment.gateway, authority)
        yield World(contracts, made)


def limits(**changed: object) -> tuple[object, ...]:
    """`ITokenBridge.Limits`: unlimited, but for what is named."""
    unlimited = (False, 0, 0)
    values = {"outbound": unlimited, "inbound": unlimited, "capped": False, "cap": 0, "delay": 60, **changed}
    return tuple(values.values())


def posted(receipt: TokenReceipt) -> TokenTransfer:
    message = receipt.message
    assert (message.recipient, message.sender) == (AUTHORITY, account_of(receipt.bridge))
    assert message.destination == samples.SOLANA
    return TokenTransfer.from_bytes(message.payload, origin=ChainType.EIP155, destination=ChainType.SOLANA)


async def test_ether__there_and_back__exact_and_within_the_gas_bound(world: World) -> None:
    user = world.user()
    weth = world.tokens.weth
    registered = await user.register(weth)
    entry = TokenRegistration.from_bytes(registered.message.payload)
    assert entry == TokenRegistration(account_of(weth), 9, b"Wrapped Ether", b"WETH")
    assert registered.message.sender == account_of(world.tokens.factory)
    predicted = create2_address(account_of(world.tokens.factory), account_of(weth), world.tokens.native_bridge_hash)
    assert account_of(registered.bridge) == predicted

    before = await world.contracts.client.balance(user.address)
    sent = await user.transfer_ether(TO, 2 * ETHER + 5)
    assert sent.amount == 2 * ETHER
    assert posted(sent) == TokenTransfer(
        InteropAddress(world.contracts.client.chain, account_of(user.address)), ChainType.SOLANA, SOL_USER, 2 * 10**9
    )
    spent = before - await world.contracts.client.balance(user.address)
    assert 2 * ETHER < spent < 2 * ETHER + ETHER // 100
    status = await user.status(weth)
    assert (status.outstanding, status.queued, status.paused, status.cap) == (2 * 10**9, 0, False, None)
    assert (status.outbound_left, status.inbound_left, status.queue_delay) == (None, None, 86400)

    gas = [(await world.deliver(world.transfer(sent.bridge, user.address, 10**8))).cost for _ in range(3)]
    assert await user.balance(weth) == 3 * ETHER // 10
    assert (await user.status(weth)).outstanding == 17 * 10**8
    print(f"release to an existing account: {gas[-1]} gas; registration {registered.gas}; ether out {sent.gas}")
    assert gas[-1] <= GAS_BOUND


async def test_wrapped__mint_and_burn__exact_and_within_the_gas_bound(world: World) -> None:
    user = world.user()
    bridge = await world.register_mint()
    token = address_of(create2_address(account_of(world.tokens.factory), MINT, world.tokens.wrapped_token_hash))
    assert account_of(bridge) == create2_address(
        account_of(world.tokens.factory), MINT, world.tokens.wrapped_bridge_hash
    )
    gas = [(await world.deliver(world.transfer(bridge, user.address, 1000))).cost for _ in range(3)]
    assert await user.balance(token) == 3000
    print(f"mint to an existing account: {gas[-1]} gas, to a new one {gas[0]}")
    assert gas[-1] <= GAS_BOUND
    for name in (token, bridge, MINT):  # by any of its names
        sent = await user.transfer(name, TO, 100)
        assert posted(sent).amount == 100
    status = await user.status(token)
    assert (status.outstanding, status.token.native, status.token.symbol) == (2700, False, "MNT")
    assert status.token.token == token
    assert [entry.token_id for entry in await user.tokens()] == [MINT]


async def test_limited__delivery__within_the_gas_bound(world: World) -> None:
    """The bound holds with limits too: they cost a write each."""
    user = world.user()
    bridge = await world.register_mint()
    rate = (True, 10**12, 10**6)
    await world.owner(bridge, "WrappedBridge", "setLimits", limits(inbound=rate, capped=True, cap=10**12))
    gas = [(await world.deliver(world.transfer(bridge, user.address, 1000))).cost for _ in range(3)]
    print(f"mint to an existing account, with limits: {gas[-1]} gas")
    assert gas[-1] <= GAS_BOUND


async def test_native__with_permit_or_allowance__same_transfer(world: World) -> None:
    user = world.user()
    # A wrapped token's contract stands in for any ERC-20 with permits: a factory of a second bridge knows nothing of it.
    bridge = await world.register_mint()
    wrapped = (await user.find(MINT)).token
    await world.deliver(world.transfer(bridge, user.address, 10_000))
    authority = InteropAddress(samples.SOLANA.chain, AUTHORITY)
    second = await deploy_tokens(world.contracts.sender(0), world.contracts.deployment.gateway, authority)
    account = PermitAccount(world.contracts.anvil.chain.accounts[3].private_key)
    there = EvmTokens(Sender(world.contracts.client, account, QUICK), account_of(second.factory), account)
    registered = await there.register(wrapped)
    sent = await there.transfer(wrapped, TO, 600, permit=True)
    assert posted(sent).amount == 600
    before = await world.contracts.client.account_nonce(user.address, "latest")
    sent = await there.transfer(wrapped, TO, 300)  # by itself with a permit: one transaction
    assert (await world.contracts.client.account_nonce(user.address, "latest")) == before + 1
    sent = await there.transfer(wrapped, TO, 100, permit=False)
    assert (await world.contracts.client.account_nonce(user.address, "latest")) == before + 3
    assert (await there.status(wrapped)).outstanding == 1000
    (allowed,) = interface("Weth").decode(
        "allowance",
        await world.contracts.client.call(
            wrapped, interface("Weth").encode("allowance", user.address, registered.bridge)
        ),
    )
    assert allowed == 0
    without = EvmTokens(world.contracts.sender(3), account_of(second.factory))
    with pytest.raises(ConfigError, match="without a signer"):
        await without.transfer(wrapped, TO, 1, permit=True)


async def test_terms__expiry_and_fee__in_the_message_and_paid_to_who_delivers(world: World) -> None:
    user = world.user()
    weth = world.tokens.weth
    bridge = (await user.register(weth)).bridge
    head = await world.contracts.client.block("latest")
    assert head is not None
    sent = await user.transfer_ether(TO, ETHER, expiry=head.timestamp + 3600, fee=10**15)
    assert (sent.message.expiry, posted(sent).fee, posted(sent).amount) == (head.timestamp + 3600, 10**6, 10**9)
    for fee in (1, ETHER):
        with pytest.raises(Rejected, match="less than the amount") as refused:
            await user.transfer_ether(TO, ETHER, fee=fee)
        assert refused.value.reason == "InvalidFee"
    with pytest.raises(Rejected, match="expires after the present"):
        await user.transfer_ether(TO, ETHER, expiry=head.timestamp + 40 * 86400)

    relayer, other = world.contracts.sender().address, world.user(5).address
    costs = [(await world.deliver(world.transfer(bridge, other, 10**8, fee=10**5))).cost for _ in range(3)]
    assert await user.balance(weth, relayer) == 3 * 10**5 * 10**9
    assert await user.balance(weth, other) == 3 * (10**8 - 10**5) * 10**9
    print(f"release to an existing account, with a fee: {costs[-1]} gas")
    assert costs[-1] <= GAS_BOUND


async def test_refund__lapsed_transfer__comes_back_whole_and_once(world: World) -> None:
    user = world.user()
    weth = world.tokens.weth
    await user.register(weth)
    sent = await user.transfer_ether(TO, ETHER, fee=10**15)
    assert await user.refund(weth, sent.digest) is RefundState.NONE
    await world.lapse(sent)
    assert await user.refund(weth, sent.digest) is RefundState.PAID
    assert await user.balance(weth) == ETHER
    assert (await user.status(weth)).outstanding == 0
    with pytest.raises(Rejected, match="given back already"):
        # The same word under another sequence, as only a lying committee signs it.
        await world.deliver(replace(non_delivery_message(sent.message), sequence=Sequence(999_999)))

    sent = await user.transfer_ether(TO, ETHER)
    await world.owner(sent.bridge, "NativeBridge", "setLimits", limits(inbound=(True, 5, 0)))
    await world.lapse(sent)
    assert await user.refund(weth, sent.digest) is RefundState.WAITING
    waiting = await user.waiting(weth, sent.digest)
    assert waiting is not None
    assert (waiting.recipient, waiting.amount, waiting.guarded) == (user.address, 10**9, False)


async def test_holdings__many_tokens__one_block_and_few_calls(world: World) -> None:
    """What the nodes watch: counters and what is really there, for each token, at a final block."""
    user = world.user()
    weth = world.tokens.weth
    native = (await user.register(weth)).bridge
    bridge = await world.register_mint()
    await user.transfer_ether(TO, 2 * ETHER)
    await world.deliver(world.transfer(bridge, user.address, 700))
    # Somebody gives the vault a wei less than a wire unit; a token that answers nothing has a bridge too.
    await world.contracts.sender(3).send(Call(weth, interface("Weth").encode("deposit"), 10**9))
    await world.contracts.sender(3).send(Call(weth, interface("Weth").encode("transfer", native, 10**9 - 1)))
    silent = address_of(samples.seeded("silent", 20))
    await world.contracts.anvil.set_code(silent, b"\x5f\x5f\xfd")
    mute = (await user.register(silent)).bridge
    await world.contracts.anvil.mine()
    expected = (
        TokenHolding(account_of(native), account_of(weth), TokenSide.NATIVE, 9, 2 * 10**9, 2 * 10**9),
        TokenHolding(account_of(bridge), MINT, TokenSide.WRAPPED, 9, 700, 700),
        TokenHolding(account_of(mute), account_of(silent), TokenSide.NATIVE, 0, 0, 0),
    )
    assert await user.holdings() == expected
    # What happened after the final block is not in it.
    block = await world.contracts.client.block_number()
    await world.deliver(world.transfer(bridge, user.address, 5))
    factory = world.tokens.factory
    assert await read_holdings(world.contracts.client, factory, block) == expected
    for number in range(3, PAGE + 1):
        await world.register_mint(Account(samples.seeded(f"mint {number}")))
    head = await world.contracts.client.block_number()
    found = await read_holdings(world.contracts.client, factory, head)
    assert len(found) == PAGE + 1
    assert len({holding.bridge for holding in found}) == PAGE + 1
    page = interface("TokenFactory").encode("holdings", 0, PAGE)
    gas = await world.contracts.client.estimate_gas({"to": factory, "data": HexStr("0x" + page.hex())})
    print(f"holdings of {PAGE} tokens: one call of {gas} gas")
    assert gas < 3_000_000
    with pytest.raises(Transient, match="factory"):
        await read_holdings(world.contracts.client, weth, head)


async def test_queue__over_the_limit__waits_and_is_released_once(world: World) -> None:
    user = world.user()
    bridge = await world.register_mint()
    await world.owner(bridge, "WrappedBridge", "setLimits", limits(inbound=(True, 50, 0)))
    message = world.transfer(bridge, user.address, 51)
    await world.deliver(message)
    status = await user.status(bridge)
    assert (status.queued, status.outstanding, status.inbound_left) == (51, 0, 50)
    waiting = await user.waiting(MINT, message.digest)
    assert waiting is not None
    assert (waiting.recipient, waiting.amount) == (user.address, 51)
    with pytest.raises(Rejected, match=rf"waits until {waiting.releasable_at} \(Unix") as early:
        await user.release(MINT, message.digest)
    assert early.value.reason == "StillQueued"
    await world.contracts.anvil.rpc("evm_setNextBlockTimestamp", waiting.releasable_at)
    await world.contracts.anvil.mine(1)
    await world.user(4).release(MINT, message.digest)
    assert await user.waiting(MINT, message.digest) is None
    assert (await user.status(bridge)).outstanding == 51
    with pytest.raises(Rejected, match="was paid out already"):
        await user.release(MINT, message.digest)


async def test_refusals__each__says_what_to_do(world: World) -> None:
    user = world.user()
    weth, factory = world.tokens.weth, world.tokens.factory
    with pytest.raises(Rejected, match="register it first"):
        await user.transfer(weth, TO, ETHER)
    with pytest.raises(Rejected, match="register it first"):
        await user.announce(weth)
    with pytest.raises(Rejected, match="no contract at"):
        await user.register(user.address)
    bridge = (await user.register(weth)).bridge
    assert (await user.announce(weth)).bridge == bridge
    with pytest.raises(Rejected, match="has its bridge already"):
        await user.register(weth)
    with pytest.raises(Rejected, match="The account holds 0 of WETH"):
        await user.transfer(weth, TO, ETHER)
    with pytest.raises(Rejected, match="The least that can cross is 1000000000"):
        await user.transfer_ether(TO, 10**9 - 1)
    with pytest.raises(Rejected, match="At most"):
        await user.transfer_ether(TO, (1 << 64) * 10**9)
    with pytest.raises(Rejected, match="less than the"):
        await user.transfer_ether(TO, 10**9 * ETHER // 10**9 * 10**9)
    with pytest.raises(Rejected, match="no account on the chain"):
        await user.transfer_ether(InteropAddress(world.contracts.client.chain, account_of(user.address)), ETHER)
    for nobody in (Account(bytes(32)), AUTHORITY):
        with pytest.raises(Rejected, match="cannot own tokens") as refused:
            await user.transfer_ether(InteropAddress(samples.SOLANA.chain, nobody), ETHER)
        assert refused.value.reason == "RefusedRecipient"
    await world.owner(bridge, "NativeBridge", "setLimits", limits(outbound=(True, 5, 0)))
    with pytest.raises(Rejected, match="leaves 5 wire units"):
        await user.transfer_ether(TO, ETHER)
    await world.owner(bridge, "NativeBridge", "setLimits", limits(capped=True, cap=7))
    with pytest.raises(Rejected, match="over its cap of 7"):
        await user.transfer_ether(TO, ETHER)
    await world.owner(factory, "TokenFactory", "pause", bridge)
    assert (await user.status(weth)).paused
    with pytest.raises(Rejected, match="paused by a guardian"):
        await user.transfer_ether(TO, ETHER)
    with pytest.raises(Rejected, match="takes no permits"):
        await world.user().transfer(await _funded(world, user), TO, 10**9, permit=True)


async def _funded(world: World, user: EvmTokens) -> ChecksumAddress:
    weth = world.tokens.weth
    await world.contracts.sender(3).send(Call(weth, interface("Weth").encode("deposit"), ETHER))
    return weth


async def test_address__of_a_contract_that_lies__is_no_token(world: World) -> None:
    """A contract may say that it stands for a registered mint; the factory says what does."""
    user = world.user()
    await world.register_mint()
    code = bytes.fromhex("7f") + MINT + bytes.fromhex("5f5260205ff3")  # answers everything with the mint
    liar = address_of(samples.seeded("liar", 20))
    await world.contracts.anvil.set_code(liar, code)
    with pytest.raises(Rejected, match="register it first"):
        await user.status(liar)


async def test_delivery__forged_or_repeated__refused(world: World) -> None:
    user = world.user()
    bridge = await world.register_mint()
    honest = world.transfer(bridge, user.address, 10)
    forged = replace(honest, sender=SOL_USER)
    with pytest.raises(Rejected, match="refused the message"):
        await world.deliver(forged)
    await world.deliver(honest)
    submitter = EvmSubmitter(world.contracts.sender(), world.contracts.gateway)
    assert await submitter.submit(Submission(honest, world.contracts.key.attest(honest))) is None
    assert (await user.status(bridge)).outstanding == 10


async def test_signer__of_another_account__is_refused(world: World) -> None:
    other = PermitAccount(world.contracts.anvil.chain.accounts[5].private_key)
    with pytest.raises(ConfigError, match="account that sends"):
        EvmTokens(world.contracts.sender(3), account_of(world.tokens.factory), other)
    assert isinstance(other, EvmAccount)
    assert re.fullmatch(r"EvmAccount\(0x\w{40}\)", repr(other))


async def test_sentences__names_and_arguments__are_the_contracts_own() -> None:
    known = {entry["name"]: entry for name in CONTRACTS for _, entry in interface(name).errors()}
    for name, sentence in SENTENCES.items():
        arguments = {argument["name"] for argument in known[name]["inputs"]}
        assert set(re.findall(r"\{(\w+)\}", sentence)) <= arguments, name
        assert sentence.endswith("."), name


async def test_creation_codes__fit_their_blueprints() -> None:
    for name in ("NativeBridge", "WrappedBridge", "WrappedToken"):
        assert len(creation_code(name)) + 3 <= 24_576
