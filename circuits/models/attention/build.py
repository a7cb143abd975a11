"""Train, export and compile the attention block (`python -m circuits.models.attention.build`).

Data: scikit-learn's bundled handwritten digits, read as eight tokens, the rows of the image, of eight pixels. Model: learned positions, one head of
attention, a way past it, one dense layer, ten scores. What differs from a textbook's block: attention weights are relu(q·k) / 8 in the place of the
softmax (the same order of size, no exponential and no division in the circuit), and there is no layer norm. One product is rounded, to 24 bits.
"""

import sys
from pathlib import Path

from circuits.cache import Progress, quiet
from circuits.compile import CircuitSettings
from circuits.models import autodiff, data
from circuits.models.assemble import Recipe, TrainedNetwork, build_entry
from circuits.models.autodiff import Floats, Parameters, Value
from circuits.models.digits import build as digits
from circuits.models.net import Net, Network

TOKENS, PIXELS, WIDTH, CLASSES = 8, 8, 4, 10
STEPS, RATE, DECAY = 1000, 0.02, 1e-3
"""The decay keeps weights small, and with them what rounding can grow to."""

RECIPE = Recipe(
    name="attention",
    version="1.0.0",
    description="Reads a handwritten digit from an image of 8 × 8 pixels, by one block of attention over the image's rows. Attention weights are "
    "relu(q·k) / 8 in the place of the softmax.",
    licence="Apache-2.0",
    data_source=digits.RECIPE.data_source,
    data_licence=digits.RECIPE.data_licence,
    output_meaning=digits.RECIPE.output_meaning,
    labels=digits.RECIPE.labels,
    circuit=CircuitSettings(scale=4, logrows=13, decomp_legs=4, decomp_base=2048, param_scale=6, rebase_multiplier=4),
    input_range=1.0,
    accuracy_goal=0.9,
)


def scores(parameters: Parameters, rows: Floats) -> Value:
    """The network for training."""
    tokens = Value(rows.reshape(-1, TOKENS, PIXELS)) + parameters["positions"]
    query, key, value, past = (tokens @ parameters[name] for name in ("query", "key", "value", "past"))
    attended = (query @ key.swap()).relu().times(1 / TOKENS) @ value
    flat = (attended + past).reshape(len(rows), TOKENS * WIDTH)
    return flat @ parameters["weights"] + parameters["base"]


def network(parameters: Parameters) -> Network:
    """The network for the circuit: the factors 2 and 1/8 go into the weights of `value`."""
    found = {name: value.data for name, value in parameters.items()}
    net = Net(RECIPE.name, RECIPE.circuit, TOKENS * PIXELS, RECIPE.input_range)
    tokens = net.shift(net.reshape(net.input, (TOKENS, PIXELS)), found["positions"])
    query, key = net.dense(tokens, found["query"]), net.dense(tokens, found["key"])
    value = net.dense(tokens, found["value"] / (2 * TOKENS))
    twice = net.twice_relu(net.matmul(query, net.transpose(key)))
    mixed = net.add(net.matmul(twice, value), net.dense(tokens, found["past"]))
    flat = net.reshape(mixed, (1, TOKENS * WIDTH))
    return net.done(net.dense(flat, found["weights"], found["base"]))


def train() -> TrainedNetwork:
    """Train on four fifths of the images. Raises ModelError when scikit-learn is not installed."""
    found = data.bundled("digits")
    parts = data.split(found.data, found.target, digits.features(), RECIPE.circuit.scale)
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("query", "key", "value", "past"), (PIXELS, WIDTH))
    shapes |= {"positions": (TOKENS, PIXELS), "weights": (TOKENS * WIDTH, CLASSES), "base": (CLASSES,)}
    parameters = autodiff.drawn(data.SEED, shapes)
    seen = list(parts.seen)
    autodiff.fit(
        parameters, scores, parts.inputs[seen], parts.labels[seen], steps=STEPS, rate=RATE, decay=DECAY, seed=data.SEED
    )
    return TrainedNetwork(network(parameters), parts.features, parts.examples())


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    parts = [Path(str(module.__file__)) for module in (data, autodiff, digits)]
    return build_entry(RECIPE, Path(__file__), train, parts=parts, root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
