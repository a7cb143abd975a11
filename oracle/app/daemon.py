"""Builds a node from its configuration and runs it until it is told to stop.

Start-up refuses, with a sentence, whatever would make the node unsafe or useless: a dealer's key or a local SRS outside a devnet, a share of
another member or committee, a journal of another node, key files that others can read, an RPC endpoint of another chain, a port in use.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from bridges.frost import keystore
from bridges.frost.errors import DealerKeyRefused
from bridges.frost.hardening import forbid_core_dumps
from bridges.frost.keygen import KeyShare, Origin
from bridges.frost.remote_signer import Bodies, SignerLink, remote_signer
from bridges.frost.sealing import PassphraseSource, forget_environment
from bridges.frost.session import Authorise, Signer
from bridges.frost.signer_port import PublicPart, SignerPort
from bridges.frost.signer_supervisor import running_signer
from bridges.frost.transport import PeerCertificate, PeerClient, PeerNetwork, PeerServer, TransportIdentity
from circuits.catalogue import open_model
from circuits.prover import LocalProver, ProverLimits
from oracle.app.branches import SolanaSizes, branch_depths
from oracle.app.care import daemon_care, peer_watch, signing_counts
from oracle.app.certificates import kept_certificates
from oracle.app.chains import ChainPorts, evm_ports, solana_ports
from oracle.app.committee import FrostCommittee, signed_bodies
from oracle.app.control import control_road
from oracle.app.devnet_mark import require_real_devnet
from oracle.app.keyring import EpochWatch, group_keys, opened_keys, taken_by
from oracle.app.rotation import DIRECTORY, Approvals
from oracle.app.tidy import tidying
from oracle.config import ListenConfig, NodeConfig, unhex
from oracle.errors import ConfigError, NotAuthorised, SibylError
from oracle.inference import infer
from oracle.journal import Journal
from oracle.node import Node, Ports
from oracle.node.gossip import TOPIC_ATTESTATION, TOPIC_PROOF
from oracle.node.metrics import Metrics
from oracle.node.peers import MAX_GREETING, TOPIC_HELLO
from oracle.node.schedule import periodic_work
from oracle.node.solvency import TokenWatch, watching
from oracle.node.status import application
from oracle.pipeline import Member, Pipeline, Takeover
from oracle.protocol.errors import ProtocolError

log = structlog.get_logger("sibyl.daemon")

PEER_SECONDS = 12.0
"""Longest wait for one peer's answer to a notice: its inference may still be under way."""


def load_share(config: NodeConfig) -> KeyShare:
    """This member's key share, checked against the committee of the configuration. Raises ConfigError or KeystoreError."""
    passphrase = PassphraseSource(config.passphrase_file, config.passphrase_env).read()
    try:
        share = keystore.load(config.key_share, devnet=config.devnet, passphrase=passphrase)
    finally:
        if passphrase is not None:
            passphrase.wipe()
    require_own(config, config.key_share, share)
    return share


def require_own(config: NodeConfig, where: Path, share: PublicPart) -> None:
    """Raises ConfigError unless the share is this member's, of the configuration's committee. `where` it was found."""
    if share.identifier != config.identifier:
        raise ConfigError(f"{where} is member {share.identifier}'s share, but this node is member {config.identifier}.")
    committee = config.committee
    if share.public.group_public_key.to_bytes() != unhex(committee.group_key):
        raise ConfigError(f"{where} belongs to another group key than committee.group_key.")
    members = tuple(sorted(member.identifier for member in committee.members))
    if tuple(map(int, share.public.participants)) != members:
        raise ConfigError(f"{where} was made for the members {share.public.participants}, not {members}.")
    if share.public.threshold != committee.quorum:
        raise ConfigError(
            f"{where} has threshold {share.public.threshold}; {len(members)} members need {committee.quorum}."
        )
    if share.public.origin is Origin.DEALER and not config.devnet:
        raise DealerKeyRefused(f"{where} holds a dealer's key, which its dealer knows whole. It is for a devnet only.")


@asynccontextmanager
async def open_signer(config: NodeConfig, authorise: Authorise, bodies: Bodies) -> AsyncIterator[SignerPort]:
    """The signer that the configuration names: in this process, in one that is started here, or behind a socket.

    Raises ConfigError, KeystoreError, or SignerUnavailable.
    """
    if config.signer == "in-process":
        signer = Signer(load_share(config), authorise)
        try:
            yield signer
        finally:
            signer.close()
            signer.share.signing_share.wipe()
        return
    async with AsyncExitStack() as stack:
        path = config.signer
        if not isinstance(path, Path):
            path = (await stack.enter_async_context(running_signer(config.signer_config))).socket
        remote = await stack.enter_async_context(remote_signer(SignerLink(path), authorise, bodies))
        require_own(config, path, remote.share)
        yield remote


def peer_clients(config: NodeConfig, identity: TransportIdentity) -> dict[int, PeerClient]:
    """A way to each other member. Raises ConfigError for a certificate that cannot be read."""
    clients = {}
    for member in config.members:
        if member.identifier != config.identifier:
            address = (member.endpoint.host or "", member.endpoint.port or 443)
            clients[member.identifier] = PeerClient(identity, member.identifier, pinned(member.certificate), address)
    return clients


def pinned(path: Path) -> PeerCertificate:
    """A member's certificate. Raises ConfigError."""
    try:
        return PeerCertificate.from_pem(path.read_text())
    except OSError as error:
        raise ConfigError(f"The peer certificate {path} cannot be read: {error.strerror}.") from error
    except (ProtocolError, UnicodeDecodeError) as error:
        raise ConfigError(f"The peer certificate {path} is not one PEM certificate; get it from its member.") from error


def _prover(config: NodeConfig) -> LocalProver:
    workers = config.workers
    limits = ProverLimits(
        infer_seconds=workers.infer_seconds,
        verify_seconds=workers.infer_seconds,
        prove_seconds=workers.prove_seconds,
        prove_workers=workers.provers,
        queue=workers.queue,
    )
    models = [open_model(directory) for directory in config.models]
    return LocalProver(models, devnet=config.devnet, accepted_srs=frozenset(config.trusted_srs), limits=limits)


@asynccontextmanager
async def _peer_server(config: NodeConfig, identity: TransportIdentity) -> AsyncIterator[PeerServer]:
    pins = {m.identifier: pinned(m.certificate) for m in config.members if m.identifier != config.identifier}
    server = PeerServer(identity, pins, (config.listen.host, config.listen.port))
    try:
        yield server
    finally:
        await server.stop()


async def _start_peer_server(server: PeerServer, listen: ListenConfig) -> None:
    try:
        await server.start()
    except OSError as error:
        raise ConfigError(
            f"The peer port {listen.host}:{listen.port} cannot be used ({error.strerror}). "
            "End the program that holds it, or change [listen]."
        ) from error


async def _start_status(app: web.Application, listen: ListenConfig, stack: AsyncExitStack) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as error:
        raise ConfigError(
            f"The status port {listen.host}:{listen.port} cannot be used ({error.strerror}). "
            "End the program that holds it, or change [status]."
        ) from error


@asynccontextmanager
async def built_node(config: NodeConfig) -> AsyncIterator[Node]:
    """A node with all that it needs, listening but not yet running. Raises ConfigError and its like; nothing is left open."""
    require_real_devnet(config)
    async with AsyncExitStack() as stack:
        identity = TransportIdentity.load(config.identity)
        clients = peer_clients(config, identity)
        for client in clients.values():
            await stack.enter_async_context(client)
        node: Node | None = None

        async def authorise(context: bytes) -> bytes:
            if node is None:
                raise NotAuthorised("This node is starting; ask again.")
            return await node.duties.authorise(context)

        async def bodies(context: bytes) -> tuple[bytes, ...]:
            if node is None:
                raise NotAuthorised("This node is starting; ask again.")
            return signed_bodies(node.pipeline, context)

        keys = await stack.enter_async_context(
            opened_keys(config, clients, lambda own: open_signer(own, authorise, bodies))
        )
        # Before any worker is started, which would inherit them.
        forget_environment(config.passphrase_env, *(one.passphrase_env for one in config.next_committee))
        chains = [await evm_ports(entry, stack) for entry in config.evm]
        chains += [await solana_ports(entry, stack) for entry in config.solana]
        journal = Journal(config.data_dir / "journal.sqlite")
        stack.callback(journal.close)
        listed = tuple(f"0x{key.hex()}" for key in group_keys(config).values())
        journal.identify(f"member {config.identifier} of committee", listed)
        watch = await stack.enter_async_context(EpochWatch({chain.reader.origin: chain.epochs for chain in chains}))

        def pipeline() -> Pipeline:
            return node.pipeline if node is not None else Pipeline()

        tokens = await _token_watch(chains, stack)
        approvals = Approvals(config.data_dir / DIRECTORY, watch, pipeline)
        taken = taken_by(pipeline, watch)
        committee = FrostCommittee.with_keys(keys, group_keys(config), taken)
        prover = await stack.enter_async_context(_prover(config))
        ports = Ports(
            readers=tuple((chain.reader, chain.poll_seconds) for chain in chains),
            submitters={chain.submitter.destination: chain.submitter for chain in chains},
            infer=partial(infer, prover),
            prover=prover,
            committee=committee,
            accepted=watch.accepted,
            branch_depth=branch_depths(SolanaSizes.of(entry) for entry in config.solana),
            approves=approvals.approves,
            objection=tokens.objection,
            alarms=tokens.alarms,
            endpoints={chain.reader.origin: chain.endpoints for chain in chains},
            peers=await stack.enter_async_context(PeerNetwork(clients, PEER_SECONDS)),
        )
        node = Node(_member(config, ports), journal, ports, Metrics())
        server = await stack.enter_async_context(_peer_server(config, identity))
        certificates = {member.identifier: pinned(member.certificate) for member in config.members}
        await stack.enter_async_context(kept_certificates(config, certificates, server, clients))
        committee.register(server)
        server.route(TOPIC_PROOF, node.duties.take_proof)
        server.route(TOPIC_ATTESTATION, node.duties.take_attestation)
        greeted = peer_watch(config, clients)
        server.route(TOPIC_HELLO, greeted.answer, max_body=MAX_GREETING)
        care = daemon_care(config, chains, greeted)
        await prover.warm()
        await _start_peer_server(server, config.listen)
        await stack.enter_async_context(control_road(node, config.data_dir))
        signing = partial(signing_counts, committee)
        await _start_status(application(node, care, signing), config.status, stack)
        await stack.enter_async_context(periodic_work(node, care))
        await stack.enter_async_context(tidying(chains))
        yield node


async def _token_watch(chains: Sequence[ChainPorts], stack: AsyncExitStack) -> TokenWatch:
    """The watch over the tokens between the two chains that have a token bridge. Without them it has nothing to say."""
    ledgers = [chain.ledger for chain in chains if chain.ledger is not None]
    authorities = frozenset(chain.authority for chain in chains if chain.authority is not None)
    if len(ledgers) != 2 or not authorities:
        if authorities:
            log.warning("tokens not watched", why="give token_factory in [[evm]] beside tokens_program in [[solana]]")
        return TokenWatch((), frozenset())
    watch = TokenWatch(tuple(ledgers), authorities)
    await stack.enter_async_context(watching(watch))
    return watch


def _member(config: NodeConfig, ports: Ports) -> Member:
    patience = config.takeover
    takeover = Takeover(int(patience.prove * 1000), int(patience.sign * 1000), int(patience.submit * 1000))
    members = tuple(member.identifier for member in config.members)
    return Member(config.identifier, members, frozenset(ports.submitters), takeover)


async def serve(config: NodeConfig, reload: Callable[[], NodeConfig] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM; then stop reading, let nothing new begin, and close.

    On SIGHUP it reads its configuration by `reload` and begins anew with it, in the same process and on the same journal, for a moment
    without serving. A configuration that cannot be read, or with which the node could not start (keys, models, endpoints), changes nothing;
    one that turns out so only when the node begins anew gives way to the one before.
    """
    forbid_core_dumps()
    loop, stop, again = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, again.set)
    before: NodeConfig | None = None
    while not stop.is_set():
        async with AsyncExitStack() as stack:
            try:
                node = await stack.enter_async_context(built_node(config))
            except (SibylError, ProtocolError) as error:
                if before is None:
                    raise
                log.error("configuration not taken, going on with the one before", error=str(error))
                config, before = before, None
                continue
            following = await _run(node, config, partial(_next_configuration, stop, again, reload))
        if following is None:
            return
        config, before = following, config


async def _run(
    node: Node, config: NodeConfig, until: Callable[[asyncio.Future[None]], Awaitable[NodeConfig | None]]
) -> NodeConfig | None:
    """Run a built node until it has to end. What it begins anew with, if it does."""
    log.info("node ready", member=config.identifier, devnet=config.devnet, quorum=config.committee.quorum)
    running = asyncio.ensure_future(node.run())
    following = await until(running)
    if not running.done():
        log.info("node stopping")
        running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        log.info("node stopped", open=sum(1 for _ in node.pipeline.open_works()))
    return following


async def _next_configuration(
    stop: asyncio.Event, again: asyncio.Event, reload: Callable[[], NodeConfig] | None, running: asyncio.Future[None]
) -> NodeConfig | None:
    """Wait until the node has to end. What it begins anew with, if it does."""
    while True:
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait()) for event in (stop, again)]
        await asyncio.wait([running, *waits], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if running.done() or stop.is_set() or reload is None:
            return None
        again.clear()
        try:
            found = reload()
        except ConfigError as error:
            log.error("configuration not reloaded", error=str(error))
            continue
        wrong = await objections(found)
        if not wrong:
            return found
        log.error("configuration not reloaded", error=" ".join(wrong))


async def objections(config: NodeConfig) -> list[str]:
    """Why a node could not start with `config`, a sentence each; the present one goes on meanwhile."""
    from oracle.app.preflight import objections as found  # it looks by what this module loads with

    return await found(config)
