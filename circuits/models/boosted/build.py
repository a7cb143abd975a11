"""Train, export and compile the gradient-boosted trees (`python -m circuits.models.boosted.build`).

Data: scikit-learn's bundled diabetes data, 442 patients, ten measurements, sent divided by powers of two; the question is whether the disease
progressed faster in a year than for half of the patients. Model: 18 trees of depth 3, whose leaves are added to a logit; the sigmoid is the
consumer's. The trees go through the same rewrite as an export of skl2onnx, XGBoost or LightGBM would. Circuit and float model agree exactly.
The data are hard: no model does much better than three in four.
"""

import math
import sys
from pathlib import Path

import numpy as np

from circuits.cache import Progress, quiet
from circuits.compile import CircuitSettings
from circuits.models import data, forests, scikit
from circuits.models.assemble import Recipe, TrainedNetwork, build_entry
from circuits.rewrites import ensemble, surgery, trees

TREES, DEPTH, RATE = 18, 3, 0.15

RECIPE = Recipe(
    name="boosted",
    version="1.0.0",
    description="Says whether diabetes will progress faster within a year than for half of the patients, from ten measurements, by 18 boosted trees. "
    "A demonstration, not a medical device.",
    licence="Apache-2.0",
    data_source="Diabetes data of Efron, Hastie, Johnstone and Tibshirani (2004), as bundled with scikit-learn, unscaled",
    data_licence="BSD-3-Clause (as part of scikit-learn)",
    output_meaning="Logit of fast progression: fast when above 0; probability = 1 / (1 + exp(-logit)).",
    labels=("slow", "fast"),
    circuit=CircuitSettings(scale=12, logrows=11, decomp_legs=2, decomp_base=1024, param_scale=15, rebase_multiplier=2),
    input_range=2.0,
    accuracy_goal=0.7,
)


def train() -> TrainedNetwork:
    """Train on four fifths of the patients. Raises ModelError when scikit-learn is not installed."""
    found = data.bundled("diabetes", scaled=False)
    from sklearn.ensemble import GradientBoostingClassifier

    features = data.halved([str(name) for name in found.feature_names], found.data)
    labels = (found.target > np.median(found.target)).astype(np.int64)
    parts = data.split(found.data, labels, features, RECIPE.circuit.scale)
    seen = list(parts.seen)
    fitted = GradientBoostingClassifier(
        n_estimators=TREES, max_depth=DEPTH, learning_rate=RATE, random_state=data.SEED
    ).fit(parts.inputs[seen], labels[seen])
    grown = [one.tree_ for one in fitted.estimators_[:, 0]]
    steps = [tree.value[:, :, 0] * RATE for tree in grown]
    share = float(labels[seen].mean())
    base = [math.log(share / (1 - share))]
    model = scikit.classifier(grown, steps, len(features), 2, post="LOGISTIC", base=base)
    network = forests.exact_network(model, RECIPE.circuit, RECIPE.input_range)
    return TrainedNetwork(network, parts.features, parts.examples())


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    parts = [Path(str(module.__file__)) for module in (data, forests, scikit, ensemble, surgery, trees)]
    return build_entry(RECIPE, Path(__file__), train, parts=parts, root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
