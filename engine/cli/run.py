"""`bot4 run`: the engine itself, with its picture in the terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
import uvloop
from rich.console import Console
from rich.live import Live

from engine.cli.output import echo_json
from engine.cli.screen import number, screen
from engine.errors import LatchBadFile, LatchNotDurable, LatchTripped, SettingsError
from engine.observe.commands import Handlers
from engine.observe.status import StatusSource
from engine.runtime.lifecycle import EXIT_TRIPPED
from engine.runtime.session import Ended, Session
from engine.settings.load import Loaded, config_directory, load
from engine.settings.schema import Settings
from engine.settings.secrets import Secrets
from engine.strategy.meter import Meter
from engine.web.faces import Faces

REFRESH_S = 0.25
EXIT_SETTINGS = 78
INSTANCES = Path("/etc/bot4")
T = TypeVar("T")


@click.command()
@click.option(
    "--config", "-c", "files", multiple=True, type=click.Path(path_type=Path), help="Settings file; later ones win."
)
@click.option(
    "--directory",
    "-d",
    type=click.Path(path_type=Path),
    envvar="STATE_DIRECTORY",
    help="Folder of state in place of the settings' one; systemd's, below it.",
)
@click.option("--seconds", type=click.FloatRange(min=0.01), help="End by itself after so long.")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="Paper: pace of time.")
@click.option("--plain", is_flag=True, help="No live view, also on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def run(
    files: tuple[Path, ...], directory: Path | None, seconds: float | None, speed: float, plain: bool, as_json: bool
) -> None:
    """Run the engine until Ctrl-C, which stops it in order: no new orders, cancel, confirm, close the record.

    Exit codes: 0 ended in order; 1 it could not start; 5 something was still open at the venue; 70 the latch is
    tripped (`bot4 reset`); 78 the settings are wrong.

    Example: bot4 run --config paper.toml --seconds 60
    """
    loaded = _or_leave(lambda: read_settings(files, directory))
    secrets = Secrets(os.environ)
    shown: list[Faces] = []

    def faces(settings: Settings, source: StatusSource, handlers: Handlers) -> Faces:
        shown.append(Faces(settings, source, handlers, secrets))
        return shown[0]

    session = _or_leave(
        lambda: Session(loaded, speed=speed, meter=Meter(), reread=lambda: read_settings(files, directory), faces=faces)
    )
    watch = sys.stdout.isatty() and not plain
    board = shown[0].dashboard
    if board is not None and not as_json:
        click.echo(f"the page: http://{board.host}:{board.port}")
    ended = uvloop.run(_watched(session, seconds) if watch else session.run(seconds=seconds))
    if as_json:
        echo_json(ended)
    else:
        click.echo(summary(ended))
    sys.exit(ended.exit_code)


def _or_leave(build: Callable[[], T]) -> T:
    """What cannot mend itself by starting again must not be started again: systemd is told by the exit code."""
    try:
        return build()
    except (LatchTripped, LatchBadFile, LatchNotDurable) as error:
        code, text = EXIT_TRIPPED, str(error)
    except SettingsError as error:
        code, text = EXIT_SETTINGS, str(error)
    click.echo(f"bot4: {text}", err=True)
    sys.exit(code)


def read_settings(files: tuple[Path, ...], directory: Path | None) -> Loaded:
    """The settings of `files`, the environment on top. A name alone is an instance in /etc/bot4, or one in config/."""
    found = [_found(path) for path in files or (Path("paper.toml"),)]
    environ = dict(os.environ)
    if directory is not None:
        environ["BOT4__ENGINE__DIRECTORY"] = str(directory)
    return load(found, environ=environ)


def _found(path: Path) -> Path:
    if path.exists():
        return path
    instance = INSTANCES / path.with_suffix(".toml")
    return instance if path.name == str(path) and instance.exists() else config_directory() / path.with_suffix(".toml")


async def _watched(session: Session, seconds: float | None) -> Ended:
    with Live(console=Console(), screen=False, auto_refresh=False, transient=True) as live:

        async def refresh() -> None:
            while True:
                live.update(screen(session.picture.status(), list(session.picture.latest(4))), refresh=True)
                await asyncio.sleep(REFRESH_S)

        task = asyncio.create_task(refresh())
        try:
            return await session.run(seconds=seconds)
        finally:
            task.cancel()


def summary(ended: Ended) -> str:
    """What happened, where it is kept, and how to look at it again."""
    counts, account = ended.status.counts, ended.status.account
    profit = number(account.day_profit, sign=True)
    return "\n".join(
        (
            f"session {Path(ended.directory).name}: {ended.seconds:,.0f} s, ended because {ended.reason}",
            f"  {counts['events']:,} events, {counts['intents']:,} intents, {counts['fills']:,} fills, "
            f"{counts['denied']:,} denied; {counts['live_orders']} orders left open",
            f"  equity {number(account.equity)} {account.asset}, today {profit}",
            f"  {ended.records:,} records in {ended.directory}; state {ended.state_hash}",
            f"replay it, byte for byte:  bot4 replay {ended.directory} --verify",
            f"look at its events:        bot4 events {ended.directory}",
        )
    )
