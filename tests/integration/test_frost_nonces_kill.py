"""kill -9 at random moments: of thousands of signature shares that left signing processes, no two were made under one nonce.

This file run as a program is the processes' parent: it imports everything once, and forks a signer whenever it is told to, so that a killed
one is back within milliseconds and hundreds of kills fit into a test. Each child is a process of its own with the real `Signer`; what it
holds in memory dies with it. Coordinators keep asking meanwhile, and hostile ones ask for several shares under each commitment, before a
kill and after it. Everything that a process gave is recorded, also what nobody waited for any more.

SIBYL_KILL_SHARES: how many shares to collect (default 2000).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import random
import signal
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from bridges.frost import signing
from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import PeerRefused, PeerTimeout, PeerUnreachable, TooFewSigners
from bridges.frost.group import Identifier, Point, Scalar, SecretScalar, identifier
from bridges.frost.keygen import GroupPublicKey, KeyShare, Origin, PublicKeyPackage, Randomness
from bridges.frost.session import COMMIT_PATH, SHARE_PATH, CoordinatorLimits, Signer, SigningCoordinator
from bridges.frost.signing import NonceCommitment
from oracle.errors import NotAuthorised
from oracle.protocol.errors import ProtocolError
from tests.support.dealer import deal

ROOT = Path(__file__).parents[2]
SHARES = int(os.environ.get("SIBYL_KILL_SHARES", "2000"))
KILLED = (1, 2, 3)
COORDINATORS = (4, 5, 6)
"""4 is honest and a member; 5 and 6 are names under which hostile ones ask."""
LIMITS = CoordinatorLimits(attempts=6, round_seconds=2.0, total_seconds=5.0, pause_seconds=0.01)
PATHS = {b"c": COMMIT_PATH, b"s": SHARE_PATH}


def message_of(context: bytes) -> bytes:
    return hashlib.sha256(context).digest()


async def authorise(context: bytes) -> bytes:
    return message_of(context)


def quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


# ---- the program: a parent that forks signers


def same_after_each_start() -> Randomness:
    """What a signer must not have: randomness that begins anew. Only for the control."""
    counter = iter(range(1 << 30))
    return lambda size: hashlib.shake_256(next(counter).to_bytes(8, "big")).digest(size)


def parent() -> None:
    quiet()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    told = json.loads(sys.stdin.readline())
    verifying = {identifier(int(i)): Point.from_bytes(bytes.fromhex(p)) for i, p in told["verifying"].items()}
    group = GroupPublicKey.from_bytes(bytes.fromhex(told["group"]))
    public = PublicKeyPackage(group, told["threshold"], verifying, Origin.DEALER)
    watched, held = os.pipe()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        who = identifier(order["who"])
        child = os.fork()
        if child == 0:
            os.close(held)
            share = KeyShare(who, SecretScalar(bytes.fromhex(told["secrets"][str(who)])), public)
            randomness = same_after_each_start() if told["broken"] else os.urandom
            asyncio.run(serve(Signer(share, authorise, randomness=randomness), order["path"], watched))
            os._exit(0)
        print(child, flush=True)


async def serve(signer: Signer, path: str, watched: int) -> None:
    # If the parent goes, so does the child: the other end of this pipe is the parent's alone.
    asyncio.get_running_loop().add_reader(watched, os._exit, 0)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            size = int.from_bytes(await reader.readexactly(4), "big")
            request = await reader.readexactly(size)
            peer, handler = int.from_bytes(request[:2], "big"), PATHS[request[2:3]]
            answer = signer.answer_commit if handler == COMMIT_PATH else signer.answer_share
            try:
                reply = b"+" + await answer(peer, request[3:])
            except (ProtocolError, NotAuthorised) as error:
                reply = b"-" + getattr(error, "code", "not_authorised").encode()
            writer.write(len(reply).to_bytes(4, "big") + reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(connected, path)
    async with server:
        await server.serve_forever()


# ---- what the test knows of the processes


@dataclass
class Record:
    """All shares that left a process: by member and commitment, what was signed and what came."""

    shares: dict[tuple[Identifier, NonceCommitment], set[tuple[bytes, ShareRequest, int]]] = field(default_factory=dict)
    count: int = 0

    def add(self, who: Identifier, context: bytes, request: ShareRequest, reply: ShareReply) -> None:
        (own,) = (c for c in request.commitments if c.identifier == who)
        bare = ShareRequest(bytes(16), request.commitments)
        self.shares.setdefault((who, own), set()).add((context, bare, int(reply.share.z)))
        self.count += 1

    @property
    def reused(self) -> list[tuple[Identifier, NonceCommitment]]:
        return [key for key, uses in self.shares.items() if len(uses) > 1]


@dataclass
class Signers:
    """The signing processes of members 1 to 3, over the parent that forks them."""

    program: asyncio.subprocess.Process
    directory: Path
    record: Record = field(default_factory=Record)
    pids: dict[int, int] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=dict)
    kills: int = 0
    calls: set[asyncio.Task[bytes]] = field(default_factory=set)
    contexts: dict[tuple[int, bytes], bytes] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self, who: int) -> None:
        path = str(self.directory / f"{who}-{self.kills}")
        assert self.program.stdin is not None
        assert self.program.stdout is not None
        self.program.stdin.write(json.dumps({"who": who, "path": path}).encode() + b"\n")
        async with asyncio.timeout(30):
            line = await self.program.stdout.readline()
        self.pids[who], self.paths[who] = int(line), path

    async def kill_and_restart(self, who: int) -> None:
        async with self.lock:
            os.kill(self.pids[who], signal.SIGKILL)
            self.kills += 1
            await self.start(who)

    async def call(self, peer: int, who: int, path: str, body: bytes) -> bytes:
        """One request. It goes on, and what comes is recorded, even if the one who asked has gone."""
        task = asyncio.ensure_future(self._call(peer, who, path, body))
        self.calls.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[bytes]) -> None:
        self.calls.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be there to take it

    async def _call(self, peer: int, who: int, path: str, body: bytes) -> bytes:
        tag = b"c" if path == COMMIT_PATH else b"s"
        if path == COMMIT_PATH:
            asked = CommitRequest.from_bytes(body)
            self.contexts[peer, asked.session_id] = asked.context
        try:
            async with asyncio.timeout(10):
                reader, writer = await asyncio.open_unix_connection(self.paths[who])
                try:
                    request = peer.to_bytes(2, "big") + tag + body
                    writer.write(len(request).to_bytes(4, "big") + request)
                    size = int.from_bytes(await reader.readexactly(4), "big")
                    reply = await reader.readexactly(size)
                finally:
                    writer.close()
        except TimeoutError:
            raise PeerTimeout(f"Peer {who} did not answer.") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise PeerUnreachable(f"Peer {who} is gone.") from error
        if reply[:1] != b"+":
            raise PeerRefused(who, reply[1:].decode(), "refused")
        if path == SHARE_PATH:
            request_made = ShareRequest.from_bytes(body)
            context = self.contexts[peer, request_made.session_id]
            if request_made.following is not None:
                self.contexts[peer, request_made.following] = context
            self.record.add(identifier(who), context, request_made, ShareReply.from_bytes(reply[1:]))
        return reply[1:]


@dataclass
class Line:
    """A coordinator's way to one of them."""

    signers: Signers
    peer: int
    who: int

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self.signers.call(self.peer, self.who, path, body)
        except TimeoutError:
            raise PeerTimeout(f"Peer {self.who} did not answer.") from None


@contextlib.asynccontextmanager
async def signing_processes(shares: tuple[KeyShare, ...], *, broken: bool) -> AsyncIterator[Signers]:
    public = shares[0].public
    told = {
        "group": public.group_public_key.to_bytes().hex(),
        "threshold": public.threshold,
        "verifying": {str(i): point.encoded.hex() for i, point in public.verifying_shares.items()},
        "secrets": {str(share.identifier): share.signing_share.reveal().hex() for share in shares},
        "broken": broken,
    }
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # so that the end reaches every child, also one that was just being started
    )
    assert program.stdin is not None
    assert program.stdout is not None
    # A path of its own, and short: the name of a socket may have some hundred characters.
    with tempfile.TemporaryDirectory(prefix="sibyl-kill-") as directory:
        signers = Signers(program, Path(directory))
        try:
            program.stdin.write(json.dumps(told).encode() + b"\n")
            assert await asyncio.wait_for(program.stdout.readline(), 60) == b"ready\n"
            for who in KILLED:
                await signers.start(who)
            yield signers
            await asyncio.gather(*signers.calls, return_exceptions=True)
        finally:
            os.killpg(program.pid, signal.SIGKILL)
            async with asyncio.timeout(30):
                await program.wait()
            program._transport.close()  # type: ignore[attr-defined]  # asyncio offers no public way


# ---- who asks


@dataclass
class Honest:
    """A member that coordinates."""

    coordinator: SigningCoordinator
    signed: int = 0
    failed: int = 0

    async def run(self) -> None:
        while True:
            context = os.urandom(8)
            try:
                signature = await self.coordinator.sign(context)
            except TooFewSigners:
                self.failed += 1
                continue
            assert signing.verify(self.coordinator.group_public_key, signature, message_of(context))
            self.signed += 1


async def hostile(signers: Signers, peer: int, who: int, strangers: list[list[NonceCommitment]]) -> None:
    """Ask for shares over two lists at once under each commitment, go on with the next that comes along; return to old ones after kills."""
    dice = random.Random(os.urandom(8))  # which list is shown first is no secret
    earlier: deque[tuple[bytes, NonceCommitment]] = deque(maxlen=8)
    line, current = Line(signers, peer, who), None

    def request(session: bytes, own: NonceCommitment, following: bytes | None) -> bytes:
        listed = sorted([own, *dice.choice(strangers)], key=lambda commitment: commitment.identifier)
        return ShareRequest(session, tuple(listed), following).to_bytes()

    while True:
        if current is None:
            session = os.urandom(16)
            try:
                reply = await line.call(COMMIT_PATH, CommitRequest(session, os.urandom(4)).to_bytes(), 5)
            except (PeerUnreachable, PeerTimeout, PeerRefused):
                await asyncio.sleep(0.005)
                continue
            current = session, NonceCommitment.from_bytes(reply)
        following = os.urandom(16)
        requests = [request(*current, following) for _ in range(2)]
        earlier.append(current)
        if dice.random() < 0.3:
            requests.append(request(*dice.choice(earlier), None))
        replies = await asyncio.gather(*(line.call(SHARE_PATH, r, 5) for r in requests), return_exceptions=True)
        given = [ShareReply.from_bytes(reply).following for reply in replies if isinstance(reply, bytes)]
        current = next(((following, own) for own in given if own is not None), None)


async def keep_killing(signers: Signers) -> None:
    dice = random.Random(os.urandom(8))  # when to kill is no secret
    while True:
        await asyncio.sleep(dice.uniform(0.0, 0.2))
        await signers.kill_and_restart(dice.choice(KILLED))


async def collect(signers: Signers, shares: tuple[KeyShare, ...], wanted: int, least_kills: int) -> Honest:
    """Everybody at once, until enough shares have come and enough processes were killed."""
    local = Signer(shares[3], authorise)
    lines = {who: Line(signers, COORDINATORS[0], who) for who in KILLED}
    honest = Honest(SigningCoordinator(local, lines, limits=LIMITS))
    work: list[Coroutine[object, object, None]] = [honest.run(), honest.run(), keep_killing(signers)]
    for peer in COORDINATORS[1:]:
        for who in KILLED:
            others = [share for share in shares if share.identifier != who][:2]
            pool = [[signing.commit(share, os.urandom(64)).commitment for share in others] for _ in range(4)]
            work.append(hostile(signers, peer, who, pool))
    async with asyncio.timeout(240):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            while signers.record.count < wanted or signers.kills < least_kills:
                await asyncio.sleep(0.01)
            for task in tasks:
                task.cancel()
    local.close()
    return honest


# ---- the tests


async def test_nonces__processes_killed_at_random_moments__no_nonce_has_two_shares() -> None:
    shares = deal(4, 3, os.urandom)
    with structlog.testing.capture_logs():
        async with signing_processes(shares, broken=False) as signers:
            honest = await collect(signers, shares, SHARES, least_kills=30)
    record = signers.record
    assert record.count >= SHARES
    assert signers.kills >= 30
    assert record.reused == []
    assert len(record.shares) == record.count  # nor did any share leave twice
    assert honest.signed > 0  # between the kills there were whole signatures
    sample = random.sample(sorted(record.shares, key=str), 100)
    for who, own in sample:  # and what was counted are shares
        ((context, request, z),) = record.shares[who, own]
        package = signing.prepare(shares[0].public, message_of(context), request.commitments)
        assert signing.verify_share(package, signing.SignatureShare(who, Scalar(z)))


async def test_nonces__randomness_that_begins_anew_with_each_process__is_noticed() -> None:
    """Control: a signer that makes the same nonces after each start is caught by what the other test looks at."""
    shares = deal(4, 3, os.urandom)
    with structlog.testing.capture_logs():
        async with signing_processes(shares, broken=True) as signers:
            await collect(signers, shares, 200, least_kills=10)
    assert signers.record.reused


if __name__ == "__main__":
    parent()
