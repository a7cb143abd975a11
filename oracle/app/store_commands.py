"""`sibyl model publish` and `sibyl model fetch`: models through a store that nobody has to trust."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

_WHERE = "A local folder, an http(s) URL (an IPFS gateway is one) or s3://bucket/folder."


def add_commands(app: typer.Typer, console: Console) -> None:
    """Add the commands to `app`."""

    @app.command()
    def publish(
        model: Annotated[str, typer.Argument(help="Name or id of a model of this machine.")],
        to: Annotated[str, typer.Option(help=_WHERE + " A URL of http(s) can only be read.")],
        proving_key: Annotated[
            bool, typer.Option("--proving-key", help="Send the proving key too (large; everybody can make it again).")
        ] = False,
        replace: Annotated[
            bool, typer.Option("--replace", help="Put this manifest in the place of another one of the same model id.")
        ] = False,
    ) -> None:
        """Put a model into a store, each file by its hash. What is there already is not sent again.

        Give those who join the id, and the manifest's hash too if they are to have this very card.
        """
        from circuits.catalogue import find_model
        from circuits.store.models import publish_model

        found = find_model(model)
        with console.status("publishing …") as status:
            done = publish_model(
                found, to, proving_key=proving_key, replace=replace, progress=lambda line: status.update(f"{line} …")
            )
        console.print(f"[bold]{found.name}[/]  0x{done.model_id}", highlight=False, soft_wrap=True)
        console.print(
            f"{done.files} files, {done.sent} of them new; manifest SHA-256 {done.manifest_sha256}",
            highlight=False,
            soft_wrap=True,
        )
        if found.devnet_only:
            console.print("[yellow]Its reference string is local: for devnets only.[/]", highlight=False)

    @app.command()
    def fetch(
        model_id: Annotated[str, typer.Argument(help="The model's whole id, 0x and 64 hex digits.")],
        source: Annotated[str, typer.Option("--from", help=_WHERE)],
        sha256: Annotated[
            str | None,
            typer.Option(
                help="The manifest's SHA-256 as the publisher gave it: then card and input bound are his, too."
            ),
        ] = None,
        published_keys: Annotated[
            bool,
            typer.Option(
                "--published-keys",
                help="Take the proving key from the store instead of making it: faster, and believes the publisher that the keys are the model's.",
            ),
        ] = False,
    ) -> None:
        """Bring a model from a store into this machine's catalogue, checked by hash and id; its keys are made again here and compared.

        A model under a ceremony's reference string needs that file first: sibyl srs fetch.
        """
        from circuits.store.models import fetch_model

        with _bar(console) as bar:
            task = bar.add_task("", total=None, visible=False)
            found = fetch_model(
                model_id,
                source,
                manifest_sha256=sha256,
                published_keys=published_keys,
                progress=lambda line: console.print(line, markup=False, highlight=False),
                arrived=lambda done, size: bar.update(task, completed=done, total=size, visible=done < size),
            )
        console.print(f"[bold]{found.name}[/]  0x{found.model_id.hex()}", highlight=False, soft_wrap=True)
        console.print(str(found.directory), markup=False, highlight=False, soft_wrap=True)
        console.print(f"k={found.k}, reference string {found.srs_sha256}", highlight=False, soft_wrap=True)
        if found.devnet_only:
            console.print(
                "[yellow]The string is no ceremony's: whoever made it can forge proofs. For devnets only.[/]",
                highlight=False,
            )


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.percentage:>3.0f} %"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield bar
