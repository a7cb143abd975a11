"""The file in which a running devnet tells the other commands where it is. It holds the keys of a devnet, so its mode is 0600."""

import os
from pathlib import Path
from typing import Annotated

from platformdirs import user_state_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridges.frost.keystore import write_private_file
from oracle.errors import ConfigError

_CHECKOUT = Path(__file__).resolve().parents[3]
_HEX = Field(pattern="^0x[0-9a-f]*$")
Hex = Annotated[str, _HEX]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvmPart(_Part):
    """The EVM chain; keys are funded accounts: `user_key` asks, `stranger_key` has nothing to do with anybody."""

    rpc_url: str
    chain_id: int
    pid: int
    committee: str
    gateway: str
    registry: str
    hub: str
    fee_splitter: str
    consumer: str
    verifier: str
    token_factory: str
    weth: str
    guard: str | None
    """The transfer guard, on a devnet that has one."""
    timelock: str
    """Owner of the contracts; `governor_key` proposes to it and carries out."""
    governor_key: Hex
    user_key: Hex
    stranger_key: Hex


class SolanaPart(_Part):
    """The Solana cluster; base58 addresses, 64-byte keypairs."""

    rpc_url: str
    ws_url: str
    genesis_hash: Hex
    pid: int
    program: str
    consumer_program: str
    tokens_program: str
    verifier_program: str
    treasury: str
    user_key: Hex
    stranger_key: Hex


class NodePart(_Part):
    """One node process."""

    identifier: int
    pid: int
    directory: Path
    peer_url: str
    status_url: str


class DevnetFile(_Part):
    """All that a command needs to use the devnet."""

    directory: Path
    pid: int
    group_key: Hex
    quorum: int
    models: dict[str, Hex]
    evm: EvmPart
    solana: SolanaPart
    nodes: tuple[NodePart, ...]

    def write(self, path: Path) -> None:
        """Write the file, mode 0600, replacing an older one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        write_private_file(path, self.model_dump_json(indent=1).encode())


def default_path() -> Path:
    """`SIBYL_DEVNET`, or the checkout's build/devnet.json, or the user's state directory for an installed sibyl."""
    named = os.environ.get("SIBYL_DEVNET")
    if named:
        return Path(named)
    if (_CHECKOUT / "pyproject.toml").exists():
        return _CHECKOUT / "build" / "devnet.json"
    return user_state_path("sibyl") / "devnet.json"


def load(path: Path | None = None) -> DevnetFile:
    """The running devnet. Raises ConfigError when there is none."""
    path = path or default_path()
    try:
        devnet = DevnetFile.model_validate_json(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"No devnet is running ({path} does not exist). Start one with: sibyl devnet up") from error
    except OSError as error:
        raise ConfigError(f"The devnet file {path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        # Without the values: the file holds keys.
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        raise ConfigError(f"The devnet file {path} is damaged ({wrong}). Start the devnet again.") from None
    if not _alive(devnet.pid):
        raise ConfigError(f"The devnet of {path} has ended. Start one with: sibyl devnet up")
    return devnet


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
