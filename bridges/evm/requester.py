"""The user's side of an EVM chain: asks the oracle, reads answers, takes refunds, sends messages.

Guarantees: what the chain refuses is refused before a transaction is paid for, in a sentence that says what to change; a receipt carries the
message as it was posted, decoded from the gateway's own event. It asks for the account of its sender, or through the example consumer
that this account owns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_typing import ChecksumAddress

from bridges.evm.abi import account_of, address_of, interface
from bridges.evm.answers import Mined
from bridges.evm.sender import Call, Sender
from oracle.errors import ConfigError, DecodeError, Rejected, Transient
from oracle.protocol.encoding import dequantise
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message, Remote
from oracle.protocol.types import (
    Account,
    Digest,
    Endpoint,
    ModelId,
    Policy,
    Status,
    UnixSeconds,
)
from oracle.protocol.types import (
    Sequence as SequenceNumber,
)

DEFAULT_CALLBACK_GAS = 200_000
_STATES = ("unknown", "pending", "answered", "refused", "refunded")


@dataclass(frozen=True, slots=True)
class AskReceipt:
    """A post that is mined. `request_id` is the message's digest; `body` the message; `gas` what the transaction used; `fee` in wei."""

    request_id: Digest
    sequence: SequenceNumber
    gas: int
    transaction: str
    body: Message
    block: int
    fee: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hub recorded. A refusal has a status other than ANSWERED, and no outputs."""

    status: Status
    policy: Policy
    output_scale: int
    outputs: tuple[int, ...]
    consumer: Account

    @property
    def values(self) -> tuple[float, ...]:
        """Outputs as numbers."""
        return dequantise(self.outputs, self.output_scale)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the example consumer made of an answer."""

    malignant: bool
    status: Status
    policy: Policy
    logit: float


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model as this chain's registry has it; `price` in wei."""

    model_id: ModelId
    verifier: ChecksumAddress
    input_count: int
    output_count: int
    input_scale: int
    output_scale: int
    input_bound: int
    proof_length: int
    price: int
    active: bool


class EvmRequester:
    """Asks one hub, for one account."""

    def __init__(self, sender: Sender, gateway: Account, hub: Account, consumer: Account | None = None) -> None:
        self._sender, self._client = sender, sender.client
        self._gateway, self._hub = address_of(gateway), address_of(hub)
        self._consumer = None if consumer is None else address_of(consumer)
        self._registry: ChecksumAddress | None = None

    @property
    def address(self) -> ChecksumAddress:
        """The account that asks and pays."""
        return self._sender.address

    async def model(self, model_id: ModelId) -> RegisteredModel:
        """The registry's entry. Raises Rejected (ModelUnknown) when there is none."""
        if self._registry is None:
            (text,) = await self._view(self._hub, "OracleHub", "registry")
            self._registry = address_of(account_of(text))
        (entry,) = await self._view(self._registry, "ModelRegistry", "model", model_id)
        identity, verifier, inputs, outputs, input_scale, output_scale, bound, proof_length, price, _, active = entry
        return RegisteredModel(
            ModelId(identity),
            address_of(account_of(verifier)),
            inputs,
            outputs,
            input_scale,
            output_scale,
            bound,
            proof_length,
            price,
            active,
        )

    async def chain_time(self) -> UnixSeconds:
        """The clock that deadlines are checked against: the newest block's."""
        block = await self._client.block("latest")
        if block is None:
            raise Transient("The endpoint has no newest block.")
        return UnixSeconds(block.timestamp)

    async def ask(
        self,
        model_id: ModelId,
        inputs: Sequence[int],
        policy: Policy,
        deadline: UnixSeconds,
        *,
        fee: int | None = None,
        callback_gas_limit: int | None = None,
        remotes: Sequence[Remote] = (),
        through_consumer: bool = False,
    ) -> AskReceipt:
        """Post a request with its fee (wei; the model's price unless given).

        `inputs` are quantised. A direct question has no callback unless a gas limit is given; the consumer's has one.
        Raises Rejected in words, EncodeError, Transient.
        """
        paid = fee if fee is not None else (await self.model(model_id)).price
        packed = b"".join(remote.to_bytes() for remote in remotes)
        if through_consumer:
            gas = DEFAULT_CALLBACK_GAS if callback_gas_limit is None else callback_gas_limit
            data = interface("TumourConsumer").encode("ask", list(inputs), policy, deadline, gas, packed)
            call = Call(await self._consumer_for(model_id), data, paid)
        else:
            arguments = (model_id, list(inputs), policy, deadline, callback_gas_limit or 0, packed)
            call = Call(self._hub, interface("OracleHub").encode("request", *arguments), paid)
        return self._posted(await self._sender.send(call), paid)

    async def send_message(self, recipient: InteropAddress, payload: bytes) -> AskReceipt:
        """Send a message to an account on another chain (ERC-7786). The receipt's `request_id` is the message's digest."""
        data = interface("Gateway").encode("sendMessage", recipient.to_bytes(), payload, [])
        return self._posted(await self._sender.send(Call(self._gateway, data)), 0)

    async def answer(self, request_id: Digest) -> Answer | None:
        """The recorded answer or refusal, to a request of this or another chain; None while there is none."""
        (record,) = await self._view(self._hub, "OracleHub", "answerOf", request_id)
        state, status, policy, scale, consumer, outputs = record
        if _STATES[state] not in ("answered", "refused"):
            return None
        return Answer(Status(status), Policy(policy), scale, tuple(outputs), account_of(consumer))

    async def state(self, request_id: Digest) -> str:
        """What became of a request of this chain: unknown, pending, answered, refused or refunded."""
        (record,) = await self._view(self._hub, "OracleHub", "requestOf", request_id)
        return _STATES[record[1]]

    async def diagnosis(self, request_id: Digest) -> Diagnosis | None:
        """What the example consumer keeps of an answer; None before the callback."""
        (kept,) = await self._view(self._own_consumer(), "TumourConsumer", "diagnosisOf", request_id)
        known, malignant, status, policy, scale, logit, _ = kept
        return Diagnosis(malignant, Status(status), Policy(policy), dequantise([logit], scale)[0]) if known else None

    async def refund(self, request_id: Digest) -> str:
        """After the deadline: credit the fee of an unanswered request to its requester. The transaction's hash."""
        return (await self._sender.send(Call(self._hub, interface("OracleHub").encode("refund", request_id)))).name

    async def credit(self, account: str | None = None) -> int:
        """Wei that the hub owes to an account (this one unless named)."""
        return int((await self._view(self._hub, "OracleHub", "creditOf", account or self.address))[0])

    async def withdraw(self) -> str:
        """Take this account's credited fees. The transaction's hash."""
        return (await self._sender.send(Call(self._hub, interface("OracleHub").encode("withdraw")))).name

    async def collect(self) -> str:
        """Take the example consumer's refunds and balance to its owner. The transaction's hash."""
        return (await self._sender.send(Call(self._own_consumer(), interface("TumourConsumer").encode("collect")))).name

    async def trust_source(self, origin: Endpoint, requester: Account, *, trusted: bool = True) -> str:
        """Let the example consumer take answers to what `requester` asks on another chain. The transaction's hash."""
        source = (origin.chain.chain_type, origin.chain.reference, origin.gateway, requester, trusted)
        data = interface("TumourConsumer").encode("setSource", *source)
        return (await self._sender.send(Call(self._own_consumer(), data))).name

    # ---- within ----

    async def _view(self, to: ChecksumAddress, contract: str, function: str, *arguments: Any) -> tuple[Any, ...]:
        abi = interface(contract)
        try:
            return abi.decode(function, await self._client.call(to, abi.encode(function, *arguments)))
        except DecodeError as error:
            raise Transient(f"{error} Check the address {to}.") from error

    def _own_consumer(self) -> ChecksumAddress:
        if self._consumer is None:
            raise ConfigError("No example consumer is configured on this chain: name its address.")
        return self._consumer

    async def _consumer_for(self, model_id: ModelId) -> ChecksumAddress:
        consumer = self._own_consumer()
        (own,) = await self._view(consumer, "TumourConsumer", "modelId")
        if own != model_id:
            raise Rejected(
                f"The consumer {consumer} asks another model, 0x{own.hex()}: ask the hub directly.", reason="WrongModel"
            )
        return consumer

    def _posted(self, receipt: Mined, fee: int) -> AskReceipt:
        """The one post of a transaction, from the gateway's event."""
        abi = interface("Gateway")
        topic = abi.topic("MessagePosted")
        for log in receipt.logs:
            if log.address != self._gateway or log.topics[:1] != (topic,):
                continue
            try:
                event: Mapping[str, Any] = abi.decode_event("MessagePosted", log.topics, log.data)
                message = Message.from_bytes(event["body"])
            except DecodeError as error:
                raise Transient(f"The endpoint's receipt does not decode: {error}") from error
            gas, block = receipt.gas_used, receipt.block
            return AskReceipt(message.digest, message.sequence, gas, receipt.name, message, block, fee)
        raise Transient(
            f"Transaction {receipt.name} is mined, but its receipt shows no post of the gateway {self._gateway}: check its address."
        )
