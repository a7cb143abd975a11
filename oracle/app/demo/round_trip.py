"""The demo's tokens: ether to Solana and back, SOL to the EVM chain and back, at once, with what everybody holds before and after."""

import asyncio
from dataclasses import dataclass

from rich.table import Table

from oracle.app.asking import EVM, SOLANA
from oracle.app.tokens import ETHER, SOL, Tell, Token, TokenUser, parse_amount, show_amount
from oracle.errors import SibylError

AMOUNTS = {ETHER: "1.5", SOL: "2"}


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the user holds of one token on each chain, and what the bridge locked and minted, at one time."""

    name: str
    when: str
    on_evm: str
    on_solana: str
    locked: int
    minted: int


async def round_trip(tokens: TokenUser, tell: Tell) -> list[Holdings]:
    """Register ether and SOL, send some across and back. Raises SibylError when a unit is missing at the end."""
    digests = await asyncio.gather(*(tokens.register(name) for name in AMOUNTS))
    await asyncio.gather(*(tokens.follow(digest, lambda _: None) for digest in digests))
    tell("ether and SOL are registered on both chains")
    known = {name: await tokens.token(name) for name in AMOUNTS}
    shown = [await _holdings(tokens, name, token, "before") for name, token in known.items()]
    for when, forth in (("across", True), ("back", False)):
        seconds = await asyncio.gather(*(_leg(tokens, name, token, forth=forth) for name, token in known.items()))
        tell(
            f"{when}: "
            + ", ".join(f"{AMOUNTS[name]} {name} in {s:.1f} s" for name, s in zip(known, seconds, strict=True))
        )
        shown += [await _holdings(tokens, name, token, when) for name, token in known.items()]
    for entry in shown:
        if entry.locked != entry.minted:
            raise SibylError(f"{entry.name}: {entry.locked} locked and {entry.minted} minted, {entry.when}.")
    if any(entry.locked for entry in shown if entry.when == "back"):
        raise SibylError("The bridge still holds tokens after the round trip.")
    return sorted(shown, key=lambda entry: entry.name)


async def _leg(tokens: TokenUser, name: str, token: Token, *, forth: bool) -> float:
    away = SOLANA if token.home == EVM else EVM
    origin, to = (token.home, away) if forth else (away, token.home)
    amount = parse_amount(AMOUNTS[name], token.decimals(origin))
    digest = await tokens.send(token, origin, amount, tokens.address(to))
    return await tokens.follow(digest, lambda _: None)


async def _holdings(tokens: TokenUser, name: str, token: Token, when: str) -> Holdings:
    on_evm, on_solana = await tokens.balance(token, EVM), await tokens.balance(token, SOLANA)
    evm, solana = await tokens.evm.status(token.token_id), await tokens.solana.status(token.mint)
    ends = evm.outstanding, solana.token.outstanding
    locked, minted = ends if token.home == EVM else ends[::-1]
    return Holdings(
        name,
        when,
        show_amount(on_evm, token.evm_decimals),
        show_amount(on_solana, token.solana_decimals),
        locked,
        minted,
    )


def holdings_table(holdings: list[Holdings]) -> Table:
    """For a terminal."""
    table = Table(title="Tokens across and back", title_justify="left", box=None, header_style="bold", pad_edge=False)
    table.add_column("token")
    table.add_column("when")
    for name in ("user's ERC-20 on evm", "user's SPL on solana", "locked (wire units)", "minted (wire units)"):
        table.add_column(name, justify="right", overflow="fold")
    for entry in holdings:
        table.add_row(entry.name, entry.when, entry.on_evm, entry.on_solana, f"{entry.locked:,}", f"{entry.minted:,}")
    return table
