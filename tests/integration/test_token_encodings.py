"""Both chains and the reference agree on every encoding of a transfer: thousands of payloads, honest and bent, and one verdict each.

The reference is `oracle.protocol.tokens`. The EVM side's library runs in a real EVM; the Solana side's program takes the payload as a delivered
message in its own runtime. What one of the three reads, the others read alike; what one refuses, all refuse. The cases are seeded.
"""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from eth_abi.abi import decode, encode
from solders.pubkey import Pubkey

from oracle.protocol.errors import DecodeError
from oracle.protocol.hashing import keccak256
from oracle.protocol.interop import InteropAddress
from oracle.protocol.tokens import MAX_WIRE_AMOUNT, TokenTransfer
from oracle.protocol.types import Account, Chain, ChainType, evm_account
from tests.support import solana_program as sp
from tests.support import solana_tokens as st
from tests.support.evm_chain import Anvil, anvil
from tests.support.solidity import runtime_code

pytestmark = [pytest.mark.devnet, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
EVM_CASES, SOLANA_CASES = 1_500, 500
AT_ONCE = 100
CHAIN = Chain.solana(keccak256(b"some genesis"))
HARNESS = """// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;
import {TokenPayload} from "./tokens/TokenPayload.sol";
contract Harness {
    function read(bytes calldata payload, bytes32 chain) external pure returns (bytes memory, address, uint64, uint64) {
        (bytes calldata from, address to, uint64 amount, uint64 fee) = TokenPayload.decodeTransfer(payload, chain);
        return (from, to, amount, fee);
    }
}
"""
READ = keccak256(b"read(bytes,bytes32)")[:4]
PLACE = "0x" + "5e" * 20


def transfers(seed: str, destination: ChainType, sender: InteropAddress) -> Iterator[TokenTransfer]:
    """Honest ones, with amounts and fees of every size."""
    chance = random.Random(seed)
    while True:
        amount = min(MAX_WIRE_AMOUNT, max(1, chance.getrandbits(chance.randint(1, 64))))
        fee = chance.choice([0, 0, chance.randrange(amount), amount - 1])
        to = evm_account(chance.randbytes(20)) if destination is ChainType.EIP155 else Account(chance.randbytes(32))
        yield TokenTransfer(sender, destination, to, amount, fee)


def bent(payload: bytes, chance: random.Random) -> bytes:
    """One change of a kind that a sloppy parser overlooks."""
    place, word = chance.randrange(len(payload)), chance.randrange(len(payload) // 32)
    match chance.randrange(7):
        case 0:
            return payload[:place] + bytes([payload[place] ^ 1 << chance.randrange(8)]) + payload[place + 1 :]
        case 1:
            return payload[: 32 * word] + chance.randbytes(32) + payload[32 * word + 32 :]
        case 2:
            value = chance.choice([0, 1, 32, 96, 128, 160, 256, 1 << 63, 1 << 64, (1 << 256) - 32, (1 << 256) - 1])
            return payload[: 32 * word] + value.to_bytes(32) + payload[32 * word + 32 :]
        case 3:
            return payload[:place]
        case 4:
            return payload + chance.randbytes(chance.choice([1, 31, 32, 64]))
        case 5:
            return payload[: 32 * word] + payload[32 * word + 32 :]
        case _:
            return payload[: 32 * word] + payload[32 * word : 32 * word + 32] + payload[32 * word :]


def cases(seed: str, destination: ChainType, sender: InteropAddress, count: int) -> list[bytes]:
    """A fifth of them honest."""
    chance = random.Random(seed + "bent")
    made = transfers(seed, destination, sender)
    honest = [next(made).to_bytes() for _ in range(count)]
    return [one if chance.random() < 0.2 else bent(one, chance) for one in honest]


def reference(payload: bytes, origin: ChainType, destination: ChainType) -> TokenTransfer | None:
    try:
        return TokenTransfer.from_bytes(payload, origin=origin, destination=destination)
    except DecodeError:
        return None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Anvil]:
    async with anvil(Path(tmp_path_factory.mktemp("anvil"))) as running:
        await running.set_code(PLACE, runtime_code(HARNESS, "Harness"))
        yield running


async def solidity(chain: Anvil, payloads: list[bytes]) -> list[tuple[bytes, bytes, int, int] | None]:
    """What the EVM library reads of each; None where it reverts."""
    calls = []
    for number, payload in enumerate(payloads):
        data = READ + encode(["bytes", "bytes32"], [payload, CHAIN.reference])
        calls.append(
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": "eth_call",
                "params": [{"to": PLACE, "data": "0x" + data.hex()}, "latest"],
            }
        )
    read: list[tuple[bytes, bytes, int, int] | None] = []
    async with aiohttp.ClientSession() as http:
        for start in range(0, len(calls), AT_ONCE):
            async with http.post(chain.chain.rpc_url, json=calls[start : start + AT_ONCE]) as reply:
                answers: list[dict[str, Any]] = await reply.json()
            for answer in sorted(answers, key=lambda one: one["id"]):
                if "error" in answer:
                    assert "revert" in answer["error"]["message"], answer
                    read.append(None)
                    continue
                sender, to, amount, fee = decode(
                    ["bytes", "address", "uint64", "uint64"], bytes.fromhex(answer["result"][2:])
                )
                read.append((sender, bytes.fromhex(to[2:]), amount, fee))
    return read


async def test_encodings__transfers_to_the_evm_chain__solidity_reads_what_the_reference_reads(chain: Anvil) -> None:
    sender = InteropAddress(CHAIN, Account(keccak256(b"sender")))
    payloads = cases("to evm", ChainType.EIP155, sender, EVM_CASES)
    read = await solidity(chain, payloads)
    taken = 0
    for payload, found in zip(payloads, read, strict=True):
        told = reference(payload, ChainType.SOLANA, ChainType.EIP155)
        # The library is for one chain; the reference leaves to its caller whose sender it is.
        if told is not None and told.sender.chain != CHAIN:
            told = None
        expected = None if told is None else (told.sender.to_bytes(), told.recipient[12:], told.amount, told.fee)
        assert found == expected, payload.hex()
        taken += found is not None
    assert EVM_CASES // 10 < taken < EVM_CASES // 2, "honest and bent ones were both among them"


async def test_encodings__transfers_to_solana__the_program_takes_what_the_reference_reads() -> None:
    tokens = st.start()
    token = tokens.register_wrapped()
    user = tokens.user
    sender = InteropAddress(sp.EVM.chain, sp.EVM_USER)
    chance = random.Random("solana")
    made = transfers("to solana", ChainType.SOLANA, sender)
    taken = 0
    for _ in range(SOLANA_CASES):
        one = next(made)
        # Small amounts to one account, so that neither the cap nor the number of accounts ends the run.
        amount = one.amount % 10**9 + 1
        payload = TokenTransfer(sender, ChainType.SOLANA, Account(bytes(user)), amount, one.fee % amount).to_bytes()
        if chance.random() >= 0.2:
            payload = bent(payload, chance)
        told = reference(payload, ChainType.EIP155, ChainType.SOLANA)
        minted = tokens.supply(token.mint)
        recipient = user if told is None else Pubkey(told.recipient)
        delivered = tokens.deliver(tokens.inbound(token.evm_bridge, payload))
        step = tokens.redeem(token, delivered, recipient)
        if told is None:
            assert tokens.bench.refused(step) == "InvalidTransfer", payload.hex()
            continue
        if minted + told.amount >= 1 << 64:
            continue
        tokens.bench.accepted(step)
        assert tokens.supply(token.mint) == minted + told.amount
        taken += 1
    assert SOLANA_CASES // 10 < taken < SOLANA_CASES // 2
