"""What the authority does once the program has been deployed: initialise it, and register committees, models and peers.

Guarantees: each step can be repeated (what is there already as wanted is left alone, and said so by None); what is there *otherwise* is
an error or, for models and peers, changed. It does not deploy code: `contracts.solana.deploy` does.
"""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana import instructions
from bridges.solana.client import SolanaClient
from bridges.solana.instructions import GroupKey
from bridges.solana.layout import (
    NOBODY,
    AccountData,
    CommitteeAccount,
    ConfigAccount,
    ModelAccount,
    PeerAccount,
    ProgramAddresses,
)
from bridges.solana.transactions import SendPolicy, Sent, TransactionSender
from bridges.solana.verifier_layout import KeyAccount
from oracle.errors import ConfigError
from oracle.ports import ModelInfo
from oracle.protocol.errors import DecodeError
from oracle.protocol.types import Account, CommitteeEpoch, Endpoint

D = TypeVar("D", covariant=True)


def model_account(
    info: ModelInfo, price: int, *, active: bool = True, verifier: Pubkey = NOBODY, verifying_key: Pubkey = NOBODY
) -> ModelAccount:
    """What to register for a model that the node holds; `price` in lamports. With a verifier program and its sealed key account, the chain
    checks proofs of the model."""
    return ModelAccount(
        model_id=info.model_id,
        input_count=info.input_count,
        output_count=info.output_count,
        input_scale=info.input_scale,
        output_scale=info.output_scale,
        input_bound=info.input_bound,
        price=price,
        active=active,
        verifier=verifier,
        verifying_key=verifying_key,
    )


@dataclass(frozen=True, slots=True)
class SolanaGovernance:
    """The authority's instructions for one program."""

    client: SolanaClient
    addresses: ProgramAddresses
    sender: TransactionSender

    @classmethod
    def of(
        cls, client: SolanaClient, program: Account, authority: Keypair, policy: SendPolicy | None = None
    ) -> "SolanaGovernance":
        """`program` is 32 bytes; `authority` pays and signs. To initialise, it must be the program's upgrade authority."""
        return cls(client, ProgramAddresses(Pubkey(program)), TransactionSender(client, authority, policy))

    @property
    def endpoint(self) -> Endpoint:
        """The program as peers know it."""
        return Endpoint(self.client.chain, Account(bytes(self.addresses.program)))

    async def initialise(self, treasury: Pubkey, key: GroupKey, activation_delay: int) -> Sent | None:
        """Creates configuration and committee epoch 1. `activation_delay`: seconds until a later key counts.

        Raises ConfigError when it was initialised otherwise.
        """
        config = await self._account(self.addresses.config.address)
        if config is not None:
            await self._check_initialised(config, treasury, key, activation_delay)
            return None
        reference = self.client.chain.reference
        step = instructions.initialise(self.addresses, self.sender.payer, reference, treasury, key, activation_delay)
        return await self.sender.send([step])

    async def set_committee(self, key: GroupKey, overlap: int) -> Sent | None:
        """A further committee epoch, which begins after the activation delay; the one before ends `overlap` seconds later."""
        if await self._committee_is(key):
            return None
        step = instructions.set_committee(self.addresses, self.sender.payer, key, overlap)
        return await self.sender.send([step])

    async def veto(self, epoch: CommitteeEpoch) -> Sent | None:
        """Remove the newest epoch before it begins, whoever brought it; None when there is no such epoch."""
        if await self._account(self.addresses.committee(epoch).address) is None:
            return None
        return await self.sender.send([instructions.veto(self.addresses, self.sender.payer, epoch, self.sender.payer)])

    async def register_model(self, model: ModelAccount) -> Sent | None:
        """Registers a model, or changes it to this. Raises ConfigError when its key account is not a sealed one of its verifier."""
        account = await self._account(self.addresses.model(model.model_id).address)
        if account is not None and _decoded(ModelAccount, account, self.addresses.program) == model:
            return None
        if model.provable:
            await self._check_key(model)
        return await self.sender.send([instructions.register_model(self.addresses, self.sender.payer, model)])

    async def register_peer(self, origin: Endpoint, *, active: bool = True) -> Sent | None:
        """Takes messages from this origin, or takes none any more."""
        account = await self._account(self.addresses.peer(origin).address)
        if account is not None and _decoded(PeerAccount, account, self.addresses.program) == PeerAccount(
            origin, active
        ):
            return None
        step = instructions.register_peer(self.addresses, self.sender.payer, origin, active=active)
        return await self.sender.send([step])

    async def _check_key(self, model: ModelAccount) -> None:
        """The program takes any address, and then refuses every proof under it."""
        account = await self._account(model.verifying_key)
        if account is None:
            raise ConfigError(
                f"There is no key account at {model.verifying_key}: upload the model's key and seal it before it is registered."
            )
        try:
            sealed = KeyAccount.decode(account, model.verifier).sealed
        except DecodeError as error:
            raise ConfigError(
                f"The account {model.verifying_key} is no key of the verifier {model.verifier}: {error}"
            ) from error
        if not sealed:
            raise ConfigError(f"The key account {model.verifying_key} is not sealed: finish its upload and seal it.")

    async def _check_initialised(self, account: AccountData, treasury: Pubkey, key: GroupKey, delay: int) -> None:
        config = _decoded(ConfigAccount, account, self.addresses.program)
        found = (config.treasury, config.chain_reference, config.activation_delay)
        if found != (treasury, self.client.chain.reference, delay):
            raise ConfigError(
                f"The program {self.addresses.program} was initialised with another treasury, cluster or activation delay."
            )
        if not await self._committee_is(key):
            raise ConfigError(f"The program {self.addresses.program} was initialised with another group key.")

    async def _committee_is(self, key: GroupKey) -> bool:
        account = await self._account(self.addresses.committee(CommitteeEpoch(key.epoch)).address)
        if account is None:
            return False
        found = _decoded(CommitteeAccount, account, self.addresses.program)
        return (found.group_key_x, found.group_key_parity) == (key.x, key.parity)

    async def _account(self, address: Pubkey) -> AccountData | None:
        account = (await self.client.accounts([address], "confirmed")).accounts[0]
        return None if account is None or account.vacant else account


class _Decodes(Protocol[D]):
    def decode(self, account: AccountData, program: Pubkey) -> D: ...


def _decoded(kind: _Decodes[D], account: AccountData, program: Pubkey) -> D:
    try:
        return kind.decode(account, program)
    except DecodeError as error:
        raise ConfigError(f"The program {program} is not a Sibyl program of this version: {error}") from error
