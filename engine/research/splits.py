"""Which part of time chooses and which part judges: walk-forward, and k folds with what leaks between them left out.

A split works on the periods of a run, each named by the moment it ends. Parameters do not change within a run, so one
run a trial serves every split; what can leak over an edge is a position or a window of features that reaches across
it. `purge_ns` leaves that much out on the choosing side of every edge, `embargo_ns` more behind a judged part.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.errors import SweepImpossible

Times = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
KINDS = ("none", "walk-forward", "rolling", "purged-kfold")
# Fewer periods than this choose nothing.
PERIODS_MIN = 8


@dataclass(frozen=True)
class Split:
    """Periods that choose, periods that judge, and the moments that bound the judged ones."""

    train: Mask
    test: Mask
    since_ns: int
    until_ns: int


def _edges(times: Times, parts: int) -> list[int]:
    """Moments that cut the span into parts of the same length; the first part begins at the first period."""
    first, last = int(times[0]), int(times[-1]) + 1
    return [first + (last - first) * at // parts for at in range(parts + 1)]


def walk_forward(times: Times, folds: int, *, purge_ns: int = 0, rolling: bool = False) -> list[Split]:
    """Each part but the first is judged by what was best before it: in all parts before, or in the one before."""
    edges = _edges(times, folds + 1)
    out = []
    for fold in range(1, folds + 1):
        since, until = edges[fold], edges[fold + 1]
        begins = edges[fold - 1] if rolling else edges[0]
        out.append(
            Split((times >= begins) & (times < since - purge_ns), (times >= since) & (times < until), since, until)
        )
    return out


def purged_kfold(times: Times, folds: int, *, purge_ns: int = 0, embargo_ns: int = 0) -> list[Split]:
    """Each part is judged by what was best in all the others, without what touches it."""
    edges = _edges(times, folds)
    out = []
    for since, until in itertools.pairwise(edges):
        near = (times >= since - purge_ns) & (times < until + purge_ns + embargo_ns)
        out.append(Split(~near, (times >= since) & (times < until), since, until))
    return out


def make(kind: str, times: Times, folds: int, *, purge_ns: int, embargo_ns: int) -> list[Split]:
    """The splits of a kind, each with enough on both sides to choose and to judge."""
    if kind == "none":
        return []
    if kind == "purged-kfold":
        found = purged_kfold(times, folds, purge_ns=purge_ns, embargo_ns=embargo_ns)
    else:
        found = walk_forward(times, folds, purge_ns=purge_ns, rolling=kind == "rolling")
    for at, split in enumerate(found):
        if min(int(split.train.sum()), int(split.test.sum())) < PERIODS_MIN:
            raise SweepImpossible(
                f"fold {at + 1} of {folds} has {int(split.train.sum())} periods to choose and {int(split.test.sum())} "
                f"to judge; fewer folds, a shorter purge or more data"
            )
    return found
