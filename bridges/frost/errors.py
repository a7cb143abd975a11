"""What can go wrong in threshold signing, and who is to blame.

A branch of the project's error tree: everything here is a `ProtocolError`, and what the node's ports promise is also the
`oracle.errors` type that they name. Every error carries `culprits`, the identifiers of the participants it names (empty
when it names nobody), and `code`, the stable word that crosses the wire. The text is a sentence that says what to do, and
never holds a secret. This module catches nothing and logs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from oracle.errors import NotAuthorised, PeerError, SigningError
from oracle.protocol.errors import DecodeError as ProtocolDecodeError
from oracle.protocol.errors import ProtocolError

__all__ = [
    "Busy",
    "DealerKeyRefused",
    "DecodeError",
    "Equivocation",
    "FrostError",
    "GroupError",
    "IllegalTransition",
    "InvalidShare",
    "InvalidSignature",
    "KeyMaterialError",
    "KeystoreError",
    "NonceSpent",
    "NotAuthorised",
    "OversizeBody",
    "PeerRefused",
    "PeerTimeout",
    "PeerUnreachable",
    "RenewalRefused",
    "TooFewSigners",
    "TooManySignings",
    "TransportError",
    "WrongIdentifier",
]


class FrostError(ProtocolError):
    """Root of this package's errors. `culprits` is sorted and free of duplicates."""

    code: ClassVar[str] = "frost"

    def __init__(self, message: str, culprits: Iterable[int] = ()) -> None:
        super().__init__(message, culprits=tuple(sorted(set(culprits))))


class DecodeError(FrostError, ProtocolDecodeError):
    """Bytes that are not an encoding this package writes: wrong length, off the curve, out of range, out of order."""

    code = "decode"


class GroupError(FrostError):
    """A group operation whose result has no encoding (identity or zero). Honest inputs meet it with probability 2^-192."""

    code = "group"


class KeyMaterialError(FrostError):
    """Key material that contradicts itself or may not be used here."""

    code = "key"


class DealerKeyRefused(KeyMaterialError):
    """A dealer has seen this key whole, so it is worth nothing outside a devnet."""

    code = "dealer_key"


class KeystoreError(KeyMaterialError):
    """A key file that is missing, readable by others, or damaged."""

    code = "keystore"


class RenewalRefused(KeyMaterialError):
    """A notice of a new certificate does not follow from what is pinned; nothing was changed."""

    code = "renewal"


class InvalidSignature(FrostError):
    """The signature does not verify. Names nobody: see `InvalidShare` for the search that does."""

    code = "invalid_signature"


class InvalidShare(FrostError):
    """Signature shares that fail RFC 9591 §5.4; `culprits` are their makers."""

    code = "invalid_share"


class Equivocation(FrostError):
    """A participant said two different things in one session; `culprits` names it."""

    code = "equivocation"


class IllegalTransition(FrostError):
    """The session is not in a state in which this may happen. Nothing was changed."""

    code = "illegal_transition"


class NonceSpent(FrostError):
    """The signing nonces asked for were used, dropped or never made. Ask for new commitments."""

    code = "nonce_spent"


class WrongIdentifier(FrostError):
    """A participant spoke in the name of another; `culprits` is the one that the channel authenticated."""

    code = "wrong_identifier"


class Busy(FrostError):
    """A bound was reached (requests in flight, sessions). Come back later."""

    code = "busy"


class TooManySignings(Busy, SigningError):
    """More signatures are being made, or wait for their turn, than the coordinator's bound. Ask again later."""


class TooFewSigners(FrostError, SigningError):
    """Fewer than the quorum signed, or the deadline passed.

    `refusals` says per participant why it did not sign; `culprits` are those that were excluded: they broke the protocol, or
    fell silent after they had committed.
    """

    code = "too_few_signers"

    def __init__(self, message: str, refusals: Mapping[int, str], culprits: Iterable[int] = ()) -> None:
        super().__init__(message, culprits)
        self.refusals: dict[int, str] = dict(sorted(refusals.items()))


class TransportError(FrostError, PeerError):
    """A peer could not be reached, or broke the transport's rules."""

    code = "transport"


class PeerUnreachable(TransportError):
    """No authenticated connection to the peer. Retry later."""

    code = "unreachable"


class PeerTimeout(TransportError):
    """The peer did not answer in time. Retry later or go on without it."""

    code = "timeout"


class OversizeBody(TransportError):
    """A body over the agreed bound. It was not read to its end."""

    code = "oversize"


class PeerRefused(TransportError):
    """The peer answered with a structured refusal: `peer_code` is its `code`, `reason` its sentence."""

    code = "refused"

    def __init__(self, peer_id: int, peer_code: str, reason: str) -> None:
        super().__init__(f"Peer {peer_id} refused ({peer_code}): {reason}")
        self.peer_id = peer_id
        self.peer_code = peer_code
        self.reason = reason
