"""Downloading published generators from their host, a mirror or the package's own cache. Needs no torch.

A file is downloaded to its name with `.part` and renamed once its size, checksum and content are verified. Checksums
that nobody published are recorded at the first download, in SHA256SUMS beside the file, and enforced from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import lzma
import os
import shutil
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from biggan_discovery.errors import UserError
from biggan_discovery.generators import biggan_deep_files, layout
from biggan_discovery.generators.remote import DRIVE, REMOTE, RemoteFile
from biggan_discovery.generators.transfer import discard, part_of, readable_size, receive, shown, silenced
from biggan_discovery.locks import Lock

_log = logging.getLogger(__name__)

OFFLINE_VARIABLE = "BIGGAN_DISCOVERY_OFFLINE"
MIRROR_VARIABLE = "BIGGAN_DISCOVERY_MIRROR"

_LONGEST = 200  # Characters of a name in an archive that messages show.
_MOST_EXPANDED = 4 * 2**30  # Bytes of the members of an archive; those of the largest generator have 0.3 GiB.


def fetch(name: str, folder: Path, *, offline: bool | None = None, mirror: str | None = None) -> None:
    """Download the missing files of a generator of `REMOTE` into its folder.

    What is downloaded, its size, from where and to where are logged. A file in the cache of the package
    pytorch-pretrained-biggan is linked, not copied.

    Args:
        name: key of `REMOTE`.
        folder: where the files belong.
        offline: never download. Defaults to the environment variable BIGGAN_DISCOVERY_OFFLINE.
        mirror: address to download from, instead of the host. Defaults to BIGGAN_DISCOVERY_MIRROR.

    Raises:
        UserError: offline, the host cannot be reached or does not have a file, the connection is lost several times,
            a wrong size or checksum, content that is not a generator's, no space, or a folder that is not writable.
        OSError: writing failed, for example because the disk became full; the part so far is kept.
    """
    if not missing_files(name, folder):
        return
    offline = is_offline(offline)
    addresses = _addresses(name, os.environ.get(MIRROR_VARIABLE) if mirror is None else mirror)
    try:
        if offline and not is_in_package_cache(name, folder):
            raise UserError(f"{name} is not downloaded yet, and downloads are off (--offline, {OFFLINE_VARIABLE})")
        with _locked(name, folder):
            for file in missing_files(name, folder):
                target = folder / file.saved_as
                if _link_from_package_cache(file, target):
                    continue
                if offline:
                    raise UserError(f"{name} is incomplete, and downloads are off")
                _fetch_file(addresses[file], file, target)
    except UserError as error:
        raise UserError(f"{error}; {_by_hand(addresses, missing_files(name, folder), folder)}") from error


def missing_files(name: str, folder: Path) -> list[RemoteFile]:
    """The files of a generator of `REMOTE` that are missing in its folder."""
    return [
        file
        for file in REMOTE[name].files
        if not any((folder / each).is_file() for each in (file.saved_as, *file.instead))
    ]


def is_in_package_cache(name: str, folder: Path) -> bool:
    """Whether all missing files are in the cache of pytorch-pretrained-biggan."""
    return all(_in_package_cache(file.url) for file in missing_files(name, folder))


def is_offline(offline: bool | None) -> bool:
    """Whether nothing may be downloaded; None for what the environment variable BIGGAN_DISCOVERY_OFFLINE says."""
    if offline is not None:
        return offline
    return os.environ.get(OFFLINE_VARIABLE, "").strip().lower() not in ("", "0", "false", "no", "off")


def _addresses(name: str, mirror: str | None) -> dict[RemoteFile, str]:
    files = REMOTE[name].files
    if not mirror:
        return {file: file.url for file in files}
    try:
        parts = urllib.parse.urlsplit(mirror)
        host, _ = parts.hostname or "", parts.port
        valid = parts.scheme in ("http", "https") and host != "" and mirror.isprintable() and " " not in mirror
        host.encode("idna")
    except ValueError:  # Brackets without end, a port that is not a number, a label that is empty or too long.
        valid = False
    if not valid:
        raise UserError(
            f"the mirror {shown(mirror)!r} ({MIRROR_VARIABLE}) should be an address such as https://example.org/x"
        )
    return {file: f"{mirror.rstrip('/')}/{file.mirrored_as}" for file in files}


def _by_hand(addresses: dict[RemoteFile, str], files: list[RemoteFile], folder: Path) -> str:
    places = (f"{shown(addresses[file])} as {folder / file.saved_as}" for file in files)
    return f"to download it manually, save {' and '.join(places)}"


@contextlib.contextmanager
def _locked(name: str, folder: Path) -> Iterator[None]:
    """Let one process at a time download into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / ".download.lock", str(folder))
        if not lock.acquire():
            _log.info("waiting for another process that is downloading %s", name)
            lock.acquire(wait=True)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; set another folder in the environment "
            "variable BIGGAN_DISCOVERY_CHECKPOINTS"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _link_from_package_cache(file: RemoteFile, target: Path) -> bool:
    """Link the file from the cache of pytorch-pretrained-biggan; whether it is there and valid."""
    cached = _in_package_cache(file.url)
    if cached is None:
        return False
    try:
        _accept(cached, file, target)
    except UserError as error:
        _log.info("%s is not used: %s", cached, error)
        return False
    _log.info("using %s (from pytorch-pretrained-biggan) as %s", cached, target)
    target.unlink(missing_ok=True)  # It may be a broken link.
    try:
        target.symlink_to(cached)
    except OSError:  # Windows restricts who may create links.
        part = part_of(target)
        shutil.copyfile(cached, part)
        part.replace(target)
    return True


def _in_package_cache(url: str) -> Path | None:
    """The newest download of an address in the package's cache: named by hashes, a .json with the address beside."""
    chosen = os.environ.get("PYTORCH_PRETRAINED_BIGGAN_CACHE")
    try:
        folder = Path(chosen).resolve() if chosen else Path.home() / ".pytorch_pretrained_biggan"
    except RuntimeError:  # The user has no home folder.
        return None
    found = folder.glob(f"{hashlib.sha256(url.encode()).hexdigest()}*")
    # The package writes the .json once the file is complete.
    whole = [path for path in found if path.suffix != ".json" and Path(f"{path}.json").is_file()]
    return max(whole, key=lambda path: path.stat().st_mtime, default=None)


def _fetch_file(url: str, file: RemoteFile, target: Path) -> None:
    """Download to `.part`, check, and rename; a resumed file with a wrong checksum is fetched once more, whole."""
    part = part_of(target)
    resumed = part.exists()
    (_download_from_drive if url.startswith(DRIVE) else receive)(url, file, target)
    try:
        _accept(part, file, target)
    except UserError as error:
        discard(part)
        if resumed:
            _log.info("%s; starting over", error)
            return _fetch_file(url, file, target)
        raise UserError(f"{shown(url)}: {error}; it was deleted") from error
    part.replace(target)
    discard(part)
    return None


def _accept(path: Path, file: RemoteFile, target: Path) -> None:
    """Check that a file may become `target`, and record its checksum.

    Raises:
        UserError: wrong size, checksum or, where no checksum is known, content.
    """
    if file.size is not None and path.stat().st_size != file.size:
        raise UserError(f"it has {path.stat().st_size} bytes instead of {file.size}")
    with path.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    known = file.sha256 or layout.recorded_sums(target.parent).get(target.name)
    if known is None:
        _check_content(path, target.name)
    elif sha256 != known:
        raise UserError(f"its sha256 is {sha256} instead of {known}")
    layout.record_sum(target, sha256)


def _check_content(path: Path, name: str) -> None:
    """Check that the content is a generator's and whole, not, say, the login page of a network.

    Raises:
        UserError: it is not; of a zip file (that of a checkpoint, or what torch saves) every member is read.
    """
    if name == biggan_deep_files.CONFIG:
        biggan_deep_files.read_config_file(path)
        return
    if zipfile.is_zipfile(path):
        _check_members(path)
    elif name.endswith(".zip"):
        raise UserError("it is not a zip file")
    if not name.endswith(".zip"):
        from biggan_discovery.generators.weights import read_tensors  # Imported here, as it imports torch.

        with path.open("rb") as content:
            read_tensors(content, "it")


def _check_members(path: Path) -> None:
    """Check the CRC of every member of a zip file."""
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(member.file_size for member in archive.infolist())
            damaged = archive.testzip() if declared <= _MOST_EXPANDED else None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
        # RuntimeError: encrypted, or, as its subclass NotImplementedError, compressed in an unknown way.
        raise UserError(f"it is not a whole zip file ({error})") from error
    if declared > _MOST_EXPANDED:
        raise UserError(f"its members have {readable_size(declared)}, more than any generator")
    if damaged is not None:
        raise UserError(f"its member {damaged[:_LONGEST]!r} is damaged")


def _download_from_drive(url: str, file: RemoteFile, target: Path) -> None:
    """Google Drive asks for confirmation before large downloads; gdown handles that, and resumes."""
    try:
        import gdown  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"{file.saved_as} is on Google Drive, which needs gdown: pip install gdown") from error
    _log.info("downloading %s (size known once it starts) to %s", url, target)
    try:
        gdown.download(id=url.removeprefix(DRIVE), output=str(part_of(target)), resume=True, quiet=silenced())
    except Exception as error:  # It raises its own exceptions, those of requests, and OSError.
        raise UserError(f"gdown could not fetch {url}: {' '.join(str(error).split())}") from error
    if not part_of(target).is_file():
        raise UserError(f"gdown could not fetch {url}")
