"""Builds, simulates, sends and confirms transactions on behalf of one paying key.

Guarantees: a transaction is refused here when it is larger than a packet; its compute limit comes from a simulation; it is re-sent
until it is confirmed, with a fresh blockhash when the old one expired, and everything ends by a deadline. A transaction that failed, in
simulation or on chain, raises what `failures` makes of it. Keys are never shown.

It may send the same instructions twice when the cluster drops the first transaction or is late to tell of it: whoever calls makes sure
that the program refuses the second (a sequence, a replay bit).
"""

import asyncio
import json
import os
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from bridges.solana.client import Simulation, SolanaClient, TransactionStatus
from bridges.solana.failures import BlockhashExpired, failure
from oracle.errors import ConfigError, Rejected, Transient

MAX_TRANSACTION: Final = 1232
"""Bytes of a transaction that fit in one packet (IPv6 minimum MTU 1,280 less headers)."""
MAX_UNITS: Final = 1_400_000
"""Compute units of one transaction (cluster limit)."""

TOO_LARGE: Final = "TransactionTooLarge"
"""Reason of the refusal of a transaction that does not fit."""

_LIMIT_SPREAD: Final = 4096


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """How transactions are sent. `unit_price` in micro-lamports per compute unit; the rest in seconds or as said."""

    unit_price: int = 0
    unit_margin_percent: int = 15
    poll_interval: float = 0.05
    resend_interval: float = 2.0
    deadline: float = 120.0
    blockhashes: int = 4
    meta_deadline: float = 1.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A confirmed transaction. `units` are those of its meta, `slot` where it landed, `size` its bytes."""

    signature: Signature
    slot: int
    units: int
    size: int


def load_keypair(path: Path) -> Keypair:
    """A key file as Solana's tools write it (a JSON list of 64 numbers). Raises ConfigError unless only its owner may read it."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise ConfigError(
                    f"{path} holds a secret key and others may read it (mode {mode:o}). Run: chmod 600 {path}"
                )
            return Keypair.from_bytes(bytes(json.loads(file.read(4096))))
    except OSError as error:
        raise ConfigError(f"The Solana key file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError):
        # Without the cause: a parser's error can quote what it read.
        raise ConfigError(f"{path} is not a Solana key file: it must be a JSON list of 64 numbers.") from None


class _Draft(NamedTuple):
    """A signed transaction on its way."""

    transaction: VersionedTransaction
    blockhash: Hash
    simulation: Simulation

    @property
    def signature(self) -> Signature:
        return self.transaction.signatures[0]

    @property
    def wire(self) -> bytes:
        return bytes(self.transaction)


class TransactionSender:
    """Sends for one payer, whose key also signs."""

    def __init__(self, client: SolanaClient, payer: Keypair, policy: SendPolicy | None = None) -> None:
        self._client, self._payer = client, payer
        self._policy = policy or SendPolicy()
        self.payer = payer.pubkey()

    def __repr__(self) -> str:
        return f"TransactionSender({self.payer})"

    async def send(self, instructions: Sequence[Instruction], signers: Sequence[Keypair] = ()) -> Sent:
        """Send `instructions` in one transaction and wait until it is confirmed. Raises Transient or Rejected."""
        try:
            async with asyncio.timeout(self._policy.deadline):
                return await self._send(instructions, signers)
        except TimeoutError as error:
            raise Transient(f"The cluster did not confirm a transaction within {self._policy.deadline:g} s.") from error

    def size(self, instructions: Sequence[Instruction]) -> int:
        """Bytes of a transaction of this sender with these instructions and its whole compute budget; MAX_TRANSACTION is the most."""
        return len(bytes(self._signed([*self._budget(MAX_UNITS), *instructions], (), Hash.default())))

    async def _send(self, instructions: Sequence[Instruction], signers: Sequence[Keypair]) -> Sent:
        expired: list[_Draft] = []
        for _ in range(self._policy.blockhashes):
            blockhash = await self._client.latest_blockhash()
            try:
                simulation = await self._simulated(self._build(instructions, signers, blockhash, MAX_UNITS))
                limit = self._limit(simulation)
                draft = _Draft(self._build(instructions, signers, blockhash, limit), blockhash, simulation)
            except BlockhashExpired:
                await asyncio.sleep(self._policy.poll_interval)
                continue
            except Rejected:
                # Perhaps because one that had seemed to expire did land: then that one is what was asked for.
                for earlier in expired:
                    if (status := await self._client.status(earlier.signature)) is not None and status.error is None:
                        return await self._settled(earlier)
                raise
            try:
                return await self._settled(draft)
            except BlockhashExpired:
                expired.append(draft)
        raise Transient(f"A transaction expired {self._policy.blockhashes} times before the cluster took it.")

    def _build(
        self, instructions: Sequence[Instruction], signers: Sequence[Keypair], blockhash: Hash, limit: int
    ) -> VersionedTransaction:
        transaction = self._signed([*self._budget(limit), *instructions], signers, blockhash)
        if len(bytes(transaction)) > MAX_TRANSACTION and not self._policy.unit_price:
            # The cluster's own limit is 200,000 units for each instruction: enough, where these 40 bytes decide.
            transaction = self._signed(instructions, signers, blockhash)
        size = len(bytes(transaction))
        if size > MAX_TRANSACTION:
            raise Rejected(
                f"The transaction has {size} bytes, Solana takes {MAX_TRANSACTION}: shorten the payload by {size - MAX_TRANSACTION} bytes.",
                reason=TOO_LARGE,
            )
        return transaction

    def _budget(self, limit: int) -> list[Instruction]:
        price = self._policy.unit_price
        return [set_compute_unit_limit(limit), *([set_compute_unit_price(price)] if price else [])]

    def _signed(
        self, instructions: Sequence[Instruction], signers: Sequence[Keypair], blockhash: Hash
    ) -> VersionedTransaction:
        message = Message.new_with_blockhash(instructions, self.payer, blockhash)
        return VersionedTransaction(message, [self._payer, *signers])

    def _limit(self, simulation: Simulation) -> int:
        # The random part keeps apart two transactions that are equal otherwise: the cluster would take them for one.
        margin = simulation.units * self._policy.unit_margin_percent // 100
        return min(MAX_UNITS, simulation.units + margin + secrets.randbelow(_LIMIT_SPREAD))

    async def _simulated(self, transaction: VersionedTransaction) -> Simulation:
        simulation = await self._client.simulate(bytes(transaction))
        if simulation.error is not None:
            raise failure(simulation.error, simulation.logs)
        return simulation

    async def _settled(self, draft: _Draft) -> Sent:
        status = await self._landed(draft)
        if status.error is not None:
            meta = await self._client.meta(draft.signature)
            raise failure(status.error, meta.logs if meta else draft.simulation.logs)
        return Sent(draft.signature, status.slot, await self._units(draft), len(draft.wire))

    async def _landed(self, draft: _Draft) -> TransactionStatus:
        """Send until the transaction is confirmed. Raises BlockhashExpired when it can no longer land."""
        clock = asyncio.get_running_loop().time
        while True:
            with suppress(Transient):  # the answer may be lost and not the transaction: its status tells
                await self._client.send(draft.wire)
            resend_at = clock() + self._policy.resend_interval
            while clock() < resend_at:
                status = await self._client.status(draft.signature)
                if status is not None and status.commitment != "processed":
                    return status
                await asyncio.sleep(self._policy.poll_interval)
            if not await self._client.blockhash_valid(draft.blockhash):
                status = await self._client.status(draft.signature)  # it may have landed just before
                if status is None:
                    raise BlockhashExpired("The transaction's blockhash expired before the cluster took it.")

    async def _units(self, draft: _Draft) -> int:
        """Compute units from the transaction's meta; the simulation's where the endpoint keeps no transactions."""
        clock = asyncio.get_running_loop().time
        until = clock() + self._policy.meta_deadline
        while True:
            meta = await self._client.meta(draft.signature)
            if meta is not None:
                return meta.units
            if clock() >= until:
                return draft.simulation.units
            await asyncio.sleep(self._policy.poll_interval)
