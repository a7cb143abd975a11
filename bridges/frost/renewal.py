"""A member's next certificate: the notice by which it announces it, and what its peers make of one. Pure.

    pinned --notice signed by the pinned certificate's key--> old and new pinned --end of the overlap--> new pinned

Rules that hold whatever arrives:
- Only the key of the newest certificate that is pinned can announce the next one, and the next one shows that it has its own key.
- Serial numbers only grow; a notice that was overtaken is refused, and one that is repeated changes nothing, so it prolongs no overlap.
- No two pinned certificates share a subject, for a TLS library could then take one for the other.
- The certificate that the operator configured stands above all notices: one that does not follow from it is forgotten.

What it cannot do: help a member whose key was stolen. The thief can announce a certificate of his own to whoever has not heard of the
right one; the operators then replace the certificate in their committee files by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from bridges.frost.errors import DecodeError, RenewalRefused
from bridges.frost.identity import MAX_CERTIFICATE_BYTES, PeerCertificate

DOMAIN: Final = b"SIBYL_PEER_RENEWAL_V1"
MAX_NOTICES: Final = 64
"""Notices kept for one member: the way from the configured certificate to the newest."""
_SIGNATURE_BYTES: Final = 64
_FINGERPRINT_BYTES: Final = 32
_HEAD: Final = 2 + 8 + _FINGERPRINT_BYTES + 2


@dataclass(frozen=True, slots=True)
class RenewalNotice:
    """member(2) ‖ serial(8) ‖ SHA-256 of the certificate it follows(32) ‖ length(2) ‖ new certificate ‖ ed25519 signature(64).

    Signed are DOMAIN and all that comes before the signature, by the key of the certificate it follows.
    """

    member: int
    serial: int
    follows: bytes
    certificate: PeerCertificate
    signature: bytes

    def __post_init__(self) -> None:
        if not 0 < self.member < 1 << 16 or not 0 < self.serial < 1 << 64:
            raise DecodeError("A renewal notice has a member of 2 bytes and a serial of 8, neither of them zero.")
        if len(self.follows) != _FINGERPRINT_BYTES or len(self.signature) != _SIGNATURE_BYTES:
            raise DecodeError("A renewal notice has a fingerprint of 32 bytes and a signature of 64.")
        if len(self.certificate.der) > MAX_CERTIFICATE_BYTES:
            raise DecodeError(f"A renewed certificate has at most {MAX_CERTIFICATE_BYTES} bytes.")
        self.certificate.require_own()

    @classmethod
    def make(
        cls,
        member: int,
        serial: int,
        old: PeerCertificate,
        new: PeerCertificate,
        sign: Callable[[bytes], bytes],
    ) -> RenewalNotice:
        """`sign` is the ed25519 key of `old`. Raises RenewalRefused if it is not."""
        notice = cls(member, serial, bytes.fromhex(old.fingerprint), new, bytes(_SIGNATURE_BYTES))
        notice = replace(notice, signature=sign(notice.signed))
        if not old.verifies(notice.signature, notice.signed):
            raise RenewalRefused(
                "The key does not belong to the present certificate; restore the identity from its backup."
            )
        return notice

    @property
    def signed(self) -> bytes:
        """The bytes under the signature."""
        der = self.certificate.der
        head = self.member.to_bytes(2, "big") + self.serial.to_bytes(8, "big") + self.follows
        return DOMAIN + head + len(der).to_bytes(2, "big") + der

    def to_bytes(self) -> bytes:
        """Wire and file form."""
        return self.signed[len(DOMAIN) :] + self.signature

    @classmethod
    def from_bytes(cls, data: bytes) -> RenewalNotice:
        """Raises DecodeError for anything that `to_bytes` does not write."""
        end = _HEAD + int.from_bytes(data[_HEAD - 2 : _HEAD], "big")
        if len(data) < _HEAD or len(data) != end + _SIGNATURE_BYTES:
            raise DecodeError("A renewal notice must be exactly as long as it declares.")
        member, serial = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:10], "big")
        return cls(member, serial, data[10 : _HEAD - 2], PeerCertificate(data[_HEAD:end]), data[end:])


@dataclass(frozen=True, slots=True)
class MemberPins:
    """What is pinned for one member: the configured certificate, and the notices that lead from it to the newest."""

    member: int
    configured: PeerCertificate
    notices: tuple[RenewalNotice, ...] = ()
    floor: int = 0
    """Serial of the configured certificate, if it came by a notice."""
    accepted_at: float = 0.0
    """Unix time at which the last notice was accepted."""

    @property
    def newest(self) -> PeerCertificate:
        """The certificate to pin in the end."""
        return self.notices[-1].certificate if self.notices else self.configured

    @property
    def serial(self) -> int:
        """Of the newest certificate; 0 if no notice led to it."""
        return self.notices[-1].serial if self.notices else self.floor

    def trusted(self, now: float, overlap: float) -> tuple[PeerCertificate, ...]:
        """What to pin at `now`: the newest, and for `overlap` seconds after its notice the one before it."""
        if not self.notices or now >= self.accepted_at + overlap:
            return (self.newest,)
        previous = self.notices[-2].certificate if len(self.notices) > 1 else self.configured
        return self.newest, previous

    def accepting(self, notice: RenewalNotice, now: float, others: Iterable[PeerCertificate] = ()) -> MemberPins:
        """The pins after `notice`; unchanged if it is the last one again. Raises RenewalRefused.

        `others`: every certificate that is pinned for another member.
        """
        if self.notices and notice == self.notices[-1]:
            return self
        self._check(notice)
        _check_validity(notice, now)
        subjects = {certificate.subject for certificate in (*others, *self.trusted(now, float("inf")))}
        if notice.certificate.subject in subjects:
            raise RenewalRefused("The new certificate's subject is in use already; make a new one.")
        return replace(self, notices=(*self.notices, notice), accepted_at=now)

    def _check(self, notice: RenewalNotice) -> None:
        if notice.member != self.member:
            raise RenewalRefused(f"The notice is member {notice.member}'s, not member {self.member}'s.")
        if len(self.notices) >= MAX_NOTICES:
            raise RenewalRefused(
                f"Member {self.member} renewed {MAX_NOTICES} times; put its newest certificate into the committee file."
            )
        if notice.serial <= self.serial:
            raise RenewalRefused(
                f"Notice {notice.serial} of member {self.member} was overtaken by or contradicts notice {self.serial}."
            )
        if notice.follows != bytes.fromhex(self.newest.fingerprint):
            raise RenewalRefused(
                f"Notice {notice.serial} of member {self.member} does not follow the certificate that is pinned; "
                "fetch the notices before it."
            )
        if not self.newest.verifies(notice.signature, notice.signed):
            raise RenewalRefused(f"The notice is not signed by member {self.member}'s present certificate.")

    def restored(self, notices: Iterable[RenewalNotice], floor: int, accepted_at: float) -> MemberPins:
        """These pins with what was accepted before a restart, as far as it follows from the configured certificate."""
        known = tuple(notices)
        configured = bytes.fromhex(self.configured.fingerprint)
        for index, notice in enumerate(known):
            if notice.follows == configured:
                known, floor = known[index:], notice.serial - 1
                break
            if notice.certificate == self.configured:
                known, floor = known[index + 1 :], notice.serial
                break
        else:
            known = ()
        pins = replace(self, floor=floor)
        for notice in known:
            pins._check(notice)
            pins = replace(pins, notices=(*pins.notices, notice))
        return replace(pins, accepted_at=accepted_at)


def _check_validity(notice: RenewalNotice, now: float) -> None:
    first, last = notice.certificate.days_valid
    if not first <= datetime.fromtimestamp(now, UTC) <= last:
        raise RenewalRefused("The new certificate is not valid at this time; check both clocks.")
