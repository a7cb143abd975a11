"""What the chains say of a past request: its body as it was posted, and the answer that each of its destinations recorded.

Guarantees: a body counts when its digest is the request's id, wherever it comes from; an answer counts as it lies in a destination's record (the
hub's storage on EVM, the delivered result's account on Solana, which is compared byte for byte with the result that the request and these outputs
make). Reads as of finality, and says when a record is not final yet. It trusts its RPC endpoints; name several.
Does not do: find records whose accounts were closed (Solana gives their rent back, and then only its history has them).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from eth_typing import BlockNumber
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from web3.types import BlockIdentifier, FilterParams

from bridges.evm.abi import account_of, address_of, interface
from bridges.evm.client import EvmClient, RpcError
from bridges.solana.client import Commitment, SolanaClient
from bridges.solana.layout import OutboxAccount
from bridges.solana.requester import SolanaRequester
from oracle.errors import ConfigError, DecodeError, Rejected, Transient
from oracle.protocol import constants as c
from oracle.protocol.message import InferenceRequest, Message, Outcome, result_messages
from oracle.protocol.types import Account, Chain, Digest, Kind, Policy, Status

LOG_BLOCKS: Final = 10_000
"""Blocks of one eth_getLogs, from the newest back, where an endpoint refuses all at once."""
_ANSWERED, _REFUSED = 2, 3


@dataclass(frozen=True, slots=True)
class Record:
    """One destination's record of an answer or refusal."""

    chain: Chain
    policy: Policy
    status: Status
    outputs: tuple[int, ...]
    output_scale: int
    final: bool


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """A request and what became of it."""

    request: Message
    asked: InferenceRequest
    found_in: str
    """Where the body came from, for people."""
    records: tuple[Record, ...]
    unread: tuple[str, ...]
    """Destinations of which there is no record to read, each with the reason."""

    @property
    def outcome(self) -> Outcome:
        """The one outcome of all records. Raises Transient when there is none, or two differ."""
        found = {(record.status, record.outputs, record.output_scale) for record in self.records}
        if not found:
            raise Transient("No chain has a record of an answer to this request: " + " ".join(self.unread))
        if len(found) > 1:
            chains = ", ".join(str(record.chain) for record in self.records)
            raise Transient(
                f"The records on {chains} differ. One of these chains, or its RPC endpoint, does not tell the truth."
            )
        return Outcome(*found.pop())


class PastChain(Protocol):
    """One chain's past."""

    @property
    def chain(self) -> Chain:
        """Which it is."""

    async def request(self, request_id: Digest) -> Message | None:
        """The post with this digest, of this chain's gateway; None when it does not show it (any more)."""

    async def record(self, request: Message) -> Record | None:
        """What this chain recorded as the answer to a request of any chain."""


class EvmPast:
    """An EVM chain: posts are logs of the gateway, answers lie in the hub."""

    def __init__(self, client: EvmClient, gateway: Account, hub: Account, start_block: int = 0) -> None:
        self._client, self._start = client, start_block
        self._gateway, self._hub = address_of(gateway), address_of(hub)

    @property
    def chain(self) -> Chain:
        """Which it is."""
        return self._client.chain

    async def request(self, request_id: Digest) -> Message | None:
        """By the log's indexed digest. Raises Transient."""
        head = await self._client.block_number()
        try:
            return await self._posted(request_id, self._start, head)
        except RpcError:
            pass  # most likely too many blocks at once
        end = head
        while end >= self._start:
            begin = max(self._start, end - LOG_BLOCKS + 1)
            if (found := await self._posted(request_id, begin, end)) is not None:
                return found
            end = begin - 1
        return None

    async def _posted(self, request_id: Digest, begin: int, end: int) -> Message | None:
        abi = interface("Gateway")
        query: FilterParams = {
            "address": self._gateway,
            "topics": ["0x" + abi.topic("MessagePosted").hex(), None, "0x" + request_id.hex()],
            "fromBlock": BlockNumber(begin),
            "toBlock": BlockNumber(end),
        }
        for log in await self._client.logs(query):
            try:
                message = Message.from_bytes(abi.decode_event("MessagePosted", log.topics, log.data)["body"])
            except DecodeError as error:
                raise Transient(f"The endpoint showed a post that does not decode: {error}") from error
            if log.address == self._gateway and message.digest == request_id:
                return message
        return None

    async def record(self, request: Message) -> Record | None:
        """`answerOf`, as of the final block if it is there, else as of the newest."""
        head = await self._client.block("finalized")
        found = None if head is None else await self._record(request, head.number, final=True)
        return found or await self._record(request, None, final=False)

    async def _record(self, request: Message, block: int | None, *, final: bool) -> Record | None:
        abi = interface("OracleHub")
        where: BlockIdentifier = "latest" if block is None else BlockNumber(block)
        try:
            data = await self._client.call(self._hub, abi.encode("answerOf", request.digest), block=where)
            if not data and final:
                return None  # no hub yet at that block
            state, status, policy, scale, consumer, outputs = abi.decode("answerOf", data)[0]
        except (DecodeError, Rejected) as error:
            raise Transient(f"The contract at {self._hub} is no hub: {error} Check its address.") from error
        if state not in (_ANSWERED, _REFUSED):
            return None
        account_of(consumer)
        return Record(self.chain, Policy(policy), Status(status), tuple(outputs), scale, final)


class SolanaPast:
    """A Solana cluster: posts and answers are accounts of the program, as long as nobody closed them."""

    def __init__(self, client: SolanaClient, program: Account) -> None:
        self._client, self._program = client, Pubkey(program)
        self._reader = SolanaRequester(client, program, Keypair())  # its key signs nothing here

    @property
    def chain(self) -> Chain:
        """Which it is."""
        return self._client.chain

    async def request(self, request_id: Digest) -> Message | None:
        """From the outbox account with this digest. Raises Transient."""
        matches = [
            (0, bytes([c.ACCOUNT_OUTBOX, c.ACCOUNT_LAYOUT_VERSION])),
            (c.OUTBOX_ACCOUNT_DIGEST_OFFSET, bytes(request_id)),
        ]
        for found in await self._client.find(self._program, matches, "confirmed"):
            try:
                message = OutboxAccount.decode(found.account, self._program).message
            except DecodeError as error:
                raise Transient(f"The endpoint showed an outbox account that does not decode: {error}") from error
            if message.digest == request_id:
                return message
        return None

    async def record(self, request: Message) -> Record | None:
        """The delivered result. Raises Transient when it is not the result of this request."""
        levels: tuple[Commitment, ...] = ("finalized", "confirmed")
        for level in levels:
            answer = await self._reader.answer(request.digest, level)
            if answer is None:
                continue
            result = answer.result
            outcome = Outcome(result.status, result.outputs, result.output_scale)
            if answer.digest not in {message.digest for message in result_messages(request, outcome)}:
                raise Transient(
                    "The Solana endpoint shows a result that this request cannot have. Use another endpoint."
                )
            return Record(self.chain, result.policy, *_values(outcome), level == "finalized")
        return None


def _values(outcome: Outcome) -> tuple[Status, tuple[int, ...], int]:
    return outcome.status, outcome.outputs, outcome.output_scale


Bodies = Callable[[Digest], Awaitable[tuple[bytes, str] | None]]
"""Another source of a body by its digest, and its name: nodes, or a file."""


async def look_up(chains: Sequence[PastChain], request_id: Digest, otherwise: Bodies) -> PastAnswer:
    """The request and every record of its answer. Raises ConfigError when nobody knows the request, Transient."""
    request, found_in = await _find(chains, request_id, otherwise)
    if request.kind is not Kind.INFERENCE_REQUEST:
        raise ConfigError(
            f"0x{request_id.hex()} is a {request.kind.name.lower().replace('_', ' ')}, and no request to a model."
        )
    asked = InferenceRequest.from_bytes(request.payload)
    records, unread = [], []
    by_chain = {one.chain: one for one in chains}
    for chain in (request.origin.chain, *(remote.destination.chain for remote in asked.remotes)):
        if chain not in by_chain:
            unread.append(f"{chain} is not among the chains that were named.")
        elif (record := await by_chain[chain].record(request)) is None:
            unread.append(f"{chain} has no record of an answer (none came, or its account was closed).")
        else:
            records.append(record)
    return PastAnswer(request, asked, found_in, tuple(records), tuple(unread))


async def _find(chains: Sequence[PastChain], request_id: Digest, otherwise: Bodies) -> tuple[Message, str]:
    for one in chains:
        if (message := await one.request(request_id)) is not None:
            return message, f"as posted on {one.chain}"
    told = await otherwise(request_id)
    if told is not None:
        message = Message.from_bytes(told[0])
        if message.digest == request_id:
            return message, f"from {told[1]}; its digest is the request's id"
    raise ConfigError(
        f"Neither the chains nor the nodes that were named know a request 0x{request_id.hex()}. Name its chain, or its body with --request."
    )
