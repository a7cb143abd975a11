"""Where a proof comes from: nodes' status ports, or a file. Nobody is believed: a proof counts when it is verified, a body by its digest.

Guarantees: a node that lies, hangs or sends without end costs its time-out and a bounded number of bytes, and the next one is asked.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from oracle.errors import ConfigError, Transient
from oracle.protocol.hashing import keccak256
from oracle.protocol.types import Digest

SECONDS: Final = 10.0
MAX_PROOF: Final = 1 << 20
MAX_REPORT: Final = 4 << 20
POLL_SECONDS: Final = 1.0


@dataclass(slots=True)
class NodeProofs:
    """Nodes by their status addresses. `complaints` says why each of them did not help."""

    http: aiohttp.ClientSession
    urls: tuple[str, ...]
    complaints: list[str] = field(default_factory=list)

    async def body(self, request_id: Digest) -> tuple[bytes, str] | None:
        """The body of a message, with this digest, and the node that has it."""
        for url in self.urls:
            report = await self._report(url, request_id)
            if (
                report is not None
                and (body := _hex(report.get("body"))) is not None
                and report.get("id") == _name(request_id)
            ):
                return body, url
        return None

    async def proof(self, request_id: Digest, wait: float) -> bytes:
        """The proof behind an answer; one that was signed without any is demanded, and waited for up to `wait` seconds. Raises Transient."""
        try:
            async with asyncio.timeout(max(wait, SECONDS)):
                while True:
                    for url in self.urls:
                        if (found := await self._proof_of(url, request_id)) is not None:
                            return found
                    if not await self._demanded(request_id):
                        break
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            self.complaints.append(f"No proof within {max(wait, SECONDS):g} s.")
        reasons = " ".join(dict.fromkeys(self.complaints)) or "No node was named."
        raise Transient(f"No node gave a proof for the request {_name(request_id)}. {reasons}")

    async def _proof_of(self, url: str, request_id: Digest) -> bytes | None:
        report = await self._report(url, request_id)
        told = None if report is None else report.get("proof")
        proof_id = _hex(told.get("id")) if isinstance(told, dict) else None
        if proof_id is None or len(proof_id) != 32:
            return None
        found = await self._read("GET", f"{url}/proofs/0x{proof_id.hex()}", MAX_PROOF)
        if found is None:
            return None
        if keccak256(found) != proof_id:
            self.complaints.append(f"{url} gave bytes that are not the proof it named.")
            return None
        return found

    async def demand(self, request_id: Digest) -> None:
        """Have the proof of an answered request made. Raises Transient when no node will."""
        if not await self._demanded(request_id):
            reasons = " ".join(dict.fromkeys(self.complaints)) or "No node was named."
            raise Transient(f"No node makes a proof for the request {_name(request_id)}. {reasons}")

    async def _demanded(self, request_id: Digest) -> bool:
        """Whether some node says that the proof is there or being made."""
        answers = [
            await self._read("POST", f"{url}/messages/{_name(request_id)}/proof", MAX_REPORT) for url in self.urls
        ]
        return any(answer is not None for answer in answers)

    async def _report(self, url: str, request_id: Digest) -> dict[str, Any] | None:
        data = await self._read("GET", f"{url}/messages/{_name(request_id)}", MAX_REPORT)
        if data is None:
            return None
        try:
            report = json.loads(data)
        except (ValueError, RecursionError):
            report = None
        if not isinstance(report, dict):
            self.complaints.append(f"{url} told no JSON object.")
            return None
        return report

    async def _read(self, method: str, url: str, limit: int) -> bytes | None:
        try:
            async with asyncio.timeout(SECONDS), self.http.request(method, url, allow_redirects=False) as reply:
                data = await reply.content.read(limit + 1)
                while len(data) <= limit and (more := await reply.content.read(limit + 1 - len(data))):
                    data += more
                if len(data) > limit:
                    self.complaints.append(f"{url} sends more than {limit:,} bytes.")
                elif reply.status in (200, 202):
                    return data
                else:
                    self.complaints.append(f"{url} answered with HTTP status {reply.status}.")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self.complaints.append(f"{url} does not answer ({type(error).__name__}).")
        return None


@asynccontextmanager
async def node_proofs(urls: Sequence[str]) -> AsyncIterator[NodeProofs]:
    """Connections to nodes. Raises ConfigError for what is no http(s) address."""
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--node takes a node's status address, such as http://127.0.0.1:7101; not “{url}”.")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS)) as http:
        yield NodeProofs(http, tuple(url.rstrip("/") for url in urls))


def read_proof(path: Path) -> bytes:
    """A proof out of a file, as `sibyl proof get` writes it. Raises ConfigError."""
    try:
        with path.open("rb") as handle:
            data = handle.read(MAX_PROOF + 1)
    except OSError as error:
        raise ConfigError(f"The proof {path} cannot be read: {error.strerror}.") from error
    if not data or len(data) > MAX_PROOF:
        raise ConfigError(f"{path} is no proof: it has {'no' if not data else 'too many'} bytes.")
    return data


def _name(digest: Digest) -> str:
    return "0x" + digest.hex()


def _hex(text: object) -> bytes | None:
    if not isinstance(text, str) or not text.startswith("0x"):
        return None
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        return None
