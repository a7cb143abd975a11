"""One RPC endpoint of a Solana cluster: typed answers, time-outs, bounded retries, and errors mapped once.

Guarantees: nothing is asked of an endpoint before its genesis hash was compared with the configured one; each call ends within
`timeout` seconds, and with its repetitions within `deadline`; every failure is `Transient`, `Rejected`, or (another cluster)
`ConfigError`. The endpoint's address is never shown beyond its host, since such addresses carry API keys.

Does not trust an endpoint more than it must: answers are parsed strictly, and a slot older than asked for is refused here, since
some endpoints ignore `minContextSlot`. It does not compare endpoints with one another.
"""

import asyncio
import base64
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Annotated, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import stamina
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.jsonrpc import JsonRpcErrorCode, JsonRpcRequest, SolanaJsonRpcError
from solders.hash import Hash, ParseHashError
from solders.pubkey import Pubkey
from solders.signature import Signature

from bridges.solana.failures import AlreadyProcessed, BlockhashExpired, failure
from bridges.solana.layout import AccountData
from oracle.errors import ChainError, ConfigError, Rejected, Transient
from oracle.protocol.types import Chain

Commitment = Literal["processed", "confirmed", "finalized"]
T = TypeVar("T")

MAX_ACCOUNTS: Final = 100
"""Accounts in one getMultipleAccounts (the RPC method's own limit)."""
_RETRY_WAIT: Final = 0.05
_RETRY_WAIT_MAX: Final = 2.0
_REFUSED_FOR_GOOD: Final = frozenset(
    {
        JsonRpcErrorCode.INVALID_PARAMS,
        JsonRpcErrorCode.SERVER_ERROR_TRANSACTION_SIGNATURE_VERIFICATION_FAILURE,
        JsonRpcErrorCode.SERVER_ERROR_TRANSACTION_PRECOMPILE_VERIFICATION_FAILURE,
        JsonRpcErrorCode.SERVER_ERROR_TRANSACTION_SIGNATURE_LEN_MISMATCH,
    }
)
_TRANSACTION_METHODS: Final = frozenset({"sendTransaction", "simulateTransaction"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one call may take, how often it is repeated, and how long all of it may last. Seconds."""

    timeout: float = 5.0
    attempts: int = 4
    deadline: float = 12.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Accounts as of one slot; None where there is none."""

    slot: int
    accounts: tuple[AccountData | None, ...]


@dataclass(frozen=True, slots=True)
class FoundAccount:
    """An account found by a search."""

    address: Pubkey
    account: AccountData


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do. `error` is the RPC form of TransactionError, None on success."""

    units: int
    error: object
    logs: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """Where a transaction stands; `commitment` is the strongest that it has."""

    slot: int
    commitment: Commitment
    error: object


@dataclass(frozen=True, slots=True)
class TransactionMeta:
    """What a transaction used, and what its programs logged."""

    units: int
    logs: tuple[str, ...] = field(repr=False)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, extra="ignore", strict=False)


_Slot = Annotated[int, Field(ge=0, lt=1 << 64)]


class _Context(_Wire):
    slot: _Slot


class _Account(_Wire):
    data: tuple[str, Literal["base64"]]
    owner: str
    lamports: Annotated[int, Field(ge=0, lt=1 << 64)]

    def parsed(self) -> AccountData:
        return AccountData(Pubkey.from_string(self.owner), self.lamports, base64.b64decode(self.data[0], validate=True))


class _Accounts(_Wire):
    context: _Context
    value: list[_Account | None]


class _Keyed(_Wire):
    pubkey: str
    account: _Account


class _Blockhash(_Wire):
    blockhash: str


class _BlockhashAnswer(_Wire):
    value: _Blockhash


class _Flag(_Wire):
    value: bool


class _Amount(_Wire):
    value: int


class _Simulated(_Wire):
    err: object = None
    logs: list[str] | None = None
    units_consumed: int = 0


class _SimulationAnswer(_Wire):
    value: _Simulated


class _Status(_Wire):
    slot: _Slot
    err: object = None
    confirmation_status: Commitment = "processed"


class _Statuses(_Wire):
    value: list[_Status | None]


class _Meta(_Wire):
    compute_units_consumed: int | None = None
    log_messages: list[str] | None = None


class _Transaction(_Wire):
    meta: _Meta | None = None


_ACCOUNTS: Final = TypeAdapter(_Accounts)
_KEYED: Final = TypeAdapter(list[_Keyed])
_BLOCKHASH: Final = TypeAdapter(_BlockhashAnswer)
_ACTIVITY: Final = TypeAdapter(list[_Context])
_FLAG: Final = TypeAdapter(_Flag)
_AMOUNT: Final = TypeAdapter(_Amount)
_SIMULATION: Final = TypeAdapter(_SimulationAnswer)
_STATUSES: Final = TypeAdapter(_Statuses)
_TRANSACTION: Final = TypeAdapter[_Transaction | None](_Transaction | None)
_NUMBER: Final = TypeAdapter[int](_Slot)
_TEXT: Final = TypeAdapter(str)


class SolanaClient:
    """A connection to one endpoint, opened and closed by `async with`, or by `connect()` and `close()`.

    `genesis_hash` (32 bytes) names the cluster.
    """

    def __init__(
        self,
        rpc_url: str,
        genesis_hash: bytes,
        *,
        policy: RetryPolicy | None = None,
    ) -> None:
        self.chain = Chain.solana(genesis_hash)
        self._policy = policy or RetryPolicy()
        self._host = _host(rpc_url)
        logging.getLogger("httpx2").setLevel(logging.WARNING)  # at INFO it writes whole addresses, with their keys
        # Our own retries know a deadline; the library's do not.
        self._rpc = AsyncClient(rpc_url, timeout=self._policy.timeout, http2=False, max_transport_retries=0)
        self._connecting = asyncio.Lock()
        self._checked = False

    def __repr__(self) -> str:
        return f"SolanaClient({self._host}, {self.chain})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._rpc.close()

    async def connect(self) -> None:
        """Check that the endpoint serves the configured cluster; done by itself before the first call.

        Raises Transient, or ConfigError when it is another cluster.
        """
        async with self._connecting:
            if self._checked:
                return
            answer = await self._retrying("getGenesisHash", [], _TEXT)
            if answer != str(Hash(self.chain.reference)):
                raise ConfigError(
                    f"The RPC endpoint at {self._host} serves the Solana cluster with genesis hash {answer}, not "
                    f"{Hash(self.chain.reference)}. Name an endpoint of the configured cluster."
                )
            self._checked = True

    async def accounts(self, keys: Sequence[Pubkey], commitment: Commitment, *, since: int = 0) -> Snapshot:
        """Accounts at `commitment`, all as of one slot that is not before `since`. At most MAX_ACCOUNTS."""
        config = {"encoding": "base64", "commitment": commitment, "minContextSlot": since}
        answer = await self._call("getMultipleAccounts", [[str(key) for key in keys], config], _ACCOUNTS)
        if answer.context.slot < since:
            raise Transient(
                f"The RPC endpoint at {self._host} is behind: it answered for slot {answer.context.slot}, slot {since} was asked for."
            )
        if len(answer.value) != len(keys):
            raise Transient(
                f"The RPC endpoint at {self._host} answered for {len(answer.value)} of {len(keys)} accounts."
            )
        with _parsing(self._host, "getMultipleAccounts"):
            return Snapshot(answer.context.slot, tuple(None if one is None else one.parsed() for one in answer.value))

    async def find(
        self, program: Pubkey, matches: Sequence[tuple[int, bytes]], commitment: Commitment
    ) -> tuple[FoundAccount, ...]:
        """Accounts of `program` whose data has each of the given bytes at the given offset."""
        filters = [
            {"memcmp": {"offset": offset, "bytes": base64.b64encode(data).decode(), "encoding": "base64"}}
            for offset, data in matches
        ]
        config = {"encoding": "base64", "commitment": commitment, "filters": filters}
        answer = await self._call("getProgramAccounts", [str(program), config], _KEYED)
        with _parsing(self._host, "getProgramAccounts"):
            return tuple(FoundAccount(Pubkey.from_string(one.pubkey), one.account.parsed()) for one in answer)

    async def slot(self, commitment: Commitment) -> int:
        """The newest slot at `commitment`."""
        return await self._call("getSlot", [{"commitment": commitment}], _NUMBER)

    async def last_activity(self, key: Pubkey) -> int | None:
        """The slot of the newest transaction that names an account; None when the endpoint keeps none."""
        config = {"commitment": "confirmed", "limit": 1}
        answer = await self._call("getSignaturesForAddress", [str(key), config], _ACTIVITY)
        return answer[0].slot if answer else None

    async def activity(self, key: Pubkey) -> int:
        """How many transactions named an account, of the newest 1,000, failed ones included."""
        config = {"commitment": "confirmed", "limit": 1000}
        found = await self._call("getSignaturesForAddress", [str(key), config], _ACTIVITY)
        return len(found)

    async def healthy(self) -> bool:
        """Whether the endpoint says that it keeps up with the cluster."""
        try:
            return await self._call("getHealth", [], _TEXT) == "ok"
        except Transient:
            return False

    async def balance(self, key: Pubkey, commitment: Commitment = "confirmed") -> int:
        """Lamports of an account."""
        return (await self._call("getBalance", [str(key), {"commitment": commitment}], _AMOUNT)).value

    async def minimum_balance(self, size: int) -> int:
        """Lamports that keep an account of `size` bytes of data."""
        return await self._call("getMinimumBalanceForRentExemption", [size], _NUMBER)

    async def latest_blockhash(self) -> Hash:
        """A blockhash that most of the cluster knows."""
        answer = await self._call("getLatestBlockhash", [{"commitment": "confirmed"}], _BLOCKHASH)
        with _parsing(self._host, "getLatestBlockhash"):
            return Hash.from_string(answer.value.blockhash)

    async def blockhash_valid(self, blockhash: Hash) -> bool:
        """Whether a transaction with this blockhash could still be taken."""
        return (await self._call("isBlockhashValid", [str(blockhash), {"commitment": "processed"}], _FLAG)).value

    async def simulate(self, transaction: bytes) -> Simulation:
        """Run a transaction on the newest state without sending it."""
        config = {"encoding": "base64", "commitment": "processed", "sigVerify": False}
        params = [base64.b64encode(transaction).decode(), config]
        value = (await self._call("simulateTransaction", params, _SIMULATION)).value
        return Simulation(value.units_consumed, value.err, tuple(value.logs or ()))

    async def send(self, transaction: bytes) -> None:
        """Hand over a signed transaction that was simulated. Sending it again does no harm."""
        config = {"encoding": "base64", "skipPreflight": True, "maxRetries": 0}
        params = [base64.b64encode(transaction).decode(), config]
        try:
            await self._call("sendTransaction", params, _TEXT)
        except AlreadyProcessed:
            return

    async def status(self, signature: Signature) -> TransactionStatus | None:
        """Where a recent transaction stands; None when the endpoint has not seen it (or dropped it)."""
        answer = await self._call("getSignatureStatuses", [[str(signature)]], _STATUSES)
        found = answer.value[0] if len(answer.value) == 1 else None
        return None if found is None else TransactionStatus(found.slot, found.confirmation_status, found.err)

    async def meta(self, signature: Signature) -> TransactionMeta | None:
        """What a confirmed transaction used; None when the endpoint does not know (yet)."""
        config = {"encoding": "base64", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}
        answer = await self._call("getTransaction", [str(signature), config], _TRANSACTION)
        if answer is None or answer.meta is None or answer.meta.compute_units_consumed is None:
            return None
        return TransactionMeta(answer.meta.compute_units_consumed, tuple(answer.meta.log_messages or ()))

    async def _call(self, method: str, params: Sequence[object], result: TypeAdapter[T]) -> T:
        if not self._checked:
            await self.connect()
        return await self._retrying(method, params, result)

    async def _retrying(self, method: str, params: Sequence[object], result: TypeAdapter[T]) -> T:
        async for attempt in stamina.retry_context(
            on=_worth_repeating,
            attempts=self._policy.attempts,
            timeout=self._policy.deadline,
            wait_initial=_RETRY_WAIT,
            wait_max=_RETRY_WAIT_MAX,
            wait_jitter=_RETRY_WAIT,
        ):
            with attempt:
                return await self._once(method, params, result)
        raise Transient(f"The RPC endpoint at {self._host} did not answer {method}.")  # no attempt was allowed

    async def _once(self, method: str, params: Sequence[object], result: TypeAdapter[T]) -> T:
        try:
            async with asyncio.timeout(self._policy.timeout):
                answer: object = await self._rpc.send_rpc_request(
                    JsonRpcRequest(method=method, params=list(params)), object
                )
                return result.validate_python(answer)
        except TimeoutError as error:
            raise Transient(
                f"The RPC endpoint at {self._host} did not answer {method} within {self._policy.timeout:g} s."
            ) from error
        except SolanaRpcException as error:
            raise self._unreachable(method, error.__cause__) from error
        except SolanaJsonRpcError as error:
            raise self._refused(method, error) from error
        except ValidationError as error:
            raise Transient(f"The RPC endpoint at {self._host} gave a malformed answer to {method}.") from error

    def _unreachable(self, method: str, cause: BaseException | None) -> ChainError:
        if isinstance(cause, httpx2.HTTPStatusError):
            status = cause.response.status_code
            advice = " Check its address and key." if status in (401, 403, 404) else ""
            return Transient(f"The RPC endpoint at {self._host} answered {method} with HTTP status {status}.{advice}")
        if isinstance(cause, httpx2.TimeoutException):
            return Transient(
                f"The RPC endpoint at {self._host} did not answer {method} within {self._policy.timeout:g} s."
            )
        return Transient(f"The RPC endpoint at {self._host} cannot be reached for {method} ({type(cause).__name__}).")

    def _refused(self, method: str, error: SolanaJsonRpcError) -> ChainError:
        if error.code == JsonRpcErrorCode.SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE:
            if isinstance(error.data, dict) and error.data.get("err") is not None:
                logs = error.data.get("logs")
                return failure(error.data["err"], logs if isinstance(logs, list) else ())
            if "already been processed" in error.message:
                return AlreadyProcessed("The cluster has this transaction already.")
        if method in _TRANSACTION_METHODS and error.code in _REFUSED_FOR_GOOD:
            return Rejected(
                f"The RPC endpoint at {self._host} refused the transaction: {error.message}", reason=error.name or ""
            )
        return Transient(f"The RPC endpoint at {self._host} answered {method} with error {error.code}: {error.message}")


def _worth_repeating(error: Exception) -> bool:
    return isinstance(error, Transient) and not isinstance(error, AlreadyProcessed | BlockhashExpired)


@contextmanager
def _parsing(host: str, method: str) -> Iterator[None]:
    """Texts that should be base58 or base64 come from the endpoint too."""
    try:
        yield
    except (ValueError, ParseHashError) as error:
        raise Transient(f"The RPC endpoint at {host} gave a malformed answer to {method}.") from error


def _host(rpc_url: str) -> str:
    """Host and port of an endpoint: its path and query may hold a key. Raises ConfigError unless it is an http(s) address."""
    try:
        parts = urlsplit(rpc_url)
        port = parts.port
    except ValueError as error:
        raise ConfigError("The Solana RPC address is malformed; give one such as http://127.0.0.1:8899.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("The Solana RPC address must begin with http:// or https:// and name a host.")
    return parts.hostname if port is None else f"{parts.hostname}:{port}"
