"""`sibyl committee renew`: the next certificate lies beside the present one, for the running node to spread."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from bridges.frost.errors import KeystoreError
from bridges.frost.pins import pending_renewal
from bridges.frost.transport import TransportIdentity
from oracle.app.certificates import run_renew
from oracle.app.daemon import pinned
from oracle.config import NodeConfig
from tests.support.node_config import document, parsed


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    for who in (1, 2, 3, 4):
        (tmp_path / f"node-{who}").mkdir(mode=0o700)
        TransportIdentity.generate(tmp_path / f"node-{who}", f"sibyl member {who}", datetime.now(UTC))
    return parsed(tmp_path / "node-1", document())


def renew(config: NodeConfig) -> str:
    told = io.StringIO()
    pins = {member.identifier: pinned(member.certificate) for member in config.members}
    run_renew(Console(file=told, width=300), config, pins)
    return told.getvalue()


def test_renew__member__has_a_notice_by_its_present_key_and_keeps_its_certificate(config: NodeConfig) -> None:
    before = TransportIdentity.load(config.identity).certificate
    told = renew(config)
    pending = pending_renewal(config.identity)
    assert pending is not None
    notice, _ = pending
    assert (notice.member, notice.serial) == (1, 1)
    assert notice.follows.hex() == before.fingerprint
    assert before.verifies(notice.signature, notice.signed)
    assert notice.certificate.fingerprint in told
    assert TransportIdentity.load(config.identity).certificate == before
    with pytest.raises(KeystoreError, match="under way"):
        renew(config)


def test_renew__identity_that_the_committee_does_not_know__is_refused(config: NodeConfig, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    TransportIdentity.generate(other, "sibyl member 9", datetime.now(UTC))
    with pytest.raises(KeystoreError, match="correct the committee file"):
        renew(config.model_copy(update={"identity": other}))
    assert pending_renewal(other) is None
