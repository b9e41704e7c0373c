"""`bot4 parity`: a recorded session against its backtest, order by order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine.cli.output import echo_json, iso
from engine.cli.progress import progress
from engine.errors import ParityBroken
from engine.journal.layout import find_session
from engine.research.parity import PARTS, Parity, Row, Seen
from engine.runtime.evidence import as_evidence, keep_parity, root_of
from engine.runtime.parity import run_parity

TOLD = {
    "decision": "the same inputs, decided otherwise: must be nothing",
    "fee": "what was charged against the fees of the settings",
    "queue": "the same journeys, filled otherwise by the venue's model",
    "data": "the same, for orders in whose life the recording has a hole",
    "latency": "journeys by the model against the recorded ones, and what followed from them",
}


@click.command()
@click.argument("session", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--latency-ms", type=click.FloatRange(0, 60_000), help="Of the backtest, fixed, each way; else log-normal."
)
@click.option("--orders", type=click.IntRange(0), default=10, show_default=True, help="Rows to show, widest gap first.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, every order.")
def parity(session: Path, latency_ms: float | None, orders: int, as_json: bool) -> None:
    """Run the recorded SESSION again in a backtest and split what differs, order by order.

    SESSION is one session of `bot4 run`, or a journal, of which the newest is taken. The parts are latency, queue, fee,
    data and decision; they add up to the gap. The decision part must be zero: the core, given what it was given then,
    decides what it decided then, byte for byte. For a live session the two results are kept in the engine's folder as
    evidence: `bot4 tiers` reads it when a promotion is asked for.

    Exit codes: 0 the decision part is zero; 1 it is not, or the session cannot be run again.

    Example: bot4 parity var/journal --latency-ms 20
    """
    found = find_session(session)
    with progress("parity", quiet=as_json) as advance:
        held = run_parity(found, latency_ms=latency_ms, progress=lambda done, total: advance(done, total, ""))
    comparison = as_evidence(found, held)
    kept = keep_parity(root_of(found), comparison) if comparison is not None else None
    if as_json:
        echo_json(_json(found.path.name, held) | {"evidence": None if kept is None else str(kept)})
    else:
        click.echo(_told(found.path.name, held, orders))
        click.echo(f"  evidence: {kept or 'none, only a live session whose decisions are the same counts for a tier'}")
    if not held.holds:
        raise ParityBroken(f"{held.decisions_differing:,} outputs differ, the first: {held.first_difference}.")


def _order(order: Seen | None) -> dict[str, Any] | None:
    if order is None:
        return None
    return {
        "id_order": order.id_order, "decided_ns": order.decided_ns, "arrived_ns": order.arrived_ns,
        "px_ticks": order.px_ticks, "filled_lots": order.filled, "px_mean_ticks": order.px_mean,
    }  # fmt: skip


def _json(name: str, held: Parity) -> dict[str, Any]:
    return {
        "session": name, "holds": held.holds, "decisions_differing": held.decisions_differing,
        "first_difference": held.first_difference, "same_journeys_identical": held.same_journeys_identical,
        "recorded": held.recorded, "simulated": held.simulated, "parts": held.totals,
        "orders": [
            {
                "symbol": row.symbol, "side": "sell" if row.sell else "buy", "lots": row.lots,
                "recorded": _order(row.recorded), "simulated": _order(row.simulated), "gap": row.gap,
                "parts": row.parts,
            }
            for row in held.rows
        ],
    }  # fmt: skip


def _told(name: str, held: Parity, count: int) -> str:
    both = held.count(recorded=True, simulated=True)
    lines = [
        f"{name}: recorded {held.recorded:,.6f}, simulated {held.simulated:,.6f}, gap "
        f"{held.recorded - held.simulated:+,.6f} in the account's asset",
        *(f"  {part:<9} {held.totals[part]:>+16,.6f}  {TOLD[part]}" for part in PARTS),
        f"  {both:,} orders in both, {held.count(recorded=True, simulated=False):,} only recorded, "
        f"{held.count(recorded=False, simulated=True):,} only simulated",
        "  with the recorded journeys the backtest is the recording, byte for byte"
        if held.same_journeys_identical
        else "  with the recorded journeys the backtest is not the recording: the queue part is a model's",
    ]
    rows = sorted(held.rows, key=lambda row: (-abs(row.gap), row.decided_ns))[:count]
    if rows and rows[0].gap:
        lines.append("  widest gaps:")
        lines += [_line(row) for row in rows if row.gap]
    return "\n".join(lines)


def _line(row: Row) -> str:
    def filled(order: Seen | None) -> str:
        return "-" if order is None else f"{order.filled}" + (f" at {order.px_mean:.2f}" if order.fills else "")

    parts = ", ".join(f"{part} {amount:+.6f}" for part, amount in row.parts.items() if amount)
    return (
        f"    {iso(row.decided_ns)}  {row.symbol} {'sell' if row.sell else 'buy':<4} {row.lots:>6} lots: filled "
        f"{filled(row.recorded)} / {filled(row.simulated)}: {parts}"
    )
