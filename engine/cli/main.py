"""Entry point: collects the command groups."""

from __future__ import annotations

import sys

import click

from engine import __version__
from engine.cli.config import config
from engine.cli.control import COMMANDS as CONTROL
from engine.cli.demo import demo
from engine.cli.keys import keys
from engine.cli.replay import replay
from engine.cli.run import run
from engine.cli.audit import audit
from engine.cli.demo import demo
from engine.cli.drill import drill
from engine.cli.install import install, uninstall
from engine.cli.replay import replay
from engine.cli.reset import reset
from engine.cli.strategy import strategy
from engine.errors import Bot4Error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bot4")
def cli() -> None:
    """Bot4: a trading engine that runs as one process on one small Linux machine."""


cli.add_command(config)
for _command in CONTROL:
    cli.add_command(_command)
cli.add_command(demo)
cli.add_command(keys)
cli.add_command(replay)
cli.add_command(run)
cli.add_command(audit)
cli.add_command(demo)
cli.add_command(drill)
cli.add_command(install)
cli.add_command(replay)
cli.add_command(reset)
cli.add_command(strategy)
cli.add_command(uninstall)


def main() -> None:
    """Run the command line; an error of the engine is one plain line and exit code 1."""
    try:
        cli()
    except Bot4Error as error:
        click.echo(f"bot4: {error}", err=True)
        sys.exit(1)
