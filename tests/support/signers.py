"""Signer processes for tests: their directories and configurations, and a node's half that knows some messages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit

from bridges.frost import keystore
from bridges.frost.errors import FrostError, PeerRefused
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.session import COMMIT_PATH
from bridges.frost.signer_port import SignerPort
from bridges.frost.signer_rules import endpoint_text
from oracle.errors import NotAuthorised
from oracle.node.gossip import decode_digests, encode_digests
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import Message
from oracle.protocol.types import Digest
from tests.support.samples import EVM, SOLANA

ROOT = Path(__file__).parents[2]


def signer_document(share: KeyShare) -> dict[str, Any]:
    """A whole valid signer.toml for a devnet, to be bent by a test."""
    return {
        "identifier": int(share.identifier),
        "group_key": "0x" + share.public.group_public_key.to_bytes().hex(),
        "key_share": "share.json",
        "devnet": True,
        "socket": "run/signer.sock",
        "ledger": "signer.sqlite",
        "kinds": ["message", "inference_result"],
        "origins": [endpoint_text(EVM), endpoint_text(SOLANA)],
        "destinations": [endpoint_text(EVM), endpoint_text(SOLANA)],
    }


def lay_out(directory: Path, share: KeyShare, **changes: object) -> Path:
    """A signer's directory with a plain share; its signer.toml."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory / "share.json").exists():
        keystore.save(directory / "share.json", share)
    path = directory / "signer.toml"
    path.touch(mode=0o600)
    content = {**signer_document(share), **changes}
    path.write_text(tomlkit.dumps({k: v for k, v in content.items() if v is not None}))
    return path


@dataclass
class NodeHalf:
    """What a node's pipeline would say: the messages that it reached, and whether it would sign them."""

    messages: dict[Digest, Message] = field(default_factory=dict)
    refuses: set[Digest] = field(default_factory=set)

    def reach(self, *messages: Message) -> bytes:
        """The node has reached these; the context that asks to sign all of them."""
        self.messages.update({message.digest: message for message in messages})
        return context_of(messages)

    async def authorise(self, context: bytes) -> bytes:
        digests = decode_digests(context)
        for digest in digests:
            if digest not in self.messages or digest in self.refuses:
                raise NotAuthorised("This node has not reached that.")
        return batch_signing_hash(digests)

    async def bodies(self, context: bytes) -> tuple[bytes, ...]:
        return tuple(self.messages[digest].to_bytes() for digest in decode_digests(context))


def context_of(messages: Sequence[Message]) -> bytes:
    return encode_digests(tuple(message.digest for message in messages))


@dataclass
class Wire:
    """A coordinator's way to another member's signer, without sockets."""

    source: Identifier
    target: SignerPort

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        handler = self.target.answer_commit if path == COMMIT_PATH else self.target.answer_share
        try:
            return await handler(self.source, body)
        except (FrostError, NotAuthorised) as error:
            code = error.code if isinstance(error, FrostError) else "not_authorised"
            raise PeerRefused(self.target.share.identifier, code, str(error)) from error


def wires(own: Identifier, ports: dict[Identifier, SignerPort]) -> dict[int, Wire]:
    return {int(who): Wire(own, port) for who, port in ports.items() if who != own}


@contextmanager
def signer_processes(configs: Sequence[Path]) -> Iterator[list[subprocess.Popen[str]]]:
    """Real signer processes, ready to answer; ended with the block."""
    with ExitStack() as stack:
        children = [_started(config, stack) for config in configs]
        for child in children:
            assert child.stderr is not None
            line = " "
            while "signer_ready" not in line:
                line = child.stderr.readline()
                assert line, "the signer ended while it started"
        yield children


def _started(config: Path, stack: ExitStack) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-m", "bridges.frost.signer_process", "--supervised", "--config", config],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stack.enter_context(child)
    stack.callback(child.kill)
    return child
