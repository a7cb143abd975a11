"""Lies, and who refuses them. Each attempt is real: real keys, real transactions, real proofs, against the running devnet."""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from bridges.evm.abi import address_of, interface
from bridges.evm.account import EvmAccount
from bridges.evm.points import split_signature
from bridges.evm.sender import Call, Sender
from bridges.evm.submitter import EvmSubmitter
from bridges.frost import keystore
from bridges.frost.errors import FrostError, TooFewSigners
from bridges.frost.session import CoordinatorLimits
from bridges.frost.transport import PeerCertificate, PeerClient, TransportIdentity
from bridges.solana import instructions
from bridges.solana.instructions import Envelope, HomeRequest
from bridges.solana.layout import ProgramAddresses
from bridges.solana.submitter import SolanaSubmitter
from bridges.solana.transactions import TransactionSender
from circuits.card import HeldoutRow
from circuits.halo2.upload import upload_for
from circuits.prover import LocalProver
from oracle.app.asking import EVM, SOLANA, Asked, DevnetUser, Question
from oracle.app.committee import FrostCommittee
from oracle.app.devnet.network import Devnet
from oracle.errors import Rejected, SibylError, SigningError
from oracle.node.gossip import TOPIC_PROOF, ProofNotice
from oracle.ports import GroupAttestation, Submission
from oracle.protocol.hashing import batch_signing_hash, merkle_branch
from oracle.protocol.message import Message, Outcome, result_messages
from oracle.protocol.types import CommitteeEpoch, Digest, Policy, Status, evm_account

PEER_SECONDS = 12.0
_PEER_PREFIX = re.compile(r"^Peer \d+ refused \(\w+\): ")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was tried, who refused it, and the reason in the refuser's own words."""

    tried: str
    refused_by: str
    why: str


class LieAccepted(SibylError):
    """Something that must be refused was taken. The demo fails."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A request's results as the committee signed them, told by a node's status port."""

    asked: Asked
    attestation: GroupAttestation
    messages: tuple[Message, ...]

    def envelope(self, message: Message) -> Envelope:
        """For Solana."""
        digests = self.attestation.digests
        branch = merkle_branch(digests, digests.index(message.digest))
        return Envelope(self.attestation.epoch, self.attestation.signature, branch)


@dataclass(frozen=True, slots=True)
class Liar:
    """Who tries: a stranger with money on both chains, and member `member`, whose keys have been stolen."""

    devnet: Devnet
    user: DevnetUser
    member: int = 4

    @property
    def _evm_sender(self) -> Sender:
        return Sender(self.user.evm_client, EvmAccount(self.user.devnet.evm.stranger_key))

    @property
    def _solana_sender(self) -> TransactionSender:
        key = Keypair.from_bytes(bytes.fromhex(self.user.devnet.solana.stranger_key[2:]))
        return TransactionSender(self.user.solana_client, key)

    # ---- a node that reports another output ----

    async def another_output(self, asked: Asked) -> list[Refusal]:
        """Member 4 claims another output and asks the others to sign it; then it signs alone and delivers that."""
        (arrival, *_) = asked.arrivals
        lie = Outcome(Status.ANSWERED, tuple(-value for value in arrival.outputs), arrival.output_scale)
        digests = tuple(message.digest for message in result_messages(asked.request, lie))
        directory = self.devnet.nodes[self.member - 1].directory
        share = keystore.load(directory / "share.json", devnet=True)

        async def sign_anything(context: bytes) -> bytes:
            return batch_signing_hash(digests)

        async with AsyncExitStack() as stack:
            clients = await self._clients(stack)
            committee = FrostCommittee(share, CommitteeEpoch(1), clients, sign_anything, CoordinatorLimits(attempts=1))
            stack.callback(committee.close)
            try:
                await committee.sign(digests)
            except TooFewSigners as error:
                return _together(f"node {self.member} asks for a signature over another output", error.refusals)
            except SigningError as error:
                return [Refusal("a signature over another output", "the committee", str(error))]
        raise LieAccepted("The committee signed an output that the model does not give.")

    async def _clients(self, stack: AsyncExitStack) -> dict[int, PeerClient]:
        directory = self.devnet.nodes[self.member - 1].directory
        identity = TransportIdentity.load(directory)
        clients = {}
        for node in self.devnet.nodes:
            if node.identifier != self.member:
                pin = PeerCertificate.from_pem((node.directory / "peer-certificate.pem").read_text())
                client = PeerClient(identity, node.identifier, pin, ("127.0.0.1", node.peer_port))
                clients[node.identifier] = await stack.enter_async_context(client)
        return clients

    # ---- a doctored proof ----

    async def doctored_proof(self, prover: LocalProver, row: HeldoutRow, tell: Callable[[str], None]) -> list[Refusal]:
        """A stranger answers a PROVEN request with a doctored proof, then with another answer, and at last with the honest proof."""
        made = await prover.prove(self.user.model.model_id, row.inputs)
        asked = await self.user.ask(Question(row.inputs, EVM, Policy.PROVEN))
        honest = Outcome(Status.ANSWERED, made.outputs, self.user.model.output_scale)
        (message,) = result_messages(asked.request, honest)
        lie = Outcome(Status.ANSWERED, tuple(-value for value in made.outputs), honest.output_scale)
        (false,) = result_messages(asked.request, lie)
        middle = len(made.proof) // 2
        doctored = made.proof[:middle] + bytes([made.proof[middle] ^ 1]) + made.proof[middle + 1 :]
        refusals = [
            await self._refused_by_hub("a proof with one bit changed", message, asked, doctored),
            await self._refused_by_hub("an honest proof, another answer", false, asked, made.proof),
            await self._refused_by_hub("a proof with 32 bytes appended", message, asked, made.proof + bytes(32)),
        ]
        refusals += await self._proof_to_nodes(asked, doctored)
        receipt = await self._submitter().submit(Submission(message, None, asked.request, made.proof))
        tell("    the honest proof, from the same stranger, is taken" if receipt else "    a node had answered first")
        return refusals

    async def doctored_proof_on_solana(
        self, prover: LocalProver, row: HeldoutRow, tell: Callable[[str], None]
    ) -> list[Refusal]:
        """The same on Solana, whose verifier program checks the proof."""
        made = await prover.prove(self.user.model.model_id, row.inputs)
        asked = await self.user.ask(Question(row.inputs, SOLANA, Policy.PROVEN))
        honest = Outcome(Status.ANSWERED, made.outputs, self.user.model.output_scale)
        (message,) = result_messages(asked.request, honest)
        (false,) = result_messages(asked.request, replace(honest, outputs=tuple(-value for value in made.outputs)))
        middle = len(made.proof) // 2
        doctored = made.proof[:middle] + bytes([made.proof[middle] ^ 1]) + made.proof[middle + 1 :]
        refusals = [
            await self._refused_by_verifier("a proof with one bit changed", message, asked, doctored),
            await self._refused_by_verifier("an honest proof, another answer", false, asked, made.proof),
        ]
        receipt = await self._solana_submitter().submit(Submission(message, None, asked.request, made.proof))
        tell(
            "    the honest proof, from the same stranger, is taken there"
            if receipt
            else "    a node had answered first"
        )
        return refusals

    def _solana_submitter(self) -> SolanaSubmitter:
        key = Keypair.from_bytes(bytes.fromhex(self.user.devnet.solana.stranger_key[2:]))
        gateway = self.user.solana_endpoint.gateway
        return SolanaSubmitter(self.user.solana_client, gateway, key, pack=upload_for)

    async def _refused_by_verifier(self, tried: str, message: Message, asked: Asked, proof: bytes) -> Refusal:
        try:
            receipt = await self._solana_submitter().submit(Submission(message, None, asked.request, proof))
        except Rejected as error:
            return Refusal(tried, "the verifier on Solana", _reason(error))
        if receipt is None:
            return Refusal(tried, "the Solana program", "the request is answered already")
        raise LieAccepted(f"The Solana program took {tried}.")

    def _submitter(self) -> EvmSubmitter:
        hub = evm_account(bytes.fromhex(self.user.devnet.evm.hub[2:]))
        return EvmSubmitter(self._evm_sender, self.user.evm_endpoint.gateway, hub)

    async def _refused_by_hub(self, tried: str, message: Message, asked: Asked, proof: bytes) -> Refusal:
        try:
            receipt = await self._submitter().submit(Submission(message, None, asked.request, proof))
        except Rejected as error:
            return Refusal(tried, "OracleHub on the EVM chain", _reason(error))
        if receipt is None:
            return Refusal(tried, "OracleHub on the EVM chain", "the request is answered already")
        raise LieAccepted(f"The hub took {tried}.")

    async def _proof_to_nodes(self, asked: Asked, doctored: bytes) -> list[Refusal]:
        """Member 4 hands the doctored proof to its peers, as a node that spreads its proof does."""
        notice = ProofNotice(asked.request_id, doctored).to_bytes()
        async with AsyncExitStack() as stack:
            clients = await self._clients(stack)
            replies = await asyncio.gather(*(self._hand_over(clients[who], notice) for who in clients))
        refusals = {who: why for who, why in zip(clients, replies, strict=True) if why is not None}
        return _together(f"node {self.member} spreads the doctored proof", refusals)

    async def _hand_over(self, client: PeerClient, notice: bytes) -> str | None:
        try:
            await client.call(TOPIC_PROOF, notice, PEER_SECONDS)
        except FrostError as error:
            return str(error)
        return None  # it holds a checked proof already, and did not look at this one

    # ---- a replayed delivery, a message for another chain ----

    async def signed(self, asked: Asked) -> Signed:
        """The committee's signature over a request's answers, from a node's status port."""
        for report in await self.user.node_reports(asked.request_id):
            if report["attestation"] is not None:
                items = [item for item in report["deliverables"] if item["signed"]]
                messages = tuple(Message.from_bytes(bytes.fromhex(item["body"][2:])) for item in items)
                told = report["attestation"]
                digests = tuple(Digest(bytes.fromhex(digest[2:])) for digest in told["digests"])
                signature = bytes.fromhex(told["signature"][2:])
                return Signed(asked, GroupAttestation(CommitteeEpoch(told["epoch"]), signature, digests), messages)
        raise SibylError("No node tells the signature of an answered request.")

    async def replay(self, signed: Signed) -> list[Refusal]:
        """Each delivered message once more, to the chain that has it."""
        refusals = []
        for message in signed.messages:
            if message.destination == self.user.evm_endpoint:
                refusals.append(await self._to_gateway("a replayed delivery", signed, message))
            else:
                refusals.append(await self._to_program("a replayed delivery", signed, message))
        return refusals

    async def wrong_chain(self, signed: Signed) -> list[Refusal]:
        """A message for Solana brought to the EVM gateway."""
        at = self.user.evm_endpoint
        for_solana = [message for message in signed.messages if message.destination != at]
        return [await self._to_gateway("a message for Solana", signed, message) for message in for_solana]

    async def wrong_chain_on_solana(self, signed: Signed) -> list[Refusal]:
        """A message for the EVM chain brought to the Solana program."""
        for_evm = [message for message in signed.messages if message.destination == self.user.evm_endpoint]
        return [await self._to_program("a message for the EVM chain", signed, message) for message in for_evm]

    async def _to_gateway(self, tried: str, signed: Signed, message: Message) -> Refusal:
        attestation = signed.attestation
        envelope = (attestation.epoch, *split_signature(attestation.signature))
        delivery = (message.to_bytes(), list(_branch(attestation.digests, message.digest)))
        data = interface("Gateway").encode("deliver", envelope, [delivery])
        try:
            await self._evm_sender.send(Call(address_of(self.user.evm_endpoint.gateway), data))
        except Rejected as error:
            return Refusal(tried, "Gateway on the EVM chain", _reason(error))
        raise LieAccepted(f"The gateway took {tried}.")

    async def _to_program(self, tried: str, signed: Signed, message: Message) -> Refusal:
        sender, program = self._solana_sender, self.user.devnet.solana
        home = None
        if message.origin == message.destination:
            home = HomeRequest(Pubkey.from_string(program.treasury), Pubkey(signed.asked.request.sender))
        at = ProgramAddresses(Pubkey.from_string(program.program))
        try:
            await sender.send([instructions.deliver(at, sender.payer, message, signed.envelope(message), home)])
        except Rejected as error:
            return Refusal(tried, "the Solana program", _reason(error))
        raise LieAccepted(f"The Solana program took {tried}.")


def _together(tried: str, refusals: Mapping[int, str]) -> list[Refusal]:
    """One entry for all nodes that gave the same reason."""
    nodes: dict[str, list[int]] = {}
    for who, why in sorted(refusals.items()):
        nodes.setdefault(_PEER_PREFIX.sub("", _clean(why)), []).append(who)
    return [
        Refusal(tried, f"node{'s' if len(who) > 1 else ''} {', '.join(map(str, who))}", why)
        for why, who in nodes.items()
    ]


def _branch(digests: tuple[Digest, ...], digest: Digest) -> tuple[bytes, ...]:
    return merkle_branch(digests, digests.index(digest))


def _reason(error: Rejected) -> str:
    text = _clean(str(error))
    return text if not error.reason or error.reason in text else f"{error.reason}: {text}"


def _clean(text: str) -> str:
    return " ".join(text.split())
