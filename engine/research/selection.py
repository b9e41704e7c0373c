"""Five ways to say how much a feature has to do with what came after it: a score a column, the higher the better.

    variance      of the column on a scale of 0 to 1: what hardly varies can say nothing
    correlation   |Pearson| with the target
    mutual        mutual information with the target, both cut into bins of equal counts, in nats
    chi2          chi-squared of the same table, over its degrees of freedom
    anova         F of the column between the classes of the target's sign

Owns: the definitions. Does not own: what the target is (the caller shifts it: a return after the row, never of the
row). What is not finite, or beyond 1e100, is left out of a column's score; one that does not vary scores 0. A score is a
description of these rows; the best of many features is partly luck, and a split in time is what tells (splits.py).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
METHODS = ("variance", "correlation", "mutual", "chi2", "anova")
BINS = 8
MOST = 1e100  # squares of more are no numbers; a feature's own bounds are far below


def scores(method: str, rows: Floats, target: Floats) -> Floats:
    """One score a column."""
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; one of {', '.join(METHODS)}")
    if rows.ndim != 2 or target.shape != (len(rows),):
        raise ValueError(f"{rows.shape} values for a target of {target.shape}")
    measure = {"variance": _variance, "correlation": _correlation, "mutual": _mutual, "chi2": _chi2, "anova": _anova}
    out = np.zeros(rows.shape[1])
    for at in range(rows.shape[1]):
        column = rows[:, at]
        known = (np.abs(column) < MOST) & (np.abs(target) < MOST)
        x, y = column[known], target[known]
        if len(x) > 2 and np.ptp(x) > 1e-12 * max(float(np.max(np.abs(x))), 1e-300):
            out[at] = measure[method](x, y)
    return out


def best(method: str, rows: Floats, target: Floats, count: int) -> npt.NDArray[np.int64]:
    """The columns with the highest scores, best first; of equal ones the first."""
    return np.argsort(-scores(method, rows, target), kind="stable")[:count]


def table_of(x: Floats, y: Floats, bins: int = BINS) -> Floats:
    """How often x and y fall into each pair of bins; bins hold equal counts as far as ties allow."""
    counts = np.zeros((bins, bins))
    np.add.at(counts, (_bins(x, bins), _bins(y, bins)), 1.0)
    return counts[counts.any(axis=1)][:, counts.any(axis=0)]


def _bins(values: Floats, bins: int) -> npt.NDArray[np.int64]:
    edges = np.quantile(values, np.arange(1, bins) / bins)
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def _variance(x: Floats, _y: Floats) -> float:
    return float(np.var((x - x.min()) / np.ptp(x)))


def _correlation(x: Floats, y: Floats) -> float:
    a, b = x - x.mean(), y - y.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return abs(float(a @ b)) / spread if spread > 0 else 0.0


def _mutual(x: Floats, y: Floats) -> float:
    joint = table_of(x, y) / len(x)
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return max(0.0, float(np.sum(joint[there] * np.log(joint[there] / apart[there]))))


def _chi2(x: Floats, y: Floats) -> float:
    seen = table_of(x, y)
    freedom = (seen.shape[0] - 1) * (seen.shape[1] - 1)
    if freedom < 1:
        return 0.0
    expected = seen.sum(axis=1, keepdims=True) * seen.sum(axis=0, keepdims=True) / seen.sum()
    return float(np.sum((seen - expected) ** 2 / expected)) / freedom


def _anova(x: Floats, y: Floats) -> float:
    classes = [x[np.sign(y) == sign] for sign in (-1.0, 0.0, 1.0)]
    classes = [one for one in classes if len(one)]
    inside = sum(float(np.sum((one - one.mean()) ** 2)) for one in classes)
    free = len(x) - len(classes)
    if len(classes) < 2 or free < 1 or not inside > 0:
        return 0.0
    between = sum(len(one) * float(one.mean() - x.mean()) ** 2 for one in classes)
    return between / (len(classes) - 1) / (inside / free)
