"""The interface of methods: settings, search and result. Needs no torch."""

from __future__ import annotations

import abc
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from biggan_discovery.errors import UserError, near_matches
from biggan_discovery.generators.mixes import Class, to_stored

if TYPE_CHECKING:
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.generators.layer_range import LayerRange
    from biggan_discovery.runs.folder import State
    from biggan_discovery.runs.session import Session


_INT64 = 2**63 - 1


@dataclass(frozen=True)
class Found:
    """The result of a method.

    Attributes:
        A: (ndirs, coordinates of the search space), float32, on the CPU. Closed-form methods return rows of length 1,
            sorted by decreasing strength, with the signs of `numerics.eigenvectors.fixed_signs`.
        values: strengths of the directions under the method's own name, as lists of ndirs numbers, and other values for
            the header of the directions file.
        evaluations: cost in generator evaluations; a forward pass, a backward pass and a forward-mode tangent of one
            image count as one each.
    """

    A: Tensor
    values: dict[str, Any]
    evaluations: int


def setting(
    help: str,  # noqa: A002
    *,
    default: str,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    choices: Sequence[str] = (),
    recorded: bool = True,
) -> Any:
    """A field of a method's settings.

    It defines the command-line option, the checks of `discover`, the entry in the file's header and the comparison on
    resume.

    Args:
        help: description of three to six words, with a full stop.
        default: description of the default; its value comes from `Method.defaults`.
        least: inclusive lower bound.
        most: inclusive upper bound.
        above: exclusive lower bound.
        choices: allowed values. Defaults to any.
        recorded: whether the setting changes the result by more than rounding.

    Example:
        >>> @dataclass(frozen=True, kw_only=True)
        ... class MySettings(Settings):
        ...     samples: int = setting("Number of latents.", default="32", least=1)
    """
    details = {"help": help, "default": default, "least": least, "most": most, "above": above, "choices": choices}
    return dataclasses.field(metadata={**details, "recorded": recorded})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of every method. A method adds its own as fields of a subclass, see `setting`.

    Attributes:
        classes: class indices and soft classes to search over.
        layers: layers of the generator that the directions reach.
        directions: number of directions.
        seed: random seed.
    """

    classes: list[Class]
    layers: LayerRange
    directions: int
    seed: int

    def header(self) -> dict[str, Any]:
        """All settings that determine the result, as JSON values; unused settings are None and left out."""
        names = (field.name for field in dataclasses.fields(self) if field.metadata.get("recorded", True))
        values = {name: getattr(self, name) for name in names} | {
            "layers": str(self.layers),
            "classes": to_stored(self.classes),
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def own(cls) -> dict[str, dataclasses.Field[Any]]:
        """The fields that the subclass adds."""
        return {field.name: field for field in dataclasses.fields(cls) if field.metadata}


class Method(abc.ABC):
    """Base class of methods.

    A new method is one file with a subclass, usually of `ClosedForm`, and one line in `search.table`.

    Attributes:
        paper: authors and year; "" for baselines.
        Settings: class of the method's settings.
        unused: names of settings that this instance does not use.
    """

    paper: str
    Settings: ClassVar[type[Settings]]
    unused: frozenset[str] = frozenset()

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict[str, Any]) -> dict[str, Any]:
        """Default settings that replace the `defaults` of the generator.

        Args:
            generator: the frozen generator.
            layers: layers that the directions reach.
            asked: the settings given by the user.
        """
        del asked
        space = generator.search_space(layers)
        return {"directions": space.stop - space.start}

    def check(self, generator: FrozenGenerator, settings: Any) -> None:  # noqa: B027 - Optional.
        """Check settings that are valid individually but may be incompatible.

        Raises:
            UserError: if they are incompatible.
        """

    def start_rows(self, generator: FrozenGenerator, settings: Any) -> int:
        """Number of rows of the start `settings.init`; 0 for closed-form methods."""
        return 0

    def evaluations(self, settings: Any) -> int | None:
        """Generator evaluations of the whole search; None if they are known only after its first step."""
        return None

    def most_steps(self, settings: Any, state: State) -> int:
        """The most steps that a search can take, after its first one."""
        return state.total

    def limits(self, settings: Any, steps: int) -> frozenset[str]:
        """Names of settings that may differ from those of a run of so many steps for `extended` to go on with it."""
        return frozenset()

    def extended(self, done: State, fresh: State) -> State:
        """The state of a search with other `limits` that goes on from `done`; `fresh` is the one without any steps."""
        return done

    def choose_precision(self, generator: FrozenGenerator, settings: Any) -> tuple[str, dict[str, float]]:
        """Resolve `settings.precision`, for methods that have this setting.

        Returns:
            The precision, and measured values of its accuracy.

        Raises:
            UserError: if the device or the generator does not support it.
        """
        return settings.precision, {}

    @abc.abstractmethod
    def start(self, generator: FrozenGenerator, settings: Any, rows: Tensor, header: dict[str, Any]) -> State:
        """The state before the first step, from orthonormal `rows` (n, coordinates)."""

    @abc.abstractmethod
    def search(self, generator: FrozenGenerator, settings: Any, state: State, session: Session) -> None:
        """Take the remaining steps, updating the state in place; return early if the session asks to stop."""

    @abc.abstractmethod
    def result(self, generator: FrozenGenerator, settings: Any, state: State, *, quiet: bool) -> Found:
        """The directions of a finished search."""


class ClosedForm(Method):
    """A method that computes directions without iterative search; implement `find`.

    Example:
        >>> class Columns(ClosedForm):
        ...     paper = ""
        ...     Settings = Settings
        ...
        ...     def find(self, generator, settings, *, quiet):
        ...         import torch
        ...
        ...         return Found(torch.eye(settings.directions, generator.z_dim), {}, 0)
    """

    def check(self, generator: FrozenGenerator, settings: Any) -> None:
        """There cannot be more directions than the layers see coordinates of z."""
        from biggan_discovery.directions.space import check_count

        space = generator.search_space(settings.layers)
        check_count(settings.directions, space.stop - space.start)

    @abc.abstractmethod
    def find(self, generator: FrozenGenerator, settings: Any, *, quiet: bool) -> Found:
        """`settings.directions` directions, in the coordinates of `generator.search_space(settings.layers)`."""

    def start(self, generator: FrozenGenerator, settings: Any, rows: Tensor, header: dict[str, Any]) -> State:
        """A state that holds only the settings, which identify the run in its folder."""
        from biggan_discovery.runs.folder import State

        return State(header, {}, (), 0)

    def search(self, generator: FrozenGenerator, settings: Any, state: State, session: Session) -> None:
        """Do nothing but save the state."""
        session.begin(state)

    def result(self, generator: FrozenGenerator, settings: Any, state: State, *, quiet: bool) -> Found:
        """The result of `find`."""
        return self.find(generator, settings, quiet=quiet)


def checked(name: str, value: Any, field: dataclasses.Field[Any]) -> Any:
    """Check the value of a setting and return it, converted to float if the field is a float.

    Raises:
        UserError: if the value has the wrong type or is out of range.
    """
    if choices := field.metadata["choices"]:
        return one_of(name, value, choices)
    if str(field.type).startswith("str"):
        if not isinstance(value, str):
            raise UserError(f"{name} is {value!r}; it should be a string")
        return value
    integral = str(field.type).startswith("int")
    kinds, word = (int, "an integer") if integral else (int | float, "a number")
    least, most, above = (field.metadata[key] for key in ("least", "most", "above"))
    valid = isinstance(value, kinds) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if valid and integral and most is None and value > _INT64:
        most = _INT64
    valid = valid and (least is None or value >= least) and (most is None or value <= most)
    if not valid or (above is not None and not value > above):
        limits = [
            f"{words} {limit}" for words, limit in (("of at least", least), ("above", above)) if limit is not None
        ]
        limits += [f"at most {most}"] if most is not None else []
        raise UserError(f"{name} is {value!r}; it should be {word} {' and '.join(limits)}".rstrip())
    return value if integral else float(value)


def one_of(name: str, value: object, known: Sequence[str]) -> str:
    """Return the value.

    Raises:
        UserError: if it is not one of the known values, with near matches.
    """
    if value not in known:
        raise UserError(f"{name} is {value!r}; it should be one of {', '.join(known)}{near_matches(str(value), known)}")
    return str(value)


MICRO_BATCH: dict[str, Any] = {
    "help": "Images computed at once.",
    "default": "by device and memory",
    "least": 1,
    "recorded": False,
}
