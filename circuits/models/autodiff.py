"""Reverse-mode differentiation over numpy, and Adam: enough to train a small network with weights shared in space or time. For builds only.

Why not a framework: the reference models have some hundreds of parameters, and a framework is a gigabyte. Sums run in one order (`numpy.einsum`
without optimisation), so a seed gives the same weights on every run of one machine. Does not do: second derivatives.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


class Value:
    """A tensor, and how its gradient goes back to what it was made of."""

    __slots__ = ("_back", "_parents", "data", "grad")

    def __init__(
        self, data: Floats, parents: "Sequence[Value]" = (), back: Callable[[Floats], Sequence[Floats]] | None = None
    ) -> None:
        self.data = np.asarray(data, np.float64)
        self.grad = np.zeros_like(self.data)
        self._parents, self._back = tuple(parents), back

    def __add__(self, other: "Value") -> "Value":
        return Value(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other: "Value") -> "Value":
        return Value(self.data * other.data, (self, other), lambda g: (g * other.data, g * self.data))

    def times(self, factor: float) -> "Value":
        """Multiplied by a number."""
        return Value(self.data * factor, (self,), lambda g: (g * factor,))

    def plus(self, number: float) -> "Value":
        """With a number added."""
        return Value(self.data + number, (self,), lambda g: (g,))

    def __matmul__(self, other: "Value") -> "Value":
        """The product over the last axis of the first and the last but one of the second."""
        return Value(
            _product(self.data, other.data),
            (self, other),
            lambda g: (_product(g, np.swapaxes(other.data, -1, -2)), _product(np.swapaxes(self.data, -1, -2), g)),
        )

    def relu(self) -> "Value":
        """max(x, 0)."""
        on = self.data > 0
        return Value(self.data * on, (self,), lambda g: (g * on,))

    def clip(self) -> "Value":
        """min(max(x, -1), 1). Its slope outside is a tenth of the inside's, so that training can come back."""
        inside = np.abs(self.data) < 1
        return Value(np.clip(self.data, -1, 1), (self,), lambda g: (g * np.where(inside, 1.0, 0.1),))

    def gate(self) -> "Value":
        """(1 + clip(x)) / 2: the sigmoid's straight relative."""
        return self.clip().plus(1.0).times(0.5)

    def reshape(self, *shape: int) -> "Value":
        """In another shape."""
        return Value(self.data.reshape(shape), (self,), lambda g: (g,))

    def swap(self) -> "Value":
        """The last two axes changed."""
        return Value(np.swapaxes(self.data, -1, -2), (self,), lambda g: (np.swapaxes(g, -1, -2),))

    def columns(self, first: int, last: int) -> "Value":
        """Part of the last axis."""

        def back(grad: Floats) -> Sequence[Floats]:
            whole = np.zeros_like(self.data)
            whole[..., first:last] = grad
            return (whole,)

        return Value(self.data[..., first:last], (self,), back)

    def backward(self) -> None:
        """Add to every `grad` of what this was made of, from a gradient of 1 here."""
        order: list[Value] = []
        seen: set[int] = set()

        def visit(value: Value) -> None:
            if id(value) not in seen:
                seen.add(id(value))
                for parent in value._parents:
                    visit(parent)
                order.append(value)

        visit(self)
        self.grad = np.ones_like(self.data)
        for value in reversed(order):
            if value._back is not None:
                for parent, grad in zip(value._parents, value._back(value.grad), strict=True):
                    parent.grad = parent.grad + _to_shape(grad, parent.data.shape)


def _product(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("...ij,...jk->...ik", a, b))


def _to_shape(grad: Floats, shape: tuple[int, ...]) -> Floats:
    """A gradient summed over the axes that were broadcast."""
    grad = grad.reshape(shape) if grad.size == int(np.prod(shape)) else grad
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for axis, length in enumerate(shape):
        if length == 1 and grad.shape[axis] > 1:
            grad = grad.sum(axis=axis, keepdims=True)
    return grad


def cross_entropy(scores: Value, labels: Labels) -> Value:
    """Mean over rows of -log softmax(scores)[label]; scores of one column are logits of label 1."""
    rows = len(labels)
    if scores.data.shape[1] == 1:
        signs = np.where(labels == 1, 1.0, -1.0)[:, None]
        loss = np.logaddexp(0, -signs * scores.data).mean()
        slope = -signs / (1 + np.exp(signs * scores.data)) / rows
    else:
        shifted = scores.data - scores.data.max(axis=1, keepdims=True)
        powers = np.exp(shifted)
        chances = powers / powers.sum(axis=1, keepdims=True)
        chosen = np.arange(rows), labels
        loss = -np.log(chances[chosen]).mean()
        slope = chances.copy()
        slope[chosen] -= 1
        slope /= rows
    return Value(np.asarray(loss), (scores,), lambda g: (g * slope,))


Parameters = dict[str, Value]


def fit(
    parameters: Parameters,
    scores: Callable[[Parameters, Floats], Value],
    rows: Floats,
    labels: Labels,
    *,
    steps: int,
    rate: float,
    decay: float = 0.0,
    batch: int = 128,
    seed: int = 0,
) -> None:
    """Minimise cross-entropy and `decay` · |parameters|² by Adam over seeded batches; the rate falls to nothing in a half cosine."""
    draw = np.random.default_rng(seed)
    first = {name: np.zeros_like(value.data) for name, value in parameters.items()}
    second = {name: np.zeros_like(value.data) for name, value in parameters.items()}
    for step in range(1, steps + 1):
        chosen = draw.choice(len(rows), min(batch, len(rows)), replace=False)
        for value in parameters.values():
            value.grad = np.zeros_like(value.data)
        cross_entropy(scores(parameters, rows[chosen]), labels[chosen]).backward()
        speed = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
        for name, value in parameters.items():
            slope = value.grad + 2 * decay * value.data
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope**2
            size = np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
            value.data = value.data - speed * first[name] / (1 - 0.9**step) / size


def drawn(seed: int, shapes: dict[str, tuple[int, ...]]) -> Parameters:
    """Seeded starting values: normal, with a deviation of 1 / √(inputs); vectors are zero."""
    draw = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes.items():
        spread = 0.0 if len(shape) < 2 else 1 / np.sqrt(shape[-2])
        made[name] = Value(draw.normal(size=shape) * spread)
    return made
