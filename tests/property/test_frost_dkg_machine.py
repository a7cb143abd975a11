"""Key generation among liars, message by message in any order: whatever they send, honest members agree or name one of them.

The machine delivers real bytes between real participants. Liars have honest code too, whose messages it exchanges for others on the way, per
recipient: garbage, bent and signed again, of another phase or session, another member's words, repeated, or nothing at all. One session runs at
a time; the session that ran before it is what gets replayed.
"""

from contextlib import suppress
from functools import cache

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridges.frost.dkg import DkgResult
from bridges.frost.dkg_checks import verify_evidence
from bridges.frost.dkg_messages import DkgFault, Phase, Signed, UnusableGroupKey
from bridges.frost.errors import IllegalTransition
from bridges.frost.group import Identifier
from tests.support.dkg import PHASES, Ceremony, Route, repeatable, resigned, roster
from tests.support.strategies import PATIENT

SIZES = (3, 4, 5)


@cache
def earlier(size: int) -> Ceremony:
    """A finished session of the same members."""
    ceremony = Ceremony.of(size, roster(size), repeatable("earlier"))
    ceremony.run()
    return ceremony


class DkgMachine(RuleBasedStateMachine):
    @initialize(size=st.sampled_from(SIZES), done=st.integers(0, len(PHASES)), data=st.data())
    def begin(self, size: int, done: int, data: st.DataObject) -> None:
        everyone = list(range(1, size + 1))
        # All but one may lie: what is checked here needs no honest majority.
        self.liars = data.draw(st.sets(st.sampled_from(everyone), max_size=size - 1), label="liars")
        # Half of all bent points are points: whether a lie is one must not change when hypothesis tells it again.
        self.ceremony = Ceremony.of(size, earlier(size).roster, repeatable("this one"))
        self.delivered: set[Route] = set()
        self.faults: dict[int, DkgFault] = {}
        self.over: set[int] = set()
        # Late phases are to be met as often as early ones.
        for phase in PHASES[:done]:
            self.whole_phase(phase)

    def whole_phase(self, phase: Phase) -> None:
        for member in self.ceremony.members.values():
            if phase is Phase.CERTIFICATE and member.provisional is not None:
                member.certify()
        for route in [route for route in self.waiting() if route[0] is phase]:
            if route[2] not in self.over:
                self.delivered.add(route)
                self.hand_over(route, self.own(route))

    # ---- what is on its way

    def waiting(self) -> list[Route]:
        return [
            (phase, i, j)
            for phase in PHASES
            for i, sender in self.ceremony.members.items()
            for j, recipient in self.ceremony.members.items()
            if i != j
            and (phase, i, j) not in self.delivered
            and j not in self.over
            and recipient.collecting is phase
            and sender.message(phase, Identifier(j)) is not None
        ]

    def hand_over(self, route: Route, data: bytes) -> None:
        _, sender, recipient = route
        try:
            self.ceremony.members[recipient].receive(Identifier(sender), data)
        except DkgFault as fault:
            self.over.add(recipient)
            self.faults[recipient] = fault
        except UnusableGroupKey:
            self.over.add(recipient)
        except IllegalTransition:
            assert sender in self.liars, "an honest member's word is never out of turn when it is due"

    def own(self, route: Route) -> bytes:
        message = self.ceremony.members[route[1]].message(route[0], Identifier(route[2]))
        assert message is not None
        return message

    # ---- what may happen

    @rule(phase=st.sampled_from(PHASES))
    def deliver_a_phase(self, phase: Phase) -> None:
        self.whole_phase(phase)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), count=st.integers(1, 12))
    def deliver(self, data: st.DataObject, count: int) -> None:
        for _ in range(count):
            routes = self.waiting()
            if not routes:
                return
            route = data.draw(st.sampled_from(routes), label="route")
            self.delivered.add(route)
            self.hand_over(route, self.own(route))

    @precondition(lambda self: any(route[1] in self.liars for route in self.waiting()))
    @rule(data=st.data())
    def lie(self, data: st.DataObject) -> None:
        routes = [route for route in self.waiting() if route[1] in self.liars]
        route = data.draw(st.sampled_from(routes), label="route")
        # A lie may take the place of the truth, or come before it.
        if data.draw(st.booleans(), label="instead"):
            self.delivered.add(route)
        arrives = self.lie_for(route, data)
        if arrives is not None:
            self.hand_over(route, arrives)

    def lie_for(self, route: Route, data: st.DataObject) -> bytes | None:
        phase, sender, recipient = route
        truth, of = self.own(route), self.ceremony.roster
        before = earlier(len(of.participants)).members
        kind = data.draw(st.sampled_from(["garbage", "bent", "signed", "old", "other", "phase", "longer", "silent"]))
        if kind == "garbage":
            return data.draw(st.binary(max_size=200))
        if kind == "bent":
            place = data.draw(st.integers(0, len(truth) - 1))
            return truth[:place] + bytes([truth[place] ^ data.draw(st.integers(1, 255))]) + truth[place + 1 :]
        if kind == "signed":
            body = Signed.from_bytes(truth).body
            place = data.draw(st.integers(0, len(body) - 1))
            bent = body[:place] + bytes([body[place] ^ data.draw(st.integers(1, 255))]) + body[place + 1 :]
            return resigned(of, truth, bent)
        if kind == "old":
            return before[sender].message(phase, Identifier(recipient))
        if kind == "other":
            others = [i for i in self.ceremony.members if i != sender]
            said = self.ceremony.members[data.draw(st.sampled_from(others))].message(phase, Identifier(recipient))
            return None if said is None else resigned(of, truth, Signed.from_bytes(said).body)
        if kind == "phase":
            return self.ceremony.members[sender].message(data.draw(st.sampled_from(PHASES)), Identifier(recipient))
        if kind == "longer":
            return truth + data.draw(st.binary(min_size=1, max_size=4))
        return None

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """A network may bring a message twice; nothing comes of it."""
        honest = [route for route in self.delivered if route[1] not in self.liars and route[2] not in self.over]
        if not honest:
            return
        route = data.draw(st.sampled_from(sorted(honest, key=str)))
        recipient = self.ceremony.members[route[2]]
        before = recipient.collecting, recipient.waiting_for
        with suppress(IllegalTransition):
            recipient.receive(Identifier(route[1]), self.own(route))
        assert (recipient.collecting, recipient.waiting_for) == before

    @precondition(lambda self: any(m.provisional is not None for m in self.ceremony.members.values()))
    @rule(data=st.data())
    def certify(self, data: st.DataObject) -> None:
        ready = [i for i, member in self.ceremony.members.items() if member.provisional is not None]
        member = data.draw(st.sampled_from(ready))
        try:
            self.ceremony.members[member].certify()
        except UnusableGroupKey:
            self.over.add(member)

    @precondition(lambda self: self.faults)
    @rule(data=st.data())
    def show_evidence(self, data: st.DataObject) -> None:
        """A member that found a culprit shows the others; they end too, and against the same one."""
        accuser = data.draw(st.sampled_from(sorted(self.faults)))
        fault = self.faults[accuser]
        others = [i for i in self.ceremony.members if i not in self.over and i != accuser]
        if not fault.evidence or not others:
            return
        other = data.draw(st.sampled_from(others))
        with pytest.raises(DkgFault) as same:
            self.ceremony.members[other].receive_evidence(Identifier(accuser), fault.evidence)
        self.over.add(other)
        self.faults[other] = same.value
        assert same.value.culprits == fault.culprits

    # ---- what always holds

    @invariant()
    def honest_members_blame_liars_only(self) -> None:
        for who, fault in self.faults.items():
            if who in self.liars:
                continue
            assert fault.culprits, "a fault has somebody who made it"
            assert set(fault.culprits) <= self.liars, (who, str(fault))
            if fault.evidence:
                assert verify_evidence(self.ceremony.roster, fault.evidence).culprit in self.liars

    @invariant()
    def no_evidence_convicts_an_honest_member(self) -> None:
        """Whoever shows it: a liar's copy of the code makes evidence as well."""
        for fault in self.faults.values():
            if fault.evidence:
                assert verify_evidence(self.ceremony.roster, fault.evidence).culprit in self.liars

    @invariant()
    def results_are_one_key(self) -> None:
        results = self.results()
        assert len({(result.key_hash, result.transcript) for result in results.values()}) <= 1
        for who, result in results.items():
            public = result.share.public
            assert result.share.signing_share.public_point() == public.verifying_share(Identifier(who))
            assert set(result.certificates) == set(public.participants)

    @invariant()
    def who_ended_has_wiped_everything(self) -> None:
        for who in self.over:
            member = self.ceremony.members[who]
            assert member.collecting is None
            assert member.result is not None or all(secret.wiped for secret in member._polynomial)

    def results(self) -> dict[int, DkgResult]:
        return {
            who: member.result
            for who, member in self.ceremony.members.items()
            if who not in self.liars and member.result is not None
        }

    def teardown(self) -> None:
        """Among honest members alone, the rest of the session goes through."""
        if not hasattr(self, "ceremony"):
            return
        for fault in self.faults.values():
            event(f"{type(fault).__name__}{', with evidence' if fault.evidence else ''}")
        event(f"{len(self.results())} results")
        if not self.liars:
            for phase in PHASES:
                self.whole_phase(phase)
            assert len(self.results()) == len(self.ceremony.members)


TestDkgMachine = DkgMachine.TestCase
TestDkgMachine.settings = settings(PATIENT, max_examples=80, stateful_step_count=20)
