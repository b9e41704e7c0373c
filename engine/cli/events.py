"""`bot4 events` and `bot4 journal`: what was kept, asked for and looked after."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from pathlib import Path

import click

from engine._core.clock import utc_ns
from engine.cli.replay import TIME, parse_time
from engine.journal.cut import cut as cut_session
from engine.journal.layout import find_session, sessions
from engine.journal.query import Question, as_json, ask, to_parquet
from engine.journal.reader import open_session
from engine.journal.segments import Retention, retain, used_bytes
from engine.journal.show import kind_number, text

DIRECTORY = click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.command()
@DIRECTORY
@click.option("--since", metavar="TIME", help=f"Not before {TIME}.")
@click.option("--until", metavar="TIME", help="Not after.")
@click.option("--type", "types", multiple=True, help="Kind of record, such as order_fill, fill or place; repeatable.")
@click.option("--order", type=int, help="Everything about one client order id.")
@click.option("--correlation", type=int, help="A record's number: its input, what came of it, their orders.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after so many.")
@click.option("--json", "as_lines", is_flag=True, help="JSON lines instead of a table.")
@click.option("--parquet", type=click.Path(dir_okay=False, path_type=Path), help="Write a Parquet file instead.")
def events(
    directory: Path, since: str | None, until: str | None, types: tuple[str, ...], order: int | None,
    correlation: int | None, limit: int | None, as_lines: bool, parquet: Path | None,
) -> None:  # fmt: skip
    """Ask the event store in DIRECTORY, a session or a journal of which the newest session is taken.

    Exit codes: 0 answered, also with nothing; 1 the journal is damaged; 2 the question is not one.

    Example: bot4 events var/journal --since 2026-11-21T09:30 --type fill --json
    """
    try:
        kinds = frozenset(kind_number(name) for name in types)
    except LookupError as error:
        raise click.BadParameter(str(error.args[0])) from error
    question = Question(parse_time(since), parse_time(until), kinds, order, correlation)
    session = find_session(directory)
    if parquet is not None:
        try:
            count = to_parquet(session, question, parquet)
        except ImportError as error:
            raise click.UsageError("Parquet needs pyarrow: install bot4[parquet].") from error
        click.echo(f"{count:,} records in {parquet}")
        return
    pairs = (
        (int(number), row)
        for numbers, rows in ask(session, question)
        for number, row in zip(numbers, rows, strict=True)
    )
    for number, row in itertools.islice(pairs, limit):
        click.echo(json.dumps(as_json(number, row)) if as_lines else text(row, number=number))


@click.group()
def journal() -> None:
    """Look after a journal: verify it, cut what is damaged, apply the retention."""


@journal.command()
@DIRECTORY
@click.option("--json", "as_lines", is_flag=True, help="JSON lines.")
def verify(directory: Path, as_lines: bool) -> None:
    """Hold every sum and every link of the chain of every session in DIRECTORY.

    Exit codes: 0 sound (a torn end is sound), 1 damaged.

    Example: bot4 journal verify var/journal
    """
    found = sessions(directory) or [find_session(directory)]
    damaged = False
    for session in found:
        opened = open_session(session)
        damaged |= opened.damage is not None
        problem = opened.damage.text() if opened.damage else ""
        if as_lines:
            click.echo(json.dumps({"session": session.path.name, "records": opened.count, "torn": opened.torn,
                                   "damage": problem, "chained_blocks": opened.chained_blocks}))  # fmt: skip
        else:
            what = f"DAMAGED: {problem}" if problem else opened.torn or "whole"
            click.echo(
                f"{session.path.name}: {opened.count:,} records, {opened.chained_blocks:,} blocks chained; {what}"
            )
    if damaged:
        sys.exit(1)


@journal.command()
@DIRECTORY
@click.confirmation_option(prompt="Records behind the damage will not be read any more. Cut?")
def cut(directory: Path) -> None:
    """Keep what stands before the first damage of DIRECTORY's newest session; the damaged files are set aside.

    Recovery then asks the venue what happened since. Exit codes: 0 cut, or nothing to cut; 1 it cannot be cut.

    Example: bot4 journal cut var/journal
    """
    click.echo(cut_session(find_session(directory)))


@journal.command()
@DIRECTORY
@click.option("--market-days", type=click.IntRange(1), default=30, show_default=True, help="Keep market data so long.")
@click.option("--audit-days", type=click.IntRange(1), default=7 * 366, show_default=True, help="Keep orders so long.")
@click.option(
    "--session-days", type=click.IntRange(1), help="Remove whole sessions of recorded market data older than it."
)
def prune(directory: Path, market_days: int, audit_days: int, session_days: int | None) -> None:
    """Apply the retention to every session of DIRECTORY but the newest: market data goes first, the audit stays.

    Example: bot4 journal prune var/journal --market-days 14
    """
    policy = Retention(market_days, audit_days, session_days or market_days)
    for session in sessions(directory)[:-1]:
        for line in retain(session, utc_ns(), policy):
            click.echo(f"{session.path.name}: {line}")
        if session.file is not None and session.file.klass == "market" and not list(session.segments_path.iterdir()):
            shutil.rmtree(session.path)
    click.echo(f"{used_bytes(directory):,} bytes in use")
