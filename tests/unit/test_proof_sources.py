"""Nodes that lie, hang or never stop, and a proof that is made only when somebody asks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from oracle.app import proof_sources
from oracle.app.proof_sources import node_proofs, read_proof
from oracle.errors import ConfigError, Transient
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import Digest

REQUEST = Digest(b"\x11" * 32)
PROOF = bytes(range(256)) * 7
PROOF_ID = "0x" + keccak256(PROOF).hex()
GOOD = {"id": "0x" + REQUEST.hex(), "body": "0xabcd", "proof": {"id": PROOF_ID}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_sources, "POLL_SECONDS", 0.01)


@asynccontextmanager
async def node(report: object, proof: object = PROOF, *, demand: int = 404) -> AsyncIterator[str]:
    """A status port that answers so; a coroutine function is called instead."""

    async def answer(request: web.Request, what: object) -> web.StreamResponse:
        if callable(what):
            made: web.StreamResponse = await what(request)
            return made
        if isinstance(what, bytes):
            return web.Response(body=what)
        return web.json_response(what)

    async def on_report(request: web.Request) -> web.StreamResponse:
        return await answer(request, report)

    async def on_proof(request: web.Request) -> web.StreamResponse:
        return await answer(request, proof)

    async def on_demand(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=demand)

    app = web.Application()
    app.router.add_get("/messages/{id}", on_report)
    app.router.add_get("/proofs/{id}", on_proof)
    app.router.add_post("/messages/{id}/proof", on_demand)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def endless(request: web.Request) -> web.StreamResponse:
    reply = web.StreamResponse()
    await reply.prepare(request)
    try:
        while True:
            await reply.write(b"\0" * 65536)
    except ConnectionError:
        return reply


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def elsewhere(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("http://127.0.0.1:9/internal")


async def get(*urls: str, wait: float = 0.0) -> bytes:
    async with node_proofs(urls) as nodes:
        return await nodes.proof(REQUEST, wait)


async def test_proof__honest_node__is_given_and_the_body_too() -> None:
    async with node(GOOD) as url, node_proofs([url + "/"]) as nodes:
        assert await nodes.proof(REQUEST, 0) == PROOF
        assert await nodes.body(REQUEST) == (b"\xab\xcd", url)


@pytest.mark.parametrize(
    ("report", "proof", "said"),
    [
        (GOOD, PROOF[:-1], "not the proof it named"),
        (GOOD, b"", "not the proof it named"),
        (GOOD, endless, "more than 1,048,576 bytes"),
        (endless, PROOF, "more than 4,194,304 bytes"),
        (b"<html>", PROOF, "no JSON object"),
        (b"[" * 100_000, PROOF, "no JSON object"),
        ([], PROOF, "no JSON object"),
        (elsewhere, PROOF, "HTTP status 302"),
        (GOOD, elsewhere, "HTTP status 302"),
    ],
)
async def test_proof__node_that_lies__is_passed_over_and_named(report: object, proof: object, said: str) -> None:
    async with node(report, proof) as liar, node(GOOD) as honest:
        assert await get(liar, honest) == PROOF
        with pytest.raises(Transient, match=said) as caught:
            await get(liar)
        assert liar in str(caught.value)


@pytest.mark.parametrize(
    "told",
    [None, {}, {"id": None}, {"id": 7}, {"id": "0x12"}, {"id": "../../health"}, {"id": PROOF_ID[2:]}, "0x", [PROOF_ID]],
)
async def test_proof__id_that_is_none__nothing_is_asked_for_it(told: object) -> None:
    async def unasked(_: web.Request) -> web.StreamResponse:
        pytest.fail("a proof was asked for")

    async with node({**GOOD, "proof": told}, unasked) as url:
        with pytest.raises(Transient, match="No node gave a proof"):
            await get(url)


async def test_proof__silent_node__costs_its_time_and_the_next_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_sources, "SECONDS", 0.3)
    async with node(silent) as mute, node_proofs([mute]) as nodes:
        assert await nodes.body(REQUEST) is None
        assert any("does not answer (TimeoutError)" in line for line in nodes.complaints)


async def test_proof__nobody_there__says_so() -> None:
    with pytest.raises(Transient, match=r"127\.0\.0\.1:9/messages/0x1111.* does not answer"):
        await get("http://127.0.0.1:9")
    with pytest.raises(Transient, match="No node was named"):
        await get()


async def test_proof__signed_without_one__is_demanded_and_waited_for() -> None:
    looks = 0

    async def later(_: web.Request) -> web.StreamResponse:
        nonlocal looks
        looks += 1
        return web.json_response({**GOOD, "proof": None} if looks < 4 else GOOD)

    async with node(later, demand=202) as url:
        assert await get(url, wait=30) == PROOF
    assert looks == 4


@pytest.mark.parametrize("status", [200, 202])
async def test_demand__taken_by_one_node__is_enough(status: int) -> None:
    async with (
        node(GOOD, demand=503) as busy,
        node(GOOD, demand=status) as taking,
        node_proofs([busy, taking]) as nodes,
    ):
        await nodes.demand(REQUEST)


async def test_demand__refused_by_all__says_what_each_answered() -> None:
    async with node(GOOD, demand=409) as refusing, node_proofs([refusing]) as nodes:
        with pytest.raises(Transient, match="409"):
            await nodes.demand(REQUEST)


async def test_proof__never_made__ends_with_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_sources, "SECONDS", 0.5)
    async with node({**GOOD, "proof": None}, demand=202) as url:
        with pytest.raises(Transient, match="No node gave a proof"):
            await get(url, wait=0.2)


async def test_body__of_another_message__is_not_taken() -> None:
    async with node({**GOOD, "id": "0x" + "22" * 32}) as url, node_proofs([url]) as nodes:
        assert await nodes.body(REQUEST) is None


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:7101", "file:///etc/passwd", ""])
async def test_node__no_http_address__is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="--node takes a node's status address"):
        async with node_proofs([url]):
            pytest.fail("it was taken")


def test_file__no_proof__is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    for data, said in ((b"", "no bytes"), (b"\0" * ((1 << 20) + 1), "too many")):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=said):
            read_proof(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_proof(tmp_path / "none")
    path.write_bytes(PROOF)
    assert read_proof(path) == PROOF
