"""Nodes whose signers are processes of their own: started by the daemon's configuration, and signing for real pipelines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # no type information upstream
import pytest
from solders.keypair import Keypair

from bridges.frost.coordinator import CommitRequest
from bridges.frost.errors import FrostError, NotAuthorised
from bridges.frost.keygen import KeyShare
from bridges.frost.keystore import PublicShare
from bridges.frost.private_files import write_private_file
from bridges.frost.remote_signer import RemoteSigner, SignerLink, SignerUnavailable, remote_signer
from bridges.frost.session import Authorise
from bridges.frost.transport import TransportIdentity
from circuits.catalogue import ensure_model
from oracle.app.committee import signed_bodies
from oracle.app.daemon import built_node
from oracle.app.devnet.keys import write_member
from oracle.app.signer_setup import signer_toml
from oracle.config import load_config
from oracle.errors import ConfigError
from oracle.node import Node
from oracle.node.gossip import encode_digests
from oracle.pipeline import Millis, Observed
from oracle.protocol.types import Digest
from tests.support.dealer import deal
from tests.support.network import Network
from tests.support.node_config import document, evm, solana, write
from tests.support.samples import evm_request, plain_message
from tests.support.signers import lay_out, signer_processes
from tests.support.solana_rpc import GENESIS, scripted_rpc

SHARES = deal(4, 3, os.urandom)


def free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def node_toml(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """Member 1's directory, with scripted chains; `content` may be changed before it is written."""
    write_member(tmp_path / "node-1", SHARES[0], os.urandom(32), Keypair())
    for other in (2, 3, 4):
        (tmp_path / f"node-{other}").mkdir()
        TransportIdentity.generate(tmp_path / f"node-{other}", f"sibyl member {other}", datetime.now(UTC))
    async with scripted_rpc() as rpc:
        rpc.answers["eth_chainId"] = hex(31337)
        content = document()
        content["evm"], content["solana"] = [evm(rpc.url)], [solana(rpc.url, GENESIS)]
        content["models"] = [str(ensure_model("tiny").directory)]
        content["listen"]["port"], content["status"]["port"] = free_port(), free_port()
        content["committee"]["group_key"] = "0x" + SHARES[0].public.group_public_key.to_bytes().hex()
        content["signer"] = "process"
        yield content


def lay(tmp_path: Path, content: dict[str, Any]) -> Path:
    """node.toml and the signer.toml that `sibyl committee signer-config` makes of it."""
    path = write(tmp_path / "node-1", content)
    write_private_file(path.parent / "signer.toml", signer_toml(load_config(path), path.parent).encode())
    return path


def signers_of(parent: int) -> list[int]:
    return [
        child.pid
        for child in psutil.Process(parent).children()
        if child.status() != psutil.STATUS_ZOMBIE and "bridges.frost.signer_process" in child.cmdline()
    ]


async def reached(node: Node) -> tuple[bytes, Digest]:
    """A message between the configured gateways that the node's own pipeline has reached, as a context."""
    config_destination = sorted(node.ports.submitters, key=str)
    message = replace(
        plain_message(), origin=config_destination[0], destination=config_destination[1], sender=b"\0" * 12 + b"\1" * 20
    )
    await node.record(Observed(message, Millis(1)))
    return encode_digests((message.digest,)), message.digest


async def test_daemon__signer_process__is_started_signs_survives_a_kill_and_ends_with_the_node(
    tmp_path: Path, node_toml: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[RemoteSigner] = []

    @contextlib.asynccontextmanager
    async def watched(*arguments: Any) -> AsyncIterator[RemoteSigner]:
        async with remote_signer(*arguments) as signer:
            opened.append(signer)
            yield signer

    monkeypatch.setattr("oracle.app.daemon.remote_signer", watched)
    monkeypatch.setattr("oracle.app.daemon.load_share", lambda _: pytest.fail("the node itself loaded the share"))
    config = load_config(lay(tmp_path, node_toml))
    async with built_node(config) as node:
        (pid,) = signers_of(os.getpid())
        (signer,) = opened
        context, _ = await reached(node)
        first = await signer.answer_commit(2, CommitRequest(os.urandom(16), context).to_bytes())
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while True:
                try:
                    again = await signer.answer_commit(2, CommitRequest(os.urandom(16), context).to_bytes())
                    break
                except SignerUnavailable:
                    await asyncio.sleep(0.05)
        assert again != first
        assert signers_of(os.getpid()) not in ([], [pid])
        with pytest.raises((NotAuthorised, FrostError)):
            await signer.answer_commit(
                2, CommitRequest(os.urandom(16), encode_digests((Digest(bytes(32)),))).to_bytes()
            )
    assert signers_of(os.getpid()) == []


async def test_daemon__signer_that_does_not_start__is_refused_with_its_own_sentence(
    tmp_path: Path, node_toml: dict[str, Any]
) -> None:
    path = lay(tmp_path, node_toml)
    (path.parent / "signer.toml").write_text((path.parent / "signer.toml").read_text().replace('"message"', '"gossip"'))
    with pytest.raises(ConfigError, match="gossip is no kind of message"):
        async with built_node(load_config(path)):
            pytest.fail("the node was built")
    assert signers_of(os.getpid()) == []


async def test_daemon__signer_of_another_member_behind_the_socket__is_refused(
    tmp_path: Path, node_toml: dict[str, Any]
) -> None:
    other = lay_out(tmp_path / "s", SHARES[1])
    node_toml["signer"] = str(other.parent / "run" / "signer.sock")
    path = write(tmp_path / "node-1", node_toml)
    with signer_processes([other]), pytest.raises(ConfigError, match="is member 2's share, but this node is member 1"):
        async with built_node(load_config(path)):
            pytest.fail("the node was built")
    with pytest.raises(SignerUnavailable, match="cannot be reached"):
        async with built_node(load_config(path)):
            pytest.fail("the node was built")


# ---- a committee of pipelines


async def test_network__every_share_in_a_signer_process__messages_and_answers_are_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(tmp_path / "network")
    configs = [lay_out(tmp_path / str(who), member.share) for who, member in network.members.items()]
    with signer_processes(configs):
        links = {who: SignerLink(tmp_path / str(who) / "run" / "signer.sock") for who in network.members}

        def over_a_process(share: KeyShare, authorise: Authorise) -> RemoteSigner:
            member = network.members[int(share.identifier)]

            async def bodies(context: bytes) -> tuple[bytes, ...]:
                return signed_bodies(member.running.pipeline, context)

            public = PublicShare(share.identifier, share.public)
            return RemoteSigner(links[member.identifier], public, authorise, bodies)

        monkeypatch.setattr("oracle.app.committee.Signer", over_a_process)
        async with network:
            for identifier in network.members:
                network.start(identifier)
            messages = [plain_message(sequence=1), evm_request(sequence=2), plain_message(sequence=3)]
            network.evm.append(*messages)
            await network.until(
                lambda: all(network.delivered(network.solana, m) for m in (messages[0], messages[2])), 60.0
            )
            await network.until(lambda: network.delivered(network.evm, messages[1]), 60.0)
            counters = [await link.counters() for link in links.values()]
        for link in links.values():
            link.close()
    assert sum(count.get("shares", 0) for count in counters) >= 9
    assert not [name for count in counters for name in count if name.startswith("refused")]
    assert all(count["pending"] <= 20 for count in counters)
