"""A devnet whose committee changes while it works: member 4 is replaced by member 5, then all get a new key. Real processes, chains, proofs.

The operators' commands run as they are (`reshare`, `rotate`, `approve`, `propose`); the nodes restart one by one between them, and there is
always a request from each chain under way. At the end each was answered on both chains, once.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tomlkit
from rich.console import Console

from bridges.frost.dkg_session import CeremonyLimits
from bridges.frost.transport import TransportIdentity
from oracle.app.asking import EVM, SOLANA, Asked, Question
from oracle.app.ceremony import KeygenPaths
from oracle.app.committee_file import CommitteeFile, MemberEntry
from oracle.app.devnet.chains import HOST, free_port
from oracle.app.devnet.network import DevnetOptions
from oracle.app.devnet.nodes import NodeProcess
from oracle.app.epoch_views import epoch_views
from oracle.app.key_file import load_key_file
from oracle.app.resharing import OldSide, run_reshare
from oracle.app.rotation_commands import run_approve, run_propose, run_rotate, run_status
from oracle.config import load_config
from oracle.protocol.quorum import quorum
from oracle.protocol.types import Policy
from tests.support.devnet import World, open_world

pytestmark = [pytest.mark.devnet, pytest.mark.slow, pytest.mark.timeout(900)]

STAY = (1, 2, 3)
NEW = (1, 2, 3, 5)
OVERLAP = 6
PATIENCE = 240.0
LIMITS = CeremonyLimits(wait_seconds=60, step_seconds=30, hold_seconds=0.5, linger_seconds=5)
WAYS = ((EVM, Policy.BOTH, Policy.ATTESTED), (SOLANA, Policy.ATTESTED, Policy.BOTH))


class Operators:
    """What the operators of a devnet's members do, with the files of each in its node's directory."""

    def __init__(self, world: World) -> None:
        self.world, self.root = world, world.devnet.directory
        self.nodes = {node.identifier: node for node in world.nodes}
        five = self.root / "node-5"
        five.mkdir(mode=0o700)
        TransportIdentity.generate(five, "sibyl member 5", datetime.now(UTC))
        self.nodes[5] = NodeProcess(5, five, free_port(), free_port())
        # A ceremony has a port of its own: the nodes keep theirs.
        self.ports = {who: free_port() for who in self.nodes}
        self.old = self.committee("old.toml", (1, 2, 3, 4))
        self.key = self.root / "key-1.json"
        self.key.write_text(world.devnet.committee.key_file.to_json())

    def committee(self, name: str, members: tuple[int, ...], epoch: int = 1) -> Path:
        entries = [
            MemberEntry(
                identifier=who,
                endpoint=f"https://{HOST}:{self.ports[who]}",
                certificate=(self.nodes[who].directory / "peer-certificate.pem").read_text(),
            )
            for who in members
        ]
        file = CommitteeFile(name="devnet", epoch=epoch, overlap=OVERLAP, quorum=quorum(len(entries)), members=entries)
        path = self.root / name
        path.write_text(file.to_toml())
        return path

    def paths(self, who: int, committee: Path, stem: str) -> KeygenPaths:
        home = self.nodes[who].directory
        return KeygenPaths(committee, home, home / f"share-{stem}.json", home / f"key-{stem}.json")

    async def reshare(self) -> str:
        new, told = self.committee("new.toml", NEW), io.StringIO()
        await asyncio.gather(
            *(
                run_reshare(
                    Console(file=told, width=300),
                    self.paths(who, new, "1b"),
                    OldSide(self.old, self.key, self.nodes[who].directory / "share.json" if who != 5 else None),
                    who,
                    (HOST, self.ports[who]),
                    LIMITS,
                )
                for who in NEW
            )
        )
        return told.getvalue()

    async def rotate(self) -> None:
        new = self.committee("next.toml", NEW, epoch=2)
        await asyncio.gather(
            *(
                run_rotate(
                    Console(file=io.StringIO()),
                    self.paths(who, new, "2"),
                    self.nodes[1].directory / "key-1b.json",
                    who,
                    (HOST, self.ports[who]),
                    LIMITS,
                )
                for who in NEW
            )
        )
        for who in NEW:
            config = load_config(self.nodes[who].config_path)
            run_approve(Console(file=io.StringIO()), self.nodes[who].directory / "key-2.json", new, config)

    def entry(self, members: tuple[int, ...], key: Path, **more: object) -> dict[str, object]:
        """One committee of a node.toml."""
        file = load_key_file(key)
        listed = [
            {
                "identifier": who,
                "endpoint": self.nodes[who].peer_url,
                "certificate": f"../node-{who}/peer-certificate.pem",
            }
            for who in members
        ]
        return {"epoch": file.epoch, "group_key": "0x" + file.group_key.hex(), "members": listed, **more}

    def configure(self, who: int, change: Callable[[dict[str, object]], None]) -> None:
        path = self.nodes[who].config_path
        content = tomllib.loads(path.read_text())
        change(content)
        path.write_text(tomlkit.dumps(content))

    async def restart(self, *who: int) -> None:
        """One after the other, so that a quorum is always up."""
        for one in who:
            await self.nodes[one].stop()
            await self.nodes[one].start()
            await self.nodes[one].until_ready()

    def with_new_keys(self, content: dict[str, object]) -> None:
        """The key as it was handed on, and the one after it: a node knows both from one start on."""
        home = self.nodes[1].directory
        content["next_committee"] = [
            self.entry(NEW, home / "key-1b.json", revision=1, key_share="share-1b.json"),
            self.entry(NEW, home / "key-2.json", key_share="share-2.json"),
        ]

    def lay_out_five(self) -> None:
        """Member 5's node, with the accounts of member 4's, which pay for it alone from its start on."""
        five, four = self.nodes[5], self.nodes[4]
        for name in ("evm.key", "solana.json"):
            shutil.copy2(four.directory / name, five.directory / name)
        content = tomllib.loads(four.config_path.read_text())
        content |= {"identifier": 5, "key_share": "share-1b.json"}
        content["listen"]["port"], content["status"]["port"] = five.peer_port, five.status_port
        key = self.nodes[1].directory / "key-1b.json"
        content["next_committee"] = [self.entry(NEW, key, revision=1, key_share="share-1b.json")]
        five.config_path.write_text(tomlkit.dumps(content))

    async def replace_four_by_five(self) -> None:
        for who in NEW:
            self.configure(who, self.with_new_keys)
        await self.restart(*STAY)
        await self.nodes[4].stop()
        await self.restart(5)


@asynccontextmanager
async def load(world: World) -> AsyncIterator[list[Asked]]:
    """From each chain a request, and the next when that was answered on both, but not at once."""
    asked: list[Asked] = []
    stop = asyncio.Event()
    rows = world.user.model.heldout()

    async def post(way: tuple[str, Policy, Policy]) -> None:
        while not stop.is_set():
            one = await world.user.ask(Question(rows[5 * len(asked) % len(rows)].inputs, *way))
            asked.append(one)
            await asyncio.gather(world.user.arrivals(one, PATIENCE), asyncio.sleep(8))

    async with asyncio.TaskGroup() as group:
        for way in WAYS:
            group.create_task(post(way))
        try:
            yield asked
        finally:
            stop.set()


async def until_epoch(operators: Operators, epoch: int) -> None:
    """Both chains take this epoch by a final state."""
    async with AsyncExitStack() as stack, asyncio.timeout(90):
        views = await epoch_views(load_config(operators.nodes[1].config_path), stack)
        while any([(await view.active()).epoch != epoch for view in views.values()]):
            await asyncio.sleep(0.5)


async def test_devnet__member_replaced_and_key_rotated_under_load__everything_is_answered_once() -> None:
    async with open_world(DevnetOptions(prove_takeover=6.0)) as world:
        operators = Operators(world)
        try:
            async with load(world) as asked:
                told = await operators.reshare()
                assert "WARNING: members 4 leave" in told
                operators.lay_out_five()
                await operators.rotate()
                await operators.replace_four_by_five()
                home = operators.nodes[1].directory
                await run_propose(Console(file=io.StringIO()), home / "key-2.json", load_config(home / "node.toml"))
                await until_epoch(operators, 2)
            late = await world.user.ask(Question(world.user.model.heldout()[3].inputs, *WAYS[0]))
            for one in (*asked, late):
                await world.answered_once(one)
            report = await world.report(operators.nodes[5], late.request_id)
            assert report is not None
            assert report["attestation"]["epoch"] == 2
            shown = io.StringIO()
            await run_status(Console(file=shown, width=200), load_config(home / "node.toml"))
            assert shown.getvalue().count("signs") == 2
        finally:
            await operators.nodes[5].stop()
