"""Entry point: collects the command groups."""

from __future__ import annotations

import sys

import click

from engine import __version__
from engine.cli.certify import certify
from engine.cli.demo import demo
from engine.cli.events import events, journal, record
from engine.cli.replay import replay
from engine.cli.strategy import strategy
from engine.errors import Bot4Error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bot4")
def cli() -> None:
    """Bot4: a trading engine that runs as one process on one small Linux machine."""


cli.add_command(certify)
cli.add_command(demo)
cli.add_command(events)
cli.add_command(journal)
cli.add_command(record)
cli.add_command(replay)
cli.add_command(strategy)


def main() -> None:
    """Run the command line; an error of the engine is one plain line and exit code 1."""
    try:
        cli()
    except Bot4Error as error:
        click.echo(f"bot4: {error}", err=True)
        sys.exit(1)
