"""The shared vectors, as Python reads them. Solidity and Zig read the same file (PROTOCOL.md §1-3)."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oracle.protocol.errors import DecodeError
from oracle.protocol.hashing import batch_signing_hash, branch_signing_hash, merkle_branch
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import (
    InferenceRequest,
    InferenceResult,
    Message,
    NonDelivery,
    Outcome,
    Rotation,
    non_delivery_message,
    origin_hash,
    result_messages,
    rotation_messages,
)
from oracle.protocol.types import Account, Chain, ChainType, Digest, Kind, Status, UnixSeconds

VECTORS = Path(__file__).parents[1] / "vectors"
DOCUMENT: dict[str, list[dict[str, Any]]] = json.loads((VECTORS / "messages.json").read_text())


def by_name(kind: str) -> pytest.MarkDecorator:
    rows = DOCUMENT[kind]
    return pytest.mark.parametrize("row", rows, ids=[row["name"] for row in rows])


def raw(text: str) -> bytes:
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])


def test_vectors__committed_file__is_what_the_script_writes() -> None:
    written = runpy.run_path(str(VECTORS / "make_messages.py"))["document"]()
    assert (VECTORS / "messages.json").read_text() == written, "run: python tests/vectors/make_messages.py"


def test_vectors__messages__hold_every_kind_and_both_chain_types() -> None:
    messages = [Message.from_bytes(raw(row["body"])) for row in DOCUMENT["messages"]]
    assert {message.kind for message in messages} == set(Kind)
    assert {message.origin.chain.chain_type for message in messages} == set(ChainType)
    assert {message.destination.chain.chain_type for message in messages} == set(ChainType)


@by_name("messages")
def test_message__vector__decodes_to_its_fields_and_encodes_to_its_bytes(row: dict[str, Any]) -> None:
    message = Message.from_bytes(raw(row["body"]))
    assert message.kind == row["kind"]
    assert message.origin.chain.chain_type == row["origin_chain_type"]
    assert origin_hash(message.origin) == raw(row["origin_hash"])
    assert origin_hash(message.destination) == raw(row["destination_hash"])
    assert (message.sequence, message.expiry) == (int(row["sequence"]), int(row["expiry"]))
    assert (message.sender, message.recipient) == (raw(row["sender"]), raw(row["recipient"]))
    assert message.payload == raw(row["payload"])
    assert message.digest == raw(row["digest"])
    assert message.to_bytes() == raw(row["body"])


@by_name("invalid")
def test_message__invalid_vector__is_a_decode_error(row: dict[str, Any]) -> None:
    body = raw(row["body"])
    if row["invalid"] == "body":
        with pytest.raises(DecodeError):
            Message.from_bytes(body)
        return
    assert row["invalid"] == "payload"
    message = Message.from_bytes(body)
    decoders = {
        Kind.INFERENCE_REQUEST: InferenceRequest.from_bytes,
        Kind.INFERENCE_RESULT: InferenceResult.from_bytes,
        Kind.NON_DELIVERY: NonDelivery.from_bytes,
        Kind.ROTATION: Rotation.from_bytes,
    }
    with pytest.raises(DecodeError):
        decoders[message.kind](message.payload)


@pytest.mark.parametrize("row", DOCUMENT["batches"], ids=[str(len(row["digests"])) for row in DOCUMENT["batches"]])
def test_batch__vector__every_branch_leads_to_the_signed_value(row: dict[str, Any]) -> None:
    digests = [Digest(raw(digest)) for digest in row["digests"]]
    signed = raw(row["signed"])
    assert batch_signing_hash(digests) == signed
    for index, (digest, nodes) in enumerate(zip(digests, row["branches"], strict=True)):
        branch = tuple(raw(node) for node in nodes)
        assert merkle_branch(digests, index) == branch
        assert branch_signing_hash(digest, branch) == signed


@by_name("results")
def test_results__vector__are_built_from_request_and_outcome(row: dict[str, Any]) -> None:
    request = Message.from_bytes(raw(row["request"]))
    asked = InferenceRequest.from_bytes(request.payload)
    assert request.digest == raw(row["request_id"])
    assert asked.input_commitment == raw(row["input_commitment"])
    assert asked.inputs == tuple(map(int, row["inputs"]))
    outcome = Outcome(Status.ANSWERED, tuple(map(int, row["outputs"])), row["output_scale"])
    assert [message.to_bytes() for message in result_messages(request, outcome)] == [raw(r) for r in row["results"]]


@pytest.mark.parametrize("row", DOCUMENT["interoperable_addresses"])
def test_interop__vector__is_read_and_written(row: dict[str, Any]) -> None:
    chain = Chain(ChainType(row["chain_type"]), raw(row["chain_reference"]))
    address = InteropAddress(chain, Account(raw(row["account"])))
    assert address.to_bytes() == raw(row["encoded"])
    assert InteropAddress.from_bytes(raw(row["encoded"])) == address


@by_name("non_deliveries")
def test_non_delivery__vector__is_made_from_the_message_that_expired(row: dict[str, Any]) -> None:
    message = Message.from_bytes(raw(row["message"]))
    notice = non_delivery_message(message)
    assert notice.to_bytes() == raw(row["notice"])
    told = NonDelivery.from_bytes(notice.payload)
    assert (told.digest, told.payload) == (message.digest, message.payload)
    assert (notice.destination, notice.recipient, notice.sequence) == (message.origin, message.sender, message.sequence)


@by_name("rotations")
def test_rotation__vector__gives_one_message_for_each_destination(row: dict[str, Any]) -> None:
    post = Message.from_bytes(raw(row["post"]))
    rotation = Rotation.from_bytes(post.payload)
    assert rotation.to_bytes() == post.payload
    assert (rotation.epoch, rotation.group_key) == (row["epoch"], raw(row["group_key_x"]))
    assert (rotation.threshold, rotation.operators) == (row["threshold"], raw(row["operators"]))
    assert (rotation.parity, rotation.overlap) == (row["group_key_parity"], row["overlap"])
    assert [message.to_bytes() for message in rotation_messages(post)] == [raw(body) for body in row["messages"]]


def test_non_delivery__message_that_never_expires__is_a_decode_error() -> None:
    message = Message.from_bytes(raw(DOCUMENT["non_deliveries"][0]["message"]))
    with pytest.raises(DecodeError):
        non_delivery_message(replace(message, expiry=UnixSeconds(0)))
    with pytest.raises(DecodeError):
        non_delivery_message(non_delivery_message(message))


def test_rotation__post_for_another_chain_or_remote_at_home__is_a_decode_error() -> None:
    first, second = (Message.from_bytes(raw(row["post"])) for row in DOCUMENT["rotations"][:2])
    with pytest.raises(DecodeError):
        rotation_messages(replace(first, destination=second.origin))
    with pytest.raises(DecodeError):  # its remote is the chain it is posted on
        rotation_messages(
            replace(
                second, origin=first.origin, destination=first.origin, sender=first.sender, recipient=first.recipient
            )
        )
