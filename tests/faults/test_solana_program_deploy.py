"""A deployment over an RPC endpoint that loses transactions, refuses, hangs or is not there."""

import asyncio
import base64
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

from contracts.solana.build import build_programs
from contracts.solana.deploy import LOADER, deploy_program
from oracle.errors import Rejected, Transient


@dataclass(slots=True)
class Cluster:
    """An RPC endpoint before LiteSVM, whose own loader does the deployment. `lose` of the writes are dropped the first time."""

    svm: LiteSVM
    lose: set[int] = field(default_factory=set)
    methods: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    slot: int = 1
    done: dict[str, object] = field(default_factory=dict)

    async def answer(self, request: web.Request) -> web.Response:
        call = await request.json()
        self.methods[call["method"]] += 1
        self.slot += 1
        self.svm.warp_to_slot(self.slot)
        result = getattr(self, call["method"])(*call.get("params", []))
        key = "error" if isinstance(result, dict) and "code" in result else "result"
        return web.json_response({"jsonrpc": "2.0", "id": call["id"], key: result})

    def _with_context(self, value: object) -> dict[str, object]:
        return {"context": {"slot": self.slot}, "value": value}

    def getSlot(self, *_: object) -> int:  # noqa: N802  the method's name on the wire
        return self.slot

    def getAccountInfo(self, address: str, *_: object) -> dict[str, object]:  # noqa: N802
        found = self.svm.get_account(Pubkey.from_string(address))
        if found is None:
            return self._with_context(None)
        return self._with_context(
            {"lamports": found.lamports, "owner": str(found.owner), "executable": found.executable, "rentEpoch": 0,
             "data": [base64.b64encode(found.data).decode(), "base64"], "space": len(found.data)}
        )  # fmt: skip

    def getMinimumBalanceForRentExemption(self, size: int, *_: object) -> int:  # noqa: N802
        return self.svm.minimum_balance_for_rent_exemption(size)

    def getLatestBlockhash(self, *_: object) -> dict[str, object]:  # noqa: N802
        self.svm.expire_blockhash()
        return self._with_context({"blockhash": str(self.svm.latest_blockhash()), "lastValidBlockHeight": 1000})

    def sendTransaction(self, raw: str, *_: object) -> object:  # noqa: N802
        transaction = Transaction.from_bytes(base64.b64decode(raw))
        signature = str(transaction.signatures[0])
        if len(transaction.message.instructions) == 1:
            self.writes += 1
            if self.writes in self.lose:
                return signature
        done = self.svm.send_transaction(transaction)
        if isinstance(done, FailedTransactionMetadata):
            return {"code": -32602, "message": f"refused: {done.err()}"}
        self.done[signature] = None
        return signature

    def getSignatureStatuses(self, signatures: list[str], *_: object) -> dict[str, object]:  # noqa: N802
        found = {
            "slot": self.slot,
            "confirmations": 1,
            "err": None,
            "status": {"Ok": None},
            "confirmationStatus": "confirmed",
        }
        return self._with_context([found if one in self.done else None for one in signatures])


@asynccontextmanager
async def serving(handler: object) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 20)
    app.router.add_post("/", handler)  # type: ignore[arg-type]  # a coroutine function of a request
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture
def payer() -> Keypair:
    return Keypair()


@pytest.fixture
def cluster(payer: Keypair) -> Cluster:
    svm = LiteSVM()
    svm.airdrop(payer.pubkey(), 10**12)
    return Cluster(svm)


@pytest.mark.parametrize("own_authority", [False, True])
async def test_solana_program_deploy__writes_lost__are_sent_again(
    cluster: Cluster, payer: Keypair, own_authority: bool
) -> None:
    cluster.lose = {1, 2, 5}
    executable, program = build_programs().consumer_so.read_bytes(), Keypair()
    authority = Keypair() if own_authority else payer
    chunk = 900 if own_authority else 1012
    async with serving(cluster.answer) as url:
        lines = list[str]()
        deployed = await deploy_program(
            url, payer, program, executable, authority=authority, progress=lines.append, round_seconds=1
        )
    assert deployed.transactions == 2 + -(-len(executable) // chunk) + 3
    assert any("3 writes were lost" in line for line in lines)
    stored = cluster.svm.get_account(deployed.program_data)
    assert stored is not None
    assert stored.owner == LOADER
    assert bytes(stored.data)[45:] == executable
    assert bytes(stored.data)[12:45] == b"\1" + bytes(authority.pubkey())


async def test_solana_program_deploy__every_write_lost__gives_up_as_transient(cluster: Cluster, payer: Keypair) -> None:
    cluster.lose = set(range(1, 1000))
    async with serving(cluster.answer) as url:
        with pytest.raises(Transient, match="not confirmed after"):
            await deploy_program(url, payer, Keypair(), bytes(3000), round_seconds=0.1)


async def test_solana_program_deploy__no_program__rejected_with_the_clusters_reason(
    cluster: Cluster, payer: Keypair
) -> None:
    async with serving(cluster.answer) as url:
        with pytest.raises(Rejected, match="refused"):
            await deploy_program(url, payer, Keypair(), b"\x7fELF" + bytes(3000))


async def test_solana_program_deploy__payer_without_lamports__rejected(cluster: Cluster) -> None:
    async with serving(cluster.answer) as url:
        with pytest.raises(Rejected):
            await deploy_program(url, Keypair(), Keypair(), bytes(3000))


async def test_solana_program_deploy__endpoint_hangs__transient_after_the_timeout(payer: Keypair) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with serving(hang) as url:
        with pytest.raises(Transient, match="in time"):
            await deploy_program(url, payer, Keypair(), bytes(100), timeout=0.3)


async def test_solana_program_deploy__nobody_listens__transient(payer: Keypair, unused_tcp_port: int) -> None:
    with pytest.raises(Transient):
        await deploy_program(f"http://127.0.0.1:{unused_tcp_port}", payer, Keypair(), bytes(100), timeout=5)
