"""`sibyl node check` on directories that cannot start: each fault has its own finding, with what to do, and hides no other."""

import io
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from bridges.frost.transport import TransportIdentity
from oracle.app import preflight
from oracle.app.preflight import Finding, check, objections, show
from oracle.config import load_config
from tests.support.site import Site, open_site
from tests.support.solana_rpc import RpcError


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as made:
        made.rpc.answers["eth_getBalance"] = hex(10**18)
        made.rpc.answers["getBalance"] = {"context": {"slot": 1}, "value": 10**9}
        yield made


async def findings(site: Site) -> dict[str, Finding]:
    return {one.what: one for one in await check(load_config(site.write()))}


async def only(site: Site, what: str) -> str:
    """What is said of the one thing that a test broke; everything else but the dumb chains is well."""
    found = await findings(site)
    wrong = {name for name, one in found.items() if not one.well}
    assert what in wrong, found
    assert {name for name in wrong - {what} if not name.endswith(("gateway", "account"))} == set()
    return found[what].said


async def test_check__good_directory__is_well_but_for_what_its_dumb_chains_cannot_tell(site: Site) -> None:
    found = await findings(site)
    assert all(one.well for name, one in found.items() if not name.endswith("gateway")), found
    assert found["key share"].said == "member 1, 3 of 4 sign"
    assert found["peers"].said.startswith("members 2, 3, 4 do not answer now")
    assert "One endpoint can hide or invent what it likes" in found["EVM chain 31337: endpoints"].said
    assert "holds 1.0000 ether" in found["EVM chain 31337: account"].said


async def test_check__key_share_gone__names_the_file(site: Site) -> None:
    (site.directory / "share.json").unlink()
    assert "share.json" in await only(site, "key share")


async def test_check__key_share_of_another_member__says_whose_it_is(site: Site) -> None:
    site.set("identifier", 2)
    found = await findings(site)
    assert "is member 1's share, but this node is member 2" in found["key share"].said
    assert not found["identity"].well, "the certificate is member 1's too"


async def test_check__certificate_that_the_committee_does_not_have__says_so(site: Site) -> None:
    other = site.directory.parent / "other"
    other.mkdir()
    TransportIdentity.generate(other, "sibyl member 1", datetime.now(UTC))
    site.set("identity", str(other))
    assert "is not the one that the committee has for member 1" in await only(site, "identity")


async def test_check__peers_certificate_gone__names_the_file(site: Site) -> None:
    (site.directory.parent / "node-3" / "peer-certificate.pem").unlink()
    found = await findings(site)
    assert "node-3/peer-certificate.pem" in found["peers' certificates"].said
    assert "cannot be read" in found["peers' certificates"].said


async def test_check__model_directory_absent__names_it(site: Site) -> None:
    site.set("models.0", "models/absent")
    found = await findings(site)
    assert "models/absent" in found["models"].said
    assert not found["models"].well


async def test_check__journal_of_rubbish__is_said_to_be_damaged(site: Site) -> None:
    site.journal.parent.mkdir(parents=True)
    site.journal.write_bytes(b"x" * 9_000)
    assert "is damaged" in await only(site, "journal")


async def test_check__disk_nearly_full__says_to_make_room(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "LEAST_DISK", shutil.disk_usage(site.directory).free + (1 << 40))
    assert "make room" in await only(site, "disk")


@pytest.mark.parametrize(("section", "what"), [("listen", "peer port"), ("status", "status port")])
async def test_check__port_that_is_held__names_the_section(site: Site, section: str, what: str) -> None:
    with closing(socket.create_server(("127.0.0.1", site.content[section]["port"]))):
        said = await only(site, what)
    assert "Is the node running?" in said
    assert f"[{section}]" in said


async def test_check__endpoint_of_another_chain__is_named_and_not_read(site: Site) -> None:
    site.set("evm.0.chain_id", 10)
    found = await findings(site)
    assert "chain" in found["EVM chain 10: endpoints"].said
    assert not found["EVM chain 10: endpoints"].well
    assert "EVM chain 10: gateway" not in found


async def test_check__nothing_listens__says_how_many_of_how_many_answer(site: Site) -> None:
    site.set("evm.0.rpc_url", "http://127.0.0.1:9/secret-key")
    said = await only(site, "EVM chain 31337: endpoints")
    assert "0 of 1 RPC endpoints answer, and 1 must agree: 127.0.0.1:9" in said
    assert "secret" not in said, "a path may hold an access key"


async def test_check__accounts_empty__says_to_send_money(site: Site) -> None:
    site.rpc.answers["eth_getBalance"], site.rpc.answers["getBalance"] = "0x0", {"context": {"slot": 1}, "value": 0}
    found = await findings(site)
    accounts = [one.said for name, one in found.items() if name.endswith("account")]
    assert len(accounts) == 2
    assert all("is empty, so this node can deliver nothing. Send it some" in said for said in accounts)


async def test_check__chain_that_refuses_to_be_read__is_said_with_its_own_words(site: Site) -> None:
    site.rpc.answers["eth_getBalance"] = RpcError(-32000, "quota exceeded")
    found = await findings(site)
    assert "quota exceeded" in found["EVM chain 31337: account"].said


async def test_objections__what_a_running_node_holds_itself__is_none(site: Site) -> None:
    with closing(socket.create_server(("127.0.0.1", site.content["listen"]["port"]))):
        assert await objections(load_config(site.write())) == []


def test_show__findings__are_a_table_and_a_count() -> None:
    out = io.StringIO()
    console = Console(file=out, width=100)
    assert show([Finding("a", True, "fine")], console)
    assert not show([Finding("a", True, "fine"), Finding("b", False, "[red]broken[/red] /x")], console)
    assert "The node can start." in out.getvalue()
    assert "1 of 2 must be mended first." in out.getvalue()
    assert "[red]broken[/red] /x" in out.getvalue(), "what is found is text, no markup"
