"""Renewal of certificates between running members, over real sockets: nothing is cut, nobody is locked out, old certificates get nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bridges.frost.errors import PeerRefused, PeerUnreachable
from bridges.frost.identity import PeerCertificate, TransportIdentity
from bridges.frost.pins import NOTICE_FILE, PinBook, prepare_renewal
from bridges.frost.renewal import RenewalNotice
from bridges.frost.renewal_session import NOTICE_PATH, CertificateKeeper, KeeperLimits
from bridges.frost.transport import PeerClient, PeerServer, TransportLimits, client_context

OVERLAP = 1_000.0
LIMITS = TransportLimits(max_body=10_000)
KEEPER = KeeperLimits(ask_seconds=0.0, patience_seconds=500.0)


@dataclass
class Clock:
    now: float = field(default_factory=lambda: datetime.now(UTC).timestamp())

    def __call__(self) -> float:
        return self.now


async def echo(peer_id: int, body: bytes) -> bytes:
    return bytes([peer_id]) + body


@dataclass
class Running:
    """What exists of a member while it is up."""

    server: PeerServer
    clients: dict[int, PeerClient]
    keeper: CertificateKeeper
    book: PinBook


@dataclass
class Committee:
    """Members with directories, fixed ports and one clock. Their keepers take turns when the test says so."""

    root: Path
    clock: Clock = field(default_factory=Clock)
    configured: dict[int, PeerCertificate] = field(default_factory=dict)
    ports: dict[int, int] = field(default_factory=dict)
    up: dict[int, Running] = field(default_factory=dict)
    stacks: dict[int, AsyncExitStack] = field(default_factory=dict)

    def directory(self, member: int) -> Path:
        return self.root / str(member)

    async def start(self, member: int) -> Running:
        """As a daemon does: identity and pins from disk, then the server, then the keeper."""
        directory = self.directory(member)
        identity = TransportIdentity.load(directory)
        book = PinBook(directory, self.configured, overlap=OVERLAP, clock=self.clock)
        pins = {who: certificates for who, certificates in book.trusted().items() if who != member}
        stack = self.stacks[member] = AsyncExitStack()
        server = PeerServer(identity, pins, ("127.0.0.1", self.ports.get(member, 0)), LIMITS)
        clients = {
            who: await stack.enter_async_context(
                PeerClient(identity, who, pins[who], ("127.0.0.1", self.ports.get(who, 9)), LIMITS)
            )
            for who in pins
        }
        keeper = CertificateKeeper(directory, member, book, server, clients, limits=KEEPER, clock=self.clock)
        keeper.register()
        server.route("/echo", echo)
        await stack.enter_async_context(server)
        self.ports[member] = server.port
        self.up[member] = Running(server, clients, keeper, book)
        return self.up[member]

    async def stop(self, member: int) -> None:
        del self.up[member]
        await self.stacks.pop(member).aclose()

    async def restart(self, member: int) -> None:
        await self.stop(member)
        await self.start(member)

    async def turns(self, members: Iterable[int] | None = None) -> None:
        for member in members or tuple(self.up):
            await self.up[member].keeper.turn()

    async def all_reach_all(self) -> None:
        for source, running in self.up.items():
            for target in self.up:
                if target != source:
                    assert await running.clients[target].call("/echo", b"x", 30) == bytes([source]) + b"x"

    def renew(self, member: int) -> RenewalNotice:
        return prepare_renewal(
            self.directory(member), self.up[member].book, member, f"member {member}", datetime.now(UTC)
        )

    def stolen(self, member: int) -> TransportIdentity:
        """A copy of a member's present identity, as a thief has it."""
        target = self.root / f"stolen-{member}-{len(list(self.root.iterdir()))}"
        shutil.copytree(self.directory(member), target)
        return TransportIdentity.load(target)

    @asynccontextmanager
    async def calling(self, identity: TransportIdentity, target: int) -> AsyncIterator[PeerClient]:
        shown = self.up[target].keeper.identity.certificate
        async with PeerClient(identity, target, shown, ("127.0.0.1", self.ports[target]), LIMITS) as client:
            yield client


@pytest.fixture
async def committee(tmp_path: Path) -> AsyncIterator[Committee]:
    made = Committee(tmp_path)
    for member in range(1, 5):
        made.directory(member).mkdir()
        identity = TransportIdentity.generate(made.directory(member), f"member {member}", datetime.now(UTC))
        made.configured[member] = identity.certificate
    for member in range(1, 5):
        await made.start(member)
    for member in range(1, 5):  # now that every port is known
        await made.restart(member)
    yield made
    for member in tuple(made.up):
        await made.stop(member)


async def test_renewal__all_up__everyone_reaches_everyone_before_during_and_after(committee: Committee) -> None:
    await committee.turns()
    await committee.all_reach_all()
    old = committee.up[2].keeper.identity.certificate
    notice = committee.renew(2)
    await committee.turns((2,))
    assert committee.up[2].keeper.identity.certificate == notice.certificate != old
    await committee.all_reach_all()
    committee.clock.now += OVERLAP
    await committee.turns()
    await committee.all_reach_all()
    assert all(running.book.trusted()[2] == (notice.certificate,) for running in committee.up.values())
    for member in tuple(committee.up):
        await committee.restart(member)
    await committee.all_reach_all()


async def test_renewal__requests_under_way__end_on_their_connections(committee: Committee) -> None:
    await committee.turns()
    release, entered = asyncio.Event(), asyncio.Queue[int](maxsize=8)

    async def hold(peer_id: int, body: bytes) -> bytes:
        await entered.put(peer_id)
        await release.wait()
        return body

    for member in (2, 3):
        committee.up[member].server.route("/hold", hold)
    async with asyncio.TaskGroup() as group:
        into = group.create_task(committee.up[3].clients[2].call("/hold", b"into the renewing member", 30))
        out = group.create_task(committee.up[2].clients[3].call("/hold", b"out of it", 30))
        assert {await asyncio.wait_for(entered.get(), 30) for _ in range(2)} == {2, 3}
        notice = committee.renew(2)
        await committee.turns((2,))
        assert committee.up[2].keeper.identity.certificate == notice.certificate
        await committee.all_reach_all()
        release.set()
    assert (into.result(), out.result()) == (b"into the renewing member", b"out of it")


async def test_renewal__stolen_old_certificate__gets_nothing_after_the_overlap(committee: Committee) -> None:
    await committee.turns()
    thief = committee.stolen(2)
    committee.renew(2)
    await committee.turns((2,))
    async with committee.calling(thief, 3) as connected:
        assert await connected.call("/echo", b"", 30) == b"\2", "during the overlap it is still pinned"
        committee.clock.now += OVERLAP
        await committee.turns()
        with pytest.raises(PeerRefused, match="not pinned"):
            await connected.call("/echo", b"", 30)  # on the connection that it has kept
    async with committee.calling(thief, 3) as fresh:
        with pytest.raises(PeerUnreachable):
            await fresh.call("/echo", b"", 30)
    await committee.all_reach_all()


async def test_renewal__thief_announces_a_certificate_of_his_own_afterwards__is_refused_also_after_a_restart(
    committee: Committee, tmp_path: Path
) -> None:
    await committee.turns()
    thief, old = committee.stolen(2), committee.configured[2]
    committee.renew(2)
    await committee.turns((2,))
    (tmp_path / "own").mkdir()
    his = TransportIdentity.generate(tmp_path / "own", "thief", datetime.now(UTC))
    await committee.restart(3)
    for serial in (1, 2):
        forged = RenewalNotice.make(2, serial, old, his.certificate, thief.sign)
        async with committee.calling(thief, 3) as client:
            with pytest.raises(PeerRefused) as caught:
                await client.call(NOTICE_PATH, forged.to_bytes(), 30)
        assert caught.value.peer_code == "renewal"
    async with committee.calling(his, 3) as client:
        with pytest.raises(PeerUnreachable):
            await client.call("/echo", b"", 30)


async def test_renewal__replayed_by_a_peer__changes_nothing(committee: Committee) -> None:
    await committee.turns()
    first = committee.renew(2)
    await committee.turns((2,))
    second = committee.renew(2)
    await committee.turns((2,))
    trusted = committee.up[3].book.trusted()
    assert await committee.up[4].clients[3].call(NOTICE_PATH, second.to_bytes(), 30) == b""
    with pytest.raises(PeerRefused, match="overtaken"):
        await committee.up[4].clients[3].call(NOTICE_PATH, first.to_bytes(), 30)
    assert committee.up[3].book.trusted() == trusted


async def test_renewal__a_peer_is_away__old_is_shown_until_patience_ends_and_it_learns_from_the_others(
    committee: Committee,
) -> None:
    await committee.turns()
    await committee.stop(4)
    notice = committee.renew(2)
    await committee.turns((2,))
    assert committee.up[2].keeper.identity.certificate == committee.configured[2], "one peer may still come"
    committee.clock.now += KEEPER.patience_seconds + 60
    await committee.turns((2,))
    assert committee.up[2].keeper.identity.certificate == notice.certificate
    committee.clock.now += OVERLAP
    await committee.turns()
    await committee.start(4)
    with pytest.raises(PeerUnreachable):
        await committee.up[4].clients[2].call("/echo", b"", 30)
    await committee.turns((4,))
    await committee.all_reach_all()


async def test_renewal__all_peers_are_away__is_not_adopted_however_long_it_takes(committee: Committee) -> None:
    await committee.turns()
    for member in (1, 3, 4):
        await committee.stop(member)
    committee.renew(2)
    committee.clock.now += 100 * KEEPER.patience_seconds
    await committee.turns((2,))
    assert committee.up[2].keeper.identity.certificate == committee.configured[2]
    for member in (1, 3, 4):
        await committee.start(member)
    await committee.turns((2,))
    assert committee.up[2].keeper.identity.certificate != committee.configured[2]
    await committee.all_reach_all()


async def test_renewal__restart_while_it_is_spread__goes_on(committee: Committee) -> None:
    await committee.turns()
    await committee.stop(4)
    notice = committee.renew(2)
    await committee.turns((2,))
    await committee.restart(2)
    await committee.start(4)
    await committee.turns((2,))
    assert committee.up[2].keeper.identity.certificate == notice.certificate
    assert not (committee.directory(2) / NOTICE_FILE).exists()
    await committee.all_reach_all()


async def test_renewal__several_in_a_row_while_one_is_away__it_learns_the_whole_chain(committee: Committee) -> None:
    await committee.turns()
    await committee.stop(4)
    for _ in range(3):
        committee.renew(2)
        committee.clock.now += KEEPER.patience_seconds + 60
        await committee.turns((2,))
    assert committee.up[2].book.serials()[2] == 3
    committee.clock.now += OVERLAP
    await committee.turns()
    await committee.start(4)
    await committee.turns((4,))
    assert committee.up[4].book.serials()[2] == 3
    await committee.all_reach_all()


async def test_renewal__notice_given_as_a_file__is_found_by_the_running_member(committee: Committee) -> None:
    await committee.turns()
    notice = committee.renew(2)
    handed_over = PinBook(committee.directory(3), committee.configured, overlap=OVERLAP, clock=committee.clock)
    data = (committee.directory(2) / NOTICE_FILE).read_bytes()
    assert handed_over.accept(RenewalNotice.from_bytes(data))
    await committee.turns((3,))
    assert committee.up[3].book.newest(2) == notice.certificate
    await committee.all_reach_all()


async def test_renewal__handshakes_while_pins_change__none_is_lost(committee: Committee) -> None:
    running, pin = committee.up[3], committee.configured[3]
    pins = {who: committee.configured[who] for who in (1, 2, 4)}
    identity = TransportIdentity.load(committee.directory(3))
    request = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    async def connect() -> bytes:
        context = client_context(TransportIdentity.load(committee.directory(2)), pin)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port, ssl=context)
        writer.write(request)
        reply = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return reply

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(connect()) for _ in range(12)]
        for _ in range(20):
            running.server.use(identity, pins)
            await asyncio.sleep(0)
    assert all(call.result().endswith(b"\2") for call in calls)
