"""The directions files on show, their generators, and what is kept beside them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from biggan_discovery.directions import Directions, changing
from biggan_discovery.directions.defaults import check_fits, load_generator_for
from biggan_discovery.errors import UserError
from biggan_discovery.explorer.view import View
from biggan_discovery.files import atomic_write, make_folder
from biggan_discovery.generators import FrozenGenerator
from biggan_discovery.generators.hub import is_address
from biggan_discovery.numerics.trial import try_out
from biggan_discovery.rendering.selection import Samples, chosen_samples
from biggan_discovery.reports.sets import file_labels

MOST_LATENTS = 64 * 2**20
"""Bytes of a file with latents that is taken."""
_GENERATORS, _SAMPLES = 3, 16  # kept
_MOST_NAMES = 10_000
_log = logging.getLogger(__name__)


class Generators:
    """Loads generators, and keeps the last few.

    Args:
        prepare: called with each generator that is loaded.
        generator: what `load_generator` takes; None for those that directions name.
        truncation: None for those of directions.
        options: of `load_generator`.
    """

    def __init__(
        self,
        prepare: Callable[[FrozenGenerator], object],
        generator: str | None = None,
        truncation: float | None = None,
        **options: Any,
    ):
        self._prepare, self.name, self.truncation, self._options = prepare, generator, truncation, options
        self._kept: OrderedDict[tuple[str, float | None, str | None], FrozenGenerator] = OrderedDict()

    def of(self, directions: Directions, truncation: float | None = None) -> FrozenGenerator:
        """The generator of some directions.

        Raises:
            UserError: see `load_generator_for`, or it does not fit.
        """
        chosen = truncation or self.truncation or directions.metadata.get("truncation")
        known = directions.metadata
        key = str(self.name or known.get("generator")), chosen, known.get("space")
        if key not in self._kept:
            generator = load_generator_for(directions, self.name, truncation=chosen, **self._options)
            check_fits(directions, generator)
            try_out(generator)
            self._prepare(generator)
            self._kept[key] = generator
            while len(self._kept) > _GENERATORS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        if self._kept[key].z_dim != directions.z_dim:
            check_fits(directions, self._kept[key])
        return self._kept[key]


class Shown:
    """Directions on show.

    Attributes:
        path: their file; "" for those in memory.
        label: their short name.
        directions: the directions.

    Args:
        directions: the directions.
        label: see `file_labels`.
        generator: called with the directions and a truncation, None for their own; returns their generator.
    """

    path = ""

    def __init__(
        self, directions: Directions, label: str, generator: Callable[[Directions, float | None], FrozenGenerator]
    ):
        self.directions, self.label, self._generator = directions, label, generator
        self._samples: OrderedDict[Any, Samples] = OrderedDict()

    def generator(self, truncation: float | None = None) -> FrozenGenerator:
        """Their generator, with its own truncation or another."""
        return self._generator(self.directions, truncation)

    def samples(self, view: View) -> Samples:
        """The samples of a view.

        Raises:
            UserError: as `chosen_samples`.
        """
        key = (view.unedited, self.directions.sha256)
        if key not in self._samples:
            self._samples[key] = chosen_samples(
                self.generator(view.truncation),
                view.class_text,
                self.directions,
                latents=self.latents(view.latents) if view.latents else None,
                pick=view.pick,
                seed=view.seed,
            )
            while len(self._samples) > _SAMPLES:
                self._samples.popitem(last=False)
        return self._samples[key]

    def latents(self, key: str) -> Path:
        """The file with some latents.

        Raises:
            UserError: there is none.
        """
        raise UserError(f"there are no latents {key}")

    def why_not_writable(self) -> str:
        """Why names cannot be saved; "" if they can."""
        return ""


class Source(Shown):
    """A directions file on show.

    Attributes:
        path: as it was given.
        folder: for what is kept beside the file.

    Args:
        path: a directions file, or the name of the bundled one.
        label: see `file_labels`.
        generators: where its generator comes from.
    """

    def __init__(self, path: str, label: str, generators: Generators):
        self.generators = generators
        super().__init__(Directions.load(path), label, generators.of)
        self._found_at(path)

    def _found_at(self, path: str) -> None:
        self.path = path
        self._signature = _signature(self.directions.source)
        elsewhere = is_address(path) or self.directions.source != path
        self.folder = _folder_of(self.directions.source, elsewhere=elsewhere)

    def why_not_writable(self) -> str:
        """Why names cannot be saved in the file; "" if they can."""
        if is_address(self.path):
            return "the file is on the Hub"
        if self.directions.source != self.path:
            return "the bundled file stays as it is"
        status = Path(self.path).stat()
        if not status.st_mode & 0o222 or not os.access(self.path, os.W_OK):
            return "the file is read-only"
        return ""

    def copy(self) -> None:
        """Go on with a copy of the file in the current folder.

        Raises:
            UserError: it cannot be written.
        """
        stem = Path(self.directions.source).stem
        names = (f"{stem}{'' if number == 1 else f'-{number}'}.safetensors" for number in range(1, _MOST_NAMES))
        free = next(name for name in names if not Path(name).exists())
        self.directions.save(free)
        self.directions = Directions.load(free)
        self._found_at(free)

    def change(self, row: int, key: str, value: Any, was: Any) -> bool:
        """Change a name, note, star or range in the file, if nobody else has.

        Args:
            row: the direction.
            key: "name", "note", "starred", "hidden" or "range".
            value: what it should be.
            was: what the caller takes it to be now.

        Returns:
            Whether it was changed; not if the file says neither `was` nor `value`.

        Raises:
            UserError: a value that is not valid, or a file that cannot be changed.
        """
        apply = _change_of(key)
        changed = True
        with changing(self.path) as directions:
            now = mark_of(directions, row)[key]
            if now in (was, value):
                apply(directions, row, value)
            else:
                changed = False
        self.reread()
        return changed

    def reread(self) -> bool:
        """Read the file again if it changed; whether it did. A file that is missing or damaged changes nothing."""
        signature = _signature(self.directions.source)
        if signature is None or signature == self._signature:
            return False
        try:
            directions = Directions.load(self.path)
        except UserError as error:
            _log.warning("%s", error)
            self._signature = signature
            return False
        self.directions, self._signature = directions, signature
        return True

    def keep_latents(self, content: bytes, name: str) -> tuple[str, int]:
        """Keep latents that a page sent; returns their key, and how many there are.

        Raises:
            UserError: they cannot be read, or do not fit the generator.
        """
        key = hashlib.sha256(content).hexdigest()[:16]
        path = self.folder / "latents" / f"{key}-{_safe(name)}"
        make_folder(path.parent)
        atomic_write(path, content)
        try:
            count = len(chosen_samples(self.generator(), None, self.directions, latents=path))
        except UserError as error:
            path.unlink(missing_ok=True)
            raise UserError(str(error).replace(str(path), name[:60])) from error
        return key, count

    def latents(self, key: str) -> Path:
        """The file with some latents.

        Raises:
            UserError: there is none.
        """
        found = next(iter((self.folder / "latents").glob(f"{key}-*")), None)
        if found is None:
            raise UserError("the latents of this link are not here; drop their file again")
        return found


def open_sources(paths: Sequence[str], generators: Generators) -> list[Source]:
    """The files on show.

    Raises:
        UserError: a file cannot be read, or is given twice.
    """
    return [Source(path, label, generators) for path, label in zip(paths, file_labels(paths), strict=True)]


def mark_of(directions: Directions, row: int) -> dict[str, Any]:
    """What people said about a direction, as JSON values.

    Raises:
        UserError: there is no such direction.
    """
    directions.row(row)
    ends = directions.recommended_ranges[row]
    return {
        "name": directions.names[row],
        "note": directions.notes[row],
        "starred": directions.starred[row],
        "hidden": directions.hidden[row],
        "range": None if ends is None else list(ends),
    }


def change_mark(directions: Directions, row: int, key: str, value: Any) -> None:
    """Change what is said about a direction: "name", "note", "starred", "hidden" or "range".

    Raises:
        UserError: there is no such direction or key, or the value is not valid.
    """
    _change_of(key)(directions, row, value)


def _change_of(key: str) -> Callable[[Directions, int, Any], None]:
    if key not in _CHANGES:
        raise UserError(f"directions have no {key[:40]!r}; there are {', '.join(_CHANGES)}")
    return _CHANGES[key]


def _rename(directions: Directions, row: int, name: Any) -> None:
    directions.rename(row, _text(name))


def _annotate(directions: Directions, row: int, note: Any) -> None:
    directions.annotate(row, _text(note))


def _star(directions: Directions, row: int, starred: Any) -> None:
    directions.mark(row, starred=_flag(starred))


def _hide(directions: Directions, row: int, hidden: Any) -> None:
    directions.mark(row, hidden=_flag(hidden))


def _recommend(directions: Directions, row: int, ends: Any) -> None:
    numbers = isinstance(ends, list) and all(isinstance(end, int | float) for end in ends)
    if ends is not None and not (numbers and len(ends) == 2):
        raise UserError("a range is two numbers")
    directions.recommend(row, None if ends is None else (float(ends[0]), float(ends[1])))


_CHANGES: dict[str, Callable[[Directions, int, Any], None]] = {
    "name": _rename,
    "note": _annotate,
    "starred": _star,
    "hidden": _hide,
    "range": _recommend,
}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UserError("a name or note is a string")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError("a star is set or not: true or false")
    return value


def facts_key(facts: Any) -> str:
    """A name for what is kept beside a file, by JSON values that it depends on."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def _folder_of(source: str, *, elsewhere: bool) -> Path:
    """A folder beside the file, or in the user's cache if that cannot be written."""
    path = Path(source)
    if not elsewhere and os.access(path.parent, os.W_OK):
        return path.with_name(f".{path.stem}.explore")
    key = hashlib.sha256(os.fsencode(source if is_address(source) else path.resolve())).hexdigest()[:16]
    with contextlib.suppress(RuntimeError):
        return platformdirs.user_cache_path("biggan-discovery") / "explore" / key
    return Path.cwd() / f".{path.stem}.explore"


def _signature(path: str) -> tuple[int, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", Path(name).name)[-60:].lstrip(".-") or "latents"
