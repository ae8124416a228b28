"""Downloading one file over HTTP, resuming where that is safe. Needs no torch.

A download goes to a file with `.part`. It resumes only if the host identifies its version by a strong ETag, and only as
that version (If-Range); without one it starts over, as a mix of two versions would go unnoticed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import shutil
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError
from biggan_discovery.files import atomic_write
from biggan_discovery.generators.remote import RemoteFile
from biggan_discovery.progress import Progress

if TYPE_CHECKING:
    import requests

_log = logging.getLogger(__name__)

_TIMEOUT = 30.0
_WAITS = (0.5, 1.0, 2.0)  # Seconds before each further attempt after a lost connection.
_CHUNK = 1 << 16
_RETRIED = (408, 429, 500, 502, 503, 504)
_LONGEST = 200  # Characters of an address that messages show.


class _DroppedError(Exception):
    """The connection was lost, or the host asked to retry later."""


def receive(url: str, file: RemoteFile, target: Path) -> None:
    """Download the part of a file completely, reconnecting several times if necessary.

    Raises:
        UserError: the host cannot be reached, refuses, sends another file or one without end, or the connection is lost
            several times; or there is no space.
        OSError: writing failed.
    """
    for wait in (*_WAITS, None):
        try:
            return _attempt(url, file, target)
        except _DroppedError as error:
            if wait is None:
                resumes = "resume" if _resumable(part_of(target))[0] else "start over"
                raise UserError(
                    f"{shown(url)} was interrupted: {error}; run the same command again to {resumes}"
                ) from error
            _log.info("%s: %s; trying again", shown(url), error)
            time.sleep(wait)
    return None


def part_of(target: Path) -> Path:
    """Where a download goes until it is complete and checked."""
    return target.with_name(f"{target.name}.part")


def discard(part: Path) -> None:
    """Remove a part and what the host said about it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def silenced() -> bool:
    """Whether the user has chosen to see only warnings, as `--quiet` does."""
    return logging.getLogger("biggan_discovery").level > logging.INFO


def readable_size(count: int) -> str:
    """A readable number of bytes: "715 bytes", "234.4 MB"."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count} bytes"


def shown(url: str) -> str:
    """An address for messages: without user and password, on one line, and not too long.

    Example:
        >>> shown("https://me:secret@example.org/x")
        'https://example.org/x'
    """
    try:
        parts = urllib.parse.urlsplit(url)
        valid = parts.hostname and (parts.port or True)
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if valid else _hidden(url)
    except ValueError:  # Of the port too: what looks like one may be a password with a slash.
        url = _hidden(url)
    return (url if url.isprintable() else ascii(url)[1:-1])[:_LONGEST]


def _hidden(address: str) -> str:
    """An address that is not valid, without all that might be a password."""
    return re.sub(r".*@", "***@", address, flags=re.DOTALL)


def _attempt(url: str, file: RemoteFile, target: Path) -> None:
    part = part_of(target)
    here, note = _resumable(part)
    if here and here == note["size"]:
        return
    with _open(url, part) as response:
        start, total = _span(response)
        etag = _strong_etag(response)
        if start and [start, total, etag] != [here, note.get("size"), note.get("etag")]:
            discard(part)
            raise _DroppedError("the file has changed since the download began")
        if not start:
            discard(part)
        _check_size(url, file, total, response)
        size = total or file.size
        known = readable_size(size) if size else "of unknown size"
        far = f", the last {readable_size(size - start)} of it" if start and size else ""
        _log.info("downloading %s (%s%s) to %s", shown(url), known, far, target)
        _check_space(target, (size or 0) - start)
        if total and etag and not start:
            atomic_write(_note(part), json.dumps({"size": total, "etag": etag}))
        _store(response, url, file, part, start, size)
    received = part.stat().st_size
    if size and received < size:
        raise _DroppedError(f"the connection was lost after {readable_size(received)} of {readable_size(size)}")


def _resumable(part: Path) -> tuple[int, dict[str, Any]]:
    """How many bytes of an earlier download can be kept, and what the host said about the file then."""
    try:
        note = json.loads(_note(part).read_text(encoding="utf-8"))
        here = part.stat().st_size
        if _is_strong(note["etag"]) and here <= note["size"]:
            return here, note
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    discard(part)
    return 0, {}


@contextlib.contextmanager
def _open(url: str, part: Path) -> Iterator[requests.Response]:
    """Ask for a file, or for what the part lacks of the same version of it."""
    import requests
    from urllib3.exceptions import MaxRetryError

    headers = {"User-Agent": "biggan-discovery", "Accept-Encoding": "identity"}
    here, note = _resumable(part)
    if here:
        headers |= {"Range": f"bytes={here}-", "If-Range": note["etag"]}
    # The texts of these errors are not shown, as they may contain an address with a password.
    try:
        response = requests.get(url, headers=headers, timeout=_TIMEOUT, stream=True)
    except requests.Timeout as error:
        raise _DroppedError(_SILENT) from error
    except requests.TooManyRedirects as error:
        raise UserError(f"{shown(url)}: the host redirects without end") from error
    except requests.exceptions.InvalidSchema as error:
        raise UserError(f"{shown(url)}: the host redirects to what is neither http nor https") from error
    except ValueError as error:  # Also those of requests that are about addresses and headers.
        raise UserError(
            f"{shown(url)}: the host redirects to an invalid address, or its headers are invalid"
        ) from error
    except requests.RequestException as error:
        unreachable = bool(error.args) and isinstance(error.args[0], MaxRetryError)
        if unreachable and not here:
            host = urllib.parse.urlsplit(shown(url)).netloc
            raise UserError(f"cannot reach {host}: {_reason(error)}") from error
        raise _DroppedError(f"the host cannot be reached: {_reason(error)}" if unreachable else _LOST) from error
    with response:
        _check_answer(url, response, part)
        yield response


_SILENT = f"no data for {_TIMEOUT:.0f} s"
_LOST = "the connection was lost"


def _reason(error: BaseException) -> str:
    """The operating system's words for a connection error, which are in one of the errors that it wraps."""
    seen: list[BaseException] = [error]
    for each in seen:
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
        inner = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
        seen.extend(other for other in inner if isinstance(other, BaseException) and other not in seen)
    return "no connection"


def _check_answer(url: str, response: requests.Response, part: Path) -> None:
    schemes = [urllib.parse.urlsplit(each).scheme for each in (url, response.url)]
    if schemes == ["https", "http"]:
        raise UserError(f"{shown(url)}: the host redirects to {shown(response.url)}, which is not encrypted")
    status = f"{response.status_code} {response.reason or ''}".strip()[:_LONGEST]
    if response.status_code in _RETRIED:
        raise _DroppedError(f"the host answered {status}")
    if response.status_code == 416:
        discard(part)
        raise _DroppedError("the file has changed since the download began")
    if response.status_code not in (200, 206):
        raise UserError(f"{shown(url)}: the host answered {status}")


def _strong_etag(response: requests.Response) -> str | None:
    etag = response.headers.get("ETag", "")
    return etag if _is_strong(etag) else None


def _is_strong(etag: str) -> bool:
    """Whether a validator promises that files with it are the same byte for byte; weak ones, W/"...", do not."""
    return re.fullmatch(r'"[\x21\x23-\x7e]+"', etag) is not None


def _span(response: requests.Response) -> tuple[int, int | None]:
    """The byte at which a response begins, and the size of the whole file if the host states it."""
    if response.status_code == 206:
        match = re.fullmatch(
            r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", response.headers.get("Content-Range", "")
        )
        return (int(match[1]), int(match[2])) if match else (-1, None)
    match = re.fullmatch(r"[0-9]{1,18}", response.headers.get("Content-Length", ""))
    return 0, int(match[0]) if match else None


def _check_size(url: str, file: RemoteFile, total: int | None, response: requests.Response) -> None:
    if total is None and file.size is None and response.headers.get("Transfer-Encoding", "").lower() != "chunked":
        raise UserError(f"{shown(url)}: the host does not state the size, so an incomplete download would go unnoticed")
    if total is not None and file.size is not None and total != file.size:
        raise UserError(f"{shown(url)} has {total} bytes instead of {file.size}, so it is another file")
    if total is not None and total > file.most:
        raise UserError(
            f"{shown(url)} has {readable_size(total)}, so it is another file; {file.saved_as} has at most "
            f"{readable_size(file.most)}"
        )


def _check_space(target: Path, needed: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise UserError(
            f"{target} needs {readable_size(needed)} more, but only {readable_size(free)} are free there; set "
            "another folder in the environment variable BIGGAN_DISCOVERY_CHECKPOINTS"
        )


def _store(response: requests.Response, url: str, file: RemoteFile, part: Path, here: int, size: int | None) -> None:
    """Append the response to the part; data received is kept whatever happens, unless it is too much."""
    million = 10**6
    total = math.ceil((size or 0) / million)
    with (
        part.open("ab" if here else "wb") as out,
        Progress(total, file.mirrored_as, unit="MB", done=here // million, quiet=silenced() or not total) as bar,
    ):
        for chunk in _chunks(response):
            out.write(chunk)
            before, here = here, here + len(chunk)
            if here > (size or file.most):
                discard(part)
                raise UserError(
                    f"{shown(url)} sends more than the {readable_size(size or file.most)} that {file.saved_as} has at "
                    "most; it was deleted"
                )
            passed = (total if here == size else here // million) - before // million
            if passed:
                bar.advance(passed)
        out.flush()
        os.fsync(out.fileno())


def _chunks(response: requests.Response) -> Iterator[bytes]:
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    try:
        yield from response.raw.stream(_CHUNK, decode_content=False)
    except ReadTimeoutError as error:
        raise _DroppedError(_SILENT) from error
    except (HTTPError, OSError, ValueError) as error:  # ValueError: an invalid length of a chunk.
        raise _DroppedError(_LOST) from error


def _note(part: Path) -> Path:
    """What the host said about a partly downloaded file."""
    return part.with_name(f"{part.name}.json")
