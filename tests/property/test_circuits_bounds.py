"""The proven bounds hold: for random networks against exact arithmetic, and for the real circuit against onnxruntime."""

import asyncio
import itertools
import random
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.catalogue import ensure_model
from circuits.errors import JobFailedError
from circuits.jobs import decode_reply
from circuits.mlp import Layer, bounds, export, on_grid
from circuits.prover import LocalProver

SCALE = 8
UNIT = 1 << SCALE


def _circuit(layers: list[Layer], row: list[int], rounding: random.Random) -> tuple[list[Fraction], Fraction]:
    """A circuit that rounds each sum to a neighbour at random, and the largest |sum| it met."""
    values = [Fraction(value, UNIT) for value in row]
    largest = Fraction(0)
    for number, layer in enumerate(layers):
        sums = []
        for unit in range(layer.weights.shape[1]):
            exact = sum(
                (value * Fraction(float(weight)) for value, weight in zip(values, layer.weights[:, unit], strict=True)),
                Fraction(float(layer.bias[unit])),
            )
            largest = max(largest, abs(exact))
            sums.append(Fraction((exact * UNIT).__floor__() + rounding.randint(0, 1), UNIT))
        values = sums if number == len(layers) - 1 else [max(value, Fraction(0)) for value in sums]
    return values, largest


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), width=st.integers(1, 6), depth=st.integers(1, 3), corner=st.booleans())
def test_bounds__random_network_and_row__hold(seed: int, width: int, depth: int, corner: bool) -> None:
    draw = np.random.default_rng(seed)
    sizes = [width, *([width] * (depth - 1)), 1]
    layers = [
        on_grid(Layer(draw.normal(size=(a, b)) * 2, draw.normal(size=b)), SCALE) for a, b in itertools.pairwise(sizes)
    ]
    limits = bounds(layers, 4.0, SCALE)
    row = [
        int(v)
        for v in (
            draw.choice([-4 * UNIT, 4 * UNIT], width) if corner else draw.integers(-4 * UNIT, 4 * UNIT + 1, width)
        )
    ]
    found, largest = _circuit(layers, row, random.Random(seed))
    exact = np.array([value / UNIT for value in row], np.float32)
    for number, layer in enumerate(layers):
        exact = exact @ layer.weights.astype(np.float32) + layer.bias.astype(np.float32)
        exact = exact if number == len(layers) - 1 else np.maximum(exact, np.float32(0))
    assert float(largest) <= limits.preactivation + limits.error
    assert abs(float(found[0]) - float(exact[0])) <= limits.error


def test_export__onnxruntime__computes_the_layers(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    layers = [on_grid(Layer(draw.normal(size=(3, 4)), draw.normal(size=4)), SCALE), Layer(np.ones((4, 1)), np.zeros(1))]
    export(layers, tmp_path / "a.onnx", "net")
    export(layers, tmp_path / "b.onnx", "net")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    row = draw.normal(size=(1, 3)).astype(np.float32)
    (found,) = session.run(None, {"input": row})
    expected = np.maximum(row @ layers[0].weights + layers[0].bias, 0).sum()
    assert abs(float(found[0][0]) - float(expected)) < 1e-5


def test_tumour__random_and_extreme_rows__circuit_agrees_with_onnxruntime() -> None:
    # `infer` itself refuses a gap beyond the card's bound, so it is enough that it answers; the gap is measured again all the same.
    model = ensure_model("tumour")
    rng = random.Random(2026)
    bound = model.input_bound
    rows = [tuple(rng.randint(-bound, bound) for _ in range(model.input_count)) for _ in range(40)]
    rows += [tuple(rng.choice((-bound, bound)) for _ in range(model.input_count)) for _ in range(40)]
    rows += [(bound,) * model.input_count, (-bound,) * model.input_count, (0,) * model.input_count]

    async def gaps() -> list[float]:
        async with LocalProver([model], devnet=True) as prover:
            found = [await prover.infer(model.model_id, row) for row in rows]
        return [abs(one.outputs[0] / 2**model.output_scale - one.float_outputs[0]) for one in found]

    assert max(asyncio.run(gaps())) <= model.card.error_bound


@given(st.binary(max_size=200))
def test_decode_reply__any_bytes__only_the_two_errors(line: bytes) -> None:
    try:
        decode_reply(line)
    except (ValueError, JobFailedError):
        return
