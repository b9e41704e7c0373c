"""The page of a backtest: one file that needs nothing from outside, styles and drawings inside, no script.

Owns: which parts stand on it and in which order. Does not own: figures and splits (report.py, breakdown.py), how a
table or a curve looks (page.py).
"""

from __future__ import annotations

import math

import numpy as np

from engine.research import breakdown
from engine.research.page import POINTS, Floats, Scale, cell, curve, document, escaped, table, words
from engine.research.report import E8, Told, costs, measures, returns_of, verdict

TRADES_SHOWN = 500


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
        "<h2>Returns by month, %</h2>",
        table(("month (UTC)", "return"), ((m, f"{100 * value:,.4f}") for m, value in breakdown.months(run))),
        *_exposure(told, x),
        *_attribution(told),
        f"<h2>Costs, {escaped(told.asset)}</h2>",
        table(("part", "amount"), ((k, f"{v:,.4f}") for k, v in costs(told).items())),
        "<p class='soft'>Spread: fills against the mid of their moment. Delay: that mid against the one at the "
        "decision, for a resting order it is what waiting gained or lost. At mid: net without fees and spread.</p>",
        *_slippage(told),
        *_luck(told, x),
        *_sensitivity(told),
        "<h2>Rejected, and why not</h2>", table(("reason", "count"), ((k, f"{v:,}") for k, v in run.denials.items())),
        "<h2>Data</h2>", table(("note", "count"), ((words(k), f"{v:,}") for k, v in told.done.items())),
        f"<h2>Trips from flat to flat{_first(len(breakdown.trips(run.fills, told.units)[0]))}</h2>",
        f'<div class="box">{_trips(told)}</div>',
        f"<h2>Fills{_first(len(run.fills))}</h2>",
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
    mine = [fill for fill in run.fills if fill.symbol == 0]
    shown = mine[:: max(1, len(mine) // POINTS)]
    marks = [((f.ts_ns - run.times_ns[0]) / 1e9, f.px_ticks * tick, f.sell) for f in shown]
    scale = Scale(x, np.concatenate([y, [px for _, px, _ in marks]]))
    dots = "".join(
        f'<path class="{"sell" if sell else "buy"}" d="M{scale.x(at):.1f} {scale.y(px):.1f}'
        f'{"l-4 -7h8z" if sell else "l-4 7h8z"}"/>'
        for at, px, sell in marks
    )
    return scale.frame(f'<polyline class="curve" points="{scale.line(x, y)}"/>{dots}')


def _trades(told: Told) -> str:
    held = [0] * len(told.names)
    rows = []
    for fill in told.run.fills[:TRADES_SHOWN]:
        meta = (told.data, *told.others)[fill.symbol]
        tick, lot = meta.tick_e8 / E8, meta.lot_e8 / E8
        held[fill.symbol] += -fill.lots if fill.sell else fill.lots
        rows.append(
            (
                _time(fill.ts_ns), told.names[fill.symbol], "sell" if fill.sell else "buy",
                f"{fill.lots * lot:g}", f"{fill.px_ticks * tick:,.8g}", "maker" if fill.maker else "taker",
                f"{fill.fee / E8:,.6f}", f"{held[fill.symbol] * lot:g}",
            )
        )  # fmt: skip
    return table(("time", "symbol", "side", "quantity", "price", "role", "fee", "held after"), rows)


def _time(ns: int) -> str:
    return str(np.datetime64(ns, "ns").astype("datetime64[ms]"))


def _first(count: int) -> str:
    return f", the first {TRADES_SHOWN} of {count:,}" if count > TRADES_SHOWN else ""


def _exposure(told: Told, x: Floats) -> list[str]:
    gross, net = breakdown.exposure(told.run, told.units)
    return [
        "<h2>Exposure, net value held in % of equity</h2>", curve(x, net * 100, "curve"),
        f'<p class="soft">gross: {100 * gross.mean():,.4f} % on average, {100 * gross.max():,.4f} % at most; in the '
        f"market {100 * np.mean(gross > 0):,.1f} % of the time</p>",
    ]  # fmt: skip


def _attribution(told: Told) -> list[str]:
    out = [f"<h2>Attribution of the net result, {escaped(told.asset)}</h2>"]
    for name, split in breakdown.attribution(told.run, told.units, told.names).items():
        out.append(table((name, "net"), ((part, f"{value:,.6f}") for part, value in split.items())))
    return out


def _slippage(told: Told) -> list[str]:
    rows = ((name, "-" if math.isnan(v) else f"{v:,.4g}") for name, v in breakdown.slippage(told.run).items())
    return [
        "<h2>Slippage and latency</h2>", table(("figure", "value"), rows),
        '<p class="soft">Ticks: what takers paid beyond the mid of their decision. Milliseconds: from the decision to '
        f"the fill at the venue; messages travel {escaped(told.latency)}.</p>",
    ]  # fmt: skip


def _luck(told: Told, x: Floats) -> list[str]:
    """How much of the ratio is chance: rolling, and drawn again."""
    returns = returns_of(told.run)
    at, ratio = breakdown.rolling_sharpe(returns)
    out = ["<h2>Sharpe ratio a period: rolling, and drawn again</h2>"]
    out.append(curve(x[1:][at], ratio, "curve") if len(at) else '<p class="soft">too few periods to roll</p>')
    m = measures(told)
    if boot := breakdown.bootstrap_sharpe(returns, seed=told.seed):
        out.append(
            f"<p>{boot.count} stationary bootstraps in blocks of {boot.block}: {boot.mean:,.4f} &plusmn; "
            f"{boot.error:,.4f}, 95 % between {boot.low:,.4f} and {boot.high:,.4f}; "
            f"by formula {cell(m['sharpe_period'])} &plusmn; "
            f"{cell(m['sharpe_error'])}; deflated for {told.trials} trials {cell(m['deflated_sharpe'])}.</p>"
        )
    return out


def _sensitivity(told: Told) -> list[str]:
    head = [f"<h2>Sensitivity to costs and latency, {escaped(told.asset)}</h2>"]
    if not told.varied:
        return [*head, '<p class="soft">not asked for</p>']
    rows = (
        (one.what, f"{one.net:,.6f}", f"{one.fills:,}", cell(one.sharpe), cell(one.sharpe_error)) for one in told.varied
    )
    return [*head, table(("run again with", "net", "fills", "Sharpe a period", "its error"), rows)]


def _trips(told: Told) -> str:
    rows = []
    for trip in breakdown.trips(told.run.fills, told.units)[0][:TRADES_SHOWN]:
        meta = (told.data, *told.others)[trip.symbol]
        tick, lot = meta.tick_e8 / E8, meta.lot_e8 / E8
        rows.append(
            (
                _time(trip.opened_ns), _time(trip.closed_ns), told.names[trip.symbol],
                "short" if trip.short else "long", f"{trip.lots * lot:g}", f"{trip.entry_ticks * tick:,.8g}",
                f"{trip.exit_ticks * tick:,.8g}", f"{trip.fees:,.6f}", f"{trip.net:,.6f}",
            )
        )  # fmt: skip
    return table(("opened", "closed", "symbol", "side", "most held", "entry", "exit", "fees", "net"), rows)
