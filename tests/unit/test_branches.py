"""How long a branch each delivery carries: held against whole signed transactions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from solders.compute_budget import set_compute_unit_limit
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message as SolanaMessage
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from bridges.solana import instructions
from bridges.solana.instructions import Envelope, HomeRequest
from bridges.solana.layout import ProgramAddresses
from bridges.solana.tokens_layout import TokenAddresses
from bridges.solana.transactions import MAX_TRANSACTION
from oracle.app.branches import SolanaSizes, branch_depths
from oracle.protocol.constants import MERKLE_MAX_DEPTH
from oracle.protocol.message import InferenceRequest, Message, Outcome, result_messages
from oracle.protocol.types import Account, Kind, Policy, Sequence, Status
from tests.support.samples import DEADLINE, MODEL, SOLANA, SOLANA_CONSUMER, evm_request, plain_message, seeded

PROGRAM = Pubkey(SOLANA.gateway)
TOKENS = Pubkey(seeded("tokens"))
PLAIN = SolanaSizes(PROGRAM, None, priced=False)
WITH_TOKENS = SolanaSizes(PROGRAM, TOKENS, priced=False)
AUTHORITY = Account(bytes(TokenAddresses(TOKENS).bridge.address))


def transaction_size(message: Message, depth: int) -> int:
    """Bytes of a signed delivery with a branch of so many nodes."""
    payer = Keypair()
    own = message.origin == message.destination
    home = HomeRequest(Pubkey.new_unique(), Pubkey.new_unique()) if own else None
    branch = tuple(seeded(f"node {level}") for level in range(depth))
    parts = [
        set_compute_unit_limit(200_000),
        instructions.deliver(ProgramAddresses(PROGRAM), payer.pubkey(), message, Envelope(1, bytes(65), branch), home),
    ]
    unsigned = SolanaMessage.new_with_blockhash(parts, payer.pubkey(), Hash.default())
    return len(bytes(VersionedTransaction(unsigned, [payer])))


def solana_result(outputs: int) -> Message:
    """An answer to a request that was posted on Solana itself, which settles its request there."""
    asked = InferenceRequest(MODEL, 1000, 100_000, Policy.ATTESTED, (), (1, 2, 3))
    request = Message(
        Kind.INFERENCE_REQUEST,
        SOLANA,
        SOLANA,
        Sequence(9),
        SOLANA_CONSUMER,
        SOLANA.gateway,
        DEADLINE,
        asked.to_bytes(),
    )
    return result_messages(request, Outcome(Status.ANSWERED, tuple(range(outputs)), 13))[0]


MESSAGES = {
    "plain": plain_message(),
    "longer": plain_message(payload=bytes(300)),
    "almost too long": plain_message(payload=bytes(500)),
    "answer": result_messages(evm_request(), Outcome(Status.ANSWERED, (1, 2, 3), 13))[1],
    "answer with many outputs": result_messages(evm_request(), Outcome(Status.ANSWERED, tuple(range(30)), 13))[1],
    "answer at home": solana_result(3),
    "answer at home with many outputs": solana_result(25),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_branch_depth__solana__is_the_longest_branch_that_a_whole_transaction_holds(name: str) -> None:
    message = MESSAGES[name]
    depth = branch_depths([PLAIN])(message)
    assert transaction_size(message, depth) <= MAX_TRANSACTION
    assert depth == MERKLE_MAX_DEPTH or transaction_size(message, depth + 1) > MAX_TRANSACTION


def test_branch_depth__evm_destination__is_the_protocols_bound() -> None:
    assert branch_depths([PLAIN])(result_messages(evm_request(), Outcome(Status.UNKNOWN_MODEL))[0]) == MERKLE_MAX_DEPTH


def test_branch_depth__message_that_fits_no_transaction__is_none_at_all() -> None:
    assert branch_depths([PLAIN])(plain_message(payload=bytes(2_000))) == 0


def test_branch_depth__tokens__leave_room_for_what_redeems_them() -> None:
    transfer = replace(plain_message(payload=bytes(128)), recipient=AUTHORITY)
    with_redemption, alone = (branch_depths([sizes])(transfer) for sizes in (WITH_TOKENS, PLAIN))
    assert 0 < with_redemption < alone
    assert branch_depths([WITH_TOKENS])(plain_message(payload=bytes(128))) == alone
    # Where the two never fit into one transaction, the delivery alone decides.
    large = replace(transfer, payload=bytes(420))
    assert branch_depths([WITH_TOKENS])(large) == branch_depths([PLAIN])(large) > 0


def test_branch_depth__priority_fee__takes_its_bytes() -> None:
    message = plain_message(payload=bytes(300))
    assert branch_depths([SolanaSizes(PROGRAM, None, priced=True)])(message) < branch_depths([PLAIN])(message)


def test_branch_depth__program_that_the_node_does_not_deliver_to__is_bounded_for_those_who_do() -> None:
    message = plain_message(payload=bytes(300))
    assert branch_depths([])(message) == branch_depths([SolanaSizes(PROGRAM, None, priced=True)])(message)
