"""Prometheus metrics of one node, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from oracle.pipeline import Event, Work
from oracle.ports import Receipt
from oracle.protocol.message import Message

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Counts what the node learnt, delivered and failed at. Names follow Prometheus conventions; times are seconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.events = self._counter("events", "Events of the pipeline, by kind", "kind")
        self.failures = self._counter("failures", "Failed attempts, by duty and error", "duty", "error")
        self.refused_to_sign = self._counter("refused_to_sign", "Signing requests for what this node had not reached")
        self.bad_proofs = self._counter("bad_proofs", "Proofs of peers that did not hold", "peer")
        self.bad_signatures = self._counter("bad_signatures", "Signatures of peers that did not hold", "peer")
        self.signatures = self._counter("signatures", "Committee signatures that this node coordinated")
        self.messages_signed = self._counter("messages_signed", "Works that those signatures covered")
        self.deliveries = self._counter("deliveries", "Deliveries made by this node, by chain", "chain")
        self.delivery_cost = self._counter("delivery_cost", "Gas or compute units of this node's deliveries", "chain")
        self.open_works = Gauge("sibyl_open_works", "Messages not yet confirmed everywhere", registry=self.registry)
        self.alarms = Gauge("sibyl_alarms", "Things an operator must look at at once", registry=self.registry)
        self.proof_seconds = Histogram(
            "sibyl_proof_seconds", "Time of making one proof", buckets=_SECONDS, registry=self.registry
        )
        self.request_seconds = Histogram(
            "sibyl_request_seconds",
            "From a message's observation to its last delivery",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._finished: set[bytes] = set()

    def _counter(self, name: str, doc: str, *labels: str) -> Counter:
        return Counter(f"sibyl_{name}", doc, labels, registry=self.registry)

    def recorded(self, event: Event, work: Work) -> None:
        """An event was recorded, and this is its work now."""
        self.events.labels(kind=type(event).__name__).inc()
        if work.deliverables and work.delivered >= work.deliverables.keys() and event.work_id not in self._finished:
            self._finished.add(event.work_id)
            self.request_seconds.observe((event.at - work.observed_at) / 1000)
        if work.finished:
            self._finished.discard(event.work_id)

    def failed(self, duty: str, error: Exception) -> None:
        """An attempt failed in an expected way."""
        self.failures.labels(duty=duty, error=type(error).__name__).inc()

    def signed(self, works: int) -> None:
        """This node coordinated a signature over so many works."""
        self.signatures.inc()
        self.messages_signed.inc(works)

    def delivered(self, message: Message, receipt: Receipt) -> None:
        """This node delivered."""
        chain = str(message.destination.chain)
        self.deliveries.labels(chain=chain).inc()
        self.delivery_cost.labels(chain=chain).inc(receipt.cost)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
