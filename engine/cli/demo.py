"""`bot4 demo`: a short paper session on a generated market, shown live."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from engine._core.clock import monotonic_ns
from engine.runtime.wiring import INSTRUMENT, PaperSession
from engine.sim.market import random_walk

CHUNK = 2_000


def _screen(session: PaperSession, seconds: float) -> Table:
    counts = session.core.world.counts
    row, position = session.core.world.instruments()[0], session.core.world.positions()[0]
    # Marked at the mid, in the quote asset. Cash is kept in its 1e-8 units; one tick x one lot is `unit` of them.
    unit = INSTRUMENT["tick_e8"] * INSTRUMENT["lot_e8"] // 10**8
    value = (
        2 * int(position["cash_value"]) + int(position["lots"]) * int(row["bid_px_ticks"] + row["ask_px_ticks"]) * unit
    )
    profit = value / 2 / 10**8
    table = Table(title="Bot4 demo: generated market, in-process venue, simulated time", show_header=False)
    table.add_row("touch", f"{row['bid_px_ticks']} / {row['ask_px_ticks']} ticks")
    table.add_row("position", f"{position['lots']} lots, {profit:+.2f} before fees")
    table.add_row("orders", f"{counts['intents']:,} intents, {counts['fills']:,} fills, {counts['denied']:,} denied")
    table.add_row("events", f"{counts['events']:,} in {seconds:.1f} s")
    table.add_row("one step of the core", session.step_ns.text())
    table.add_row("tape", f"{session.tape.count:,} records of 64 bytes, {session.tape.path}")
    return table


@click.command()
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=5.0, show_default=True, help="How long to run.")
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the generated market.")
@click.option(
    "--directory", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True, help="Emptied."
)
def demo(seconds: float, seed: int, directory: Path) -> None:
    """Run the whole path live: market, core, strategy, gate, venue, tape.

    The figures are this machine's, now, with the venue in Python beside the core; `make bench` is what measures.

    Example: bot4 demo --seconds 10
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    session = PaperSession(directory, seed=seed, tape_capacity=20_000_000)
    start = monotonic_ns()
    chunk = 0
    console = Console()
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while (passed := (monotonic_ns() - start) / 1e9) < seconds:
            begins = session.core.world.now_ns or 1_700_000_000_000_000_000
            px = int(session.core.world.instruments()["bid_px_ticks"][0]) or 50_000
            session.run(random_walk(seed=seed + chunk, count=CHUNK, start_ns=begins + 1, px_ticks=px))
            chunk += 1
            live.update(_screen(session, passed))
    console.print(_screen(session, (monotonic_ns() - start) / 1e9))
    session.core.world.check()
    console.print(f"Replay it, byte for byte:  bot4 replay {directory}")
