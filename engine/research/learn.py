"""Training of what trains in a moment: a logistic model on a data set's bars, and int8 weights out of doubles.

Owns: Newton's method on a penalised logistic loss, the quantising of a dense model. Does not own: columns and target
(prepare), the file (engine/strategy/models.py), models of other libraries (imported.py). Learned is the first part of
the data alone, less the horizon; the rest tells what it is worth. Given the same data the weights are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.features_feed import FeedSource
from engine._core.infer import Model
from engine._core.stable import log_sum_exp, total
from engine.errors import DatasetEmpty, ModelForeign
from engine.research import scaling
from engine.research.dataset import Dataset
from engine.research.prepare import columns_of
from engine.strategy.models import Request

Floats = npt.NDArray[np.float64]
STEPS_MAX = 50


@dataclass(frozen=True)
class Learned:
    """A model and what it is worth on the rows it learned from and on those it never saw: loss in nats, share right."""

    spec: dict[str, Any]
    rows: int
    rest: int
    loss: tuple[float, float]
    right: tuple[float, float]


def fit(data: Dataset, request: Request, *, horizon: int, share: float, ridge: float) -> Learned:
    """The chance that the close after `horizon` bars is higher, as a logistic model of the request's features."""
    if request[0] != int(FeedSource.FEED_BARS):
        raise ModelForeign("features of the venue's closed bars (FEATURE_BARS_S = 0) are what is learned from here")
    rows, close = columns_of(data, request[2])
    up = np.zeros(len(rows))
    up[:-horizon] = close[horizon:] > close[:-horizon]
    known: npt.NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=1))
    known[len(rows) - horizon :] = False
    cut = int(len(rows) * share)
    # A row whose target reaches beyond the cut knows what comes after it.
    old, new = known.copy(), known.copy()
    old[max(cut - horizon, 0) :] = False
    new[:cut] = False
    if old.sum() < 10 * (rows.shape[1] + 1):
        raise DatasetEmpty(f"{data.meta.source}: {int(old.sum())} warm bars leave nothing to learn from")
    scaler = scaling.learn("zscore", rows[old], request)
    factor = [1.0 / scale if scale > 0 else 0.0 for scale in scaler.scale]
    moved = (rows - np.array(scaler.centre)) * np.array(factor)
    weights, bias = _newton(moved[old], up[old], ridge)
    spec = {
        "kind": "dense", "link": "logistic", "inputs": rows.shape[1], "outputs": 1, "centre": list(scaler.centre),
        "factor": factor, "layers": [{"weights": [weights.tolist()], "bias": [bias]}],
    }  # fmt: skip
    worth = [_worth(spec, rows[part], up[part]) for part in (old, new)]
    return Learned(spec, int(old.sum()), int(new.sum()), (worth[0][0], worth[1][0]), (worth[0][1], worth[1][1]))


def _newton(x: Floats, y: Floats, ridge: float) -> tuple[Floats, float]:
    wide = np.column_stack([x, np.ones(len(x))])
    penalty = np.full(wide.shape[1], ridge)
    penalty[-1] = 0.0  # the bias is how often it rises at all: nothing pulls it to a half
    w = np.zeros(wide.shape[1])
    for _ in range(STEPS_MAX):
        p = 0.5 * (1.0 + np.tanh(0.5 * (wide @ w)))
        slope = wide.T @ (p - y) + penalty * w
        bend = (wide * (p * (1.0 - p))[:, None]).T @ wide + np.diag(penalty + 1e-9)
        step = np.linalg.solve(bend, slope)
        w -= step
        if float(np.abs(step).max()) < 1e-10:
            break
    return w[:-1], float(w[-1])


def _worth(spec: Mapping[str, Any], rows: Floats, up: Floats) -> tuple[float, float]:
    """(mean loss in nats, share right) of a model that answers with a score before its link."""
    if not len(rows):
        return math.nan, math.nan
    scores = Model({**spec, "link": "none"}).run_many(np.ascontiguousarray(rows))[:, 0]
    # -log of the chance given to what came: log(1 + e^-s) for a rise, without an overflow at either end.
    losses = [log_sum_exp([0.0, -score if rose else score]) for score, rose in zip(scores, up, strict=True)]
    return total(losses) / len(rows), float(np.mean((scores > 0) == (up > 0)))


def quantised(spec: Mapping[str, Any], rows: Floats) -> dict[str, Any]:
    """A dense model with int8 weights; the steps of its inputs are those that these rows need."""
    if spec["kind"] != "dense":
        raise ModelForeign("only a dense model has weights to quantise")
    made, here = [], (rows - np.array(spec["centre"])) * np.array(spec["factor"])
    for layer in spec["layers"]:
        weights = np.array(layer["weights"])
        most = np.abs(weights).max(axis=1)
        row_step = np.where(most > 0, most, 1.0) / 127.0
        step = float(np.abs(here).max()) / 127.0 or 1.0
        made.append({
            "weights": np.rint(weights / row_step[:, None]).astype(int).tolist(), "bias": list(layer["bias"]),
            "step": step, "row_step": row_step.tolist(),
        })  # fmt: skip
        here = np.maximum(here @ weights.T + np.array(layer["bias"]), 0.0)
    return {**spec, "layers": made}
