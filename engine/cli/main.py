"""Entry point: collects the command groups."""

from __future__ import annotations

import sys

import click

from engine import __version__
from engine.cli.audit import audit
from engine.cli.backtest import backtest
from engine.cli.bench import bench
from engine.cli.books import books
from engine.cli.certify import certify
from engine.cli.completion import completion
from engine.cli.config import config
from engine.cli.control import COMMANDS as CONTROL
from engine.cli.data import data
from engine.cli.demo import demo
from engine.cli.doctor import doctor
from engine.cli.drill import drill
from engine.cli.events import events, journal, record
from engine.cli.export import export
from engine.cli.features import features
from engine.cli.install import install, uninstall
from engine.cli.keys import keys
from engine.cli.market import market
from engine.cli.output import EXIT_CODES
from engine.cli.parity import parity
from engine.cli.replay import replay
from engine.cli.reset import reset
from engine.cli.run import run
from engine.cli.strategy import strategy
from engine.cli.sweep import sweep
from engine.cli.tiers import tiers
from engine.cli.venue import venue
from engine.errors import Bot4Error

# The help lists commands by what one is doing; a command in no group stands under "more".
GROUPS = {
    "run": ("run", "demo", "record", "venue"),
    "look": ("status", "top", "why", "tail", "alerts", "ack", "books", "events", "journal", "export"),
    "stop and tighten": ("halt", "pause", "resume", "reduce", "liquidate", "tighten", "reload", "reset"),
    "strategies": ("strategy", "features", "data", "market", "backtest", "sweep", "parity", "certify", "replay"),
    "set up": ("config", "tiers", "keys", "install", "uninstall", "doctor", "completion"),
    "prove": ("drill", "audit", "bench"),
}


class Grouped(click.Group):
    """A group whose help is in groups."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        grouped = {name for names in GROUPS.values() for name in names}
        more = tuple(name for name in self.list_commands(ctx) if name not in grouped)
        for title, names in (*GROUPS.items(), ("more", more)):
            rows = [
                (name, command.get_short_help_str(80))
                for name in names
                if (command := self.get_command(ctx, name)) is not None
            ]
            if rows:
                with formatter.section(title.capitalize()):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in EXIT_CODES.items()])


@click.group(cls=Grouped, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bot4")
def cli() -> None:
    """Bot4: a trading engine that runs as one process on one small Linux machine."""


COMMANDS = (
    *CONTROL,
    audit,
    backtest,
    bench,
    books,
    certify,
    completion,
    config,
    data,
    demo,
    doctor,
    drill,
    events,
    export,
    features,
    install,
    journal,
    keys,
    parity,
    market,
    record,
    replay,
    reset,
    run,
    strategy,
    sweep,
    tiers,
    uninstall,
    venue,
)
for _command in COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Run the command line; an error of the engine is one plain line and exit code 1."""
    try:
        cli()
    except Bot4Error as error:
        click.echo(f"bot4: {error}", err=True)
        sys.exit(1)
