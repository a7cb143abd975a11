"""The transfer guard on a real anvil, with the real hub, the risk model and real ezkl proofs: what passes, what waits, and who cannot clear it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from eth_typing import ChecksumAddress

from bridges.evm.abi import account_of, address_of, interface
from bridges.evm.answers import Mined
from bridges.evm.deploy import DeploymentPlan, GroupKey, ModelRegistration, deploy, deploy_tokens
from bridges.evm.guard import AskedScore, ClearanceState, EvmGuard, GuardSettings, deploy_guard
from bridges.evm.points import split_signature
from bridges.evm.sender import Call, Sender
from bridges.evm.tokens import EvmTokens
from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.models.risk.build import RECOMMENDED_BOUND
from circuits.models.risk.features import Transfer, features
from circuits.prover import LocalProver
from contracts.evm.build import build_evm, compile_verifier
from oracle.app.toolchain import ensure_toolchain
from oracle.errors import Rejected
from oracle.ports import ZkProof
from oracle.protocol.interop import InteropAddress
from oracle.protocol.message import Message, Outcome, non_delivery_message, result_messages
from oracle.protocol.tokens import TokenTransfer
from oracle.protocol.types import Account, ChainType, Digest, Endpoint, Kind, Policy, Sequence, Status, UnixSeconds
from tests.support import samples
from tests.support.evm_chain import OPERATORS, QUICK, Anvil, anvil
from tests.support.schnorr import SchnorrKey

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
AUTHORITY = Account(samples.seeded("bridge authority"))
SOL_USER = Account(samples.seeded("solana user"))
TO = InteropAddress(samples.SOLANA.chain, SOL_USER)
ETHER, GWEI = 10**18, 10**9
LOCKED = 1000 * GWEI
LIMIT = 10 * GWEI
PRICE = 10**15
LIFETIME = 3600


@dataclass
class World:
    """A guarded bridge of wrapped ether with a thousand ether in it. Account 0 governs, 1 delivers, 3 is the user, 4 asks."""

    anvil: Anvil
    endpoint: Endpoint
    hub: ChecksumAddress
    key: SchnorrKey
    model: ModelArtifacts
    prover: LocalProver
    tokens: EvmTokens
    asker: EvmGuard
    governance: EvmGuard
    bridge: ChecksumAddress
    weth: ChecksumAddress
    senders: dict[int, Sender]
    sequence: int = field(default=0)

    def transfer(self, to: ChecksumAddress, amount: int) -> Message:
        """What a quorum can sign at any time, whether or not anybody sent it."""
        self.sequence += 1
        payload = TokenTransfer(TO, ChainType.EIP155, account_of(to), amount).to_bytes()
        bridge, sequence = account_of(self.bridge), Sequence(self.sequence)
        return Message(
            Kind.MESSAGE, samples.SOLANA, self.endpoint, sequence, AUTHORITY, bridge, UnixSeconds(0), payload
        )

    async def deliver(self, *messages: Message) -> Mined:
        """By anyone, under the committee's key."""
        signed = self.key.attest(*messages)
        attestation = (signed.epoch, *split_signature(signed.signature))
        data = interface("Gateway").encode("deliver", attestation, [(messages[0].to_bytes(), [])])
        return await self.senders[1].send(Call(self.gateway, data))

    @property
    def gateway(self) -> ChecksumAddress:
        """Where messages are delivered."""
        return address_of(self.endpoint.gateway)

    def request(self, asked: AskedScore) -> Message:
        """The request that a question posted."""
        abi = interface("Gateway")
        for log in asked.mined.logs:
            if log.topics[:1] == (abi.topic("MessagePosted"),):
                return Message.from_bytes(abi.decode_event("MessagePosted", log.topics, log.data)["body"])
        raise AssertionError("no post")

    async def proven(self, asked: AskedScore) -> tuple[ZkProof, Mined]:
        """A prover proves the score and brings it."""
        proof = await self.prover.prove(self.model.model_id, asked.features)
        body = self.request(asked).to_bytes()
        data = interface("OracleHub").encode("fulfil", body, list(proof.outputs), proof.proof)
        return proof, await self.senders[1].send(Call(self.hub, data))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    tools = ensure_toolchain(lambda line: None)
    build_evm(tools)
    model = ensure_model("risk")
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
    async with (
        anvil(tmp_path_factory.mktemp("anvil")) as chain,
        chain.client() as client,
        LocalProver([model], devnet=True) as prover,
    ):
        senders = {index: Sender(client, chain.account(index), QUICK) for index in range(6)}
        payees = tuple(account.address for account in chain.chain.accounts[4:8])
        group = GroupKey(key.px, key.parity, key.proof_of_possession(), 3, OPERATORS)
        made = await deploy(senders[0], DeploymentPlan(group, payees, (registration,), (samples.SOLANA,)))
        authority = InteropAddress(samples.SOLANA.chain, AUTHORITY)
        bridges = await deploy_tokens(senders[0], made.gateway, authority)
        tokens = EvmTokens(senders[3], account_of(bridges.factory))
        bridge = (await tokens.register(bridges.weth)).bridge
        await tokens.transfer_ether(TO, 1000 * ETHER)
        governance = await deploy_guard(senders[0], bridges.factory, made.hub)
        settings = GuardSettings(model.model_id, Policy.PROVEN, RECOMMENDED_BOUND, LIFETIME)
        await governance.configure(bridge, settings, LIMIT)
        assert await governance.settings(bridge) == settings
        asker = EvmGuard(senders[4], account_of(governance.address))
        yield World(
            chain, made.endpoint, made.hub, key, model, prover, tokens, asker, governance, bridge, bridges.weth, senders
        )


async def arrives(world: World, to: ChecksumAddress, amount: int) -> Digest:
    """A transfer over the limit, which waits."""
    message = world.transfer(to, amount)
    await world.deliver(message)
    waiting = await world.tokens.waiting(world.weth, message.digest)
    assert waiting is not None
    assert (waiting.amount, waiting.guarded) == (amount, True)
    return message.digest


async def test_guard__ordinary_payout__scored_by_a_proof_and_released(world: World) -> None:
    known = world.tokens.address
    await world.deliver(world.transfer(known, LIMIT))  # small enough to pass, and the account is known from now on
    transfer_id = await arrives(world, known, 2 * LIMIT)
    with pytest.raises(Rejected, match="needs the guard's clearance") as refused:
        await world.tokens.release(world.weth, transfer_id)
    assert refused.value.reason == "NotCleared"

    asked = await world.asker.ask_inbound(world.bridge, transfer_id)
    seen = Transfer(2 * LIMIT, LOCKED - LIMIT, None, LIMIT, fresh=False, inbound=True)
    assert asked.features == features(seen), "the chain computes what the reference does"
    assert asked.fee == PRICE
    with pytest.raises(Rejected, match="asked for already"):
        await world.asker.ask_inbound(world.bridge, transfer_id)
    proof, mined = await world.proven(asked)
    clearance = await world.asker.inbound(world.bridge, transfer_id)
    assert proof.outputs[0] < RECOMMENDED_BOUND
    assert (clearance.state, clearance.score, clearance.until) == (ClearanceState.CLEARED, proof.outputs[0], 0)
    before = await world.tokens.balance(world.weth)
    await world.tokens.release(world.weth, transfer_id)
    assert await world.tokens.balance(world.weth) - before == 2 * LIMIT * GWEI
    print(f"question {asked.mined.gas_used} gas; proven score with its callback {mined.gas_used} gas")


async def test_guard__most_of_the_vault_to_a_stranger__denied_until_governance_clears_it(world: World) -> None:
    stranger = world.senders[5].address
    transfer_id = await arrives(world, stranger, 900 * GWEI)
    asked = await world.asker.ask_inbound(world.bridge, transfer_id)
    proof, _ = await world.proven(asked)
    assert proof.outputs[0] >= RECOMMENDED_BOUND
    clearance = await world.asker.inbound(world.bridge, transfer_id)
    assert (clearance.state, clearance.score) == (ClearanceState.DENIED, proof.outputs[0])
    with pytest.raises(Rejected, match="decided of this transfer already"):
        await world.asker.ask_inbound(world.bridge, transfer_id)
    with pytest.raises(Rejected, match="may not do this"):
        await world.asker.decide(asked.key, cleared=True)
    with pytest.raises(Rejected, match="needs the guard's clearance"):
        await world.tokens.release(world.weth, transfer_id)
    await world.governance.decide(asked.key, cleared=True)
    assert (await world.asker.inbound(world.bridge, transfer_id)).state is ClearanceState.CLEARED
    await world.governance.decide(asked.key, cleared=False)  # and takes it back: nothing moved yet
    with pytest.raises(Rejected, match="needs the guard's clearance"):
        await world.tokens.release(world.weth, transfer_id)


async def test_guard__quorum_that_lies__clears_nothing_it_forged(world: World) -> None:
    """The whole group key is the thief's: he makes the transfer, and every answer that a key can sign."""
    thief = world.senders[5].address
    transfer_id = await arrives(world, thief, 50 * GWEI)
    asked = await world.asker.ask_inbound(world.bridge, transfer_id)
    request = world.request(asked)
    fine = Outcome(Status.ANSWERED, (RECOMMENDED_BOUND - 1,), world.model.output_scale)
    answer = result_messages(request, fine)[0]
    attested = answer.payload[:1] + bytes([Policy.ATTESTED]) + answer.payload[2:]
    for payload in (answer.payload, attested):
        forged = Message(
            answer.kind, answer.origin, answer.destination, answer.sequence, answer.sender, answer.recipient,
            answer.expiry, payload,
        )  # fmt: skip
        with pytest.raises(Rejected):
            await world.deliver(forged)
    # Nor a proof of another transfer's score: the instances come from the request.
    good = Transfer(2 * LIMIT, LOCKED, None, 0, fresh=False, inbound=True)
    proof = await world.prover.prove(world.model.model_id, features(good))
    data = interface("OracleHub").encode("fulfil", request.to_bytes(), list(proof.outputs), proof.proof)
    with pytest.raises(Rejected, match="proof"):
        await world.senders[1].send(Call(world.hub, data))
    assert (await world.asker.inbound(world.bridge, transfer_id)).state is ClearanceState.ASKED
    with pytest.raises(Rejected, match="needs the guard's clearance"):
        await world.tokens.release(world.weth, transfer_id)
    # A refusal it may sign. It gives the asker the fee back, and clears nothing.
    refusal = result_messages(request, Outcome(Status.INFERENCE_FAILED, (), 0))[0]
    await world.deliver(refusal)
    assert (await world.asker.inbound(world.bridge, transfer_id)).state is ClearanceState.NONE
    assert await world.asker.credit() == PRICE
    await world.asker.withdraw()
    assert await world.asker.credit() == 0
    with pytest.raises(Rejected, match="Nothing is credited"):
        await world.asker.withdraw()


async def test_guard__way_out__cleared_for_exactly_one_transfer(world: World) -> None:
    amount = 20 * ETHER
    with pytest.raises(Rejected, match="clearance first") as refused:
        await world.tokens.transfer_ether(TO, amount)
    assert refused.value.reason == "NoClearance"
    own = EvmGuard(world.senders[3], account_of(world.governance.address))
    asked = await own.ask_outbound(world.bridge, SOL_USER, amount // GWEI)
    proof, _ = await world.proven(asked)
    assert proof.outputs[0] < RECOMMENDED_BOUND
    clearance = await own.outbound(world.bridge, world.tokens.address, SOL_USER, amount // GWEI)
    assert clearance.state is ClearanceState.CLEARED
    assert clearance.until > 0
    for wrong in (amount + GWEI, amount - GWEI):
        with pytest.raises(Rejected, match="clearance first"):
            await world.tokens.transfer_ether(TO, wrong)
    sent = await world.tokens.transfer_ether(TO, amount)
    with pytest.raises(Rejected, match="clearance first"):
        await world.tokens.transfer_ether(TO, amount)
    # What lapses and is over the limit comes back by the same gate.
    await world.deliver(non_delivery_message(sent.message))
    waiting = await world.tokens.waiting(world.weth, sent.digest)
    assert waiting is not None
    assert waiting.guarded


async def test_guard__no_answer_in_time__fee_back_by_anyones_hand(world: World) -> None:
    transfer_id = await arrives(world, world.tokens.address, 2 * LIMIT)
    asked = await world.asker.ask_inbound(world.bridge, transfer_id)
    with pytest.raises(Rejected, match="may still come"):
        await world.asker.settle(asked.request_id)
    await world.anvil.rpc("evm_increaseTime", 3601)
    await world.anvil.mine(1)
    before = await world.asker.credit()
    await EvmGuard(world.senders[5], account_of(world.governance.address)).settle(asked.request_id)
    assert await world.asker.credit() - before == PRICE
    with pytest.raises(Rejected, match="no open request"):
        await world.asker.settle(asked.request_id)


async def test_guard__delivery_below_the_limit__within_the_gas_bound(world: World) -> None:
    """A guarded bridge tells its guard of every transfer: two more writes at the most."""
    user = world.tokens.address
    costs = [(await world.deliver(world.transfer(user, GWEI))).gas_used for _ in range(3)]
    print(f"release to an existing account, guarded, below the limit: {costs[-1]} gas")
    assert costs[-1] <= 130_000
