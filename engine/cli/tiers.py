"""`bot4 tiers`: the ladder, where one stands, and what promotion needs."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine._core.clock import utc_ns
from engine.cli.config import read
from engine.cli.output import echo_json, iso
from engine.runtime.evidence import gather
from engine.runtime.standing import FILE
from engine.settings import tiers as ladder_of
from engine.settings.units import to_text


@click.command()
@click.option("--config", "-c", "files", multiple=True, type=click.Path(path_type=Path), help="Settings file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def tiers(files: tuple[Path, ...], as_json: bool) -> None:
    """Show the capital tiers, the one that is in force, what was earned in it, and what promotion still needs.

    Days, drills and parity are read from the engine's folder (journal, audit, latch, drills, parity).
    Targets are text beside the realised figure; nothing is sized or gated by them.

    Example: bot4 tiers --config my.toml
    """
    loaded = read(files)
    settings = loaded.settings
    standing = ladder_of.read_standing(Path(settings.engine.directory) / FILE)
    earned = gather(Path(settings.engine.directory), standing.since_ns if standing is not None else 0)
    move = ladder_of.move(
        loaded.ladder, settings.account.capital, earned.evidence, standing, utc_ns(),
        hysteresis_ppm=settings.tier.hysteresis_ppm, cooldown_days=settings.tier.cooldown_days,
    )  # fmt: skip
    if as_json:
        echo_json({
            "capital": to_text(settings.account.capital, "amount"), "settings_tier": loaded.tier.name,
            "standing": standing, "change": move.change, "missing": list(move.missing),
            "evidence": earned.evidence, "days_paper": earned.days_paper, "drills_failed": earned.drills_failed,
            "trips": [iso(ts_ns) for ts_ns in earned.trips],
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
    e = earned.evidence
    parity = f"{e.parity_ppm / 10_000:.0f} % parity" if earned.comparisons else "no comparison with paper"
    click.echo(
        f"Earned: {e.days_clean} clean days live ({earned.days_paper} on paper, which do not count), {e.drills} drills "
        f"passed and {earned.drills_failed} failed, {parity}, {len(earned.trips)} trips"
        + (f", the last {iso(earned.trips[-1])}." if earned.trips else ".")
    )
    for need in move.missing:
        click.echo(f"Promotion needs: {need}.")
