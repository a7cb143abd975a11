"""`sibyl status`: how nodes are, live, from their status ports. It only looks; a node that does not answer is shown as such."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

LOOK_SECONDS = 1.0
ANSWER_SECONDS = 3.0
MAX_ERROR = 90
STALE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One node's health as it told it; None when it did not answer, and why."""

    url: str
    report: dict[str, Any] | None
    error: str = ""


async def look(http: aiohttp.ClientSession, url: str) -> Seen:
    """Ask one node. A health of 503 is an answer."""
    try:
        async with http.get(f"{url}/health", timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS)) as reply:
            report = await reply.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Seen(url, None, str(error) or "no answer in time")
    if not isinstance(report, dict) or not isinstance(report.get("chains"), dict):
        return Seen(url, None, "what answers there is no node of Sibyl")
    return Seen(url, report)


def view(seen: Sequence[Seen]) -> Group:
    """Tables for a terminal: nodes, then what an operator must read."""
    table = Table(box=None, header_style="bold", title="Nodes", title_justify="left")
    for name in ("node", "state", "chains (seconds since read)", "peers", "messages", "status port"):
        table.add_column(name, overflow="fold")
    notes: list[Text] = []
    for one in seen:
        if one.report is None:
            table.add_row("?", Text("no answer", "red"), "", "", "", one.url)
            notes.append(Text(f"{one.url}: {one.error}", "red"))
            continue
        report = one.report
        well = bool(report.get("ok"))
        member = str(report.get("member", "?"))
        table.add_row(
            member,
            Text("well", "green") if well else Text("not well", "red"),
            _chains(report),
            _peers(report),
            _messages(report),
            one.url,
        )
        notes += [Text(f"node {member}: {alarm}", "bold red") for alarm in report.get("alarms", ())]
        notes += [Text(f"node {member}: {warning}", "yellow") for warning in report.get("warnings", ())]
        for chain, told in report["chains"].items():
            if told.get("last_error"):
                notes.append(Text(f"node {member}, {chain}: {told['last_error'][:MAX_ERROR]}", "yellow"))
            notes += [Text(f"node {member}, {chain}: {said}", "yellow") for said in _endpoints(told)]
    return Group(table, *notes)


def _endpoints(told: dict[str, Any]) -> list[str]:
    """Of several endpoints, those that do not do well now, and how often they did not."""
    said = []
    for one in told.get("endpoints", ()):
        if one["resting"] or one["contradictions"]:
            counts = ", ".join(f"{one[name]} {name}" for name in ("failures", "contradictions", "slow") if one[name])
            state = "rests" if one["resting"] else "answers"
            said.append(f"endpoint {one['name']} {state} ({counts}): {one['last_error'][:MAX_ERROR]}")
    return said


def _peers(report: dict[str, Any]) -> Text:
    """Members that answer, and those that do not or differ, by number."""
    text = Text()
    for one in report.get("peers", ()):
        style = (
            "red"
            if one["last_error"] or one["seconds_since_answer"] is None
            else "yellow"
            if one["differences"]
            else "green"
        )
        text.append(f"{' ' if text else ''}{one['member']}", style)
    return text


def _chains(report: dict[str, Any]) -> Text:
    text = Text()
    for chain, told in report["chains"].items():
        age = told.get("seconds_since_read")
        style = "red" if age is None or age > STALE_SECONDS else ""
        text.append(f"{', ' if text else ''}{chain} ")
        text.append("never" if age is None else f"{age:.1f}", style)
    return text


def _messages(report: dict[str, Any]) -> str:
    stages = report.get("messages") or {}
    return ", ".join(f"{count:,} {stage}" for stage, count in stages.items()) or "none"


async def run_status(console: Console, urls: Sequence[str], once: bool) -> bool:
    """Show the nodes until interrupted, or once; whether all were well at the last look."""
    async with aiohttp.ClientSession() as http:
        seen = await _all(http, urls)
        if once:
            console.print(view(seen))
            return _well(seen)
        with Live(view(seen), console=console, auto_refresh=False) as live:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                seen = await _all(http, urls)
                live.update(view(seen), refresh=True)


async def _all(http: aiohttp.ClientSession, urls: Sequence[str]) -> list[Seen]:
    return list(await asyncio.gather(*(look(http, url.rstrip("/")) for url in urls)))


def _well(seen: Sequence[Seen]) -> bool:
    return all(one.report is not None and one.report.get("ok") for one in seen)
