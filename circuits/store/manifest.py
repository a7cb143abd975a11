"""What a published model consists of: names, sizes and hashes of its files, and the SRS that its keys rest on. A document from strangers.

The reader takes nothing on trust: only names that a model has, sizes within bounds, hashes that are hashes, no two meanings, and nothing besides. A
manifest is not bound by the model's id, which covers ONNX, settings and verifying key alone; whoever has its SHA-256 from the publisher can ask for
exactly that one. Pure.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from circuits.cache import Json
from circuits.errors import StoreError
from circuits.srs.format import size_of
from circuits.srs.published import MAX_K, MIN_K

FORMAT: Final = 1
LIMIT: Final = 64 << 10
"""Bytes of a manifest at most."""
MIB: Final = 1 << 20

ESSENTIAL: Final = ("model.onnx", "settings.json", "vk.key", "card.toml")
"""Without these there is no model. The first three make its id."""
DERIVED: Final = ("network.compiled", "pk.key", "verifier.sol", "vka.bin")
"""What ezkl makes of them and the SRS."""
MOST: Final[Mapping[str, int]] = {
    "model.onnx": 1024 * MIB,
    "settings.json": 4 * MIB,
    "vk.key": 16 * MIB,
    "card.toml": MIB,
    "heldout.json": 64 * MIB,
    "network.compiled": 1024 * MIB,
    "pk.key": 16384 * MIB,
    "verifier.sol": 8 * MIB,
    "vka.bin": 8 * MIB,
    "kzg.srs": size_of(MAX_K),
}
"""Every file that a model may have → its largest size in bytes."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_KEYS: Final = {"format", "model_id", "name", "files", "srs", "input_bound"}


@dataclass(frozen=True, slots=True)
class Blob:
    """One file by its content."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest whose form was checked, and nothing else."""

    model_id: str
    """64 hex digits."""
    name: str
    files: dict[str, Blob]
    k: int
    srs_sha256: str
    input_bound: int

    def to_bytes(self) -> bytes:
        """The one form of this manifest."""
        files: dict[str, Json] = {
            name: {"size": blob.size, "sha256": blob.sha256} for name, blob in sorted(self.files.items())
        }
        document: dict[str, Json] = {
            "format": FORMAT,
            "model_id": self.model_id,
            "name": self.name,
            "files": files,
            "srs": {"k": self.k, "sha256": self.srs_sha256},
            "input_bound": self.input_bound,
        }
        return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"

    @property
    def essential_size(self) -> int:
        """Bytes of all files but the proving key, the compiled circuit and the SRS."""
        return sum(
            blob.size for name, blob in self.files.items() if name not in ("pk.key", "network.compiled", "kzg.srs")
        )


def parse_manifest(data: bytes) -> Manifest:
    """Raises StoreError unless `data` is exactly what `to_bytes` gives of some manifest within bounds."""
    try:
        document = json.loads(data, parse_constant=_refuse)
        if not isinstance(document, dict) or set(document) != _KEYS or document["format"] != FORMAT:
            raise StoreError("The manifest has a form that this version does not know. Is the store one of Sibyl's?")
        files, srs = document["files"], document["srs"]
        if not isinstance(files, dict) or not isinstance(srs, dict) or set(srs) != {"k", "sha256"}:
            raise StoreError("The manifest lists its files or its reference string in no known form.")
        manifest = Manifest(
            _hash(document["model_id"]),
            _name(document["name"]),
            {name: _blob(name, facts) for name, facts in files.items()},
            _number(srs["k"], MIN_K, MAX_K, "k"),
            _hash(srs["sha256"]),
            _number(document["input_bound"], 1, (1 << 63) - 1, "input_bound"),
        )
    except (ValueError, RecursionError) as error:
        raise StoreError(f"The manifest is not JSON: {error}.") from error
    if missing := [name for name in ESSENTIAL if name not in manifest.files]:
        raise StoreError(f"The manifest lists no {missing[0]}; without it there is no model.")
    srs_file = manifest.files.get("kzg.srs")
    if srs_file is not None and srs_file != Blob(size_of(manifest.k), manifest.srs_sha256):
        raise StoreError("The manifest lists another reference string than the one it says its keys rest on.")
    if manifest.to_bytes() != data:
        raise StoreError(
            "The manifest is not in its one form: somebody wrote it by hand, or one name in it stands twice."
        )
    return manifest


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")


def _blob(name: str, facts: object) -> Blob:
    if name not in MOST:
        raise StoreError(f"The manifest lists the file “{name[:80]}”, which no model has. It is not to be trusted.")
    if not isinstance(facts, dict) or set(facts) != {"size", "sha256"}:
        raise StoreError(f"The manifest describes the file {name} in no known form.")
    return Blob(_number(facts["size"], 1, MOST[name], f"the size of {name}"), _hash(facts["sha256"]))


def _number(value: object, least: int, most: int, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise StoreError(f"The manifest gives {what} as {str(value)[:40]}; it lies between {least:,} and {most:,}.")
    return value


def _hash(value: object) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise StoreError(f"The manifest has “{str(value)[:70]}” where 64 hex digits are expected.")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", value):
        raise StoreError("The manifest's model has no plain name.")
    return value
