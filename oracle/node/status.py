"""The operator's window: health, metrics, and what the node knows of a message, read-only, on a port of its own (loopback by default).

Everything it shows is public once it is on a chain: bodies, signatures, proofs. It shows no key. It takes one command, which costs no more than
was paid for: to prove an answer that was signed without a proof (`oracle.node.demand`). A relayer can fetch a signed message here and deliver it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from importlib.metadata import version
from itertools import islice

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from oracle.errors import JournalError
from oracle.node.agreement import EndpointHealth
from oracle.node.care import Care
from oracle.node.core import Node
from oracle.node.demand import Demand
from oracle.node.gauges import NodeCollector, SigningCounts
from oracle.pipeline import Work, needs_signature
from oracle.ports import Receipt
from oracle.protocol.constants import PROTOCOL_VERSION
from oracle.protocol.hashing import merkle_branch
from oracle.protocol.types import Digest

MAX_LISTED = 100
STALE_SECONDS = 60.0
"""A chain that has not been read for this long makes the node unhealthy."""


DEMAND_STATUS = {
    Demand.UNKNOWN: HTTPStatus.NOT_FOUND,
    Demand.NOTHING: HTTPStatus.CONFLICT,
    Demand.FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    Demand.WAITING: HTTPStatus.ACCEPTED,
    Demand.DONE: HTTPStatus.OK,
}


def health(node: Node, care: Care | None = None) -> tuple[bool, dict[str, object]]:
    """Whether the node is well, and what it is doing. `care`: what else an operator should look at; its warnings make no node unwell."""
    now = time.monotonic()
    chains: dict[str, object] = {}
    for origin, reader in node.readers.items():
        age = None if reader.last_success is None else round(now - reader.last_success, 3)
        chains[str(origin.chain)] = {
            "cursor": reader.cursor,
            "seconds_since_read": age,
            "last_error": reader.last_error,
            "endpoints": [_endpoint(one, now) for one in node.ports.endpoints.get(origin, ())],
        }
    well = all(
        reader.last_success is not None and now - reader.last_success < STALE_SECONDS
        for reader in node.readers.values()
    )
    alarms = node.ports.alarms()
    well = well and not alarms
    stages = {stage.value: count for stage, count in node.pipeline.stages().items()}
    return well, {
        "ok": well,
        "member": node.member.identifier,
        "committee": list(node.member.committee),
        "chains": chains,
        "alarms": list(alarms),
        "messages": stages,
        "software": version("sibyl"),
        "protocol": PROTOCOL_VERSION,
        **_cared(care or Care(), now),
    }


def _endpoint(one: EndpointHealth, now: float) -> dict[str, object]:
    told = {name: value for name, value in asdict(one).items() if not name.startswith("_")}
    return {**told, "resting": one.rests_until > now}


def _cared(care: Care, now: float) -> dict[str, object]:
    """Warnings, and what they rest on."""
    peers = {} if care.peers is None else care.peers.peers
    return {
        "warnings": list(care.warnings()),
        "peers": [
            {
                "member": one.member,
                "seconds_since_answer": None if one.last_answer is None else round(now - one.last_answer, 1),
                "software": one.software,
                "last_error": one.last_error,
                "differences": list(one.differences),
            }
            for one in peers.values()
        ],
        "accounts": [
            {"chain": one.chain, "account": one.account, "amount": one.amount, "unit": one.unit, "low": one.low}
            for one in care.purses
        ],
        "jobs": [asdict(job) for job in care.jobs.values()],
    }


def describe(work: Work, seconds: float | None, receipts: Mapping[Digest, Receipt]) -> dict[str, object]:
    """One message as JSON: 0x-hex bytes, times in milliseconds since 1970.

    `seconds`: what making the proof took, if this node made it; `receipts`: deliveries that this node made since it started.
    """
    signed = work.attestation
    outcome = work.outcome
    return {
        "id": _hex(work.message.digest),
        "stage": work.stage.value,
        "lapsed": work.lapsed,
        "body": _hex(work.message.to_bytes()),
        "observed_at": work.observed_at,
        "inferred_at": work.inferred_at,
        "ready_at": work.ready_at,
        "attested_at": work.attested_at,
        "outcome": None
        if outcome is None
        else {"status": outcome.status.name.lower(), "outputs": list(outcome.outputs)},
        "proof": None
        if work.proof_id is None
        else {"id": _hex(work.proof_id), "prover": work.prover, "seconds": seconds},
        "attestation": None
        if signed is None
        else {
            "epoch": signed.epoch,
            "signature": _hex(signed.signature),
            "digests": [_hex(digest) for digest in signed.digests],
        },
        "deliverables": [
            {
                "digest": _hex(digest),
                "body": _hex(message.to_bytes()),
                "chain": str(message.destination.chain),
                "signed": needs_signature(message),
                "branch": None if signed is None else _branch(signed.digests, digest),
                "delivered": digest in work.delivered,
                "confirmed": digest in work.confirmed,
                "receipt": asdict(receipts[digest]) if digest in receipts else None,
            }
            for digest, message in work.deliverables.items()
        ],
    }


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _branch(digests: tuple[Digest, ...], digest: Digest) -> list[str] | None:
    return [_hex(node) for node in merkle_branch(digests, digests.index(digest))] if digest in digests else None


def _parse(text: str) -> bytes:
    try:
        parsed = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        parsed = b""
    if len(parsed) != 32:
        raise web.HTTPBadRequest(text="Give 32 bytes in hexadecimal.")
    return parsed


def application(
    node: Node, care: Care | None = None, signing: Callable[[], SigningCounts] = SigningCounts
) -> web.Application:
    """The aiohttp application: `/health`, `/metrics`, `/messages` (the oldest open ones), `/messages/{id}`, `/proofs/{id}`; POST
    `/messages/{id}/proof` demands a proof.
    """

    gauges = CollectorRegistry()
    gauges.register(NodeCollector(node, care or Care(), signing, version("sibyl")))

    async def get_health(_: web.Request) -> web.Response:
        well, report = health(node, care)
        return web.json_response(report, status=200 if well else 503)

    async def get_metrics(_: web.Request) -> web.Response:
        node.metrics.open_works.set(sum(1 for _ in node.pipeline.open_works()))
        node.metrics.alarms.set(len(node.ports.alarms()))
        return web.Response(
            body=node.metrics.render() + generate_latest(gauges), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    async def get_messages(_: web.Request) -> web.Response:
        works = islice(node.pipeline.open_works(), MAX_LISTED)
        return web.json_response([describe(work, None, node.receipts) for work in works])

    async def get_message(request: web.Request) -> web.Response:
        digest = Digest(_parse(request.match_info["id"]))
        work = node.pipeline.work(digest) or node.pipeline.owner(digest)
        if work is None:
            raise web.HTTPNotFound(text="This node has not observed a message with that digest.")
        seconds = None if work.proof_id is None else (await node.proof(work.proof_id))[1]
        return web.json_response(describe(work, seconds, node.receipts))

    async def get_proof(request: web.Request) -> web.Response:
        try:
            proof, _ = await node.proof(_parse(request.match_info["id"]))
        except JournalError as error:
            raise web.HTTPNotFound(text="This node keeps no proof with that hash.") from error
        return web.Response(body=proof, content_type="application/octet-stream")

    async def demand_proof(request: web.Request) -> web.Response:
        demand = node.demands.demand(Digest(_parse(request.match_info["id"])))
        return web.json_response({"proof": demand.value}, status=DEMAND_STATUS[demand])

    app = web.Application()
    app.add_routes(
        [
            web.get("/health", get_health),
            web.get("/metrics", get_metrics),
            web.get("/messages", get_messages),
            web.get("/messages/{id}", get_message),
            web.post("/messages/{id}/proof", demand_proof),
            web.get("/proofs/{id}", get_proof),
        ]
    )
    return app
