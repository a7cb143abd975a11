"""The local multi-chain devnet: both chains, the contracts and programs on them, and n node processes. Everything in it is real but the money."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from eth_typing import ChecksumAddress
from solders.keypair import Keypair

from bridges.evm.account import EvmAccount
from bridges.evm.client import EvmClient
from bridges.evm.deploy import (
    DeploymentPlan,
    EvmDeployment,
    GroupKey,
    ModelRegistration,
    TokenDeployment,
    deploy,
    deploy_tokens,
)
from bridges.evm.governance import Governance, hand_over
from bridges.evm.guard import GuardSettings, deploy_guard
from bridges.evm.requester import EvmRequester
from bridges.evm.sender import Sender
from bridges.evm.tokens import EvmTokens
from bridges.solana.client import SolanaClient
from bridges.solana.instructions import GroupKey as SolanaGroupKey
from bridges.solana.tokens import SolanaTokens
from bridges.solana.tokens_instructions import Link, Settings
from bridges.solana.tokens_redeemer import TokenLookup
from circuits.catalogue import ModelArtifacts, obtain_model
from circuits.models.risk.build import RECOMMENDED_BOUND
from contracts.evm.build import compile_verifier
from oracle.app.devnet.chains import AnvilChain, SurfnetChain, start_anvil, start_surfnet
from oracle.app.devnet.file import DevnetFile, EvmPart, NodePart, SolanaPart
from oracle.app.devnet.keys import EPOCH, DevnetCommittee, make_committee, write_member
from oracle.app.devnet.nodes import (
    NodeProcess,
    NodeSettings,
    plan_nodes,
    running_nodes,
    write_configs,
    write_relay_config,
)
from oracle.app.devnet.programs import (
    Introduction,
    SolanaDeployment,
    deploy_programs,
    introduce,
    planned_programs,
)
from oracle.app.setup import DEMONSTRATION_MODEL, GUARD_MODEL
from oracle.app.toolchain import Toolchain
from oracle.errors import Transient
from oracle.protocol.interop import InteropAddress
from oracle.protocol.quorum import quorum
from oracle.protocol.types import Account, CommitteeEpoch, Endpoint, Policy, evm_account

Progress = Callable[[str], None]
BeforeNodes = Callable[[Sequence[NodeProcess]], AbstractAsyncContextManager[object]]

DEPLOYER, FIRST_NODE, USER, STRANGER, GUARDIAN = 0, 1, 7, 8, 9
"""Places in the list of funded EVM accounts."""

PRICE_WEI = 10**15
ACTIVATION_DELAY = 5
"""Seconds between a new group key and its epoch's begin; days in production."""
PRICE_LAMPORTS = 5_000_000
GOVERNANCE_SECONDS = 2
"""Between an act of governance on Solana (a new group key, a change at the token bridge) and its effect. Production takes days."""
REGISTRATION_SECONDS, POLL_SECONDS = 120.0, 0.25
"""How long a guarded devnet's nodes may take to make ether known on Solana, and how often that is looked at."""
GUARD_LIMIT = 100 * 10**9
"""Wire units of ether (100) above which a transfer needs a risk score on a guarded devnet."""
GUARD_SECONDS = 3_600
"""How long a decision on a transfer out holds there."""
QUEUE_SECONDS = 60
"""How long an inbound transfer over its limit waits on Solana."""


@dataclass(frozen=True, slots=True)
class DevnetOptions:
    """`nodes` members; ports 0 take free ones; times of a block and a slot."""

    nodes: int = 4
    evm_port: int = 0
    solana_port: int = 0
    block_seconds: float = 0.5
    slot_milliseconds: int = 100
    prove_takeover: float = 8.0
    """Seconds after which the next member proves in the place of a silent one."""
    model: str = DEMONSTRATION_MODEL
    """What questions are about: a model that comes with Sibyl, or one of this machine's catalogue."""
    also: tuple[str, ...] = ()
    """Further models that the nodes hold and the EVM registry knows."""
    guarded: bool = False
    """Whether ether is registered with a guard: transfers of more than GUARD_LIMIT need a risk score, which the oracle itself gives."""


@dataclass(frozen=True, slots=True)
class Devnet:
    """A running devnet."""

    directory: Path
    models: tuple[ModelArtifacts, ...]
    """The first is what questions are about; the second, on a guarded devnet, the guard's; then any others."""
    committee: DevnetCommittee
    evm: AnvilChain
    evm_contracts: EvmDeployment
    evm_tokens: TokenDeployment
    evm_guard: ChecksumAddress | None
    evm_timelock: ChecksumAddress
    """Owner of the EVM contracts; the deployer's account proposes."""
    solana: SurfnetChain
    solana_programs: SolanaDeployment
    nodes: tuple[NodeProcess, ...]

    @property
    def model(self) -> ModelArtifacts:
        """The model that questions are about."""
        return self.models[0]

    def file(self) -> DevnetFile:
        """What other commands need to know."""
        contracts, programs = self.evm_contracts, self.solana_programs
        return DevnetFile(
            directory=self.directory,
            pid=os.getpid(),
            group_key="0x" + self.committee.group_key.hex(),
            quorum=quorum(len(self.nodes)),
            models={model.name: "0x" + model.model_id.hex() for model in self.models},
            evm=EvmPart(
                rpc_url=self.evm.rpc_url,
                chain_id=self.evm.chain_id,
                pid=self.evm.pid,
                committee=contracts.committee,
                gateway=contracts.gateway,
                registry=contracts.registry,
                hub=contracts.hub,
                fee_splitter=contracts.fee_splitter,
                consumer=str(contracts.consumer),
                verifier=str(contracts.verifiers[0]),
                token_factory=self.evm_tokens.factory,
                weth=self.evm_tokens.weth,
                guard=self.evm_guard,
                timelock=self.evm_timelock,
                governor_key="0x" + self.evm.accounts[DEPLOYER].private_key.hex(),
                user_key="0x" + self.evm.accounts[USER].private_key.hex(),
                stranger_key="0x" + self.evm.accounts[STRANGER].private_key.hex(),
            ),
            solana=SolanaPart(
                rpc_url=self.solana.rpc_url,
                ws_url=self.solana.ws_url,
                genesis_hash="0x" + self.solana.genesis_hash.hex(),
                pid=self.solana.pid,
                program=str(programs.program),
                consumer_program=str(programs.consumer_program),
                tokens_program=str(programs.tokens_program),
                verifier_program=str(programs.verifier_program),
                treasury=str(programs.treasury),
                user_key="0x" + bytes(programs.user).hex(),
                stranger_key="0x" + bytes(programs.stranger).hex(),
            ),
            nodes=tuple(
                NodePart(
                    identifier=node.identifier,
                    pid=0 if node.child is None else node.child.pid,
                    directory=node.directory,
                    peer_url=node.peer_url,
                    status_url=node.status_url,
                )
                for node in self.nodes
            ),
        )


@asynccontextmanager
async def running_devnet(
    toolchain: Toolchain,
    options: DevnetOptions,
    progress: Progress = lambda line: None,
    directory: Path | None = None,
    *,
    before_nodes: BeforeNodes | None = None,
) -> AsyncIterator[Devnet]:
    """Start everything, and end all of it with the block, whatever happens. `directory`: where it lives (a temporary one unless given).

    `before_nodes` is entered once the nodes' configurations are written and before they start, and left after they have ended: it may
    change the configurations.
    """
    async with AsyncExitStack() as stack:
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sibyl-devnet-")))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = (options.model, *([GUARD_MODEL] if options.guarded else []), *options.also)
        models = tuple([await asyncio.to_thread(obtain_model, name) for name in names])
        nodes = plan_nodes(directory, options.nodes)
        node_keys = [Keypair() for _ in nodes]
        user, stranger, treasury = Keypair(), Keypair(), Keypair().pubkey()
        progress("starting anvil and surfnet")
        evm = await stack.enter_async_context(
            start_anvil(toolchain, directory / "anvil", port=options.evm_port, block_seconds=options.block_seconds)
        )
        solana = await stack.enter_async_context(
            start_surfnet(
                toolchain,
                directory / "surfnet",
                rpc_port=options.solana_port,
                slot_milliseconds=options.slot_milliseconds,
                # The treasury too: an account below the rent-exempt minimum cannot take a fee.
                airdrop_to=[*(key.pubkey() for key in (*node_keys, user, stranger)), treasury],
            )
        )
        progress(f"the members make the committee's key: {quorum(len(nodes))} of {len(nodes)} sign")
        committee = make_committee([node.directory for node in nodes])
        programs, keys = planned_programs(treasury, user, stranger)
        contracts, _ = await asyncio.gather(
            _deploy_evm(toolchain, evm, committee, models, programs.endpoint(solana), options.nodes, progress),
            deploy_programs(solana, keys, progress),
        )
        await _introduce(evm, contracts, solana, programs, committee, models[0], progress)
        tokens = await _link_tokens(evm, contracts, solana, programs)
        guard = await _guard_ether(evm, contracts, tokens, models[1]) if options.guarded else None
        timelock = await _hand_over(evm, contracts, tokens)
        for node, share, key in zip(nodes, committee.shares, node_keys, strict=True):
            write_member(node.directory, share, evm.accounts[FIRST_NODE + node.identifier - 1].private_key, key)
        settings = _settings(
            evm, contracts, solana, programs, committee, models, tokens.factory, options.prove_takeover
        )
        write_configs(nodes, settings)
        write_relay_config(directory / "relay", nodes, settings, (evm.accounts[STRANGER].private_key, stranger))
        if before_nodes is not None:
            await stack.enter_async_context(before_nodes(nodes))
        progress(f"starting {len(nodes)} nodes")
        await stack.enter_async_context(running_nodes(nodes))
        if options.guarded:
            progress("carrying ether's registration to Solana")
            await _until_ether_is_known(solana, programs, tokens)
        yield Devnet(
            directory, models, committee, evm, contracts, tokens, guard, timelock, solana, programs, tuple(nodes)
        )


def _settings(
    evm: AnvilChain,
    contracts: EvmDeployment,
    solana: SurfnetChain,
    programs: SolanaDeployment,
    committee: DevnetCommittee,
    models: tuple[ModelArtifacts, ...],
    token_factory: str,
    prove_takeover: float,
) -> NodeSettings:
    return NodeSettings(
        group_key=committee.group_key,
        models=tuple(model.directory for model in models),
        evm_rpc=evm.rpc_url,
        chain_id=evm.chain_id,
        gateway=contracts.gateway,
        hub=contracts.hub,
        token_factory=token_factory,
        start_block=contracts.block,
        solana_rpc=solana.rpc_url,
        genesis_hash=solana.genesis_hash,
        program=bytes(programs.program),
        tokens_program=bytes(programs.tokens_program),
        prove_takeover=prove_takeover,
    )


async def _deploy_evm(
    toolchain: Toolchain,
    chain: AnvilChain,
    committee: DevnetCommittee,
    models: tuple[ModelArtifacts, ...],
    peer: Endpoint,
    nodes: int,
    progress: Progress,
) -> EvmDeployment:
    progress("deploying the EVM contracts")
    registrations = tuple([await asyncio.to_thread(_registration, toolchain, model) for model in models])
    plan = DeploymentPlan(
        group_key=GroupKey(
            int.from_bytes(committee.group_key_x),
            committee.parity,
            committee.proof_of_possession,
            quorum(nodes),
            bytes(range(nodes)),
        ),
        payees=tuple(account.address for account in chain.accounts[FIRST_NODE : FIRST_NODE + nodes]),
        models=registrations,
        peers=(peer,),
        consumer_owner=chain.accounts[USER].address,
        activation_delay=ACTIVATION_DELAY,
    )
    async with EvmClient(chain.rpc_url, chain.chain_id) as client:
        return await deploy(Sender(client, EvmAccount(chain.accounts[DEPLOYER].private_key)), plan)


def _registration(toolchain: Toolchain, model: ModelArtifacts) -> ModelRegistration:
    """A model as the registry knows it, with its verifier compiled."""
    return ModelRegistration(
        model_id=model.model_id,
        input_count=model.input_count,
        output_count=model.output_count,
        input_scale=model.input_scale,
        output_scale=model.output_scale,
        input_bound=model.input_bound,
        price=PRICE_WEI,
        verifier=compile_verifier(toolchain, model.verifier_sol).bytecode,
        proof_length=model.proof_length,
    )


async def _introduce(
    evm: AnvilChain,
    contracts: EvmDeployment,
    solana: SurfnetChain,
    programs: SolanaDeployment,
    committee: DevnetCommittee,
    model: ModelArtifacts,
    progress: Progress,
) -> None:
    """Make the chains, the committee and the model known to one another."""
    progress("registering committee, peers and the model with its sealed key")
    key = SolanaGroupKey(CommitteeEpoch(EPOCH), committee.group_key_x, committee.parity, committee.proof_of_possession)
    consumer = _account(str(contracts.consumer))
    known = Introduction(contracts.endpoint, consumer, key, GOVERNANCE_SECONDS, model, PRICE_LAMPORTS)
    asker = await introduce(solana, programs, known)
    async with EvmClient(evm.rpc_url, evm.chain_id) as evm_client:
        sender = Sender(evm_client, EvmAccount(evm.accounts[USER].private_key))
        addresses = (contracts.gateway, contracts.hub, str(contracts.consumer))
        requester = EvmRequester(sender, *(_account(address) for address in addresses))
        await requester.trust_source(programs.endpoint(solana), asker)


async def _link_tokens(
    evm: AnvilChain, contracts: EvmDeployment, solana: SurfnetChain, programs: SolanaDeployment
) -> TokenDeployment:
    """The two ends of the token bridge, each knowing the other (TOKENS.md §1)."""
    program, tokens_program = Account(bytes(programs.program)), Account(bytes(programs.tokens_program))
    async with (
        EvmClient(evm.rpc_url, evm.chain_id) as evm_client,
        SolanaClient(solana.rpc_url, solana.genesis_hash) as client,
    ):
        bridge = SolanaTokens(client, program, tokens_program, solana.payer)
        authority = InteropAddress(client.chain, Account(bytes(bridge.at.authority)))
        sender = Sender(evm_client, EvmAccount(evm.accounts[DEPLOYER].private_key))
        deployed = await deploy_tokens(sender, contracts.gateway, authority)
        link = Link(
            contracts.endpoint, _account(deployed.factory), deployed.native_bridge_hash, deployed.wrapped_bridge_hash
        )
        await bridge.initialise(link, Settings(solana.payer.pubkey(), QUEUE_SECONDS, GOVERNANCE_SECONDS))
        return deployed


async def _guard_ether(
    evm: AnvilChain, contracts: EvmDeployment, tokens: TokenDeployment, model: ModelArtifacts
) -> ChecksumAddress:
    """Register ether, and let transfers of it above the limit wait for a proven risk score (TOKENS.md §6)."""
    async with EvmClient(evm.rpc_url, evm.chain_id) as client:
        sender = Sender(client, EvmAccount(evm.accounts[DEPLOYER].private_key))
        bridge = (await EvmTokens(sender, _account(tokens.factory)).register(tokens.weth)).bridge
        guard = await deploy_guard(sender, tokens.factory, contracts.hub)
        settings = GuardSettings(model.model_id, Policy.PROVEN, RECOMMENDED_BOUND, GUARD_SECONDS)
        await guard.configure(bridge, settings, GUARD_LIMIT)
        return guard.address


async def _until_ether_is_known(solana: SurfnetChain, programs: SolanaDeployment, tokens: TokenDeployment) -> None:
    """Return when the nodes have brought ether's registration to Solana. Raises Transient when they do not."""
    async with SolanaClient(solana.rpc_url, solana.genesis_hash) as client:
        lookup = TokenLookup(client, Account(bytes(programs.program)), Account(bytes(programs.tokens_program)))
        deadline = time.monotonic() + REGISTRATION_SECONDS
        while await lookup.by_native(_account(tokens.weth)) is None:
            if time.monotonic() > deadline:
                raise Transient(
                    f"The nodes have not made ether known on Solana in {REGISTRATION_SECONDS:g} s. Their logs say why."
                )
            await asyncio.sleep(POLL_SECONDS)


async def _hand_over(evm: AnvilChain, contracts: EvmDeployment, tokens: TokenDeployment) -> ChecksumAddress:
    """Everything on the EVM chain goes to a timelock."""
    async with EvmClient(evm.rpc_url, evm.chain_id) as client:
        sender = Sender(client, EvmAccount(evm.accounts[DEPLOYER].private_key))
        guardian = evm.accounts[GUARDIAN].address
        governance = Governance((sender.address,), guardian, (sender.address,), delay=GOVERNANCE_SECONDS)
        return await hand_over(sender, contracts, governance, tokens)


def _account(address: str) -> Account:
    return evm_account(bytes.fromhex(address[2:]))
