"""How much of the best of many trials is luck: symmetric cross-validation, and three ways to draw the result again.

Owns: the definitions. Draws come from sim/draws.py, by seed. A matrix has one row a period and one column a trial; a
trial that never traded is not a column. Ratios are Sharpe ratios a period.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.research import figures
from engine.sim import draws

Floats = npt.NDArray[np.float64]
BLOCKS = 12  # of the cross-validation: 924 ways to halve them


@dataclass(frozen=True)
class Overfit:
    """Cross-validation in all halvings (Bailey, Borwein, Lopez de Prado, Zhu 2017)."""

    probability: float  # share of halvings in which the best of one half is below the median of the other
    loss: float  # share in which it loses money there
    slope: float  # of the ratio in the other half over the ratio in the choosing half
    logits: tuple[float, ...]


def ratios(returns: Floats) -> Floats:
    """The Sharpe ratio of each column; 0 where nothing varies."""
    count = len(returns)
    if count < 2:
        return np.zeros(returns.shape[1])
    return _ratios(np.sum(returns, axis=0), np.sum(returns**2, axis=0), count)


def _ratios(total: Floats, squares: Floats, count: Floats | int) -> Floats:
    mean = total / count
    variance = (squares - total * mean) / (count - 1)
    # Cancellation leaves dust where nothing varies: dust is no risk.
    flat = variance <= 1e-12 * squares / count
    return np.asarray(np.where(flat, 0.0, mean / np.sqrt(np.where(flat, 1.0, variance))), dtype=np.float64)


def probability_of_overfitting(returns: Floats, blocks: int = BLOCKS) -> Overfit | None:
    """None where there are fewer than two trials or too few periods for the blocks."""
    periods, trials = returns.shape
    blocks -= blocks % 2
    if trials < 2 or periods < 4 * blocks:
        return None
    parts = np.array_split(returns, blocks)
    counts = np.array([float(len(part)) for part in parts])
    totals = np.array([part.sum(axis=0) for part in parts])
    squares = np.array([(part**2).sum(axis=0) for part in parts])
    logits, inside, outside = [], [], []
    for chosen in itertools.combinations(range(blocks), blocks // 2):
        here = np.zeros(blocks, bool)
        here[list(chosen)] = True
        one = _ratios(totals[here].sum(axis=0), squares[here].sum(axis=0), counts[here].sum())
        other = _ratios(totals[~here].sum(axis=0), squares[~here].sum(axis=0), counts[~here].sum())
        best = int(np.argmax(one))
        # Of equals half stand below: trials that are alike do not look like luck, nor like skill.
        rank = float(np.sum(other < other[best]) + 0.5 * (np.sum(other == other[best]) + 1))
        logits.append(math.log(rank / (trials + 1 - rank)))
        inside.append(float(one[best]))
        outside.append(float(other[best]))
    spread = float(np.var(inside))
    slope = float(np.cov(inside, outside, ddof=0)[0, 1]) / spread if spread > 0 else math.nan
    return Overfit(
        float(np.mean(np.array(logits) <= 0)), float(np.mean(np.array(outside) < 0)), slope, tuple(logits)
    )  # fmt: skip


@dataclass(frozen=True)
class MonteCarlo:
    """What the winner's own periods give in another order, drawn in blocks with replacement."""

    count: int
    block: int
    total_5: float
    total_50: float
    total_95: float
    loss: float  # share that ends below its start
    drawdown_50: float
    drawdown_95: float  # nineteen of twenty fall less deep
    sharpe_5: float
    sharpe_95: float


def block_of(periods: int) -> int:
    """Length of a block that grows with the cube root of the periods, as the variance of a mean asks for."""
    return max(1, round(math.cbrt(periods)))


def monte_carlo(returns: Floats, *, seed: int, count: int) -> MonteCarlo:
    block = block_of(len(returns))
    drawn = [returns[at] for at in draws.resamples(seed, len(returns), block, count)]
    totals = np.array([float(np.prod(1.0 + one) - 1.0) for one in drawn])
    falls = np.array([figures.max_drawdown(one) for one in drawn])
    sharpes = ratios(np.array(drawn).T)
    low, middle, high = np.quantile(totals, (0.05, 0.5, 0.95))
    return MonteCarlo(
        count, block, float(low), float(middle), float(high), float(np.mean(totals < 0)),
        float(np.quantile(falls, 0.5)), float(np.quantile(falls, 0.05)),
        float(np.quantile(sharpes, 0.05)), float(np.quantile(sharpes, 0.95)),
    )  # fmt: skip


def selection_test(returns: Floats, *, seed: int, count: int) -> float:
    """P-value of the best ratio among all trials, were none of them to have an edge.

    The signs of whole blocks are drawn anew, the same for every trial, so what trials have in common stays in common
    (the reality check of White 2000 by randomisation). The winner is compared with the best of each draw.
    """
    best = float(np.max(ratios(returns)))
    block = block_of(len(returns))
    above = sum(
        float(np.max(ratios(returns * row[:, None]))) >= best for row in draws.signs(seed, len(returns), block, count)
    )
    return (above + 1) / (count + 1)


def timing_test(position: Floats, moves: Floats, *, seed: int, count: int) -> float:
    """P-value of holding these positions at these moments, against the same positions at other moments.

    Positions are turned around the end, so their pattern stays and only its place in the market is another. Before
    costs, which a rotation does not change. 1 where nothing was held.
    """
    if not np.any(position) or len(position) < 3:
        return 1.0
    earned = float(np.sum(position * moves))
    shifts = draws.rotations(seed, len(position), count)
    above = sum(float(np.sum(np.roll(position, shift) * moves)) >= earned for shift in shifts)
    return (above + 1) / (count + 1)
