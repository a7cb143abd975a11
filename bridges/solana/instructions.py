"""Encoders for every instruction of the Sibyl program (PROTOCOL.md §7): data and accounts in the order that the program checks.

Guarantees: lengths and ranges are checked here, so what is sent is well-formed; bumps are found here. It does not know whether the
program will agree. No I/O.
"""

from dataclasses import dataclass
from typing import Final

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM_PROGRAM

from bridges.solana.layout import ModelAccount, ProgramAddresses
from bridges.solana.verifier_layout import VerifierAddresses
from oracle.protocol import constants as c
from oracle.protocol.errors import EncodeError
from oracle.protocol.message import InferenceRequest, Message, Outcome, Rotation, encode_endpoint, result_messages
from oracle.protocol.types import WORD, Account, CommitteeEpoch, Digest, Endpoint, Kind, Status, UnixSeconds

NEVER: Final = UnixSeconds(0)
"""Expiry of a message that never expires."""
FIRST_EPOCH: Final = CommitteeEpoch(1)
POINT: Final = 33
SIGNATURE: Final = 65
_SYSTEM: Final = AccountMeta(SYSTEM_PROGRAM, is_signer=False, is_writable=False)


@dataclass(frozen=True, slots=True)
class GroupKey:
    """A committee's group public key and its proof of possession: a FROST signature R(33) ‖ z(32) over
    keccak256("SIBYL_KEY_V1" padded ‖ epoch ‖ x ‖ parity), 32 bytes each (PROTOCOL.md §6)."""

    epoch: CommitteeEpoch
    x: bytes
    parity: int
    proof_of_possession: bytes

    def __post_init__(self) -> None:
        if len(self.x) != WORD or self.parity not in (0, 1):
            raise EncodeError("A group key is 32 bytes of x and a parity of 0 or 1.")
        if len(self.proof_of_possession) != SIGNATURE:
            raise EncodeError(f"A proof of possession has {SIGNATURE} bytes, not {len(self.proof_of_possession)}.")

    @classmethod
    def of(cls, epoch: CommitteeEpoch, public_key: bytes, proof_of_possession: bytes) -> "GroupKey":
        """From the group public key in SEC1 compressed form (33 bytes)."""
        if len(public_key) != POINT or public_key[0] not in (2, 3):
            raise EncodeError("A compressed group public key has 33 bytes and begins with 2 or 3.")
        return cls(epoch, public_key[1:], public_key[0] - 2, proof_of_possession)


def _le(value: int, size: int, name: str) -> bytes:
    if not 0 <= value < 1 << (8 * size):
        raise EncodeError(f"{name} is {value}; it must be a whole number of {size} bytes.")
    return value.to_bytes(size, "little")


def _fixed(value: bytes, size: int, name: str) -> bytes:
    if len(value) != size:
        raise EncodeError(f"{name} has {size} bytes, not {len(value)}.")
    return value


def _reads(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=False)


def _writes(key: Pubkey) -> AccountMeta:
    return AccountMeta(key, is_signer=False, is_writable=True)


def _signs(key: Pubkey, *, writable: bool = True) -> AccountMeta:
    return AccountMeta(key, is_signer=True, is_writable=writable)


def initialise(
    at: ProgramAddresses,
    authority: Pubkey,
    chain_reference: bytes,
    treasury: Pubkey,
    key: GroupKey,
    activation_delay: int,
) -> Instruction:
    """Creates the configuration and committee epoch 1; `authority` is the program's upgrade authority.

    `activation_delay`: seconds between the arrival of a later key and its epoch's begin, in which governance can veto it.
    """
    if key.epoch != 1:
        raise EncodeError(f"The first committee has epoch 1, not {key.epoch}.")
    config, committee = at.config, at.committee(key.epoch)
    data = b"".join(
        (
            bytes([c.INSTRUCTION_INITIALISE, config.bump, committee.bump]),
            _le(activation_delay, 4, "activation delay"),
            _fixed(chain_reference, WORD, "A chain reference"),
            bytes(treasury),
            bytes([key.parity]),
            key.x,
            key.proof_of_possession,
        )
    )
    accounts = [
        _signs(authority),
        _writes(config.address),
        _writes(committee.address),
        _reads(at.program_data),
        _SYSTEM,
    ]
    return Instruction(at.program, data, accounts)


def set_committee(at: ProgramAddresses, authority: Pubkey, key: GroupKey, overlap: int) -> Instruction:
    """A further committee epoch, which begins after the activation delay; signatures of the one before are taken for `overlap` seconds more.

    For a committee that can no longer sign its own rotation.
    """
    if key.epoch < 2:
        raise EncodeError("A further committee has epoch 2 or above.")
    new = at.committee(key.epoch)
    data = b"".join(
        (
            bytes([c.INSTRUCTION_SET_COMMITTEE, new.bump]),
            _le(key.epoch, 4, "epoch"),
            _le(overlap, 4, "overlap"),
            bytes([key.parity]),
            key.x,
            key.proof_of_possession,
        )
    )
    previous = at.committee(CommitteeEpoch(key.epoch - 1)).address
    accounts = [_signs(authority), _writes(at.config.address), _writes(previous), _writes(new.address), _SYSTEM]
    return Instruction(at.program, data, accounts)


def rotate(at: ProgramAddresses, payer: Pubkey, rotation: Message, inbox_payer: Pubkey) -> Instruction:
    """Takes a delivered rotation: creates the epoch that it brings, and closes its inbox account. Anyone may send it."""
    if rotation.kind is not Kind.ROTATION:
        raise EncodeError(f"A {rotation.kind.name} brings no committee.")
    epoch = Rotation.from_bytes(rotation.payload).epoch
    if epoch < FIRST_EPOCH + 1:
        raise EncodeError("A further committee has epoch 2 or above.")
    new, previous = at.committee(epoch), at.committee(CommitteeEpoch(epoch - 1)).address
    accounts = [
        _signs(payer),
        _writes(at.config.address),
        _writes(at.inbox(rotation.digest).address),
        _writes(inbox_payer),
        _writes(previous),
        _writes(new.address),
        _SYSTEM,
    ]
    return Instruction(at.program, bytes([c.INSTRUCTION_ROTATE, new.bump]), accounts)


def veto(at: ProgramAddresses, authority: Pubkey, epoch: CommitteeEpoch, rent_to: Pubkey) -> Instruction:
    """The authority removes the newest epoch before it begins; the rent of its account goes to `rent_to`."""
    if epoch < FIRST_EPOCH + 1:
        raise EncodeError("The first committee cannot be vetoed.")
    previous = at.committee(CommitteeEpoch(epoch - 1)).address
    accounts = [
        _signs(authority, writable=False),
        _writes(at.config.address),
        _writes(previous),
        _writes(at.committee(epoch).address),
        _writes(rent_to),
    ]
    return Instruction(at.program, bytes([c.INSTRUCTION_VETO]), accounts)


def register_model(at: ProgramAddresses, authority: Pubkey, model: ModelAccount) -> Instruction:
    """Registers a model, or changes one."""
    pda = at.model(model.model_id)
    data = b"".join(
        (
            bytes([c.INSTRUCTION_REGISTER_MODEL, pda.bump]),
            _fixed(model.model_id, WORD, "A model id"),
            _le(model.input_count, 2, "input count"),
            _le(model.output_count, 2, "output count"),
            _le(model.input_scale, 1, "input scale"),
            _le(model.output_scale, 1, "output scale"),
            _le(model.input_bound, 8, "input bound"),
            _le(model.price, 8, "price"),
            bytes([model.active]),
            bytes(model.verifier),
            bytes(model.verifying_key),
        )
    )
    accounts = [_signs(authority), _reads(at.config.address), _writes(pda.address), _SYSTEM]
    return Instruction(at.program, data, accounts)


def register_peer(at: ProgramAddresses, authority: Pubkey, origin: Endpoint, *, active: bool = True) -> Instruction:
    """Trusts an origin gateway, or stops trusting it."""
    pda = at.peer(origin)
    data = bytes([c.INSTRUCTION_REGISTER_PEER, pda.bump, active]) + encode_endpoint(origin)
    accounts = [_signs(authority), _reads(at.config.address), _writes(pda.address), _SYSTEM]
    return Instruction(at.program, data, accounts)


def send(
    at: ProgramAddresses,
    sender: Pubkey,
    sequence: int,
    destination: Endpoint,
    recipient: Account,
    payload: bytes,
    expiry: UnixSeconds = NEVER,
) -> Instruction:
    """Posts a KIND_MESSAGE; `sequence` must be the configuration's next one. `expiry` in Unix seconds of the destination, or NEVER."""
    outbox = at.outbox(sequence)
    # What is said of a message that expired repeats its payload behind a digest.
    most = c.MAX_PAYLOAD_SIZE - (c.NON_DELIVERY_SIZE if expiry else 0)
    if len(payload) > most:
        raise EncodeError(f"This payload has at most {most} bytes, not {len(payload)}.")
    data = b"".join(
        (
            bytes([c.INSTRUCTION_SEND, outbox.bump]),
            _le(sequence, 8, "sequence"),
            _le(expiry, 8, "expiry"),
            _le(destination.chain.chain_type, 2, "chain type"),
            destination.chain.reference,
            destination.gateway,
            _fixed(recipient, WORD, "A recipient"),
            _le(len(payload), 2, "payload size"),
            payload,
        )
    )
    accounts = [
        _signs(sender),
        _writes(at.config.address),
        _writes(outbox.address),
        _reads(at.peer(destination).address),
        _SYSTEM,
    ]
    return Instruction(at.program, data, accounts)


def request(
    at: ProgramAddresses, requester: Pubkey, sequence: int, deadline: UnixSeconds, asked: InferenceRequest
) -> Instruction:
    """Posts a KIND_INFERENCE_REQUEST and escrows its fee; `deadline` in Unix seconds."""
    outbox = at.outbox(sequence)
    data = b"".join(
        (
            bytes([c.INSTRUCTION_REQUEST, outbox.bump]),
            _le(sequence, 8, "sequence"),
            asked.model_id,
            _le(asked.fee, 8, "fee"),
            _le(deadline, 8, "deadline"),
            _le(asked.callback_gas_limit, 4, "callback gas limit"),
            bytes([asked.policy, len(asked.remotes)]),
            *(remote.to_bytes() for remote in asked.remotes),
            _le(len(asked.inputs), 2, "input count"),
            asked.to_bytes()[c.REQUEST_SIZE + c.REMOTE_SIZE * len(asked.remotes) :],
        )
    )
    accounts = [
        _signs(requester),
        _writes(at.config.address),
        _reads(at.model(asked.model_id).address),
        _writes(outbox.address),
        _SYSTEM,
    ]
    return Instruction(at.program, data, accounts)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is not signed: epoch, signature R(33) ‖ z(32) and the Merkle branch of the message's digest."""

    epoch: CommitteeEpoch
    signature: bytes
    branch: tuple[bytes, ...] = ()

    def to_bytes(self) -> tuple[bytes, bytes]:
        """What stands before, and after, the bumps."""
        if len(self.branch) > c.MERKLE_MAX_DEPTH:
            raise EncodeError(f"A branch has at most {c.MERKLE_MAX_DEPTH} nodes, not {len(self.branch)}.")
        head = _le(self.epoch, 4, "epoch") + _fixed(self.signature, SIGNATURE, "A signature")
        return head, bytes([len(self.branch)]) + b"".join(_fixed(node, WORD, "A branch's node") for node in self.branch)


@dataclass(frozen=True, slots=True)
class HomeRequest:
    """Accounts of a request of this chain that a result settles."""

    treasury: Pubkey
    requester: Pubkey


def deliver(
    at: ProgramAddresses, payer: Pubkey, message: Message, envelope: Envelope, home: HomeRequest | None
) -> Instruction:
    """Delivers one signed message; `home` for a result whose request was posted on this chain, and for nothing else."""
    own = message.origin == message.destination
    if (own and message.kind is Kind.INFERENCE_RESULT) != (home is not None):
        raise EncodeError("Treasury and requester belong to a result of a request of this chain.")
    inbox, replay = at.inbox(message.digest), at.replay(message.origin, message.sequence)
    body = message.to_bytes()
    head, branch = envelope.to_bytes()
    bumps = bytes([inbox.bump, replay.bump])
    data = b"".join((bytes([c.INSTRUCTION_DELIVER]), head, bumps, branch, _le(len(body), 2, "body size"), body))
    accounts = [
        _signs(payer),
        _reads(at.config.address),
        _reads(at.committee(envelope.epoch).address),
        _reads(at.config.address if own else at.peer(message.origin).address),
        _writes(replay.address),
        _writes(inbox.address),
        _SYSTEM,
    ]
    if home is not None:
        outbox = at.outbox(message.sequence).address
        accounts += [_writes(outbox), _writes(home.treasury), _writes(home.requester)]
    return Instruction(at.program, data, accounts)


def fulfil(
    at: ProgramAddresses, payer: Pubkey, request: Message, outputs: tuple[int, ...], model: ModelAccount, tail: bytes
) -> Instruction:
    """Answers a POLICY_PROVEN request of this chain with a proof; the fee goes to `payer`.

    The proof account [proof, request id, payer] of the model's verifier holds the first bytes of packed proof ‖ hint, `tail` is the rest.
    """
    if not model.provable:
        raise EncodeError("This model has no verifier on Solana.")
    result = result_messages(request, Outcome(Status.ANSWERED, outputs, model.output_scale))[0]
    inbox, replay = at.inbox(result.digest), at.replay(request.origin, request.sequence)
    head = bytes([c.INSTRUCTION_FULFIL, inbox.bump, replay.bump, len(outputs)])
    accounts = [
        _signs(payer),
        _reads(at.model(model.model_id).address),
        _writes(replay.address),
        _writes(inbox.address),
        _writes(at.outbox(request.sequence).address),
        _reads(model.verifier),
        _reads(model.verifying_key),
        _writes(VerifierAddresses(model.verifier).proof(request.digest, payer).address),
        _SYSTEM,
    ]
    return Instruction(at.program, head + result.payload[c.RESULT_SIZE :] + tail, accounts)


def close_inbox(at: ProgramAddresses, closer: Pubkey, digest: Digest, payer: Pubkey) -> Instruction:
    """Gives an inbox account's rent back to `payer`, who paid it. `closer` is the recipient (a result: its consumer, or after its expiry
    also the payer)."""
    accounts = [_signs(closer, writable=False), _writes(at.inbox(digest).address), _writes(payer)]
    return Instruction(at.program, bytes([c.INSTRUCTION_CLOSE_INBOX]), accounts)


def close_outbox(at: ProgramAddresses, sequence: int, sender: Pubkey, *, signed: bool) -> Instruction:
    """Gives an outbox account's rent back to its sender; `signed` when the post is a message without answer."""
    accounts = [_writes(at.outbox(sequence).address), _signs(sender) if signed else _writes(sender)]
    return Instruction(at.program, bytes([c.INSTRUCTION_CLOSE_OUTBOX]), accounts)


def refund(at: ProgramAddresses, sequence: int, requester: Pubkey) -> Instruction:
    """After its deadline: fee and rent of an unanswered request to the requester. Anyone may send it."""
    accounts = [_writes(at.outbox(sequence).address), _writes(requester)]
    return Instruction(at.program, bytes([c.INSTRUCTION_REFUND]), accounts)
