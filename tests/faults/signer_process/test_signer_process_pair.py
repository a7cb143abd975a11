"""A node and its signer: neither takes the other's word, and nobody is blamed for a signer that is not there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from bridges.frost import signing
from bridges.frost.coordinator import CommitRequest
from bridges.frost.errors import Busy, DecodeError, NonceSpent, NotAuthorised
from bridges.frost.remote_signer import LinkLimits, SignerLink, SignerUnavailable
from bridges.frost.signer_wire import CommitReply, Reply, frame
from tests.support.samples import plain_message
from tests.support.signer_process import (
    PATIENT,
    SHARES,
    counters,
    impostor,
    paired,
    served,
)


async def test_node__bodies_that_are_not_the_batchs__no_session_comes_of_it(home: Path) -> None:
    async with served(home) as path, paired(path) as pair:
        context = pair.half.reach(plain_message(sequence=1))

        async def wrong(context: bytes) -> tuple[bytes, ...]:
            return (plain_message(sequence=2).to_bytes(),)

        pair.signer._bodies = wrong
        with pytest.raises(NotAuthorised, match="not those of this batch"):
            await pair.signer.answer_commit(2, CommitRequest(bytes(16), context).to_bytes())
        own = signing.commit(SHARES[0], os.urandom(64)).commitment
        with pytest.raises(NonceSpent):
            await pair.share(bytes(16), own)
        await pair.signer._send_forgotten(2)
        assert await counters(path) == {"commitments": 1, "ledger": 0, "pending": 0}


async def test_node__that_lies_to_its_signer__is_refused_by_the_signers_own_rules(home: Path) -> None:
    """A node that was taken over authorises everything. The signer still signs each place once."""
    async with served(home) as path, paired(path) as pair:
        await pair.share(*await pair.commit(sequence=1, payload=b"true"))
        with pytest.raises(NotAuthorised, match="another body"):
            await pair.commit(sequence=1, payload=b"false")
        assert (await counters(path))["refused_conflict"] == 1


async def test_node__signer_that_does_not_answer__is_unavailable_in_time_and_nobody_is_blamed(home: Path) -> None:
    path = home / "run" / "s"
    async with impostor(path, lambda reader, _: reader.read()):
        link = SignerLink(path, LinkLimits(call_seconds=0.05))
        with pytest.raises(SignerUnavailable, match="did not answer within") as caught:
            await link.public()
        link.close()
    assert isinstance(caught.value, Busy | NotAuthorised)
    assert caught.value.code == "busy"
    assert caught.value.culprits == ()


LIES = [
    frame(Reply.OK, b""),
    frame(Reply.OK, b"\xff" * 100),
    frame(Reply.OK, bytes(68)),
    frame(Reply.OK, CommitReply(signing.commit(SHARES[1], bytes(range(64))).commitment, bytes(32)).to_bytes()),
    frame(99, b"what"),
    frame(Reply.FAILED, b"\xff\xfe"),
    b"\xff\xff\xff\xff",
    b"\0\0\0\2\7\0",
    b"",
]


@pytest.mark.parametrize("lie", LIES, ids=range(len(LIES)))
async def test_node__signer_that_answers_nonsense__is_an_error_of_ours_and_not_a_commitment(
    home: Path, lie: bytes
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        writer.write(lie)

    async with served(home) as path, paired(path) as pair, impostor(home / "run" / "s", answer):
        pair.signer._link = SignerLink(home / "run" / "s", PATIENT)
        with pytest.raises((SignerUnavailable, DecodeError)):
            await pair.commit()
        pair.signer._link.close()


async def test_node__cancelled_while_it_asks__the_next_answer_is_not_the_last_questions(home: Path) -> None:
    async with served(home) as path, paired(path, LinkLimits(connections=1, call_seconds=20.0)) as pair:
        for _ in range(10):
            asking = asyncio.ensure_future(pair.commit())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            await pair.share(*await pair.commit())
