"""Runs a Solidity library's internal functions on given bytes: a harness of the test's own, compiled by the pinned compiler with the library's real
sources, lies at an address for the one `eth_call` and nowhere else."""

import json
import posixpath
import re
import subprocess
from pathlib import Path
from typing import Any

from contracts.evm.build import HERE
from oracle.app.toolchain import ensure_toolchain

_IMPORT = re.compile(r'^import [^"]*"([^"]+)";', re.MULTILINE)
_PACKAGES = {"@openzeppelin/contracts/": HERE / "node_modules" / "@openzeppelin" / "contracts"}
_SECONDS = 120


def _find(name: str, importer: str) -> str:
    """The source unit's name that an import means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), name)) if name.startswith(".") else name


def _read(unit: str) -> str:
    for prefix, place in _PACKAGES.items():
        if unit.startswith(prefix):
            return (place / unit.removeprefix(prefix)).read_text()
    return Path(unit).read_text()


def runtime_code(source: str, contract: str) -> bytes:
    """Runtime bytecode of `contract` in `source`, whose relative imports are those of a file in contracts/evm/src."""
    units = {str(HERE / "src" / "Harness.sol"): source}
    waiting = list(units)
    while waiting:
        unit = waiting.pop()
        for name in _IMPORT.findall(units[unit]):
            found = _find(name, unit)
            if found not in units:
                units[found] = _read(found)
                waiting.append(found)
    settings = {
        "evmVersion": "cancun",
        "optimizer": {"enabled": True, "runs": 200},
        "outputSelection": {"*": {contract: ["evm.deployedBytecode.object"]}},
    }
    sources = {unit: {"content": text} for unit, text in units.items()}
    request = json.dumps({"language": "Solidity", "sources": sources, "settings": settings})
    tools = ensure_toolchain(lambda line: None)
    command = [str(tools.node), str(tools.solc), "--standard-json"]
    done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=_SECONDS, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    errors = [one["formattedMessage"] for one in answer.get("errors", []) if one["severity"] == "error"]
    assert not errors, errors
    code: str = answer["contracts"][str(HERE / "src" / "Harness.sol")][contract]["evm"]["deployedBytecode"]["object"]
    return bytes.fromhex(code)
