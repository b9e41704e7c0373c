"""`bot4 tiers`: the ladder, where one stands, and what promotion needs."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine._core.clock import utc_ns
from engine.cli.config import read
from engine.cli.output import echo_json, iso
from engine.settings import tiers as ladder_of
from engine.settings.units import to_text


@click.command()
@click.option("--config", "-c", "files", multiple=True, type=click.Path(path_type=Path), help="Settings file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tiers(files: tuple[Path, ...], as_json: bool) -> None:
    """Show the capital tiers, the one that is in force, and what promotion still needs.

    Targets are text beside the realised figure; nothing is sized or gated by them.

    Example: bot4 tiers --config my.toml
    """
    loaded = read(files)
    settings = loaded.settings
    standing = ladder_of.read_standing(Path(settings.engine.directory) / "tier.json")
    move = ladder_of.move(
        loaded.ladder, settings.account.capital, ladder_of.Evidence(), standing, utc_ns(),
        hysteresis_ppm=settings.tier.hysteresis_ppm, cooldown_days=settings.tier.cooldown_days,
    )  # fmt: skip
    if as_json:
        echo_json({
            "capital": to_text(settings.account.capital, "amount"), "settings_tier": loaded.tier.name,
            "standing": standing, "change": move.change, "missing": list(move.missing),
            "ladder": [file.tier for file in loaded.ladder],
        })  # fmt: skip
        return
    table = Table(box=None, pad_edge=False)
    for column in ("", "tier", "capital", "venues", "leverage", "calls/day", "grants", "target"):
        table.add_column(column)
    for file in loaded.ladder:
        tier = file.tier
        bounds = f"{int(tier.capital_from / 1e8):,} - {int(tier.capital_to / 1e8):,}"
        grants = ", ".join((*tier.grants.features, *tier.grants.models))
        here = ">" if tier.name == loaded.tier.name else ""
        table.add_row(
            here, tier.name, bounds, str(tier.grants.venues_max), f"{tier.grants.leverage_max_ppm / 1e6:g}x",
            f"{tier.grants.calls_per_day:,}", grants, tier.apy_target,
        )  # fmt: skip
    Console(width=160).print(table)
    has = to_text(settings.account.capital, "amount")
    click.echo(f"\nThese settings stand in tier {loaded.tier.name}; the account has {has}.")
    if standing is not None:
        click.echo(f"In force live: {standing.name}, since {iso(standing.since_ns)}.")
    for need in move.missing:
        click.echo(f"Promotion needs: {need}.")
