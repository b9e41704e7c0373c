"""A Hawkes process from recorded events: expectation and maximisation with given time scales, and what it leaves over.

Owns: the estimate, the branching ratio, the time-rescaled residuals, the long-run covariance. Does not own: what the
kinds mean. Kinds may be tied in mirrored pairs (a buy does to sells what a sell does to buys): each parameter is then
estimated from both. Cost: about 1 us an event, scale and step; the likelihood is concave, so any start ends in the
same place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.sim.market.hawkes import history

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class HawkesFit:
    base: Array  # (kinds), per second
    alpha: Array  # (scales, source, target), children
    beta: Array  # (scales), per second
    residuals: list[Array]  # of each kind; exponential with mean one if the model is right

    @property
    def branching(self) -> float:
        return branching(self.alpha)


def branching(alpha: Array) -> float:
    """The spectral radius of the mean numbers of children."""
    return float(np.abs(np.linalg.eigvals(alpha.sum(axis=0))).max())


def fit(
    times_ns: Array,
    kinds: Array,
    beta: Array,
    dims: int,
    *,
    mirror: Array | None = None,
    allowed: Array | None = None,
    steps: int = 150,
) -> HawkesFit:
    """`mirror[d]` is the kind that d is mirrored in; `allowed[source, target]` says who may have children of whom."""
    times, kinds = np.ascontiguousarray(times_ns, np.int64), np.ascontiguousarray(kinds, np.uint8)
    beta = np.ascontiguousarray(beta, float)
    sums, areas = history(times, kinds, dims, beta)
    span = float(times[-1] - times[0]) * 1e-9
    counts = np.bincount(kinds, minlength=dims).astype(float)
    # What of each event's offspring falls into the recording: the last ones' children come after its end.
    left = (times[-1] - times) * 1e-9
    seen = np.array([[(1 - np.exp(-b * left[kinds == s])).sum() for s in range(dims)] for b in beta])
    free = np.ones((dims, dims), bool) if allowed is None else np.asarray(allowed, bool)
    base = counts / span / 2
    alpha = np.where(free, 0.5 / dims / len(beta), 0.0)[None].repeat(len(beta), 0)
    of = [sums[kinds == d].reshape(-1, len(beta), dims) for d in range(dims)]
    for _ in range(steps):
        born = np.zeros_like(alpha)
        alone = np.zeros(dims)
        for d in range(dims):
            weight = alpha[:, :, d] * beta[:, None]
            rate = base[d] + np.einsum("iks,ks->i", of[d], weight)
            alone[d] = base[d] * (1 / rate).sum()
            born[:, :, d] = weight * np.einsum("iks,i->ks", of[d], 1 / rate)
        base_new, seen_tied = alone / span, seen
        if mirror is not None:
            base_new = (base_new + base_new[mirror]) / 2
            born = born + born[:, mirror][:, :, mirror]
            seen_tied = seen + seen[:, mirror]
        base, alpha = base_new, born / np.maximum(seen_tied, 1e-12)[:, :, None]
    integrals = np.diff(times, prepend=times[0])[:, None] * 1e-9 * base[None] + np.einsum(
        "iks,ksd->id", areas, alpha * beta[:, None, None]
    )
    rescaled = np.cumsum(integrals, axis=0)
    residuals = [np.diff(rescaled[kinds == d, d]) for d in range(dims)]
    return HawkesFit(base, alpha, beta, residuals)


def rates(base: Array, alpha: Array) -> Array:
    """Mean events a second of each kind: base and everything that descends from it."""
    total: Array = np.linalg.solve(np.eye(len(base)) - alpha.sum(axis=0).T, base)
    return total


def long_run_covariance(base: Array, alpha: Array) -> Array:
    """Covariance of counts a second over times beyond the time scales (Bacry, Delattre, Hoffmann, Muzy 2013)."""
    resolvent = np.linalg.inv(np.eye(len(base)) - alpha.sum(axis=0).T)
    covariance: Array = resolvent @ np.diag(rates(base, alpha)) @ resolvent.T
    return covariance
