"""The operator's window on a node that works: health, metrics, messages and proofs, and nothing for who asks amiss."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from bridges.frost.signing import verify_encoded
from oracle.node import Node
from oracle.node.status import STALE_SECONDS, application
from oracle.pipeline import Stage
from oracle.protocol.hashing import branch_signing_hash, keccak256
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import Digest, Policy, Status
from tests.support.network import Network
from tests.support.samples import EVM, SOLANA, evm_request, plain_message

ALL = (1, 2, 3, 4)
ANSWER = Outcome(Status.ANSWERED, (2,), 13)


@pytest.fixture
async def network(tmp_path: Path) -> AsyncIterator[Network]:
    async with Network(tmp_path) as made:
        yield made


def open_window(node: Node) -> TestClient:  # type: ignore[type-arg]  # the request type does not matter
    return TestClient(TestServer(application(node), host="127.0.0.1"))


async def answered(network: Network, *requests: Message) -> None:
    for identifier in ALL:
        network.start(identifier)
    network.evm.append(*requests)
    await network.until(lambda: all(network.delivered(network.evm, request) for request in requests))
    await network.until(lambda: network.everyone_finished(ALL), 30)


async def test_health__both_chains_read__is_well(network: Network) -> None:
    node = network.start(1).running
    await network.until(lambda: all(reader.last_success is not None for reader in node.readers.values()))
    async with open_window(node) as window:
        reply = await window.get("/health")
        report = await reply.json()
    assert reply.status == 200
    assert (report["ok"], report["member"], report["committee"]) == (True, 1, [1, 2, 3, 4])
    assert set(report["chains"]) == {str(EVM.chain), str(SOLANA.chain)}
    assert all(chain["last_error"] == "" for chain in report["chains"].values())


async def test_health__chain_never_read__is_unwell_and_says_why(network: Network) -> None:
    network.solana.available = False
    node = network.start(1).running
    await network.until(lambda: node.readers[SOLANA].last_error != "")
    async with open_window(node) as window:
        reply = await window.get("/health")
        report = await reply.json()
    assert reply.status == 503
    assert not report["ok"]
    chain = report["chains"][str(SOLANA.chain)]
    assert chain["seconds_since_read"] is None
    assert chain["last_error"] == "The endpoint in memory is down."


async def test_health__chain_read_too_long_ago__is_unwell(network: Network) -> None:
    node = network.start(1).running
    await network.until(lambda: all(reader.last_success is not None for reader in node.readers.values()))
    network.evm.available = False
    await network.until(lambda: node.readers[EVM].last_error != "")
    async with open_window(node) as window:
        assert (await window.get("/health")).status == 200, "a short failure is none of health's business"
        node.readers[EVM].last_success = time.monotonic() - STALE_SECONDS - 1
        reply = await window.get("/health")
        assert reply.status == 503
        assert (await reply.json())["chains"][str(EVM.chain)]["seconds_since_read"] > STALE_SECONDS


async def test_messages__delivered_request__shows_all_that_a_relayer_needs(network: Network) -> None:
    request = evm_request(policy=Policy.BOTH)
    await answered(network, request)
    node = next(m.running for m in network.members.values() if m.running.pipeline.work(request.digest).attestation)  # type: ignore[union-attr]  # everyone finished
    home, remote = result_messages(request, ANSWER)
    async with open_window(node) as window:
        replies = [
            await window.get(f"/messages/{text}") for text in ("0x" + request.digest.hex(), request.digest.hex())
        ]
        shown = await replies[0].json()
        assert [reply.status for reply in replies] == [200, 200]
        assert shown == await replies[1].json()
        by_result = await (await window.get(f"/messages/0x{remote.digest.hex()}")).json()
        assert by_result == shown, "a result is found under its own digest, too"
        proof = await window.get(f"/proofs/{shown['proof']['id']}")
        assert proof.status == 200
        assert "0x" + keccak256(await proof.read()).hex() == shown["proof"]["id"]
    assert shown["id"] == "0x" + request.digest.hex()
    assert shown["stage"] == Stage.CONFIRMED.value
    assert Message.from_bytes(bytes.fromhex(shown["body"][2:])) == request
    assert shown["outcome"] == {"status": "answered", "outputs": [2]}
    assert shown["observed_at"] <= shown["inferred_at"] <= shown["ready_at"] <= shown["attested_at"]
    assert shown["proof"]["prover"] in ALL
    assert [entry["digest"] for entry in shown["deliverables"]] == ["0x" + m.digest.hex() for m in (home, remote)]
    signature = bytes.fromhex(shown["attestation"]["signature"][2:])
    for entry, message in zip(shown["deliverables"], (home, remote), strict=True):
        assert Message.from_bytes(bytes.fromhex(entry["body"][2:])) == message
        assert entry["signed"]
        assert entry["delivered"]
        assert entry["confirmed"]
        branch = [bytes.fromhex(one[2:]) for one in entry["branch"]]
        assert verify_encoded(network.evm.group_key, signature, branch_signing_hash(message.digest, branch))


async def test_messages__receipts__are_shown_by_who_delivered(network: Network) -> None:
    request = evm_request(policy=Policy.PROVEN, remotes=())
    await answered(network, request)
    receipts, proofs = [], []
    for member in network.members.values():
        async with open_window(member.running) as window:
            shown = await (await window.get(f"/messages/0x{request.digest.hex()}")).json()
        (entry,) = shown["deliverables"]
        assert not entry["signed"]
        assert entry["branch"] is None
        assert shown["attestation"] is None
        receipts += [entry["receipt"]] if entry["receipt"] else []
        proofs += [shown["proof"]["seconds"]] if shown["proof"] and shown["proof"]["seconds"] is not None else []
    assert [receipt["cost"] for receipt in receipts] == [1]
    assert receipts[0]["transaction"].startswith("memory:")
    assert proofs, "who made the proof knows how long it took"


async def test_messages__fresh_message__has_gaps_and_no_error(network: Network) -> None:
    node = network.start(1).running
    message = plain_message()
    network.evm.append(message)
    await network.until(lambda: node.pipeline.work(message.digest) is not None)
    async with open_window(node) as window:
        shown = await (await window.get(f"/messages/0x{message.digest.hex()}")).json()
    assert (shown["stage"], shown["outcome"], shown["proof"], shown["attestation"]) == ("observed", None, None, None)
    assert [(one["branch"], one["delivered"], one["receipt"]) for one in shown["deliverables"]] == [(None, False, None)]


@pytest.mark.parametrize("what", ["messages", "proofs"])
async def test_window__unknown_or_malformed_id__is_said_in_words(network: Network, what: str) -> None:
    node = network.start(1).running
    async with open_window(node) as window:
        unknown = await window.get(f"/{what}/0x{'ab' * 32}")
        assert unknown.status == 404
        assert (await unknown.text()).startswith("This node ")
        for text in ("0x", "0xabcd", "zz" * 32, "ab" * 33, "0x0x" + "ab" * 32, "..%2f..%2fetc%2fpasswd"):
            reply = await window.get(f"/{what}/{text}")
            assert reply.status == 400, text
            assert await reply.text() == "Give 32 bytes in hexadecimal."


async def test_window__anything_but_reading__is_refused(network: Network) -> None:
    node = network.start(1).running
    async with open_window(node) as window:
        assert (await window.get("/")).status == 404
        for path in ("/health", "/metrics", f"/messages/{'ab' * 32}"):
            for method in ("POST", "PUT", "DELETE"):
                assert (await window.request(method, path)).status == 405


async def test_metrics__after_a_delivery__count_what_happened(network: Network) -> None:
    request = evm_request()
    await answered(network, request)
    totals: dict[str, float] = {}
    for member in network.members.values():
        async with open_window(member.running) as window:
            reply = await window.get("/metrics")
            assert reply.status == 200
            assert reply.headers["Content-Type"].startswith("text/plain")
            text = await reply.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = sample.name + "".join(f"|{value}" for value in sample.labels.values())
                totals[key] = totals.get(key, 0) + sample.value
    assert totals["sibyl_events_total|Observed"] == 4
    assert totals["sibyl_events_total|Inferred"] == 4
    assert totals["sibyl_events_total|Confirmed"] == 8
    assert totals["sibyl_open_works"] == 0
    assert totals[f"sibyl_deliveries_total|{EVM.chain}"] == 1
    assert totals[f"sibyl_deliveries_total|{SOLANA.chain}"] == 1
    assert totals[f"sibyl_delivery_cost_total|{EVM.chain}"] == 1
    assert totals["sibyl_proof_seconds_count"] >= 1
    assert totals["sibyl_request_seconds_count"] == 4, "each member counts a request once"
    assert totals["sibyl_refused_to_sign_total"] >= 0
    assert totals["process_resident_memory_bytes"] > 0


async def test_metrics__failures__are_counted_by_duty_and_error(network: Network) -> None:
    network.evm.available = False
    node = network.start(1).running
    await network.until(lambda: node.readers[EVM].last_error != "")
    async with open_window(node) as window:
        text = await (await window.get("/metrics")).text()
    assert 'sibyl_failures_total{duty="read",error="Transient"}' in text


async def test_window__restarted_node__shows_the_same_message_without_the_receipt(network: Network) -> None:
    request = evm_request()
    await answered(network, request)
    async with open_window(network.members[1].running) as window:
        before = await (await window.get(f"/messages/{request.digest.hex()}")).json()
    await network.stop(1)
    async with open_window(network.start(1).running) as window:
        after = await (await window.get(f"/messages/{request.digest.hex()}")).json()
        assert (await (await window.get("/health")).json())["messages"] == {"confirmed": 1}
    for entry in before["deliverables"]:
        entry["receipt"] = None
    assert after == before
    assert Digest(bytes.fromhex(after["id"][2:])) == request.digest
