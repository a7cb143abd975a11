"""Puts Sibyl's contracts on an EVM chain, wired together: what the devnet does at its start, and an operator once a chain.

Guarantees: contracts that do not depend on one another go out at once, in four waves; it returns only when everything is mined; the
deployer owns every contract, until `bridges.evm.governance.hand_over` gives them to a timelock. It does not verify what it deploys against a source.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from eth_typing import ChecksumAddress

from bridges.evm.abi import account_of, creation_code, interface
from bridges.evm.answers import Mined
from bridges.evm.points import split_signature
from bridges.evm.sender import Call, Sender
from oracle.errors import ConfigError, Transient
from oracle.protocol.hashing import keccak256
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import encode_endpoint
from oracle.protocol.types import Chain, Endpoint, Kind, ModelId

Progress = Callable[[str], None]
ACTIVATION_DELAY = 3 * 86_400
"""Seconds: longer than a timelock's two days, so that a veto is in time."""
_ZERO = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class GroupKey:
    """The committee's first group key: x and parity of the point, and its proof of possession R(33) ‖ z(32) (PROTOCOL.md §6).

    `threshold` members sign; `operators` names for each member, in the order of identifiers, the operator who runs it.
    """

    px: int
    parity: int
    proof_of_possession: bytes
    threshold: int
    operators: bytes


@dataclass(frozen=True, slots=True)
class ModelRegistration:
    """A model as the registry takes it. `verifier` is the creation code of its ezkl verifier (empty: no proofs on this chain)."""

    model_id: ModelId
    input_count: int
    output_count: int
    input_scale: int
    output_scale: int
    input_bound: int
    price: int
    verifier: bytes = field(default=b"", repr=False)
    proof_length: int = 0
    licence: bytes = bytes(32)
    active: bool = True


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """What to deploy. `payees` share the fees; `peers` are the trusted origins; `consumer_owner` may ask through the example consumer,
    which is deployed for the first model. `activation_delay`: seconds between a new group key's arrival and its epoch's begin, in which
    governance can veto it."""

    group_key: GroupKey
    payees: tuple[str, ...]
    models: tuple[ModelRegistration, ...] = ()
    peers: tuple[Endpoint, ...] = ()
    consumer_owner: str | None = None
    activation_delay: int = ACTIVATION_DELAY


@dataclass(frozen=True, slots=True)
class EvmDeployment:
    """Addresses (EIP-55). `verifiers` are in the order of the plan's models. `block` is the deployment's first block: no post lies before it.
    `gas` is the sum over all transactions."""

    chain_id: int
    committee: ChecksumAddress
    gateway: ChecksumAddress
    registry: ChecksumAddress
    hub: ChecksumAddress
    fee_splitter: ChecksumAddress
    consumer: ChecksumAddress | None
    verifiers: tuple[ChecksumAddress | None, ...]
    block: int
    gas: int
    transactions: int

    @property
    def endpoint(self) -> Endpoint:
        """The gateway as an origin and destination."""
        return Endpoint(Chain.evm(self.chain_id), account_of(self.gateway))


async def deploy(sender: Sender, plan: DeploymentPlan, progress: Progress = lambda step: None) -> EvmDeployment:
    """Deploy and wire everything. Raises Rejected with the contract's reason, Transient, ConfigError. Not idempotent: a second run deploys anew."""
    return await _Deployment(sender, plan, progress).run()


async def create(sender: Sender, name: str, *arguments: Any) -> ChecksumAddress:
    """One of Sibyl's contracts, newly deployed. Raises Rejected, Transient."""
    return (await _created(sender, name, creation_code(name, *arguments)))[0]


async def _created(sender: Sender, name: str, code: bytes) -> tuple[ChecksumAddress, Mined]:
    receipt = await sender.send(Call(None, code))
    if receipt.contract is None or await sender.client.code_size(receipt.contract) == 0:
        raise Transient(f"The endpoint says that {name} was deployed, but shows no code of it: try again.")
    return receipt.contract, receipt


async def set_peer(sender: Sender, gateway: ChecksumAddress, origin: Endpoint, *, trusted: bool = True) -> Mined:
    """Trust, or distrust, an origin at a gateway that the sender owns."""
    data = interface("Gateway").encode("setPeer", encode_endpoint(origin), trusted)
    return await sender.send(Call(gateway, data))


@dataclass(frozen=True, slots=True)
class TokenDeployment:
    """The token bridge's contracts. The hashes are of the creation codes, from which bridge and token addresses follow (TOKENS.md §1)."""

    factory: ChecksumAddress
    weth: ChecksumAddress
    native_bridge_hash: bytes
    wrapped_bridge_hash: bytes
    wrapped_token_hash: bytes
    gas: int


_BLUEPRINTS = ("NativeBridge", "WrappedBridge", "WrappedToken")


async def deploy_tokens(
    sender: Sender, gateway: ChecksumAddress, authority: InteropAddress, weth: ChecksumAddress | None = None
) -> TokenDeployment:
    """Deploy the token bridge, linked to the bridge authority on Solana; the sender gets governance, and is the first guardian.

    Without `weth` an example of our own is deployed, for devnets. Raises Rejected, Transient. Not idempotent.
    """
    receipts: list[Mined] = []

    async def new(name: str, *arguments: Any) -> ChecksumAddress:
        address, receipt = await _created(sender, name, creation_code(name, *arguments))
        receipts.append(receipt)
        return address

    codes = [creation_code(name) for name in _BLUEPRINTS]
    blueprints = [await new("Blueprint", code) for code in codes]
    ether = weth or await new("Weth")
    factory = await new("TokenFactory", sender.address, gateway, authority.to_bytes(), ether, tuple(blueprints))
    gas = sum(receipt.gas_used for receipt in receipts)
    native, wrapped, token = (keccak256(code) for code in codes)
    return TokenDeployment(factory, ether, native, wrapped, token, gas)


class _Deployment:
    def __init__(self, sender: Sender, plan: DeploymentPlan, progress: Progress) -> None:
        self._sender, self._plan, self._progress = sender, plan, progress
        self._at: dict[str, ChecksumAddress] = {}
        self._receipts: list[Mined] = []

    async def run(self) -> EvmDeployment:
        plan, owner = self._plan, self._sender.address
        if plan.consumer_owner is not None and not plan.models:
            raise ConfigError("The example consumer asks a model: name at least one.")
        await together(
            self._create("Committee", owner, plan.activation_delay),
            self._create("ModelRegistry", owner),
            self._create("FeeSplitter", list(plan.payees)),
            *(self._verifier(model) for model in plan.models),
        )
        await together(
            self._create("Gateway", owner, self._at["Committee"]),
            self._set_first_key(),
            *(self._register(model) for model in plan.models),
        )
        gateway = self._at["Gateway"]
        await together(
            self._create("OracleHub", owner, gateway, self._at["ModelRegistry"], self._at["FeeSplitter"]),
            self._set("Committee", "setGateway", gateway),
        )
        hub = self._at["OracleHub"]
        await together(
            *(self._set("Gateway", "setHandler", k, hub) for k in (Kind.INFERENCE_REQUEST, Kind.INFERENCE_RESULT)),
            *(self._set("Gateway", "setPeer", encode_endpoint(peer), True) for peer in plan.peers),
            self._consumer(hub),
        )
        return EvmDeployment(
            chain_id=self._sender.client.chain_id,
            committee=self._at["Committee"],
            gateway=gateway,
            registry=self._at["ModelRegistry"],
            hub=hub,
            fee_splitter=self._at["FeeSplitter"],
            consumer=self._at.get("TumourConsumer"),
            verifiers=tuple(self._at.get(_verifier_name(model)) for model in plan.models),
            block=min(receipt.block for receipt in self._receipts),
            gas=sum(receipt.gas_used for receipt in self._receipts),
            transactions=len(self._receipts),
        )

    async def _create(self, contract: str, *arguments: Any) -> ChecksumAddress:
        return await self._create_raw(contract, creation_code(contract, *arguments))

    async def _create_raw(self, name: str, code: bytes) -> ChecksumAddress:
        address, receipt = await _created(self._sender, name, code)
        self._receipts.append(receipt)
        self._progress(f"deploy {name}")
        self._at[name] = address
        return address

    async def _verifier(self, model: ModelRegistration) -> None:
        if model.verifier:
            await self._create_raw(_verifier_name(model), model.verifier)

    async def _set_first_key(self) -> None:
        key = self._plan.group_key
        proof = split_signature(key.proof_of_possession)
        await self._set("Committee", "setFirstKey", key.px, key.parity, key.threshold, key.operators, proof)

    async def _register(self, model: ModelRegistration) -> None:
        entry = (
            model.model_id,
            self._at.get(_verifier_name(model), _ZERO),
            model.input_count,
            model.output_count,
            model.input_scale,
            model.output_scale,
            model.input_bound,
            model.proof_length,
            model.price,
            model.licence,
            model.active,
        )
        await self._set("ModelRegistry", "register", entry)

    async def _consumer(self, hub: ChecksumAddress) -> None:
        if self._plan.consumer_owner is not None:
            arguments = (self._plan.consumer_owner, hub, self._plan.models[0].model_id)
            await self._create("TumourConsumer", *arguments)

    async def _set(self, contract: str, function: str, *arguments: Any) -> None:
        data = interface(contract).encode(function, *arguments)
        await self._send(Call(self._at[contract], data), f"{contract}.{function}")

    async def _send(self, call: Call, step: str) -> Mined:
        receipt = await self._sender.send(call)
        self._receipts.append(receipt)
        self._progress(step)
        return receipt


async def together(*steps: Coroutine[Any, Any, object]) -> None:
    """Run steps at once. When one fails the others are cancelled, and its own error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _verifier_name(model: ModelRegistration) -> str:
    return f"the ezkl verifier of model 0x{model.model_id.hex()[:8]}"
