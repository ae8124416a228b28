"""The command group. Command modules are imported on first use, and torch only when a command runs."""

from __future__ import annotations

import importlib

import click

from biggan_discovery.errors import near_matches

_COMMANDS = {
    "discover": "discover",
    "visualize": "visualize",
    "evaluate": "evaluate",
    "compare": "compare",
    "samples": "samples",
    "edit": "edit",
    "walk": "walk",
    "invert": "invert",
    "name": "name",
    "list": "listing",
    "card": "card",
    "push": "card",
    "train": "train",
    "explore": "explore",
    "generators": "generators",
    "classes": "classes",
    "import": "exchange",
    "export": "exchange",
    "export-onnx": "onnx",
}


def find_command(name: str) -> click.Command:
    """Import a command."""
    return getattr(
        importlib.import_module(f"biggan_discovery.cli.{_COMMANDS[name]}"), f"{name.replace('-', '_')}_command"
    )


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return find_command(cmd_name) if cmd_name in _COMMANDS else None

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
