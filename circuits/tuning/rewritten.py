"""What a rewrite makes: a model, and the function that a consumer applies when one was taken off the circuit. Pure but for numpy.

Modules with rewrites import from here, and `circuits.tuning.rewrite` imports those modules for its list `REWRITES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import onnx

from circuits.tuning.floats import Rows


class Function(StrEnum):
    """What a consumer applies to the proven output."""

    SIGMOID = "sigmoid"
    SIGMOID_PAIR = "sigmoid-pair"
    SOFTMAX = "softmax"
    LOG_SOFTMAX = "log-softmax"
    TANH = "tanh"
    EXP = "exp"
    SOFTPLUS = "softplus"


_FORMULAS = {
    Function.SIGMOID: "y[i] = 1 / (1 + exp(-x[i]))",
    Function.SIGMOID_PAIR: "y = (1 - p, p) with p = 1 / (1 + exp(-x[0]))",
    Function.SOFTMAX: "y[i] = exp(x[i]) / sum of exp(x[j]) over all j",
    Function.LOG_SOFTMAX: "y[i] = x[i] - log(sum of exp(x[j]) over all j)",
    Function.TANH: "y[i] = (exp(2 x[i]) - 1) / (exp(2 x[i]) + 1)",
    Function.EXP: "y[i] = exp(x[i])",
    Function.SOFTPLUS: "y[i] = log(1 + exp(x[i]))",
}


@dataclass(frozen=True, slots=True)
class OffCircuit:
    """The function that is not proven: a consumer applies it to the proven outputs x (all of one row) and has the model's outputs y.

    Each keeps the order of its arguments, so that a threshold or the largest of several outputs can be read off x itself: y > t for the sigmoid is
    x > log(t / (1 - t)).
    """

    function: Function

    @property
    def formula(self) -> str:
        """The exact specification, in real numbers; x is an output's fixed point divided by 2^(output scale)."""
        return _FORMULAS[self.function]

    def apply(self, outputs: Rows) -> Rows:
        """y of x, in double precision and without overflow."""
        x = np.asarray(outputs, np.float64).ravel()
        match self.function:
            case Function.SIGMOID:
                return _sigmoid(x)
            case Function.SIGMOID_PAIR:
                p = _sigmoid(x[:1])
                return np.concatenate([1 - p, p])
            case Function.SOFTMAX:
                powers = np.exp(x - x.max())
                return np.asarray(powers / powers.sum(), np.float64)
            case Function.LOG_SOFTMAX:
                return np.asarray(x - x.max() - np.log(np.exp(x - x.max()).sum()), np.float64)
            case Function.TANH:
                return np.asarray(np.tanh(x), np.float64)
            case Function.EXP:
                return np.asarray(np.exp(x), np.float64)
            case Function.SOFTPLUS:
                return np.asarray(np.logaddexp(0, x), np.float64)


def _sigmoid(x: Rows) -> Rows:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1 / (1 + small), small / (1 + small)), np.float64)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What a rewrite made."""

    model: onnx.ModelProto
    what: str
    """What was done, as the rest of a sentence: “folded 3 batch normalisations into the layers before them”."""
    off_circuit: OffCircuit | None = None
    """Set when the rewrite took a function off the circuit. At most one rewrite of a run may."""


Rewrite = Callable[[onnx.ModelProto], Rewritten | None]
