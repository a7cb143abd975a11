"""The example consumer program (`contracts/solana/consumer`), spoken to as any user's program would be.

Guarantees: accounts of the consumer are taken only with its owner, size and type. The consumer itself checks, on chain, that an inbox account is
the Sibyl program's, for its own request or for the EVM requester that it was configured with; nothing here replaces that.
"""

from dataclasses import dataclass, field
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from bridges.solana import instructions
from bridges.solana.client import SolanaClient
from bridges.solana.layout import UPGRADEABLE_LOADER, AccountData, Pda
from bridges.solana.requester import AskReceipt, SolanaRequester
from bridges.solana.transactions import SendPolicy, Sent, TransactionSender
from oracle.errors import Rejected, Transient
from oracle.protocol.message import InferenceRequest, Message, origin_hash
from oracle.protocol.types import WORD, Account, Digest, Endpoint, Kind, ModelId, Sequence, Status, UnixSeconds

_CONFIGURE: Final = 0
_ASK: Final = 1
_READ: Final = 2
_ANSWER_TYPE: Final = 2
_ANSWER_SIZE: Final = 120
_NO_DECISION: Final = 255


@dataclass(frozen=True, slots=True)
class Decision:
    """What the consumer recorded of an answer. `positive` is its decision (logit > 0), None for a refusal; `logit` at `output_scale`."""

    request_id: Digest
    status: Status
    positive: bool | None
    logit: int
    output_scale: int
    delivered_at: UnixSeconds
    input_commitment: bytes = field(repr=False)
    requester: Account

    @classmethod
    def decode(cls, account: AccountData, consumer: Pubkey) -> "Decision":
        """Raises Transient when this is no answer account of the consumer."""
        data = account.data
        if (
            account.owner != consumer
            or len(data) != _ANSWER_SIZE
            or data[0] != _ANSWER_TYPE
            or data[3] not in (0, 1, _NO_DECISION)
        ):
            raise Transient(
                f"The Solana RPC endpoint shows an account that is no answer of the consumer {consumer}. Use another endpoint."
            )
        try:
            status = Status(data[2])
        except ValueError:
            raise Transient(
                f"The consumer {consumer} recorded the unknown status {data[2]}; it is of another version."
            ) from None
        return cls(
            request_id=Digest(data[24:56]),
            status=status,
            positive=None if data[3] == _NO_DECISION else data[3] == 1,
            logit=int.from_bytes(data[8:16], "little", signed=True),
            output_scale=data[4],
            delivered_at=UnixSeconds(int.from_bytes(data[16:24], "little")),
            input_commitment=data[56:88],
            requester=Account(data[88:120]),
        )


class SolanaConsumer:
    """The consumer at `consumer`, which asks the Sibyl program `program` (32 bytes); `key` pays and signs."""

    def __init__(
        self, client: SolanaClient, program: Account, consumer: Pubkey, key: Keypair, policy: SendPolicy | None = None
    ) -> None:
        self._client = client
        self._consumer = consumer
        self._requester = SolanaRequester(client, program, key, policy)
        self._sender = TransactionSender(client, key, policy)

    @property
    def asker_account(self) -> Account:
        """The account that asks on behalf of the consumer: a request's sender, and what a remote names as `consumer`."""
        return Account(bytes(self._pda(b"asker").address))

    async def configure(self, model_id: ModelId, foreign: tuple[Endpoint, Account] | None = None) -> Sent:
        """Bind the consumer to a model and, with `foreign`, to a gateway and requester of another chain. For its upgrade authority."""
        settings = self._pda(b"settings")
        origin, requester = (bytes(WORD), bytes(WORD)) if foreign is None else (origin_hash(foreign[0]), foreign[1])
        program = self._requester.addresses.program
        data = bytes([_CONFIGURE, settings.bump]) + bytes(program) + model_id + origin + requester
        program_data = Pubkey.find_program_address([bytes(self._consumer)], UPGRADEABLE_LOADER)[0]
        accounts = [_signer(self._sender.payer), _writable(settings.address), _readable(program_data), _SYSTEM]
        return await self._sender.send([Instruction(self._consumer, data, accounts)])

    async def ask(self, asked: InferenceRequest, deadline: UnixSeconds) -> AskReceipt:
        """Let the consumer post a request; `key` tops up its fee and rent."""

        def body(sequence: int) -> Message:
            at = self._requester.endpoint
            recipient, payload = at.gateway, asked.to_bytes()
            return Message(
                Kind.INFERENCE_REQUEST, at, at, Sequence(sequence), self.asker_account, recipient, deadline, payload
            )

        return await self._requester.posted(body, lambda sequence: self._ask(sequence, deadline, asked))

    async def read(self, answer: Digest, request_id: Digest) -> Sent:
        """Let the consumer read the delivered result with digest `answer`, check it, and record its decision."""
        record, asker = self._record(request_id), self._pda(b"asker")
        accounts = [
            _signer(self._sender.payer),
            _readable(self._pda(b"settings").address),
            _readable(self._requester.addresses.inbox(answer).address),
            _writable(record.address),
            _SYSTEM,
        ]
        return await self._sender.send([Instruction(self._consumer, bytes([_READ, record.bump, asker.bump]), accounts)])

    async def decision(self, request_id: Digest) -> Decision | None:
        """What the consumer recorded for a request; None before `read`."""
        account = (await self._client.accounts([self._record(request_id).address], "confirmed")).accounts[0]
        if account is None or account.vacant:
            return None
        found = Decision.decode(account, self._consumer)
        if found.request_id != request_id:
            raise Rejected("The consumer's record is of another request.", reason="WrongRequest")
        return found

    def _ask(self, sequence: int, deadline: UnixSeconds, asked: InferenceRequest) -> Instruction:
        at, asker = self._requester.addresses, self._pda(b"asker")
        request = instructions.request(at, asker.address, sequence, deadline, asked)
        accounts = [
            _signer(self._sender.payer),
            _readable(self._pda(b"settings").address),
            _writable(asker.address),
            _readable(at.program),
            _writable(at.config.address),
            _readable(at.model(asked.model_id).address),
            _writable(at.outbox(sequence).address),
            _SYSTEM,
        ]
        return Instruction(self._consumer, bytes([_ASK, asker.bump]) + bytes(request.data)[1:], accounts)

    def _record(self, request_id: Digest) -> Pda:
        return self._pda(b"answer", request_id)

    def _pda(self, *seeds: bytes) -> Pda:
        return Pda(*Pubkey.find_program_address(list(seeds), self._consumer))


def _signer(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=True, is_writable=True)


def _writable(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=True)


def _readable(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=False)


_SYSTEM: Final = _readable(SYSTEM_PROGRAM)
