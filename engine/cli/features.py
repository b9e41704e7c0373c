"""`bot4 features`: what the registry knows of each feature."""

from __future__ import annotations

import json
from pathlib import Path

import click

from engine._core.features_table import TABLE, warm_up
from engine.cli.backtest import DATA_FILE, read_data
from engine.cli.progress import progress
from engine.research import scaling, selection
from engine.research.catalogue import Entry, entries
from engine.research.prepare import prepare as run_prepare

_DEFAULT = (5, 10, 14, 20, 30, 50, 100, 200)


@click.group()
def features() -> None:
    """Show the features that a strategy or a model may ask for."""


def _described(row: Entry) -> dict[str, object]:
    return {
        "name": row.name,
        "group": row.group,
        "unit": row.unit,
        "low": row.low,
        "high": row.high,
        "warm_up": row.warm,
        "cost": row.cost,
        "meaning": row.meaning,
    }


@features.command("list")
@click.option("--group", help="Only the families of one group.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def list_(group: str | None, as_json: bool) -> None:
    """List every family; with the eight default windows each is eight features.

    Example: bot4 features list --group volatility

    Exit codes: 0 listed, 2 no such group.
    """
    known = entries()
    groups = sorted({row.group for row in known})
    if group is not None and group not in groups:
        raise click.UsageError(f"no group {group!r}; one of {', '.join(groups)}")
    rows = [row for row in known if group in (None, row.group)]
    if as_json:
        click.echo(json.dumps([_described(row) for row in rows], indent=1))
        return
    for row in rows:
        click.echo(f"{row.name:<16} {row.group:<14} {row.unit:<16} {row.meaning}")
    click.echo(f"{len(rows)} families, {sum(row.windows for row in rows)} features with eight windows each, {_DEFAULT}")


@features.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(name: str, as_json: bool) -> None:
    """Show one family, NAME, or one feature, NAME:WINDOW.

    Example: bot4 features show rsi:14

    Exit codes: 0 shown, 2 no such family or window.
    """
    family, _, window = name.partition(":")
    known = entries()
    row = next((row for row in known if row.name == family), None)
    if row is None:
        near = [r.name for r in known if family[:3] in r.name]
        raise click.UsageError(f"no family {family!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    if window and not (window.isdecimal() and 1 <= int(window) <= 1000):
        raise click.UsageError(f"window {window!r}: 1 to 1000")
    windows = (int(window),) if window else _DEFAULT
    stream = next((one for one in TABLE if one.name == family), None)
    # Only a price stream counts one kind of update; the others say in words what they wait for.
    starts = {n: warm_up(stream.number, n) for n in windows} if stream is not None else {}
    if as_json:
        click.echo(json.dumps(_described(row) | {"first_value": starts}, indent=1))
        return
    click.echo(f"{row.name}: {row.meaning}")
    click.echo(f"  group      {row.group}")
    click.echo(f"  unit       {row.unit}")
    click.echo(f"  bounds     {row.low:g} to {row.high:g}")
    if stream is None:
        click.echo(f"  warm-up    {row.warm}")
        return
    click.echo(f"  warm-up    {row.warm} updates: " + ", ".join(f"{n}: {start}" for n, start in starts.items()))
    click.echo(f"  state      {' '.join(stream.needs + stream.signals)}")
    click.echo(f"  cost       a {row.cost} for eight windows")


@features.command()
@click.argument("data", type=DATA_FILE)
@click.option("--feature", "wanted", multiple=True, required=True, metavar="NAME:WINDOW", help="One feature; again.")
@click.option("--scale", type=click.Choice(scaling.METHODS), default="zscore", show_default=True, help="The scaling.")
@click.option("--score", type=click.Choice(selection.METHODS), default="mutual", show_default=True, help="The score.")
@click.option("--keep", type=click.IntRange(1), default=8, show_default=True, help="How many features are kept.")
@click.option("--horizon", type=click.IntRange(1), default=1, show_default=True, help="Bars of the return to come.")
@click.option("--learn", type=click.FloatRange(0.05, 1.0), default=0.7, show_default=True, help="Part to learn from.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write scaler and choice to this file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def prepare(
    data: Path | str, wanted: tuple[str, ...], scale: str, score: str, keep: int, horizon: int, learn: float,
    out: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Scale and choose features of the bars in DATA, learned from its first part alone.

    The file carries the hash of the features it was learned on; whoever loads it for others is refused.

    Example: bot4 features prepare sample:vision-klines --feature rsi:14 --feature zscore:20 --out scaler.json

    Exit codes: 0 done, 1 refused, 2 no such feature.
    """
    known = {row.name for row in TABLE}
    pairs = []
    for text in wanted:
        name, _, window = text.partition(":")
        if name not in known or not (window.isdecimal() and 1 <= int(window) <= 1000):
            raise click.UsageError(f"--feature {text}: a family of a price stream and a window, like rsi:14")
        pairs.append((name, int(window)))
    with progress("prepare", quiet=as_json) as advance:
        advance(0, None, str(data))
        found = run_prepare(
            read_data(data, None, None, None, "spot"), tuple(pairs), scale=scale, score=score, keep=keep,
            horizon=horizon, share=learn,
        )  # fmt: skip
    if out is not None:
        scaling.save(out, found.scaler, kept=found.kept)
    if as_json:
        click.echo(json.dumps({"scores": dict(found.scores), "kept": found.kept, "features": found.scaler.features,
                               "rows": found.learned_rows}))  # fmt: skip
        return
    for name, value in found.scores:
        click.echo(f"{name:<20} {value:>12.6g} {'kept' if name in found.kept else ''}")
    click.echo(f"{score} with the next {horizon} bars, learned from {found.learned_rows:,} bars; {scale} scaling")
