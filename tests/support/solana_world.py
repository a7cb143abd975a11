"""A Solana devnet with a Sibyl program on it, for tests of the adapter: real surfnet, real program, real transactions.

The program is planted by surfnet's own cheat method, which is faster than the loader; `tests/integration` deploys through the real one.
"""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana.client import SolanaClient
from bridges.solana.deploy import SolanaGovernance
from bridges.solana.instructions import GroupKey
from bridges.solana.layout import UPGRADEABLE_LOADER, ModelAccount, ProgramAddresses
from bridges.solana.requester import SolanaRequester
from contracts.solana.build import build_programs
from oracle.app.devnet.chains import start_surfnet
from oracle.app.toolchain import Toolchain, ensure_toolchain
from oracle.protocol.types import Account, CommitteeEpoch, Endpoint
from tests.support import samples
from tests.support.schnorr import SchnorrKey

SLOT_MILLISECONDS = 50
MODEL = ModelAccount(samples.MODEL, 3, 1, 8, 16, 1 << 20, 1_000, active=True)
TREASURY_LAMPORTS = 10_000_000
ACTIVATION_DELAY = 1


@functools.cache
def toolchain() -> Toolchain:
    """The pinned tools."""
    return ensure_toolchain(lambda _line: None)


@functools.cache
def program_binary() -> bytes:
    """The built Sibyl program."""
    return build_programs().sibyl_so.read_bytes()


def group_key(key: SchnorrKey, epoch: int = 1) -> GroupKey:
    """What governance registers for a test key."""
    return GroupKey(CommitteeEpoch(epoch), key.px.to_bytes(32), key.parity, key.proof_of_possession(epoch))


@dataclass(frozen=True, slots=True)
class SolanaNet:
    """surfnet with an initialised program that knows `samples.EVM` and `MODEL`."""

    rpc_url: str
    genesis_hash: bytes
    client: SolanaClient
    program: Account
    authority: Keypair
    treasury: Pubkey
    key: SchnorrKey

    @property
    def addresses(self) -> ProgramAddresses:
        """Of the program."""
        return ProgramAddresses(Pubkey(self.program))

    @property
    def endpoint(self) -> Endpoint:
        """The program as peers know it."""
        return Endpoint(self.client.chain, self.program)

    def requester(self, key: Keypair | None = None) -> SolanaRequester:
        """Speaks for `key` (the funded authority unless given)."""
        return SolanaRequester(self.client, self.program, key or self.authority)

    async def plant(self, address: Pubkey, owner: Pubkey, data: bytes, lamports: int = 10_000_000_000) -> None:
        """Write an account as no program would."""
        await cheat(self.rpc_url, "surfnet_setAccount", str(address), _account(owner, data, lamports))

    async def plant_consumer(self) -> Pubkey:
        """Put the example consumer on the chain; its upgrade authority is `authority`."""
        program = Keypair().pubkey()
        await plant_program(self.rpc_url, program, self.authority.pubkey(), build_programs().consumer_so.read_bytes())
        return program

    async def fund(self, address: Pubkey, lamports: int) -> None:
        """Give an account lamports."""
        await cheat(self.rpc_url, "surfnet_setAccount", str(address), {"lamports": lamports})

    async def finalise(self) -> None:
        """Wait until everything so far is final."""
        newest = await self.client.slot("processed")
        async with asyncio.timeout(60):
            while await self.client.slot("finalized") < newest:
                await asyncio.sleep(SLOT_MILLISECONDS / 1000)


def _account(owner: Pubkey, data: bytes, lamports: int) -> dict[str, object]:
    return {"lamports": lamports, "owner": str(owner), "data": data.hex(), "executable": False}


async def cheat(rpc_url: str, method: str, *params: object) -> object:
    """Call a method that only surfnet has."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with aiohttp.ClientSession() as session, session.post(rpc_url, json=body) as response:
        answer = await response.json(content_type=None)
    assert "error" not in answer, answer
    return answer["result"]


async def plant_program(rpc_url: str, program: Pubkey, authority: Pubkey, binary: bytes) -> None:
    """Put a program where the upgradeable loader would have put it."""
    data = ProgramAddresses(program).program_data
    head = (3).to_bytes(4, "little") + (0).to_bytes(8, "little") + b"\1" + bytes(authority)
    await cheat(rpc_url, "surfnet_setAccount", str(data), _account(UPGRADEABLE_LOADER, head + binary, 10**9))
    entry = _account(UPGRADEABLE_LOADER, (2).to_bytes(4, "little") + bytes(data), 10**9) | {"executable": True}
    await cheat(rpc_url, "surfnet_setAccount", str(program), entry)


@asynccontextmanager
async def solana_net(directory: Path, activation_delay: int = ACTIVATION_DELAY) -> AsyncIterator[SolanaNet]:
    """A fresh devnet with a program that was initialised."""
    key, treasury = SchnorrKey.seeded("group"), Keypair().pubkey()
    async with start_surfnet(toolchain(), directory, slot_milliseconds=SLOT_MILLISECONDS) as chain:
        program, authority = Keypair().pubkey(), chain.payer
        await plant_program(chain.rpc_url, program, authority.pubkey(), program_binary())
        async with SolanaClient(chain.rpc_url, chain.genesis_hash) as client:
            account = Account(bytes(program))
            net = SolanaNet(chain.rpc_url, chain.genesis_hash, client, account, authority, treasury, key)
            await net.fund(treasury, TREASURY_LAMPORTS)
            governance = SolanaGovernance.of(client, account, authority)
            await governance.initialise(treasury, group_key(key), activation_delay)
            await governance.register_peer(samples.EVM)
            await governance.register_model(MODEL)
            yield net
