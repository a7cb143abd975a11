"""The node processes of a devnet: their directories, configurations and lives. Each has its own keys, journal, ports and log."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import tomlkit
from solders.keypair import Keypair

from bridges.frost.keystore import write_private_file
from oracle.app.devnet.chains import HOST, free_port
from oracle.app.devnet.process import Child, start
from oracle.errors import ChainError

READY_SECONDS = 60.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "SIBYL_CACHE", "XDG_CACHE_HOME")


@dataclass(slots=True)
class NodeProcess:
    """One member's directory and, while it runs, its process."""

    identifier: int
    directory: Path
    peer_port: int
    status_port: int
    child: Child | None = None

    @property
    def config_path(self) -> Path:
        """Its node.toml."""
        return self.directory / "node.toml"

    @property
    def status_url(self) -> str:
        """Where health, metrics and messages are shown."""
        return f"http://{HOST}:{self.status_port}"

    @property
    def peer_url(self) -> str:
        """Where its peers reach it."""
        return f"https://{HOST}:{self.peer_port}"

    async def start(self) -> None:
        """Start the daemon; see `until_ready`."""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # Its scratch files too: a node that is killed leaves them behind, and they go with the devnet.
        scratch = self.directory / "tmp"
        scratch.mkdir(mode=0o700, exist_ok=True)
        environment["TMPDIR"] = str(scratch)
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "oracle.app.cli",
            "node",
            "run",
            "--config",
            self.config_path,
        ]
        self.child = await start(
            f"node {self.identifier}",
            command,
            log_path=self.directory / "node.log",
            environment=environment,
            directory=self.directory,
        )

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if it does not end. Safe to repeat."""
        if self.child is not None:
            await self.child.stop()
            self.child = None

    async def kill(self) -> None:
        """SIGKILL, as a crash would. Safe to repeat, also when it has ended by itself."""
        if self.child is not None:
            with suppress(ProcessLookupError):
                self.child.process.kill()
            await self.child.stop()
            self.child = None

    async def until_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait until the node reads its chains. Raises ChainError with the end of its log."""
        try:
            async with asyncio.timeout(timeout), aiohttp.ClientSession() as session:
                while not await self._healthy(session):
                    if self.child is None or self.child.exit_code is not None:
                        raise ChainError(f"Node {self.identifier} ended while it started. {self._log()}")
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise ChainError(f"Node {self.identifier} is not ready after {timeout:g} s. {self._log()}") from error

    async def _healthy(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.status_url}/health", timeout=aiohttp.ClientTimeout(total=5)) as reply:
                return reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _log(self) -> str:
        path = self.directory / "node.log"
        tail = path.read_text(errors="replace")[-1500:] if path.exists() else ""
        return f"Its log ({path}) ends: {tail}"


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """What all nodes of a devnet have in common."""

    group_key: bytes
    models: tuple[Path, ...]
    evm_rpc: str
    chain_id: int
    gateway: str
    hub: str
    token_factory: str
    start_block: int
    solana_rpc: str
    genesis_hash: bytes
    program: bytes
    tokens_program: bytes
    prove_takeover: float


def write_configs(nodes: Sequence[NodeProcess], settings: NodeSettings) -> None:
    """Each node's node.toml."""
    members = [
        {
            "identifier": node.identifier,
            "endpoint": node.peer_url,
            "certificate": f"../node-{node.identifier}/peer-certificate.pem",
        }
        for node in nodes
    ]
    for node in nodes:
        document = tomlkit.document()
        document.add(tomlkit.comment("A member of a devnet. Every key of this file is explained in oracle/config.py."))
        document.update(_config(node, settings, members))
        node.config_path.write_text(tomlkit.dumps(document))


def _config(node: NodeProcess, settings: NodeSettings, members: list[dict[str, object]]) -> dict[str, object]:
    return {
        "identifier": node.identifier,
        "devnet": True,
        "data_dir": "data",
        "key_share": "share.json",
        "identity": ".",
        "models": [str(path) for path in settings.models],
        "listen": {"host": HOST, "port": node.peer_port},
        "status": {"host": HOST, "port": node.status_port},
        "committee": {"epoch": 1, "group_key": "0x" + settings.group_key.hex(), "members": members},
        **_chains(settings),
        "takeover": {"prove": settings.prove_takeover, "sign": 2.0, "submit": 2.0},
    }


def _chains(settings: NodeSettings) -> dict[str, object]:
    """The [[evm]] and [[solana]] tables; key files lie beside the configuration."""
    return {
        "evm": [
            {
                "rpc_url": settings.evm_rpc,
                "chain_id": settings.chain_id,
                "gateway": settings.gateway,
                "hub": settings.hub,
                "token_factory": settings.token_factory,
                "key_file": "evm.key",
                "start_block": settings.start_block,
                "poll_seconds": 0.1,
            }
        ],
        "solana": [
            {
                "rpc_url": settings.solana_rpc,
                "genesis_hash": "0x" + settings.genesis_hash.hex(),
                "program": "0x" + settings.program.hex(),
                "tokens_program": "0x" + settings.tokens_program.hex(),
                "key_file": "solana.json",
                "poll_seconds": 0.1,
            }
        ],
    }


def write_relay_config(
    directory: Path, nodes: Sequence[NodeProcess], settings: NodeSettings, keys: tuple[bytes, Keypair]
) -> Path:
    """relay.toml and its two key files, for `sibyl relay`: a relayer that is no member."""
    directory.mkdir(mode=0o700)
    write_private_file(directory / "evm.key", keys[0].hex().encode())
    write_private_file(directory / "solana.json", json.dumps(list(bytes(keys[1]))).encode())
    document = {
        "group_key": "0x" + settings.group_key.hex(),
        "epoch": 1,
        "sources": [node.status_url for node in nodes],
        "poll_seconds": 0.2,
        **_chains(settings),
    }
    path = directory / "relay.toml"
    path.write_text(tomlkit.dumps(document))
    return path


def plan_nodes(directory: Path, count: int) -> list[NodeProcess]:
    """Directories and free ports for `count` nodes, identifiers from 1."""
    return [NodeProcess(i, directory / f"node-{i}", free_port(), free_port()) for i in range(1, count + 1)]


@asynccontextmanager
async def running_nodes(nodes: Sequence[NodeProcess]) -> AsyncIterator[None]:
    """Start all, wait until they are ready, and end them with the block."""
    async with AsyncExitStack() as stack:
        for node in nodes:
            stack.push_async_callback(node.stop)
            await node.start()
        await asyncio.gather(*(node.until_ready() for node in nodes))
        yield
