"""Fits the generated order flow to recordings, and holds the two against each other in one table.

Owns: what is measured, how it becomes parameters, the table. Does not own: reading recordings (recordings.py), the
process's estimate (hawkes_fit.py), the flow (engine.sim.market). Both sides of the table go through the same `figures`.

A touch is settled while its spread is at most one and a half medians. A move is a change of the settled mid: it has a
time, a size, and if the spread opened on the way a width and a duration. Moves of two symbols in one direction within
50 ms are one common move. Regimes come from five-minute bars, an hour at a time. Cost: some ten seconds.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import QUOTE, TRADE, Flag, Kind
from engine.research import hawkes_fit
from engine.research.recordings import LEVELS, SECOND, Tape, merge_sweeps
from engine.sim.market.flow import KINDS, REGIMES, FlowMarket, FlowSymbol, process_of

Array = npt.NDArray[Any]
GRID = (
    0.0,
    0.01,
    0.03,
    *(i / 20 for i in range(1, 20)),
    0.96,
    0.97,
    0.98,
    0.985,
    0.99,
    0.9925,
    0.995,
    0.9975,
    0.999,
    1.0,
)
BETA = (20_000.0, 300.0, 10.0, 0.5)  # a second: 50 us, 3 ms, 100 ms, 2 s
COMMON_NS = 50_000_000
BP = 1e4
# A buy does to sells what a sell does to buys. The last two kinds are the common moves.
MIRROR = np.array([1, 0, 3, 2, 4, 6, 5])
ALLOWED = np.ones((7, 7))
ALLOWED[4, :4] = 0  # what changes at the touch moves nothing
ALLOWED[:, 5:] = 0  # common moves have parents among themselves only: they are estimated from all symbols at once
HORIZONS = (1, 5)


@dataclass(frozen=True)
class Moves:
    """Of one tape: when its settled mid moved, how far, and how."""

    ns: Array
    bp: Array
    width_bp: Array  # 0: it moved at once
    lasting_s: Array
    changes_ns: Array  # of quantities at a settled touch that did not move
    common: Array


def moves(tape: Tape) -> Moves:
    spread = tape.ask - tape.bid
    settled = spread <= 1.5 * np.median(spread)
    at = np.flatnonzero(settled)
    jump = np.diff(tape.mid[at])
    moved = np.flatnonzero(np.abs(jump) > 1e-9)
    before, after = at[moved], at[moved + 1]
    opened = after > before + 1
    width = np.array([spread[a + 1 : b].max() if b > a + 1 else 0.0 for a, b in zip(before, after, strict=True)])
    lasting = (tape.quote_ns[after] - tape.quote_ns[before + 1]) / SECOND
    same = np.zeros(len(settled), bool)
    same[1:] = (np.diff(tape.bid) == 0) & (np.diff(tape.ask) == 0)
    return Moves(
        tape.quote_ns[before + 1],
        jump[moved] / tape.mid[before] * BP,
        np.where(opened, width / tape.mid[before] * BP, 0.0),
        np.where(opened, lasting, 0.0),
        tape.quote_ns[same & settled],
        np.zeros(len(moved), bool),
    )


def pair(a: Moves, b: Moves) -> Array:
    """Mark the moves that the two made together; returns their sizes as two columns."""
    sizes = []
    for at in range(len(a.ns)):
        near = np.flatnonzero((np.abs(b.ns - a.ns[at]) < COMMON_NS) & (np.sign(b.bp) == np.sign(a.bp[at])) & ~b.common)
        if len(near):
            other = near[np.argmin(np.abs(b.ns[near] - a.ns[at]))]
            a.common[at] = b.common[other] = True
            sizes.append((abs(a.bp[at]), abs(b.bp[other])))
    return np.array(sizes)


def kinds_of(tape: Tape, moved: Moves) -> tuple[Array, Array]:
    """Everything that happened, by time: the five kinds of a symbol, then common moves up and down."""
    direction = np.where(moved.bp > 0, 0, 1)
    ns = np.concatenate([tape.trade_ns, moved.ns, moved.changes_ns])
    kinds = np.concatenate([
        np.where(tape.trade_sell, 1, 0),
        np.where(moved.common, 5, 2) + direction,
        np.full(len(moved.changes_ns), 4),
    ])  # fmt: skip
    order = np.argsort(ns, kind="stable")
    return ns[order], kinds[order].astype(np.uint8)


def rounded(values: Array) -> list[float]:
    """Six figures; what is next to nothing is nothing."""
    return [float(f"{v:.6g}") if abs(v) > 1e-9 else 0.0 for v in values]


def quantiles(values: Array) -> list[float]:
    return rounded(np.quantile(values, GRID))


def distance(residuals: Array) -> float:
    """Kolmogorov's distance of rescaled gaps from the exponential distribution."""
    u = np.sort(1 - np.exp(-residuals))
    n = len(u)
    return float(max((np.arange(1, n + 1) / n - u).max(), (u - np.arange(n) / n).max())) if n else 1.0


def _symbol(tape: Tape, moved: Moves, process: hawkes_fit.HawkesFit) -> dict[str, Any]:
    own = np.abs(moved.bp)
    opened = moved.width_bp > 0
    px = float(np.median(tape.mid))
    away, money = tape.level_away / px * BP, tape.level_qty * px
    touch = np.concatenate([tape.bid_qty, tape.ask_qty]) * px
    score = np.argsort(np.argsort(np.log(tape.bid_qty), kind="stable")) / len(tape.bid_qty) - 0.5
    same = np.diff(tape.bid) == 0
    return {
        "px": px,
        "base": rounded(process.base[:KINDS]),
        "alpha": [[rounded(row[:KINDS]) for row in scale] for scale in process.alpha],
        "spread_bp": float(f"{np.median(tape.ask - tape.bid) / px * BP:.6g}"),
        "open_share": float(f"{opened.mean():.6g}"),
        "touch_memory": float(f"{np.corrcoef(score[1:][same], score[:-1][same])[0, 1]:.6g}"),
        "move_bp": quantiles(own[~moved.common]),
        "width_bp": quantiles(moved.width_bp[opened]),
        "lasting_s": quantiles(moved.lasting_s[opened]),
        "size_money": quantiles(tape.trade_qty * px),
        "touch_money": quantiles(touch),
        "level_gap_bp": rounded(np.diff(away.mean(axis=0), prepend=0.0)),
        "level_money": rounded(money.mean(axis=0)),
    }


# ------------------------------------------------------------------------------------------------------ scale of moves
def closed_form(fit: dict[str, Any], name: str) -> tuple[float, float]:
    """Variance a second of a symbol's price (bp squared) over long times, and the share that is common to all."""
    row = fit["symbols"][name]
    base, alpha = process_of(fit, [name])
    keep = [0, 1, 2, 3, 4, 5]  # what changes at the touch has no children but its own kind
    base, alpha = base[keep], alpha[:, keep][:, :, keep]
    grid = np.array(fit["grid"])
    common, own = np.array(fit["common_bp"]) * row["loading"], np.array(row["move_bp"]) * row["scale"]
    mean_c, mean_o = (np.trapezoid(v, grid) for v in (common, own))
    square_c, square_o = (_second_moment(v, grid) for v in (common, own))
    rates = hawkes_fit.rates(base, alpha)
    weight = np.array([mean_c, -mean_c, 0.0, 0.0, mean_o, -mean_o])
    counts = hawkes_fit.long_run_covariance(base, alpha)
    total = (
        weight @ counts @ weight + rates[:2].sum() * (square_c - mean_c**2) + rates[4:].sum() * (square_o - mean_o**2)
    )
    # What one common move brings with it in the mean: moves of the symbol alone. Common moves are a process of their
    # own; so the common part is their counts' covariance with these weights, and their own sizes' variance.
    among = alpha.sum(axis=0)[2:, 2:]
    brought = alpha.sum(axis=0)[:2, 2:] @ np.linalg.inv(np.eye(4) - among)
    common_weight = weight[:2] + brought @ weight[2:]
    common_counts = hawkes_fit.long_run_covariance(base[:2], alpha[:, :2, :2])
    shared = common_weight @ common_counts @ common_weight + rates[:2].sum() * (square_c - mean_c**2)
    return float(total), float(shared / total)


def _second_moment(values: Array, grid: Array) -> float:
    a, b = values[:-1], values[1:]
    return float((np.diff(grid) * (a * a + a * b + b * b) / 3).sum())


def _set_scale(fit: dict[str, Any], name: str, variance: float, share: float) -> None:
    """Loading and scale of a symbol so that its price has this variance and this share of it in common."""
    row = fit["symbols"][name]
    low, high = 0.0, 1.0
    for _ in range(60):
        # Between all own and all common; both are then stretched to the variance.
        middle = (low + high) / 2
        row["loading"], row["scale"] = middle, 1 - middle
        common = closed_form(fit, name)[1]
        low, high = (middle, high) if common < share else (low, middle)
    factor = (variance / closed_form(fit, name)[0]) ** 0.5
    row["loading"], row["scale"] = (float(f"{row[key] * factor:.6g}") for key in ("loading", "scale"))


# ------------------------------------------------------------------------------------------------------------- regimes
def regimes(closes: Array, volumes: Array) -> dict[str, Any]:
    """Hours of five-minute bars as regimes: how violent, how one-sided, how long, and what follows what."""
    r = np.diff(np.log(closes)) * BP
    hours = len(r) // 12
    r, v = r[: hours * 12].reshape(hours, 12), volumes[1 : hours * 12 + 1].reshape(hours, 12).sum(axis=1)
    sigma = np.sqrt((r * r).mean(axis=1))
    typical = float(np.median(sigma))
    drift = r.sum(axis=1) / (typical * 12**0.5)
    kinds = np.zeros(hours, int)
    kinds[np.abs(r.sum(axis=1)) > 2 * sigma * 12**0.5] = 1
    kinds[(sigma > 2 * typical) & (drift < -3)] = 2
    kinds[np.abs(r).max(axis=1) > 10 * typical] = 3
    calm = kinds == 0
    turns = np.zeros((4, 4))
    runs: list[list[int]] = [[], [], [], []]
    for kind, group in itertools.groupby(kinds):
        runs[int(kind)].append(len(list(group)))
    order = [int(k) for k, _ in itertools.groupby(kinds)]
    for a, b in itertools.pairwise(order):
        turns[a, b] += 1
    turns /= np.maximum(1, turns.sum(axis=1))[:, None]
    out: dict[str, Any] = {}
    for k, name in enumerate(REGIMES):
        here = kinds == k
        if not here.any():
            raise ValueError(f"no hour of the bars is a {name}")
        violence = float(sigma[here].mean() / sigma[calm].mean())
        rate = float(v[here].mean() / v[calm].mean())
        jump = violence / rate**0.5
        out[name] = {
            "hours": int(here.sum()),
            "rate": round(rate, 4),
            "jump": round(jump, 4),
            "spread": round(max(1.0, jump), 4),
            "depth": round(1 / max(1.0, jump), 4),
            # Of an hour, in standard deviations of a calm one; trends have either sign.
            "drift": round(float(np.abs(drift[here]).mean()) if k in (1, 2) else 0.0, 4),
            "dwell_s": round(float(np.mean(runs[k])) * 3600, 1),
            "next": {other: round(float(turns[k, j]), 4) for j, other in enumerate(REGIMES)},
        }
        if not turns[k].any():
            out[name]["next"]["calm"] = 1.0
    out["gap_bp"] = round(float(np.median(np.abs(r).max(axis=1)[kinds == 3])), 3)
    return out


def _tilt(fit: dict[str, Any], name: str, regime: dict[str, Any], variance: float) -> float:
    """How far the arrivals from outside must lean for the drift that the hours had."""
    base, alpha = process_of(fit, [name])
    lean = base.copy()
    lean[[1, 3]] *= -1
    lean[4:] = 0
    row, grid = fit["symbols"][name], np.array(fit["grid"])
    mean_c = np.trapezoid(np.array(fit["common_bp"]), grid) * row["loading"]
    mean_o = np.trapezoid(np.array(row["move_bp"]), grid) * row["scale"]
    counts = np.linalg.solve(np.eye(len(base)) - alpha.sum(axis=0).T, lean)
    most = float(counts @ np.array([mean_c, -mean_c, 0, 0, mean_o, -mean_o, 0])) * regime["rate"] * regime["jump"]
    wanted = float(regime["drift"]) * (variance * 3600) ** 0.5 / 3600
    return float(round(min(0.95, wanted / most), 5))


# ----------------------------------------------------------------------------------------------------------- the fit
def calibrate(tapes: dict[str, Tape], bars: dict[str, tuple[Array, Array]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters from two symbols recorded together and from bars; and what the estimate left over."""
    moved = {name: moves(tape) for name, tape in tapes.items()}
    sizes = pair(*moved.values())
    names = list(tapes)
    # In units of each symbol's mean common move; the loading gives the scale back.
    relative = (sizes / sizes.mean(axis=0)).ravel()
    first = names[0]
    together = moved[first].common
    shared = hawkes_fit.fit(
        moved[first].ns[together],
        np.where(moved[first].bp[together] > 0, 0, 1),
        np.array(BETA),
        2,
        mirror=np.array([1, 0]),
    )
    fit: dict[str, Any] = {
        "grid": list(GRID),
        "beta": list(BETA),
        "common_per_s": rounded(shared.base),
        "common_alpha": [[rounded(row) for row in scale] for scale in shared.alpha],
        "common_bp": quantiles(relative),
        "symbols": {},
    }
    left: dict[str, Any] = {"common_moves": len(sizes), "common_branching": round(shared.branching, 4)}
    for name in names:
        ns, kinds = kinds_of(tapes[name], moved[name])
        process = hawkes_fit.fit(ns, kinds, np.array(BETA), 7, mirror=MIRROR, allowed=ALLOWED)
        fit["symbols"][name] = _symbol(tapes[name], moved[name], process)
        left[name] = {
            "branching": round(process.branching, 4),
            "residual_ks": [round(distance(r), 4) for r in process.residuals[:KINDS]],
            "counts": np.bincount(kinds, minlength=7).tolist(),
        }
    joint = [np.diff(np.log(close)) for close, _ in bars.values()]
    shortest = min(map(len, joint))
    correlation = np.corrcoef([r[-shortest:] for r in joint])
    loadings = dict(zip(bars, one_factor(correlation), strict=True))
    left["loadings"] = {name: round(float(v), 4) for name, v in loadings.items()}
    for name in names:
        # The process has no bounce: its variance grows evenly and is set between those of the two horizons.
        variance = float(np.mean([(log_returns(tapes[name], h) * BP).var() / h for h in HORIZONS]))
        _set_scale(fit, name, variance, float(loadings[name] ** 2))
    fit["regimes"] = regimes(*bars[first])
    fit["gap_bp"] = fit["regimes"].pop("gap_bp")
    # A bar's gap is in basis points; a loading is per relative common move.
    fit["gap_bp"] = round(fit["gap_bp"] / fit["symbols"][first]["loading"], 4)
    variance = closed_form(fit, first)[0]
    for regime in fit["regimes"].values():
        regime["tilt"] = _tilt(fit, first, regime, variance)
    _set_levels(fit, tapes)
    return fit, left


def symbols_of(tapes: dict[str, Tape]) -> list[FlowSymbol]:
    """The recorded symbols in steps of their settled spread, for a generator beside them."""
    out = []
    for name, tape in tapes.items():
        tick = round(float(np.median(tape.ask - tape.bid)) * 1e8)
        px = round(float(tape.mid[0]) * 1e8 / tick)
        out.append(FlowSymbol(name, px, tick, 10**5, 10 * px, 10**9))
    return out


def _set_levels(fit: dict[str, Any], tapes: dict[str, Tape]) -> None:
    """Moves leave levels farther and nearer than they were put: stretch the steps until they stand as recorded."""
    symbols = symbols_of(tapes)
    for _ in range(6):
        made = generate(fit, symbols, 60, seed=11)
        for name, tape in tapes.items():
            row = fit["symbols"][name]
            ratio = [
                float((recorded / generated) ** 0.7)
                for recorded, generated in zip(
                    np.diff(tape.level_away.mean(axis=0)), np.diff(made[name].level_away.mean(axis=0)), strict=True
                )
            ]
            row["level_gap_bp"][1:] = rounded(np.array(row["level_gap_bp"][1:]) * np.array(ratio))
            money = (tape.level_qty[:, 1:].mean() * tape.mid[0]) / (
                made[name].level_qty[:, 1:].mean() * made[name].mid[0]
            )
            row["level_money"] = rounded(np.array(row["level_money"]) * float(money))


def one_factor(correlation: Array) -> Array:
    """Loadings whose products come nearest to the correlations off the diagonal."""
    n = len(correlation)
    if n == 2:
        return np.full(2, float(correlation[0, 1]) ** 0.5)
    communality = np.full(n, 0.7)
    loading = np.sqrt(communality)
    for _ in range(500):
        reduced = correlation.copy()
        np.fill_diagonal(reduced, communality)
        values, vectors = np.linalg.eigh(reduced)
        loading = np.abs(vectors[:, -1]) * values[-1] ** 0.5
        communality = np.minimum(loading**2, 0.995)
    return np.asarray(loading)


# -------------------------------------------------------------------------------------------------------- the figures
def log_returns(tape: Tape, seconds: int) -> Array:
    at = np.arange(tape.quote_ns[0], tape.quote_ns[-1], seconds * SECOND)
    mid = tape.mid[np.searchsorted(tape.quote_ns, at, side="right") - 1]
    return np.diff(np.log(mid))


def _lag(values: Array, lag: int = 1) -> float:
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


def figures(tape: Tape) -> dict[str, float]:
    """What of a market can be held against another: the same figures of recorded and generated tapes."""
    spread = (tape.ask - tape.bid) / tape.mid * BP
    held = np.diff(tape.quote_ns, append=tape.quote_ns[-1])
    gaps = np.diff(tape.trade_ns) / 1e6
    sign = np.where(tape.trade_sell, -1.0, 1.0)
    moved = moves(tape)
    touch = np.concatenate([tape.bid_qty, tape.ask_qty]) * float(np.median(tape.mid)) / 1e3
    out = {
        "spread, bp, time-weighted mean": float((spread * held).sum() / held.sum()),
        "spread settled, share of time": float(held[spread <= 1.5 * np.median(spread)].sum() / held.sum()),
        "touch, thousand, median": float(np.median(touch)),
        "touch, thousand, p90": float(np.quantile(touch, 0.9)),
        "quotes a second": len(tape.quote_ns) / tape.seconds,
        "market orders a second": len(tape.trade_ns) / tape.seconds,
        "moves a second": len(moved.ns) / tape.seconds,
        "move, bp, median": float(np.median(np.abs(moved.bp))),
        "move, bp, p90": float(np.quantile(np.abs(moved.bp), 0.9)),
        "between market orders, ms, p10": float(np.quantile(gaps, 0.1)),
        "between market orders, ms, median": float(np.median(gaps)),
        "between market orders, ms, p90": float(np.quantile(gaps, 0.9)),
        "between market orders, ms, p99": float(np.quantile(gaps, 0.99)),
        "between market orders, variation": float(gaps.std() / gaps.mean()),
        "market order, thousand, median": float(np.median(tape.trade_qty * np.median(tape.mid))) / 1e3,
        "sides of trades, autocorrelation 1": _lag(sign),
        "sides of trades, autocorrelation 10": _lag(sign, 10),
        "directions of moves, autocorrelation 1": _lag(np.sign(moved.bp)),
    }
    for horizon in HORIZONS:
        out[f"volatility of {horizon} s, bp a root second"] = float(
            log_returns(tape, horizon).std() * BP / horizon**0.5
        )
    returns = log_returns(tape, 1)
    out["returns of 1 s, autocorrelation 1"] = _lag(returns)
    out["absolute returns of 1 s, autocorrelation 1"] = _lag(np.abs(returns))
    if len(tape.level_away):
        for level in (1, 4, 9, 19):
            out[f"level {level + 1}, bp from the touch"] = float(tape.level_away[:, level].mean() / tape.mid[0] * BP)
        out["levels 2 to 20, thousand"] = float((tape.level_qty[:, 1:].sum(axis=1) * tape.mid[0]).mean()) / 1e3
    return out


def correlation_of(a: Tape, b: Tape, seconds: int) -> float:
    start, end = max(a.quote_ns[0], b.quote_ns[0]), min(a.quote_ns[-1], b.quote_ns[-1])
    at = np.arange(start, end, seconds * SECOND)
    both = [np.diff(np.log(tape.mid[np.searchsorted(tape.quote_ns, at, side="right") - 1])) for tape in (a, b)]
    return float(np.corrcoef(both)[0, 1])


def table(recorded: dict[str, Tape], generated: dict[str, Tape]) -> list[tuple[str, str, float, float]]:
    """The fit: symbol, figure, recorded, generated. Pairs stand below the symbols."""
    rows = []
    for name, tape in recorded.items():
        made = figures(generated[name])
        rows += [(name, what, value, made[what]) for what, value in figures(tape).items()]
    for a, b in itertools.combinations(recorded, 2):
        rows += [
            (
                f"{a} {b}",
                f"correlation of {seconds} s returns",
                correlation_of(recorded[a], recorded[b], seconds),
                correlation_of(generated[a], generated[b], seconds),
            )
            for seconds in (1, 5, 10)
        ]
    return rows


def generate(
    fit: dict[str, Any], symbols: list[FlowSymbol], seconds: float, seed: int, regime: str | None = "calm"
) -> dict[str, Tape]:
    """Tapes of so many seconds of the generated flow, its levels read off the flow each second."""
    market = FlowMarket(symbols, seed=seed, start_ns=0, regime=regime, depth=False, fit=fit)
    parts: list[Array] = []
    rows: list[list[Any]] = [[] for _ in symbols]
    next_ns = 0
    while market.end_ns < seconds * SECOND:
        parts.append(market.stretch(256))
        if market.end_ns >= next_ns:
            next_ns = market.end_ns + SECOND
            for i in range(len(symbols)):
                rows[i] += [side for side in market.flow.book(i) if len(side) == LEVELS]
    events = np.concatenate(parts)
    return {symbol.name: tape_of(events[events["symbol"] == i], symbol, rows[i]) for i, symbol in enumerate(symbols)}


def tape_of(events: Array, symbol: FlowSymbol, levels: list[Any]) -> Tape:
    tick, lot = symbol.tick_e8 / 1e8, symbol.lot_e8 / 1e8
    quotes = events[events["kind"] == Kind.KIND_QUOTE].view(QUOTE)
    trades = events[events["kind"] == Kind.KIND_TRADE].view(TRADE)
    sell = (trades["flags"] & Flag.FLAG_SELL) != 0
    merged = merge_sweeps(
        trades["ts_recv_ns"], trades["ts_recv_ns"], sell, trades["px_ticks"] * tick, trades["qty_lots"] * lot
    )
    book = np.array(levels, float).reshape(-1, LEVELS, 2)
    return Tape(
        symbol.name, *merged, quotes["ts_recv_ns"],
        quotes["bid_px_ticks"] * tick, quotes["bid_qty_lots"] * lot,
        quotes["ask_px_ticks"] * tick, quotes["ask_qty_lots"] * lot,
        np.abs(book[:, :, 0] - book[:, :1, 0]) * tick, book[:, :, 1] * lot,
    )  # fmt: skip
