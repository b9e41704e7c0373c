"""Figures of performance from a series of simple returns, one a period.

Owns: the definitions. Does not own: where returns come from, or chance: nothing here draws. Every figure of too few
or degenerate returns is NaN, never an error and never infinite. Deviations take the divisor n - 1.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Returns = npt.NDArray[np.float64]
_NORMAL = NormalDist()
_EULER = 0.5772156649015329


def cumulative(returns: Returns) -> Returns:
    """Growth of one unit, less one, after each period."""
    return np.asarray(np.cumprod(1.0 + returns) - 1.0, dtype=np.float64)


def max_drawdown(returns: Returns) -> float:
    """The deepest fall from a peak, as a negative part of the peak; the start counts as a peak."""
    if returns.size == 0:
        return math.nan
    equity = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return float(np.min(equity / np.maximum.accumulate(equity) - 1.0))


def annual_return(returns: Returns, periods: float) -> float:
    """Compound growth a year."""
    if returns.size == 0:
        return math.nan
    growth = float(np.prod(1.0 + returns))
    return growth ** (periods / returns.size) - 1.0 if growth > 0 else -1.0


def annual_volatility(returns: Returns, periods: float) -> float:
    return float(np.std(returns, ddof=1)) * math.sqrt(periods) if returns.size > 1 else math.nan


def sharpe(returns: Returns, periods: float = 1.0, risk_free: float = 0.0) -> float:
    """Mean excess return over its deviation, times the root of the periods a year."""
    if returns.size < 2:
        return math.nan
    excess = returns - risk_free
    deviation = float(np.std(excess, ddof=1))
    if not deviation > 1e-15 * float(np.max(np.abs(excess))):
        return math.nan
    return float(np.mean(excess)) / deviation * math.sqrt(periods)


def _shape(returns: Returns) -> tuple[float, float]:
    """Skewness and (not excess) kurtosis."""
    centred = returns - np.mean(returns)
    second = float(np.mean(centred**2))
    return float(np.mean(centred**3)) / second**1.5, float(np.mean(centred**4)) / second**2


def sharpe_error(returns: Returns, periods: float = 1.0) -> float:
    """Standard error of `sharpe`, with the skewness and kurtosis that the returns have (Mertens 2002)."""
    ratio = sharpe(returns)
    if math.isnan(ratio):
        return math.nan
    skew, kurt = _shape(returns)
    inside = 1.0 + 0.25 * ratio**2 * (kurt - 1.0) - ratio * skew
    return math.sqrt(max(inside, 0.0) / (returns.size - 1)) * math.sqrt(periods)


def probabilistic_sharpe(returns: Returns, benchmark: float = 0.0) -> float:
    """Probability that the true ratio a period exceeds the benchmark's (Bailey, Lopez de Prado 2012)."""
    error = sharpe_error(returns)
    return _NORMAL.cdf((sharpe(returns) - benchmark) / error) if error > 0 else math.nan


def deflated_sharpe(returns: Returns, trials: int, trials_deviation: float) -> float:
    """The same against the best ratio that so many trials without any edge would be expected to show.

    `trials_deviation` is the deviation of the trials' ratios a period (Bailey, Lopez de Prado 2014).
    """
    if trials < 2 or not trials_deviation > 0:
        return probabilistic_sharpe(returns)
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return probabilistic_sharpe(returns, trials_deviation * ((1.0 - _EULER) * first + _EULER * second))


def downside_deviation(returns: Returns, target: float = 0.0, periods: float = 1.0) -> float:
    """Root of the mean squared shortfall below the target, over all periods."""
    if returns.size == 0:
        return math.nan
    return math.sqrt(float(np.mean(np.minimum(returns - target, 0.0) ** 2)) * periods)


def sortino(returns: Returns, target: float = 0.0, periods: float = 1.0) -> float:
    shortfall = downside_deviation(returns, target)
    if returns.size < 2 or not shortfall > 0:
        return math.nan
    return float(np.mean(returns - target)) / shortfall * math.sqrt(periods)


def calmar(returns: Returns, periods: float) -> float:
    """Compound growth a year over the deepest fall."""
    fall = max_drawdown(returns)
    return annual_return(returns, periods) / -fall if fall < 0 else math.nan


def value_at_risk(returns: Returns, share: float = 0.05) -> float:
    """The return that this share of periods falls below."""
    return float(np.quantile(returns, share)) if returns.size else math.nan


def expected_shortfall(returns: Returns, share: float = 0.05) -> float:
    """Mean of the worst periods: the given share of them, rounded down, at least one."""
    if returns.size == 0:
        return math.nan
    worst = max(int((returns.size - 1) * share) + 1, 1)
    return float(np.mean(np.partition(returns, worst - 1)[:worst]))


def omega(returns: Returns, target: float = 0.0) -> float:
    """What was gained above the target over what was lost below it."""
    lost = float(np.sum(np.maximum(target - returns, 0.0))) if returns.size else 0.0
    return float(np.sum(np.maximum(returns - target, 0.0))) / lost if lost > 0 else math.nan
