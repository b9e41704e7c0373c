"""Draws of research: what a search tries, and how a result is resampled. Everything from a seed, nothing from a clock.

Owns: the streams. A stream belongs to (seed, what it is for, number), so a trial's draw does not depend on how many
trials ran before it, and a sweep that is taken up again draws what it would have drawn.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def _stream(seed: int, purpose: str, number: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), number])))


def uniforms(seed: int, trial: int, count: int) -> Floats:
    """`count` numbers in [0, 1) that belong to one trial."""
    return _stream(seed, "trial", trial).random(count)


def resamples(seed: int, length: int, block: int, count: int) -> Iterator[Ints]:
    """Indices of `count` stationary bootstraps: blocks of a geometric length with mean `block`, wrapped at the end."""
    rng = _stream(seed, "resample")
    for _ in range(count):
        fresh = rng.random(length) < 1.0 / block
        fresh[0] = True
        starts = np.flatnonzero(fresh)
        first = rng.integers(0, length, len(starts))
        which = np.cumsum(fresh) - 1
        yield (first[which] + np.arange(length) - starts[which]) % length


def signs(seed: int, length: int, block: int, count: int) -> Iterator[Floats]:
    """`count` rows of +1 and -1, the same within each block of `block` periods."""
    rng = _stream(seed, "signs")
    for _ in range(count):
        yield np.repeat(np.where(rng.random(-(-length // block)) < 0.5, -1.0, 1.0), block)[:length]


def rotations(seed: int, length: int, count: int) -> Iterator[int]:
    """`count` shifts from 1 to length - 1."""
    yield from (int(shift) for shift in _stream(seed, "rotations").integers(1, length, count))
