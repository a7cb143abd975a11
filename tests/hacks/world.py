"""What the hack tests share: both chains under one group key, and the ways in which a thief makes signatures without a quorum.

`EvmWorld` delivers raw bytes to the real contracts and names the refusal; the Solana side is `tests.support.solana_program.Bench`. `forgeries` is
the thief's arithmetic: everything that can be made of fewer shares than the quorum, under the true group key's challenge.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from coincurve import PrivateKey
from solders.pubkey import Pubkey

from bridges.evm.abi import interface
from bridges.evm.answers import Mined
from bridges.evm.points import split_signature
from bridges.evm.sender import Call
from bridges.frost.group import SecretScalar
from bridges.frost.keygen import KeyShare
from oracle.errors import Rejected
from oracle.protocol.message import Message
from oracle.protocol.types import Account, ChainType, CommitteeEpoch, Endpoint, Kind, UnixSeconds, evm_account
from oracle.protocol.types import Sequence as Number
from tests.support import samples
from tests.support import solana_program as sp
from tests.support.dealer import deal_secret
from tests.support.evm_chain import Deployed, creation
from tests.support.schnorr import ORDER, SchnorrKey, challenge
from tests.support.solana_program import Bench

GROUP = SchnorrKey.seeded("group")
"""The committee's key on both chains."""
RECIPIENT = evm_account(samples.seeded("hack recipient", 20))
"""A contract that takes every message."""
RELEASE = b"release 116500 tokens to the thief"

EvmAttestation = tuple[int, int, int, int]
"""`IGateway.Attestation`: epoch, Rx, Ry, z."""


@dataclass
class EvmWorld:
    """The deployed contracts, and sequences that no other test of the module uses."""

    deployed: Deployed
    _sequences: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def endpoint(self) -> Endpoint:
        """The gateway."""
        return self.deployed.deployment.endpoint

    def message(self, *, recipient: Account = RECIPIENT, payload: bytes = RELEASE, origin: Endpoint = samples.SOLANA,
                kind: Kind = Kind.MESSAGE) -> Message:  # fmt: skip
        """A message of the peer to this gateway, with a sequence of its own."""
        sender = samples.SOLANA_CONSUMER if origin.chain.chain_type is ChainType.SOLANA else samples.CONSUMER
        return Message(
            kind, origin, self.endpoint, Number(next(self._sequences)), sender, recipient, UnixSeconds(0), payload
        )  # fmt: skip

    def attest(self, *messages: Message, key: SchnorrKey = GROUP, epoch: int = 1) -> EvmAttestation:
        """A signature over a batch of these, as the contract takes it."""
        return (epoch, *split_signature(key.attest(*messages).signature))

    async def deliver(self, body: Message | bytes, attestation: EvmAttestation, branch: Sequence[bytes] = ()) -> Mined:
        """One delivery by somebody who holds no office. Raises Rejected."""
        raw = body if isinstance(body, bytes) else body.to_bytes()
        data = interface("Gateway").encode("deliver", attestation, [(raw, list(branch))])
        return await self.deployed.sender().send(Call(self.deployed.deployment.gateway, data))

    async def refused(self, body: Message | bytes, attestation: EvmAttestation, branch: Sequence[bytes] = ()) -> str:
        """The same, expecting a refusal; the contracts' name of it."""
        try:
            await self.deliver(body, attestation, branch)
        except Rejected as refusal:
            return refusal.reason
        raise AssertionError("the gateway delivered it")

    async def send(self, contract: str, to: str, function: str, *arguments: object, by: int = 1) -> Mined:
        """A transaction to any contract. Raises Rejected."""
        data = interface(contract).encode(function, *arguments)
        return await self.deployed.sender(by).send(Call(to, data))  # type: ignore[arg-type]  # the addresses are checksummed

    async def create(self, runtime: bytes) -> str:
        """A new contract with this code."""
        mined = await self.deployed.sender().send(Call(None, creation(runtime)))
        assert mined.contract is not None
        return mined.contract

    async def view(self, contract: str, to: str, function: str, *arguments: object) -> tuple[object, ...]:
        """A view function's answer. Raises Rejected."""
        abi = interface(contract)
        answer = await self.deployed.client.call(to, abi.encode(function, *arguments))  # type: ignore[arg-type]  # the addresses are checksummed
        return abi.decode(function, answer) if answer else ()

    async def group_key(self) -> tuple[int, object]:
        """(newest epoch, key of epoch 1): what a taken committee would show."""
        committee = self.deployed.deployment.committee
        epoch = (await self.view("Committee", committee, "newestEpoch"))[0]
        assert isinstance(epoch, int)
        return epoch, (await self.view("Committee", committee, "groupKey", 1))[0]


def stolen(participants: int, threshold: int) -> tuple[KeyShare, ...]:
    """All shares of GROUP, for a thief to take some of. Only a test can make them: it knows the whole key."""
    coefficients = [SecretScalar.from_uniform(os.urandom(48)) for _ in range(threshold - 1)]
    return deal_secret(SecretScalar(GROUP.secret.to_bytes(32)), coefficients, participants)


def secret_of(share: KeyShare) -> int:
    """What a thief reads from a stolen key file."""
    return int.from_bytes(share.signing_share.reveal())


def interpolated(points: Sequence[tuple[int, int]], shift: int = 0) -> int:
    """The polynomial through these (x, y), at 0; `shift` moves each x, as a wrong Lagrange coefficient would."""
    total = 0
    for x, y in points:
        numerator = denominator = 1
        for other, _ in points:
            if other != x:
                numerator = numerator * (other + shift) % ORDER
                denominator = denominator * (other - x) % ORDER
        total += y * numerator * pow(denominator, -1, ORDER)
    return total % ORDER


def guesses(shares: Sequence[KeyShare]) -> Iterator[int]:
    """Every group secret that one could hope to get from these shares alone."""
    public = shares[0].public
    held = {int(share.identifier): secret_of(share) for share in shares}
    points = list(held.items())
    yield from (interpolated(points, shift) for shift in (0, 1, -1 % ORDER))
    yield from held.values()
    yield sum(held.values()) % ORDER
    yield sum(held.values()) * pow(len(held), -1, ORDER) % ORDER
    for quorum in itertools.combinations([int(who) for who in public.participants], public.threshold):
        absent = [who for who in quorum if who not in held]
        if len(quorum) - len(absent) != len(held):
            continue
        # The absent members' shares: nothing, or a stolen share counted twice.
        for filling in itertools.product((0, *held.values()), repeat=len(absent)):
            yield interpolated([*points, *zip(absent, filling, strict=True)])


def forgeries(shares: Sequence[KeyShare], message: bytes) -> Iterator[bytes]:
    """Signatures R(33) ‖ z(32) over `message`, one for each guess, and those that need no share at all."""
    group = shares[0].public.group_public_key.to_bytes()
    nonce = int.from_bytes(os.urandom(32)) % (ORDER - 1) + 1
    point = PrivateKey.from_int(nonce).public_key.format()
    c = challenge(point, group, message)
    for guess in (0, *guesses(shares)):
        yield point + ((nonce + c * guess) % ORDER).to_bytes(32)
        with suppress(ValueError):  # a guess of 0 is no key
            yield SchnorrKey(guess).sign(message)
    # z first, then the R that makes the equation hold for a challenge over another R.
    key = PrivateKey.from_int(GROUP.secret).public_key
    wanted = PrivateKey.from_int(nonce).public_key
    fitted = wanted.combine([key.multiply(((ORDER - c) % ORDER).to_bytes(32))])
    yield fitted.format() + nonce.to_bytes(32)


def privileged_accounts(bench: Bench) -> dict[Pubkey, bytes]:
    """What the program decides by: its configuration, committee, peer and model, with their bytes."""
    at = bench.at
    found = (at.config, at.committee(CommitteeEpoch(1)), at.peer(sp.EVM), at.model(sp.MODEL))
    return {one.address: bytes(bench.account(one.address).data) for one in found}
