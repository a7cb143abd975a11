"""Networks with proven bounds: they compute what they say, and nothing that they compute leaves its bounds."""

import numpy as np
import numpy.typing as npt
import pytest

from circuits.compile import CircuitSettings
from circuits.models.net import Net, Network, Tensor
from circuits.tuning.floats import FloatModel

Floats = npt.NDArray[np.float64]
SETTINGS = CircuitSettings(scale=6, logrows=10, param_scale=8, rebase_multiplier=2)
RANGE = 2.0


def net(inputs: int = 4) -> Net:
    return Net("test", SETTINGS, inputs, RANGE)


def run(made: Network, row: Floats) -> Floats:
    (found,) = FloatModel(made.model).outputs(row).values()
    return found


def rows(count: int = 30, inputs: int = 4) -> Floats:
    draw = np.random.default_rng(1)
    corners = draw.choice([-RANGE, RANGE], (count // 2, inputs))
    return np.vstack([corners, np.round(draw.uniform(-RANGE, RANGE, (count // 2, inputs)) * 64) / 64])


def test_activations__each__as_their_formula() -> None:
    relu, clip = net(), net()
    made = relu.done(relu.twice_relu(relu.input)), clip.done(clip.clip(clip.input, 0.5))
    for row in rows():
        assert run(made[0], row) == pytest.approx(2 * np.maximum(row, 0))
        assert run(made[1], row) == pytest.approx(2 * np.clip(row, -0.5, 0.5))


def test_dense__parameters_off_the_grid__rounded_to_it() -> None:
    one = net()
    made = one.done(one.dense(one.input, np.full((4, 1), 0.3), np.array([0.1])))
    expected = round(0.3 * 256) / 256, round(0.1 * 256) / 256
    for row in rows():
        assert run(made, row)[0] == pytest.approx(row.sum() * expected[0] + expected[1])


def test_conv__strides__as_by_hand() -> None:
    one = net(16)
    kernels = np.arange(8).reshape(2, 1, 2, 2) / 4
    out = one.conv(one.reshape(one.input, (1, 1, 4, 4)), kernels, np.array([0.5, -1.0]), 2)
    assert out.shape == (1, 2, 2, 2)
    made = one.done(one.reshape(out, (1, 8)))
    for row in rows(10, 16):
        image = row.reshape(4, 4)
        expected = [
            (image[y : y + 2, x : x + 2] * kernels[c, 0]).sum() + (0.5, -1.0)[c]
            for c in range(2)
            for y in (0, 2)
            for x in (0, 2)
        ]
        assert run(made, row) == pytest.approx(expected)


def _deep(one: Net) -> list[Tensor]:
    """Every kind of step."""
    draw = np.random.default_rng(2)
    matrix = one.reshape(one.input, (2, 2))
    first = one.dense(matrix, draw.normal(size=(2, 3)), draw.normal(size=3))
    second = one.twice_relu(one.dense(matrix, draw.normal(size=(2, 3))))
    scores = one.matmul(first, one.transpose(second))
    mixed = one.add(one.mul(scores, one.clip(scores, 0.25)), one.take(matrix, [1, 0]), minus=True)
    shifted = one.shift(mixed, np.array([[1.0, -2.0]]))
    return [first, second, scores, mixed, shifted, one.reshape(shifted, (1, 4))]


@pytest.mark.parametrize("step", range(6))
def test_bounds__any_input_in_range__nothing_is_larger_than_its_size(step: int) -> None:
    one = net()
    tensor = _deep(one)[step]
    made = one.done(tensor)
    assert made.reach >= float((tensor.size + tensor.error).max()) * 2**tensor.scale - 1
    for row in rows():
        assert (np.abs(run(made, row)) <= (tensor.size + tensor.error).ravel()).all()


def test_scales__products__rounded_only_above_the_multiple() -> None:
    one = net()
    product = one.mul(one.input, one.input)
    assert product.scale == 12
    again = one.mul(product, product)
    assert again.scale == 16  # of 24: twice the larger scale, 8
    assert again.error.min() >= 2.0**-16 > product.error.max()
    assert one.done(again).output_scale == 16
