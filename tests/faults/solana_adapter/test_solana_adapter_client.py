"""An RPC endpoint that lies, lags, breaks or is another cluster's: the Solana client says so; and the keys that it is used with."""

import asyncio
import json
import logging
import time
from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.system_program import ID as SYSTEM_PROGRAM

from bridges.solana.client import SolanaClient
from bridges.solana.reader import SolanaReader
from bridges.solana.requester import SolanaRequester
from bridges.solana.submitter import SolanaSubmitter
from bridges.solana.transactions import TransactionSender, load_keypair
from oracle.errors import ConfigError, Transient
from oracle.ports import Cursor
from tests.support.samples import seeded
from tests.support.solana_rpc import (
    AT,
    GENESIS,
    PROGRAM,
    QUICK,
    Hang,
    RpcError,
    ScriptedRpc,
    Status,
)


async def test_client__wrong_genesis_hash__is_a_configuration_error_and_nothing_else_is_asked(rpc: ScriptedRpc) -> None:
    async with SolanaClient(rpc.url, seeded("another cluster"), policy=QUICK) as client:
        with pytest.raises(ConfigError, match="Name an endpoint of the configured cluster"):
            await SolanaReader(client, PROGRAM).read(Cursor(0))
    assert set(rpc.calls) == {"getGenesisHash"}


async def test_client__genesis_hash__is_asked_once(rpc: ScriptedRpc, client: SolanaClient) -> None:
    await asyncio.gather(*(client.slot("finalized") for _ in range(5)))
    assert len(rpc.calls["getGenesisHash"]) == 1


async def test_client__endpoint_that_hangs__is_transient_within_the_deadline(
    rpc: ScriptedRpc, client: SolanaClient
) -> None:
    await client.connect()
    rpc.answers["getSlot"] = Hang()
    started = time.monotonic()
    with pytest.raises(Transient, match=r"did not answer getSlot within 0.3 s"):
        await client.slot("finalized")
    assert time.monotonic() - started < QUICK.deadline + QUICK.timeout
    assert len(rpc.calls["getSlot"]) == QUICK.attempts


@pytest.mark.parametrize("fault", [Status(429), Status(500), Status(503), Status(200, "<html>"), Status(200, "{}")])
async def test_client__broken_answer__is_tried_again_and_then_transient(
    rpc: ScriptedRpc, client: SolanaClient, fault: Status
) -> None:
    rpc.answers["getSlot"] = fault
    with pytest.raises(Transient) as caught:
        await client.slot("finalized")
    assert len(rpc.calls["getSlot"]) == QUICK.attempts
    assert str(caught.value).endswith(".")


async def test_client__fault_that_passes__is_not_noticed(rpc: ScriptedRpc, client: SolanaClient) -> None:
    answers: list[object] = [Status(429), RpcError(-32005, "Node is behind by 42 slots"), 7]
    rpc.answers["getSlot"] = lambda _params: answers.pop(0)
    assert await client.slot("finalized") == 7


async def test_client__nobody_listens__is_transient() -> None:
    async with SolanaClient("http://127.0.0.1:1", GENESIS, policy=QUICK) as client:
        with pytest.raises(Transient, match="cannot be reached"):
            await client.connect()


@pytest.mark.parametrize(
    "value",
    [
        {"context": {"slot": 100}, "value": []},
        {"context": {"slot": 100}, "value": [{"data": ["!!", "base64"], "owner": str(SYSTEM_PROGRAM), "lamports": 1}]},
        {"context": {"slot": 100}, "value": [{"data": ["", "base64"], "owner": "not base58 0OIl", "lamports": 1}]},
        {
            "context": {"slot": 100},
            "value": [{"data": ["", "jsonParsed"], "owner": str(SYSTEM_PROGRAM), "lamports": 1}],
        },
        {"context": {"slot": -1}, "value": [None]},
        {"value": [None]},
        None,
        [],
    ],
)
async def test_client__malformed_accounts__are_transient(rpc: ScriptedRpc, client: SolanaClient, value: object) -> None:
    rpc.answers["getMultipleAccounts"] = lambda _params: value
    with pytest.raises(Transient):
        await client.accounts([AT.program], "finalized")


async def test_client__api_key_in_the_address__is_never_shown(
    rpc: ScriptedRpc, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    secret = "very-secret-key"
    rpc.answers["getSlot"] = Status(403)
    async with SolanaClient(f"{rpc.url}{secret}?api-key={secret}", GENESIS, policy=QUICK) as client:
        with pytest.raises(Transient, match="Check its address and key") as caught:
            await client.slot("finalized")
        assert secret not in repr(client)
    assert secret not in str(caught.value)
    ours = [record for record in caplog.records if record.name != "aiohttp.access"]  # that is the server of this test
    assert not any(secret in record.getMessage() for record in ours)


@pytest.mark.parametrize("address", ["", "localhost:8899", "ftp://x", "http://", "http://[::1", "http://x:99999"])
def test_client__malformed_address__is_a_configuration_error(address: str) -> None:
    with pytest.raises(ConfigError, match="Solana RPC address"):
        SolanaClient(address, GENESIS)


def test_keys__file_that_others_may_read__is_refused(tmp_path: Path) -> None:
    key, path = Keypair(), tmp_path / "payer.json"
    path.write_text(json.dumps(list(bytes(key))))
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_keypair(path)
    path.chmod(0o600)
    assert load_keypair(path) == key


@pytest.mark.parametrize(
    "content", ["", "[]", "[1,2]", "{}", '"secret"', "[" + "1," * 63 + "256]", "[" + "1," * 63 + "1]"]
)
def test_keys__file_without_a_key__is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "payer.json"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(ConfigError, match="is not a Solana key file") as caught:
        load_keypair(path)
    assert caught.value.__cause__ is None


def test_keys__missing_file_or_link__is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_keypair(tmp_path / "none.json")
    (tmp_path / "link.json").symlink_to(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_keypair(tmp_path / "link.json")


async def test_keys__secret__is_in_no_repr(client: SolanaClient) -> None:
    key = Keypair()
    for thing in (
        TransactionSender(client, key),
        SolanaSubmitter(client, PROGRAM, key),
        SolanaRequester(client, PROGRAM, key),
    ):
        assert str(key) not in repr(thing)
        assert str(key.secret()) not in repr(thing)
