"""The reference models, for real: what their cards promise, their proofs here, on Solana's runtime and on an EVM chain, and what each costs.

The three cheapest in every run, the others when asked for (`-m heavy`): those build for minutes.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import cache

import pytest
import pytest_asyncio

from bridges.evm.abi import interface
from bridges.evm.deploy import DeploymentPlan, EvmDeployment, GroupKey, ModelRegistration, deploy
from bridges.evm.requester import EvmRequester
from bridges.evm.sender import Call, Sender
from circuits.catalogue import ModelArtifacts, ensure_model
from circuits.halo2 import Key
from circuits.prover import LocalProver
from contracts.evm.build import build_evm, compile_verifier
from oracle.app.toolchain import ensure_toolchain
from oracle.errors import InferenceError, Rejected
from oracle.ports import ZkProof
from oracle.protocol.encoding import dequantise, to_field
from oracle.protocol.types import Account, Policy, UnixSeconds, evm_account
from tests.support import samples
from tests.support.evm_chain import OPERATORS, QUICK, anvil
from tests.support.halo2_program import Probe
from tests.support.schnorr import SchnorrKey

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]


@dataclass(frozen=True, slots=True)
class Promise:
    """What a model's own circuit and card must keep."""

    inputs: int
    outputs: int
    k: int
    accuracy: float
    error: float
    """Largest error bound."""
    gas: int
    """Of a delivery by proof without a callback, whole transaction, by an account that the hub owes something already (else 17,100 more)."""


PROMISES = {
    "tumour": Promise(30, 1, 11, 0.97, 0.1, 480_000),
    "logistic": Promise(10, 1, 8, 0.94, 3e-4, 480_000),
    "forest": Promise(13, 1, 11, 0.97, 0.0, 480_000),
    "boosted": Promise(10, 1, 11, 0.71, 0.0, 480_000),
    "digits": Promise(64, 10, 13, 0.97, 0.01, 620_000),
    "attention": Promise(64, 10, 13, 0.94, 0.05, 620_000),
    "series": Promise(6, 1, 14, 0.84, 0.1, 480_000),
}
CHEAPEST = ("tumour", "logistic", "forest", "boosted")
NAMES = [pytest.param(name, marks=[] if name in CHEAPEST else [pytest.mark.heavy]) for name in PROMISES]
UNITS = 500_000
"""Compute units of the whole verification on Solana: the goal of the verifier."""


@cache
def model(name: str) -> ModelArtifacts:
    return ensure_model(name)


@cache
def probe() -> Probe:
    return Probe()


@dataclass(slots=True)
class Proofs:
    """A prover, and one honest proof of each model."""

    made: dict[str, ZkProof]

    async def of(self, name: str) -> ZkProof:
        if name not in self.made:
            found = model(name)
            async with LocalProver([found], devnet=True) as prover:
                self.made[name] = await prover.prove(found.model_id, found.heldout()[0].inputs)
            print(f"{name}: k={found.k}, proven in {self.made[name].seconds:.2f} s, {len(self.made[name].proof)} bytes")
        return self.made[name]


@pytest.fixture(scope="module")
def proofs() -> Proofs:
    return Proofs({})


# ---- what the cards say ----


@pytest.mark.parametrize("name", NAMES)
async def test_card__as_measured__within_the_promises(name: str) -> None:
    found, promise = model(name), PROMISES[name]
    card = found.card
    assert (found.input_count, found.output_count, found.k) == (promise.inputs, promise.outputs, promise.k)
    assert card.measured.accuracy >= promise.accuracy
    assert card.measured.error_max <= card.error_bound <= promise.error
    assert card.measured.decision_flips == 0
    assert len(card.inputs) == found.input_count
    assert len(card.labels) == max(2, found.output_count)
    assert card.licence == "Apache-2.0"
    assert card.data_source
    assert card.data_licence
    settings = json.loads(found.settings.read_bytes())
    assert settings["required_lookups"] == []
    assert settings["run_args"]["param_visibility"] == "Fixed"


@pytest.mark.parametrize("name", NAMES)
async def test_heldout_rows__all_of_them__labelled_as_the_card_says_and_near_onnxruntime(name: str) -> None:
    found = model(name)
    rows = found.heldout()
    right = 0
    async with LocalProver([found], devnet=True) as prover:
        for row in rows:
            assert found.card.quantise_raw(row.raw, found.input_scale) == row.inputs
            answer = await prover.infer(found.model_id, row.inputs)
            values = dequantise(answer.outputs, found.output_scale)
            gaps = [abs(a - b) for a, b in zip(values, answer.float_outputs, strict=True)]
            assert max(gaps) <= found.card.measured.error_max
            right += found.card.decide(values) == row.label
    assert len(rows) == found.card.measured.heldout_rows
    assert round(right / len(rows), 4) == found.card.measured.accuracy


@pytest.mark.parametrize("name", NAMES)
async def test_extreme_inputs__every_corner_of_the_range__answered_within_the_bound_and_beyond_it_refused(
    name: str,
) -> None:
    found = model(name)
    most = found.input_bound
    corners = [(sign * most,) * found.input_count for sign in (1, -1, 0)]
    corners += [tuple(most if (place * step) % 3 else -most for place in range(found.input_count)) for step in (1, 2)]
    async with LocalProver([found], devnet=True) as prover:
        for row in corners:
            answer = await prover.infer(found.model_id, row)
            values = dequantise(answer.outputs, found.output_scale)
            assert max(abs(a - b) for a, b in zip(values, answer.float_outputs, strict=True)) <= found.card.error_bound
        with pytest.raises(InferenceError, match="outside the range"):
            await prover.infer(found.model_id, (most + 1, *corners[0][1:]))


# ---- proofs ----


@pytest.mark.parametrize("name", NAMES)
async def test_proof__another_row_or_outcome__refused(name: str, proofs: Proofs) -> None:
    found, proof = model(name), await proofs.of(name)
    first = found.heldout()[0].inputs
    other = next(row.inputs for row in found.heldout() if row.inputs != first)
    async with LocalProver([found], devnet=True) as prover:
        assert await prover.verify(found.model_id, first, proof.outputs, proof.proof)
        assert not await prover.verify(found.model_id, other, proof.outputs, proof.proof)
        lie = (proof.outputs[0] + 1, *proof.outputs[1:])
        assert not await prover.verify(found.model_id, first, lie, proof.proof)
        if len(proof.outputs) > 1 and proof.outputs[0] != proof.outputs[-1]:
            assert not await prover.verify(found.model_id, first, proof.outputs[::-1], proof.proof)


@pytest.mark.parametrize("name", NAMES)
async def test_proof__on_solanas_runtime__accepted_within_its_units_and_a_lie_refused(
    name: str, proofs: Proofs
) -> None:
    found, proof = model(name), await proofs.of(name)
    key = Key.from_vka((found.directory / "vka.bin").read_bytes())  # refuses whatever is not of the one-column family
    instances = [to_field(value) for value in (*found.heldout()[0].inputs, *proof.outputs)]
    ran = probe().verify(key, proof.proof, instances)
    print(f"{name}: {sum(ran.units.values())} compute units")
    assert ran.refused is None
    assert sum(ran.units.values()) < UNITS
    assert probe().accepts(key, proof.proof, instances)
    assert not probe().accepts(key, proof.proof, [*instances[:-1], instances[-1] + 1])


# ---- on an EVM chain ----


@dataclass(frozen=True, slots=True)
class Chain:
    """An anvil with the contracts; account 1 delivers, 2 asks."""

    deployment: EvmDeployment
    sender: Sender
    asker: EvmRequester
    names: tuple[str, ...]

    async def fulfil(self, name: str, proof: ZkProof, outputs: tuple[int, ...]) -> int:
        """Gas of a question's delivery by proof, without a callback."""
        deadline = UnixSeconds(await self.asker.chain_time() + 600)
        found = model(name)
        asked = await self.asker.ask(found.model_id, found.heldout()[0].inputs, Policy.PROVEN, deadline)
        data = interface("OracleHub").encode("fulfil", asked.body.to_bytes(), list(outputs), proof.proof)
        mined = await self.sender.send(Call(self.deployment.hub, data))
        answer = await self.asker.answer(asked.request_id)
        assert answer is not None
        assert (answer.outputs, answer.output_scale) == (outputs, found.output_scale)
        return mined.gas_used


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chain]:
    tools = ensure_toolchain(lambda line: None)
    build_evm(tools)
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if getattr(item, "module", None) is request.module and "chain" in item.fixturenames
    }
    names = tuple(name for name in PROMISES if name in asked)
    key = SchnorrKey.seeded("group")
    async with anvil(tmp_path_factory.mktemp("anvil")) as running, running.client() as client:
        accounts = tuple(account.address for account in running.chain.accounts[4:8])
        plan = DeploymentPlan(
            GroupKey(key.px, key.parity, key.proof_of_possession(), 3, OPERATORS),
            accounts,
            tuple(_registration(tools, model(name)) for name in names),
            (samples.SOLANA,),
            consumer_owner=running.account(2).address,
        )
        deployment = await deploy(Sender(client, running.account(0), QUICK), plan)
        addresses = (deployment.gateway, deployment.hub, str(deployment.consumer))
        asker = EvmRequester(Sender(client, running.account(2), QUICK), *(_account(address) for address in addresses))
        yield Chain(deployment, Sender(client, running.account(1), QUICK), asker, names)


def _registration(tools: object, found: ModelArtifacts) -> ModelRegistration:
    return ModelRegistration(
        model_id=found.model_id,
        input_count=found.input_count,
        output_count=found.output_count,
        input_scale=found.input_scale,
        output_scale=found.output_scale,
        input_bound=found.input_bound,
        price=10**15,
        verifier=compile_verifier(tools, found.verifier_sol).bytecode,
        proof_length=found.proof_length,
    )


def _account(address: str) -> Account:
    return evm_account(bytes.fromhex(address.removeprefix("0x")))


@pytest.mark.devnet
@pytest.mark.parametrize("name", NAMES)
async def test_proof__on_an_evm_chain__delivered_within_its_gas_and_a_lie_refused(
    name: str, chain: Chain, proofs: Proofs
) -> None:
    proof = await proofs.of(name)
    with pytest.raises(Rejected, match="does not show these outputs"):
        await chain.fulfil(name, proof, (proof.outputs[0] + 1, *proof.outputs[1:]))
    first, gas = [await chain.fulfil(name, proof, proof.outputs) for _ in range(2)]
    print(f"{name}: proven delivery {gas} gas (the one before: {first})")
    assert gas <= PROMISES[name].gas
    with pytest.raises(Rejected, match="does not show these outputs"):
        await chain.fulfil(name, replace(proof, proof=bytes(len(proof.proof))), proof.outputs)
