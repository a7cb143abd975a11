"""What we rely on of ezkl for reference strings: its table of the ceremony's hashes is ours, and what its `gen_srs` makes is what we call an SRS."""

from pathlib import Path

import ezkl

from circuits.compile import run_step
from circuits.srs.check import check_srs
from circuits.srs.format import open_srs, size_of
from circuits.srs.published import PUBLISHED
from circuits.srs.shorten import shortened


def test_ezkl__its_table_of_hashes__is_ours_in_the_same_order() -> None:
    (library,) = Path(ezkl.__file__).parent.glob("ezkl*.so")
    assert "".join(PUBLISHED.values()).encode() in library.read_bytes()


def test_ezkl__srs_that_it_makes__is_new_each_time_and_sound(tmp_path: Path) -> None:
    found = set()
    for number in range(2):
        directory = tmp_path / str(number)
        directory.mkdir()
        run_step("srs", directory, 120.0, logrows=5)
        report = check_srs(directory / "kzg.srs", samples=None)
        assert (directory / "kzg.srs").stat().st_size == size_of(5)
        found.add(report.sha256)
    assert len(found) == 2


def test_ezkl__its_lagrange_basis__is_the_one_that_shortening_computes(tmp_path: Path) -> None:
    run_step("srs", tmp_path, 120.0, logrows=6)
    assert shortened(open_srs(tmp_path / "kzg.srs"), 6) == (tmp_path / "kzg.srs").read_bytes()
