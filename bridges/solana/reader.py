"""Reads the posts of one Sibyl program from its outbox accounts (PROTOCOL.md §7).

Guarantees: a message is passed on once the cluster has finalised it, and only if its body, its account and this program agree; sequences
come in order. An idle poll is one call. Two reads never mix states: the accounts are asked for as of a slot not before the
configuration's, so a node that is behind is an error and never a gap. Finality is checked against the cluster's finalized slot as well,
because some nodes answer for newer slots than the commitment that they were asked for.

An outbox account that no longer exists was closed by its sender after it served; it is skipped. Logs are never read. The reader does
not compare endpoints: one that hides an account hides its message from this node.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

import structlog
from solders.pubkey import Pubkey

from bridges.solana.client import MAX_ACCOUNTS, SolanaClient
from bridges.solana.layout import AccountData, ConfigAccount, OutboxAccount, ProgramAddresses
from oracle.errors import Reorged, Transient
from oracle.ports import Cursor, Reading
from oracle.protocol.errors import DecodeError
from oracle.protocol.message import Message
from oracle.protocol.types import Account, Endpoint, Kind

MAX_MARKS: Final = 64
"""Observations that wait for finality at a time; the newest posts wait a little longer when there are more."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Mark:
    """At `slot`, every sequence below `next_sequence` had been posted."""

    next_sequence: int
    slot: int


class SolanaReader:
    """The port `ChainReader` for the program `program` (32 bytes) on the client's cluster. A cursor is the next sequence."""

    def __init__(self, client: SolanaClient, program: Account) -> None:
        self._client = client
        self._addresses = ProgramAddresses(Pubkey(program))
        self._origin = Endpoint(client.chain, program)
        self._marks: deque[_Mark] = deque()
        self._slot = (
            0  # newest slot that an answer was for: a later answer for an older one comes from a node that is behind
        )

    @property
    def origin(self) -> Endpoint:
        """The program that is read."""
        return self._origin

    async def read(self, cursor: Cursor) -> Reading:
        """The finalised posts from sequence `cursor`, at most MAX_ACCOUNTS of them.

        Raises Transient, or Reorged when the chain has fewer posts than were read before.
        """
        start = max(cursor, 1)
        snapshot = await self._client.accounts([self._addresses.config.address], "finalized", since=self._slot)
        self._slot = snapshot.slot
        config = self._config(snapshot.accounts[0])
        if config is None or config.next_sequence < start:
            await self._check_vanished(start, config)
            raise Transient(
                f"There is no configured Sibyl program at {self._addresses.program} yet. If it was not deployed a moment ago, check its id."
            )
        end = await self._final_end(start, _Mark(config.next_sequence, snapshot.slot))
        if end == start:
            return Reading((), Cursor(start))
        end = min(end, start + MAX_ACCOUNTS)
        return Reading(await self._messages(range(start, end)), Cursor(end))

    def _config(self, account: AccountData | None) -> ConfigAccount | None:
        if account is None or account.vacant:
            return None
        try:
            config = ConfigAccount.decode(account, self._addresses.program)
        except DecodeError as error:
            raise self._contradiction(str(error)) from error
        if config.chain_reference != self._origin.chain.reference:
            raise self._contradiction("The program's configuration names another cluster.")
        return config

    async def _check_vanished(self, start: int, config: ConfigAccount | None) -> None:
        """Tell a chain that lost posts from a node that has not caught up with it."""
        if start == 1 and config is None:
            return
        if not await self._client.healthy():
            raise Transient("The RPC endpoint is behind the cluster: it does not know posts that were read before.")
        posted = 0 if config is None else config.next_sequence - 1
        raise Reorged(f"Posts up to sequence {start - 1} had been read, but the program now has {posted}.")

    async def _final_end(self, start: int, mark: _Mark) -> int:
        """One past the last sequence that is final; `start` when nothing from there is."""
        if mark.next_sequence == start:
            return start
        while self._marks and self._marks[0].next_sequence <= start:
            self._marks.popleft()
        final_slot = await self._client.slot("finalized")
        newest = self._marks[-1].next_sequence if self._marks else start
        if mark.next_sequence > newest and len(self._marks) < MAX_MARKS:
            self._marks.append(mark if mark.slot <= final_slot else await self._dated(mark))
        end = start
        for seen in self._marks:
            if seen.slot <= final_slot:
                end = max(end, seen.next_sequence)
        return end

    async def _dated(self, mark: _Mark) -> _Mark:
        """The same for the slot of the last post, which may be final already, where the node answered for a slot that is not."""
        last_post = self._addresses.outbox(mark.next_sequence - 1).address
        slot = await self._client.last_activity(last_post)
        return mark if slot is None or slot > mark.slot else _Mark(mark.next_sequence, slot)

    async def _messages(self, sequences: range) -> tuple[Message, ...]:
        keys = [self._addresses.outbox(sequence).address for sequence in sequences]
        snapshot = await self._client.accounts(keys, "finalized", since=self._slot)
        messages = []
        for sequence, account in zip(sequences, snapshot.accounts, strict=True):
            if account is None or account.vacant:
                _log.info(
                    "outbox account closed before it was read", sequence=sequence, program=str(self._addresses.program)
                )
                continue
            messages.append(self._checked(sequence, account))
        return tuple(messages)

    def _checked(self, sequence: int, account: AccountData) -> Message:
        try:
            message = OutboxAccount.decode(account, self._addresses.program).message
        except DecodeError as error:
            raise self._contradiction(f"Sequence {sequence}: {error}") from error
        if message.sequence != sequence:
            raise self._contradiction(f"The outbox account of sequence {sequence} holds sequence {message.sequence}.")
        if message.origin != self._origin:
            raise self._contradiction(f"The message of sequence {sequence} names another origin.")
        hub = self._origin.gateway
        if message.kind is Kind.INFERENCE_REQUEST and (message.destination, message.recipient) != (self._origin, hub):
            raise self._contradiction(f"The request of sequence {sequence} is not for this program.")
        return message

    def _contradiction(self, what: str) -> Transient:
        # The program cannot have written this, so the endpoint lies or is broken: another one may tell the truth.
        return Transient(
            f"The Solana RPC endpoint contradicts the program {self._addresses.program}. {what} Use another endpoint."
        )
