"""The signer's socket under attack, and the signer's death: what strangers get, what a node sees, and that nothing is reused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from bridges.frost import keystore, signer_process, signing
from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import Busy, DecodeError, NonceSpent, NotAuthorised, TooFewSigners
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare, deal
from bridges.frost.remote_signer import LinkLimits, RemoteSigner, SignerLink, SignerUnavailable, remote_signer
from bridges.frost.sealing import Passphrase, ScryptCost
from bridges.frost.session import CoordinatorLimits, SigningCoordinator
from bridges.frost.signer_ledger import Entry, Ledger
from bridges.frost.signer_port import SignerPort
from bridges.frost.signer_process import ServerLimits, serving
from bridges.frost.signer_rules import load_signer_config
from bridges.frost.signer_supervisor import SignerProcess, SupervisorLimits, running_signer
from bridges.frost.signer_wire import BatchRequest, CommitReply, Operation, Reply, frame, open_frame
from bridges.frost.signing import NonceCommitment
from oracle.errors import ConfigError
from oracle.protocol.hashing import batch_signing_hash
from tests.support.samples import evm_request, plain_message
from tests.support.signers import ROOT, NodeHalf, Wire, lay_out, signer_processes

SHARES = deal(4, 3, os.urandom)
SEQUENCES = count(1)
QUICK = SupervisorLimits(pause_seconds=0.05, longest_pause_seconds=0.2, attempts=3)
PATIENT = LinkLimits(call_seconds=20.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Short, as a socket's path must be."""
    return tmp_path


def lay(home: Path, **changes: object) -> Path:
    return lay_out(home, SHARES[0], **changes)


@contextlib.asynccontextmanager
async def served(home: Path, limits: ServerLimits | None = None, **changes: object) -> AsyncIterator[Path]:
    """A signer on its real socket, in this process."""
    config = load_signer_config(lay(home, **changes))
    async with serving(config, limits):
        yield config.socket


async def talk(path: Path, *sent: bytes) -> bytes:
    """Send raw bytes, say no more, and return all that comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        with contextlib.suppress(ConnectionError):
            for part in sent:
                writer.write(part)
            await writer.drain()
            writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionResetError:  # it hung up on what it had not read
        return b""
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def impostor(
    path: Path, act: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]
) -> AsyncIterator[None]:
    """Something else that listens where a signer should."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await act(reader, writer)
        finally:
            await closed(writer)

    async with await asyncio.start_unix_server(serve, path):
        yield
        if tasks:
            await asyncio.wait(tasks, timeout=20)


def status_of(data: bytes) -> tuple[int, str]:
    status, payload = open_frame(data[4:])
    assert len(data) == 4 + int.from_bytes(data[:4]), "one reply and no more"
    return status, payload.decode()


async def counters(path: Path) -> dict[str, int]:
    link = SignerLink(path, PATIENT)
    try:
        return await link.counters()
    finally:
        link.close()


def batch(*messages: bytes, coordinator: int = 2) -> bytes:
    return BatchRequest(Identifier(coordinator), os.urandom(16), messages).to_bytes()


# ---- the socket


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


# ---- a node and its signer


@dataclass
class Pair:
    half: NodeHalf
    signer: RemoteSigner

    async def commit(self, *, sequence: int | None = None, payload: bytes = b"hello") -> tuple[bytes, NonceCommitment]:
        message = plain_message(sequence=sequence or next(SEQUENCES), payload=payload)
        context, session = self.half.reach(message), os.urandom(16)
        reply = await self.signer.answer_commit(2, CommitRequest(session, context).to_bytes())
        return session, NonceCommitment.from_bytes(reply)

    async def share(self, session: bytes, own: NonceCommitment) -> ShareReply:
        others = [signing.commit(share, os.urandom(64)).commitment for share in SHARES[1:3]]
        return ShareReply.from_bytes(
            await self.signer.answer_share(2, ShareRequest(session, (own, *others)).to_bytes())
        )


@contextlib.asynccontextmanager
async def paired(path: Path, limits: LinkLimits = PATIENT) -> AsyncIterator[Pair]:
    half = NodeHalf()
    async with remote_signer(SignerLink(path, limits), half.authorise, half.bodies) as signer:
        yield Pair(half, signer)


async def test_node__bodies_that_are_not_the_batchs__no_session_comes_of_it(home: Path) -> None:
    async with served(home) as path, paired(path) as pair:
        context = pair.half.reach(plain_message(sequence=1))

        async def wrong(context: bytes) -> tuple[bytes, ...]:
            return (plain_message(sequence=2).to_bytes(),)

        pair.signer._bodies = wrong
        with pytest.raises(NotAuthorised, match="not those of this batch"):
            await pair.signer.answer_commit(2, CommitRequest(bytes(16), context).to_bytes())
        own = signing.commit(SHARES[0], os.urandom(64)).commitment
        with pytest.raises(NonceSpent):
            await pair.share(bytes(16), own)
        await pair.signer._send_forgotten(2)
        assert await counters(path) == {"commitments": 1, "ledger": 0, "pending": 0}


async def test_node__that_lies_to_its_signer__is_refused_by_the_signers_own_rules(home: Path) -> None:
    """A node that was taken over authorises everything. The signer still signs each place once."""
    async with served(home) as path, paired(path) as pair:
        await pair.share(*await pair.commit(sequence=1, payload=b"true"))
        with pytest.raises(NotAuthorised, match="another body"):
            await pair.commit(sequence=1, payload=b"false")
        assert (await counters(path))["refused_conflict"] == 1


async def test_node__signer_that_does_not_answer__is_unavailable_in_time_and_nobody_is_blamed(home: Path) -> None:
    path = home / "run" / "s"
    async with impostor(path, lambda reader, _: reader.read()):
        link = SignerLink(path, LinkLimits(call_seconds=0.05))
        with pytest.raises(SignerUnavailable, match="did not answer within") as caught:
            await link.public()
        link.close()
    assert isinstance(caught.value, Busy | NotAuthorised)
    assert caught.value.code == "busy"
    assert caught.value.culprits == ()


LIES = [
    frame(Reply.OK, b""),
    frame(Reply.OK, b"\xff" * 100),
    frame(Reply.OK, bytes(68)),
    frame(Reply.OK, CommitReply(signing.commit(SHARES[1], bytes(range(64))).commitment, bytes(32)).to_bytes()),
    frame(99, b"what"),
    frame(Reply.FAILED, b"\xff\xfe"),
    b"\xff\xff\xff\xff",
    b"\0\0\0\2\7\0",
    b"",
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
async def test_node__signer_that_answers_nonsense__is_an_error_of_ours_and_not_a_commitment(
    home: Path, lie: bytes
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        writer.write(lie)

    async with served(home) as path, paired(path) as pair, impostor(home / "run" / "s", answer):
        pair.signer._link = SignerLink(home / "run" / "s", PATIENT)
        with pytest.raises((SignerUnavailable, DecodeError)):
            await pair.commit()
        pair.signer._link.close()


async def test_node__cancelled_while_it_asks__the_next_answer_is_not_the_last_questions(home: Path) -> None:
    async with served(home) as path, paired(path, LinkLimits(connections=1, call_seconds=20.0)) as pair:
        for _ in range(10):
            asking = asyncio.ensure_future(pair.commit())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            await pair.share(*await pair.commit())


# ---- death


async def test_process__killed_in_mid_session__transient_then_spent_then_signs_again_and_no_nonce_twice(
    home: Path,
) -> None:
    seen: list[bytes] = []
    async with running_signer(lay(home), QUICK) as process, paired(process.socket) as pair:
        for life in range(3):
            sessions = [await pair.commit() for _ in range(3)]
            seen += [point for _, own in sessions for point in (own.hiding.encoded, own.binding.encoded)]
            await pair.share(*sessions[0])
            await killed(process)
            with pytest.raises((SignerUnavailable, NonceSpent)):
                await pair.share(*sessions[1])
            await until_restarted(process, life + 1)
            with pytest.raises(NonceSpent):
                await pair.share(*sessions[2])
        session, own = await pair.commit()
        await pair.share(session, own)
        seen += [own.hiding.encoded, own.binding.encoded]
    assert len(seen) == len(set(seen)) == 20


async def test_process__killed__its_ledger_still_refuses_the_second_body(home: Path) -> None:
    async with running_signer(lay(home), QUICK) as process, paired(process.socket) as pair:
        await pair.share(*await pair.commit(sequence=1, payload=b"true"))
        await killed(process)
        await until_restarted(process, 1)
        with pytest.raises(NotAuthorised, match="another body"):
            await pair.commit(sequence=1, payload=b"false")
        await pair.share(*await pair.commit(sequence=1, payload=b"true"))


async def killed(process: SignerProcess) -> None:
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while process.pid == pid:
            await asyncio.sleep(0.01)


async def until_restarted(process: SignerProcess, times: int) -> None:
    async with asyncio.timeout(60):
        while process.restarts < times:
            await asyncio.sleep(0.02)


async def test_process__killed_while_shares_flow__every_share_that_left_is_in_the_ledger(home: Path) -> None:
    given: list[Entry] = []

    async def flow(pair: Pair) -> None:
        with contextlib.suppress(SignerUnavailable, NonceSpent):
            while True:
                message = plain_message(sequence=next(SEQUENCES))
                session, own = await pair.commit(sequence=message.sequence)
                await pair.share(session, own)
                given.append(Entry.of(message, message.to_bytes()))

    config = lay(home)
    for enough in (5, 15, 30):
        target = len(given) + enough
        with signer_processes([config]) as (child,):
            async with paired(home / "run" / "signer.sock") as pair:
                flows = [asyncio.ensure_future(flow(pair)) for _ in range(4)]
                while len(given) < target:
                    await asyncio.sleep(0.005)
                child.kill()
                await asyncio.gather(*flows)
        with contextlib.closing(Ledger(home / "signer.sqlite", SHARES[0].public.group_public_key.to_bytes())) as ledger:
            assert ledger.check(given) == []
            assert len(ledger) >= len(given)


async def test_process__that_cannot_start_again__is_given_up_aloud(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running_signer(lay(home), QUICK) as process, paired(process.socket) as pair:
        (home / "share.json").write_text("gone")
        await killed(process)
        async with asyncio.timeout(120):
            said = ""
            while "signer_given_up" not in said:
                await asyncio.sleep(0.05)
                said += "".join(capfd.readouterr())
        assert said.count("signer_not_restarted") == QUICK.attempts
        assert process.restarts == 0
        with pytest.raises(SignerUnavailable, match="cannot be reached"):
            await pair.commit()


async def test_committee__one_members_signer_killed__the_others_sign_and_blame_nobody(home: Path) -> None:
    configs = [lay_out(home / str(share.identifier), share) for share in SHARES]
    halves = [NodeHalf() for _ in SHARES]
    limits = CoordinatorLimits(attempts=2, round_seconds=20.0, total_seconds=40.0, pause_seconds=0.05)
    async with contextlib.AsyncExitStack() as stack:
        children = stack.enter_context(signer_processes(configs))
        ports: dict[Identifier, SignerPort] = {}
        for share, config, half in zip(SHARES, configs, halves, strict=True):
            link = SignerLink(config.parent / "run" / "signer.sock", PATIENT)
            ports[share.identifier] = await stack.enter_async_context(remote_signer(link, half.authorise, half.bodies))
        one = Identifier(1)
        coordinator = SigningCoordinator(
            ports[one], {int(who): Wire(one, port) for who, port in ports.items() if who != one}, limits=limits
        )
        for dead in (4, 3):
            children[dead - 1].kill()
            children[dead - 1].wait()
            message = plain_message(sequence=next(SEQUENCES))
            contexts = {half.reach(message) for half in halves}
            if dead == 4:
                signature = await coordinator.sign(contexts.pop())
                key = SHARES[0].public.group_public_key
                assert signing.verify(key, signature, batch_signing_hash([message.digest]))
            else:
                with pytest.raises(TooFewSigners) as caught:
                    await coordinator.sign(contexts.pop())
                assert set(caught.value.refusals) == {3, 4}
                assert caught.value.culprits == ()
                assert all("signer" in reason.lower() for reason in caught.value.refusals.values())


# ---- starting and ending


async def test_process__sealed_share__opens_by_a_file_or_the_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = KeyShare(SHARES[0].identifier, SHARES[0].signing_share.copy(), SHARES[0].public)
    passphrase = b"a passphrase of the tests"
    keystore.save(home / "share.json", share, Passphrase(passphrase), cost=ScryptCost(n=1 << 14))
    monkeypatch.setenv("SIBYL_TEST_SIGNER", passphrase.decode())
    async with running_signer(lay(home, passphrase_env="SIBYL_TEST_SIGNER"), QUICK) as process, paired(process.socket):
        pass
    (home / "p").touch(mode=0o600)
    (home / "p").write_bytes(b"another passphrase\n")
    with pytest.raises(ConfigError, match=r"did not start: .*the passphrase is wrong"):
        async with running_signer(lay(home, passphrase_file="p"), QUICK):
            pytest.fail("it started")
    with pytest.raises(ConfigError, match="passphrase_file or passphrase_env"):
        async with running_signer(lay(home), QUICK):
            pytest.fail("it started")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"identifier": 2}, "is member 1's share"),
        ({"group_key": "0x02" + "11" * 32}, "another group key"),
        ({"devnet": False}, "dealer's key"),
        ({"key_share": "none.json"}, "none.json cannot be opened"),
        ({"ledger": "share.json"}, "is damaged"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_process__wrong_configuration__ends_with_a_sentence(
    home: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        async with running_signer(lay(home, **changes), QUICK):
            pytest.fail("it started")
    assert "Traceback" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_process__its_node_killed__ends_too(home: Path) -> None:
    config = lay(home)
    program = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from bridges.frost.signer_supervisor import running_signer

        async def node():
            async with running_signer(Path(sys.argv[1])) as process:
                print(process.pid, flush=True)
                await asyncio.sleep(600)

        asyncio.run(node())
        """
    )
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, config, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert node.stdout is not None
    pid = int(await asyncio.wait_for(node.stdout.readline(), 60))
    os.kill(pid, 0)
    node.kill()
    await node.wait()
    async with asyncio.timeout(60):
        while alive(pid):
            await asyncio.sleep(0.02)
    assert not (home / "run" / "signer.sock").exists(), "it had time to tidy up"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_process__terminated__wipes_up_and_says_what_it_did_without_a_secret(home: Path) -> None:
    config = lay(home)
    with signer_processes([config]) as (child,):
        child.send_signal(signal.SIGTERM)
        _, said = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "signer_stopped" in said
    assert "Traceback" not in said
    assert json.loads((home / "share.json").read_text())["signing_share"] not in said
    assert not (home / "run" / "signer.sock").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_process__core_dumps__are_off(home: Path) -> None:
    with signer_processes([lay(home)]) as (child,):
        limits = Path(f"/proc/{child.pid}/limits").read_text()
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl")
def test_hardening__asked_for__process_is_not_dumpable() -> None:
    program = (
        "import ctypes; from bridges.frost.hardening import forbid_core_dumps; p = ctypes.CDLL(None).prctl;"
        "before = p(3, 0, 0, 0, 0); granted = forbid_core_dumps(); print(before, granted, p(3, 0, 0, 0, 0))"
    )
    made = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert made.stdout.split() == ["1", "True", "0"]


def test_process__command_line__has_no_place_for_a_secret() -> None:
    made = subprocess.run(
        [sys.executable, "-m", "bridges.frost.signer_process", "--help"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "--config" in made.stdout
    assert "passphrase" not in made.stdout
