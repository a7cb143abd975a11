"""Which chains are devnets, the only ones for which a local reference string, and with it a devnet's settings, may be used.

What marks one (all must hold, and everything else is not a devnet):

- an EVM chain has a chain id that development tools use and no network of value has: 31337 (anvil, hardhat) or 1337 (geth --dev, ganache);
- a Solana cluster has a genesis hash that is not mainnet-beta's, testnet's or devnet's (Solana's public “devnet” is other people's chain; a local
  validator has a new hash at each start, so no list of good ones can be given);
- each RPC endpoint that is named for it is of this machine or a private network: a loopback or private address, or a host name without a dot. For
  Solana one must be named, since the hash alone says little.

A proof under a local string can be forged by whoever ran `generate`. On a chain of one's own nobody is cheated by that.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from circuits.errors import SrsError
from oracle.protocol.types import Chain, ChainType

EVM_DEVNETS: Final = {31337: "anvil and hardhat", 1337: "geth --dev and ganache"}
PUBLIC_CLUSTERS: Final = {
    "45296998a6f8e2a784db5d9f95e18fc23f70441a1039446801089879b08c7ef0": "mainnet-beta",
    "3a132ece10305ec1830725502fa2b7e7eb8157e9e634d9f7dbd41e13f665dc21": "testnet",
    "ce59db5080fc2c6d3bcf7ca90712d3c2e5e6c28f27f0dfbb9953bdb0894c03ab": "devnet",
}
"""Genesis hash → public cluster of that name."""


def why_no_devnet(chain: Chain, rpc_urls: Iterable[str] = ()) -> str:
    """Why the chain is not taken for a devnet, as a sentence; empty when it is one."""
    urls = tuple(rpc_urls)
    if chain.chain_type is ChainType.EIP155:
        if chain.chain_id not in EVM_DEVNETS:
            known = " or ".join(str(number) for number in sorted(EVM_DEVNETS))
            return f"The EVM chain {chain.chain_id} is no devnet (chain id {known})."
    elif name := PUBLIC_CLUSTERS.get(chain.reference.hex()):
        return f"The Solana cluster {name} is public, and no devnet of yours."
    elif not urls:
        return f"Whether {chain} is a devnet can be told only with its RPC endpoint: name it by a node's configuration."
    for url in urls:
        if not _private(url):
            return f"The endpoint {urlsplit(url).hostname} of {chain} is not on this machine or a private network, so it is no devnet's."
    return ""


def require_devnets(chains: Iterable[tuple[Chain, tuple[str, ...]]], what: str) -> None:
    """Raise SrsError, which says `what` is refused, unless each (chain, its RPC endpoints) is a devnet."""
    for chain, urls in chains:
        if why := why_no_devnet(chain, urls):
            raise SrsError(
                f"{why} {what} is refused there, because whoever made a local reference string can forge proofs."
            )


def _private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and "." not in host
    return address.is_loopback or (address.is_private and not address.is_unspecified)
