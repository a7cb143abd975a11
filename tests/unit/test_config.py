"""node.toml: what is accepted, and that each mistake is named by its file and key."""

import os
from pathlib import Path
from typing import Any

import pytest

from oracle.config import load_config
from oracle.errors import ConfigError
from tests.support.node_config import changed, document, evm, member, parsed, solana, write


def refusal(directory: Path, content: dict[str, Any]) -> str:
    path = write(directory, content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_config__valid_document__is_read_with_its_defaults(tmp_path: Path) -> None:
    config = parsed(tmp_path, document())
    assert config.identifier == 1
    assert config.committee.quorum == 3
    assert [entry.identifier for entry in config.committee.members] == [1, 2, 3, 4]
    assert (config.evm[0].finality, config.evm[0].start_block, config.evm[0].poll_seconds) == ("finalized", 0, 1.0)
    assert (config.listen.host, config.status.host) == ("127.0.0.1", "127.0.0.1")
    assert (config.takeover.prove, config.workers.provers, config.log_json) == (20.0, 1, True)
    assert not parsed(tmp_path, changed(document(), "devnet", None)).devnet, "a node is for production unless told"


def test_config__relative_paths__are_resolved_against_the_file_and_not_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "node-1"
    write(home, document())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(Path("../node-1/node.toml"))
    assert config.key_share == home / "share.json"
    assert config.identity == home / "."
    assert config.data_dir == home / "data"
    assert config.models == (home / "models/tiny",)
    assert config.evm[0].key_file == home / "evm.key"
    assert config.solana[0].key_file == home / "solana.json"
    assert config.committee.members[1].certificate == home / "../node-2/peer-certificate.pem"


def test_config__absolute_paths__are_kept(tmp_path: Path) -> None:
    content = changed(document(), "key_share", "/secret/share.json")
    assert parsed(tmp_path, content).key_share == Path("/secret/share.json")


WRONG: list[tuple[str, object, str]] = [
    ("identifer", 1, "identifer: Extra inputs"),
    ("committee.epochs", 1, "committee.epochs: Extra"),
    ("evm.0.gateways", "0x", "evm[0].gateways: Extra"),
    ("committee.members.2.name", "x", "committee.members[2].name: Extra"),
    ("identifier", "one", "identifier: "),
    ("identifier", "1", "identifier: "),
    ("identifier", True, "identifier: "),
    ("identifier", 0, "identifier: "),
    ("identifier", 65536, "identifier: "),
    ("identifier", None, "identifier: Field required"),
    ("identifier", 5, "identifier 5 is not among committee.members"),
    ("devnet", "yes", "devnet: "),
    ("devnet", 1, "devnet: "),
    ("log_json", "no", "log_json: "),
    ("key_share", 7, "key_share: "),
    ("key_share", None, "key_share: Field required"),
    ("passphrase_file", 7, "passphrase_file: "),
    ("passphrase_env", "two words", "passphrase_env: "),
    ("signer", 7, "signer"),
    ("models", [], "models: "),
    ("models", "models/tiny", "models: "),
    ("models.0", 1, "models[0]: "),
    ("trusted_srs", ["0x" + "ab" * 32], "trusted_srs[0]: "),
    ("listen.port", 65536, "listen.port: "),
    ("listen.port", -1, "listen.port: "),
    ("status.port", "7101", "status.port: "),
    ("status.port", 1.5, "status.port: "),
    ("listen", 7001, "listen: "),
    ("committee.epoch", 0, "committee.epoch: "),
    ("committee.epoch", 1 << 32, "committee.epoch: "),
    ("committee.group_key", "0x02" + "ab" * 31, "committee.group_key: "),
    ("committee.group_key", "02" + "ab" * 32, "committee.group_key: "),
    ("committee.group_key", "0x02" + "ag" * 32, "committee.group_key: "),
    ("committee.group_key", "0x02" + "ab" * 32 + "\n", "committee.group_key: "),
    ("committee.members", [], "committee.members: "),
    ("committee.members", [member(1), member(2), member(1)], "committee: Value error, two members have the same"),
    ("committee.members.1.endpoint", "http://127.0.0.1:7002", "committee.members[1].endpoint: "),
    ("committee.members.1.endpoint", "127.0.0.1:7002", "committee.members[1].endpoint: "),
    ("committee.members.1.identifier", 0, "committee.members[1].identifier: "),
    ("committee.members.1.certificate", None, "committee.members[1].certificate: Field required"),
    ("evm.0.gateway", "0x" + "11" * 19, "evm[0].gateway: "),
    ("evm.0.hub", "0x" + "zz" * 20, "evm[0].hub: "),
    ("evm.0.chain_id", 0, "evm[0].chain_id: "),
    ("evm.0.chain_id", "31337", "evm[0].chain_id: "),
    ("evm.0.rpc_url", "localhost:8545", "evm[0].rpc_url: "),
    ("evm.0.rpc_url", "ws://127.0.0.1:8545", "evm[0].rpc_url: "),
    ("evm.0.finality", "latest", "evm[0].finality"),
    ("evm.0.finality", 0, "evm[0].finality"),
    ("evm.0.poll_seconds", 0, "evm[0].poll_seconds: "),
    ("evm.0.poll_seconds", "1", "evm[0].poll_seconds: "),
    ("evm.0.start_block", -1, "evm[0].start_block: "),
    ("evm.0.max_fee_gwei", -1.0, "evm[0].max_fee_gwei: "),
    ("evm.0.max_fee_gwei", float("inf"), "evm[0].max_fee_gwei: "),
    ("evm.0.poll_seconds", float("nan"), "evm[0].poll_seconds: "),
    ("solana.0.genesis_hash", "0x33", "solana[0].genesis_hash: "),
    ("solana.0.program", "4" * 44, "solana[0].program: "),
    ("solana.0.priority_fee", 10_000_001, "solana[0].priority_fee: "),
    ("workers", {"provers": 0}, "workers.provers: "),
    ("workers", {"queue": 10_001}, "workers.queue: "),
    ("takeover", {"sign": -3.0}, "takeover.sign: "),
    ("evm", [evm(), evm()], "two chains of this file are one"),
    ("solana", [solana(), solana("http://127.0.0.1:9899")], "two chains of this file are one"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "said"), WRONG, ids=[f"{key}={value}"[:60] for key, value, _ in WRONG])
def test_config__mistake__is_named_by_its_key(tmp_path: Path, key: str, value: object, said: str) -> None:
    text = refusal(tmp_path, changed(document(), key, value))
    assert said in text


def test_config__http_peer__says_what_to_write(tmp_path: Path) -> None:
    text = refusal(tmp_path, changed(document(), "committee.members.3.endpoint", "http://10.0.0.1:1"))
    assert "begins with https://" in text


def test_config__no_chain__says_how_to_give_one(tmp_path: Path) -> None:
    content = changed(changed(document(), "evm", None), "solana", None)
    assert "give at least one chain, as [[evm]] or [[solana]]" in refusal(tmp_path, content)


def test_config__one_chain_is_enough(tmp_path: Path) -> None:
    assert parsed(tmp_path, changed(document(), "solana", None)).solana == ()
    assert parsed(tmp_path, changed(document(), "evm", None)).evm == ()


def test_config__several_mistakes__are_all_named_at_once(tmp_path: Path) -> None:
    content = changed(changed(document(), "listen.port", 70_000), "solana.0.program", "0x")
    text = refusal(tmp_path, content)
    assert "listen.port" in text
    assert "solana[0].program" in text


def test_config__value_of_a_wrong_key__is_not_repeated(tmp_path: Path) -> None:
    """Who puts a secret where it does not belong must not find it in the log."""
    text = refusal(tmp_path, changed(document(), "evm.0.private_key", "0x5ec4e7"))
    assert "evm[0].private_key" in text
    assert "5ec4e7" not in text


def test_config__file_not_there__says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"node\.toml cannot be read: No such file"):
        load_config(tmp_path / "node.toml")


def test_config__directory_instead_of_a_file__says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_config__file_without_permission__says_so(tmp_path: Path) -> None:
    path = write(tmp_path, document())
    path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load_config(path)


@pytest.mark.parametrize("content", [b"identifier = ", b"[listen\nport = 1", b"\xff\xfe", b"a = 1\na = 2"])
def test_config__not_toml__says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"node\.toml is not TOML"):
        load_config(tmp_path / "node.toml")


def test_config__empty_file__names_all_that_is_missing(tmp_path: Path) -> None:
    text = refusal(tmp_path, {})
    for key in ("identifier", "key_share", "identity", "models", "listen", "status", "committee"):
        assert f"  {key}: Field required" in text
