"""`sibyl transfer`, `sibyl token` and `sibyl bridge`, on the running devnet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from circuits.catalogue import find_model
from oracle.app.asking import EVM, SOLANA, DevnetUser, open_user
from oracle.app.devnet.file import load
from oracle.app.tokens import FOLLOW_SECONDS, Terms, Token, TokenUser, open_tokens, parse_amount, show_amount
from oracle.errors import ConfigError
from oracle.protocol.types import Digest


@asynccontextmanager
async def _opened() -> AsyncIterator[tuple[DevnetUser, TokenUser]]:
    devnet = load()
    model_id = next(iter(devnet.models.values()))
    async with open_user(devnet, find_model(model_id)) as user, open_tokens(user) as tokens:
        yield user, tokens


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user may say of a transfer beside token, amount and route."""

    recipient: str | None = None
    wait_final: bool = False
    lifetime: int | None = None
    fee: str | None = None


async def run_transfer(console: Console, name: str, amount: str, route: tuple[str, str], wishes: Wishes) -> None:
    """Send and follow. Raises ConfigError for a route, amount, token or recipient that cannot be."""
    origin, to = (part.lower() for part in route)
    if {origin, to} != {EVM, SOLANA}:
        raise ConfigError(f"--from and --to are {EVM} and {SOLANA}, one each.")
    async with _opened() as (_, tokens):
        token = await tokens.token(name)
        units = parse_amount(amount, token.decimals(origin))
        target = tokens.recipient(to, wishes.recipient)
        fee = 0 if wishes.fee is None else parse_amount(wishes.fee, token.wire_decimals)

        def tell(line: str) -> None:
            console.print(f"  {line}", highlight=False)

        if origin == EVM:
            await tokens.score_out(token, units, target, tell)
        digest = await tokens.send(token, origin, units, target, Terms(wishes.lifetime, fee))
        console.print(f"transfer 0x{digest.hex()} sent", highlight=False)
        until = "confirmed" if wishes.wait_final else "delivered"
        patience = FOLLOW_SECONDS + (wishes.lifetime or 0)
        await tokens.follow(digest, tell, patience, until)
        if to == EVM and (waiting := await tokens.evm.waiting(token.token_id, digest)) is not None:
            why = "for a risk score" if waiting.guarded else "over the rate limit"
            command = f"sibyl bridge release 0x{digest.hex()} --token {name}"
            console.print(f"it waits {why}; pay it out with: {command}", highlight=False)
        held = show_amount(await tokens.balance(token, to), token.decimals(to))
        if wishes.recipient is None:
            console.print(f"you hold {held} {token.symbol} on {to} now", highlight=False)


async def run_release(console: Console, name: str, text: str) -> None:
    """Pay out what waits on the EVM chain; first ask for its risk score where the guard wants one."""
    async with _opened() as (_, tokens):
        token = await tokens.token(name)
        await tokens.score_in(token, _digest(text), lambda line: console.print(f"  {line}", highlight=False))


def _digest(text: str) -> Digest:
    try:
        digest = Digest(bytes.fromhex(text.removeprefix("0x")))
    except ValueError:
        digest = Digest(b"")
    if len(digest) != 32:
        raise ConfigError(f"“{text}” is no transfer's id: give 32 bytes in hexadecimal, as `sibyl transfer` printed.")
    return digest


async def run_transfer_status(console: Console, text: str) -> None:
    """What each node knows. Raises ConfigError for an id that no node knows."""
    digest = _digest(text)
    async with _opened() as (user, _):
        reports = await user.node_reports(digest)
    if not reports:
        raise ConfigError(f"No node has observed 0x{digest.hex()}. It becomes visible once its block is final.")
    table = Table("node", "stage", "signed", "delivery", box=None, header_style="bold")
    for report in reports:
        receipts = [item["receipt"]["transaction"] for item in report["deliverables"] if item["receipt"]]
        signed = "yes" if report["attestation"] else "not yet"
        stage = f"{report['stage']}, on its way back" if report["lapsed"] else report["stage"]
        if report["lapsed"] and report["stage"] in ("delivered", "confirmed"):
            stage = "returned to its sender"
        table.add_row(str(report["identifier"]), stage, signed, ", ".join(receipts) or "by another node or none")
    console.print(table)


async def run_token_register(console: Console, name: str) -> None:
    """Register and follow."""
    async with _opened() as (_, tokens):
        digest = await tokens.register(name)
        console.print(f"registration 0x{digest.hex()} sent", highlight=False)
        await tokens.follow(digest, lambda line: console.print(f"  {line}", highlight=False))
        console.print(_token_table([await tokens.token(name)]))


async def run_token_list(console: Console) -> None:
    """All tokens. Raises ConfigError when there is none."""
    async with _opened() as (_, tokens):
        known = await tokens.tokens()
    if not known:
        raise ConfigError("The bridge knows no token yet. Register one with: sibyl token register ether")
    console.print(_token_table(known))


def _token_table(tokens: list[Token]) -> Table:
    table = Table("token", "lives on", "on EVM", "decimals", "on Solana", "decimals", box=None, header_style="bold")
    for token in tokens:
        table.add_row(
            token.symbol,
            token.home,
            token.evm,
            str(token.evm_decimals),
            str(token.mint),
            str(token.solana_decimals),
        )
    return table


async def run_bridge_status(console: Console) -> None:
    """By token: locked and minted, queue, limits left; in wire units, so that both ends compare."""
    table = Table(box=None, header_style="bold", title="Token bridge, in wire units", title_justify="left")
    columns = (
        "token",
        "locked",
        "minted",
        "queued",
        "EVM out left",
        "EVM in left",
        "Solana out left",
        "Solana in left",
        "paused",
    )
    for name in columns:
        table.add_column(name, justify="left" if name in ("token", "paused") else "right", overflow="fold")
    async with _opened() as (_, tokens):
        for token in await tokens.tokens():
            evm, solana = await tokens.evm.status(token.token_id), await tokens.solana.status(token.mint)
            ends = evm.outstanding, solana.token.outstanding
            locked, minted = ends if token.home == EVM else ends[::-1]
            places = [chain for chain, paused in ((EVM, evm.paused), (SOLANA, solana.paused)) if paused]
            table.add_row(
                token.symbol,
                f"{locked:,}",
                f"{minted:,}",
                f"{evm.queued:,}",
                _left(evm.outbound_left),
                _left(evm.inbound_left),
                _left(solana.outbound_available),
                _left(solana.inbound_available),
                ", ".join(places) or "no",
            )
    if not table.row_count:
        raise ConfigError("The bridge knows no token yet. Register one with: sibyl token register ether")
    console.print(table)


def _left(units: int | None) -> str:
    return "no limit" if units is None or units >= (1 << 64) - 1 else f"{units:,}"
