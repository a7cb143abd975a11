"""“devnet = true” where the chains are none: such a node does not start."""

from pathlib import Path

import pytest

from oracle.app.daemon import built_node
from oracle.app.devnet_mark import require_real_devnet
from oracle.app.preflight import check
from oracle.app.srs_commands import parse_chain
from oracle.config import NodeConfig, load_config
from oracle.errors import ConfigError
from oracle.protocol.types import Chain
from tests.support.node_config import document, evm, solana, write

MAINNET = bytes.fromhex("45296998a6f8e2a784db5d9f95e18fc23f70441a1039446801089879b08c7ef0")


def _config(directory: Path, chains: dict[str, object], *, devnet: bool) -> NodeConfig:
    return load_config(write(directory, {**document(), **chains, "devnet": devnet}))


def test_mark__local_chains__are_devnets(tmp_path: Path) -> None:
    require_real_devnet(_config(tmp_path, {"evm": [evm()], "solana": [solana()]}, devnet=True))


@pytest.mark.parametrize(
    ("chains", "said"),
    [
        ({"evm": [evm(chain_id=1)]}, "The EVM chain 1 is no devnet"),
        ({"evm": [evm()], "solana": [solana(genesis_hash=MAINNET)]}, "mainnet-beta is public"),
        ({"evm": [evm("https://rpc.example.org")]}, "The endpoint rpc.example.org of eip155:31337"),
        ({"evm": [evm() | {"further_rpc_urls": ["https://rpc.example.org"]}]}, "The endpoint rpc.example.org"),
        ({"solana": [solana("https://api.example.org")]}, "The endpoint api.example.org"),
    ],
)
async def test_mark__devnet_on_a_chain_that_is_none__node_does_not_start(
    chains: dict[str, object], said: str, tmp_path: Path
) -> None:
    config = _config(tmp_path, chains, devnet=True)
    with pytest.raises(ConfigError, match=said) as caught:
        async with built_node(config):
            pytest.fail("the node was built")
    assert "“devnet = true” is refused there" in str(caught.value)
    require_real_devnet(_config(tmp_path, chains, devnet=False))


async def test_check__devnet_on_a_chain_that_is_none__is_found_before_a_start(tmp_path: Path) -> None:
    config = _config(tmp_path, {"evm": [evm(chain_id=1, rpc_url="http://127.0.0.1:9")], "solana": []}, devnet=True)
    (finding,) = [one for one in await check(config) if one.what == "models"]
    assert not finding.well
    assert "The EVM chain 1 is no devnet" in finding.said


def test_chain_option__caip_name__is_that_chain() -> None:
    assert parse_chain("eip155:1") == Chain.evm(1)


@pytest.mark.parametrize("text", ["", "1", "eip155:", "eip155:0", "eip155:x", "eip155:-1", "solana:abc", "eip155:²"])
def test_chain_option__anything_else__is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--chain"):
        parse_chain(text)
