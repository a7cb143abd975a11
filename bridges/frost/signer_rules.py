"""What a signer process may sign, by its own configuration file: kinds, origins, destinations, and how often.

Guarantees: everything about a batch is computed here from the bodies alone, among it the 32 bytes to sign; a batch is approved whole
or refused with a reason that can be counted. The file is the operator's: nothing in it comes from the node.
Does not know whether a message was really posted on its origin; that is what the node's pipeline is for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError, field_validator, model_validator

from bridges.frost.errors import FrostError
from bridges.frost.sealing import PassphraseSource
from bridges.frost.signer_ledger import REMEMBERED, Entry
from oracle.errors import ConfigError
from oracle.protocol.errors import DecodeError, EncodeError, ProtocolError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import Message
from oracle.protocol.types import ADDRESS, WORD, Account, Chain, Endpoint, Kind, evm_account

_MAX_CONFIG: Final = 65_536


class RuleRefused(FrostError):
    """One of the signer's own rules says no. `rule` is the word under which it is counted."""

    code = "not_authorised"

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class SignerConfig(BaseModel):
    """The whole of signer.toml. Relative paths are resolved against its directory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identifier: Annotated[int, Strict(), Field(ge=1, le=1000)]
    group_key: Annotated[str, Field(pattern="^0x[0-9a-f]{66}$")]
    """Compressed; a share of another key is refused."""
    key_share: Path
    passphrase_file: Path | None = None
    passphrase_env: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    devnet: Annotated[bool, Strict()] = False
    """A devnet takes a plain share and a dealer's; a signer elsewhere refuses both."""
    socket: Path
    """In a directory that is the signer's own, mode 0700; made if it is not there."""
    client_uid: Annotated[int, Strict(), Field(ge=0)] | None = None
    """The node's user, if it is another than the signer's: then that user alone is served, the directory may be entered by others
    (mode 0711), and the kernel's word about who connects is what protects."""
    ledger: Path
    remembered: Annotated[int, Strict(), Field(ge=10_000, le=1_000_000_000)] = REMEMBERED
    """Entries of the ledger for each kind, origin and destination: those with the highest sequences. Far more than a batch."""
    kinds: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of message kinds in lower case, such as "message" or "inference_result"."""
    origins: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    """Gateways: "eip155:<chain id>:0x<address>" or "solana:0x<genesis hash>:0x<program id>"."""
    destinations: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    sessions_per_second: Annotated[float, Field(gt=0, le=100_000)] = 500.0
    burst: Annotated[int, Strict(), Field(ge=1, le=100_000)] = 1000
    """Sessions that may come at once after a quiet time."""
    log_json: Annotated[bool, Strict()] = True

    @field_validator("kinds")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [kind.name.lower() for kind in Kind]
        for name in value:
            if name not in names:
                raise ValueError(f"{name} is no kind of message; there are {', '.join(names)}")
        return value

    @field_validator("origins", "destinations")
    @classmethod
    def _endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            endpoint(text)
        return value

    @model_validator(mode="after")
    def _one_passphrase(self) -> SignerConfig:
        if self.passphrase_file is not None and self.passphrase_env is not None:
            raise ValueError("give passphrase_file or passphrase_env, not both")
        return self

    @property
    def passphrase(self) -> PassphraseSource:
        """Where the share's passphrase is."""
        return PassphraseSource(self.passphrase_file, self.passphrase_env)


def endpoint(text: str) -> Endpoint:
    """A gateway as the file writes it. Raises ValueError."""
    family, _, rest = text.partition(":")
    reference, _, gateway = rest.partition(":")
    try:
        account = bytes.fromhex(gateway.removeprefix("0x"))
        if family == "eip155" and reference.isascii() and reference.isdecimal() and len(account) == ADDRESS:
            return Endpoint(Chain.evm(int(reference)), evm_account(account))
        if family == "solana" and len(account) == WORD:
            return Endpoint(Chain.solana(bytes.fromhex(reference.removeprefix("0x"))), Account(account))
    except (EncodeError, ValueError):
        pass
    raise ValueError(
        f"{text} is no gateway; write eip155:<chain id>:0x<address> or solana:0x<genesis hash>:0x<program id>"
    )


def endpoint_text(where: Endpoint) -> str:
    """The inverse of `endpoint`."""
    chain = where.chain
    if chain == Chain.solana(chain.reference):
        return f"solana:0x{chain.reference.hex()}:0x{where.gateway.hex()}"
    return f"eip155:{chain.chain_id}:0x{where.gateway[WORD - ADDRESS :].hex()}"


def load_signer_config(path: Path) -> SignerConfig:
    """Raises ConfigError naming the file and what is wrong in it."""
    try:
        if path.stat().st_mode & 0o022:
            raise ConfigError(f"The configuration {path} can be written by others; run chmod go-w on it.")
        with path.open("rb") as file:
            document = tomllib.loads(file.read(_MAX_CONFIG).decode())
        config = SignerConfig.model_validate(document)
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} is not TOML: {error}.") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise ConfigError(f"The configuration {path} is not usable:\n" + "\n".join(lines)) from error
    base = path.resolve().parent
    paths = {name: base / value for name, value in config if isinstance(value, Path)}
    return config.model_copy(update=paths)


@dataclass(frozen=True, slots=True)
class Batch:
    """An approved batch: what the ledger must hold of it before a share is given, and the bytes that are signed."""

    entries: tuple[Entry, ...]
    signing_hash: bytes


class Rules:
    """Judges batches. One instance a signer."""

    def __init__(self, config: SignerConfig) -> None:
        self._kinds = frozenset(kind for kind in Kind if kind.name.lower() in config.kinds)
        self._origins = frozenset(map(endpoint, config.origins))
        self._destinations = frozenset(map(endpoint, config.destinations))

    def approve(self, bodies: Sequence[bytes]) -> Batch:
        """Raises RuleRefused."""
        entries = tuple(self._judged(body) for body in bodies)
        if len({entry.place for entry in entries}) != len(entries):
            raise RuleRefused("duplicate", "Two bodies of this batch are for the same place.")
        try:
            return Batch(entries, batch_signing_hash([entry.digest for entry in entries]))
        except ProtocolError as error:
            raise RuleRefused("malformed", f"This batch cannot be signed: {error}") from error

    def _judged(self, body: bytes) -> Entry:
        try:
            message = Message.from_bytes(body)
        except DecodeError as error:
            raise RuleRefused("malformed", f"A body of this batch is not a message: {error}") from error
        if message.kind not in self._kinds:
            raise RuleRefused("kind", f"This signer does not sign messages of kind {message.kind.name.lower()}.")
        if message.origin not in self._origins:
            raise RuleRefused("origin", f"This signer signs nothing from {endpoint_text(message.origin)}.")
        if message.destination not in self._destinations:
            raise RuleRefused("destination", f"This signer signs nothing for {endpoint_text(message.destination)}.")
        return Entry.of(message, body)
