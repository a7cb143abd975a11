"""Train, export and compile the random forest (`python -m circuits.models.forest.build`).

Data: scikit-learn's bundled wine recognition data, 178 wines of three cultivars, 13 chemical measurements, sent divided by powers of two.
Model: 12 trees of depth 4, whose leaves' shares of the cultivars are averaged: three scores, of which the largest decides. The trees go through the
same rewrite as an export of skl2onnx would (`circuits.rewrites.trees`). Circuit and float model agree exactly.
"""

import sys
from pathlib import Path

from circuits.cache import Progress, quiet
from circuits.compile import CircuitSettings
from circuits.models import data, forests, scikit
from circuits.models.assemble import Recipe, TrainedNetwork, build_entry
from circuits.rewrites import ensemble, surgery, trees

TREES, DEPTH = 12, 4

RECIPE = Recipe(
    name="forest",
    version="1.0.0",
    description="Names the cultivar of a wine from 13 chemical measurements, by a random forest of 12 trees.",
    licence="Apache-2.0",
    data_source="Wine recognition data, UCI Machine Learning Repository, as bundled with scikit-learn",
    data_licence="CC-BY-4.0",
    output_meaning="Three scores, the forest's shares for each cultivar (they add up to 1 but for rounding): the largest decides.",
    labels=("cultivar 1", "cultivar 2", "cultivar 3"),
    circuit=CircuitSettings(scale=12, logrows=12, decomp_legs=2, decomp_base=2048, param_scale=16, rebase_multiplier=2),
    input_range=2.0,
    accuracy_goal=0.9,
)


def train() -> TrainedNetwork:
    """Train on four fifths of the wines. Raises ModelError when scikit-learn is not installed."""
    found = data.bundled("wine")
    from sklearn.ensemble import RandomForestClassifier

    features = data.halved([str(name) for name in found.feature_names], found.data)
    parts = data.split(found.data, found.target, features, RECIPE.circuit.scale)
    seen = list(parts.seen)
    fitted = RandomForestClassifier(TREES, max_depth=DEPTH, random_state=data.SEED)
    fitted.fit(parts.inputs[seen], parts.labels[seen])
    grown = [one.tree_ for one in fitted.estimators_]
    shares = [tree.value[:, 0, :] / TREES for tree in grown]
    model = scikit.classifier(grown, shares, len(features), len(RECIPE.labels))
    network = forests.exact_network(model, RECIPE.circuit, RECIPE.input_range)
    return TrainedNetwork(network, parts.features, parts.examples())


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    parts = [Path(str(module.__file__)) for module in (data, forests, scikit, ensemble, surgery, trees)]
    return build_entry(RECIPE, Path(__file__), train, parts=parts, root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
