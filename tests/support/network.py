"""A committee in one process: real pipelines, journals and FROST signatures; chains, models and the wires between members in memory.

The wires can be cut (`down`), so that members fall silent; a member can be crashed and started again on its journal.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bridges.frost.errors import PeerRefused, PeerTimeout, PeerUnreachable
from bridges.frost.keygen import KeyShare
from bridges.frost.session import Authorise, CoordinatorLimits
from circuits.memory import Function, InMemoryProver, sum_of_inputs
from oracle.app.committee import FrostCommittee
from oracle.errors import NotAuthorised
from oracle.inference import infer
from oracle.journal import Journal
from oracle.node import Node, Ports
from oracle.node.gossip import TOPIC_ATTESTATION, TOPIC_PROOF
from oracle.node.metrics import Metrics
from oracle.pipeline import Member, Takeover
from oracle.ports import ModelInfo, PeerHandler
from oracle.protocol.errors import ProtocolError
from oracle.protocol.message import Message
from oracle.protocol.types import CommitteeEpoch, Endpoint
from tests.support.dealer import deal
from tests.support.memory_chain import MemoryChain, MemoryReader, MemorySubmitter
from tests.support.samples import EVM, MODEL, SOLANA

MODEL_INFO = ModelInfo(
    MODEL, "sum", input_count=3, output_count=1, input_scale=13, output_scale=13, input_bound=1 << 40
)
TAKEOVER = Takeover(prove=1500, sign=700, submit=700)
BLOCK_SECONDS = 0.02


class Crash(BaseException):
    """kill -9, as far as a process can do it to itself: no handler of the product catches it."""


@dataclass
class MemberProcess:
    """One member as if it were a process: what survives a crash is its journal, its share and its directory."""

    share: KeyShare
    directory: Path
    function: Function = sum_of_inputs
    node: Node | None = None
    committee: FrostCommittee | None = None
    task: asyncio.Task[None] | None = None

    @property
    def identifier(self) -> int:
        return int(self.share.identifier)

    @property
    def running(self) -> Node:
        assert self.node is not None
        return self.node


@dataclass
class Wire:
    """One member's connection to another."""

    network: "Network"
    source: int
    target: int

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        try:
            async with asyncio.timeout(timeout):
                return await self.network.carry(self.source, self.target, path, body)
        except TimeoutError:
            raise PeerTimeout(f"Peer {self.target} did not answer within {timeout:g} s.") from None


@dataclass
class WiredPeers:
    """The Peers port over the wires."""

    wires: dict[int, Wire]

    async def publish(self, topic: str, body: bytes, enough: int) -> tuple[int, ...]:
        took = await asyncio.gather(*(self._took(peer, topic, body) for peer in self.wires))
        return tuple(peer for peer, ok in zip(self.wires, took, strict=True) if ok)

    async def _took(self, peer: int, topic: str, body: bytes) -> bool:
        with suppress(PeerRefused, PeerUnreachable, PeerTimeout):
            await self.wires[peer].call(topic, body, 5.0)
            return True
        return False


@dataclass
class Network:
    """n members and two chains. Use as `async with`."""

    directory: Path
    size: int = 4
    threshold: int = 3
    members: dict[int, MemberProcess] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    destinations: frozenset[Endpoint] = frozenset({EVM, SOLANA})
    """Where the members deliver; what they sign for elsewhere waits for a relayer."""
    evm: MemoryChain = field(init=False)
    solana: MemoryChain = field(init=False)
    _miner: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        shares = deal(self.size, self.threshold, os.urandom)
        group_key = shares[0].public.group_public_key.to_bytes()
        self.evm = MemoryChain(EVM, group_key, peers={SOLANA})
        self.solana = MemoryChain(SOLANA, group_key, peers={EVM})
        for share in shares:
            directory = self.directory / f"node-{share.identifier}"
            self.members[int(share.identifier)] = MemberProcess(share, directory)

    @property
    def chains(self) -> tuple[MemoryChain, MemoryChain]:
        return self.evm, self.solana

    async def carry(self, source: int, target: int, path: str, body: bytes) -> bytes:
        gone = PeerUnreachable(f"Peer {target} cannot be reached.")
        if {source, target} & self.down or self.crashed(target) or self.members[target].node is None:
            raise gone
        handler = self._routes(target).get(path)
        if handler is None:
            raise PeerRefused(target, "not_found", "Nothing is served at this path.")
        try:
            return await handler(source, body)
        except Crash:
            task = self.members[target].task
            assert task is not None
            task.cancel()
            raise gone from None
        except RuntimeError as error:
            # Its threads are gone because it crashed or was stopped while it served this request.
            if not self.crashed(target) and "after shutdown" not in str(error):
                raise
            raise gone from None
        except (ProtocolError, NotAuthorised) as error:
            raise PeerRefused(target, "refused", str(error)) from error

    def crashed(self, identifier: int) -> bool:
        """Whether the member's task has ended by itself."""
        task = self.members[identifier].task
        return task is not None and task.done()

    def _routes(self, target: int) -> dict[str, PeerHandler]:
        member = self.members[target]
        assert member.committee is not None
        return {
            **member.committee.routes(),
            TOPIC_PROOF: member.running.duties.take_proof,
            TOPIC_ATTESTATION: member.running.duties.take_attestation,
        }

    def start(self, identifier: int, *, open_journal: Callable[[Path], Journal] = Journal) -> MemberProcess:
        """Start a member on its journal."""
        member = self.members[identifier]
        wires = {other: Wire(self, identifier, other) for other in self.members if other != identifier}

        async def authorise(context: bytes) -> bytes:
            return await member.running.duties.authorise(context)

        limits = CoordinatorLimits(attempts=4, round_seconds=1.0, total_seconds=5.0)
        member.committee = self.committee_of(member, wires, authorise, limits)
        prover = InMemoryProver([MODEL_INFO], member.function)
        ports = Ports(
            readers=tuple((MemoryReader(chain), 0.01) for chain in self.chains),
            submitters={chain.endpoint: MemorySubmitter(chain) for chain in self.chains},
            infer=partial(infer, prover),
            prover=prover,
            committee=member.committee,
            peers=WiredPeers(wires),
            **self.further_ports(member),
        )
        identity = Member(identifier, tuple(self.members), self.destinations, TAKEOVER)
        member.node = Node(identity, open_journal(member.directory / "journal.sqlite"), ports, Metrics())
        member.task = asyncio.create_task(member.node.run(), name=f"node {identifier}")
        return member

    def committee_of(
        self, member: MemberProcess, wires: Mapping[int, Wire], authorise: Authorise, limits: CoordinatorLimits
    ) -> FrostCommittee:
        """The member's committee: one key, whose epoch is 1."""
        return FrostCommittee(member.share, CommitteeEpoch(1), wires, authorise, limits)

    def further_ports(self, member: MemberProcess) -> dict[str, Any]:
        """Ports that a kind of network adds."""
        return {}

    async def stop(self, identifier: int) -> None:
        """End a member; its journal stays."""
        member = self.members[identifier]
        if member.task is not None:
            member.task.cancel()
            with suppress(asyncio.CancelledError, BaseExceptionGroup):
                await member.task
        if member.committee is not None:
            member.committee.close()
        member.node = member.task = member.committee = None

    async def _mine(self) -> None:
        while True:
            await asyncio.sleep(BLOCK_SECONDS)
            for chain in self.chains:
                chain.append()

    async def __aenter__(self) -> "Network":
        self._miner = asyncio.create_task(self._mine())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._miner is not None
        self._miner.cancel()
        for identifier in self.members:
            await self.stop(identifier)

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait for `condition`; fails loudly when a member died meanwhile."""
        async with asyncio.timeout(seconds):
            while not condition():
                for member in self.members.values():
                    if member.task is not None and member.task.done():
                        member.task.result()
                await asyncio.sleep(0.01)

    async def until_async(self, step: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Repeat `step` until it says that all is done. Does not look after the members; the step does."""
        async with asyncio.timeout(seconds):
            while not await step():
                await asyncio.sleep(0.01)

    def delivered(self, chain: MemoryChain, request: Message) -> bool:
        """Whether `chain` has what answers `request`."""
        return (request.origin, request.sequence) in chain.delivered

    def everyone_finished(self, nodes: Sequence[int]) -> bool:
        """Whether these members owe nothing any more."""
        return all(not list(self.members[i].running.pipeline.open_works()) for i in nodes)
