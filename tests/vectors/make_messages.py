"""Writes `messages.json`: the shared vectors that Python, Solidity and Zig read (PROTOCOL.md §1–3).

Run as `python tests/vectors/make_messages.py`; a test checks that the committed file is what this script writes. Numbers that do not fit in
53 bits are decimal strings; bytes are 0x-hex.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from oracle.protocol.hashing import batch_signing_hash, keccak256, merkle_branch
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import (
    InferenceRequest,
    Message,
    Outcome,
    Remote,
    Rotation,
    RotationRemote,
    non_delivery_message,
    origin_hash,
    result_messages,
    rotation_messages,
)
from oracle.protocol.types import (
    Account,
    Chain,
    CommitteeEpoch,
    Digest,
    Endpoint,
    Kind,
    ModelId,
    Policy,
    Sequence,
    Status,
    UnixSeconds,
    evm_account,
)

TARGET = Path(__file__).with_name("messages.json")


def _seeded(label: str, size: int = 32) -> bytes:
    return keccak256(b"sibyl vectors", label.encode())[:size]


EVM = Chain.evm(31337)
MAINNET = Chain.evm(1)
SOLANA = Chain.solana(_seeded("genesis"))
EVM_GATEWAY = Endpoint(EVM, evm_account(_seeded("gateway", 20)))
SOLANA_GATEWAY = Endpoint(SOLANA, Account(_seeded("program")))
HUB, ALICE, CONSUMER, COMMITTEE = (evm_account(_seeded(name, 20)) for name in ("hub", "alice", "consumer", "committee"))
SOL_ALICE, SOL_CONSUMER = Account(_seeded("sol alice")), Account(_seeded("sol consumer"))
MODEL = ModelId(_seeded("model"))


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _plain(sequence: int, payload: bytes, *, to_solana: bool) -> Message:
    origin, destination = (EVM_GATEWAY, SOLANA_GATEWAY) if to_solana else (SOLANA_GATEWAY, EVM_GATEWAY)
    sender, recipient = (ALICE, SOL_CONSUMER) if to_solana else (SOL_ALICE, CONSUMER)
    return Message(Kind.MESSAGE, origin, destination, Sequence(sequence), sender, recipient, UnixSeconds(0), payload)


def _request(origin: Endpoint, sender: Account, hub: Account, sequence: int, asked: InferenceRequest) -> Message:
    return Message(
        Kind.INFERENCE_REQUEST,
        origin,
        origin,
        Sequence(sequence),
        sender,
        hub,
        UnixSeconds(1_900_000_000),
        asked.to_bytes(),
    )


def requests() -> dict[str, Message]:
    to_solana = Remote(Policy.ATTESTED, SOLANA_GATEWAY, SOLANA_GATEWAY.gateway, SOL_CONSUMER)
    to_evm = Remote(Policy.BOTH, EVM_GATEWAY, HUB, CONSUMER)
    inputs = (0, 1, -1, 123_456, -(1 << 63), (1 << 63) - 1)
    both = InferenceRequest(MODEL, 10**15, 200_000, Policy.BOTH, (to_solana,), inputs)
    proven = InferenceRequest(MODEL, (1 << 128) - 1, 0, Policy.PROVEN, (), (7,))
    from_solana = InferenceRequest(MODEL, 5_000_000, 150_000, Policy.ATTESTED, (to_evm,), inputs[:3])
    return {
        "evm asks, both at home, attested on solana": _request(EVM_GATEWAY, ALICE, HUB, 7, both),
        "evm asks, proven, no remote": _request(EVM_GATEWAY, ALICE, HUB, (1 << 64) - 1, proven),
        "solana asks, attested at home, both on evm": _request(
            SOLANA_GATEWAY, SOL_ALICE, SOLANA_GATEWAY.gateway, 1, from_solana
        ),
    }


EXPIRY = UnixSeconds(1_900_000_000)


def expiring() -> dict[str, Message]:
    """Users' messages that can expire."""
    return {
        "evm to solana, expires": replace(_plain(11, _seeded("e") * 3, to_solana=True), expiry=EXPIRY),
        "solana to evm, expires": replace(_plain(12, b"", to_solana=False), expiry=EXPIRY),
    }


def rotations() -> dict[str, Message]:
    """Posts of rotations, both kinds of chain as home. The proofs are no proofs: what is shared here is the layout."""
    proof = b"\x02" + _seeded("rotation r") + _seeded("rotation z")
    to_solana = RotationRemote(SOLANA_GATEWAY, SOLANA_GATEWAY.gateway)
    to_evm = RotationRemote(EVM_GATEWAY, COMMITTEE)
    key, transcript = _seeded("new key"), _seeded("transcript")
    small = Rotation(CommitteeEpoch(2), key, 0, proof, 3600, transcript, 3, bytes((0, 1, 2, 3)), (to_solana,))
    # 19 members of 7 operators: t = 14 leaves 5, and the heaviest operator runs 3.
    large = Rotation(
        CommitteeEpoch((1 << 32) - 1), key, 1, proof, 0, transcript, 14, bytes(i % 7 for i in range(19)), (to_evm,)
    )
    alone = Rotation(CommitteeEpoch(7), key, 1, proof, 60, transcript, 5, bytes(range(6)), ())

    def post(origin: Endpoint, account: Account, sequence: int, rotation: Rotation) -> Message:
        payload, never = rotation.to_bytes(), UnixSeconds(0)
        return Message(Kind.ROTATION, origin, origin, Sequence(sequence), account, account, never, payload)

    return {
        "rotation from evm": post(EVM_GATEWAY, COMMITTEE, 21, small),
        "rotation from solana, 19 members": post(SOLANA_GATEWAY, SOLANA_GATEWAY.gateway, 22, large),
        "rotation without remotes": post(EVM_GATEWAY, COMMITTEE, 23, alone),
    }


def messages() -> dict[str, Message]:
    plain = {
        "evm to solana, empty payload": _plain(1, b"", to_solana=True),
        "evm to solana, 64 bytes": _plain(2, _seeded("a") + _seeded("b"), to_solana=True),
        "solana to evm, 64 bytes": _plain(3, _seeded("c") + _seeded("d"), to_solana=False),
        "solana to evm, one byte": _plain(1025, b"\xff", to_solana=False),
    }
    answered = Outcome(Status.ANSWERED, (-4096, (1 << 63) - 1), 13)
    results = {
        f"{name}: result {number}, {'refused' if outcome.status else 'answered'}": message
        for name, request in requests().items()
        for outcome in (answered, Outcome(Status.OUT_OF_RANGE))
        for number, message in enumerate(result_messages(request, outcome))
    }
    notices = {f"{name}: non-delivery": non_delivery_message(message) for name, message in expiring().items()}
    rotated = {
        f"{name}: message {number}": message
        for name, post in rotations().items()
        for number, message in enumerate(rotation_messages(post))
    }
    return plain | requests() | results | expiring() | notices | rotated


def _message_vector(name: str, message: Message) -> dict[str, Any]:
    return {
        "name": name,
        "kind": int(message.kind),
        "origin_hash": _hex(origin_hash(message.origin)),
        "origin_chain_type": int(message.origin.chain.chain_type),
        "destination_hash": _hex(origin_hash(message.destination)),
        "sequence": str(message.sequence),
        "sender": _hex(message.sender),
        "recipient": _hex(message.recipient),
        "expiry": str(message.expiry),
        "payload": _hex(message.payload),
        "body": _hex(message.to_bytes()),
        "digest": _hex(message.digest),
    }


def invalid_bodies() -> list[dict[str, str]]:
    """Each is one change to a valid body."""
    body = messages()["evm to solana, 64 bytes"].to_bytes()
    request = requests()["evm asks, both at home, attested on solana"].to_bytes()
    result = result_messages(
        requests()["evm asks, both at home, attested on solana"], Outcome(Status.ANSWERED, (5,), 13)
    )[0].to_bytes()

    def changed(source: bytes, offset: int, new: bytes) -> bytes:
        return source[:offset] + new + source[offset + len(new) :]

    cases = {
        "empty": b"",
        "one byte short": body[:-1],
        "one trailing byte": body + b"\0",
        "header only": body[:216],
        "header cut": body[:100],
        "version 0": changed(body, 0, b"\0"),
        "version 2": changed(body, 0, b"\2"),
        "kind 0": changed(body, 1, b"\0"),
        "kind 255": changed(body, 1, b"\xff"),
        "unknown origin chain type": changed(body, 2, b"\0\1"),
        "unknown destination chain type": changed(body, 68, b"\xff\xff"),
        "evm chain id 0": changed(body, 4, bytes(32)),
        "evm chain id over 64 bits": changed(body, 4, b"\1"),
        "evm gateway with a non-zero pad byte": changed(body, 36, b"\1"),
        "evm sender with a non-zero pad byte": changed(body, 142, b"\1"),
        "sequence 0": changed(body, 134, bytes(8)),
        "payload size one too small": changed(body, 214, (63).to_bytes(2)),
        "payload size one too large": changed(body, 214, (65).to_bytes(2)),
    }
    payloads = {
        "request: no inputs": changed(request, 216 + 54, bytes(2)),
        "request: input count too large": changed(request, 216 + 54, b"\0\7"),
        "request: policy 0": changed(request, 216 + 52, b"\0"),
        "request: five remotes": changed(request, 216 + 53, b"\5"),
        "request: proven with a remote": changed(request, 216 + 52, b"\2"),
        "request: remote policy 9": changed(request, 216 + 56, b"\x09"),
        "result: status 9": changed(result, 216, b"\x09"),
        "result: policy 0": changed(result, 217, b"\0"),
        "result: refusal with outputs": changed(result, 216, b"\1"),
        "result: answer without outputs": changed(result, 216 + 167, b"\0"),
        "result: output count too large": changed(result, 216 + 167, b"\2"),
        "result: scale 31": changed(result, 216 + 166, b"\x1f"),
    }
    rotation = rotations()["rotation from evm"].to_bytes()
    payloads |= {
        "non-delivery: no digest": changed(
            messages()["solana to evm, expires: non-delivery"].to_bytes(), 214, b"\0\x1f"
        )[:-1],
        "rotation: parity 2": changed(rotation, 216 + 36, b"\2"),
        "rotation: threshold one too low": changed(rotation, 216 + 138, b"\0\2"),
        "rotation: threshold of all": changed(rotation, 216 + 138, b"\0\4"),
        "rotation: threshold over all": changed(rotation, 216 + 138, b"\0\5"),
        "rotation: an operator with two members": changed(rotation, 216 + 143, b"\1"),
        "rotation: one member more than there is": changed(rotation, 216 + 140, b"\0\5"),
        "rotation: one member less than there is": changed(rotation, 216 + 140, b"\0\3"),
        "rotation: no remote counted": changed(rotation, 216 + 142, b"\0"),
        "rotation: five remotes": changed(rotation, 216 + 142, b"\5"),
        "rotation: remote on an unknown chain type": changed(rotation, 216 + 147, b"\0\1"),
    }
    rows = [{"name": name, "body": _hex(data), "invalid": "body"} for name, data in cases.items()]
    return rows + [{"name": name, "body": _hex(data), "invalid": "payload"} for name, data in payloads.items()]


def _batch_vector(size: int) -> dict[str, Any]:
    digests = [Digest(_seeded(f"leaf {size} {i}")) for i in range(size)]
    return {
        "digests": [_hex(digest) for digest in digests],
        "branches": [[_hex(node) for node in merkle_branch(digests, i)] for i in range(size)],
        "signed": _hex(batch_signing_hash(digests)),
    }


def _result_vector(name: str, request: Message) -> dict[str, Any]:
    outcome = Outcome(Status.ANSWERED, (-4096, (1 << 63) - 1), 13)
    asked = InferenceRequest.from_bytes(request.payload)
    return {
        "name": name,
        "request": _hex(request.to_bytes()),
        "request_id": _hex(request.digest),
        "input_commitment": _hex(asked.input_commitment),
        "inputs": [str(value) for value in asked.inputs],
        "outputs": [str(value) for value in outcome.outputs],
        "output_scale": outcome.output_scale,
        "results": [_hex(message.to_bytes()) for message in result_messages(request, outcome)],
    }


def _rotation_vector(name: str, post: Message) -> dict[str, Any]:
    rotation = Rotation.from_bytes(post.payload)
    return {
        "name": name,
        "post": _hex(post.to_bytes()),
        "epoch": rotation.epoch,
        "group_key_x": _hex(rotation.group_key),
        "group_key_parity": rotation.parity,
        "proof_of_possession": _hex(rotation.proof_of_possession),
        "overlap": rotation.overlap,
        "transcript": _hex(rotation.transcript),
        "threshold": rotation.threshold,
        "operators": _hex(rotation.operators),
        "messages": [_hex(message.to_bytes()) for message in rotation_messages(post)],
    }


def _interop_vectors() -> list[dict[str, Any]]:
    addresses = [InteropAddress(EVM, ALICE), InteropAddress(MAINNET, HUB), InteropAddress(SOLANA, SOL_ALICE)]
    return [
        {
            "chain_type": int(address.chain.chain_type),
            "chain_reference": _hex(address.chain.reference),
            "account": _hex(address.account),
            "encoded": _hex(address.to_bytes()),
        }
        for address in addresses
    ]


def document() -> str:
    """The file's text."""
    content = {
        "messages": [_message_vector(name, message) for name, message in messages().items()],
        "invalid": invalid_bodies(),
        "batches": [_batch_vector(size) for size in (1, 2, 3, 4, 5, 7, 8, 33)],
        "results": [_result_vector(name, request) for name, request in requests().items()],
        "non_deliveries": [
            {
                "name": name,
                "message": _hex(message.to_bytes()),
                "notice": _hex(non_delivery_message(message).to_bytes()),
            }
            for name, message in expiring().items()
        ],
        "rotations": [_rotation_vector(name, post) for name, post in rotations().items()],
        "interoperable_addresses": _interop_vectors(),
    }
    return json.dumps(content, indent=1) + "\n"


if __name__ == "__main__":
    TARGET.write_text(document())
