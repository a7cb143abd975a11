"""How each effect of the pipeline is carried out, and how what peers send is taken in. Every duty is safe to repeat."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import structlog

from oracle.errors import ChainError, NotAuthorised, ProofError
from oracle.node.epochs import may_submit
from oracle.node.gossip import (
    TOPIC_PROOF,
    ProofNotice,
    decode_digests,
)
from oracle.pipeline import (
    Approve,
    Approved,
    Check,
    Confirmed,
    Delivered,
    Effect,
    Expire,
    Expired,
    Infer,
    Inferred,
    Lapse,
    Lapsed,
    Prove,
    Proved,
    Sign,
    Submit,
    Vanished,
    Work,
)
from oracle.ports import DeliveryState, Submission
from oracle.protocol.message import InferenceRequest
from oracle.protocol.quorum import quorum
from oracle.protocol.types import Digest, Kind, Status

if TYPE_CHECKING:
    from oracle.node.core import Node

log = structlog.get_logger("sibyl.node")

VANISH_SECONDS = 10.0
"""How long a destination must not know a delivery that it had taken, before it is made again."""

PROOF_PATIENCE_SECONDS = 8.0
"""How long a peer's proof waits for this node's own inference."""

LOOK_SECONDS = 1.0
"""How long a look at the destinations may hold up a proof."""

SEE_PATIENCE_SECONDS = 0.5
"""How long a coordinator's request waits for messages that this node has not read yet."""

SIGN_PATIENCE_SECONDS = 1.4
"""How long a coordinator's request waits for this node's own check of the proof; less than a round of signing takes at most."""


class Duties:
    """Carries out effects for one node."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._enough = quorum(len(node.member.committee)) - 1
        self._absent_since: dict[Digest, float] = {}

    def forget(self, works: Iterable[Digest]) -> None:
        """These works, which the pipeline still knows, are about to go."""
        for work_id in works:
            work = self._node.pipeline.work(work_id)
            for digest in () if work is None else work.deliverables:
                self._absent_since.pop(digest, None)

    async def perform(self, effect: Effect) -> bool:
        """Carry out one effect; False when there was nothing new to learn. Raises SibylError or ProtocolError to be tried again."""
        work = self._node.pipeline.work(effect.work_id)
        if work is None or work.finished:
            return True
        match effect:
            case Infer():
                return await self._infer(work)
            case Prove():
                return await self._prove(work)
            case Sign():
                raise ValueError("Signatures are made over batches; see BatchSigner.")
            case Submit(digest=digest):
                return await self._submit(work, digest)
            case Check(digest=digest):
                return await self._check(work, digest)
            case Approve():
                return await self._approve(work)
            case Lapse():
                return await self._lapse(work)
            case Expire(work_id=work_id):
                await self._node.record(Expired(work_id, self._node.clock()))
                return True

    async def _infer(self, work: Work) -> bool:
        outcome = await self._node.ports.infer(work.message)
        await self._node.record(Inferred(work.message.digest, outcome, self._node.clock()))
        return True

    async def _prove(self, work: Work) -> bool:
        if not await self._all_delivered(work):
            await self.make_proof(work)
        return True

    async def make_proof(self, work: Work) -> bytes:
        """Prove what this node inferred, keep it and spread it; the proof's keccak256. Raises ProofError or InferenceError."""
        node, asked = self._node, InferenceRequest.from_bytes(work.message.payload)
        made = await node.ports.prover.prove(asked.model_id, asked.inputs)
        if work.outcome is None or made.outputs != work.outcome.outputs:
            raise ProofError(
                "The prover's outputs are not those that this node inferred; the model's files may be damaged."
            )
        node.metrics.proof_seconds.observe(made.seconds)
        proof_id = await node.save_proof(made.proof, made.seconds)
        # The others check it first, so that they are ready when this node asks for their signatures.
        took = await self._spread_proof(work, made.proof)
        log.info("proof spread", request=work.message.digest.hex()[:16], seconds=round(made.seconds, 3), took=took)
        await node.record(Proved(work.message.digest, proof_id, node.member.identifier, node.clock()))
        return proof_id

    async def _all_delivered(self, work: Work) -> bool:
        """Whether others have delivered all of it already, as after a long absence: a proof would be made and checked in vain."""
        reachable = self._node.ports.submitters
        missing = [digest for digest in work.deliverables if digest not in work.delivered]
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                for digest in missing:
                    if work.deliverables[digest].destination in reachable:
                        await self._check(work, digest)
        except (ChainError, TimeoutError):
            return False  # a destination that does not answer must not keep the others waiting
        now = self._node.pipeline.work(work.message.digest)
        return now is not None and now.deliverables.keys() <= now.delivered

    async def _spread_proof(self, work: Work, proof: bytes) -> tuple[int, ...]:
        notice = ProofNotice(work.message.digest, proof)
        return await self._node.ports.peers.publish(TOPIC_PROOF, notice.to_bytes(), self._enough)

    async def spread_proof_again(self, work_id: Digest) -> None:
        """Tell the peers the proof behind a work once more, if it has one."""
        work = self._node.pipeline.work(work_id)
        if work is not None and work.proof_id is not None:
            proof, _ = await self._node.proof(work.proof_id)
            await self._spread_proof(work, proof)

    async def _submit(self, work: Work, digest: Digest) -> bool:
        node, message = self._node, work.deliverables[digest]
        if not await may_submit(node, work, digest):
            return False
        submitter = node.ports.submitters[message.destination]
        receipt = await submitter.submit(await self.submission(work, digest))
        if receipt is not None:
            node.metrics.delivered(message, receipt)
            node.keep_receipt(digest, receipt)
            log.info(
                "delivered",
                request=work.message.digest.hex()[:16],
                chain=str(message.destination.chain),
                transaction=receipt.transaction,
                cost=receipt.cost,
            )
        await node.record(Delivered(work.message.digest, digest, node.clock()))
        return True

    async def submission(self, work: Work, digest: Digest) -> Submission:
        """All that the destination of one deliverable could need."""
        message = work.deliverables[digest]
        if message.kind is Kind.MESSAGE:
            return Submission(message, work.attestation)
        proof = None
        if work.proof_id is not None:
            proof, _ = await self._node.proof(work.proof_id)
        attestation = work.attestation if digest in work.to_sign else None
        return Submission(message, attestation, work.message, proof)

    async def _check(self, work: Work, digest: Digest) -> bool:
        node, message = self._node, work.deliverables[digest]
        state = await node.ports.submitters[message.destination].state(message)
        if state is DeliveryState.FINAL:
            self._absent_since.pop(digest, None)
            await node.record(Confirmed(work.message.digest, digest, node.clock()))
            return True
        if state is DeliveryState.INCLUDED:
            self._absent_since.pop(digest, None)
            if digest not in work.delivered:
                await node.record(Delivered(work.message.digest, digest, node.clock()))
        elif digest in work.delivered:
            await self._watch_absence(work, digest)
        return False

    async def _approve(self, work: Work) -> bool:
        """The operator brings the key by a ceremony, some time before or after the chain announces it."""
        node = self._node
        if not await node.ports.approves(work.message):
            return False
        await node.record(Approved(work.message.digest, node.clock()))
        return True

    async def _lapse(self, work: Work) -> bool:
        node, message = self._node, work.message
        if not await node.ports.submitters[message.destination].lapsed(message):
            return False
        log.info("expired undelivered", request=message.digest.hex()[:16], chain=str(message.destination.chain))
        await node.record(Lapsed(message.digest, node.clock()))
        return True

    async def _watch_absence(self, work: Work, digest: Digest) -> None:
        """A delivery that its destination has not known for a while was reorganised away; for a moment, an endpoint may just be behind."""
        since = self._absent_since.setdefault(digest, time.monotonic())
        if time.monotonic() - since >= VANISH_SECONDS:
            del self._absent_since[digest]
            log.warning("delivery vanished", request=work.message.digest.hex()[:16], digest=digest.hex()[:16])
            await self._node.record(Vanished(work.message.digest, digest, self._node.clock()))

    # ---- what peers send ----

    async def authorise(self, context: bytes) -> bytes:
        """The value to sign for a coordinator's batch. Raises NotAuthorised unless this node's own pipeline reached all of it."""
        node, digests = self._node, decode_digests(context)
        await self._catch_up(digests)
        try:
            self._object(digests)
            return node.pipeline.authorise(digests, node.clock())
        except NotAuthorised as error:
            node.metrics.refused_to_sign.inc()
            log.warning("refused to sign", error=str(error))
            raise

    async def _catch_up(self, digests: Sequence[Digest]) -> None:
        """The coordinator may be a moment ahead of this node's own reading of the chains, and of its own check of a proof."""
        owner = self._node.pipeline.owner
        unseen, unready = deque(digests), deque(digests)

        def all_seen() -> bool:
            while unseen and owner(unseen[0]) is not None:
                unseen.popleft()
            return not unseen

        def all_ready() -> bool:
            while unready and ((work := owner(unready[0])) is None or work.ready_at is not None):
                unready.popleft()
            return not unready

        if not all_seen():
            await self._node.wait_until(all_seen, SEE_PATIENCE_SECONDS)
        if not unseen and not all_ready():
            await self._node.wait_until(all_ready, SIGN_PATIENCE_SECONDS)

    def _object(self, digests: Sequence[Digest]) -> None:
        """Raises NotAuthorised when the node's safety rules forbid to sign one of the messages now."""
        for digest in digests:
            work = self._node.pipeline.owner(digest)
            # A non-delivery is judged as the message that expired, which names its token.
            objection = None if work is None else self._node.ports.objection(work.message)
            if objection is not None:
                raise NotAuthorised(objection)

    async def take_proof(self, peer: int, body: bytes) -> bytes:
        """A peer's proof: checked against this node's own inputs and outputs, then kept. Raises NotAuthorised when it does not hold."""
        node, notice = self._node, ProofNotice.from_bytes(body)
        work = await node.wait_for(notice.request_id, lambda work: work.outcome is not None, PROOF_PATIENCE_SECONDS)
        if work is None or work.outcome is None:
            raise NotAuthorised("This node has not reached that request.")
        if work.proof_id is not None:
            return b""
        if work.outcome.status is not Status.ANSWERED:
            raise NotAuthorised("This node refuses that request; there is nothing to prove.")
        asked = InferenceRequest.from_bytes(work.message.payload)
        if not await node.ports.prover.verify(asked.model_id, asked.inputs, work.outcome.outputs, notice.proof):
            node.metrics.bad_proofs.labels(peer=str(peer)).inc()
            log.error("bad proof", peer=peer, request=notice.request_id.hex()[:16])
            raise NotAuthorised("The proof does not show the output that this node computed.")
        proof_id = await node.save_proof(notice.proof)
        await node.record(Proved(notice.request_id, proof_id, peer, node.clock()))
        return b""

    async def take_attestation(self, peer: int, body: bytes) -> bytes:
        """A signature that a peer coordinated: checked under the group key, then kept for each message that it covers."""
        return await self._node.signing.take(peer, body)
