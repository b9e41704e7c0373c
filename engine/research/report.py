"""What a backtest says: the figures, as data and as a summary for the terminal.

Owns: how a run is told. Does not own: the run (backtest.py), the definitions of the figures (figures.py, breakdown.py),
the page (report_page.py). Every amount is in the account's asset.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.research import breakdown, figures
from engine.research.backtest import Difference, Fill, Run
from engine.research.dataset import Meta
from engine.research.page import Floats

E8 = 10**8
YEAR_NS = 365 * 86_400 * 10**9


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
class Varied:
    """The same run with other costs or another latency."""

    what: str
    net: float
    fills: int
    sharpe: float
    sharpe_error: float


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
    varied: tuple[Varied, ...] = ()

    @property
    def units(self) -> tuple[float, ...]:
        """One tick times one lot of each symbol, in the asset."""
        return tuple(one.tick_e8 * one.lot_e8 / E8**2 for one in (self.data, *self.others))

    @property
    def names(self) -> tuple[str, ...]:
        """Symbols by number; one that two venues have is told apart by its place."""
        seen: list[str] = []
        for one in (self.data, *self.others):
            seen.append(one.symbol if one.symbol not in seen else f"{one.symbol} ({len(seen) + 1})")
        return tuple(seen)


def costs(told: Told) -> dict[str, float]:
    """Where the result went. Without the costs it would have been `at mid`."""
    fills, units = told.run.fills, told.units
    spread = sum(_paid(fill, fill.px_ticks - fill.mid_ticks) * units[fill.symbol] for fill in fills)
    delay = sum(_paid(fill, fill.mid_ticks - fill.mid_decided_ticks) * units[fill.symbol] for fill in fills)
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
    boot = breakdown.bootstrap_sharpe(returns, seed=told.seed)
    gross, net = breakdown.exposure(run, told.units)
    closed, _ = breakdown.trips(run.fills, told.units)
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
        "sharpe_bootstrap": boot.mean if boot else math.nan,
        "sharpe_bootstrap_error": boot.error if boot else math.nan,
        "sharpe_bootstrap_low": boot.low if boot else math.nan,
        "sharpe_bootstrap_high": boot.high if boot else math.nan,
        "value_at_risk_5": figures.value_at_risk(returns),
        "expected_shortfall_5": figures.expected_shortfall(returns),
        "fills": len(run.fills),
        "makers": sum(fill.maker for fill in run.fills),
        "trips": len(closed),
        "trips_won": sum(trip.net > 0 for trip in closed),
        "exposure_mean": float(gross.mean()),
        "exposure_most": float(gross.max()),
        "exposure_net_mean": float(net.mean()),
        "time_in_market": float(np.mean(gross > 0)),
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
        "months": dict(breakdown.months(run)), "attribution": breakdown.attribution(run, told.units, told.names),
        "slippage": {name: None if math.isnan(v) else v for name, v in breakdown.slippage(run).items()},
        "sensitivity": [
            {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in asdict(one).items()}
            for one in told.varied
        ],
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
        f"              {verdict(told)}; bootstrapped {_n(m['sharpe_bootstrap'], 4)} +- "
        f"{_n(m['sharpe_bootstrap_error'], 4)}",
        f"  exposure    mean {_n(m['exposure_mean'], 3, 100)} %, most {_n(m['exposure_most'], 3, 100)} % of equity, "
        f"{_n(m['time_in_market'], 1, 100)} % of the time; {m['trips']:,} trips, {m['trips_won']:,} won",
        f"  5 % tail    value at risk {_n(m['value_at_risk_5'], 5, 100)} %, shortfall "
        f"{_n(m['expected_shortfall_5'], 5, 100)} % a period",
        f"  look-ahead  {told.check.text}",
    ]
    lines += [f"  with {one.what:<15} {one.net:+,.4f} {asset}, {one.fills:,} fills" for one in told.varied]
    lines += [f"  denied      {count:,} x {reason}" for reason, count in list(run.denials.items())[:5]]
    notes = [f"{name.replace('_', ' ')} {value:,}" for name, value in told.done.items() if value]
    lines += [f"  data        {', '.join(notes)}"] if notes else []
    return "\n".join([*lines, f"  state {run.state_hash}, tape {run.tape_hash[:16]}"])


def _n(value: Any, digits: int = 2, times: float = 1.0) -> str:
    return "-" if value is None else f"{value * times:,.{digits}f}"
