"""The EVM contracts on a real anvil with the tumour model's real verifier and a real proof: what is taken, what is refused, and the gas of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from bridges.evm.abi import interface
from bridges.evm.answers import Mined
from bridges.evm.deploy import DeploymentPlan, EvmDeployment, GroupKey, ModelRegistration, deploy
from bridges.evm.points import split_signature
from bridges.evm.requester import AskReceipt, EvmRequester
from bridges.evm.sender import Call, Sender
from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.prover import LocalProver
from contracts.evm.artifacts import MAX_CODE_SIZE, load
from contracts.evm.build import CONTRACTS, build_evm, compile_verifier
from oracle.app.toolchain import ensure_toolchain
from oracle.errors import Rejected
from oracle.ports import ZkProof
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import (
    Account,
    Chain,
    Endpoint,
    Kind,
    Policy,
    Sequence,
    Status,
    UnixSeconds,
    evm_account,
)
from tests.support import samples
from tests.support.evm_chain import OPERATORS, QUICK, RECEIVER, Anvil, anvil
from tests.support.schnorr import SchnorrKey

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module")]

RECIPIENT = evm_account(samples.seeded("trivial recipient", 20))
EVM_PEER = Endpoint(Chain.evm(7001), evm_account(samples.seeded("evm peer", 20)))
PRICE = 10**15


@dataclass(frozen=True, slots=True)
class World:
    """One chain with everything on it; account 0 deployed, 1 delivers, 2 asks."""

    anvil: Anvil
    model: ModelArtifacts
    proof: ZkProof
    inputs: tuple[int, ...]
    key: SchnorrKey
    deployment: EvmDeployment
    sender: Sender
    asker: EvmRequester

    async def ask(self, policy: Policy) -> AskReceipt:
        """One patient, asked for by the clinic's contract, with a callback."""
        deadline = UnixSeconds(await self.asker.chain_time() + 600)
        return await self.asker.ask(self.model.model_id, self.inputs, policy, deadline, through_consumer=True)

    async def hub(self, function: str, *arguments: object) -> Mined:
        """A transaction to the hub."""
        data = interface("OracleHub").encode(function, *arguments)
        return await self.sender.send(Call(self.deployment.hub, data))

    async def deliver(self, *messages: Message) -> Mined:
        """One batch, all of it, in one transaction."""
        assert len(messages) == 1
        data = interface("Gateway").encode("deliver", self.attestation(*messages), [(messages[0].to_bytes(), [])])
        return await self.sender.send(Call(self.deployment.gateway, data))

    def attestation(self, *messages: Message) -> tuple[int, int, int, int]:
        """As the contract takes it."""
        signed = self.key.attest(*messages)
        return (signed.epoch, *split_signature(signed.signature))

    def result(self, asked: AskReceipt, outputs: tuple[int, ...]) -> Message:
        """What the committee signs for the origin."""
        outcome = Outcome(Status.ANSWERED, outputs, self.model.output_scale)
        return result_messages(asked.body, outcome)[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    tools = ensure_toolchain(lambda line: None)
    build_evm(tools)
    model = ensure_model("tumour")
    inputs = model.heldout()[0].inputs
    async with LocalProver([model], devnet=True) as prover:
        proof = await prover.prove(model.model_id, inputs)
    key = SchnorrKey.seeded("group")
    registration = ModelRegistration(
        model_id=model.model_id,
        input_count=model.input_count,
        output_count=model.output_count,
        input_scale=model.input_scale,
        output_scale=model.output_scale,
        input_bound=model.input_bound,
        price=PRICE,
        verifier=compile_verifier(tools, model.verifier_sol).bytecode,
        proof_length=model.proof_length,
    )
    async with anvil(tmp_path_factory.mktemp("anvil")) as chain, chain.client() as client:
        plan = DeploymentPlan(
            GroupKey(key.px, key.parity, key.proof_of_possession(), 3, OPERATORS),
            tuple(account.address for account in chain.chain.accounts[4:8]),
            (registration,),
            (samples.SOLANA, EVM_PEER),
            consumer_owner=chain.account(2).address,
        )
        deployment = await deploy(Sender(client, chain.account(0), QUICK), plan)
        await chain.set_code("0x" + RECIPIENT[12:].hex(), RECEIVER)
        asker = EvmRequester(
            Sender(client, chain.account(2), QUICK),
            _account(deployment.gateway),
            _account(deployment.hub),
            _account(str(deployment.consumer)),
        )
        sender = Sender(client, chain.account(1), QUICK)
        yield World(chain, model, proof, inputs, key, deployment, sender, asker)


def _account(address: str) -> Account:
    return evm_account(bytes.fromhex(address.removeprefix("0x")))


def _message(world: World, origin: Endpoint, sender: Account, sequence: int) -> Message:
    payload = samples.seeded("first word") + samples.seeded("second word")
    destination = world.deployment.endpoint
    return Message(Kind.MESSAGE, origin, destination, Sequence(sequence), sender, RECIPIENT, UnixSeconds(0), payload)


@pytest.mark.parametrize("origin", ["evm", "solana"])
async def test_evm_contracts__attested_delivery_of_64_bytes__within_75000_gas(world: World, origin: str) -> None:
    peer, sender = (EVM_PEER, samples.CONSUMER) if origin == "evm" else (samples.SOLANA, samples.SOLANA_CONSUMER)
    first = await world.deliver(_message(world, peer, sender, 1))
    later = await world.deliver(_message(world, peer, sender, 2))
    print(f"attested delivery from {origin}: {first.gas_used} gas, later in its window {later.gas_used}")
    assert first.gas_used <= 75_000  # pays for the window's first bit: 256 messages share that slot
    assert later.gas_used <= 60_000


async def test_evm_contracts__proven_answer_with_callback__within_560000_gas(world: World) -> None:
    asked = await world.ask(Policy.PROVEN)
    mined = await world.hub("fulfil", asked.body.to_bytes(), list(world.proof.outputs), world.proof.proof)
    print(f"request {asked.gas} gas; proven delivery with callback {mined.gas_used} gas")
    diagnosis = await world.asker.diagnosis(asked.request_id)
    answer = await world.asker.answer(asked.request_id)
    assert diagnosis is not None
    assert answer is not None
    assert answer.outputs == world.proof.outputs
    assert mined.gas_used <= 560_000


async def test_evm_contracts__signature_and_proof__answered(world: World) -> None:
    asked = await world.ask(Policy.BOTH)
    result = world.result(asked, world.proof.outputs)
    delivery: tuple[bytes, list[bytes]] = (result.to_bytes(), [])
    mined = await world.hub("fulfilBoth", world.attestation(result), delivery, asked.body.to_bytes(), world.proof.proof)
    print(f"delivery under both, with callback: {mined.gas_used} gas")
    assert (await world.asker.diagnosis(asked.request_id)) is not None
    assert mined.gas_used <= 640_000


async def test_evm_contracts__attested_answer_with_callback__answered(world: World) -> None:
    asked = await world.ask(Policy.ATTESTED)
    mined = await world.deliver(world.result(asked, world.proof.outputs))
    print(f"attested answer with callback: {mined.gas_used} gas")
    assert (await world.asker.diagnosis(asked.request_id)) is not None


async def test_evm_contracts__doctored_real_proof__refused(world: World) -> None:
    asked = await world.ask(Policy.PROVEN)
    body, outputs, proof = asked.body.to_bytes(), list(world.proof.outputs), world.proof.proof
    for place in (0, 31, 64, 700, len(proof) - 1):
        changed = bytearray(proof)
        changed[place] ^= 1
        await _refused(world, "InvalidProof", body, outputs, bytes(changed))
    await _refused(world, "InvalidProof", body, [outputs[0] + 1], proof)
    await _refused(world, "InvalidProof", body, [-outputs[0]], proof)
    await _refused(world, "InvalidProof", body, outputs, bytes(len(proof)))
    await _refused(world, "WrongProofLength", body, outputs, proof + bytes(32))
    await _refused(world, "WrongProofLength", body, outputs, proof[:-32])
    await _refused(world, "InvalidOutputCount", body, [*outputs, 0], proof)
    await world.hub("fulfil", body, outputs, proof)


async def test_evm_contracts__real_proof_of_another_patient__refused(world: World) -> None:
    deadline = UnixSeconds(await world.asker.chain_time() + 600)
    other = (world.inputs[0] + 1, *world.inputs[1:])
    asked = await world.asker.ask(world.model.model_id, other, Policy.PROVEN, deadline)
    await _refused(world, "InvalidProof", asked.body.to_bytes(), list(world.proof.outputs), world.proof.proof)


async def test_evm_contracts__lying_committee_under_both__stopped_by_the_proof(world: World) -> None:
    asked = await world.ask(Policy.BOTH)
    lie = (world.proof.outputs[0] + 1,)
    result = world.result(asked, lie)
    with pytest.raises(Rejected) as refused:
        await world.hub(
            "fulfilBoth",
            world.attestation(result),
            (result.to_bytes(), []),
            asked.body.to_bytes(),
            world.proof.proof,
        )
    assert refused.value.reason == "InvalidProof"
    with pytest.raises(Rejected) as refused:
        await world.deliver(result)
    assert "ProofRequired" in f"{refused.value.reason} {refused.value}"


async def _refused(world: World, reason: str, body: bytes, outputs: list[int], proof: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        await world.hub("fulfil", body, outputs, proof)
    assert refused.value.reason == reason


async def test_evm_contracts__every_contract__fits_the_size_limit(world: World) -> None:
    sizes = {name: load(name).deployed_size for name in CONTRACTS}
    print(sizes)
    assert max(sizes.values()) <= MAX_CODE_SIZE
