"""Certificates of members that renew them: what a running node trusts, and `sibyl committee renew`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from rich.console import Console

from bridges.frost.identity import PeerCertificate
from bridges.frost.pins import OVERLAP_SECONDS, PinBook, prepare_renewal
from bridges.frost.renewal_session import CertificateKeeper, PinnedCaller
from bridges.frost.transport import PeerServer
from oracle.config import NodeConfig


@asynccontextmanager
async def kept_certificates(
    config: NodeConfig,
    pins: Mapping[int, PeerCertificate],
    server: PeerServer,
    clients: Mapping[int, PinnedCaller],
) -> AsyncIterator[CertificateKeeper]:
    """Renewals of this member and of its peers count while the block lasts. `pins`: every member's configured certificate.

    Raises KeystoreError for a damaged record of earlier renewals.
    """
    keeper = CertificateKeeper(config.identity, config.identifier, PinBook(config.identity, pins), server, clients)
    keeper.register()
    task = asyncio.ensure_future(keeper.run())
    try:
        yield keeper
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def run_renew(console: Console, config: NodeConfig, pins: Mapping[int, PeerCertificate]) -> None:
    """Make this member's next certificate; the running node spreads it and puts it to use. Raises KeystoreError."""
    book, name = (
        PinBook(config.identity, pins),
        f"sibyl member {config.identifier} renewed {datetime.now(UTC):%Y%m%d%H%M%S}",
    )
    notice = prepare_renewal(config.identity, book, config.identifier, name, datetime.now(UTC))
    for line in (
        f"New certificate of member {config.identifier}: {notice.certificate.fingerprint}",
        "The running node tells its peers within seconds, and shows it as soon as they have it; nothing is restarted.",
        f"The old one is still taken for {OVERLAP_SECONDS / 3600:g} h. Back the identity directory up again after that.",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
