"""The command line. Command modules are imported on first use, and torch only when a command runs."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import logging
import os
import signal
import sys
from typing import NoReturn

import click

from biggan_discovery.allocator import keep_freed_memory
from biggan_discovery.errors import UserError, near_matches

_COMMANDS = {
    "discover": "discover",
    "visualize": "visualize",
    "evaluate": "evaluate",
    "compare": "compare",
    "edit": "edit",
    "name": "name",
    "generators": "generators",
    "classes": "classes",
    "import": "exchange",
    "export": "exchange",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"biggan_discovery.cli.{_COMMANDS[cmd_name]}")
        return getattr(module, f"{cmd_name}_command")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command '{args[0]}'{near_matches(args[0], _COMMANDS)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="biggan-discovery")
def cli() -> None:
    """Find, judge and use interpretable directions in the latent space of pretrained BigGANs."""


def run(command: click.Command, program: str | None = None) -> NoReturn:
    """Run a command as a process: every expected failure becomes one line on stderr and an exit code.

    Exit codes: 0 success, 1 system failure (a full disk, a closed pipe), 2 bad input, 130 Ctrl-C, 143 SIGTERM.
    """
    keep_freed_memory()
    _print_log()
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # Prints file names that are not valid UTF-8 unchanged.
    try:
        with _joined():
            code = command.main(prog_name=program, standalone_mode=False)
        sys.exit(code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except UserError as error:
        _fail(str(error), 2)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted", 130)
    except MemoryError as error:
        _fail(str(error) or "out of memory; try a smaller --micro-batch or fewer samples", 1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(f"{error.strerror or error}{where}", 1 if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else 2)


def _print_log() -> None:
    """Print the library's log on stderr; `--quiet` raises the level to warnings."""
    log = logging.getLogger("biggan_discovery")
    log.setLevel(logging.INFO)
    log.handlers = [_Lines()]


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        tqdm.write(f"{prefix}{record.getMessage()}", file=sys.stderr)


def _joined() -> contextlib.AbstractContextManager[None]:
    """Join the processes of a launcher such as torchrun, if there is one."""
    if not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        return contextlib.nullcontext()
    from biggan_discovery.runs.processes import joined

    return joined()


def _terminate(*_: object) -> NoReturn:
    """Exit as after an error, so that no partial files remain."""
    sys.exit(128 + signal.SIGTERM)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    sys.exit(code)


def main() -> NoReturn:
    """The console script `biggan-discovery`."""
    run(cli, "biggan-discovery")
