"""What the check of one proof costs on Solana, by phase: compute units of the Zig verifier's stages in the runtime itself (LiteSVM).

A real proof of the demonstration model is made for it. The stages run in a program of their own, which measures and is never deployed
(`contracts/solana/verifier/probe.zig`); what a whole delivery costs on a cluster, the demo measures.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from solders.account import Account
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction
from solders.transaction_metadata import TransactionMetadata

from bridges.solana.transactions import MAX_UNITS
from circuits.catalogue import ModelArtifacts
from circuits.field import instances
from circuits.halo2 import Key
from circuits.halo2.packed import PACKED_LENGTH
from circuits.halo2.prepared import prepare
from circuits.halo2.upload import key_of, upload
from circuits.prover import LocalProver
from contracts.solana.verifier.build import build_verifier_probe
from oracle.app.figures import Figure, figure
from oracle.errors import SibylError

STAGES: Final = (
    "unpack",
    "read",
    "draw",
    "domain",
    "instances",
    "invert",
    "gates",
    "copies",
    "ranges",
    "opening",
    "combine",
    "paired",
)
"""The stages of the probe, in its order; between two of them it logs the units that are left."""
PHASES: Final[Mapping[str, tuple[str, ...]]] = {
    "unpacking": ("unpack",),
    "transcript": ("read", "draw"),
    "evaluations": ("domain", "instances", "invert", "gates", "copies", "ranges", "opening"),
    "multi-scalar multiplication": ("combine",),
    "pairing": ("paired",),
}
_LOG_UNITS: Final = 100
"""What the runtime takes for one line of log."""
_LOGGED: Final = "Program consumption:"
_RENT: Final = 10**12


async def verifier_figures(model: ModelArtifacts, command: str) -> list[Figure]:
    """A figure for each phase and one for their sum. Raises SibylError when the verifier refuses the honest proof."""
    row = model.heldout()[0]
    async with LocalProver([model], devnet=True) as prover:
        made = await prover.prove(model.model_id, row.inputs)
    units = await asyncio.to_thread(stage_units, key_of(model), made.proof, instances(row.inputs, made.outputs))
    phases = {name: sum(units[stage] for stage in stages) for name, stages in PHASES.items()}
    shown = [figure(f"Solana verifier, {name}", cost, command) for name, cost in phases.items()]
    return [*shown, figure("Solana verifier, whole proof", sum(phases.values()), command)]


def stage_units(key: Key, proof: bytes, public: Sequence[int]) -> dict[str, int]:
    """Compute units by stage. Raises SibylError when a stage refuses."""
    packed_with_hint = upload(key, proof, public)
    words = b"".join(value.to_bytes(32, "big") for value in public)
    contents = (prepare(key), packed_with_hint[:PACKED_LENGTH], packed_with_hint[PACKED_LENGTH:] + words)
    logs = _run(contents)
    left = [int(line.split()[2]) for line in logs if line.startswith(_LOGGED)]
    if len(left) != len(STAGES) + 1:
        raise SibylError(
            f"The verifier stopped after {max(0, len(left) - 1)} of {len(STAGES)} stages: {' '.join(logs[-1:])}"
        )
    return {name: before - after - _LOG_UNITS for name, (before, after) in zip(STAGES, pairwise(left), strict=True)}


def _run(contents: Sequence[bytes]) -> list[str]:
    svm, payer, program = LiteSVM(), Keypair(), Pubkey.new_unique()
    svm.airdrop(payer.pubkey(), _RENT)
    svm.add_program(program, build_verifier_probe())
    accounts = [Pubkey.new_unique() for _ in contents]
    for address, data in zip(accounts, contents, strict=True):
        svm.set_account(address, Account(_RENT, data, program))
    # All stages but the first, which a packed proof takes by itself.
    step = Instruction(program, bytes([len(STAGES) - 1]), [AccountMeta(key, False, False) for key in accounts])
    message = Message([set_compute_unit_limit(MAX_UNITS), step], payer.pubkey())
    done = svm.send_transaction(Transaction([payer], message, svm.latest_blockhash()))
    return list(done.logs() if isinstance(done, TransactionMetadata) else done.meta().logs())
