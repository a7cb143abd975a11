"""`sibyl request`: one question by hand, on the running devnet."""

import json
from pathlib import Path

from rich.console import Console

from circuits.catalogue import ModelArtifacts, find_model
from oracle.app.asking import EVM, SOLANA, Arrival, DevnetUser, Question, open_user
from oracle.app.devnet.file import load
from oracle.errors import ConfigError
from oracle.protocol.encoding import dequantise, quantise
from oracle.protocol.types import Policy

ANSWER_SECONDS = 120.0
_POLICIES = {policy.name.lower(): policy for policy in Policy}
Route = tuple[str | None, str, str]
"""Chain that asks (None: the usual one for the policy), chain that uses the answer, policy there."""


async def run_request(console: Console, model_name: str, input_file: Path, route: Route, deadline: int) -> None:
    """Ask and show the answer on each chain. Raises ConfigError for a route, policy or input that cannot be asked."""
    model = find_model(model_name)
    question = make_question(model, input_file, route)
    devnet = load()
    async with open_user(devnet, model) as user:
        with console.status("asking …"):
            asked = await user.ask(question, deadline)
        console.print(f"request 0x{asked.request_id.hex()} in transaction {asked.transaction}", highlight=False)
        with console.status("waiting for finality, inference, proof, signature and delivery …"):
            await user.arrivals(asked, ANSWER_SECONDS)
    if asked.zk_proof is not None and asked.zk_proof_seconds is not None:
        console.print(f"proof of {len(asked.zk_proof):,} bytes in {asked.zk_proof_seconds:.2f} s", highlight=False)
    for arrival in asked.arrivals:
        console.print(_sentence(user, arrival), highlight=False)


def make_question(model: ModelArtifacts, input_file: Path, route: Route) -> Question:
    """The question that the command line describes, its input read and quantised.

    Under PROVEN a chain answers its own requests only, so without a word the chain that uses the answer asks; otherwise the EVM chain does.
    """
    to, policy_name = route[1].lower(), route[2].lower()
    named = None if route[0] is None else route[0].lower()
    for name, value in (("--from", EVM if named is None else named), ("--to", to)):
        if value not in (EVM, SOLANA):
            raise ConfigError(f"{name} is {EVM} or {SOLANA}, not “{value}”.")
    if policy_name not in _POLICIES:
        raise ConfigError(f"--policy is {', '.join(_POLICIES)}; not “{policy_name}”.")
    policy = _POLICIES[policy_name]
    origin = (to if policy is Policy.PROVEN else EVM) if named is None else named
    _check_route(origin, to, policy)
    inputs = read_inputs(model, input_file)
    if origin == to:
        return Question(inputs, origin, policy)
    # A request of which one destination wants a proof waits for it at all of them.
    home = Policy.RECOMPUTED if policy is Policy.RECOMPUTED else Policy.ATTESTED
    return Question(inputs, origin, home, policy)


def _check_route(origin: str, to: str, policy: Policy) -> None:
    """Raises ConfigError for what no chain serves (PROTOCOL.md §3, §4), with what to ask instead."""
    if policy is Policy.PROVEN and origin != to:
        raise ConfigError(
            f"Under --policy proven a chain checks the proof against the request that it holds itself, so a question from {origin} cannot be "
            f"answered so on {to}. Ask there (--from {to} --to {to} --policy proven), or let the committee sign (--policy attested)."
        )
    if policy is Policy.BOTH and to == SOLANA:
        raise ConfigError(
            "Solana checks the committee's signature or the proof, not both at once: ask with --policy attested, or with --policy proven."
        )


def read_inputs(model: ModelArtifacts, path: Path) -> tuple[int, ...]:
    """A JSON object of raw features by name, or a JSON array of the model's own inputs. Raises ConfigError or EncodeError in words."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"The input {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The input {path} is not JSON: {error}.") from error
    if isinstance(content, dict):
        for name, value in content.items():
            _check_number(path, f"“{name}”", value)
        return model.card.quantise_raw(content, model.input_scale)
    if not isinstance(content, list):
        raise ConfigError(f"The input {path} is a JSON object of features by name, or an array of numbers.")
    if len(content) != model.input_count:
        raise ConfigError(f"The model {model.name} takes {model.input_count} inputs; {path} has {len(content)}.")
    for place, value in enumerate(content):
        _check_number(path, f"number {place}", value)
    inputs = quantise(content, model.input_scale, bound=model.input_bound, names=model.input_names)
    model.card.check_calibrated(inputs, model.input_scale)
    return inputs


def _check_number(path: Path, which: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"In {path}, {which} is {value!r}; give a number.")
    try:
        float(value)
    except OverflowError as error:
        raise ConfigError(f"In {path}, {which} is too large; give a smaller number.") from error


def _sentence(user: DevnetUser, arrival: Arrival) -> str:
    place = f"on {arrival.chain} after {arrival.seconds:.1f} s under {arrival.policy.name.lower()}"
    if arrival.value is None:
        return f"refused {place}: {arrival.status.name.lower().replace('_', ' ')}; the fee went back"
    cost = "" if arrival.cost is None else f", {arrival.cost:,} {'gas' if arrival.chain == EVM else 'compute units'}"
    outputs = dequantise(arrival.outputs, arrival.output_scale)
    name = "logit" if len(outputs) == 1 else "scores"
    values = ", ".join(f"{value:+.4f}" for value in outputs)
    return f"[bold]{user.model.card.decide(outputs)}[/] ({name} {values}) {place}{cost}"
