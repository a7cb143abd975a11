"""Renewal of certificates: what a notice must be, what a member makes of one, and what is left of it after a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bridges.frost.errors import DecodeError, KeystoreError, RenewalRefused
from bridges.frost.identity import (
    CERTIFICATE_FILE,
    KEY_FILE,
    NEXT_CERTIFICATE_FILE,
    NEXT_KEY_FILE,
    PeerCertificate,
    TransportIdentity,
)
from bridges.frost.pins import NOTICE_FILE, PINS_DIRECTORY, PinBook, adopt_renewal, pending_renewal, prepare_renewal
from bridges.frost.renewal import MemberPins, RenewalNotice
from bridges.frost.renewal_session import decode_notices, decode_serials, encode_serials

NOW = datetime.now(UTC)
OVERLAP = 100.0


@dataclass
class Clock:
    """Unix time that a test moves."""

    now: float = field(default_factory=NOW.timestamp)

    def __call__(self) -> float:
        return self.now


def make_identity(root: Path, name: str = "member") -> TransportIdentity:
    root.mkdir(parents=True, exist_ok=True)
    return TransportIdentity.generate(root, name, NOW)


@dataclass
class Person:
    """Somebody who renews: the certificates in turn, and the keys that sign notices."""

    root: Path
    identities: list[TransportIdentity] = field(default_factory=list)

    def further(self) -> TransportIdentity:
        self.identities.append(make_identity(self.root / str(len(self.identities))))
        return self.identities[-1]

    def notice(self, serial: int, old: int, new: int, member: int = 2) -> RenewalNotice:
        before, after = self.identities[old], self.identities[new]
        return RenewalNotice.make(member, serial, before.certificate, after.certificate, before.sign)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    made = Person(tmp_path / "person")
    for _ in range(4):
        made.further()
    return made


@pytest.fixture
def pins(person: Person) -> MemberPins:
    return MemberPins(2, person.identities[0].certificate)


# ---- what is accepted


def test_renewal__accepted__pins_both_for_the_overlap_and_then_the_new_only(person: Person, pins: MemberPins) -> None:
    old, new = (identity.certificate for identity in person.identities[:2])
    renewed = pins.accepting(person.notice(1, 0, 1), 1_000 + NOW.timestamp())
    start = NOW.timestamp() + 1_000
    assert renewed.trusted(start, OVERLAP) == (new, old)
    assert renewed.trusted(start + OVERLAP - 1, OVERLAP) == (new, old)
    assert renewed.trusted(start + OVERLAP, OVERLAP) == (new,)
    assert pins.trusted(start, OVERLAP) == (old,), "the pins before are unchanged"


def test_renewal__second_within_the_overlap__drops_the_oldest_at_once(person: Person, pins: MemberPins) -> None:
    now = NOW.timestamp()
    twice = pins.accepting(person.notice(1, 0, 1), now).accepting(person.notice(2, 1, 2), now)
    assert twice.trusted(now, OVERLAP) == (person.identities[2].certificate, person.identities[1].certificate)


def test_renewal__repeated__changes_nothing_and_prolongs_no_overlap(person: Person, pins: MemberPins) -> None:
    notice, now = person.notice(1, 0, 1), NOW.timestamp()
    renewed = pins.accepting(notice, now)
    assert renewed.accepting(notice, now + 99) is renewed


def test_renewal__overtaken_notice__is_refused(person: Person, pins: MemberPins) -> None:
    first, second = person.notice(1, 0, 1), person.notice(2, 1, 2)
    renewed = pins.accepting(first, NOW.timestamp()).accepting(second, NOW.timestamp())
    with pytest.raises(RenewalRefused, match="overtaken"):
        renewed.accepting(first, NOW.timestamp())


def test_renewal__second_notice_by_the_old_key__is_refused(person: Person, pins: MemberPins) -> None:
    """A stolen old key, once its successor is known, announces nothing: neither at the same serial nor at a later one."""
    renewed = pins.accepting(person.notice(1, 0, 1), NOW.timestamp())
    with pytest.raises(RenewalRefused, match="contradicts"):
        renewed.accepting(person.notice(1, 0, 2), NOW.timestamp())
    with pytest.raises(RenewalRefused, match="does not follow"):
        renewed.accepting(person.notice(7, 0, 2), NOW.timestamp())


def test_renewal__back_to_an_old_certificate__is_refused(person: Person, pins: MemberPins) -> None:
    renewed = pins.accepting(person.notice(1, 0, 1), NOW.timestamp())
    with pytest.raises(RenewalRefused, match="in use already"):
        renewed.accepting(person.notice(2, 1, 0), NOW.timestamp())


def test_renewal__missing_link__is_refused_until_it_is_there(person: Person, pins: MemberPins) -> None:
    with pytest.raises(RenewalRefused, match="fetch the notices before it"):
        pins.accepting(person.notice(2, 1, 2), NOW.timestamp())


def test_renewal__of_another_member__is_refused(person: Person, pins: MemberPins) -> None:
    with pytest.raises(RenewalRefused, match="member 3's"):
        pins.accepting(person.notice(1, 0, 1, member=3), NOW.timestamp())


@pytest.mark.parametrize("where", ["member", "serial", "certificate", "signature"])
def test_renewal__altered__is_refused(person: Person, pins: MemberPins, where: str) -> None:
    notice = person.notice(1, 0, 1)
    altered = {
        "member": replace(notice, member=3),
        "serial": replace(notice, serial=2),
        "certificate": replace(notice, certificate=person.identities[2].certificate),
        "signature": replace(notice, signature=bytes(64)),
    }[where]
    of = replace(pins, member=altered.member)
    with pytest.raises(RenewalRefused, match="not signed by"):
        of.accepting(altered, NOW.timestamp())


@pytest.mark.parametrize("days", [-2, 3_660], ids=["not yet valid", "expired"])
def test_renewal__certificate_outside_its_time__is_refused(person: Person, pins: MemberPins, days: int) -> None:
    with pytest.raises(RenewalRefused, match="clocks"):
        pins.accepting(person.notice(1, 0, 1), (NOW + timedelta(days=days)).timestamp())


def test_renewal__subject_of_another_member__is_refused(person: Person, pins: MemberPins) -> None:
    """With it, a TLS library could look up the one and refuse the other: a member could lock another out."""
    with pytest.raises(RenewalRefused, match="subject is in use"):
        pins.accepting(person.notice(1, 0, 1), NOW.timestamp(), [person.identities[1].certificate])


def certificate(
    *,
    authority: bool | None = False,
    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey | None = None,
    mimic: bool = False,
) -> PeerCertificate:
    made = key or Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    signer = Ed25519PrivateKey.generate() if mimic else made
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(made.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    algorithm = None if isinstance(signer, Ed25519PrivateKey) else hashes.SHA256()
    return PeerCertificate(builder.sign(signer, algorithm).public_bytes(serialization.Encoding.DER))


@pytest.mark.parametrize(
    "make",
    [
        lambda: certificate(authority=True),
        lambda: certificate(authority=None),
        lambda: certificate(key=ec.generate_private_key(ec.SECP256R1())),
        lambda: certificate(mimic=True),
    ],
    ids=["authority", "no constraint", "another kind of key", "signed by another key"],
)
def test_notice__certificate_that_no_member_makes__is_refused(
    person: Person, make: Callable[[], PeerCertificate]
) -> None:
    with pytest.raises(DecodeError, match="peer's certificate"):
        RenewalNotice.make(2, 1, person.identities[0].certificate, make(), person.identities[0].sign)


def test_notice__signed_by_another_key__is_not_made(person: Person) -> None:
    old, new = person.identities[0].certificate, person.identities[1].certificate
    with pytest.raises(RenewalRefused, match="restore the identity"):
        RenewalNotice.make(2, 1, old, new, person.identities[2].sign)


# ---- bytes


def test_notice__bytes__come_back(person: Person) -> None:
    notice = person.notice(5, 0, 1)
    assert RenewalNotice.from_bytes(notice.to_bytes()) == notice


def test_notice__any_other_length__raises_decode_error(person: Person) -> None:
    data = person.notice(5, 0, 1).to_bytes()
    for bad in (b"", data[:43], data[:-1], data + b"\0"):
        with pytest.raises(DecodeError):
            RenewalNotice.from_bytes(bad)


@given(st.binary(max_size=200))
def test_notice__any_bytes__raise_decode_error_only(data: bytes) -> None:
    with pytest.raises(DecodeError):
        RenewalNotice.from_bytes(data)


@given(st.dictionaries(st.integers(1, 65_535), st.integers(1, 2**64 - 1), max_size=20))
def test_serials__bytes__come_back(serials: dict[int, int]) -> None:
    assert decode_serials(encode_serials(serials)) == serials


@pytest.mark.parametrize("data", [b"\0", b"\0\5abc", b"\0\0"])
def test_notices__bad_list__raises_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_notices(data)


# ---- the book


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def own(tmp_path: Path) -> TransportIdentity:
    return make_identity(tmp_path / "own")


def open_book(tmp_path: Path, clock: Clock, own: TransportIdentity, configured: PeerCertificate) -> PinBook:
    return PinBook(tmp_path / "own", {1: own.certificate, 2: configured}, overlap=OVERLAP, clock=clock)


def test_book__restarted__keeps_pins_serials_and_the_end_of_the_overlap(
    tmp_path: Path, person: Person, clock: Clock, own: TransportIdentity
) -> None:
    old, new = (identity.certificate for identity in person.identities[:2])
    book = open_book(tmp_path, clock, own, old)
    assert book.accept(person.notice(1, 0, 1))
    assert not book.accept(person.notice(1, 0, 1))
    again = open_book(tmp_path, clock, own, old)
    assert again.trusted() == book.trusted() == {1: (own.certificate,), 2: (new, old)}
    assert again.serials() == {1: 0, 2: 1}
    clock.now += OVERLAP
    assert again.trusted()[2] == (new,)
    with pytest.raises(RenewalRefused, match="contradicts"):
        again.accept(person.notice(1, 0, 2))


def test_book__file__is_private_and_leaves_nothing_beside_it(
    tmp_path: Path, person: Person, clock: Clock, own: TransportIdentity
) -> None:
    open_book(tmp_path, clock, own, person.identities[0].certificate).accept(person.notice(1, 0, 1))
    directory = own.key_path.parent / PINS_DIRECTORY
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {"member-2.json": 0o600}


def test_book__written_by_another_process__is_read_again(
    tmp_path: Path, person: Person, clock: Clock, own: TransportIdentity
) -> None:
    configured = person.identities[0].certificate
    running, command = (open_book(tmp_path, clock, own, configured) for _ in range(2))
    command.accept(person.notice(1, 0, 1))
    assert running.refresh()
    assert running.newest(2) == person.identities[1].certificate
    assert not running.refresh()
    command.accept(person.notice(2, 1, 2))
    assert running.accept(person.notice(3, 2, 3)), "accepting reads what others wrote first"


def test_book__operator_configures_a_later_certificate__goes_on_from_it(
    tmp_path: Path, person: Person, clock: Clock, own: TransportIdentity
) -> None:
    certificates = [identity.certificate for identity in person.identities]
    book = open_book(tmp_path, clock, own, certificates[0])
    book.accept(person.notice(1, 0, 1))
    book.accept(person.notice(2, 1, 2))
    later = open_book(tmp_path, clock, own, certificates[2])
    assert later.trusted()[2] == (certificates[2],)
    with pytest.raises(RenewalRefused, match="overtaken"):
        later.accept(person.notice(2, 1, 3))
    assert later.accept(person.notice(3, 2, 3))
    assert open_book(tmp_path, clock, own, certificates[2]).newest(2) == certificates[3]


def test_book__operator_configures_an_unrelated_certificate__forgets_the_notices(
    tmp_path: Path, person: Person, clock: Clock, own: TransportIdentity
) -> None:
    """What an operator does by hand when a key was stolen."""
    open_book(tmp_path, clock, own, person.identities[0].certificate).accept(person.notice(1, 0, 1))
    book = open_book(tmp_path, clock, own, person.identities[3].certificate)
    assert book.trusted()[2] == (person.identities[3].certificate,)
    assert book.serials()[2] == 0


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": "other"}', "signature", "open to others"])
def test_book__damaged_file__is_an_error_and_never_trusted(
    tmp_path: Path, person: Person, clock: Clock, own: TransportIdentity, damage: str
) -> None:
    configured = person.identities[0].certificate
    open_book(tmp_path, clock, own, configured).accept(person.notice(1, 0, 1))
    path = own.key_path.parent / PINS_DIRECTORY / "member-2.json"
    if damage == "signature":
        forged = replace(person.notice(1, 0, 1), signature=bytes(64))
        path.write_text(path.read_text().replace(person.notice(1, 0, 1).to_bytes().hex(), forged.to_bytes().hex()))
    elif damage == "open to others":
        path.chmod(0o644)
    else:
        path.write_text(damage)
    with pytest.raises(KeystoreError, match=r"damaged|chmod 600"):
        open_book(tmp_path, clock, own, configured)


def test_book__two_members_with_one_subject__are_refused(tmp_path: Path, own: TransportIdentity) -> None:
    with pytest.raises(KeystoreError, match="same subject"):
        PinBook(tmp_path, {1: certificate(), 2: certificate()})


def test_book__stranger__is_refused(tmp_path: Path, person: Person, clock: Clock, own: TransportIdentity) -> None:
    book = open_book(tmp_path, clock, own, person.identities[0].certificate)
    with pytest.raises(RenewalRefused, match="not of this committee"):
        book.accept(person.notice(1, 0, 1, member=9))


# ---- this member's own files


def test_prepare__announces_and_changes_nothing_yet__then_adopt_shows_it(
    tmp_path: Path, own: TransportIdentity
) -> None:
    directory, book = tmp_path / "own", PinBook(tmp_path / "own", {1: own.certificate})
    notice = prepare_renewal(directory, book, 1, "member 1", NOW)
    assert TransportIdentity.load(directory) == own
    pending = pending_renewal(directory)
    assert pending is not None
    assert pending[0] == notice
    with pytest.raises(KeystoreError, match="under way"):
        prepare_renewal(directory, book, 1, "member 1", NOW)
    renewed = adopt_renewal(directory, book)
    assert renewed.certificate == notice.certificate == TransportIdentity.load(directory).certificate
    assert {p.name for p in directory.iterdir()} == {CERTIFICATE_FILE, KEY_FILE, PINS_DIRECTORY}
    second = prepare_renewal(directory, book, 1, "member 1", NOW)
    assert second.serial == 2
    assert adopt_renewal(directory, book).certificate == second.certificate


def test_prepare__another_certificate_than_the_committee_knows__is_refused(
    tmp_path: Path, own: TransportIdentity
) -> None:
    other = make_identity(tmp_path / "other")
    with pytest.raises(KeystoreError, match="correct the committee file"):
        prepare_renewal(tmp_path / "own", PinBook(tmp_path / "own", {1: other.certificate}), 1, "x", NOW)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_adopt__crash_after_any_step__is_finished_later(tmp_path: Path, own: TransportIdentity, steps: int) -> None:
    directory, book = tmp_path / "own", PinBook(tmp_path / "own", {1: own.certificate})
    notice = prepare_renewal(directory, book, 1, "member 1", NOW)
    book.accept(notice)
    moves = [(NEXT_KEY_FILE, KEY_FILE), (NEXT_CERTIFICATE_FILE, CERTIFICATE_FILE)]
    for source, target in moves[:steps]:
        (directory / source).replace(directory / target)
    loaded = TransportIdentity.load(directory)
    assert loaded.certificate == (notice.certificate if steps else own.certificate)
    assert adopt_renewal(directory, PinBook(directory, {1: own.certificate})).certificate == notice.certificate
    assert not (directory / NOTICE_FILE).exists()


def test_prepare__after_an_interrupted_attempt__makes_a_new_one(tmp_path: Path, own: TransportIdentity) -> None:
    directory, book = tmp_path / "own", PinBook(tmp_path / "own", {1: own.certificate})
    TransportIdentity.generate_next(directory, "interrupted", NOW)
    (directory / NEXT_KEY_FILE).unlink()
    assert TransportIdentity.load(directory) == own, "half a pair is a leftover"
    notice = prepare_renewal(directory, book, 1, "member 1", NOW)
    assert adopt_renewal(directory, book).certificate == notice.certificate
