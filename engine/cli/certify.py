"""`bot4 certify`: a strategy against the seeded world."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial

import click

from engine._core.clock import monotonic_ns
from engine.cli.progress import progress
from engine.runtime.certified import make_setup
from engine.sim.world.certify import certify as run_certify
from engine.sim.world.outcome import Outcome


@click.command()
@click.argument("strategy", default="strategies.quoter")
@click.option("--seeds", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="How many worlds.")
@click.option("--hours", type=click.FloatRange(0.05, 10_000), default=10, show_default=True, help="Simulated, of each.")
@click.option("--first-seed", type=int, default=0, show_default=True, help="The others follow it.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes; one for each core by default.")
@click.option(
    "--market",
    type=click.Choice(["walk", "flow"]),
    default="walk",
    show_default=True,
    help="Random walk, or order flow fitted to recordings: slower, with trends, crashes and gaps.",
)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def certify(
    strategy: str, seeds: int, hours: float, first_seed: int, workers: int | None, market: str, as_json: bool
) -> None:
    """Run STRATEGY through a world that tries to break it, and print a certificate or the smallest counterexample.

    The world loses, repeats, delays and reorders messages, cuts the connection, bans the account, halts the market,
    jumps the clock, fills the disk, flips bits on it, tears writes, takes the power and kills the process at any
    point; it drives the real core, the real journal and the real recovery. Exit codes: 0 certified; 1 broken; 4 it
    never ordered, so nothing of it was tried.

    Example: bot4 certify strategies.breakout --seeds 100 --hours 24
    """
    # Here first: a name that is none, or a source that cannot be built, is one plain line and not one a worker.
    make_setup(strategy, market).make_core()
    start = monotonic_ns()
    with progress("certify", quiet=as_json) as advance:
        trials, simulated = 0, 0.0

        def ended(outcome: Outcome) -> None:
            nonlocal trials, simulated
            trials, simulated = trials + 1, simulated + outcome.hours
            minutes = max(1e-9, (monotonic_ns() - start) / 60e9)
            advance(trials, seeds, f"{simulated / minutes:,.0f} simulated hours a minute")

        found = run_certify(partial(make_setup, strategy, market), seeds=seeds, hours=hours, first_seed=first_seed,
                            workers=workers, progress=ended)  # fmt: skip
    minutes = max(1e-9, (monotonic_ns() - start) / 60e9)
    if as_json:
        out = {k: v for k, v in asdict(found).items() if k not in ("failed", "script")}
        out |= {"passed": found.passed, "hours_per_minute": found.hours / minutes}
        out |= {"counterexample": found.script.text() if found.script else None}
        click.echo(json.dumps(out))
    elif found.passed and not found.orders:
        click.echo(
            f"IDLE  {found.name}: {found.hours:,.0f} simulated hours and no order, so nothing of it was tried. More "
            "hours or --market flow may make it trade; these worlds have quotes and trades of one symbol, no bars."
        )
    elif found.passed:
        click.echo(
            f"CERTIFIED  {found.name}: {found.seeds} seeds from {first_seed}, {found.hours:,.0f} simulated hours, "
            f"{found.events:,} events, {found.orders:,} orders, {found.fills:,} fills, {found.lives:,} lives of the "
            f"process, {found.refused} damaged journals refused; every promise held after every event.\n"
            f"{found.hours / minutes:,.0f} simulated hours a minute."
        )
    elif found.script is not None:
        click.echo(f"BROKEN  {found.name}\n{found.script.text()}")
    if not found.passed:
        sys.exit(1)
    if not found.orders:
        sys.exit(4)
