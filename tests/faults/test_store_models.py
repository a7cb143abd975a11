"""Models out of a store that is damaged, or whose owner lies: nothing but the model that was asked for reaches the catalogue."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from circuits.catalogue import ModelArtifacts, ensure_model, find_model, list_models
from circuits.compile import model_id_of, run_step
from circuits.errors import SrsError, StoreError
from circuits.srs.acquire import ceremony_home
from circuits.srs.published import file_name
from circuits.store import models
from circuits.store.folder import open_folder
from circuits.store.manifest import LIMIT, MOST, Blob, Manifest, parse_manifest
from circuits.store.models import fetch_model, publish_model, read_shape
from oracle.errors import SibylError
from tests.support.folder_server import folder_server


@pytest.fixture(scope="module")
def tiny() -> ModelArtifacts:
    return ensure_model("tiny")


@pytest.fixture
def store(tmp_path: Path, tiny: ModelArtifacts) -> Path:
    publish_model(tiny, str(tmp_path / "store"), proving_key=True)
    return tmp_path / "store"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _manifest(store: Path) -> Path:
    (path,) = (store / "models").iterdir()
    return path


def _republish(store: Path, changes: dict[str, bytes], **fields: Any) -> str:
    """What a store's owner can do: other contents, with a manifest that fits them. The model id it is now found under."""
    path = _manifest(store)
    manifest = parse_manifest(path.read_bytes())
    files = dict(manifest.files)
    for name, data in changes.items():
        sha256 = hashlib.sha256(data).hexdigest()
        (store / "sha256" / sha256).write_bytes(data)
        files[name] = Blob(len(data), sha256)
    values = {"model_id": manifest.model_id, "name": manifest.name, "k": manifest.k} | fields
    made = Manifest(
        files=files,
        srs_sha256=files["kzg.srs"].sha256,
        input_bound=fields.pop("input_bound", manifest.input_bound),
        **values,
    )
    path.unlink()
    (store / "models" / f"{made.model_id}.json").write_bytes(made.to_bytes())
    return made.model_id


def _nothing_was_built(root: Path) -> None:
    assert list_models(root) == ()
    home = root / "circuits"
    assert not home.exists() or not [path for path in home.iterdir() if path.is_dir()]


# ---- the honest way ----


def test_publish_and_fetch__honest_store__same_model_and_keys_made_here(
    store: Path, root: Path, tiny: ModelArtifacts
) -> None:
    with folder_server(store) as server:
        found = fetch_model("0x" + tiny.model_id.hex(), server.url, root=root)
    assert found.model_id == tiny.model_id
    assert found.info == tiny.info
    assert (found.k, found.proof_length, found.srs_sha256) == (tiny.k, tiny.proof_length, tiny.srs_sha256)
    assert found.devnet_only
    for name in ("model.onnx", "settings.json", "vk.key", "pk.key", "verifier.sol", "vka.bin", "kzg.srs", "card.toml"):
        assert (found.directory / name).read_bytes() == (tiny.directory / name).read_bytes(), name
    assert find_model("tiny", root).directory == found.directory
    assert not (root / "fetching").exists() or not list((root / "fetching").iterdir())


def test_publish__again__sends_nothing_and_mends_what_is_damaged(store: Path, tiny: ModelArtifacts) -> None:
    assert publish_model(tiny, str(store), proving_key=True).sent == 0
    blob = store / "sha256" / hashlib.sha256(tiny.onnx.read_bytes()).hexdigest()
    blob.write_bytes(b"\0" * blob.stat().st_size)
    assert publish_model(tiny, str(store), proving_key=True).sent == 1
    assert blob.read_bytes() == tiny.onnx.read_bytes()


def test_publish__other_manifest_of_the_same_id__is_not_replaced_unasked(store: Path, tiny: ModelArtifacts) -> None:
    before = _manifest(store).read_bytes()
    with pytest.raises(StoreError, match="another manifest"):
        publish_model(tiny, str(store))
    assert _manifest(store).read_bytes() == before
    publish_model(tiny, str(store), replace=True)
    assert _manifest(store).read_bytes() != before


def test_publish__gateway__is_refused(store: Path, tiny: ModelArtifacts, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with folder_server(tmp_path / "empty") as server, pytest.raises(StoreError, match="can only be read"):
        publish_model(tiny, server.url)


def test_publish__memory_store__round_trip(tiny: ModelArtifacts, root: Path) -> None:
    """An object store: no folders, no renames."""
    location = f"memory://{root.parent.name}"
    publish_model(tiny, location)
    first = fetch_model(tiny.model_id.hex(), location, root=root)
    assert first.model_id == tiny.model_id
    folder = open_folder(location)
    folder.files.rm(folder.path("sha256"), recursive=True)
    # A second fetch asks for nothing but the manifest.
    assert fetch_model(tiny.model_id.hex(), location, root=root).directory == first.directory


def test_fetch__published_keys__are_taken_as_they_are_and_still_prove(
    store: Path, root: Path, tiny: ModelArtifacts
) -> None:
    found = fetch_model(tiny.model_id.hex(), str(store), published_keys=True, root=root)
    assert found.proving_key.read_bytes() == tiny.proving_key.read_bytes()
    publish_model(tiny, str(store), replace=True)
    with pytest.raises(StoreError, match="published without its proving key"):
        fetch_model(tiny.model_id.hex(), str(store), published_keys=True, root=root)


# ---- damage ----


@pytest.mark.parametrize("name", ["model.onnx", "settings.json", "vk.key", "card.toml", "kzg.srs"])
@pytest.mark.parametrize("how", ["bit", "short", "long", "gone"])
def test_fetch__damaged_file__is_refused(store: Path, root: Path, tiny: ModelArtifacts, name: str, how: str) -> None:
    blob = store / "sha256" / hashlib.sha256((tiny.directory / name).read_bytes()).hexdigest()
    data = blob.read_bytes()
    blob.unlink()
    if how != "gone":
        blob.write_bytes({"bit": bytes([data[0] ^ 1]) + data[1:], "short": data[:-1], "long": data + b"\0"}[how])
    with pytest.raises(StoreError):
        fetch_model(tiny.model_id.hex(), str(store), root=root)
    _nothing_was_built(root)


# ---- lies ----


def test_fetch__other_manifest_than_the_pinned_one__nothing_is_fetched(
    store: Path, root: Path, tiny: ModelArtifacts
) -> None:
    honest = hashlib.sha256(_manifest(store).read_bytes()).hexdigest()
    card = (tiny.directory / "card.toml").read_bytes().replace(b"above", b"below")
    _republish(store, {"card.toml": card})
    with pytest.raises(StoreError, match="Nothing was fetched"):
        fetch_model(tiny.model_id.hex(), str(store), manifest_sha256=honest, root=root)
    _nothing_was_built(root)


def test_fetch__other_model_under_this_id__is_refused(store: Path, root: Path, tiny: ModelArtifacts) -> None:
    other = ensure_model("tumour")
    _republish(store, {"model.onnx": other.onnx.read_bytes()})
    with pytest.raises(StoreError, match="have the id"):
        fetch_model(tiny.model_id.hex(), str(store), root=root)
    _nothing_was_built(root)


def test_fetch__manifest_of_another_model__is_refused(store: Path, root: Path) -> None:
    _manifest(store).rename(store / "models" / ("ab" * 32 + ".json"))
    with pytest.raises(StoreError, match="manifest of another model"):
        fetch_model("ab" * 32, str(store), root=root)


def test_fetch__evil_verifier_and_vka__are_not_used(store: Path, root: Path, tiny: ModelArtifacts) -> None:
    """An operator would deploy it, and everything would verify."""
    evil = b"contract Halo2Verifier { function verifyProof(bytes calldata, uint256[] calldata) external pure returns (bool) { return true; } }"
    _republish(store, {"verifier.sol": evil, "vka.bin": b"evil"})
    found = fetch_model(tiny.model_id.hex(), str(store), root=root)
    assert found.verifier_sol.read_bytes() == tiny.verifier_sol.read_bytes()
    assert (found.directory / "vka.bin").read_bytes() == (tiny.directory / "vka.bin").read_bytes()


def test_fetch__verifying_key_of_another_network__is_refused(
    store: Path, root: Path, tiny: ModelArtifacts, tmp_path: Path
) -> None:
    """A publisher makes a model id of an honest ONNX file and the key of weights of his own: proofs would be of those."""
    work = tmp_path / "evil"
    shutil.copytree(tiny.directory, work)
    onnx = tiny.onnx.read_bytes()
    evil = onnx.replace(b"\x00\x00\x80\x3f", b"\x00\x00\x00\x3f", 1)  # one weight of 1.0 becomes 0.5
    assert evil != onnx
    (work / "model.onnx").write_bytes(evil)
    run_step("compile", work, 120.0)
    run_step("setup", work, 120.0, srs="kzg.srs")
    vk = (work / "vk.key").read_bytes()
    assert vk != tiny.verifying_key.read_bytes()
    model_id = model_id_of(onnx, tiny.settings.read_bytes(), vk).hex()
    _republish(store, {"vk.key": vk}, model_id=model_id)
    with pytest.raises(StoreError, match="does not belong to the published ONNX file"):
        fetch_model(model_id, str(store), root=root)
    _nothing_was_built(root)


def test_fetch__other_reference_string__is_refused(
    store: Path, root: Path, tiny: ModelArtifacts, tmp_path: Path
) -> None:
    """Who swaps the string for one whose secret he knows can forge proofs under the honest key."""
    work = tmp_path / "srs"
    work.mkdir()
    run_step("srs", work, 120.0, logrows=tiny.k)
    _republish(store, {"kzg.srs": (work / "kzg.srs").read_bytes()})
    with pytest.raises(StoreError, match="does not belong to the published ONNX file"):
        fetch_model(tiny.model_id.hex(), str(store), root=root)
    _nothing_was_built(root)


def test_fetch__broken_reference_string__is_refused(store: Path, root: Path, tiny: ModelArtifacts) -> None:
    data = bytearray(tiny.srs.read_bytes())
    data[70:100] = bytes(30)
    _republish(store, {"kzg.srs": bytes(data)})
    with pytest.raises(SrsError, match="not on the curve"):
        fetch_model(tiny.model_id.hex(), str(store), root=root)


def test_fetch__not_an_onnx_file__is_a_sentence(store: Path, root: Path, tiny: ModelArtifacts) -> None:
    onnx = b"not an onnx file"
    model_id = model_id_of(onnx, tiny.settings.read_bytes(), tiny.verifying_key.read_bytes()).hex()
    _republish(store, {"model.onnx": onnx}, model_id=model_id)
    with pytest.raises(SibylError, match="compile"):
        fetch_model(model_id, str(store), root=root)
    _nothing_was_built(root)


def test_fetch__string_that_is_neither_here_nor_there__says_so(store: Path, root: Path, tiny: ModelArtifacts) -> None:
    path = _manifest(store)
    document = json.loads(path.read_bytes())
    del document["files"]["kzg.srs"]
    path.write_bytes(json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")
    with pytest.raises(SrsError, match="no ceremony's, and the store does not hold it"):
        fetch_model(tiny.model_id.hex(), str(store), root=root)


def test_fetch__under_a_ceremony__takes_the_file_that_is_here(
    store: Path, root: Path, tiny: ModelArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a world in which the local string is the ceremony's."""
    for module in ("circuits.srs.published", "circuits.srs.acquire"):
        monkeypatch.setattr(f"{module}.PUBLISHED", {tiny.k: tiny.srs_sha256})
    monkeypatch.setattr("circuits.srs.published._K_OF", {tiny.srs_sha256: tiny.k})
    monkeypatch.setattr("circuits.srs.check.NEG_S_G2", _secret_of(tiny))
    path = _manifest(store)
    document = json.loads(path.read_bytes())
    del document["files"]["kzg.srs"]
    path.write_bytes(json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")
    with pytest.raises(SrsError, match=f"sibyl srs fetch --k {tiny.k}"):
        fetch_model(tiny.model_id.hex(), str(store), root=root)
    home = ceremony_home(root)
    home.mkdir(parents=True)
    shutil.copyfile(tiny.srs, home / file_name(tiny.k))
    found = fetch_model(tiny.model_id.hex(), str(store), root=root)
    assert found.model_id == tiny.model_id
    assert not found.devnet_only


def _secret_of(model: ModelArtifacts) -> object:
    from circuits.srs.check import minus_twisted
    from circuits.srs.format import open_srs

    return minus_twisted(open_srs(model.srs).s_g2)


@pytest.mark.parametrize("text", ["", "tiny", "../../etc/passwd", "0x12", "zz" * 32, "ab" * 33])
def test_fetch__no_whole_id__is_refused(store: Path, root: Path, text: str) -> None:
    with pytest.raises(StoreError, match="by its whole id"):
        fetch_model(text, str(store), root=root)


def test_fetch__unknown_id_or_empty_store__says_so(store: Path, root: Path, tmp_path: Path) -> None:
    for location in (store, tmp_path / "nowhere"):
        with pytest.raises(StoreError, match="has no models/abab"):
            fetch_model("ab" * 32, str(location), root=root)


def test_fetch__disk_too_small__is_said_first(
    store: Path, root: Path, tiny: ModelArtifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(models.shutil, "disk_usage", lambda _: full)
    with pytest.raises(StoreError, match="Make room"):
        fetch_model(tiny.model_id.hex(), str(store), root=root)


# ---- manifests ----


def _entry(size: object = 1, sha256: object = "ab" * 32) -> dict[str, object]:
    return {"size": size, "sha256": sha256}


Change = Callable[[dict[str, Any]], object]
EVIL: list[tuple[str, Change]] = [
    ("traversal up", lambda d: d["files"].update({"../../evil": _entry()})),
    ("absolute path", lambda d: d["files"].update({"/etc/passwd": _entry()})),
    ("unknown file", lambda d: d["files"].update({"run.sh": _entry()})),
    ("hidden file", lambda d: d["files"].update({".manifest": _entry()})),
    ("the catalogue's own manifest", lambda d: d["files"].update({"manifest.json": _entry()})),
    ("huge size", lambda d: d["files"]["model.onnx"].update(size=1 << 60)),
    ("huge proving key", lambda d: d["files"]["pk.key"].update(size=MOST["pk.key"] + 1)),
    ("negative size", lambda d: d["files"]["vk.key"].update(size=-1)),
    ("no size", lambda d: d["files"]["vk.key"].update(size=0)),
    ("size true", lambda d: d["files"]["vk.key"].update(size=True)),
    ("size as text", lambda d: d["files"]["vk.key"].update(size="1543")),
    ("fraction", lambda d: d["files"]["vk.key"].update(size=1.5)),
    ("hash as a path", lambda d: d["files"]["vk.key"].update(sha256="../" * 20 + "aaaa")),
    ("short hash", lambda d: d["files"]["vk.key"].update(sha256="ab")),
    ("capital hash", lambda d: d["files"]["vk.key"].update(sha256="AB" * 32)),
    ("more facts", lambda d: d["files"]["vk.key"].update(url="http://127.0.0.1")),
    ("no facts", lambda d: d["files"].update({"vk.key": None})),
    ("no vk", lambda d: d["files"].pop("vk.key")),
    ("no files", lambda d: d.update(files={})),
    ("files as a list", lambda d: d.update(files=["model.onnx"])),
    ("other format", lambda d: d.update(format=2)),
    ("more keys", lambda d: d.update(post_install="rm -rf /")),
    ("no srs", lambda d: d.pop("srs")),
    ("k of 40", lambda d: d["srs"].update(k=40)),
    ("other srs hash", lambda d: d["srs"].update(sha256="ab" * 32)),
    ("name with markup", lambda d: d.update(name="[red]x")),
    ("name with a newline", lambda d: d.update(name="a\nb")),
    ("long name", lambda d: d.update(name="x" * 65)),
    ("no bound", lambda d: d.update(input_bound=0)),
    ("bound beyond int64", lambda d: d.update(input_bound=1 << 63)),
    ("id as a number", lambda d: d.update(model_id=1)),
]


@pytest.mark.parametrize("change", [change for _, change in EVIL], ids=[name for name, _ in EVIL])
def test_manifest__evil__is_refused_before_a_file_is_asked_for(
    store: Path, root: Path, tiny: ModelArtifacts, change: Change
) -> None:
    document = json.loads(_manifest(store).read_bytes())
    change(document)
    data = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
    with pytest.raises(StoreError):
        parse_manifest(data)
    _manifest(store).write_bytes(data)
    with folder_server(store) as server:
        with pytest.raises(StoreError):
            fetch_model(tiny.model_id.hex(), server.url, root=root)
        assert {path for path, _ in server.asked} == {f"/models/{tiny.model_id.hex()}.json"}
    _nothing_was_built(root)


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"format":NaN}', b"{}" + b" " * LIMIT],
    ids=["empty", "half", "list", "null", "no utf-8", "deep", "nan", "too long"],
)
def test_manifest__no_manifest__is_refused(store: Path, root: Path, tiny: ModelArtifacts, data: bytes) -> None:
    _manifest(store).write_bytes(data)
    with pytest.raises(StoreError):
        fetch_model(tiny.model_id.hex(), str(store), root=root)


def test_manifest__one_name_twice__is_refused(store: Path) -> None:
    data = _manifest(store).read_bytes()
    twice = data.replace(b'"format": 1,', b'"format": 1,\n "format": 1,')
    assert parse_manifest(data).to_bytes() == data
    with pytest.raises(StoreError, match="one form"):
        parse_manifest(twice)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(model_instance_shapes=[[1 << 40], [1, 1]]),
        lambda s: s.update(model_instance_shapes=[[1 << 20, 1 << 20], [1]]),
        lambda s: s.update(model_instance_shapes=[[-1], [1]]),
        lambda s: s.update(model_instance_shapes=[[1]]),
        lambda s: s.update(model_input_scales=[1 << 30]),
        lambda s: s["run_args"].update(logrows=60),
        lambda s: s.pop("run_args"),
    ],
)
def test_settings__sizes_of_a_stranger__are_bounded(tiny: ModelArtifacts, change: Change) -> None:
    settings = json.loads(tiny.settings.read_bytes())
    change(settings)
    with pytest.raises(StoreError, match="one input and one output"):
        read_shape(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode())


def test_settings__two_readings__are_refused(tiny: ModelArtifacts) -> None:
    """Python takes the last of two equal names, and ezkl may not."""
    settings = tiny.settings.read_bytes()
    assert read_shape(settings).k == tiny.k
    with pytest.raises(StoreError, match="canonical"):
        read_shape(settings.replace(b'"run_args":', b'"run_args":{},"run_args":', 1))
