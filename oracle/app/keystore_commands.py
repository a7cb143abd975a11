"""`sibyl committee backup | restore | passphrase | signer-config`: custody of a member's share on its own machine.

Guarantees: a passphrase comes from a private file, an environment variable or the terminal, never from the command line; nothing is
overwritten but the share whose passphrase is changed, and that atomically; a backup is taken back only for the committee, epoch
and member that the configuration names.
Does not copy the signer's ledger or the journal, and cannot know whether another machine runs with the same share.
"""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bridges.frost.sealing import Passphrase
from oracle.errors import ConfigError

if TYPE_CHECKING:
    from bridges.frost.backup import Backup
    from oracle.config import NodeConfig

Config = Annotated[Path, typer.Option(help="The node's configuration.")]
PassphraseFile = Annotated[
    Path | None, typer.Option(help="A file with the backup's passphrase, mode 0600; the terminal is asked without one.")
]
NewFile = Annotated[
    Path | None, typer.Option(help="A file with the new passphrase, mode 0600; otherwise the terminal.")
]
OldFile = Annotated[Path | None, typer.Option(help="A file with the present passphrase, mode 0600.")]


def add_commands(app: typer.Typer, console: Console) -> None:
    """Put the commands into `sibyl committee`."""

    @app.command("backup")
    def committee_backup(
        output: Annotated[Path, typer.Option(help="The backup; never overwritten.")],
        config: Config = Path("node.toml"),
        passphrase_file: PassphraseFile = None,
        share: Annotated[
            Path | None,
            typer.Option(
                help="Which share, where the configuration names several; the present committee's by default."
            ),
        ] = None,
    ) -> None:
        """Seal this member's share, public key package and identity into one file. Keep it away from this machine."""
        run_backup(console, config, output, passphrase_file, share)

    @app.command("restore")
    def committee_restore(
        source: Annotated[Path, typer.Option("--input", help="The backup.")],
        config: Config = Path("node.toml"),
        passphrase_file: PassphraseFile = None,
    ) -> None:
        """Put a backup's share and identity where the configuration expects them, on a machine that has neither."""
        run_restore(console, config, source, passphrase_file)

    @app.command("passphrase")
    def committee_passphrase(
        share: Annotated[Path, typer.Option(help="The key share's file.")],
        old_file: OldFile = None,
        new_file: NewFile = None,
    ) -> None:
        """Change the passphrase of a key share, or encrypt one that is plain."""
        run_passphrase(console, share, old_file, new_file)

    @app.command("signer-config")
    def committee_signer_config(
        output: Annotated[Path, typer.Option(help="The signer's configuration; never overwritten.")] = Path(
            "signer.toml"
        ),
        config: Config = Path("node.toml"),
    ) -> None:
        """Write a first signer.toml from a node's configuration, to be read and narrowed by its operator."""
        run_signer_config(console, config, output)


def run_backup(
    console: Console, config_path: Path, output: Path, passphrase_file: Path | None, which: Path | None = None
) -> None:
    """Raises ConfigError, KeystoreError."""
    from bridges.frost.backup import write_backup
    from oracle.app.daemon import load_share
    from oracle.config import load_config

    config = _holding(load_config(config_path), which)
    share = load_share(config)
    try:
        with _passphrase(passphrase_file, "Passphrase of the backup", new=True) as passphrase:
            write_backup(output, config.committee.epoch, share, config.identity, passphrase)
    finally:
        share.signing_share.wipe()
    _say(
        console,
        f"Backup of member {share.identifier}, epoch {config.committee.epoch}: {output}",
        "It holds the share and the identity. Without its passphrase it is worth nothing, to you too.",
    )


def run_restore(console: Console, config_path: Path, source: Path, passphrase_file: Path | None) -> None:
    """Raises ConfigError for another committee's, epoch's or member's backup; KeystoreError."""
    from bridges.frost.backup import read_backup, restore
    from bridges.frost.sealing import PassphraseSource
    from oracle.config import load_config

    config = load_config(config_path)
    with _passphrase(passphrase_file, "Passphrase of the backup", new=False) as passphrase:
        backup = read_backup(source, passphrase)
    try:
        config = _fitting(config, source, backup)
        own = PassphraseSource(config.passphrase_file, config.passphrase_env).read()
        if own is None and not config.devnet:
            with _passphrase(None, "New passphrase of the key share", new=True) as asked:
                restore(backup, config.key_share, config.identity, asked)
        else:
            restore(backup, config.key_share, config.identity, own)
            if own is not None:
                own.wipe()
    finally:
        backup.wipe()
    _say(
        console,
        f"Member {backup.share.identifier}, epoch {backup.epoch}: share in {config.key_share}, identity in {config.identity}",
        "Never run two nodes with this share. If the old machine's signer ledger still exists, bring it along first.",
    )


def _views(config: "NodeConfig") -> "list[NodeConfig]":
    """The configuration as if each of its committees were the only one; those of which this node holds a share, the present one first."""
    from oracle.app.keyring import narrowed

    views = []
    for one in config.committees:
        with suppress(ConfigError):  # a next committee whose share is not there yet
            view = narrowed(config, one)
            views += [] if view is None else [view]
    return views


def _holding(config: "NodeConfig", share: Path | None) -> "NodeConfig":
    for view in _views(config):
        if share is None or view.key_share.resolve() == share.resolve():
            return view
    raise ConfigError(f"{share or 'A share of this node'} is no key_share of the configuration.")


def _fitting(config: "NodeConfig", source: Path, backup: "Backup") -> "NodeConfig":
    """The view to which the backup belongs. Raises ConfigError by what the present committee has against it."""
    from oracle.app.daemon import require_own

    views = _views(config) or [config]
    for view in views:
        if view.committee.epoch == backup.epoch:
            with suppress(ConfigError):
                require_own(view, source, backup.share)
                return view
    require_own(views[0], source, backup.share)
    raise ConfigError(
        f"{source} is of epoch {backup.epoch}, but the configuration's committee has epoch {views[0].committee.epoch}. "
        "A share of another epoch signs nothing now; take a newer backup."
    )


def run_passphrase(console: Console, share: Path, old_file: Path | None, new_file: Path | None) -> None:
    """Raises KeystoreError; then the file is unchanged."""
    from bridges.frost import keystore
    from bridges.frost.errors import KeystoreError

    if keystore.is_sealed(share):
        with (
            _passphrase(old_file, "Present passphrase", new=False) as old,
            _passphrase(new_file, "New passphrase", new=True) as new,
        ):
            if old.same_as(new):
                raise KeystoreError("The new passphrase is the present one; nothing was changed.")
            keystore.change_passphrase(share, old, new)
        _say(console, f"{share} has a new passphrase. Backups keep the one that they were made with.")
        return
    with _passphrase(new_file, "New passphrase", new=True) as new:
        keystore.change_passphrase(share, None, new)
    _say(
        console,
        f"{share} is encrypted. Name its passphrase in the node's or the signer's configuration: passphrase_file or passphrase_env.",
        "What the disk still holds of the plain file cannot be taken back; plain copies elsewhere are as good as the key.",
    )


def run_signer_config(console: Console, config_path: Path, output: Path) -> None:
    """Raises ConfigError; KeystoreError if the file is there already."""
    from bridges.frost.private_files import write_private_file
    from oracle.app.signer_setup import signer_toml
    from oracle.config import load_config

    write_private_file(output, signer_toml(load_config(config_path), output.resolve().parent).encode())
    _say(console, f"{output} is written. Read it: what it does not name, this signer will never sign.")


@contextmanager
def _passphrase(file: Path | None, label: str, *, new: bool) -> Iterator[Passphrase]:
    """From the file or the terminal, wiped with the block. A new one is asked for twice, and must be long enough."""
    passphrase = Passphrase.from_file(file) if file is not None else _asked(label, new=new)
    try:
        if new:
            passphrase.require_strong()
        yield passphrase
    finally:
        passphrase.wipe()


def _asked(label: str, *, new: bool) -> Passphrase:
    if not _terminal():
        raise ConfigError(f"{label}: there is no terminal to ask on; name a file that holds it (mode 0600).")
    first = Passphrase.from_text(getpass.getpass(f"{label}: "))
    if new:
        second = Passphrase.from_text(getpass.getpass(f"{label}, again: "))
        same = first.same_as(second)
        second.wipe()
        if not same:
            first.wipe()
            raise ConfigError("The two passphrases differ; nothing was changed.")
    return first


def _terminal() -> bool:
    return sys.stdin.isatty()


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
