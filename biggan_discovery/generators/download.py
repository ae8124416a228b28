"""Downloading published generators from their host, a mirror or the package's own cache. Needs no torch.

A file is downloaded to its name with `.part` and renamed once its size, checksum and content are verified. An
interrupted download resumes. Checksums that nobody published are recorded at the first download, in SHA256SUMS beside
the file, and enforced from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import logging
import math
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write
from biggan_discovery.generators import biggan_deep_files, layout
from biggan_discovery.generators.remote import DRIVE, REMOTE, RemoteFile
from biggan_discovery.progress import Progress

_log = logging.getLogger(__name__)

OFFLINE_VARIABLE = "BIGGAN_DISCOVERY_OFFLINE"
MIRROR_VARIABLE = "BIGGAN_DISCOVERY_MIRROR"

_TIMEOUT = 30.0
_WAITS = (0.5, 1.0, 2.0)  # Seconds before each further attempt after a lost connection.
_CHUNK = 1 << 16
_RETRIED = (408, 429, 500, 502, 503, 504)


class _DroppedError(Exception):
    """The connection was lost, or the host asked to retry later."""


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
    offline = _is_on(os.environ.get(OFFLINE_VARIABLE)) if offline is None else offline
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


def readable_size(count: int) -> str:
    """A readable number of bytes: "715 bytes", "234.4 MB"."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"


def _is_on(value: str | None) -> bool:
    return (value or "").strip().lower() not in ("", "0", "false", "no", "off")


def _addresses(name: str, mirror: str | None) -> dict[RemoteFile, str]:
    files = REMOTE[name].files
    if not mirror:
        return {file: file.url for file in files}
    parts = urllib.parse.urlsplit(mirror)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UserError(f"the mirror {mirror!r} ({MIRROR_VARIABLE}) should be an address such as https://example.org/x")
    return {file: f"{mirror.rstrip('/')}/{file.mirrored_as}" for file in files}


def _by_hand(addresses: dict[RemoteFile, str], files: list[RemoteFile], folder: Path) -> str:
    places = (f"{addresses[file]} as {folder / file.saved_as}" for file in files)
    return f"to download it manually, save {' and '.join(places)}"


@contextlib.contextmanager
def _locked(name: str, folder: Path) -> Iterator[None]:
    """Let one process at a time download into a folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".download.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.info("waiting for another process that is downloading %s", name)
            lock.acquire()
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
        part = _part(target)
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
    part = _part(target)
    resumed = part.exists()
    (_download_from_drive if url.startswith(DRIVE) else _download)(url, file, target)
    try:
        _accept(part, file, target)
    except UserError as error:
        _discard(part)
        if resumed:
            _log.info("%s; starting over", error)
            return _fetch_file(url, file, target)
        raise UserError(f"{url}: {error}; it was deleted") from error
    part.replace(target)
    _discard(part)
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
    """Check that the content is a generator's, not, say, the login page of a network."""
    if name == biggan_deep_files.CONFIG:
        biggan_deep_files.read_config_file(path)
    elif name.endswith(".zip"):
        if not zipfile.is_zipfile(path):
            raise UserError("it is not a zip file")
    else:
        from biggan_discovery.generators.weights import read_tensors  # Imported here, as it imports torch.

        with path.open("rb") as content:
            read_tensors(content, "it")


def _download(url: str, file: RemoteFile, target: Path) -> None:
    """Download `.part` completely, reconnecting several times if necessary."""
    for wait in (*_WAITS, None):
        try:
            return _attempt(url, file, target)
        except _DroppedError as error:
            if wait is None:
                raise UserError(f"{url} was interrupted: {error}; run the same command again to resume") from error
            _log.info("%s: %s; trying again", url, error)
            time.sleep(wait)
    return None


def _attempt(url: str, file: RemoteFile, target: Path) -> None:
    part = _part(target)
    here, note = _resumable(part)
    if here and here == note["size"]:
        return
    with _open(url, part, here) as response:
        start, total = _span(response)
        if start != here or (here and [total, _version(response)] != [note["size"], note["version"]]):
            _discard(part)
            if start:
                raise _DroppedError("the file has changed since the download began")
            here = 0
        _check_size(url, file, total, response)
        size = total or file.size
        known = readable_size(size) if size else "of unknown size"
        far = f", the last {readable_size(size - here)} of it" if here and size else ""
        _log.info("downloading %s (%s%s) to %s", url, known, far, target)
        _check_space(target, (size or 0) - here)
        if not here:
            atomic_write(_note(part), json.dumps({"size": total, "version": _version(response)}))
        _receive(response, part, here, size, file.mirrored_as)
    if size and part.stat().st_size < size:
        raise _DroppedError(
            f"the connection was lost after {readable_size(part.stat().st_size)} of {readable_size(size)}"
        )


def _resumable(part: Path) -> tuple[int, dict[str, Any]]:
    """How many bytes of an earlier download can be kept, and what the host said about the file then."""
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        here = part.stat().st_size
        if "version" in note and here <= note["size"]:
            return here, note
    except (OSError, ValueError, TypeError, KeyError):
        pass
    _discard(part)
    return 0, {}


@contextlib.contextmanager
def _open(url: str, part: Path, here: int) -> Iterator[http.client.HTTPResponse]:
    headers = {"User-Agent": "biggan-discovery", "Accept-Encoding": "identity"}
    if here:
        headers["Range"] = f"bytes={here}-"
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _RETRIED:
            raise _DroppedError(f"the host answered {error.code} {error.reason}") from error
        if error.code == 416:
            _discard(part)
            raise _DroppedError("the file has changed since the download began") from error
        raise UserError(f"{url}: the host answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        if here:
            raise _DroppedError(f"the host cannot be reached: {reason}") from error
        raise UserError(f"cannot reach {urllib.parse.urlsplit(url).netloc}: {reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(_reason(error)) from error
    with response:
        yield response


def _version(response: http.client.HTTPResponse) -> str | None:
    """What identifies the version of a file at its host."""
    return response.headers.get("ETag") or response.headers.get("Last-Modified")


def _span(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """The byte at which a response begins, and the size of the whole file if the host states it."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        return (int(match[1]), int(match[2])) if match else (-1, None)
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _check_size(url: str, file: RemoteFile, total: int | None, response: http.client.HTTPResponse) -> None:
    if total is None and file.size is None and response.headers.get("Transfer-Encoding", "").lower() != "chunked":
        raise UserError(f"{url}: the host does not state the size, so an incomplete download would go unnoticed")
    if total is not None and file.size is not None and total != file.size:
        raise UserError(f"{url} has {total} bytes instead of {file.size}, so it is another file")


def _check_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise UserError(
            f"{target} needs {readable_size(needed)} more, but only {readable_size(free)} are free there; set "
            "another folder in the environment variable BIGGAN_DISCOVERY_CHECKPOINTS"
        )


def _receive(response: http.client.HTTPResponse, part: Path, here: int, size: int | None, label: str) -> None:
    """Append the response to the part; data received is kept whatever happens."""
    million = 10**6
    total = math.ceil((size or 0) / million)
    with (
        part.open("ab" if here else "wb") as out,
        Progress(total, label, unit="MB", done=here // million, quiet=_silenced() or not total) as bar,
    ):
        while chunk := _read(response):
            out.write(chunk)
            before, here = here, here + len(chunk)
            passed = (total if here == size else here // million) - before // million
            if passed:
                bar.advance(passed)
        out.flush()
        os.fsync(out.fileno())


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _DroppedError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no data for {_TIMEOUT:.0f} s"
    return "the connection was lost"


def _download_from_drive(url: str, file: RemoteFile, target: Path) -> None:
    """Google Drive asks for confirmation before large downloads; gdown handles that, and resumes."""
    try:
        import gdown  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"{file.saved_as} is on Google Drive, which needs gdown: pip install gdown") from error
    _log.info("downloading %s (size known once it starts) to %s", url, target)
    try:
        gdown.download(id=url.removeprefix(DRIVE), output=str(_part(target)), resume=True, quiet=_silenced())
    except Exception as error:  # It raises its own exceptions, those of requests, and OSError.
        raise UserError(f"gdown could not fetch {url}: {' '.join(str(error).split())}") from error
    if not _part(target).is_file():
        raise UserError(f"gdown could not fetch {url}")


def _silenced() -> bool:
    """Whether the user has chosen to see only warnings, as `--quiet` does."""
    return logging.getLogger("biggan_discovery").level > logging.INFO


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _note(part: Path) -> Path:
    """What the host said about a partly downloaded file."""
    return part.with_name(f"{part.name}.json")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)
