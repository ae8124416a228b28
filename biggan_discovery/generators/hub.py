"""Files on the Hugging Face Hub, by address. Needs no torch.

Downloads go to the Hub's own cache, which other tools share, and are not fetched twice. The environment variables of
huggingface_hub hold: HF_TOKEN for private repositories, HF_ENDPOINT for another host, HF_HOME for another cache.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators import biggan_deep_files, brock_files, layout
from biggan_discovery.generators.download import OFFLINE_VARIABLE, is_offline
from biggan_discovery.generators.transfer import readable_size, silenced
from biggan_discovery.reading.limits import LARGEST_FILE, check_bytes

FORM = "hf://user/repo/file"
_ADDRESS = re.compile(r"hf:/{1,2}([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,200}?))?(?:/([^\0\\]{1,400}?))?/?")
_BESIDE = (biggan_deep_files.CONFIG, layout.CLASSES, layout.SETTINGS)
_WEIGHTS = (*biggan_deep_files.SAFETENSORS, biggan_deep_files.WEIGHTS, *brock_files.WEIGHTS)
_SUFFIXES = (".bin", ".pth", ".pt", ".safetensors", ".zip")
_WORTH_A_BAR = 2**20  # bytes
_MOST_SHOWN = 8
_SECONDS = 10  # as huggingface_hub waits for an answer
_log = logging.getLogger(__name__)


class Address(NamedTuple):
    """A file or folder on the Hub.

    Attributes:
        repo: user and name of a model repository.
        revision: branch, tag or commit; None for the main branch.
        path: inside the repository; "" for all of it.
    """

    repo: str
    revision: str | None = None
    path: str = ""

    @classmethod
    def read(cls, text: str | os.PathLike[str]) -> Address:
        """An address from "hf://user/repo@revision/path", of which the revision and the path may be left out.

        Raises:
            UserError: it has another form.

        Example:
            >>> Address.read("hf://someone/cones/directions.safetensors")
            Address(repo='someone/cones', revision=None, path='directions.safetensors')
        """
        match = _ADDRESS.fullmatch(os.fspath(text))
        if match is None or ".." in (match[3] or "").split("/"):
            raise UserError(f"{ascii(os.fspath(text))[:200]} is not an address on the Hub; write {FORM}")
        return cls(match[1], match[2], match[3] or "")

    def __str__(self) -> str:
        return "/".join(filter(None, (f"hf://{self.repo}{f'@{self.revision}' if self.revision else ''}", self.path)))

    def beside(self, name: str) -> Address:
        """A file in the same folder."""
        return self._replace(path=f"{self.path.rpartition('/')[0]}/{name}".lstrip("/"))

    def inside(self, name: str) -> Address:
        """A file in this folder."""
        return self._replace(path=f"{self.path}/{name}".lstrip("/"))


class MissingError(UserError):
    """A file that a repository does not have."""


class AwayError(UserError):
    """A file that is not in the cache, and cannot be downloaded now."""


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an address on the Hub; a `Path` has lost one of its slashes."""
    return re.match("hf:/", os.fspath(path)) is not None


def beside(path: str | os.PathLike[str]) -> Path:
    """The path that results are named after and put beside: of an address, a file of its name here.

    Example:
        >>> str(beside("hf://someone/cones").with_suffix(".mp4")), str(beside("runs/cones.safetensors"))
        ('cones.mp4', 'runs/cones.safetensors')
    """
    return Path(Path(path).name) if is_address(path) else Path(path)


def local_file(address: Address, *, most: int = LARGEST_FILE, offline: bool | None = None) -> Path:
    """The file of an address in the cache, downloaded if it is not there or has changed.

    Without a connection, it is the file as it was downloaded last.

    Args:
        address: of a file.
        most: bytes that are downloaded at most.
        offline: download nothing. Defaults to the environment variable BIGGAN_DISCOVERY_OFFLINE.

    Raises:
        UserError: huggingface_hub is missing, there is no such repository, revision or file, it is too large, or the
            Hub cannot be reached and nothing is in the cache.
        OSError: writing failed.

    Example:
        >>> local_file(Address.read("hf://someone/cones/directions.safetensors")).name
        'directions.safetensors'
    """
    try:
        return _fetched(address, most, is_offline(offline))
    except MissingError as error:
        raise MissingError(f"{error}{_near(address)}") from error


def _fetched(address: Address, most: int, offline: bool) -> Path:
    hub = library()
    with in_one_line(address, offline=offline):
        place = {"repo_id": address.repo, "filename": address.path, "revision": address.revision}
        # For what is not in the cache, huggingface_hub would try for half a minute.
        known = isinstance(hub.try_to_load_from_cache(**place), str)
        local = offline or not (known or _takes_connections(hub.constants.ENDPOINT))
        fetch = functools.partial(hub.hf_hub_download, **place, local_files_only=local)
        about = fetch(dry_run=True)
        check_bytes(about.file_size or 0, most, str(address))
        if Path(about.local_path).is_file():
            return Path(about.local_path)
        _log.info("downloading %s (%s)", address, readable_size(about.file_size or 0))
        quiet = silenced() or (about.file_size or 0) < _WORTH_A_BAR
        return Path(fetch(tqdm_class=_no_bar() if quiet else None))


def _takes_connections(host: str) -> bool:
    """Whether a host is there, as far as can be told: one that is slow, or is known in another way, counts as there."""
    import requests

    try:
        _connect(host)
    except requests.ConnectionError as error:
        return isinstance(error, (requests.Timeout, requests.exceptions.SSLError))
    except requests.RequestException:  # Such as a kind of proxy that requests has no support for.
        return True
    return True


@functools.cache  # Errors are not kept: only a host that was there is not asked again.
def _connect(host: str) -> None:
    import requests

    requests.head(host, timeout=_SECONDS)


def local_generator(address: Address, *, offline: bool | None = None) -> Path:
    """The files of a generator in the cache, downloaded if they are not there or have changed.

    Args:
        address: of a file with weights, or of a folder in the layout of pytorch-pretrained-biggan or BigGAN-PyTorch.
        offline: see `local_file`.

    Returns:
        The file or folder.

    Raises:
        UserError: as `local_file`, or there are no weights.
        OSError: writing failed.
    """
    place: Callable[[str], Address] = address.beside if _is_file(address) else address.inside
    away: list[AwayError] = []

    def there(file: Address) -> Path | None:
        try:
            return _fetched(file, LARGEST_FILE, is_offline(offline) or bool(away))
        except MissingError:
            return None
        except AwayError as error:  # Without a connection, files that were never there look the same.
            away.append(error)
            return None

    for name in _BESIDE:
        there(place(name))
    if _is_file(address):
        return local_file(address, offline=offline or bool(away) or None)
    weights = next(filter(None, map(there, map(place, _WEIGHTS))), None)
    if weights is None:
        raise away[0] if away else UserError(f"{address} has no generator; there is no {' or '.join(_WEIGHTS)}")
    return weights.parent


@contextlib.contextmanager
def in_one_line(address: Address, *, offline: bool = False) -> Iterator[None]:
    """Context manager that turns errors of the Hub into a `UserError`; those of the disk are passed on."""
    errors, log = library().errors, library().utils.logging
    host = library().constants.ENDPOINT
    verbosity = log.get_verbosity()
    log.set_verbosity_error()  # It would tell of each attempt.
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(f"{address.repo} is open to those who accepted its terms: {host}/{address.repo}") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(
            f"no repository {address.repo} on {host}; if it is private, `hf auth login` or HF_TOKEN opens it"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{address.repo} has no revision {address.revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        if offline:
            raise AwayError(f"{address} is not downloaded yet, and downloads are off ({OFFLINE_VARIABLE})") from error
        raise AwayError(f"{host} cannot be reached, and {address} was not downloaded before") from error
    except errors.EntryNotFoundError as error:
        raise MissingError(f"{address.repo} has no file {address.path!r}") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{address}: {' '.join(str(error).split())[:300]}") from error
    finally:
        log.set_verbosity(verbosity)


def _is_file(address: Address) -> bool:
    return address.path.lower().endswith(_SUFFIXES)


def _near(address: Address) -> str:
    """Files of the repository with similar names, as far as they can be had."""
    with contextlib.suppress(Exception):
        files = library().HfApi().list_repo_files(address.repo, revision=address.revision)
        return near_matches(address.path, files) or f" (there are: {', '.join(sorted(files)[:_MOST_SHOWN])})"
    return ""


def library() -> Any:
    """The package huggingface_hub.

    Raises:
        UserError: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.utils.logging
    except ImportError as error:
        raise UserError("addresses on the Hub need huggingface_hub; pip install huggingface_hub") from error
    return huggingface_hub


@functools.cache
def _no_bar() -> type:
    from tqdm import tqdm

    class NoBar(tqdm):
        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **{**options, "disable": True})

    return NoBar
