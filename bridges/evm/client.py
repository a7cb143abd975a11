"""The way to one EVM chain: JSON-RPC requests with time limits, bounded retries and one mapping of errors.

Guarantees: an endpoint is used only after it said the configured chain id; a request is tried a bounded number of times within a deadline,
with jitter, each time at the next endpoint of the list; whatever web3, aiohttp or a malformed answer raises leaves as one of
`oracle.errors`; a revert is a `Rejected` whose `reason` is the Solidity error's name. Endpoints are an ordered list for availability
alone: to believe no single one, give one reader to each and compare them above this port.
"""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
import stamina
from eth_typing import ChecksumAddress, HexStr
from web3 import AsyncWeb3
from web3.exceptions import (
    BlockNotFound,
    ContractLogicError,
    InvalidAddress,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.types import BlockIdentifier, FilterParams, RPCEndpoint, TxParams, Wei

from bridges.evm.abi import decode_revert
from bridges.evm.answers import Header, Log, Mined, header, log, mined
from bridges.evm.provider import HttpProvider
from oracle.errors import ChainError, ConfigError, EncodeError, Rejected, Transient
from oracle.protocol.types import Chain

T = TypeVar("T")

_MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)
"""What web3's formatters raise on an answer that is JSON but not what the method returns."""
_BUSY_CODES = frozenset({-32005, -32603, -32016, -32097, 429})
"""JSON-RPC codes of endpoints that are over a limit or broke inside: another try, or another endpoint, may do (EIP-1474)."""
_PRIORITY_FEE = RPCEndpoint("eth_maxPriorityFeePerGas")  # web3's own method falls back with a warning
_REVERT_MARKS = ("revert", "out of gas", "invalid opcode", "stack underflow")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long one request is tried. Waits grow from `wait` to `wait_max`, plus up to `jitter`; all in seconds."""

    attempts: int = 4
    deadline: float = 20.0
    wait: float = 0.1
    wait_max: float = 2.0
    jitter: float = 0.2


class RpcError(Transient):
    """An endpoint answered with a JSON-RPC error that is no revert. Not tried again by the client: the caller knows what it means."""

    def __init__(self, message: str, *, code: int, said: str) -> None:
        super().__init__(message)
        self.code, self.said = code, said


class _NotFound(Exception):
    """The endpoint does not have what was asked for."""


class EvmClient:
    """Connections to the endpoints of one chain. Use as an async context manager, or call `connect` and `close`."""

    def __init__(
        self,
        rpc_urls: str | Sequence[str],
        chain_id: int,
        *,
        timeout: float = 10.0,
        retries: RetryPolicy | None = None,
    ) -> None:
        urls = (rpc_urls,) if isinstance(rpc_urls, str) else tuple(rpc_urls)
        if not urls:
            raise ConfigError(f"Chain {chain_id} has no RPC endpoint; name at least one.")
        self.chain = Chain.evm(chain_id)
        self._timeout = timeout
        self._retries = retries or RetryPolicy()
        self._providers = tuple(HttpProvider(url, timeout) for url in urls)
        # Without middleware: no ENS, no hidden requests, no gas strategies; what is sent is what this package built.
        self._web3s: tuple[AsyncWeb3[Any], ...] = tuple(AsyncWeb3(p, middleware=[]) for p in self._providers)
        self._checked: set[int] = set()
        self._current = 0

    def __repr__(self) -> str:
        return f"EvmClient({self.chain}, {[provider.name for provider in self._providers]})"

    @property
    def chain_id(self) -> int:
        """EIP-155 chain id."""
        return self.chain.chain_id

    async def connect(self) -> None:
        """Check every endpoint's chain id. Raises ConfigError when one serves another chain or refuses this node, Transient when none answers."""
        silent: Transient | None = None
        for index in range(len(self._providers)):
            try:
                await self._check_chain(index)
            except Transient as error:
                silent = error
        if not self._checked:
            raise Transient(f"No RPC endpoint of {self.chain} answers; the last one: {silent}") from silent

    async def close(self) -> None:
        """Close every connection."""
        for provider in self._providers:
            await provider.disconnect()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ---- what the other modules need of a chain ----

    async def block_number(self) -> int:
        """Number of the newest block."""
        return int(await self._ask("the block number", lambda w3: w3.eth.get_block_number()))

    async def block(self, which: BlockIdentifier) -> Header | None:
        """A block's header by number, hash or tag; None when the endpoint does not have it."""
        try:
            return await self._ask(f"block {_name(which)}", parsed(header, lambda w3: w3.eth.get_block(which)))
        except _NotFound:
            return None

    async def logs(self, query: FilterParams) -> list[Log]:
        """eth_getLogs. An RpcError (such as "range too large") is the caller's to handle."""
        return await self._ask("logs", parsed(_logs, lambda w3: w3.eth.get_logs(query)))

    async def call(
        self,
        to: ChecksumAddress,
        data: bytes,
        *,
        block: BlockIdentifier = "latest",
        sender: ChecksumAddress | None = None,
        value: int = 0,
        gas: int | None = None,
    ) -> bytes:
        """eth_call. Raises Rejected with the contract's reason when it reverts."""
        transaction: TxParams = {"to": to, "data": HexStr("0x" + data.hex())}
        if sender is not None:
            transaction["from"] = sender
        if value:
            transaction["value"] = Wei(value)
        if gas is not None:
            transaction["gas"] = gas
        return bytes(await self._ask("a call", lambda w3: w3.eth.call(transaction, block)))

    async def code_size(self, address: ChecksumAddress) -> int:
        """Bytes of code at an address; 0: none, or a plain account."""
        return len(await self._ask("code", lambda w3: w3.eth.get_code(address)))

    async def balance(self, address: ChecksumAddress) -> int:
        """Balance in wei at the newest block."""
        return int(await self._ask("a balance", lambda w3: w3.eth.get_balance(address)))

    async def estimate_gas(self, transaction: TxParams) -> int:
        """eth_estimateGas at the newest block. Raises Rejected with the contract's reason when it would revert."""
        return int(await self._ask("a gas estimate", lambda w3: w3.eth.estimate_gas(transaction, "latest")))

    async def priority_fee(self) -> int:
        """The endpoint's proposal of a priority fee, in wei per gas."""
        return int(await self._ask("the priority fee", lambda w3: w3.manager.coro_request(_PRIORITY_FEE, [])), 16)

    async def account_nonce(self, address: ChecksumAddress, block: BlockIdentifier) -> int:
        """Transactions that an account sent up to a block, or with "pending" those that wait as well."""
        return int(await self._ask("an account's nonce", lambda w3: w3.eth.get_transaction_count(address, block)))

    async def send_raw(self, transaction: bytes) -> None:
        """Hand over a signed transaction. RpcError says why the endpoint did not take it."""
        await self._ask("a transaction to send", lambda w3: w3.eth.send_raw_transaction(transaction))

    async def receipt(self, transaction_hash: bytes) -> Mined | None:
        """A mined transaction's receipt; None when it is not mined, or unknown."""
        name = HexStr("0x" + transaction_hash.hex())
        try:
            return await self._ask("a receipt", parsed(mined, lambda w3: w3.eth.get_transaction_receipt(name)))
        except _NotFound:
            return None

    # ---- requests, retries and errors ----

    async def _ask(self, what: str, request: Callable[[AsyncWeb3[Any]], Awaitable[T]]) -> T:
        """Try at one endpoint after the other, within the policy. Raises Transient, Rejected, ConfigError, _NotFound."""
        policy = self._retries
        turns = itertools.count(self._current)
        try:
            async with asyncio.timeout(policy.deadline):
                async for attempt in stamina.retry_context(
                    on=lambda error: isinstance(error, Transient) and not isinstance(error, RpcError),
                    attempts=policy.attempts,
                    timeout=policy.deadline,
                    wait_initial=policy.wait,
                    wait_max=policy.wait_max,
                    wait_jitter=policy.jitter,
                ):
                    with attempt:
                        index = next(turns) % len(self._providers)
                        answer = await self._ask_one(index, what, request)
                        self._current = index  # stay with the one that works
                        return answer
        except TimeoutError as error:
            names = ", ".join(provider.name for provider in self._providers)
            raise Transient(f"No answer for {what} within {policy.deadline:g} s from {names}.") from error
        raise AssertionError("stamina returns or raises")

    async def _ask_one(self, index: int, what: str, request: Callable[[AsyncWeb3[Any]], Awaitable[T]]) -> T:
        try:
            await self._check_chain(index)
            return await self._map(index, what, request)
        except ConfigError as error:
            raise Transient(
                str(error)
            ) from error  # at run time another endpoint may do; `connect` is where it is fatal

    async def _check_chain(self, index: int) -> None:
        """Raise ConfigError unless this endpoint serves the configured chain. Asked once an endpoint."""
        if index in self._checked:
            return
        said = await self._map(index, "the chain id", lambda w3: w3.eth.chain_id)
        if said != self.chain_id:
            name = self._providers[index].name
            raise ConfigError(
                f"The endpoint {name} serves chain {said}, not {self.chain_id}: correct the URL or the chain id."
            )
        self._checked.add(index)

    async def _map(self, index: int, what: str, request: Callable[[AsyncWeb3[Any]], Awaitable[T]]) -> T:
        """One request at one endpoint; the one place where library errors become `oracle.errors`."""
        name = self._providers[index].name
        try:
            async with asyncio.timeout(self._timeout):
                return await request(self._web3s[index])
        except (BlockNotFound, TransactionNotFound) as error:
            raise _NotFound(what) from error
        except InvalidAddress as error:
            raise EncodeError(f"Not an address with an EIP-55 checksum: {error.args[-1]}.") from error
        except ContractLogicError as error:
            raise _rejected(error) from error
        except Web3RPCError as error:
            raise _rpc_error(error, name, what) from error
        except TimeoutError as error:
            raise Transient(f"The endpoint {name} did not answer for {what} within {self._timeout:g} s.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Transient(f"No connection to the endpoint {name} ({type(error).__name__}).") from error
        except json.JSONDecodeError as error:
            raise Transient(f"The endpoint {name} did not answer with JSON when asked for {what}.") from error
        except (Web3Exception, *_MALFORMED) as error:
            raise Transient(f"The endpoint {name} gave a malformed answer when asked for {what}: {error}") from error


def parsed(
    parse: Callable[[Any], T], request: Callable[[AsyncWeb3[Any]], Awaitable[Any]]
) -> Callable[[AsyncWeb3[Any]], Awaitable[T]]:
    """A request whose answer is checked where malformed answers become Transient."""

    async def ask(w3: AsyncWeb3[Any]) -> T:
        return parse(await request(w3))

    return ask


def _logs(answer: Sequence[Any]) -> list[Log]:
    return [log(entry) for entry in answer]


def _rejected(error: ContractLogicError) -> Rejected:
    data = error.data
    if isinstance(data, str) and data.startswith("0x"):
        try:
            revert = decode_revert(bytes.fromhex(data[2:]))
            return Rejected(revert.sentence, reason=revert.name)
        except ValueError:
            pass  # not hexadecimal: the endpoint's own sentence is all there is
    return Rejected(f"The contract refused: {error.message or 'it gave no reason'}.")


def _rpc_error(error: Web3RPCError, name: str, what: str) -> ChainError:
    response = error.rpc_response or {}
    details = response.get("error")
    code = details.get("code", 0) if isinstance(details, dict) else 0
    said = str(details.get("message", "")) if isinstance(details, dict) else str(error)
    if code in _BUSY_CODES:
        return Transient(f"The endpoint {name} is busy or broken (asked for {what}): {said}")
    if any(mark in said.lower() for mark in _REVERT_MARKS):
        return Rejected(f"The contract refused: {said}.")
    return RpcError(f"The endpoint {name} refused when asked for {what}: {said} (code {code}).", code=code, said=said)


def _name(which: BlockIdentifier) -> str:
    return "0x" + which.hex() if isinstance(which, bytes) else str(which)
