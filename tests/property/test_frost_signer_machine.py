"""Whatever coordinators do, in whatever order: each commitment of a signer is used for at most one share."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bridges.frost.coordinator import CommitRequest, ShareRequest
from bridges.frost.errors import FrostError, NotAuthorised
from bridges.frost.session import Signer, SignerLimits
from bridges.frost.signing import NonceCommitment, commit, prepare, verify_share
from tests.support.dealer import deal

SHARES = deal(4, 3, os.urandom)
PEERS = st.sampled_from([2, 3])
SESSIONS = st.integers(0, 3).map(lambda i: i.to_bytes(16, "big"))
CONTEXTS = st.sampled_from([b"a", b"b"])
BOUND = 3


class SignerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.willing = True
        self.signer = Signer(
            SHARES[0],
            self.authorise,
            limits=SignerLimits(pending_per_peer=BOUND, nonce_seconds=10.0),
            clock=lambda: self.now,
        )
        self.seen: dict[bytes, list[NonceCommitment]] = {}
        self.shares: Counter[NonceCommitment] = Counter()

    async def authorise(self, context: bytes) -> bytes:
        if not self.willing:
            raise NotAuthorised("not now")
        return context.ljust(32, b"\x00")

    @rule(peer=PEERS, session_id=SESSIONS, context=CONTEXTS)
    def commit(self, peer: int, session_id: bytes, context: bytes) -> None:
        try:
            made = self.loop.run_until_complete(self.signer.commit(peer, CommitRequest(session_id, context)))
        except (FrostError, NotAuthorised):
            return
        assert all(made not in known for known in self.seen.values())
        self.seen.setdefault(session_id, []).append(made)

    @rule(peer=PEERS, session_id=SESSIONS, following=st.none() | SESSIONS, data=st.data())
    def ask_for_a_share(self, peer: int, session_id: bytes, following: bytes | None, data: st.DataObject) -> None:
        if following == session_id:
            following = None
        known = [c for commitments in self.seen.values() for c in commitments]
        if not known:
            return
        # Any commitment it ever made, with fresh ones of two others.
        own = data.draw(st.sampled_from(known))
        others = tuple(commit(share, os.urandom(64)).commitment for share in SHARES[1:3])
        try:
            request = ShareRequest(session_id, (own, *others), following)
            reply = self.loop.run_until_complete(self.signer.sign(peer, request))
        except (FrostError, NotAuthorised):
            return
        share = reply.share
        assert (reply.following is None) is (following is None)
        if following is not None and reply.following is not None:
            assert all(reply.following not in known for known in self.seen.values())
            self.seen.setdefault(following, []).append(reply.following)
        self.shares[own] += 1
        messages = [context.ljust(32, b"\x00") for context in (b"a", b"b")]
        packages = [prepare(SHARES[0].public, message, [own, *others]) for message in messages]
        assert sum(verify_share(package, share) for package in packages) == 1

    @rule(seconds=st.floats(0.5, 11.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(willing=st.booleans())
    def change_mind(self, willing: bool) -> None:
        self.willing = willing

    @rule()
    def restart(self) -> None:
        self.signer.close()

    @invariant()
    def no_nonce_is_used_twice(self) -> None:
        assert all(times == 1 for times in self.shares.values())

    @invariant()
    def nonces_are_bounded(self) -> None:
        assert self.signer.pending <= 2 * BOUND

    def teardown(self) -> None:
        self.signer.close()
        self.loop.close()


TestSignerMachine = SignerMachine.TestCase
TestSignerMachine.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
