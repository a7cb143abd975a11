"""`sibyl committee …`: the commands of the key ceremonies, of resharing and of rotation. What they do is elsewhere; this parses."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console

from oracle.app.logs import configure_logs

if TYPE_CHECKING:
    from bridges.frost.dkg_session import CeremonyLimits
    from bridges.frost.sealing import PassphraseSource
    from oracle.app.ceremony import KeygenPaths

_Work: TypeAlias = Coroutine[Any, Any, None]

Identity = Annotated[Path, typer.Option(help="Directory of this member's certificate and key.")]
Number = Annotated[int, typer.Option(min=1, max=1000, help="This member's number.")]
Listen = Annotated[str, typer.Option(help="host:port to listen on for the other members, such as 0.0.0.0:8900.")]
Committee = Annotated[Path, typer.Option(help="The committee file.")]
NewCommittee = Annotated[Path, typer.Option(help="The new committee's file.")]
Public = Annotated[Path, typer.Option(help="Where what is public of the key is written.")]
Wait = Annotated[float, typer.Option(min=1, help="Seconds for all members to come.")]
Step = Annotated[float, typer.Option(min=1, help="Seconds for each phase after that.")]
Output = Annotated[Path, typer.Option(help="Where this member's key share is written; never overwritten.")]
Finish = Annotated[
    Path | None, typer.Option(help="Finish an interrupted ceremony by the public file of a member that finished.")
]

PassphraseFile = Annotated[Path | None, typer.Option(help="File whose line encrypts the new share (mode 0600).")]
PassphraseEnv = Annotated[str | None, typer.Option(help="Or an environment variable that holds it.")]


def _source(file: Path | None, environment: str | None) -> "PassphraseSource":
    from bridges.frost.sealing import PassphraseSource
    from oracle.errors import ConfigError

    if file is not None and environment is not None:
        raise ConfigError("Give a passphrase by file or by environment variable, not by both.")
    return PassphraseSource(file, environment)


def add_commands(app: typer.Typer, console: Console) -> None:
    """Put the commands into `sibyl committee`."""
    _add_init(app, console)
    _add_keygen(app, console)
    _add_reshare(app, console)
    _add_rotate(app, console)
    _add_registration(app, console)


def _quiet_run(work: _Work) -> None:
    configure_logs(json_lines=False, level=logging.ERROR)
    asyncio.run(work)


def _take_part(
    console: Console, paths: "KeygenPaths", identifier: int, finish: Path | None, ceremony: Callable[[], _Work]
) -> None:
    """Go through with a ceremony, or finish one that was interrupted by the public file of a member that finished it."""
    from oracle.app.ceremony import run_finish

    if finish is not None:
        run_finish(console, paths, identifier, finish)
    else:
        _quiet_run(ceremony())


def _limits(wait: float, step: float) -> "CeremonyLimits":
    from bridges.frost.dkg_session import CeremonyLimits

    return CeremonyLimits(wait_seconds=wait, step_seconds=step)


def _add_init(app: typer.Typer, console: Console) -> None:
    @app.command("init")
    def committee_init(
        identity: Annotated[
            Path, typer.Option(help="Directory of this member's certificate and key; made if it is not there.")
        ],
        identifier: Number,
        endpoint: Annotated[str, typer.Option(help="Where the others reach it: https://host:port.")],
        committee: Annotated[Path, typer.Option(help="The committee file, made or added to.")] = Path("committee.toml"),
        name: Annotated[str | None, typer.Option(help="Name of the committee, for a new file.")] = None,
        merge: Annotated[
            list[Path] | None, typer.Option(help="Another member's committee file; may be repeated.")
        ] = None,
        without: Annotated[
            list[int] | None, typer.Option(help="A member that is left out of the file; may be repeated.")
        ] = None,
        epoch: Annotated[
            int | None,
            typer.Option(min=1, help="Epoch of the key to make, for a new file: 1, or one more per rotation."),
        ] = None,
        overlap: Annotated[
            int | None, typer.Option(min=0, help="Seconds that the key before it stays good, for a new file (86400).")
        ] = None,
        operator: Annotated[
            int | None,
            typer.Option(min=0, max=255, help="Number of who runs this member, if one operator runs several."),
        ] = None,
    ) -> None:
        """Make this member's identity, and write the file that names all members."""
        from oracle.app.ceremony import Wishes, run_init

        wishes = Wishes(name, epoch, overlap, operator, tuple(without or ()))
        run_init(console, committee, identity, (identifier, endpoint), wishes, merge or [])


def _add_keygen(app: typer.Typer, console: Console) -> None:
    @app.command("keygen")
    def committee_keygen(
        identity: Identity,
        identifier: Number,
        output: Output,
        listen: Listen,
        committee: Committee = Path("committee.toml"),
        public: Public = Path("committee-key.json"),
        wait: Wait = 900.0,
        step: Step = 60.0,
        finish: Finish = None,
        passphrase_file: PassphraseFile = None,
        passphrase_env: PassphraseEnv = None,
    ) -> None:
        """Make the committee's key together with all other members, so that nobody ever holds it whole."""
        from oracle.app.ceremony import KeygenPaths, address, run_keygen

        paths = KeygenPaths(committee, identity, output, public, _source(passphrase_file, passphrase_env))

        def ceremony() -> _Work:
            return run_keygen(console, paths, identifier, address(listen), _limits(wait, step))

        _take_part(console, paths, identifier, finish, ceremony)


def _add_reshare(app: typer.Typer, console: Console) -> None:
    @app.command("reshare")
    def committee_reshare(
        identity: Identity,
        identifier: Number,
        listen: Listen,
        committee: NewCommittee,
        old_committee: Annotated[Path, typer.Option(help="The old committee's file.")] = Path("committee.toml"),
        old_key: Annotated[Path, typer.Option(help="Its public key file.")] = Path("committee-key.json"),
        share: Annotated[Path | None, typer.Option(help="This member's share of the key, if it deals.")] = None,
        old_passphrase_file: Annotated[Path | None, typer.Option(help="Passphrase of that share.")] = None,
        old_passphrase_env: Annotated[str | None, typer.Option(help="Environment variable with it.")] = None,
        without: Annotated[
            list[int] | None,
            typer.Option(help="An old member that cannot deal; the same for every operator; may be repeated."),
        ] = None,
        output: Output = Path("share-next.json"),
        public: Public = Path("committee-key-next.json"),
        wait: Wait = 900.0,
        step: Step = 60.0,
        finish: Finish = None,
        passphrase_file: PassphraseFile = None,
        passphrase_env: PassphraseEnv = None,
    ) -> None:
        """Hand the key on to other members. The key stays, so old shares stay good: distrust takes `sibyl committee rotate`."""
        from oracle.app.ceremony import KeygenPaths, address
        from oracle.app.resharing import OldSide, run_reshare

        paths = KeygenPaths(committee, identity, output, public, _source(passphrase_file, passphrase_env))

        def ceremony() -> _Work:
            opening = _source(old_passphrase_file, old_passphrase_env)
            old = OldSide(old_committee, old_key, share, opening, tuple(without or ()))
            return run_reshare(console, paths, old, identifier, address(listen), _limits(wait, step))

        _take_part(console, paths, identifier, finish, ceremony)


def _add_rotate(app: typer.Typer, console: Console) -> None:
    @app.command("rotate")
    def committee_rotate(
        identity: Identity,
        identifier: Number,
        output: Output,
        listen: Listen,
        committee: NewCommittee,
        current: Annotated[Path, typer.Option(help="Public file of the present key.")] = Path("committee-key.json"),
        public: Public = Path("committee-key-next.json"),
        wait: Wait = 900.0,
        step: Step = 60.0,
        finish: Finish = None,
        passphrase_file: PassphraseFile = None,
        passphrase_env: PassphraseEnv = None,
    ) -> None:
        """Make the key of the next epoch with the members of a new committee file: how a distrusted member is removed."""
        from oracle.app.ceremony import KeygenPaths, address
        from oracle.app.rotation_commands import run_rotate

        paths = KeygenPaths(committee, identity, output, public, _source(passphrase_file, passphrase_env))

        def ceremony() -> _Work:
            return run_rotate(console, paths, current, identifier, address(listen), _limits(wait, step))

        _take_part(console, paths, identifier, finish, ceremony)


Key = Annotated[Path, typer.Argument(help="Public file of the new key (committee-key.json).")]
NodeToml = Annotated[Path, typer.Option(help="The node's configuration.")]


def _add_registration(app: typer.Typer, console: Console) -> None:
    @app.command("approve")
    def committee_approve(
        key: Key,
        config: NodeToml = Path("node.toml"),
        committee: Annotated[
            Path | None, typer.Option(help="The new committee's file, to check certificates by.")
        ] = None,
    ) -> None:
        """Let this node sign the rotation to a key whose transcript you have compared."""
        from oracle.app.rotation_commands import run_approve
        from oracle.config import load_config

        run_approve(console, key, committee, load_config(config))

    @app.command("propose")
    def committee_propose(key: Key, config: NodeToml = Path("node.toml")) -> None:
        """Post the rotation to a key, for all chains of the configuration; paid by the node's EVM account."""
        from oracle.app.rotation_commands import run_propose
        from oracle.config import load_config

        _quiet_run(run_propose(console, key, load_config(config)))

    @app.command("renew")
    def committee_renew(config: NodeToml = Path("node.toml")) -> None:
        """Make this member's next certificate; the running node tells its peers and changes over by itself."""
        from oracle.app.certificates import run_renew
        from oracle.app.daemon import pinned
        from oracle.config import load_config

        settings = load_config(config)
        run_renew(console, settings, {member.identifier: pinned(member.certificate) for member in settings.members})

    @app.command("status")
    def committee_status(config: NodeToml = Path("node.toml")) -> None:
        """Show the committee's epochs on every chain of the configuration, by final states."""
        from oracle.app.rotation_commands import run_status
        from oracle.config import load_config

        _quiet_run(run_status(console, load_config(config)))
