"""A Solana devnet whose program takes POLICY_PROVEN: surfnet, the verifier, sealed keys of stored proofs, and ways to cut a delivery short.

The stored proofs of `tests/vectors/halo2.json` are honest, so nothing has to be proved here: a request asks for the very inputs of one.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import verifier_instructions
from bridges.solana.deploy import SolanaGovernance
from bridges.solana.layout import ModelAccount
from bridges.solana.requester import AskReceipt
from bridges.solana.submitter import SolanaSubmitter
from bridges.solana.transactions import Sent
from bridges.solana.verifier_layout import ProofAccount, VerifierAddresses
from bridges.solana.verifying_keys import VerifyingKeys
from circuits.halo2 import Key
from circuits.halo2.prepared import prepare
from circuits.halo2.upload import upload_for
from contracts.solana.build import build_programs
from oracle.errors import Rejected
from oracle.ports import Submission
from oracle.protocol.encoding import from_field
from oracle.protocol.hashing import keccak256
from oracle.protocol.message import InferenceRequest, Message, Outcome, result_messages
from oracle.protocol.types import Account, Digest, ModelId, Policy, Status, UnixSeconds
from tests.support.solana_world import SolanaNet, plant_program, solana_net

VECTORS = Path(__file__).parents[1] / "vectors" / "halo2.json"
FEE = 2_000_000
PRICE = 1_000
TRANSACTION_LAMPORTS = 5_000
RICH = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Stored:
    """An honest proof with the key that it holds under, and the quantised numbers that it is about; `split`: how many of them are inputs."""

    name: str
    content: bytes = field(repr=False)
    proof: bytes = field(repr=False)
    numbers: tuple[int, ...]
    split: int

    @property
    def inputs(self) -> tuple[int, ...]:
        return self.numbers[: self.split]

    @property
    def outputs(self) -> tuple[int, ...]:
        return self.numbers[self.split :]

    @property
    def model_id(self) -> ModelId:
        """A name of its own for each way of splitting."""
        return ModelId(keccak256(b"stored", self.name.encode(), bytes([self.split])))


@cache
def stored(name: str, outputs: int = 1) -> Stored:
    """The stored proof of a model; the last `outputs` of its numbers are taken for outputs."""
    vector: dict[str, Any] = next(one for one in json.loads(VECTORS.read_text())["vectors"] if one["model"] == name)
    numbers = tuple(from_field(int(word, 16)) for word in vector["instances"])
    content = prepare(Key.from_bytes(bytes.fromhex(vector["key"])))
    return Stored(name, content, bytes.fromhex(vector["proof"]), numbers, len(numbers) - outputs)


class Interruption(BaseException):
    """The process dies: nothing after this runs, and no handler of errors either."""


@dataclass
class Wire:
    """Counts a sender's transactions and does something to some of them, by their number from 1."""

    before: dict[int, Callable[[], BaseException]] = field(default_factory=dict)
    """Raised instead of sending."""
    after: dict[int, Callable[[], BaseException]] = field(default_factory=dict)
    """Raised once the transaction has landed."""
    sent: list[Sent] = field(default_factory=list)
    tried: int = 0

    def tap(self, adapter: SolanaSubmitter | VerifyingKeys) -> "Wire":
        """Stand between an adapter and its cluster."""
        sender = adapter._sender  # the seam where a process can die
        real = sender.send

        async def send(steps: Sequence[Instruction], signers: Sequence[Keypair] = ()) -> Sent:
            self.tried += 1
            number = self.tried
            if number in self.before:
                raise self.before[number]()
            done = await real(steps, signers)
            self.sent.append(done)
            if number in self.after:
                raise self.after[number]()
            return done

        sender.send = send  # type: ignore[assignment]  # that is the seam
        return self


@dataclass(frozen=True, slots=True)
class ProvenNet:
    """`solana_net` with a verifier program and models that it can check."""

    net: SolanaNet
    verifier: Pubkey

    @property
    def at(self) -> VerifierAddresses:
        return VerifierAddresses(self.verifier)

    @property
    def governance(self) -> SolanaGovernance:
        return SolanaGovernance.of(self.net.client, self.net.program, self.net.authority)

    def keys(self, payer: Keypair | None = None) -> VerifyingKeys:
        """For a payer, the funded authority unless given."""
        return VerifyingKeys(self.net.client, Account(bytes(self.verifier)), payer or self.net.authority)

    async def funded(self, lamports: int = RICH) -> Keypair:
        key = Keypair()
        await self.net.fund(key.pubkey(), lamports)
        return key

    async def register(self, model: Stored) -> ModelAccount:
        """Publish the model's key and register it, as a devnet does."""
        sealed = await self.keys().publish(model.content)
        account = self.model(model, sealed)
        await self.governance.register_model(account)
        return account

    def model(self, model: Stored, key: Pubkey) -> ModelAccount:
        counts = len(model.inputs), len(model.outputs)
        return ModelAccount(model.model_id, *counts, 8, 16, (1 << 63) - 1, PRICE, True, self.verifier, key)

    def submitter(self, payer: Keypair, pack: Any = upload_for) -> SolanaSubmitter:
        """A node's, as it is after a start."""
        return SolanaSubmitter(self.net.client, self.net.program, payer, pack=pack)

    async def ask(self, model: Stored, seconds: int = 3600, policy: Policy = Policy.PROVEN) -> AskReceipt:
        """A request by somebody new."""
        asked = InferenceRequest(model.model_id, FEE, 0, policy, (), model.inputs)
        requester = self.net.requester(await self.funded())
        return await requester.ask(asked, UnixSeconds(int(time.time()) + seconds))

    async def ask_expiring(self, model: Stored) -> AskReceipt:
        """A request that soon expires, however slow the machine is: its deadline must not pass before it is posted."""
        for seconds in (5, 15, 45):
            try:
                return await self.ask(model, seconds)
            except Rejected as error:
                if error.reason != "DeadlinePassed":
                    raise
        raise AssertionError("No request was posted within 45 s.")

    async def proof_account(self, payer: Keypair, label: Digest) -> ProofAccount | None:
        address = self.at.proof(label, payer.pubkey()).address
        account = (await self.net.client.accounts([address], "confirmed")).accounts[0]
        return None if account is None or account.vacant else ProofAccount.decode(account, self.verifier)

    async def leave_proof(self, payer: Keypair, label: Digest, content: bytes) -> None:
        """A proof account as an earlier life of the payer could have left it."""
        node = self.submitter(payer)
        step = verifier_instructions.create_proof(self.at, payer.pubkey(), label, len(content), content)
        await node._sender.send([step])

    async def balance(self, key: Keypair) -> int:
        return await self.net.client.balance(key.pubkey())

    async def rent(self, *sizes: int) -> int:
        return sum([await self.net.client.minimum_balance(size) for size in sizes])


def answer(model: Stored, request: Message) -> Message:
    """The result that answers a request."""
    return result_messages(request, Outcome(Status.ANSWERED, model.outputs, 16))[0]


def submission(model: Stored, request: Message, proof: bytes | None = None) -> Submission:
    """What a node hands over."""
    return Submission(answer(model, request), None, request, model.proof if proof is None else proof)


@asynccontextmanager
async def proven_net(directory: Path) -> AsyncIterator[ProvenNet]:
    """A fresh one."""
    async with solana_net(directory) as net:
        verifier = Keypair().pubkey()
        binary = build_programs().verifier_so.read_bytes()
        await plant_program(net.rpc_url, verifier, net.authority.pubkey(), binary)
        yield ProvenNet(net, verifier)
