"""Why a key or a proof is refused."""

from circuits.errors import ModelError
from oracle.errors import ProofError


class KeyFormatError(ModelError):
    """Bytes that are no verifying key of the one-column family. Build the model again, or fetch its files again."""


class RejectedProof(ProofError):
    """The proof does not show what it claims. `step` names the check that failed: `form`, `point`, `scalar`, `domain` or `pairing`."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.step = step
