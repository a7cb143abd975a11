"""One signing session as a state machine, and the messages of its two rounds. Pure: no clock, socket or randomness.

    COMMITTING --t-th commitment--> SHARING --t-th share--> SIGNED | FAILED

Rules that hold whatever arrives:
- An illegal transition raises `IllegalTransition` and nothing happens.
- Who sent a message is what the channel authenticated; a message in another's name is refused and its sender named.
- The first t commitments make the session; later ones are refused.
- Shares are summed and the sum is verified; only if it fails is each share checked, and the makers of bad ones named.
- A participant that says two different things is named. A repeated identical message changes nothing.

Each message owns `to_bytes` and `from_bytes`; any other bytes raise DecodeError. Replies are `signing.NonceCommitment` and
`signing.SignatureShare`.
Does not retry, time out or exclude anybody: `session` makes a new session for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from bridges.frost.errors import (
    DecodeError,
    Equivocation,
    IllegalTransition,
    InvalidShare,
    InvalidSignature,
    WrongIdentifier,
)
from bridges.frost.group import MAX_PARTICIPANTS, Identifier
from bridges.frost.keygen import PublicKeyPackage
from bridges.frost.signing import (
    MESSAGE_BYTES,
    GroupSignature,
    NonceCommitment,
    SignatureShare,
    SigningPackage,
    aggregate,
    find_culprits,
    prepare,
)

SESSION_ID_BYTES: Final = 16
"""Random, chosen by the coordinator; a signer scopes it to the coordinator that uses it."""
MAX_CONTEXT_BYTES: Final = 65_536
"""Bound on the context of a session: what the signers need to decide whether to sign."""
_LENGTH_BYTES: Final = 4
_COUNT_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """Round one's question: session id(16) ‖ length of context(4) ‖ context."""

    session_id: bytes
    context: bytes

    def __post_init__(self) -> None:
        if len(self.session_id) != SESSION_ID_BYTES:
            raise DecodeError(f"A session id is {SESSION_ID_BYTES} bytes, not {len(self.session_id)}.")
        if not 0 < len(self.context) <= MAX_CONTEXT_BYTES:
            raise DecodeError(f"A signing context is 1 to {MAX_CONTEXT_BYTES} bytes, not {len(self.context)}.")

    def to_bytes(self) -> bytes:
        """20 bytes and the context."""
        return self.session_id + len(self.context).to_bytes(_LENGTH_BYTES, "big") + self.context

    @classmethod
    def from_bytes(cls, data: bytes) -> CommitRequest:
        """Raises DecodeError for a wrong length, an empty or oversize context."""
        head = SESSION_ID_BYTES + _LENGTH_BYTES
        if len(data) < head or len(data) - head != int.from_bytes(data[SESSION_ID_BYTES:head], "big"):
            raise DecodeError("A commit request must be exactly as long as it declares.")
        return cls(data[:SESSION_ID_BYTES], data[head:])


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """Round two's question: session id(16) ‖ count(2) ‖ count × commitment(68), ascending by identifier."""

    session_id: bytes
    commitments: tuple[NonceCommitment, ...]

    def __post_init__(self) -> None:
        if len(self.session_id) != SESSION_ID_BYTES:
            raise DecodeError(f"A session id is {SESSION_ID_BYTES} bytes, not {len(self.session_id)}.")
        if not 0 < len(self.commitments) <= MAX_PARTICIPANTS:
            raise DecodeError(
                f"A share request lists 1 to {MAX_PARTICIPANTS} commitments, not {len(self.commitments)}."
            )
        identifiers = [commitment.identifier for commitment in self.commitments]
        if any(left >= right for left, right in pairwise(identifiers)):
            raise DecodeError("Commitments must ascend strictly by identifier.")

    def to_bytes(self) -> bytes:
        """18 bytes and 68 a commitment."""
        body = b"".join(commitment.to_bytes() for commitment in self.commitments)
        return self.session_id + len(self.commitments).to_bytes(_COUNT_BYTES, "big") + body

    @classmethod
    def from_bytes(cls, data: bytes) -> ShareRequest:
        """Raises DecodeError for a wrong length, a bad point, and identifiers out of range or out of order."""
        head = SESSION_ID_BYTES + _COUNT_BYTES
        count = int.from_bytes(data[SESSION_ID_BYTES:head], "big")
        if count > MAX_PARTICIPANTS or len(data) != head + count * NonceCommitment.LENGTH:
            raise DecodeError("A share request must be exactly as long as it declares.")
        chunks = (data[i : i + NonceCommitment.LENGTH] for i in range(head, len(data), NonceCommitment.LENGTH))
        return cls(data[:SESSION_ID_BYTES], tuple(NonceCommitment.from_bytes(chunk) for chunk in chunks))


class State(Enum):
    """Where a session is."""

    COMMITTING = "committing"
    SHARING = "sharing"
    SIGNED = "signed"
    FAILED = "failed"


class SigningSession:
    """Collects t commitments, then their t shares, for one message. One use: SIGNED and FAILED are final."""

    def __init__(self, public: PublicKeyPackage, message: bytes) -> None:
        if len(message) != MESSAGE_BYTES:
            raise DecodeError(f"The committee signs {MESSAGE_BYTES} bytes, not {len(message)}.")
        self._public = public
        self._message = message
        self._commitments: dict[Identifier, NonceCommitment] = {}
        self._shares: dict[Identifier, SignatureShare] = {}
        self._package: SigningPackage | None = None
        self._state = State.COMMITTING

    @property
    def state(self) -> State:
        """Where the session is."""
        return self._state

    @property
    def missing(self) -> tuple[Identifier, ...]:
        """Signers whose share has not come, ascending; empty before SHARING."""
        signers = self._package.signers if self._package else ()
        return tuple(who for who in signers if who not in self._shares)

    def add_commitment(self, sender: Identifier, commitment: NonceCommitment) -> SigningPackage | None:
        """Take a commitment; the t-th yields the package for round two.

        Raises IllegalTransition outside COMMITTING, WrongIdentifier, Equivocation, KeyMaterialError for a stranger, and
        GroupError if the commitments cancel out.
        """
        self._require(State.COMMITTING, "commitment")
        self._require_author(sender, commitment.identifier)
        self._public.verifying_share(sender)
        known = self._commitments.get(sender)
        if known is not None and known != commitment:
            raise Equivocation(f"Participant {sender} committed twice in one session.", (sender,))
        collected = {**self._commitments, sender: commitment}
        if len(collected) == self._public.threshold:
            self._package = prepare(self._public, self._message, list(collected.values()))
            self._state = State.SHARING
        self._commitments = collected
        return self._package

    def add_share(self, sender: Identifier, share: SignatureShare) -> GroupSignature | None:
        """Take a signature share; the t-th yields the verified signature.

        Raises IllegalTransition outside SHARING or for somebody who is not signing, WrongIdentifier, Equivocation, and, with
        the session FAILED, InvalidShare naming every bad signer.
        """
        self._require(State.SHARING, "signature share")
        self._require_author(sender, share.identifier)
        if self._package is None or sender not in self._package.signers:
            raise IllegalTransition(f"Participant {sender} is not among this session's signers.", (sender,))
        known = self._shares.get(sender)
        if known is not None and known != share:
            raise Equivocation(f"Participant {sender} gave two signature shares in one session.", (sender,))
        self._shares[sender] = share
        return self._conclude(self._package) if not self.missing else None

    def _conclude(self, package: SigningPackage) -> GroupSignature:
        shares = list(self._shares.values())
        try:
            signature = aggregate(package, shares)
        except InvalidSignature as error:
            self._state = State.FAILED
            culprits = find_culprits(package, shares)
            if not culprits:
                raise
            names = ", ".join(str(who) for who in culprits)
            raise InvalidShare(f"The signature share of {names} does not verify; sign without.", culprits) from error
        self._state = State.SIGNED
        return signature

    def _require(self, state: State, what: str) -> None:
        if self._state is not state:
            raise IllegalTransition(f"A session that is {self._state.value} takes no {what}.")

    def _require_author(self, sender: Identifier, claimed: Identifier) -> None:
        if sender != claimed:
            raise WrongIdentifier(f"Participant {sender} spoke as participant {claimed}.", (sender,))
