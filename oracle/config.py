"""Configuration of a node: one TOML file, parsed once, relative paths resolved against its directory.

Errors name the key and say what is expected. Protocol constants are not settings and are not here.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from oracle.errors import ConfigError
from oracle.protocol.quorum import quorum
from oracle.protocol.types import ADDRESS, WORD

# TOML has types of its own, so a number in quotes or a “yes” is a mistake and not a spelling.
Whole = Annotated[int, Strict()]
Flag = Annotated[bool, Strict()]
Port = Annotated[Whole, Field(ge=0, le=65535)]
Seconds = Annotated[float, Strict(), Field(gt=0, le=86_400)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    @field_validator("*", mode="after")
    @classmethod
    def _resolve(cls, value: Any, info: ValidationInfo) -> Any:
        base = info.context["base"] if info.context else Path()
        if isinstance(value, Path):
            return base / value
        if isinstance(value, tuple):
            return tuple(base / item if isinstance(item, Path) else item for item in value)
        return value


S = TypeVar("S", bound=_Section)


def _hex(size: int, what: str) -> Any:
    return Field(pattern=rf"^0x[0-9a-fA-F]{{{2 * size}}}$", description=what)


class MemberConfig(_Section):
    """One member of the committee: where it listens and the certificate it is pinned to."""

    identifier: Annotated[Whole, Field(ge=1, le=65535)]
    endpoint: AnyHttpUrl
    certificate: Path

    @field_validator("endpoint")
    @classmethod
    def _https(cls, value: AnyHttpUrl) -> AnyHttpUrl:
        if value.scheme != "https":
            raise ValueError("peers speak TLS; the address begins with https://")
        return value


class CommitteeConfig(_Section):
    """The committee: its epoch, its group public key (33 bytes, compressed) and its members."""

    epoch: Annotated[Whole, Field(ge=1, lt=1 << 32)]
    group_key: str = _hex(33, "compressed group public key")
    members: Annotated[tuple[MemberConfig, ...], Field(min_length=1, max_length=255)]

    @model_validator(mode="after")
    def _unique(self) -> "CommitteeConfig":
        identifiers = [member.identifier for member in self.members]
        if len(set(identifiers)) != len(identifiers):
            raise ValueError("two members have the same identifier")
        return self

    @property
    def quorum(self) -> int:
        """Signers needed."""
        return quorum(len(self.members))


class NextCommitteeConfig(CommitteeConfig):
    """A further key of the committee, while it changes: one of the next epoch (a rotation), or one that was handed on (a resharing).

    Where this node is a member, `key_share` is its share of that key; the other entries are as in the whole file.
    """

    revision: Annotated[Whole, Field(ge=0, lt=1 << 32)] = 0
    """How often the key was handed on, as its committee-key.json says; the newest membership that is ready signs."""
    key_share: Path | None = None
    passphrase_file: Path | None = None
    passphrase_env: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    signer: Literal["in-process", "process"] | Path = "in-process"
    signer_config: Path = Path("signer-next.toml")

    @model_validator(mode="after")
    def _one_passphrase(self) -> "NextCommitteeConfig":
        if self.passphrase_file is not None and self.passphrase_env is not None:
            raise ValueError("give passphrase_file or passphrase_env, not both")
        return self


class ChainConfig(_Section):
    """What every chain has: its RPC endpoints. What a signature rests on is taken from `rpc_quorum` of them that agree."""

    rpc_url: AnyHttpUrl
    further_rpc_urls: tuple[AnyHttpUrl, ...] = ()
    """Endpoints of other operators. One endpoint alone can hide or invent what it likes."""
    rpc_quorum: Annotated[Whole, Field(ge=1, le=32)] | None = None
    """How many must agree; more than half of them unless given."""
    poll_seconds: Seconds = 1.0

    @model_validator(mode="after")
    def _agreeing(self) -> Self:
        if len(set(self.rpc_urls)) != len(self.rpc_urls):
            raise ValueError("an RPC endpoint is named twice; two answers of one are not an agreement")
        if self.agreeing > len(self.rpc_urls):
            raise ValueError(
                f"rpc_quorum is {self.agreeing}, and there are {len(self.rpc_urls)} RPC endpoints; add further_rpc_urls"
            )
        return self

    @property
    def rpc_urls(self) -> tuple[str, ...]:
        """All endpoints."""
        return tuple(str(url) for url in (self.rpc_url, *self.further_rpc_urls))

    @property
    def agreeing(self) -> int:
        """How many endpoints must agree."""
        return self.rpc_quorum or len(self.rpc_urls) // 2 + 1


class EvmConfig(ChainConfig):
    """One EVM chain. `key_file` holds the account that pays for deliveries (32 bytes hex, mode 0600)."""

    chain_id: Annotated[Whole, Field(ge=1, lt=1 << 64)]
    gateway: str = _hex(ADDRESS, "address")
    hub: str = _hex(ADDRESS, "address")
    token_factory: str | None = Field(default=None, pattern=rf"^0x[0-9a-fA-F]{{{2 * ADDRESS}}}$")
    """The token bridge's factory: with it, this node watches that what is minted is locked."""
    key_file: Path
    finality: Literal["finalized"] | Annotated[Whole, Field(ge=1, le=10_000)] = "finalized"
    start_block: Annotated[Whole, Field(ge=0)] = 0
    max_fee_gwei: Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)] = 500.0
    low_balance: Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)] = 0.1
    """Ether below which the account of `key_file` is to be funded: the node warns, and goes on."""


class SolanaConfig(ChainConfig):
    """One Solana cluster. `key_file` holds the 64-byte keypair that pays for deliveries (JSON array, mode 0600)."""

    genesis_hash: str = _hex(WORD, "genesis hash")
    program: str = _hex(WORD, "program id")
    tokens_program: str | None = Field(default=None, pattern=rf"^0x[0-9a-fA-F]{{{2 * WORD}}}$")
    """The token bridge's program: what is delivered to it is redeemed in the same transaction."""
    key_file: Path
    priority_fee: Annotated[Whole, Field(ge=0, le=10_000_000)] = 0
    """Micro-lamports per compute unit."""
    low_balance: Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)] = 0.5
    """SOL below which the account of `key_file` is to be funded: the node warns, and goes on."""


class ListenConfig(_Section):
    """A host and port to listen on; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: Port


class WorkersConfig(_Section):
    """Worker processes: how many prove, the deadlines of a proof and of everything else in seconds, and how many jobs may wait."""

    provers: Annotated[Whole, Field(ge=1, le=64)] = 1
    prove_seconds: Seconds = 180.0
    infer_seconds: Seconds = 30.0
    queue: Annotated[Whole, Field(ge=1, le=10_000)] = 32


class TakeoverConfig(_Section):
    """How long a member waits for the one before it in the duty order, in seconds."""

    prove: Seconds = 20.0
    sign: Seconds = 3.0
    submit: Seconds = 4.0


class NodeConfig(_Section):
    """The whole of node.toml."""

    identifier: Annotated[Whole, Field(ge=1, le=65535)]
    devnet: Flag = False
    """A devnet accepts a dealer's key share and a locally made SRS; a daemon elsewhere refuses both."""
    data_dir: Path = Path("data")
    key_share: Path
    passphrase_file: Path | None = None
    """One line, mode 0600: what the key share is encrypted under. A devnet's may be plain."""
    passphrase_env: Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Or the name of an environment variable that holds it."""
    signer: Literal["in-process", "process"] | Path = "in-process"
    """Where the share and the nonces live: in this process, in one that the node starts by `signer_config`, or behind a socket."""
    signer_config: Path = Path("signer.toml")
    identity: Path
    """Directory with this member's TLS certificate and key."""
    models: Annotated[tuple[Path, ...], Field(min_length=1)]
    """Directories of compiled models."""
    trusted_srs: tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...] = ()
    """SHA-256 of the ceremony files that models may rest on; a devnet does not ask."""
    log_json: Flag = True
    listen: ListenConfig
    status: ListenConfig
    committee: CommitteeConfig
    next_committee: tuple[NextCommitteeConfig, ...] = ()
    """Further keys, while the committee changes."""
    evm: tuple[EvmConfig, ...] = ()
    solana: tuple[SolanaConfig, ...] = ()
    workers: WorkersConfig = WorkersConfig()
    takeover: TakeoverConfig = TakeoverConfig()

    @property
    def committees(self) -> tuple[CommitteeConfig, ...]:
        """All keys of this file, the present one first."""
        return (self.committee, *self.next_committee)

    @property
    def members(self) -> tuple[MemberConfig, ...]:
        """Everybody in any committee of this file, once; the later entry of a member counts."""
        found = {member.identifier: member for one in self.committees for member in one.members}
        return tuple(found[identifier] for identifier in sorted(found))

    @model_validator(mode="after")
    def _consistent(self) -> "NodeConfig":
        if self.identifier not in {member.identifier for member in self.members}:
            where = "committee.members" if not self.next_committee else "the members of any committee of this file"
            raise ValueError(f"identifier {self.identifier} is not among {where}")
        for epoch in {one.epoch for one in self.committees}:
            if len({one.group_key.lower() for one in self.committees if one.epoch == epoch}) > 1:
                raise ValueError(f"two committees of epoch {epoch} have different group keys")
        if self.passphrase_file is not None and self.passphrase_env is not None:
            raise ValueError("give passphrase_file or passphrase_env, not both")
        if not self.evm and not self.solana:
            raise ValueError("give at least one chain, as [[evm]] or [[solana]]")
        chains = [entry.chain_id for entry in self.evm], [entry.genesis_hash.lower() for entry in self.solana]
        if any(len(set(named)) != len(named) for named in chains):
            raise ValueError("two chains of this file are one; give each chain a single [[evm]] or [[solana]]")
        return self


class KeyConfig(_Section):
    """A committee's public key, and the epoch in which it signs."""

    group_key: str = _hex(33, "compressed group public key")
    epoch: Annotated[Whole, Field(ge=1, lt=1 << 32)]


class RelayConfig(KeyConfig):
    """The whole of relay.toml: a relayer holds no key share, it believes signatures by group keys and nothing else."""

    further_keys: tuple[KeyConfig, ...] = ()
    """Keys of other epochs, while the committee rotates."""
    sources: Annotated[tuple[AnyHttpUrl, ...], Field(min_length=1)]
    """Status ports of nodes."""
    poll_seconds: Seconds = 1.0
    log_json: Flag = True
    evm: tuple[EvmConfig, ...] = ()
    solana: tuple[SolanaConfig, ...] = ()

    @model_validator(mode="after")
    def _one_key_an_epoch(self) -> Self:
        if len(self.group_keys) != 1 + len(self.further_keys):
            raise ValueError("two keys are given for one epoch")
        return self

    @property
    def group_keys(self) -> dict[int, bytes]:
        """By epoch, compressed."""
        return {one.epoch: bytes.fromhex(one.group_key[2:]) for one in (self, *self.further_keys)}


def unhex(text: str) -> bytes:
    """Bytes of a value that was checked to be 0x and hexadecimal digits."""
    return bytes.fromhex(text.removeprefix("0x"))


def load_config(path: Path) -> NodeConfig:
    """Read and check a node's configuration. Raises ConfigError naming the file, the key and what is expected there."""
    return _load(path, NodeConfig)


def load_relay_config(path: Path) -> RelayConfig:
    """Read and check a relayer's configuration. Raises ConfigError as `load_config` does."""
    return _load(path, RelayConfig)


def _load(path: Path, kind: type[S]) -> S:
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} is not TOML: {error}.") from error
    try:
        return kind.model_validate(document, context={"base": path.resolve().parent})
    except ValidationError as error:
        lines = [f"  {_key(entry['loc'])}: {entry['msg']}" for entry in error.errors(include_url=False)]
        raise ConfigError(f"The configuration {path} is not usable:\n" + "\n".join(lines)) from error


def _key(location: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.lstrip(".") or "the whole file"
