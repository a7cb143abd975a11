"""RPC endpoints in a node's configuration: how many there are, and how many must agree."""

from pathlib import Path

import pytest
import tomlkit

from oracle.config import RelayConfig, load_config
from oracle.errors import ConfigError
from tests.support.node_config import document

URLS = ["http://127.0.0.1:9001", "http://127.0.0.1:9002"]


def written(directory: Path, **changes: object) -> Path:
    content = document()
    content["evm"][0] |= changes
    path = directory / "node.toml"
    path.write_text(tomlkit.dumps(content))
    return path


@pytest.mark.parametrize(("further", "agreeing"), [([], 1), (URLS[:1], 2), (URLS, 2)])
def test_config__endpoints__more_than_half_must_agree_unless_said_otherwise(
    tmp_path: Path, further: list[str], agreeing: int
) -> None:
    evm = load_config(written(tmp_path, further_rpc_urls=further)).evm[0]
    assert len(evm.rpc_urls) == 1 + len(further)
    assert evm.agreeing == agreeing
    assert load_config(written(tmp_path, further_rpc_urls=URLS, rpc_quorum=3)).evm[0].agreeing == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rpc_quorum": 2}, "there are 1 RPC endpoints"),
        ({"further_rpc_urls": URLS, "rpc_quorum": 4}, "there are 3 RPC endpoints"),
        ({"further_rpc_urls": [URLS[0], URLS[0]]}, "named twice"),
        ({"rpc_quorum": 0}, "rpc_quorum: "),
        ({"further_rpc_urls": ["127.0.0.1:9001"]}, "further_rpc_urls[0]: "),
        ({"token_factory": "0x12"}, "token_factory: "),
    ],
)
def test_config__endpoints_that_cannot_be__are_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(written(tmp_path, **changes))
    assert said in str(refused.value)


def relay(**changes: object) -> RelayConfig:
    key = {"group_key": "0x02" + "ab" * 32, "epoch": 3}
    return RelayConfig.model_validate(key | {"sources": ["http://127.0.0.1:7101"]} | changes)


def test_relay_config__keys_of_two_epochs__are_known_by_their_epoch() -> None:
    config = relay(further_keys=[{"group_key": "0x03" + "cd" * 32, "epoch": 4}])
    assert config.group_keys == {3: bytes.fromhex("02" + "ab" * 32), 4: bytes.fromhex("03" + "cd" * 32)}


def test_relay_config__two_keys_for_one_epoch__are_refused() -> None:
    with pytest.raises(ValueError, match="two keys are given for one epoch"):
        relay(further_keys=[{"group_key": "0x03" + "cd" * 32, "epoch": 3}])
