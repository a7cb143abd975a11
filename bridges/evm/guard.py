"""The transfer guard on an EVM chain (TOKENS.md §6): asks for the score of a large transfer, shows what was decided, and sets the guard up.

Guarantees: what the contracts refuse is refused before a transaction is paid for, in a sentence; the fee of a request is the model's price as the
registry has it at that moment, and comes back by `withdraw` when the oracle gave no answer. It computes no feature and no score: the contract and the
oracle do. Amounts are wire units.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eth_typing import ChecksumAddress

from bridges.evm.abi import account_of, address_of, creation_code, interface
from bridges.evm.answers import Mined
from bridges.evm.sender import Call, Sender
from oracle.errors import DecodeError, Rejected, Transient
from oracle.protocol.types import Account, Digest, ModelId, Policy

CALLBACK_GAS = 200_000
"""Gas of the hub's callback; the guard needs 60,000 to 90,000 of it, and what did not reach it `settle` brings."""
_PRICE = 8
"""Place of the price in `IModelRegistry.Model`."""


class ClearanceState(IntEnum):
    """`ITransferGuard.State`."""

    NONE = 0
    ASKED = 1
    CLEARED = 2
    DENIED = 3


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """What governance sets for a bridge. A transfer is cleared when its score, at the model's output scale, is below `score_bound`;
    `lifetime` is for how many seconds a decision on a transfer out holds."""

    model_id: ModelId
    policy: Policy
    score_bound: int
    lifetime: int
    callback_gas: int = CALLBACK_GAS

    def to_tuple(self) -> tuple[bytes, int, int, int, int]:
        """`ITransferGuard.Settings`."""
        return self.model_id, self.policy, self.score_bound, self.lifetime, self.callback_gas


@dataclass(frozen=True, slots=True)
class Clearance:
    """What was decided of one transfer. `until`: last Unix second at which that holds (0: for good)."""

    state: ClearanceState
    until: int
    score: int
    request_id: Digest


@dataclass(frozen=True, slots=True)
class AskedScore:
    """A mined question. `key` names the transfer's clearance, `features` are what the model is given."""

    key: bytes
    request_id: Digest
    fee: int
    features: tuple[int, ...]
    mined: Mined


class EvmGuard:
    """One guard, for one account that asks."""

    def __init__(self, sender: Sender, guard: Account) -> None:
        self._sender, self._client = sender, sender.client
        self._guard = address_of(guard)

    @property
    def address(self) -> ChecksumAddress:
        """The guard's."""
        return self._guard

    # ---- asking ----

    async def price(self, bridge: ChecksumAddress) -> int:
        """What a question about a transfer of this bridge costs, in wei. Raises Rejected without settings for it."""
        settings = await self.settings(bridge)
        if settings is None:
            raise Rejected(f"Governance has set up no guard for the bridge {bridge}.", reason="NoSettings")
        (hub,) = await self._ask("hub")
        registry = await self._view(hub, "OracleHub", "registry")
        (model,) = await self._view(registry[0], "ModelRegistry", "model", settings.model_id)
        return int(model[_PRICE])

    async def ask_inbound(self, bridge: ChecksumAddress, transfer_id: Digest) -> AskedScore:
        """Ask for the score of a transfer that waits at a bridge; anyone may. Raises Rejected, Transient."""
        return await self._question(bridge, "askInbound", bridge, transfer_id)

    async def ask_outbound(self, bridge: ChecksumAddress, recipient: Account, amount: int) -> AskedScore:
        """Ask for the score of a transfer that this account wants to send: exactly so many wire units to exactly this recipient."""
        return await self._question(bridge, "askOutbound", bridge, recipient, amount)

    async def settle(self, request_id: Digest) -> Mined:
        """Bring an answer that the hub has and the guard has not, or the fee of a request that got none; anyone may."""
        return await self._send("settle", request_id)

    async def withdraw(self) -> Mined:
        """Take back fees of questions that got no answer. Raises Rejected when there are none."""
        return await self._send("withdraw")

    # ---- state ----

    async def inbound(self, bridge: ChecksumAddress, transfer_id: Digest) -> Clearance:
        """What was decided of a waiting transfer."""
        return await self._clearance((await self._ask("inboundKey", bridge, transfer_id))[0])

    async def outbound(
        self, bridge: ChecksumAddress, sender: ChecksumAddress, recipient: Account, amount: int
    ) -> Clearance:
        """What was decided of a transfer out."""
        return await self._clearance((await self._ask("outboundKey", bridge, sender, recipient, amount))[0])

    async def settings(self, bridge: ChecksumAddress) -> GuardSettings | None:
        """What governance set for a bridge; None: nothing."""
        (found,) = await self._ask("settingsOf", bridge)
        model_id, policy, bound, lifetime, gas = found
        return GuardSettings(ModelId(model_id), Policy(policy), bound, lifetime, gas) if any(model_id) else None

    async def features(
        self, bridge: ChecksumAddress, account: ChecksumAddress, amount: int, *, inbound: bool
    ) -> tuple[int, ...]:
        """What the model would be given at this moment."""
        return tuple((await self._ask("featuresOf", bridge, account, amount, inbound))[0])

    async def credit(self, account: ChecksumAddress | None = None) -> int:
        """Fees that came back to an account (this one unless named), in wei."""
        return int((await self._ask("creditOf", account or self._sender.address))[0])

    # ---- governance ----

    async def configure(self, bridge: ChecksumAddress, settings: GuardSettings, limit: int) -> None:
        """Guard a bridge: transfers of more than `limit` wire units need a score. The sender must have governance at the factory."""
        await self._send("setSettings", bridge, settings.to_tuple())
        await self._sender.send(Call(bridge, interface("NativeBridge").encode("setGuard", self._guard, limit)))

    async def decide(self, key: bytes, *, cleared: bool, until: int = 0) -> Mined:
        """Clear (governance) or deny (governance or a guardian) by hand."""
        return await self._send("decide", key, cleared, until)

    # ---- within ----

    async def _question(self, bridge: ChecksumAddress, function: str, *arguments: Any) -> AskedScore:
        fee = await self.price(bridge)
        data = interface("TransferGuard").encode(function, *arguments)
        mined = await self._sender.send(Call(self._guard, data, fee))
        abi = interface("TransferGuard")
        for log in mined.logs:
            if log.address != self._guard or log.topics[:1] != (abi.topic("Asked"),):
                continue
            try:
                asked = abi.decode_event("Asked", log.topics, log.data)
            except DecodeError as error:
                raise Transient(f"The endpoint's receipt does not decode: {error}") from error
            return AskedScore(asked["key"], Digest(asked["requestId"]), fee, tuple(asked["features"]), mined)
        raise Transient(f"Transaction {mined.name} is mined, but its receipt shows no question to the oracle.")

    async def _clearance(self, key: bytes) -> Clearance:
        ((state, until, score, request_id),) = await self._ask("clearanceOf", key)
        return Clearance(ClearanceState(state), until, score, Digest(request_id))

    async def _ask(self, function: str, *arguments: Any) -> tuple[Any, ...]:
        return await self._view(self._guard, "TransferGuard", function, *arguments)

    async def _view(self, to: str, contract: str, function: str, *arguments: Any) -> tuple[Any, ...]:
        """A view of a contract that must be there."""
        abi, at = interface(contract), address_of(bytes.fromhex(to[2:]))
        try:
            return abi.decode(function, await self._client.call(at, abi.encode(function, *arguments)))
        except DecodeError as error:
            raise Transient(f"{error} Check the address {to}.") from error

    async def _send(self, function: str, *arguments: Any) -> Mined:
        return await self._sender.send(Call(self._guard, interface("TransferGuard").encode(function, *arguments)))


async def deploy_guard(sender: Sender, factory: ChecksumAddress, hub: ChecksumAddress) -> EvmGuard:
    """Deploy a guard for the bridges of a token factory; governance is the factory's. Not idempotent. Raises Rejected, Transient."""
    mined = await sender.send(Call(None, creation_code("TransferGuard", factory, hub)))
    if mined.contract is None or await sender.client.code_size(mined.contract) == 0:
        raise Transient("The endpoint says that TransferGuard was deployed, but shows no code of it: try again.")
    return EvmGuard(sender, account_of(mined.contract))
