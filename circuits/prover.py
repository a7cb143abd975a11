"""The prover port over local worker processes.

Guarantees: a request is judged before a worker sees it; a proof was verified by its own prover; whatever fails on this machine only is a ProofError,
so that no refusal is signed for it. Refuses models whose keys come from a local SRS unless told that this is a devnet: elsewhere a model's SRS
must be one whose SHA-256 the operator lists. Inference and checks have workers of their own, so a proof never holds them up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from circuits.admission import check_calibrated, check_inputs, unknown_model, well_formed
from circuits.catalogue import ModelArtifacts
from circuits.errors import JobFailedError, ModelError
from circuits.jobs import FailureKind, Job, Reply, Task
from circuits.memory_guard import proof_memory
from circuits.pool import PoolLimits, WorkerPool
from oracle.errors import InferenceError, ProofError
from oracle.ports import Inference, ModelInfo, ZkProof
from oracle.protocol.types import ModelId


@dataclass(frozen=True, slots=True)
class ProverLimits:
    """Deadlines in seconds from a job's start, and the size of the two pools."""

    load_seconds: float = 120.0
    """For `warm`: starting a worker, loading a model and running it once."""
    infer_seconds: float = 30.0
    verify_seconds: float = 30.0
    prove_seconds: float = 180.0
    check_workers: int = 1
    prove_workers: int = 1
    queue: int = 32


class LocalProver:
    """See the module. Use as an async context manager, or `start` and `stop`."""

    def __init__(
        self,
        models: Iterable[ModelArtifacts],
        *,
        devnet: bool = False,
        accepted_srs: frozenset[str] = frozenset(),
        limits: ProverLimits | None = None,
        scratch: Path | None = None,
    ) -> None:
        """`accepted_srs`: SHA-256 in hex of the ceremony files that this node trusts; not asked for on a devnet. Raises ModelError."""
        self._models = {model.model_id: model for model in models}
        if not devnet:
            for model in self._models.values():
                refuse_untrusted_srs(model, accepted_srs)
        self._limits = limits or ProverLimits()
        queue = self._limits.queue
        self._checks = WorkerPool(PoolLimits(self._limits.check_workers, queue), scratch=scratch)
        self._proofs = WorkerPool(PoolLimits(self._limits.prove_workers, queue), scratch=scratch)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(grace=0.0 if error else 5.0)

    def start(self) -> None:
        """Take requests from now on; workers start with the first."""
        self._checks.start()
        self._proofs.start()

    async def warm(self) -> None:
        """Start a worker of each kind, load every model and run it once, so that the first request does not wait.

        Raises ProofError, or InferenceError when a model fails on a row of zeros.
        """
        for model in self._models.values():
            zeros = (0,) * model.input_count
            await self._run(self._proofs, _job(Task.LOAD, model), self._limits.load_seconds)
            await self._run(self._checks, _job(Task.INFER, model, zeros), self._limits.load_seconds)

    async def stop(self, grace: float = 5.0) -> None:
        """Give running jobs `grace` seconds, then end every worker."""
        try:
            await self._checks.stop(grace)
        finally:
            await self._proofs.stop(grace)

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that run now."""
        return (*self._checks.pids, *self._proofs.pids)

    def model(self, model_id: ModelId) -> ModelInfo | None:
        """The model, or None if this node does not hold it."""
        found = self._models.get(model_id)
        return found.info if found else None

    async def infer(self, model_id: ModelId, inputs: tuple[int, ...]) -> Inference:
        """Raises InferenceError (with the status to refuse with) or ProofError."""
        model = self._admit(model_id, inputs)
        reply = await self._run(self._checks, _job(Task.INFER, model, inputs), self._limits.infer_seconds)
        return Inference(reply.outputs, reply.float_outputs)

    async def prove(self, model_id: ModelId, inputs: tuple[int, ...]) -> ZkProof:
        """A proof, already verified. Raises InferenceError or ProofError."""
        model = self._admit(model_id, inputs)
        memory = proof_memory(model.proving_key.stat().st_size)
        reply = await self._run(self._proofs, _job(Task.PROVE, model, inputs), self._limits.prove_seconds, memory)
        return ZkProof(bytes.fromhex(reply.proof), reply.outputs, reply.seconds)

    async def verify(self, model_id: ModelId, inputs: tuple[int, ...], outputs: tuple[int, ...], proof: bytes) -> bool:
        """Whether `proof` shows that the model takes `inputs` to `outputs`. Raises InferenceError for an unknown model, or ProofError."""
        model = self._find(model_id)
        if not well_formed(model.info, inputs, outputs, proof, model.proof_length):
            return False
        job = _job(Task.VERIFY, model, inputs, outputs, proof)
        return (await self._run(self._checks, job, self._limits.verify_seconds)).valid

    def _find(self, model_id: ModelId) -> ModelArtifacts:
        found = self._models.get(model_id)
        if found is None:
            raise unknown_model(model_id)
        return found

    def _admit(self, model_id: ModelId, inputs: tuple[int, ...]) -> ModelArtifacts:
        model = self._find(model_id)
        check_inputs(model.info, inputs, model.input_names)
        check_calibrated(model.card, inputs, model.input_scale)
        return model

    async def _run(self, pool: WorkerPool, job: Job, seconds: float, memory: int = 0) -> Reply:
        try:
            return await pool.run(job, seconds, memory)
        except JobFailedError as error:
            if error.kind == FailureKind.INFERENCE:
                raise InferenceError(str(error)) from error
            raise ProofError(str(error)) from error


def refuse_untrusted_srs(model: ModelArtifacts, accepted: frozenset[str]) -> None:
    """Raise ModelError unless the model's SRS is one of `accepted`: the manifest's own word is not enough to be trusted with money."""
    if model.devnet_only:
        raise ModelError(
            f"The model {model.name} was built with a local reference string, so whoever built it can forge proofs. "
            "It runs on a devnet only; build it with a ceremony's file."
        )
    if model.srs_sha256 not in accepted:
        raise ModelError(
            f"The model {model.name} rests on the reference string {model.srs_sha256}, which the configuration does not list as a trusted ceremony."
        )


def _job(
    task: Task,
    model: ModelArtifacts,
    inputs: tuple[int, ...] = (),
    outputs: tuple[int, ...] = (),
    proof: bytes = b"",
) -> Job:
    return Job(task, str(model.directory), model.model_id.hex(), inputs, outputs, proof.hex())
