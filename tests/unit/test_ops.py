"""What operators are given rests on what a node really shows: alert rules, dashboard, unit and container file against the code."""

import json
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from oracle.errors import Transient
from oracle.node.agreement import EndpointHealth
from oracle.node.care import Care, Dated, JobState, Purse
from oracle.node.gauges import SigningCounts
from oracle.node.peers import Greeting, PeerWatch
from oracle.node.status import application
from tests.support.network import Network
from tests.support.samples import EVM, evm_request

ROOT = Path(__file__).resolve().parents[2]
OPS = ROOT / "oracle" / "ops"
NAME = re.compile(r"\b(?:sibyl|process)_[a-z_]+\b")
SELECTOR = re.compile(r"\b((?:sibyl|process)_[a-z_]+)\{([^}]*)\}")
BY_PROMETHEUS = {"instance", "job"}
"""Labels that the scrape adds."""

Shown = dict[str, set[str]]


class Silent:
    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        raise Transient("nobody is there")


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        yield made


@pytest.fixture
async def shown(network: Network) -> Shown:
    """Every metric of a node that has done something of each kind, with its labels; by name as queries have it."""
    for identifier in (1, 2, 3, 4):
        network.start(identifier)
    request = evm_request()
    network.evm.append(request)
    await network.until(lambda: network.delivered(network.evm, request))
    await network.until(lambda: network.everyone_finished((1, 2, 3, 4)), 60)
    node = network.members[1].running
    for metric in (node.metrics.bad_proofs, node.metrics.bad_signatures):
        metric.labels(peer="2").inc()
    node.metrics.failures.labels(duty="read", error="Transient").inc()
    node.metrics.deliveries.labels(chain=str(EVM.chain)).inc(0)
    node.metrics.delivery_cost.labels(chain=str(EVM.chain)).inc(0)
    endpoints = {EVM: (EndpointHealth("one.example:8545"),)}
    object.__setattr__(node.ports, "endpoints", endpoints)  # a network in memory has one endpoint a chain
    care = Care(
        PeerWatch(Greeting("1", {1: "aa"}), {2: Silent()}, 3, looks=1),
        (Purse("eip155:1", "ether", 1.0, lambda: None, "0x1", 0.5),),  # type: ignore[arg-type, return-value]  # not asked here
        (Dated("This member's certificate", lambda: 99.0, least=30),),
        {"health": JobState("health", 30, last_run=time.time())},
    )
    counts = SigningCounts(1, 1, 2, 3, {(2, "malicious"): 1}, {(3, "not_authorised"): 1})
    async with TestClient(TestServer(application(node, care, lambda: counts), host="127.0.0.1")) as window:
        text = await (await window.get("/metrics")).text()
    found: Shown = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules() -> Iterator[tuple[str, str]]:
    for group in yaml.safe_load((OPS / "alerts.yaml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def panels() -> Iterator[tuple[str, str, str]]:
    for panel in json.loads((OPS / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def check(what: str, query: str, shown: Shown, further: str = "") -> None:
    """Every metric of the query exists, and every label that it selects or groups by, or that `further` text shows, is on one of them."""
    names = set(NAME.findall(query)) - {"process"}
    assert names or query.startswith("up{"), what
    assert names <= shown.keys(), f"{what}: {names - shown.keys()} is no metric of a node"
    labels = set().union(*(shown[name] for name in names)) | BY_PROMETHEUS
    for name, selectors in SELECTOR.findall(query):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors):
            assert label in shown[name] | BY_PROMETHEUS, f"{what}: {name} has no label {label}"
    for grouped in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query):
        assert {label.strip() for label in grouped.split(",")} <= labels, f"{what}: ({grouped})"
    assert set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", further)) - {"value"} <= labels, f"{what}: {further}"


async def test_alerts__every_metric_and_label__is_in_a_nodes_own_metrics(shown: Shown) -> None:
    texts = {
        rule["alert"]: " ".join(rule["annotations"].values())
        for group in yaml.safe_load((OPS / "alerts.yaml").read_text())["groups"]
        for rule in group["rules"]
    }
    for name, query in rules():
        check(name, query, shown, texts[name])
    names = {name for name, _ in rules()}
    wanted = ("Stalled", "Behind", "LowBalance", "QuorumLost", "InvariantBroken", "DeadLetters")
    assert {f"Sibyl{one}" for one in wanted} <= names


async def test_dashboard__every_metric_and_label__is_in_a_nodes_own_metrics(shown: Shown) -> None:
    for title, query, legend in panels():
        check(title, query, shown, legend)
    places = [
        (panel["gridPos"]["x"], panel["gridPos"]["y"])
        for panel in json.loads((OPS / "dashboard.json").read_text())["panels"]
    ]
    assert len(set(places)) == len(places), "no panel lies on another"


async def test_operating__every_metric_of_the_code__is_described_with_its_labels_and_no_other(shown: Shown) -> None:
    rows = re.findall(r"^\| `(sibyl_\w+)` \|([^|]*)\|", (ROOT / "oracle/docs/OPERATING.md").read_text(), re.MULTILINE)
    described = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    real: Shown = {}
    for name, labels in shown.items():
        base = (
            re.sub(r"_(bucket|sum|count|created)$", "", name)
            if re.search("seconds_(bucket|sum|count)$", name)
            else name
        )
        if base.startswith("sibyl_") and not base.endswith("_created"):
            real.setdefault(base, set()).update(labels)
    assert described == real


def test_unit__systemd_itself__finds_no_fault() -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("there is no systemd here")
    found = subprocess.run(
        [tool, "verify", "--man=no", str(OPS / "sibyl-node.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # The program lies where the operator installs it; all else must be right.
    said = [line for line in found.stderr.splitlines() if "is not executable" not in line and line.strip()]
    assert said == []


@pytest.mark.parametrize(
    "line",
    [
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "LimitCORE=0",
        "Restart=on-failure",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ],
)
def test_unit__hardening__is_there(line: str) -> None:
    assert line in (OPS / "sibyl-node.service").read_text().splitlines()


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the container file; continued lines joined, comments left out."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", (OPS / "Containerfile").read_text(), flags=re.MULTILINE))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def test_containerfile__what_it_copies__exists_and_it_does_not_run_as_root() -> None:
    steps = instructions()
    copied = [shlex.split(rest) for step, rest in steps if step == "COPY" and "--from" not in rest]
    sources = [source for parts in copied for source in parts[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
    packages = {"oracle", "bridges", "circuits", "contracts"}
    assert packages <= {source.rstrip("/") for source in sources}
    assert int(next(rest for step, rest in steps if step == "USER")) > 0
    assert json.loads(next(rest for step, rest in steps if step == "CMD"))[:2] == ["node", "run"]
    assert {step for step, _ in steps} <= {
        "FROM", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
