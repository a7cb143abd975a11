"""What a Solana transaction's failure means to Sibyl: one place that turns the cluster's errors into sentences.

`Rejected.reason` is the program's own name of its error where the program gave one, else the cluster's name. A failure that money or
time can cure (an empty payer, a full block, an old blockhash) is Transient: a delivery must not be given up for it.
"""

from collections.abc import Sequence
from typing import Final, cast

from contracts.solana.errors import program_errors
from oracle.errors import ChainError, Rejected, Transient

_OUT_OF_LAMPORTS: Final = 1
"""SystemError::ResultWithNegativeLamports, of a call into the system program; the program's own numbers start at 100."""

_UNFUNDED: Final = frozenset({"AccountNotFound", "InsufficientFundsForFee", "InsufficientFundsForRent"})
_PASSING: Final = frozenset(
    {
        "AccountInUse",
        "BlockhashNotFound",
        "ClusterMaintenance",
        "TooManyAccountLocks",
        "WouldExceedAccountDataBlockLimit",
        "WouldExceedAccountDataTotalLimit",
        "WouldExceedMaxAccountCostLimit",
        "WouldExceedMaxBlockCostLimit",
        "WouldExceedMaxVoteCostLimit",
        "ResanitizationNeeded",
        "ProgramCacheHitMaxLimit",
        "CommitCancelled",
    }
)
_FUNDING: Final = frozenset({"TreasuryNotFunded"})


class BlockhashExpired(Transient):
    """The transaction's blockhash is too old, or not known to the node yet: build it anew."""


class AlreadyProcessed(Transient):
    """The cluster has this very transaction already: ask for its status."""


def failure(error: object, logs: Sequence[str]) -> ChainError:
    """The error for `err` of a simulation, a status or a preflight answer (RPC form of TransactionError)."""
    name = _name(error)
    if name == "InstructionError":
        return _instruction_failure(error, logs)
    if name == "AlreadyProcessed":
        return AlreadyProcessed("The cluster has this transaction already.")
    if name == "BlockhashNotFound":
        return BlockhashExpired("The transaction's blockhash is unknown to the node or too old; it will be built anew.")
    if name in _UNFUNDED:
        return _unfunded()
    if name in _PASSING:
        return Transient(f"The cluster cannot take the transaction now ({name}); it will be tried again.")
    return Rejected(f"The cluster refused the transaction: {name}.", reason=name)


def _instruction_failure(error: object, logs: Sequence[str]) -> ChainError:
    detail = _detail(error)
    cause = detail[1] if isinstance(detail, list) and len(detail) == 2 else None
    code = _detail(cause) if _name(cause) == "Custom" else None
    if not isinstance(code, int):
        name = _name(cause)
        return Rejected(f"The program failed: {name}. {_last(logs)}".strip(), reason=name)
    if code == _OUT_OF_LAMPORTS:
        return _unfunded()
    known = program_errors().get(code)
    if known is None:
        return Rejected(
            f"The program failed with an unknown error number {code}. {_last(logs)}".strip(), reason=f"Custom{code}"
        )
    if known.name in _FUNDING:
        return Transient(f"The Solana program refused ({known.name}): {known.sentence}")
    return Rejected(f"The Solana program refused ({known.name}): {known.sentence}", reason=known.name)


def _unfunded() -> Transient:
    return Transient(
        "The account that pays has too few lamports for fee and rent. Fund it; the transaction is tried again."
    )


def _name(error: object) -> str:
    if isinstance(error, str):
        return error
    if isinstance(error, dict) and len(error) == 1:
        return str(next(iter(error)))
    return "UnknownError"


def _detail(error: object) -> object:
    if isinstance(error, dict) and len(error) == 1:
        return cast("object", next(iter(error.values())))
    return None


def _last(logs: Sequence[str]) -> str:
    return f"Its last log line: {logs[-1]}" if logs else ""
