"""`bot4 books`: what the last comparison with the venue found, from the record of an engine that runs or has ended."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engine.cli.output import EXIT_UNHEALTHY, echo_json, iso
from engine.safety.audit import Kind, Record, Report, read

COLUMNS = ("what", "believed", "venue says", "action")


@click.command()
@click.option(
    "--directory", "-d", type=click.Path(path_type=Path, file_okay=False), default=Path("var/bot4"), show_default=True,
    envvar="STATE_DIRECTORY", help="The engine's folder.",
)  # fmt: skip
@click.option("--all", "every", is_flag=True, help="Every comparison that found something, not only the last.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def books(directory: Path, *, every: bool, as_json: bool) -> None:
    """Show what our books and the venue's said when they were last held together.

    They are on a timer, at a start and after each reconnect; on record is the first of those and whatever differed.
    Each line is what was believed, what the venue says, and what followed. An empty table is the good one. Exit codes:
    0 they agree, 1 nothing was recorded there, 4 they did not agree when it was last looked.

    Example: bot4 books -d var/bot4 --all
    """
    found = [_told(record) for record in read(directory / "audit", None, Report()) if record.entry.kind is Kind.BOOKS]
    compared = [told for told in found if told["action"] == "compared"]
    if not compared:
        click.echo(f"bot4: no comparison is on record in {directory / 'audit'}.", err=True)
        sys.exit(1)
    shown = [told for told in compared if told["rows"]] if every else compared[-1:]
    if as_json:
        echo_json({"comparisons": shown, "agrees": _agrees(found)})
    else:
        for told in shown:
            _print(told)
    if not _agrees(found):
        sys.exit(EXIT_UNHEALTHY)


def _told(record: Record) -> dict[str, Any]:
    entry = record.entry
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in entry.data.get("rows", [])]
    return {
        "id": record.audit_id,
        "time": iso(record.at_ns),
        "action": entry.action,
        "because": entry.trigger,
        "result": entry.explanation,
        "breaks": int(entry.data.get("breaks", 0)),
        "rows": rows,
    }


def _agrees(found: list[dict[str, Any]]) -> bool:
    """By the last comparison: each one that finds or loses a break is on record."""
    last = next(told for told in reversed(found) if told["action"] == "compared")
    return bool(last["breaks"] == 0)


def _print(told: dict[str, Any]) -> None:
    title = f"{told['time']}  {told['because']}: {told['result']}"
    if not told["rows"]:
        click.echo(f"{title}. Nothing differed.")
        return
    table = Table(*COLUMNS, title=title, title_justify="left")
    for row in told["rows"]:
        table.add_row(*(str(row[name]) for name in COLUMNS))
    Console().print(table)
