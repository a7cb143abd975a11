"""The catalogue of models on this machine: build, list, find and open them.

A model is a cache entry of kind `circuits`, or any directory copied from one. `open_model` guarantees that every file is the one that the build
wrote and that the model id is the one that ONNX, settings and verifying key give. Importing this module loads neither ezkl, onnxruntime nor sklearn.
"""

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from circuits.cache import Json, Progress, cache_root, check_entry, quiet
from circuits.card import Card, HeldoutRow, heldout_rows, read_card
from circuits.compile import model_id_of
from circuits.errors import CorruptEntryError, ModelError
from circuits.srs.published import CEREMONY, published_k
from oracle.ports import ModelInfo
from oracle.protocol.types import ModelId

KIND = "circuits"

BUILDERS = {
    "tumour": "circuits.models.tumour.build",
    "risk": "circuits.models.risk.build",
    "tiny": "circuits.models.tiny.build",
    "logistic": "circuits.models.logistic.build",
    "forest": "circuits.models.forest.build",
    "boosted": "circuits.models.boosted.build",
    "digits": "circuits.models.digits.build",
    "series": "circuits.models.series.build",
    "attention": "circuits.models.attention.build",
}
"""Name of a model → module whose `build(root, progress)` makes it."""


@dataclass(frozen=True, slots=True)
class ModelArtifacts:
    """A model whose files were checked."""

    model_id: ModelId
    name: str
    card: Card
    directory: Path
    input_count: int
    output_count: int
    input_scale: int
    output_scale: int
    input_bound: int
    k: int
    proof_length: int
    srs_sha256: str
    devnet_only: bool
    """Its keys come from a local SRS: whoever made that could forge proofs."""

    @property
    def ceremony(self) -> str | None:
        """The ceremony whose published file the keys rest on; None for a local reference string, or one that this program does not know."""
        return CEREMONY if published_k(self.srs_sha256) == self.k else None

    @property
    def onnx(self) -> Path:
        """The model itself."""
        return self.directory / "model.onnx"

    @property
    def settings(self) -> Path:
        """The circuit's settings as canonical JSON."""
        return self.directory / "settings.json"

    @property
    def srs(self) -> Path:
        """The structured reference string."""
        return self.directory / "kzg.srs"

    @property
    def verifying_key(self) -> Path:
        """The verifying key."""
        return self.directory / "vk.key"

    @property
    def proving_key(self) -> Path:
        """The proving key."""
        return self.directory / "pk.key"

    @property
    def verifier_sol(self) -> Path:
        """The Solidity verifier of this model alone: contract `Halo2Verifier`, `verifyProof(bytes, uint256[])`."""
        return self.directory / "verifier.sol"

    @property
    def info(self) -> ModelInfo:
        """What the node has to know."""
        return ModelInfo(
            model_id=self.model_id,
            name=self.name,
            input_count=self.input_count,
            output_count=self.output_count,
            input_scale=self.input_scale,
            output_scale=self.output_scale,
            input_bound=self.input_bound,
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(feature.name for feature in self.card.inputs)

    def heldout(self) -> tuple[HeldoutRow, ...]:
        """Rows that the training never saw."""
        return heldout_rows(self.directory / "heldout.json")


class Builder(Protocol):
    """What a module of `circuits.models` offers."""

    def __call__(self, *, root: Path | None, progress: Progress) -> Path: ...


def ensure_model(name: str, *, root: Path | None = None, progress: Progress = quiet) -> ModelArtifacts:
    """The model called `name`, built if the cache does not hold it. Raises ModelError for an unknown name or a failed build."""
    if name not in BUILDERS:
        raise ModelError(f"There is no model “{name}” to build; there are {', '.join(sorted(BUILDERS))}.")
    build = cast(Builder, importlib.import_module(BUILDERS[name]).build)
    return open_model(build(root=root, progress=progress))


def obtain_model(wanted: str, *, root: Path | None = None) -> ModelArtifacts:
    """A model that comes with Sibyl, built if need be, or one of this machine's catalogue by name or id. Raises ModelError."""
    return ensure_model(wanted, root=root) if wanted in BUILDERS else find_model(wanted, root)


def open_model(directory: Path) -> ModelArtifacts:
    """The model in `directory`. Raises ModelError unless every file is whole and the model id is its own."""
    try:
        meta = check_entry(directory).meta
    except CorruptEntryError as error:
        raise ModelError(f"The model is damaged: {error} Build it again or copy it from its publisher.") from error
    names = ("model.onnx", "settings.json", "vk.key")
    try:
        model_id = model_id_of(*((directory / name).read_bytes() for name in names))
    except (OSError, ValueError) as error:
        raise ModelError(f"The model in {directory} cannot be read: {error}.") from error
    if meta.get("model_id") != model_id.hex():
        raise ModelError(f"The model in {directory} claims the id {meta.get('model_id')} but has {model_id.hex()}.")
    srs_sha256 = _checked_srs(directory, meta)
    card = read_card(directory / "card.toml")
    return ModelArtifacts(
        model_id=model_id,
        name=card.name,
        card=card,
        directory=directory,
        input_count=_number(meta, "input_count"),
        output_count=_number(meta, "output_count"),
        input_scale=_number(meta, "input_scale"),
        output_scale=_number(meta, "output_scale"),
        input_bound=_number(meta, "input_bound"),
        k=_number(meta, "k"),
        proof_length=_number(meta, "proof_length"),
        srs_sha256=srs_sha256,
        devnet_only=meta.get("devnet_only") is not False,  # whatever is not clearly a ceremony's is for devnets
    )


def _checked_srs(directory: Path, meta: dict[str, Json]) -> str:
    """The SHA-256 of the reference string that lies there: a node trusts a ceremony by this hash, so the manifest's word is not enough."""
    try:
        with (directory / "kzg.srs").open("rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"The model's reference string {directory / 'kzg.srs'} cannot be read: {error.strerror}."
        ) from error
    if meta.get("srs_sha256") != found:
        raise ModelError(
            f"The model in {directory} claims to rest on the reference string {meta.get('srs_sha256')}, and holds {found}. Do not use it."
        )
    return found


def _number(meta: dict[str, Json], name: str) -> int:
    value = meta.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ModelError(f"The model's manifest has no valid “{name}”; build the model again.")
    return value


def list_models(
    root: Path | None = None, *, on_damaged: Callable[[ModelError], None] | None = None
) -> tuple[ModelArtifacts, ...]:
    """Every whole model in the cache, by name, the newest build first. Damaged ones are handed to `on_damaged`, else left out."""
    found: dict[ModelId, ModelArtifacts] = {}
    home = (root or cache_root()) / KIND
    newest_first = sorted(home.iterdir(), key=lambda path: -path.stat().st_mtime) if home.is_dir() else ()
    for directory in newest_first:
        if directory.is_dir() and not directory.name.startswith("."):
            try:
                model = open_model(directory)
                found.setdefault(model.model_id, model)
            except ModelError as error:
                if on_damaged:
                    on_damaged(error)
    return tuple(sorted(found.values(), key=lambda model: model.name))


def find_model(wanted: str, root: Path | None = None) -> ModelArtifacts:
    """The newest model of this name, or the one whose hex id begins so (4 digits or more). Raises ModelError when there is none or doubt."""
    prefix = wanted.lower().removeprefix("0x")
    models = list_models(root)
    if named := [model for model in models if model.name == wanted]:
        return named[0]
    matching = [model for model in models if len(prefix) >= 4 and model.model_id.hex().startswith(prefix)]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(f"{model.name} ({model.model_id.hex()[:8]})" for model in models) or "none"
    problem = "more than one model" if matching else "no model"
    raise ModelError(f"The catalogue holds {problem} “{wanted}”; it holds {known}.")
