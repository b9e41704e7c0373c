"""`bot4 features`: what the registry knows of each feature."""

from __future__ import annotations

import json

import click

from engine._core.features_table import TABLE, Family, warm_up

_DEFAULT = (5, 10, 14, 20, 30, 50, 100, 200)


@click.group()
def features() -> None:
    """Show the features that a strategy or a model may ask for."""


def _described(row: Family) -> dict[str, object]:
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
    groups = sorted({row.group for row in TABLE})
    if group is not None and group not in groups:
        raise click.UsageError(f"no group {group!r}; one of {', '.join(groups)}")
    rows = [row for row in TABLE if group in (None, row.group)]
    if as_json:
        click.echo(json.dumps([_described(row) for row in rows], indent=1))
        return
    for row in rows:
        click.echo(f"{row.name:<16} {row.group:<11} {row.unit:<15} {row.meaning}")
    click.echo(f"{len(rows)} families, {len(rows) * len(_DEFAULT)} features with windows {_DEFAULT}")


@features.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(name: str, as_json: bool) -> None:
    """Show one family, NAME, or one feature, NAME:WINDOW.

    Example: bot4 features show rsi:14

    Exit codes: 0 shown, 2 no such family or window.
    """
    family, _, window = name.partition(":")
    row = next((row for row in TABLE if row.name == family), None)
    if row is None:
        near = [r.name for r in TABLE if family[:3] in r.name]
        raise click.UsageError(f"no family {family!r}" + (f"; did you mean {', '.join(near)}?" if near else ""))
    if window and not (window.isdecimal() and 1 <= int(window) <= 1000):
        raise click.UsageError(f"window {window!r}: 1 to 1000")
    windows = (int(window),) if window else _DEFAULT
    starts = {n: warm_up(row.number, n) for n in windows}
    if as_json:
        click.echo(json.dumps(_described(row) | {"first_value": starts}, indent=1))
        return
    click.echo(f"{row.name}: {row.meaning}")
    click.echo(f"  group      {row.group}")
    click.echo(f"  unit       {row.unit}")
    click.echo(f"  bounds     {row.low:g} to {row.high:g}")
    click.echo(f"  warm-up    {row.warm} updates: " + ", ".join(f"{n}: {start}" for n, start in starts.items()))
    click.echo(f"  state      {' '.join(row.needs + row.signals)}")
    click.echo(f"  cost       a {row.cost} for eight windows")
