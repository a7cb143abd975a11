"""Requests under RECOMPUTED at a steady pace through a running devnet: every one is answered once, at what rate, and how long after finality.

One account posts transactions that were signed before, so that what is measured is the nodes' work and not the asker's. Times are this machine's
wall clock: a request counts from the moment at which its block was first seen final to that at which its answer's block was first seen.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from eth_typing import HexStr
from web3.types import FilterParams

from bridges.evm.abi import account_of, address_of, interface
from bridges.evm.account import EvmAccount
from bridges.evm.answers import Log
from oracle.app.asking import DevnetUser
from oracle.errors import Transient
from oracle.protocol.types import Account, Policy

LOAD_SECONDS = 600.0
"""The longest wait for the last answer after the last request."""
LOOK_SECONDS = 0.05
REQUEST_GAS = 600_000
MAX_FEE = 100 * 10**9
DEADLINE_SECONDS = 3_600

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: requests, seconds from the first post to the last answer, and by request the seconds beyond finality, ascending."""

    requests: int
    seconds: float
    beyond_finality: tuple[float, ...]

    @property
    def per_minute(self) -> float:
        """Answers a minute."""
        return 60 * self.requests / self.seconds

    def quantile(self, share: float) -> float:
        """Seconds beyond finality that `share` of the requests stay below."""
        return self.beyond_finality[min(len(self.beyond_finality) - 1, math.floor(share * len(self.beyond_finality)))]


@dataclass(slots=True)
class _Seen:
    """What the chain showed, and when. Blocks by number, requests by id."""

    posted: dict[bytes, int] = field(default_factory=dict)
    answered: dict[bytes, float] = field(default_factory=dict)
    final_at: dict[int, float] = field(default_factory=dict)
    final_upto: int = -1
    twice: set[bytes] = field(default_factory=set)

    def final(self, number: int, now: float) -> None:
        """The newest final block is this one."""
        for block in range(self.final_upto + 1, number + 1):
            self.final_at[block] = now
        self.final_upto = max(self.final_upto, number)

    def beyond_finality(self) -> Iterator[float]:
        """Of each answered request, ascending. An answer cannot come before its request is final, but may be seen first."""
        yield from sorted(max(0.0, at - self.final_at[self.posted[one]]) for one, at in self.answered.items())


async def request_load(user: DevnetUser, requests: int, per_second: float, tell: Tell = lambda _: None) -> Load:
    """Post `requests` at `per_second` and wait for every answer. Raises Transient when one is missing after a deadline, or came twice."""
    head = await user.evm_client.block("latest")
    if head is None:
        raise Transient("The devnet's EVM chain has no block.")
    raw = await _signed(user, requests, head.timestamp + DEADLINE_SECONDS)
    seen = _Seen()
    seen.final(head.number - 1, time.monotonic())
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        group.create_task(_post(user, raw, per_second))
        watching = group.create_task(_watch(user, seen, requests, head.number, tell))
    if seen.twice:
        raise Transient(f"{len(seen.twice)} requests were answered more than once.")
    return Load(requests, watching.result() - started, tuple(seen.beyond_finality()))


async def _signed(user: DevnetUser, count: int, deadline: int) -> list[bytes]:
    """The transactions, each with inputs of its own."""
    account = EvmAccount(user.devnet.evm.stranger_key)
    nonce = await user.evm_client.account_nonce(account.address, "pending")
    price = (await user.evm.model(user.model.model_id)).price
    signed = []
    for number in range(count):
        inputs = [number % 97 - 48] * user.model.input_count
        data = interface("OracleHub").encode(
            "request", user.model.model_id, inputs, Policy.RECOMPUTED, deadline, 0, b""
        )
        fields = {"type": 2, "chainId": user.evm_client.chain_id, "nonce": nonce + number, "to": user.devnet.evm.hub}
        fees = {"gas": REQUEST_GAS, "maxFeePerGas": MAX_FEE, "maxPriorityFeePerGas": 1}
        signed.append(account.sign({**fields, **fees, "value": price, "data": data})[0])
    return signed


async def _post(user: DevnetUser, transactions: list[bytes], per_second: float) -> None:
    started = time.monotonic()
    for number, raw in enumerate(transactions):
        await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))
        await user.evm_client.send_raw(raw)


async def _watch(user: DevnetUser, seen: _Seen, requests: int, block: int, tell: Tell) -> float:
    """The moment of the last answer. `block` is the first to look at."""
    deadline, told = time.monotonic() + LOAD_SECONDS, 0
    asker = account_of(EvmAccount(user.devnet.evm.stranger_key).address)
    while len(seen.answered) < requests:
        if time.monotonic() > deadline:
            raise Transient(f"{requests - len(seen.answered)} of {requests} requests were not answered in time.")
        final, latest = await user.evm_client.block("finalized"), await user.evm_client.block("latest")
        now = time.monotonic()
        if final is not None:
            seen.final(final.number, now)
        if latest is not None and latest.number >= block:
            _note(seen, await _events(user, block, latest.number), asker, now)
            block = latest.number + 1
        if len(seen.answered) * 10 // requests > told:
            told = len(seen.answered) * 10 // requests
            tell(f"{len(seen.answered)} of {len(seen.posted)} requests are answered")
        await asyncio.sleep(LOOK_SECONDS)
    last = max(seen.answered.values())
    while seen.final_upto < max(seen.posted.values()):  # an answer may be seen before its request's finality is
        final = await user.evm_client.block("finalized")
        seen.final(-1 if final is None else final.number, time.monotonic())
        await asyncio.sleep(LOOK_SECONDS)
    return last


def _note(seen: _Seen, logs: list[Log], asker: Account, now: float) -> None:
    """Requests of `asker`, and answers to them."""
    requested = interface("OracleHub").topic("Requested")
    for log in logs:
        request_id = log.topics[1]
        if log.topics[0] == requested:
            if log.topics[2] == asker:
                seen.posted[request_id] = log.block
        elif request_id in seen.answered:
            seen.twice.add(request_id)
        elif request_id in seen.posted:  # others may ask as well
            seen.answered[request_id] = now


async def _events(user: DevnetUser, first: int, last: int) -> list[Log]:
    """Requests and answers in blocks `first` to `last`."""
    hub, abi = address_of(account_of(user.devnet.evm.hub)), interface("OracleHub")
    topics = [HexStr("0x" + abi.topic(name).hex()) for name in ("Requested", "Answered")]
    query: FilterParams = {"address": hub, "fromBlock": first, "toBlock": last, "topics": [topics]}
    return await user.evm_client.logs(query)
