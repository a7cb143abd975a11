"""`sibyl model build`: builds by name, lists without one, and names what there is when it is asked for what is not."""

import pytest
from typer.testing import CliRunner

from circuits.catalogue import BUILDERS, ensure_model
from circuits.errors import ModelError
from oracle.app.cli import app

runner = CliRunner()


def test_model_build__no_name__lists_every_reference_model() -> None:
    found = runner.invoke(app, ["model", "build"])
    assert found.exit_code == 0
    for name in BUILDERS:
        assert name in found.stdout


def test_model_build__tiny__says_its_id_and_how_good_it_is() -> None:
    found = runner.invoke(app, ["model", "build", "tiny"])
    assert found.exit_code == 0
    words = found.stdout.split()
    assert f"0x{ensure_model('tiny').model_id.hex()}" in words
    assert "100.0%" in words


def test_model_build__unknown_name__refused_with_the_names() -> None:
    found = runner.invoke(app, ["model", "build", "oracle-of-delphi"])
    assert isinstance(found.exception, ModelError)
    with pytest.raises(ModelError, match="logistic"):
        raise found.exception
