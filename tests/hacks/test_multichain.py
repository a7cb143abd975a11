"""Multichain, 6 July 2023: some 125 million dollars left addresses that a threshold signature should have protected.

What happened: the shares of the bridge's key were said to lie with many node operators; all of them ran on servers under the account of one
person. When he was arrested, the team had no access, and whoever had his machines had the whole key.

Why it fails here: a node starts with one share, its own, and refuses a key that a dealer has seen whole unless it is told to be a devnet;
it refuses another member's share, another committee's, and another threshold. A committee of one cannot exist. A single operator's node,
alone, gets nothing signed. What code cannot see is who stands behind the members: that they are different people is for who names the committee.
Invariant 3; THREATS.md "Dealer and local SRS".
"""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import tomlkit
from solders.keypair import Keypair

from bridges.frost.errors import DealerKeyRefused, KeyMaterialError
from bridges.frost.keygen import KeyShare, Origin
from bridges.frost.keystore import PlainShareRefused, save
from bridges.frost.sealing import Passphrase, ScryptCost
from oracle.app.daemon import load_share
from oracle.app.devnet.keys import write_member
from oracle.config import NodeConfig, load_config
from oracle.errors import ConfigError, NotAuthorised, SigningError
from oracle.protocol.quorum import quorum
from tests.hacks.committee import counted, take_over
from tests.hacks.world import RELEASE
from tests.support.dealer import deal
from tests.support.network import Network
from tests.support.samples import plain_message


@pytest.fixture
def dealt() -> tuple[KeyShare, ...]:
    return deal(4, quorum(4), os.urandom)


@pytest.fixture
def configs(tmp_path: Path, dealt: tuple[KeyShare, ...]) -> dict[int, NodeConfig]:
    """Four members' directories as a devnet writes them."""
    members = [
        {
            "identifier": i,
            "endpoint": f"https://127.0.0.1:{9000 + i}",
            "certificate": f"../node-{i}/peer-certificate.pem",
        }
        for i in range(1, 5)
    ]
    evm = {"rpc_url": "http://127.0.0.1:1", "chain_id": 31337, "gateway": "0x" + "11" * 20, "hub": "0x" + "22" * 20,
           "key_file": "evm.key"}  # fmt: skip
    configs = {}
    for share in dealt:
        i = int(share.identifier)
        directory = tmp_path / f"node-{i}"
        write_member(directory, share, bytes([i] * 32), Keypair())
        content = {
            "identifier": i, "devnet": True, "key_share": "share.json", "identity": ".", "models": ["model"],
            "listen": {"port": 9000 + i}, "status": {"port": 9100 + i}, "evm": [evm],
            "committee": {"epoch": 1, "group_key": "0x" + dealt[0].public.group_public_key.to_bytes().hex(), "members": members},
        }  # fmt: skip
        (directory / "node.toml").write_text(tomlkit.dumps(content))
        configs[i] = load_config(directory / "node.toml")
    return configs


def changed(config: NodeConfig, **fields: object) -> NodeConfig:
    return config.model_copy(update=fields)


def test_hack_multichain__key_that_a_dealer_saw__is_refused_outside_a_devnet(configs: dict[int, NodeConfig]) -> None:
    for identifier, config in configs.items():
        with pytest.raises(DealerKeyRefused):
            load_share(changed(config, devnet=False))
        assert load_share(config).identifier == identifier  # control: a devnet takes it


def test_hack_multichain__share_of_a_distributed_key__is_taken_outside_a_devnet(
    configs: dict[int, NodeConfig], dealt: tuple[KeyShare, ...], tmp_path: Path
) -> None:
    """Control of the test above: it is the dealer that is refused."""
    mine = dealt[0]
    made = KeyShare(mine.identifier, mine.signing_share.copy(), replace(mine.public, origin=Origin.DKG))
    (tmp_path / "passphrase").touch(mode=0o600)
    (tmp_path / "passphrase").write_text("a passphrase of the tests\n")
    save(tmp_path / "dkg.json", made, Passphrase(b"a passphrase of the tests"), cost=ScryptCost(n=1 << 14))
    config = changed(configs[1], devnet=False, key_share=tmp_path / "dkg.json", passphrase_file=tmp_path / "passphrase")
    assert load_share(config).public.origin is Origin.DKG
    save(tmp_path / "plain.json", made)
    with pytest.raises(PlainShareRefused, match="sibyl committee passphrase"):
        load_share(changed(config, key_share=tmp_path / "plain.json"))


def test_hack_multichain__one_node_with_anothers_share__refused(configs: dict[int, NodeConfig]) -> None:
    for other in (2, 3, 4):
        with pytest.raises(ConfigError, match=f"is member {other}'s share"):
            load_share(changed(configs[1], key_share=configs[other].key_share))
    assert load_share(configs[1]).identifier == 1  # control


def test_hack_multichain__share_of_the_operators_own_committee__refused(
    configs: dict[int, NodeConfig], tmp_path: Path
) -> None:
    own = deal(4, quorum(4), os.urandom)[0]
    save(tmp_path / "own.json", own)
    with pytest.raises(ConfigError, match="another group key"):
        load_share(changed(configs[1], key_share=tmp_path / "own.json"))
    members = configs[1].committee.members
    fewer = configs[1].committee.model_copy(update={"members": members[:3]})
    with pytest.raises(ConfigError, match="was made for the members"):
        load_share(changed(configs[1], committee=fewer))


def test_hack_multichain__share_with_a_lower_threshold_than_the_members_need__refused(
    configs: dict[int, NodeConfig], tmp_path: Path
) -> None:
    shares = deal(4, 2, lambda size: bytes(range(1, size + 1)))
    save(tmp_path / "low.json", shares[0])
    key = "0x" + shares[0].public.group_public_key.to_bytes().hex()
    committee = configs[1].committee.model_copy(update={"group_key": key})
    with pytest.raises(ConfigError, match="has threshold 2; 4 members need 3"):
        load_share(changed(configs[1], key_share=tmp_path / "low.json", committee=committee))


def test_hack_multichain__committee_of_one_or_a_share_that_signs_alone__cannot_exist(
    dealt: tuple[KeyShare, ...],
) -> None:
    for members, threshold in ((1, 1), (4, 1), (2, 1), (4, 0)):
        with pytest.raises(KeyMaterialError, match="does not fit"):
            deal(members, threshold, bytes)
    with pytest.raises(KeyMaterialError):
        replace(dealt[0].public, threshold=1)
    for members in range(2, 256):
        assert quorum(members) >= 2, "never one"
    assert dealt[0].public.threshold == 3  # control


async def test_hack_multichain__single_operator_alone__gets_nothing_signed(network: Network) -> None:
    network.start(1)
    message = plain_message()
    network.evm.append(message)
    await network.until(lambda: counted(network, 1, "failures", duty="sign", error="TooFewSigners") >= 1)
    thief = take_over(network, (1,))[1]
    with pytest.raises(SigningError, match="3 are needed of 4"):
        await thief.sign([plain_message(sequence=2, payload=RELEASE).digest])
    assert not network.solana.delivered
    for identifier in (2, 3):  # control: with a quorum the very same message goes through
        network.start(identifier)
    await network.until(lambda: network.delivered(network.solana, message))


async def test_hack_multichain__honest_node_cannot_be_made_to_sign_alone(network: Network) -> None:
    for identifier in network.members:
        network.start(identifier)
    own = network.members[1].committee
    assert own is not None
    forged = plain_message(payload=RELEASE)
    with pytest.raises(NotAuthorised, match="has not reached"):
        await own.sign([forged.digest])
    assert counted(network, 1, "refused_to_sign") == 1
    network.evm.append(forged)  # control: once it is truly posted, it is signed
    await network.until(lambda: network.delivered(network.solana, forged))
