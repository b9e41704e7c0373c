"""Features of a data set's bars, scaled and chosen: what is learned from the first part of it, and nothing of the rest.

Owns: the request's columns of a data set and the target behind them. Does not own: the kernel, scalings and scores
(scaling.py, selection.py). The target of a row is the log return of the bars after it; rows whose target would reach
into the part that is kept apart are not learned from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine._core.features import Features
from engine._core.features_feed import FeedSource
from engine._core.types import BAR_PRICES, Flag, Kind
from engine.errors import DatasetEmpty
from engine.research import scaling, selection
from engine.research.dataset import Dataset
from engine.research.scaling import Request, Scaler

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """What was learned, and the score of every feature, best first."""

    scaler: Scaler
    scores: tuple[tuple[str, float], ...]
    kept: tuple[str, ...]
    learned_rows: int


def request_of(wanted: tuple[tuple[str, int], ...]) -> Request:
    """Features of closed bars, as a strategy with FEATURE_BARS_S = 0 asks for them."""
    return int(FeedSource.FEED_BARS), 0, wanted


def columns_of(data: Dataset, wanted: tuple[tuple[str, int], ...]) -> tuple[Floats, Floats]:
    """(a row a closed bar, a column a feature; the closes), by the kernel that a strategy is fed by."""
    rows = data.events[(data.events["kind"] == int(Kind.KIND_BAR_PRICES))]
    rows = np.ascontiguousarray(rows[(rows["flags"] & int(Flag.FLAG_CLOSED)) != 0]).view(BAR_PRICES)
    if not len(rows):
        raise DatasetEmpty(f"{data.meta.source}: no closed bars")
    families, windows = sorted({name for name, _ in wanted}), sorted({window for _, window in wanted})
    kernel = Features(families, windows=windows)
    names = ("open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots")
    open_, high, low, close, volume = (np.ascontiguousarray(rows[name], dtype=np.float64) for name in names)
    made = kernel.run(open_, high, low, close, volume)
    at = [(kernel.families.index(name), windows.index(window)) for name, window in wanted]
    return np.stack([made[:, family, lane] for family, lane in at], axis=1), close


def prepare(
    data: Dataset, wanted: tuple[tuple[str, int], ...], *, scale: str, score: str, keep: int, horizon: int, share: float
) -> Prepared:
    """Learn scale and choice from the first `share` of the bars, less the horizon that reaches beyond it."""
    rows, close = columns_of(data, wanted)
    count = int(len(rows) * share) - horizon
    if count < 3:
        raise DatasetEmpty(f"{data.meta.source}: {len(rows)} bars leave nothing to learn from")
    target = np.log(close[horizon : horizon + count] / close[:count])
    learned = rows[:count]
    scaler = scaling.learn(scale, learned, request_of(wanted))
    values = selection.scores(score, learned, target)
    names = [f"{name}:{window}" for name, window in wanted]
    order = np.argsort(-values, kind="stable")
    ranked = tuple((names[at], float(values[at])) for at in order)
    return Prepared(scaler, ranked, tuple(name for name, _ in ranked[:keep]), count)
