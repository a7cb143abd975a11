"""What the messages of distributed key generation must satisfy, and how a liar is shown to a third party. Pure.

Guarantees: `verify_evidence` names a member only if that member's own signatures contradict the protocol: no set of other members,
however large, can make evidence against one that followed it. A share travels under a key of X25519, HKDF and ChaCha20-Poly1305 that
serves one sender, one recipient and one session; what is derived on the way is wiped.
Does not know what one participant has received so far: see `dkg`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bridges.frost import ciphersuite
from bridges.frost.dkg_messages import (
    Assembly,
    BadProof,
    BadShare,
    Certificate,
    Commitments,
    Complaint,
    DkgEquivocation,
    DkgFault,
    Entry,
    FalseComplaint,
    Head,
    MalformedStatement,
    Phase,
    Quotes,
    Roster,
    SealedShare,
    SessionKey,
    Signed,
    Statement,
    WrongCertificate,
    opened,
    statement,
)
from bridges.frost.errors import DecodeError, FrostError, GroupError
from bridges.frost.group import (
    Identifier,
    Point,
    Scalar,
    SecretScalar,
    base_times,
    point_sum,
    polynomial_at,
    scalar_from_bytes,
    wipe_fresh_bytes,
)
from bridges.frost.keygen import GroupPublicKey, Origin, PublicKeyPackage
from bridges.frost.signing import NonceCommitment, SignatureShare, SigningPackage, prepare, verify_share
from oracle.protocol.hashing import key_possession_hash

_SHARE_TAG: Final = b"SIBYL_DKG_SHARE_V1"
_TRANSCRIPT_TAG: Final = b"SIBYL_DKG_TRANSCRIPT_V1"
_KEY_TAG: Final = b"SIBYL_DKG_KEY_V1"
_NONCE: Final = bytes(12)
"""The key of each ciphertext is its own, so its nonce may be constant."""


# ---- proof of possession


def _proof_challenge(roster: Assembly, head: Head, constant: Point, r: Point) -> Scalar:
    message = roster.context + head.session + head.sender.to_bytes(2, "big") + constant.encoded + r.encoded
    return ciphersuite.hash_to_scalar(message, b"dkg")


def prove_possession(
    roster: Assembly, session: bytes, who: Identifier, secret: SecretScalar, randomness: bytes
) -> tuple[Point, Scalar]:
    """A Schnorr proof of the constant term, bound to member, session and context. `randomness`: 32 fresh uniform bytes."""
    nonce, keyed = ciphersuite.h3(randomness, secret), secret.copy()
    try:
        r = nonce.public_point()
        keyed.times(_proof_challenge(roster, Head(Phase.COMMIT, who, session), secret.public_point(), r))
        keyed.plus(nonce)
        return r, scalar_from_bytes(keyed.reveal())
    finally:
        nonce.wipe()
        keyed.wipe()


def proof_holds(roster: Assembly, head: Head, commitments: Commitments) -> bool:
    """Whether the sender knows the constant term of its polynomial: z·G = R + c·C_0."""
    constant = commitments.coefficients[0]
    challenge = _proof_challenge(roster, head, constant, commitments.proof_r)
    try:
        return base_times(commitments.proof_z) == point_sum([commitments.proof_r, constant.times(challenge)])
    except GroupError:
        return False


# ---- shares


@dataclass(frozen=True, slots=True)
class Link:
    """One share's way: who gives it to whom, in which session, under which transcript of round 1."""

    context: bytes
    session: bytes
    transcript: bytes
    sender: Identifier
    recipient: Identifier

    def to_bytes(self) -> bytes:
        """The associated data of the ciphertext."""
        ends = self.sender.to_bytes(2, "big") + self.recipient.to_bytes(2, "big")
        return _SHARE_TAG + self.context + self.session + self.transcript + ends


def _cipher(link: Link, own: X25519PrivateKey, other: bytes) -> ChaCha20Poly1305:
    shared = own.exchange(X25519PublicKey.from_public_bytes(other))
    key = HKDF(SHA256(), 32, salt=link.transcript, info=link.to_bytes()).derive(shared)
    try:
        return ChaCha20Poly1305(key)
    finally:
        wipe_fresh_bytes(shared)


def seal(link: Link, share: SecretScalar, own: X25519PrivateKey, recipient_key: bytes) -> bytes:
    """48 bytes that the recipient alone can open."""
    return _cipher(link, own, recipient_key).encrypt(_NONCE, share.view(), link.to_bytes())


def unseal(link: Link, ciphertext: bytes, own: X25519PrivateKey, sender_key: bytes) -> SecretScalar:
    """The share in a ciphertext. Raises DecodeError if it was not sealed for this link, or is no scalar from 1 to n - 1."""
    try:
        plain = _cipher(link, own, sender_key).decrypt(_NONCE, ciphertext, link.to_bytes())
    except InvalidTag:
        raise DecodeError("The sealed share does not open.") from None
    try:
        return SecretScalar(plain)
    finally:
        wipe_fresh_bytes(plain)


def evaluate(coefficients: Sequence[Point], at: int) -> Point:
    """sum_k C_k·at^k for public points. Raises GroupError if that is the identity."""
    return polynomial_at(coefficients, at)


def share_fits(share: SecretScalar, coefficients: Sequence[Point], recipient: Identifier) -> bool:
    """Whether a share is the committed polynomial's value at the recipient's identifier."""
    try:
        return share.public_point() == evaluate(coefficients, recipient)
    except GroupError:
        return False


# ---- the result


def transcript_hash(roster: Assembly, session: bytes, digests: Sequence[bytes]) -> bytes:
    """32 bytes that stand for round 1: the digests of all members' commitments, ascending."""
    return hashlib.sha256(_TRANSCRIPT_TAG + roster.context + session + b"".join(digests)).digest()


def group_key(commitments: Mapping[Identifier, Commitments]) -> Point:
    """The sum of all constant terms, which may have x ≥ n. Raises GroupError if it is the identity."""
    return point_sum([entry.coefficients[0] for entry in commitments.values()])


def public_package(roster: Roster, commitments: Mapping[Identifier, Commitments]) -> PublicKeyPackage:
    """The key that these commitments lead to. Raises GroupError, DecodeError (x ≥ n) or KeyMaterialError."""
    summed = [point_sum([entry.coefficients[k] for entry in commitments.values()]) for k in range(roster.threshold)]
    verifying = {who: evaluate(summed, who) for who in roster.participants}
    return PublicKeyPackage(GroupPublicKey(summed[0]), roster.threshold, verifying, Origin.DKG)


def key_hash(roster: Assembly, session: bytes, transcript: bytes, public: PublicKeyPackage) -> bytes:
    """32 bytes that stand for the whole result. Operators compare it by voice; every certificate holds it."""
    state = hashlib.sha256(_KEY_TAG + roster.context + session + transcript + public.group_public_key.to_bytes())
    state.update(public.threshold.to_bytes(2, "big") + len(public.participants).to_bytes(2, "big"))
    for who, point in public.verifying_shares.items():
        state.update(who.to_bytes(2, "big") + point.encoded)
    return state.digest()


def possession_message(roster: Roster, key: GroupPublicKey) -> bytes:
    """The 32 bytes that the new key signs, for its registration on the chains."""
    return key_possession_hash(roster.epoch, key.to_bytes()[1:], key.parity)


def possession_package(
    roster: Roster, public: PublicKeyPackage, nonces: Mapping[Identifier, NonceCommitment]
) -> SigningPackage:
    """The FROST session that signs it: the roster's signers, with the nonces of their READY messages."""
    message = possession_message(roster, public.group_public_key)
    return prepare(public, message, [nonces[who] for who in roster.signers])


# ---- one message by itself


@dataclass(frozen=True, slots=True)
class Rules:
    """What a kind of ceremony asks of its messages, and how it judges evidence."""

    assembly: Assembly
    read: Callable[[Signed], Statement]
    """A message's body, if it may stand whatever the others said. Raises FrostError."""
    judges: Mapping[Kind, Judge]


def dkg_rules(roster: Roster) -> Rules:
    """The rules of key generation."""

    def read(message: Signed) -> Statement:
        body = statement(message)
        _require_standing(roster, message.head, body)
        return body

    return Rules(roster, read, {**COMMON_JUDGES, Kind.CERTIFICATE: partial(_judge_certificate, roster)})


def checked(rules: Rules, message: Signed) -> Statement:
    """A signed message's body, if it may stand in this ceremony whatever the others said.

    Raises MalformedStatement or BadProof, with the sender as culprit and with evidence.
    """
    try:
        return rules.read(message)
    except BadProof as error:
        raise BadProof(str(error), (message.head.sender,), evidence(Kind.MALFORMED, message.to_bytes())) from None
    except FrostError as error:
        text = f"Member {message.head.sender} signed a {message.head.phase.name} message that is wrong: {error}"
        raise MalformedStatement(text, (message.head.sender,), evidence(Kind.MALFORMED, message.to_bytes())) from None


def _require_standing(roster: Roster, head: Head, body: Statement) -> None:
    match body:
        case Commitments():
            require_commitments(roster, head, body, roster.threshold)
        case Quotes():
            require_quotes(roster, body)
        case SealedShare():
            require_recipient(head, body, roster.participants)
        case NonceCommitment():
            _require(body.identifier == head.sender, "its nonces are in another's name.")
        case Certificate():
            require_quotes(roster, body.quotes)
            _require(bool(body.z) == (head.sender in roster.signers), "it signs, or fails to sign, out of turn.")
        case Complaint():
            require_complaint(head, body, roster.participants)


def require_commitments(assembly: Assembly, head: Head, body: Commitments, threshold: int) -> None:
    """Raises DecodeError for another degree or a useless session key, BadProof."""
    _require(len(body.coefficients) == threshold, "it commits to a polynomial of another degree.")
    require_session_key(body.session_key)
    if not proof_holds(assembly, head, body):
        raise BadProof(f"Member {head.sender} did not prove that it knows its own secret.")


def require_session_key(session_key: bytes) -> None:
    """Raises DecodeError for a key of small order."""
    _require(_is_usable(session_key), "its session key has a small order.")


def require_quotes(assembly: Assembly, quotes: Quotes) -> None:
    """Raises DecodeError."""
    _require(len(quotes.entries) == len(assembly.participants), "it does not quote each member once.")


def require_recipient(head: Head, body: SealedShare, recipients: Sequence[Identifier]) -> None:
    """Raises DecodeError for a share that nobody should get."""
    _require(body.recipient in recipients and body.recipient != head.sender, "it is for nobody.")


def require_complaint(head: Head, body: Complaint, dealers: Sequence[Identifier]) -> None:
    """Raises DecodeError for a complaint about anything but a dealer's share to the complainer in this session."""
    about = body.share.head
    _require(about.session == head.session, "it complains about another session.")
    _require(about.sender in dealers and about.sender != head.sender, "it accuses nobody.")
    _require(SealedShare.from_bytes(body.share.body).recipient == head.sender, "the share was for another.")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DecodeError(otherwise)


def _is_usable(session_key: bytes) -> bool:
    try:
        X25519PrivateKey.from_private_bytes(b"\x01" * 32).exchange(X25519PublicKey.from_public_bytes(session_key))
    except ValueError:  # the result is zero for every private key, for all clear the cofactor
        return False
    return True


def quoted_entries(roster: Assembly, message: Signed) -> dict[Identifier, Entry]:
    """Whom an ECHO or a CERTIFICATE quotes with what. Raises DecodeError for another kind or number."""
    body = statement(message)
    quotes = body.quotes if isinstance(body, Certificate) else body
    if not isinstance(quotes, Quotes) or len(quotes.entries) != len(roster.participants):
        raise DecodeError("The message quotes nobody.")
    return dict(zip(roster.participants, quotes.entries, strict=True))


def quoted_head(message: Signed, whom: Identifier) -> Head:
    """The head of the message that an ECHO or a CERTIFICATE quotes."""
    phase = Phase.COMMIT if message.head.phase is Phase.ECHO else Phase.READY
    return Head(phase, whom, message.head.session)


# ---- evidence


class Kind(IntEnum):
    """What a piece of evidence shows, and so what it holds."""

    MALFORMED = 1
    """One message that its sender should not have signed."""
    EQUIVOCATION = 2
    """head, digest ‖ signature, digest ‖ signature: two bodies under one head."""
    CONTRADICTION = 3
    """An ECHO, and a SHARE by the same member that names another transcript than the echo gives."""
    SHARE = 4
    """A COMPLAINT, the digests of the transcript, the complainer's COMMIT, the accused one's COMMIT: one of them lied."""
    CERTIFICATE = 5
    """An ECHO and a CERTIFICATE of one member, then all COMMITs and all READYs that these two quote."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whom evidence names, for what, in which session."""

    culprit: Identifier
    session: bytes
    error: type[DkgFault]
    reason: str


Judge: TypeAlias = Callable[["Rules", list[bytes]], Verdict | None]


def evidence(kind: Kind, *items: bytes) -> bytes:
    """kind(1) ‖ items, each after its length(4)."""
    return bytes([kind]) + b"".join(len(item).to_bytes(4, "big") + item for item in items)


def verify_evidence(roster: Roster, data: bytes) -> Verdict:
    """Whom this evidence convicts. Anybody with the committee file can check it. Raises DecodeError if it convicts nobody."""
    return judged(dkg_rules(roster), data)


def judged(rules: Rules, data: bytes) -> Verdict:
    """Whom this evidence convicts under the rules of a ceremony. Raises DecodeError if it convicts nobody."""
    if not data or data[0] not in Kind.__members__.values():
        raise DecodeError("The bytes are no evidence of a known kind.")
    items, rest = [], data[1:]
    while rest:
        end = 4 + int.from_bytes(rest[:4], "big")
        if len(rest) < end:
            raise DecodeError("The evidence is cut short.")
        items.append(rest[4:end])
        rest = rest[end:]
    try:
        verdict = rules.judges[Kind(data[0])](rules, items)
    except FrostError as error:
        # Whatever is wrong inside: it is the evidence that fails, and nobody is named by that.
        raise DecodeError(f"The evidence proves nothing: {error}") from None
    if verdict is None:
        raise DecodeError("The evidence shows nothing wrong.")
    return verdict


def convicted(verdict: Verdict, data: bytes) -> DkgFault:
    """The error that a verdict amounts to."""
    return verdict.error(verdict.reason, (verdict.culprit,), data)


def _judge_malformed(rules: Rules, items: list[bytes]) -> Verdict | None:
    message = opened(rules.assembly, only(items, 1)[0])
    try:
        checked(rules, message)
    except MalformedStatement as error:
        return Verdict(message.head.sender, message.head.session, type(error), str(error))
    if message.head.phase in (Phase.ECHO, Phase.CERTIFICATE):
        for whom, entry in quoted_entries(rules.assembly, message).items():
            if not rules.assembly.signed_by(quoted_head(message, whom), entry.digest, entry.signature):
                text = f"Member {message.head.sender} quoted member {whom} with a signature that is not {whom}'s."
                return Verdict(message.head.sender, message.head.session, MalformedStatement, text)
    return None


def _judge_equivocation(rules: Rules, items: list[bytes]) -> Verdict | None:
    encoded, *quotes = only(items, 3)
    head = Head.from_bytes(encoded)
    if head.phase not in (Phase.COMMIT, Phase.ECHO, Phase.READY, Phase.CERTIFICATE):
        raise DecodeError("A member may sign several messages of this phase.")
    entries = Quotes.from_bytes(b"".join(quotes)).entries
    if len(entries) != 2:
        raise DecodeError("An equivocation is shown by two quotes.")
    one, other = entries
    if one.digest == other.digest or not all(
        rules.assembly.signed_by(head, e.digest, e.signature) for e in (one, other)
    ):
        return None
    text = f"Member {head.sender} signed two different {head.phase.name} messages in one session."
    return Verdict(head.sender, head.session, DkgEquivocation, text)


def _judge_contradiction(rules: Rules, items: list[bytes]) -> Verdict | None:
    echo, message = (opened(rules.assembly, item) for item in only(items, 2))
    require_one_author([echo, message], (Phase.ECHO, Phase.SHARE))
    digests = [entry.digest for entry in quoted_entries(rules.assembly, echo).values()]
    if SealedShare.from_bytes(message.body).transcript == transcript_hash(rules.assembly, echo.head.session, digests):
        return None
    text = f"Member {echo.head.sender} gave a share under another transcript than it had echoed."
    return Verdict(echo.head.sender, echo.head.session, MalformedStatement, text)


def _judge_share(rules: Rules, items: list[bytes]) -> Verdict | None:
    encoded, joined, *commits = only(items, 4)
    message, own, accused = (
        opened(rules.assembly, encoded),
        opened(rules.assembly, commits[0]),
        opened(rules.assembly, commits[1]),
    )
    complaint = checked(rules, message)
    theirs, ours = checked(rules, accused), checked(rules, own)
    if not (
        isinstance(complaint, Complaint)
        and isinstance(theirs, Commitments)
        and isinstance(ours, Commitments | SessionKey)
    ):
        raise DecodeError("The evidence of a share is a COMPLAINT and two COMMITs.")
    who, whom, session = message.head.sender, complaint.share.head.sender, message.head.session
    if (own.head, accused.head) != (Head(Phase.COMMIT, who, session), Head(Phase.COMMIT, whom, session)):
        raise DecodeError("The COMMITs are not those of the complainer and the accused.")
    false = Verdict(
        who, session, FalseComplaint, f"Member {who} complained about member {whom}, whose share was right."
    )
    if not rules.assembly.signed_by(complaint.share.head, complaint.share.digest, complaint.share.signature):
        return false
    share = SealedShare.from_bytes(complaint.share.body)
    digests = [joined[i : i + 32] for i in range(0, len(joined), 32)]
    quoted = dict(zip(rules.assembly.participants, digests, strict=False))
    if (
        len(digests) != len(rules.assembly.participants)
        or transcript_hash(rules.assembly, session, digests) != share.transcript
        or (quoted[who], quoted[whom]) != (own.digest, accused.digest)
    ):
        # The accused signed under the transcript that holds both COMMITs; others could not be held against it.
        raise DecodeError("The COMMITs are not those under which the share was given.")
    session_key = X25519PrivateKey.from_private_bytes(complaint.session_key)
    if session_key.public_key().public_bytes_raw() != ours.session_key:
        return false
    link = Link(rules.assembly.context, session, share.transcript, whom, who)
    return (
        false
        if _opens_well(link, share, session_key, theirs)
        else Verdict(whom, session, BadShare, bad_share_text(whom, who))
    )


def bad_share_text(whom: Identifier, who: Identifier) -> str:
    """The sentence for a share of `whom` to `who` that is wrong."""
    return f"Member {whom} gave member {who} a share that does not fit its commitments."


def _opens_well(link: Link, share: SealedShare, session_key: X25519PrivateKey, theirs: Commitments) -> bool:
    try:
        secret = unseal(link, share.ciphertext, session_key, theirs.session_key)
    except DecodeError:
        return False
    try:
        return share_fits(secret, theirs.coefficients, link.recipient)
    finally:
        secret.wipe()


def _judge_certificate(roster: Roster, rules: Rules, items: list[bytes]) -> Verdict | None:
    n = len(roster.participants)
    echo, message, *others = (opened(roster, item) for item in only(items, 2 + 2 * n))
    require_one_author([echo, message], (Phase.ECHO, Phase.CERTIFICATE))
    commits = quoted_bodies(rules, echo, others[:n])
    nonces = quoted_bodies(rules, message, others[n:])
    certificate = checked(rules, message)
    commitments = {who: body for who, body in commits.items() if isinstance(body, Commitments)}
    ready = {who: body for who, body in nonces.items() if isinstance(body, NonceCommitment)}
    if not isinstance(certificate, Certificate) or len(commitments) != n or len(ready) != n:
        raise DecodeError("The evidence of a certificate is an ECHO, a CERTIFICATE, all COMMITs and all READYs.")
    transcript = transcript_hash(roster, echo.head.session, [entry.digest for entry in others[:n]])
    public = public_package(roster, commitments)
    if certificate_fits(roster, message.head, certificate, transcript, public, ready):
        return None
    return Verdict(
        message.head.sender, message.head.session, WrongCertificate, wrong_certificate_text(message.head.sender)
    )


def wrong_certificate_text(who: Identifier) -> str:
    """The sentence for a certificate that is wrong."""
    return f"Member {who} certified another key than its own messages lead to, or signed with another share."


def certificate_fits(
    roster: Roster,
    head: Head,
    certificate: Certificate,
    transcript: bytes,
    public: PublicKeyPackage,
    nonces: Mapping[Identifier, NonceCommitment],
) -> bool:
    """Whether a certificate is for this key, and its signature share (if it has one) is right."""
    if certificate.key_hash != key_hash(roster, head.session, transcript, public):
        return False
    if head.sender not in roster.signers:
        return True
    share = SignatureShare(head.sender, certificate.z)
    return verify_share(possession_package(roster, public, nonces), share)


def quoted_bodies(rules: Rules, by: Signed, messages: list[Signed]) -> dict[Identifier, Statement]:
    """The bodies that an ECHO or CERTIFICATE quotes, in order. Raises DecodeError for others."""
    bodies: dict[Identifier, Statement] = {}
    for (whom, entry), message in zip(quoted_entries(rules.assembly, by).items(), messages, strict=True):
        if message.head != quoted_head(by, whom) or message.digest != entry.digest:
            raise DecodeError("A message is not the one that the accused quoted.")
        bodies[whom] = checked(rules, message)
    return bodies


def require_one_author(messages: list[Signed], phases: tuple[Phase, ...]) -> None:
    """Raises DecodeError unless one member said all of it in one session, in these phases."""
    first = messages[0].head
    for message, phase in zip(messages, phases, strict=True):
        if message.head != Head(phase, first.sender, first.session):
            raise DecodeError(
                "The messages are not of one member, one session and the phases that this evidence takes."
            )


def only(items: list[bytes], count: int) -> list[bytes]:
    """`items`, if there are that many. Raises DecodeError."""
    if len(items) != count:
        raise DecodeError(f"This evidence has {count} parts, not {len(items)}.")
    return items


COMMON_JUDGES: Final[Mapping[Kind, Judge]] = {
    Kind.MALFORMED: _judge_malformed,
    Kind.EQUIVOCATION: _judge_equivocation,
    Kind.CONTRADICTION: _judge_contradiction,
    Kind.SHARE: _judge_share,
}
