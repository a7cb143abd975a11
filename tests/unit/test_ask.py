"""From the command line to a question, and from an answer to a sentence."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from rich.text import Text

from circuits.catalogue import ModelArtifacts, ensure_model
from oracle.app.ask import Route, _sentence, make_question, read_inputs
from oracle.app.asking import EVM, SOLANA, Arrival, DevnetUser, Question
from oracle.errors import ConfigError
from oracle.protocol.encoding import quantise
from oracle.protocol.errors import EncodeError
from oracle.protocol.types import Policy, Status


@pytest.fixture(scope="module")
def tiny() -> ModelArtifacts:
    return ensure_model("tiny")


@pytest.fixture
def point(tmp_path: Path) -> Path:
    path = tmp_path / "point.json"
    path.write_text('{"y": 0.5, "x": -1}')
    return path


@pytest.mark.parametrize(
    ("route", "origin", "policy", "remote_policy"),
    [
        ((EVM, EVM, "attested"), EVM, Policy.ATTESTED, None),
        ((EVM, EVM, "proven"), EVM, Policy.PROVEN, None),
        ((EVM, EVM, "BOTH"), EVM, Policy.BOTH, None),
        (("Solana", "solana", "attested"), SOLANA, Policy.ATTESTED, None),
        ((SOLANA, SOLANA, "proven"), SOLANA, Policy.PROVEN, None),
        ((None, SOLANA, "proven"), SOLANA, Policy.PROVEN, None),
        ((None, EVM, "proven"), EVM, Policy.PROVEN, None),
        ((None, SOLANA, "attested"), EVM, Policy.ATTESTED, Policy.ATTESTED),
        ((None, EVM, "both"), EVM, Policy.BOTH, None),
        ((EVM, SOLANA, "attested"), EVM, Policy.ATTESTED, Policy.ATTESTED),
        ((SOLANA, EVM, "attested"), SOLANA, Policy.ATTESTED, Policy.ATTESTED),
        ((SOLANA, EVM, "both"), SOLANA, Policy.ATTESTED, Policy.BOTH),
    ],
)
def test_question__every_route__puts_the_policy_where_the_answer_is_used(
    tiny: ModelArtifacts,
    point: Path,
    route: Route,
    origin: str,
    policy: Policy,
    remote_policy: Policy | None,
) -> None:
    inputs = quantise([-1, 0.5], tiny.input_scale)
    assert make_question(tiny, point, route) == Question(inputs, origin, policy, remote_policy)


@pytest.mark.parametrize("policy", ["attested", "proven", "both"])
@pytest.mark.parametrize("to", [EVM, SOLANA])
@pytest.mark.parametrize("origin", [None, EVM, SOLANA])
def test_question__whatever_is_accepted__is_what_the_protocol_allows(
    tiny: ModelArtifacts, point: Path, origin: str | None, to: str, policy: str
) -> None:
    """PROTOCOL.md §3, §4: Solana checks a signature or a proof; PROVEN takes no remote and is taken by none."""
    try:
        question = make_question(tiny, point, (origin, to, policy))
    except ConfigError:
        assert policy != "attested", "the signature is checked everywhere"
        return
    places = {question.origin: question.policy}
    if question.remote_policy is not None:
        places[SOLANA if question.origin == EVM else EVM] = question.remote_policy
        assert Policy.PROVEN not in places.values()
    assert places.get(SOLANA) is not Policy.BOTH
    assert places[to].name.lower() == policy


@pytest.mark.parametrize(("origin", "to"), [(EVM, SOLANA), (SOLANA, EVM)])
def test_question__proof_of_a_question_of_another_chain__refused_with_why_and_what_to_ask(
    tiny: ModelArtifacts, point: Path, origin: str, to: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_question(tiny, point, (origin, to, "proven"))
    assert f"the request that it holds itself, so a question from {origin} cannot be answered so on {to}" in str(
        caught.value
    )
    assert f"--from {to} --to {to} --policy proven" in str(caught.value)
    assert "--policy attested" in str(caught.value)
    make_question(tiny, point, (to, to, "proven"))


def test_inputs__object_and_array__give_the_same(tiny: ModelArtifacts, tmp_path: Path) -> None:
    for row in tiny.heldout():
        (tmp_path / "raw.json").write_text(json.dumps(row.raw))
        (tmp_path / "row.json").write_text(json.dumps([row.raw[name] for name in tiny.input_names]))
        assert read_inputs(tiny, tmp_path / "raw.json") == read_inputs(tiny, tmp_path / "row.json") == row.inputs


def test_inputs__at_the_range__are_taken_and_one_step_beyond_is_not(tiny: ModelArtifacts, tmp_path: Path) -> None:
    path = tmp_path / "edge.json"
    path.write_text(json.dumps([tiny.card.input_range, -tiny.card.input_range]))
    assert read_inputs(tiny, path) == (tiny.input_bound, -tiny.input_bound)
    path.write_text(json.dumps({"x": 0, "y": tiny.card.input_range + 2.0**-tiny.input_scale}))
    with pytest.raises(EncodeError, match=r"y is 8\.00024, outside"):
        read_inputs(tiny, path)


def sentence(model: ModelArtifacts, arrival: Arrival) -> str:
    user = cast(DevnetUser, SimpleNamespace(model=model))
    return Text.from_markup(_sentence(user, arrival)).plain


def test_sentence__answer__has_label_logit_place_time_and_cost(tiny: ModelArtifacts) -> None:
    answer = Arrival(EVM, Policy.BOTH, 1.23, Status.ANSWERED, (3 << 12,), 13, cost=123_456)
    assert sentence(tiny, answer) == "above (logit +1.5000) on evm after 1.2 s under both, 123,456 gas"
    below = replace(answer, chain=SOLANA, policy=Policy.ATTESTED, outputs=(-1 << 13,), cost=40_000)
    assert sentence(tiny, below) == "below (logit -1.0000) on solana after 1.2 s under attested, 40,000 compute units"
    assert sentence(tiny, replace(answer, cost=None)).endswith("under both")


def test_sentence__refusal__says_why_and_that_the_fee_went_back(tiny: ModelArtifacts) -> None:
    refusal = Arrival(SOLANA, Policy.ATTESTED, 4.0, Status.OUT_OF_RANGE, (), 0)
    assert sentence(tiny, refusal) == "refused on solana after 4.0 s under attested: out of range; the fee went back"


def test_sentence__several_outputs__the_label_of_the_largest_and_all_scores(tiny: ModelArtifacts) -> None:
    three = replace(tiny, card=replace(tiny.card, labels=("red", "green", "blue")))
    answer = Arrival(EVM, Policy.PROVEN, 2.0, Status.ANSWERED, (1 << 12, 3 << 12, -1 << 12), 12)
    assert sentence(three, answer) == "green (scores +1.0000, +3.0000, -1.0000) on evm after 2.0 s under proven"
