"""Instruction data and accounts, byte for byte as PROTOCOL.md §7 lists them."""

import struct
from dataclasses import replace

import pytest
from solders.instruction import Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM

from bridges.solana import instructions
from bridges.solana.instructions import Envelope, GroupKey, HomeRequest
from bridges.solana.layout import UPGRADEABLE_LOADER, ModelAccount, ProgramAddresses
from oracle.protocol.errors import EncodeError
from oracle.protocol.message import InferenceRequest, Outcome, encode_endpoint, result_messages
from oracle.protocol.types import Account, CommitteeEpoch, Digest, Policy, Status, UnixSeconds
from tests.support import samples
from tests.support.samples import seeded
from tests.support.schnorr import SchnorrKey

AT = ProgramAddresses(Pubkey(samples.SOLANA.gateway))
PAYER = Pubkey(seeded("payer"))
TREASURY = Pubkey(seeded("treasury"))
KEY = SchnorrKey.seeded("group")
GROUP_KEY = GroupKey(CommitteeEpoch(1), KEY.px.to_bytes(32), KEY.parity, KEY.proof_of_possession())
SIGNATURE = KEY.sign(b"anything")


def roles(step: Instruction) -> list[tuple[Pubkey, str]]:
    assert step.program_id == AT.program
    return [(meta.pubkey, "w" * meta.is_writable + "s" * meta.is_signer) for meta in step.accounts]


def test_instructions__initialise__matches_the_specification() -> None:
    step = instructions.initialise(AT, PAYER, seeded("genesis"), TREASURY, GROUP_KEY, 7200)
    committee = AT.committee(CommitteeEpoch(1))
    head = struct.pack("<BBBI", 0, AT.config.bump, committee.bump, 7200)
    assert (
        step.data
        == head
        + seeded("genesis")
        + bytes(TREASURY)
        + bytes([KEY.parity])
        + GROUP_KEY.x
        + GROUP_KEY.proof_of_possession
    )
    program_data = Pubkey.find_program_address([bytes(AT.program)], UPGRADEABLE_LOADER)[0]
    assert roles(step) == [
        (PAYER, "ws"),
        (AT.config.address, "w"),
        (committee.address, "w"),
        (program_data, ""),
        (SYSTEM, ""),
    ]


def test_instructions__set_committee__matches_the_specification() -> None:
    key = GroupKey(CommitteeEpoch(2), GROUP_KEY.x, 0, KEY.proof_of_possession(2))
    step = instructions.set_committee(AT, PAYER, key, 99)
    new, previous = AT.committee(CommitteeEpoch(2)), AT.committee(CommitteeEpoch(1))
    assert step.data == struct.pack("<BBIIB", 1, new.bump, 2, 99, 0) + key.x + key.proof_of_possession
    assert roles(step) == [
        (PAYER, "ws"),
        (AT.config.address, "w"),
        (previous.address, "w"),
        (new.address, "w"),
        (SYSTEM, ""),
    ]


def test_instructions__rotate_and_veto__match_the_specification() -> None:
    post = samples.rotation_post(epoch=7)
    message = replace(post, destination=samples.SOLANA, recipient=samples.SOLANA.gateway)
    step = instructions.rotate(AT, PAYER, message, TREASURY)
    new, previous = AT.committee(CommitteeEpoch(7)), AT.committee(CommitteeEpoch(6)).address
    assert step.data == bytes([10, new.bump])
    assert roles(step) == [
        (PAYER, "ws"),
        (AT.config.address, "w"),
        (AT.inbox(message.digest).address, "w"),
        (TREASURY, "w"),
        (previous, "w"),
        (new.address, "w"),
        (SYSTEM, ""),
    ]
    step = instructions.veto(AT, PAYER, CommitteeEpoch(7), TREASURY)
    assert (step.data, roles(step)) == (
        b"\x0b",
        [(PAYER, "s"), (AT.config.address, "w"), (previous, "w"), (new.address, "w"), (TREASURY, "w")],
    )
    with pytest.raises(EncodeError, match="brings no committee"):
        instructions.rotate(AT, PAYER, samples.plain_message(), TREASURY)
    with pytest.raises(EncodeError, match="epoch 2"):
        instructions.rotate(AT, PAYER, samples.rotation_post(epoch=1), TREASURY)
    with pytest.raises(EncodeError, match="first committee"):
        instructions.veto(AT, PAYER, CommitteeEpoch(1), TREASURY)


def test_instructions__register_model_and_peer__match_the_specification() -> None:
    model = ModelAccount(samples.MODEL, 30, 1, 13, 26, 1 << 40, 5_000, active=True)
    step, pda = instructions.register_model(AT, PAYER, model), AT.model(samples.MODEL)
    facts = bytes([2, pda.bump]) + samples.MODEL + struct.pack("<HHBBQQB", 30, 1, 13, 26, 1 << 40, 5_000, 1)
    assert step.data == facts + bytes(64)
    proven = replace(model, verifier=TREASURY, verifying_key=PAYER)
    assert instructions.register_model(AT, PAYER, proven).data == facts + bytes(TREASURY) + bytes(PAYER)
    assert roles(step) == [(PAYER, "ws"), (AT.config.address, ""), (pda.address, "w"), (SYSTEM, "")]
    step, pda = instructions.register_peer(AT, PAYER, samples.EVM, active=False), AT.peer(samples.EVM)
    assert step.data == bytes([3, pda.bump, 0]) + encode_endpoint(samples.EVM)
    assert roles(step) == [(PAYER, "ws"), (AT.config.address, ""), (pda.address, "w"), (SYSTEM, "")]


def test_instructions__send__matches_the_specification() -> None:
    step = instructions.send(AT, PAYER, 7, samples.EVM, samples.CONSUMER, b"payload")
    outbox = AT.outbox(7)
    place = samples.EVM.chain.reference + samples.EVM.gateway + samples.CONSUMER
    assert step.data == struct.pack("<BBQQH", 4, outbox.bump, 7, 0, 0) + place + struct.pack("<H", 7) + b"payload"
    peer = AT.peer(samples.EVM).address
    assert roles(step) == [(PAYER, "ws"), (AT.config.address, "w"), (outbox.address, "w"), (peer, ""), (SYSTEM, "")]
    expiring = instructions.send(AT, PAYER, 7, samples.EVM, samples.CONSUMER, b"payload", UnixSeconds(99))
    assert expiring.data == struct.pack("<BBQQH", 4, outbox.bump, 7, 99, 0) + bytes(step.data[20:])


def test_instructions__request__matches_the_specification() -> None:
    asked = InferenceRequest(samples.MODEL, 10, 20, Policy.ATTESTED, (samples.TO_SOLANA,), (1, -2))
    step = instructions.request(AT, PAYER, 9, UnixSeconds(30), asked)
    outbox = AT.outbox(9)
    expected = struct.pack("<BBQ", 5, outbox.bump, 9) + samples.MODEL + struct.pack("<QQIBB", 10, 30, 20, 1, 1)
    expected += samples.TO_SOLANA.to_bytes() + struct.pack("<H", 2) + struct.pack(">qq", 1, -2)
    assert step.data == expected
    model = AT.model(samples.MODEL).address
    assert roles(step) == [(PAYER, "ws"), (AT.config.address, "w"), (model, ""), (outbox.address, "w"), (SYSTEM, "")]


def test_instructions__deliver_from_a_peer__matches_the_specification() -> None:
    message, node = samples.plain_message(sequence=1030), seeded("sibling")
    step = instructions.deliver(AT, PAYER, message, Envelope(CommitteeEpoch(3), SIGNATURE, (node,)), None)
    inbox, replay, body = AT.inbox(message.digest), AT.replay(samples.EVM, 1030), message.to_bytes()
    head = b"\x06" + struct.pack("<I", 3) + SIGNATURE + bytes([inbox.bump, replay.bump, 1]) + node
    assert step.data == head + struct.pack("<H", len(body)) + body
    assert roles(step) == [
        (PAYER, "ws"),
        (AT.config.address, ""),
        (AT.committee(CommitteeEpoch(3)).address, ""),
        (AT.peer(samples.EVM).address, ""),
        (replay.address, "w"),
        (inbox.address, "w"),
        (SYSTEM, ""),
    ]


def test_instructions__deliver_of_an_own_result__adds_the_request_and_who_is_paid() -> None:
    request = replace(
        samples.evm_request(remotes=(), policy=Policy.ATTESTED),
        origin=samples.SOLANA,
        destination=samples.SOLANA,
        sender=Account(bytes(PAYER)),
        recipient=samples.SOLANA.gateway,
    )
    result = result_messages(request, Outcome(Status.ANSWERED, (1,), 2))[0]
    envelope = Envelope(CommitteeEpoch(1), SIGNATURE)
    step = instructions.deliver(AT, PAYER, result, envelope, HomeRequest(TREASURY, PAYER))
    assert roles(step)[3] == (AT.config.address, "")
    assert roles(step)[7:] == [(AT.outbox(1).address, "w"), (TREASURY, "w"), (PAYER, "w")]
    with pytest.raises(EncodeError):
        instructions.deliver(AT, PAYER, result, envelope, None)
    with pytest.raises(EncodeError):
        instructions.deliver(AT, PAYER, samples.plain_message(), envelope, HomeRequest(TREASURY, PAYER))


def test_instructions__close_and_refund__match_the_specification() -> None:
    digest = Digest(seeded("digest"))
    step = instructions.close_inbox(AT, PAYER, digest, TREASURY)
    assert (step.data, roles(step)) == (b"\x07", [(PAYER, "s"), (AT.inbox(digest).address, "w"), (TREASURY, "w")])
    outbox = AT.outbox(4).address
    step = instructions.close_outbox(AT, 4, PAYER, signed=True)
    assert (step.data, roles(step)) == (b"\x08", [(outbox, "w"), (PAYER, "ws")])
    assert roles(instructions.close_outbox(AT, 4, PAYER, signed=False)) == [(outbox, "w"), (PAYER, "w")]
    step = instructions.refund(AT, 4, PAYER)
    assert (step.data, roles(step)) == (b"\x09", [(outbox, "w"), (PAYER, "w")])


def test_instructions__values_that_do_not_fit__are_refused() -> None:
    asked = InferenceRequest(samples.MODEL, 1 << 64, 0, Policy.ATTESTED, (), (1,))
    with pytest.raises(EncodeError, match="fee"):
        instructions.request(AT, PAYER, 1, UnixSeconds(1), asked)
    with pytest.raises(EncodeError, match="payload"):
        instructions.send(AT, PAYER, 1, samples.EVM, samples.CONSUMER, bytes(16385))
    with pytest.raises(EncodeError, match="16352"):
        instructions.send(AT, PAYER, 1, samples.EVM, samples.CONSUMER, bytes(16353), UnixSeconds(9))
    with pytest.raises(EncodeError, match="signature"):
        instructions.deliver(AT, PAYER, samples.plain_message(), Envelope(CommitteeEpoch(1), bytes(64)), None)
    with pytest.raises(EncodeError, match="branch"):
        instructions.deliver(
            AT, PAYER, samples.plain_message(), Envelope(CommitteeEpoch(1), SIGNATURE, (seeded("node"),) * 17), None
        )
    with pytest.raises(EncodeError, match="group key"):
        GroupKey(CommitteeEpoch(1), bytes(32), 2, bytes(65))
    with pytest.raises(EncodeError, match="epoch 1"):
        instructions.initialise(AT, PAYER, bytes(32), TREASURY, GroupKey(CommitteeEpoch(2), bytes(32), 0, bytes(65)), 0)


def test_instructions__group_key_of_a_compressed_point__is_its_x_and_parity() -> None:
    proof = KEY.proof_of_possession()
    assert GroupKey.of(CommitteeEpoch(1), KEY.public, proof) == GROUP_KEY
    for wrong in (KEY.public[1:], b"\4" + KEY.public[1:], KEY.public + b"\0"):
        with pytest.raises(EncodeError, match="compressed"):
            GroupKey.of(CommitteeEpoch(1), wrong, proof)
