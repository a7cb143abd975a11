"""Whether the chains of a node's configuration are devnets (`circuits.srs.devnets` says what marks one).

`devnet = true` in node.toml lets a node use a dealer's key share and models under a local reference string. Both are worthless where anything is at
stake, so such a node does not start on any other chain.
"""

from collections.abc import Iterator

from circuits.srs.devnets import require_devnets
from oracle.config import NodeConfig
from oracle.protocol.types import Chain


def chains_of(config: NodeConfig) -> Iterator[tuple[Chain, tuple[str, ...]]]:
    """Each chain of the configuration with its RPC endpoints."""
    for evm in config.evm:
        yield Chain.evm(evm.chain_id), evm.rpc_urls
    for solana in config.solana:
        yield Chain.solana(bytes.fromhex(solana.genesis_hash[2:])), solana.rpc_urls


def require_real_devnet(config: NodeConfig) -> None:
    """Raise ConfigError when the configuration says `devnet = true` for a chain that is none."""
    if config.devnet:
        require_devnets(chains_of(config), "“devnet = true”")
