"""Every way of a devnet's nodes to one another and to the chains, led through wires that can fail; and endpoints of one node that can lie.

Each node has its own wire to each other node and to each chain. One node, the victim, has three endpoints a chain of which two must agree, and
one of the three is poisoned. It rewrites the nodes' configurations before they start; without faults the devnet behaves as without it.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import tomlkit

from oracle.app.chaos.poison import PoisonedEndpoint
from oracle.app.chaos.wires import Wire
from oracle.app.devnet.chains import HOST
from oracle.app.devnet.nodes import NodeProcess

CHAINS = ("evm", "solana")
AGREEING = 2


@dataclass(frozen=True, slots=True)
class Tangle:
    """The wires, by what they connect, and the poisoned endpoints of the victim, by chain."""

    victim: int
    peers: dict[tuple[int, int], Wire] = field(default_factory=dict)
    """By who connects and who is connected to."""
    chains: dict[tuple[int, str], list[Wire]] = field(default_factory=dict)
    poisoned: dict[str, PoisonedEndpoint] = field(default_factory=dict)

    @property
    def wires(self) -> list[Wire]:
        """All of them."""
        return [*self.peers.values(), *(wire for several in self.chains.values() for wire in several)]

    def of_node(self, identifier: int) -> list[Wire]:
        """Every wire from or to a node."""
        peers = [wire for pair, wire in self.peers.items() if identifier in pair]
        return [*peers, *(wire for (node, _), several in self.chains.items() if node == identifier for wire in several)]


@asynccontextmanager
async def tangled(nodes: Sequence[NodeProcess], victim: int, first: bool) -> AsyncIterator[Tangle]:
    """Open the wires and lead the nodes' configurations through them. `first`: the poisoned endpoint is the one that is named first."""
    tangle = Tangle(victim)
    async with AsyncExitStack() as stack:
        for node in nodes:
            document = tomlkit.parse(node.config_path.read_text()).unwrap()
            await _peers(document, node, nodes, tangle, stack)
            for chain in CHAINS:
                await _endpoints(document[chain][0], node, chain, first, tangle, stack)
            node.config_path.write_text(tomlkit.dumps(document))
        yield tangle


async def _peers(
    document: dict[str, dict[str, list[dict[str, object]]]],
    node: NodeProcess,
    nodes: Sequence[NodeProcess],
    tangle: Tangle,
    stack: AsyncExitStack,
) -> None:
    for member, other in zip(document["committee"]["members"], nodes, strict=True):
        if other.identifier != node.identifier:
            name = f"node {node.identifier} to node {other.identifier}"
            wire = await stack.enter_async_context(Wire(name, (HOST, other.peer_port)))
            tangle.peers[node.identifier, other.identifier] = wire
            member["endpoint"] = f"https://{HOST}:{wire.port}"


async def _endpoints(
    table: dict[str, object], node: NodeProcess, chain: str, first: bool, tangle: Tangle, stack: AsyncExitStack
) -> None:
    real = str(table["rpc_url"])
    address = urlsplit(real)
    target = (address.hostname or HOST, address.port or 80)
    count = 2 if node.identifier == tangle.victim else 1
    wires = [
        await stack.enter_async_context(
            Wire(f"node {node.identifier} to {chain}{'' if one == 0 else ' again'}", target)
        )
        for one in range(count)
    ]
    tangle.chains[node.identifier, chain] = wires
    urls = [f"http://{HOST}:{wire.port}" for wire in wires]
    if node.identifier == tangle.victim:
        name = f"node {node.identifier}'s poisoned endpoint of {chain}"
        poisoned = await stack.enter_async_context(PoisonedEndpoint(name, real))
        tangle.poisoned[chain] = poisoned
        urls.insert(0 if first else 1, poisoned.url)
        table["rpc_quorum"] = AGREEING
    table["rpc_url"], table["further_rpc_urls"] = urls[0], urls[1:]
