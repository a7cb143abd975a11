"""The measurement of `make bench` runs, whatever it measures: a small committee, few signatures."""

from __future__ import annotations

import pytest

from oracle.app import scale
from oracle.app.scale import BOUNDS, Effort, frost_figures


async def test_frost_figures__small_effort__measures_everything_and_says_what_is_under_way() -> None:
    told: list[str] = []
    effort = Effort(sizes=(4, 5), singles=3, at_once=4, messages=600)
    measured = await frost_figures(told.append, effort)
    assert {figure.name for figure in measured.figures} == set(BOUNDS) - {scale.LARGE}
    assert all(figure.value > 0 for figure in measured.figures)
    assert [(row.threshold, row.members) for row in measured.rows] == [(3, 4), (4, 5)]
    for row in measured.rows:
        assert row.signer_bytes == 68 + 102  # a commitment; a share with the next commitment
        assert min(row.dkg_bytes, row.coordinator_bytes) > 0
        assert min(row.dkg_party, row.sign, row.sign_party, row.faulty_rate) > 0
        assert all(rate is None or rate > 0 for rate in row.rates)
        assert 1 <= row.faulty_sessions <= row.members - row.threshold + 1
    assert len(told) == 3
    assert measured.table().row_count == 2


async def test_frost_figures__no_time_left__leaves_out_what_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "SECONDS", 0.0)
    monkeypatch.setattr(scale, "PATIENCE", 0.0)
    measured = await frost_figures(lambda _: None, Effort(sizes=(4, 5), singles=1, at_once=1, messages=1))
    assert [row.members for row in measured.rows] == [4]
    assert [rate is None for rate in measured.rows[0].rates] == [False, True, True]
    assert "–" in [cell for column in measured.table().columns for cell in column.cells]
