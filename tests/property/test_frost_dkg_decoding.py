"""Distributed key generation against bytes that are not what they claim to be: any field, any length, any member."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.frost import dkg_messages
from bridges.frost.dkg import Participant
from bridges.frost.dkg_checks import Kind, evidence, verify_evidence
from bridges.frost.dkg_messages import (
    Certificate,
    Commitments,
    Complaint,
    DkgFault,
    Head,
    Hello,
    Phase,
    Quotes,
    SealedShare,
    Signed,
)
from bridges.frost.errors import DecodeError
from bridges.frost.group import Identifier
from tests.support.dkg import PHASES, Ceremony, Route, identity, resigned, roster

Draw = Callable[..., Any]
BODIES = (Hello, Commitments, Quotes, SealedShare, Certificate, Complaint, Head, Signed)


@cache
def finished() -> Ceremony:
    ceremony = Ceremony.of(4)
    ceremony.run()
    return ceremony


def samples() -> list[bytes]:
    member = finished().members[2]
    messages = [member.message(phase, Identifier(1)) or b"" for phase in PHASES]
    return [*messages, *(Signed.from_bytes(data).body for data in messages)]


def mutated(draw: Draw, data: bytes) -> bytes:
    kind = draw(st.sampled_from(["flip", "cut", "grow", "zero", "ones"]))
    at = draw(st.integers(0, max(0, len(data) - 1)))
    length = draw(st.integers(1, 40))
    match kind:
        case "flip":
            return data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        case "cut":
            return data[:at]
        case "grow":
            return data[:at] + draw(st.binary(min_size=1, max_size=40)) + data[at:]
        case "zero":
            return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]
        case _:
            return data[:at] + b"\xff" * len(data[at : at + length]) + data[at + length :]


@given(st.binary(max_size=400) | st.integers(0, 9).flatmap(lambda i: st.just(samples()[i])), st.sampled_from(BODIES))
def test_dkg_messages__any_bytes__decode_to_themselves_or_raise_decode_error(data: bytes, body: type[Signed]) -> None:
    try:
        decoded = body.from_bytes(data)
    except DecodeError:
        return
    assert decoded.to_bytes() == data


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_dkg__liar_signs_malformed_body__is_named_or_harmless_and_evidence_names_nobody_else(
    data: st.DataObject,
) -> None:
    """The liar signs its own mutation of one message; whoever faults names the liar, and so does the evidence."""
    ceremony = Ceremony.of(4)
    phase = data.draw(st.sampled_from(PHASES))
    victims = data.draw(st.sets(st.sampled_from([1, 3, 4]), min_size=1))

    def tamper(route: Route, sent: bytes) -> bytes:
        if route[:2] != (phase, 2) or route[2] not in victims:
            return sent
        return resigned(ceremony.roster, sent, mutated(data.draw, Signed.from_bytes(sent).body))

    ceremony.run(tamper)
    for who, named in ceremony.culprits().items():
        assert named == (2,), (who, ceremony.faults[who])
    assert ceremony.convicted() <= {2}


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_dkg__mutated_unsigned_bytes__raise_only_decode_errors_that_name_the_channel(data: st.DataObject) -> None:
    who = roster(4)
    member = Participant(who, Identifier(1), finished().session, identity(1)[0].sign, os.urandom)
    sent = data.draw(st.sampled_from(samples()[:5]))
    bad = mutated(data.draw, sent)
    if bad == sent:
        return
    with pytest.raises(DecodeError) as caught:
        member.receive(Identifier(2), bad)
    assert isinstance(caught.value, DkgFault)
    assert caught.value.culprits == (2,)
    assert caught.value.evidence == b""


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_dkg_evidence__any_bytes__raise_only_decode_error(data: st.DataObject) -> None:
    ceremony = finished()
    kind = data.draw(st.sampled_from(list(Kind)))
    parts = st.one_of(st.sampled_from(samples()), st.binary(max_size=200))
    items = data.draw(st.lists(parts, max_size=5))
    with pytest.raises(DecodeError):
        verify_evidence(ceremony.roster, data.draw(st.one_of(st.binary(max_size=100), st.just(evidence(kind, *items)))))


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.HELLO, Phase.COMPLAINT)])
def test_dkg_messages__each_cut__is_refused(phase: Phase) -> None:
    encoded = finished().members[2].message(phase, Identifier(1)) or b""
    body = Signed.from_bytes(encoded).body
    whole = len(body) if phase not in (Phase.ECHO, Phase.CERTIFICATE) else 0
    for length in range(whole):
        with pytest.raises(DecodeError):
            dkg_messages._BODIES[phase].from_bytes(body[:length])
    for length in range(Head.LENGTH + 64):
        with pytest.raises(DecodeError):
            Signed.from_bytes(encoded[:length])


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_dkg__any_order_of_delivery_and_one_member_that_dies__one_key_or_none(data: st.DataObject) -> None:
    """Members go at their own pace; one may stop anywhere. Who finishes has the same key, and only if all had certified."""
    ceremony = Ceremony.of(4)
    dies_after = data.draw(st.none() | st.integers(0, 60), label="the third member stops after so many steps")
    random = data.draw(st.randoms(use_true_random=False))
    for step in range(2000):
        dead = {3} if dies_after is not None and step >= dies_after else set()
        ready = deliverable(ceremony, dead)
        certifying = [m for i, m in ceremony.members.items() if m.provisional is not None and i not in dead]
        if not ready and not certifying:
            break
        if certifying and (not ready or random.random() < 0.2):
            random.choice(certifying).certify()
            continue
        sender, recipient, message = random.choice(ready)
        ceremony.members[recipient].receive(Identifier(sender), message)
    else:
        raise AssertionError("it does not end")
    results = [m.result for m in ceremony.members.values() if m.result is not None]
    assert len({result.key_hash for result in results}) <= 1
    certified = ceremony.members[3].message(Phase.CERTIFICATE, Identifier(1)) is not None
    assert bool(results) <= certified
    if dies_after is None:
        assert len(results) == 4


def deliverable(ceremony: Ceremony, dead: set[int]) -> list[tuple[int, int, bytes]]:
    """What can be fetched now. What the dead had sent is lost with it, as when a process is killed."""
    found = []
    for recipient, member in ceremony.members.items():
        if member.collecting is None or recipient in dead:
            continue
        for sender in member.waiting_for:
            message = ceremony.members[sender].message(member.collecting, Identifier(recipient))
            if message is not None and sender not in dead:
                found.append((int(sender), recipient, message))
    return found
