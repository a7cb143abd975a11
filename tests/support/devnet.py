"""A whole devnet for end-to-end tests: real chains, real node processes, a user, and sharp questions about what came of a message.

Guarantees: everything started here ends with the block, by its process id, also when a test fails. What is counted (deliveries, fees) is
read from the chains themselves; what a node knows is read from its status port, or, while it is down, from its journal.
"""

import asyncio
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from solders.keypair import Keypair

from bridges.evm.abi import account_of, interface
from bridges.evm.account import EvmAccount
from bridges.evm.requester import EvmRequester
from bridges.evm.sender import Sender
from bridges.evm.submitter import EvmSubmitter
from bridges.frost.signing import COMMIT_RANDOMNESS_BYTES, aggregate, commit, prepare, sign, verify_encoded
from bridges.solana.layout import INBOX_KIND_AT, INBOX_REQUEST_ID_AT
from bridges.solana.submitter import SolanaSubmitter
from circuits.prover import LocalProver
from oracle.app.asking import EVM, Asked, DevnetUser, open_user
from oracle.app.devnet.chains import HOST
from oracle.app.devnet.network import FIRST_NODE, STRANGER, USER, Devnet, DevnetOptions, running_devnet
from oracle.app.devnet.nodes import NodeProcess
from oracle.app.toolchain import ensure_toolchain
from oracle.journal import Journal
from oracle.pipeline import Pipeline, Stage, Work
from oracle.ports import GroupAttestation
from oracle.protocol import constants as c
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import InferenceResult, Message, Outcome, result_messages
from oracle.protocol.types import Account, CommitteeEpoch, Digest, Kind, Policy, Status

ANSWER_SECONDS = 90.0
"""The longest wait for an answer: some passes of the duty order on a machine that does much else."""
STAGES = [stage.value for stage in Stage if stage is not Stage.EXPIRED]
LOG_TAIL = 4000
TRANSACTION_LAMPORTS = 5_000
"""What Solana takes for a transaction with one signature."""


@dataclass(frozen=True, slots=True)
class World:
    """A running devnet, its user, and a prover of the tests' own to compare with."""

    devnet: Devnet
    user: DevnetUser
    prover: LocalProver

    # ---- who is there ----

    @property
    def nodes(self) -> tuple[NodeProcess, ...]:
        """All members; identifiers from 1."""
        return self.devnet.nodes

    @property
    def running(self) -> list[NodeProcess]:
        """Members whose process runs."""
        return [node for node in self.nodes if node.child is not None and node.child.exit_code is None]

    def node(self, identifier: int) -> NodeProcess:
        """One member."""
        return self.nodes[identifier - 1]

    @property
    def members(self) -> tuple[int, ...]:
        """Identifiers, as the duty order takes them."""
        return tuple(node.identifier for node in self.nodes)

    def others(self, identifier: int) -> list[NodeProcess]:
        """All members but one."""
        return [node for node in self.nodes if node.identifier != identifier]

    async def start(self, *nodes: NodeProcess) -> None:
        """Start members and wait until they read their chains."""
        for node in nodes:
            await node.start()
        await asyncio.gather(*(node.until_ready() for node in nodes))

    async def stop(self, *nodes: NodeProcess) -> None:
        """End members in good order."""
        await asyncio.gather(*(node.stop() for node in nodes))

    async def everybody_up(self) -> None:
        """Start whoever does not run, so that a test does not suffer from the one before it."""
        await self.start(*(node for node in self.nodes if node not in self.running))

    async def kill(self, *nodes: NodeProcess) -> None:
        """kill -9, all at once. Their worker processes must not outlive them."""
        children = [node.child for node in nodes if node.child is not None]
        families = [psutil.Process(child.pid).children(recursive=True) for child in children]
        for child in children:
            child.process.kill()
        for node in nodes:
            await node.kill()
        orphans = [process for family in families for process in family]
        _, alive = await asyncio.to_thread(psutil.wait_procs, orphans, 20)
        assert not alive, f"worker processes outlived their node: {alive}"

    # ---- what nodes know ----

    async def report(self, node: NodeProcess, digest: Digest) -> dict[str, Any] | None:
        """What a node tells of a message; None while it knows nothing or does not answer."""
        timeout = aiohttp.ClientTimeout(total=3)
        try:
            async with self.user.http.get(f"{node.status_url}/messages/0x{digest.hex()}", timeout=timeout) as reply:
                told: dict[str, Any] | None = await reply.json() if reply.status == 200 else None
                return told
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def health(self, node: NodeProcess) -> dict[str, Any]:
        """A node's own view of its health."""
        async with self.user.http.get(f"{node.status_url}/health") as reply:
            told: dict[str, Any] = await reply.json()
            return told

    async def metric(self, node: NodeProcess, name: str) -> float:
        """A metric of a node that has no labels."""
        async with self.user.http.get(f"{node.status_url}/metrics") as reply:
            lines = (await reply.text()).splitlines()
        (value,) = (line.split()[1] for line in lines if line.split()[0] == name)
        return float(value)

    async def until_stage(
        self,
        digest: Digest,
        stage: Stage,
        nodes: Iterable[NodeProcess] | None = None,
        *,
        timeout: float = ANSWER_SECONDS,
        poll: float = 0.05,
    ) -> list[str]:
        """Wait until each of these nodes (all unless named) has come to `stage` or further; the stages that they told."""
        nodes, wanted = list(self.nodes if nodes is None else nodes), STAGES.index(stage.value)
        told: list[str] = []
        try:
            async with asyncio.timeout(timeout):
                while True:
                    reports = await asyncio.gather(*(self.report(node, digest) for node in nodes))
                    told = ["unknown" if report is None else report["stage"] for report in reports]
                    if all(one in STAGES and STAGES.index(one) >= wanted for one in told):
                        return told
                    await asyncio.sleep(poll)
        except TimeoutError:
            who = [node.identifier for node in nodes]
            raise AssertionError(
                f"0x{digest.hex()[:16]}: nodes {who} are at {told} after {timeout:g} s, not {stage}"
            ) from None

    def journalled(self, node: NodeProcess, digest: Digest) -> Work | None:
        """What the journal of a node that is down holds of a message."""
        journal, pipeline = Journal(journal_path(node)), Pipeline()
        try:
            for event in journal.replay():
                pipeline.apply(event)
        finally:
            journal.close()
        return pipeline.work(digest)

    # ---- what chains know ----

    async def rpc(self, url: str, method: str, *params: object) -> Any:
        """One raw JSON-RPC request."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self.user.http.post(url, json=body) as response:
            answer = await response.json(content_type=None)
        assert "error" not in answer, answer
        return answer["result"]

    async def evm_logs(self, contract: str, event: str, topic: bytes) -> int:
        """How often an event whose first indexed argument is `topic` was emitted, ever."""
        contracts = self.devnet.evm_contracts
        address = {"Gateway": contracts.gateway, "OracleHub": contracts.hub}[contract]
        topics = ["0x" + interface(contract).topic(event).hex(), "0x" + topic.hex()]
        query = {"address": address, "topics": topics, "fromBlock": "0x0", "toBlock": "latest"}
        return len(await self.rpc(self.devnet.evm.rpc_url, "eth_getLogs", query))

    async def results_on_solana(self, request_id: Digest) -> int:
        """Inbox accounts with a result of this request."""
        matches = [
            (0, bytes([c.ACCOUNT_INBOX, c.ACCOUNT_LAYOUT_VERSION])),
            (INBOX_KIND_AT, bytes([Kind.INFERENCE_RESULT])),
            (INBOX_REQUEST_ID_AT, bytes(request_id)),
        ]
        program = self.devnet.solana_programs.program
        return len(await self.user.solana_client.find(program, matches, "confirmed"))

    async def assert_once(self, request: Message, outcome: Outcome) -> None:
        """Each destination of the request has `outcome`, and each has it once."""
        for message in result_messages(request, outcome):
            result = InferenceResult.from_bytes(message.payload)
            if message.destination == self.user.evm_endpoint:
                await self._once_on_evm(request, message, result)
            else:
                answer = await self.user.solana.answer(request.digest)
                assert answer is not None
                assert answer.message == message
                assert await self.results_on_solana(request.digest) == 1

    async def _once_on_evm(self, request: Message, message: Message, result: InferenceResult) -> None:
        answer = await self.user.evm.answer(request.digest)
        assert answer is not None
        assert (answer.status, answer.policy, answer.outputs) == (result.status, result.policy, result.outputs)
        answered = await self.evm_logs("OracleHub", "Answered", request.digest)
        refused = await self.evm_logs("OracleHub", "Refused", request.digest)
        assert (answered, refused) == ((1, 0) if result.status is Status.ANSWERED else (0, 1))
        by_proof_alone = result.policy is Policy.PROVEN and result.status is Status.ANSWERED
        deliveries = await self.evm_logs("Gateway", "MessageDelivered", message.digest)
        assert deliveries == (0 if by_proof_alone else 1)

    async def truth(self, inputs: tuple[int, ...]) -> Outcome:
        """What the model says, computed here."""
        model = self.user.model
        return Outcome(Status.ANSWERED, (await self.prover.infer(model.model_id, inputs)).outputs, model.output_scale)

    async def answered_once(self, asked: Asked, timeout: float = ANSWER_SECONDS) -> None:
        """Wait for the answers, and check that they are the model's, that both consumers decided by them, and that each chain has one."""
        outcome = await self.truth(asked.question.inputs)
        if not asked.arrivals:  # the consumer program records its decision once
            await self.user.arrivals(asked, timeout)
        for arrival in asked.arrivals:
            assert (arrival.status, arrival.outputs) == (Status.ANSWERED, outcome.outputs)
            assert (arrival.chain, await self.decided(asked, arrival.chain)) == (arrival.chain, outcome.outputs[0] > 0)
        await self.assert_once(asked.request, outcome)

    async def decided(self, asked: Asked, chain: str) -> bool | None:
        """What the consumer on a chain made of an answer; None if nothing within ten seconds."""
        for _ in range(100):
            if chain == EVM:
                diagnosis = await self.user.evm.diagnosis(asked.request_id)
                decided = None if diagnosis is None else diagnosis.malignant
            else:
                decision = await self.user.consumer.decision(asked.request_id)
                decided = None if decision is None else decision.positive
            if decided is not None:
                return decided
            await asyncio.sleep(0.1)
        return None

    # ---- accounts ----

    @property
    def evm_rpc(self) -> str:
        """anvil."""
        return self.devnet.evm.rpc_url

    def evm_address(self, index: int) -> str:
        """One of the funded accounts: `USER`, `STRANGER`, `FIRST_NODE` + n."""
        return self.devnet.evm.accounts[index].address

    def evm_sender(self, index: int) -> Sender:
        """Sends for one of the funded accounts."""
        return Sender(self.user.evm_client, EvmAccount(self.devnet.evm.accounts[index].private_key))

    def stranger(self) -> EvmRequester:
        """Someone who has nothing to do with anybody, on the EVM chain."""
        contracts = self.devnet.evm_contracts
        return EvmRequester(self.evm_sender(STRANGER), account_of(contracts.gateway), account_of(contracts.hub))

    def evm_submitter(self) -> EvmSubmitter:
        """Delivers for the stranger."""
        contracts = self.devnet.evm_contracts
        return EvmSubmitter(self.evm_sender(STRANGER), account_of(contracts.gateway), account_of(contracts.hub))

    def solana_submitter(self) -> SolanaSubmitter:
        """Delivers for the stranger."""
        programs = self.devnet.solana_programs
        return SolanaSubmitter(self.user.solana_client, Account(bytes(programs.program)), programs.stranger)

    async def evm_gas_cost(self, transaction: str) -> int:
        """Wei that a transaction cost its sender beside its value."""
        receipt = await self.rpc(self.evm_rpc, "eth_getTransactionReceipt", transaction)
        return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)

    async def evm_balance(self, address: str) -> int:
        """Wei."""
        return int(await self.rpc(self.evm_rpc, "eth_getBalance", address, "latest"), 16)

    async def evm_fees(self) -> tuple[int, int]:
        """Wei that the hub owes to the committee's treasury, and to nodes by themselves (for answers by proof)."""
        treasury = await self.user.evm.credit(self.devnet.evm_contracts.fee_splitter)
        nodes = [self.evm_address(FIRST_NODE + place) for place in range(len(self.nodes))]
        return treasury, sum([await self.user.evm.credit(node) for node in nodes])

    async def evm_owed(self) -> int:
        """Wei that the hub owes to anybody of this devnet."""
        contracts = self.devnet.evm_contracts
        others = [contracts.consumer, self.evm_address(USER), self.evm_address(STRANGER)]
        return sum(await self.evm_fees()) + sum([await self.user.evm.credit(str(one)) for one in others])

    async def solana_treasury(self) -> int:
        """Lamports."""
        return await self.user.solana_client.balance(self.devnet.solana_programs.treasury)

    @property
    def solana_user(self) -> Keypair:
        """Who asks on Solana."""
        return self.devnet.solana_programs.user

    def signed_by_committee(self, messages: Sequence[Message]) -> GroupAttestation:
        """A true signature of the committee, made from the own shares without asking any node."""
        digests = tuple(message.digest for message in messages)
        shares = self.devnet.committee.shares
        quorum = shares[: shares[0].public.threshold]
        nonces = [commit(share, os.urandom(COMMIT_RANDOMNESS_BYTES)) for share in quorum]
        signed = batch_signing_hash(digests)
        package = prepare(shares[0].public, signed, [nonce.commitment for nonce in nonces])
        parts = [sign(share, nonce, package) for share, nonce in zip(quorum, nonces, strict=True)]
        signature = aggregate(package, parts).to_bytes()
        assert verify_encoded(self.devnet.committee.group_key, signature, signed)
        return GroupAttestation(CommitteeEpoch(1), signature, digests)

    # ---- logs ----

    def log_sizes(self) -> dict[int, int]:
        """How long each node's log is."""
        return {node.identifier: _size(node.directory / "node.log") for node in self.nodes}

    def print_logs(self, since: dict[int, int]) -> None:
        """The ends of the logs since then; pytest shows them when the test failed."""
        for node in self.nodes:
            path = node.directory / "node.log"
            if path.exists():
                news = path.read_bytes()[since.get(node.identifier, 0) :]
                print(f"---- node {node.identifier}\n{news[-LOG_TAIL:].decode(errors='replace')}")

    def assert_no_crash(self) -> None:
        """No node met an error that it did not expect."""
        for node in self.nodes:
            log = (node.directory / "node.log").read_text(errors="replace")
            where = log.find("Traceback")
            assert where < 0, f"node {node.identifier} broke: {log[where : where + LOG_TAIL]}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@asynccontextmanager
async def open_world(options: DevnetOptions | None = None) -> AsyncIterator[World]:
    """Start a devnet in a temporary directory; everything ends with the block."""
    toolchain = ensure_toolchain(lambda line: None)
    async with (
        running_devnet(toolchain, options or DevnetOptions(prove_takeover=4.0)) as devnet,
        open_user(devnet.file(), devnet.model) as user,
        LocalProver([devnet.model], devnet=True, scratch=devnet.directory) as prover,
    ):
        world = World(devnet, user, prover)
        yield world
        world.assert_no_crash()


# ---- faults ----


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """SIGSTOP while the block lasts."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def journal_path(node: NodeProcess) -> Path:
    """Where a node keeps its journal."""
    return node.directory / "data" / "journal.sqlite"


def damage_journal(node: NodeProcess) -> None:
    """Change one event of a stopped node's journal, as a bad disk or a meddler would."""
    database = sqlite3.connect(journal_path(node))
    try:
        changed = database.execute("UPDATE events SET body = replace(body, 'a', 'b') WHERE id = 2").rowcount
        database.commit()
    finally:
        database.close()
    assert changed == 1


class Wire:
    """A TCP proxy on loopback that can be cut: open connections break, new ones are refused a reply."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._cut = False
        self.carried = 0
        """Connections that were carried to the target."""

    @property
    def url(self) -> str:
        """Where to connect instead."""
        assert self._server is not None
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._carry, HOST, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    def cut(self) -> None:
        """Break everything that is under way, and whatever comes."""
        self._cut = True
        for writer in tuple(self._open):
            writer.transport.abort()

    def mend(self) -> None:
        """Carry again."""
        self._cut = False

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        self.carried += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._open |= pair
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._open -= pair
            for one in pair:
                one.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (ConnectionError, OSError):
        writer.transport.abort()
