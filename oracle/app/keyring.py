"""The keys of a node while its committee changes: which it signs with, which it checks by, and what its chains take.

Guarantees: a key's signer and peers are those of its own membership; a share is used only if it fits the committee it is configured for.
`EpochWatch` reads, by final states, which epochs each chain takes; as long as it knows nothing of a chain, it says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Protocol, Self

import structlog

from bridges.frost.signer_port import SignerPort
from bridges.frost.transport import PeerCaller
from oracle.app.committee import CommitteeKey, Taken
from oracle.config import CommitteeConfig, NextCommitteeConfig, NodeConfig
from oracle.errors import ConfigError, SibylError
from oracle.pipeline import Pipeline
from oracle.protocol.errors import ProtocolError
from oracle.protocol.types import Account, CommitteeEpoch, Digest, Endpoint

log = structlog.get_logger("sibyl.keys")

WATCH_SECONDS = 2.0
READ_SECONDS = 30.0
STOP_SECONDS = 3.0
LOOK_BACK = 4
"""Epochs before the newest one that are looked at."""


class EpochState(Protocol):
    """One epoch as a chain keeps it; times in Unix seconds, `valid_until` 0 for no end."""

    @property
    def epoch(self) -> CommitteeEpoch:
        """Its number."""

    @property
    def px(self) -> bytes:
        """x of the group key, 32 bytes."""

    @property
    def parity(self) -> int:
        """Of its y."""

    @property
    def valid_from(self) -> int:
        """When it begins."""

    @property
    def valid_until(self) -> int:
        """When it ends."""


class EpochView(Protocol):
    """One chain's epochs, by a final state of it."""

    async def keeper(self) -> Account:
        """The account that keeps the group keys there: the recipient of rotations. Raises Transient."""

    async def active(self) -> EpochState:
        """The newest that has begun. Raises Transient."""

    async def newest(self) -> EpochState:
        """The newest. Raises Transient."""

    async def epoch(self, epoch: CommitteeEpoch) -> EpochState | None:
        """One of them, if it exists. Raises Transient."""


class EpochWatch:
    """What each chain takes, as far as it was read."""

    def __init__(
        self, views: Mapping[Endpoint, EpochView], clock: Callable[[], float] = time.time, rest: float = WATCH_SECONDS
    ) -> None:
        """`rest`: seconds between two looks."""
        self._views, self._clock, self._rest = dict(views), clock, rest
        self._task: asyncio.Future[None] | None = None
        self._stop = asyncio.Event()
        self._taken: dict[Endpoint, frozenset[CommitteeEpoch]] = {}
        self._newest: dict[Endpoint, CommitteeEpoch] = {}
        self._keepers: dict[Endpoint, Account] = {}

    @property
    def destinations(self) -> frozenset[Endpoint]:
        """The chains that are watched."""
        return frozenset(self._views)

    def accepted(self, destination: Endpoint) -> frozenset[CommitteeEpoch] | None:
        """The epochs whose signatures a chain takes; None when that is not known."""
        return self._taken.get(destination)

    def newest(self, destination: Endpoint) -> CommitteeEpoch | None:
        """The newest epoch there, begun or not; None when that is not known."""
        return self._newest.get(destination)

    def keeper(self, destination: Endpoint) -> Account | None:
        """Who keeps the group keys there; None when that is not known."""
        return self._keepers.get(destination)

    async def refresh(self) -> None:
        """Look at every chain once. A chain that cannot be read keeps what was known of it."""
        await asyncio.gather(*(self._refresh(where, view) for where, view in self._views.items()))

    async def _refresh(self, where: Endpoint, view: EpochView) -> None:
        try:
            async with asyncio.timeout(READ_SECONDS):
                keeper, newest, active = await view.keeper(), await view.newest(), await view.active()
                taken = {active.epoch}
                for number in range(active.epoch - 1, max(0, active.epoch - 1 - LOOK_BACK), -1):
                    before = await view.epoch(CommitteeEpoch(number))
                    if before is None or (before.valid_until and before.valid_until <= self._clock()):
                        break
                    taken.add(before.epoch)
        except (SibylError, ProtocolError, TimeoutError) as error:
            log.warning("epochs not read", chain=str(where.chain), error=str(error) or type(error).__name__)
            return
        if self._taken.get(where) != frozenset(taken):
            log.info("epochs", chain=str(where.chain), taken=sorted(taken), newest=newest.epoch)
        self._keepers[where] = keeper
        self._newest[where], self._taken[where] = newest.epoch, frozenset(taken)

    async def __aenter__(self) -> Self:
        """Look now, and again and again while the block lasts."""
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        if self._task is not None:
            # What is under way may end by itself, so that no connection is cut in the middle of an answer.
            with suppress(TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._task

    async def _run(self) -> None:
        while not self._stop.is_set():
            await self.refresh()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest):
                    await self._stop.wait()


def taken_by(pipeline: Callable[[], Pipeline], watch: EpochWatch) -> Taken:
    """Which epochs the destinations of a batch take that still lack a message of it."""

    def taken(batch: tuple[Digest, ...]) -> frozenset[CommitteeEpoch] | None:
        sets = []
        for digest in batch:
            work = pipeline().owner(digest)
            if work is not None and digest not in work.delivered:
                epochs = watch.accepted(work.deliverables[digest].destination)
                if epochs is None:
                    return None
                sets.append(epochs)
        if not sets:
            return None
        # Where two chains have no epoch in common, the first is served first; the other's message is signed again after it.
        return frozenset.intersection(*sets) or sets[0]

    return taken


def group_keys(config: NodeConfig) -> dict[CommitteeEpoch, bytes]:
    """33 bytes of each epoch that the configuration names."""
    return {CommitteeEpoch(one.epoch): bytes.fromhex(one.group_key.removeprefix("0x")) for one in config.committees}


def narrowed(config: NodeConfig, one: CommitteeConfig) -> NodeConfig | None:
    """The configuration as if `one` were the only committee; None where this node is no member."""
    if config.identifier not in {member.identifier for member in one.members}:
        return None
    if not isinstance(one, NextCommitteeConfig):
        return config.model_copy(update={"next_committee": ()})
    if one.key_share is None and one.signer == "in-process":
        raise ConfigError(f"This node is a member of the next committee (epoch {one.epoch}): name its key_share there.")
    changes = {
        "committee": one,
        "next_committee": (),
        "key_share": one.key_share or config.key_share,
        "passphrase_file": one.passphrase_file,
        "passphrase_env": one.passphrase_env,
        "signer": one.signer,
        "signer_config": one.signer_config,
    }
    return config.model_copy(update=changes)


@asynccontextmanager
async def opened_keys(
    config: NodeConfig,
    clients: Mapping[int, PeerCaller],
    open_signer: Callable[[NodeConfig], AbstractAsyncContextManager[SignerPort]],
) -> AsyncIterator[tuple[CommitteeKey, ...]]:
    """The keys that this node has a share of. `open_signer` opens one committee's signer. Raises ConfigError, KeystoreError."""
    async with AsyncExitStack() as stack:
        keys = []
        for one in config.committees:
            own = narrowed(config, one)
            if own is None:
                continue
            signer = await stack.enter_async_context(open_signer(own))
            others = {member.identifier for member in one.members} - {config.identifier}
            revision = one.revision if isinstance(one, NextCommitteeConfig) else 0
            peers = {who: clients[who] for who in sorted(others)}
            keys.append(CommitteeKey(CommitteeEpoch(one.epoch), signer, peers, revision))
        yield tuple(keys)
