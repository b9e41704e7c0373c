"""`bot4 data`: market data from whatever form it has into the engine's own, and what is wrong with it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from engine.cli.backtest import DATA_FILE, read_data, with_meaning
from engine.cli.output import echo_json, iso
from engine.cli.progress import progress
from engine.errors import Bot4Error
from engine.research import dataset, shipped
from engine.research.dataset import Dataset, Findings

OURS = (".npz", ".parquet")


@click.group()
def data() -> None:
    """Import market data of many forms, list it, check it. Nothing is ever mended."""


@data.command("check")
@click.argument("path", type=DATA_FILE)
@with_meaning
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check_(path: Path | str, symbol: str | None, tick: str | None, lot: str | None, market: str, as_json: bool) -> None:
    """Report gaps, duplicates, holes, order and clock skew of PATH. Nothing is mended.

    Exit codes: 0 nothing found, 1 not readable, 4 findings.

    Example: bot4 data check btcusdt.log.gz --symbol BTCUSDT --tick 0.1 --lot 0.001
    """
    with progress("check", quiet=as_json) as advance:
        advance(0, None, str(path))
        found = dataset.check(read_data(path, symbol, tick, lot, market))
    if as_json:
        echo_json({**asdict(found), "clean": found.clean})
    else:
        click.echo(_told(found))
    sys.exit(0 if found.clean else 4)


def _told(found: Findings) -> str:
    rows = asdict(found)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in rows.pop("kinds").items())
    head = f"{'clean' if found.clean else 'findings'}: {kinds}"
    return "\n".join([head, *(f"  {name.replace('_', ' '):<20} {value:,}" for name, value in rows.items())])


@data.command("import")
@click.argument("sources", nargs=-1, required=True, type=DATA_FILE, metavar="SRC...")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@with_meaning
@click.option("--json", "as_json", is_flag=True, help="Print findings and provenance as JSON.")
def import_(
    sources: tuple[Path | str, ...], out: Path, symbol: str | None, tick: str | None, lot: str | None, market: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Write SRC as OUT, a .parquet or .npz of event records with their meaning and provenance.

    SRC is a capture, a CSV or zip of Binance vision, a CSV of Tardis, an .npz of hftbacktest, a .feather or .json of
    freqtrade, or a Parquet of ticks or bars; known by its columns. Several are merged by the time of receipt. The
    events are written as they are; what is wrong with them is printed, not mended.

    Example: bot4 data import BTCUSDT-trades-2024-01-02.zip btc.parquet --symbol BTCUSDT --tick 0.01 --lot 0.00001
    """
    if out.suffix not in OURS:
        raise click.UsageError(f"OUT ends in one of {', '.join(OURS)}")
    with progress("import", quiet=as_json) as advance:
        parts = []
        for at, path in enumerate(sources):
            advance(at, len(sources) + 1, str(path))
            parts.append(read_data(path, symbol, tick, lot, market))
        advance(len(sources), len(sources) + 1, "checked and written")
        read = dataset.merge(parts)
        found = dataset.check(read)
        dataset.save(out, read)
    if as_json:
        echo_json({"out": str(out), "meta": asdict(read.meta), "findings": {**asdict(found), "clean": found.clean}})
        return
    click.echo(_told(found))
    for said in read.meta.supposed:
        click.echo(f"supposed: {said}")
    click.echo(f"{out}: {len(read.events):,} events of {read.meta.symbol} from {read.meta.form}")


@data.command("samples")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def samples(as_json: bool) -> None:
    """The recordings that come with the package; `sample:NAME` stands for one wherever a file is asked for.

    Exit codes: 0 listed.

    Example: bot4 data samples --json
    """
    rows = shipped.index()
    if as_json:
        echo_json(rows)
        return
    for name, row in rows.items():
        click.echo(
            f"sample:{name:<18} {row['symbol']} {row['market']}, {row['form']} ({row['licence']}; {row['source']})"
        )


@data.command("list")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def list_(directory: Path, as_json: bool) -> None:
    """The data sets below DIRECTORY: what they hold, from when to when, and whence they came.

    Exit codes: 0 listed, also with nothing.

    Example: bot4 data list var/data
    """
    rows = [_row(path, directory) for path in sorted(directory.rglob("*")) if path.suffix in OURS]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        if "problem" in row:
            click.echo(f"{row['path']}: {row['problem']}")
        else:
            click.echo(
                f"{row['path']}: {row['symbol']} {row['market']}, {row['events']:,} events, {iso(row['first_ns'])} to "
                f"{iso(row['last_ns'])}, {row['form'] or 'events'} of {row['source'] or 'unknown source'}"
            )
    if not rows:
        click.echo(f"no data set below {directory}; `bot4 data import` makes one, `bot4 backtest` runs without")


def _row(path: Path, directory: Path) -> dict[str, Any]:
    name = str(path.relative_to(directory))
    try:
        found: Dataset = dataset.load(path)
    except Bot4Error as error:
        return {"path": name, "problem": error.detail}
    times = found.events["ts_recv_ns"]
    span = {"first_ns": int(times.min()), "last_ns": int(times.max())} if len(times) else {"first_ns": 0, "last_ns": 0}
    return {"path": name, **asdict(found.meta), "events": len(found.events), **span}
