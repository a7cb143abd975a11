"""A user's side of a running devnet: asks on either chain, waits for the answers on both, and says what each cost."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from bridges.evm.account import EvmAccount
from bridges.evm.client import EvmClient
from bridges.evm.requester import EvmRequester
from bridges.evm.sender import Sender
from bridges.solana.client import SolanaClient
from bridges.solana.consumer import SolanaConsumer
from bridges.solana.requester import SolanaRequester
from circuits.catalogue import ModelArtifacts
from oracle.app.devnet.file import DevnetFile
from oracle.errors import ConfigError, Transient
from oracle.protocol.encoding import dequantise
from oracle.protocol.message import InferenceRequest, Message, Remote
from oracle.protocol.types import Account, Chain, Digest, Endpoint, Policy, Status, UnixSeconds, evm_account

EVM, SOLANA = "evm", "solana"
POLL_SECONDS = 0.05
EVIDENCE_LOOKS = 20
CALLBACK_GAS = 200_000
FEE_LAMPORTS = 5_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask: quantised inputs, the chain that asks and its policy, and the policy on the other chain if that is to have the answer too."""

    inputs: tuple[int, ...]
    origin: str
    policy: Policy
    remote_policy: Policy | None = None

    @property
    def unproven(self) -> bool:
        """Whether no proof is made unless somebody asks for it."""
        return self.policy is Policy.RECOMPUTED and self.remote_policy in (None, Policy.RECOMPUTED)


@dataclass(slots=True)
class Arrival:
    """One chain's copy of an answer. `seconds` since the request's transaction was sent; `cost` in gas or compute units."""

    chain: str
    policy: Policy
    seconds: float
    status: Status
    outputs: tuple[int, ...]
    output_scale: int
    decided: bool | None = None
    """What the consumer on that chain made of it: whether the logit is positive; None when it decided nothing."""
    transaction: str = ""
    cost: int | None = None

    @property
    def value(self) -> float | None:
        """The first output as a number; None for a refusal."""
        return dequantise(self.outputs, self.output_scale)[0] if self.outputs else None


@dataclass(slots=True)
class Asked:
    """A posted request and what came of it."""

    question: Question
    request: Message
    sent_at: float
    """Monotonic clock, just before the transaction was handed over."""
    transaction: str
    cost: int
    final_seconds: float | None = None
    arrivals: list[Arrival] = field(default_factory=list)
    zk_proof_seconds: float | None = None
    zk_proof: bytes | None = field(default=None, repr=False)

    @property
    def request_id(self) -> Digest:
        """Digest of the request's body."""
        return self.request.digest


@dataclass(frozen=True, slots=True)
class DevnetUser:
    """Everything that a user of the devnet needs. Make one with `open_user`."""

    devnet: DevnetFile
    model: ModelArtifacts
    evm_client: EvmClient
    evm_sender: Sender
    """The only one of its key in this process: it numbers the transactions."""
    evm: EvmRequester
    solana_client: SolanaClient
    solana: SolanaRequester
    consumer: SolanaConsumer
    http: aiohttp.ClientSession

    @property
    def evm_endpoint(self) -> Endpoint:
        """The EVM gateway."""
        return Endpoint(Chain.evm(self.devnet.evm.chain_id), _account(self.devnet.evm.gateway))

    @property
    def solana_endpoint(self) -> Endpoint:
        """The Solana program."""
        return self.solana.endpoint

    async def ask(self, question: Question, deadline_seconds: int = 600) -> Asked:
        """Post the question through the example consumer of its chain. Raises Rejected in words."""
        if question.origin == EVM:
            return await self._ask_evm(question, deadline_seconds)
        return await self._ask_solana(question, deadline_seconds)

    async def _ask_evm(self, question: Question, deadline_seconds: int) -> Asked:
        deadline = UnixSeconds(await self.evm.chain_time() + deadline_seconds)
        remotes: tuple[Remote, ...] = ()
        if question.remote_policy is not None:
            at = self.solana_endpoint
            remotes = (Remote(question.remote_policy, at, at.gateway, self.consumer.asker_account),)
        started = time.monotonic()
        receipt = await self.evm.ask(
            self.model.model_id,
            question.inputs,
            question.policy,
            deadline,
            callback_gas_limit=CALLBACK_GAS,
            remotes=remotes,
            through_consumer=True,
        )
        return Asked(question, receipt.body, started, receipt.transaction, receipt.gas)

    async def _ask_solana(self, question: Question, deadline_seconds: int) -> Asked:
        deadline = UnixSeconds(int(time.time()) + deadline_seconds)
        remotes: tuple[Remote, ...] = ()
        if question.remote_policy is not None:
            hub, consumer = _account(self.devnet.evm.hub), _account(self.devnet.evm.consumer)
            remotes = (Remote(question.remote_policy, self.evm_endpoint, hub, consumer),)
        asked = InferenceRequest(
            self.model.model_id, FEE_LAMPORTS, CALLBACK_GAS, question.policy, remotes, question.inputs
        )
        started = time.monotonic()
        receipt = await self.consumer.ask(asked, deadline)
        return Asked(question, receipt.body, started, receipt.transaction, receipt.compute_units)

    # ---- what came of it ----

    async def arrivals(self, asked: Asked, timeout: float) -> Asked:
        """Wait until every destination has the answer, and add what each cost. Raises Transient after `timeout` seconds."""
        question = asked.question
        policies = {question.origin: question.policy}
        if question.remote_policy is not None:
            policies[SOLANA if question.origin == EVM else EVM] = question.remote_policy
        try:
            async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
                final = group.create_task(self._finality(asked))
                tasks = [group.create_task(self._arrival(asked, chain, policy)) for chain, policy in policies.items()]
        except TimeoutError as error:
            raise Transient(
                f"Request 0x{asked.request_id.hex()} was not answered everywhere within {timeout:g} s. It may still come until its deadline."
            ) from error
        asked.final_seconds = final.result()
        asked.arrivals = [task.result() for task in tasks]
        await self._evidence(asked)
        return asked

    async def _finality(self, asked: Asked) -> float:
        """Seconds until the request itself was final on its chain."""
        while not await self._is_final(asked):
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic() - asked.sent_at

    async def _is_final(self, asked: Asked) -> bool:
        if asked.question.origin == EVM:
            block = await self.evm_client.block("finalized")
            receipt = await self.evm_client.receipt(bytes.fromhex(asked.transaction[2:]))
            return block is not None and receipt is not None and block.number >= receipt.block
        # By slots: this cluster answers account reads at "finalized" for newer slots, too.
        status = await self.solana_client.status(Signature.from_string(asked.transaction))
        return status is not None and await self.solana_client.slot("finalized") >= status.slot

    async def _arrival(self, asked: Asked, chain: str, policy: Policy) -> Arrival:
        while True:
            found = await (self._on_evm(asked, policy) if chain == EVM else self._on_solana(asked, policy))
            if found is not None:
                return found
            await asyncio.sleep(POLL_SECONDS)

    async def _on_evm(self, asked: Asked, policy: Policy) -> Arrival | None:
        answer = await self.evm.answer(asked.request_id)
        if answer is None:
            return None
        seconds = time.monotonic() - asked.sent_at
        diagnosis = await self.evm.diagnosis(asked.request_id)
        decided = None if diagnosis is None else diagnosis.malignant
        return Arrival(EVM, policy, seconds, answer.status, answer.outputs, answer.output_scale, decided=decided)

    async def _on_solana(self, asked: Asked, policy: Policy) -> Arrival | None:
        answer = await self.solana.answer(asked.request_id)
        if answer is None:
            return None
        seconds, result = time.monotonic() - asked.sent_at, answer.result
        # The consumer program reads the answer itself, and decides; the delivery is over by then.
        await self.consumer.read(answer.digest, asked.request_id)
        decision = await self.consumer.decision(asked.request_id)
        decided = None if decision is None else decision.positive
        return Arrival(SOLANA, policy, seconds, result.status, result.outputs, result.output_scale, decided=decided)

    async def _evidence(self, asked: Asked) -> None:
        """Transactions, their costs and the proof, as the nodes that made them tell: a moment later than the chains, since they poll too."""
        for _ in range(EVIDENCE_LOOKS):
            await self._look_for_evidence(asked)
            if (asked.zk_proof is not None or asked.question.unproven) and all(
                arrival.cost is not None for arrival in asked.arrivals
            ):
                return
            await asyncio.sleep(4 * POLL_SECONDS)

    async def _look_for_evidence(self, asked: Asked) -> None:
        places = {str(self.evm_endpoint.chain): EVM, str(self.solana_endpoint.chain): SOLANA}
        arrived = {arrival.chain: arrival for arrival in asked.arrivals}
        for report in await self.node_reports(asked.request_id):
            proof = report["proof"]
            if proof is not None and proof["seconds"] is not None:
                asked.zk_proof_seconds = proof["seconds"]
            if proof is not None and asked.zk_proof is None:
                asked.zk_proof = await self.fetch_proof(report["node"], proof["id"])
            for deliverable in report["deliverables"]:
                receipt, arrival = deliverable["receipt"], arrived.get(places[deliverable["chain"]])
                if receipt is not None and arrival is not None:
                    arrival.transaction, arrival.cost = receipt["transaction"], receipt["cost"]

    async def node_reports(self, message: Digest) -> list[dict[str, Any]]:
        """What each running node knows of a message (its status port), with the node's status address under "node"."""
        reports = []
        for node in self.devnet.nodes:
            try:
                async with self.http.get(f"{node.status_url}/messages/0x{message.hex()}") as reply:
                    if reply.status == 200:
                        reports.append({**await reply.json(), "node": node.status_url, "identifier": node.identifier})
            except (aiohttp.ClientError, TimeoutError):
                continue  # a node that is down tells nothing; the others do
        return reports

    async def fetch_proof(self, node: str, proof_id: str) -> bytes | None:
        """A proof from a node's status port."""
        async with self.http.get(f"{node}/proofs/{proof_id}") as reply:
            return await reply.read() if reply.status == 200 else None


def _account(address: str) -> Account:
    return evm_account(bytes.fromhex(address.removeprefix("0x")))


@asynccontextmanager
async def open_user(devnet: DevnetFile, model: ModelArtifacts) -> AsyncIterator[DevnetUser]:
    """Connect to both chains as the devnet's user. Raises Transient or ConfigError when a chain is not there."""
    if devnet.models.get(model.name) != "0x" + model.model_id.hex():
        raise ConfigError(f"The devnet does not know this build of the model {model.name}: start it again.")
    evm, solana = devnet.evm, devnet.solana
    key = Keypair.from_bytes(bytes.fromhex(solana.user_key[2:]))
    program = Account(bytes(Pubkey.from_string(solana.program)))
    async with (
        EvmClient(evm.rpc_url, evm.chain_id) as evm_client,
        SolanaClient(solana.rpc_url, bytes.fromhex(solana.genesis_hash[2:])) as solana_client,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
    ):
        sender = Sender(evm_client, EvmAccount(evm.user_key))
        yield DevnetUser(
            devnet,
            model,
            evm_client,
            sender,
            EvmRequester(sender, _account(evm.gateway), _account(evm.hub), _account(evm.consumer)),
            solana_client,
            SolanaRequester(solana_client, program, key),
            SolanaConsumer(solana_client, program, Pubkey.from_string(solana.consumer_program), key),
            http,
        )
