"""The prover port without processes or mathematics: for tests of whatever stands above it.

Its “proofs” are hashes and prove nothing. It judges requests exactly as the real prover does, and passes the same conformance suite.
"""

from collections.abc import Callable, Iterable

from circuits.admission import check_inputs, unknown_model, well_formed
from oracle.ports import Inference, ModelInfo, ZkProof
from oracle.protocol.encoding import dequantise
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import ModelId

PROOF_LENGTH = 1952

Function = Callable[[ModelInfo, tuple[int, ...]], tuple[int, ...]]


def sum_of_inputs(info: ModelInfo, inputs: tuple[int, ...]) -> tuple[int, ...]:
    """The default model: output number i is the sum of the inputs, plus i."""
    return tuple(sum(inputs) + number for number in range(info.output_count))


class InMemoryProver:
    """A deterministic fake of `circuits.prover.LocalProver`."""

    def __init__(self, models: Iterable[ModelInfo], function: Function = sum_of_inputs) -> None:
        self._models = {model.model_id: model for model in models}
        self._function = function

    def model(self, model_id: ModelId) -> ModelInfo | None:
        """The model, or None if it was not given."""
        return self._models.get(model_id)

    async def infer(self, model_id: ModelId, inputs: tuple[int, ...]) -> Inference:
        """Raises InferenceError as the real prover does."""
        info = self._find(model_id)
        check_inputs(info, inputs)
        outputs = self._function(info, inputs)
        return Inference(outputs, dequantise(outputs, info.output_scale))

    async def prove(self, model_id: ModelId, inputs: tuple[int, ...]) -> ZkProof:
        """A hash that stands for a proof."""
        outputs = (await self.infer(model_id, inputs)).outputs
        return ZkProof(_proof(model_id, inputs, outputs), outputs, 0.0)

    async def verify(self, model_id: ModelId, inputs: tuple[int, ...], outputs: tuple[int, ...], proof: bytes) -> bool:
        """Whether `proof` is what `prove` gives for these inputs and outputs."""
        info = self._find(model_id)
        if not well_formed(info, inputs, outputs, proof, PROOF_LENGTH):
            return False
        return outputs == self._function(info, inputs) and proof == _proof(model_id, inputs, outputs)

    def _find(self, model_id: ModelId) -> ModelInfo:
        info = self._models.get(model_id)
        if info is None:
            raise unknown_model(model_id)
        return info


def _proof(model_id: ModelId, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> bytes:
    seed = keccak256(b"no proof", model_id, *(value.to_bytes(9, signed=True) for value in (*inputs, *outputs)))
    return (seed * (PROOF_LENGTH // len(seed) + 1))[:PROOF_LENGTH]
