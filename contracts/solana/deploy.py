"""Deploys a program through the upgradeable loader over RPC: buffer, writes in parallel, deploy.

Guarantees: when `deploy_program` returns, the cluster has confirmed the deployment and the program can be called. Every write is
confirmed, and sent again when it was lost, before the deployment. It does not upgrade a program that exists, and it does not wait
for finality. Each call to the cluster has a timeout, and so has the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.core import RPCException
from solana.rpc.jsonrpc import SolanaJsonRpcError
from solana.rpc.models import TxOpts
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import ID as SYSTEM_PROGRAM
from solders.system_program import CreateAccountParams, create_account
from solders.sysvar import CLOCK, RENT
from solders.transaction import Transaction
from solders.transaction_status import TransactionConfirmationStatus

from oracle.errors import Rejected, Transient

LOADER: Final = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
CHUNK_SIZE: Final = 1012
"""Bytes of one write that fill a transaction with one signature."""
CHUNK_SIZE_TWO_SIGNERS: Final = 900
BUFFER_HEADER: Final = 37
PROGRAM_SIZE: Final = 36
_INITIALISE_BUFFER, _WRITE, _DEPLOY = 0, 1, 2

_PARALLEL: Final = 16
_ROUNDS: Final = 5
_CALL_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_STATUS_BATCH: Final = 256

_SURE: Final = (TransactionConfirmationStatus.Confirmed, TransactionConfirmationStatus.Finalized)

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployed program: its address, the loader's account with its code, and what it took."""

    program: Pubkey
    program_data: Pubkey
    transactions: int
    size: int


@dataclass(frozen=True, slots=True)
class _Session:
    client: AsyncClient
    payer: Keypair
    authority: Keypair
    round_seconds: float

    @property
    def signers(self) -> list[Keypair]:
        return [self.payer] if self.payer == self.authority else [self.payer, self.authority]


async def deploy_program(
    rpc_url: str,
    payer: Keypair,
    program: Keypair,
    executable: bytes,
    *,
    authority: Keypair | None = None,
    progress: Progress | None = None,
    timeout: float = 180.0,
    round_seconds: float = 30.0,
) -> Deployment:
    """Deploy `executable` at the address of `program`; `authority` (default: the payer) may upgrade it later.

    A write that is not confirmed after `round_seconds` is sent again, a few times; `timeout` bounds the whole.

    Raises Rejected when the cluster refuses the program (or it exists), Transient when the cluster does not answer in time.
    """
    say = progress or (lambda _line: None)
    data_address = Pubkey.find_program_address([bytes(program.pubkey())], LOADER)[0]
    async with _mapped_errors(timeout), AsyncClient(rpc_url, timeout=_CALL_SECONDS) as client:
        session = _Session(client, payer, authority or payer, round_seconds)
        if (await client.get_account_info(program.pubkey())).value is not None:
            raise Rejected(f"There is already an account at {program.pubkey()}; upgrade it, or choose another address.")
        buffer = Keypair()
        await _create_buffer(session, buffer, len(executable))
        writes = _writes(session, buffer.pubkey(), executable)
        say(f"Writing {len(executable):,} bytes of program in {len(writes)} transactions …")
        sent = await _send_all(session, writes, say)
        await _deploy(session, program, buffer.pubkey(), len(executable))
        await _callable_from_next_slot(client)
        say(f"Program {program.pubkey()} is deployed.")
    return Deployment(program.pubkey(), data_address, sent + 2, len(executable))


@asynccontextmanager
async def _mapped_errors(timeout: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout):
            yield
    except (TimeoutError, SolanaRpcException) as error:
        raise Transient(f"The Solana cluster did not answer in time while a program was deployed: {error}") from error
    except (RPCException, SolanaJsonRpcError) as error:
        raise Rejected(f"The Solana cluster refused a transaction of the deployment: {error}") from error


async def _create_buffer(session: _Session, buffer: Keypair, size: int) -> None:
    space = BUFFER_HEADER + size
    rent = (await session.client.get_minimum_balance_for_rent_exemption(space)).value
    steps = [
        create_account(
            CreateAccountParams(
                from_pubkey=session.payer.pubkey(), to_pubkey=buffer.pubkey(), lamports=rent, space=space, owner=LOADER
            )
        ),
        Instruction(
            LOADER,
            _INITIALISE_BUFFER.to_bytes(4, "little"),
            [AccountMeta(buffer.pubkey(), False, True), AccountMeta(session.authority.pubkey(), False, False)],
        ),
    ]
    await _send_one(session, steps, [session.payer, buffer])


def _writes(session: _Session, buffer: Pubkey, executable: bytes) -> list[Instruction]:
    size = CHUNK_SIZE if len(session.signers) == 1 else CHUNK_SIZE_TWO_SIGNERS
    accounts = [AccountMeta(buffer, False, True), AccountMeta(session.authority.pubkey(), True, False)]
    chunks = ((at, executable[at : at + size]) for at in range(0, len(executable), size))
    return [
        Instruction(
            LOADER,
            _WRITE.to_bytes(4, "little") + at.to_bytes(4, "little") + len(chunk).to_bytes(8, "little") + chunk,
            accounts,
        )
        for at, chunk in chunks
    ]


async def _deploy(session: _Session, program: Keypair, buffer: Pubkey, size: int) -> None:
    data_address = Pubkey.find_program_address([bytes(program.pubkey())], LOADER)[0]
    rent = (await session.client.get_minimum_balance_for_rent_exemption(PROGRAM_SIZE)).value
    payer = session.payer.pubkey()
    steps = [
        create_account(
            CreateAccountParams(
                from_pubkey=payer, to_pubkey=program.pubkey(), lamports=rent, space=PROGRAM_SIZE, owner=LOADER
            )
        ),
        Instruction(
            LOADER,
            _DEPLOY.to_bytes(4, "little") + size.to_bytes(8, "little"),
            [
                AccountMeta(payer, True, True),
                AccountMeta(data_address, False, True),
                AccountMeta(program.pubkey(), False, True),
                AccountMeta(buffer, False, True),
                AccountMeta(RENT, False, False),
                AccountMeta(CLOCK, False, False),
                AccountMeta(SYSTEM_PROGRAM, False, False),
                AccountMeta(session.authority.pubkey(), True, False),
            ],
        ),
    ]
    await _send_one(session, steps, [*session.signers, program])


async def _callable_from_next_slot(client: AsyncClient) -> None:
    # The loader lets a program run from the slot after its deployment.
    deployed = (await client.get_slot(Confirmed)).value
    while (await client.get_slot(Confirmed)).value <= deployed:
        await asyncio.sleep(_POLL_SECONDS)


async def _send_one(session: _Session, steps: Sequence[Instruction], signers: Sequence[Keypair]) -> None:
    blockhash = (await session.client.get_latest_blockhash(Confirmed)).value.blockhash
    raw = _signed(steps, session.payer.pubkey(), signers, blockhash)
    # Preflight on: a refusal comes back with the cluster's own reason.
    signature = (await session.client.send_raw_transaction(raw, TxOpts(preflight_commitment=Confirmed))).value
    confirmed = await _confirmed(session, [signature])
    if signature not in confirmed:
        raise Transient("A transaction of the deployment was not confirmed in time; try again.")


async def _send_all(session: _Session, steps: Sequence[Instruction], say: Progress) -> int:
    """Every step in a transaction of its own, in any order, sent again until confirmed; the number of transactions."""
    missing, sent = dict(enumerate(steps)), 0
    gate = asyncio.Semaphore(_PARALLEL)

    async def send(step: Instruction, blockhash: Hash) -> Signature | None:
        raw = _signed([step], session.payer.pubkey(), session.signers, blockhash)
        async with gate:
            try:
                return (await session.client.send_raw_transaction(raw, TxOpts(skip_preflight=True))).value
            except (SolanaRpcException, RPCException, SolanaJsonRpcError):
                return None  # lost: the next round sends it again

    for _ in range(_ROUNDS):
        blockhash = (await session.client.get_latest_blockhash(Confirmed)).value.blockhash
        async with asyncio.TaskGroup() as group:
            tasks = {index: group.create_task(send(step, blockhash)) for index, step in missing.items()}
        by_signature = {signature: index for index, task in tasks.items() if (signature := task.result())}
        sent += len(by_signature)
        for signature in await _confirmed(session, by_signature):
            del missing[by_signature[signature]]
        if not missing:
            return sent
        say(f"{len(missing)} writes were lost and are sent again …")
    raise Transient(f"{len(missing)} writes of the program were not confirmed after {_ROUNDS} rounds; try again.")


def _signed(steps: Sequence[Instruction], payer: Pubkey, signers: Sequence[Keypair], blockhash: Hash) -> bytes:
    return bytes(Transaction(list(signers), Message.new_with_blockhash(list(steps), payer, blockhash), blockhash))


async def _confirmed(session: _Session, signatures: Iterable[Signature]) -> set[Signature]:
    """Those that the cluster confirmed within a round's time. Raises Rejected when one failed."""
    waiting, done = set(signatures), set[Signature]()
    deadline = asyncio.get_running_loop().time() + session.round_seconds
    while waiting and asyncio.get_running_loop().time() < deadline:
        asked = list(waiting)[:_STATUS_BATCH]
        for signature, status in zip(asked, (await session.client.get_signature_statuses(asked)).value, strict=True):
            if status is None:
                continue
            if status.err is not None:
                raise Rejected(f"The Solana cluster refused a transaction of the deployment: {status.err}")
            # "Processed" could still be dropped.
            if status.confirmation_status in _SURE:
                waiting.discard(signature)
                done.add(signature)
        if waiting:
            await asyncio.sleep(_POLL_SECONDS)
    return done
