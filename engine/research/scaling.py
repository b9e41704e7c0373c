"""Five ways to put features on one scale: learned on one set of rows, applied to others, kept with the features' hash.

    minmax       (x - low) / (high - low)
    zscore       (x - mean) / deviation, divisor n
    robust       (x - median) / (third quartile - first quartile)
    maxabs       x / largest |x|
    normalizer   each row by its own length: nothing is learned

Owns: the definitions, the file. Does not own: features (the kernel), which of them are kept (selection.py). A column
that does not vary becomes 0 and is never divided by. What is not finite, or beyond 1e100, teaches nothing. Invariant: a
row is scaled by itself and by what was learned, never by its neighbours: learn on the past, apply to what comes after.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine._core.features_feed import feed_hash
from engine.errors import ScalerMismatch
from engine.journal.layout import write_whole

Floats = npt.NDArray[np.float64]
Request = tuple[int, int, tuple[tuple[str, int], ...]]
METHODS = ("minmax", "zscore", "robust", "maxabs", "normalizer")
MOST = 1e100  # squares of more are no numbers; a feature's own bounds are far below


@dataclass(frozen=True)
class Scaler:
    """What was learned of each column: it is moved by `centre` and divided by `scale`; a scale of 0 gives 0."""

    method: str
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    features: str  # SHA-256 of the request that the columns are the answer to
    rows: int

    def apply(self, rows: Floats) -> Floats:
        """The rows on the learned scale; whoever has other features than it was learned on must not come here."""
        if rows.ndim != 2 or rows.shape[1] != len(self.centre):
            raise ScalerMismatch(f"{rows.shape} values for {len(self.centre)} columns")
        if self.method == "normalizer":
            length = np.sqrt(np.nansum(np.square(rows), axis=1, keepdims=True))
            return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0), np.float64)
        scale = np.asarray(self.scale)
        moved = rows - np.asarray(self.centre)
        flat = np.where(np.isnan(moved), np.nan, 0.0)
        return np.asarray(np.divide(moved, scale, out=flat, where=scale > 0), np.float64)


def learn(method: str, rows: Floats, request: Request) -> Scaler:
    """A scaler of these rows' columns, which are the features that `request` names."""
    if method not in METHODS:
        raise ScalerMismatch(f"no method {method!r}; one of {', '.join(METHODS)}")
    if rows.ndim != 2 or rows.shape[1] != len(request[2]):
        raise ScalerMismatch(f"{rows.shape} values for {len(request[2])} features")
    known = np.where(np.abs(rows) < MOST, rows, np.nan)
    good = ~np.isnan(known).all(axis=0)
    centre, scale = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    if len(rows) and good.any():
        mine = known[:, good]
        if method == "minmax":
            low = np.nanmin(mine, axis=0)
            centre[good], scale[good] = low, np.nanmax(mine, axis=0) - low
        elif method == "zscore":
            centre[good], scale[good] = np.nanmean(mine, axis=0), np.nanstd(mine, axis=0)
        elif method == "robust":
            first, middle, third = np.nanquantile(mine, (0.25, 0.5, 0.75), axis=0)
            centre[good], scale[good] = middle, third - first
        elif method == "maxabs":
            scale[good] = np.nanmax(np.abs(mine), axis=0)
    # Rounding leaves dust where nothing varies: dust is no scale.
    size = np.maximum(np.abs(centre), 1e-300)
    scale = np.where(scale <= 1e-14 * size, 0.0, scale) if method != "maxabs" else scale
    return Scaler(method, tuple(centre.tolist()), tuple(scale.tolist()), feed_hash(request).hex(), len(rows))


def save(path: Path, scaler: Scaler, *, kept: Sequence[str] = ()) -> None:
    """Write it down, with the names of the features that were selected."""
    write_whole(path, json.dumps({**asdict(scaler), "kept": list(kept)}, indent=1, sort_keys=True).encode() + b"\n")


def load(path: Path, request: Request) -> Scaler:
    """Read it for these features; one that was learned on others is refused, because it would be silently wrong."""
    try:
        row = json.loads(path.read_bytes())
        row.pop("kept", None)
        scaler = Scaler(**{**row, "centre": tuple(row["centre"]), "scale": tuple(row["scale"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ScalerMismatch(f"{path}: {error}") from error
    if scaler.features != feed_hash(request).hex():
        raise ScalerMismatch(f"{path} was learned on the features {scaler.features[:16]}, these are others")
    return scaler
