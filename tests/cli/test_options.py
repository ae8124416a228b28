"""Options that commands share, and the help of every command."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from biggan_discovery.cli import cli
from biggan_discovery.cli.options import Grouped, group, quiet_option, sibling
from biggan_discovery.generators.search_settings import PAPER_SETTINGS
from biggan_discovery.search.settings import AdamSettings

CLONE = Path(__file__).parents[2]
LOG = logging.getLogger("biggan_discovery")


@pytest.mark.parametrize(("arguments", "level"), [([], logging.INFO), (["--quiet"], logging.WARNING)])
def test_quiet_logs_only_warnings_until_the_command_ends(
    arguments: list[str], level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOG, "level", logging.INFO)
    levels = []

    @click.command(cls=Grouped)
    @group("Results", quiet_option)
    def command(quiet: bool) -> None:
        assert quiet == bool(arguments)
        levels.append(LOG.level)

    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert (levels, LOG.level) == ([level], logging.INFO)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("python discover.py", "python draw.py"),
        ("python /home/discover/discover.py", "python /home/discover/draw.py"),
        ("discover", "draw"),
    ],
)
def test_other_commands_are_named_as_the_running_one_was_typed(program: str, expected: str) -> None:
    @click.command("discover", cls=Grouped, epilog="COMMAND --seed 1")
    def command() -> None:
        click.echo(sibling("draw"))

    assert CliRunner().invoke(command, [], prog_name=program).output == f"{expected}\n"
    assert f"  {program} --seed 1\n" in CliRunner().invoke(command, ["--help"], prog_name=program).output


@pytest.mark.parametrize("name", cli.list_commands(click.Context(cli)))
def test_help_fits_a_narrow_terminal(name: str) -> None:
    shown = CliRunner().invoke(cli, [name, "--help"], terminal_width=60, prog_name="biggan-discovery")
    assert shown.exit_code == 0
    before_examples = shown.output.partition("Examples:")[0]
    assert max(map(len, before_examples.splitlines())) <= 60
    assert "COMMAND" not in shown.output


def test_defaults_in_the_help_are_those_of_the_paper_and_of_the_bundled_generators() -> None:
    bundled = json.loads((CLONE / "checkpoints" / "scenes-64" / "discovery.json").read_text())
    for name, field in AdamSettings.own().items():
        if name in PAPER_SETTINGS:
            text = f"{PAPER_SETTINGS[name]:,g}"
            text += f"; {bundled[name]:g} if bundled" if bundled[name] != PAPER_SETTINGS[name] else ""
            assert field.metadata["default"].removesuffix("; 0 for orojar") == text
