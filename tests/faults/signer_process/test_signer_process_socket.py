"""The signer's socket under attack: what strangers and other users get, and what becomes of bytes that are no question."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest

from bridges.frost import signer_process
from bridges.frost.remote_signer import SignerLink, SignerUnavailable
from bridges.frost.signer_process import ServerLimits
from bridges.frost.signer_wire import Operation, Reply, frame, open_frame
from oracle.errors import ConfigError
from oracle.protocol.hashing import batch_signing_hash
from tests.support.samples import evm_request, plain_message
from tests.support.signer_process import (
    PATIENT,
    batch,
    closed,
    counters,
    served,
    status_of,
    talk,
)


async def test_socket__and_its_directory__are_closed_to_others(home: Path) -> None:
    async with served(home) as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701, 0o770])
async def test_socket__directory_that_others_can_enter__is_refused_at_both_ends(home: Path, mode: int) -> None:
    async with served(home) as path:
        path.parent.chmod(mode)
        with pytest.raises(SignerUnavailable, match="chmod 700"):
            await SignerLink(path).public()
        path.parent.chmod(0o700)
    path.parent.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 700"):
        async with served(home):
            pytest.fail("it was served")


async def test_socket__directory_that_is_a_link__is_refused(home: Path) -> None:
    (home / "elsewhere").mkdir(mode=0o700)
    (home / "run").symlink_to(home / "elsewhere")
    with pytest.raises(ConfigError, match="must be a directory"):
        async with served(home):
            pytest.fail("it was served")


async def test_socket__node_of_another_user__is_served_and_the_signers_own_user_is_not(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = os.geteuid() + 1
    async with served(home, client_uid=node) as path:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert await talk(path, frame(Operation.PUBLIC, b"")) == b""
        monkeypatch.setattr(signer_process, "peer_uid", lambda _: node + 1)
        assert await talk(path, frame(Operation.PUBLIC, b"")) == b""
        monkeypatch.setattr(signer_process, "peer_uid", lambda _: None)
        assert await talk(path, frame(Operation.PUBLIC, b"")) == b"", "who does not say who it is gets nothing"
        monkeypatch.setattr(signer_process, "peer_uid", lambda _: node)
        assert open_frame((await talk(path, frame(Operation.PUBLIC, b"")))[4:])[0] == Reply.OK
        for mode in (0o733, 0o755, 0o777, 0o715):
            path.parent.chmod(mode)
            with pytest.raises(ConfigError, match="chmod 711"):
                signer_process.directory_owner(path.parent, shared=True)
        path.parent.chmod(0o711)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to another user")
async def test_link__signer_of_a_user_of_its_own__is_the_owner_of_the_directory(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signers = 12345
    async with served(home, client_uid=os.geteuid()) as path:
        os.chown(path.parent, signers, -1)
        link = SignerLink(path, PATIENT)
        with pytest.raises(SignerUnavailable, match="belongs to another user"):
            await link.public()  # root's process behind another user's directory
        monkeypatch.setattr("bridges.frost.remote_signer.peer_uid", lambda _: signers)
        assert (await link.public()).share.identifier == 1
        link.close()
        path.parent.chmod(0o733)
        with pytest.raises(SignerUnavailable, match="chmod 711"):
            await link.public()
        path.parent.chmod(0o711)


async def test_socket__left_by_a_signer_that_was_killed__is_replaced(home: Path) -> None:
    (home / "run").mkdir(mode=0o700)
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(home / "run" / "signer.sock"))
    async with served(home) as path:
        assert (await counters(path))["ledger"] == 0


async def test_socket__of_a_signer_that_lives__is_not_taken_over(home: Path) -> None:
    async with served(home) as path:
        with pytest.raises(ConfigError, match="Another signer listens"):
            async with served(home, ledger="other.sqlite"):
                pytest.fail("it was served")
        assert (await counters(path))["ledger"] == 0


async def test_socket__name_taken_by_a_file_or_too_long__is_refused(home: Path) -> None:
    (home / "run").mkdir(mode=0o700)
    (home / "run" / "signer.sock").write_text("something else")
    with pytest.raises(ConfigError, match="is no socket"):
        async with served(home):
            pytest.fail("it was served")
    assert (home / "run" / "signer.sock").read_text() == "something else"
    with pytest.raises(ConfigError, match="too long"):
        async with served(home, socket="x" * 120 + "/s"):
            pytest.fail("it was served")


async def test_socket__another_user__gets_nothing_and_is_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root could arrange it: the connection is there, and the kernel names another user at its end."""
    async with served(home) as path:
        monkeypatch.setattr(signer_process, "peer_uid", lambda _: os.geteuid() + 1)
        assert await talk(path, frame(Operation.PUBLIC, b"")) == b""
        monkeypatch.undo()
        assert (await counters(path))["refused_uid"] == 1


async def test_link__signer_of_another_user__is_told_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(home) as path:
        monkeypatch.setattr("bridges.frost.remote_signer.peer_uid", lambda _: os.geteuid() + 1)
        with pytest.raises(SignerUnavailable, match="belongs to another user; nothing was sent"):
            await SignerLink(path).public()
        monkeypatch.undo()
        assert await counters(path) == {"pending": 0, "ledger": 0}


MALFORMED = [
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\0\0\0\1\1",
    b"\0\0\0\2\2\1",
    b"\0\0\0\2\0\0",
    b"GET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("data", MALFORMED, ids=repr)
async def test_socket__not_a_frame__is_malformed_and_the_connection_ends(home: Path, data: bytes) -> None:
    async with served(home) as path:
        status, _ = status_of(await talk(path, data))
        assert status == Reply.MALFORMED
        assert (await counters(path))["refused_decode"] == 1


@pytest.mark.parametrize("operation", [0, 6, 7, 99, 255])
async def test_socket__any_other_operation__does_not_exist(home: Path, operation: int) -> None:
    """There is no call that signs a given hash, under no number."""
    digest = batch_signing_hash([plain_message().digest])
    async with served(home) as path:
        for payload in (
            digest,
            b"\0\2" + digest,
            b"\0\2" + bytes(16) + digest,
            b"\0\2" + bytes(16) + b"\0\1" + digest,
            b"",
        ):
            status, text = status_of(await talk(path, frame(operation, payload)))
            assert status == Reply.MALFORMED
            assert "no operation" in text
        assert (await counters(path))["refused_operation"] == 5


@pytest.mark.parametrize("operation", [Operation.COMMIT, Operation.SHARE])
async def test_socket__hash_instead_of_bodies__is_refused(home: Path, operation: Operation) -> None:
    digest = batch_signing_hash([plain_message().digest])
    async with served(home) as path:
        for payload in (digest, b"\0\2" + bytes(16) + digest, b"\0\2" + bytes(16) + b"\0\1\0\0\0\x20" + digest, b""):
            status, _ = status_of(await talk(path, frame(operation, payload)))
            assert status == Reply.MALFORMED
        assert (await counters(path))["pending"] == 0


async def test_socket__questions_without_payload__take_none(home: Path) -> None:
    async with served(home) as path:
        for operation in (Operation.PUBLIC, Operation.COUNTERS):
            assert status_of(await talk(path, frame(operation, b"x")))[0] == Reply.MALFORMED


async def test_socket__refusal__says_why_without_control_characters(home: Path) -> None:
    async with served(home) as path:
        status, text = status_of(await talk(path, frame(Operation.COMMIT, batch(evm_request().to_bytes()))))
        assert status == Reply.REFUSED
        assert text == "This signer does not sign messages of kind inference_request."
        assert (await counters(path))["refused_kind"] == 1


async def test_socket__half_a_frame__is_not_waited_for(home: Path) -> None:
    async with served(home, ServerLimits(frame_seconds=0.05)) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(frame(Operation.PUBLIC, b"")[:-1])
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        await closed(writer)


async def test_socket__silent_connection__is_closed(home: Path) -> None:
    async with served(home, ServerLimits(idle_seconds=0.05)) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
        await closed(writer)


async def test_socket__too_many_connections__the_next_is_told_and_the_first_are_served(home: Path) -> None:
    async with served(home, ServerLimits(connections=2)) as path:
        first = [await asyncio.open_unix_connection(path) for _ in range(2)]
        for reader, writer in first:
            writer.write(frame(Operation.PUBLIC, b""))
            assert (await reader.readexactly(6))[5] == Reply.OK
        status, text = status_of(await talk(path))
        assert status == Reply.BUSY
        assert "as many connections" in text
        for _, writer in first:
            await closed(writer)
        while status == Reply.BUSY:
            status, _ = open_frame((await talk(path, frame(Operation.PUBLIC, b"")))[4:])
        assert status == Reply.OK


async def test_socket__many_questions_on_one_connection__are_answered_in_order(home: Path) -> None:
    async with served(home) as path:
        data = await talk(path, *(frame(Operation.COUNTERS, b"") + frame(Operation.PUBLIC, b"x") for _ in range(20)))
    statuses = []
    while data:
        size = 4 + int.from_bytes(data[:4])
        statuses.append(data[5])
        data = data[size:]
    assert statuses == [Reply.OK, Reply.MALFORMED] * 20
