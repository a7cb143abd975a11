"""What a daemon's care looks at: its peers by their transport, its accounts by the chains' adapters, its keys by their files."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bridges.frost.errors import PeerRefused
from bridges.frost.identity import CERTIFICATE_FILE, PeerCertificate
from bridges.frost.signer import Signer
from bridges.frost.transport import PeerCaller
from oracle.app.chains import ChainPorts
from oracle.app.committee import FrostCommittee
from oracle.config import EvmConfig, NodeConfig, SolanaConfig
from oracle.node.care import CERTIFICATE_DAYS, KEY_DAYS, Care, Dated, Purse
from oracle.node.gauges import SigningCounts
from oracle.node.peers import Greeting, PeerWatch, StrangeTopic, committee_mark

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Greeter:
    """A peer that may be of a release without greetings."""

    peer: PeerCaller

    async def call(self, path: str, body: bytes, timeout: float) -> bytes:
        """As the peer's own. Raises PeerError; StrangeTopic for a peer that serves no such path."""
        try:
            return await self.peer.call(path, body, timeout)
        except PeerRefused as error:
            if error.peer_code == "not_found":
                raise StrangeTopic(str(error)) from error
            raise


def greeting(config: NodeConfig) -> Greeting:
    """What this member says of itself: its release, and the committees that its configuration has."""
    marks = {
        one.epoch: committee_mark(
            bytes.fromhex(one.group_key[2:]), one.quorum, tuple(member.identifier for member in one.members)
        )
        for one in config.committees
    }
    return Greeting(version("sibyl"), marks)


def peer_watch(config: NodeConfig, clients: Mapping[int, PeerCaller]) -> PeerWatch:
    """The watch over this member's peers."""
    return PeerWatch(greeting(config), {who: Greeter(peer) for who, peer in clients.items()}, config.committee.quorum)


def daemon_care(config: NodeConfig, chains: Iterable[ChainPorts], peers: PeerWatch) -> Care:
    """All that one daemon looks at. `chains` in the order of the configuration, EVM first."""
    tables: tuple[EvmConfig | SolanaConfig, ...] = (*config.evm, *config.solana)
    purses = tuple(_purse(chain, table) for chain, table in zip(chains, tables, strict=True))
    return Care(peers, purses, tuple(_dated(config)))


def _purse(chain: ChainPorts, table: EvmConfig | SolanaConfig) -> Purse:
    async def ask() -> tuple[str, float]:
        found = await chain.balance()
        return found.account, found.amount / 10**found.decimals

    return Purse(
        str(chain.reader.origin.chain), "ether" if isinstance(table, EvmConfig) else "SOL", table.low_balance, ask
    )


def _dated(config: NodeConfig) -> Iterable[Dated]:
    certificate = config.identity / CERTIFICATE_FILE

    def certificate_days() -> float:
        until = PeerCertificate.from_pem(certificate.read_text()).days_valid[1]
        return (until - datetime.now(UTC)).total_seconds() / DAY_SECONDS

    yield Dated(
        "This member's certificate",
        certificate_days,
        least=CERTIFICATE_DAYS,
        mend="Renew it with: sibyl committee renew",
    )
    if config.signer == "in-process":
        yield Dated(
            f"The key share {config.key_share.name}",
            lambda: _age(config.key_share),
            most=KEY_DAYS,
            mend="Hand the key on to fresh shares with: sibyl committee reshare",
        )


def _age(path: Path) -> float:
    return (time.time() - path.stat().st_mtime) / DAY_SECONDS


def signing_counts(committee: FrostCommittee) -> SigningCounts:
    """Of all keys together."""
    coordinators = committee.coordinators
    members: Counter[tuple[int, str]] = Counter()
    refusals: Counter[tuple[int, str]] = Counter()
    for one in coordinators:
        kinds = (
            ("malicious", one.counts.malicious),
            ("passed_over", one.counts.passed_over),
            ("overtaken", one.counts.overtaken),
        )
        for why, counts in kinds:
            members.update({(int(who), why): count for who, count in counts.items()})
    signers = [one.signer for one in coordinators if isinstance(one.signer, Signer)]
    for signer in signers:
        refusals.update({(int(who), code): count for (who, code), count in signer.counts.refused.items()})
    return SigningCounts(
        signatures=sum(one.counts.signatures for one in coordinators),
        failures=sum(one.counts.failures for one in coordinators),
        sessions=sum(one.counts.sessions for one in coordinators),
        shares=sum(signer.counts.shares for signer in signers),
        members=members,
        refusals=refusals,
    )
