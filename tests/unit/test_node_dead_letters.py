"""`sibyl dead-letter` on a running node and on a stopped one, and who may use the road into it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oracle.app import control
from oracle.app.cli import app
from oracle.app.control import SOCKET, call, control_road
from oracle.app.dead_letter_commands import _do_on_journal
from oracle.errors import ConfigError, JournalError, NotAuthorised
from oracle.journal import Journal
from oracle.node import Node
from oracle.pipeline import Attested, DeadLettered, Event, Millis, Observed, Pipeline, Stage
from oracle.ports import GroupAttestation
from oracle.protocol.message import Message
from oracle.protocol.types import CommitteeEpoch
from tests.support.network import Network
from tests.support.samples import plain_message

MESSAGES = tuple(plain_message(sequence=number) for number in range(1, 4))
HEX = ["0x" + message.digest.hex() for message in MESSAGES]
REASON = "The recipient [bold]refused[/] it."


def dead(message: Message) -> tuple[Event, ...]:
    digest = message.digest
    signed = GroupAttestation(CommitteeEpoch(1), b"\2" * 65, (digest,))
    return (
        Observed(message, Millis(1)),
        Attested(digest, signed, Millis(2)),
        DeadLettered(digest, digest, 1, REASON, Millis(3)),
    )


def write_journal(path: Path) -> None:
    journal = Journal(path)
    for message in MESSAGES:
        journal.append(dead(message))
    journal.close()


def replayed(path: Path) -> Pipeline:
    journal, pipeline = Journal(path), Pipeline()
    for event in journal.replay():
        pipeline.apply(event)
    journal.close()
    return pipeline


def stage(pipeline: Pipeline, message: Message) -> Stage:
    work = pipeline.work(message.digest)
    assert work is not None
    return work.stage


# ---- a node that does not run ----


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    write_journal(tmp_path / "journal.sqlite")
    return tmp_path / "journal.sqlite"


def test_dead_letters__stopped_node__are_listed_with_their_reasons(stopped: Path) -> None:
    letters = _do_on_journal(stopped, "list", ())
    assert [letter["digest"] for letter in letters] == HEX
    assert {letter["reason"] for letter in letters} == {REASON}


def test_dead_letters__judged_on_a_stopped_node__is_journalled(stopped: Path) -> None:
    assert len(_do_on_journal(stopped, "drop", (HEX[0],))) == 2
    assert len(_do_on_journal(stopped, "retry", (HEX[1], HEX[1]))) == 1
    pipeline = replayed(stopped)
    assert [stage(pipeline, message) for message in MESSAGES] == [Stage.DROPPED, Stage.ATTESTED, Stage.DEAD]
    with pytest.raises(NotAuthorised, match="dropped"):
        pipeline.authorise([MESSAGES[0].digest], Millis(9))


def test_dead_letters__one_of_several_is_none__nothing_is_changed(stopped: Path) -> None:
    with pytest.raises(ConfigError, match="no dead letter"):
        _do_on_journal(stopped, "drop", (HEX[0], "0x" + "00" * 32))
    with pytest.raises(ConfigError, match="is no digest"):
        _do_on_journal(stopped, "drop", (HEX[0], "0xfoo"))
    assert [stage(replayed(stopped), message) for message in MESSAGES] == [Stage.DEAD] * 3


def test_dead_letters__dropped_twice__says_that_there_is_none(stopped: Path) -> None:
    _do_on_journal(stopped, "drop", (HEX[0],))
    for verdict in ("drop", "retry"):
        with pytest.raises(ConfigError, match="no dead letter"):
            _do_on_journal(stopped, verdict, (HEX[0],))


def test_dead_letters__journal_held_by_a_process_without_a_road__says_so(stopped: Path) -> None:
    held = Journal(stopped)
    with pytest.raises(JournalError, match="in use by another process"):
        _do_on_journal(stopped, "list", ())
    held.close()


def test_dead_letters__node_that_never_ran__no_journal_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="never run"):
        _do_on_journal(tmp_path / "journal.sqlite", "list", ())
    assert not list(tmp_path.iterdir())


# ---- a node that runs ----


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short one, as an operator has."""
    made = Path(tempfile.mkdtemp(prefix="sibyl-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    network = Network(tmp_path)
    async with network:
        network.start(1)
        made = network.members[1].running
        for message in MESSAGES:
            network.evm.append(message)
            for event in dead(message):
                await made.record(event)
        yield made


async def test_control__running_node__lists_retries_and_drops(node: Node, directory: Path) -> None:
    async with control_road(node, directory):
        listed = await call(directory, "list")
        assert listed is not None
        assert [letter["digest"] for letter in listed] == HEX
        assert await call(directory, "drop", (HEX[0],)) == listed[1:]
        assert await call(directory, "retry", (HEX[1],)) == listed[2:]
        assert stage(node.pipeline, MESSAGES[0]) is Stage.DROPPED
        assert stage(node.pipeline, MESSAGES[2]) is Stage.DEAD
        with pytest.raises(NotAuthorised, match="dropped"):
            node.pipeline.authorise([MESSAGES[0].digest], Millis(9))
        with pytest.raises(ConfigError, match="no dead letter"):
            await call(directory, "drop", (HEX[2], HEX[0]))
        assert stage(node.pipeline, MESSAGES[2]) is Stage.DEAD
    assert await call(directory, "list") is None, "the road ends with the node"


async def test_control__retried__is_delivered(node: Node, directory: Path) -> None:
    attested = node.pipeline.work(MESSAGES[0].digest)
    assert attested is not None
    tried = asyncio.Event()
    (submitter,) = (one for one in node.ports.submitters.values() if one.destination == MESSAGES[0].destination)

    async def submit(submission: object) -> None:
        tried.set()

    submitter.submit = submit  # type: ignore[method-assign]  # the signature of these letters is none that a chain takes
    async with control_road(node, directory):
        await call(directory, "retry", (HEX[0],))
        async with asyncio.timeout(60):
            await tried.wait()


async def test_control__socket__is_for_its_owner_alone(
    node: Node, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with control_road(node, directory):
        assert (directory / SOCKET).stat().st_mode & 0o777 == 0o600
        monkeypatch.setattr(control, "peer_uid", lambda _: os.geteuid() + 1)
        reader, writer = await asyncio.open_unix_connection(directory / SOCKET)
        writer.write(json.dumps({"command": "drop", "digests": HEX}).encode() + b"\n")
        with suppress(ConnectionResetError):
            assert await reader.read() == b"", "another user gets no answer"
        writer.close()
    assert [stage(node.pipeline, message) for message in MESSAGES] == [Stage.DEAD] * 3


async def test_control__served_by_another_user__is_not_asked(
    node: Node, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with control_road(node, directory):
        monkeypatch.setattr(control, "_may", lambda _: True)
        monkeypatch.setattr(control, "peer_uid", lambda _: os.geteuid() + 1)
        with pytest.raises(ConfigError, match="another user"):
            await call(directory, "drop", (HEX[0],))


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"7\n",
        b'{"command": "sign", "digests": []}\n',
        b'{"command": 7}\n',
        b'{"command": "drop", "digests": [7]}\n',
        b'{"command": "drop", "digests": 7}\n',
        b"\xff\xfe\n",
    ],
)
async def test_control__nonsense__is_answered_and_the_road_stays_open(node: Node, directory: Path, line: bytes) -> None:
    async with control_road(node, directory):
        reader, writer = await asyncio.open_unix_connection(directory / SOCKET)
        writer.write(line)
        assert "not understood" in json.loads(await reader.read())["error"]
        writer.close()
        assert await call(directory, "list") is not None


async def test_control__callers_that_say_nothing__are_few_and_end(
    node: Node, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SECONDS", 0.2)
    async with control_road(node, directory):
        silent = [await asyncio.open_unix_connection(directory / SOCKET) for _ in range(control.MAX_CALLERS + 4)]
        for reader, writer in silent:
            async with asyncio.timeout(60):
                assert await reader.read() == b""
            writer.close()
        monkeypatch.setattr(control, "SECONDS", 10.0)
        assert await call(directory, "list") is not None


async def test_control__socket_of_a_killed_node__is_replaced(node: Node, directory: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(directory / SOCKET))
    left.close()
    assert await call(directory, "list") is None, "nobody serves it: the journal is asked"
    async with control_road(node, directory):
        assert await call(directory, "list") is not None


async def test_control__file_in_the_sockets_place__is_not_removed(node: Node, directory: Path) -> None:
    (directory / SOCKET).write_text("mine")
    with pytest.raises(ConfigError, match="cannot be made"):
        async with control_road(node, directory):
            pass
    assert (directory / SOCKET).read_text() == "mine"
    with pytest.raises(ConfigError, match="is no socket"):
        await call(directory, "list")


async def test_control__directory_with_a_long_name__works_all_the_same(node: Node, directory: Path) -> None:
    deep = directory / ("d" * 120)
    deep.mkdir()
    async with control_road(node, deep):
        assert await call(deep, "list") is not None


def test_cli__dead_letters__of_a_stopped_node(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oracle.app.dead_letter_commands._directory", lambda _: stopped.parent)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["dead-letter", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    shown = run("list")
    assert "[bold]refused[/]" in shown, "a chain's own text is never markup"
    assert "1 are dropped; 2 left." in run("drop", HEX[0])
    assert "2 are tried again; 0 left." in run("retry", "--all")
    assert "No dead letters." in run("list")
    for wrong in ([], ["--all", HEX[0]]):
        assert isinstance(CliRunner().invoke(app, ["dead-letter", "drop", *wrong]).exception, ConfigError)
