"""Train, export and compile the convolutional network for digits (`python -m circuits.models.digits.build`).

Data: scikit-learn's bundled handwritten digits, 1,797 images of 8 × 8 pixels in 17 greys; a fixed stratified fifth is held out. Model: five 3 × 3
kernels, ReLU, one dense layer, ten scores of which the largest decides. A pixel goes over as a sixteenth of its grey, which 4 bits hold, so that no
product has more than 18 bits after the point and nothing is rounded: circuit and float model agree to float32's own rounding.
"""

import sys
from pathlib import Path

import numpy as np

from circuits.cache import Progress, quiet
from circuits.card import InputFeature
from circuits.compile import CircuitSettings
from circuits.models import autodiff, data
from circuits.models.assemble import Recipe, TrainedNetwork, build_entry
from circuits.models.autodiff import Floats, Parameters, Value
from circuits.models.net import Net, Network

SIDE, KERNEL, KERNELS, CLASSES = 8, 3, 5, 10
PLACES = (SIDE - KERNEL + 1) ** 2
STEPS, RATE, DECAY = 700, 0.02, 1e-4

RECIPE = Recipe(
    name="digits",
    version="1.0.0",
    description="Reads a handwritten digit from an image of 8 × 8 pixels, by a convolutional network of five kernels.",
    licence="Apache-2.0",
    data_source="Optical recognition of handwritten digits (test part), UCI Machine Learning Repository, as bundled with scikit-learn",
    data_licence="CC-BY-4.0",
    output_meaning="Ten scores, one for each digit: the largest decides; probabilities are their softmax.",
    labels=tuple(str(digit) for digit in range(CLASSES)),
    circuit=CircuitSettings(scale=4, logrows=13, decomp_legs=3, decomp_base=2048, param_scale=7, rebase_multiplier=3),
    input_range=1.0,
    accuracy_goal=0.95,
)


def features() -> tuple[InputFeature, ...]:
    """One for each pixel, row by row; greys go from 0 to 16."""
    return tuple(InputFeature(f"pixel_{row}_{column}", 0.0, 16.0) for row in range(SIDE) for column in range(SIDE))


def scores(parameters: Parameters, rows: Floats) -> Value:
    """The network for training: its windows are cut out beforehand."""
    images = rows.reshape(-1, SIDE, SIDE)
    windows = np.lib.stride_tricks.sliding_window_view(images, (KERNEL, KERNEL), axis=(1, 2))
    seen = Value(windows.reshape(len(rows), PLACES, KERNEL**2))
    active = (seen @ parameters["kernels"] + parameters["bias"]).relu()
    return active.reshape(len(rows), PLACES * KERNELS) @ parameters["weights"] + parameters["base"]


def network(parameters: Parameters) -> Network:
    """The network for the circuit."""
    found = {name: value.data for name, value in parameters.items()}
    net = Net(RECIPE.name, RECIPE.circuit, SIDE**2, RECIPE.input_range)
    image = net.reshape(net.input, (1, 1, SIDE, SIDE))
    kernels = found["kernels"].T.reshape(KERNELS, 1, KERNEL, KERNEL)
    twice = net.twice_relu(net.conv(image, kernels, found["bias"], 1))
    # (kernel, place) here, (place, kernel) in training.
    weights = found["weights"].reshape(PLACES, KERNELS, CLASSES).swapaxes(0, 1).reshape(-1, CLASSES)
    return net.done(net.dense(net.reshape(twice, (1, PLACES * KERNELS)), weights / 2, found["base"]))


def train() -> TrainedNetwork:
    """Train on four fifths of the images. Raises ModelError when scikit-learn is not installed."""
    found = data.bundled("digits")
    parts = data.split(found.data, found.target, features(), RECIPE.circuit.scale)
    shapes = {
        "kernels": (KERNEL**2, KERNELS),
        "bias": (KERNELS,),
        "weights": (PLACES * KERNELS, CLASSES),
        "base": (CLASSES,),
    }
    parameters = autodiff.drawn(data.SEED, shapes)
    seen = list(parts.seen)
    autodiff.fit(
        parameters, scores, parts.inputs[seen], parts.labels[seen], steps=STEPS, rate=RATE, decay=DECAY, seed=data.SEED
    )
    return TrainedNetwork(network(parameters), parts.features, parts.examples())


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    parts = [Path(str(module.__file__)) for module in (data, autodiff)]
    return build_entry(RECIPE, Path(__file__), train, parts=parts, root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
