"""`sibyl proof get` and `sibyl proof verify`: anyone checks any past answer, whatever policy it was taken under.

The question and the answer come from the chains, the proof from anywhere, the verdict from two programs that share no code: ezkl in a worker, and the
reference in plain Python where the circuit is of its family. What remains to trust: the RPC endpoints, that this machine's model is the one of the id
(`sibyl model fetch` makes its keys again), and that nobody knows the secret of the model's reference string.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from solders.pubkey import Pubkey

from bridges.evm.client import EvmClient
from bridges.solana.client import SolanaClient
from circuits.catalogue import ModelArtifacts, find_model
from circuits.field import instances
from circuits.halo2 import Key, KeyFormatError, accepts
from circuits.prover import LocalProver, ProverLimits
from oracle.app.devnet.file import load
from oracle.app.past_answers import EvmPast, PastAnswer, PastChain, SolanaPast, look_up
from oracle.app.proof_sources import MAX_REPORT, NodeProofs, node_proofs, read_proof
from oracle.config import load_relay_config
from oracle.errors import ConfigError, ProofError
from oracle.protocol.encoding import dequantise
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import Account, Digest, Status, evm_account

VERIFY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the two verifiers say. `reference` None: the circuit is of another family than the reference's."""

    ezkl: bool
    reference: bool | None

    @property
    def holds(self) -> bool:
        """Whether nobody objects."""
        return self.ezkl and self.reference is not False


async def judge(model: ModelArtifacts, inputs: tuple[int, ...], outputs: tuple[int, ...], proof: bytes) -> Verdict:
    """Have a proof verified, its instances rebuilt from inputs and outputs. Raises ProofError when a verifier could not do its work."""
    # devnet: what the reference string is worth is told to the user, and does not decide whether the proof holds.
    async with LocalProver([model], devnet=True, limits=ProverLimits(verify_seconds=VERIFY_SECONDS)) as prover:
        by_ezkl = await prover.verify(model.model_id, inputs, outputs, proof)
    try:
        key = Key.from_vka((model.directory / "vka.bin").read_bytes())
    except (KeyFormatError, OSError):
        return Verdict(by_ezkl, None)
    return Verdict(by_ezkl, await asyncio.to_thread(accepts, key, proof, instances(inputs, outputs)))


def parse_id(text: str) -> Digest:
    """A request's id. Raises ConfigError."""
    try:
        found = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        found = b""
    if len(found) != 32:
        raise ConfigError(
            f"A request's id is 0x and 64 hex digits, as `sibyl request` prints it; “{text[:80]}” is none."
        )
    return Digest(found)


@asynccontextmanager
async def sources(config: Path | None, nodes: list[str]) -> AsyncIterator[tuple[list[PastChain], NodeProofs]]:
    """The chains and nodes of a relayer's configuration, or of the running devnet. Raises ConfigError."""
    async with AsyncExitStack() as stack:
        chains: list[PastChain] = []
        if config is None:
            devnet = load()
            evm, solana = devnet.evm, devnet.solana
            client = await stack.enter_async_context(EvmClient(evm.rpc_url, evm.chain_id))
            chains.append(EvmPast(client, _evm(evm.gateway), _evm(evm.hub)))
            cluster = await stack.enter_async_context(
                SolanaClient(solana.rpc_url, bytes.fromhex(solana.genesis_hash[2:]))
            )
            chains.append(SolanaPast(cluster, Account(bytes(Pubkey.from_string(solana.program)))))
            urls = nodes or [node.status_url for node in devnet.nodes]
        else:
            settings = load_relay_config(config)
            for one in settings.evm:
                client = await stack.enter_async_context(EvmClient(one.rpc_urls, one.chain_id))
                chains.append(EvmPast(client, _evm(one.gateway), _evm(one.hub), one.start_block))
            for other in settings.solana:
                genesis = bytes.fromhex(other.genesis_hash[2:])
                cluster = await stack.enter_async_context(SolanaClient(other.rpc_urls[0], genesis))
                chains.append(SolanaPast(cluster, Account(bytes.fromhex(other.program[2:]))))
            urls = nodes or [str(url) for url in settings.sources]
        yield chains, await stack.enter_async_context(node_proofs(urls))


def _evm(address: str) -> Account:
    return evm_account(bytes.fromhex(address.removeprefix("0x")))


async def run_demand(console: Console, request_id: Digest, config: Path | None, nodes: list[str]) -> None:
    """Ask the nodes for a proof that does not exist yet. Raises ConfigError or Transient."""
    async with sources(config, nodes) as (_, from_nodes):
        await from_nodes.demand(request_id)
    console.print(f"The nodes make the proof. Fetch it: sibyl proof get 0x{request_id.hex()}", soft_wrap=True)


async def run_get(
    console: Console, request_id: Digest, config: Path | None, nodes: list[str], out: Path, wait: float
) -> None:
    """Bring a proof from a node into a file. Raises ConfigError or Transient."""
    async with sources(config, nodes) as (_, from_nodes):
        with console.status("asking the nodes …"):
            proof = await from_nodes.proof(request_id, wait)
    try:
        with out.open("xb") as handle:
            handle.write(proof)
    except FileExistsError:
        raise ConfigError(f"{out} is here already; name another file with --out.") from None
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}.") from error
    console.print(
        f"{out}: {len(proof):,} bytes, Keccak-256 0x{keccak256(proof).hex()}", highlight=False, soft_wrap=True
    )
    console.print("Not verified yet: sibyl proof verify", highlight=False)


async def run_verify(
    console: Console,
    request_id: Digest,
    config: Path | None,
    nodes: list[str],
    files: tuple[Path | None, Path | None],
    wait: float,
) -> bool:
    """Show the answer and what its proof is worth; whether it holds. `files`: the proof's and the request body's, if they are given."""
    proof_file, body_file = files

    async def otherwise(digest: Digest) -> tuple[bytes, str] | None:
        if body_file is not None:
            return read_body(body_file), str(body_file)
        return await from_nodes.body(digest)

    async with sources(config, nodes) as (chains, from_nodes):
        with console.status("reading the chains …"):
            past = await look_up(chains, request_id, otherwise)
        outcome = past.outcome
        if outcome.status is not Status.ANSWERED:
            word = outcome.status.name.lower().replace("_", " ")
            raise ConfigError(f"The request was refused ({word}): there is no answer to prove.")
        model = find_model(past.asked.model_id.hex())
        if model.output_scale != outcome.output_scale:
            raise ProofError("The recorded answer has another scale than the model's outputs. It is not this model's.")
        if proof_file is not None:
            proof = read_proof(proof_file)
        else:
            with console.status("asking the nodes for the proof …"):
                proof = await from_nodes.proof(request_id, wait)
    with console.status("verifying …"):
        verdict = await judge(model, past.asked.inputs, outcome.outputs, proof)
    show(console, past, model, proof, verdict)
    return verdict.holds


def read_body(path: Path) -> bytes:
    """A request's body in hexadecimal, as `/messages/ID` of a node shows it. Raises ConfigError."""
    try:
        return bytes.fromhex(path.read_bytes()[:MAX_REPORT].decode("ascii").strip().removeprefix("0x"))
    except OSError as error:
        raise ConfigError(f"The request's body {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigError(f"{path} holds no body in hexadecimal: {error}.") from error


def show(console: Console, past: PastAnswer, model: ModelArtifacts, proof: bytes, verdict: Verdict) -> None:
    """The whole finding."""
    values = dequantise(past.outcome.outputs, past.outcome.output_scale)
    console.print(f"request 0x{past.request.digest.hex()}", highlight=False, soft_wrap=True)
    console.print(f"  {past.found_in}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"model {model.name} 0x{model.model_id.hex()}", highlight=False, soft_wrap=True)
    console.print(f"answer {', '.join(f'{value:+.6g}' for value in values)}", highlight=False, soft_wrap=True)
    table = Table("recorded on", "policy", "final", box=None, header_style="bold")
    for record in past.records:
        table.add_row(str(record.chain), record.policy.name.lower(), "yes" if record.final else "not yet")
    console.print(table)
    for reason in past.unread:
        console.print(f"  {reason}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"proof of {len(proof):,} bytes, Keccak-256 0x{keccak256(proof).hex()}", highlight=False, soft_wrap=True
    )
    console.print(f"  ezkl                     {_word(verdict.ezkl)}", highlight=False)
    console.print(f"  reference, plain Python  {_word(verdict.reference)}", highlight=False)
    if model.devnet_only:
        console.print(
            "[yellow]The reference string is local: whoever made it could forge this proof. It means something on a devnet only.[/]",
            highlight=False,
            soft_wrap=True,
        )
    if verdict.holds:
        console.print("[green]The model takes the recorded inputs to the recorded answer.[/]", highlight=False)


def _word(verdict: bool | None) -> str:
    if verdict is None:
        return "not asked: the circuit is of another family"
    return "[green]holds[/]" if verdict else "[red]does not hold[/]"


_CONFIG = typer.Option(
    help="A relayer's configuration (relay.toml): its chains and nodes instead of the running devnet's."
)
_NODE = typer.Option("--node", help="Status address of a node; may be given again.")
_WAIT = typer.Option(min=0, help="Seconds to wait for a proof that a node has to make first.")
_REQUEST = typer.Argument(help="The request's id, as `sibyl request` printed it.")


def add_commands(app: typer.Typer, console: Console) -> None:
    """Add the commands to `app`."""

    @app.command("request")
    def demand(
        request_id: Annotated[str, _REQUEST],
        config: Annotated[Path | None, _CONFIG] = None,
        node: Annotated[list[str] | None, _NODE] = None,
    ) -> None:
        """Have an answer proven that was signed without a proof (policy recomputed), while nodes keep the request."""
        asyncio.run(run_demand(console, parse_id(request_id), config, node or []))

    @app.command()
    def get(
        request_id: Annotated[str, _REQUEST],
        out: Annotated[Path, typer.Option(help="File for the proof; it must not be there.")] = Path("answer.proof"),
        config: Annotated[Path | None, _CONFIG] = None,
        node: Annotated[list[str] | None, _NODE] = None,
        wait: Annotated[float, _WAIT] = 120.0,
    ) -> None:
        """Fetch the proof behind an answer from a node. An answer that was signed without one is proven now."""
        asyncio.run(run_get(console, parse_id(request_id), config, node or [], out, wait))

    @app.command()
    def verify(
        request_id: Annotated[str, _REQUEST],
        proof: Annotated[
            Path | None, typer.Option(help="The proof, from `sibyl proof get`; else the nodes are asked.")
        ] = None,
        request: Annotated[
            Path | None,
            typer.Option(help="The request's body in hexadecimal, when its chain does not show it any more."),
        ] = None,
        config: Annotated[Path | None, _CONFIG] = None,
        node: Annotated[list[str] | None, _NODE] = None,
        wait: Annotated[float, _WAIT] = 120.0,
    ) -> None:
        """Check a past answer: question and answer from the chains, the proof from anywhere. Exit status 1 when it does not hold."""
        holds = asyncio.run(run_verify(console, parse_id(request_id), config, node or [], (proof, request), wait))
        if not holds:
            raise ProofError("The proof does not show that the model takes the recorded inputs to the recorded answer.")
