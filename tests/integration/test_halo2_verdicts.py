"""Real proofs of real models: the reference, `ezkl.verify`, the Solidity verifier on a chain and the Solana program say the same of each mutation."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio

from circuits.compile import local_srs, run_step
from circuits.halo2 import Key, RejectedProof, accepts, examine, verify
from contracts.evm.build import compile_verifier
from oracle.app.toolchain import ensure_toolchain
from tests.support import halo2_mutations as mutate
from tests.support.evm_chain import Anvil, anvil
from tests.support.halo2 import Case, Sample, changed, evm_verdicts, ezkl_verdicts, sample
from tests.support.solana_verifier import Judge

MODELS = ("tiny", "risk", "tumour")


@dataclass(frozen=True, slots=True)
class Judges:
    """An anvil with the Solidity verifier of each model, and Solana's runtime with the one program that serves all."""

    chain: Anvil
    verifiers: dict[str, str]
    programs: dict[str, Judge]

    async def agree(self, made: Sample, cases: list[Case]) -> list[bool]:
        """The verdicts on which all four agree; the test fails where they do not."""
        key, name = made.key, made.model.name
        reference = [accepts(key, case.proof, case.instances) for case in cases]
        ezkl = ezkl_verdicts(made.model, cases)
        evm = await evm_verdicts(self.chain.chain.rpc_url, self.verifiers[name], cases)
        solana = [self.programs[name].accepts(case) for case in cases]
        found = zip(cases, reference, ezkl, evm, solana, strict=True)
        assert [(case.name, *verdicts) for case, *verdicts in found if len(set(verdicts)) > 1] == []
        return reference


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def judges(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Judges]:
    tools = ensure_toolchain(lambda line: None)
    async with anvil(tmp_path_factory.mktemp("anvil")) as chain:
        addresses = {}
        for name in MODELS:
            code = compile_verifier(tools, sample(name).model.verifier_sol).bytecode
            code = code if isinstance(code, str) else "0x" + bytes(code).hex()
            transaction = {"from": chain.chain.accounts[0].address, "data": code, "gas": "0x4c4b40"}
            done = await chain.rpc("eth_sendTransaction", transaction)
            # The block comes at once, but a busy machine may answer before it.
            for _ in range(400):
                if receipt := await chain.rpc("eth_getTransactionReceipt", done):
                    break
                await asyncio.sleep(0.05)
            assert receipt, "the verifier was not deployed"
            addresses[name] = receipt["contractAddress"]
        yield Judges(chain, addresses, {name: Judge.of(sample(name).key) for name in MODELS})


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("name", MODELS)
async def test_verdicts__honest_proofs__accepted_by_all(judges: Judges, name: str) -> None:
    cases = [replace(sample(name, row).honest, name=f"row {row}") for row in range(3)]
    assert await judges.agree(sample(name), cases) == [True] * 3


@pytest.mark.parametrize("name", MODELS)
async def test_verdicts__flipped_bytes__refused_by_all(judges: Judges, name: str) -> None:
    made = sample(name)
    cases = list(mutate.flips(made.honest, 3 if name == "tiny" else 1, seed=name))
    assert len(cases) >= 61
    assert not any(await judges.agree(made, cases))


async def test_verdicts__points_changed_or_swapped__refused_by_all(judges: Judges) -> None:
    made = sample("tiny")
    cases = [*mutate.points(made.honest), *mutate.swaps(made.honest)]
    assert len(cases) > 150
    assert not any(await judges.agree(made, cases))


async def test_verdicts__evaluations_changed__refused_by_all(judges: Judges) -> None:
    made = sample("tiny")
    cases = list(mutate.scalars(made.honest, ("plus r", "r", "max", "one more", "zero")))
    assert len(cases) > 120
    assert not any(await judges.agree(made, cases))


@pytest.mark.parametrize("name", MODELS)
async def test_verdicts__each_instance_changed__refused_by_all(judges: Judges, name: str) -> None:
    made = sample(name)
    kinds = ("+ 1", "+ r") if name == "tumour" else ("+ 1", "− 1", "negated", "+ r", "max")
    cases = list(mutate.instances(made.honest, kinds))
    assert len(cases) >= 2 * made.key.instance_count
    assert not any(await judges.agree(made, cases))


@pytest.mark.parametrize("name", MODELS)
async def test_verdicts__other_lengths__refused_by_all(judges: Judges, name: str) -> None:
    made = sample(name)
    assert not any(await judges.agree(made, list(mutate.lengths(made.honest))))


async def test_verdicts__two_honest_proofs_joined__refused_by_all(judges: Judges) -> None:
    made, other = sample("tiny"), sample("tiny", 1)
    cases = list(mutate.mixtures(made.honest, other.honest))
    cases.append(changed(made.honest, "the instances of another row", instances=other.honest.instances))
    assert not any(await judges.agree(made, cases))


async def test_verdicts__proof_of_another_model__refused_by_all(judges: Judges) -> None:
    for made, other in (("tiny", "risk"), ("risk", "tumour"), ("tumour", "tiny")):
        mine, theirs = sample(made).honest, sample(other).honest
        cases = [changed(mine, other, proof=theirs.proof), replace(theirs, name="all of it")]
        assert not any(await judges.agree(sample(made), cases))


async def test_verdicts__key_of_another_model__refused(judges: Judges) -> None:
    honest = sample("tiny").honest
    foreign = replace(sample("risk").key, instance_count=sample("tiny").key.instance_count)
    with pytest.raises(RejectedProof) as refused:
        verify(foreign, honest.proof, honest.instances)
    assert refused.value.step == "pairing"


async def test_verdicts__another_reference_string__refused_as_by_ezkl(tmp_path: Path) -> None:
    made = sample("tiny")
    other = local_srs(made.key.k, root=tmp_path)
    assert other.sha256 != made.model.srs_sha256
    assert ezkl_verdicts(made.model, [made.honest], srs=other.path) == [False]
    for name in ("settings.json", "vk.key"):
        (tmp_path / name).write_bytes((made.model.directory / name).read_bytes())
    run_step("vka", tmp_path, 60.0, srs=str(other.path))
    key = Key.from_vka((tmp_path / "vka.bin").read_bytes())
    assert replace(key, neg_s_g2=made.key.neg_s_g2) == made.key
    trace = examine(key, made.honest.proof, made.honest.instances)
    assert not trace.accepted
    assert trace.points == examine(made.key, made.honest.proof, made.honest.instances).points
