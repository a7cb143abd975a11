"""committee.toml: the members of a committee, as every operator holds it. Public.

Guarantees: a file that loads names each member once, by number, endpoint and certificate, with the quorum that their number needs.
"""

import tomllib
from pathlib import Path
from typing import Annotated

import tomlkit
from pydantic import AnyHttpUrl, BaseModel, ConfigDict, Field, ValidationError, field_validator

from bridges.frost.dkg_messages import Roster
from bridges.frost.group import Identifier
from bridges.frost.transport import PeerCertificate
from oracle.errors import ConfigError
from oracle.protocol.errors import ProtocolError
from oracle.protocol.quorum import quorum

FIRST_EPOCH = 1
"""Of a committee's first key."""
DEFAULT_OVERLAP = 86_400


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MemberEntry(_Section):
    """A member as the committee file has it: `certificate` is PEM; `operator` is the number of who runs it, by default its own."""

    identifier: Annotated[int, Field(ge=1, le=1000)]
    endpoint: str
    certificate: str
    operator: Annotated[int, Field(ge=0, le=255)] | None = None

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
    """The whole of committee.toml. `epoch` is that of the key that its members make; `overlap` is how many seconds the key before it
    is still accepted once this one is."""

    name: str
    epoch: Annotated[int, Field(ge=1, lt=1 << 32)] = FIRST_EPOCH
    overlap: Annotated[int, Field(ge=0, lt=1 << 32)] = DEFAULT_OVERLAP
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
            return Roster(self.name, self.epoch, {Identifier(m.identifier): m.pin.der for m in self.members})
        except ProtocolError as error:
            raise ConfigError(f"The committee file cannot be used: {error}") from error

    @property
    def operators(self) -> bytes:
        """One operator number a member, in the order of their identifiers. Raises ConfigError."""
        numbers = [
            member.identifier if member.operator is None else member.operator
            for member in sorted(self.members, key=lambda member: member.identifier)
        ]
        if max(numbers) > 255:
            raise ConfigError("A member with a number over 255 needs an operator number of its own, 0 to 255.")
        return bytes(numbers)

    def member(self, who: int) -> MemberEntry | None:
        """The entry with this number."""
        return next((member for member in self.members if member.identifier == who), None)

    def to_toml(self) -> str:
        """The file's text."""
        document = tomlkit.document()
        document.add(
            tomlkit.comment(
                "A committee and its members, made by `sibyl committee init`. Public; the same for every operator."
            )
        )
        document["name"] = self.name
        if self.epoch != FIRST_EPOCH:
            document["epoch"], document["overlap"] = self.epoch, self.overlap
        document["quorum"] = self.quorum
        members = tomlkit.aot()
        for member in self.members:
            table = tomlkit.table()
            table["identifier"], table["endpoint"] = member.identifier, member.endpoint
            if member.operator is not None:
                table["operator"] = member.operator
            table["certificate"] = tomlkit.string(member.certificate, multiline=True)
            members.append(table)
        document["members"] = members
        return tomlkit.dumps(document)


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
