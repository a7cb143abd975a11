"""Errors of the circuits package, each a leaf of the tree in `oracle.errors`.

`InferenceError` (from `oracle.errors`) alone may become a signed refusal: every honest node reaches it from the same request. What fails on this
machine only (a full queue, a killed worker) is a `ProofError`: another attempt or another node may succeed.
"""

from oracle.errors import ConfigError, ProofError, SibylError


class ModelError(ConfigError):
    """A model cannot be built, or its files are not what they claim to be. An operator has to act."""


class CacheError(ConfigError):
    """The artefact cache cannot be used: locked for too long, or not writable."""


class CorruptEntryError(CacheError):
    """A cache entry does not match its manifest."""


class SrsError(ModelError):
    """A reference string is not what it is taken for, or may not be used where it is asked for."""


class StoreError(ConfigError):
    """A store of artefacts does not hold, or will not take, what is asked of it."""


class PoolError(ProofError):
    """The worker pool did not run a job to its end."""


class PoolFullError(PoolError):
    """The queue is full, or no worker came free in time."""


class MemoryShortError(PoolError):
    """This machine has not the memory that a proof needs."""


class PoolClosedError(PoolError):
    """The pool is not running, or is stopping."""


class WorkerTimeoutError(PoolError):
    """A job passed its deadline; its worker was killed."""


class WorkerCrashedError(PoolError):
    """A worker died under a job (panic, out of memory, kill)."""


class JobFailedError(SibylError):
    """The job itself failed inside a healthy worker. `kind` says how: a `FailureKind` of `circuits.jobs`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
