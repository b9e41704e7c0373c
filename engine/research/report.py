"""What a backtest says: the figures, a summary for the terminal, a page that needs nothing from outside.

Owns: how a run is told. Does not own: the run (backtest.py), the definitions of the figures (figures.py). Every amount
is in the account's asset. The page is one file: styles and drawings inside, no script.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.research import figures
from engine.research.backtest import Difference, Fill, Run
from engine.research.dataset import Meta
from engine.research.page import POINTS, Floats, Scale, cell, curve, document, escaped, table, words

E8 = 10**8
YEAR_NS = 365 * 86_400 * 10**9
TRADES_SHOWN = 500


@dataclass(frozen=True)
class Checked:
    """What the look-ahead check did: no cuts when it was not asked for."""

    cuts: int = 0
    difference: Difference | None = None

    @property
    def text(self) -> str:
        if self.difference is not None:
            return f"FAILED: record {self.difference.record} differs once the future is cut off"
        return f"passed: {self.cuts} cuts, every record before them the same" if self.cuts else "not made"


@dataclass(frozen=True)
class Told:
    """A run with what is needed to tell it."""

    strategy: str
    params: dict[str, Any]
    asset: str
    seed: int
    latency: str
    data: Meta
    done: dict[str, int]
    run: Run
    check: Checked
    trials: int = 1
    basis: str = ""  # what the market was made of, and what had to be assumed
    others: tuple[Meta, ...] = ()  # legs and peers, in the order of their symbols

    @property
    def unit(self) -> float:
        """One tick times one lot, in the asset."""
        return self.data.tick_e8 * self.data.lot_e8 / E8**2


def costs(told: Told) -> dict[str, float]:
    """Where the result went. Without the costs it would have been `at mid`."""
    fills, unit = told.run.fills, told.unit
    spread = sum(_paid(fill, fill.px_ticks - fill.mid_ticks) for fill in fills) * unit
    delay = sum(_paid(fill, fill.mid_ticks - fill.mid_decided_ticks) for fill in fills) * unit
    fees, funding = told.run.fees / E8, told.run.funding / E8
    net = float(told.run.equity[-1] - told.run.start_equity) / E8
    return {
        "fees": fees, "fees of takers": sum(fill.fee for fill in fills if not fill.maker) / E8, "spread": spread,
        "delay": delay, "funding": -funding, "net": net, "at mid": net + fees + spread - funding,
    }  # fmt: skip


def _paid(fill: Fill, ticks: float) -> float:
    return (-ticks if fill.sell else ticks) * fill.lots


def measures(told: Told) -> dict[str, float | int | str | None]:
    """Every figure by its name; what cannot be known is None."""
    run = told.run
    returns = returns_of(run)
    span = float(run.times_ns[-1] - run.times_ns[0])
    periods = YEAR_NS * len(returns) / span if len(returns) else 1.0
    error = figures.sharpe_error(returns)
    values: dict[str, float | int | str | None] = {
        "equity_start": run.start_equity / E8,
        "equity_end": float(run.equity[-1]) / E8,
        "return": float(run.equity[-1]) / run.start_equity - 1.0,
        "max_drawdown": figures.max_drawdown(returns),
        "periods": len(returns),
        "period_s": span / 1e9 / len(returns) if len(returns) else 0.0,
        "sharpe_period": figures.sharpe(returns),
        "sharpe_error": error,
        "sharpe_year": figures.sharpe(returns, periods),
        "deflated_sharpe": figures.deflated_sharpe(returns, told.trials, error),
        "value_at_risk_5": figures.value_at_risk(returns),
        "expected_shortfall_5": figures.expected_shortfall(returns),
        "fills": len(run.fills),
        "makers": sum(fill.maker for fill in run.fills),
        "position_end_lots": int(run.position[-1]),
        **{f"cost_{name.replace(' ', '_')}": value for name, value in costs(told).items()},
    }
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in values.items()}


def returns_of(run: Run) -> Floats:
    equity = run.equity.astype(np.float64)
    return np.asarray(np.diff(equity) / equity[:-1], dtype=np.float64)


def as_json(told: Told) -> dict[str, Any]:
    run = told.run
    return {
        "strategy": told.strategy, "params": told.params, "seed": told.seed, "data": told.data.source,
        "symbol": told.data.symbol, "latency": told.latency, "market": told.basis,
        "events": run.counts["events"], "measures": measures(told), "funding": run.funding / E8, "denials": run.denials,
        "counts": run.counts, "venue": run.venue_counts, "data_notes": told.done, "look_ahead": told.check.text,
        "state": run.state_hash, "tape": run.tape_hash,
    }  # fmt: skip


def verdict(told: Told) -> str:
    """What the Sharpe ratio allows to be said."""
    ratio, error = (measures(told)[name] for name in ("sharpe_period", "sharpe_error"))
    if not isinstance(ratio, float) or not isinstance(error, float) or not error > 0:
        return "no Sharpe ratio: too few returns, or none that differ"
    sizes = abs(ratio) / error
    if sizes < 2:
        return f"no significant Sharpe ratio: {sizes:.1f} standard errors from zero"
    return f"Sharpe ratio {sizes:.1f} standard errors {'above' if ratio > 0 else 'below'} zero"


def summary(told: Told) -> str:
    m, run, asset = measures(told), told.run, told.asset
    lines = [
        f"{told.strategy} on {told.data.symbol}, {told.data.source}: {run.counts['events']:,} events, "
        f"{len(run.fills):,} fills, {run.counts['denied']:,} denied, {run.counts['refused']:,} refused",
        f"  market      {told.basis}",
        f"  equity      {_n(m['equity_start'])} -> {_n(m['equity_end'])} {asset} ({_n(m['return'], 4, 100)} %), "
        f"deepest fall {_n(m['max_drawdown'], 4, 100)} %",
        f"  costs       fees {_n(m['cost_fees'])}, spread {_n(m['cost_spread'])}, delay {_n(m['cost_delay'])}, "
        f"funding {_n(m['cost_funding'])} {asset}; "
        f"at mid it would be {_n(m['cost_at_mid'])}",
        f"  Sharpe      {_n(m['sharpe_period'], 4)} +- {_n(m['sharpe_error'], 4)} a period of {_n(m['period_s'], 1)} s"
        f", deflated for {told.trials} trials {_n(m['deflated_sharpe'], 3)}",
        f"              {verdict(told)}",
        f"  5 % tail    value at risk {_n(m['value_at_risk_5'], 5, 100)} %, shortfall "
        f"{_n(m['expected_shortfall_5'], 5, 100)} % a period",
        f"  look-ahead  {told.check.text}",
    ]
    lines += [f"  denied      {count:,} x {reason}" for reason, count in list(run.denials.items())[:5]]
    notes = [f"{name.replace('_', ' ')} {value:,}" for name, value in told.done.items() if value]
    lines += [f"  data        {', '.join(notes)}"] if notes else []
    return "\n".join([*lines, f"  state {run.state_hash}, tape {run.tape_hash[:16]}"])


def _n(value: Any, digits: int = 2, times: float = 1.0) -> str:
    return "-" if value is None else f"{value * times:,.{digits}f}"


# --------------------------------------------------------------------------------------------------------------- page
def page(told: Told) -> str:
    """The whole report as one HTML file."""
    run = told.run
    equity = run.equity / E8
    peak = np.maximum.accumulate(equity)
    x = (run.times_ns - run.times_ns[0]) / 1e9
    title = f"{told.strategy} on {told.data.symbol}"
    failed = ' class="bad"' if told.check.difference else ""
    parts = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="soft">{escaped(told.data.source)}, seed {told.seed}, latency {escaped(told.latency)}; parameters '
        f"{escaped(', '.join(f'{k} = {v}' for k, v in told.params.items()) or 'as the strategy has them')}</p>",
        f"<p>Market: {escaped(told.basis)}.</p>",
        f"<p><b>{escaped(verdict(told))}.</b> <span{failed}>Look-ahead check {escaped(told.check.text)}.</span></p>",
        "<h2>Figures</h2>", table(("figure", "value"), ((words(k), cell(v)) for k, v in measures(told).items())),
        f"<h2>Equity, {escaped(told.asset)}</h2>", curve(x, equity, "curve"),
        "<h2>Fall from the peak, %</h2>", curve(x, (equity / peak - 1) * 100, "fall", zero=True),
        f"<h2>Price and fills, {escaped(told.data.symbol)}</h2>", _prices(told, x),
        "<h2>Position, lots</h2>", curve(x, run.position.astype(np.float64), "curve"),
        f"<h2>Costs, {escaped(told.asset)}</h2>",
        table(("part", "amount"), ((k, f"{v:,.4f}") for k, v in costs(told).items())),
        "<p class='soft'>Spread: fills against the mid of their moment. Delay: that mid against the one at the "
        "decision, for a resting order it is what waiting gained or lost. At mid: net without fees and spread.</p>",
        "<h2>Why not</h2>", table(("reason", "count"), ((k, f"{v:,}") for k, v in run.denials.items())),
        "<h2>Data</h2>", table(("note", "count"), ((words(k), f"{v:,}") for k, v in told.done.items())),
        f"<h2>Fills{f', the first {TRADES_SHOWN} of {len(run.fills):,}' if len(run.fills) > TRADES_SHOWN else ''}</h2>",
        f'<div class="box">{_trades(told)}</div>',
        f'<p class="soft">state {run.state_hash}<br>tape {run.tape_hash}</p>',
    ]  # fmt: skip
    return document(title, parts)


def _prices(told: Told, x: Floats) -> str:
    run, tick = told.run, told.data.tick_e8 / E8
    known = run.mids > 0
    if not known.any():
        return '<p class="soft">none</p>'
    x, y = x[known], run.mids[known] * tick
    shown = run.fills[:: max(1, len(run.fills) // POINTS)]
    marks = [((f.ts_ns - run.times_ns[0]) / 1e9, f.px_ticks * tick, f.sell) for f in shown]
    scale = Scale(x, np.concatenate([y, [px for _, px, _ in marks]]))
    dots = "".join(
        f'<path class="{"sell" if sell else "buy"}" d="M{scale.x(at):.1f} {scale.y(px):.1f}'
        f'{"l-4 -7h8z" if sell else "l-4 7h8z"}"/>'
        for at, px, sell in marks
    )
    return scale.frame(f'<polyline class="curve" points="{scale.line(x, y)}"/>{dots}')


def _trades(told: Told) -> str:
    tick, lot, held = told.data.tick_e8 / E8, told.data.lot_e8 / E8, 0
    rows = []
    for fill in told.run.fills[:TRADES_SHOWN]:
        held += -fill.lots if fill.sell else fill.lots
        rows.append(
            (
                str(np.datetime64(fill.ts_ns, "ns").astype("datetime64[ms]")), "sell" if fill.sell else "buy",
                f"{fill.lots * lot:g}", f"{fill.px_ticks * tick:,.8g}", "maker" if fill.maker else "taker",
                f"{fill.fee / E8:,.6f}", f"{held * lot:g}",
            )
        )  # fmt: skip
    return table(("time", "side", "quantity", "price", "role", "fee", "held after"), rows)
