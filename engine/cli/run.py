"""`bot4 run`: the engine itself, with its picture in the terminal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click
import uvloop

from engine.cli.keys import secrets_of, unseal_settings
from engine.cli.live import LiveView
from engine.cli.output import echo_json, program
from engine.cli.screen import duration, number
from engine.errors import (
    LatchBadFile,
    LatchNotDurable,
    LatchTripped,
    RehearsalMissing,
    SettingsError,
    SwitchMissing,
    SwitchOpen,
    TierError,
)
from engine.observe import logs
from engine.observe.commands import Handlers
from engine.observe.status import StatusSource
from engine.runtime.lifecycle import EXIT_TRIPPED
from engine.runtime.session import Ended, Session
from engine.settings.load import Loaded, config_directory, load
from engine.settings.schema import Settings
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
    secrets = secrets_of(Path(loaded.settings.engine.directory))
    shown: list[Faces] = []

    def faces(settings: Settings, source: StatusSource, handlers: Handlers) -> Faces:
        shown.append(Faces(settings, source, handlers, secrets))
        return shown[0]

    session = _or_leave(
        lambda: Session(
            loaded,
            speed=speed,
            meter=Meter(),
            reread=lambda: read_settings(files, directory),
            faces=faces,
            secrets=secrets,
        )
    )
    watch = sys.stdout.isatty() and not plain
    _begin_logs(loaded, session.root, to_file=watch)

    def page() -> str:
        board = shown[0].dashboard
        return board.address if board is not None else ""

    def ready() -> None:
        if as_json:
            return
        if session.goes_on:
            click.echo(f"{session.journal.session.path.name} {session.goes_on}")
        if page():
            click.echo(f"the page: {page()}")

    # With a live view the address stands in it.
    lived = _watched(session, seconds, page) if watch else session.run(seconds=seconds, ready=ready)
    # A switch that is open at the start is found when everything else stands.
    ended = _or_leave(lambda: uvloop.run(_to_its_end(lived)))
    if as_json:
        echo_json(ended)
    else:
        click.echo(summary(ended))
    sys.exit(ended.exit_code)


async def _to_its_end(lived: Awaitable[T]) -> T:
    """The verdict stands: a signal that comes while the process is leaving must not change its exit code."""
    ended = await lived
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.remove_signal_handler(one)
        signal.signal(one, signal.SIG_IGN)
    return ended


def _or_leave(build: Callable[[], T]) -> T:
    """What cannot mend itself by starting again must not be started again: systemd is told by the exit code."""
    try:
        return build()
    except (LatchTripped, LatchBadFile, LatchNotDurable, SwitchOpen) as error:
        code, text = EXIT_TRIPPED, str(error)
    except (SettingsError, TierError, SwitchMissing, RehearsalMissing) as error:
        code, text = EXIT_SETTINGS, str(error)
    click.echo(f"bot4: {text}", err=True)
    sys.exit(code)


def _begin_logs(loaded: Loaded, root: Path, *, to_file: bool) -> None:
    """As the settings say; a line on stderr would tear a live view, so below one they go to a file of the folder."""
    stream = (root / "log.jsonl").open("a", encoding="utf-8") if to_file else None
    logs.setup(loaded.settings.logs, loaded.settings.engine.name, stream=stream)


def read_settings(files: tuple[Path, ...], directory: Path | None, tier: str | None = None) -> Loaded:
    """The settings of `files`, the environment on top. A name alone is an instance in /etc/bot4, or one in config/.

    `tier` in place of the one that they name or that their capital stands in.
    """
    found = [_found(path) for path in files or (Path("paper.toml"),)]
    environ = dict(os.environ)
    if directory is not None:
        environ["BOT4__ENGINE__DIRECTORY"] = str(directory)
    return load(found, environ=environ, tier=tier, unseal=unseal_settings)


def _found(path: Path) -> Path:
    if path.exists():
        return path
    instance = INSTANCES / path.with_suffix(".toml")
    return instance if path.name == str(path) and instance.exists() else config_directory() / path.with_suffix(".toml")


async def _watched(session: Session, seconds: float | None, page: Callable[[], str]) -> Ended:
    with LiveView() as view:

        async def refresh() -> None:
            while True:
                view.show(session.picture.status(), list(session.picture.latest(8)), page())
                await asyncio.sleep(REFRESH_S)

        task = asyncio.create_task(refresh())
        try:
            return await session.run(seconds=seconds)
        finally:
            task.cancel()


def summary(ended: Ended) -> str:
    """What happened, where it is kept, and how to look at it again."""
    status = ended.status
    counts, account, way, bot4 = status.counts, status.account, status.stage("tick_to_order"), program()
    held = [f"{number(row.position, 4)} {row.name}" for row in status.symbols if row.position]
    lines = [
        f"session {Path(ended.directory).name}: {ended.seconds:,.0f} s, ended because {ended.reason}",
        f"  {counts['events']:,} events, {counts['intents']:,} intents, {counts['fills']:,} fills, "
        f"{counts['denied']:,} denied; {ended.left_open} orders left at the venue",
        f"  equity {number(account.equity)} {account.asset}, today {number(account.day_profit, sign=True)}; "
        f"held: {', '.join(held) or 'nothing'}",
    ]
    if way is not None and way.count:
        lines.append(f"  tick to order: p50 {duration(way.p50_ns)}, p99 {duration(way.p99_ns)} of {way.count:,}")
    lines.append(f"  {ended.records:,} records in {ended.directory}; state {ended.state_hash}")
    if status.latch.tripped:
        lines.append(f"  HALTED: {', '.join(status.latch.reasons)}; nothing starts before `{bot4} reset`")
    if ended.rehearsed:
        lines.append(f"  rehearsal: {ended.rehearsed}")
    lines += [
        f"replay it, byte for byte:  {bot4} replay {ended.directory} --verify",
        f"look at its events:        {bot4} events {ended.directory} --type fill",
        f"take its orders along:     {bot4} export {ended.directory} --what orders",
    ]
    return "\n".join(lines)
