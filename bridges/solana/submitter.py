"""Delivers messages to one Sibyl program (PROTOCOL.md §7, `deliver`), one transaction a message. A message to the bridge authority of a
token program is redeemed in the same transaction (TOKENS.md §5), and a rotation creates its committee epoch there (`rotate`); when that
cannot be done now, the message is delivered alone and waits. An answer under PROVEN carries no signature: `proven` brings its proof.

Guarantees: nothing is sent for a message that is not for this program or not covered by its attestation; delivering twice does no harm
(the program's replay bitmap decides, and "delivered already" is None, not an error); `FINAL` is said only of what the cluster has
finalised, and "lapsed" of what no later state of the cluster can deliver. It does not check the committee's signature: the program does.
"""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import Final
from weakref import WeakValueDictionary

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import instructions
from bridges.solana.client import Commitment, SolanaClient
from bridges.solana.clock import ClusterClock
from bridges.solana.instructions import Envelope, HomeRequest
from bridges.solana.layout import AccountData, ConfigAccount, InboxAccount, ProgramAddresses, ReplayAccount
from bridges.solana.proven import PackProof, ProvenAnswer, ProvenAnswers
from bridges.solana.tokens_redeemer import OVER_LIMIT, FeePolicy, TokenLookup, TokenRedeemer
from bridges.solana.transactions import TOO_LARGE, SendPolicy, Sent, TransactionSender
from oracle.errors import Rejected, Transient
from oracle.ports import DeliveryState, GroupAttestation, Receipt, Submission
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.hashing import merkle_branch
from oracle.protocol.message import InferenceRequest, InferenceResult, Message
from oracle.protocol.types import Account, Digest, Endpoint, Kind, ModelId, Policy, Status

ALREADY_DELIVERED: Final = "AlreadyDelivered"
MAX_WATCHED: Final = 4096
"""Deliveries whose first sighting is remembered until they are final."""


class SolanaSubmitter:
    """The port `ChainSubmitter` for the program `program` (32 bytes); `payer` pays fee and rent (the rent comes back when the inbox account
    is closed: a message by its recipient alone, a result also by the payer after its expiry). `fees`: whether it takes what transfers
    offer whoever delivers them. `pack`: how proofs are packed, if it shall answer under PROVEN."""

    def __init__(
        self,
        client: SolanaClient,
        program: Account,
        payer: Keypair,
        policy: SendPolicy | None = None,
        *,
        tokens_program: Account | None = None,
        fees: FeePolicy | None = None,
        pack: PackProof | None = None,
    ) -> None:
        self._client = client
        self._addresses = ProgramAddresses(Pubkey(program))
        self._destination = Endpoint(client.chain, program)
        self._sender = TransactionSender(client, payer, policy)
        self._clock = ClusterClock(client)
        self._proven = None if pack is None else ProvenAnswers(client, self._addresses, self._sender, pack)
        self._redeemer: TokenRedeemer | None = None
        if tokens_program is not None:
            self._redeemer = TokenRedeemer(TokenLookup(client, program, tokens_program), payer.pubkey(), fees)
        self._treasury: Pubkey | None = None
        self._delivering: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()
        self._seen: OrderedDict[Digest, int] = OrderedDict()

    @property
    def destination(self) -> Endpoint:
        """The program that is delivered to."""
        return self._destination

    async def submit(self, submission: Submission) -> Receipt | None:
        """Deliver and wait until the cluster confirmed it; None when it was there already.

        Raises Transient, or Rejected with the program's name of the error, "WrongDestination", "InvalidSignature" (no attestation
        covers the message) or "TransactionTooLarge".
        """
        message = submission.message
        if message.destination != self._destination:
            raise Rejected(
                f"This message is for {message.destination}, not {self._destination}.", reason="WrongDestination"
            )
        answer = self._proven_answer(submission)
        # Two tasks with one message would pay for two transactions, one of which fails.
        async with self._delivering.setdefault(message.digest, asyncio.Lock()):
            if answer is not None:
                return await self._fulfil(message, *answer)
            return await self._deliver(message, self._envelope(submission.attestation, message))

    async def checks_proofs(self, model_id: ModelId) -> bool:
        """Whether the chain checks proofs of a model, and this submitter can bring them. Raises Transient, or Rejected for a key that is missing
        or not sealed."""
        return self._proven is not None and await self._proven.checks(model_id)

    async def prune(self) -> int:
        """Take back the rent of proofs that no request waits for any more; how many. For a node's start and from time to time.

        Raises Transient or Rejected.
        """
        return 0 if self._proven is None else await self._proven.prune()

    async def _fulfil(self, message: Message, proven: ProvenAnswers, answer: ProvenAnswer) -> Receipt | None:
        if await self._delivered_at(message, "confirmed") is not None:
            with suppress(Rejected):
                await proven.forget(answer)
            return None
        try:
            sent = await proven.fulfil(answer)
        except EncodeError as error:
            raise Rejected(f"The answer cannot be delivered to Solana: {error}", reason="InvalidBody") from error
        except Rejected:
            # Lost to somebody else's transaction? Only the state says so.
            if await self._delivered_at(message, "confirmed") is None:
                raise
            return None
        self._remember(message.digest, sent.slot)
        return Receipt(str(sent.signature), sent.units, sent.size)

    def _proven_answer(self, submission: Submission) -> tuple[ProvenAnswers, ProvenAnswer] | None:
        """What to fulfil, when this is an answer by proof alone. A refusal of such a request is signed, and is delivered as any result."""
        if submission.message.kind is not Kind.INFERENCE_RESULT:
            return None
        try:
            result = InferenceResult.from_bytes(submission.message.payload)
            if result.policy is not Policy.PROVEN or result.status is not Status.ANSWERED:
                return None
            return self._checked_answer(submission, result)
        except DecodeError as error:
            raise Rejected(f"The result cannot be delivered: {error}", reason="InvalidResult") from error

    def _checked_answer(self, submission: Submission, result: InferenceResult) -> tuple[ProvenAnswers, ProvenAnswer]:
        request, zk_proof = submission.request, submission.zk_proof
        if self._proven is None:
            raise Rejected(
                "This submitter was not told how to pack proofs, so it answers nothing under PROVEN.",
                reason="UnsupportedPolicy",
            )
        if request is None or zk_proof is None:
            raise Rejected("An answer by proof needs its request and its ezkl proof.", reason="ProofRequired")
        if request.digest != result.request_id or request.origin != self._destination:
            raise Rejected(
                "The request is not the one of this chain that this result answers.", reason="ResultMismatch"
            )
        asked = InferenceRequest.from_bytes(request.payload)
        return self._proven, ProvenAnswer(request, asked, result.outputs, zk_proof)

    async def _deliver(self, message: Message, envelope: Envelope) -> Receipt | None:
        try:
            home = await self._home(message)
            deliver = instructions.deliver(self._addresses, self._sender.payer, message, envelope, home)
            sent = await self._send(message, deliver)
        except EncodeError as error:
            raise Rejected(f"The message cannot be delivered to Solana: {error}", reason="InvalidBody") from error
        except Rejected as error:
            if error.reason != ALREADY_DELIVERED:
                raise
            await self._take_waiting(message)
            return None
        self._remember(message.digest, sent.slot)
        return Receipt(str(sent.signature), sent.units, sent.size)

    async def _send(self, message: Message, deliver: Instruction) -> Sent:
        """Deliver, with what takes the message behind it if that is accepted; its refusal never holds up the delivery."""
        if message.kind is Kind.ROTATION:
            return await self._send_rotation(deliver, message)
        if self._redeemer is None or not self._redeemer.concerns(message):
            return await self._sender.send([deliver])
        reason, redeem = "", None
        with suppress(Rejected):  # no such token program: the message waits for it
            ready = await self._redeemer.fee_account_instruction(message)
            if ready is not None:
                await self._sender.send([ready])
            redeem = await self._redeemer.redeem_instruction(message)
        if redeem is not None:
            try:
                return await self._sender.send([deliver, redeem])
            except Rejected as error:
                reason = error.reason
        queue = await self._redeemer.enqueue_instruction(message) if reason == OVER_LIMIT else None
        if queue is not None:
            with suppress(Rejected):
                return await self._sender.send([deliver, queue])
        sent = await self._sender.send([deliver])
        if redeem is not None and reason == TOO_LARGE:
            with suppress(Rejected):  # a long Merkle branch: the redemption takes a transaction of its own
                await self._sender.send([redeem])
        return sent

    async def _send_rotation(self, deliver: Instruction, message: Message) -> Sent:
        try:
            rotate = instructions.rotate(self._addresses, self._sender.payer, message, self._sender.payer)
        except DecodeError as error:
            raise Rejected(f"The rotation cannot be delivered: {error}", reason="InvalidRotation") from error
        try:
            return await self._sender.send([deliver, rotate])
        except Rejected:
            sent = await self._sender.send([deliver])  # raises again when it was the delivery that was refused
        with suppress(Rejected):  # two transactions where one is too large; where the epoch cannot begin now, it waits
            await self._sender.send([rotate])
        return sent

    async def _take_waiting(self, message: Message) -> None:
        """Take what somebody delivered and nobody took: a rotation, or a message to the bridge authority. It may have to wait longer."""
        concerns_tokens = self._redeemer is not None and self._redeemer.concerns(message)
        if message.kind is not Kind.ROTATION and not concerns_tokens:
            return
        payer = await self._inbox_payer(message)
        if payer is None:
            return  # taken
        with suppress(Rejected):
            if message.kind is Kind.ROTATION:
                step: Instruction | None = instructions.rotate(self._addresses, self._sender.payer, message, payer)
            else:
                step = None if self._redeemer is None else await self._redeemer.redeem_instruction(message, payer)
            if step is not None:
                await self._sender.send([step])

    async def _inbox_payer(self, message: Message) -> Pubkey | None:
        address = self._addresses.inbox(message.digest).address
        account = (await self._client.accounts([address], "confirmed")).accounts[0]
        if account is None or account.vacant:
            return None
        try:
            return InboxAccount.decode(account, self._addresses.program).payer
        except DecodeError as error:
            raise self._contradiction(error) from error

    async def lapsed(self, message: Message) -> bool:
        """Whether `message` can never be delivered here any more. False whenever that is not sure. Raises Transient.

        The clock comes first: a delivery after a finalised slot whose clock is past the expiry is refused, so a later look at the
        replay bitmap that does not show one is the last word.
        """
        if not message.expiry or message.destination != self._destination:
            return False
        final = await self._clock.final()
        if final is None or final.time <= message.expiry:
            return False
        return await self._delivered_at(message, "finalized", since=final.slot) is None

    async def state(self, message: Message) -> DeliveryState:
        """Whether (origin, sequence) was delivered here, and whether that is final. Raises Transient."""
        slot = await self._delivered_at(message, "confirmed")
        if slot is None:
            self._seen.pop(message.digest, None)
            return DeliveryState.ABSENT
        first = self._remember(message.digest, slot)
        # The finalized slot is asked for too: some nodes answer account reads for newer slots than the commitment asked for.
        if await self._client.slot("finalized") < first or await self._delivered_at(message, "finalized") is None:
            return DeliveryState.INCLUDED
        return DeliveryState.FINAL

    def _remember(self, digest: Digest, slot: int) -> int:
        """The slot of the first sighting of a delivery."""
        first = self._seen.setdefault(digest, slot)
        while len(self._seen) > MAX_WATCHED:
            self._seen.popitem(last=False)
        return first

    async def _delivered_at(self, message: Message, commitment: Commitment, *, since: int = 0) -> int | None:
        """The slot of an answer, not before `since`, that says "delivered"; None when it says otherwise."""
        address = self._addresses.replay(message.origin, message.sequence).address
        snapshot = await self._client.accounts([address], commitment, since=since)
        account = snapshot.accounts[0]
        if account is None or account.vacant:
            return None
        try:
            delivered = ReplayAccount.decode(account, self._addresses.program).delivered(message.sequence)
        except DecodeError as error:
            raise self._contradiction(error) from error
        return snapshot.slot if delivered else None

    def _envelope(self, attestation: GroupAttestation | None, message: Message) -> Envelope:
        if attestation is None:
            raise Rejected("Solana takes no message without a committee's signature.", reason="InvalidSignature")
        try:
            index = attestation.digests.index(message.digest)
            return Envelope(attestation.epoch, attestation.signature, merkle_branch(attestation.digests, index))
        except (ValueError, EncodeError) as error:
            raise Rejected(
                "The committee's signature does not cover this message.", reason="InvalidSignature"
            ) from error

    async def _home(self, message: Message) -> HomeRequest | None:
        """For a result of a request of this chain: who gets the fee, and who asked."""
        if message.kind is not Kind.INFERENCE_RESULT or message.origin != self._destination:
            return None
        try:
            requester = InferenceResult.from_bytes(message.payload).requester
        except DecodeError as error:
            raise Rejected(f"The result cannot be delivered: {error}", reason="InvalidResult") from error
        if self._treasury is None:
            self._treasury = (await self._config()).treasury  # the program has no instruction that changes it
        return HomeRequest(self._treasury, Pubkey(requester))

    async def _config(self) -> ConfigAccount:
        account: AccountData | None
        (account,) = (await self._client.accounts([self._addresses.config.address], "confirmed")).accounts
        if account is None or account.vacant:
            raise Transient(f"There is no configured Sibyl program at {self._addresses.program} yet. Check its id.")
        try:
            return ConfigAccount.decode(account, self._addresses.program)
        except DecodeError as error:
            raise self._contradiction(error) from error

    def _contradiction(self, error: DecodeError) -> Transient:
        return Transient(
            f"The Solana RPC endpoint contradicts the program {self._addresses.program}. {error} Use another endpoint."
        )
