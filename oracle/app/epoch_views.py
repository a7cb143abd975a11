"""The committee epochs of each configured chain, for commands that need nothing else of the chains."""

from contextlib import AsyncExitStack

from oracle.app.chains import evm_ports, solana_ports
from oracle.app.keyring import EpochView
from oracle.config import EvmConfig, NodeConfig, SolanaConfig, unhex
from oracle.protocol.types import Account, Chain, Endpoint, evm_account


async def epoch_views(config: NodeConfig, stack: AsyncExitStack) -> dict[Endpoint, EpochView]:
    """A view of each chain of the configuration. Raises ConfigError for an endpoint of another chain."""
    ports = [await evm_ports(entry, stack) for entry in config.evm]
    ports += [await solana_ports(cluster, stack) for cluster in config.solana]
    return {one.reader.origin: one.epochs for one in ports}


def evm_endpoint(config: EvmConfig) -> Endpoint:
    """The gateway of an EVM chain."""
    return Endpoint(Chain.evm(config.chain_id), evm_account(unhex(config.gateway)))


def solana_endpoint(config: SolanaConfig) -> Endpoint:
    """The program of a Solana cluster."""
    return Endpoint(Chain.solana(unhex(config.genesis_hash)), Account(unhex(config.program)))
