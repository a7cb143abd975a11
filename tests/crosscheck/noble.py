"""Another implementation of FROST for the tests to sign with: `@noble/curves` (MIT), run by node from the lock file beside this.

Its packages are installed into `build/cache`, keyed by the lock file's content. `Unavailable` says why there is none.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Self

from bridges.frost.group import Identifier, Point, SecretScalar, identifier, scalar_from_bytes
from bridges.frost.keygen import GroupPublicKey, KeyShare, Origin, PublicKeyPackage
from bridges.frost.signing import NonceCommitment, SignatureShare
from oracle.app.toolchain import ROOT, _install_npm_tools, _lock, ensure_node
from oracle.errors import ConfigError

HERE = Path(__file__).parent
FILES = ("package.json", "package-lock.json", ".npmrc", "noble.mjs")
SECONDS = 60


class Unavailable(Exception):
    """There is no node, or its packages cannot be installed."""


class NobleError(Exception):
    """The other implementation refused."""


def installed() -> tuple[Path, Path]:
    """node, and the directory with the packages. Raises Unavailable."""
    key = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in FILES)).hexdigest()[:16]
    directory = ROOT / "build" / "cache" / "crosscheck" / key
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with _lock(directory / ".lock"):
            for name in FILES:
                shutil.copyfile(HERE / name, directory / name)
            node = ensure_node(lambda line: None)
            _install_npm_tools(node, directory, lambda line: None, ROOT / "build")
    except ConfigError as error:
        raise Unavailable(str(error)) from error
    return node, directory


class Noble:
    """One process of the other implementation. `with Noble() as noble:`."""

    def __init__(self) -> None:
        node, directory = installed()
        self._process = subprocess.Popen(
            [node, "noble.mjs"], cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()

    def ask(self, deed: str, **arguments: object) -> object:
        """Raises NobleError when it refuses."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": deed, **arguments}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise NobleError(answer["error"])
        return answer["ok"]


# ---- between its forms and ours


def name_of(who: int) -> str:
    """An identifier as it writes one: 32 bytes, big-endian."""
    return who.to_bytes(32, "big").hex()


def number_of(name: str) -> Identifier:
    """And back."""
    return identifier(int(name, 16))


def its_public(public: PublicKeyPackage) -> dict[str, object]:
    """Ours for it. Of the polynomial's commitments our package keeps the first, the group key; signing uses no other."""
    return {
        "signers": {"min": public.threshold, "max": len(public.participants)},
        "commitments": [public.group_public_key.to_bytes().hex()],
        "verifyingShares": {name_of(who): point.encoded.hex() for who, point in public.verifying_shares.items()},
    }


def its_secret(share: KeyShare) -> dict[str, str]:
    """Ours for it."""
    return {"identifier": name_of(share.identifier), "signingShare": share.signing_share.reveal().hex()}


def our_share(public: dict[str, object], secret: dict[str, str]) -> KeyShare:
    """Its key as our types take it, with all their checks."""
    signers, commitments, verifying = public["signers"], public["commitments"], public["verifyingShares"]
    assert isinstance(signers, dict)
    assert isinstance(commitments, list)
    assert isinstance(verifying, dict)
    package = PublicKeyPackage(
        GroupPublicKey.from_bytes(bytes.fromhex(commitments[0])),
        signers["min"],
        dict(sorted((number_of(name), Point.from_bytes(bytes.fromhex(point))) for name, point in verifying.items())),
        Origin.DEALER,
    )
    return KeyShare(number_of(secret["identifier"]), SecretScalar(bytes.fromhex(secret["signingShare"])), package)


def its_commitment(commitment: NonceCommitment) -> dict[str, str]:
    """Ours for it."""
    return {
        "identifier": name_of(commitment.identifier),
        "hiding": commitment.hiding.encoded.hex(),
        "binding": commitment.binding.encoded.hex(),
    }


def our_commitment(commitment: dict[str, object]) -> NonceCommitment:
    """Its for us."""
    hiding, binding = (Point.from_bytes(bytes.fromhex(str(commitment[kind]))) for kind in ("hiding", "binding"))
    return NonceCommitment(number_of(str(commitment["identifier"])), hiding, binding)


def our_signature_share(who: int, share: object) -> SignatureShare:
    """Its for us."""
    return SignatureShare(identifier(who), scalar_from_bytes(bytes.fromhex(str(share))))
