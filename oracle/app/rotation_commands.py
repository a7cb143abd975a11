"""`sibyl committee rotate | approve | propose | status`: what an operator does to bring a new key, and sees of it."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from bridges.evm.account import EvmAccount
from bridges.evm.client import EvmClient
from bridges.evm.committee import propose_rotation
from bridges.evm.sender import FeePolicy, Sender
from bridges.frost.dkg_session import CeremonyLimits
from oracle.app.ceremony import KeygenPaths, run_keygen
from oracle.app.committee_file import load_committee
from oracle.app.epoch_views import epoch_views, evm_endpoint
from oracle.app.key_file import KeyFile, load_key_file
from oracle.app.keyring import EpochView
from oracle.app.rotation import DIRECTORY, approve, remotes
from oracle.config import EvmConfig, NodeConfig
from oracle.errors import ConfigError
from oracle.protocol.constants import MIN_MEMBERS
from oracle.protocol.types import CommitteeEpoch, Endpoint

WHY = (
    "Old members cannot sign with it, whatever they kept: this is how a member that is not trusted any more is removed."
)


async def run_rotate(
    console: Console, paths: KeygenPaths, current: Path, who: int, listen: tuple[str, int], limits: CeremonyLimits
) -> None:
    """Make the next epoch's key among the members of a new committee file. Raises ConfigError, KeystoreError, DkgError."""
    file, before = load_committee(paths.committee), load_key_file(current)
    if file.epoch != before.epoch + 1 or file.name != before.committee:
        raise ConfigError(
            f"{paths.committee} is of committee {file.name}, epoch {file.epoch}; after {current} comes {before.committee}, "
            f"epoch {before.epoch + 1}. Make the file with: sibyl committee init --epoch {before.epoch + 1}"
        )
    heaviest = max(file.operators.count(number) for number in set(file.operators))
    if len(file.members) < MIN_MEMBERS or heaviest > len(file.members) - file.quorum:
        raise ConfigError(
            f"No chain takes this committee: it needs {MIN_MEMBERS} members or more, and no operator may run more than n - t "
            f"of them (here one runs {heaviest} of {len(file.members)}, and {file.quorum} must sign)."
        )
    tell = _teller(console)
    tell(f"A new key for epoch {file.epoch}, beside 0x{before.group_key.hex()} of epoch {before.epoch}. {WHY}")
    await run_keygen(console, paths, who, listen, limits)
    tell("Now, for every operator, of the old committee and of the new one:")
    tell(f"  1. compare the transcript by voice, then: sibyl committee approve {paths.public} --config node.toml")
    tell("  2. put the new key into node.toml as [[next_committee]] and start the node again")
    tell(f"and one of you: sibyl committee propose {paths.public} --config node.toml")


def run_approve(console: Console, key: Path, committee: Path | None, config: NodeConfig) -> None:
    """Let this node sign the rotation to a key. Raises ConfigError."""
    roster = load_committee(committee).roster() if committee is not None else None
    file = load_key_file(key, roster)
    path = approve(config.data_dir / DIRECTORY, file)
    tell = _teller(console)
    tell(f"This node signs the rotation to epoch {file.epoch} of {file.committee}, once it is posted:")
    tell(f"  group key   0x{file.group_key.hex()}")
    tell(f"  transcript  {file.transcript.hex()}")
    tell(f"  quorum      {file.public.threshold} of {len(file.public.participants)}")
    if roster is None:
        tell("Its certificates were not checked: name the new committee file with --committee for that.")
    tell(f"Take it back by deleting {path}")


async def run_propose(console: Console, key: Path, config: NodeConfig) -> None:
    """Post the rotation on the configuration's EVM chain, for all its chains. Raises ConfigError, ChainError."""
    file, entry = load_key_file(key), _posting(config)
    async with AsyncExitStack() as stack:
        views = await epoch_views(config, stack)
        await _require_next(file, views)
        places = {where: await view.keeper() for where, view in views.items()}
        origin = evm_endpoint(entry)
        client = await stack.enter_async_context(EvmClient([str(url) for url in entry.rpc_urls], entry.chain_id))
        fees = FeePolicy(max_fee_per_gas=int(entry.max_fee_gwei * 10**9))
        sender = Sender(client, EvmAccount.from_file(entry.key_file), fees)
        payload = file.rotation(remotes(origin, places)).to_bytes()
        mined = await propose_rotation(sender, places[origin], payload)
    tell = _teller(console)
    tell(f"Posted on {origin.chain}: 0x{mined.hash.hex()}")
    tell("The nodes sign it as soon as it is final and enough operators have approved this key.")


async def _require_next(file: KeyFile, views: dict[Endpoint, EpochView]) -> None:
    for where, view in views.items():
        newest = (await view.newest()).epoch
        if file.epoch != newest + 1:
            raise ConfigError(
                f"The newest epoch of {where.chain} is {newest}; a rotation there brings {newest + 1}, not {file.epoch}."
            )


def _posting(config: NodeConfig) -> EvmConfig:
    if not config.evm:
        raise ConfigError("A rotation is posted on an EVM chain, and the configuration has none.")
    return config.evm[0]


async def run_status(console: Console, config: NodeConfig) -> None:
    """Show the epochs on every chain. Raises ChainError."""
    table = Table(
        "chain", "epoch", Column("group key", overflow="fold"), "from", "until", "now", box=None, header_style="bold"
    )
    own = {one.epoch: one.group_key.lower() for one in config.committees}
    async with AsyncExitStack() as stack:
        views = await epoch_views(config, stack)
        rows = await asyncio.gather(*(_rows(where, view, own) for where, view in views.items()))
    for row in (row for found in rows for row in found):
        table.add_row(*row)
    console.print(table)


async def _rows(where: Endpoint, view: EpochView, own: dict[int, str]) -> list[tuple[str, ...]]:
    newest, active = await view.newest(), await view.active()
    rows: list[tuple[str, ...]] = []
    for number in range(max(1, active.epoch - 1), newest.epoch + 1):
        state = await view.epoch(CommitteeEpoch(number))
        if state is None:
            continue
        ended = bool(state.valid_until) and state.valid_until <= datetime.now(UTC).timestamp()
        now = (
            "waits"
            if number > active.epoch
            else "ended"
            if ended
            else "signs"
            if number == active.epoch
            else "accepted"
        )
        key = f"0x{2 + state.parity:02x}{state.px.hex()}"
        known = "" if own.get(number) == key else " (not in this configuration)"
        rows.append(
            (str(where.chain), str(number), key + known, _when(state.valid_from), _when(state.valid_until), now)
        )
    return rows


def _when(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") if seconds else "-"


def _teller(console: Console) -> Callable[[str], None]:
    def tell(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return tell
