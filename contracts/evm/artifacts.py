"""The compiled EVM contracts: ABI and creation code by a contract's name.

They are read from `contracts/artifacts/evm/`, where `contracts.evm.build` puts them and where an installed wheel carries them; and from any file
of the same form, such as a compiled ezkl verifier. It compiles nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from oracle.errors import ConfigError

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "artifacts" / "evm"
MAX_CODE_SIZE: Final = 24_576
"""Most bytes of run-time code that a chain takes (EIP-170)."""


class ArtifactError(ConfigError):
    """A compiled contract is missing or unreadable; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ContractArtifact:
    """One compiled contract. `bytecode` is its creation code, `deployed_size` the bytes of its run-time code."""

    name: str
    abi: tuple[dict[str, Any], ...] = field(repr=False)
    bytecode: bytes = field(repr=False)
    deployed_size: int


@cache
def load(name: str) -> ContractArtifact:
    """The compiled contract of this name. Raises ArtifactError."""
    return load_file(DIRECTORY / f"{name}.json")


def load_file(path: Path) -> ContractArtifact:
    """A compiled contract from its file. Raises ArtifactError."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        abi, code, size = stored["abi"], stored["bytecode"], stored["deployedSize"]
        if not isinstance(abi, list) or not isinstance(size, int):
            raise ArtifactError(f"{path} is no compiled contract. Remove it and run `make setup`.")
        return ContractArtifact(path.stem, tuple(abi), bytes.fromhex(code.removeprefix("0x")), size)
    except FileNotFoundError as error:
        raise ArtifactError(f"There is no compiled contract {path.stem}. Run `make setup`.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is no compiled contract ({error}). Remove it and run `make setup`.") from error
