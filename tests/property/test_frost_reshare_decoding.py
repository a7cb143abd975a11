"""Resharing among liars: whatever one member signs in place of a message, it is named or nothing comes of it, and nobody else is."""

from __future__ import annotations

import os
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridges.frost.dkg_checks import Kind, evidence
from bridges.frost.dkg_messages import DkgFault, Phase, Signed
from bridges.frost.errors import DecodeError
from bridges.frost.group import Identifier
from bridges.frost.keygen import KeyShare
from bridges.frost.reshare import Resharer
from bridges.frost.reshare_checks import verify_reshare_evidence
from tests.support.dkg import Route, identity, resigned
from tests.support.reshare import PHASES, Handover, made

NEW = (1, 2, 3, 5)
LIARS = {2: "stays and deals", 5: "comes"}


@cache
def old_shares() -> dict[int, KeyShare]:
    return made(4)


@cache
def finished() -> Handover:
    work = Handover.of(old_shares(), NEW)
    work.run()
    return work


def mutated(data: bytes, at: int, length: int, by: str, extra: bytes) -> bytes:
    at %= len(data) + 1
    match by:
        case "cut":
            return data[:at]
        case "drop":
            return data[:at] + data[at + length :]
        case "add":
            return data[:at] + extra + data[at:]
        case "zero":
            return data[:at] + bytes(len(data[at : at + length])) + data[at + length :]
        case "flip":
            return data[:at] + bytes(byte ^ 1 for byte in data[at : at + 1]) + data[at + 1 :]
        case _:
            return data[:at] + b"\xff" * len(data[at : at + length]) + data[at + length :]


MUTATION = st.tuples(
    st.integers(0, 4096),
    st.integers(1, 40),
    st.sampled_from(["cut", "drop", "add", "zero", "flip", "ones"]),
    st.binary(min_size=1, max_size=40),
)


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(sorted(LIARS)), st.sampled_from(PHASES), st.sets(st.sampled_from(NEW), min_size=1), MUTATION)
def test_reshare__liar_signs_malformed_body__is_named_or_harmless_and_evidence_names_nobody_else(
    liar: int, phase: Phase, victims: set[int], mutation: tuple[int, int, str, bytes]
) -> None:
    work = Handover.of(old_shares(), NEW)

    def tamper(route: Route, sent: bytes) -> bytes:
        if route[:2] != (phase, liar) or route[2] not in victims:
            return sent
        return resigned(work.resharing, sent, mutated(Signed.from_bytes(sent).body, *mutation))

    results = work.run(tamper)
    for who, named in work.culprits().items():
        assert named == (liar,), (who, work.faults[who])
    assert work.convicted() <= {liar}
    # Whoever ends with a key has the old one.
    assert all(result.public.group_public_key == old_shares()[1].public.group_public_key for result in results.values())


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(PHASES), MUTATION)
def test_reshare__mutated_unsigned_bytes__raise_only_decode_errors_that_name_the_channel(
    phase: Phase, mutation: tuple[int, int, str, bytes]
) -> None:
    done = finished()
    member = Resharer(done.resharing, Identifier(5), done.session, identity(5)[0].sign, os.urandom)
    sent = done.members[2].message(phase, Identifier(5)) or b""
    bad = mutated(sent, *mutation)
    if bad == sent:
        return
    with pytest.raises(DecodeError) as caught:
        member.receive(Identifier(2), bad)
    assert isinstance(caught.value, DkgFault)
    assert caught.value.culprits == (2,)
    assert caught.value.evidence == b""


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(list(Kind)), st.lists(st.integers(0, 11) | st.binary(max_size=150), max_size=8))
def test_reshare_evidence__any_items__convict_nobody_who_was_honest(kind: Kind, parts: list[int | bytes]) -> None:
    done = finished()
    sent = [done.members[who].message(phase, Identifier(5)) or b"" for who in (1, 2, 3) for phase in PHASES]
    items = [sent[part] if isinstance(part, int) else part for part in parts]
    with pytest.raises(DecodeError):
        verify_reshare_evidence(done.resharing, evidence(kind, *items))


@settings(deadline=None, max_examples=40)
@given(st.none() | st.integers(0, 60), st.randoms(use_true_random=False), st.sampled_from([1, 4, 5]))
def test_reshare__any_order_of_delivery_and_one_that_dies__one_result_or_none(
    dies_after: int | None, random: object, victim: int
) -> None:
    """Member 4 deals and leaves, 5 comes. Who finishes has the same result, and only if all new members had certified."""
    work = Handover.of(old_shares(), (1, 2, 5, 6), (1, 2, 4))
    for step in range(2000):
        dead = {victim} if dies_after is not None and step >= dies_after else set()
        ready = deliverable(work, dead)
        certifying = [m for i, m in work.members.items() if m.provisional is not None and i not in dead]
        if not ready and not certifying:
            break
        if certifying and (not ready or random.random() < 0.2):  # type: ignore[attr-defined]  # hypothesis gives a Random
            random.choice(certifying).certify()  # type: ignore[attr-defined]  # the same
            continue
        sender, recipient, message = random.choice(ready)  # type: ignore[attr-defined]  # the same
        work.members[recipient].receive(Identifier(sender), message)
    else:
        raise AssertionError("it does not end")
    results = [m.result for m in work.members.values() if m.result is not None]
    assert len({result.key_hash for result in results}) <= 1
    all_certified = all(work.members[i].message(Phase.CERTIFICATE, Identifier(1)) is not None for i in (1, 2, 5, 6))
    assert bool(results) <= all_certified
    if dies_after is None:
        assert len(results) == 5


def deliverable(work: Handover, dead: set[int]) -> list[tuple[int, int, bytes]]:
    """What can be fetched now. What the dead had sent is lost with it, as when a process is killed."""
    found = []
    for recipient, member in work.members.items():
        if member.collecting is None or recipient in dead:
            continue
        for sender in member.waiting_for:
            message = work.members[sender].message(member.collecting, Identifier(recipient))
            if message is not None and sender not in dead:
                found.append((int(sender), recipient, message))
    return found
