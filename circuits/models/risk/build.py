"""Train, export and compile the guard's risk model (`python -m circuits.models.risk.build`).

Data: made-up transfers (`population.py`), seen as the chain sees them (`features.py`). Model: six features → two ReLU → one logit of theft,

    risk = base + worry · relu(a·x - p) - calm · relu(q - b·x)      with a, b, worry and calm nowhere negative,

so it is monotone by construction: no larger amount or share, no fresher recipient and no payout instead of a transfer out ever lowers the risk,
whatever the training finds. `x` is not standardised, because the chain computes it; the card's means are 0 and its scales 1. Two hidden units
fit k = 9. A logistic regression would fit k = 8, but alarms at a tenth of the first transfers of young bridges, whose shares are large because
there is nothing yet. Trained with numpy alone: full batches, Adam with projection on the signs. A demonstration: the population is invented, and
so is the quality on it.
"""

import sys
from pathlib import Path

import numpy as np

from circuits.cache import Progress, quiet
from circuits.card import InputFeature
from circuits.compile import CircuitSettings
from circuits.mlp import Floats, Layer
from circuits.models.assemble import Example, Recipe, Trained, build_entry
from circuits.models.risk.features import NAMES, ONE, SCALE, features
from circuits.models.risk.population import Labelled, population

SEED = 2026
SEEN, HELD_OUT = 3000, 160
STEPS, RATE, DECAY = 400, 0.1, 0.001

RECOMMENDED_BOUND = 0
"""A transfer passes while its quantised output is below this: even odds among the made-up transfers, of which a fifth are thefts."""

CAUGHT, STOPPED_IN_ERROR = 0.89, 0.02
"""At that bound, of thefts and of ordinary transfers; measured on 6,000 others by a test, for the few held-out rows of the card flatter."""

RECIPE = Recipe(
    name="risk",
    version="1.0.0",
    description="Says how much a transfer through the token bridge looks like a theft: a demonstration for the bridge's optional guard, trained on "
    "made-up transfers alone. Not for real money: whoever knows the weights, and they are public, can shape a theft to pass. It replaces no limit, "
    "cap or pause, and it knows nothing of prices, sanctions or who the parties are. It lets a patient thief take a tenth of the vault on a quiet "
    "day to an account that he prepared, and it stops the first large payouts of a young bridge, which are most of what there is.",
    licence="Apache-2.0",
    data_source=f"none: {SEEN + HELD_OUT} transfers invented by circuits/models/risk/population.py (seeds {SEED} and {SEED + 1}), one fifth thefts; "
    "totals of 10^9 to 10^19 wire units, young bridges from 0",
    data_licence="Apache-2.0",
    output_meaning="Logit of theft, higher is riskier; at even odds 0. Recommended policy: pass while the quantised output is below "
    f"{RECOMMENDED_BOUND}. Of 6,000 further made-up transfers this stops {CAUGHT:.0%} of the thefts and {STOPPED_IN_ERROR:.0%} of the others. "
    "No feature ever lowers the output by growing.",
    labels=("ordinary", "theft"),
    circuit=CircuitSettings(scale=SCALE, logrows=9),
    input_range=16.0,
    accuracy_goal=0.94,
)


def train() -> Trained:
    """Two units of fixed signs, from `SEEN` transfers."""
    seen = population(SEED, SEEN)
    rows = np.array([_row(labelled) for labelled in seen])
    thefts = np.array([labelled.theft for labelled in seen], dtype=np.float64)
    heldout = population(SEED + 1, HELD_OUT)
    return Trained(
        layers=_fit(rows, thefts),
        features=tuple(InputFeature(name, 0.0, 1.0) for name in NAMES),
        heldout=tuple(Example(number, _row(labelled), labelled.theft) for number, labelled in enumerate(heldout)),
    )


def _row(labelled: Labelled) -> tuple[float, ...]:
    return tuple(value / ONE for value in features(labelled.transfer))


def _fit(rows: Floats, thefts: Floats) -> list[Layer]:
    """The two layers, for raw rows."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    signs = np.array([1.0, -1.0])  # the first unit worries, the second calms
    weights, bias, share, base = _descend((rows - mean) / spread, thefts, signs)
    raw = weights / spread[:, None]
    return [Layer(raw * signs, (bias - mean @ raw) * signs), Layer((share * signs)[:, None], base)]


def _descend(rows: Floats, thefts: Floats, signs: Floats) -> list[Floats]:
    """Weights, biases, shares and base that (nearly) minimise cross-entropy with decay; weights and shares stay at 0 or above."""
    random = np.random.default_rng(SEED)
    inputs, units = rows.shape[1], len(signs)
    found = [random.uniform(0.1, 0.5, (inputs, units)), np.zeros(units), np.ones(units), np.zeros(1)]
    first, second = ([np.zeros_like(value) for value in found] for _ in range(2))
    for step in range(1, STEPS + 1):
        for place, slope in enumerate(_slopes(found, rows, thefts, signs)):
            first[place] = 0.9 * first[place] + 0.1 * slope
            second[place] = 0.999 * second[place] + 0.001 * slope**2
            size = np.sqrt(second[place] / (1 - 0.999**step)) + 1e-8
            found[place] = found[place] - RATE * first[place] / (1 - 0.9**step) / size
        found[0], found[2] = np.maximum(found[0], 0), np.maximum(found[2], 0)
    return found


def _slopes(found: list[Floats], rows: Floats, thefts: Floats, signs: Floats) -> list[Floats]:
    weights, bias, share, base = found
    sums = (
        np.einsum("ri,iu->ru", rows, weights) + bias
    ) * signs  # einsum and not @: its sums have one order everywhere
    active = np.maximum(sums, 0)
    logits = np.einsum("ru,u->r", active, share * signs) + base
    wrong = (1 / (1 + np.exp(-logits)) - thefts) / len(rows)
    back = wrong[:, None] * share * (sums > 0)  # both signs of a unit cancel: its sum's and its share's
    return [
        np.einsum("ri,ru->iu", rows, back) + DECAY * weights,
        back.sum(axis=0),
        np.einsum("ru,r->u", active, wrong) * signs + DECAY * share,
        np.array([wrong.sum()]),
    ]


def build(*, root: Path | None = None, progress: Progress = quiet) -> Path:
    """The model's directory, from the cache or built now."""
    here = Path(__file__)
    parts = (here.with_name("features.py"), here.with_name("population.py"))
    return build_entry(RECIPE, here, train, parts=parts, root=root, progress=progress)


if __name__ == "__main__":
    sys.stdout.write(f"{build(progress=lambda message: print(message, file=sys.stderr))}\n")
