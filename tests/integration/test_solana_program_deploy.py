"""The programs pass the real loader on surfnet (which resolves every syscall, unlike LiteSVM), and run there."""

import asyncio
from pathlib import Path

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.models import TxOpts
from solders.keypair import Keypair
from solders.message import Message
from solders.transaction import Transaction

from bridges.solana import instructions
from bridges.solana.layout import AccountData, ConfigAccount, ProgramAddresses
from contracts.solana.build import build_programs
from contracts.solana.deploy import deploy_program
from oracle.app.devnet.chains import start_surfnet
from oracle.app.toolchain import ensure_toolchain
from oracle.errors import Rejected
from tests.support import solana_program as sp

pytestmark = pytest.mark.devnet


async def test_solana_program_deploy__through_the_real_loader__runs_initialise(tmp_path: Path) -> None:
    payer = Keypair()
    toolchain = await asyncio.to_thread(ensure_toolchain, lambda _line: None)
    artifacts = await asyncio.to_thread(build_programs)
    async with start_surfnet(toolchain, tmp_path, payer=payer) as chain:
        program, lines = Keypair(), list[str]()
        executable = artifacts.sibyl_so.read_bytes()
        deployed = await deploy_program(chain.rpc_url, payer, program, executable, progress=lines.append)
        assert deployed.transactions == 2 + -(-len(executable) // 1012)
        assert lines
        await deploy_program(chain.rpc_url, payer, Keypair(), artifacts.consumer_so.read_bytes(), authority=Keypair())
        with pytest.raises(Rejected, match="already an account"):
            await deploy_program(chain.rpc_url, payer, program, executable)
        with pytest.raises(Rejected):
            await deploy_program(chain.rpc_url, payer, Keypair(), b"not a program" * 100)

        at, key = ProgramAddresses(program.pubkey()), sp.committee_key()
        step = instructions.initialise(at, payer.pubkey(), sp.GENESIS, payer.pubkey(), sp.group_key(key), 0)
        async with AsyncClient(chain.rpc_url, timeout=10) as client:
            blockhash = (await client.get_latest_blockhash(Confirmed)).value.blockhash
            raw = bytes(Transaction([payer], Message.new_with_blockhash([step], payer.pubkey(), blockhash), blockhash))
            sent = await client.send_raw_transaction(raw, TxOpts(preflight_commitment=Confirmed))
            await asyncio.wait_for(client.confirm_transaction(sent.value, Confirmed), 30)
            found = (await client.get_account_info(at.config.address, Confirmed)).value
    assert found is not None
    config = ConfigAccount.decode(AccountData(found.owner, found.lamports, bytes(found.data)), program.pubkey())
    assert config.authority == payer.pubkey()
