"""The directory of one member, ready to be started, for tests of start-up, reload and preflight."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from solders.keypair import Keypair

from bridges.frost import keystore
from bridges.frost.keygen import KeyShare
from bridges.frost.private_files import write_private_file
from bridges.frost.sealing import Passphrase, ScryptCost
from bridges.frost.transport import TransportIdentity
from circuits.catalogue import ensure_model
from oracle.app.devnet.keys import write_member
from tests.support.dealer import deal
from tests.support.node_config import changed, document, evm, solana, write
from tests.support.solana_rpc import GENESIS, ScriptedRpc, scripted_rpc

CHAIN_ID = 31337
SHARES = deal(4, 3, os.urandom)


@dataclass
class Site:
    """The directory of member 1 and its configuration, good until a test bends it."""

    directory: Path
    content: dict[str, Any]
    rpc: ScriptedRpc

    def set(self, key: str, value: object) -> None:
        changed(self.content, key, value)

    def write(self) -> Path:
        return write(self.directory, self.content)

    def replace_share(self, share: KeyShare, passphrase: bytes | None = None) -> None:
        (self.directory / "share.json").unlink()
        if passphrase is None:
            keystore.save(self.directory / "share.json", share)
            return
        keystore.save(self.directory / "share.json", share, Passphrase(passphrase), cost=ScryptCost(n=1 << 14))
        write_private_file(self.directory / "passphrase", passphrase)
        self.content["passphrase_file"] = "passphrase"

    @property
    def journal(self) -> Path:
        return self.directory / "data" / "journal.sqlite"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def open_site(tmp_path: Path) -> AsyncIterator[Site]:
    """Everything that a start of member 1 needs: keys, certificates of four members, a model, and chains that answer as they are told."""
    directory = tmp_path / "node-1"
    write_member(directory, SHARES[0], os.urandom(32), Keypair())
    for other in (2, 3, 4):
        (tmp_path / f"node-{other}").mkdir()
        TransportIdentity.generate(tmp_path / f"node-{other}", f"sibyl member {other}", datetime.now(UTC))
    async with scripted_rpc() as rpc:
        rpc.answers["eth_chainId"] = hex(CHAIN_ID)
        content = document()
        content["evm"], content["solana"] = [evm(rpc.url)], [solana(rpc.url, GENESIS)]
        content["models"] = [str(ensure_model("tiny").directory)]
        content["listen"]["port"], content["status"]["port"] = free_port(), free_port()
        content["committee"]["group_key"] = "0x" + SHARES[0].public.group_public_key.to_bytes().hex()
        yield Site(directory, content, rpc)
