"""How an SRS comes onto this machine: a ceremony's file is fetched and must have its published hash; a local one is generated, for devnets only.

Guarantees: a ceremony's file appears under its name only when it is the published one; a file that was there before is never changed or removed
(ezkl's own `get_srs` deletes one whose hash it does not expect); what was fetched in part is resumed; nothing longer than the file can be is taken.
The directory by default is `srs/ceremony` in the cache, where a compile looks.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from circuits.cache import Progress, cache_root, quiet
from circuits.compile import Srs, local_srs
from circuits.errors import SrsError
from circuits.srs.check import SrsReport, check_srs, sha256_of
from circuits.srs.devnets import require_devnets
from circuits.srs.format import open_srs, size_of
from circuits.srs.published import MAX_K, MIN_K, PUBLISHED, file_name
from circuits.srs.shorten import shortened
from circuits.store.folder import open_folder
from circuits.store.transfer import Arrived, bring
from oracle.protocol.types import Chain


def ceremony_home(root: Path | None = None) -> Path:
    """Where the ceremony's files are kept."""
    return (root or cache_root()) / "srs" / "ceremony"


def check_k(k: int) -> int:
    """`k`, if the ceremony has a file for it. Raises SrsError."""
    if k not in PUBLISHED:
        raise SrsError(f"The ceremony has files for k from {MIN_K} to {MAX_K}, and none for {k}.")
    return k


def ceremony_srs(k: int, home: Path | None = None) -> Srs:
    """The ceremony's SRS for k, which must be here already. Raises SrsError saying how to get it."""
    path = (home or ceremony_home()) / file_name(check_k(k))
    if not path.exists():
        raise SrsError(
            f"The ceremony's file for k={k} is not here. Get it with: sibyl srs fetch --k {k} --from FOLDER-OR-URL"
        )
    found = sha256_of(path)
    if found != PUBLISHED[k]:
        raise SrsError(
            f"{path} has the SHA-256 {found}, not the published {PUBLISHED[k]}. Move it away and fetch it again."
        )
    return Srs(path, k, found, devnet_only=False)


def fetch_srs(
    k: int, source: str, home: Path | None = None, *, progress: Progress = quiet, arrived: Arrived | None = None
) -> SrsReport:
    """Bring the ceremony's file for k out of `source` and check it.

    `source` is a folder or URL that holds `kzg{k}.srs`; one file of that name or, with “{k}” in it, of any; or a local file for a larger k of the
    same ceremony, which is then shortened. Raises SrsError or StoreError.
    """
    target = (home or ceremony_home()) / file_name(check_k(k))
    location, name = _split(source, k)
    larger = Path(source).expanduser()
    if not target.exists() and "://" not in source and larger.is_file() and open_srs(larger).k > k:
        _shorten_to(larger, k, target, progress)
    else:
        home = target.parent
        if not target.exists() and (left := free_bytes(home)) < size_of(k):
            raise SrsError(
                f"The file for k={k} has {size_of(k):,} bytes, and the disk of {home} has {left:,} left. Make room."
            )
        folder = open_folder(location, most=size_of(k))
        progress(f"Fetching {name} from {folder.location}")
        bring(folder, (name,), target, size=size_of(k), sha256=PUBLISHED[k], arrived=arrived)
    return check_srs(target, progress=progress)


def _split(source: str, k: int) -> tuple[str, str]:
    """(folder, name of the file in it)."""
    named = source.replace("{k}", str(k))
    head, _, tail = named.rpartition("/")
    if named != source or tail == file_name(k):
        return head or ".", tail
    if "://" not in named and Path(named).expanduser().is_file():
        return str(Path(named).expanduser().parent), Path(named).name
    return named, file_name(k)


def _shorten_to(larger: Path, k: int, target: Path, progress: Progress) -> None:
    report = check_srs(larger, progress=progress)
    if not report.same_secret:
        raise SrsError(f"{larger} is no file of the ceremony, so nothing shortened from it is. Name one that is.")
    data = shortened(open_srs(larger), k, progress)
    if hashlib.sha256(data).hexdigest() != PUBLISHED[k]:
        raise SrsError(
            f"What {larger} shortens to is not the ceremony's file for k={k}: its points are not the ceremony's. Fetch another."
        )
    _write_new(target, data)


def generate_srs(
    k: int,
    chains: Iterable[tuple[Chain, tuple[str, ...]]],
    target: Path | None = None,
    *,
    root: Path | None = None,
    progress: Progress = quiet,
) -> Srs:
    """A local SRS for devnets: made once on this machine and kept in the cache; copied to `target` if one is given.

    `chains`: (chain, its RPC endpoints) on which models under it will be used. Raises SrsError unless each is a devnet.
    """
    require_devnets(chains, "A local reference string")
    made = local_srs(check_k(k), root=root, progress=progress)
    if target is None:
        return made
    _write_new(target, made.path.read_bytes())
    return Srs(target, k, made.sha256, devnet_only=True)


def _write_new(target: Path, data: bytes) -> None:
    """Write a file that must not be there yet: whole, or not at all."""
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.link(beside, target)  # unlike a rename, this never replaces a file
    except FileExistsError:
        raise SrsError(f"{target} is here already. Move it away, or name another file; nothing was changed.") from None
    except OSError as error:
        raise SrsError(f"{target} cannot be written: {error.strerror}.") from error
    finally:
        beside.unlink(missing_ok=True)


def free_bytes(home: Path) -> int:
    """Bytes that the disk of a directory (or of its first parent that exists) has left."""
    while not home.exists():
        home = home.parent
    return shutil.disk_usage(home).free
