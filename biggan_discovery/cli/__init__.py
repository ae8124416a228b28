"""The command line.

Only the standard library is imported here, so that a missing package is one line, and an early signal is handled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from biggan_discovery import output
from biggan_discovery.allocator import keep_freed_memory
from biggan_discovery.installed import as_typed, packages_required
from biggan_discovery.lazy import attach
from biggan_discovery.runs import interrupts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

    from biggan_discovery.cli.group import cli

__all__ = ["cli", "main", "run", "start"]
_RAISE = "close other programs, or raise the limit"
_LOWER = {
    "discover": "lower --micro-batch, --samples, --sketches or --batch, or raise the limit",
    "visualize": "lower --samples or --scale, draw fewer directions with --only, or raise the limit",
    "walk": "lower --scale, or raise the limit",
    "invert": "take a smaller generator, or raise the limit",
    "edit": "lower --samples or --scale, or raise the limit",
    "evaluate": "measure fewer --metrics, or raise the limit",
    "train": "lower --batch or --width, or raise the limit",
}
"""What each command says if memory runs out."""

__getattr__ = attach(__name__, {"cli": "group"})


def main() -> NoReturn:
    """The console script `biggan-discovery`."""
    start(None, as_typed(sys.argv[0]))


def start(name: str | None, program: str) -> NoReturn:
    """Run the command `name`, or the one in the arguments, as a process; see `run`.

    Args:
        name: the command; None for the group of all commands.
        program: what the user types before the arguments.
    """
    interrupts.block()
    keep_freed_memory()
    with packages_required():
        from biggan_discovery.cli.group import cli, find_command

        _run(find_command(name) if name else cli, program)


def run(command: click.Command, program: str | None = None) -> NoReturn:
    """Run a command as a process: every expected failure becomes one line on stderr and an exit code.

    Exit codes: 0 success, 1 system failure (a full disk, no memory), 2 bad input, 128 + n after signal n: 130 for
    Ctrl-C, 143 for SIGTERM.
    """
    keep_freed_memory()
    _run(command, program)


def _run(command: click.Command, program: str | None) -> NoReturn:
    with output.guarded(), interrupts.handled():
        sys.exit(_code(command, program))


def _code(command: click.Command, program: str | None) -> int:
    """Run a command, print why it failed if it did, and return the exit code."""
    import click

    from biggan_discovery.errors import UserError
    from biggan_discovery.files import is_bad_path
    from biggan_discovery.memory import OutOfMemoryError, RoomForLibraries

    RoomForLibraries.install()
    try:
        with _memory_in_one_line(command), _joined():
            return int(command.main(prog_name=program, standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _failed(error.format_message(), 2)
    except UserError as error:
        return _failed(str(error), 2)
    except click.Abort as error:
        return _stopped(error.__cause__ or error, signal.SIGINT)
    except KeyboardInterrupt as error:
        return _stopped(error, signal.SIGINT)
    except interrupts.Stopped as error:
        return _stopped(error, error.number)
    except OutOfMemoryError as error:
        return _failed(str(error), 1)
    except BrokenPipeError:  # The reader of stdout has what it wanted.
        return 1
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _failed(f"{error.strerror or error}{where}", 2 if is_bad_path(error) else 1)


@contextlib.contextmanager
def _memory_in_one_line(command: click.Command) -> Iterator[None]:
    """Raise an `OutOfMemoryError` that says what to lower for every error that means out of memory."""
    from biggan_discovery.memory import OutOfMemoryError, is_out_of_memory, out_of_memory

    try:
        yield
    except Exception as error:
        if isinstance(error, OutOfMemoryError) or not is_out_of_memory(error):
            raise
        name = next((word for word in sys.argv[1:] if word in _LOWER), command.name or "")
        raise OutOfMemoryError(out_of_memory(error, _LOWER.get(name, _RAISE))) from error


def _joined() -> contextlib.AbstractContextManager[None]:
    """Join the processes of a launcher such as torchrun, if there is one."""
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return contextlib.nullcontext()
    from biggan_discovery.runs.processes import joined

    return joined()


def _stopped(error: BaseException, number: int) -> int:
    """Say that a signal ended the command, and how to go on where the error has a note about that."""
    notes = getattr(error, "__notes__", [])
    end = "error: interrupted" if number == signal.SIGINT else f"error: stopped by {signal.Signals(number).name}"
    output.message(f"stopped; {'; '.join(notes)}" if notes else end)
    return 128 + number


def _failed(text: str, code: int) -> int:
    output.message(f"error: {' '.join(text.split())}")
    return code
