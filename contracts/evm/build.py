"""Compiles the EVM contracts, and the verifier that ezkl writes for a circuit.

Guarantees: the compiler is the pinned one and nothing is downloaded; the result is cached by the content of the sources, of the library and
compiler versions and of this step; a contract over the chain's size limit is an error here, not at its deployment. `contracts/artifacts/evm/`
holds the newest result, for the wheel and for `contracts.evm.artifacts`. It deploys nothing and runs no test.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from circuits.cache import Json, Progress, content_key, ensure_entry, quiet
from contracts.evm.artifacts import DIRECTORY, MAX_CODE_SIZE, ContractArtifact, load, load_file
from oracle.errors import ConfigError

HERE: Final = Path(__file__).resolve().parent
CONTRACTS: Final = (
    *("Committee", "FeeSplitter", "Gateway", "ModelRegistry", "OracleHub", "Timelock", "TumourConsumer"),
    *("Blueprint", "NativeBridge", "TokenFactory", "TransferGuard", "Weth", "WrappedBridge", "WrappedToken"),
)
"""What a deployment needs; interfaces and libraries are in these contracts' ABIs already."""
VERIFIER: Final = "Halo2Verifier"
"""Name of the contract that ezkl writes."""

_COMPILE_SECONDS: Final = 1_800.0
_VERIFIER_SETTINGS: Final[Mapping[str, Json]] = {
    # The generated code keeps too much on the stack for the newer pipeline. Tuned for many runs it grows from 10 to 15 KB, far from the limit, and
    # a verification costs 11,500 gas less.
    "optimizer": {"enabled": True, "runs": 1_000_000},
    "evmVersion": "cancun",
    "metadata": {"bytecodeHash": "none"},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
}


class BuildError(ConfigError):
    """A contract did not compile, or is too large; the message holds the compiler's own words."""


class EvmTools(Protocol):
    """The tools that a build needs (`oracle.app.toolchain.Toolchain` has them)."""

    @property
    def node(self) -> Path:
        """node, for the compiler."""

    @property
    def forge(self) -> Path:
        """forge."""

    @property
    def solc(self) -> Path:
        """The project's compiler script."""

    def forge_environment(self) -> dict[str, str]:
        """What forge runs with; node is on its PATH."""


@dataclass(frozen=True, slots=True)
class EvmArtifacts:
    """Where the compiled contracts are: a JSON file for each of `CONTRACTS` with abi, bytecode and deployedSize."""

    directory: Path

    def path(self, name: str) -> Path:
        """The file of one contract."""
        return self.directory / f"{name}.json"


def build_evm(toolchain: EvmTools, progress: Progress | None = None) -> EvmArtifacts:
    """The compiled contracts, built unless this very content was built before. Raises BuildError."""
    say = progress or quiet

    def build(directory: Path) -> Mapping[str, Json]:
        say(f"Compiling {len(CONTRACTS)} EVM contracts …")
        _forge_build(toolchain, directory)
        sizes: dict[str, Json] = {name: _slim(directory, name) for name in CONTRACTS}
        shutil.rmtree(directory / "out")
        return {"sizes": sizes}

    entry = ensure_entry("evm", content_key(_sources()), build, progress=say)
    _publish(entry.path)
    return EvmArtifacts(entry.path)


def compile_verifier(toolchain: EvmTools, verifier_sol: Path, cache_dir: Path | None = None) -> ContractArtifact:
    """The compiled verifier of a circuit, cached under `cache_dir` (default: the usual cache). Raises BuildError."""
    source = verifier_sol.read_bytes()

    def build(directory: Path) -> Mapping[str, Json]:
        size = _write(directory / f"{VERIFIER}.json", _compile(toolchain, source.decode()), VERIFIER)
        return {"size": size}

    parts = {"source": source, "settings": json.dumps(_VERIFIER_SETTINGS), **_versions()}
    entry = ensure_entry("evm-verifier", content_key(parts), build, root=cache_dir)
    return load_file(entry.path / f"{VERIFIER}.json")


def _forge_build(toolchain: EvmTools, directory: Path) -> None:
    # Output and cache of its own: `forge test` may be running on the project's.
    places = ["--out", str(directory / "out"), "--cache-path", str(directory / "out" / "cache")]
    command = [str(toolchain.forge), "build", "--offline", "--skip", "test", *places]
    output = _run(command, HERE, {**toolchain.forge_environment(), "FOUNDRY_PROFILE": "deploy"})
    if output.returncode != 0:
        raise BuildError(f"The EVM contracts do not compile:\n{output.stdout}{output.stderr}")


def _slim(directory: Path, name: str) -> int:
    """Keeps of forge's output what a client needs."""
    compiled = json.loads((directory / "out" / f"{name}.sol" / f"{name}.json").read_bytes())
    found = {"abi": compiled["abi"], "code": compiled["bytecode"]["object"]}
    return _write(directory / f"{name}.json", found | {"deployed": compiled["deployedBytecode"]["object"]}, name)


def _write(path: Path, found: Mapping[str, Json], name: str) -> int:
    code, deployed = str(found["code"]).removeprefix("0x"), str(found["deployed"]).removeprefix("0x")
    size = len(deployed) // 2
    if not 0 < size <= MAX_CODE_SIZE:
        raise BuildError(f"{name} has {size} bytes of code; a chain takes 1 to {MAX_CODE_SIZE}.")
    text = json.dumps({"abi": found["abi"], "bytecode": f"0x{code}", "deployedSize": size}, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
    return size


def _compile(toolchain: EvmTools, source: str) -> Mapping[str, Json]:
    request = {"language": "Solidity", "sources": {"verifier.sol": {"content": source}}, "settings": _VERIFIER_SETTINGS}
    command = [str(toolchain.node), str(toolchain.solc), "--standard-json"]
    output = _run(command, HERE, toolchain.forge_environment(), json.dumps(request))
    if output.returncode != 0:
        raise BuildError(f"The Solidity compiler failed:\n{output.stderr}")
    answer = json.loads(output.stdout)
    if errors := [e["formattedMessage"] for e in answer.get("errors", ()) if e["severity"] == "error"]:
        raise BuildError("The verifier does not compile:\n" + "\n".join(errors))
    contract = answer.get("contracts", {}).get("verifier.sol", {}).get(VERIFIER)
    if contract is None:
        raise BuildError(f"The verifier's source holds no contract {VERIFIER}.")
    code = contract["evm"]
    return {
        "abi": contract["abi"],
        "code": code["bytecode"]["object"],
        "deployed": code["deployedBytecode"]["object"],
    }


def _run(
    command: list[str], directory: Path, environment: dict[str, str], stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    # A session of its own: what the compiler started (forge runs node) must not outlive it when the time is up.
    with subprocess.Popen(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=_COMPILE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise BuildError(
                f"The Solidity compiler did not finish within {_COMPILE_SECONDS:.0f} s; try again on a quieter machine."
            ) from error
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _sources() -> dict[str, str | bytes]:
    """Everything that decides the result."""
    files = [*HERE.glob("src/**/*.sol"), HERE / "foundry.toml", HERE / "build.py"]
    return {path.relative_to(HERE).as_posix(): path.read_bytes() for path in files} | _versions()


def _versions() -> dict[str, str | bytes]:
    return {"lock": (HERE / "package-lock.json").read_bytes(), "solc.mjs": (HERE / "solc.mjs").read_bytes()}


def _publish(built: Path) -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name in CONTRACTS:
        source, target = built / f"{name}.json", DIRECTORY / f"{name}.json"
        if not target.is_file() or target.read_bytes() != source.read_bytes():
            # Renamed into place: another process may read the old one at this moment.
            fresh = target.with_suffix(f".{built.name}.new")
            shutil.copyfile(source, fresh)
            fresh.replace(target)
    load.cache_clear()
