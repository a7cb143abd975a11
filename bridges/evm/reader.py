"""Reads the posts of one gateway once they are final (`ChainReader`).

Guarantees: a message is returned only if its log is the gateway's, its bytes hash to the log's digest, its sequence is the log's and
its origin is this gateway; sequences of one reader are without gaps, because the gateway's own counter at a final block says how many posts there
must be, and a range whose logs do not add up to it is Transient and read again. The cursor is the next block to read. A block that vanished
under the cursor is Reorged. An idle poll costs one request without a new block, and two with one.
"""

from dataclasses import dataclass, replace
from typing import NoReturn

from bridges.evm.abi import address_of, interface
from bridges.evm.answers import Header, Log
from bridges.evm.client import EvmClient, RpcError
from oracle.errors import DecodeError, Rejected, Reorged, Transient
from oracle.ports import Cursor, Reading
from oracle.protocol.finality import Depth, Finality, FinalizedTag
from oracle.protocol.hashing import message_digest
from oracle.protocol.message import Message
from oracle.protocol.types import Account, Endpoint, check_account

MAX_BLOCKS = 1_000
"""Blocks of one eth_getLogs; public endpoints refuse more."""
MAX_MESSAGES = 256
"""Messages of one Reading, but for a block that alone holds more."""
_EVENT = "MessagePosted"


@dataclass(frozen=True, slots=True)
class _Anchor:
    """What a reader knows at the cursor `block`: `sequence` is the next post's (None: not known), and it lies not before `since`.

    `parent` is the hash of the block before the cursor, where it is known. `rewind`: go on from `since`, since a post is missing.
    """

    block: int
    since: int
    sequence: int | None
    parent: bytes | None
    rewind: bool = False


class EvmReader:
    """A `ChainReader` of one gateway."""

    def __init__(
        self,
        client: EvmClient,
        gateway: Account,
        *,
        finality: Finality | None = None,
        start_block: int = 0,
        max_blocks: int = MAX_BLOCKS,
    ) -> None:
        """`start_block`: a block before which the gateway did not exist; it spares reading the chain from its beginning."""
        check_account(client.chain.chain_type, gateway)
        self._client = client
        self._origin = Endpoint(client.chain, gateway)
        self._address = address_of(gateway)
        self._finality = finality or FinalizedTag()
        self._start_block = start_block
        self._max_blocks = self._range = max_blocks
        self._abi = interface("Gateway")
        self._topic = self._abi.topic(_EVENT)
        self._anchor: _Anchor | None = None

    @property
    def origin(self) -> Endpoint:
        """The gateway that is read."""
        return self._origin

    async def read(self, cursor: Cursor) -> Reading:
        """Posts that became final since `cursor`. Raises Transient or Reorged."""
        start = max(cursor, self._start_block)
        head = await self._final_head()
        if head is None or head.number + 1 < start:
            return self._behind(cursor, head)
        await self._check_ground(start, head)
        if head.number < start:
            return Reading((), cursor)
        anchor = await self._anchor_at(start)
        posted = await self._counter(head.number)
        if posted is None:
            raise Transient(
                f"No gateway has code at {self._address} on {self._origin.chain} as of block {head.number}: "
                "check the address."
            )
        if anchor.sequence == posted:
            return self._advance((), head.number + 1, posted, head.hash)
        if anchor.sequence is not None and anchor.sequence > posted:
            self._anchor = None
            raise Reorged(
                f"The gateway {self._address} has {posted - 1} final posts, {anchor.sequence - 1} were read: "
                "the chain was replaced."
            )
        return await self._read_range(anchor, head, posted)

    # ---- the final head, and what the cursor rests on ----

    async def _final_head(self) -> Header | None:
        match self._finality:
            case FinalizedTag():
                return await self._client.block("finalized")
            case Depth(blocks):
                number = await self._client.block_number() - blocks
                return await self._client.block(number) if number >= 0 else None

    def _behind(self, cursor: Cursor, head: Header | None) -> Reading:
        """The endpoint's final head lies before the cursor: it lags. Nothing is lost, so nothing is wrong but the delay."""
        if head is None:
            return Reading((), cursor)
        raise Transient(
            f"The final block {head.number} of {self._origin.chain} lies before block {cursor}, where reading goes on: "
            "the endpoint lags, or serves another chain."
        )

    async def _check_ground(self, start: int, head: Header) -> None:
        """Raise Reorged unless the block before `start` is the one that was read."""
        anchor = self._anchor
        if anchor is None or anchor.block != start or anchor.parent is None:
            return
        if head.number == start - 1:
            now: bytes | None = head.hash
        elif head.number == start:
            now = head.parent_hash
        else:
            block = await self._client.block(start - 1)
            now = None if block is None else block.hash
        if now is None:
            raise Transient(f"The endpoint does not have block {start - 1} of {self._origin.chain}, which was final.")
        if now != anchor.parent:
            self._anchor = None
            raise Reorged(
                f"Block {start - 1} of {self._origin.chain} was final and is another one now; raise the finality depth."
            )

    async def _anchor_at(self, start: int) -> _Anchor:
        """What is known at `start`. After a restart the gateway's counter before it says which post comes next.

        A full node has that state for some hundred blocks; beyond, the first post that is seen is taken for the next one.
        """
        if self._anchor is not None and self._anchor.block == start:
            return self._anchor
        sequence: int | None = 1
        if start > 0:
            try:
                sequence = await self._counter(start - 1) or 1
            except RpcError:
                sequence = None
        self._anchor = _Anchor(start, start, sequence, None)
        return self._anchor

    async def _counter(self, block: int) -> int | None:
        """The gateway's next sequence after a block; None where it has no code. RpcError when the endpoint has no such state any more."""
        try:
            data = await self._client.call(self._address, self._abi.encode("nextSequence"), block=block)
            return int(self._abi.decode("nextSequence", data)[0]) if data else None
        except (DecodeError, Rejected) as error:
            raise Transient(f"The contract at {self._address} is no gateway: {error}") from error

    # ---- logs ----

    async def _read_range(self, anchor: _Anchor, head: Header, posted: int) -> Reading:
        """The posts of the next bounded range, checked against the gateway's counter."""
        start = anchor.since if anchor.rewind else anchor.block
        end = min(head.number, start + self._range - 1)
        last, expected = (head, posted) if end == head.number else await self._range_end(end)
        messages = [(log.block, self._message(log)) for log in await self._logs(start, end)]
        messages.sort(key=lambda entry: entry[1].sequence)
        self._check_complete(anchor, [message.sequence for _, message in messages], expected, f"{start} to {end}")
        await self._check_unchanged(end, last.hash)
        if expected is None and not messages:
            # Nothing vouches for an empty range but what follows it: should a post be missing there, it is searched from `since`.
            self._anchor = _Anchor(end + 1, anchor.since, anchor.sequence, last.hash)
            return Reading((), Cursor(end + 1))
        return self._cut(messages, end, last.hash, expected)

    async def _range_end(self, end: int) -> tuple[Header, int | None]:
        """The header of a block below the final head, and the counter after it (None: the endpoint has no such state any more)."""
        block = await self._client.block(end)
        if block is None:
            raise Transient(f"The endpoint does not have block {end} of {self._origin.chain}.")
        try:
            return block, await self._counter(end) or 1
        except RpcError:
            return block, None

    def _check_complete(self, anchor: _Anchor, found: list[int], expected: int | None, blocks: str) -> None:
        """Raise Transient unless the sequences are exactly those that the counters leave room for."""
        first = anchor.sequence if anchor.sequence is not None else next(iter(found), expected)
        stop = expected if expected is not None else (found[-1] + 1 if found else first)
        if first is None or stop is None or found == list(range(first, stop)):
            return
        # What is missing may lie in an earlier range that was shown empty; then the next read begins there.
        self._anchor = replace(anchor, rewind=True)
        raise Transient(
            f"The endpoint left out posts of {self._address}: blocks {blocks} hold the sequences {first} to {stop - 1}, "
            f"it showed {len(found)} of {stop - first}."
        )

    async def _logs(self, start: int, end: int) -> list[Log]:
        try:
            logs = await self._client.logs(
                {"address": self._address, "topics": ["0x" + self._topic.hex()], "fromBlock": start, "toBlock": end}
            )
        except RpcError:
            self._range = max(1, self._range // 2)  # most likely too much at once; the next read asks for less
            raise
        self._range = min(self._max_blocks, self._range * 2)
        for log in logs:
            if not start <= log.block <= end or log.removed:
                self._lie(f"a log of block {log.block} for blocks {start} to {end}")
        return logs

    def _message(self, log: Log) -> Message:
        """The message of a log, or Transient: no honest endpoint shows what the gateway cannot have posted."""
        if log.address != self._address:
            self._lie(f"a log of {log.address}")
        try:
            event = self._abi.decode_event(_EVENT, log.topics, log.data)
            message = Message.from_bytes(event["body"])
        except DecodeError as error:
            self._lie(f"a post that does not decode ({error})")
        if message_digest(event["body"]) != event["digest"]:
            self._lie(f"post {event['sequence']} with another digest than its body's")
        if message.sequence != event["sequence"]:
            self._lie(f"post {event['sequence']} with a body of sequence {message.sequence}")
        if message.origin != self._origin:
            self._lie(f"post {event['sequence']} whose body names another origin")
        return message

    def _lie(self, what: str) -> NoReturn:
        raise Transient(
            f"The endpoint showed {what}, which {self._address} cannot have posted: do not trust it, name another endpoint."
        )

    async def _check_unchanged(self, number: int, was: bytes) -> None:
        block = await self._client.block(number)
        if block is None or block.hash != was:
            self._anchor = None
            raise Reorged(f"Block {number} of {self._origin.chain} changed while it was read.")

    def _cut(self, messages: list[tuple[int, Message]], end: int, parent: bytes, expected: int | None) -> Reading:
        """At most MAX_MESSAGES, cut between blocks: a cursor cannot point into a block."""
        if len(messages) <= MAX_MESSAGES:
            kept = tuple(message for _, message in messages)
            sequence = kept[-1].sequence + 1 if kept else expected
            return self._advance(kept, end + 1, sequence, parent)
        stop = messages[MAX_MESSAGES][0]
        if stop == messages[0][0]:
            stop += 1  # one block holds more than that
        kept = tuple(message for block, message in messages if block < stop)
        return self._advance(kept, stop, kept[-1].sequence + 1, None)

    def _advance(
        self, messages: tuple[Message, ...], block: int, sequence: int | None, parent: bytes | None
    ) -> Reading:
        self._anchor = _Anchor(block, block, sequence, parent)
        return Reading(messages, Cursor(block))
