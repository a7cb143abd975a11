"""Decoders of the Solana program's accounts take exactly what the program writes."""

import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from bridges.solana.layout import (
    AccountData,
    CommitteeAccount,
    ConfigAccount,
    InboxAccount,
    ModelAccount,
    OutboxAccount,
    OutboxState,
    PeerAccount,
    ProgramAddresses,
    ReplayAccount,
)
from oracle.protocol.errors import DecodeError, EncodeError
from oracle.protocol.message import Message, Outcome, encode_endpoint, origin_hash, result_messages
from oracle.protocol.types import Account, CommitteeEpoch, Digest, Sequence, Status, UnixSeconds
from tests.support import samples
from tests.support.samples import seeded

PROGRAM = Pubkey(samples.SOLANA.gateway)
PAYER = seeded("payer")


def outbox_message() -> Message:
    """A message that the sample program posted."""
    return replace(
        samples.plain_message(),
        origin=samples.SOLANA,
        destination=samples.EVM,
        sender=Account(PAYER),
        recipient=samples.CONSUMER,
    )


def outbox_bytes(message: Message, state: int = 1, fee: int = 0) -> bytes:
    body = message.to_bytes()
    head = struct.pack("<BBBBIQQQ", 5, 1, 254, state, len(body), message.sequence, fee, message.expiry)
    return head + message.sender + message.digest + body


def inbox_bytes(message: Message) -> bytes:
    body = message.to_bytes()
    head = struct.pack("<BBBBIQI4x", 6, 1, 254, message.kind, len(body), 1_900_000_000, 1)
    return head + PAYER + message.digest + body


CONFIG = (
    struct.pack("<BBBBIQIi", 1, 1, 255, 0, 3, 42, 9, 0) + seeded("authority") + seeded("treasury") + seeded("genesis")
)
COMMITTEE = struct.pack("<BBBBIQQ", 2, 1, 255, 1, 3, 55, 77) + seeded("x")
MODEL = (
    struct.pack("<BBBBHHBB6xQQ", 3, 1, 255, 1, 30, 1, 13, 26, 1 << 40, 5_000)
    + samples.MODEL
    + seeded("v")
    + seeded("k")
)
PEER = struct.pack("<BBBBH", 4, 1, 255, 1, 0) + encode_endpoint(samples.EVM)
OUTBOX = outbox_bytes(outbox_message())
INBOX = inbox_bytes(samples.plain_message())
REPLAY = struct.pack("<BBB5xQ", 7, 1, 255, 2) + b"\x01" + bytes(126) + b"\x80"

Decoder = Callable[[AccountData, Pubkey], object]
ALL: list[tuple[str, Decoder, bytes]] = [
    ("config", ConfigAccount.decode, CONFIG),
    ("committee", CommitteeAccount.decode, COMMITTEE),
    ("model", ModelAccount.decode, MODEL),
    ("peer", PeerAccount.decode, PEER),
    ("outbox", OutboxAccount.decode, OUTBOX),
    ("inbox", InboxAccount.decode, INBOX),
    ("replay", ReplayAccount.decode, REPLAY),
]
every = pytest.mark.parametrize(("decode", "data"), [case[1:] for case in ALL], ids=[case[0] for case in ALL])


def owned(data: bytes, owner: Pubkey = PROGRAM) -> AccountData:
    return AccountData(owner, 1, data)


def test_layout__each_account__decodes_to_its_fields() -> None:
    config = ConfigAccount.decode(owned(CONFIG), PROGRAM)
    assert (config.current_epoch, config.next_sequence, config.activation_delay) == (3, 42, 9)
    assert bytes(config.authority) + bytes(config.treasury) == seeded("authority") + seeded("treasury")
    assert config.chain_reference == seeded("genesis")
    committee = CommitteeAccount.decode(owned(COMMITTEE), PROGRAM)
    assert committee == CommitteeAccount(CommitteeEpoch(3), UnixSeconds(55), UnixSeconds(77), seeded("x"), 1)
    model = ModelAccount.decode(owned(MODEL), PROGRAM)
    verifier, key = Pubkey(seeded("v")), Pubkey(seeded("k"))
    assert model == ModelAccount(samples.MODEL, 30, 1, 13, 26, 1 << 40, 5_000, True, verifier, key)
    assert model.provable
    assert PeerAccount.decode(owned(PEER), PROGRAM) == PeerAccount(samples.EVM, active=True)
    outbox = OutboxAccount.decode(owned(OUTBOX), PROGRAM)
    assert (outbox.state, outbox.message, outbox.digest) == (
        OutboxState.POSTED,
        outbox_message(),
        outbox_message().digest,
    )
    inbox = InboxAccount.decode(owned(INBOX), PROGRAM)
    assert (inbox.delivered_at, inbox.epoch, bytes(inbox.payer)) == (1_900_000_000, 1, PAYER)
    assert inbox.message == samples.plain_message()
    assert inbox.result is None


def test_layout__inbox_of_a_result__gives_the_answer() -> None:
    result = result_messages(samples.evm_request(), Outcome(Status.ANSWERED, (-7, 9), 12))[1]
    decoded = InboxAccount.decode(owned(inbox_bytes(result)), PROGRAM).result
    assert decoded is not None
    assert (decoded.outputs, decoded.output_scale) == ((-7, 9), 12)
    assert decoded.request_id == samples.evm_request().digest


@every
def test_layout__account_of_another_owner__is_refused(decode: Decoder, data: bytes) -> None:
    with pytest.raises(DecodeError, match="belongs to"):
        decode(owned(data, Pubkey(seeded("attacker"))), PROGRAM)


@every
def test_layout__other_length__is_refused(decode: Decoder, data: bytes) -> None:
    for wrong in (b"", data[:1], data[:-1], data + b"\0"):
        with pytest.raises(DecodeError):
            decode(owned(wrong), PROGRAM)


@every
def test_layout__other_type_or_version_byte__is_refused(decode: Decoder, data: bytes) -> None:
    for wrong in (bytes([data[0] % 7 + 1]) + data[1:], b"\0" + data[1:], data[:1] + b"\2" + data[2:]):
        with pytest.raises(DecodeError, match=r"type byte|layout version"):
            decode(owned(wrong), PROGRAM)


@pytest.mark.parametrize(
    ("decode", "data", "offset"),
    [
        (ConfigAccount.decode, CONFIG, 3),
        (ConfigAccount.decode, CONFIG, 20),
        (ModelAccount.decode, MODEL, 15),
        (PeerAccount.decode, PEER, 4),
        (InboxAccount.decode, INBOX, 23),
        (ReplayAccount.decode, REPLAY, 7),
    ],
)
def test_layout__reserved_bytes_that_are_not_zero__are_refused(decode: Decoder, data: bytes, offset: int) -> None:
    with pytest.raises(DecodeError, match="reserved"):
        decode(owned(data[:offset] + b"\1" + data[offset + 1 :]), PROGRAM)


@pytest.mark.parametrize(
    ("start", "stop", "complaint"),
    [
        (3, 4, "state"),
        (8, 9, "sequence"),
        (24, 25, "expiry"),
        (32, 33, "sender"),
        (64, 65, "digest"),
        (96 + 216, 96 + 217, "digest"),
    ],
)
def test_layout__outbox_that_contradicts_its_body__is_refused(start: int, stop: int, complaint: str) -> None:
    doctored = OUTBOX[:start] + bytes(byte ^ 0x40 for byte in OUTBOX[start:stop]) + OUTBOX[stop:]
    with pytest.raises(DecodeError, match=complaint):
        OutboxAccount.decode(owned(doctored), PROGRAM)


def test_layout__outbox_state_that_does_not_fit_its_kind__is_refused() -> None:
    with pytest.raises(DecodeError, match="does not hold"):
        OutboxAccount.decode(owned(outbox_bytes(outbox_message(), state=2)), PROGRAM)


def test_layout__inbox_of_another_kind_than_its_body__is_refused() -> None:
    with pytest.raises(DecodeError, match="kind"):
        InboxAccount.decode(owned(INBOX[:3] + b"\3" + INBOX[4:]), PROGRAM)


def test_layout__replay_bitmap__answers_for_its_window_alone() -> None:
    replay = ReplayAccount.decode(owned(REPLAY), PROGRAM)
    assert replay.delivered(Sequence(2048))
    assert replay.delivered(Sequence(3071))
    assert not replay.delivered(Sequence(2049))
    for outside in (2047, 3072):
        with pytest.raises(DecodeError, match="not in window"):
            replay.delivered(Sequence(outside))


@given(st.binary(max_size=400), st.sampled_from([case[1] for case in ALL]), st.sampled_from([case[2] for case in ALL]))
def test_layout__any_bytes__raise_only_decode_errors(noise: bytes, decode: Decoder, data: bytes) -> None:
    for candidate in (noise, data[:2] + noise, data[: len(data) // 2] + noise):
        try:
            decode(owned(candidate), PROGRAM)
        except DecodeError:
            continue


def test_layout__lamports_sent_to_an_empty_address__do_not_make_an_account() -> None:
    assert AccountData(SYSTEM_PROGRAM, 890_880, b"").vacant
    assert not AccountData(SYSTEM_PROGRAM, 1, b"\0").vacant
    assert not AccountData(PROGRAM, 1, b"").vacant


def test_layout__addresses__are_derived_from_the_specified_seeds() -> None:
    at = ProgramAddresses(PROGRAM)
    digest = Digest(seeded("digest"))
    expected = [
        (at.config, [b"config"]),
        (at.committee(CommitteeEpoch(5)), [b"committee", b"\x05\0\0\0"]),
        (at.model(samples.MODEL), [b"model", samples.MODEL]),
        (at.peer(samples.EVM), [b"peer", origin_hash(samples.EVM)]),
        (at.outbox(258), [b"outbox", b"\x02\x01" + bytes(6)]),
        (at.inbox(digest), [b"inbox", digest]),
        (at.replay(samples.EVM, 2048), [b"replay", origin_hash(samples.EVM), b"\x02" + bytes(7)]),
    ]
    for pda, seeds in expected:
        assert Pubkey.create_program_address([*seeds, bytes([pda.bump])], PROGRAM) == pda.address
    assert at.replay(samples.EVM, 2047).address != at.replay(samples.EVM, 2048).address
    with pytest.raises(EncodeError):
        at.outbox(1 << 64)
