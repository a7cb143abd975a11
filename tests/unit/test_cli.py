"""The command line: help that names every option, and for each mistake a sentence on standard error, exit status 1 and no traceback."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from circuits.catalogue import ModelArtifacts, ensure_model
from oracle.app import cli
from oracle.errors import ConfigError, Transient
from tests.support.node_config import changed, document, write

COMMANDS = (
    "setup",
    "demo",
    "request",
    "bench",
    "node",
    "node run",
    "devnet",
    "devnet up",
    "model",
    "model list",
    "model show",
    "model sample",
)
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Said:
    """What a run of the command left."""

    status: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def sibyl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Runs `sibyl …` in this process, on a terminal of 80 columns, with no devnet running."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("typer.rich_utils.FORCE_TERMINAL", None)  # continuous integration forces colours
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("SIBYL_DEVNET", str(tmp_path / "no devnet.json"))
    monkeypatch.setattr(cli, "console", Console(width=80))

    def run(*arguments: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["sibyl", *map(str, arguments)])
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    yield run
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def tiny() -> ModelArtifacts:
    return ensure_model("tiny")


def refused(said: Said) -> str:
    """The sentence of an expected failure."""
    assert said.status == 1, said
    assert said.out == ""
    assert said.err.startswith("sibyl: ")
    assert "Traceback" not in said.err
    return said.err.removeprefix("sibyl: ").rstrip("\n")


# ---- help ----


def options_of(command: str) -> list[str]:
    import typer.main

    found = typer.main.get_command(cli.app)
    for part in command.split():
        found = found.commands[part]  # type: ignore[attr-defined]  # a group
    return [name for parameter in found.params for name in parameter.opts if name.startswith("--")]


@pytest.mark.parametrize("command", COMMANDS)
def test_help__every_command__says_what_it_does_and_names_each_option(sibyl: Run, command: str) -> None:
    said = sibyl(*command.split(), "--help")
    assert said.status == 0
    assert said.err == ""
    lines = said.out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    description = next(line.strip() for line in lines[2:] if line.strip() and "Usage:" not in line)
    assert re.match(r"[A-Z][a-z]*.* ", description), "a sentence of what the command does"
    for option in options_of(command):
        (line,) = [line for line in lines if re.search(rf"{option}\b", line)][:1]
        explained = line.split(option, 1)[1].strip("│ ")
        assert re.search(r"[A-Za-z]{2,}.* ", explained), f"{option} is explained"


def test_help__top__lists_every_command_with_a_sentence(sibyl: Run) -> None:
    said = sibyl("--help")
    for command in {command.split()[0] for command in COMMANDS}:
        assert re.search(rf"│ {command} +[A-Z]", said.out), command


def test_help__no_argument__is_shown(sibyl: Run) -> None:
    for group in ((), ("node",), ("model",), ("devnet",)):
        assert "Usage" in (said := sibyl(*group)).out + said.err


def test_help__library_messages__name_the_unknown_option(sibyl: Run) -> None:
    said = sibyl("model", "list", "--colour")
    assert said.status == 2
    assert "--colour" in said.err


# ---- models ----


def test_model_list__on_a_narrow_terminal__shows_enough_of_each_id_to_use_it(sibyl: Run, tiny: ModelArtifacts) -> None:
    said = sibyl("model", "list")
    assert said.status == 0
    assert tiny.name in said.out
    assert "0x" + tiny.model_id.hex()[:8] in said.out
    assert "…" not in said.out


def test_model_list__empty_cache__says_how_to_fill_it(
    sibyl: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIBYL_CACHE", str(tmp_path))
    assert "Build the demonstration model with: sibyl setup" in refused(sibyl("model", "list"))


def test_model_show__by_name_and_by_id__shows_the_card(sibyl: Run, tiny: ModelArtifacts) -> None:
    for wanted in (tiny.model_id.hex(), "0x" + tiny.model_id.hex()[:12]):
        said = sibyl("model", "show", wanted)
        assert said.status == 0
        assert tiny.model_id.hex() in said.out
        assert 'licence = "Apache-2.0"' in said.out
        assert "[[input.features]]" in said.out, "the card is shown as it is, brackets and all"


@pytest.mark.parametrize("command", ["show", "sample"])
def test_model__unknown_name__names_those_there_are(sibyl: Run, tiny: ModelArtifacts, command: str) -> None:
    text = refused(sibyl("model", command, "[nosuch]"))
    assert "holds no model “[nosuch]”" in text
    assert f"tiny ({tiny.model_id.hex()[:8]})" in text


def test_model_sample__row__is_json_that_request_takes(sibyl: Run, tiny: ModelArtifacts, tmp_path: Path) -> None:
    row = tiny.heldout()[3]
    said = sibyl("model", "sample", tiny.model_id.hex(), "--row", "3")
    assert json.loads(said.out) == row.raw
    (tmp_path / "row.json").write_text(said.out)
    text = refused(sibyl("request", "--model", tiny.model_id.hex(), "--input", tmp_path / "row.json"))
    assert text.startswith("No devnet is running"), "all else was right"


def test_model_sample__row_beyond_the_last__says_which_there_are(sibyl: Run, tiny: ModelArtifacts) -> None:
    text = refused(sibyl("model", "sample", "tiny", "--row", "20"))
    assert text.endswith("has 20 held-out rows; choose one from 0 to 19.")


# ---- requests ----


@pytest.fixture
def ask(sibyl: Run, tiny: ModelArtifacts, tmp_path: Path) -> Run:
    """`sibyl request` of the tiny model with this input and these options."""

    def run(content: str | bytes = '{"x": 1, "y": 0.5}', *options: str) -> Said:
        path = tmp_path / "input.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return sibyl("request", "--model", tiny.model_id.hex(), "--input", path, *options)

    return run


def test_request__no_devnet__says_how_to_start_one(ask: Run) -> None:
    text = refused(ask())
    assert text.startswith("No devnet is running (")
    assert text.endswith("Start one with: sibyl devnet up")


def test_request__devnet_that_ended__says_so(ask: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    evm = dict.fromkeys(
        (
            "rpc_url",
            "committee",
            "gateway",
            "registry",
            "hub",
            "fee_splitter",
            "consumer",
            "verifier",
            "token_factory",
            "weth",
        ),
        "",
    )
    solana = dict.fromkeys(
        ("rpc_url", "ws_url", "program", "consumer_program", "tokens_program", "verifier_program", "treasury"), ""
    )
    keys = {"user_key": "0x", "stranger_key": "0x", "pid": ended.pid}
    left = {
        "directory": "", "pid": ended.pid, "group_key": "0x", "quorum": 3, "models": {}, "nodes": [],
        "evm": evm | keys | {"chain_id": 1, "guard": None, "timelock": "", "governor_key": "0x"}, "solana": solana | keys | {"genesis_hash": "0x"},
    }  # fmt: skip
    path = tmp_path / "devnet.json"
    path.write_text(json.dumps(left))
    monkeypatch.setenv("SIBYL_DEVNET", str(path))
    text = refused(ask())
    assert "devnet.json has ended. Start one with: sibyl devnet up" in text


def test_request__damaged_devnet_file__says_so(ask: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = "0x" + "5e" * 31 + "zz"  # a damaged key is still most of a key
    (tmp_path / "devnet.json").write_text(json.dumps({"evm": {"user_key": secret}}))
    monkeypatch.setenv("SIBYL_DEVNET", str(tmp_path / "devnet.json"))
    text = refused(ask())
    assert "devnet.json is damaged" in text
    assert "evm.user_key" in text
    assert "5e5e" not in text


BAD_INPUTS = {
    "not JSON": ("x: 1", "is not JSON"),
    "empty": ("", "is not JSON"),
    "not text": (b"\xff\xfe\x00", "is not JSON"),
    "nested without end": ("[" * 100_000, "is not JSON"),
    "a number of ten thousand digits": ('{"x": ' + "1" * 10_000 + ', "y": 0}', "is not JSON"),
    "a string": ('"x"', "is a JSON object of features by name, or an array of numbers"),
    "null": ("null", "is a JSON object of features"),
    "missing feature": ('{"x": 1}', "needs the feature “y”; it takes x, y"),
    "unknown feature": ('{"x": 1, "y": 2, "[bold]z": 3}', "has no feature “[bold]z”; it takes x, y"),
    "a feature that is text": ('{"x": "1", "y": 2}', "“x” is '1'; give a number"),
    "a feature that is true": ('{"x": true, "y": 2}', "“x” is True; give a number"),
    "NaN": ('{"x": NaN, "y": 2}', "x is nan; give a finite number"),
    "infinity": ('{"x": 1, "y": -Infinity}', "y is -inf; give a finite number"),
    "overflowing": ('{"x": 1e999, "y": 0}', "x is inf; give a finite number"),
    "a whole number beyond floats": ('{"x": 1' + "0" * 400 + ', "y": 0}', "“x” is too large; give a smaller number"),
    "out of range": ('{"x": 8.5, "y": 0}', "x is 8.5, outside the model's range of ±8"),
    "too few": ("[1]", "takes 2 inputs; "),
    "too many": ("[1, 2, 3]", "takes 2 inputs; "),
    "text in an array": ('[1, "2"]', "number 1 is '2'; give a number"),
    "NaN in an array": ("[NaN, 0]", "x is nan; give a finite number"),
    "array beyond floats": ("[0, -1" + "0" * 400 + "]", "number 1 is too large; give a smaller number"),
    "array out of range": ("[0, -9]", "y is -9, outside the model's range of ±8"),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_request__bad_input__is_said_in_words(ask: Run, case: str) -> None:
    content, words = BAD_INPUTS[case]
    text = refused(ask(content))
    assert words in text
    assert len(text) < 700, "a sentence, whatever the input held"


def test_request__input_file_gone_or_a_directory__says_so(sibyl: Run, tmp_path: Path, tiny: ModelArtifacts) -> None:
    model = tiny.model_id.hex()
    gone = sibyl("request", "--model", model, "--input", tmp_path / "none.json")
    assert "none.json cannot be read: No such file" in refused(gone)
    assert "cannot be read: Is a directory" in refused(sibyl("request", "--model", model, "--input", tmp_path))


def test_request__unknown_model__names_those_there_are(sibyl: Run, tmp_path: Path) -> None:
    text = refused(sibyl("request", "--model", "nosuch", "--input", tmp_path / "none.json"))
    assert "holds no model “nosuch”" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "bitcoin"), "--from is evm or solana, not “bitcoin”."),
        (("--from", "", "--policy", "proven"), "--from is evm or solana, not “”."),
        (("--to", ""), "--to is evm or solana, not “”."),
        (("--policy", "trusted"), "--policy is attested, proven, both, recomputed; not “trusted”."),
        (("--to", "solana", "--policy", "both"), "ask with --policy attested, or with --policy proven."),
        (
            ("--from", "evm", "--to", "solana", "--policy", "proven"),
            "a question from evm cannot be answered so on solana.",
        ),
        (("--from", "solana", "--policy", "proven"), "Ask there (--from evm --to evm --policy proven)"),
    ],
)
def test_request__route_that_cannot_be_asked__says_what_can(ask: Run, options: tuple[str, ...], words: str) -> None:
    assert words in refused(ask('{"x": 1, "y": 0.5}', *options))


@pytest.mark.parametrize(
    "options",
    [
        ("--from", "EVM"),
        ("--from", "solana", "--to", "evm", "--policy", "Both"),
        ("--from", "evm", "--to", "solana"),
        ("--policy", "proven"),
        ("--to", "solana", "--policy", "proven"),
        ("--from", "solana", "--to", "solana", "--policy", "proven"),
        ("--from", "solana", "--to", "solana"),
        ("--policy", "recomputed"),
        ("--from", "solana", "--to", "evm", "--policy", "recomputed"),
    ],
)
def test_request__route_that_can_be_asked__gets_as_far_as_the_devnet(ask: Run, options: tuple[str, ...]) -> None:
    assert refused(ask("[1, 0.5]", *options)).startswith("No devnet is running")


def test_request__required_option_missing__is_named(sibyl: Run) -> None:
    said = sibyl("request")
    assert said.status == 2
    assert "--input" in said.err


# ---- nodes, and how errors leave ----


def test_node_run__bad_configuration__is_said_with_its_brackets(sibyl: Run, tmp_path: Path) -> None:
    content = changed(changed(document(), "evm", None), "solana", None)
    text = refused(sibyl("node", "run", "--config", write(tmp_path, content)))
    assert "give at least one chain, as [[evm]] or [[solana]]" in text
    assert "node.toml cannot be read" in refused(sibyl("node", "run", "--config", tmp_path / "none" / "node.toml"))


def failing(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    "error",
    [
        Transient("No answer [/red] within 3 s."),
        ExceptionGroup("tasks", [ExceptionGroup("inner", [ConfigError("No answer [/red] within 3 s.")])]),
    ],
    ids=["alone", "in groups"],
)
def test_main__expected_failure__is_printed_word_for_word(
    sibyl: Run, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(cli, "app", failing(error))
    assert refused(sibyl()) == "No answer [/red] within 3 s."


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("a bug"),
        ExceptionGroup("tasks", [ConfigError("expected"), ZeroDivisionError("a bug")]),
    ],
    ids=["alone", "beside an expected one"],
)
def test_main__bug__is_not_hidden(sibyl: Run, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(cli, "app", failing(error))
    with pytest.raises(type(error)):
        sibyl()


def test_main__interrupted__ends_with_the_shells_status(sibyl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "app", failing(KeyboardInterrupt()))
    said = sibyl()
    assert (said.status, said.out, said.err) == (130, "", "")


def test_process__bad_request__exits_with_a_sentence(tmp_path: Path, tiny: ModelArtifacts) -> None:
    """Once as a user runs it."""
    (tmp_path / "in.json").write_text('{"x": NaN, "y": 0}')
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "oracle.app.cli",
        "request",
        "--model",
        tiny.model_id.hex(),
        "--input",
        tmp_path / "in.json",
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "sibyl: x is nan; give a finite number.\n"


def test_devnet_up__seed_without_chaos__says_that_both_are_needed(sibyl: Run) -> None:
    assert "--chaos" in refused(sibyl("devnet", "up", "--seed", "7"))


def test_bench__unknown_part__names_all(sibyl: Run) -> None:
    assert "its parts are demo, verifier" in refused(sibyl("bench", "--only", "nonsense"))
