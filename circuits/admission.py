"""What every prover checks of a request before a model sees it. Pure.

Refusals are `InferenceError`s with the protocol's status: every honest node reaches the same one, so a node may sign it.
"""

from collections.abc import Sequence

from circuits.card import Card
from oracle.errors import InferenceError
from oracle.ports import ModelInfo
from oracle.protocol.encoding import INT64_MAX
from oracle.protocol.errors import EncodeError
from oracle.protocol.types import Status


def unknown_model(model_id: bytes) -> InferenceError:
    """The refusal of a model that this node does not hold."""
    return InferenceError(
        f"This node holds no model {model_id.hex()}; register one that the committee serves.",
        status=Status.UNKNOWN_MODEL,
    )


def check_inputs(info: ModelInfo, inputs: Sequence[int], names: Sequence[str] = ()) -> None:
    """Raise InferenceError unless there are as many inputs as the model takes, each an integer within ±`input_bound`."""
    if len(inputs) != info.input_count:
        raise InferenceError(
            f"The model {info.name} takes {info.input_count} inputs, not {len(inputs)}.", status=Status.WRONG_SHAPE
        )
    for number, value in enumerate(inputs):
        if not _is_integer(value) or abs(value) > info.input_bound:
            name = names[number] if number < len(names) else f"Input number {number}"
            raise InferenceError(
                f"{name} is {value} in fixed point, outside the range of ±{info.input_bound} of the model {info.name}.",
                status=Status.OUT_OF_RANGE,
            )


def check_calibrated(card: Card, inputs: Sequence[int], scale: int) -> None:
    """Raise InferenceError when an input lies outside the range that the model's build calibrated, as its card tells."""
    try:
        card.check_calibrated(inputs, scale)
    except EncodeError as error:
        raise InferenceError(f"{error} (model {card.name})", status=Status.OUT_OF_RANGE) from error


def well_formed(
    info: ModelInfo, inputs: Sequence[int], outputs: Sequence[int], proof: bytes, proof_length: int
) -> bool:
    """Whether a claimed proof has the form that an honest one has; only then is it worth a verifier's time."""
    return (
        len(proof) == proof_length
        and len(inputs) == info.input_count
        and len(outputs) == info.output_count
        and all(_is_integer(value) and abs(value) <= info.input_bound for value in inputs)
        and all(_is_integer(value) and -INT64_MAX - 1 <= value <= INT64_MAX for value in outputs)
    )


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
