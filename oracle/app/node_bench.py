"""Figures of a node by itself: how long after a restart it serves, and what a look at its open messages costs. No chain and no peer is involved.

A restart is measured from outside: a fresh process imports all that a node imports, reads a journal of 100,000 events (three messages to each
request), checks it, and knows what it owes; what comes after that are the doors, which open in milliseconds. Run as a module with a journal's
path it is that process.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oracle.app.figures import Figure, figure
from oracle.errors import SibylError
from oracle.journal import Journal
from oracle.pipeline import (
    Agenda,
    Attested,
    Confirmed,
    Delivered,
    Event,
    Inferred,
    Member,
    Millis,
    Observed,
    Pipeline,
    Proved,
)
from oracle.ports import GroupAttestation
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import InferenceRequest, Message, Outcome, Remote, result_messages
from oracle.protocol.types import (
    Account,
    Chain,
    CommitteeEpoch,
    Digest,
    Endpoint,
    Kind,
    ModelId,
    Policy,
    Sequence,
    Status,
    UnixSeconds,
    evm_account,
)

BATCH = 50
"""Works that share a signature."""
MESSAGES, REQUESTS = 15_000, 5_000
"""Four events of each message and eight of each request: 100,000."""
OPEN = 10_000
LOOKS = 200
SECONDS = 300.0

_EVM = Endpoint(Chain.evm(1), evm_account(bytes(range(20))))
_SOLANA = Endpoint(Chain.solana(keccak256(b"genesis")), Account(keccak256(b"program")))
_USER, _THERE = evm_account(bytes(range(1, 21))), Account(keccak256(b"recipient"))
_ANSWER = Outcome(Status.ANSWERED, (4_096,), 13)
_NEVER = UnixSeconds(0)


async def node_figures(command: str) -> list[Figure]:
    """All of them. Raises SibylError when the process that is measured fails."""
    with tempfile.TemporaryDirectory(prefix="sibyl-bench-") as directory:
        journal = Path(directory) / "journal.sqlite"
        await asyncio.to_thread(write_journal, journal)
        restart = await _restart(journal)
    look = await asyncio.to_thread(seconds_of_a_look, OPEN)
    return [
        figure("Restart to serving, 100,000 journalled events", restart, command),
        figure("A look at what is due, 10,000 open messages, one changed", look * 1000, command),
    ]


async def _restart(journal: Path) -> float:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(journal), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(SECONDS):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise SibylError(f"The node of the benchmark did not start: {told.decode(errors='replace')[-2000:]}")
    return time.monotonic() - began


@dataclass(frozen=True, slots=True)
class _Batch:
    """Works that are signed together, and what becomes of them."""

    posts: tuple[Message, ...]
    results: dict[Digest, tuple[Message, ...]]

    def writes(self) -> Iterator[tuple[Event, ...]]:
        """As a node writes them: one transaction each."""
        at = Millis(1_700_000_000_000)
        requests = [post for post in self.posts if post.kind is Kind.INFERENCE_REQUEST]
        yield tuple(Observed(post, at) for post in self.posts)
        for request in requests:
            yield (Inferred(request.digest, _ANSWER, at),)
            yield (Proved(request.digest, keccak256(request.digest), 1, at),)
        digests = tuple(result.digest for results in self.results.values() for result in results)
        signed = GroupAttestation(CommitteeEpoch(1), b"\2" * 65, digests)
        yield tuple(Attested(work, signed, at) for work in self.results)
        for kind in (Delivered, Confirmed):
            for work, results in self.results.items():
                yield tuple(kind(work, result.digest, at) for result in results)


def _batch(first: int) -> _Batch:
    """Three messages to each request."""
    posts = tuple(_request(first + n) if n % 4 == 0 else _message(first + n) for n in range(BATCH))
    results = {
        post.digest: result_messages(post, _ANSWER) if post.kind is Kind.INFERENCE_REQUEST else (post,)
        for post in posts
    }
    return _Batch(posts, {work: tuple(several) for work, several in results.items()})


def _message(sequence: int) -> Message:
    return Message(Kind.MESSAGE, _EVM, _SOLANA, Sequence(sequence), _USER, _THERE, _NEVER, keccak256(b"payload") * 8)


def _request(sequence: int) -> Message:
    remote = Remote(Policy.ATTESTED, _SOLANA, _SOLANA.gateway, _THERE)
    inputs = tuple(range(16))
    asked = InferenceRequest(ModelId(keccak256(b"model")), 1000, 100_000, Policy.BOTH, (remote,), inputs)
    expiry = UnixSeconds(4_000_000_000)
    return Message(Kind.INFERENCE_REQUEST, _EVM, _EVM, Sequence(sequence), _USER, _USER, expiry, asked.to_bytes())


def write_journal(path: Path, works: int = MESSAGES + REQUESTS) -> int:
    """A journal of so many finished works; how many events it has."""
    journal, count = Journal(path), 0
    try:
        for first in range(1, works + 1, BATCH):
            writes = list(_batch(first).writes())
            # A second of a busy node's writes in one go: this is not what is measured.
            events = tuple(event for write in writes for event in write)
            journal.append(events)
            count += len(events)
    finally:
        journal.close()
    return count


def seconds_of_a_look(works: int, looks: int = LOOKS) -> float:
    """Processor time of one look at what is due, while so many messages are open and one of them changes before each look."""
    pipeline, member = Pipeline(), Member(1, (1, 2, 3, 4), frozenset({_EVM, _SOLANA}))
    posts = [_message(sequence) for sequence in range(1, works + 1)]
    for post in posts:
        pipeline.apply(Observed(post, Millis(0)))
    agenda = Agenda(pipeline, member)
    agenda.update(Millis(100_000))
    began = time.process_time()
    for number in range(looks):
        post = posts[number]
        pipeline.apply(
            Attested(post.digest, GroupAttestation(CommitteeEpoch(1), b"\2" * 65, (post.digest,)), Millis(0))
        )
        agenda.touch([post.digest])
        agenda.update(Millis(100_001 + number))
    return (time.process_time() - began) / looks


def restart(path: Path) -> int:
    """What a node does with its journal before it serves; how many events there were."""
    import oracle.app.daemon  # noqa: F401 - a node's imports are part of its start

    journal, pipeline, count = Journal(path), Pipeline(), 0
    try:
        for event in journal.replay():
            pipeline.apply(event)
            count += 1
    finally:
        journal.close()
    member = Member(1, (1, 2, 3, 4), frozenset({_EVM, _SOLANA}))
    Agenda(pipeline, member).update(Millis(time.time_ns() // 1_000_000))
    return count


if __name__ == "__main__":
    print(restart(Path(sys.argv[1])))
