"""The verifier through the real loader on surfnet: every syscall it needs is there by default, and the verdicts are LiteSVM's."""

import asyncio
import json
from pathlib import Path

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from circuits.halo2 import Key
from circuits.halo2.packed import pack
from circuits.halo2.prepared import hint, prepare
from contracts.solana.deploy import deploy_program
from contracts.solana.verifier.build import build_verifier_probe
from oracle.app.devnet.chains import start_surfnet
from oracle.app.toolchain import ensure_toolchain
from tests.support.halo2_program import STAGES
from tests.support.solana_world import cheat

pytestmark = pytest.mark.devnet

VECTORS = Path(__file__).parents[1] / "vectors" / "halo2.json"
GOAL = 500_000


async def test_verifier__deployed_by_the_real_loader__accepts_and_refuses(tmp_path: Path) -> None:
    vector = json.loads(VECTORS.read_text())["vectors"][1]
    key, proof = Key.from_bytes(bytes.fromhex(vector["key"])), bytes.fromhex(vector["proof"])
    instances = [int(word, 16) for word in vector["instances"]]
    words = b"".join(value.to_bytes(32, "big") for value in instances)
    rest = hint(key, proof, instances) + words
    spoilt = proof[:-1] + bytes([proof[-1] ^ 1])
    payer, program = Keypair(), Keypair()
    toolchain = await asyncio.to_thread(ensure_toolchain, lambda _line: None)
    executable = await asyncio.to_thread(build_verifier_probe)
    async with start_surfnet(toolchain, tmp_path, payer=payer) as chain:
        await deploy_program(chain.rpc_url, payer, program, executable)
        async with AsyncClient(chain.rpc_url, timeout=30) as client:
            for form, good in ((proof, True), (pack(proof), True), (spoilt, False)):
                accounts = [Pubkey.new_unique() for _ in range(3)]
                for address, data in zip(accounts, (prepare(key), form, rest), strict=True):
                    content = {"lamports": 10**10, "data": data.hex(), "owner": str(program.pubkey())}
                    await cheat(chain.rpc_url, "surfnet_setAccount", str(address), content)
                metas = [AccountMeta(address, False, False) for address in accounts]
                steps = [
                    set_compute_unit_limit(1_400_000),
                    Instruction(program.pubkey(), bytes([len(STAGES)]), metas),
                ]
                blockhash = (await client.get_latest_blockhash(Confirmed)).value.blockhash
                message = MessageV0.try_compile(payer.pubkey(), steps, [], blockhash)
                done = (
                    await client.simulate_transaction(VersionedTransaction(message, [payer]), commitment=Confirmed)
                ).value
                assert (done.err is None) == good, (done.err, done.logs)
                assert done.units_consumed is not None
                assert done.units_consumed < GOAL
