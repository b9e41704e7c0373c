"""Entry point: the commands by what one is doing. Each one's module is imported when it is called, and not before:
`bot4 halt` must not wait for what a backtest needs.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from engine import __version__
from engine.cli.output import EXIT_CODES
from engine.errors import Bot4Error
from engine.settings.redact import REDACTOR

# Command to module of engine/cli; its object there has the command's name.
GROUPS: dict[str, dict[str, str]] = {
    "run": {"run": "run", "record": "record", "venue": "venue"},
    "look": {
        "status": "control", "top": "control", "why": "control", "tail": "control", "alerts": "control",
        "ack": "control", "books": "books", "events": "events", "journal": "events", "export": "export",
    },
    "stop and tighten": {
        "halt": "control", "pause": "control", "resume": "control", "reduce": "control", "liquidate": "control",
        "tighten": "control", "reload": "control", "reset": "reset", "approve": "approve",
    },
    "strategies": {
        "strategy": "strategy", "features": "features", "model": "model", "data": "data", "market": "market",
        "backtest": "backtest", "sweep": "sweep", "parity": "parity", "certify": "certify", "replay": "replay",
    },
    "set up": {
        "config": "config", "tiers": "tiers", "keys": "keys", "install": "install", "uninstall": "install",
        "doctor": "doctor", "completion": "completion",
    },
    "prove": {"drill": "drill", "audit": "audit", "bench": "bench"},
}  # fmt: skip
MODULES = {command: module for group in GROUPS.values() for command, module in group.items()}


class Grouped(click.Group):
    """A group whose commands are imported when they are wanted, and whose help is in groups."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in MODULES:
            return None
        command: click.Command = getattr(import_module(f"engine.cli.{MODULES[cmd_name]}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in GROUPS.items():
            with formatter.section(title.capitalize()):
                found = [(name, self.get_command(ctx, name)) for name in commands]
                formatter.write_dl([(name, command.get_short_help_str(80)) for name, command in found if command])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in EXIT_CODES.items()])


@click.group(cls=Grouped, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bot4")
def cli() -> None:
    """Bot4: a trading engine that runs as one process on one small Linux machine."""


def main() -> None:
    """Run the command line; an error of the engine is one plain line and exit code 1."""
    try:
        cli()
    except Bot4Error as error:
        click.echo(f"bot4: {REDACTOR.text(str(error))}", err=True)
        sys.exit(1)
