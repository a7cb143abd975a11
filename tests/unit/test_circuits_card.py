"""Model cards: written, read back, and turned into requests."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from circuits.card import Card, InputFeature, Measured, heldout_rows, read_card, write_card
from circuits.errors import ModelError
from oracle.protocol.errors import EncodeError

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
