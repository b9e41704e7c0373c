"""`bot4 export`: a session's records as CSV or JSON lines, for tools that read those."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from engine._core.types import DECISION, EVENT, INTENT, ORDER, QUOTE, TRADE, Kind
from engine.cli.progress import progress
from engine.journal.layout import find_session
from engine.journal.query import Question, ask

LAYOUTS = {"all": EVENT, "quotes": QUOTE, "trades": TRADE, "orders": ORDER, "intents": INTENT, "decisions": DECISION}
KINDS = {
    "quotes": {Kind.KIND_QUOTE},
    "trades": {Kind.KIND_TRADE, Kind.KIND_AGG_TRADE},
    "orders": {k for k in Kind if k.name is not None and k.name.startswith("KIND_ORDER")},
    "intents": {k for k in Kind if k.name is not None and k.name.startswith("KIND_INTENT")},
    "decisions": {Kind.KIND_DECISION},
}


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--what", type=click.Choice(list(LAYOUTS)), default="orders", show_default=True, help="Which records.")
@click.option("--form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True, help="Which form.")
def export(directory: Path, what: str, form: str) -> None:
    """Write the records of the session in DIRECTORY to standard output: ticks and lots, as they were.

    DIRECTORY is one session, or a journal, of which the newest session is taken. Parquet is written by `bot4 events`.

    Exit codes: 0 written; 1 the session is damaged or not there.

    Example: bot4 export var/bot4/journal --what orders > orders.csv
    """
    layout = LAYOUTS[what]
    names = [name for name in layout.names or () if not name.startswith("reserved")]
    columns = [column for name in names for column in _columns(name, layout[name])]
    writer = csv.writer(sys.stdout)
    if form == "csv":
        writer.writerow(columns)
    kinds = frozenset(int(kind) for kind in KINDS.get(what, ()))
    written = 0
    # Where the records themselves fill the terminal a bar would stand in their way.
    with progress("export", quiet=sys.stdout.isatty()) as advance:
        for _, records in ask(find_session(directory), Question(kinds=kinds)):
            rows = np.ascontiguousarray(records).view(layout)
            parts = [rows[name].reshape(len(rows), -1) for name in names]
            for at in range(len(rows)):
                row = [value for part in parts for value in part[at].tolist()]
                if form == "csv":
                    writer.writerow(row)
                else:
                    click.echo(msgspec.json.encode(dict(zip(columns, row, strict=True))))
            written += len(rows)
            advance(written, None, "records")


def _columns(name: str, kind: np.dtype[Any]) -> list[str]:
    """A field of several words is as many columns."""
    return [f"{name}_{at}" for at in range(kind.shape[0])] if kind.shape else [name]
