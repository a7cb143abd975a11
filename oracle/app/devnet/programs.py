"""The devnet's Solana programs: deployed through the real loader, made known to the committee, the other chain and the model.

The model's verifying key is uploaded and sealed first, and the model is registered with it, so that this chain checks proofs of the model by itself.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.solana.client import SolanaClient
from bridges.solana.consumer import SolanaConsumer
from bridges.solana.deploy import SolanaGovernance, model_account
from bridges.solana.instructions import GroupKey
from bridges.solana.verifying_keys import VerifyingKeys
from circuits.catalogue import ModelArtifacts
from circuits.halo2.upload import key_content
from contracts.solana.build import build_programs
from contracts.solana.deploy import deploy_program
from oracle.app.devnet.chains import SurfnetChain
from oracle.protocol.types import Account, Chain, Endpoint


@dataclass(frozen=True, slots=True)
class SolanaDeployment:
    """Program ids and the accounts of this devnet's users."""

    program: Pubkey
    consumer_program: Pubkey
    tokens_program: Pubkey
    verifier_program: Pubkey
    treasury: Pubkey
    user: Keypair = field(repr=False)
    stranger: Keypair = field(repr=False)

    def endpoint(self, chain: SurfnetChain) -> Endpoint:
        """The program as an origin and destination."""
        return Endpoint(Chain.solana(chain.genesis_hash), Account(bytes(self.program)))


@dataclass(frozen=True, slots=True)
class Introduction:
    """What the programs are told: the EVM gateway and its consumer, the committee's key and governance's delay in seconds, the model and
    its price in lamports."""

    peer: Endpoint
    consumer: Account
    key: GroupKey
    delay: int
    model: ModelArtifacts
    price: int


def planned_programs(treasury: Pubkey, user: Keypair, stranger: Keypair) -> tuple[SolanaDeployment, list[Keypair]]:
    """Fresh addresses for all programs, and their keys, for `deploy_programs`."""
    keys = [Keypair() for _ in range(4)]
    sibyl, consumer, tokens, verifier = (key.pubkey() for key in keys)
    return SolanaDeployment(sibyl, consumer, tokens, verifier, treasury, user, stranger), keys


async def deploy_programs(chain: SurfnetChain, keys: Sequence[Keypair], progress: Callable[[str], None]) -> None:
    """Deploy all programs at once."""
    progress("deploying the Solana programs through the loader")
    artifacts = await asyncio.to_thread(build_programs)
    executables = (artifacts.sibyl_so, artifacts.consumer_so, artifacts.tokens_so, artifacts.verifier_so)
    await asyncio.gather(
        *(
            deploy_program(chain.rpc_url, chain.payer, key, path.read_bytes())
            for key, path in zip(keys, executables, strict=True)
        )
    )


async def introduce(chain: SurfnetChain, programs: SolanaDeployment, known: Introduction) -> Account:
    """Initialise the programs and register committee, model and peer; the account in whose name the consumer program asks."""
    program, payer = Account(bytes(programs.program)), chain.payer
    async with SolanaClient(chain.rpc_url, chain.genesis_hash) as client:
        governance = SolanaGovernance.of(client, program, payer)
        await governance.initialise(programs.treasury, known.key, known.delay)
        keys = VerifyingKeys(client, Account(bytes(programs.verifier_program)), payer)
        sealed = await keys.publish(key_content(known.model))
        account = model_account(known.model.info, known.price, verifier=programs.verifier_program, verifying_key=sealed)
        await governance.register_model(account)
        await governance.register_peer(known.peer)
        consumer = SolanaConsumer(client, program, programs.consumer_program, payer)
        await consumer.configure(known.model.model_id, (known.peer, known.consumer))
        return consumer.asker_account
