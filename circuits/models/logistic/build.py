"""Train, export and compile the logistic regression (`python -m circuits.models.logistic.build`).

Data: ten measurements (the means) of the Wisconsin diagnostic breast cancer data. Model: one weighted sum, which is proven to its logit; the sigmoid
is the consumer's. The cheapest model here: with inputs and parameters of 12 bits the sum is exact at 24, so nothing is rounded.
"""

import sys
from pathlib import Path

from circuits.cache import Progress, quiet
from circuits.compile import CircuitSettings
from circuits.models import data
from circuits.models.assemble import Recipe, TrainedNetwork, build_entry
from circuits.models.net import Net

FEATURES = 10

RECIPE = Recipe(
    name="logistic",
    version="1.0.0",
    description="Classifies a breast tumour as malignant or benign from ten measurements of a fine-needle aspirate, by logistic regression. "
    "A demonstration, not a medical device.",
    licence="Apache-2.0",
    data_source="Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning Repository, as bundled with scikit-learn; the ten means",
    data_licence="CC-BY-4.0",
    output_meaning="Logit of malignancy: malignant when above 0; probability of malignancy = 1 / (1 + exp(-logit)).",
    labels=("benign", "malignant"),
    circuit=CircuitSettings(scale=12, logrows=8, decomp_legs=5, rebase_multiplier=2),
    input_range=16.0,
    accuracy_goal=0.9,
)


def train() -> TrainedNetwork:
    """Train on four fifths of the patients. Raises ModelError when scikit-learn is not installed."""
    found = data.bundled("breast_cancer")
    from sklearn.linear_model import LogisticRegression

    rows, names = found.data[:, :FEATURES], [str(name) for name in found.feature_names[:FEATURES]]
    labels = 1 - found.target  # the data set's own coding is 0 = malignant
    parts = data.split(rows, labels, data.standardised(names, rows), RECIPE.circuit.scale)
    fitted = LogisticRegression(max_iter=1000, random_state=data.SEED).fit(
        parts.inputs[list(parts.seen)], labels[list(parts.seen)]
    )
    net = Net(RECIPE.name, RECIPE.circuit, FEATURES, RECIPE.input_range)
    network = net.done(net.dense(net.input, fitted.coef_.T, fitted.intercept_))
    return TrainedNetwork(network, parts.features, parts.examples())


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    return build_entry(RECIPE, Path(__file__), train, parts=(Path(data.__file__),), root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
