"""Figures are judged by their bound, whichever direction is better, and written as JSON."""

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from oracle.app import figures
from oracle.app.figures import BOUNDS, Bound, figure, figures_table, write_figures

GAS = "EVM signature check, execution"


def test_bounds__all__have_a_unit_and_a_positive_goal_or_none() -> None:
    for bound in BOUNDS.values():
        assert bound.unit
        assert bound.goal is None or bound.goal > 0
        assert bound.better in ("lower", "higher")


def test_figure__measured_without_a_goal__is_shown_without_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(figures.BOUNDS, "rate", Bound(None, "/s", "higher"))
    told = StringIO()
    Console(file=told, width=100).print(figures_table([figure("rate", 7, "")]))
    assert "7 /s" in told.getvalue()
    assert "met" not in told.getvalue()


@pytest.mark.parametrize(("value", "met"), [(4_599.9, True), (4_600, True), (4_600.01, False)])
def test_figure__lower_is_better__is_met_up_to_the_goal(value: float, met: bool) -> None:
    found = figure(GAS, value, "make bench")
    assert (found.met, found.unit, found.goal, found.command) == (met, "gas", 4_600, "make bench")


@pytest.mark.parametrize(("value", "met"), [(9.9, False), (10, True), (11, True)])
def test_figure__higher_is_better__is_met_from_the_goal_on(
    monkeypatch: pytest.MonkeyPatch, value: float, met: bool
) -> None:
    monkeypatch.setitem(figures.BOUNDS, "rate", Bound(10, "/s", "higher"))
    assert figure("rate", value, "").met is met


def test_figure__just_over_the_goal__is_not_met_by_rounding() -> None:
    assert not figure(GAS, 4_600.0001, "").met


def test_figure__without_a_bound__is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        figure("no such figure", 1, "")


def test_table__met_and_missed__are_told_apart_in_plain_text() -> None:
    text = StringIO()
    table = figures_table([figure(GAS, 4_000, ""), figure("Solana program", 70_000, "")])
    Console(file=text, width=120).print(table)
    met, missed = (line for line in text.getvalue().splitlines() if "gas" in line or "bytes" in line)
    assert "4,000 gas" in met
    assert "≤ 4,600" in met
    assert met.rstrip().endswith(" met")
    assert "not met" not in met
    assert missed.rstrip().endswith("not met")
    assert "61,440" in missed


def test_write__figures__come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bench.json"
    write_figures([figure(GAS, 4_000.12345, "make bench")], path)
    (row,) = json.loads(path.read_text())
    assert row == {
        "name": GAS, "value": 4000.123, "unit": "gas", "goal": 4600, "better": "lower", "met": True, "command": "make bench",
    }  # fmt: skip
