"""Train, export and compile the random forest (`python -m circuits.models.forest.build`).

Data: scikit-learn's bundled wine recognition data, 178 wines of three cultivars, 13 chemical measurements, sent divided by powers of two; the
question is whether a wine is of the second cultivar. Model: 10 trees of depth 4, whose leaves' shares are averaged to one score (a score for each
cultivar would cost a delivery 17,000 gas more). The trees go through the same rewrite as an export of skl2onnx would (`circuits.rewrites.trees`).
Circuit and float model agree exactly.
"""

import sys
from pathlib import Path

import numpy as np

from circuits.cache import Progress, quiet
from circuits.compile import CircuitSettings
from circuits.models import data, forests, scikit
from circuits.models.assemble import Recipe, TrainedNetwork, build_entry
from circuits.rewrites import ensemble, surgery, trees

TREES, DEPTH = 10, 4

RECIPE = Recipe(
    name="forest",
    version="1.0.0",
    description="Says from 13 chemical measurements whether a wine is of the second of three cultivars, by a random forest of 10 trees.",
    licence="Apache-2.0",
    data_source="Wine recognition data, UCI Machine Learning Repository, as bundled with scikit-learn",
    data_licence="CC-BY-4.0",
    output_meaning="The forest's share for the second cultivar, less one half: it is that cultivar when above 0.",
    labels=("another cultivar", "second cultivar"),
    circuit=CircuitSettings(scale=12, logrows=11, decomp_legs=2, decomp_base=1024, param_scale=16, rebase_multiplier=2),
    input_range=2.0,
    accuracy_goal=0.9,
)


def train() -> TrainedNetwork:
    """Train on four fifths of the wines. Raises ModelError when scikit-learn is not installed."""
    found = data.bundled("wine")
    from sklearn.ensemble import RandomForestClassifier

    features = data.halved([str(name) for name in found.feature_names], found.data)
    labels = (found.target == 1).astype(np.int64)
    parts = data.split(found.data, labels, features, RECIPE.circuit.scale)
    seen = list(parts.seen)
    fitted = RandomForestClassifier(TREES, max_depth=DEPTH, random_state=data.SEED)
    fitted.fit(parts.inputs[seen], parts.labels[seen])
    grown = [one.tree_ for one in fitted.estimators_]
    shares = [tree.value[:, 0, 1] / TREES for tree in grown]
    model = scikit.regressor(grown, shares, len(features), base=-0.5)
    network = forests.exact_network(model, RECIPE.circuit, RECIPE.input_range)
    return TrainedNetwork(network, parts.features, parts.examples())


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    parts = [Path(str(module.__file__)) for module in (data, forests, scikit, ensemble, surgery, trees)]
    return build_entry(RECIPE, Path(__file__), train, parts=parts, root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
