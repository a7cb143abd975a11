"""Documents of node.toml for tests: a whole valid one, to be bent by a test."""

from pathlib import Path
from typing import Any

import tomlkit

from oracle.config import NodeConfig, load_config


def member(identifier: int, port: int = 0) -> dict[str, Any]:
    """One entry of committee.members."""
    return {
        "identifier": identifier,
        "endpoint": f"https://127.0.0.1:{port or 7000 + identifier}",
        "certificate": f"../node-{identifier}/peer-certificate.pem",
    }


def document(identifier: int = 1, members: int = 4) -> dict[str, Any]:
    """A valid node.toml with an EVM and a Solana chain."""
    return {
        "identifier": identifier,
        "devnet": True,
        "key_share": "share.json",
        "identity": ".",
        "models": ["models/tiny"],
        "listen": {"port": 7001},
        "status": {"port": 7101},
        "committee": {
            "epoch": 1,
            "group_key": "0x02" + "ab" * 32,
            "members": [member(number) for number in range(1, members + 1)],
        },
        "evm": [evm()],
        "solana": [solana()],
    }


def evm(rpc_url: str = "http://127.0.0.1:8545", chain_id: int = 31337) -> dict[str, Any]:
    """One entry of [[evm]]."""
    return {
        "rpc_url": rpc_url,
        "chain_id": chain_id,
        "gateway": "0x" + "11" * 20,
        "hub": "0x" + "22" * 20,
        "key_file": "evm.key",
    }


def solana(rpc_url: str = "http://127.0.0.1:8899", genesis_hash: bytes = b"\x33" * 32) -> dict[str, Any]:
    """One entry of [[solana]]."""
    return {
        "rpc_url": rpc_url,
        "genesis_hash": "0x" + genesis_hash.hex(),
        "program": "0x" + "44" * 32,
        "key_file": "solana.json",
    }


def changed(content: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """`content` with the value at a dotted key replaced (list places as numbers), or left out if `value` is None."""
    *way, last = (int(part) if part.isdecimal() else part for part in key.split("."))
    place: Any = content
    for part in way:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


def write(directory: Path, content: dict[str, Any]) -> Path:
    """node.toml in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "node.toml"
    path.write_text(tomlkit.dumps(content))
    return path


def parsed(directory: Path, content: dict[str, Any]) -> NodeConfig:
    """Written and read back."""
    return load_config(write(directory, content))
