"""Model cards: written, read back, and turned into requests."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from circuits.admission import check_calibrated
from circuits.card import Card, InputFeature, Measured, heldout_rows, read_card, write_card
from circuits.errors import ModelError
from oracle.errors import InferenceError
from oracle.protocol.errors import EncodeError
from oracle.protocol.types import Status

CARD = Card(
    name="tiny",
    version="1.2.3",
    description="For tests; “quotes” and \\ included.",
    licence="Apache-2.0",
    data_source="none",
    data_licence="CC0-1.0",
    inputs=(InputFeature("width", 10.0, 2.0), InputFeature("height", -1.5, 0.25)),
    output_meaning="Logit.",
    labels=("no", "yes"),
    input_range=8.0,
    error_bound=0.001,
    measured=Measured(10, 0.9, 0.0005, 0.0001, 0),
)


def test_card__written_and_read__same(tmp_path: Path) -> None:
    write_card(CARD, tmp_path / "card.toml")
    assert read_card(tmp_path / "card.toml") == CARD


@pytest.mark.parametrize("text", ["", "not toml [", 'name = "x"', "name = 1\n[input]\nfeatures = 3"])
def test_read_card__malformed__refused_naming_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "card.toml"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"card\.toml"):
        read_card(path)


def test_quantise_raw__features_in_any_order__standardised() -> None:
    assert CARD.quantise_raw({"height": -1.0, "width": 7.0}, 12) == (-6144, 8192)


@pytest.mark.parametrize(
    ("raw", "error", "named"),
    [
        ({"width": 1.0}, ModelError, "height"),
        ({"width": 1.0, "height": 1.0, "depth": 1.0}, ModelError, "depth"),
        ({"width": math.nan, "height": -1.5}, EncodeError, "width"),
        ({"width": 10.0, "height": math.inf}, EncodeError, "height"),
        ({"width": 26.01, "height": -1.5}, EncodeError, "width"),
    ],
)
def test_quantise_raw__bad_row__names_the_feature(raw: dict[str, float], error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        CARD.quantise_raw(raw, 12)


def test_quantise_raw__exactly_at_the_bound__accepted() -> None:
    assert CARD.quantise_raw({"width": 26.0, "height": -3.5}, 12) == (32768, -32768)


def test_label__zero_logit__is_the_negative_label() -> None:
    assert [CARD.label(logit) for logit in (-1.0, 0.0, 0.001)] == ["no", "no", "yes"]
    assert replace(CARD, labels=("a", "b")).label(1.0) == "b"


def test_heldout_rows__malformed__refused(tmp_path: Path) -> None:
    path = tmp_path / "heldout.json"
    path.write_text('[{"row": 1}]')
    with pytest.raises(ModelError, match=r"heldout\.json"):
        heldout_rows(path)


def test_decide__one_output__its_sign() -> None:
    assert [CARD.decide((value,)) for value in (-0.5, 0.0, 0.5)] == ["no", "no", "yes"]


def test_decide__several_outputs__the_largest_and_of_equal_ones_the_first(tmp_path: Path) -> None:
    three = replace(CARD, labels=("red", "green", "blue"))
    write_card(three, tmp_path / "card.toml")
    assert read_card(tmp_path / "card.toml") == three
    assert three.decide((0.1, -2.0, 0.3)) == "blue"
    assert three.decide((0.1, 0.3, 0.3)) == "green"
    with pytest.raises(ModelError, match="3 labels, not 2"):
        three.decide((0.1, 0.3))


@pytest.mark.parametrize("labels", ['["only"]', "[]", "[1, 2]", '"ab"', "3"])
def test_read_card__labels_that_decide_nothing__refused(tmp_path: Path, labels: str) -> None:
    path = tmp_path / "card.toml"
    write_card(CARD, path)
    path.write_text(path.read_text().replace('["no", "yes"]', labels))
    with pytest.raises(ModelError, match=r"card\.toml"):
        read_card(path)


CALIBRATED = replace(CARD, inputs=(InputFeature("width", 10.0, 2.0, -1.0, 1.5), InputFeature("height", -1.5, 0.25)))


def test_card__range_and_off_circuit_function__written_and_read(tmp_path: Path) -> None:
    card = replace(CALIBRATED, off_circuit="sigmoid", formula="y = 1 / (1 + exp(-x))", error_bound_derived=False)
    write_card(card, tmp_path / "card.toml")
    assert read_card(tmp_path / "card.toml") == card


def test_card__written_before_ranges_were_kept__reads_as_without(tmp_path: Path) -> None:
    write_card(CARD, tmp_path / "card.toml")
    text = (
        (tmp_path / "card.toml")
        .read_text()
        .replace("error_bound_derived = true\n", "")
        .replace("labelled = true\n", "")
    )
    assert "derived" not in text
    assert "labelled" not in text
    (tmp_path / "card.toml").write_text(text)
    assert read_card(tmp_path / "card.toml") == CARD


@pytest.mark.parametrize("width", [7.99, 13.01, 20.0])
def test_quantise_raw__outside_the_calibrated_range__refused_with_the_range_in_raw_units(width: float) -> None:
    with pytest.raises(EncodeError, match=r"width is .*outside the calibrated range from 8 to 13"):
        CALIBRATED.quantise_raw({"width": width, "height": -1.5}, 12)


def test_quantise_raw__at_the_ends_of_the_calibrated_range__accepted_though_rounding_moves_it() -> None:
    low, high = (
        CALIBRATED.quantise_raw({"width": 8.0, "height": -1.5}, 12)[0],
        CALIBRATED.quantise_raw({"width": 13.0, "height": -1.5}, 12)[0],
    )
    assert (low, high) == (-4096, 6144)
    third = replace(CARD, inputs=(InputFeature("width", 0.0, 1.0, -1 / 3, 1 / 3), CARD.inputs[1]))
    assert third.quantise_raw({"width": 1 / 3, "height": -1.5}, 1) == (
        1,
        0,
    )  # 0.5 is beyond 1/3, but the nearest there is


def test_check_calibrated__an_input_outside__a_refusal_that_a_node_may_sign() -> None:
    check_calibrated(CALIBRATED, (6144, 0), 12)
    with pytest.raises(InferenceError, match="calibrated") as refusal:
        check_calibrated(CALIBRATED, (6150, 0), 12)
    assert refusal.value.status is Status.OUT_OF_RANGE
