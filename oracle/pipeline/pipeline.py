"""All works of a node, and what they allow it to sign."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from oracle.errors import NotAuthorised
from oracle.pipeline.events import Event, Millis
from oracle.pipeline.owed import Effect, Member, due
from oracle.pipeline.work import IllegalTransition, LetterState, Stage, Work, advance
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.types import Digest, Endpoint, Kind


class Pipeline:
    """The works of a node, and which of them a digest belongs to. Holds no resource and does no I/O; replaying events rebuilds it."""

    def __init__(self) -> None:
        self._works: dict[Digest, Work] = {}
        self._open: dict[Digest, Stage] = {}
        self._owner: dict[Digest, Digest] = {}
        self._dead: dict[Digest, None] = {}
        self._stages: Counter[Stage] = Counter()
        self._waiting: Counter[Endpoint] = Counter()

    def preview(self, event: Event) -> Work:
        """The work after `event`, without recording it. Raises as `advance` does."""
        return advance(self._works.get(event.work_id), event)

    def apply(self, event: Event) -> Work:
        """Record `event`. Raises as `advance` does, and then nothing has changed."""
        work_id = event.work_id
        before = self._works.get(work_id)
        work = advance(before, event)
        if work is before:
            return work
        self._works[work_id] = work
        if before is None or before.deliverables is not work.deliverables:
            for digest in work.deliverables:
                self._owner[digest] = work_id
        was = None if before is None else self._open.get(work_id, before.stage)
        stage = work.stage
        counted = self._is_waiting(work_id)
        if work.finished_at(stage):
            self._open.pop(work_id, None)
        else:
            self._open[work_id] = stage
        if stage is not was:
            self._move(work_id, was, stage)
        if counted is not (now_counted := self._is_waiting(work_id)):
            self._waiting[work.message.origin] += 1 if now_counted else -1
        return work

    def _is_waiting(self, work_id: Digest) -> bool:
        stage = self._open.get(work_id)
        return stage is not None and stage is not Stage.DEAD

    def _move(self, work_id: Digest, was: Stage | None, now: Stage | None) -> None:
        """Keep the counts of the stages."""
        if was is not None:
            self._stages[was] -= 1
        if now is not None:
            self._stages[now] += 1
        if was is Stage.DEAD:
            self._dead.pop(work_id, None)
        if now is Stage.DEAD:
            self._dead[work_id] = None

    def stages(self) -> dict[Stage, int]:
        """How many works there are of each stage."""
        return {stage: count for stage, count in self._stages.items() if count}

    def waiting(self, origin: Endpoint) -> int:
        """Works from `origin` for which something is still owed, but for what was given up."""
        return self._waiting[origin]

    def dead(self) -> Iterator[Work]:
        """Works of which a message was given up, the one given up longest ago first."""
        for work_id in self._dead:
            yield self._works[work_id]

    def finished_before(self, moment: Millis, limit: int | None = None) -> tuple[Digest, ...]:
        """Works that are finished and were observed before `moment`, oldest first; at most `limit` of them."""
        old = (
            work_id for work_id, work in self._works.items() if work_id not in self._open and work.observed_at < moment
        )
        return tuple(islice(old, limit))

    def finished_beyond(self, most: int, limit: int) -> tuple[Digest, ...]:
        """The oldest finished works, as many as there are more of them than `most`, and at most `limit`."""
        over = len(self._works) - len(self._open) - most
        finished = (work_id for work_id in self._works if work_id not in self._open)
        return tuple(islice(finished, max(0, min(over, limit))))

    def forget(self, works: Iterable[Digest]) -> None:
        """Drop finished works, so that memory stays bounded. The chains remember them: one that is observed again is found delivered.

        Raises IllegalTransition (nothing dropped) when one is not finished.
        """
        gone = tuple(works)
        self.require_finished(gone)
        for work_id in gone:
            work = self._works.pop(work_id, None)
            if work is not None:
                self._move(work_id, work.stage, None)
            # A message that lapsed is no deliverable any more, and is its work's id.
            for digest in (work_id, *(() if work is None else work.deliverables)):
                self._owner.pop(digest, None)

    def require_finished(self, works: Iterable[Digest]) -> None:
        """Raises IllegalTransition unless all of these works may be forgotten."""
        if any(work_id in self._open for work_id in works):
            raise IllegalTransition("Only what is finished can be forgotten.")

    def work(self, work_id: Digest) -> Work | None:
        """The work of an observed message, by its digest."""
        return self._works.get(work_id)

    def owner(self, digest: Digest) -> Work | None:
        """The work that a message to be delivered belongs to."""
        work_id = self._owner.get(digest)
        return None if work_id is None else self._works[work_id]

    def works(self) -> Iterator[Work]:
        """All works, in the order in which they were observed."""
        yield from self._works.values()

    def open_works(self) -> Iterator[Work]:
        """Works for which something is still owed, oldest first."""
        for work_id in self._open:
            yield self._works[work_id]

    def due(self, member: Member, now: Millis) -> list[Effect]:
        """All that `member` owes now, oldest work first. Looks at every open work: an `Agenda` knows the same from what changed."""
        return [effect for work in self.open_works() for effect in due(work, member, now)]

    def authorise(self, digests: Iterable[Digest], now: Millis) -> bytes:
        """The 32 bytes to sign for a batch.

        Raises NotAuthorised unless this node itself reached every digest of it.
        """
        batch = tuple(digests)
        for digest in batch:
            work = self.owner(digest)
            if work is None:
                raise NotAuthorised(f"This node has not reached a message with digest 0x{digest.hex()[:16]}….")
            name = f"0x{digest.hex()[:16]}…"
            if work.ready_at is None:
                what = "approved the key" if work.message.kind is Kind.ROTATION else "checked the proof"
                raise NotAuthorised(f"This node has not yet {what} behind the digest {name}.")
            if digest not in work.to_sign:
                raise NotAuthorised(f"The message with digest {name} {_why_not_signed(work, digest)}.")
            expiry = work.deliverables[digest].expiry
            if work.expired or (expiry and now > expiry * 1000):
                raise NotAuthorised(f"The message with digest {name} has expired.")
        return batch_signing_hash(batch)


def _why_not_signed(work: Work, digest: Digest) -> str:
    letter = work.letter(digest)
    if letter is not None and letter.state is LetterState.DROPPED:
        return "was dropped by this node's operator"
    return "expired undelivered" if work.lapsed else "is carried by its proof, not by a signature"
