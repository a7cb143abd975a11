"""The reference models asked on a devnet of four nodes: each answered by proof alone, as the model says, and delivered once.

The three cheapest in every run, beside the demonstration model; the others when asked for (`-m heavy`).
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from circuits.catalogue import ensure_model
from circuits.prover import LocalProver
from oracle.app.devnet.network import DevnetOptions
from oracle.pipeline import Stage
from oracle.protocol.encoding import dequantise
from oracle.protocol.types import Policy, Status, UnixSeconds
from tests.support.devnet import ANSWER_SECONDS, World, open_world

CHEAPEST, HEAVY = ("logistic", "forest", "boosted"), ("digits", "attention", "series")
PATIENCE = 4 * ANSWER_SECONDS

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1_200)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    heavy = any(item.get_closest_marker("heavy") for item in request.session.items if item.path == request.path)
    also = (*CHEAPEST, *(HEAVY if heavy else ()))
    async with open_world(DevnetOptions(prove_takeover=30.0, also=also)) as running:
        yield running


@pytest.mark.parametrize("name", [*CHEAPEST, *(pytest.param(name, marks=pytest.mark.heavy) for name in HEAVY)])
async def test_request__reference_model_under_proven__answered_as_the_model_says(name: str, world: World) -> None:
    model = ensure_model(name)
    row = model.heldout()[1]
    deadline = UnixSeconds(await world.user.evm.chain_time() + 1_200)
    asked = await world.user.evm.ask(model.model_id, row.inputs, Policy.PROVEN, deadline)
    await world.until_stage(asked.request_id, Stage.CONFIRMED, timeout=PATIENCE, poll=0.5)
    answer = await world.user.evm.answer(asked.request_id)
    assert answer is not None
    assert (answer.status, answer.policy, answer.output_scale) == (Status.ANSWERED, Policy.PROVEN, model.output_scale)
    async with LocalProver([model], devnet=True) as prover:
        assert answer.outputs == (await prover.infer(model.model_id, row.inputs)).outputs
    assert model.card.decide(dequantise(answer.outputs, answer.output_scale)) in model.card.labels
    assert await world.evm_logs("OracleHub", "Answered", asked.request_id) == 1
