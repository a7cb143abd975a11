"""ROAST against adversaries in any order of events: t honest members always sign within n−t+1 sessions, and none of them is blamed.

The honest members are real signers. The others are silent, late, refuse, equivocate, replay, copy, speak for others, offer nonces twice, or
give shares that are wrong in some way; a hostile coordinator repeats and changes what the honest signers were asked.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridges.frost import signing
from bridges.frost.coordinator import CommitRequest, ShareReply, ShareRequest
from bridges.frost.errors import DecodeError, FrostError, IllegalTransition, NonceSpent
from bridges.frost.group import ORDER, Identifier, Scalar, identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.roast import Roast, Session, Standing
from bridges.frost.session import Signer
from bridges.frost.signing import NonceCommitment, SignatureShare
from tests.support.dealer import deal

MESSAGE, CONTEXT = bytes(range(32)), b"context"
COORDINATOR = 99
QUORUMS = {(n, t): deal(n, t, os.urandom) for n, t in ((4, 3), (5, 3), (7, 5))}
SPEECH = ["true", "bad share", "zero", "replayed share", "old nonce", "copied nonce", "other name", "other name next"]
LIES_ABOUT_NONCES = {"old nonce", "copied nonce", "other name next"}
# Weighted: most of what happens brings the signing on.
ACTS = ["open", "open", "honest answer", "honest answer", "honest answer", "false answer", "false answer", "commitment"]
MEMBER, SPOKEN = st.integers(0, 6), st.sampled_from(SPEECH)


async def authorise(_: bytes) -> bytes:
    return MESSAGE


class RoastMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()

    @initialize(quorum=st.sampled_from(sorted(QUORUMS)), data=st.data())
    def meet(self, quorum: tuple[int, int], data: st.DataObject) -> None:
        n, t = quorum
        self.shares: dict[Identifier, KeyShare] = {share.identifier: share for share in QUORUMS[quorum]}
        members = sorted(self.shares)
        faulty = data.draw(st.permutations(members))[: data.draw(st.sampled_from([n - t, n - t, n - t, 1, 0]))]
        self.honest = [who for who in members if who not in faulty]
        self.faulty = sorted(faulty)
        self.public = self.shares[identifier(1)].public
        self.roast = Roast(self.public, MESSAGE)
        self.signers = {who: Signer(self.shares[who], authorise) for who in self.honest}
        # Of honest members: the session id of the unused nonces. Of the others: the nonces themselves.
        self.session_ids: dict[Identifier, bytes] = {}
        self.nonces: dict[Identifier, signing.SigningNonces] = {}
        self.offered: list[NonceCommitment] = []
        self.said: list[SignatureShare] = []
        self.uses: dict[NonceCommitment, set[tuple[NonceCommitment, ...]]] = {}
        self.asked: list[tuple[Identifier, ShareRequest]] = []
        for who in data.draw(st.permutations(members))[: data.draw(st.integers(t, n))]:
            self.roast.add_commitment(who, self.committed(who))

    # ---- members

    def committed(self, who: Identifier) -> NonceCommitment:
        if who in self.signers:
            self.session_ids[who] = os.urandom(16)
            request = CommitRequest(self.session_ids[who], CONTEXT)
            made = self.loop.run_until_complete(self.signers[who].commit(COORDINATOR, request))
        else:
            self.nonces[who] = signing.commit(self.shares[who], os.urandom(64))
            made = self.nonces[who].commitment
        self.offered.append(made)
        return made

    def honest_answer(self, who: Identifier, session: Session) -> None:
        following = os.urandom(16)
        request = ShareRequest(self.session_ids[who], session.package.commitments, following)
        self.asked.append((who, request))
        reply = self.given(who, request)
        assert reply.following is not None
        self.session_ids[who] = following
        self.offered.append(reply.following)
        self.roast.add_share(session.number, who, reply.share, reply.following)

    def given(self, who: Identifier, request: ShareRequest) -> ShareReply:
        reply = self.loop.run_until_complete(self.signers[who].sign(COORDINATOR, request))
        (own,) = (c for c in request.commitments if c.identifier == who)
        self.uses.setdefault(own, set()).add(request.commitments)
        self.said.append(reply.share)
        return reply

    def false_commitment(self, who: Identifier, spoken: str) -> NonceCommitment:
        old = [c for c in self.offered if c.identifier == who]
        others = [c for c in self.offered if c.identifier != who]
        made = self.committed(who)
        if spoken == "old nonce" and old:
            return old[-1]
        if spoken == "copied nonce" and others:
            return replace(others[-1], identifier=who)
        if spoken == "other name next":
            return replace(made, identifier=self.honest[0])
        return made

    def false_share(self, who: Identifier, session: Session, spoken: str) -> SignatureShare:
        own = self.nonces[who]
        if own.commitment in session.package.commitments and not own._taken:
            share = signing.sign(self.shares[who], own, session.package)
        else:
            share = SignatureShare(who, Scalar(5))
        match spoken:
            case "bad share":
                return replace(share, z=Scalar((share.z + 1) % ORDER))
            case "zero":
                return replace(share, z=Scalar(0))
            case "replayed share" if self.said:
                return replace(self.said[-1], identifier=who)
            case "other name":
                return replace(share, identifier=self.honest[0])
        return share

    def unanswered(self, members: list[Identifier]) -> list[tuple[Session, Identifier]]:
        standing = self.roast.standing
        return [
            (session, who)
            for session in self.roast.sessions
            for who in session.missing
            if who in members and standing(who) is Standing.SIGNING
        ]

    def going_on(self) -> bool:
        return self.roast.signature is None

    # ---- what happens

    @precondition(going_on)
    @rule(acts=st.lists(st.tuples(st.sampled_from(ACTS), MEMBER, SPOKEN), min_size=10, max_size=30))
    def proceed(self, acts: list[tuple[str, int, str]]) -> None:
        for act, pick, spoken in acts:
            if self.going_on():
                self.act(act, pick, spoken)

    def act(self, act: str, pick: int, spoken: str) -> None:
        awaited = [who for who in sorted(self.shares) if self.roast.standing(who) is Standing.AWAITED]
        due = self.unanswered(self.honest if act == "honest answer" else self.faulty)
        if act == "open" or not (due or awaited):
            could = self.roast.can_open
            assert (self.roast.open() is None) or could
        elif act == "commitment" and awaited:
            who = awaited[pick % len(awaited)]
            said = self.committed(who) if who in self.signers else self.false_commitment(who, spoken)
            self.roast.add_commitment(who, said)
        elif act == "honest answer" and due:
            session, who = due[pick % len(due)]
            self.honest_answer(who, session)
        elif act == "false answer" and due:
            session, who = due[pick % len(due)]
            share = self.false_share(who, session, spoken)
            following = self.false_commitment(who, spoken) if spoken in LIES_ABOUT_NONCES else self.committed(who)
            self.roast.add_share(session.number, who, share, following)

    @rule(pick=MEMBER, number=st.integers(-1, 4), z=st.integers(0, 3))
    def speak_out_of_turn(self, pick: int, number: int, z: int) -> None:
        """Late, unsolicited, of no session, twice and differently."""
        if not self.faulty:
            return
        who = self.faulty[pick % len(self.faulty)]
        due = any(s.number == number and w == who for s, w in self.unanswered(self.faulty))
        if due or self.roast.standing(who) is Standing.AWAITED:
            return
        share, next_one = SignatureShare(who, Scalar(z)), signing.commit(self.shares[who], os.urandom(64)).commitment
        calls: list[Callable[[], object]] = [
            lambda: self.roast.add_share(number, who, share, next_one),
            lambda: self.roast.add_commitment(who, next_one),
        ]
        for call in calls:
            try:
                call()
            except IllegalTransition:
                continue
            raise AssertionError("what was not due was taken")

    @precondition(going_on)
    @rule(pick=MEMBER)
    def refuse(self, pick: int) -> None:
        if self.faulty:
            self.roast.pass_over(self.faulty[pick % len(self.faulty)])

    @precondition(going_on)
    @rule(pick=MEMBER, junk=st.binary(max_size=120))
    def answer_with_junk(self, pick: int, junk: bytes) -> None:
        """As the shell does: what does not decode is blamed on the sender."""
        waiting = self.unanswered(self.faulty)
        if waiting:
            session, who = waiting[pick % len(waiting)]
            try:
                reply = ShareReply.from_bytes(junk)
            except DecodeError as error:
                self.roast.blame(who, str(error))
                return
            if reply.following is not None:
                self.roast.add_share(session.number, who, reply.share, reply.following)

    @rule(data=st.data())
    def hostile_coordinator_asks_again(self, data: st.DataObject) -> None:
        """The same request, or another list for the same nonces."""
        if not self.asked:
            return
        who, request = data.draw(st.sampled_from(self.asked))
        if data.draw(st.booleans()):
            (own,) = (c for c in request.commitments if c.identifier == who)
            strangers = [signing.commit(self.shares[c.identifier], os.urandom(64)) for c in request.commitments]
            others = [n.commitment for n in strangers if n.commitment.identifier != who]
            listed = sorted([own, *others], key=lambda commitment: commitment.identifier)
            request = replace(request, commitments=tuple(listed), following=os.urandom(16))
        try:
            self.given(who, request)
        except NonceSpent:
            return
        except FrostError as error:
            raise AssertionError(f"another refusal than expected: {error}") from error
        raise AssertionError("a signer answered twice")

    # ---- what must hold

    @invariant()
    def no_honest_member_is_blamed(self) -> None:
        assert not set(self.roast.blamed) & set(self.honest)

    @invariant()
    def no_nonce_serves_twice(self) -> None:
        assert all(len(lists) == 1 for lists in self.uses.values())

    @invariant()
    def sessions_are_bounded(self) -> None:
        assert len(self.roast.sessions) <= self.roast.max_sessions == len(self.shares) - self.public.threshold + 1

    @invariant()
    def the_signature_holds(self) -> None:
        signature = self.roast.signature
        assert signature is None or signing.verify(self.public.group_public_key, signature, MESSAGE)

    @invariant()
    def there_is_hope(self) -> None:
        assert not self.roast.hopeless

    def teardown(self) -> None:
        try:
            if hasattr(self, "roast"):
                self.finish()
        finally:
            self.loop.close()

    def finish(self) -> None:
        """From here on the faulty are silent. The honest must come to a signature by themselves."""
        for who in self.honest:
            if self.going_on() and self.roast.standing(who) is Standing.AWAITED:
                self.roast.add_commitment(who, self.committed(who))
        while self.going_on():
            self.roast.open()
            waiting = self.unanswered(self.honest)
            assert waiting, "t honest members answered everything, and there is no signature"
            for session, who in waiting:
                if self.going_on():
                    self.honest_answer(who, session)
        self.the_signature_holds()
        self.sessions_are_bounded()
        self.no_honest_member_is_blamed()
        self.no_nonce_serves_twice()
        for signer in self.signers.values():
            signer.close()


TestRoastMachine = RoastMachine.TestCase
TestRoastMachine.settings = settings(max_examples=60, stateful_step_count=10, deadline=None)
