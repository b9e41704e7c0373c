"""The commands that speak to a running engine: look, stop, tighten. None of them places a trade."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from engine.cli import screen
from engine.cli.output import EXIT_UNHEALTHY, EXIT_UNREACHABLE, echo_json, iso
from engine.errors import ControlUnreachable
from engine.observe import commands as c
from engine.observe.client import ControlClient
from engine.observe.status import Event, WhyNot
from engine.settings.schema import Settings

directory_option = click.option(
    "--directory", "-d", type=click.Path(path_type=Path), default=None, envvar="BOT4_DIRECTORY",
    help="The engine's folder.  [default: var/bot4]",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
# Only for programs that speak to an engine whose socket was moved.
socket_option = click.option("--socket", type=click.Path(path_type=Path), default=None, help="The socket itself.")


def connect(directory: Path | None, path: Path | None = None) -> ControlClient:
    """A connection, or exit code 3 with one plain line."""
    defaults = Settings()
    path = path or (directory or Path(defaults.engine.directory)) / defaults.control.socket
    try:
        return ControlClient(path)
    except ControlUnreachable as error:
        click.echo(f"bot4: {error}", err=True)
        sys.exit(EXIT_UNREACHABLE)


@click.command()
@directory_option
@socket_option
@json_option
def status(directory: Path | None, socket: Path | None, as_json: bool) -> None:
    """Show what the engine is doing. Exit code 3 when none answers, 4 when it is halted or not healthy.

    Example: bot4 status --json
    """
    with connect(directory, socket) as client:
        picture = client.status()
        events = client.events(0, 1_000)
    if as_json:
        echo_json(picture)
    else:
        Console().print(screen.screen(picture, events))
    if picture.latch.tripped or not picture.healthy:
        sys.exit(EXIT_UNHEALTHY)


@click.command()
@directory_option
@socket_option
@click.option("--rate", type=click.FloatRange(0.1, 20), default=4.0, show_default=True, help="Pictures a second.")
@click.option("--count", type=click.IntRange(1), default=None, help="Leave after so many pictures.")
def top(directory: Path | None, socket: Path | None, rate: float, count: int | None) -> None:
    """Fill the terminal with the running engine, live. Ctrl-C leaves; the engine does not notice.

    Example: bot4 top --rate 10
    """
    console = Console()
    events: list[Event] = []
    with (
        connect(directory, socket) as client,
        connect(directory, socket) as asker,
        Live(console=console, screen=console.is_terminal, auto_refresh=False) as live,
    ):
        try:
            for shown, picture in enumerate(client.watch(rate), 1):
                events = (events + asker.events(events[-1].number if events else 0, 1_000))[-100:]
                live.update(screen.full_screen(picture, events), refresh=True)
                if count is not None and shown >= count:
                    break
        except KeyboardInterrupt:
            pass
        except ControlUnreachable as error:
            live.stop()
            click.echo(f"bot4: {error}", err=True)
            sys.exit(EXIT_UNREACHABLE)


@click.command()
@click.argument("symbol", required=False)
@click.option("--most", "-n", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@directory_option
@socket_option
@json_option
def why(symbol: str | None, most: int, directory: Path | None, socket: Path | None, as_json: bool) -> None:
    """Say why there was no order: the last refusals, newest first, each with every reason.

    Example: bot4 why BTCUSDT -n 5
    """
    with connect(directory, socket) as client:
        found = client.why(most, symbol)
    if as_json:
        echo_json(found)
        return
    for entry in found:
        click.echo(_why_line(entry))
    if not found:
        click.echo("nothing was refused" + (f" on {symbol}" if symbol else ""))


def _why_line(entry: WhyNot) -> str:
    what = f"{entry.side} {screen.number(entry.qty, 4)} at {screen.number(entry.px)}"
    passes = "" if entry.largest_qty is None else f"; {screen.number(entry.largest_qty, 4)} would pass"
    reasons = ", ".join(entry.reasons)
    if entry.observed:
        # On paper a record that proves nothing is noted, so that it can grow.
        reasons, passes = f"passed; the validator has against it: {reasons or 'nothing any more'}", ""
    return f"{iso(entry.ts_ns)} {entry.symbol} {entry.strategy}: {what}: {reasons}{passes}"


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with each further one.")
@click.option("--most", "-n", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@directory_option
@socket_option
@json_option
def tail(follow: bool, most: int, directory: Path | None, socket: Path | None, as_json: bool) -> None:
    """Show the tail of what happened: fills, switches of mode, trips, gaps.

    Example: bot4 tail --follow
    """
    with connect(directory, socket) as client:
        found = client.events(0, 10_000)
        last = found[-1].number if found else 0
        if as_json and not follow:
            echo_json(found[-most:])
            return
        for event in found[-most:]:
            _event_line(event, as_json)
        try:
            for event in client.follow(last) if follow else ():
                _event_line(event, as_json)
        except KeyboardInterrupt:
            pass


def _event_line(event: Event, as_json: bool) -> None:
    if as_json:
        echo_json(event)
    else:
        colour = {"warning": "yellow", "error": "red"}.get(event.severity)
        click.secho(f"{iso(event.ts_ns)} {event.kind:8} {event.symbol:10} {event.text}", fg=colour)


def _act(directory: Path | None, socket: Path | None, command: c.Command, as_json: bool = False) -> None:
    with connect(directory, socket) as client:
        reply = client.call(command)
    if as_json:
        echo_json(reply)
    else:
        click.echo(reply.text)


@click.command()
@click.option("--reason", default="", help="For the audit.")
@directory_option
@socket_option
@json_option
def halt(reason: str, directory: Path | None, socket: Path | None, as_json: bool) -> None:
    """Stop everything, now: trip the latch. Trading needs `bot4 reset` at the machine afterwards.

    Example: bot4 halt --reason "the venue answers strangely"
    """
    _act(directory, socket, c.Halt(reason), as_json)


@click.command()
@click.option("--aggressive", is_flag=True, help="Take worse prices to be flat sooner.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@directory_option
@socket_option
@json_option
def liquidate(aggressive: bool, yes: bool, directory: Path | None, socket: Path | None, as_json: bool) -> None:
    """Cancel every order and close every position: mode Emergency.

    Example: bot4 liquidate --yes
    """
    if not yes:
        click.confirm("Close every position?", abort=True)
    _act(directory, socket, c.Liquidate(aggressive), as_json)


@click.command()
@click.argument("limit")
@click.argument("value", type=int)
@directory_option
@socket_option
@json_option
def tighten(limit: str, value: int, directory: Path | None, socket: Path | None, as_json: bool) -> None:
    """Make one LIMIT of the gate stricter, now, until the next start. `bot4 config show limits` names them.

    Example: bot4 tighten order_notional 100000000000
    """
    _act(directory, socket, c.Tighten(limit, value), as_json)


def _simple(name: str, command: Callable[[], Any], text: str) -> click.Command:
    @click.command(name=name, help=text)
    @directory_option
    @socket_option
    @json_option
    def run(directory: Path | None, socket: Path | None, as_json: bool) -> None:
        _act(directory, socket, command(), as_json)

    return run


pause = _simple("pause", c.Pause, "No new entries; what protects positions goes on.\n\nExample: bot4 pause")
resume = _simple(
    "resume",
    c.Resume,
    "Back to Normal, when latch, cooldown and books allow it.\n\nExample: bot4 resume",
)
reduce = _simple("reduce", c.Reduce, "Reduce-only: positions shrink step by step.\n\nExample: bot4 reduce")
reload = _simple(
    "reload",
    c.Reload,
    "Read the settings again: tightening acts, loosening waits its day.\n\nExample: bot4 reload",
)


@click.command()
@directory_option
@socket_option
@json_option
def alerts(directory: Path | None, socket: Path | None, as_json: bool) -> None:
    """Show the alerts that are open, the worst first. Exit code 4 when there is one that nobody acknowledged.

    Example: bot4 alerts
    """
    with connect(directory, socket) as client:
        found = client.alerts()
    if as_json:
        echo_json(found)
    else:
        for alert in found:
            seen = "acknowledged" if alert.acknowledged else "ESCALATED" if alert.escalated else "open"
            told = seen if alert.told_ns is not None else "not told: it follows from another, or waits"
            click.echo(f"{alert.severity} {alert.group:10} {iso(alert.since_ns)} {alert.text} ({told})")
        if not found:
            click.echo("no alert is open")
    if any(alert.told_ns is not None and not alert.acknowledged for alert in found):
        sys.exit(EXIT_UNHEALTHY)


@click.command()
@click.argument("group", default="")
@directory_option
@socket_option
@json_option
def ack(group: str, directory: Path | None, socket: Path | None, as_json: bool) -> None:
    """Acknowledge the open alerts of GROUP, or all: somebody looks after them, so they are not escalated.

    Example: bot4 ack halt
    """
    _act(directory, socket, c.Acknowledge(group), as_json)
