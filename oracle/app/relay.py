"""A relayer: delivers what the committee signed, for whoever wants it delivered, and holds no key share.

It takes open messages from nodes' status ports and believes none of them: a signature is checked under the group key, digests are
recomputed from bodies, and the chains check everything again. What cannot be delivered is tried again with growing pauses, and blocks nothing else.
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import structlog

from bridges.frost.signing import verify_encoded
from oracle.app.chains import evm_ports, solana_ports
from oracle.app.tidy import tidying
from oracle.config import RelayConfig, unhex
from oracle.errors import SibylError
from oracle.pipeline import needs_signature
from oracle.ports import ChainSubmitter, DeliveryState, GroupAttestation, Receipt, Submission
from oracle.protocol.errors import DecodeError, ProtocolError
from oracle.protocol.hashing import batch_signing_hash, keccak256
from oracle.protocol.message import Message
from oracle.protocol.types import CommitteeEpoch, Digest, Endpoint

log = structlog.get_logger("sibyl.relay")

SOURCE_SECONDS = 10.0
MAX_BODY = 4 << 20
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


@dataclass(slots=True)
class _Attempt:
    failures: int = 0
    not_before: float = 0.0


@dataclass(slots=True)
class Relayer:
    """Delivers through `submitters` what `sources` tell. `delivered` counts its own deliveries."""

    config: RelayConfig
    submitters: dict[Endpoint, ChainSubmitter]
    http: aiohttp.ClientSession
    delivered: dict[Digest, Receipt] = field(default_factory=dict)
    _attempts: dict[Digest, _Attempt] = field(default_factory=dict)

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            for source in self.config.sources:
                try:
                    await self.relay_from(str(source).rstrip("/"))
                except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, ProtocolError) as error:
                    log.warning("source cannot be used", source=str(source), error=str(error) or type(error).__name__)
            await asyncio.sleep(self.config.poll_seconds)

    async def relay_from(self, source: str) -> None:
        """Deliver what one node tells of."""
        for told in await self._json(f"{source}/messages"):
            request = Message.from_bytes(unhex(told["body"]))
            attestation = self.attestation(told["attestation"])
            for item in told["deliverables"]:
                message = Message.from_bytes(unhex(item["body"]))
                if self._worth_trying(message, attestation, told["proof"]):
                    proof = await self._proof(source, told["proof"])
                    await self._deliver(Submission(message, attestation, request, proof))

    def attestation(self, told: dict[str, Any] | None) -> GroupAttestation | None:
        """A signature that holds under the group key. Raises DecodeError for one that does not."""
        if told is None:
            return None
        digests = tuple(Digest(unhex(digest)) for digest in told["digests"])
        signature = unhex(told["signature"])
        key = self.config.group_keys.get(told["epoch"])
        if key is None or not verify_encoded(key, signature, batch_signing_hash(digests)):
            raise DecodeError("The source tells a signature that is not the committee's.")
        return GroupAttestation(CommitteeEpoch(told["epoch"]), signature, digests)

    def _worth_trying(self, message: Message, attestation: GroupAttestation | None, proof: object) -> bool:
        if message.destination not in self.submitters or message.digest in self.delivered:
            return False
        if needs_signature(message):
            if attestation is None or message.digest not in attestation.digests:
                return False
        elif proof is None:
            return False
        attempt = self._attempts.get(message.digest)
        return attempt is None or time.monotonic() >= attempt.not_before

    async def _deliver(self, submission: Submission) -> None:
        message, digest = submission.message, submission.message.digest
        submitter = self.submitters[message.destination]
        attempt = self._attempts.setdefault(digest, _Attempt())
        try:
            if await submitter.state(message) is not DeliveryState.ABSENT:
                attempt.not_before = time.monotonic() + LONGEST_PAUSE
                return
            receipt = await submitter.submit(submission)
        except (SibylError, ProtocolError) as error:
            attempt.failures += 1
            attempt.not_before = time.monotonic() + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt.failures, 10))
            log.warning("not delivered", digest=digest.hex()[:16], error=str(error), failures=attempt.failures)
            return
        if receipt is not None:
            self.delivered[digest] = receipt
            log.info("delivered", digest=digest.hex()[:16], transaction=receipt.transaction, cost=receipt.cost)

    async def _proof(self, source: str, told: dict[str, Any] | None) -> bytes | None:
        if told is None:
            return None
        async with self.http.get(f"{source}/proofs/{told['id']}") as reply:
            proof = await reply.content.read(MAX_BODY) if reply.status == 200 else None
        return proof if proof is not None and keccak256(proof) == unhex(told["id"]) else None

    async def _json(self, url: str) -> Any:
        async with self.http.get(url) as reply:
            reply.raise_for_status()
            return await reply.json()


@asynccontextmanager
async def built_relayer(config: RelayConfig) -> AsyncIterator[Relayer]:
    """A relayer with its connections. Raises ConfigError when a chain is not the configured one."""
    async with AsyncExitStack() as stack:
        chains = [await evm_ports(entry, stack) for entry in config.evm]
        chains += [await solana_ports(entry, stack) for entry in config.solana]
        timeout = aiohttp.ClientTimeout(total=SOURCE_SECONDS)
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        await stack.enter_async_context(tidying(chains))
        yield Relayer(config, {chain.submitter.destination: chain.submitter for chain in chains}, http)


async def serve_relay(config: RelayConfig) -> None:
    """Relay until SIGINT or SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with built_relayer(config) as relayer, asyncio.TaskGroup() as group:
        running = group.create_task(relayer.run())
        log.info("relayer ready", sources=[str(source) for source in config.sources])
        await stop.wait()
        running.cancel()
