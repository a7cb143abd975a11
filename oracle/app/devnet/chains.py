"""The devnet's two chains: anvil (EVM) and Surfpool's surfnet (Solana), each a child process on a leash.

Guarantees: when a context is entered the chain answers; when it is left, or when this process dies, the chain is gone.
Ports are free ones unless they are named; a named port that is taken is an error that names it. Everything a chain writes
(log, scratch files, its HOME) stays in the directory that the caller gives. Only 127.0.0.1 is listened on.
It does not deploy anything and it keeps no state between runs: a chain starts empty each time, and surfnet's genesis hash
differs on each start.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
from solders.hash import Hash
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from oracle.app.devnet.process import Child, running
from oracle.app.toolchain import Toolchain
from oracle.errors import ChainError, ConfigError, Transient

HOST = "127.0.0.1"
DEVNET_MNEMONIC = "test test test test test test test test test test test junk"
"""The mnemonic that every Ethereum development node uses. Known to all the world: for devnets only."""
READY_SECONDS = 30.0
POLL_SECONDS = 0.02
RPC_SECONDS = 5.0
PORT_ATTEMPTS = 5
SURFNET_LAUNCHER = Path(__file__).with_name("surfnet.mjs")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EvmAccount:
    """A funded account of the EVM devnet; `private_key` is 32 bytes."""

    address: str
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AnvilChain:
    """A running EVM chain. A block is final once two more have been made."""

    rpc_url: str
    chain_id: int
    accounts: tuple[EvmAccount, ...]
    block_seconds: float
    child: Child

    @property
    def pid(self) -> int:
        """anvil's process id."""
        return self.child.pid


@dataclass(frozen=True, slots=True)
class SurfnetChain:
    """A running Solana chain. `payer` is funded; `genesis_hash` (32 bytes) is this run's chain reference."""

    rpc_url: str
    ws_url: str
    payer: Keypair = field(repr=False)
    genesis_hash: bytes
    slot_milliseconds: int
    child: Child

    @property
    def pid(self) -> int:
        """The launcher's process id; the chain runs inside it."""
        return self.child.pid


class _PortTakenError(Exception):
    """The chain lost the race for a port that was free a moment ago."""


@asynccontextmanager
async def start_anvil(
    toolchain: Toolchain,
    directory: Path,
    *,
    port: int = 0,
    chain_id: int = 31337,
    block_seconds: float = 0.5,
    accounts: int = 10,
    balance_ether: int = 10_000,
    mnemonic: str = DEVNET_MNEMONIC,
    ready_timeout: float = READY_SECONDS,
) -> AsyncIterator[AnvilChain]:
    """Runs anvil while the block lasts; `port` 0 takes a free one. Blocks come every `block_seconds` (fractions work).

    Raises:
        ConfigError: the port is taken, or anvil cannot be executed.
        ChainError: anvil ended or did not answer within `ready_timeout` seconds; the message ends with its log.
    """
    directory = _private_directory(directory)
    require_free_port(port, "anvil")
    for attempt in range(PORT_ATTEMPTS):
        chosen = port or free_port()
        async with AsyncExitStack() as stack:
            config = _scratch(stack, directory) / "accounts.json"
            command: list[str | Path] = [
                toolchain.anvil,
                *("--host", HOST, "--port", str(chosen), "--chain-id", str(chain_id)),
                *("--block-time", str(block_seconds), "--slots-in-an-epoch", "1"),
                *("--accounts", str(accounts), "--balance", str(balance_ether), "--mnemonic", mnemonic),
                *("--config-out", config, "--quiet"),
            ]
            child = await stack.enter_async_context(_chain("anvil", command, toolchain, directory))
            rpc_url = f"http://{HOST}:{chosen}"
            try:
                keys = await _anvil_ready(child, rpc_url, chain_id, config, ready_timeout)
            except _PortTakenError:
                if port or attempt == PORT_ATTEMPTS - 1:
                    raise _port_in_use(chosen, "anvil") from None
                continue
            yield AnvilChain(rpc_url, chain_id, keys, block_seconds, child)
            return


@asynccontextmanager
async def start_surfnet(
    toolchain: Toolchain,
    directory: Path,
    *,
    rpc_port: int = 0,
    ws_port: int = 0,
    slot_milliseconds: int = 100,
    payer: Keypair | None = None,
    airdrop_lamports: int = 1_000_000_000_000,
    airdrop_to: Sequence[Pubkey] = (),
    ready_timeout: float = READY_SECONDS,
) -> AsyncIterator[SurfnetChain]:
    """Runs surfnet while the block lasts; ports 0 take free ones, and `ws_port` follows a named `rpc_port` by one.

    The payer (a random key unless given) and each account of `airdrop_to` start with `airdrop_lamports`.

    Raises:
        ConfigError: a port is taken, or node cannot be executed.
        ChainError: surfnet ended or did not answer within `ready_timeout` seconds; the message ends with its log.
    """
    directory = _private_directory(directory)
    if rpc_port and not ws_port:
        ws_port = rpc_port + 1
    if not toolchain.surfpool_addon.is_file():
        raise ConfigError(f"There is no Surfpool build for this platform ({toolchain.surfpool_addon} does not exist).")
    require_free_port(rpc_port, "surfnet's RPC")
    require_free_port(ws_port, "surfnet's websocket")
    payer = payer or Keypair()
    async with AsyncExitStack() as stack:
        scratch = _scratch(stack, directory)
        config, ready = scratch / "config.json", scratch / "ready.json"
        _write_private(
            config,
            {
                "slotTimeMs": slot_milliseconds,
                "rpcPort": rpc_port,
                "wsPort": ws_port,
                "payerSecretKey": list(bytes(payer)),
                "airdropLamports": airdrop_lamports,
                "airdropAddresses": [str(address) for address in airdrop_to],
            },
        )
        command = [toolchain.node, SURFNET_LAUNCHER, toolchain.surfpool_addon, config, ready]
        child = await stack.enter_async_context(_chain("surfnet", command, toolchain, directory))
        rpc_url, ws_url, genesis_hash = await _surfnet_ready(child, ready, ready_timeout)
        yield SurfnetChain(rpc_url, ws_url, payer, genesis_hash, slot_milliseconds, child)


def _scratch(stack: AsyncExitStack, directory: Path) -> Path:
    """A private directory for what a chain is told or tells once, keys among it; gone when the stack unwinds."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".start-", dir=directory)))


def _chain(
    name: str, command: Sequence[str | Path], toolchain: Toolchain, directory: Path
) -> AbstractAsyncContextManager[Child]:
    # HOME too: anvil keeps caches under it, and those of a devnet belong to the devnet.
    environment = toolchain.environment(home=directory)
    return running(name, command, log_path=directory / f"{name}.log", environment=environment, directory=directory)


async def _anvil_ready(
    child: Child, rpc_url: str, chain_id: int, config: Path, timeout: float
) -> tuple[EvmAccount, ...]:
    async def probe() -> tuple[EvmAccount, ...] | None:
        if "Address already in use" in (child.log_tail() if child.exit_code is not None else ""):
            raise _PortTakenError
        if await _rpc(rpc_url, "eth_chainId") != hex(chain_id):
            return None
        return _take_accounts(config)

    return await _until_ready(child, probe, timeout)


def _take_accounts(config: Path) -> tuple[EvmAccount, ...] | None:
    """The accounts that anvil wrote; the file goes, since it holds their keys."""
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None  # not written yet, or half
    config.unlink()
    return tuple(
        EvmAccount(address, bytes.fromhex(key.removeprefix("0x")))
        for address, key in zip(told["available_accounts"], told["private_keys"], strict=True)
    )


async def _surfnet_ready(child: Child, ready: Path, timeout: float) -> tuple[str, str, bytes]:
    async def probe() -> tuple[str, str, bytes] | None:
        told = _read_report(ready)
        if told is None:
            return None
        if "error" in told:
            if "EADDRINUSE" in told["error"]:
                raise _port_in_use(int(told["port"]), "surfnet")
            raise ChainError(f"surfnet did not start: {told['error']}")
        genesis_hash = await _rpc(told["rpcUrl"], "getGenesisHash")
        return told["rpcUrl"], told["wsUrl"], bytes(Hash.from_string(str(genesis_hash)))

    return await _until_ready(child, probe, timeout)


def _read_report(ready: Path) -> dict[str, str] | None:
    """What the launcher reported (it writes the file in one step), or None."""
    try:
        told: dict[str, str] = json.loads(ready.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return told


async def _until_ready(child: Child, probe: Callable[[], Awaitable[T | None]], timeout: float) -> T:
    """Polls `probe` until it gives something, the child ends, or `timeout` seconds are over."""
    try:
        async with asyncio.timeout(timeout):
            while True:
                try:
                    found = await probe()
                except Transient:
                    found = None  # not listening yet
                if found is not None:
                    return found
                if child.exit_code is not None:
                    raise ChainError(f"{child.name} ended with exit code {child.exit_code}. {_log_of(child)}")
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise ChainError(f"{child.name} did not answer within {timeout:g} s. {_log_of(child)}") from None


def _log_of(child: Child) -> str:
    tail = child.log_tail()
    return f"Its log ({child.log_path}) ends: {tail}" if tail else f"Its log ({child.log_path}) is empty."


async def _rpc(url: str, method: str) -> object:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
    timeout = aiohttp.ClientTimeout(total=RPC_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, json=body) as response:
            answer = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Transient(f"{url} did not answer {method}: {error}") from error
    if not isinstance(answer, dict) or "result" not in answer:
        raise Transient(f"{url} gave no result for {method}.")
    result: object = answer["result"]
    return result


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(port: int, what: str) -> None:
    """Raises ConfigError, naming the port, when something holds it; 0 stands for any free port and passes."""
    if not 0 <= port <= 65535:
        raise ConfigError(f"Port {port} for {what} is not a port; choose one from 1 to 65535, or 0 for any free one.")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise _port_in_use(port, what) from error


def _port_in_use(port: int, what: str) -> ConfigError:
    return ConfigError(f"Port {port} for {what} is in use. End the program that holds it, or choose another port.")


def _private_directory(directory: Path) -> Path:
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def _write_private(path: Path, content: Mapping[str, object]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
