"""Generators in a user's own Python code, given as `my_gan.py:G` or `package.module:make`.

Loading one runs that code, so such a name is taken from the user only, never from a file. Finding and listing
generators imports nothing of it, and no torch.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.files import existing_file
from biggan_discovery.generators.family import Family, absolute

if TYPE_CHECKING:
    from torch import nn

    from biggan_discovery.generators.base import FrozenGenerator

_WORDS = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_FILE = re.compile(rf"(.+\.py):({_WORDS})", re.DOTALL)
_MODULE = re.compile(rf"({_WORDS}):({_WORDS})")
_Z_DIM = ("z_dim", "dim_z", "latent_dim", "nz")
_NUM_CLASSES = ("num_classes", "n_classes")

_neighbours: set[str] = set()
"""Modules that a user's file imported from its folder; dropped when another is loaded, as names may be the same."""


def _recognises(path: Path) -> bool:
    return bool(_FILE.fullmatch(str(path)) or _MODULE.fullmatch(str(path))) and not path.exists()


def _absolute(path: Path) -> Path:
    return absolute(path) if _FILE.fullmatch(str(path)) else path


def _class_names(path: Path) -> tuple[str, ...]:
    return _load(path, name=str(path)).class_names


def _load(path: Path, *, name: str, truncation: float | None = None) -> FrozenGenerator:
    """The generator of an attribute of a module.

    Raises:
        UserError: the module is not found or raises, or the attribute is missing or not a generator.
    """
    from biggan_discovery.generators.base import FrozenGenerator

    source, _, attribute = str(path).rpartition(":")
    is_file = bool(_FILE.fullmatch(str(path)))
    folder = Path(source).parent if is_file else Path.cwd()
    with _import_path(folder), _own_neighbours(folder) if is_file else contextlib.nullcontext():
        module = _imported(source)
        made = _made(_attribute(module, source, attribute), name)
        # A copy, as modules are imported once and this call's name and truncation are its own; weights are shared.
        generator = copy.copy(made) if isinstance(made, FrozenGenerator) else _wrapped(made, name)
    generator.name = name
    generator.sha256 = generator.sha256 or _sha256(generator)
    if truncation is not None and truncation != generator.truncation:
        _set_truncation(generator, truncation)
    return generator


@contextlib.contextmanager
def _import_path(folder: Path) -> Iterator[None]:
    """Import modules of a folder before all others, as Python does for a script in it."""
    path = list(sys.path)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()  # The file may have been written a moment ago.
    try:
        yield
    finally:
        sys.path[:] = path


@contextlib.contextmanager
def _own_neighbours(folder: Path) -> Iterator[None]:
    """Forget what an earlier file imported from its folder, and remember what this one imports from its own."""
    for neighbour in _neighbours:
        sys.modules.pop(neighbour, None)
    _neighbours.clear()
    known = set(sys.modules)
    try:
        yield
    finally:
        new = set(sys.modules) - known
        tops = {top for top in {each.partition(".")[0] for each in new} - known if _lies_in(top, folder)}
        _neighbours.update(each for each in new if each.partition(".")[0] in tops)


def _lies_in(module: str, folder: Path) -> bool:
    spec = getattr(sys.modules.get(module), "__spec__", None)
    places = [spec.origin, *(spec.submodule_search_locations or [])] if spec else []
    return any(place is not None and Path(place).parent in (folder, folder / module) for place in places)


def _imported(source: str) -> ModuleType:
    """The module of a file, which is re-run, or an importable module."""
    if _MODULE.fullmatch(f"{source}:G"):
        _check_found(source)
        with one_line(source):
            return importlib.import_module(source)
    path = existing_file(source)
    # A unique name, so that a file called like an installed package does not replace it.
    name = f"_biggan_discovery_user_{hashlib.sha256(source.encode(errors='surrogateescape')).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # Data classes and pickle look their module up.
    with one_line(source):
        # Not by its loader, whose cached bytecode may be of a file that has changed within the same second.
        exec(compile(path.read_bytes(), source, "exec"), module.__dict__)
    return module


def load_attribute(text: str) -> Any:
    """A function or value of a user's Python code, whose import runs it.

    Args:
        text: FILE.py:NAME or module:NAME, from the user and never from a file.

    Raises:
        UserError: the text is neither, the module is not found or raises, or has no such attribute.
    """
    if not _recognises(Path(text)):
        raise UserError(f"{text[:100]!r} is not Python code; write my_file.py:name or module:name")
    source, _, attribute = text.rpartition(":")
    is_file = bool(_FILE.fullmatch(text))
    source = str(absolute(Path(source))) if is_file else source
    folder = Path(source).parent if is_file else Path.cwd()
    with _import_path(folder), _own_neighbours(folder) if is_file else contextlib.nullcontext():
        return _attribute(_imported(source), source, attribute)


def _check_found(source: str) -> None:
    """Check that a module exists; this imports its packages."""
    packages = source.split(".")
    places: list[str] | None = None
    for depth, word in enumerate(packages, start=1):
        name = ".".join(packages[:depth])
        with one_line(name):
            found = importlib.util.find_spec(name)
        if found is None:
            known = [each.name for each in pkgutil.iter_modules(places)]
            inside = f" in {'.'.join(packages[: depth - 1])}" if depth > 1 else ""
            raise UserError(f"no module {word!r}{inside}{near_matches(word, known)}; give a file as my_gan.py:G")
        places = list(found.submodule_search_locations or [])
        if depth < len(packages) and found.submodule_search_locations is None:
            raise UserError(f"{name} is a module, not a package, so there is no {source}")


@contextlib.contextmanager
def one_line(source: str) -> Iterator[None]:
    """Turn any error of the user's code into one line with its location."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())
        if isinstance(error, SyntaxError):
            where = f" (line {error.lineno})" if error.lineno else ""
            raise UserError(f"{error.filename or source} is not Python{where}: {error.msg}") from error
        line = _line_in(source, error)
        raise UserError(f"{source} raises {type(error).__name__}{line}: {message[:300]}") from error


def _line_in(source: str, error: BaseException) -> str:
    """The last line of a file or module that an error passed through."""
    lines, trace = [], error.__traceback__
    while trace is not None:
        if source in (trace.tb_frame.f_code.co_filename, trace.tb_frame.f_globals.get("__name__")):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" in line {lines[-1]}" if lines else ""


def _attribute(module: ModuleType, source: str, attribute: str) -> Any:
    found: Any = module
    for word in attribute.split("."):
        if not hasattr(found, word):
            known = [name for name in dir(found) if not name.startswith("_")]
            raise UserError(f"{source} has no {attribute!r}{near_matches(word, known)}")
        found = getattr(found, word)
    return found


def _made(found: Any, name: str) -> Any:
    """What a class or a function without required arguments returns; anything else as it is."""
    if not isinstance(found, type) and not (inspect.isroutine(found) and _needs_nothing(found)):
        return found
    if isinstance(found, type) and not _needs_nothing(found):
        attribute = name.rpartition(":")[2]
        raise UserError(f"{name} needs arguments; write def make(): return {attribute}(...) and give FILE.py:make")
    with one_line(name.rpartition(":")[0]):
        return found()


def _needs_nothing(function: Any) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # Some built-in functions have no signature.
        return False
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    takes_any = not isinstance(function, type) and any(each.kind is starred[0] for each in parameters)
    return not takes_any and all(
        each.kind in starred or each.default is not inspect.Parameter.empty for each in parameters
    )


def _wrapped(fn: Any, name: str) -> FrozenGenerator:
    """A generator around a function or module."""
    from biggan_discovery.generators.function import FunctionGenerator, unwrapped

    attribute = name.rpartition(":")[2]
    if not callable(fn) or isinstance(fn, type):
        raise UserError(
            f"{name} is {type(fn).__name__}; it should be a FrozenGenerator, a function or module from latents to "
            "images, or a class or function without arguments that makes one"
        )
    z_dim = _size(unwrapped(fn), _Z_DIM)
    if z_dim is None:
        raise UserError(
            f"the z_dim of {name} is unknown; write generator = FunctionGenerator({attribute}, z_dim=...) in a file "
            f"(from biggan_discovery import FunctionGenerator) and give FILE.py:generator, or set {attribute}.z_dim"
        )
    with one_line(name.rpartition(":")[0]):
        network: Any = fn
        prior = getattr(unwrapped(fn), "prior", None)
        given: dict[str, Any] = {"prior": prior} if isinstance(prior, str) else {}
        return FunctionGenerator(
            network, z_dim=z_dim, num_classes=_size(unwrapped(fn), _NUM_CLASSES), name=name, **given
        )


def _size(fn: Any, keys: tuple[str, ...]) -> int | None:
    """The first of some attributes that is a size."""
    sizes = (getattr(fn, key, None) for key in keys)
    return next((size for size in sizes if isinstance(size, int) and not isinstance(size, bool) and size > 0), None)


def _set_truncation(generator: FrozenGenerator, truncation: float) -> None:
    from biggan_discovery.generators.base import check_truncation
    from biggan_discovery.generators.function import FunctionGenerator

    if not isinstance(generator, FunctionGenerator):
        raise UserError(
            f"{generator.name} was made with truncation {generator.truncation:g}, so it cannot be {truncation!r}; "
            "change it there"
        )
    generator.truncation = check_truncation(truncation)


def _sha256(generator: FrozenGenerator) -> str:
    """Of names, shapes, dtypes and bytes of the weights and buffers, in order; "" if there are none."""
    import torch

    from biggan_discovery.generators.function import unwrapped

    network: nn.Module | None = unwrapped(generator.network)
    state = {} if network is None else network.state_dict()
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    digest = hashlib.sha256()
    for key, value in tensors.items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest() if tensors else ""


FAMILY = Family(
    name="a user's own code",
    looks_for="your own network as my_gan.py:G or package.module:G",
    recognises=_recognises,
    load=_load,
    class_names=_class_names,
    absolute=_absolute,
    runs_code=True,
)
