"""Builds the adapters of one chain from its configuration: one endpoint, or several of which a quorum must agree.

Each endpoint has a client of its own, which checks at its start that it serves the chain that was configured. An endpoint that does not answer
then is named and left out until the node starts again; with fewer than the quorum the node does not start.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

import structlog
from solders.pubkey import Pubkey

from bridges.evm.account import EvmAccount
from bridges.evm.client import EvmClient
from bridges.evm.reader import EvmReader
from bridges.evm.sender import FeePolicy, Sender
from bridges.evm.submitter import EvmSubmitter
from bridges.evm.token_ledger import EvmTokenLedger
from bridges.solana.client import SolanaClient
from bridges.solana.committee import SolanaCommitteeView
from bridges.solana.reader import SolanaReader
from bridges.solana.submitter import SolanaSubmitter
from bridges.solana.tokens_layout import TokenAddresses
from bridges.solana.tokens_ledger import SolanaTokenLedger
from bridges.solana.transactions import SendPolicy, load_keypair
from circuits.halo2.upload import upload_for
from oracle.app.epochs import AgreedEpochs, EvmEpochs, SolanaEpochs
from oracle.app.keyring import EpochView
from oracle.config import ChainConfig, EvmConfig, SolanaConfig, unhex
from oracle.errors import Transient
from oracle.node.agreement import AgreedLedger, AgreedReader, AgreedSubmitter, EndpointHealth, Endpoints
from oracle.ports import ChainReader, ChainSubmitter, TokenLedger
from oracle.protocol.finality import Depth, FinalizedTag
from oracle.protocol.types import Account, ModelId, evm_account

log = structlog.get_logger("sibyl.chains")

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Balance:
    """What the account that pays for deliveries holds, in the chain's smallest unit."""

    account: str
    amount: int
    unit: str
    decimals: int

    @property
    def shown(self) -> str:
        """In whole coins."""
        return f"{self.amount / 10**self.decimals:,.4f} {self.unit}"


@dataclass(frozen=True, slots=True)
class ChainPorts:
    """One chain's adapters, and the seconds between two looks at it. `ledger`: what it holds of bridged tokens, if the node watches that.

    `authority`: the bridge authority of a Solana cluster. `endpoints`: what each was like, by what reads them.
    `tidy`: takes back what deliveries that were cut short left there, and says how much that was.
    `checks_proofs`: whether the chain checks proofs of a model, where that is not given with the gateway.
    """

    reader: ChainReader
    submitter: ChainSubmitter
    poll_seconds: float
    ledger: TokenLedger | None
    balance: Callable[[], Awaitable[Balance]]
    epochs: EpochView
    authority: Account | None = None
    endpoints: tuple[EndpointHealth, ...] = ()
    tidy: Callable[[], Awaitable[int]] | None = None
    checks_proofs: Callable[[ModelId], Awaitable[bool]] | None = None


@dataclass(frozen=True, slots=True)
class _One:
    """The adapters over one endpoint."""

    name: str
    reader: ChainReader
    submitter: ChainSubmitter
    ledger: TokenLedger | None
    balance: Callable[[], Awaitable[Balance]]
    epochs: EpochView
    authority: Account | None = None
    tidy: Callable[[], Awaitable[int]] | None = None
    checks_proofs: Callable[[ModelId], Awaitable[bool]] | None = None


def endpoint_name(url: str) -> str:
    """Host and port of an endpoint. Its path and query may hold an access key, and are shown nowhere."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


async def _reachable(config: ChainConfig, connect: Callable[[str], Awaitable[P]]) -> list[P]:
    """What `connect` makes of each endpoint that answers. Raises Transient when fewer than the quorum do.

    An endpoint of another chain is a ConfigError, which nothing here catches.
    """
    connected, failures = [], []
    for url in config.rpc_urls:
        try:
            connected.append(await connect(url))
        except Transient as error:
            failures.append(f"{endpoint_name(url)}: {error}")
            log.error("endpoint left out", endpoint=endpoint_name(url), error=str(error))
    if len(connected) < config.agreeing:
        raise Transient(
            f"{len(connected)} of {len(config.rpc_urls)} RPC endpoints answer, and {config.agreeing} must agree: "
            + "; ".join(failures)
        )
    return connected


def _agreed(config: ChainConfig, ones: Sequence[_One]) -> ChainPorts:
    first = ones[0]
    if len(config.rpc_urls) == 1:
        return ChainPorts(
            first.reader,
            first.submitter,
            config.poll_seconds,
            first.ledger,
            first.balance,
            first.epochs,
            first.authority,
            tidy=first.tidy,
            checks_proofs=first.checks_proofs,
        )
    needed, chain = config.agreeing, str(first.reader.origin.chain)
    readers = Endpoints.of([(one.name, one.reader) for one in ones], needed, chain)
    submitters = Endpoints.of([(one.name, one.submitter) for one in ones], needed, chain)
    ledgers = [(one.name, one.ledger) for one in ones if one.ledger is not None]
    return ChainPorts(
        AgreedReader(readers),
        AgreedSubmitter(submitters),
        config.poll_seconds,
        AgreedLedger(Endpoints.of(ledgers, needed, chain)) if ledgers else None,
        first.balance,
        AgreedEpochs(Endpoints.of([(one.name, one.epochs) for one in ones], needed, chain)),
        first.authority,
        readers.health,
        first.tidy,
        first.checks_proofs,
    )


async def evm_ports(config: EvmConfig, stack: AsyncExitStack) -> ChainPorts:
    """One EVM chain's adapters. Raises ConfigError for a key file that others can read, or an endpoint of another chain."""
    account = EvmAccount.from_file(config.key_file)
    gateway, hub = evm_account(unhex(config.gateway)), evm_account(unhex(config.hub))
    finality = FinalizedTag() if config.finality == "finalized" else Depth(config.finality)

    async def connect(url: str) -> _One:
        client = await stack.enter_async_context(EvmClient(url, config.chain_id))
        sender = Sender(client, account, FeePolicy(max_fee_per_gas=int(config.max_fee_gwei * 10**9)))
        ledger = None
        if config.token_factory is not None:
            ledger = EvmTokenLedger(client, evm_account(unhex(config.token_factory)), finality)

        async def balance() -> Balance:
            return Balance(account.address, await client.balance(account.address), "ether", 18)

        return _One(
            endpoint_name(url),
            EvmReader(client, gateway, finality=finality, start_block=config.start_block),
            EvmSubmitter(sender, gateway, hub, finality=finality),
            ledger,
            balance,
            EvmEpochs(client, gateway, finality),
        )

    return _agreed(config, await _reachable(config, connect))


async def solana_ports(config: SolanaConfig, stack: AsyncExitStack) -> ChainPorts:
    """One Solana cluster's adapters. Raises ConfigError likewise."""
    payer = load_keypair(config.key_file)
    program = Account(unhex(config.program))
    policy = SendPolicy(unit_price=config.priority_fee)
    tokens = None if config.tokens_program is None else Account(unhex(config.tokens_program))
    authority = None if tokens is None else Account(bytes(TokenAddresses(Pubkey(tokens)).bridge.address))

    async def connect(url: str) -> _One:
        client = await stack.enter_async_context(SolanaClient(url, unhex(config.genesis_hash)))
        await client.connect()
        ledger = None if tokens is None else SolanaTokenLedger(client, program, tokens)

        async def balance() -> Balance:
            return Balance(str(payer.pubkey()), await client.balance(payer.pubkey()), "SOL", 9)

        submitter = SolanaSubmitter(client, program, payer, policy, tokens_program=tokens, pack=upload_for)
        return _One(
            endpoint_name(url),
            SolanaReader(client, program),
            submitter,
            ledger,
            balance,
            SolanaEpochs(SolanaCommitteeView(client, program), program),
            authority,
            submitter.prune,
            submitter.checks_proofs,
        )

    return _agreed(config, await _reachable(config, connect))
