"""Errors of the shell: each says who is at fault and whether trying again can help.

The pure core has its own (`oracle.protocol.errors`). Adapters map a library's errors to these once, at their edge, so nobody else needs to
know which library is behind a port. Messages are sentences that say what to do.
"""

from oracle.protocol.errors import DecodeError, EncodeError, ProtocolError
from oracle.protocol.types import Status

__all__ = [
    "ChainError",
    "ConfigError",
    "DecodeError",
    "EncodeError",
    "InferenceError",
    "JournalError",
    "NotAuthorised",
    "PeerError",
    "ProofError",
    "ProtocolError",
    "Rejected",
    "Reorged",
    "SibylError",
    "SigningError",
    "Transient",
]


class SibylError(Exception):
    """Whatever went wrong outside the pure core."""


class ConfigError(SibylError):
    """The operator's configuration, files or command line are wrong. Trying again without a change will not help."""


class ChainError(SibylError):
    """A chain or its RPC endpoint did not do what was asked."""


class Transient(ChainError):
    """A time-out, a lost connection, a busy endpoint: try again later."""


class Rejected(ChainError):
    """The chain refused a transaction for good. `reason` is the contract's or program's own name of the error, if it gave one."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class Reorged(ChainError):
    """What had been read is no longer part of the chain."""


class InferenceError(SibylError):
    """The model gave no valid output for these inputs. `status` is the refusal that this node will sign."""

    def __init__(self, message: str, *, status: Status = Status.INFERENCE_FAILED) -> None:
        super().__init__(message)
        self.status = status


class ProofError(SibylError):
    """A zero-knowledge proof could not be made in time, or a worker died making or checking it: another attempt or another node may do it."""


class SigningError(SibylError):
    """No signature came about: too few signers, or the deadline passed. `culprits` are the members whose contributions were wrong."""

    def __init__(self, message: str, *, culprits: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.culprits = culprits


class NotAuthorised(SibylError):
    """This node will not sign: its own pipeline has not reached what it is asked to sign. The message says why."""


class PeerError(SibylError):
    """A peer did not answer, or answered with an error."""


class JournalError(SibylError):
    """The journal is unreadable, from another version, or cannot be written."""
