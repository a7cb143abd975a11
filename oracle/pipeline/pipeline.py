"""All works of a node, and what they allow it to sign."""

from collections.abc import Iterable, Iterator

from oracle.errors import NotAuthorised
from oracle.pipeline.events import Event, Millis
from oracle.pipeline.owed import Effect, Member, due
from oracle.pipeline.work import IllegalTransition, Work, advance
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.types import Digest, Kind


class Pipeline:
    """The works of a node, and which of them a digest belongs to. Holds no resource and does no I/O; replaying events rebuilds it."""

    def __init__(self) -> None:
        self._works: dict[Digest, Work] = {}
        self._open: dict[Digest, None] = {}
        self._owner: dict[Digest, Digest] = {}

    def preview(self, event: Event) -> Work:
        """The work after `event`, without recording it. Raises as `advance` does."""
        return advance(self._works.get(event.work_id), event)

    def apply(self, event: Event) -> Work:
        """Record `event`. Raises as `advance` does, and then nothing has changed."""
        work = self.preview(event)
        self._works[event.work_id] = work
        for digest in work.deliverables:
            self._owner[digest] = event.work_id
        if work.finished:
            self._open.pop(event.work_id, None)
        else:
            self._open[event.work_id] = None
        return work

    def finished_before(self, moment: Millis) -> tuple[Digest, ...]:
        """Works that are finished and were observed before `moment`, oldest first."""
        return tuple(
            work_id for work_id, work in self._works.items() if work_id not in self._open and work.observed_at < moment
        )

    def forget(self, works: Iterable[Digest]) -> None:
        """Drop finished works, so that memory stays bounded. The chains remember them: one that is observed again is found delivered.

        Raises IllegalTransition (nothing dropped) when one is not finished.
        """
        gone = tuple(works)
        if any(work_id in self._open for work_id in gone):
            raise IllegalTransition("Only what is finished can be forgotten.")
        for work_id in gone:
            work = self._works.pop(work_id, None)
            # A message that lapsed is no deliverable any more, and is its work's id.
            for digest in (work_id, *(() if work is None else work.deliverables)):
                self._owner.pop(digest, None)

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
        """All that `member` owes now, oldest work first."""
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
                why = "expired undelivered" if work.lapsed else "is carried by its proof, not by a signature"
                raise NotAuthorised(f"The message with digest {name} {why}.")
            expiry = work.deliverables[digest].expiry
            if work.expired or (expiry and now > expiry * 1000):
                raise NotAuthorised(f"The message with digest {name} has expired.")
        return batch_signing_hash(batch)
