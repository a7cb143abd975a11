"""A committee's epochs as several endpoints tell them: what k agree on counts, and one that lies decides nothing."""

from dataclasses import dataclass, replace

import pytest

from bridges.evm.committee import CommitteeState
from oracle.app.epochs import AgreedEpochs
from oracle.app.keyring import EpochView
from oracle.errors import Transient
from oracle.node.agreement import Endpoints
from oracle.protocol.types import Account, CommitteeEpoch, UnixSeconds
from tests.support.samples import seeded

KEEPER = Account(seeded("keeper"))
STATE = CommitteeState(CommitteeEpoch(3), seeded("key"), 1, UnixSeconds(10), UnixSeconds(0), 3, 4)


@dataclass
class View:
    """What one endpoint tells."""

    state: CommitteeState | None = STATE
    up: bool = True

    async def keeper(self) -> Account:
        self._answer()
        return KEEPER

    async def active(self) -> CommitteeState:
        found = self._answer()
        assert found is not None
        return found

    newest = active

    async def epoch(self, epoch: CommitteeEpoch) -> CommitteeState | None:
        found = self._answer()
        return found if found is not None and found.epoch == epoch else None

    def _answer(self) -> CommitteeState | None:
        if not self.up:
            raise Transient("The endpoint in memory is down.")
        return self.state


def agreed(*views: View) -> tuple[AgreedEpochs, Endpoints[EpochView]]:
    named: list[tuple[str, EpochView]] = [(f"endpoint {number}", view) for number, view in enumerate(views)]
    endpoints = Endpoints.of(named, 2, "eip155:31337")
    endpoints.grace = 0.01
    return AgreedEpochs(endpoints), endpoints


async def test_agreed_epochs__all_alike__are_told() -> None:
    epochs, _ = agreed(View(), View(), View())
    assert await epochs.keeper() == KEEPER
    assert await epochs.active() == await epochs.newest() == await epochs.epoch(CommitteeEpoch(3)) == STATE
    assert await epochs.epoch(CommitteeEpoch(9)) is None


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_agreed_epochs__one_endpoint_ends_the_epoch_early__is_outvoted_and_named(place: int) -> None:
    lie = replace(STATE, epoch=CommitteeEpoch(4), px=seeded("thief"))
    epochs, endpoints = agreed(*(View(lie if number == place else STATE) for number in range(3)))
    assert await epochs.active() == STATE
    assert [one.contradictions for one in endpoints.health] == [int(number == place) for number in range(3)]


async def test_agreed_epochs__one_endpoint_down__the_others_are_enough() -> None:
    epochs, _ = agreed(View(up=False), View(), View())
    assert await epochs.newest() == STATE


async def test_agreed_epochs__no_two_alike__is_transient_and_never_a_guess() -> None:
    epochs, _ = agreed(View(), View(replace(STATE, parity=0)), View(up=False))
    with pytest.raises(Transient, match="do not agree on the active epoch: 2 of 3 must say the same"):
        await epochs.active()


async def test_agreed_epochs__two_of_three_down__is_transient() -> None:
    epochs, _ = agreed(View(), View(up=False), View(up=False))
    with pytest.raises(Transient, match="must agree"):
        await epochs.active()
