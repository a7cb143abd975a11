"""Answers requests of one Sibyl program by proof alone (PROTOCOL.md §7, `fulfil`): one transaction uploads the beginning of packed proof ‖ hint
to an account of the verifier program, the next brings the rest, has the proof checked, and answers.

Guarantees: whatever a fulfilment that was cut short left behind (a crash, an expired blockhash, an empty purse) is found again at the same address
and used, or closed; what the program refuses for good, because somebody else was first or the request is over, closes the account before
it is told. `prune` finds every account of this payer and closes those that no request waits for, so that no rent is lost. The proof account's
address is made of the payer's key: nobody else writes, closes or verifies it. It does not check the proof: its prover did, and the chain will.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from solders.instruction import Instruction
from solders.pubkey import Pubkey

from bridges.solana import instructions, verifier_instructions
from bridges.solana.client import SolanaClient
from bridges.solana.clock import ClusterClock
from bridges.solana.layout import AccountData, ModelAccount, OutboxAccount, OutboxState, ProgramAddresses
from bridges.solana.transactions import MAX_TRANSACTION, TOO_LARGE, Sent, TransactionSender
from bridges.solana.verifier_instructions import FIRST_CHUNK
from bridges.solana.verifier_layout import KeyAccount, ProofAccount, VerifierAddresses, key_hash
from oracle.errors import Rejected, Transient
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError
from oracle.protocol.message import InferenceRequest, Message
from oracle.protocol.types import Digest, ModelId

PackProof = Callable[[bytes, tuple[int, ...], tuple[int, ...], bytes], bytes]
"""(content of a key account, inputs, outputs, proof) → packed proof ‖ hint. Raises SibylError. The adapter knows no circuit, so it is given this."""

UPLOAD_ROUNDS: Final = 3
"""How often an upload looks at what is there and sends what is missing, before a refusal is the last word."""
MAX_KEYS: Final = 64
"""Sealed keys that are remembered: they never change."""


@dataclass(frozen=True, slots=True)
class ProvenAnswer:
    """A request of this program, the outputs that answer it, and the ezkl proof that they do."""

    request: Message
    asked: InferenceRequest
    outputs: tuple[int, ...]
    zk_proof: bytes = field(repr=False)

    @property
    def label(self) -> Digest:
        """What the proof account is named by: the request's id."""
        return self.request.digest


@dataclass(frozen=True, slots=True)
class _Upload:
    """What has to stand in the proof account before the verifying transaction, and that transaction's instruction."""

    at: VerifierAddresses
    label: Digest
    first: bytes
    fulfil: Instruction


class ProvenAnswers:
    """Fulfils for one payer, who gets the fee."""

    def __init__(
        self, client: SolanaClient, program: ProgramAddresses, sender: TransactionSender, pack: PackProof
    ) -> None:
        self._client, self._program, self._sender, self._pack = client, program, sender, pack
        self._clock = ClusterClock(client)
        self._keys: OrderedDict[Pubkey, bytes] = OrderedDict()
        self._busy: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()

    async def fulfil(self, answer: ProvenAnswer) -> Sent:
        """Upload and answer. Raises Transient (what was uploaded stays for the next attempt), Rejected (nothing stays), or what `pack` raises."""
        async with self._lock(answer.label):
            model = await self._model(answer.asked.model_id)
            upload = self._planned(answer, model, await self._key(model))
            try:
                await self._upload(upload)
                return await self._sender.send([upload.fulfil])
            except Rejected:
                with suppress(Rejected, Transient):  # the refusal is the news; what stays now, `prune` finds
                    await self._close(upload.at, upload.label)
                raise

    async def forget(self, answer: ProvenAnswer) -> None:
        """Close what is left of an answer that somebody else has given. Raises Transient, or Rejected without a model."""
        async with self._lock(answer.label):
            model = await self._model(answer.asked.model_id)
            await self._close(VerifierAddresses(model.verifier), answer.label)

    async def checks(self, model_id: ModelId) -> bool:
        """Whether this chain checks proofs of a model; False too when it does not know the model. Raises Transient, or Rejected when
        governance named a key account that cannot be used."""
        account = await self._account(self._program.model(model_id).address)
        if account is None:
            return False
        model = self._decoded_model(account)
        if not model.provable:
            return False
        await self._key(model)
        return True

    async def prune(self) -> int:
        """Close every proof account of this payer for which no request waits any more; how many there were. Raises Transient or Rejected."""
        closed = 0
        for at in await self._verifiers():
            matches = [
                (0, bytes([c.VERIFIER_ACCOUNT_PROOF, c.ACCOUNT_LAYOUT_VERSION])),
                (c.VERIFIER_PROOF_ACCOUNT_PAYER_OFFSET, bytes(self._sender.payer)),
            ]
            for found in await self._client.find(at.program, matches, "confirmed"):
                label = Digest(self._proof(found.account, at).label)
                async with self._lock(label):
                    if not await self._awaited(label):
                        closed += await self._close(at, label)
        return closed

    def _lock(self, label: Digest) -> asyncio.Lock:
        return self._busy.setdefault(label, asyncio.Lock())

    # ---- what the chain holds ----

    async def _account(self, address: Pubkey) -> AccountData | None:
        account = (await self._client.accounts([address], "confirmed")).accounts[0]
        return None if account is None or account.vacant else account

    async def _model(self, model_id: ModelId) -> ModelAccount:
        account = await self._account(self._program.model(model_id).address)
        if account is None:
            raise Rejected(f"The model {model_id.hex()} is not registered on this chain.", reason="InvalidModel")
        model = self._decoded_model(account)
        if not model.provable:
            raise Rejected(
                f"This chain has no verifier for the model {model_id.hex()}: governance registers the model with one, after its key was "
                "uploaded and sealed.",
                reason="UnsupportedPolicy",
            )
        return model

    def _decoded_model(self, account: AccountData) -> ModelAccount:
        try:
            return ModelAccount.decode(account, self._program.program)
        except DecodeError as error:
            raise self._contradiction(error) from error

    async def _key(self, model: ModelAccount) -> bytes:
        """The content of the model's sealed key account."""
        address = model.verifying_key
        if address in self._keys:
            self._keys.move_to_end(address)
            return self._keys[address]
        account = await self._account(address)
        if account is None:
            raise Rejected(
                f"The key account {address} of the model {model.model_id.hex()} does not exist on this chain: upload the key and seal it.",
                reason="KeyMissing",
            )
        try:
            key = KeyAccount.decode(account, model.verifier)
        except DecodeError as error:
            raise Rejected(
                f"The account {address} that is registered as key of the model {model.model_id.hex()} is none: {error}",
                reason="InvalidKey",
            ) from error
        if not key.sealed:
            raise Rejected(
                f"The key account {address} of the model {model.model_id.hex()} is not sealed yet: finish its upload and seal it.",
                reason="KeyNotSealed",
            )
        if key.content_hash != key_hash(key.content):
            raise self._contradiction(DecodeError("A sealed key's content has another hash than its own."))
        self._keys[address] = key.content
        while len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        return key.content

    async def _verifiers(self) -> list[VerifierAddresses]:
        """The verifiers of all registered models. A model keeps its verifier for good, so none that was ever used is missing."""
        matches = [(0, bytes([c.ACCOUNT_MODEL, c.ACCOUNT_LAYOUT_VERSION]))]
        found = await self._client.find(self._program.program, matches, "confirmed")
        models = [self._decoded_model(one.account) for one in found]
        programs = {model.verifier for model in models if model.provable}
        return [VerifierAddresses(program) for program in sorted(programs, key=bytes)]

    async def _awaited(self, request_id: Digest) -> bool:
        """Whether a request of this program is pending and its deadline is not past."""
        matches = [
            (0, bytes([c.ACCOUNT_OUTBOX, c.ACCOUNT_LAYOUT_VERSION])),
            (c.OUTBOX_ACCOUNT_DIGEST_OFFSET, request_id),
        ]
        now = (await self._clock.read()).time
        for found in await self._client.find(self._program.program, matches, "confirmed"):
            try:
                outbox = OutboxAccount.decode(found.account, self._program.program)
            except DecodeError as error:
                raise self._contradiction(error) from error
            if outbox.state is OutboxState.PENDING and now <= outbox.message.expiry:
                return True
        return False

    async def _held(self, at: VerifierAddresses, label: Digest) -> ProofAccount | None:
        """This payer's proof account for a request."""
        account = await self._account(at.proof(label, self._sender.payer).address)
        return None if account is None else self._proof(account, at)

    def _proof(self, account: AccountData, at: VerifierAddresses) -> ProofAccount:
        try:
            proof = ProofAccount.decode(account, at.program)
        except DecodeError as error:
            raise self._contradiction(error) from error
        if proof.payer != self._sender.payer:
            raise self._contradiction(DecodeError("A proof account at this payer's address is another's."))
        return proof

    def _contradiction(self, error: DecodeError) -> Transient:
        return Transient(
            f"The Solana RPC endpoint contradicts the program {self._program.program}. {error} Use another endpoint."
        )

    # ---- what is sent ----

    def _planned(self, answer: ProvenAnswer, model: ModelAccount, content: bytes) -> _Upload:
        packed = self._pack(content, answer.asked.inputs, answer.outputs, answer.zk_proof)

        def fulfil(tail: bytes) -> Instruction:
            return instructions.fulfil(self._program, self._sender.payer, answer.request, answer.outputs, model, tail)

        excess = self._sender.size([fulfil(packed)]) - MAX_TRANSACTION
        size = max(excess, min(FIRST_CHUNK, len(packed)))
        if size > len(packed):
            raise Rejected(
                f"The answer has {len(answer.outputs)} outputs: they do not fit one transaction of Solana.",
                reason=TOO_LARGE,
            )
        return _Upload(VerifierAddresses(model.verifier), answer.label, packed[:size], fulfil(packed[size:]))

    async def _upload(self, upload: _Upload) -> None:
        """Have the proof account hold the beginning. What is there already, of this proof or another, is taken into account."""
        for attempt in range(1, UPLOAD_ROUNDS + 1):
            held = await self._held(upload.at, upload.label)
            try:
                for step in self._missing(upload, held):
                    await self._sender.send([step])
            except Rejected:  # perhaps a transaction that seemed lost landed after all: what is there now tells
                if attempt == UPLOAD_ROUNDS:
                    raise
            else:
                return

    def _missing(self, upload: _Upload, held: ProofAccount | None) -> Sequence[Instruction]:
        at, payer, label, first = upload.at, self._sender.payer, upload.label, upload.first
        steps = []
        if held is not None and len(held.content) != len(first):
            steps.append(verifier_instructions.close_proof(at, payer, label))
            held = None
        if held is None:
            steps.append(verifier_instructions.create_proof(at, payer, label, len(first), first[:FIRST_CHUNK]))
        for start in range(0 if held else FIRST_CHUNK, len(first), FIRST_CHUNK):
            part = first[start : start + FIRST_CHUNK]
            if held is None or held.content[start : start + FIRST_CHUNK] != part:
                steps.append(verifier_instructions.write_proof(at, payer, label, start, part))
        return steps

    async def _close(self, at: VerifierAddresses, label: Digest) -> bool:
        """Take the rent back; False when there is nothing to close."""
        if await self._held(at, label) is None:
            return False
        await self._sender.send([verifier_instructions.close_proof(at, self._sender.payer, label)])
        return True
