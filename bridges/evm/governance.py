"""Governance of the EVM contracts: acts that wait in OpenZeppelin's timelock, and the hand-over of every contract to it.

Guarantees: an operation is scheduled, carried out or cancelled once, judged by the timelock's state and its chain's clock; after `hand_over` the
timelock owns every contract and the deployer nothing, which it checks on the chain before it returns. It decides nothing: who may announce
and carry out is the timelock's own business.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from eth_typing import ChecksumAddress

from bridges.evm.abi import Interface, interface
from bridges.evm.answers import Mined
from bridges.evm.client import EvmClient
from bridges.evm.deploy import EvmDeployment, TokenDeployment, create, together
from bridges.evm.sender import Call, Sender
from oracle.errors import ConfigError, DecodeError, Transient
from oracle.protocol.hashing import keccak256

DEFAULT_DELAY = 2 * 86_400
"""Seconds between an announcement and the act."""
PROPOSER_ROLE, EXECUTOR_ROLE, CANCELLER_ROLE, GUARDIAN_ROLE = (
    keccak256(f"{name}_ROLE".encode()) for name in ("PROPOSER", "EXECUTOR", "CANCELLER", "GUARDIAN")
)
ADMIN_ROLE = bytes(32)
"""OpenZeppelin's DEFAULT_ADMIN_ROLE."""
ANYONE = "0x" + "00" * 20
"""As an executor: whoever calls."""
_NO_PREDECESSOR = bytes(32)
_POLL_SECONDS = 0.25
_OWNED = (("Committee", "committee"), ("Gateway", "gateway"), ("ModelRegistry", "registry"), ("OracleHub", "hub"))


class OperationState(IntEnum):
    """`TimelockController.OperationState`."""

    UNSET = 0
    WAITING = 1
    READY = 2
    DONE = 3


@dataclass(frozen=True, slots=True)
class Act:
    """One call that the timelock is to make."""

    target: ChecksumAddress
    data: bytes = field(repr=False)
    value: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """Acts that are carried out together, in order. The salt tells the same acts at another time apart."""

    acts: tuple[Act, ...]
    salt: bytes

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What the timelock's batch functions take, as far as they agree."""
        targets = [act.target for act in self.acts]
        return targets, [act.value for act in self.acts], [act.data for act in self.acts], _NO_PREDECESSOR, self.salt


class Timelock:
    """One timelock, used by the sender's account: as a proposer to schedule and cancel, as an executor to carry out."""

    def __init__(self, sender: Sender, address: ChecksumAddress) -> None:
        self._sender, self.address = sender, address
        self._abi: Interface = interface("Timelock")

    @property
    def client(self) -> EvmClient:
        """The chain it is on."""
        return self._sender.client

    async def delay(self) -> int:
        """Seconds that an operation waits at least."""
        return int((await self._view("getMinDelay"))[0])

    async def schedule(self, acts: Sequence[Act], *, salt: bytes = bytes(32), delay: int | None = None) -> Operation:
        """Announce acts, to be carried out together after `delay` seconds (the least if None). Raises Rejected or Transient.

        What waits already is not announced again, so a repeated call after a time-out is safe.
        """
        operation = Operation(tuple(acts), salt)
        if not operation.acts:
            raise ConfigError("An operation of the timelock holds at least one act.")
        if await self.state(operation) is OperationState.UNSET:
            wait = await self.delay() if delay is None else delay
            await self._send("scheduleBatch", *operation.arguments, wait)
        return operation

    async def state(self, operation: Operation) -> OperationState:
        """What the timelock knows of an operation, by the newest block's clock."""
        return OperationState((await self._view("getOperationState", await self._id(operation)))[0])

    async def wait(self, operation: Operation) -> None:
        """Return when the operation can be carried out, or was. Raises Transient when it is not announced (any more)."""
        while True:
            state = await self.state(operation)
            if state is OperationState.UNSET:
                raise Transient("The timelock does not hold this operation: it was not announced, or was cancelled.")
            if state is not OperationState.WAITING:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def execute(self, operation: Operation) -> Mined | None:
        """Carry a ready operation out; None when it was already. Raises Rejected with the reason of the act that fails."""
        if await self.state(operation) is OperationState.DONE:
            return None
        return await self._send("executeBatch", *operation.arguments)

    async def cancel(self, operation: Operation) -> Mined:
        """Take an announcement back. Raises Rejected."""
        return await self._send("cancel", await self._id(operation))

    async def carry_out(self, acts: Sequence[Act], *, salt: bytes = bytes(32)) -> Mined | None:
        """Announce, wait, and carry out."""
        operation = await self.schedule(acts, salt=salt)
        await self.wait(operation)
        return await self.execute(operation)

    async def _id(self, operation: Operation) -> bytes:
        return bytes((await self._view("hashOperationBatch", *operation.arguments))[0])

    async def _view(self, function: str, *arguments: object) -> tuple[Any, ...]:
        answer = await self.client.call(self.address, self._abi.encode(function, *arguments))
        try:
            return self._abi.decode(function, answer)
        except DecodeError as error:
            raise Transient(str(error)) from error

    async def _send(self, function: str, *arguments: object) -> Mined:
        return await self._sender.send(Call(self.address, self._abi.encode(function, *arguments)))


def act(contract: str, target: ChecksumAddress, function: str, *arguments: object) -> Act:
    """A call of one of Sibyl's contracts."""
    return Act(target, interface(contract).encode(function, *arguments))


@dataclass(frozen=True, slots=True)
class Governance:
    """Who governs. `delay` in seconds; `executors` empty: anyone carries out what is ready; `guardian` may pause gateway and bridges."""

    proposers: tuple[str, ...]
    guardian: str
    executors: tuple[str, ...] = ()
    delay: int = DEFAULT_DELAY


async def hand_over(
    sender: Sender,
    contracts: EvmDeployment,
    governance: Governance,
    tokens: TokenDeployment | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> ChecksumAddress:
    """Give everything that the sender deployed to a new timelock; the timelock's address. Raises Rejected, Transient, ConfigError.

    The timelock accepts each ownership by an operation of its own, which runs before its delay is set: the hand-over does not take days.
    """
    if not governance.proposers:
        raise ConfigError("A timelock without proposers governs nothing: name at least one account.")
    await _check_delays(sender.client, contracts, governance)
    return await _HandOver(sender, contracts, governance, tokens, progress).run()


async def _check_delays(client: EvmClient, contracts: EvmDeployment, governance: Governance) -> None:
    abi = interface("Committee")
    answer = await client.call(contracts.committee, abi.encode("activationDelay"))
    activation = int(abi.decode("activationDelay", answer)[0])
    if activation <= governance.delay:
        raise ConfigError(
            f"A new group key begins {activation} s after its arrival, and the timelock waits {governance.delay} s: "
            "a veto would come too late. Deploy the committee with a longer activation delay."
        )


class _HandOver:
    def __init__(
        self,
        sender: Sender,
        contracts: EvmDeployment,
        governance: Governance,
        tokens: TokenDeployment | None,
        progress: Callable[[str], None],
    ) -> None:
        self._sender, self._contracts, self._governance = sender, contracts, governance
        self._tokens, self._progress = tokens, progress
        self._owned = [(name, getattr(contracts, place)) for name, place in _OWNED]

    async def run(self) -> ChecksumAddress:
        governance, deployer = self._governance, self._sender.address
        executors = governance.executors or (ANYONE,)
        timelock = await create(self._sender, "Timelock", 0, [*governance.proposers, deployer], [*executors, deployer])
        await together(
            self._send("Gateway", self._contracts.gateway, "setGuardian", governance.guardian),
            *(self._send(name, address, "transferOwnership", timelock) for name, address in self._owned),
            *self._grants(timelock),
        )
        self._progress("the timelock takes over")
        await Timelock(self._sender, timelock).carry_out(self._acceptance(timelock))
        await self._check(timelock)
        return timelock

    def _acceptance(self, timelock: ChecksumAddress) -> list[Act]:
        """The timelock's own first acts: it takes what it is offered, turns the deployer out, and from then on waits."""
        governance, deployer = self._governance, self._sender.address
        acts = [act(name, address, "acceptOwnership") for name, address in self._owned]
        roles = [] if deployer in governance.proposers else [PROPOSER_ROLE, CANCELLER_ROLE]
        roles += [] if deployer in governance.executors else [EXECUTOR_ROLE]
        acts += [act("Timelock", timelock, "revokeRole", role, deployer) for role in roles]
        if self._tokens is not None:
            roles = [ADMIN_ROLE] if deployer == governance.guardian else [GUARDIAN_ROLE, ADMIN_ROLE]
            acts += [act("TokenFactory", self._tokens.factory, "revokeRole", role, deployer) for role in roles]
        return [*acts, act("Timelock", timelock, "updateDelay", governance.delay)]

    def _grants(self, timelock: ChecksumAddress) -> list[Coroutine[Any, Any, None]]:
        if self._tokens is None:
            return []
        roles = ((ADMIN_ROLE, timelock), (GUARDIAN_ROLE, self._governance.guardian))
        return [self._send("TokenFactory", self._tokens.factory, "grantRole", *grant) for grant in roles]

    async def _send(self, contract: str, target: ChecksumAddress, function: str, *arguments: object) -> None:
        await self._sender.send(Call(target, interface(contract).encode(function, *arguments)))

    async def _check(self, timelock: ChecksumAddress) -> None:
        for name, address in self._owned:
            if str(await self._ask(name, address, "owner")).lower() != timelock.lower():
                raise Transient(
                    f"{name} at {address} is not owned by the timelock yet: ask again, or hand it over anew."
                )
        deployer = self._sender.address
        for role in (PROPOSER_ROLE, ADMIN_ROLE):
            allowed = role == PROPOSER_ROLE and deployer in self._governance.proposers
            if not allowed and await self._ask("Timelock", timelock, "hasRole", role, deployer):
                raise Transient(f"The deployer {deployer} still has a role at the timelock {timelock}.")
        if self._tokens is not None:
            factory = self._tokens.factory
            taken = await self._ask("TokenFactory", factory, "hasRole", ADMIN_ROLE, timelock)
            if not taken or await self._ask("TokenFactory", factory, "hasRole", ADMIN_ROLE, deployer):
                raise Transient(f"The token factory {factory} is not governed by the timelock alone.")

    async def _ask(self, contract: str, address: ChecksumAddress, function: str, *arguments: object) -> object:
        abi = interface(contract)
        return abi.decode(function, await self._sender.client.call(address, abi.encode(function, *arguments)))[0]
