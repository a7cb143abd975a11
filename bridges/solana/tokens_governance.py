"""What guardian and governance do with the token program (TOKENS.md §5): a pause at once, everything else announced and carried out later.

Guarantees: an announcement names exactly one call, with its arguments and accounts; ranges are checked here. It does not know whether the program
will agree. No I/O.
"""

from dataclasses import dataclass

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from bridges.solana.tokens_instructions import SYSTEM, Programs, le, reads, signs, vault_of, writes
from bridges.solana.tokens_layout import TokenAccount
from oracle.protocol import constants as c
from oracle.protocol.errors import EncodeError
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import WORD


def pause(at: Programs, signer: Pubkey, token: Pubkey | None = None) -> Instruction:
    """Stops everything, or the one token whose account is given."""
    accounts = [signs(signer, writable=False), *_switched(at, token)]
    return Instruction(at.tokens.program, bytes([c.TOKENS_INSTRUCTION_PAUSE]), accounts)


def _switched(at: Programs, token: Pubkey | None) -> list[AccountMeta]:
    return [writes(at.authority)] if token is None else [reads(at.authority), writes(token)]


@dataclass(frozen=True, slots=True)
class Limits:
    """Buckets (capacity, refill per second) and cap of one token, in wire units; UNLIMITED limits nothing."""

    outbound_capacity: int = c.TOKENS_UNLIMITED
    outbound_refill: int = 0
    inbound_capacity: int = c.TOKENS_UNLIMITED
    inbound_refill: int = 0
    cap: int = c.TOKENS_UNLIMITED


@dataclass(frozen=True, slots=True)
class Act:
    """An act of governance that is announced first: its instruction data, and the accounts that it works on. Made by the functions below."""

    data: bytes
    token: Pubkey | None
    destination: Pubkey | None = None

    @property
    def operation(self) -> bytes:
        """What names its announcement."""
        return keccak256(
            self.data, *(bytes(WORD) if one is None else bytes(one) for one in (self.token, self.destination))
        )


def unpause(token: Pubkey | None = None) -> Act:
    """Ends the pause of everything, or of the one token whose account is given."""
    return Act(bytes([c.TOKENS_INSTRUCTION_UNPAUSE]), token)


def set_limits(token: Pubkey, limits: Limits) -> Act:
    """New limits of the token whose account is given; buckets start full."""
    numbers = (
        limits.outbound_capacity,
        limits.outbound_refill,
        limits.inbound_capacity,
        limits.inbound_refill,
        limits.cap,
    )
    data = bytes([c.TOKENS_INSTRUCTION_SET_LIMITS]) + b"".join(le(one, 8, "a limit") for one in numbers)
    return Act(data, token)


def emergency_exit(token: Pubkey, amount: int, destination: Pubkey) -> Act:
    """Moves `amount` wire units of a paused native token from its vault to the token account `destination`."""
    return Act(bytes([c.TOKENS_INSTRUCTION_EMERGENCY_EXIT]) + le(amount, 8, "amount"), token, destination)


def schedule(at: Programs, authority: Pubkey, act: Act) -> Instruction:
    """Announces an act; `authority` pays the rent of the announcement, which comes back with it."""
    scheduled = at.tokens.scheduled(act.operation)
    where = b"".join(bytes(WORD) if one is None else bytes(one) for one in (act.token, act.destination))
    data = bytes([c.TOKENS_INSTRUCTION_SCHEDULE, scheduled.bump]) + where + act.data
    accounts = [signs(authority), reads(at.authority), writes(scheduled.address), SYSTEM]
    return Instruction(at.tokens.program, data, accounts)


def cancel(at: Programs, signer: Pubkey, act: Act, payer: Pubkey) -> Instruction:
    """Takes an announcement back; `signer` is authority or guardian, `payer` who announced it."""
    announcement = _announcement(at, act, payer)
    return Instruction(
        at.tokens.program,
        bytes([c.TOKENS_INSTRUCTION_CANCEL]),
        [signs(signer, writable=False), reads(at.authority), *announcement],
    )


def carry_out(
    at: Programs, authority: Pubkey, act: Act, payer: Pubkey, token: TokenAccount | None = None
) -> Instruction:
    """Does what was announced, once its delay has passed; `payer` announced it. An emergency exit needs its `token` too."""
    accounts = [signs(authority, writable=False)]
    if act.data[0] == c.TOKENS_INSTRUCTION_UNPAUSE:
        accounts += _switched(at, act.token)
    elif act.token is None:
        raise EncodeError("This act works on one token: name its account.")
    else:
        accounts += [reads(at.authority), writes(act.token)]
    if act.destination is not None:
        if token is None:
            raise EncodeError("An emergency exit needs the token's mint, vault and program.")
        accounts += [
            reads(token.mint),
            writes(vault_of(at, token)),
            writes(act.destination),
            reads(token.token_program),
        ]
    return Instruction(at.tokens.program, act.data, [*accounts, *_announcement(at, act, payer)])


def _announcement(at: Programs, act: Act, payer: Pubkey) -> list[AccountMeta]:
    return [writes(at.tokens.scheduled(act.operation).address), writes(payer)]
