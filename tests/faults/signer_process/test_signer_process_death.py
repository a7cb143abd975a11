"""The signer's death: what a node sees, and that nothing is reused."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from bridges.frost import signing
from bridges.frost.errors import NonceSpent, NotAuthorised, TooFewSigners
from bridges.frost.group import Identifier
from bridges.frost.remote_signer import SignerLink, SignerUnavailable, remote_signer
from bridges.frost.session import CoordinatorLimits, SigningCoordinator
from bridges.frost.signer_ledger import Entry, Ledger
from bridges.frost.signer_port import SignerPort
from bridges.frost.signer_supervisor import SignerProcess, running_signer
from oracle.protocol.hashing import batch_signing_hash
from tests.support.samples import plain_message
from tests.support.signer_process import (
    PATIENT,
    QUICK,
    SEQUENCES,
    SHARES,
    Pair,
    lay,
    paired,
)
from tests.support.signers import NodeHalf, Wire, lay_out, signer_processes


async def test_process__killed_in_mid_session__transient_then_spent_then_signs_again_and_no_nonce_twice(
    home: Path,
) -> None:
    seen: list[bytes] = []
    async with running_signer(lay(home), QUICK) as process, paired(process.socket) as pair:
        for life in range(3):
            sessions = [await pair.commit() for _ in range(3)]
            seen += [point for _, own in sessions for point in (own.hiding.encoded, own.binding.encoded)]
            await pair.share(*sessions[0])
            await killed(process)
            with pytest.raises((SignerUnavailable, NonceSpent)):
                await pair.share(*sessions[1])
            await until_restarted(process, life + 1)
            with pytest.raises(NonceSpent):
                await pair.share(*sessions[2])
        session, own = await pair.commit()
        await pair.share(session, own)
        seen += [own.hiding.encoded, own.binding.encoded]
    assert len(seen) == len(set(seen)) == 20


async def test_process__killed__its_ledger_still_refuses_the_second_body(home: Path) -> None:
    async with running_signer(lay(home), QUICK) as process, paired(process.socket) as pair:
        await pair.share(*await pair.commit(sequence=1, payload=b"true"))
        await killed(process)
        await until_restarted(process, 1)
        with pytest.raises(NotAuthorised, match="another body"):
            await pair.commit(sequence=1, payload=b"false")
        await pair.share(*await pair.commit(sequence=1, payload=b"true"))


async def killed(process: SignerProcess) -> None:
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while process.pid == pid:
            await asyncio.sleep(0.01)


async def until_restarted(process: SignerProcess, times: int) -> None:
    async with asyncio.timeout(60):
        while process.restarts < times:
            await asyncio.sleep(0.02)


async def test_process__killed_while_shares_flow__every_share_that_left_is_in_the_ledger(home: Path) -> None:
    given: list[Entry] = []

    async def flow(pair: Pair) -> None:
        with contextlib.suppress(SignerUnavailable, NonceSpent):
            while True:
                message = plain_message(sequence=next(SEQUENCES))
                session, own = await pair.commit(sequence=message.sequence)
                await pair.share(session, own)
                given.append(Entry.of(message, message.to_bytes()))

    config = lay(home)
    for enough in (5, 15, 30):
        target = len(given) + enough
        with signer_processes([config]) as (child,):
            async with paired(home / "run" / "signer.sock") as pair:
                flows = [asyncio.ensure_future(flow(pair)) for _ in range(4)]
                while len(given) < target:
                    await asyncio.sleep(0.005)
                child.kill()
                await asyncio.gather(*flows)
        with contextlib.closing(Ledger(home / "signer.sqlite", SHARES[0].public.group_public_key.to_bytes())) as ledger:
            assert ledger.check(given) == []
            assert len(ledger) >= len(given)


async def test_process__that_cannot_start_again__is_given_up_aloud(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running_signer(lay(home), QUICK) as process, paired(process.socket) as pair:
        (home / "share.json").write_text("gone")
        await killed(process)
        async with asyncio.timeout(120):
            said = ""
            while "signer_given_up" not in said:
                await asyncio.sleep(0.05)
                said += "".join(capfd.readouterr())
        assert said.count("signer_not_restarted") == QUICK.attempts
        assert process.restarts == 0
        with pytest.raises(SignerUnavailable, match="cannot be reached"):
            await pair.commit()


async def test_committee__one_members_signer_killed__the_others_sign_and_blame_nobody(home: Path) -> None:
    configs = [lay_out(home / str(share.identifier), share) for share in SHARES]
    halves = [NodeHalf() for _ in SHARES]
    limits = CoordinatorLimits(attempts=2, round_seconds=20.0, total_seconds=40.0, pause_seconds=0.05)
    async with contextlib.AsyncExitStack() as stack:
        children = stack.enter_context(signer_processes(configs))
        ports: dict[Identifier, SignerPort] = {}
        for share, config, half in zip(SHARES, configs, halves, strict=True):
            link = SignerLink(config.parent / "run" / "signer.sock", PATIENT)
            ports[share.identifier] = await stack.enter_async_context(remote_signer(link, half.authorise, half.bodies))
        one = Identifier(1)
        coordinator = SigningCoordinator(
            ports[one], {int(who): Wire(one, port) for who, port in ports.items() if who != one}, limits=limits
        )
        for dead in (4, 3):
            children[dead - 1].kill()
            children[dead - 1].wait()
            message = plain_message(sequence=next(SEQUENCES))
            contexts = {half.reach(message) for half in halves}
            if dead == 4:
                signature = await coordinator.sign(contexts.pop())
                key = SHARES[0].public.group_public_key
                assert signing.verify(key, signature, batch_signing_hash([message.digest]))
            else:
                with pytest.raises(TooFewSigners) as caught:
                    await coordinator.sign(contexts.pop())
                assert set(caught.value.refusals) == {3, 4}
                assert caught.value.culprits == ()
                assert all("signer" in reason.lower() for reason in caught.value.refusals.values())
