"""A node that is a whole committee, in a process of its own that can be killed: a real Node, Pipeline and Journal; chains in a file.

What reached a chain is a line of `effects`, flushed before anybody hears of it, so it outlives the process as a chain does. `Fault` says where the
process kills itself (SIGKILL: no handler runs, nothing is flushed), or how large a file may grow.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from circuits.memory import InMemoryProver
from oracle.errors import Rejected
from oracle.inference import infer
from oracle.journal import Journal
from oracle.node import Node, Ports
from oracle.node.limits import HOUR, Limits, Patience, Retention
from oracle.node.metrics import Metrics
from oracle.node.pruning import prune
from oracle.pipeline import Event, Member, Millis, Takeover
from oracle.ports import Cursor, DeliveryState, GroupAttestation, ModelInfo, Receipt, Submission, ZkProof
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import Message
from oracle.protocol.types import CommitteeEpoch, Digest, Endpoint, ModelId
from tests.support.memory_chain import MemoryChain, MemoryReader, MemorySubmitter
from tests.support.samples import EVM, MODEL, SOLANA, evm_request, plain_message
from tests.support.schnorr import SchnorrKey, verify

KEY = SchnorrKey.seeded("lone node")
INFO = ModelInfo(MODEL, "sum", input_count=3, output_count=1, input_scale=13, output_scale=13, input_bound=1 << 40)
REQUEST, MESSAGE, REFUSED = evm_request(sequence=1), plain_message(sequence=2), plain_message(sequence=3, payload=b"no")
SECONDS = 120.0


@dataclass(frozen=True)
class Fault:
    """Kill at the `number`-th passing (from 1) of the point `where`."""

    where: str = ""
    number: int = 0
    file_size: int = 0
    """The most bytes that a file may have, until the node has failed to write."""
    filler: bool = False
    """Whether a file fills the disk, until then."""


class Killer:
    """Counts the passings of points."""

    def __init__(self, fault: Fault) -> None:
        self._fault, self._passed = fault, 0

    def at(self, where: str) -> None:
        if where == self._fault.where:
            self._passed += 1
            if self._passed == self._fault.number:
                os.kill(os.getpid(), signal.SIGKILL)


class KilledJournal(Journal):
    """Dies before, within or after a write."""

    def __init__(self, path: Path, killer: Killer) -> None:
        self._killer = killer
        super().__init__(path)

    def append(self, events: tuple[Event, ...], cursor: tuple[Endpoint, Cursor] | None = None) -> None:
        self._killer.at("before append")
        super().append(events, cursor)
        self._killer.at("after append")

    def _set_meta(self, name: str, value: str) -> None:
        super()._set_meta(name, value)
        # Events are written, and not committed yet.
        self._killer.at("within append")

    def save_proof(self, proof: bytes, seconds: float | None = None) -> bytes:
        self._killer.at("before proof kept")
        kept = super().save_proof(proof, seconds)
        self._killer.at("after proof kept")
        return kept

    def _relink(self, gone: dict[int, tuple[int, bytes | None]]) -> int:
        self._killer.at("within forget")
        return super()._relink(gone)


class FileChain(MemoryChain):
    """What is delivered is written to a file first."""

    def opened(self, path: Path) -> None:
        self.path = path
        for line in path.read_text().splitlines() if path.exists() else ():
            entry = json.loads(line)
            if entry["to"] == self.endpoint.chain.chain_type.name:
                origin = EVM if entry["from"] == EVM.chain.chain_type.name else SOLANA
                self.delivered[origin, entry["sequence"]] = Digest(bytes.fromhex(entry["digest"])), 0


class KilledSubmitter(MemorySubmitter):
    """Dies before a delivery, or when it is made and nobody here knows it yet."""

    def __init__(self, chain: FileChain, killer: Killer) -> None:
        super().__init__(chain)
        self._file, self._killer = chain, killer

    async def submit(self, submission: Submission) -> Receipt | None:
        self._killer.at("before delivery")
        message = submission.message
        if message.digest == REFUSED.digest:
            raise Rejected("The recipient refuses this message.")
        receipt = await super().submit(submission)
        if receipt is not None:
            entry = {
                "from": message.origin.chain.chain_type.name,
                "to": message.destination.chain.chain_type.name,
                "sequence": message.sequence,
                "digest": message.digest.hex(),
            }
            with self._file.path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self._killer.at("after delivery")
        return receipt

    async def state(self, message: Message) -> DeliveryState:
        self._killer.at("before look")
        return await super().state(message)


class KilledProver(InMemoryProver):
    """Dies before or after a proof."""

    killer: Killer

    async def prove(self, model_id: ModelId, inputs: tuple[int, ...]) -> ZkProof:
        self.killer.at("before proof")
        made = await super().prove(model_id, inputs)
        self.killer.at("after proof")
        return made


class OneKey:
    """A committee of one."""

    def __init__(self, killer: Killer) -> None:
        self._killer = killer
        self.authorise: Callable[[list[Digest]], None] = lambda digests: None

    async def sign(self, digests: object) -> GroupAttestation:
        batch = tuple(digests)  # type: ignore[call-overload]  # digests, as the port says
        self._killer.at("before signature")
        self.authorise(list(batch))
        signature = KEY.sign(batch_signing_hash(batch))
        self._killer.at("after signature")
        return GroupAttestation(CommitteeEpoch(1), signature, batch)

    def check(self, attestation: GroupAttestation) -> bool:
        return verify(KEY.public, batch_signing_hash(attestation.digests), attestation.signature)


class Alone:
    """No peers."""

    async def publish(self, topic: str, body: bytes, enough: int) -> tuple[int, ...]:
        return ()


def chains(directory: Path) -> tuple[FileChain, FileChain]:
    evm, solana = FileChain(EVM, KEY.public, peers={SOLANA}), FileChain(SOLANA, KEY.public, peers={EVM})
    for chain in (evm, solana):
        chain.opened(directory / "effects")
    evm.append(REQUEST, MESSAGE, REFUSED)
    for chain in (evm, solana):
        chain.finalise()
    return evm, solana


def built(directory: Path, journal: Journal, killer: Killer) -> tuple[Node, tuple[FileChain, FileChain]]:
    made = chains(directory)
    prover = KilledProver([INFO])
    prover.killer = killer
    committee = OneKey(killer)
    ports = Ports(
        readers=tuple((MemoryReader(chain), 0.01) for chain in made),
        submitters={chain.endpoint: KilledSubmitter(chain, killer) for chain in made},
        infer=partial(infer, prover),
        prover=prover,
        committee=committee,
        peers=Alone(),
    )
    limits = Limits(
        patience=Patience(refused_tries=2, refused_seconds=0.0, failed_tries=10_000, failed_seconds=HOUR),
        retention=Retention(finished_seconds=0.0),
    )
    member = Member(1, (1,), frozenset({EVM, SOLANA}), Takeover(prove=0, sign=0, submit=0))
    node = Node(member, journal, ports, Metrics(), limits=limits)
    committee.authorise = lambda digests: void(node.pipeline.authorise(digests, node.clock()))
    return node, made


def void(_: object) -> None:
    """For a call that matters for what it raises."""


def over(node: Node) -> bool:
    """Whether all that can be done was done: two works are over (and maybe forgotten), the third was given up."""
    return node.pipeline.work(REFUSED.digest) is not None and all(work.dead for work in node.pipeline.open_works())


def make_room(directory: Path) -> None:
    """The disk was full for a while, and what was to be written is not believed."""
    (directory / "was full").touch()
    (directory / "disk" / "filler").unlink(missing_ok=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def fill(directory: Path) -> None:
    """Leave no byte."""
    with (directory / "disk" / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(512)):
            pass


async def live(directory: Path, fault: Fault) -> None:
    killer = Killer(fault)
    node, made = built(directory, KilledJournal(directory / "disk" / "journal.sqlite", killer), killer)
    async with asyncio.timeout(SECONDS):
        running = asyncio.ensure_future(node.run())
        short = fault.file_size > 0 or fault.filler
        while short or not over(node):
            for chain in made:
                chain.append()
            if short and any("cannot be used" in one.last_error for one in node.readers.values()):
                make_room(directory)
                short = False
            if running.done():
                running.result()
            await asyncio.sleep(0.01)
        killer.at("before forget")
        await prune(node, Millis(node.clock() + 1000))
        killer.at("after forget")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def main(directory: Path, fault: Fault) -> None:
    """Live until all is done. What it says goes to a file of its own."""
    os.chdir(directory)
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.stdout.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    (directory / "disk").mkdir(exist_ok=True)
    if fault.filler:
        Journal(directory / "disk" / "journal.sqlite").close()
        fill(directory)
    if fault.file_size:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        # The log must not be what is full.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.file_size, resource.RLIM_INFINITY))
    asyncio.run(live(directory, fault))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Fault(filler=sys.argv[2] == "filler"))
