"""A committee of real processes signs through a bad network: delay, throttle, loss, resets, partitions, one-way links, as they come and go.

Each member is this file run as a program. Every directed link between two members goes through a proxy of the test, so a fault can be put on
one direction of one link. With a quorum connected a signature always results; with fewer the error names who is missing, and after the
network has healed the same processes sign again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from bridges.frost import keystore, signing
from bridges.frost.keygen import GroupPublicKey
from bridges.frost.session import CoordinatorLimits, SigningCoordinator
from bridges.frost.signer import Signer
from bridges.frost.signing import GroupSignature
from bridges.frost.transport import PeerCertificate, PeerClient, PeerServer, TransportIdentity
from oracle.errors import SigningError
from tests.support.dealer import deal
from tests.support.proxy import Proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
MEMBERS = (1, 2, 3, 4)
QUORUM = 3
LIMITS = CoordinatorLimits(attempts=3, round_seconds=1.5, total_seconds=20.0, pause_seconds=0.1)


async def authorise(context: bytes) -> bytes:
    return hashlib.sha256(context).digest()


# ---- the program that each member runs


async def member(home: Path) -> None:
    """Prints its port, reads everybody's, then signs what comes on standard input, each line as it comes."""
    identity = TransportIdentity.load(home)
    pins = {int(i): PeerCertificate.from_pem(pem) for i, pem in json.loads((home / "pins.json").read_text()).items()}
    signer = Signer(keystore.load(home / "share.json", devnet=True), authorise)
    server = PeerServer(identity, pins, ("127.0.0.1", 0))
    signer.register(server)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with server, contextlib.AsyncExitStack() as stack:
        print(server.port, flush=True)
        ports = json.loads(await lines.readline())
        clients = {
            i: await stack.enter_async_context(PeerClient(identity, i, pin, ("127.0.0.1", ports[str(i)])))
            for i, pin in pins.items()
        }
        coordinator = SigningCoordinator(signer, clients, limits=LIMITS)
        async with asyncio.TaskGroup() as group:
            while line := (await lines.readline()).strip():
                group.create_task(answer(coordinator, line.decode()))
    signer.close()


async def answer(coordinator: SigningCoordinator, context: str) -> None:
    reply: dict[str, object] = {"context": context}
    try:
        reply["signature"] = (await coordinator.sign(bytes.fromhex(context))).to_bytes().hex()
    except SigningError as error:
        reply |= {"error": str(error), "culprits": error.culprits}
    print(json.dumps(reply), flush=True)


# ---- the committee as the tests see it


@dataclass(eq=False)
class Process:
    """One member's process; signings may overlap."""

    child: asyncio.subprocess.Process
    replies: dict[str, asyncio.Future[dict[str, object]]]

    async def line(self) -> str:
        assert self.child.stdout is not None
        while True:
            line = (await self.child.stdout.readline()).decode()
            assert line, "the member ended early"
            # structlog prints its events to the same stream
            if line.startswith('{"context"') or line.strip().isdecimal():
                return line

    async def listen(self) -> None:
        while True:
            reply = json.loads(await self.line())
            self.replies.pop(reply["context"]).set_result(reply)

    async def say(self, text: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(text.encode() + b"\n")
        await self.child.stdin.drain()

    async def sign(self, context: str) -> dict[str, object]:
        name = context.encode().hex()
        future = self.replies[name] = asyncio.get_running_loop().create_future()
        await self.say(name)
        return await asyncio.wait_for(future, 60)


@dataclass(eq=False)
class Committee:
    """Four processes and the twelve links between them."""

    key: GroupPublicKey
    processes: dict[int, Process]
    links: dict[tuple[int, int], Proxy]

    def among(self, *members: int) -> list[Proxy]:
        """Both directions of every link that touches one of `members`."""
        return [link for pair, link in self.links.items() if set(pair) & set(members)]

    def between(self, left: Iterable[int], right: Iterable[int]) -> list[Proxy]:
        """The links between two groups."""
        a, b = set(left), set(right)
        return [link for (i, j), link in self.links.items() if (i in a and j in b) or (i in b and j in a)]

    def heal(self) -> None:
        """No faults anywhere."""
        for link in self.links.values():
            link.heal()

    async def signs(self, coordinator: int, context: str) -> None:
        """The member gets a signature, and it is the committee's."""
        reply = await self.processes[coordinator].sign(context)
        assert "signature" in reply, reply.get("error")
        signature = GroupSignature.from_bytes(bytes.fromhex(str(reply["signature"])))
        assert signing.verify(self.key, signature, hashlib.sha256(context.encode()).digest())

    async def fails(self, coordinator: int, context: str) -> str:
        """The member gets none; its error, which blames nobody for the network."""
        reply = await self.processes[coordinator].sign(context)
        assert "signature" not in reply
        return str(reply["error"])


def lay_out(root: Path) -> GroupPublicKey:
    shares = deal(len(MEMBERS), QUORUM, os.urandom)
    identities = {}
    for share in shares:
        home = root / str(share.identifier)
        home.mkdir(mode=0o700)
        keystore.save(home / "share.json", share)
        identities[share.identifier] = TransportIdentity.generate(home, f"member {share.identifier}", datetime.now(UTC))
    for own in identities:
        pins = {str(i): identity.certificate.to_pem() for i, identity in identities.items() if i != own}
        (root / str(own) / "pins.json").write_text(json.dumps(pins))
    return shares[0].public.group_public_key


async def start(home: Path, stack: contextlib.AsyncExitStack) -> Process:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__)),
        str(home),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    stack.push_async_callback(end, child)
    return Process(child, {})


async def end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGKILL)
    await asyncio.wait_for(child.wait(), 30)
    # The pipe's transport closes in a later turn of the loop.
    child._transport.close()  # type: ignore[attr-defined]  # asyncio offers no public way


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes_and_links(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Committee]:
    root = tmp_path_factory.mktemp("committee")
    key = lay_out(root)
    async with contextlib.AsyncExitStack() as stack:
        processes = {i: await start(root / str(i), stack) for i in MEMBERS}
        ports = {i: int(await asyncio.wait_for(process.line(), 60)) for i, process in processes.items()}
        links = {
            (i, j): await stack.enter_async_context(Proxy(("127.0.0.1", ports[j])))
            for i in MEMBERS
            for j in MEMBERS
            if i != j
        }
        listeners = []
        for i, process in processes.items():
            await process.say(json.dumps({str(j): links[i, j].port for j in MEMBERS if j != i}))
            listeners.append(asyncio.create_task(process.listen()))
        try:
            yield Committee(key, processes, links)
        finally:
            for listener in listeners:
                listener.cancel()
            await asyncio.gather(*listeners, return_exceptions=True)


@pytest.fixture
def committee(processes_and_links: Committee) -> Iterator[Committee]:
    """The same processes for every test: none may leave them unable to sign."""
    yield processes_and_links
    processes_and_links.heal()


# ---- the tests


async def test_network__slow_and_narrow_links__sign_all_the_same(committee: Committee) -> None:
    for link in committee.among(2):
        link.forward.delay, link.backward.delay = 0.15, 0.1
    for link in committee.among(3):
        link.backward.bytes_per_second = 20_000.0
    async with asyncio.TaskGroup() as group:
        for coordinator in MEMBERS:
            for turn in range(3):
                group.create_task(committee.signs(coordinator, f"slow {coordinator} {turn}"))


async def test_network__one_member_partitioned__the_others_sign_it_says_who_is_missing_and_comes_back(
    committee: Committee,
) -> None:
    await committee.signs(4, "all connected")
    for link in committee.among(4):
        link.partition()
    async with asyncio.TaskGroup() as group:
        for coordinator in (1, 2, 3):
            group.create_task(committee.signs(coordinator, f"without 4, by {coordinator}"))
        alone = group.create_task(committee.fails(4, "alone"))
    assert "3 are needed of 4" in alone.result()
    for missing in (1, 2, 3):
        assert f"{missing}: Peer {missing} did not answer" in alone.result()
    committee.heal()
    for coordinator in MEMBERS:
        await committee.signs(coordinator, f"healed, by {coordinator}")


async def test_network__partitioned_in_halves__neither_signs_and_both_recover(committee: Committee) -> None:
    for link in committee.between((1, 2), (3, 4)):
        link.partition()
    async with asyncio.TaskGroup() as group:
        errors = {i: group.create_task(committee.fails(i, f"half of {i}")) for i in MEMBERS}
    for coordinator, failed in errors.items():
        missing = (3, 4) if coordinator in (1, 2) else (1, 2)
        for other in MEMBERS:
            assert (f"{other}: Peer {other} did not answer" in failed.result()) == (other in missing)
    committee.heal()
    for coordinator in MEMBERS:
        await committee.signs(coordinator, f"whole again, by {coordinator}")


async def test_network__one_way_links__sign_without_whom_nobody_hears(committee: Committee) -> None:
    """Member 3 hears every request, and its replies are lost; what it asks itself is answered. Member 2 cannot even be connected to."""
    for (_, target), link in committee.links.items():
        link.backward.black_hole = target == 3
    for coordinator in (1, 2, 4):
        await committee.signs(coordinator, f"3 is dumb, by {coordinator}")
    await committee.signs(3, "3 coordinates")
    committee.heal()
    for (_, target), link in committee.links.items():
        link.refusing = target == 2
    for coordinator in MEMBERS:
        await committee.signs(coordinator, f"2 is deaf, by {coordinator}")
    committee.heal()
    await committee.signs(1, "healed")


async def test_network__faults_come_and_go_under_load__everything_is_signed(committee: Committee) -> None:
    """One member at a time is cut off, each in another way and in the middle of signings, and now and then every connection is reset.

    A member does as its node does: it tries again. One that reaches a quorum has its signature before the next fault goes.
    """
    signed: Counter[int] = Counter()

    async def coordinate(own: int, done: asyncio.Event) -> None:
        while not done.is_set():
            context = f"load {own} {signed[own]}"
            while "signature" not in (reply := await committee.processes[own].sign(context)):
                assert "3 are needed of 4" in str(reply["error"])
            signed[own] += 1

    async def progress(members: Iterable[int]) -> None:
        before = signed.copy()
        async with asyncio.timeout(60):
            while any(signed[i] == before[i] for i in members):
                await asyncio.sleep(0.02)

    done = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for own in MEMBERS:
            group.create_task(coordinate(own, done))
        for round_, victim in enumerate((2, 4, 1, 3)):
            for link in committee.among(victim):
                link.refusing = not round_ % 2
                link.partition() if round_ % 2 else link.reset()
            await progress(set(MEMBERS) - {victim})
            for link in committee.links.values():
                link.reset()
            await progress(set(MEMBERS) - {victim})
            committee.heal()
            await progress(MEMBERS)
        done.set()


if __name__ == "__main__":
    asyncio.run(member(Path(sys.argv[1])))
