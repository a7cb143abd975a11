"""Differentiation held to finite differences, and training to its promise of one result."""

from collections.abc import Callable

import numpy as np
import pytest

from circuits.models.autodiff import Value, cross_entropy, drawn, fit

LABELS = np.array([0, 2, 1, 2])
SIZES = {"a": (4, 6), "b": (6, 3), "c": (3,), "d": (4, 2, 3), "e": (3, 2)}

STEPS: dict[str, Callable[[dict[str, Value]], Value]] = {
    "product and sum, broadcast": lambda p: p["a"] @ p["b"] + p["c"],
    "relu": lambda p: (p["a"] @ p["b"]).relu(),
    "element by element": lambda p: (p["a"] @ p["b"]) * p["c"],
    "factors and numbers": lambda p: (p["a"] @ p["b"]).times(-1.5).plus(0.25) * p["c"],
    "batch of products, turned": lambda p: (p["d"] @ p["e"]).swap().reshape(4, 4) @ p["a"].columns(0, 3),
    "part of the columns": lambda p: p["a"].columns(1, 4) * p["c"],
    "used twice": lambda p: p["a"].columns(0, 3) * p["a"].columns(0, 3) + p["c"] + p["c"],
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_gradient__each_operator__as_by_finite_differences(step: Callable[[dict[str, Value]], Value]) -> None:
    draw = np.random.default_rng(4)
    parameters = {name: Value(draw.normal(size=shape)) for name, shape in SIZES.items()}

    def loss() -> Value:
        return cross_entropy(step(parameters), LABELS)

    loss().backward()
    for value in parameters.values():
        slope = value.grad.copy()
        for place in list(np.ndindex(value.data.shape))[:5]:
            middle = value.data[place]
            around = []
            for side in (1e-6, -1e-6):
                value.data[place] = middle + side
                around.append(float(loss().data))
            value.data[place] = middle
            assert slope[place] == pytest.approx((around[0] - around[1]) / 2e-6, abs=1e-6)


def test_gradient__one_column_of_logits__as_by_finite_differences() -> None:
    scores = Value(np.array([[0.5], [-2.0], [3.0]]))
    labels = np.array([1, 0, 0])
    cross_entropy(scores, labels).backward()
    chances = 1 / (1 + np.exp(-scores.data[:, 0]))
    assert scores.grad[:, 0] == pytest.approx((chances - labels) / 3)


def test_clip__outside__keeps_a_slope_to_come_back_by() -> None:
    value = Value(np.array([[-3.0, 0.5, 3.0]]))
    clipped = value.clip()
    assert clipped.data.tolist() == [[-1.0, 0.5, 1.0]]
    clipped.backward()
    assert value.grad.tolist() == [[0.1, 1.0, 0.1]]


def test_fit__same_seed__same_weights_and_it_learns() -> None:
    draw = np.random.default_rng(5)
    rows = draw.normal(size=(200, 2))
    labels = (rows[:, 0] * rows[:, 1] > 0).astype(np.int64)  # no line divides these

    def scores(p: dict[str, Value], batch: np.ndarray) -> Value:
        return (Value(batch) @ p["first"] + p["bias"]).relu() @ p["second"]

    def trained() -> dict[str, Value]:
        parameters = drawn(6, {"first": (2, 16), "bias": (16,), "second": (16, 1)})
        fit(parameters, scores, rows, labels, steps=300, rate=0.05, batch=50, seed=7)
        return parameters

    one, other = trained(), trained()
    assert all((one[name].data == other[name].data).all() for name in one)
    assert (((scores(one, rows).data[:, 0] > 0) == labels).mean()) > 0.9
