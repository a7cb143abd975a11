"""The key ceremony of a committee: `sibyl committee init` and `sibyl committee keygen`.

Guarantees: nothing is overwritten, neither an identity nor a key share; a ceremony that fails leaves nothing behind, unless this member
had certified the key already: then the share stays in `<output>.uncertified`, because the others may have finished, and
`--finish` turns it into the key share once somebody's public key file shows that all certified.
Does not carry committee files between operators, and does not register keys on chains.
"""

import hashlib
import json
import os
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import tomlkit
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, ValidationError, field_validator
from rich.console import Console

from bridges.frost import keystore
from bridges.frost.dkg import DkgResult
from bridges.frost.dkg_checks import key_hash
from bridges.frost.dkg_messages import Certificate, DkgError, DkgFault, Phase, Roster, opened
from bridges.frost.dkg_session import CeremonyLimits, KeyCeremony, identity_signer
from bridges.frost.errors import KeystoreError
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.transport import (
    CERTIFICATE_FILE,
    KEY_FILE,
    PeerCertificate,
    PeerClient,
    PeerServer,
    TransportIdentity,
    TransportLimits,
)
from oracle.errors import ConfigError
from oracle.protocol.errors import ProtocolError
from oracle.protocol.quorum import quorum

EPOCH = 1
"""Of a committee's first key."""
PUBLIC_FORMAT = "sibyl-committee-key-1"
MAX_PUBLIC_BYTES = 4_194_304
_LIMITS = TransportLimits(max_body=8_388_608)
"""The evidence against a wrong certificate quotes everybody: a few megabytes among 255 members."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MemberEntry(_Section):
    """A member as the committee file has it: `certificate` is PEM."""

    identifier: Annotated[int, Field(ge=1, le=1000)]
    endpoint: str
    certificate: str

    @field_validator("endpoint")
    @classmethod
    def _https(cls, value: str) -> str:
        url = AnyHttpUrl(value)
        if url.scheme != "https" or not url.host or url.path not in (None, "/") or url.query or url.username:
            raise ValueError("an endpoint is https://host:port")
        return f"https://{url.host}:{url.port}"

    @field_validator("certificate")
    @classmethod
    def _one_certificate(cls, value: str) -> str:
        try:
            return PeerCertificate.from_pem(value).to_pem()
        except ProtocolError as error:
            raise ValueError(str(error)) from error

    @property
    def pin(self) -> PeerCertificate:
        """The certificate."""
        return PeerCertificate.from_pem(self.certificate)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        url = AnyHttpUrl(self.endpoint)
        return (url.host or "").strip("[]"), url.port or 443


class CommitteeFile(_Section):
    """The whole of committee.toml. Public: every operator holds the same."""

    name: str
    quorum: int
    members: Annotated[list[MemberEntry], Field(min_length=1, max_length=255)]

    def roster(self) -> Roster:
        """Who makes the key. Raises ConfigError for a file that cannot stand for a committee."""
        if self.quorum != quorum(len(self.members)):
            expected = quorum(len(self.members))
            raise ConfigError(
                f"The committee file says quorum {self.quorum}; {len(self.members)} members need {expected}."
            )
        if len({member.identifier for member in self.members}) != len(self.members):
            raise ConfigError("Two members of the committee file have the same identifier.")
        try:
            return Roster(self.name, EPOCH, {Identifier(m.identifier): m.pin.der for m in self.members})
        except ProtocolError as error:
            raise ConfigError(f"The committee file cannot be used: {error}") from error


def load_committee(path: Path) -> CommitteeFile:
    """Raises ConfigError naming the file and what is wrong in it."""
    try:
        return CommitteeFile.model_validate(tomllib.loads(path.read_text()))
    except OSError as error:
        raise ConfigError(f"The committee file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The committee file {path} is not TOML: {error}.") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ConfigError(f"The committee file {path} is not usable:\n" + "\n".join(lines)) from error


# ---- init


def run_init(
    console: Console, committee: Path, identity: Path, member: tuple[int, str], name: str | None, merge: list[Path]
) -> None:
    """Make this member's identity if it has none, and put it and all members of `merge` into the committee file.

    `member`: identifier and endpoint. Raises ConfigError if two files contradict each other, KeystoreError for a broken identity.
    """
    files = [load_committee(path) for path in ([committee] if committee.exists() else []) + merge]
    names = {file.name for file in files} | ({name} if name is not None else set())
    if len(names) != 1:
        listed = ", ".join(sorted(names)) or "none: give --name"
        raise ConfigError(f"A committee has one name, and all its operators the same ({listed}).")
    own = _identity(identity, f"sibyl member {member[0]}")
    try:
        entry = MemberEntry(identifier=member[0], endpoint=member[1], certificate=own.certificate.to_pem())
    except ValidationError as error:
        raise ConfigError(f"This member cannot be entered: {error.errors(include_url=False)[0]['msg']}.") from error
    members = _merged([entry, *(m for file in files for m in file.members)])
    file = CommitteeFile(name=names.pop(), quorum=quorum(len(members)), members=members)
    if len(members) > 1:
        file.roster()
    _write_public(committee, _as_toml(file))
    console.print(f"Identity: {identity} (keep it private, back it up)", markup=False, highlight=False)
    _show_committee(console, committee, file)


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
        if known.endpoint != entry.endpoint:
            raise ConfigError(f"Member {entry.identifier} has two endpoints: {known.endpoint} and {entry.endpoint}.")
    if len({entry.pin.der for entry in members.values()}) != len(members):
        raise ConfigError("One certificate stands for two members; let each make its own identity.")
    return [members[i] for i in sorted(members)]


def _as_toml(file: CommitteeFile) -> str:
    document = tomlkit.document()
    document.add(
        tomlkit.comment(
            "A committee and its members, made by `sibyl committee init`. Public; the same for every operator."
        )
    )
    document["name"], document["quorum"] = file.name, file.quorum
    members = tomlkit.aot()
    for member in file.members:
        table = tomlkit.table()
        table["identifier"], table["endpoint"] = member.identifier, member.endpoint
        table["certificate"] = tomlkit.string(member.certificate, multiline=True)
        members.append(table)
    document["members"] = members
    return tomlkit.dumps(document)


def _show_committee(console: Console, path: Path, file: CommitteeFile) -> None:
    console.print(
        f"Committee {file.name} in {path}: quorum {file.quorum} of {len(file.members)}", markup=False, highlight=False
    )
    for member in file.members:
        line = f"  {member.identifier}  {member.endpoint}  {member.pin.fingerprint}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _write_public(path: Path, text: str) -> None:
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

    @property
    def uncertified(self) -> Path:
        """The share between this member's certificate and everybody's."""
        return self.output.with_name(self.output.name + ".uncertified")

    def require_free(self) -> None:
        """Raises ConfigError if a key is there already, or cannot be put there."""
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


class FileCustody:
    """Keeps the share in `paths.uncertified` until all have certified."""

    def __init__(self, paths: KeygenPaths, roster: Roster) -> None:
        self._paths, self._roster = paths, roster

    def keep(self, share: KeyShare) -> None:
        """A file left from an earlier ceremony goes: with all members here again, that one ended without a key."""
        self._paths.uncertified.unlink(missing_ok=True)
        keystore.save(self._paths.uncertified, share)

    def settle(self, result: DkgResult) -> None:
        """The public file first: with it, even a crash before the next line can be finished."""
        _write_public(self._paths.public, public_file(self._roster, result))
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


def public_file(roster: Roster, result: DkgResult) -> str:
    """committee-key.json: all that is public of the new key, for its registration and for whoever wants to check it."""
    public = result.share.public
    content = {
        "format": PUBLIC_FORMAT,
        "committee": roster.name,
        "epoch": roster.epoch,
        "group_key": "0x" + public.group_public_key.to_bytes().hex(),
        "proof_of_possession": "0x" + result.proof_of_possession.to_bytes().hex(),
        "quorum": public.threshold,
        "participants": list(public.participants),
        "verifying_shares": {str(i): "0x" + p.to_bytes().hex() for i, p in public.verifying_shares.items()},
        "transcript_hash": result.key_hash.hex(),
        "session": result.session.hex(),
        "round_one_hash": result.transcript.hex(),
        "certificates": {str(i): data.hex() for i, data in result.certificates.items()},
    }
    return json.dumps(content, indent=1) + "\n"


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
    roster, identity = file.roster(), TransportIdentity.load(paths.identity)
    pins = {member.identifier: member.pin for member in file.members}
    if pins.get(who) != identity.certificate:
        raise ConfigError(f"The identity in {paths.identity} is not member {who}'s of {paths.committee}.")
    clients = {
        m.identifier: PeerClient(identity, m.identifier, m.pin, m.address, _LIMITS)
        for m in file.members
        if m.identifier != who
    }

    def progress(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    _show_committee(console, paths.committee, file)
    progress(f"Committee file: {roster.context.hex()[:32]} (the same for every operator)")
    custody = FileCustody(paths, roster)
    ceremony = KeyCeremony(
        roster, Identifier(who), identity_signer(identity.key_path), clients, custody, limits=limits, progress=progress
    )
    server = PeerServer(identity, {i: pin for i, pin in pins.items() if i != who}, listen, _LIMITS)
    ceremony.register(server)
    try:
        await _listen(server, listen)
        result = await ceremony.run()
    except DkgError as error:
        addition = _saved_evidence(error, paths) + _consequence(ceremony, paths)
        raise DkgError(f"{error} {addition}", error.culprits) from error
    finally:
        await server.stop()
        for client in clients.values():
            await client.close()
    _show_key(console, result.share, result.key_hash, paths)


async def _listen(server: PeerServer, listen: tuple[str, int]) -> None:
    try:
        await server.start()
    except OSError as error:
        raise ConfigError(
            f"{listen[0]}:{listen[1]} cannot be listened on: {error.strerror}. Choose another --listen."
        ) from error


def _consequence(ceremony: KeyCeremony, paths: KeygenPaths) -> str:
    if not ceremony.certified:
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
    _write_public(path, error.evidence.hex() + "\n")
    return f"The evidence is in {path}. "


def _show_key(console: Console, share: KeyShare, digest: bytes, paths: KeygenPaths) -> None:
    for label, value in (
        ("Group key", "0x" + share.public.group_public_key.to_bytes().hex()),
        ("Transcript", digest.hex()),
        ("Key share", str(paths.output)),
        ("Public", str(paths.public)),
    ):
        console.print(f"{label + ':':12}{value}", markup=False, highlight=False, soft_wrap=True)
    console.print("Read the transcript to the other operators: the key is good only if all see the same.")


# ---- finish


def run_finish(console: Console, paths: KeygenPaths, who: int, others: Path) -> None:
    """Make the uncertified share final by another member's public key file. Raises ConfigError or KeystoreError."""
    if paths.output.exists():
        raise ConfigError(f"{paths.output} exists already; there is nothing to finish.")
    roster = load_committee(paths.committee).roster()
    share = keystore.load(paths.uncertified, devnet=False, allow_plain=True)
    text = _read_public(others)
    try:
        digest = _certified_hash(roster, share, json.loads(text))
    except (ProtocolError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{others} does not show that all members certified this key: {error}.") from error
    if share.identifier != who:
        raise ConfigError(f"{paths.uncertified} is member {share.identifier}'s share, not member {who}'s.")
    if others.resolve() != paths.public.resolve():
        _write_public(paths.public, text)
    promote(paths)
    _show_key(console, share, digest, paths)


def _read_public(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_PUBLIC_BYTES:
            raise ConfigError(f"{path} is too large to be a public key file.")
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The public key file {path} cannot be read.") from error


def _certified_hash(roster: Roster, share: KeyShare, content: dict[str, object]) -> bytes:
    session, transcript = bytes.fromhex(str(content["session"])), bytes.fromhex(str(content["round_one_hash"]))
    digest = key_hash(roster, session, transcript, share.public)
    certificates = content["certificates"]
    if not isinstance(certificates, dict):
        raise ValueError("its certificates are not an object")
    for member in roster.participants:
        message = opened(roster, bytes.fromhex(certificates[str(member)]))
        head = message.head
        if (head.phase, head.sender, head.session) != (Phase.CERTIFICATE, member, session):
            raise ValueError(f"member {member}'s certificate is of another message")
        if Certificate.from_bytes(message.body).key_hash != digest:
            raise ValueError(f"member {member} certified another key")
    return digest
