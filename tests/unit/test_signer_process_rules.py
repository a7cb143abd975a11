"""The signer's own rules and ledger: what is refused although the node asks for it, by which word, and what a restart remembers."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from structlog.testing import capture_logs

from bridges.frost import signing
from bridges.frost.coordinator import SESSION_ID_BYTES, ShareReply, ShareRequest
from bridges.frost.errors import Busy, KeystoreError, NonceSpent, NotAuthorised
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.rates import TokenBucket
from bridges.frost.session import SignerLimits
from bridges.frost.signer_ledger import Conflict, Entry, Ledger, LedgerError
from bridges.frost.signer_rules import (
    RuleRefused,
    Rules,
    SignerConfig,
    endpoint,
    endpoint_text,
    load_signer_config,
)
from bridges.frost.signer_service import SignerService
from bridges.frost.signing import NonceCommitment
from oracle.errors import ConfigError
from oracle.protocol.hashing import batch_signing_hash
from oracle.protocol.message import Message
from oracle.protocol.types import Chain, Endpoint, Kind, UnixSeconds, evm_account
from oracle.protocol.types import Sequence as MessageSequence
from tests.support.dealer import deal
from tests.support.samples import EVM, SOLANA, evm_request, plain_message, seeded
from tests.support.signers import signer_document

SHARES = deal(4, 3, os.urandom)
KEY = SHARES[0].public.group_public_key.to_bytes()
OTHER_EVM = Endpoint(EVM.chain, evm_account(seeded("another gateway", 20)))
OTHER_CHAIN = Endpoint(Chain.evm(1), EVM.gateway)


def config(directory: Path, **changes: object) -> SignerConfig:
    path = directory / "signer.toml"
    content = {k: v for k, v in {**signer_document(SHARES[0]), **changes}.items() if v is not None}
    path.write_text(tomlkit.dumps(content))
    path.chmod(0o600)
    return load_signer_config(path)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """A service with a ledger on disk, and the clumsy half of a coordinator."""

    service: SignerService
    ledger: Ledger
    clock: Clock

    async def commit(self, *messages: Message, coordinator: int = 2) -> tuple[bytes, NonceCommitment]:
        session = os.urandom(SESSION_ID_BYTES)
        bodies = [message.to_bytes() for message in messages]
        reply = await self.service.commit(Identifier(coordinator), session, bodies)
        assert reply.signing_hash == batch_signing_hash([message.digest for message in messages])
        return session, reply.commitment

    async def share(
        self, session: bytes, own: NonceCommitment, *, coordinator: int = 2, following: bytes | None = None
    ) -> ShareReply:
        others = [signing.commit(share, os.urandom(64)).commitment for share in SHARES[1:3]]
        request = ShareRequest(session, (own, *others), following).to_bytes()
        return ShareReply.from_bytes(await self.service.sign(Identifier(coordinator), request))

    async def signed(self, *messages: Message) -> ShareReply:
        return await self.share(*await self.commit(*messages))


@contextmanager
def bench(directory: Path, *, limits: SignerLimits | None = None, **changes: object) -> Iterator[Bench]:
    settings, clock = config(directory, **changes), Clock()
    ledger = Ledger(settings.ledger, KEY)
    rate = TokenBucket(settings.sessions_per_second, settings.burst, clock.now)
    share = KeyShare(SHARES[0].identifier, SHARES[0].signing_share.copy(), SHARES[0].public)
    service = SignerService(share, Rules(settings), ledger, rate, limits=limits or SignerLimits(), clock=clock)
    try:
        yield Bench(service, ledger, clock)
    finally:
        service.close()


def message(sequence: int = 1, payload: bytes = b"hello", **fields: Any) -> Message:
    return replace(plain_message(sequence=sequence, payload=payload), **fields)


# ---- rules


REFUSED: list[tuple[str, Callable[[], list[bytes]]]] = [
    ("kind", lambda: [evm_request().to_bytes()]),
    ("origin", lambda: [message(origin=OTHER_EVM).to_bytes()]),
    ("origin", lambda: [message(origin=OTHER_CHAIN).to_bytes()]),
    ("destination", lambda: [message(destination=replace(SOLANA, gateway=seeded("not ours"))).to_bytes()]),
    ("malformed", lambda: [message().to_bytes() + b"\0"]),
    ("malformed", lambda: [message().to_bytes()[:-1]]),
    ("malformed", lambda: [b"\2" + message().to_bytes()[1:]]),
    ("malformed", lambda: [message().to_bytes()[:1] + b"\xee" + message().to_bytes()[2:]]),
    ("malformed", lambda: [batch_signing_hash([message().digest])]),
    ("malformed", lambda: [message().digest]),
    ("malformed", list),
    ("duplicate", lambda: [message().to_bytes()] * 2),
    ("duplicate", lambda: [message().to_bytes(), message(payload=b"other").to_bytes()]),
    ("kind", lambda: [message().to_bytes(), evm_request().to_bytes()]),
]


@pytest.mark.parametrize(("rule", "bodies"), REFUSED, ids=[f"{i}-{rule}" for i, (rule, _) in enumerate(REFUSED)])
async def test_rules__what_the_configuration_does_not_name__is_refused_counted_and_logged(
    tmp_path: Path, rule: str, bodies: Callable[[], list[bytes]]
) -> None:
    with bench(tmp_path) as made, capture_logs() as logs:
        with pytest.raises(RuleRefused) as caught:
            await made.service.commit(Identifier(2), os.urandom(16), bodies())
        assert caught.value.rule == rule
        assert made.service.counters()[f"refused_{rule}"] == 1
        assert [entry["reason"] for entry in logs if entry["event"] == "signer_refused"] == [rule]
        assert made.service.pending == 0, "no nonces are made for what is refused"
        assert len(made.ledger) == 0


async def test_rules__what_the_configuration_names__is_signed_as_the_bodies_say(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        batch = [
            message(1),
            message(2),
            message(2, origin=SOLANA, destination=EVM, sender=seeded("s"), recipient=EVM.gateway),
        ]
        session, own = await made.commit(*batch)
        others = [signing.commit(share, os.urandom(64)).commitment for share in SHARES[1:3]]
        request = ShareRequest(session, (own, *others)).to_bytes()
        reply = ShareReply.from_bytes(await made.service.sign(Identifier(2), request))
        signed = batch_signing_hash([entry.digest for entry in batch])
        package = signing.prepare(SHARES[0].public, signed, [own, *others])
        assert signing.verify_share(package, reply.share)
        assert made.service.counters() == {"commitments": 1, "shares": 1, "messages": 3, "pending": 0, "ledger": 3}


async def test_rules__coordinator_outside_the_committee__is_refused(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        with pytest.raises(RuleRefused, match="Coordinator 5"):
            await made.commit(message(), coordinator=5)
        assert made.service.counters()["refused_coordinator"] == 1


async def test_rules__more_sessions_than_the_rate__are_busy_until_time_passes(tmp_path: Path) -> None:
    with bench(tmp_path, sessions_per_second=2.0, burst=3) as made:
        for sequence in range(1, 4):
            await made.commit(message(sequence))
        with pytest.raises(Busy, match="rate"):
            await made.commit(message(4))
        made.clock.now += 0.6
        await made.commit(message(4))
        with pytest.raises(Busy):
            await made.commit(message(5))
        made.clock.now += 1e6
        for sequence in range(5, 8):
            await made.commit(message(sequence))
        with pytest.raises(Busy):
            await made.commit(message(9))
        assert made.service.counters()["refused_busy"] == 3


async def test_rules__batch_that_is_asked_for_again__is_judged_once_and_few_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.frost.signer_service.MAX_KNOWN", 5)
    with bench(tmp_path) as made:
        judged: list[int] = []
        real = made.service._rules.approve

        def approve(bodies: list[bytes]) -> object:
            judged.append(len(bodies))
            return real(bodies)

        made.service._rules.approve = approve  # type: ignore[method-assign,assignment]
        for _ in range(3):
            await made.commit(message(1), message(2))
        assert judged == [2]
        await made.commit(message(2), message(1))  # another order is another batch
        await made.commit(message(3), message(4))
        await made.commit(message(1), message(2))
        assert judged == [2, 2, 2, 2]
        for _ in range(2):
            with pytest.raises(RuleRefused):
                await made.service.commit(Identifier(2), os.urandom(16), [evm_request().to_bytes()])
        assert judged[4:] == [1, 1], "a refusal is not remembered"


# ---- one body for each place


async def test_ledger__second_body_for_a_place__is_refused_at_the_commitment(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        await made.signed(message(1, b"true"), message(2))
        for changed in (
            message(1, b"false"),
            message(1, b"true", expiry=UnixSeconds(5)),
            message(1, b"true", sender=EVM.gateway),
        ):
            with pytest.raises(Conflict, match="another body"):
                await made.commit(message(3), changed)
        assert made.service.counters()["refused_conflict"] == 3
        await made.signed(message(1, b"true"), message(3))  # the same body again is fine, in another batch too
        assert len(made.ledger) == 3


async def test_ledger__other_places__do_not_conflict(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        way_back = message(1, origin=SOLANA, destination=EVM, sender=seeded("s"), recipient=EVM.gateway)
        for other in (message(1), message(2), way_back, message(1, destination=EVM, recipient=EVM.gateway)):
            await made.signed(other)
        result = replace(message(1), kind=Kind.INFERENCE_RESULT)
        await made.signed(result)
        assert len(made.ledger) == 5


async def test_ledger__two_bodies_committed_to__the_first_share_wins(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        true, false = await made.commit(message(1, b"true")), await made.commit(message(1, b"false"), coordinator=3)
        await made.share(*true)
        with pytest.raises(Conflict):
            await made.share(*false, coordinator=3)
        with pytest.raises(NonceSpent):
            await made.share(*false, coordinator=3)
        assert made.service.pending == 0


async def test_ledger__following_session__is_of_the_same_batch(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        session, own = await made.commit(message(1))
        following = os.urandom(16)
        reply = await made.share(session, own, following=following)
        assert reply.following is not None
        await made.share(following, reply.following)
        with pytest.raises(NonceSpent):
            await made.share(following, reply.following)
        assert len(made.ledger) == 1


async def test_ledger__after_a_restart__remembers_and_refuses(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        await made.signed(message(1, b"true"))
        open_session, own = await made.commit(message(2))
    with bench(tmp_path) as made:
        with pytest.raises(Conflict):
            await made.commit(message(1, b"false"))
        await made.signed(message(1, b"true"))
        with pytest.raises(NonceSpent, match="died with its process"):
            await made.share(open_session, own)


class FullDisk:
    """A connection whose commits fail as on a full disk."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def execute(self, statement: str, *rest: object) -> object:
        if statement == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self._real.execute(statement, *rest)  # type: ignore[arg-type]


async def test_ledger__that_cannot_be_written__no_share_leaves(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        session, own = await made.commit(message(1))
        real = made.ledger._writer
        made.ledger._writer = FullDisk(real)  # type: ignore[assignment]
        with pytest.raises(LedgerError, match="disk is full"):
            await made.share(session, own)
        made.ledger._writer = real
        with pytest.raises(NonceSpent):
            await made.share(session, own)
        assert len(made.ledger) == 0
        await made.signed(message(1, b"another, since nothing was signed"))


async def test_ledger__written_before_the_share__is_there_when_signing_fails(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        answer = made.service._signer.answer_share

        async def watched(peer: int, body: bytes) -> bytes:
            assert len(made.ledger) == 1, "the ledger comes first"
            await answer(peer, body)
            raise NonceSpent("the signer fails after it used the nonces")

        made.service._signer.answer_share = watched  # type: ignore[method-assign]
        with pytest.raises(NonceSpent):
            await made.signed(message(1, b"true"))
        made.service._signer.answer_share = answer  # type: ignore[method-assign]
        with pytest.raises(Conflict):
            await made.commit(message(1, b"false"))


def entries(number: int, payload: bytes = b"") -> list[Entry]:
    return [Entry.of(made, made.to_bytes()) for made in (message(i, payload) for i in range(1, number + 1))]


async def test_ledger__large_batches__are_recorded_whole_or_not_at_all(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "l.sqlite", KEY)) as ledger:
        assert await ledger.record(entries(1024)) == 1024
        assert await ledger.record(entries(1024)) == 0
        mixed = [*entries(2000)[1024:], entries(1, b"other")[0]]
        with pytest.raises(Conflict):
            await ledger.record(mixed)
        assert len(ledger) == 1024


async def test_ledger__many_at_once__share_a_write_and_a_conflict_costs_the_others_nothing(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "l.sqlite", KEY)) as ledger:
        writes: list[int] = []
        real = ledger._write

        def counted(batches: list[list[Entry]]) -> object:
            writes.append(len(batches))
            return real(batches)

        ledger._write = counted  # type: ignore[method-assign,assignment]
        each = [[entry] for entry in entries(20)]
        # Two bodies for place 1 wait together, neither of them on disk: one of them wins.
        asked = [
            ledger.record(batch) for batch in (each[0], [entries(1, b"other")[0], entries(30)[29]], *each[1:], each[4])
        ]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(results[1], Conflict)
        assert [result for i, result in enumerate(results) if i != 1] == [1] * 20 + [0]
        assert len(ledger) == 20, "and of the refused batch nothing"
        assert sum(writes) == 22
        assert len(writes) <= 2


async def test_ledger__asker_that_is_gone__does_not_stop_the_others(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "l.sqlite", KEY)) as ledger:
        asked = [asyncio.ensure_future(ledger.record([entry])) for entry in entries(6)]
        await asyncio.sleep(0)
        asked[0].cancel()
        asked[3].cancel()
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [results[i] for i in (1, 2, 4, 5)] == [1, 1, 1, 1]


async def test_ledger__asked_for_one_share_twice_at_once__gives_one(tmp_path: Path) -> None:
    """The second request arrives while the first waits for the disk; it must neither be served nor harm the first."""
    with bench(tmp_path) as made:
        session, own = await made.commit(message(1))
        replies = await asyncio.gather(*(made.share(session, own) for _ in range(4)), return_exceptions=True)
        assert [isinstance(reply, ShareReply) for reply in replies] == [True, False, False, False]
        assert all(isinstance(reply, NonceSpent) for reply in replies[1:])


async def test_ledger__session_id_taken_for_another_body_while_the_first_waits_for_the_disk__no_second_body_is_signed(
    tmp_path: Path,
) -> None:
    """A node that was taken over chooses session ids and coordinators, and can evict nonces by asking for more of them."""
    with bench(tmp_path, limits=SignerLimits(pending_per_peer=1)) as made:
        session = os.urandom(16)

        async def commit(payload: bytes, *, session: bytes) -> NonceCommitment:
            return (await made.service.commit(Identifier(2), session, [message(1, payload).to_bytes()])).commitment

        first = await commit(b"true", session=session)
        at_disk, go_on, record = asyncio.Event(), asyncio.Event(), made.ledger.record

        async def slow(recorded: Sequence[Entry]) -> int:
            at_disk.set()
            await go_on.wait()
            return await record(recorded)

        made.ledger.record = slow  # type: ignore[method-assign]
        asked = asyncio.ensure_future(made.share(session, first))
        await at_disk.wait()
        await commit(b"another", session=os.urandom(16))  # evicts the nonces that the share waits with
        second = await commit(b"false", session=session)
        go_on.set()
        with pytest.raises(NotAuthorised, match="another batch than the one that was recorded"):
            await asked
        with pytest.raises((Conflict, NonceSpent)):
            await made.share(session, second)
        assert made.ledger.check(entries(1, b"true")) == []


async def test_ledger__other_body_for_a_session_that_waits__with_the_commitment_of_the_new_nonces__is_not_signed_either(
    tmp_path: Path,
) -> None:
    """As above, and the request for the share lists the commitment that the other body's nonces will have."""
    with bench(tmp_path, limits=SignerLimits(pending_per_peer=1)) as made:
        session = os.urandom(16)
        true, false = ([message(1, payload).to_bytes()] for payload in (b"true", b"false"))
        await made.service.commit(Identifier(2), session, true)
        held = made.service._held[2, session]
        made.service.forget(Identifier(2), [session])
        second = (await made.service.commit(Identifier(2), session, false)).commitment
        made.service._held[2, session] = held  # what the race leaves behind: the one batch recorded, the other's nonces
        with pytest.raises(NotAuthorised, match="another batch"):
            await made.share(session, second)
        with pytest.raises(NonceSpent):
            await made.share(session, second)


async def test_ledger__two_bodies_asked_for_at_once__one_share(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        first = await made.commit(message(1, b"true"))
        second = await made.commit(message(1, b"false"), coordinator=3)
        replies = await asyncio.gather(made.share(*first), made.share(*second, coordinator=3), return_exceptions=True)
        assert sum(isinstance(reply, ShareReply) for reply in replies) == 1
        assert sum(isinstance(reply, Conflict) for reply in replies) == 1
        assert made.service.pending == 0


async def test_ledger__file__is_private_exclusive_and_of_one_key(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    with closing(Ledger(path, KEY)) as ledger:
        await ledger.record(entries(1))
        for entry in tmp_path.iterdir():
            assert entry.stat().st_mode & 0o777 == 0o600, entry
        with pytest.raises(LedgerError, match="in use by another signer"):
            Ledger(path, KEY)
    with pytest.raises(LedgerError, match="another group key"):
        Ledger(path, deal(4, 3, os.urandom)[0].public.group_public_key.to_bytes())
    path.chmod(0o644)
    with pytest.raises(KeystoreError, match="chmod 600"):
        Ledger(path, KEY)
    path.chmod(0o600)
    with closing(Ledger(path, KEY)) as ledger:
        assert len(ledger) == 1


def test_ledger__damaged_or_foreign_file__is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    path.touch(mode=0o600)
    path.write_bytes(b"not a ledger at all" * 500)
    with pytest.raises(LedgerError, match=r"is damaged.*sign a second body"):
        Ledger(path, KEY)
    assert path.read_bytes().startswith(b"not a ledger")
    with pytest.raises(LedgerError, match="cannot be"):
        Ledger(tmp_path / "absent" / "l.sqlite", KEY)


def test_ledger__another_version__is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.sqlite"
    Ledger(path, KEY).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE meta SET value = '3' WHERE name = 'schema'")
        db.commit()
    with pytest.raises(LedgerError, match="another version"):
        Ledger(path, KEY)


async def test_service__closed__wipes_the_share(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        await made.commit(message(1))
        share = made.service.share.signing_share
    assert share.wiped
    assert made.service.pending == 0


async def test_service__old_sessions__are_forgotten(tmp_path: Path) -> None:
    with bench(tmp_path, limits=SignerLimits(nonce_seconds=10)) as made:
        old, own = await made.commit(message(1))
        made.clock.now += 11
        await made.commit(message(2))
        with pytest.raises(NonceSpent):
            await made.share(old, own)
        assert made.service.pending == 1


async def test_service__too_many_messages_held__the_oldest_sessions_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.frost.signer_service.MAX_HELD", 5)
    with bench(tmp_path) as made:
        first = await made.commit(message(1), message(2), message(3))
        second = await made.commit(message(4), message(5), message(6))
        with pytest.raises(NonceSpent):
            await made.share(*first)
        await made.share(*second)


# ---- the configuration


WRONG: list[tuple[str, object, str]] = [
    ("identifier", "1", "identifier"),
    ("identifier", None, "identifier"),
    ("group_key", "0x02", "group_key"),
    ("kinds", [], "kinds"),
    ("kinds", ["everything"], "everything is no kind of message"),
    ("kinds", ["MESSAGE"], "MESSAGE is no kind"),
    ("origins", [], "origins"),
    ("origins", ["eip155:0:0x" + "11" * 20], "is no gateway"),
    ("origins", ["eip155:1:0x" + "11" * 32], "is no gateway"),
    ("origins", ["*"], "is no gateway"),
    ("destinations", ["solana:0x11:0x" + "11" * 32], "is no gateway"),
    ("destinations", ["cosmos:1:0x" + "11" * 20], "is no gateway"),
    ("destinations", None, "destinations"),
    ("devnet", "yes", "devnet"),
    ("sessions_per_second", 0.0, "sessions_per_second"),
    ("burst", 0, "burst"),
    ("passphrase", "in the open", "passphrase"),
    ("passphrase_env", "A B", "passphrase_env"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG, ids=[f"{k}={v}"[:40] for k, v, _ in WRONG])
def test_config__mistake__is_named(tmp_path: Path, key: str, value: object, said: str) -> None:
    with pytest.raises(ConfigError, match=r"signer\.toml is not usable") as caught:
        config(tmp_path, **{key: value})
    assert said in str(caught.value)


def test_config__both_passphrases_or_writable_by_others_or_gone__is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not both"):
        config(tmp_path, passphrase_file="p", passphrase_env="P")
    config(tmp_path)
    (tmp_path / "signer.toml").chmod(0o620)
    with pytest.raises(ConfigError, match="can be written by others"):
        load_signer_config(tmp_path / "signer.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_signer_config(tmp_path / "none.toml")
    (tmp_path / "signer.toml").chmod(0o600)
    (tmp_path / "signer.toml").write_text("kinds = [")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_signer_config(tmp_path / "signer.toml")


def test_config__paths__are_relative_to_the_file(tmp_path: Path) -> None:
    made = config(tmp_path, passphrase_file="../p")
    assert made.key_share == tmp_path / "share.json"
    assert made.socket == tmp_path / "run" / "signer.sock"
    assert made.passphrase.file == tmp_path / ".." / "p"


@pytest.mark.parametrize("where", [EVM, SOLANA, OTHER_CHAIN], ids=str)
def test_config__gateway__is_written_as_it_is_read(where: Endpoint) -> None:
    assert endpoint(endpoint_text(where)) == where


def test_entry__place__is_kind_origin_destination_sequence() -> None:
    one = Entry.of(message(7), message(7).to_bytes())
    assert len(one.place) == 1 + 66 + 66 + 8
    assert one.place[-8:] == MessageSequence(7).to_bytes(8)
    assert one.digest == message(7).digest
