"""Sends transactions of one account and sees them mined: gas, fees, account nonces, replacement, and the reason of a failure.

Guarantees: transactions of one sender never share an account nonce by mistake; a fee never exceeds the cap; a transaction that is not mined is
replaced at a higher fee a bounded number of times, and given up at a deadline (its account nonce is then taken again by the next one, so
that nothing is stuck behind it); a transaction of an earlier process that keeps ours waiting is replaced by an empty one, so that a restart needs
no memory; a failed transaction is replayed to learn why. One sender an account and process: nothing co-ordinates two processes that use the same key.
"""

import asyncio
from dataclasses import dataclass

from eth_typing import ChecksumAddress
from web3.types import TxParams, Wei

from bridges.evm.account import EvmAccount
from bridges.evm.answers import Mined
from bridges.evm.client import EvmClient, RpcError
from oracle.errors import Rejected, Transient

GWEI = 10**9
_GAS_MARGIN_PERCENT = 15
_GAS_MARGIN = 10_000
_BUMP_NUMERATOR, _BUMP_DENOMINATOR = 5, 4
"""A replacement pays a quarter more; nodes ask for a tenth more at least."""
_SEND_ATTEMPTS = 5
_TRANSFER_GAS = 21_000
_KNOWN = ("already known", "already imported", "known transaction", "transaction already")
_NONCE_TOO_LOW = ("nonce too low", "nonce is too low", "invalid nonce", "old nonce")
_UNDERPRICED = ("underpriced", "fee too low", "replacement fee")
_NO_FUNDS = ("insufficient funds", "insufficient balance")


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """Fees and waits. Fees in wei per gas (EIP-1559), times in seconds."""

    max_fee_per_gas: int = 300 * GWEI
    max_priority_fee_per_gas: int = 5 * GWEI
    min_priority_fee_per_gas: int = GWEI // 100
    max_gas: int = 15_000_000
    bump_after: float = 30.0
    max_bumps: int = 5
    deadline: float = 240.0
    receipt_grace: float = 5.0
    poll: float = 0.1
    poll_max: float = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction does; `to` None creates a contract. `spare_gas` is added to the limit beyond the estimate (unused gas is not paid)."""

    to: ChecksumAddress | None
    data: bytes
    value: int = 0
    spare_gas: int = 0


@dataclass(frozen=True, slots=True)
class _Fees:
    max_fee: int
    priority: int


class Sender:
    """The one place that signs this account's transactions."""

    def __init__(self, client: EvmClient, account: EvmAccount, fees: FeePolicy | None = None) -> None:
        self._client, self._account = client, account
        self._policy = fees or FeePolicy()
        self._lock = asyncio.Lock()
        self._in_flight: dict[int, _Fees] = {}
        self._abandoned: dict[int, _Fees] = {}
        self._cleared: dict[int, float] = {}
        """When a stranger's account nonce was last replaced by an empty transaction, on the event loop's clock."""

    @property
    def address(self) -> ChecksumAddress:
        """The account that pays."""
        return self._account.address

    @property
    def client(self) -> EvmClient:
        """The chain it sends to."""
        return self._client

    async def send(self, call: Call) -> Mined:
        """Send, and wait until it is mined and succeeded.

        Raises Rejected when the contract refuses (also after it was mined), Transient when it was not mined in time, when the fee would pass
        the cap, or when the account lacks funds.
        """
        gas = await self._gas_limit(call)
        async with self._lock:
            nonce, floor = await self._free_nonce()
            fees = await self._fees(floor)
            nonce, first_hash, fees = await self._first_send(call, gas, nonce, fees)
            self._in_flight[nonce] = fees
            self._abandoned.pop(nonce, None)
        mined = False
        try:
            receipt = await self._mined(call, gas, nonce, first_hash)
            mined = True
        finally:
            last_fees = self._in_flight.pop(nonce)
            if not mined:
                self._abandoned[nonce] = last_fees
        if not receipt.succeeded:
            await self._explain(call, gas, receipt)
        return receipt

    # ---- before sending ----

    async def _gas_limit(self, call: Call) -> int:
        """Estimate and margin. What is not used is not paid, so a callback's own gas is kept beside it (63/64 rule, EIP-150)."""
        try:
            estimate = await self._client.estimate_gas(self._params(call))
        except RpcError as error:
            raise self._refusal(error) from error
        limit = estimate + estimate * _GAS_MARGIN_PERCENT // 100 + _GAS_MARGIN + call.spare_gas
        if estimate > self._policy.max_gas:
            raise Rejected(
                f"This transaction needs {estimate} gas, more than the {self._policy.max_gas} that are allowed."
            )
        return min(limit, self._policy.max_gas)

    def _params(self, call: Call) -> TxParams:
        params: TxParams = {"from": self.address, "data": call.data, "value": Wei(call.value)}
        if call.to is not None:
            params["to"] = call.to
        return params

    async def _free_nonce(self) -> tuple[int, _Fees | None]:
        """The lowest account nonce that no transaction of ours is in flight for; with the fees of one that was given up there."""
        mined = await self._client.account_nonce(self.address, "latest")
        self._abandoned = {nonce: fees for nonce, fees in self._abandoned.items() if nonce >= mined}
        if self._abandoned:
            nonce = min(self._abandoned)
            return nonce, self._abandoned[nonce]
        nonce = max(mined, await self._client.account_nonce(self.address, "pending"))
        while nonce in self._in_flight:
            nonce += 1
        return nonce, None

    async def _fees(self, floor: _Fees | None) -> _Fees:
        head = await self._client.block("latest")
        base = None if head is None else head.base_fee
        if base is None:
            raise Transient("The endpoint gave no base fee: Sibyl needs a chain with EIP-1559 fees.")
        policy = self._policy
        tip = max(policy.min_priority_fee_per_gas, await self._proposed_tip())
        tip = min(tip, policy.max_priority_fee_per_gas)
        if base + tip > policy.max_fee_per_gas:
            raise Transient(
                f"The base fee of {base / GWEI:.3g} gwei is over the cap of {policy.max_fee_per_gas / GWEI:.3g} gwei: "
                "raise max_fee_per_gas, or wait."
            )
        fees = _Fees(min(2 * base + tip, policy.max_fee_per_gas), tip)
        return fees if floor is None else self._bumped(floor, fees)

    async def _proposed_tip(self) -> int:
        try:
            return await self._client.priority_fee()
        except RpcError:
            return 0  # not every endpoint proposes one; then the least that the policy allows

    def _bumped(self, old: _Fees, wanted: _Fees | None = None) -> _Fees:
        """Fees that replace `old`. Raises Transient when the cap forbids it."""
        fee = max(old.max_fee * _BUMP_NUMERATOR // _BUMP_DENOMINATOR + 1, wanted.max_fee if wanted else 0)
        tip = max(old.priority * _BUMP_NUMERATOR // _BUMP_DENOMINATOR + 1, wanted.priority if wanted else 0)
        if fee > self._policy.max_fee_per_gas:
            raise Transient(
                f"A transaction waits, and replacing it would cost {fee / GWEI:.3g} gwei per gas, over the cap: raise max_fee_per_gas, or wait."
            )
        return _Fees(fee, tip)

    # ---- sending ----

    async def _first_send(self, call: Call, gas: int, nonce: int, fees: _Fees) -> tuple[int, bytes, _Fees]:
        """Hand the transaction over, with another account nonce or higher fees where the endpoint asks for them."""
        for _ in range(_SEND_ATTEMPTS):
            try:
                return nonce, await self._hand_over(call, gas, nonce, fees), fees
            except RpcError as error:
                said = error.said.lower()
                if any(mark in said for mark in _NONCE_TOO_LOW):
                    self._abandoned.pop(nonce, None)
                    nonce = max(nonce + 1, (await self._free_nonce())[0])
                elif any(mark in said for mark in _UNDERPRICED):
                    fees = self._bumped(fees)
                else:
                    raise self._refusal(error) from error
        raise Transient(
            f"The endpoint refused {_SEND_ATTEMPTS} account nonces or fees of {self.address} in a row; try again."
        )

    async def _hand_over(self, call: Call, gas: int, nonce: int, fees: _Fees) -> bytes:
        raw, transaction_hash = self._account.sign(
            {
                "type": 2,
                "chainId": self._client.chain_id,
                "nonce": nonce,
                "to": call.to or "",
                "data": call.data,
                "value": call.value,
                "gas": gas,
                "maxFeePerGas": fees.max_fee,
                "maxPriorityFeePerGas": min(fees.priority, fees.max_fee),
            }
        )
        try:
            await self._client.send_raw(raw)
        except RpcError as error:
            if not any(mark in error.said.lower() for mark in _KNOWN):
                raise
        except Transient:
            # A time-out: it may have arrived. The hash is known, so waiting for the receipt tells, and a replacement repeats it.
            pass
        return transaction_hash

    def _refusal(self, error: RpcError) -> Transient:
        if any(mark in error.said.lower() for mark in _NO_FUNDS):
            return Transient(
                f"The account {self.address} cannot pay for its transactions on {self._client.chain}: fund it."
            )
        return error

    # ---- waiting ----

    async def _mined(self, call: Call, gas: int, nonce: int, first_hash: bytes) -> Mined:
        """The receipt of this account nonce's transaction, in whichever of its versions."""
        hashes, bumps, pause = [first_hash], 0, self._policy.poll
        clock = asyncio.get_running_loop().time
        started = last_sent = clock()
        used_since: float | None = None
        while True:
            found = await self._any_receipt(hashes)
            if found is not None:
                return found
            if await self._client.account_nonce(self.address, "latest") <= nonce:
                used_since = None
            elif used_since is None:
                used_since = clock()  # an endpoint may count a transaction before it shows the receipt
            elif clock() - used_since > self._policy.receipt_grace:
                raise Transient(
                    f"Another transaction took account nonce {nonce} of {self.address}: does another process use this key?"
                )
            if clock() - started > self._policy.deadline:
                raise Transient(
                    f"Transaction 0x{hashes[-1].hex()} was not mined within {self._policy.deadline:g} s; it will be replaced."
                )
            if clock() - last_sent > self._policy.bump_after and bumps < self._policy.max_bumps:
                bumps, last_sent = bumps + 1, clock()
                await self._clear_way(nonce)
                await self._replace(call, gas, nonce, hashes)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, self._policy.poll_max)

    async def _any_receipt(self, hashes: list[bytes]) -> Mined | None:
        for transaction_hash in reversed(hashes):
            receipt = await self._client.receipt(transaction_hash)
            if receipt is not None:
                return receipt
        return None

    async def _replace(self, call: Call, gas: int, nonce: int, hashes: list[bytes]) -> None:
        """A version with higher fees; when that is refused, the old one goes on waiting."""
        try:
            higher = self._bumped(self._in_flight[nonce])
            hashes.append(await self._hand_over(call, gas, nonce, higher))
        except Transient:
            return
        self._in_flight[nonce] = higher

    async def _clear_way(self, nonce: int) -> None:
        """Replace what no call of this sender waits for, yet keeps `nonce` waiting: left by a process that died, or given up at too low a fee.

        What it was meant to do is done by whoever still wants it, under another account nonce. Refusals leave it for the next time.
        """
        async with self._lock:
            blocking = await self._client.account_nonce(self.address, "latest")
            now = asyncio.get_running_loop().time()
            if blocking >= nonce or blocking in self._in_flight:
                return
            if now - self._cleared.get(blocking, -self._policy.bump_after) < self._policy.bump_after:
                return
            self._cleared = {blocking: now}
            try:
                fees = await self._fees(self._abandoned.get(blocking))
                for _ in range(_SEND_ATTEMPTS):
                    try:
                        await self._hand_over(Call(self.address, b""), _TRANSFER_GAS, blocking, fees)
                    except RpcError as error:
                        if not any(mark in error.said.lower() for mark in _UNDERPRICED):
                            raise
                        fees = self._bumped(fees)
                    else:
                        self._abandoned[blocking] = fees
                        return
            except Transient:
                return

    async def _explain(self, call: Call, gas: int, receipt: Mined) -> None:
        """Raise why a mined transaction failed: its call is repeated on the state after its block, where a rival's success shows."""
        name = receipt.name
        if call.to is not None:
            await self._client.call(
                call.to, call.data, block=receipt.block, sender=self.address, value=call.value, gas=gas
            )
        if receipt.gas_used * 64 >= gas * 63:
            raise Transient(f"Transaction {name} ran out of its {gas} gas; the next attempt estimates anew.")
        raise Transient(f"Transaction {name} failed, and would succeed now: try again.")
