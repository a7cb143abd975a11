"""The shell of distributed key generation: members find one another, exchange messages over the peer transport, and end together.

Each member serves its own messages and fetches the others', so it does not matter who starts first. All draw a nonce at start; the
session is a hash of all nonces, so a member that restarts makes a new session, and nothing of an old one is of use.
Guarantees: every road ends by a deadline that whoever is on it looks at, for a cancellation may get lost; whoever finds a fault shows
its evidence to the others before it ends; the share is in its owner's custody before this member certifies it, and final only when all
members certified; on any failure secrets are wiped.
Does not decide where keys are kept, restart the process, or remember a culprit for the next ceremony.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Final, Generic, Protocol, TypeVar

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from bridges.frost.dkg import DkgResult, Participant
from bridges.frost.dkg_checks import Rules, dkg_rules, judged
from bridges.frost.dkg_messages import (
    HASH_BYTES,
    SESSION_BYTES,
    DkgError,
    DkgFault,
    Head,
    Hello,
    MemberLeft,
    MemberSilent,
    NotSigned,
    Phase,
    Roster,
    Signed,
    UnusableGroupKey,
    opened,
    session_id,
)
from bridges.frost.dkg_talk import Sign
from bridges.frost.errors import DecodeError, FrostError, KeystoreError, TransportError
from bridges.frost.group import Identifier, wipe_fresh_bytes
from bridges.frost.keygen import KeyShare, Randomness
from bridges.frost.keystore import read_private_file
from bridges.frost.transport import PeerCaller, PeerServer
from oracle.protocol.errors import ProtocolError

_log: Final = structlog.get_logger(__name__)

DKG_PATH: Final = "/frost/v1/dkg"
_DONE: Final = 0xFF
"""In the place of a phase: asks whether the member has its key."""
_NO_SESSION: Final = bytes(SESSION_BYTES)
_TITLES: Final = {
    Phase.COMMIT: "commitments",
    Phase.ECHO: "echoes of them",
    Phase.SHARE: "shares",
    Phase.READY: "checked shares",
    Phase.CERTIFICATE: "certificates",
}


@dataclass(frozen=True, slots=True)
class CeremonyLimits:
    """Bounds on one ceremony, in seconds but for the counts."""

    wait_seconds: float = 900.0
    """For all members to be there."""
    step_seconds: float = 60.0
    """For each phase after that."""
    hold_seconds: float = 2.0
    """How long a member holds a question that it cannot answer yet."""
    pause_seconds: float = 0.2
    """Before a member is asked again."""
    linger_seconds: float = 10.0
    """After the end, for the others to fetch what they lack."""
    attempts: int = 8
    """Sessions before it gives up; more than one is needed with probability 2^-128."""
    sessions: int = 32
    """Sessions begun while members come and go."""


class _Reply(IntEnum):
    WAIT = 0
    MESSAGE = 1
    EVIDENCE = 2
    ELSEWHERE = 3
    """The member does not know this session (yet, or any more)."""
    ENDED = 4


class Result(Protocol):
    """What a ceremony leads to."""

    @property
    def session(self) -> bytes:
        """The session that made it."""


R = TypeVar("R", bound=Result)
R_contra = TypeVar("R_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Part(Protocol[R_co]):
    """One member's part in one session, as the shell drives it (`dkg_talk.Conversation` with a result)."""

    @property
    def session(self) -> bytes:
        """The session's id."""

    @property
    def collecting(self) -> Phase | None:
        """The phase whose messages are awaited; None when it is over."""

    @property
    def waiting_for(self) -> tuple[Identifier, ...]:
        """Whose message of that phase has not come."""

    @property
    def provisional(self) -> KeyShare | None:
        """The share to keep aside before `certify`; None at any other time."""

    @property
    def result(self) -> R_co | None:
        """What all certified, once they have."""

    def speakers(self, phase: Phase) -> tuple[Identifier, ...]:
        """Whose message of a phase this member needs."""

    def message(self, phase: Phase, recipient: Identifier) -> bytes | None:
        """This member's message; None if it has not been made yet."""

    def receive(self, sender: Identifier, data: bytes) -> None:
        """Take a message."""

    def receive_evidence(self, sender: Identifier, data: bytes) -> None:
        """Always raises DkgFault."""

    def certify(self) -> None:
        """Sign the result."""

    def abandon(self) -> None:
        """End it and wipe all secrets."""


class Custody(Protocol[R_contra]):
    """Where the share goes."""

    def keep(self, share: KeyShare) -> None:
        """Put it where a crash does not lose it. From now on others may finish with a key that needs it."""

    def settle(self, result: R_contra) -> None:
        """All have certified: make it final."""

    def discard(self) -> None:
        """The ceremony failed before this member certified: leave nothing behind."""


class _MemberMoved(Exception):  # not an error: the member restarted, and so does the session
    """A member has another nonce than before."""


def identity_signer(key_path: Path) -> Sign:
    """Signs with the ed25519 key of a TransportIdentity. Raises KeystoreError."""
    pem = read_private_file(key_path)
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise KeystoreError(f"{key_path} holds no unencrypted private key; restore it.") from None
    finally:
        if len(pem) > 1:
            wipe_fresh_bytes(pem)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeystoreError(f"{key_path} is not an ed25519 key; make an identity with `sibyl committee init`.")
    return key.sign


@dataclass(frozen=True, slots=True)
class Plan(Generic[R]):
    """What kind of ceremony it is: its rules, its phases after the first, and how one session begins."""

    rules: Rules
    phases: tuple[Phase, ...]
    begin: Callable[[bytes], Part[R]]
    """A part in the session with this id."""


class Ceremony(Generic[R]):
    """One member's part in a ceremony. `register` on a server, start that, then `run` once."""

    def __init__(
        self,
        plan: Plan[R],
        who: Identifier,
        sign: Sign,
        peers: Mapping[int, PeerCaller],
        custody: Custody[R],
        *,
        limits: CeremonyLimits | None = None,
        randomness: Randomness = os.urandom,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`peers`: every other member. `progress` is given a line for people now and then."""
        self._plan, self._roster, self._who, self._sign = plan, plan.rules.assembly, who, sign
        self._peers = {Identifier(i): peer for i, peer in peers.items()}
        self._custody, self._limits = custody, limits or CeremonyLimits()
        self._progress = progress
        self._nonces: dict[Identifier, bytes] = {who: randomness(HASH_BYTES)}
        self._participants: dict[bytes, Part[R]] = {}
        self._ended: bytes | None = None
        self._done = self._certified = False
        self._told: set[int] = set()
        self._all_told = asyncio.Event()
        self._changed = asyncio.Event()
        self._deadline = float("inf")

    def register(self, server: PeerServer) -> None:
        """Serve this member's messages to the server's pinned peers."""
        server.route(DKG_PATH, self.answer, max_body=1 + SESSION_BYTES)

    @property
    def certified(self) -> bool:
        """Whether this member gave its certificate away: the others may then have a key that needs the share in custody."""
        return self._certified

    # ---- serving

    async def answer(self, peer_id: int, body: bytes) -> bytes:
        """phase(1) ‖ session(32) -> kind(1) ‖ message. Raises DecodeError."""
        if len(body) != 1 + SESSION_BYTES or (body[0] != _DONE and body[0] not in Phase.__members__.values()):
            raise DecodeError("A question in a key ceremony is a phase and a session.")
        if body[0] == Phase.HELLO and self._ended is None:
            return bytes([_Reply.MESSAGE]) + self._hello()
        try:
            async with asyncio.timeout(self._limits.hold_seconds):
                while (reply := self._reply(Identifier(peer_id), body[0], body[1:])) is None:
                    await self._changed.wait()
        except TimeoutError:
            return bytes([_Reply.WAIT])
        return reply

    def _reply(self, peer: Identifier, phase: int, session: bytes) -> bytes | None:
        if self._ended is not None:
            self._told.add(peer)
            if len(self._told) >= len(self._peers):
                self._all_told.set()
            return self._ended
        participant = self._participants.get(session)
        if participant is None:
            return bytes([_Reply.ELSEWHERE])
        if phase == _DONE:
            return bytes([_Reply.MESSAGE]) if self._done else None
        message = participant.message(Phase(phase), peer)
        return None if message is None else bytes([_Reply.MESSAGE]) + message

    def _hello(self) -> bytes:
        head, body = Head(Phase.HELLO, self._who, _NO_SESSION), Hello(self._nonces[self._who]).to_bytes()
        digest = Signed(head, b"", body).digest
        return Signed(head, self._sign(head.preimage(self._roster.context, digest)), body).to_bytes()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # ---- running

    async def run(self) -> R:
        """Go through with it. Raises DkgError and its kinds; the share is then wiped, and custody told to discard it unless certified."""
        result: R | None = None
        try:
            result = await self._until_usable()
            self._custody.settle(result)
            self._done = True
            self._notify()
            await self._linger(result.session)
            return result
        except FrostError as error:
            await self._tell(error)
            raise
        finally:
            for participant in self._participants.values():
                participant.abandon()
            if result is None and not self._certified:
                self._custody.discard()

    async def _until_usable(self) -> R:
        for attempt in range(self._limits.attempts):
            try:
                participant = await self._gathered(attempt)
                return await self._conduct(participant)
            except UnusableGroupKey as error:
                if self._certified:
                    raise
                self._progress(f"{error} Session {attempt + 2} begins.")
        raise UnusableGroupKey(f"No session of {self._limits.attempts} made a usable key; that is no chance. Ask why.")

    async def _gathered(self, attempt: int) -> Part[R]:
        """Wait until all members are in one session, and have all commitments."""
        try:
            async with self._within(self._limits.wait_seconds):
                await self._each(self._peers, self._meet)
                while True:
                    self._require_time()
                    participant = self._begin(attempt)
                    try:
                        await self._each(participant.waiting_for, partial(self._fetch_commitments, participant))
                        return participant
                    except _MemberMoved as moved:
                        self._progress(str(moved))
        except TimeoutError:
            raise self._not_gathered() from None

    def _not_gathered(self) -> DkgError:
        missing = [i for i in self._roster.participants if i not in self._nonces]
        if missing:
            return MemberSilent(_silence("did not come", missing, self._limits.wait_seconds), missing)
        newest = next(reversed(self._participants.values()), None)
        if newest is None:
            return DkgError(
                f"The last member came as the {self._limits.wait_seconds:g} s ended; run the ceremony again."
            )
        waiting = newest.waiting_for
        # No culprits: they may have gone, or somebody greets different members differently.
        return DkgError(
            f"{_names(waiting).capitalize()} greeted us, but did not join our session; run the ceremony again."
        )

    def _begin(self, attempt: int) -> Part[R]:
        session = session_id(self._roster, self._nonces, attempt)
        if session not in self._participants:
            if len(self._participants) >= self._limits.sessions:
                raise DkgError("Members keep restarting; agree on a time, and begin again together.")
            self._progress(f"All {len(self._nonces)} members are here. Session {session.hex()[:16]}.")
            self._participants[session] = self._plan.begin(session)
        # The newest is last, whether it is new or came back.
        participant = self._participants[session] = self._participants.pop(session)
        self._notify()
        return participant

    async def _conduct(self, participant: Part[R]) -> R:
        for phase in self._plan.phases:
            self._notify()
            if phase is Phase.CERTIFICATE and (share := participant.provisional) is not None:
                self._custody.keep(share)
                self._certified = True
                participant.certify()
                self._notify()
            try:
                async with self._within(self._limits.step_seconds):
                    # A member that needs nothing of this phase is at the next one already.
                    due = participant.waiting_for if participant.collecting is phase else ()
                    await self._each(due, partial(self._fetch, participant, phase))
            except TimeoutError:
                silent = participant.waiting_for
                raise MemberSilent(_silence("fell silent", silent, self._limits.step_seconds), silent) from None
            if speakers := len(participant.speakers(phase)):
                self._progress(f"{_TITLES[phase]}: {speakers} of {speakers}")
        if participant.result is None:
            raise DkgError("The session ended without a key; run the ceremony again.")
        return participant.result

    async def _each(self, who: Iterable[Identifier], work: Callable[[Identifier], Coroutine[None, None, None]]) -> None:
        """Do `work` for all at once; the most telling failure of any of them ends the others.

        What no member can cause is a bug, and comes out in the TaskGroup's own group, whatever the members did besides.
        """
        failures: list[Exception] = []
        try:
            async with asyncio.TaskGroup() as group:
                for i in who:
                    group.create_task(work(i))
        except* (ProtocolError, TimeoutError, _MemberMoved) as expected:
            failures += expected.exceptions
        if failures:
            raise _most_telling(failures)

    @contextlib.asynccontextmanager
    async def _within(self, seconds: float) -> AsyncIterator[None]:
        """Bound what is done inside, by cancellation and by `_require_time`. Raises TimeoutError.

        A cancellation comes once, and can get lost: in a call that answers in that very turn of the loop, or beside another task's failure,
        which a TaskGroup prefers. So whatever goes round in circles looks at the clock each time.
        """
        self._deadline = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout_at(self._deadline):
            yield

    def _require_time(self) -> None:
        if asyncio.get_running_loop().time() >= self._deadline:
            raise TimeoutError

    # ---- asking

    async def _ask(self, who: Identifier, phase: int, session: bytes) -> tuple[_Reply, bytes]:
        """One answer, after as many questions as it takes. WAIT never returns. Raises TimeoutError when the time is up (see `_within`)."""
        while True:
            self._require_time()
            try:
                reply = await self._peers[who].call(
                    DKG_PATH, bytes([phase]) + session, self._limits.hold_seconds + 10.0
                )
                kind = _Reply(reply[0])
            except TransportError as error:
                _log.debug("dkg_peer_not_ready", peer=who, reason=str(error))
                kind, reply = _Reply.WAIT, b""
            except (IndexError, ValueError):
                raise NotSigned(f"Member {who} answered what is no answer.", (who,)) from None
            if kind is not _Reply.WAIT:
                return kind, reply[1:]
            await asyncio.sleep(self._limits.pause_seconds)

    async def _meet(self, who: Identifier) -> None:
        """Learn a member's nonce."""
        kind, data = await self._ask(who, Phase.HELLO, _NO_SESSION)
        while kind is not _Reply.MESSAGE:
            # It is still ending an earlier ceremony.
            await asyncio.sleep(self._limits.pause_seconds)
            kind, data = await self._ask(who, Phase.HELLO, _NO_SESSION)
        try:
            message = opened(self._roster, data)
            if message.head != Head(Phase.HELLO, who, _NO_SESSION):
                raise DecodeError("It is no greeting.")
            nonce = Hello.from_bytes(message.body).nonce
        except DecodeError as error:
            text = f"Member {who} greets for another committee; compare your committee files. ({error})"
            raise NotSigned(text, (who,)) from None
        if who not in self._nonces:
            absent = [i for i in self._roster.participants if i not in self._nonces and i != who]
            self._progress(f"Member {who} is here." + (f" Waiting for {_names(absent)}." if absent else ""))
        self._nonces[who] = nonce

    async def _fetch_commitments(self, participant: Part[R], who: Identifier) -> None:
        session = participant.session
        while True:
            kind, data = await self._ask(who, Phase.COMMIT, session)
            if kind is _Reply.MESSAGE:
                participant.receive(who, data)
                self._notify()
                return
            if kind is _Reply.EVIDENCE and _about(self._plan.rules, data) == session:
                participant.receive_evidence(who, data)
            known = self._nonces[who]
            await self._meet(who)
            if self._nonces[who] != known:
                raise _MemberMoved(f"Member {who} started again.")
            await asyncio.sleep(self._limits.pause_seconds)

    async def _fetch(self, participant: Part[R], phase: Phase, who: Identifier) -> None:
        kind, data = await self._ask(who, phase, participant.session)
        if kind is _Reply.MESSAGE:
            participant.receive(who, data)
            return
        if kind is _Reply.EVIDENCE:
            participant.receive_evidence(who, data)
        participant.abandon()
        if kind is _Reply.ELSEWHERE:
            raise MemberLeft(f"Member {who} left the ceremony and started again; run it again.", (who,))
        reason = "".join(c if c.isprintable() else "?" for c in data[:300].decode(errors="replace"))
        raise MemberLeft(f"Member {who} ended the ceremony: {reason}")

    # ---- ending

    async def _tell(self, error: FrostError) -> None:
        """Show the others why, for as long as it takes them to ask once."""
        found = error.evidence if isinstance(error, DkgFault) else b""
        # Another kind of error speaks of this machine, which is nobody else's business.
        reason = str(error) if isinstance(error, DkgError) else "it could not keep its share."
        self._ended = bytes([_Reply.EVIDENCE]) + found if found else bytes([_Reply.ENDED]) + reason.encode()
        self._notify()
        if not self._participants:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._limits.linger_seconds, 2 * self._limits.hold_seconds)):
                await self._all_told.wait()

    async def _linger(self, session: bytes) -> None:
        """Stay until all others are done, or have gone, or long enough."""
        waiting = set(self._peers)

        async def until_done(who: Identifier) -> None:
            await self._done_or_gone(who, session)
            waiting.discard(who)

        try:
            async with self._within(self._limits.linger_seconds):
                await self._each(self._peers, until_done)
        except TimeoutError:
            self._progress(f"{_names(sorted(waiting))} did not say that all is well there; ask.")

    async def _done_or_gone(self, who: Identifier, session: bytes) -> None:
        question = bytes([_DONE]) + session
        missed = 0
        while missed < 3:
            self._require_time()
            try:
                reply = await self._peers[who].call(DKG_PATH, question, self._limits.hold_seconds + 10.0)
            except TransportError:
                missed += 1
                await asyncio.sleep(self._limits.pause_seconds)
                continue
            if reply[:1] != bytes([_Reply.WAIT]):
                return


class KeyCeremony(Ceremony[DkgResult]):
    """One member's part in making a key."""

    def __init__(
        self,
        roster: Roster,
        who: Identifier,
        sign: Sign,
        peers: Mapping[int, PeerCaller],
        custody: Custody[DkgResult],
        *,
        limits: CeremonyLimits | None = None,
        randomness: Randomness = os.urandom,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        """As `Ceremony`."""

        def begin(session: bytes) -> Part[DkgResult]:
            return Participant(roster, who, session, sign, randomness)

        plan = Plan(dkg_rules(roster), (Phase.ECHO, Phase.SHARE, Phase.READY, Phase.CERTIFICATE), begin)
        super().__init__(plan, who, sign, peers, custody, limits=limits, randomness=randomness, progress=progress)


def _about(rules: Rules, data: bytes) -> bytes | None:
    try:
        return judged(rules, data).session
    except DecodeError:
        return None


def _most_telling(failures: list[Exception]) -> Exception:
    """Evidence first, then other faults, then the rest in the order in which they came."""
    proven = [error for error in failures if isinstance(error, DkgFault) and error.evidence]
    faults = [error for error in failures if isinstance(error, DkgError)]
    return (proven or faults or failures)[0]


def _names(who: Iterable[int]) -> str:
    listed = [str(i) for i in who]
    return ("member " if len(listed) == 1 else "members ") + ", ".join(listed)


def _silence(what: str, who: Iterable[int], seconds: float) -> str:
    return f"{_names(who).capitalize()} {what} within {seconds:g} s."
