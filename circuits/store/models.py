"""Publishes models to a store and fetches them: what a node that joins does instead of training anything.

Layout of a store: `sha256/<hash>` for every file, `models/<model id>.json` for the manifest. Publishing never changes a file that is there.

Guarantees of a fetch: every file has the hash that the manifest says; ONNX, settings and verifying key make the id that was asked for; proving key,
compiled circuit, Solidity verifier and VKA are made again here from them and the SRS, and the verifying key that comes out is the published one
byte for byte: so it belongs to this ONNX file and this SRS, and whoever publishes another verifier for an honest model's id changes nothing. A first
row is proven and verified. The model appears in the catalogue whole or not at all, and what was fetched in part is resumed.
Does not do: say that the model is any good, or that its card is true (pin the manifest's hash for that). With `published_keys` the keys are taken as
they are, which saves a long set-up; then only the publisher's word says that they belong to the ONNX file.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from circuits.cache import Json, Progress, cache_root, content_key, ensure_entry, quiet
from circuits.catalogue import KIND, ModelArtifacts, open_model
from circuits.compile import CompiledModel, Srs, canonical_settings, model_id_of, run_step
from circuits.errors import ModelError, SrsError, StoreError
from circuits.srs.acquire import ceremony_srs
from circuits.srs.check import check_srs
from circuits.srs.published import MAX_K, published_k
from circuits.store.folder import Folder, MissingError, open_folder
from circuits.store.manifest import DERIVED, ESSENTIAL, LIMIT, MOST, Blob, Manifest, parse_manifest
from circuits.store.transfer import Arrived, bring, file_sha256
from oracle.protocol.types import ModelId

BLOBS: Final = "sha256"
MODELS: Final = "models"
FETCHING: Final = "fetching"
STEP_SECONDS: Final = 900.0
"""Longest time for one step of ezkl, such as making the keys."""
MAX_TENSOR: Final = 1 << 20
MAX_SCALE: Final = 128
_WAIT_SECONDS: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Published:
    """A model in a store."""

    model_id: str
    manifest_sha256: str
    files: int
    sent: int
    """Files that were not there before."""


# ---- publish ----


def publish_model(
    model: ModelArtifacts,
    location: str,
    *,
    proving_key: bool = False,
    replace: bool = False,
    progress: Progress = quiet,
) -> Published:
    """Put a model into a store, its files by their hash. `proving_key`: that large file too; anyone can make it again.

    Raises StoreError when the store holds another manifest for this id (unless `replace`), or cannot be written.
    """
    folder = open_folder(location)
    names = [name for name in MOST if (model.directory / name).is_file()]
    skipped = {"pk.key"} if not proving_key else set()
    if not model.devnet_only:
        skipped.add("kzg.srs")  # everybody gets a ceremony's file where it is published
    chosen = [name for name in names if name not in skipped]
    files = {
        name: Blob((model.directory / name).stat().st_size, file_sha256(model.directory / name)) for name in chosen
    }
    manifest = Manifest(model.model_id.hex(), model.name, files, model.k, model.srs_sha256, model.input_bound)
    data = manifest.to_bytes()
    parse_manifest(data)  # what this writes, it can read
    _check_present(folder, manifest, data, replace)
    sent = 0
    for name, blob in files.items():
        if _present(folder, blob):
            continue
        progress(f"Sending {name}, {blob.size:,} bytes")
        folder.put(model.directory / name, BLOBS, blob.sha256)
        sent += 1
    with tempfile.TemporaryDirectory(prefix="sibyl-publish-") as scratch:
        document = Path(scratch) / "manifest.json"
        document.write_bytes(data)
        folder.put(document, MODELS, f"{manifest.model_id}.json")  # last: what it names is there
    return Published(manifest.model_id, hashlib.sha256(data).hexdigest(), len(files), sent)


def _present(folder: Folder, blob: Blob) -> bool:
    """Whether the store has the file whole; of a store far away only the length is known."""
    if folder.size(BLOBS, blob.sha256) != blob.size:
        return False
    return folder.kind != "file" or file_sha256(Path(folder.path(BLOBS, blob.sha256))) == blob.sha256


def _check_present(folder: Folder, manifest: Manifest, data: bytes, replace: bool) -> None:
    try:
        present = folder.small(MODELS, f"{manifest.model_id}.json", limit=LIMIT)
    except MissingError:
        return
    if present != data and not replace:
        raise StoreError(
            f"{folder.location} holds another manifest for the model {manifest.model_id[:16]}… (another card, or other files). "
            "Compare them; --replace puts this one in its place."
        )


# ---- fetch ----


def fetch_model(
    model_id: str,
    location: str,
    *,
    manifest_sha256: str | None = None,
    published_keys: bool = False,
    root: Path | None = None,
    progress: Progress = quiet,
    arrived: Arrived | None = None,
) -> ModelArtifacts:
    """Bring the model with this id (64 hex digits) into the catalogue. Raises StoreError, SrsError or ModelError."""
    wanted = model_id.lower().removeprefix("0x")
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        raise StoreError(f"A model is fetched by its whole id, 64 hex digits; “{model_id[:80]}” is none.")
    folder = open_folder(location, most=LIMIT)
    data = folder.small(MODELS, f"{wanted}.json", limit=LIMIT)
    found = hashlib.sha256(data).hexdigest()
    if manifest_sha256 is not None and found != manifest_sha256.lower().removeprefix("0x"):
        raise StoreError(
            f"{folder.location} has a manifest of SHA-256 {found}, not {manifest_sha256}. Nothing was fetched."
        )
    manifest = parse_manifest(data)
    if manifest.model_id != wanted:
        raise StoreError(f"{folder.location} gave the manifest of another model, {manifest.model_id}.")

    def build(directory: Path) -> Mapping[str, Json]:
        return _build(directory, manifest, folder.location, found, published_keys, root, progress, arrived)

    made = "published" if published_keys else "made here"
    key = content_key({"what": "fetched", "manifest": data, "keys": made})
    entry = ensure_entry(KIND, key, build, root=root, progress=progress, lock_seconds=_WAIT_SECONDS)
    return open_model(entry.path)


def _build(
    directory: Path,
    manifest: Manifest,
    location: str,
    manifest_sha256: str,
    published_keys: bool,
    root: Path | None,
    progress: Progress,
    arrived: Arrived | None,
) -> Mapping[str, Json]:
    unneeded = {"verifier.sol", "vka.bin", *(() if published_keys else DERIVED)}
    needed = {name: blob for name, blob in manifest.files.items() if name not in unneeded}
    if published_keys and "pk.key" not in needed:
        raise StoreError(
            "The model was published without its proving key; leave --published-keys out, and it is made here."
        )
    shelf = (root or cache_root()) / FETCHING / manifest_sha256
    _check_room(shelf, manifest, needed)
    folder = open_folder(location, most=max(blob.size for blob in needed.values()))
    for name, blob in needed.items():
        progress(f"Fetching {name}, {blob.size:,} bytes")
        bring(folder, (BLOBS, blob.sha256), shelf / name, size=blob.size, sha256=blob.sha256, arrived=arrived)
    onnx, settings, vk = ((shelf / name).read_bytes() for name in ESSENTIAL[:3])
    try:
        own = model_id_of(onnx, settings, vk).hex()
    except ValueError as error:
        raise StoreError(f"The model's settings are not JSON: {error}.") from error
    if own != manifest.model_id:
        raise StoreError(
            f"The files of the model {manifest.model_id} have the id {own}. The store is not to be trusted."
        )
    shape = read_shape(settings)
    for name in needed:
        shutil.copyfile(shelf / name, directory / name)
    srs = _srs(directory, manifest, root)
    if shape.k != srs.k:
        raise StoreError(f"The circuit is for k={shape.k}, its reference string for k={srs.k}.")
    proof_length = make_keys(directory, vk, shape.inputs, published_keys=published_keys, progress=progress)
    shutil.rmtree(shelf)
    compiled = CompiledModel(
        directory=directory,
        model_id=ModelId(bytes.fromhex(own)),
        input_count=shape.inputs,
        output_count=shape.outputs,
        input_scale=shape.input_scale,
        output_scale=shape.output_scale,
        k=shape.k,
        proof_length=proof_length,
        srs=srs,
    )
    return {**compiled.meta(), "name": manifest.name, "input_bound": manifest.input_bound}


def _check_room(shelf: Path, manifest: Manifest, needed: dict[str, Blob]) -> None:
    shelf.mkdir(parents=True, exist_ok=True)
    total = 2 * sum(blob.size for blob in needed.values())
    if (left := shutil.disk_usage(shelf).free) < total:
        raise StoreError(
            f"Fetching {manifest.name} needs {total:,} bytes, and the disk of {shelf} has {left:,} left. Make room."
        )


def _srs(directory: Path, manifest: Manifest, root: Path | None) -> Srs:
    """The SRS as `kzg.srs` in `directory`: from the store, or the ceremony's file that is here already."""
    target = directory / "kzg.srs"
    ceremony = published_k(manifest.srs_sha256) == manifest.k
    if not target.exists():
        if not ceremony:
            raise SrsError(
                "The model rests on a reference string that is no ceremony's, and the store does not hold it."
            )
        home = None if root is None else root / "srs" / "ceremony"
        shutil.copyfile(ceremony_srs(manifest.k, home).path, target)
    report = check_srs(target)
    if (report.k, report.sha256) != (manifest.k, manifest.srs_sha256):
        raise SrsError(
            f"The reference string has the hash {report.sha256} and k={report.k}; the manifest says otherwise."
        )
    return Srs(target, report.k, report.sha256, devnet_only=not ceremony)


def make_keys(directory: Path, vk: bytes, inputs: int, *, published_keys: bool, progress: Progress) -> int:
    """Make what follows from model.onnx, settings.json and kzg.srs in `directory`; the length of a first proof, which is verified under `vk`.

    Raises StoreError when another verifying key comes out.
    """

    def step(name: str, **arguments: Json) -> Json:
        return run_step(name, directory, STEP_SECONDS, **arguments)

    progress("Compiling the circuit")
    step("compile")
    if not published_keys:
        progress("Making the proving and verifying keys")
        step("setup", srs="kzg.srs")
        if (directory / "vk.key").read_bytes() != vk:
            raise StoreError(
                "The published verifying key does not belong to the published ONNX file, settings and reference string: "
                "another one comes out here. Do not use this model."
            )
    progress("Making the verifier")
    if step("verifier", srs="kzg.srs") is not True:
        raise ModelError("ezkl wrote no Solidity verifier.")
    (directory / "verifier.abi").unlink(missing_ok=True)
    step("vka", srs="kzg.srs")
    progress("Proving and verifying a first row")
    length = step("prove", srs="kzg.srs", rows=[[0.0] * inputs])
    if not isinstance(length, int) or length < 1:
        raise StoreError("A first proof does not verify under the published verifying key. Do not use this model.")
    return length


@dataclass(frozen=True, slots=True)
class Shape:
    """What the circuit's settings say that the catalogue records."""

    inputs: int
    outputs: int
    input_scale: int
    output_scale: int
    k: int


def read_shape(settings: bytes) -> Shape:
    """Settings of a stranger. Raises StoreError unless they are canonical, and of a model with one input and one output of bounded size."""
    try:
        if canonical_settings(settings) != settings:
            raise StoreError(
                "The model's settings are not in their canonical form, so ezkl might read others than the id binds."
            )
        found = json.loads(settings)
        (inputs, outputs), k = found["model_instance_shapes"], found["run_args"]["logrows"]
        (input_scale,), (output_scale,) = found["model_input_scales"], found["model_output_scales"]
        return Shape(
            _bounded(_size(inputs), MAX_TENSOR),
            _bounded(_size(outputs), MAX_TENSOR),
            _bounded(input_scale, MAX_SCALE),
            _bounded(output_scale, MAX_SCALE),
            _bounded(k, MAX_K),
        )
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"The model's settings are not those of a model with one input and one output: {error!r}."
        ) from error
    except ModelError as error:
        raise StoreError(str(error)) from error


def _bounded(value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"{str(value)[:40]} is not between 0 and {most:,}")
    return value


def _size(shape: list[int]) -> int:
    size = 1
    for length in shape:
        size = _bounded(size * _bounded(length, MAX_TENSOR), MAX_TENSOR)
    return size
