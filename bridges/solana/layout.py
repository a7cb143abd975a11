"""Accounts of the Sibyl program as Python values, and the addresses where they lie (PROTOCOL.md §7).

Guarantees: a decoder takes only an account that the program owns, of exactly its layout's length, with the right type and version
bytes and zeros in reserved fields, and raises nothing but `DecodeError`. It does not check an account's address: whoever fetched the
account derived the address first. No I/O.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.hashing import message_digest
from oracle.protocol.message import InferenceResult, Message, origin_hash
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
    Sequence,
    UnixSeconds,
)

UPGRADEABLE_LOADER: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
"""Loader of the program; its program data account names the upgrade authority."""

NOBODY: Final = Pubkey.default()
"""Thirty-two zeros, in the place of an account that there is none of."""

ENDPOINT_SIZE: Final = c.PEER_ACCOUNT_SIZE - c.PEER_ACCOUNT_ORIGIN_OFFSET

INBOX_KIND_AT: Final = c.INBOX_ACCOUNT_KIND_OFFSET
INBOX_REQUEST_ID_AT: Final = c.INBOX_ACCOUNT_SIZE + c.BODY_SIZE + c.RESULT_REQUEST_ID_OFFSET
"""Where an inbox account that holds a result names the request, for searches by memcmp."""


class OutboxState(IntEnum):
    """What became of a post (`OUTBOX_*`)."""

    POSTED = c.OUTBOX_POSTED
    PENDING = c.OUTBOX_PENDING
    ANSWERED = c.OUTBOX_ANSWERED
    REFUSED = c.OUTBOX_REFUSED


class Pda(NamedTuple):
    """A program-derived address and its bump."""

    address: Pubkey
    bump: int


@lru_cache(maxsize=4096)
def _derive(program: Pubkey, *seeds: bytes) -> Pda:
    return Pda(*Pubkey.find_program_address(list(seeds), program))


@dataclass(frozen=True, slots=True)
class ProgramAddresses:
    """The addresses of one deployed program."""

    program: Pubkey

    @property
    def config(self) -> Pda:
        """[config]."""
        return _derive(self.program, c.SEED_CONFIG)

    @property
    def program_data(self) -> Pubkey:
        """The loader's account that holds the code and the upgrade authority."""
        return _derive(UPGRADEABLE_LOADER, bytes(self.program)).address

    def committee(self, epoch: CommitteeEpoch) -> Pda:
        """[committee, epoch]."""
        return _derive(self.program, c.SEED_COMMITTEE, _little(epoch, 4, "committee epoch"))

    def model(self, model_id: ModelId) -> Pda:
        """[model, model id]."""
        return _derive(self.program, c.SEED_MODEL, model_id)

    def peer(self, origin: Endpoint) -> Pda:
        """[peer, origin hash]."""
        return _derive(self.program, c.SEED_PEER, origin_hash(origin))

    def outbox(self, sequence: int) -> Pda:
        """[outbox, sequence]."""
        return _derive(self.program, c.SEED_OUTBOX, _little(sequence, 8, "sequence"))

    def inbox(self, digest: Digest) -> Pda:
        """[inbox, digest]."""
        return _derive(self.program, c.SEED_INBOX, digest)

    def replay(self, origin: Endpoint, sequence: int) -> Pda:
        """[replay, origin hash, window] of the window that holds `sequence`."""
        window = _little(sequence // c.REPLAY_WINDOW, 8, "replay window")
        return _derive(self.program, c.SEED_REPLAY, origin_hash(origin), window)


def _little(value: int, size: int, name: str) -> bytes:
    if not 0 <= value < 1 << (8 * size):
        raise EncodeError(f"{name} is {value}; it must be a whole number of {size} bytes.")
    return value.to_bytes(size, "little")


@dataclass(frozen=True, slots=True)
class AccountData:
    """An account as the cluster holds it."""

    owner: Pubkey
    lamports: int
    data: bytes = field(repr=False)

    @property
    def vacant(self) -> bool:
        """Whether nothing was created here: anyone can send lamports to an address before, or after, an account exists there."""
        return self.owner == SYSTEM_PROGRAM and not self.data


class _Fields:
    """Little-endian fields of one account, at the offsets of protocol.toml."""

    __slots__ = ("_name", "data")

    def __init__(self, account: AccountData, program: Pubkey, name: str, kind: int, size: int, *, tail: bool) -> None:
        self.data, self._name = account.data, name
        if account.owner != program:
            raise DecodeError(f"The {name} account belongs to {account.owner}, not to the program {program}.")
        if len(self.data) < size or (not tail and len(self.data) != size):
            raise DecodeError(f"The {name} account has {len(self.data)} bytes, its layout {size}.")
        if self.data[0] != kind:
            raise DecodeError(f"The {name} account's type byte is {self.data[0]}, not {kind}.")
        if self.data[1] != c.ACCOUNT_LAYOUT_VERSION:
            raise DecodeError(f"The {name} account has layout version {self.data[1]}, not {c.ACCOUNT_LAYOUT_VERSION}.")

    def uint(self, offset: int, size: int) -> int:
        return int.from_bytes(self.data[offset : offset + size], "little")

    def word(self, offset: int) -> bytes:
        return self.data[offset : offset + WORD]

    def key(self, offset: int) -> Pubkey:
        return Pubkey(self.word(offset))

    def flag(self, offset: int, what: str) -> bool:
        if self.data[offset] > 1:
            raise DecodeError(f"The {self._name} account's {what} is {self.data[offset]}, neither 0 nor 1.")
        return self.data[offset] == 1

    def zeros(self, offset: int, size: int) -> None:
        if any(self.data[offset : offset + size]):
            raise DecodeError(f"A reserved field of the {self._name} account is not zero.")

    def body(self, size_offset: int, start: int) -> bytes:
        size = self.uint(size_offset, 4)
        if len(self.data) != start + size:
            raise DecodeError(
                f"The {self._name} account announces a body of {size} bytes, not {len(self.data) - start}."
            )
        return self.data[start:]


@dataclass(frozen=True, slots=True)
class ConfigAccount:
    """[config]. `next_sequence` is the sequence of the next post; `activation_delay` in seconds from a key's arrival to its epoch's begin."""

    current_epoch: CommitteeEpoch
    next_sequence: int
    activation_delay: int
    authority: Pubkey
    treasury: Pubkey
    chain_reference: bytes

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "ConfigAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "configuration", c.ACCOUNT_CONFIG, c.CONFIG_ACCOUNT_SIZE, tail=False)
        f.zeros(c.CONFIG_ACCOUNT_RESERVED_OFFSET, 1)
        f.zeros(c.CONFIG_ACCOUNT_RESERVED_2_OFFSET, 4)
        next_sequence = f.uint(c.CONFIG_ACCOUNT_NEXT_SEQUENCE_OFFSET, 8)
        if next_sequence < 1:
            raise DecodeError("The configuration account's next sequence is 0; sequences start at 1.")
        return cls(
            CommitteeEpoch(f.uint(c.CONFIG_ACCOUNT_CURRENT_EPOCH_OFFSET, 4)),
            next_sequence,
            f.uint(c.CONFIG_ACCOUNT_ACTIVATION_DELAY_OFFSET, 4),
            f.key(c.CONFIG_ACCOUNT_AUTHORITY_OFFSET),
            f.key(c.CONFIG_ACCOUNT_TREASURY_OFFSET),
            f.word(c.CONFIG_ACCOUNT_CHAIN_REFERENCE_OFFSET),
        )


@dataclass(frozen=True, slots=True)
class CommitteeAccount:
    """[committee, epoch]. Its signatures are taken from second `valid_from` to second `valid_until`; 0: no end."""

    epoch: CommitteeEpoch
    valid_from: UnixSeconds
    valid_until: UnixSeconds
    group_key_x: bytes
    group_key_parity: int

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "CommitteeAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "committee", c.ACCOUNT_COMMITTEE, c.COMMITTEE_ACCOUNT_SIZE, tail=False)
        return cls(
            CommitteeEpoch(f.uint(c.COMMITTEE_ACCOUNT_EPOCH_OFFSET, 4)),
            UnixSeconds(f.uint(c.COMMITTEE_ACCOUNT_VALID_FROM_OFFSET, 8)),
            UnixSeconds(f.uint(c.COMMITTEE_ACCOUNT_VALID_UNTIL_OFFSET, 8)),
            f.word(c.COMMITTEE_ACCOUNT_GROUP_KEY_X_OFFSET),
            int(f.flag(c.COMMITTEE_ACCOUNT_GROUP_KEY_PARITY_OFFSET, "group key parity")),
        )


@dataclass(frozen=True, slots=True)
class ModelAccount:
    """[model, model id]. Scales in bits after the point, `price` in lamports. `verifier` and its account `verifying_key` check proofs of the
    model; both are NOBODY where the chain cannot."""

    model_id: ModelId
    input_count: int
    output_count: int
    input_scale: int
    output_scale: int
    input_bound: int
    price: int
    active: bool
    verifier: Pubkey = NOBODY
    verifying_key: Pubkey = NOBODY

    @property
    def provable(self) -> bool:
        """Whether this chain can check proofs of the model."""
        return self.verifier != NOBODY

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "ModelAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "model", c.ACCOUNT_MODEL, c.MODEL_ACCOUNT_SIZE, tail=False)
        f.zeros(c.MODEL_ACCOUNT_RESERVED_OFFSET, 6)
        return cls(
            ModelId(f.word(c.MODEL_ACCOUNT_MODEL_ID_OFFSET)),
            f.uint(c.MODEL_ACCOUNT_INPUT_COUNT_OFFSET, 2),
            f.uint(c.MODEL_ACCOUNT_OUTPUT_COUNT_OFFSET, 2),
            f.uint(c.MODEL_ACCOUNT_INPUT_SCALE_OFFSET, 1),
            f.uint(c.MODEL_ACCOUNT_OUTPUT_SCALE_OFFSET, 1),
            f.uint(c.MODEL_ACCOUNT_INPUT_BOUND_OFFSET, 8),
            f.uint(c.MODEL_ACCOUNT_PRICE_OFFSET, 8),
            f.flag(c.MODEL_ACCOUNT_ACTIVE_OFFSET, "active flag"),
            f.key(c.MODEL_ACCOUNT_VERIFIER_OFFSET),
            f.key(c.MODEL_ACCOUNT_VERIFYING_KEY_OFFSET),
        )


@dataclass(frozen=True, slots=True)
class PeerAccount:
    """[peer, origin hash]: an origin whose messages are taken while `active`."""

    origin: Endpoint
    active: bool

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "PeerAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "peer", c.ACCOUNT_PEER, c.PEER_ACCOUNT_SIZE, tail=False)
        f.zeros(c.PEER_ACCOUNT_RESERVED_OFFSET, 2)
        active = f.flag(c.PEER_ACCOUNT_ACTIVE_OFFSET, "active flag")
        return cls(_endpoint(f.data[c.PEER_ACCOUNT_ORIGIN_OFFSET :]), active)


def _endpoint(data: bytes) -> Endpoint:
    try:
        chain = Chain(ChainType(int.from_bytes(data[:2])), data[2 : 2 + WORD])
        return Endpoint(chain, Account(data[2 + WORD :]))
    except (EncodeError, ValueError) as error:
        raise DecodeError(f"The peer account's origin is invalid: {error}") from error


def _message(body: bytes, digest: bytes, name: str) -> Message:
    message = Message.from_bytes(body)
    if message_digest(body) != digest:
        raise DecodeError(f"The {name} account's digest is not that of its body.")
    return message


@dataclass(frozen=True, slots=True)
class OutboxAccount:
    """[outbox, sequence]: a posted message or request, whose fields agree with its body. `fee` in lamports beyond rent."""

    state: OutboxState
    fee: int
    sender: Pubkey
    digest: Digest
    message: Message

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "OutboxAccount":
        """Raises DecodeError, also when sequence, sender, expiry, digest or kind contradict the body."""
        f = _Fields(account, program, "outbox", c.ACCOUNT_OUTBOX, c.OUTBOX_ACCOUNT_SIZE, tail=True)
        body = f.body(c.OUTBOX_ACCOUNT_BODY_SIZE_OFFSET, c.OUTBOX_ACCOUNT_SIZE)
        digest = Digest(f.word(c.OUTBOX_ACCOUNT_DIGEST_OFFSET))
        message = _message(body, digest, "outbox")
        sender = f.key(c.OUTBOX_ACCOUNT_SENDER_OFFSET)
        if f.uint(c.OUTBOX_ACCOUNT_SEQUENCE_OFFSET, 8) != message.sequence:
            raise DecodeError("The outbox account's sequence is not its body's.")
        if bytes(sender) != message.sender:
            raise DecodeError("The outbox account's sender is not its body's.")
        if f.uint(c.OUTBOX_ACCOUNT_EXPIRY_OFFSET, 8) != message.expiry:
            raise DecodeError("The outbox account's expiry is not its body's.")
        try:
            state = OutboxState(f.data[c.OUTBOX_ACCOUNT_STATE_OFFSET])
        except ValueError:
            raise DecodeError(f"An outbox account has no state {f.data[c.OUTBOX_ACCOUNT_STATE_OFFSET]}.") from None
        expected = Kind.MESSAGE if state is OutboxState.POSTED else Kind.INFERENCE_REQUEST
        if message.kind is not expected:
            raise DecodeError(f"An outbox account of state {state.name} does not hold a {message.kind.name}.")
        return cls(state, f.uint(c.OUTBOX_ACCOUNT_FEE_OFFSET, 8), sender, digest, message)


@dataclass(frozen=True, slots=True)
class InboxAccount:
    """[inbox, digest]: a delivered message or result. `payer` gets the rent back."""

    delivered_at: UnixSeconds
    epoch: CommitteeEpoch
    payer: Pubkey
    digest: Digest
    message: Message

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "InboxAccount":
        """Raises DecodeError, also when kind or digest contradict the body."""
        f = _Fields(account, program, "inbox", c.ACCOUNT_INBOX, c.INBOX_ACCOUNT_SIZE, tail=True)
        f.zeros(c.INBOX_ACCOUNT_RESERVED_OFFSET, 4)
        body = f.body(c.INBOX_ACCOUNT_BODY_SIZE_OFFSET, c.INBOX_ACCOUNT_SIZE)
        digest = Digest(f.word(c.INBOX_ACCOUNT_DIGEST_OFFSET))
        message = _message(body, digest, "inbox")
        if f.data[c.INBOX_ACCOUNT_KIND_OFFSET] != message.kind:
            raise DecodeError("The inbox account's kind is not its body's.")
        return cls(
            UnixSeconds(f.uint(c.INBOX_ACCOUNT_DELIVERED_AT_OFFSET, 8)),
            CommitteeEpoch(f.uint(c.INBOX_ACCOUNT_EPOCH_OFFSET, 4)),
            f.key(c.INBOX_ACCOUNT_PAYER_OFFSET),
            digest,
            message,
        )

    @property
    def result(self) -> InferenceResult | None:
        """The answer, when this is one. Raises DecodeError on a malformed payload."""
        if self.message.kind is not Kind.INFERENCE_RESULT:
            return None
        return InferenceResult.from_bytes(self.message.payload)


@dataclass(frozen=True, slots=True)
class ReplayAccount:
    """[replay, origin hash, window]: which sequences of one origin were delivered."""

    window: int
    bitmap: bytes = field(repr=False)

    @classmethod
    def decode(cls, account: AccountData, program: Pubkey) -> "ReplayAccount":
        """Raises DecodeError."""
        f = _Fields(account, program, "replay", c.ACCOUNT_REPLAY, c.REPLAY_ACCOUNT_SIZE, tail=False)
        f.zeros(c.REPLAY_ACCOUNT_RESERVED_OFFSET, 5)
        return cls(f.uint(c.REPLAY_ACCOUNT_WINDOW_OFFSET, 8), f.data[c.REPLAY_ACCOUNT_BITMAP_OFFSET :])

    def delivered(self, sequence: Sequence) -> bool:
        """Whether the bit of `sequence` is set. Raises DecodeError when this is the bitmap of another window."""
        if sequence // c.REPLAY_WINDOW != self.window:
            raise DecodeError(f"Sequence {sequence} is not in window {self.window} of this replay account.")
        bit = sequence % c.REPLAY_WINDOW
        return bool(self.bitmap[bit // 8] >> (bit % 8) & 1)
