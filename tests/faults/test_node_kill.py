"""SIGKILL at every point between the journal and an effect: after a restart every effect is there, and there once.

One process is a whole node (tests/support/lone_node.py). It is killed at the n-th passing of a point, for every n until it ends by itself; each time
it is started again on what it left. A request (answered on two chains), a message and one that its recipient refuses go through it.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oracle.journal import Journal
from oracle.pipeline import Millis, Observed, Pipeline, Stage
from oracle.protocol.message import Outcome, result_messages
from oracle.protocol.types import Status
from tests.support.lone_node import MESSAGE, REFUSED, REQUEST, Fault, main

# A server that has everything loaded already forks each process.
CONTEXT = multiprocessing.get_context("forkserver")
SECONDS = 200.0
ROOT = Path(__file__).parents[2]
POINTS = {
    "before append": 6,
    "within append": 6,
    "after append": 6,
    "before proof": 1,
    "after proof": 1,
    "before proof kept": 1,
    "after proof kept": 1,
    "before signature": 1,
    "after signature": 1,
    "before delivery": 4,
    "after delivery": 3,
    "before look": 2,
    "before forget": 1,
    "within forget": 1,
    "after forget": 1,
}
"""Each with how often it is passed at least."""


def run(directory: Path, fault: Fault) -> int:
    """The exit code; minus the signal that ended it."""
    CONTEXT.set_forkserver_preload(["tests.support.lone_node"])
    process = CONTEXT.Process(target=main, args=(directory, fault))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        pytest.fail((directory / "log").read_text()[-3000:])
    assert process.exitcode is not None
    return process.exitcode


def check(directory: Path) -> None:
    """Every effect once, and the journal says the same."""
    effects = [json.loads(line)["digest"] for line in (directory / "effects").read_text().splitlines()]
    expected = [*result_messages(REQUEST, Outcome(Status.ANSWERED, (2,), 13)), MESSAGE]
    assert sorted(effects) == sorted(message.digest.hex() for message in expected)
    journal, pipeline = Journal(directory / "disk" / "journal.sqlite"), Pipeline()
    for event in journal.replay():
        pipeline.apply(event)
    journal.close()
    # The two that are over were forgotten in the end.
    assert {work.message: work.stage for work in pipeline.works()} == {REFUSED: Stage.DEAD}


@pytest.mark.parametrize("where", POINTS)
def test_node__killed_at_each_passing_of_a_point__every_effect_is_there_once(where: str, tmp_path: Path) -> None:
    number = 0
    while True:
        number += 1
        directory = tmp_path / str(number)
        directory.mkdir()
        ended = run(directory, Fault(where, number))
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, (directory / "log").read_text()[-3000:]
        assert run(directory, Fault()) == 0, (directory / "log").read_text()[-3000:]
        check(directory)
        shutil.rmtree(directory)
        if number > POINTS[where] + 6:
            return  # some points are passed more often on a slow machine
    check(directory)
    assert number > POINTS[where], "the point was passed less often than it should be"


def test_node__killed_again_and_again__every_effect_is_there_once(tmp_path: Path) -> None:
    for number in range(1, 40):
        ended = run(tmp_path, Fault("after append", 1 + number % 2))
        assert ended in (0, -signal.SIGKILL)
        if ended == 0:
            break
    else:
        assert run(tmp_path, Fault()) == 0
    check(tmp_path)


# ---- disks ----


def test_node__no_room_on_the_disk_for_a_while__loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    Journal(tmp_path / "disk" / "journal.sqlite").close()
    assert run(tmp_path, Fault(file_size=12 * 1024)) == 0, (tmp_path / "log").read_text()[-3000:]
    assert (tmp_path / "was full").exists(), "the test would show nothing otherwise"
    check(tmp_path)


def mounted(directory: Path, options: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the shell where `disk` is a small file system of its own, and its end."""
    mount = shutil.which("unshare")
    if mount is None or subprocess.run([mount, "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system lets nobody make a mount namespace")
    (directory / "disk").mkdir()
    script = f'mount -t tmpfs -o {options} none "$1/disk" || exit 99; {program}'
    command = [mount, "-rm", "sh", "-c", script, "sh", str(directory), sys.executable]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SECONDS)
    if done.returncode == 99:
        pytest.skip(f"this system lets nobody mount: {done.stderr}")
    return done


def test_node__tmpfs_without_a_free_byte_for_a_while__loses_nothing(tmp_path: Path) -> None:
    program = '"$2" -m tests.support.lone_node "$1" filler && cp "$1"/disk/* "$1"'
    done = mounted(tmp_path, "size=8m", program)
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()[-3000:]
    assert (tmp_path / "was full").exists()
    (tmp_path / "journal.sqlite").rename(tmp_path / "disk" / "journal.sqlite")
    check(tmp_path)


def test_journal__read_only_file_system__is_refused_with_a_sentence_and_left_as_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.append((Observed(MESSAGE, Millis(1)),))
    journal.close()
    attempt = "from oracle.journal import Journal; from pathlib import Path; import sys; Journal(Path(sys.argv[1]))"
    program = f"""cp "$1"/journal.sqlite "$1"/disk && mount -o remount,ro "$1/disk" && cd "{ROOT}" &&
        "$2" -c '{attempt}' "$1/disk/journal.sqlite"; ended=$?; cp "$1"/disk/* "$1"; exit $ended"""
    done = mounted(tmp_path, "size=1m", program)
    assert done.returncode == 1
    assert "JournalError" in done.stderr
    assert "Check the disk and its permissions" in done.stderr
    assert list(Journal(tmp_path / "journal.sqlite").replay()) == [Observed(MESSAGE, Millis(1))]
