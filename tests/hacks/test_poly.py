"""Poly Network, 10 August 2021: some 610 million dollars were taken by a message that made the bridge call its own key registry.

What happened: the manager contract that executed cross-chain messages also owned the contract that held the keepers' public keys, and it
called whatever contract and method a message named. The attacker ground a method name whose selector was that of the function that
replaces the keys, and let the bridge itself replace them by his own.

Why it fails here: a delivery calls one fixed function of the recipient, `receiveMessage`, with the message as an argument; it never reaches the
gateway, the committee, or any contract that was ever a handler, and the contracts that can be reached have no such function. The gateway
owns nothing: keys, peers and models are changed by an owner's transaction alone. On Solana a delivery writes one inbox account and calls nobody.
Invariants: 3 (what is signed was observed), 8 and 9 (a callback changes nothing but its own contract); PROTOCOL.md section 3.
"""

from dataclasses import replace

import pytest
from eth_utils.abi import abi_to_signature
from solders.instruction import AccountMeta
from solders.system_program import ID as SYSTEM

from bridges.evm.abi import account_of, interface
from bridges.evm.points import split_signature
from bridges.solana import instructions
from contracts.evm.artifacts import load
from oracle.errors import Rejected
from oracle.protocol.message import InferenceRequest, Message, Outcome, Remote, result_messages
from oracle.protocol.types import Account, Kind, Policy, Sequence, Status, UnixSeconds
from tests.hacks.world import RECIPIENT, EvmWorld, privileged_accounts
from tests.support import samples
from tests.support import solana_program as sp
from tests.support.evm_chain import OPERATORS, RECEIVER, selector
from tests.support.schnorr import SchnorrKey
from tests.support.solana_program import Bench, bent

pytestmark = pytest.mark.asyncio(loop_scope="module")

THIEF = SchnorrKey.seeded("poly thief")


def set_keys() -> bytes:
    """Calldata that would make the thief the committee."""
    return interface("Committee").encode("replaceKey", *thiefs_key())


def thiefs_key() -> tuple[object, ...]:
    """What `replaceKey` would need to make the thief the committee."""
    proof = split_signature(THIEF.proof_of_possession(2))
    return THIEF.px, THIEF.parity, 3, OPERATORS, 0, proof


# ---- on EVM ----


@pytest.mark.devnet
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("gateway", "WrongRecipient"),
        ("committee", "WrongRecipient"),
        ("hub", "WrongRecipient"),
        ("registry", "RecipientReverted"),
        ("fee_splitter", "RecipientReverted"),
    ],
)
async def test_hack_poly_evm__signed_message_to_a_privileged_contract__changes_nothing(
    evm: EvmWorld, target: str, reason: str
) -> None:
    before, recipient = await evm.group_key(), account_of(getattr(evm.deployed.deployment, target))
    for payload in (set_keys(), selector("proposeRotation(bytes)"), b""):
        message = evm.message(recipient=recipient, payload=payload)
        assert await evm.refused(message, evm.attest(message)) == reason
    assert await evm.group_key() == before
    control = evm.message(recipient=RECIPIENT, payload=set_keys())
    await evm.deliver(control, evm.attest(control))


@pytest.mark.devnet
async def test_hack_poly_evm__result_aimed_past_the_hub__refused(evm: EvmWorld) -> None:
    at = evm.deployed.deployment
    aims: dict[str, Account] = {target: account_of(target) for target in (at.gateway, at.committee, at.registry)}
    aims["recipient"] = RECIPIENT
    for target, recipient in aims.items():
        message = evm.message(kind=Kind.INFERENCE_RESULT, recipient=recipient, payload=set_keys())
        assert await evm.refused(message, evm.attest(message)) == "WrongRecipient", target


def answer_for(evm: EvmWorld, consumer: Account, sequence: int) -> Message:
    """The signed answer, for this chain, to a request on the Solana peer, with a consumer of the requester's choice."""
    remote = Remote(Policy.ATTESTED, evm.endpoint, evm.deployed.hub, consumer)
    asked = InferenceRequest(samples.MODEL, 1, 200_000, Policy.ATTESTED, (remote,), (1, 2, 3))
    origin = samples.SOLANA
    request = Message(Kind.INFERENCE_REQUEST, origin, origin, Sequence(sequence), samples.SOLANA_CONSUMER, origin.gateway,
                      UnixSeconds(samples.DEADLINE), asked.to_bytes())  # fmt: skip
    return result_messages(request, Outcome(Status.ANSWERED, (6,), 14))[1]


@pytest.mark.devnet
async def test_hack_poly_evm__the_protocol_as_an_answers_consumer__is_not_moved(evm: EvmWorld) -> None:
    at, before = evm.deployed.deployment, await evm.group_key()
    for i, target in enumerate((at.committee, at.gateway, at.hub, at.registry)):
        message = answer_for(evm, account_of(target), 1_000 + i)
        await evm.deliver(message, evm.attest(message))  # the answer is recorded; the call, if any, finds no function
        data = interface("OracleHub").encode("answerOf", message.payload[:32])
        assert await evm.deployed.client.call(at.hub, data)
    assert await evm.group_key() == before
    for contract, address in (("Committee", at.committee), ("Gateway", at.gateway), ("ModelRegistry", at.registry)):
        assert (await evm.view(contract, address, "owner"))[0] == (evm.deployed.anvil.account(0).address.lower())


@pytest.mark.devnet
async def test_hack_poly_evm__what_a_recipient_is_called_with__is_never_the_senders_choice(evm: EvmWorld) -> None:
    # A recipient that writes down the first word of its calldata: PUSH0 CALLDATALOAD PUSH0 SSTORE.
    recorder = await evm.create(bytes.fromhex("5f355f55") + RECEIVER)
    for payload in (set_keys(), b"\xff" * 64):
        message = evm.message(recipient=account_of(recorder), payload=payload)
        await evm.deliver(message, evm.attest(message))
        word = bytes.fromhex((await evm.deployed.anvil.rpc("eth_getStorageAt", recorder, "0x0", "latest"))[2:])
        assert word[:4] == selector("receiveMessage(bytes32,bytes,bytes)")


@pytest.mark.devnet
async def test_hack_poly_evm__selectors_that_the_bridge_calls__are_no_privileged_functions(evm: EvmWorld) -> None:
    """No collision to be ground: what the gateway and the hub call on others is nothing that these contracts have."""
    receive = selector("receiveMessage(bytes32,bytes,bytes)")
    called = {receive, selector("receiveNonDelivery(bytes32,bytes)"), consumer_selector()}
    for contract in ("ModelRegistry", "FeeSplitter", "Gateway", "Timelock"):
        entries = [entry for entry in load(contract).abi if entry["type"] == "function"]
        assert len(entries) > 3
        assert called.isdisjoint(selector(signature(entry)) for entry in entries), contract
    for contract in (
        "OracleHub",
        "Committee",
    ):  # control: the comparison finds what is there; both take it from the gateway alone
        found = {selector(signature(entry)) for entry in load(contract).abi if entry["type"] == "function"}
        assert found & called == {receive}, contract


def signature(entry: object) -> str:
    return abi_to_signature(entry)  # type: ignore[arg-type]  # an entry of a compiler's ABI


def consumer_selector() -> bytes:
    entry = next(entry for entry in load("TumourConsumer").abi if entry.get("name") == "onAnswer")
    return selector(signature(entry))


@pytest.mark.devnet
async def test_hack_poly_evm__the_gateway_owns_nothing_and_strangers_may_not__refused(evm: EvmWorld) -> None:
    at = evm.deployed.deployment
    for contract, address in (("Committee", at.committee), ("ModelRegistry", at.registry), ("OracleHub", at.hub)):
        owner = (await evm.view(contract, address, "owner"))[0]
        assert owner not in {str(one).lower() for one in (at.gateway, at.hub, at.committee, at.registry)}
    with pytest.raises(Rejected) as caught:
        await evm.send("Committee", at.committee, "replaceKey", *thiefs_key())
    assert caught.value.reason == "OwnableUnauthorizedAccount"
    message = evm.message()
    with pytest.raises(Rejected) as caught:
        await evm.send("OracleHub", at.hub, "receiveMessage", message.digest, b"", message.payload)
    assert caught.value.reason == "OnlyGateway"
    snapshot = await evm.deployed.anvil.rpc("evm_snapshot")
    await evm.send("Committee", at.committee, "replaceKey", *thiefs_key(), by=0)  # control: the owner
    assert (await evm.group_key())[0] == 2
    await evm.deployed.anvil.rpc("evm_revert", snapshot)


# ---- on Solana ----


def crafted(bench: Bench) -> bytes:
    """Instruction data that would make the thief the committee, as a message's payload."""
    step = instructions.set_committee(bench.at, bench.authority.pubkey(), sp.group_key(THIEF, 2), 1)
    return bytes(step.data)


async def test_hack_poly_solana__signed_message_to_the_program_or_nobody__refused(bench: Bench) -> None:
    before = privileged_accounts(bench)
    for recipient in (bytes(bench.at.program), bytes(32)):
        message = Message(Kind.MESSAGE, sp.EVM, bench.home, Sequence(1), sp.EVM_USER, Account(recipient), UnixSeconds(0),
                          crafted(bench))  # fmt: skip
        assert bench.refused(bench.delivery(message)) == "WrongRecipient"
    assert privileged_accounts(bench) == before
    bench.accepted(bench.delivery(bench.inbound(payload=crafted(bench))))  # control: an ordinary recipient
    assert privileged_accounts(bench) == before


async def test_hack_poly_solana__signed_message_to_each_of_the_programs_own_accounts__is_a_record_and_no_more(
    bench: Bench,
) -> None:
    """The program calls no recipient: such a message ends as an inbox account that nobody can act on."""
    before = privileged_accounts(bench)
    for sequence, address in enumerate(before, 1):
        message = bench.inbound(sequence=sequence, recipient=bytes(address), payload=crafted(bench))
        bench.accepted(bench.delivery(message))
        inner = [line for line in bench.logs if "invoke [2]" in line]
        assert {line.split()[1] for line in inner} == {str(SYSTEM)}, "it calls the system program only"
        inbox = bench.account(bench.at.inbox(message.digest).address)
        assert bytes(inbox.data).endswith(message.to_bytes())  # control: it was delivered as a record
        close = instructions.close_inbox(bench.at, address, message.digest, bench.user.pubkey())
        closer = close.accounts[0]
        assert closer.pubkey == address
        # Such an account cannot sign, so nobody closes the record; a signature of somebody else does not do.
        unsigned = bent(close, account_0=AccountMeta(address, False, closer.is_writable))
        assert bench.refused(unsigned) == "MissingSignature"
        other = bent(close, account_0=AccountMeta(bench.user.pubkey(), True, closer.is_writable))
        assert bench.refused(other) == "MissingSignature"
    assert privileged_accounts(bench) == before
    assert len(before) == 4
    ordinary, user = bench.inbound(sequence=99, payload=crafted(bench)), bench.user.pubkey()
    bench.accepted(bench.delivery(ordinary))
    bench.accepted(
        instructions.close_inbox(bench.at, user, ordinary.digest, user)
    )  # control: a recipient that can sign closes


async def test_hack_poly_solana__result_aimed_past_the_program__refused(bench: Bench) -> None:
    result = bench.foreign_result()
    for recipient in (*privileged_accounts(bench), bench.user.pubkey()):
        aimed = replace(result, recipient=Account(bytes(recipient)))
        assert bench.refused(bench.delivery(aimed)) == "WrongRecipient"
    bench.accepted(bench.delivery(result))  # control


async def test_hack_poly_solana__crafted_instruction_from_anybody_else__refused(bench: Bench) -> None:
    step = instructions.set_committee(bench.at, bench.user.pubkey(), sp.group_key(THIEF, 2), 1)
    assert bench.refused(step) == "NotAuthority"
    honest = instructions.set_committee(bench.at, bench.authority.pubkey(), sp.group_key(THIEF, 2), 1)
    bench.accepted(honest, signers=(bench.authority,))  # control: the authority
