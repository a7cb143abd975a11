"""A real anvil with Sibyl's contracts, for tests of the EVM adapter; and small contracts that behave well or badly.

Blocks come only when something is sent or `mine` is called, so that finality (two blocks on top) is in the test's hands.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bridges.evm.abi import account_of
from bridges.evm.account import EvmAccount
from bridges.evm.client import EvmClient, RetryPolicy
from bridges.evm.deploy import DeploymentPlan, EvmDeployment, GroupKey, ModelRegistration, deploy
from bridges.evm.requester import EvmRequester
from bridges.evm.sender import FeePolicy, Sender
from oracle.app.devnet.chains import AnvilChain, start_anvil
from oracle.app.toolchain import ensure_toolchain
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import Account, ModelId
from tests.support import samples
from tests.support.schnorr import SchnorrKey

QUICK = FeePolicy(poll=0.01, poll_max=0.1, bump_after=1.0, deadline=10.0)
RETRIES = RetryPolicy(attempts=2, deadline=10.0, wait=0.01, wait_max=0.05, jitter=0.01)
PROOF = b"\x07" * 64
PRICE = 10**15
OPERATORS = bytes(range(4))
"""Four members of four operators."""
DELAY = 600
"""Seconds between a new group key and its epoch's begin."""


def selector(signature: str) -> bytes:
    """First four bytes of a function's or error's hash."""
    return keccak256(signature.encode())[:4]


def returning(word_prefix: bytes) -> bytes:
    """Runtime code that answers every call with one word that begins with these bytes."""
    assert 0 < len(word_prefix) <= 4
    shift = bytes([0x60, 256 - 8 * len(word_prefix), 0x1B])
    return bytes([0x5F + len(word_prefix)]) + word_prefix + shift + bytes.fromhex("5f5260205ff3")


def reverting(error: bytes) -> bytes:
    """Runtime code that reverts every call with an error selector and a zero word."""
    return b"\x63" + error + bytes.fromhex("60e01b5f5260245ffd")


RECEIVER = returning(selector("receiveMessage(bytes32,bytes,bytes)"))
"""Takes every message."""
TRUE = bytes.fromhex("60015f5260205ff3")
"""A verifier that finds every proof good: what is tested with it is the adapter, never a proof."""


def creation(runtime: bytes) -> bytes:
    """Creation code that leaves `runtime`."""
    return bytes([0x60, len(runtime), 0x80, 0x60, 0x09, 0x5F, 0x39, 0x5F, 0xF3]) + runtime


@dataclass(frozen=True, slots=True)
class Anvil:
    """The chain, and the means to push it."""

    chain: AnvilChain

    async def rpc(self, method: str, *params: Any) -> Any:
        """One raw request."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with aiohttp.ClientSession() as session, session.post(self.chain.rpc_url, json=body) as response:
            answer = await response.json()
        assert "error" not in answer, answer
        return answer["result"]

    async def mine(self, blocks: int = 3) -> None:
        """Blocks on top."""
        await self.rpc("anvil_mine", hex(blocks))

    async def automine(self, on: bool) -> None:
        """Whether each transaction gets a block at once."""
        await self.rpc("evm_setAutomine", on)

    async def set_code(self, address: str, code: bytes) -> None:
        """Put a contract anywhere."""
        await self.rpc("anvil_setCode", address, "0x" + code.hex())

    def client(self, **options: Any) -> EvmClient:
        """A client of this chain."""
        return EvmClient(self.chain.rpc_url, self.chain.chain_id, **{"retries": RETRIES, **options})

    def account(self, index: int) -> EvmAccount:
        """A funded account."""
        return EvmAccount(self.chain.accounts[index].private_key)


@asynccontextmanager
async def anvil(directory: Path) -> AsyncIterator[Anvil]:
    """A fresh chain, with a block for each transaction."""
    async with start_anvil(ensure_toolchain(lambda line: None), directory, block_seconds=3600) as chain:
        running = Anvil(chain)
        await running.automine(True)
        yield running


@dataclass(frozen=True, slots=True)
class Deployed:
    """Contracts on an anvil. Account 0 deployed, 1 delivers, 2 asks and owns the consumer."""

    anvil: Anvil
    client: EvmClient
    deployment: EvmDeployment
    key: SchnorrKey

    @property
    def gateway(self) -> Account:
        """Left-padded."""
        return account_of(self.deployment.gateway)

    @property
    def hub(self) -> Account:
        """Left-padded."""
        return account_of(self.deployment.hub)

    def sender(self, index: int = 1, fees: FeePolicy = QUICK) -> Sender:
        """A sender of a funded account."""
        return Sender(self.client, self.anvil.account(index), fees)

    def requester(self, index: int = 2) -> EvmRequester:
        """The account that asks."""
        consumer = self.deployment.consumer
        return EvmRequester(
            self.sender(index), self.gateway, self.hub, None if consumer is None else account_of(consumer)
        )


def plan(anvil_: Anvil, key: SchnorrKey, *, steps: int = 3) -> DeploymentPlan:
    """A committee of one key, a model of three inputs and one output, and the samples' Solana program as a peer."""
    model = ModelRegistration(
        ModelId(samples.MODEL), steps, 1, 7, 14, 1_000_000, PRICE, verifier=creation(TRUE), proof_length=len(PROOF)
    )
    payees = tuple(account.address for account in anvil_.chain.accounts[4:8])
    return DeploymentPlan(
        GroupKey(key.px, key.parity, key.proof_of_possession(), 3, OPERATORS),
        payees,
        (model,),
        (samples.SOLANA,),
        consumer_owner=anvil_.account(2).address,
        activation_delay=DELAY,
    )


@asynccontextmanager
async def deployed(anvil_: Anvil) -> AsyncIterator[Deployed]:
    """Fresh contracts on a running chain."""
    key = SchnorrKey.seeded("group")
    async with anvil_.client() as client:
        deployment = await deploy(Sender(client, anvil_.account(0), QUICK), plan(anvil_, key))
        yield Deployed(anvil_, client, deployment, key)
