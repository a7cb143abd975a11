"""What a user of the Solana program does: ask, read answers, take refunds, post messages, and get rent back.

Guarantees: a request or message is posted at most once for each call, also when the endpoint loses an answer; after `Transient` it may or
may not have been posted (its sequence tells), so look before you ask again. What the program refuses is `Rejected` with the program's
own name and a sentence; an answer is shown only if its account lies at the address of its digest. Whether an answer's
*origin* is to be trusted is what the program checked on delivery.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import instructions
from bridges.solana.client import Commitment, SolanaClient
from bridges.solana.instructions import NEVER
from bridges.solana.layout import (
    INBOX_KIND_AT,
    INBOX_REQUEST_ID_AT,
    AccountData,
    ConfigAccount,
    InboxAccount,
    ModelAccount,
    OutboxAccount,
    OutboxState,
    ProgramAddresses,
)
from bridges.solana.transactions import SendPolicy, Sent, TransactionSender
from oracle.errors import Rejected, Transient
from oracle.protocol import constants as c
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.message import InferenceRequest, InferenceResult, Message
from oracle.protocol.types import Account, Digest, Endpoint, Kind, ModelId, Sequence, UnixSeconds

T = TypeVar("T")

POST_ATTEMPTS: Final = 8
"""How often a post is tried anew after another poster took its sequence."""
WRONG_SEQUENCE: Final = "WrongSequence"
ANSWER_POLL: Final = 0.1


@dataclass(frozen=True, slots=True)
class AskReceipt:
    """A posted request (or message): `request_id` is the digest of `body`."""

    request_id: Digest
    sequence: Sequence
    compute_units: int
    transaction: str
    body: Message


@dataclass(frozen=True, slots=True)
class Answer:
    """A delivered result, as its inbox account holds it. `payer` delivered it and gets the account's rent back."""

    digest: Digest
    delivered_at: UnixSeconds
    payer: Pubkey
    message: Message
    result: InferenceResult


class SolanaRequester:
    """Speaks to the program `program` (32 bytes) for one key, which pays, signs and is the requester."""

    def __init__(self, client: SolanaClient, program: Account, key: Keypair, policy: SendPolicy | None = None) -> None:
        self._client = client
        self.addresses = ProgramAddresses(Pubkey(program))
        self.endpoint = Endpoint(client.chain, program)
        self._sender = TransactionSender(client, key, policy)
        self._posting = asyncio.Lock()
        self.key = key.pubkey()

    async def ask(self, asked: InferenceRequest, deadline: UnixSeconds) -> AskReceipt:
        """Post a request whose requester is this key; it pays fee and rent. `deadline` in Unix seconds."""

        def body(sequence: int) -> Message:
            return self._post(
                Kind.INFERENCE_REQUEST, sequence, self.endpoint, self.endpoint.gateway, deadline, asked.to_bytes()
            )

        return await self.posted(
            body, lambda sequence: instructions.request(self.addresses, self.key, sequence, deadline, asked)
        )

    async def send_message(
        self, destination: Endpoint, recipient: Account, payload: bytes, expiry: UnixSeconds = NEVER
    ) -> AskReceipt:
        """Post a KIND_MESSAGE to a registered peer's chain; one with an expiry that is not delivered by then comes back as a non-delivery."""

        def body(sequence: int) -> Message:
            return self._post(Kind.MESSAGE, sequence, destination, recipient, expiry, payload)

        return await self.posted(
            body,
            lambda sequence: instructions.send(
                self.addresses, self.key, sequence, destination, recipient, payload, expiry
            ),
        )

    async def answer(self, request_id: Digest, commitment: Commitment = "confirmed") -> Answer | None:
        """The result delivered on this chain for a request of any chain; None when there is none (yet, or any more)."""
        matches = [
            (0, bytes([c.ACCOUNT_INBOX, c.ACCOUNT_LAYOUT_VERSION])),
            (INBOX_KIND_AT, bytes([Kind.INFERENCE_RESULT])),
            (INBOX_REQUEST_ID_AT, request_id),
        ]
        for found in await self._client.find(self.addresses.program, matches, commitment):
            answer = self._answer(found.address, found.account)
            if answer is not None and answer.result.request_id == request_id:
                return answer
        return None

    async def answer_by_digest(self, digest: Digest, commitment: Commitment = "confirmed") -> Answer | None:
        """The delivered result with this digest: one account read, where the result is known already."""
        address = self.addresses.inbox(digest).address
        account = await self._account(address, commitment)
        return None if account is None else self._answer(address, account)

    async def wait_answer(self, request_id: Digest, timeout: float) -> Answer:
        """The answer, once it is delivered. Raises Transient after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    found = await self.answer(request_id)
                    if found is not None:
                        return found
                    await asyncio.sleep(ANSWER_POLL)
        except TimeoutError as error:
            raise Transient(
                f"No answer to request {request_id.hex()} within {timeout:g} s. It may still come until its deadline; after that, refund it."
            ) from error

    async def config(self, commitment: Commitment = "confirmed") -> ConfigAccount:
        """The program's configuration. Raises Transient when the program is not configured."""
        account = await self._account(self.addresses.config.address, commitment)
        if account is None:
            raise Transient(
                f"There is no configured Sibyl program at {self.addresses.program}. Check its id, or deploy it."
            )
        return self._decoded(lambda: ConfigAccount.decode(account, self.addresses.program))

    async def model(self, model_id: ModelId) -> ModelAccount | None:
        """A registered model."""
        account = await self._account(self.addresses.model(model_id).address, "confirmed")
        if account is None:
            return None
        return self._decoded(lambda: ModelAccount.decode(account, self.addresses.program))

    async def post(self, sequence: int, commitment: Commitment = "confirmed") -> OutboxAccount | None:
        """A post of this program and what became of it; None when it was closed or never made."""
        account = await self._account(self.addresses.outbox(sequence).address, commitment)
        if account is None:
            return None
        return self._decoded(lambda: OutboxAccount.decode(account, self.addresses.program))

    async def refund(self, sequence: Sequence) -> Sent:
        """Fee and rent of an unanswered request back to its requester, once its deadline passed. Anyone may."""
        found = await self._existing(sequence)
        return await self._sender.send([instructions.refund(self.addresses, sequence, found.sender)])

    async def close_outbox(self, sequence: Sequence) -> Sent:
        """Rent of a finished post back to its sender. A message is closed by its sender alone."""
        found = await self._existing(sequence)
        signed = found.state is OutboxState.POSTED
        if signed and found.sender != self.key:
            raise Rejected(f"Only {found.sender}, who posted it, closes this message.", reason="MissingSignature")
        return await self._sender.send(
            [instructions.close_outbox(self.addresses, sequence, found.sender, signed=signed)]
        )

    async def close_inbox(self, digest: Digest) -> Sent:
        """Rent of a delivery back to who paid it. A message is closed by its recipient alone."""
        account = await self._account(self.addresses.inbox(digest).address, "confirmed")
        if account is None:
            raise Rejected("There is no such delivery, or it was closed.", reason="WrongOwner")
        inbox = self._decoded(lambda: InboxAccount.decode(account, self.addresses.program))
        return await self._sender.send([instructions.close_inbox(self.addresses, self.key, digest, inbox.payer)])

    def _post(
        self, kind: Kind, sequence: int, destination: Endpoint, recipient: Account, expiry: UnixSeconds, payload: bytes
    ) -> Message:
        sender = Account(bytes(self.key))
        return Message(kind, self.endpoint, destination, Sequence(sequence), sender, recipient, expiry, payload)

    async def posted(self, body: Callable[[int], Message], encode: Callable[[int], Instruction]) -> AskReceipt:
        """Post what `encode` makes of the next sequence, whose body is `body` of it; again when another poster was first."""
        async with self._posting:  # two posts of one key at once would race for one sequence
            return await self._post_next(body, encode)

    async def _post_next(self, body: Callable[[int], Message], encode: Callable[[int], Instruction]) -> AskReceipt:
        for _ in range(POST_ATTEMPTS):
            sequence = (await self.config("processed")).next_sequence
            message = body(sequence)
            try:
                sent = await self._sender.send([encode(sequence)])
                return AskReceipt(message.digest, message.sequence, sent.units, str(sent.signature), message)
            except EncodeError as error:
                raise Rejected(f"The program cannot take this: {error}", reason="InvalidRequest") from error
            except Rejected as error:
                if error.reason != WRONG_SEQUENCE:
                    raise
        raise Transient(f"Others posted first {POST_ATTEMPTS} times in a row. Try again.")

    async def _existing(self, sequence: Sequence) -> OutboxAccount:
        found = await self.post(sequence)
        if found is None:
            raise Rejected(
                f"There is no post of sequence {sequence}, or it was closed or refunded already.", reason="WrongOwner"
            )
        return found

    async def _account(self, address: Pubkey, commitment: Commitment) -> AccountData | None:
        account = (await self._client.accounts([address], commitment)).accounts[0]
        return None if account is None or account.vacant else account

    def _answer(self, address: Pubkey, account: AccountData) -> Answer | None:
        inbox = self._decoded(lambda: InboxAccount.decode(account, self.addresses.program))
        result = self._decoded(lambda: inbox.result)
        if result is None:
            return None
        if self.addresses.inbox(inbox.digest).address != address:
            raise Transient(
                "The Solana RPC endpoint shows an inbox account at another address than its digest's. Use another endpoint."
            )
        return Answer(inbox.digest, inbox.delivered_at, inbox.payer, inbox.message, result)

    def _decoded(self, decode: Callable[[], T]) -> T:
        try:
            return decode()
        except DecodeError as error:
            raise Transient(
                f"The Solana RPC endpoint contradicts the program {self.addresses.program}. {error} Use another endpoint."
            ) from error
