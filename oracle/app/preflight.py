"""`sibyl node check`: everything that a node needs, looked at before it is started, each with how to mend it.

It changes nothing and can be run beside a running node. What it finds is true of this moment; what it cannot look at, it says so.
"""

import asyncio
import shutil
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridges.frost.transport import TransportIdentity
from circuits.catalogue import open_model
from circuits.prover import LocalProver
from oracle.app.care import peer_watch
from oracle.app.chains import ChainPorts, endpoint_name, evm_ports, solana_ports
from oracle.app.daemon import load_share, peer_clients, pinned
from oracle.app.devnet_mark import require_real_devnet
from oracle.config import ChainConfig, EvmConfig, ListenConfig, NodeConfig, SolanaConfig
from oracle.errors import ConfigError, SibylError
from oracle.journal import Journal
from oracle.ports import Cursor
from oracle.protocol.errors import ProtocolError
from oracle.protocol.types import ModelId

LEAST_DISK = 1 << 30
CHAIN_SECONDS = 15.0
CERTIFICATE_DAYS = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `said`: what is so, or what is wrong and what to do."""

    what: str
    well: bool
    said: str


async def _look(what: str, look: Callable[[], Awaitable[str]]) -> Finding:
    try:
        async with asyncio.timeout(CHAIN_SECONDS):
            return Finding(what, True, await look())
    except (SibylError, ProtocolError) as error:
        return Finding(what, False, str(error))
    except TimeoutError:
        return Finding(what, False, f"No answer within {CHAIN_SECONDS:g} s. Look at the network and at the endpoint.")


def _plain(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (SibylError, ProtocolError) as error:
        return Finding(what, False, str(error))


async def check(config: NodeConfig) -> list[Finding]:
    """All findings, in the order in which a start would meet them."""
    findings = [
        _plain("key share", lambda: _share(config)),
        _plain("identity", lambda: _identity(config)),
        _plain("peers' certificates", lambda: _peers(config)),
        _plain("models", lambda: _models(config)),
        _plain("journal", lambda: _journal(config)),
        _plain("disk", lambda: _disk(config.data_dir)),
        _plain("peer port", lambda: _port(config.listen, "[listen]")),
        _plain("status port", lambda: _port(config.status, "[status]")),
        await _look("peers", lambda: _greet(config)),
    ]
    for evm in config.evm:
        findings += await _chain(f"EVM chain {evm.chain_id}", evm)
    for solana in config.solana:
        findings += await _chain(f"Solana {solana.genesis_hash[:10]}…", solana, config.models)
    return findings


async def objections(config: NodeConfig) -> list[str]:
    """Why a running node could not begin anew with `config`, a sentence each: all but its ports and its journal, which it holds itself."""
    found = [
        _plain("key share", lambda: _share(config)),
        _plain("identity", lambda: _readable(config)),
        _plain("models", lambda: _models(config)),
    ]
    chains: tuple[EvmConfig | SolanaConfig, ...] = (*config.evm, *config.solana)
    found += [await _look("endpoints", partial(_connects, chain)) for chain in chains]
    return [one.said for one in found if not one.well]


def _readable(config: NodeConfig) -> str:
    """The identity and the pins can be read. Which certificates count after renewals is the running node's matter."""
    TransportIdentity.load(config.identity)
    for member in config.members:
        pinned(member.certificate)
    return "readable"


async def _connects(chain: EvmConfig | SolanaConfig) -> str:
    async with AsyncExitStack() as stack:
        await (evm_ports(chain, stack) if isinstance(chain, EvmConfig) else solana_ports(chain, stack))
    return _endpoints(chain)


def _share(config: NodeConfig) -> str:
    if config.signer != "in-process":
        return "It is with the signer process, which is not asked here."
    share = load_share(config)
    share.signing_share.wipe()
    return f"member {share.identifier}, {share.public.threshold} of {len(share.public.participants)} sign"


def _identity(config: NodeConfig) -> str:
    identity = TransportIdentity.load(config.identity)
    own = next(member for member in config.committee.members if member.identifier == config.identifier)
    if pinned(own.certificate).der != identity.certificate.der:
        raise ConfigError(
            f"The certificate in {config.identity} is not the one that the committee has for member {config.identifier} "
            f"({own.certificate}). Put the right identity there, or send the others the new certificate."
        )
    return _validity(identity.certificate.days_valid[1])


def _validity(until: datetime) -> str:
    left = until - datetime.now(UTC)
    if left < timedelta(days=CERTIFICATE_DAYS):
        raise ConfigError(f"The certificate ends on {until:%Y-%m-%d}. Renew it with: sibyl committee renew")
    return f"valid until {until:%Y-%m-%d}"


def _peers(config: NodeConfig) -> str:
    for member in config.committee.members:
        _validity(pinned(member.certificate).days_valid[1])
    return f"{len(config.committee.members)} certificates"


async def _greet(config: NodeConfig) -> str:
    """Who answers now, and whether they were told of the same committee. Peers that are not started yet are no fault of this node."""
    async with AsyncExitStack() as stack:
        clients = peer_clients(config, TransportIdentity.load(config.identity))
        for client in clients.values():
            await stack.enter_async_context(client)
        watch = peer_watch(config, clients)
        await watch.look()
    wrong = [one for health in watch.peers.values() for one in health.differences]
    if wrong:
        raise ConfigError(" ".join(wrong))
    silent = [str(member) for member, health in watch.peers.items() if health.last_error]
    if not silent:
        return f"all {len(watch.peers)} answer, and have the same committee"
    return f"members {', '.join(silent)} do not answer now: they are not started, or cannot be reached from here"


def _models(config: NodeConfig) -> str:
    require_real_devnet(config)
    models = [open_model(directory) for directory in config.models]
    # Its constructor refuses an SRS that the configuration does not trust; it starts no worker.
    LocalProver(models, devnet=config.devnet, accepted_srs=frozenset(config.trusted_srs))
    return ", ".join(model.name for model in models)


def _journal(config: NodeConfig) -> str:
    path = config.data_dir / "journal.sqlite"
    if not path.exists():
        return "There is none yet; the node reads its chains from their start."
    journal = Journal(path)
    try:
        return f"{sum(1 for _ in journal.replay()):,} events, whole"
    finally:
        journal.close()


def _disk(directory: Path) -> str:
    place = directory
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < LEAST_DISK:
        raise ConfigError(f"{place} has {free >> 20} MB left. A node that cannot write its journal stops; make room.")
    return f"{free >> 30} GB free"


def _port(listen: ListenConfig, section: str) -> str:
    try:
        with socket.create_server((listen.host, listen.port)):
            return f"{listen.host}:{listen.port} is free"
    except OSError as error:
        raise ConfigError(
            f"{listen.host}:{listen.port} cannot be used ({error.strerror}). Is the node running? Otherwise end the program "
            f"that holds it, or change {section}."
        ) from error


async def _chain(name: str, config: EvmConfig | SolanaConfig, models: Sequence[Path] = ()) -> list[Finding]:
    findings = []
    async with AsyncExitStack() as stack:
        opened: list[ChainPorts] = []

        async def connect() -> str:
            ports = await (evm_ports(config, stack) if isinstance(config, EvmConfig) else solana_ports(config, stack))
            opened.append(ports)
            return _endpoints(config)

        async def read() -> str:
            started = time.monotonic()
            await opened[0].reader.read(Cursor(0))
            return f"posts can be read ({time.monotonic() - started:.1f} s)"

        findings.append(await _look(f"{name}: endpoints", connect))
        if opened:
            findings.append(await _look(f"{name}: gateway", read))
            findings.append(await _look(f"{name}: account", lambda: _money(opened[0])))
            if (checks := opened[0].checks_proofs) is not None:
                findings.append(await _look(f"{name}: proofs", lambda: _proofs(checks, models)))
    return findings


def _endpoints(config: ChainConfig) -> str:
    names = ", ".join(endpoint_name(url) for url in config.rpc_urls)
    if len(config.rpc_urls) == 1:
        return f"{names}. One endpoint can hide or invent what it likes; further_rpc_urls names others."
    return f"{names}; {config.agreeing} must agree"


async def _money(ports: ChainPorts) -> str:
    paid = await ports.balance()
    if not paid.amount:
        raise ConfigError(f"{paid.account} is empty, so this node can deliver nothing. Send it some {paid.unit}.")
    return f"{paid.account} holds {paid.shown}"


async def _proofs(checks: Callable[[ModelId], Awaitable[bool]], models: Sequence[Path]) -> str:
    """Of which models the chain checks proofs itself. A key account that governance named and nobody finished is to be mended."""
    names = [model.name for model in map(open_model, models) if await checks(model.model_id)]
    return f"checked by the chain for {', '.join(names)}" if names else "not checked by the chain for any model here"


def show(findings: list[Finding], console: Console) -> bool:
    """Print the table; whether all is well."""
    table = Table("", "what", "finding", box=None, header_style="bold")
    for one in findings:
        mark = Text("ok", "green") if one.well else Text("no", "red")
        table.add_row(mark, one.what, Text(one.said))
    console.print(table)
    wrong = sum(not one.well for one in findings)
    console.print("The node can start." if not wrong else f"{wrong} of {len(findings)} must be mended first.")
    return not wrong
