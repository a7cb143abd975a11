"""The one wire format: bodies of messages, and the payloads of each kind that has one of its own (PROTOCOL.md §1, §3).

Guarantees: decoding accepts exactly the bytes that encoding makes (strict lengths, known enumerations, no trailing bytes), raises only
`DecodeError`, and `decode(encode(x)) == x`. It does not decide whether a message may be signed or delivered; that is the pipeline's and
the contracts' work.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.hashing import keccak256, message_digest
from oracle.protocol.quorum import quorum
from oracle.protocol.types import (
    WORD,
    Account,
    Chain,
    ChainType,
    CommitteeEpoch,
    Digest,
    Endpoint,
    Kind,
    ModelId,
    Policy,
    Sequence,
    Status,
    UnixSeconds,
    check_account,
)

T = TypeVar("T")
INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
_INT64 = 8
_PROOF_OF_POSSESSION = c.ROTATION_OVERLAP_OFFSET - c.ROTATION_PROOF_R_OFFSET


class _Reader:
    """Takes fixed-size fields off a buffer; every shortage is a DecodeError."""

    __slots__ = ("_data", "_offset", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._offset, self._what = data, 0, what

    def take(self, size: int) -> bytes:
        end = self._offset + size
        if end > len(self._data):
            raise DecodeError(f"{self._what} ends after {len(self._data)} bytes, at least {end} are needed.")
        chunk = self._data[self._offset : end]
        self._offset = end
        return chunk

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def int64s(self, count: int) -> tuple[int, ...]:
        return tuple(int.from_bytes(self.take(_INT64), signed=True) for _ in range(count))

    def endpoint(self) -> Endpoint:
        chain = Chain(ChainType(self.uint(2)), self.take(WORD))
        return Endpoint(chain, Account(self.take(WORD)))

    def finish(self) -> None:
        if self._offset != len(self._data):
            raise DecodeError(f"{self._what} has {len(self._data) - self._offset} trailing bytes.")


def _decoding(what: str, data: bytes, read: Callable[[_Reader], T]) -> T:
    """Run `read` so that whatever is wrong with the bytes becomes a DecodeError."""
    reader = _Reader(data, what)
    try:
        value = read(reader)
    except (EncodeError, ValueError) as error:
        raise DecodeError(f"{what} is invalid: {str(error).rstrip('.')}.") from error
    reader.finish()
    return value


def _uint(value: int, size: int, name: str) -> bytes:
    if not 0 <= value < 1 << (8 * size):
        raise EncodeError(f"{name} is {value}; it must be a whole number of {size} bytes.")
    return value.to_bytes(size)


def _int64s(values: tuple[int, ...], name: str) -> bytes:
    for index, value in enumerate(values):
        if not INT64_MIN <= value <= INT64_MAX:
            raise EncodeError(f"{name} number {index} is {value}, outside int64.")
    return b"".join(value.to_bytes(_INT64, signed=True) for value in values)


def _word(value: bytes, name: str) -> bytes:
    if len(value) != WORD:
        raise EncodeError(f"{name} has 32 bytes, not {len(value)}.")
    return value


def encode_endpoint(endpoint: Endpoint) -> bytes:
    """Chain type (2), chain reference (32), gateway (32): 66 bytes, as in a body."""
    return endpoint.chain.chain_type.to_bytes(2) + endpoint.chain.reference + endpoint.gateway


def origin_hash(origin: Endpoint) -> bytes:
    """keccak256 of the encoded origin; names a replay bitmap and a peer on each destination."""
    return keccak256(encode_endpoint(origin))


@dataclass(frozen=True, slots=True)
class Message:
    """A message's body (`[layout.body]`). Its bytes are what the committee signs, so it carries nothing that two nodes could see differently."""

    kind: Kind
    origin: Endpoint
    destination: Endpoint
    sequence: Sequence
    sender: Account
    recipient: Account
    expiry: UnixSeconds
    payload: bytes = field(repr=False)
    _digest: Digest | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        check_account(self.origin.chain.chain_type, self.sender)
        check_account(self.destination.chain.chain_type, self.recipient)
        if self.sequence < 1:
            raise EncodeError("Sequences start at 1.")
        if len(self.payload) > c.MAX_PAYLOAD_SIZE:
            raise EncodeError(f"A payload has at most {c.MAX_PAYLOAD_SIZE} bytes, not {len(self.payload)}.")

    def to_bytes(self) -> bytes:
        """The body: `BODY_SIZE` bytes of header, then the payload."""
        return b"".join(
            (
                _uint(c.PROTOCOL_VERSION, 1, "version"),
                _uint(self.kind, 1, "kind"),
                encode_endpoint(self.origin),
                encode_endpoint(self.destination),
                _uint(self.sequence, 8, "sequence"),
                self.sender,
                self.recipient,
                _uint(self.expiry, 8, "expiry"),
                _uint(len(self.payload), 2, "payload size"),
                self.payload,
            )
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> "Message":
        """Decode strictly. Raises DecodeError."""
        return _decoding("A message body", body, cls._read)

    @classmethod
    def _read(cls, reader: _Reader) -> "Message":
        version = reader.uint(1)
        if version != c.PROTOCOL_VERSION:
            raise DecodeError(f"This node speaks protocol version {c.PROTOCOL_VERSION}, the message {version}.")
        return cls(
            kind=Kind(reader.uint(1)),
            origin=reader.endpoint(),
            destination=reader.endpoint(),
            sequence=Sequence(reader.uint(8)),
            sender=Account(reader.take(WORD)),
            recipient=Account(reader.take(WORD)),
            expiry=UnixSeconds(reader.uint(8)),
            payload=reader.take(reader.uint(2)),
        )

    @property
    def digest(self) -> Digest:
        """What names this message everywhere (PROTOCOL.md §1)."""
        if self._digest is None:
            # Computed once: a message never changes, and a node asks for its digest at every step.
            object.__setattr__(self, "_digest", message_digest(self.to_bytes()))
        return cast(Digest, self._digest)


@dataclass(frozen=True, slots=True)
class Remote:
    """A further destination of a request (`[layout.remote]`)."""

    policy: Policy
    destination: Endpoint
    hub: Account
    consumer: Account

    def __post_init__(self) -> None:
        check_account(self.destination.chain.chain_type, self.hub)
        check_account(self.destination.chain.chain_type, self.consumer)

    def to_bytes(self) -> bytes:
        """`REMOTE_SIZE` bytes."""
        return bytes([self.policy]) + encode_endpoint(self.destination) + self.hub + self.consumer

    @classmethod
    def _read(cls, reader: _Reader) -> "Remote":
        policy = Policy(reader.uint(1))
        return cls(policy, reader.endpoint(), Account(reader.take(WORD)), Account(reader.take(WORD)))


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """Payload of an inference request (`[layout.request]`).

    `inputs` are fixed point at the model's input scale; `fee` is in the origin's smallest unit.
    """

    model_id: ModelId
    fee: int
    callback_gas_limit: int
    policy: Policy
    remotes: tuple[Remote, ...]
    inputs: tuple[int, ...]

    def __post_init__(self) -> None:
        _word(self.model_id, "model id")
        if len(self.remotes) > c.MAX_REMOTES:
            raise EncodeError(f"A request has at most {c.MAX_REMOTES} remotes, not {len(self.remotes)}.")
        if not 1 <= len(self.inputs) <= c.MAX_INPUTS:
            raise EncodeError(f"A request has 1 to {c.MAX_INPUTS} inputs, not {len(self.inputs)}.")
        chains = [remote.destination.chain for remote in self.remotes]
        if len(set(chains)) != len(chains):
            raise EncodeError("No two remotes of a request share a chain.")
        if self.policy is Policy.PROVEN and self.remotes:
            raise EncodeError("A request under PROVEN has no remotes.")
        if any(remote.policy is Policy.PROVEN for remote in self.remotes):
            raise EncodeError("A remote cannot take PROVEN, since only the origin stores the request.")

    def to_bytes(self) -> bytes:
        """Payload bytes."""
        return b"".join(
            (
                self.model_id,
                _uint(self.fee, 16, "fee"),
                _uint(self.callback_gas_limit, 4, "callback gas limit"),
                bytes([self.policy, len(self.remotes)]),
                _uint(len(self.inputs), 2, "input count"),
                *(remote.to_bytes() for remote in self.remotes),
                _int64s(self.inputs, "input"),
            )
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> "InferenceRequest":
        """Decode strictly. Raises DecodeError."""
        return _decoding("A request's payload", payload, cls._read)

    @classmethod
    def _read(cls, reader: _Reader) -> "InferenceRequest":
        model_id, fee, gas = ModelId(reader.take(WORD)), reader.uint(16), reader.uint(4)
        policy, remote_count, input_count = Policy(reader.uint(1)), reader.uint(1), reader.uint(2)
        if remote_count > c.MAX_REMOTES or input_count > c.MAX_INPUTS:
            raise DecodeError("A request's payload announces more remotes or inputs than a request may have.")
        remotes = tuple(Remote._read(reader) for _ in range(remote_count))
        return cls(model_id, fee, gas, policy, remotes, reader.int64s(input_count))

    @property
    def input_commitment(self) -> bytes:
        """keccak256 of the input bytes."""
        return keccak256(_int64s(self.inputs, "input"))


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """Payload of an inference result (`[layout.result]`). `outputs` are fixed point: value = output / 2^output_scale."""

    status: Status
    policy: Policy
    model_id: ModelId
    request_id: Digest
    input_commitment: bytes
    requester: Account
    consumer: Account
    callback_gas_limit: int
    output_scale: int
    outputs: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("model_id", "request_id", "input_commitment", "requester", "consumer"):
            _word(getattr(self, name), name.replace("_", " "))
        if len(self.outputs) > c.MAX_OUTPUTS:
            raise EncodeError(f"A result has at most {c.MAX_OUTPUTS} outputs, not {len(self.outputs)}.")
        if (self.status is Status.ANSWERED) != bool(self.outputs):
            raise EncodeError("An answer has outputs, a refusal has none.")
        if self.output_scale > (c.MAX_SCALE if self.outputs else 0):
            raise EncodeError(f"An output scale is at most {c.MAX_SCALE}, and 0 in a refusal.")

    def to_bytes(self) -> bytes:
        """Payload bytes."""
        return b"".join(
            (
                bytes([self.status, self.policy]),
                self.model_id,
                self.request_id,
                self.input_commitment,
                self.requester,
                self.consumer,
                _uint(self.callback_gas_limit, 4, "callback gas limit"),
                _uint(self.output_scale, 1, "output scale"),
                _uint(len(self.outputs), 1, "output count"),
                _int64s(self.outputs, "output"),
            )
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> "InferenceResult":
        """Decode strictly. Raises DecodeError."""
        return _decoding("A result's payload", payload, cls._read)

    @classmethod
    def _read(cls, reader: _Reader) -> "InferenceResult":
        status, policy = Status(reader.uint(1)), Policy(reader.uint(1))
        model_id, request_id, commitment = (reader.take(WORD) for _ in range(3))
        requester, consumer = (Account(reader.take(WORD)) for _ in range(2))
        gas, scale = reader.uint(4), reader.uint(1)
        outputs = reader.int64s(reader.uint(1))
        return cls(
            status,
            policy,
            ModelId(model_id),
            Digest(request_id),
            commitment,
            requester,
            consumer,
            gas,
            scale,
            outputs,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a node's own inference said about a request: outputs at a scale, or the reason of a refusal."""

    status: Status
    outputs: tuple[int, ...] = ()
    output_scale: int = 0


def result_messages(request: Message, outcome: Outcome) -> tuple[Message, ...]:
    """The results of a request, one for each destination: first its origin, then its remotes (PROTOCOL.md §3).

    Raises DecodeError when `request` is not a well-formed inference request.
    """
    if request.kind is not Kind.INFERENCE_REQUEST:
        raise DecodeError("Only an inference request has results.")
    asked = InferenceRequest.from_bytes(request.payload)
    home = Remote(asked.policy, request.origin, request.recipient, request.sender)
    if any(remote.destination.chain == request.origin.chain for remote in asked.remotes):
        raise DecodeError("A remote of a request lies on another chain than its origin.")
    return tuple(_result_for(request, asked, outcome, target) for target in (home, *asked.remotes))


def _result_for(request: Message, asked: InferenceRequest, outcome: Outcome, target: Remote) -> Message:
    payload = InferenceResult(
        status=outcome.status,
        policy=target.policy,
        model_id=asked.model_id,
        request_id=request.digest,
        input_commitment=asked.input_commitment,
        requester=request.sender,
        consumer=target.consumer,
        callback_gas_limit=asked.callback_gas_limit,
        output_scale=outcome.output_scale,
        outputs=outcome.outputs,
    )
    return Message(
        kind=Kind.INFERENCE_RESULT,
        origin=request.origin,
        destination=target.destination,
        sequence=request.sequence,
        sender=request.origin.gateway,
        recipient=target.hub,
        expiry=request.expiry,
        payload=payload.to_bytes(),
    )


@dataclass(frozen=True, slots=True)
class NonDelivery:
    """Payload of a non-delivery (`[layout.non_delivery]`): which message expired, and what it said."""

    digest: Digest
    payload: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _word(self.digest, "digest")

    def to_bytes(self) -> bytes:
        """Payload bytes."""
        return self.digest + self.payload

    @classmethod
    def from_bytes(cls, payload: bytes) -> "NonDelivery":
        """Decode strictly. Raises DecodeError."""
        if len(payload) < c.NON_DELIVERY_SIZE:
            raise DecodeError(f"A non-delivery has at least {c.NON_DELIVERY_SIZE} bytes, not {len(payload)}.")
        return cls(Digest(payload[: c.NON_DELIVERY_SIZE]), payload[c.NON_DELIVERY_SIZE :])


def non_delivery_message(message: Message) -> Message:
    """What the committee tells the sender of a message that expired undelivered (PROTOCOL.md §3).

    Raises DecodeError for a message that cannot expire, or that is not of a user's kind.
    """
    if message.kind is not Kind.MESSAGE or not message.expiry:
        raise DecodeError("Only a message with an expiry can turn out not to be deliverable any more.")
    return Message(
        kind=Kind.NON_DELIVERY,
        origin=message.origin,
        destination=message.origin,
        sequence=message.sequence,
        sender=message.origin.gateway,
        recipient=message.sender,
        expiry=UnixSeconds(0),
        payload=NonDelivery(message.digest, message.payload).to_bytes(),
    )


@dataclass(frozen=True, slots=True)
class RotationRemote:
    """A further destination of a rotation (`[layout.rotation_remote]`). `committee` keeps the group keys there."""

    destination: Endpoint
    committee: Account

    def __post_init__(self) -> None:
        check_account(self.destination.chain.chain_type, self.committee)

    def to_bytes(self) -> bytes:
        """`ROTATION_REMOTE_SIZE` bytes."""
        return encode_endpoint(self.destination) + self.committee


@dataclass(frozen=True, slots=True)
class Rotation:
    """Payload of a rotation (`[layout.rotation]`).

    `group_key` is x-only with `parity`; `proof_of_possession` is R(33) ‖ z(32) by the new key; `overlap` in seconds; `operators` names, for
    each member in the order of their identifiers, the operator who runs it.
    """

    epoch: CommitteeEpoch
    group_key: bytes
    parity: int
    proof_of_possession: bytes
    overlap: int
    transcript: bytes
    threshold: int
    operators: bytes
    remotes: tuple[RotationRemote, ...]

    def __post_init__(self) -> None:
        _word(self.group_key, "group key")
        _word(self.transcript, "transcript")
        if self.parity not in (0, 1):
            raise EncodeError(f"A parity is 0 or 1, not {self.parity}.")
        if len(self.proof_of_possession) != _PROOF_OF_POSSESSION:
            raise EncodeError(f"A proof of possession has {_PROOF_OF_POSSESSION} bytes.")
        members = len(self.operators)
        if not c.MIN_MEMBERS <= members <= c.MAX_MEMBERS:
            raise EncodeError(f"A committee has {c.MIN_MEMBERS} to {c.MAX_MEMBERS} members, not {members}.")
        if not quorum(members) <= self.threshold <= members:
            raise EncodeError(f"Of {members} members {quorum(members)} to {members} sign, not {self.threshold}.")
        heaviest = max(self.operators.count(number) for number in set(self.operators))
        if heaviest > members - self.threshold:
            raise EncodeError(
                f"One operator runs {heaviest} of {members} members; with more than {members - self.threshold} it could stop the committee."
            )
        if len(self.remotes) > c.MAX_REMOTES:
            raise EncodeError(f"A rotation has at most {c.MAX_REMOTES} remotes, not {len(self.remotes)}.")
        chains = [remote.destination.chain for remote in self.remotes]
        if len(set(chains)) != len(chains):
            raise EncodeError("No two remotes of a rotation share a chain.")

    def to_bytes(self) -> bytes:
        """Payload bytes."""
        return b"".join(
            (
                _uint(self.epoch, 4, "epoch"),
                self.group_key,
                bytes([self.parity]),
                self.proof_of_possession,
                _uint(self.overlap, 4, "overlap"),
                self.transcript,
                _uint(self.threshold, 2, "threshold"),
                _uint(len(self.operators), 2, "member count"),
                bytes([len(self.remotes)]),
                self.operators,
                *(remote.to_bytes() for remote in self.remotes),
            )
        )

    @classmethod
    def from_bytes(cls, payload: bytes) -> "Rotation":
        """Decode strictly. Raises DecodeError."""
        return _decoding("A rotation's payload", payload, cls._read)

    @classmethod
    def _read(cls, reader: _Reader) -> "Rotation":
        epoch, key, parity = CommitteeEpoch(reader.uint(4)), reader.take(WORD), reader.uint(1)
        proof, overlap, transcript = reader.take(_PROOF_OF_POSSESSION), reader.uint(4), reader.take(WORD)
        threshold, members, remotes = reader.uint(2), reader.uint(2), reader.uint(1)
        if members > c.MAX_MEMBERS or remotes > c.MAX_REMOTES:
            raise DecodeError("A rotation's payload announces more members or remotes than a rotation may have.")
        operators = reader.take(members)
        places = tuple(RotationRemote(reader.endpoint(), Account(reader.take(WORD))) for _ in range(remotes))
        return cls(epoch, key, parity, proof, overlap, transcript, threshold, operators, places)


def rotation_messages(post: Message) -> tuple[Message, ...]:
    """The messages of a rotation, one for each destination: first the post itself, for its own chain, then the remotes (PROTOCOL.md §3).

    Raises DecodeError when `post` is not a well-formed rotation.
    """
    if post.kind is not Kind.ROTATION or post.destination != post.origin:
        raise DecodeError("A rotation is posted on the chain where it begins.")
    rotation = Rotation.from_bytes(post.payload)
    if any(remote.destination.chain == post.origin.chain for remote in rotation.remotes):
        raise DecodeError("A remote of a rotation lies on another chain than its origin.")
    others = (replace(post, destination=remote.destination, recipient=remote.committee) for remote in rotation.remotes)
    return (post, *others)
