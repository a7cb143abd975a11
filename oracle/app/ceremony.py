"""The key ceremony of a committee: `sibyl committee init` and `sibyl committee keygen`.

Guarantees: nothing is overwritten, neither an identity nor a key share; a ceremony that fails leaves nothing behind, unless this member
had certified the key already: then the share stays in `<output>.uncertified`, because the others may have finished, and
`--finish` turns it into the key share once somebody's public key file shows that all certified.
Does not carry committee files between operators, and does not register keys on chains.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pydantic import ValidationError
from rich.console import Console

from bridges.frost import keystore
from bridges.frost.dkg import DkgResult
from bridges.frost.dkg_messages import DkgError, DkgFault
from bridges.frost.dkg_session import Ceremony, CeremonyLimits, KeyCeremony, identity_signer
from bridges.frost.dkg_talk import Sign
from bridges.frost.errors import KeystoreError
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare, PublicKeyPackage
from bridges.frost.sealing import Passphrase, PassphraseSource
from bridges.frost.transport import (
    CERTIFICATE_FILE,
    KEY_FILE,
    PeerClient,
    PeerServer,
    TransportIdentity,
    TransportLimits,
)
from oracle.app.committee_file import DEFAULT_OVERLAP, FIRST_EPOCH, CommitteeFile, MemberEntry, load_committee
from oracle.app.key_file import KeyFile, load_key_file
from oracle.errors import ConfigError
from oracle.protocol.quorum import quorum


class Result(Protocol):
    """What a ceremony leads to."""

    @property
    def session(self) -> bytes:
        """The session that made it."""

    @property
    def share(self) -> KeyShare | None:
        """This member's share; None for a member that gets none."""


_LIMITS = TransportLimits(max_body=8_388_608)
"""The evidence against a wrong certificate quotes everybody: a few megabytes among 255 members."""

R = TypeVar("R", bound=Result)
NO_PASSPHRASE = PassphraseSource(None, None)


# ---- init


@dataclass(frozen=True, slots=True)
class Wishes:
    """What an operator says of a committee file that is made: None is what the files that are merged say."""

    name: str | None = None
    epoch: int | None = None
    overlap: int | None = None
    operator: int | None = None
    without: tuple[int, ...] = ()
    """Members that are left out."""


def run_init(
    console: Console, committee: Path, identity: Path, member: tuple[int, str], wishes: Wishes, merge: list[Path]
) -> None:
    """Make this member's identity if it has none, and put it and all members of `merge` into the committee file.

    `member`: identifier and endpoint. Raises ConfigError if two files contradict each other, KeystoreError for a broken identity.
    """
    files = [load_committee(path) for path in ([committee] if committee.exists() else []) + merge]
    names = {file.name for file in files} | ({wishes.name} if wishes.name is not None else set())
    if len(names) != 1:
        listed = ", ".join(sorted(names)) or "none: give --name"
        raise ConfigError(f"A committee has one name, and all its operators the same ({listed}).")
    epoch = _agreed("epoch", wishes.epoch, {file.epoch for file in files}, FIRST_EPOCH)
    overlap = _agreed("overlap", wishes.overlap, {file.overlap for file in files}, DEFAULT_OVERLAP)
    own = _identity(identity, f"sibyl member {member[0]}")
    try:
        entry = MemberEntry(
            identifier=member[0], endpoint=member[1], certificate=own.certificate.to_pem(), operator=wishes.operator
        )
    except ValidationError as error:
        raise ConfigError(f"This member cannot be entered: {error.errors(include_url=False)[0]['msg']}.") from error
    everybody = _merged([entry, *(m for file in files for m in file.members)])
    members = [m for m in everybody if m.identifier not in wishes.without]
    if not members:
        raise ConfigError("Nobody is left in the committee file.")
    file = CommitteeFile(name=names.pop(), epoch=epoch, overlap=overlap, quorum=quorum(len(members)), members=members)
    if len(members) > 1:
        file.roster()
    write_public(committee, file.to_toml())
    console.print(f"Identity: {identity} (keep it private, back it up)", markup=False, highlight=False)
    show_committee(console, committee, file)


def _agreed(what: str, wished: int | None, said: set[int], otherwise: int) -> int:
    """A wish counts beside files of the same value, and above those that are merged into a new committee."""
    if wished is not None:
        return wished
    if len(said) > 1:
        raise ConfigError(
            f"The committee files differ in their {what} ({', '.join(map(str, sorted(said)))}); say which with --{what}."
        )
    return said.pop() if said else otherwise


def _identity(directory: Path, name: str) -> TransportIdentity:
    if (directory / KEY_FILE).exists() or (directory / CERTIFICATE_FILE).exists():
        return TransportIdentity.load(directory)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"The directory {directory} cannot be made: {error.strerror}.") from error
    return TransportIdentity.generate(directory, name, datetime.now(UTC))


def _merged(entries: list[MemberEntry]) -> list[MemberEntry]:
    members: dict[int, MemberEntry] = {}
    for entry in entries:
        known = members.setdefault(entry.identifier, entry)
        if known.pin != entry.pin:
            raise ConfigError(
                f"Two certificates claim to be member {entry.identifier}'s; ask its operator which one is right."
            )
        if known.operator is None and entry.operator is not None:
            known = members[entry.identifier] = entry
        if entry.operator is not None and known.operator != entry.operator:
            raise ConfigError(f"Member {entry.identifier} has two operators: {known.operator} and {entry.operator}.")
        if known.endpoint != entry.endpoint:
            raise ConfigError(f"Member {entry.identifier} has two endpoints: {known.endpoint} and {entry.endpoint}.")
    if len({entry.pin.der for entry in members.values()}) != len(members):
        raise ConfigError("One certificate stands for two members; let each make its own identity.")
    return [members[i] for i in sorted(members)]


def show_committee(console: Console, path: Path, file: CommitteeFile) -> None:
    """For operators to compare."""
    console.print(
        f"Committee {file.name} in {path}: quorum {file.quorum} of {len(file.members)}", markup=False, highlight=False
    )
    for member in file.members:
        line = f"  {member.identifier}  {member.endpoint}  {member.pin.fingerprint}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def write_public(path: Path, text: str) -> None:
    """Replace a public file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        temporary.unlink(missing_ok=True)


# ---- keygen


@dataclass(frozen=True, slots=True)
class KeygenPaths:
    """Files of one ceremony: what is read, and what it writes."""

    committee: Path
    identity: Path
    output: Path
    public: Path
    passphrase: PassphraseSource = NO_PASSPHRASE
    """What the new share is encrypted under; without one it is written plain."""

    @contextmanager
    def secret(self) -> Iterator[Passphrase | None]:
        """The passphrase, wiped afterwards. Raises KeystoreError."""
        passphrase = self.passphrase.read()
        try:
            yield passphrase
        finally:
            if passphrase is not None:
                passphrase.wipe()

    @property
    def uncertified(self) -> Path:
        """The share between this member's certificate and everybody's."""
        return self.output.with_name(self.output.name + ".uncertified")

    def require_free(self) -> None:
        """Raises ConfigError if a key is there already, or cannot be put there, KeystoreError for a passphrase that cannot be read."""
        with self.secret():
            pass
        for path in (self.output, self.public):
            if path.exists() or path.is_symlink():
                raise ConfigError(
                    f"{path} exists already; a key is never overwritten. Move it away, or choose another name."
                )
        for parent in {self.output.parent, self.public.parent}:
            if not os.access(parent, os.W_OK | os.X_OK):
                raise ConfigError(
                    f"{parent} is no directory that can be written; the key would be lost. Choose another."
                )


class FileCustody(Generic[R]):
    """Keeps the share in `paths.uncertified` until all have certified; then `publish` makes the public file's content."""

    def __init__(self, paths: KeygenPaths, publish: Callable[[R], KeyFile]) -> None:
        self._paths, self._publish = paths, publish

    def keep(self, share: KeyShare) -> None:
        """A file left from an earlier ceremony goes: with all members here again, that one ended without a key."""
        self._paths.uncertified.unlink(missing_ok=True)
        with self._paths.secret() as passphrase:
            keystore.save(self._paths.uncertified, share, passphrase)

    def settle(self, result: R) -> None:
        """The public file first: with it, even a crash before the next line can be finished."""
        write_public(self._paths.public, self._publish(result).to_json())
        if result.share is not None:
            promote(self._paths)

    def discard(self) -> None:
        """Nothing was kept."""


def promote(paths: KeygenPaths) -> None:
    """The uncertified share becomes the key share. Raises KeystoreError if there is one already."""
    try:
        paths.output.hardlink_to(paths.uncertified)
        paths.uncertified.unlink()
        directory = os.open(paths.output.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise KeystoreError(
            f"{paths.output} exists already; move it away first, for a key is never overwritten."
        ) from None
    except OSError as error:
        raise KeystoreError(
            f"{paths.output} cannot be written: {error.strerror}. The share is in {paths.uncertified}."
        ) from error


def address(text: str) -> tuple[str, int]:
    """host:port. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"{text} is no address; give host:port, such as 0.0.0.0:8900.")
    return host.strip("[]"), int(port)


async def run_keygen(
    console: Console, paths: KeygenPaths, who: int, listen: tuple[str, int], limits: CeremonyLimits
) -> None:
    """This member's part in the ceremony. Raises ConfigError, KeystoreError, DkgError."""
    paths.require_free()
    file = load_committee(paths.committee)
    roster, place = file.roster(), Place.of(console, paths, who, listen, limits)
    place.require_member(file.member(who), paths.committee)
    show_committee(console, paths.committee, file)
    place.tell(f"Committee file: {roster.context.hex()[:32]} (the same for every operator)")
    operators = file.operators

    def publish(result: DkgResult) -> KeyFile:
        return KeyFile.made(roster, result, operators, file.overlap)

    def ceremony(peers: Mapping[int, PeerClient]) -> KeyCeremony:
        custody = FileCustody[DkgResult](paths, publish)
        return KeyCeremony(roster, Identifier(who), place.sign, peers, custody, limits=limits, progress=place.tell)

    result = await place.hold(ceremony, {member.identifier: member for member in file.members})
    show_key(console, result.share.public, result.key_hash, paths)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one member takes part in a ceremony: its identity, its port, its files, its console."""

    console: Console
    paths: KeygenPaths
    who: int
    listen: tuple[str, int]
    identity: TransportIdentity

    @classmethod
    def of(
        cls, console: Console, paths: KeygenPaths, who: int, listen: tuple[str, int], limits: CeremonyLimits
    ) -> "Place":
        """Raises KeystoreError for an identity that cannot be used."""
        return cls(console, paths, who, listen, TransportIdentity.load(paths.identity))

    def require_member(self, entry: MemberEntry | None, where: Path) -> None:
        """Raises ConfigError unless the entry has this identity's certificate."""
        if entry is None or entry.pin != self.identity.certificate:
            raise ConfigError(f"The identity in {self.paths.identity} is not member {self.who}'s of {where}.")

    @property
    def sign(self) -> Sign:
        """By this member's identity key."""
        return identity_signer(self.identity.key_path)

    def tell(self, line: str) -> None:
        """A line for the operator."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    async def hold(
        self, begin: Callable[[Mapping[int, PeerClient]], Ceremony[R]], members: Mapping[int, MemberEntry]
    ) -> R:
        """Meet the other `members`, and go through with it. Raises DkgError, with what it means for the operator."""
        others = {i: entry for i, entry in members.items() if i != self.who}
        clients = {i: PeerClient(self.identity, i, entry.pin, entry.address, _LIMITS) for i, entry in others.items()}
        server = PeerServer(self.identity, {i: entry.pin for i, entry in others.items()}, self.listen, _LIMITS)
        ceremony = begin(clients)
        ceremony.register(server)
        try:
            await _listen(server, self.listen)
            return await ceremony.run()
        except DkgError as error:
            addition = _saved_evidence(error, self.paths) + _consequence(ceremony.certified, self.paths)
            raise DkgError(f"{error} {addition}", error.culprits) from error
        finally:
            await server.stop()
            for client in clients.values():
                await client.close()


async def _listen(server: PeerServer, listen: tuple[str, int]) -> None:
    try:
        await server.start()
    except OSError as error:
        raise ConfigError(
            f"{listen[0]}:{listen[1]} cannot be listened on: {error.strerror}. Choose another --listen."
        ) from error


def _consequence(certified: bool, paths: KeygenPaths) -> str:
    if not certified:
        return "Nothing was kept; run it again, all members at about the same time."
    return (
        f"This member had certified already, so its share is kept in {paths.uncertified}: if any other member finished, get its "
        "public key file and run this again with --finish; if nobody did, run the ceremony again."
    )


def _saved_evidence(error: DkgError, paths: KeygenPaths) -> str:
    """Evidence is for the other operators, so it goes to a file; what the sentence says of it."""
    if not isinstance(error, DkgFault) or not error.evidence:
        return ""
    path = paths.public.with_name(f"{paths.public.name}.evidence-{hashlib.sha256(error.evidence).hexdigest()[:8]}")
    write_public(path, error.evidence.hex() + "\n")
    return f"The evidence is in {path}. "


def show_key(console: Console, public: PublicKeyPackage, digest: bytes, paths: KeygenPaths) -> None:
    """What operators compare."""
    for label, value in (
        ("Group key", "0x" + public.group_public_key.to_bytes().hex()),
        ("Transcript", digest.hex()),
        ("Key share", str(paths.output)),
        ("Public", str(paths.public)),
    ):
        console.print(f"{label + ':':12}{value}", markup=False, highlight=False, soft_wrap=True)
    console.print("Read the transcript to the other operators: the key is good only if all see the same.")
    if paths.passphrase == NO_PASSPHRASE:
        line = f"The share is not encrypted; a node takes it so on a devnet alone: sibyl committee passphrase --share {paths.output}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


# ---- finish


def run_finish(console: Console, paths: KeygenPaths, who: int, others: Path) -> None:
    """Make the uncertified share final by another member's public key file. Raises ConfigError or KeystoreError."""
    if paths.output.exists():
        raise ConfigError(f"{paths.output} exists already; there is nothing to finish.")
    roster = load_committee(paths.committee).roster()
    with paths.secret() as passphrase:
        share = keystore.load(paths.uncertified, devnet=False, allow_plain=True, passphrase=passphrase)
    file = load_key_file(others, roster)
    if file.public != share.public:
        raise ConfigError(f"{others} does not show that all members certified this key: it is of another key.")
    if share.identifier != who:
        raise ConfigError(f"{paths.uncertified} is member {share.identifier}'s share, not member {who}'s.")
    if others.resolve() != paths.public.resolve():
        write_public(paths.public, file.to_json())
    promote(paths)
    show_key(console, share.public, file.transcript, paths)
