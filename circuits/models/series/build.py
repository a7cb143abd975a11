"""Train, export and compile the LSTM on a series (`python -m circuits.models.series.build`).

Data: made up by a seed: a slow and a fast wave of random phase and period with noise that remembers; six values are seen, and the question is
whether the next one is above the last. Model: an LSTM of three cells over the six values, one logit from its last state. What differs from a
textbook's LSTM: its sigmoid is (1 + clip(x)) / 2 and its tanh is clip(x), piecewise linear, so that the circuit needs no lookup. The recurrence needs
its products rounded at every step (to 24 bits), which is most of the circuit.

With every pre-activation divided by four, |z + ¼| - |z - ¼| is half of clip(y), so that gates are ½ + that, and a cell that carries half of its state
needs no division either.
"""

import sys
from pathlib import Path

import numpy as np

from circuits.cache import Progress, quiet
from circuits.card import InputFeature
from circuits.compile import CircuitSettings
from circuits.models import autodiff
from circuits.models.assemble import Example, Recipe, TrainedNetwork, build_entry
from circuits.models.autodiff import Floats, Parameters, Value
from circuits.models.net import Net, Network, Tensor

SEED = 2026
SEEN, HELD_OUT, LENGTH, CELLS = 3000, 400, 6, 3
STEPS, RATE, DECAY = 500, 0.03, 3e-3
"""The decay keeps weights small, and with them what rounding can grow to on its way through the steps."""
GATES = ("input", "forget", "output", "new")

RECIPE = Recipe(
    name="series",
    version="1.0.0",
    description="Says whether a series will rise, from its last six values, by an LSTM of three cells with piecewise linear gates. Trained on "
    "made-up waves with noise: a demonstration, not for trading.",
    licence="Apache-2.0",
    data_source=f"none: {SEEN + HELD_OUT} windows made up by circuits/models/series/build.py (seed {SEED})",
    data_licence="Apache-2.0",
    output_meaning="Logit of a rise: the next value is above the last when above 0; probability = 1 / (1 + exp(-logit)).",
    labels=("falls", "rises"),
    circuit=CircuitSettings(scale=8, logrows=14, decomp_legs=3, decomp_base=4096, param_scale=8, rebase_multiplier=3),
    input_range=4.0,
    accuracy_goal=0.75,
)


def windows(seed: int, count: int) -> tuple[Floats, autodiff.Labels]:
    """Windows of values on the grid, and whether the one that follows is above the last."""
    draw = np.random.default_rng(seed)
    time = np.arange(LENGTH + 1)
    rows = np.zeros((count, LENGTH + 1))
    for low, high, height in ((12.0, 30.0, 1.0), (4.0, 8.0, 0.6)):
        period, phase = draw.uniform(low, high, (count, 1)), draw.uniform(0, 2 * np.pi, (count, 1))
        rows += height * np.sin(2 * np.pi * time / period + phase)
    noise = np.zeros(count)
    for step in time:
        noise = 0.6 * noise + draw.normal(0, 0.1, count)
        rows[:, step] += noise
    rows = np.clip(np.round(rows * 2**RECIPE.circuit.scale) / 2**RECIPE.circuit.scale, -4, 4)
    return rows[:, :LENGTH], (rows[:, LENGTH] > rows[:, LENGTH - 1]).astype(np.int64)


def scores(parameters: Parameters, rows: Floats) -> Value:
    """The network for training."""
    state, cell = Value(np.zeros((len(rows), CELLS))), Value(np.zeros((len(rows), CELLS)))
    for step in range(LENGTH):
        mixed = Value(rows[:, step : step + 1]) @ parameters["in"] + state @ parameters["back"] + parameters["bias"]
        parts = [mixed.columns(CELLS * place, CELLS * place + CELLS) for place in range(len(GATES))]
        cell = parts[1].gate() * cell + parts[0].gate() * parts[3].clip()
        state = parts[2].gate() * cell.clip()
    return state @ parameters["weights"] + parameters["base"]


def network(parameters: Parameters) -> Network:
    """The network for the circuit."""
    found = {name: value.data for name, value in parameters.items()}
    net = Net(RECIPE.name, RECIPE.circuit, LENGTH, RECIPE.input_range)
    state: Tensor | None = None
    half: Tensor | None = None  # of the cell
    columns = [list(range(CELLS * place, CELLS * place + CELLS)) for place in range(len(GATES))]
    for step in range(LENGTH):
        mixed = net.dense(net.take(net.input, [step]), found["in"] / 4, found["bias"] / 4)
        if state is not None:
            mixed = net.add(mixed, net.dense(state, found["back"] / 4))
        bent = net.clip(mixed, 0.25)
        gates = net.shift(net.take(bent, columns[0] + columns[1] + columns[2]), np.array(0.5))
        let_in, keep, out = (net.take(gates, columns[place]) for place in range(3))
        new = net.mul(let_in, net.take(bent, columns[3]))
        half = new if half is None else net.add(net.mul(keep, half), new)
        state = net.mul(out, net.clip(half, 0.5))
    assert state is not None
    return net.done(net.dense(state, found["weights"], found["base"]))


def train() -> TrainedNetwork:
    """Train on made-up windows, hold others out."""
    rows, labels = windows(SEED, SEEN)
    shapes = {
        "in": (1, 4 * CELLS),
        "back": (CELLS, 4 * CELLS),
        "bias": (4 * CELLS,),
        "weights": (CELLS, 1),
        "base": (1,),
    }
    parameters = autodiff.drawn(SEED, shapes)
    autodiff.fit(parameters, scores, rows, labels, steps=STEPS, rate=RATE, decay=DECAY, seed=SEED)
    held, truth = windows(SEED + 1, HELD_OUT)
    examples = tuple(
        Example(number, tuple(map(float, row)), int(label))
        for number, (row, label) in enumerate(zip(held, truth, strict=True))
    )
    features = tuple(InputFeature(f"value_{step}", 0.0, 1.0) for step in range(LENGTH))
    return TrainedNetwork(network(parameters), features, examples)


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    return build_entry(RECIPE, Path(__file__), train, parts=(Path(autodiff.__file__),), root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
