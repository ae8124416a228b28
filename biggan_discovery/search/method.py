"""What a method is: its settings, how it searches, and what it finds. Needs no torch."""

from __future__ import annotations

import abc
import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from biggan_discovery.errors import UserError, near_matches

if TYPE_CHECKING:
    from torch import Tensor

    from biggan_discovery.generators import FrozenGenerator
    from biggan_discovery.generators.layer_range import LayerRange
    from biggan_discovery.runs.folder import State
    from biggan_discovery.runs.session import Session


@dataclass(frozen=True)
class Found:
    """Directions and what the method knows about them.

    Attributes:
        A: (ndirs, coordinates of the search space) float32 on the CPU. Closed forms give rows of length 1, the
            strongest first, with the signs of `numerics.eigenvectors.fixed_signs`.
        values: what the method calls their strength, lists of ndirs numbers; and other figures for the file's header.
        evaluations: what it cost in images through the generator; a forward pass, a backward pass and a forward-mode
            tangent count as one each.
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

    The command line, the checks of `discover`, the file's header and the comparison on resume are made from it.

    Args:
        help: what it is, three to six words and a full stop.
        default: what the default is, in words; its value comes from `Method.defaults`.
        least: smallest value.
        most: largest value.
        above: a number that the value must exceed.
        choices: the values that there are.
        recorded: whether the result depends on it by more than rounding.
    """
    details = {"help": help, "default": default, "least": least, "most": most, "above": above, "choices": choices}
    return dataclasses.field(metadata={**details, "recorded": recorded})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every method has; a method's own settings are fields of a subclass, see `setting`.

    Attributes:
        classes: class indices to search over.
        layers: which layers of the generator the directions reach.
        directions: number of directions.
        seed: of everything random.
    """

    classes: list[int]
    layers: LayerRange
    directions: int
    seed: int

    def header(self) -> dict[str, Any]:
        """All that decides the result, as JSON values; settings that are not used are None and left out."""
        names = (field.name for field in dataclasses.fields(self) if field.metadata.get("recorded", True))
        values = {name: getattr(self, name) for name in names} | {"layers": str(self.layers)}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def own(cls) -> dict[str, dataclasses.Field[Any]]:
        """The fields that the method adds."""
        return {field.name: field for field in dataclasses.fields(cls) if field.metadata}


class Method(abc.ABC):
    """How directions are found.

    A new method is one file with a subclass, mostly of `ClosedForm`, and one line in `search.table`.

    Attributes:
        paper: authors and year; "" for baselines.
        Settings: the class of its settings.
        unused: names of settings that this object does not use, though others of its class do.
    """

    paper: str
    Settings: ClassVar[type[Settings]]
    unused: frozenset[str] = frozenset()

    def defaults(self, generator: FrozenGenerator, layers: LayerRange, asked: dict[str, Any]) -> dict[str, Any]:
        """Settings that are not the generator's own `defaults`, where the user gives none.

        Args:
            generator: the frozen network.
            layers: which layers the directions reach.
            asked: what the user has given.
        """
        del asked
        space = generator.search_space(layers)
        return {"directions": space.stop - space.start}

    def check(self, generator: FrozenGenerator, settings: Any) -> None:  # noqa: B027 - most have nothing more to check
        """Refuse settings that are right one by one and do not fit together.

        Raises:
            UserError: they do not.
        """

    def start_rows(self, generator: FrozenGenerator, settings: Any) -> int:
        """How many rows the start has that `settings.init` names; 0 where nothing is searched."""
        return 0

    def total(self, settings: Any) -> int:
        """Steps in all; 0 where nothing is searched."""
        return 0

    def choose_precision(self, generator: FrozenGenerator, settings: Any) -> tuple[str, dict[str, float]]:
        """The precision that `settings.precision` means here, where there is such a setting, and figures of it.

        Raises:
            UserError: the device or the generator does not have it.
        """
        return settings.precision, {}

    @abc.abstractmethod
    def start(self, generator: FrozenGenerator, settings: Any, rows: Tensor, header: dict[str, Any]) -> State:
        """The state before the first step, from orthonormal `rows` (n, coordinates)."""

    @abc.abstractmethod
    def search(self, generator: FrozenGenerator, settings: Any, state: State, session: Session) -> None:
        """Take the steps that are left, in place; stop where the session says so."""

    @abc.abstractmethod
    def result(self, generator: FrozenGenerator, settings: Any, state: State, *, quiet: bool) -> Found:
        """The directions of a finished state."""


class ClosedForm(Method):
    """A method that computes directions in one go; implement `find`.

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
        """Nothing but the settings, so that a folder is known to hold this run."""
        from biggan_discovery.runs.folder import State

        return State(header, {}, (), 0)

    def search(self, generator: FrozenGenerator, settings: Any, state: State, session: Session) -> None:
        """Nothing to search."""
        session.begin(state)

    def result(self, generator: FrozenGenerator, settings: Any, state: State, *, quiet: bool) -> Found:
        """What `find` gives."""
        return self.find(generator, settings, quiet=quiet)


def checked(name: str, value: Any, field: dataclasses.Field[Any]) -> Any:
    """The value of a setting, as a float where it is one.

    Raises:
        UserError: not of the field's type, or out of its range.
    """
    if choices := field.metadata["choices"]:
        return one_of(name, value, choices)
    if field.type == "str":
        if not isinstance(value, str):
            raise UserError(f"{name} is {value!r}; it should be a string")
        return value
    whole = str(field.type).startswith("int")
    kinds, word = (int, "an integer") if whole else (int | float, "a number")
    least, most, above = (field.metadata[key] for key in ("least", "most", "above"))
    right = isinstance(value, kinds) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    right = right and (least is None or value >= least) and (most is None or value <= most)
    if not right or (above is not None and not value > above):
        limits = [
            f"{words} {limit}" for words, limit in (("of at least", least), ("above", above)) if limit is not None
        ]
        limits += [f"at most {most}"] if most is not None else []
        raise UserError(f"{name} is {value!r}; it should be {word} {' and '.join(limits)}".rstrip())
    return value if whole else float(value)


def one_of(name: str, value: object, known: Sequence[str]) -> str:
    """The value.

    Raises:
        UserError: none of the known ones, naming those that are nearly the same.
    """
    if value not in known:
        raise UserError(f"{name} is {value!r}; it should be one of {', '.join(known)}{near_matches(str(value), known)}")
    return str(value)


MICRO_BATCH: dict[str, Any] = {
    "help": "Images computed at once.",
    "default": "as many as fit in memory",
    "least": 1,
    "recorded": False,
}
