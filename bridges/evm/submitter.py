"""Delivers signed messages and proven answers to one gateway and its hub (`ChainSubmitter`).

Guarantees: a message that is there already is not sent again, and one that a rival delivers at the same time counts as delivered, judged by
the contracts' state and never by an error's text; the transaction is one that the contracts accept in a simulation first. A message is said to have
lapsed only by one final block, whose clock is past the expiry and whose state does not hold the delivery. It does not check signatures or
proofs itself: the contracts do, and refuse.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from eth_typing import ChecksumAddress
from web3.types import BlockIdentifier

from bridges.evm.abi import address_of, interface
from bridges.evm.answers import Mined
from bridges.evm.client import EvmClient
from bridges.evm.finality import ask_at, final_header
from bridges.evm.gathering import Gatherer
from bridges.evm.points import split_signature
from bridges.evm.sender import Call, Sender
from oracle.errors import ConfigError, DecodeError, EncodeError, Rejected, Transient
from oracle.ports import DeliveryState, GroupAttestation, Receipt, Submission
from oracle.protocol.finality import Depth, Finality, FinalizedTag
from oracle.protocol.hashing import merkle_branch
from oracle.protocol.message import InferenceResult, Message, origin_hash
from oracle.protocol.types import Account, Digest, Endpoint, Kind, Policy, Status, check_account

_ANSWERED, _REFUSED = 2, 3
"""`IOracleHub.State`."""
_PAUSED = "EnforcedPause"


class EvmSubmitter:
    """A `ChainSubmitter` for one gateway. `hub` is needed for answers; without it only messages and attested results are delivered."""

    def __init__(
        self,
        sender: Sender,
        gateway: Account,
        hub: Account | None = None,
        *,
        finality: Finality | None = None,
    ) -> None:
        client = sender.client
        check_account(client.chain.chain_type, gateway)
        self._client: EvmClient = client
        self._sender = sender
        self._destination = Endpoint(client.chain, gateway)
        self._gateway = address_of(gateway)
        self._hub = None if hub is None else address_of(hub)
        self._finality = finality or FinalizedTag()
        self._locks: WeakValueDictionary[Digest, asyncio.Lock] = WeakValueDictionary()
        self._gathered = Gatherer(self._deliver_together)
        self._gateway_abi, self._hub_abi = interface("Gateway"), interface("OracleHub")

    @property
    def destination(self) -> Endpoint:
        """The gateway that is delivered to."""
        return self._destination

    async def submit(self, submission: Submission) -> Receipt | None:
        """Deliver and wait for inclusion; None when it was there already. Raises Transient or Rejected."""
        call = self._call(submission)
        lock = self._locks.setdefault(submission.message.digest, asyncio.Lock())
        async with lock:  # the same message twice at once would pay for two transactions
            return await self._submit(submission, call)

    async def _submit(self, submission: Submission, call: Call) -> Receipt | None:
        if await self._delivered(submission.message, "latest"):
            return None
        if call.to == self._gateway:
            share = await self._gathered.deliver(submission)
            # A shared transaction succeeds when one of its messages is delivered, so whether this one was is asked of the chain.
            if share is not None and await self._delivered(submission.message, "latest"):
                return Receipt(share.transaction, share.gas, share.size)
        return await self._submit_alone(submission, call)

    async def _submit_alone(self, submission: Submission, call: Call) -> Receipt | None:
        try:
            receipt = await self._sender.send(call)
        except Rejected as refusal:
            # Lost to another member's transaction? Only the state says so: a recipient may revert with any error's name.
            if await self._delivered(submission.message, "latest"):
                return None
            if refusal.reason == _PAUSED:
                raise Transient(
                    f"The gateway {self._gateway} is paused; deliveries go on when it is resumed."
                ) from refusal
            raise
        return Receipt(receipt.name, receipt.gas_used, len(call.data))

    async def _deliver_together(self, submissions: Sequence[Submission]) -> tuple[Mined, int]:
        """One transaction for messages under one signature."""
        signature = _signature(submissions[0])
        data = self._gateway_abi.encode("deliver", signature, [_delivery(one) for one in submissions])
        spare = sum(self._call(one).spare_gas for one in submissions)
        mined = await self._sender.send(Call(self._gateway, data, spare_gas=spare))
        return mined, len(data)

    async def state(self, message: Message) -> DeliveryState:
        """Whether `message` was delivered, and whether that is final. Raises Transient."""
        if not await self._delivered(message, "latest"):
            return DeliveryState.ABSENT
        final = await self._final_block()
        if final is not None and await self._delivered(message, final):
            return DeliveryState.FINAL
        return DeliveryState.INCLUDED

    async def lapsed(self, message: Message) -> bool:
        """Whether the gateway can never take `message` any more, though it has not taken it. False whenever that is not sure.

        Blocks' clocks never go back, and the gateway takes nothing after its expiry: what one final block past the expiry does not hold,
        no later one will. Raises Transient.
        """
        if not message.expiry or message.destination != self._destination:
            return False
        block = await final_header(self._client, self._finality)
        if block is None or block.timestamp <= message.expiry:
            return False
        data = self._gateway_abi.encode("delivered", origin_hash(message.origin), message.sequence)
        answer = (await ask_at(self._client, block, self._gateway, data)).answers[0]
        # Without an answer the gateway did not exist at that block.
        return bool(answer) and not self._decode("Gateway", "delivered", answer)[0]

    # ---- state ----

    async def _final_block(self) -> BlockIdentifier | None:
        match self._finality:
            case FinalizedTag():
                return "finalized"
            case Depth(blocks):
                number = await self._client.block_number() - blocks
                return number if number >= 0 else None

    async def _delivered(self, message: Message, block: BlockIdentifier) -> bool:
        result = _result(message)
        if result is not None and result.policy is Policy.PROVEN:
            # An answer by proof alone never passes the gateway; a refusal does, and shows at the hub as well.
            return await self._request_state(Digest(result.request_id), block) in (_ANSWERED, _REFUSED)
        data = self._gateway_abi.encode("delivered", origin_hash(message.origin), message.sequence)
        answer = await self._view(self._gateway, data, block)
        return bool(answer) and bool(self._decode("Gateway", "delivered", answer)[0])

    async def _request_state(self, request_id: Digest, block: BlockIdentifier) -> int:
        answer = await self._view(self._hub_address(), self._hub_abi.encode("requestOf", request_id), block)
        return int(self._decode("OracleHub", "requestOf", answer)[0][1]) if answer else 0

    async def _view(self, to: ChecksumAddress, data: bytes, block: BlockIdentifier) -> bytes:
        try:
            answer = await self._client.call(to, data, block=block)
        except Rejected as error:
            raise Transient(f"The contract at {to} does not answer as Sibyl's: {error}") from error
        if not answer and block == "latest":
            raise Transient(f"There is no contract at {to} on {self._destination.chain}: check the address.")
        return answer  # empty at a final block from before the deployment

    def _decode(self, contract: str, function: str, answer: bytes) -> tuple[Any, ...]:
        try:
            return interface(contract).decode(function, answer)
        except DecodeError as error:
            raise Transient(str(error)) from error

    def _hub_address(self) -> ChecksumAddress:
        if self._hub is None:
            raise ConfigError(f"No oracle hub is configured for {self._destination.chain}: name its address.")
        return self._hub

    # ---- calldata ----

    def _call(self, submission: Submission) -> Call:
        """The transaction that delivers. Raises Rejected when the submission lacks something or cannot be meant for this gateway."""
        message = submission.message
        if message.destination != self._destination:
            raise Rejected(
                f"This message goes to {message.destination.chain}, not to this gateway.", reason="WrongDestination"
            )
        if message.kind is Kind.INFERENCE_REQUEST:
            raise Rejected("An inference request is never delivered; its results are.", reason="WrongRecipient")
        try:
            result = _result(message)
            spare = result.callback_gas_limit if result is not None else 0
            if result is None or result.status is not Status.ANSWERED or not result.policy.chain_checks_proof:
                data = self._gateway_abi.encode("deliver", _signature(submission), [_delivery(submission)])
                return Call(self._gateway, data, spare_gas=spare)
            return Call(self._hub_address(), self._fulfil(submission, result), spare_gas=spare)
        except (DecodeError, EncodeError) as error:
            raise Rejected(f"This submission cannot be delivered: {error}") from error

    def _fulfil(self, submission: Submission, result: InferenceResult) -> bytes:
        request, zk_proof = submission.request, submission.zk_proof
        if request is None or zk_proof is None:
            raise Rejected(
                "An answer that the chain checks by proof needs its request and its ezkl proof.", reason="ProofRequired"
            )
        if request.digest != result.request_id:
            raise Rejected("The request is not the one that this result answers.", reason="ResultMismatch")
        if result.policy is Policy.PROVEN:
            return self._hub_abi.encode("fulfil", request.to_bytes(), list(result.outputs), zk_proof)
        if result.policy is Policy.BOTH:
            return self._hub_abi.encode(
                "fulfilBoth", _signature(submission), _delivery(submission), request.to_bytes(), zk_proof
            )
        raise Rejected(f"This version does not deliver answers under {result.policy.name}.", reason="UnsupportedPolicy")


def _result(message: Message) -> InferenceResult | None:
    """The result in a message; None for other kinds. Raises DecodeError."""
    return InferenceResult.from_bytes(message.payload) if message.kind is Kind.INFERENCE_RESULT else None


def _attestation(submission: Submission) -> GroupAttestation:
    if submission.attestation is None:
        raise Rejected(
            "This message is delivered under the committee's signature, and has none.", reason="InvalidSignature"
        )
    return submission.attestation


def _signature(submission: Submission) -> tuple[int, int, int, int]:
    """`IGateway.Attestation`."""
    attestation = _attestation(submission)
    return attestation.epoch, *split_signature(attestation.signature)


def _delivery(submission: Submission) -> tuple[bytes, list[bytes]]:
    """`IGateway.Delivery`: the body, and its branch in the signed batch."""
    digests = _attestation(submission).digests
    digest = submission.message.digest
    if digest not in digests:
        raise Rejected("The committee's signature does not cover this message.", reason="InvalidSignature")
    return submission.message.to_bytes(), list(merkle_branch(digests, digests.index(digest)))
