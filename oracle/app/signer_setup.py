"""A first signer.toml from a node's configuration. The operator reads and narrows it: afterwards the two files are independent."""

import os
from pathlib import Path

import tomlkit

from bridges.frost.signer_rules import endpoint_text
from oracle.config import NodeConfig
from oracle.errors import ConfigError
from oracle.protocol.types import Account, Chain, Endpoint, Kind, evm_account

_HEAD = (
    "What this signer may sign, whatever its node asks. Every key is explained in oracle/docs/SIGNER.md.\n"
    "Take out the kinds and gateways that this committee does not serve."
)
NEVER_SIGNED = frozenset({Kind.INFERENCE_REQUEST})
"""A request is posted by a gateway; the committee signs its results."""


def signer_toml(config: NodeConfig, directory: Path) -> str:
    """Its text, for a file in `directory`. Raises ConfigError when `signer` is a socket, for then the signer is configured elsewhere."""
    if config.signer != "in-process" and config.signer != "process":
        raise ConfigError(f"The node's signer is behind {config.signer}; write its configuration where it runs.")
    gateways = [endpoint_text(where) for where in _gateways(config)]
    document = tomlkit.document()
    for line in _HEAD.splitlines():
        document.add(tomlkit.comment(line))
    document["identifier"] = config.identifier
    document["group_key"] = config.committee.group_key.lower()
    document["devnet"] = config.devnet
    document["key_share"] = _relative(config.key_share, directory)
    if config.passphrase_file is not None:
        document["passphrase_file"] = _relative(config.passphrase_file, directory)
    if config.passphrase_env is not None:
        document["passphrase_env"] = config.passphrase_env
    document["socket"] = "signer/signer.sock"
    document["ledger"] = "signer-ledger.sqlite"
    document["log_json"] = config.log_json
    document["kinds"] = [kind.name.lower() for kind in Kind if kind not in NEVER_SIGNED]
    document["origins"] = gateways
    document["destinations"] = gateways
    return tomlkit.dumps(document)


def _gateways(config: NodeConfig) -> list[Endpoint]:
    evm = [Endpoint(Chain.evm(entry.chain_id), evm_account(_bytes(entry.gateway))) for entry in config.evm]
    solana = [
        Endpoint(Chain.solana(_bytes(entry.genesis_hash)), Account(_bytes(entry.program))) for entry in config.solana
    ]
    return [*evm, *solana]


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _relative(path: Path, directory: Path) -> str:
    return os.path.relpath(path.resolve(), directory)
