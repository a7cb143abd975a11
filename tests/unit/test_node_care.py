"""What an operator must care for: money that runs out, keys that grow old, jobs that fail; none of it holds the node up."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from oracle.errors import JournalError, Transient
from oracle.node.care import Care, Dated, JobState, Purse
from oracle.node.schedule import periodic_work
from oracle.node.status import health
from tests.support.network import Network


class Account:
    def __init__(self, amount: float) -> None:
        self.amount = amount
        self.broken = False

    async def ask(self) -> tuple[str, float]:
        if self.broken:
            raise Transient("The endpoint is down.")
        return "0xabc", self.amount


def purse(account: Account) -> Purse:
    return Purse("eip155:1", "ether", 1.0, account.ask)


async def test_money__enough__has_nothing_to_say() -> None:
    care = Care(purses=(purse(Account(1.0)),))
    await care.look_at_money()
    assert care.warnings() == ()


async def test_money__runs_low__is_warned_of_once_in_the_log_and_always_in_the_status_until_funded() -> None:
    account = Account(0.25)
    care = Care(purses=(purse(account),))
    assert care.warnings() == (), "before the first look nothing is known"
    with capture_logs() as logs:
        await care.look_at_money()
        await care.look_at_money()
    assert [line["event"] for line in logs] == ["balance low"]
    assert care.warnings() == ("0xabc on eip155:1 holds 0.2500 ether, less than the 1 of low_balance: fund it.",)
    account.broken = True
    await care.look_at_money()
    assert care.warnings(), "what was seen last counts while a chain is silent"
    assert care.purses[0].last_error == "The endpoint is down."
    account.broken, account.amount = False, 5.0
    await care.look_at_money()
    assert care.warnings() == ()


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (
            Dated("The certificate", lambda: 29.5, least=30, mend="Renew it."),
            "The certificate ends in 30 days. Renew it.",
        ),
        (Dated("The certificate", lambda: -3, least=30, mend="Renew it."), "The certificate ends in 0 days. Renew it."),
        (Dated("The share", lambda: 400, most=365, mend="Hand it on."), "The share is 400 days old. Hand it on."),
    ],
)
def test_keys__grown_old__say_what_to_do(one: Dated, said: str) -> None:
    assert Care(dated=(one,)).warnings() == (said,)


def test_keys__young_enough__say_nothing() -> None:
    young = (Dated("a", lambda: 31, least=30), Dated("b", lambda: 365, most=365))
    assert Care(dated=young).warnings() == ()


async def test_job__that_fails__is_counted_shown_and_run_again() -> None:
    care = Care(jobs={"prune": JobState("prune", 60)}, clock=lambda: 1_000.0)
    failing = True

    async def work() -> None:
        if failing:
            raise JournalError("The disk is full.")

    await care.run_job("prune", work)
    job = care.jobs["prune"]
    assert (job.runs, job.failures, job.last_run, job.last_error) == (1, 1, 1_000.0, "The disk is full.")
    assert care.warnings() == ("The periodic job prune fails: The disk is full.",)
    failing = False
    await care.run_job("prune", work)
    assert (job.runs, job.failures, care.warnings()) == (2, 1, ())


async def test_job__bug__is_not_swallowed() -> None:
    care = Care(jobs={"prune": JobState("prune", 60)})

    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await care.run_job("prune", work)


async def test_periodic_work__node_starts__looks_at_once_and_shows_it_in_its_health(tmp_path: Path) -> None:
    async with Network(tmp_path) as network:
        node = network.start(1).running
        care = Care(purses=(purse(Account(0.5)),))
        async with periodic_work(node, care), asyncio.timeout(60):
            while not (care.jobs["money"].runs and care.purses[0].amount is not None and care.jobs["peers"].runs):
                await asyncio.sleep(0.01)
        _, report = health(node, care)
    assert report["warnings"] == list(care.warnings())
    assert report["accounts"] == [{"chain": "eip155:1", "account": "0xabc", "amount": 0.5, "unit": "ether", "low": 1.0}]
    jobs = {job["name"]: job for job in report["jobs"]}  # type: ignore[attr-defined]  # a list of dictionaries
    assert set(jobs) == {"health", "peers", "money", "keys", "prune"}
    assert jobs["money"]["last_error"] == ""
