"""The user's side of the token bridge on an EVM chain (TOKENS.md §4): registers tokens, sends them over, shows limits, queue and refunds.

Guarantees: what the contracts refuse is refused before a transaction is paid for, in a sentence that says what to change; only bridges that the
factory knows are spoken to; a transfer takes what crosses and leaves what is below one wire unit; an allowance is for the one transfer. It
delivers nothing: that is the submitter's part. Amounts are in the token's smallest unit unless they are called wire units.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from eth_typing import ChecksumAddress

from bridges.evm.abi import account_of, address_of, interface
from bridges.evm.answers import Mined
from bridges.evm.sender import Call, Sender
from bridges.evm.token_ledger import EvmTokenLedger
from bridges.evm.token_permits import Permit, PermitAccount, sign_permit
from oracle.errors import ConfigError, DecodeError, EncodeError, Rejected, Transient
from oracle.ports import TokenHolding
from oracle.protocol.finality import Finality
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message
from oracle.protocol.tokens import from_wire, to_wire
from oracle.protocol.types import Account, Digest

_ZERO = "0x" + "00" * 20
_NO_LIMIT = (1 << 256) - 1


@dataclass(frozen=True, slots=True)
class BridgedToken:
    """A token with a bridge on this chain. `native`: it lives here; otherwise `token` is its wrapped form. `symbol` is empty if it has none."""

    token_id: Account
    bridge: ChecksumAddress
    token: ChecksumAddress
    native: bool
    symbol: str
    decimals: int
    wire_decimals: int
    scale: int


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """All in wire units. `outstanding` is locked (native) or minted (wrapped); None: without limit. `queue_delay` in seconds."""

    token: BridgedToken
    outstanding: int
    cap: int | None
    queued: int
    outbound_left: int | None
    inbound_left: int | None
    paused: bool
    queue_delay: int
    guard: ChecksumAddress | None
    guard_limit: int
    """A transfer of more than this needs the guard's clearance; without a guard it means nothing."""


class RefundState(Enum):
    """What became of a transfer that lapsed."""

    NONE = "none"
    """Nothing came back: it was delivered, may still be, or the committee's word of its lapse is not here yet."""
    WAITING = "waiting"
    """It is in the queue, for its sender."""
    PAID = "paid"


@dataclass(frozen=True, slots=True)
class TokenReceipt:
    """A mined transaction and the message that it posted. `amount` left the sender, in the token's smallest unit (0: a registration)."""

    message: Message
    bridge: ChecksumAddress
    amount: int
    gas: int
    transaction: str

    @property
    def digest(self) -> Digest:
        """The message's, which is also the transfer's id."""
        return self.message.digest


@dataclass(frozen=True, slots=True)
class WaitingTransfer:
    """An inbound transfer or refund that waits: over the rate limit, or for the guard (`guarded`). `amount` in wire units, `releasable_at`
    in Unix seconds; a guarded one that was cleared may be released before, as far as the rate allows."""

    recipient: ChecksumAddress
    amount: int
    releasable_at: int
    guarded: bool


class EvmTokens:
    """One factory's tokens, for one account. `permits` signs permits for the sender's own account; `finality` is that of `holdings`."""

    def __init__(
        self,
        sender: Sender,
        factory: Account,
        permits: PermitAccount | None = None,
        finality: Finality | None = None,
    ) -> None:
        if permits is not None and permits.address != sender.address:
            raise ConfigError("Permits must be signed by the account that sends the transfers.")
        self._sender, self._client, self._permits = sender, sender.client, permits
        self._factory = address_of(factory)
        self._ledger = EvmTokenLedger(sender.client, factory, finality)
        self._gateway: ChecksumAddress | None = None

    @property
    def address(self) -> ChecksumAddress:
        """The account that sends and pays."""
        return self._sender.address

    # ---- registration ----

    async def register(self, token: ChecksumAddress) -> TokenReceipt:
        """Give an ERC-20 of this chain its bridge, and send its registration. Raises Rejected when it has one already."""
        mined = await self._send(self._factory, "TokenFactory", "registerNative", token)
        (bridge,) = await self._ask(self._factory, "TokenFactory", "bridgeOf", account_of(token))
        return await self._receipt(mined, address_of(bytes.fromhex(bridge[2:])), 0)

    async def announce(self, token: ChecksumAddress) -> TokenReceipt:
        """Send a registered token's registration again."""
        bridge = await self.bridge_of(account_of(token))
        if bridge is None:
            raise _not_registered(token)
        return await self._receipt(await self._send(self._factory, "TokenFactory", "announce", token), bridge, 0)

    async def bridge_of(self, token_id: Account) -> ChecksumAddress | None:
        """The bridge of a token, named by its native account; None when it is not registered here."""
        (bridge,) = await self._ask(self._factory, "TokenFactory", "bridgeOf", token_id)
        return None if bridge == _ZERO else address_of(bytes.fromhex(bridge[2:]))

    async def tokens(self) -> tuple[BridgedToken, ...]:
        """Every registered token, in the order of registration."""
        (count,) = await self._ask(self._factory, "TokenFactory", "tokenCount")
        ids = [(await self._ask(self._factory, "TokenFactory", "tokenAt", index))[0] for index in range(count)]
        return tuple([await self.find(Account(token_id)) for token_id in ids])

    async def find(self, token: ChecksumAddress | Account) -> BridgedToken:
        """A token by its account (32 bytes), or by the address of its ERC-20 or bridge on this chain. Raises Rejected (NotRegistered)."""
        bridge = await self.bridge_of(await self._token_id(token) if isinstance(token, str) else token)
        if bridge is None:
            raise _not_registered(token)
        (erc20,) = await self._ask(bridge, "NativeBridge", "token")
        token_id = Account((await self._ask(bridge, "NativeBridge", "nativeToken"))[0])
        (wire,) = await self._ask(bridge, "NativeBridge", "wireDecimals")
        (scale,) = await self._ask(bridge, "NativeBridge", "scale")
        address = address_of(bytes.fromhex(erc20[2:]))
        native = account_of(address) == token_id
        decimals = wire + len(str(scale)) - 1  # scale is a power of ten
        return BridgedToken(token_id, bridge, address, native, await self._symbol(address), decimals, wire, scale)

    # ---- transfers ----

    async def transfer(
        self,
        token: ChecksumAddress | Account,
        recipient: InteropAddress,
        amount: int,
        *,
        permit: bool | None = None,
        expiry: int = 0,
        fee: int = 0,
    ) -> TokenReceipt:
        """Send `amount` to the linked chain, as much of it as makes whole wire units. Raises Rejected, EncodeError, Transient.

        A native token needs an allowance: by a permit within the transfer (`permit` true; None: if the token takes them and there is a signer),
        or by a transaction of its own before it. `expiry`: last Unix second of delivery, at most 30 days ahead (0: in a day). `fee`: the part of
        `amount` that pays whoever delivers, whole wire units.
        """
        entry = await self.find(token)
        debit = _debit(entry, amount)
        await self._check_balance(entry, debit)
        to, terms = recipient.to_bytes(), (expiry, fee)
        allowed = not entry.native or await self._allowance(entry) >= debit
        if entry.native and (permit or (permit is None and not allowed)):
            signed = await self._permit(entry, debit, needed=permit is True)
            if signed is not None:
                arguments = (to, debit, *terms, signed.to_tuple())
                try:
                    mined = await self._send(entry.bridge, "NativeBridge", "crosschainTransferWithPermit", *arguments)
                    return await self._receipt(mined, entry.bridge, debit)
                except Rejected as refusal:
                    # A token whose permit is not what it says: the allowance is then still missing.
                    if permit or refusal.reason != "ERC20InsufficientAllowance":
                        raise
        if not allowed:
            await self._allow(entry, debit)
        mined = await self._send(entry.bridge, "NativeBridge", "crosschainTransfer", to, debit, *terms)
        return await self._receipt(mined, entry.bridge, debit)

    async def transfer_ether(
        self, recipient: InteropAddress, amount: int, *, expiry: int = 0, fee: int = 0
    ) -> TokenReceipt:
        """Send wei to the linked chain, as wrapped ether. `expiry` and `fee` as for `transfer`."""
        (weth,) = await self._ask(self._factory, "TokenFactory", "weth")
        entry = await self.find(address_of(bytes.fromhex(weth[2:])))
        debit = _debit(entry, amount)
        balance = await self._client.balance(self.address)
        if balance < debit:
            raise Rejected(f"The account holds {balance} wei, less than the {debit} to be sent.", reason="NoFunds")
        data = interface("NativeBridge").encode("crosschainTransferEther", recipient.to_bytes(), expiry, fee)
        mined = await self._sender.send(Call(entry.bridge, data, debit))
        return await self._receipt(mined, entry.bridge, debit)

    async def release(self, token: ChecksumAddress | Account, transfer_id: Digest) -> str:
        """Pay out a transfer that has waited long enough, or was cleared by the guard, to its recipient. The transaction's hash."""
        entry = await self.find(token)
        return (await self._send(entry.bridge, "NativeBridge", "release", transfer_id)).name

    # ---- state ----

    async def status(self, token: ChecksumAddress | Account) -> BridgeStatus:
        """Limits, counters and queue of a token's bridge."""
        entry = await self.find(token)
        kind = "NativeBridge" if entry.native else "WrappedBridge"
        (outstanding,) = await self._ask(entry.bridge, kind, "outstanding")
        guard, guard_limit = await self._guard(entry)
        (limits,) = await self._ask(entry.bridge, kind, "limits")
        outbound, inbound = await self._ask(entry.bridge, kind, "available")
        (queued,) = await self._ask(entry.bridge, kind, "queued")
        (paused,) = await self._ask(entry.bridge, kind, "paused")
        _, _, capped, cap, delay = limits
        left_out, left_in = (None if left == _NO_LIMIT else left for left in (outbound, inbound))
        most = cap if capped else None
        return BridgeStatus(
            entry, outstanding, most, queued, left_out, left_in, paused, delay, guard, guard_limit
        )  # fmt: skip

    async def waiting(self, token: ChecksumAddress | Account, transfer_id: Digest) -> WaitingTransfer | None:
        """A transfer in the queue; None when it does not wait (never did, or was paid out)."""
        entry = await self.find(token)
        ((to, amount, at),) = await self._ask(entry.bridge, "NativeBridge", "waiting", transfer_id)
        if to == _ZERO:
            return None
        guard, limit = await self._guard(entry)
        return WaitingTransfer(address_of(bytes.fromhex(to[2:])), amount, at, guard is not None and amount > limit)

    async def refund(self, token: ChecksumAddress | Account, transfer_id: Digest) -> RefundState:
        """Whether a transfer that left this chain came back to its sender because it lapsed."""
        entry = await self.find(token)
        (known,) = await self._ask(entry.bridge, "NativeBridge", "refunded", transfer_id)
        if not known:
            return RefundState.NONE
        return RefundState.PAID if await self.waiting(token, transfer_id) is None else RefundState.WAITING

    async def holdings(self) -> tuple[TokenHolding, ...]:
        """What this chain holds of every registered token, at one final block (a `TokenLedger`). Raises Transient."""
        return await self._ledger.holdings()

    async def balance(self, token: ChecksumAddress, account: ChecksumAddress | None = None) -> int:
        """What an account (this one unless named) holds of an ERC-20, in its smallest unit."""
        return int((await self._ask(token, "Weth", "balanceOf", account or self.address))[0])

    # ---- within ----

    async def _token_id(self, address: ChecksumAddress) -> Account:
        """The native account that an address on this chain stands for: an ERC-20 of its own, a wrapped token, or a bridge."""
        own = account_of(address)
        if await self.bridge_of(own) is not None:
            return own
        try:
            (said,) = interface("WrappedToken").decode(
                "nativeToken", await self._call(address, "WrappedToken", "nativeToken")
            )
        except (Rejected, DecodeError):
            raise _not_registered(address) from None
        # Anyone can deploy a contract that says so: the factory decides.
        token_id = Account(said)
        (wrapped,) = await self._ask(self._factory, "TokenFactory", "predictToken", token_id)
        bridge = await self.bridge_of(token_id)
        if bridge is None or account_of(address) not in (account_of(wrapped), account_of(bridge)):
            raise _not_registered(address)
        return token_id

    async def _symbol(self, token: ChecksumAddress) -> str:
        """For people; empty when the token has none that can be read."""
        try:
            text = interface("Weth").decode("symbol", await self._call(token, "Weth", "symbol"))[0]
        except (Rejected, DecodeError):
            return ""
        return str(text) if str(text).isprintable() else ""

    async def _check_balance(self, entry: BridgedToken, debit: int) -> None:
        balance = await self.balance(entry.token)
        if balance < debit:
            unit = f"of {entry.symbol or entry.token} (smallest units)"
            raise Rejected(f"The account holds {balance} {unit}, less than the {debit} to be sent.", reason="NoFunds")

    async def _guard(self, entry: BridgedToken) -> tuple[ChecksumAddress | None, int]:
        guard, limit = await self._ask(entry.bridge, "NativeBridge", "guard")
        return (None if guard == _ZERO else address_of(bytes.fromhex(guard[2:]))), limit

    async def _allowance(self, entry: BridgedToken) -> int:
        return int((await self._ask(entry.token, "Weth", "allowance", self.address, entry.bridge))[0])

    async def _allow(self, entry: BridgedToken, debit: int) -> None:
        if await self._allowance(entry):  # some tokens refuse to change an allowance that is not zero
            await self._send(entry.token, "Weth", "approve", entry.bridge, 0)
        await self._send(entry.token, "Weth", "approve", entry.bridge, debit)

    async def _permit(self, entry: BridgedToken, debit: int, *, needed: bool) -> Permit | None:
        """None when there can be none. Raises instead when one is `needed`: ConfigError without a signer, Rejected for the token."""
        if self._permits is None:
            if needed:
                raise ConfigError("This account was opened without a signer of permits: send without --permit.")
            return None
        signed = await sign_permit(self._client, self._permits, entry.token, entry.bridge, debit)
        if signed is None and needed:
            raise Rejected(f"The token {entry.token} takes no permits: send without one.", reason="NoPermit")
        return signed

    async def _ask(self, to: ChecksumAddress, contract: str, function: str, *arguments: Any) -> tuple[Any, ...]:
        """A view of a contract that must be there."""
        try:
            return interface(contract).decode(function, await self._call(to, contract, function, *arguments))
        except DecodeError as error:
            raise Transient(f"{error} Check the address {to}.") from error

    async def _call(self, to: ChecksumAddress, contract: str, function: str, *arguments: Any) -> bytes:
        return await self._client.call(to, interface(contract).encode(function, *arguments))

    async def _send(self, to: ChecksumAddress, contract: str, function: str, *arguments: Any) -> Mined:
        return await self._sender.send(Call(to, interface(contract).encode(function, *arguments)))

    async def _receipt(self, mined: Mined, bridge: ChecksumAddress, amount: int) -> TokenReceipt:
        """The one post of a transaction, from the gateway's event."""
        if self._gateway is None:
            (text,) = await self._ask(self._factory, "TokenFactory", "gateway")
            self._gateway = address_of(bytes.fromhex(text[2:]))
        abi = interface("Gateway")
        for log in mined.logs:
            if log.address != self._gateway or log.topics[:1] != (abi.topic("MessagePosted"),):
                continue
            try:
                message = Message.from_bytes(abi.decode_event("MessagePosted", log.topics, log.data)["body"])
            except DecodeError as error:
                raise Transient(f"The endpoint's receipt does not decode: {error}") from error
            return TokenReceipt(message, bridge, amount, mined.gas_used, mined.name)
        raise Transient(f"Transaction {mined.name} is mined, but its receipt shows no post of the gateway.")


def _debit(entry: BridgedToken, amount: int) -> int:
    """What leaves the sender. Raises Rejected (AmountOutOfRange)."""
    try:
        return from_wire(to_wire(amount, entry.decimals), entry.decimals)
    except EncodeError as error:
        raise Rejected(str(error), reason="AmountOutOfRange") from error


def _not_registered(token: ChecksumAddress | Account) -> Rejected:
    name = token if isinstance(token, str) else "0x" + token.hex()
    return Rejected(f"The token {name} has no bridge here: register it first.", reason="NotRegistered")
