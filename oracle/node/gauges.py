"""What a node is like at the moment of a scrape: chains, endpoints, peers, money, signing and periodic jobs, as Prometheus families.

Computed from the node's own state when `/metrics` is asked for; nothing is stored here. Names and labels are described in
oracle/docs/OPERATING.md, and the alert rules and the dashboard under oracle/ops rest on them.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from oracle.node.agreement import EndpointHealth
from oracle.node.care import Care
from oracle.node.core import Node
from oracle.protocol.constants import PROTOCOL_VERSION

Rows = Mapping[Any, float]
"""By label values: a tuple of as many strings as the family has labels."""


@dataclass(frozen=True, slots=True)
class SigningCounts:
    """What this member's coordinators and in-process signers have seen since the node started.

    `members`: by member and what ("malicious", "passed_over", "overtaken"); `refusals` of this signer: by coordinator and code.
    """

    signatures: int = 0
    failures: int = 0
    sessions: int = 0
    shares: int = 0
    members: Mapping[tuple[int, str], int] = field(default_factory=dict)
    refusals: Mapping[tuple[int, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class NodeCollector(Collector):
    """Families of one node."""

    node: Node
    care: Care
    signing: Callable[[], SigningCounts]
    software: str

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        info = {(self.software, str(PROTOCOL_VERSION)): 1.0}
        yield _gauge("build_info", "Software and protocol version", ("version", "protocol"), info)
        yield from self._messages()
        yield from self._chains()
        yield from self._endpoints()
        yield from self._peers()
        yield from self._money()
        yield from self._signing()
        yield from self._jobs()

    def _messages(self) -> Iterator[Metric]:
        works = list(self.node.pipeline.works())
        stages = Counter(work.stage.value for work in works)
        yield _gauge("messages", "Messages, by stage", ("stage",), {(stage,): count for stage, count in stages.items()})
        dead = sum(len(work.dead) for work in works)
        yield _gauge("dead_letters", "Messages given up, that wait for the operator", (), {(): dead})
        oldest = min((work.observed_at for work in self.node.pipeline.open_works()), default=None)
        age = 0.0 if oldest is None else max(0.0, (self.node.clock() - oldest) / 1000)
        yield _gauge("oldest_open_seconds", "Age of the oldest message that is not yet confirmed", (), {(): age})

    def _chains(self) -> Iterator[Metric]:
        now = time.monotonic()
        ages: dict[tuple[str, ...], float] = {}
        cursors: dict[tuple[str, ...], float] = {}
        held: dict[tuple[str, ...], float] = {}
        for origin, health in self.node.readers.items():
            chain = (str(origin.chain),)
            ages[chain] = math.inf if health.last_success is None else now - health.last_success
            cursors[chain], held[chain] = health.cursor, health.held
        yield _gauge("chain_seconds_since_read", "Since a chain was last read", ("chain",), ages)
        yield _gauge("chain_cursor", "Where reading goes on: a block (EVM) or a sequence (Solana)", ("chain",), cursors)
        yield _gauge(
            "chain_held", "1 while a chain waits for room: too many of its messages are open", ("chain",), held
        )

    def _endpoints(self) -> Iterator[Metric]:
        labels = ("chain", "endpoint")
        known = {
            (str(origin.chain), one.name): one
            for origin, several in self.node.ports.endpoints.items()
            for one in several
        }

        def told(what: Callable[[EndpointHealth], float]) -> Rows:
            return {place: what(one) for place, one in known.items()}

        now = time.monotonic()
        yield _counter("endpoint_answers", "Answers of an RPC endpoint", labels, told(lambda one: one.answers))
        yield _counter("endpoint_failures", "Failures of an RPC endpoint", labels, told(lambda one: one.failures))
        yield _counter("endpoint_slow", "Times an RPC endpoint was not waited for", labels, told(lambda one: one.slow))
        wrong = told(lambda one: one.contradictions)
        yield _counter("endpoint_contradictions", "Times an RPC endpoint contradicted the others", labels, wrong)
        resting = told(lambda one: one.rests_until > now)
        yield _gauge("endpoint_resting", "1 while an RPC endpoint is not asked", labels, resting)

    def _peers(self) -> Iterator[Metric]:
        watch = self.care.peers
        peers = {} if watch is None else watch.peers
        up = {(str(who),): float(not one.last_error and one.last_answer is not None) for who, one in peers.items()}
        yield _gauge("peer_up", "1 while a member answers greetings", ("peer",), up)
        differs = {(str(who),): float(len(one.differences)) for who, one in peers.items()}
        yield _gauge("peer_differences", "What keeps a member from working with this one", ("peer",), differs)
        reachable = {} if watch is None or not watch.looks else {(): float(watch.reachable)}
        yield _gauge("members_reachable", "Members that answer, this one among them", (), reachable)
        needed = {} if watch is None else {(): float(watch.needed)}
        yield _gauge("members_needed", "Members that must sign", (), needed)

    def _money(self) -> Iterator[Metric]:
        labels = ("chain", "unit")
        seen = {(one.chain, one.unit): one.amount for one in self.care.purses if one.amount is not None}
        yield _gauge("balance", "What this node's account holds, in whole coins", labels, seen)
        low = {(one.chain, one.unit): one.low for one in self.care.purses}
        yield _gauge("balance_low", "The configured threshold below which it is to be funded", labels, low)
        days = {(one.what,): one.days() for one in self.care.dated if one.least is not None}
        yield _gauge("days_left", "Until something ends that must be renewed", ("what",), days)

    def _signing(self) -> Iterator[Metric]:
        counts = self.signing()
        yield _counter("frost_signatures", "Signatures that this node coordinated", (), {(): counts.signatures})
        yield _counter(
            "frost_failures", "Signings that it coordinated and that came to nothing", (), {(): counts.failures}
        )
        yield _counter("frost_sessions", "Signing sessions that it opened", (), {(): counts.sessions})
        yield _counter("frost_shares", "Signature shares that its own signer gave", (), {(): counts.shares})
        members = {(str(who), what): float(count) for (who, what), count in counts.members.items()}
        yield _counter("frost_excluded", "Members left out of a signing, and why", ("peer", "why"), members)
        refusals = {(str(who), code): float(count) for (who, code), count in counts.refusals.items()}
        yield _counter(
            "frost_refusals", "Coordinators that its own signer refused, and why", ("peer", "code"), refusals
        )

    def _jobs(self) -> Iterator[Metric]:
        jobs = self.care.jobs.values()
        yield _counter("job_runs", "Runs of a periodic job", ("task",), {(job.name,): job.runs for job in jobs})
        yield _counter(
            "job_failures", "Failed runs of a periodic job", ("task",), {(job.name,): job.failures for job in jobs}
        )
        last = {(job.name,): job.last_run for job in jobs if job.last_run is not None}
        yield _gauge("job_last_run", "When a periodic job last began, in Unix seconds", ("task",), last)
        yield _gauge("warnings", "Things an operator should look at", (), {(): float(len(self.care.warnings()))})


def _gauge(name: str, doc: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = GaugeMetricFamily(f"sibyl_{name}", doc, labels=labels)
    for values, value in rows.items():
        family.add_metric(values, value)
    return family


def _counter(name: str, doc: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    family = CounterMetricFamily(f"sibyl_{name}", doc, labels=labels)
    for values, value in rows.items():
        family.add_metric(values, value)
    return family
