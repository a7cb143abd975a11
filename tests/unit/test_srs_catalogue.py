"""What a model's entry says of its reference string, and entries that lie about it."""

import json
import shutil
from pathlib import Path

import pytest

from circuits.cache import write_manifest
from circuits.catalogue import ModelArtifacts, ensure_model, open_model
from circuits.errors import ModelError
from circuits.prover import LocalProver
from circuits.srs import published
from circuits.srs.published import PUBLISHED


@pytest.fixture(scope="module")
def tiny() -> ModelArtifacts:
    return ensure_model("tiny")


def _copy(model: ModelArtifacts, target: Path, **facts: object) -> Path:
    shutil.copytree(model.directory, target)
    meta = json.loads((target / "manifest.json").read_text())["meta"]
    write_manifest(target, {**meta, **facts})
    return target


def test_catalogue__local_string__is_no_ceremonys(tiny: ModelArtifacts) -> None:
    assert tiny.ceremony is None
    assert tiny.devnet_only


def test_catalogue__published_file__names_its_ceremony(tiny: ModelArtifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "_K_OF", {tiny.srs_sha256: tiny.k})
    assert tiny.ceremony == "perpetual powers of tau"
    monkeypatch.setattr(published, "_K_OF", {tiny.srs_sha256: tiny.k + 1})
    assert tiny.ceremony is None


def test_catalogue__local_string_under_a_ceremonys_hash__is_refused(tiny: ModelArtifacts, tmp_path: Path) -> None:
    """The operator trusts the ceremony's hash; whoever made this model knows its string's secret and could forge proofs for that node."""
    claimed = PUBLISHED[tiny.k]
    directory = _copy(tiny, tmp_path / "model", srs_sha256=claimed, devnet_only=False)
    with pytest.raises(ModelError, match="claims to rest on the reference string") as caught:
        LocalProver([open_model(directory)], accepted_srs=frozenset({claimed}))
    assert tiny.srs_sha256 in str(caught.value)


def test_catalogue__no_string__is_refused(tiny: ModelArtifacts, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    shutil.copytree(tiny.directory, directory)
    meta = json.loads((directory / "manifest.json").read_text())["meta"]
    (directory / "kzg.srs").unlink()
    write_manifest(directory, meta)
    with pytest.raises(ModelError, match=r"kzg\.srs cannot be read"):
        open_model(directory)
