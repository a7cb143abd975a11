"""How key generation and signing scale with the committee, for `make bench`: every byte is what members would send, every check is made.

Committees of 5 to 100 members run in this process, so their times hold no network; four members run over mutual TLS on loopback. Time of one
party is CPU time; rates are wall clock, with all members on this one machine. Nothing here fails a test: it measures, and judges by goals.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Final

import structlog
from rich.table import Table

from bridges.frost.coordinator import ShareReply
from bridges.frost.dkg import Participant
from bridges.frost.dkg_messages import Phase, Roster, session_id
from bridges.frost.dkg_session import identity_signer
from bridges.frost.group import ORDER, Identifier, Scalar
from bridges.frost.keygen import KeyShare
from bridges.frost.session import COMMIT_PATH, SHARE_PATH, CoordinatorLimits, Signer, SignerLimits, SigningCoordinator
from bridges.frost.signing import verify
from bridges.frost.transport import PeerClient, PeerServer, TransportIdentity
from oracle.app.figures import Bound, Figure, judged
from oracle.errors import SibylError
from oracle.node.gossip import decode_digests, encode_digests
from oracle.protocol.hashing import batch_signing_hash, keccak256
from oracle.protocol.quorum import quorum
from oracle.protocol.types import Digest

COMMAND: Final = "make bench"
AT_ONCE: Final = (1, 8, 64)
TLS_MEMBERS: Final = 4
BATCH: Final = 256
SECONDS: Final = 150.0
"""Goal for the whole run, of which the key of 100 members takes a minute by itself. Beyond it rates with many signings at once are left out."""
PATIENCE: Final = 900.0
"""A committee that would not be done by then is left out: this machine has other things to do."""

TLS_LATENCY: Final = "FROST 3 of 4 over TLS, one signature (median)"
TLS_RATE: Final = "FROST 3 of 4 over TLS, signatures without batches"
TLS_BATCHES: Final = "FROST 3 of 4 over TLS, messages in batches of 256"
LARGE: Final = "FROST 67 of 100 in one process, one signature (median)"
WHOLE: Final = "FROST scale run"
BOUNDS: Final[dict[str, Bound]] = {
    TLS_LATENCY: Bound(30.0, "ms"),
    TLS_RATE: Bound(100.0, "signatures/s", "higher"),
    TLS_BATCHES: Bound(2_000.0, "messages/s", "higher"),
    LARGE: Bound(1.5, "s"),
    WHOLE: Bound(SECONDS, "s"),
}

Tell = Callable[[str], None]
Answer = Callable[[int, bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured; a test asks for less."""

    sizes: tuple[int, ...] = (5, 9, 19, 31, 100)
    """Members of the committees in this process."""
    singles: int = 60
    """Signatures one after the other over TLS."""
    at_once: int = 200
    """Signatures over TLS with 8, and with 64, at once."""
    messages: int = 10_000
    """Messages in batches over TLS."""


@dataclass(frozen=True, slots=True)
class ScaleRow:
    """One committee. Times in milliseconds, sizes in bytes, rates in signatures a second; None for what no time was left for."""

    members: int
    threshold: int
    dkg_party: float
    """CPU time of one member for a whole key generation (median of all)."""
    dkg_bytes: int
    """Sent by one member (median)."""
    sign: float
    """Wall clock of one signature, nothing else running, all members in this process (median)."""
    sign_party: float
    """CPU time of one signer for one signature (median)."""
    signer_bytes: int
    """Sent by one signer for one signature."""
    coordinator_bytes: int
    """Sent by the coordinator for one signature, to all members."""
    rates: tuple[float | None, ...]
    """With 1, 8 and 64 signings at once."""
    faulty_rate: float
    """One at a time while n−t members are faulty: every other one lies, the rest fall silent once they have committed."""
    faulty_sessions: float
    """Sessions a signature then (mean); at most n−t+1."""


@dataclass(frozen=True, slots=True)
class FrostScale:
    """What was measured: figures with goals, and a row a committee."""

    figures: tuple[Figure, ...]
    rows: tuple[ScaleRow, ...]

    def table(self) -> Table:
        """For a terminal."""
        columns = ("DKG ms", "DKG KB", "sign ms", "signer ms", "signer B", "coord. KB", "1", "8", "64", "faulty")
        table = Table("t / n", title="FROST", title_justify="left", box=None, header_style="bold")
        for column in columns:
            table.add_column(column, justify="right")
        for row in self.rows:
            rates = ["–" if rate is None else f"{rate:,.1f}" for rate in (*row.rates, row.faulty_rate)]
            sizes = (f"{row.signer_bytes:,}", f"{row.coordinator_bytes / 1000:,.1f}")
            times = (f"{row.sign:,.1f}", f"{row.sign_party:,.2f}")
            dkg = (f"{row.dkg_party:,.1f}", f"{row.dkg_bytes / 1000:,.1f}")
            table.add_row(f"{row.threshold} / {row.members}", *dkg, *times, *sizes, *rates)
        table.caption = "DKG and signer: CPU of one member. The last four: signatures a second, with so many at once, or n−t faulty members."
        table.caption_justify = "left"
        return table


async def frost_figures(tell: Tell = print, effort: Effort | None = None) -> FrostScale:
    """Measure everything, and say through `tell` what is under way."""
    effort = effort or Effort()
    started = time.monotonic()
    deadline = started + SECONDS
    rows: list[ScaleRow] = []
    with _quiet_logs(), tempfile.TemporaryDirectory(prefix="sibyl-scale-") as directory:
        identities = {i: _identity(Path(directory), i) for i in range(1, max(*effort.sizes, TLS_MEMBERS) + 1)}
        tell(f"FROST: {quorum(TLS_MEMBERS)} of {TLS_MEMBERS} over TLS on loopback")
        figures = await _over_tls(identities, effort)
        took = 0.0
        for members in effort.sizes:
            # Each of n members hears n others, in messages that grow with n only where that costs little: measured, it is the power of 2.
            expected = took * (members / rows[-1].members) ** 2 if rows else 0.0
            begun = time.monotonic()
            if rows and begun + expected > started + PATIENCE:
                tell(f"FROST: {members} members are left out, for this machine is too busy now")
                break
            tell(f"FROST: {members} members make a key, and sign")
            rows.append(await _row(members, identities, deadline))
            took = time.monotonic() - begun
            if members == 100:
                figures.append(_figure(LARGE, rows[-1].sign / 1000))
    figures.append(_figure(WHOLE, time.monotonic() - started))
    return FrostScale(tuple(figures), tuple(rows))


def _figure(name: str, value: float) -> Figure:
    return judged(name, value, BOUNDS[name], COMMAND)


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """A line a share would drown what is shown, and be measured."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def _identity(directory: Path, who: int) -> TransportIdentity:
    home = directory / str(who)
    home.mkdir(mode=0o700)
    return TransportIdentity.generate(home, f"member {who}", datetime.now(UTC))


# ---- key generation


@dataclass(frozen=True, slots=True)
class _Made:
    shares: dict[int, KeyShare]
    seconds: Mapping[int, float]
    sent: Mapping[int, int]


def _make_key(members: int, identities: Mapping[int, TransportIdentity]) -> _Made:
    """A whole ceremony. Two threads share the members: the curve's arithmetic leaves the interpreter to the other one."""
    roster = Roster("scale", 1, {Identifier(i): identities[i].certificate.der for i in range(1, members + 1)})
    session = session_id(roster, {who: os.urandom(32) for who in roster.participants}, 0)
    seconds: dict[int, float] = defaultdict(float)
    sent: Counter[int] = Counter()
    parts: dict[Identifier, Participant] = {}

    def timed(who: Identifier, work: Callable[[], None]) -> None:
        started = time.thread_time()
        work()
        seconds[who] += time.thread_time() - started

    def begin(who: Identifier) -> None:
        parts[who] = Participant(roster, who, session, identity_signer(identities[who].key_path), os.urandom)

    def hear(who: Identifier, phase: Phase) -> None:
        for sender in roster.participants:
            if sender != who:
                parts[who].receive(sender, words[phase, sender, who])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda who: timed(who, lambda: begin(who)), roster.participants))
        for phase in (Phase.COMMIT, Phase.ECHO, Phase.SHARE, Phase.READY, Phase.CERTIFICATE):
            if phase is Phase.CERTIFICATE:
                list(pool.map(lambda who: timed(who, parts[who].certify), roster.participants))
            words = _words(parts, phase)
            for (_, sender, _), data in words.items():
                sent[sender] += len(data)
            list(pool.map(lambda who, at=phase: timed(who, lambda: hear(who, at)), roster.participants))
    results = {int(who): part.result for who, part in parts.items()}
    shares = {who: result.share for who, result in results.items() if result is not None}
    if len(shares) != members:
        raise SibylError("The members of the benchmark did not come to a key.")
    return _Made(shares, seconds, sent)


def _words(parts: Mapping[Identifier, Participant], phase: Phase) -> dict[tuple[Phase, Identifier, Identifier], bytes]:
    words = {}
    for sender, part in parts.items():
        for recipient in parts:
            data = part.message(phase, recipient) if recipient != sender else None
            if data is not None:
                words[phase, sender, recipient] = data
    return words


# ---- signing in this process


class _Wire:
    """A coordinator's way to one signer in this process; counts bytes and CPU time."""

    def __init__(self, caller: int, signer: Signer) -> None:
        self._caller = caller
        self.answers: dict[str, Answer] = {COMMIT_PATH: signer.answer_commit, SHARE_PATH: signer.answer_share}
        self.asked = 0
        self.replies: dict[str, list[int]] = {COMMIT_PATH: [], SHARE_PATH: []}
        self.seconds: dict[str, list[float]] = {COMMIT_PATH: [], SHARE_PATH: []}

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        async with asyncio.timeout(timeout):
            started = time.thread_time()
            # An honest answer never gives way to other tasks, so the time is its own.
            reply = await self.answers[path](self._caller, body)
            self.seconds[path].append(time.thread_time() - started)
        self.asked += len(body)
        self.replies[path].append(len(reply))
        await asyncio.sleep(0)
        return reply


async def _authorise(context: bytes) -> bytes:
    return batch_signing_hash(decode_digests(context))


def _context(size: int = 1) -> bytes:
    return encode_digests(tuple(Digest(keccak256(os.urandom(32))) for _ in range(size)))


class _Committee:
    """All members in this process; member 1 coordinates."""

    LIMITS = CoordinatorLimits(round_seconds=300.0, total_seconds=600.0, concurrent=max(AT_ONCE))

    def __init__(self, shares: Mapping[int, KeyShare]) -> None:
        self.signers = {who: Signer(share, _authorise, limits=SignerLimits()) for who, share in shares.items()}
        self.wires = {who: _Wire(1, signer) for who, signer in self.signers.items() if who != 1}
        self.coordinator = SigningCoordinator(self.signers[1], self.wires, limits=self.LIMITS)

    async def sign(self) -> None:
        await _sign(self.coordinator, _context())

    def spoil(self, faulty: Sequence[int]) -> None:
        """Make these members faulty: every other one lies, the rest fall silent once they have committed."""
        for number, who in enumerate(faulty):
            self.wires[who].answers[SHARE_PATH] = self._liar(who) if number % 2 == 0 else _silence

    def _liar(self, who: int) -> Answer:
        async def lie(peer: int, body: bytes) -> bytes:
            reply = ShareReply.from_bytes(await self.signers[who].answer_share(peer, body))
            false = replace(reply.share, z=Scalar((reply.share.z + 1) % ORDER))
            return replace(reply, share=false).to_bytes()

        return lie

    def close(self) -> None:
        for signer in self.signers.values():
            signer.close()


async def _silence(_: int, __: bytes) -> bytes:
    await asyncio.Event().wait()
    return b""


async def _sign(coordinator: SigningCoordinator, context: bytes) -> None:
    """One signature, checked. Raises SibylError if it does not hold."""
    signature = await coordinator.sign(context)
    if not verify(coordinator.group_public_key, signature, await _authorise(context)):
        raise SibylError("A signature of the benchmark does not verify.")


async def _rate(sign: Callable[[], Awaitable[None]], at_once: int, count: int) -> float:
    """Signatures a second, `count` of them with `at_once` under way."""
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            await sign()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_the_other())
    return count / (time.perf_counter() - started)


async def _times(sign: Callable[[], Awaitable[None]], count: int) -> list[float]:
    """Wall clock of each of `count` signatures, one after the other, in seconds."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        await sign()
        times.append(time.perf_counter() - started)
    return times


async def _row(members: int, identities: Mapping[int, TransportIdentity], deadline: float) -> ScaleRow:
    made = await asyncio.to_thread(_make_key, members, identities)
    committee, threshold = _Committee(made.shares), quorum(members)
    await committee.sign()  # the first one warms up
    wires = committee.wires.values()
    asked_before = sum(wire.asked for wire in wires)
    times = await _times(committee.sign, 5 if members < 100 else 3)
    asked = (sum(wire.asked for wire in wires) - asked_before) // len(times)
    # A signer answers twice: with its commitment, and with its share and the next commitment.
    party = sum(median(chain.from_iterable(wire.seconds[path] for wire in wires)) for path in (COMMIT_PATH, SHARE_PATH))
    replied = sum(
        median(chain.from_iterable(wire.replies[path] for wire in wires)) for path in (COMMIT_PATH, SHARE_PATH)
    )
    single = median(times)
    rates: list[float | None] = []
    for at_once in AT_ONCE:
        count = max(at_once, min(64, int(0.8 / single)))
        fits = time.monotonic() + 1.2 * single * count + 4 * single < deadline
        rates.append(await _rate(committee.sign, at_once, count) if fits or at_once == 1 else None)
    committee.spoil(range(threshold + 1, members + 1))
    before = committee.coordinator.counts.sessions
    count = max(1, min(16, int(0.5 / single)))
    faulty = await _rate(committee.sign, 1, count)
    sessions = (committee.coordinator.counts.sessions - before) / count
    committee.close()
    dkg = (1000 * median(made.seconds.values()), int(median(made.sent.values())))
    return ScaleRow(
        members, threshold, *dkg, 1000 * single, 1000 * party, int(replied), asked, tuple(rates), faulty, sessions
    )


# ---- over TLS


@asynccontextmanager
async def _tls_committee(
    shares: Mapping[int, KeyShare], identities: Mapping[int, TransportIdentity]
) -> AsyncIterator[SigningCoordinator]:
    """Members with their own servers, pinned to one another; the coordinator of member 1."""
    async with AsyncExitStack() as stack:
        signers, ports = {}, {}
        for who, share in shares.items():
            signers[who] = Signer(share, _authorise)
            stack.callback(signers[who].close)
            pins = {other: identities[other].certificate for other in shares if other != who}
            server = PeerServer(identities[who], pins, ("127.0.0.1", 0))
            signers[who].register(server)
            await stack.enter_async_context(server)
            ports[who] = server.port
        clients = {}
        for other in shares:
            if other != 1:
                client = PeerClient(identities[1], other, identities[other].certificate, ("127.0.0.1", ports[other]))
                clients[other] = await stack.enter_async_context(client)
        # Patient, for on a machine that does something else besides nothing may fail, only be slow.
        yield SigningCoordinator(signers[1], clients, limits=CoordinatorLimits(round_seconds=30.0, total_seconds=60.0))


async def _over_tls(identities: Mapping[int, TransportIdentity], effort: Effort) -> list[Figure]:
    made = await asyncio.to_thread(_make_key, TLS_MEMBERS, identities)
    async with _tls_committee(made.shares, identities) as coordinator:
        await _rate(lambda: _sign(coordinator, _context()), 8, 24)  # connections are made and stay
        times = await _times(lambda: _sign(coordinator, _context()), effort.singles)
        rates = [
            await _rate(lambda: _sign(coordinator, _context()), at_once, effort.at_once) for at_once in AT_ONCE[1:]
        ]
        full, rest = divmod(effort.messages, BATCH)
        batches = iter([_context(BATCH) for _ in range(full)] + ([_context(rest)] if rest else []))
        batched = await _rate(lambda: _sign(coordinator, next(batches)), 4, full + bool(rest))
    return [
        _figure(TLS_LATENCY, 1000 * median(times)),
        _figure(TLS_RATE, max(rates)),
        _figure(TLS_BATCHES, batched * effort.messages / (full + bool(rest))),
    ]
