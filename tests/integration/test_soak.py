"""Two minutes of chaos: every request answered once or refunded, no transfer lost or doubled, no node that gives up, no process left behind.

A maintainer runs it for longer, and with other seeds, by `sibyl soak --minutes N`.
"""

import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from oracle.app.chaos.plan import What
from oracle.app.chaos.soak import Wanted, soak
from oracle.app.toolchain import ensure_toolchain

pytestmark = [pytest.mark.devnet, pytest.mark.slow, pytest.mark.timeout(1_500)]

SECONDS = 120.0
SEED = int(os.environ.get("SIBYL_SOAK_SEED", "20261123"))


async def test_soak__two_minutes_of_faults__nothing_is_lost_doubled_or_leaked(tmp_path: Path) -> None:
    print(f"seed {SEED}; another one by SIBYL_SOAK_SEED")
    report = await soak(ensure_toolchain(lambda _: None), Wanted(SECONDS, SEED, directory=tmp_path / "devnet"), print)
    Console(width=150).print(report.table())
    assert report.well, [one for one in report.verdicts if not one.well]
    assert json.loads(report.to_json())["ok"]
    # The storm was one: most kinds happened, nodes died, and a good part of the traffic went out.
    assert len(report.faults) >= len(What) - 2
    assert report.faults["kill"] >= 1
    assert sum(report.sent.values()) >= 10
    assert report.faults["poison"] >= 1  # how many lies that makes depends on what the victim asks meanwhile
