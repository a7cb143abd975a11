"""Start-up of a node: whatever would make it unsafe or useless is refused by one sentence, and nothing is left behind."""

import asyncio
import os
import shutil
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # no type information upstream
import pytest

from bridges.frost.keygen import Origin
from circuits.catalogue import ensure_model
from oracle.app.daemon import built_node, load_share
from oracle.config import load_config
from oracle.errors import SibylError, Transient
from oracle.journal import Journal
from oracle.pipeline import Millis, Observed
from oracle.protocol.errors import ProtocolError
from tests.support.dealer import deal
from tests.support.samples import evm_request
from tests.support.site import SHARES, Site, free_port, open_site

SECONDS = 60.0


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as made:
        yield made


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def refusal(site: Site) -> str:
    """What start-up says; afterwards nothing of it is left: no child, no port, no hold on the journal."""
    before = children()
    with pytest.raises((SibylError, ProtocolError)) as caught:
        async with built_node(load_config(site.write())):
            pytest.fail("the node was built")
    assert children() <= before
    text = str(caught.value)
    assert "\n" not in text
    assert SHARES[0].signing_share.reveal().hex() not in text
    return text


async def test_daemon__good_directory__is_built_and_leaves_nothing_behind(site: Site) -> None:
    before = children()
    config = load_config(site.write())
    async with built_node(config) as node:
        assert node.member.identifier == 1
        assert node.member.committee == (1, 2, 3, 4)
        assert len(node.ports.submitters) == 2
        assert len(children() - before) == 2, "one worker proves, one checks"
        for port in (config.listen.port, config.status.port):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert children() <= before
    for port in (config.listen.port, config.status.port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    Journal(site.journal).close()


# ---- keys ----


async def test_daemon__dealers_key_outside_a_devnet__is_refused(site: Site) -> None:
    site.set("devnet", False)
    text = await refusal(site)
    assert "share.json holds a dealer's key" in text
    assert "make keys by DKG here" in text


async def test_daemon__local_reference_string_outside_a_devnet__is_refused(site: Site) -> None:
    site.set("devnet", False)
    public = replace(SHARES[0].public, origin=Origin.DKG)
    site.replace_share(replace(SHARES[0], public=public), b"a passphrase of the tests")
    text = await refusal(site)
    assert "The model tiny was built with a local reference string" in text
    assert "build it with a ceremony's file" in text


async def test_daemon__another_members_share__is_refused(site: Site) -> None:
    site.replace_share(SHARES[1])
    assert "is member 2's share, but this node is member 1" in await refusal(site)


async def test_daemon__share_of_another_group_key__is_refused(site: Site) -> None:
    site.replace_share(deal(4, 3, os.urandom)[0])
    assert "belongs to another group key than committee.group_key" in await refusal(site)


async def test_daemon__share_for_other_members__is_refused(site: Site) -> None:
    shares = deal(5, 3, os.urandom)
    site.replace_share(shares[0])
    site.set("committee.group_key", "0x" + shares[0].public.group_public_key.to_bytes().hex())
    text = await refusal(site)
    assert "was made for the members (1, 2, 3, 4, 5), not (1, 2, 3, 4)" in text


async def test_daemon__threshold_below_the_quorum__is_refused(site: Site) -> None:
    shares = deal(4, 2, os.urandom)
    site.replace_share(shares[0])
    site.set("committee.group_key", "0x" + shares[0].public.group_public_key.to_bytes().hex())
    assert "has threshold 2; 4 members need 3" in await refusal(site)


@pytest.mark.parametrize("name", ["share.json", "evm.key", "solana.json", "peer-key.pem"])
@pytest.mark.parametrize("mode", [0o640, 0o604])
async def test_daemon__key_file_that_others_can_read__is_refused_by_name(site: Site, name: str, mode: int) -> None:
    (site.directory / name).chmod(mode)
    text = await refusal(site)
    assert name in text
    assert "chmod 600" in text


@pytest.mark.parametrize("name", ["share.json", "evm.key", "solana.json", "peer-key.pem", "peer-certificate.pem"])
async def test_daemon__key_file_gone_or_full_of_rubbish__is_refused_by_name(site: Site, name: str) -> None:
    path = site.directory / name
    path.write_bytes(b"\xff not what it was")
    assert name in await refusal(site)
    path.unlink()
    assert name in await refusal(site)


async def test_daemon__share_that_is_sealed__needs_the_right_passphrase(site: Site) -> None:
    site.replace_share(SHARES[0], b"a passphrase of the tests")
    assert config_share(site) == 1
    (site.directory / "passphrase").write_text("another passphrase")
    text = await refusal(site)
    assert "share.json cannot be opened: the passphrase is wrong" in text
    assert "a passphrase of" not in text
    (site.directory / "passphrase").chmod(0o644)
    assert "passphrase can be read or written by others" in await refusal(site)
    site.set("passphrase_file", None)
    assert "share.json is encrypted; name its passphrase" in await refusal(site)
    site.set("passphrase_env", "SIBYL_NO_SUCH_VARIABLE")
    assert "The environment variable SIBYL_NO_SUCH_VARIABLE is not set" in await refusal(site)


async def test_daemon__plain_share_outside_a_devnet__is_refused_with_the_command(site: Site) -> None:
    site.set("devnet", False)
    site.replace_share(replace(SHARES[0], public=replace(SHARES[0].public, origin=Origin.DKG)))
    text = await refusal(site)
    assert "share.json holds a key share unencrypted" in text
    assert "sibyl committee passphrase --share" in text


def config_share(site: Site) -> int:
    return load_share(load_config(site.write())).identifier


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
async def test_daemon__peer_certificate_gone_or_damaged__is_refused_by_name(site: Site, content: bytes) -> None:
    path = site.directory.parent / "node-3" / "peer-certificate.pem"
    path.write_bytes(content)
    assert "node-3/peer-certificate.pem" in await refusal(site)
    path.unlink()
    assert "node-3/peer-certificate.pem" in await refusal(site)


# ---- chains ----


async def test_daemon__endpoint_of_another_evm_chain__is_refused(site: Site) -> None:
    site.rpc.answers["eth_chainId"] = hex(1)
    text = await refusal(site)
    assert "serves chain 1, not 31337: correct the URL or the chain id" in text


async def test_daemon__endpoint_of_another_solana_cluster__is_refused(site: Site) -> None:
    site.set("solana.0.genesis_hash", "0x" + "55" * 32)
    text = await refusal(site)
    assert "serves the Solana cluster with genesis hash" in text
    assert "Name an endpoint of the configured cluster" in text


async def test_daemon__no_endpoint_there__is_transient_and_names_it(site: Site) -> None:
    port = free_port()
    site.set("evm.0.rpc_url", f"http://127.0.0.1:{port}")
    before = children()
    with pytest.raises(Transient, match=f"127.0.0.1:{port}"):
        async with built_node(load_config(site.write())):
            pytest.fail("the node was built")
    assert children() <= before


# ---- journal ----


async def test_daemon__journal_of_another_member__is_refused(site: Site) -> None:
    journal = Journal(site.journal)
    journal.identify("member 2 of committee 0x02ab")
    journal.close()
    text = await refusal(site)
    assert "belongs to member 2 of committee 0x02ab, but this node is member 1" in text
    assert "give it a new data directory" in text


async def test_daemon__journal_in_use__is_refused(site: Site) -> None:
    with closing(Journal(site.journal)) as held:
        held.identify("member 1")
        assert "in use by another process. Stop that node first" in await refusal(site)


async def test_daemon__damaged_journal__is_refused_and_released(site: Site) -> None:
    site.journal.parent.mkdir()
    site.journal.write_bytes(b"not a journal at all" * 400)
    text = await refusal(site)
    assert "journal.sqlite is damaged" in text
    assert "Restore it from a backup, or move it away" in text


async def test_daemon__journal_with_a_changed_row__is_refused_by_the_row(site: Site) -> None:
    journal = Journal(site.journal)
    list(journal.replay())
    journal.append((Observed(evm_request(), Millis(1)), Observed(evm_request(sequence=2), Millis(2))))
    journal.close()
    with closing(sqlite3.connect(site.journal)) as db:
        db.execute("UPDATE events SET body = replace(body, '\"at\":1', '\"at\":9') WHERE id = 1")
        db.commit()
    assert "event 1 has a wrong checksum" in await refusal(site)
    Journal(site.journal).close()


async def test_daemon__journal_whose_first_start_was_cut_off__is_begun_anew(site: Site) -> None:
    """A process that dies between creating the file and its tables leaves a database without any."""
    site.journal.parent.mkdir()
    with closing(sqlite3.connect(site.journal)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    assert site.journal.stat().st_size > 0
    async with built_node(load_config(site.write())) as node:
        assert not list(node.pipeline.works())


# ---- models and ports ----


async def test_daemon__damaged_model_directory__is_refused_by_the_file(site: Site, tmp_path: Path) -> None:
    copy = tmp_path / "tiny"
    shutil.copytree(ensure_model("tiny").directory, copy)
    site.set("models.0", str(copy))
    (copy / "model.onnx").write_bytes((copy / "model.onnx").read_bytes() + b"\0")
    text = await refusal(site)
    assert "The model is damaged" in text
    assert "model.onnx is not the one that was built" in text
    (copy / "manifest.json").unlink()
    assert "manifest.json is missing" in await refusal(site)
    shutil.rmtree(copy)
    assert "The model is damaged" in await refusal(site)


@contextmanager
def occupied(port: int) -> Iterator[None]:
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield


@pytest.mark.parametrize(("section", "what"), [("listen", "peer"), ("status", "status")])
async def test_daemon__port_in_use__is_refused_and_everything_is_taken_down(
    site: Site, section: str, what: str
) -> None:
    port = site.content[section]["port"]
    with occupied(port):
        text = await refusal(site)
    assert f"The {what} port 127.0.0.1:{port} cannot be used" in text
    assert f"End the program that holds it, or change [{section}]" in text
    for name in ("listen", "status"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", site.content[name]["port"]), timeout=5)
    Journal(site.journal).close()


async def test_daemon__error_while_it_serves__the_peer_port_is_closed(site: Site) -> None:
    config = load_config(site.write())
    with pytest.raises(ZeroDivisionError):
        async with built_node(config):
            raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", config.listen.port), timeout=5)


# ---- as a process ----


async def run_node(path: Path) -> tuple[int, str, set[int]]:
    """`sibyl node run`: exit status, standard error, and the processes that it started."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oracle.app.cli", "node", "run", "--config", str(path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    seen: set[int] = set()
    talk = asyncio.ensure_future(process.communicate())
    try:
        async with asyncio.timeout(SECONDS):
            while not talk.done():
                seen |= offspring(process.pid)
                await asyncio.sleep(0.02)
    finally:
        if process.returncode is None:
            process.kill()
    out, err = await talk
    assert out == b"", "a daemon writes to standard error alone"
    assert process.returncode is not None
    return process.returncode, err.decode(), seen


def offspring(pid: int) -> set[int]:
    try:
        return {child.pid for child in psutil.Process(pid).children(recursive=True)}
    except psutil.NoSuchProcess:
        return set()


async def said_in_one_sentence(path: Path) -> tuple[str, set[int]]:
    status, err, seen = await run_node(path)
    assert status == 1, err
    assert "Traceback" not in err
    said = [line for line in err.splitlines() if not line.startswith("{")]
    assert len(said) == 1, err
    assert said[0].startswith("sibyl: ")
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in seen)
    return said[0], seen


async def test_node_run__dealers_key_outside_a_devnet__exits_with_a_sentence(site: Site) -> None:
    site.set("devnet", False)
    said, _ = await said_in_one_sentence(site.write())
    assert "holds a dealer's key" in said


async def test_node_run__status_port_in_use__names_the_section_and_ends_its_workers(site: Site) -> None:
    with occupied(site.content["status"]["port"]):
        said, seen = await said_in_one_sentence(site.write())
    assert said.endswith("End the program that holds it, or change [status].")
    assert len(seen) >= 2, "its workers had been started"


async def test_node_run__damaged_journal_in_a_bracketed_directory__names_the_path_whole(
    site: Site, tmp_path: Path
) -> None:
    odd = tmp_path / "[red]odd[/red] [/"
    site.set("data_dir", str(odd))
    odd.mkdir(parents=True)
    (odd / "journal.sqlite").write_bytes(b"x" * 9000)
    said, _ = await said_in_one_sentence(site.write())
    assert f"The journal {odd}/journal.sqlite is damaged" in said


async def test_node_run__wrong_key_in_the_configuration__is_named(site: Site) -> None:
    site.set("evm.0.gateway", "0x11")
    status, err, _ = await run_node(site.write())
    assert status == 1
    assert "evm[0].gateway: " in err
    assert "Traceback" not in err


async def test_node_run__terminated__ends_well_and_leaves_no_child(site: Site) -> None:
    path = site.write()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oracle.app.cli", "node", "run", "--config", str(path),
        stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(SECONDS):
            while b"node ready" not in await process.stderr.readline():
                assert process.returncode is None
        workers = offspring(process.pid)
        assert len(workers) == 2
        for pid in {process.pid, *workers}:
            assert psutil.Process(pid).rlimit(psutil.RLIMIT_CORE) == (0, 0), "no core file could hold the share"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(SECONDS):
            rest = await process.stderr.read()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"node stopped" in rest
    assert b"Traceback" not in rest
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in workers)
