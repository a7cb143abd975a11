"""Reference strings: what is one, what is a ceremony's, what is damaged or forged, and where a local one may be used."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from circuits.compile import local_srs
from circuits.errors import SrsError, StoreError
from circuits.halo2.curve import G1, P, add, multiply
from circuits.halo2.pairing import on_twist
from circuits.srs import acquire, check, published
from circuits.srs.acquire import ceremony_srs, fetch_srs, generate_srs
from circuits.srs.check import check_srs, minus_twisted
from circuits.srs.devnets import PUBLIC_CLUSTERS, why_no_devnet
from circuits.srs.format import G1_SIZE, HEADER, open_srs, size_of
from circuits.srs.group import weighted_sum
from circuits.srs.published import NEG_S_G2, PUBLISHED, file_name, published_k
from circuits.srs.shorten import LARGEST, shortened
from oracle.protocol.types import Chain
from tests.support.folder_server import folder_server

K = 4
LOCAL = "http://127.0.0.1:8545"


@pytest.fixture(scope="module")
def whole() -> bytes:
    """An SRS that ezkl made."""
    return local_srs(K).path.read_bytes()


@pytest.fixture
def file(tmp_path: Path, whole: bytes) -> Path:
    path = tmp_path / "some.srs"
    path.write_bytes(whole)
    return path


@pytest.fixture
def ceremony(monkeypatch: pytest.MonkeyPatch, whole: bytes, file: Path) -> bytes:
    """A world in which the local file is the ceremony's for K, and what it shortens to is the ceremony's for K − 1."""
    smaller = shortened(open_srs(file), K - 1)
    table = {K: hashlib.sha256(whole).hexdigest(), K - 1: hashlib.sha256(smaller).hexdigest()}
    for module in (acquire, published):
        monkeypatch.setattr(module, "PUBLISHED", table)
    monkeypatch.setattr(published, "_K_OF", {sha256: k for k, sha256 in table.items()})
    monkeypatch.setattr(check, "NEG_S_G2", minus_twisted(open_srs(file).s_g2))
    return whole


# ---- what is one ----


@pytest.mark.parametrize("k", [1, 2, K])
def test_check__what_ezkl_made__is_sound_and_for_devnets(k: int) -> None:
    made = local_srs(k)
    for samples in (8, None):
        report = check_srs(made.path, samples=samples)
        assert (report.k, report.sha256, report.ceremony, report.same_secret) == (k, made.sha256, None, False)
        assert report.devnet_only
    assert report.relations == 1 << k


def test_size__every_k__is_what_the_format_says(whole: bytes) -> None:
    assert len(whole) == size_of(K) == 128 * 2**K + 260
    assert size_of(26) == 8_589_934_852


def test_published__table__has_a_hash_for_each_k_and_a_point_of_g2() -> None:
    assert list(PUBLISHED) == list(range(1, 27))
    assert len(set(PUBLISHED.values())) == 26
    assert all(published_k(sha256.upper()) == k for k, sha256 in PUBLISHED.items())
    assert published_k("00" * 32) is None
    assert on_twist(NEG_S_G2)


# ---- what is none ----


def _point(data: bytes, place: int) -> slice:
    return slice(HEADER + G1_SIZE * place, HEADER + G1_SIZE * (place + 1))


def _with(data: bytes, place: int, point: bytes) -> bytes:
    changed = bytearray(data)
    changed[_point(data, place)] = point
    return bytes(changed)


def _swapped(data: bytes, a: int, b: int) -> bytes:
    return _with(_with(data, a, data[_point(data, b)]), b, data[_point(data, a)])


N = 1 << K
BROKEN: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("empty", lambda _: b"", "ends too early"),
    ("a header alone", lambda data: data[:4], "4 bytes"),
    ("cut off", lambda data: data[:-1], "Fetch it again"),
    ("one byte too many", lambda data: data + b"\0", "Fetch it again"),
    ("another k", lambda data: b"\x05" + data[1:], "has 4,356"),
    ("a huge k", lambda data: b"\xff\xff\xff\xff" + data[4:], "not a k from 1 to 26"),
    ("text", lambda _: b"<html>not found</html>", "no reference string"),
    (
        "a bit of a power",
        lambda data: _with(data, 3, bytes(G1_SIZE)[:-1] + b"\1"),
        "power 3 of the reference string is not on",
    ),
    ("infinity", lambda data: _with(data, 3, bytes(G1_SIZE)), "power 3"),
    ("a coordinate over p", lambda data: _with(data, 0, b"\xff" * G1_SIZE), "power 0"),
    ("a Lagrange point off the curve", lambda data: _with(data, N + 2, b"\1" * G1_SIZE), "Lagrange point 2"),
    ("another generator", lambda data: _with(data, 0, data[_point(data, 1)]), "other generators"),
    ("powers in another order", lambda data: _swapped(data, 2, 3), "powers do not belong"),
    ("a power twice", lambda data: _with(data, N - 1, data[_point(data, N - 2)]), "powers do not belong"),
    ("Lagrange points in another order", lambda data: _swapped(data, N, N + 1), "Lagrange points do not belong"),
    ("a Lagrange point twice", lambda data: _with(data, 2 * N - 1, data[_point(data, N)]), "Lagrange points do not"),
    ("another secret in G2", lambda data: data[:-128] + data[-256:-128], "powers do not belong"),
    ("a point outside G2", lambda data: data[:-128] + b"\1" * 128, "not in G2"),
    ("infinity in G2", lambda data: data[:-128] + bytes(128), "not in G2"),
    ("G2 not canonical", lambda data: data[:-256] + b"\xff" * 128 + data[-128:], "not in G2"),
]


@pytest.mark.parametrize(("change", "said"), [(change, said) for _, change, said in BROKEN], ids=[b[0] for b in BROKEN])
def test_check__damaged_or_forged__is_refused_and_left_alone(
    file: Path, whole: bytes, change: Callable[[bytes], bytes], said: str
) -> None:
    data = change(whole)
    file.write_bytes(data)
    with pytest.raises(SrsError) as caught:
        check_srs(file)
    assert said in str(caught.value)
    assert file.read_bytes() == data


def test_check__no_such_file__says_so(tmp_path: Path) -> None:
    with pytest.raises(SrsError, match="cannot be read: No such file"):
        check_srs(tmp_path / "none.srs")
    with pytest.raises(SrsError, match="cannot be read: Is a directory"):
        check_srs(tmp_path)


def test_check__one_secret_in_g1_another_in_g2__is_refused(file: Path, whole: bytes) -> None:
    """Nothing of the file is off its curve; only the pairing tells."""
    other = local_srs(2).path.read_bytes()
    file.write_bytes(whole[:-128] + other[-128:])
    with pytest.raises(SrsError, match="powers do not belong"):
        check_srs(file)


# ---- shortening ----


def test_shorten__to_its_own_k__gives_ezkls_bytes(file: Path, whole: bytes) -> None:
    assert shortened(open_srs(file), K) == whole


def test_shorten__smaller__is_an_srs_of_the_same_secret(file: Path, tmp_path: Path) -> None:
    for k in (1, 3):
        target = tmp_path / f"{k}.srs"
        target.write_bytes(shortened(open_srs(file), k))
        report = check_srs(target, samples=None)
        assert report.k == k
        assert open_srs(target).s_g2 == open_srs(file).s_g2


def test_shorten__larger_or_too_much_work__is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SrsError, match="nothing larger"):
        shortened(open_srs(file), K + 1)
    monkeypatch.setattr("circuits.srs.shorten.LARGEST", 2)
    with pytest.raises(SrsError, match="would take hours"):
        shortened(open_srs(file), 3)
    assert LARGEST == 14


def test_weighted_sum__random_points__is_the_sum_of_multiples() -> None:
    points = [multiply(G1, number * number + 3) for number in range(40)]
    scalars = [pow(7, number, P) for number in range(40)]
    expected = None
    for point, scalar in zip(points, scalars, strict=True):
        expected = add(expected, multiply(point, scalar))
    assert weighted_sum([point for point in points if point], scalars) == expected
    assert weighted_sum([(1, 2), (1, P - 2)], [5, 5]) is None
    assert weighted_sum([], []) is None


# ---- fetching ----


def test_fetch__ceremony_file__comes_whole_from_each_kind_of_place(ceremony: bytes, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / file_name(K)).write_bytes(ceremony)
    (shelf / f"raw-{K}").write_bytes(ceremony)
    with folder_server(shelf) as server:
        for number, source in enumerate(
            (str(shelf), str(shelf / file_name(K)), f"{shelf}/raw-{{k}}", server.url, f"{server.url}/raw-{{k}}")
        ):
            report = fetch_srs(K, source, tmp_path / str(number))
            assert report.path.read_bytes() == ceremony
            assert report.ceremony == "perpetual powers of tau"
            assert not report.devnet_only
            assert [path.name for path in (tmp_path / str(number)).iterdir()] == [file_name(K)]
    found = ceremony_srs(K, tmp_path / "0")
    assert (found.k, found.devnet_only, found.sha256) == (K, False, hashlib.sha256(ceremony).hexdigest())


def test_fetch__another_file_in_its_place__is_thrown_away(tmp_path: Path, whole: bytes) -> None:
    """The published table is the real one here: no local file has such a hash."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / file_name(K)).write_bytes(whole)
    with pytest.raises(StoreError, match="is not the one that was asked for"):
        fetch_srs(K, str(shelf), tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []
    assert (shelf / file_name(K)).read_bytes() == whole


def test_fetch__file_of_the_user_with_another_hash__is_never_touched(ceremony: bytes, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / file_name(K)).write_bytes(b"my own")
    (tmp_path / file_name(K)).write_bytes(ceremony)
    with pytest.raises(StoreError, match="Move it away; nothing was changed"):
        fetch_srs(K, str(tmp_path), home)
    assert (home / file_name(K)).read_bytes() == b"my own"
    with pytest.raises(SrsError, match="not the published"):
        ceremony_srs(K, home)


def test_fetch__larger_file_of_the_ceremony__is_shortened_to_the_published_one(
    ceremony: bytes, file: Path, tmp_path: Path
) -> None:
    report = fetch_srs(K - 1, str(file), tmp_path / "home")
    assert (report.k, report.ceremony) == (K - 1, "perpetual powers of tau")
    assert file.read_bytes() == ceremony


def test_fetch__larger_file_of_another_secret__is_not_shortened(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SrsError, match="no file of the ceremony"):
        fetch_srs(K - 1, str(file), tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_fetch__forged_points_under_the_ceremonys_g2__are_not_shortened(
    ceremony: bytes, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One Lagrange point is wrong and no sample meets it: the hash of what comes out still tells."""
    monkeypatch.setattr(acquire, "check_srs", lambda path, **_: check.SrsReport(path, K, "", None, True, 0))
    file.write_bytes(_with(ceremony, 1, ceremony[_point(ceremony, 2)]))
    with pytest.raises(SrsError, match="not the ceremony's file"):
        fetch_srs(K - 1, str(file), tmp_path / "home")
    assert not (tmp_path / "home" / file_name(K - 1)).exists()


def test_fetch__k_without_a_file__is_refused(tmp_path: Path) -> None:
    for k in (0, 27, -1):
        with pytest.raises(SrsError, match="files for k from 1 to 26"):
            fetch_srs(k, str(tmp_path), tmp_path)
    with pytest.raises(SrsError, match="sibyl srs fetch --k 9"):
        ceremony_srs(9, tmp_path)


def test_fetch__disk_too_small__is_said_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquire, "free_bytes", lambda _: 100)
    with pytest.raises(SrsError, match="Make room"):
        fetch_srs(K, "http://127.0.0.1:9", tmp_path)


# ---- generating, and where ----


def test_generate__for_a_devnet__is_marked_and_copied_once(tmp_path: Path) -> None:
    target = tmp_path / "made.srs"
    made = generate_srs(K, [(Chain.evm(31337), (LOCAL,))], target)
    assert made.devnet_only
    assert check_srs(target).devnet_only
    kept = target.read_bytes()
    with pytest.raises(SrsError, match="is here already"):
        generate_srs(K, [], target)
    assert target.read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == ["made.srs"]


@pytest.mark.parametrize("chain_id", [1, 10, 137, 8453, 11155111, 42161, 31338])
def test_generate__for_a_chain_with_value__is_refused(chain_id: int, tmp_path: Path) -> None:
    target = tmp_path / "made.srs"
    with pytest.raises(SrsError, match=rf"chain {chain_id} is no devnet.*can forge proofs"):
        generate_srs(K, [(Chain.evm(31337), ()), (Chain.evm(chain_id), (LOCAL,))], target)
    assert not target.exists()


@pytest.mark.parametrize("genesis", list(PUBLIC_CLUSTERS))
def test_devnet__public_solana_cluster_through_loopback__is_none(genesis: str) -> None:
    """A tunnel does not make it private; neither does its name “devnet”."""
    assert "is public" in why_no_devnet(Chain.solana(bytes.fromhex(genesis)), (LOCAL,))


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        (LOCAL, True),
        ("http://[::1]:8545", True),
        ("http://localhost:8545", True),
        ("http://10.1.2.3:8545", True),
        ("http://anvil:8545", True),
        ("https://rpc.example.org/key", False),
        ("http://8.8.8.8:8545", False),
        ("http://0.0.0.0:8545", False),
        ("http://[2001:4860:4860::8888]", False),
        ("http://127.0.0.1.example.org", False),
        ("http://", False),
    ],
)
def test_devnet__endpoint__is_of_this_machine_or_a_private_network(url: str, is_one: bool) -> None:
    for chain in (Chain.evm(31337), Chain.evm(1337), Chain.solana(b"\x33" * 32)):
        assert (why_no_devnet(chain, (LOCAL, url)) == "") is is_one


def test_devnet__unknown_solana_cluster_without_endpoint__is_none() -> None:
    assert "name it by a node's configuration" in why_no_devnet(Chain.solana(b"\x33" * 32))
