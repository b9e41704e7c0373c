"""What a sweep says: the figures, a summary for the terminal, a page that needs nothing from outside.

Owns: how a sweep is told. Does not own: the figures (sweep.py, overfit.py), the run of the winner (report.py).
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np

from engine.research import figures
from engine.research.page import HEIGHT, WIDTH, Floats, Scale, cell, curve, document, escaped, table, words
from engine.research.report import Told, verdict
from engine.research.sweep import OK, Result

SHOWN = 25
SIGNIFICANT = 0.05
BARS = 40


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _params(params: dict[str, int | float]) -> str:
    return ", ".join(f"{name}={value:.6g}" for name, value in params.items())


def as_json(result: Result, told: Told) -> dict[str, Any]:
    plan, winner, luck = result.plan, result.winner, result.luck
    unseen = result.unseen
    return {
        "strategy": plan.strategy, "symbol": plan.symbol, "data": plan.data_name, "search": plan.search,
        "seed": plan.seed, "score": plan.score, "split": plan.split,
        "trials": len(result.trials), "failed": result.failed, "ranked": len(result.scores),
        "winner": {
            "number": winner.number, "params": winner.params, "score": result.scores[winner.number],
            "fills": winner.fills, "fees": winner.fees, "equity_end": winner.equity_end, "tape": winner.tape,
            "sharpe_period": _known(result.sharpe), "sharpe_error": _known(result.sharpe_error),
            "deflated_sharpe": _known(result.deflated), "selection_p": result.selection_p,
            "timing_p": result.timing_p, "look_ahead": told.check.text,
        },
        "probability_of_overfitting": None if luck is None else luck.probability,
        "probability_of_loss_unseen": None if luck is None else luck.loss,
        "overfit_slope": None if luck is None else _known(luck.slope),
        "monte_carlo": {name: _known(value) for name, value in asdict(result.monte_carlo).items()},
        "folds": [asdict(fold) for fold in result.folds],
        "unseen": {
            "periods": len(unseen), "return": _known(float(figures.cumulative(unseen)[-1])) if len(unseen) else None,
            "sharpe_period": _known(figures.sharpe(unseen)), "sharpe_error": _known(figures.sharpe_error(unseen)),
        },
        "scores": {str(number): score for number, score in sorted(result.scores.items())},
        "verdict": verdict_of(result),
    }  # fmt: skip


def doubts(result: Result) -> list[str]:
    """Every reason not to believe the winner."""
    luck, out = result.luck, []
    if result.scores[result.winner.number] <= 0:
        out.append("the best of all trials earned nothing")
    if math.isfinite(result.sharpe_error) and abs(result.sharpe) < 2 * result.sharpe_error:
        out.append("its Sharpe ratio is within two standard errors of zero")
    if not result.deflated > 1 - SIGNIFICANT:
        out.append(
            f"deflated for {len(result.trials)} trials, its Sharpe ratio holds with probability {result.deflated:.2f}"
        )
    if result.selection_p > SIGNIFICANT:
        out.append(f"so many trials without an edge would show as much with probability {result.selection_p:.2f}")
    if luck is not None and luck.probability > SIGNIFICANT:
        out.append(
            f"the best of one half of time is below the median of the other in {luck.probability:.0%} of halvings"
        )
    if len(result.unseen) and not figures.sharpe(result.unseen) > 0:
        out.append("what was chosen earned nothing where it was not chosen")
    return out


def verdict_of(result: Result) -> str:
    found = doubts(result)
    return f"not to be believed: {'; '.join(found)}" if found else "no test speaks against it, on this data"


def summary(result: Result, told: Told) -> str:
    plan, winner, luck, mc = result.plan, result.winner, result.luck, result.monte_carlo
    lines = [
        f"{plan.strategy} on {plan.symbol}, {plan.data_name}: {len(result.trials):,} trials by {plan.search}, "
        f"{len(result.scores):,} ranked by {plan.score}, {result.failed:,} failed",
        f"  best        trial {winner.number}: {_params(winner.params)}; {plan.score} "
        f"{result.scores[winner.number]:.4f}, {winner.fills:,} fills",
        f"  Sharpe      {result.sharpe:.4f} +- {result.sharpe_error:.4f} a period, deflated for "
        f"{len(result.trials)} trials {result.deflated:.3f}",
        "  overfitting "
        + ("too little data" if luck is None else f"probability {luck.probability:.2f}, loss unseen {luck.loss:.2f}"),
        f"  chance      selection p = {result.selection_p:.3f}, timing p = {result.timing_p:.3f}",
        f"  Monte Carlo return {mc.total_5 * 100:.4f} / {mc.total_50 * 100:.4f} / {mc.total_95 * 100:.4f} % "
        f"(5, 50, 95 of 100), ends in loss {mc.loss:.0%}, falls {mc.drawdown_95 * 100:.4f} % once in twenty",
    ]
    if result.folds:
        lines.append(
            f"  unseen      {len(result.folds)} folds by {plan.split}: {plan.score} "
            + ", ".join(f"{fold.test_score:.3f} (of {fold.train_score:.3f})" for fold in result.folds)
        )
    return "\n".join([*lines, f"  look-ahead  {told.check.text}", f"  {verdict_of(result)}"])


# --------------------------------------------------------------------------------------------------------------- page
def page(result: Result, told: Told) -> str:
    """The whole report as one HTML file."""
    plan, winner = result.plan, result.winner
    x = np.arange(len(winner.returns), dtype=np.float64)
    title = f"Sweep of {plan.strategy} on {plan.symbol}"
    luck = result.luck
    parts = [
        f"<h1>{escaped(title)}</h1>",
        f'<p class="soft">{escaped(plan.data_name)}, {len(result.trials):,} trials by {plan.search}, seed {plan.seed}, '
        f"ranked by {plan.score}; {result.failed:,} failed, "
        f"{len(result.trials) - len(result.scores) - result.failed:,} never traded</p>",
        f'<p{"" if not doubts(result) else " class=bad"}><b>{escaped(verdict_of(result)).capitalize()}.</b></p>',
        f"<p>Of the winner alone: {escaped(verdict(told))}. Look-ahead check {escaped(told.check.text)}.</p>",
        "<h2>The best</h2>", table(("figure", "value"), _best_rows(result)),
        "<h2>Its growth, %</h2>", curve(x, figures.cumulative(winner.returns) * 100, "curve"),
        "<h2>Score over each parameter</h2>", "".join(_scatter(result, axis.name) for axis in plan.axes),
    ]  # fmt: skip
    if result.folds:
        parts += [
            f"<h2>Chosen in one part of time, judged in another: {escaped(plan.split)}</h2>", _fold_table(result),
            "<h2>Growth where it was not chosen, %</h2>",
            curve(np.arange(len(result.unseen), dtype=np.float64), figures.cumulative(result.unseen) * 100, "curve"),
        ]  # fmt: skip
    if luck is not None:
        parts += [
            "<h2>Overfitting: place of the best of one half in the other half</h2>",
            _histogram(np.array(luck.logits)),
            f'<p class="soft">Logit of the rank over {len(luck.logits):,} halvings of time: left of zero the best of '
            f"one half is below the median of the other. Probability of overfitting {luck.probability:.2f}.</p>",
        ]  # fmt: skip
    parts += [
        "<h2>Monte Carlo of the winner</h2>",
        table(("figure", "value"), ((words(k), cell(v)) for k, v in asdict(result.monte_carlo).items())),
        f"<h2>Trials{f', the best {SHOWN}' if len(result.scores) > SHOWN else ''}</h2>", _trial_table(result),
    ]  # fmt: skip
    failed = [trial for trial in result.trials if trial.status != OK]
    if failed:
        rows = ((str(t.number), _params(t.params), t.error) for t in failed[:SHOWN])
        parts += ["<h2>Failed</h2>", table(("trial", "parameters", "why"), rows)]
    return document(title, parts)


def _best_rows(result: Result) -> list[tuple[str, str]]:
    luck = result.luck
    return [
        ("trial", str(result.winner.number)),
        *((name, f"{value:.6g}") for name, value in result.winner.params.items()),
        (result.plan.score, f"{result.scores[result.winner.number]:.6g}"),
        ("Sharpe ratio a period", f"{result.sharpe:.4f} ± {result.sharpe_error:.4f}"),
        (f"deflated for {len(result.trials)} trials", f"{result.deflated:.4f}"),
        ("probability of overfitting", "-" if luck is None else f"{luck.probability:.3f}"),
        ("loses money unseen", "-" if luck is None else f"{luck.loss:.3f}"),
        ("p of the selection", f"{result.selection_p:.4f}"),
        ("p of the timing", f"{result.timing_p:.4f}"),
        ("fills", f"{result.winner.fills:,}"),
    ]


def _trial_table(result: Result) -> str:
    by_number = {trial.number: trial for trial in result.trials}
    order = sorted(result.scores, key=lambda number: (-result.scores[number], number))[:SHOWN]
    rows = (
        (str(n), _params(by_number[n].params), f"{result.scores[n]:.5f}", f"{by_number[n].fills:,}",
         f"{by_number[n].fees:,.2f}", f"{by_number[n].equity_end:,.2f}")
        for n in order
    )  # fmt: skip
    return table(("trial", "parameters", result.plan.score, "fills", "fees", "equity at the end"), rows)


def _fold_table(result: Result) -> str:
    by_number = {trial.number: trial for trial in result.trials}
    rows = (
        (str(np.datetime64(f.since_ns, "ns").astype("datetime64[s]")), f"{f.train_periods:,}", f"{f.test_periods:,}",
         f"{f.chosen}: {_params(by_number[f.chosen].params)}", f"{f.train_score:.4f}", f"{f.test_score:.4f}",
         f"{f.rank:.2f}")
        for f in result.folds
    )  # fmt: skip
    heads = ("judged from", "periods chosen in", "judged in", "chosen", "its score", "judged score", "rank there")
    return table(heads, rows)


def _scatter(result: Result, name: str) -> str:
    points = [(float(t.params[name]), result.scores[t.number]) for t in result.trials if t.number in result.scores]
    x, y = (np.array(column, np.float64) for column in zip(*sorted(points), strict=True))
    scale = Scale(x, y)
    span = max(float(x[-1] - x[0]), 1e-9)
    # A margin at both sides, so that a value at the edge is seen whole.
    dots = "".join(
        f'<circle class="dot" r="3" cx="{12 + (px - x[0]) / span * (WIDTH - 24):.1f}" cy="{scale.y(py):.1f}"/>'
        for px, py in zip(x.tolist(), y.tolist(), strict=True)
    )
    return f'<p class="soft">{escaped(name)}, {x[0]:.6g} to {x[-1]:.6g}</p>{scale.frame(dots)}'


def _histogram(values: Floats) -> str:
    reach = max(float(np.abs(values).max()), 1e-9)
    counts, edges = np.histogram(values, bins=BARS, range=(-reach, reach))
    high = max(int(counts.max()), 1)
    width = WIDTH / BARS
    bars = "".join(
        f'<rect class="{"fall" if edge < 0 else "bar"}" x="{at * width:.1f}" width="{width - 1:.1f}" '
        f'y="{HEIGHT - 20 - count / high * (HEIGHT - 30):.1f}" height="{count / high * (HEIGHT - 30):.1f}"/>'
        for at, (count, edge) in enumerate(zip(counts.tolist(), edges.tolist(), strict=False))
    )
    marks = f'<text x="4" y="{HEIGHT - 4}">{-reach:.2f}</text><text x="{WIDTH / 2:.0f}" y="{HEIGHT - 4}">0</text>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{bars}{marks}</svg>'
