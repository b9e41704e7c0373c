"""The operations of the feature kernels on one number: what a lane does with its own, and the order of a sum of many.

Comparisons are false for a NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

ALMOST_ZERO = 1e-300


def larger(a: float, b: float) -> float:
    return a if a > b else b


def smaller(a: float, b: float) -> float:
    return a if a < b else b


def ratio(a: float, b: float, other: float) -> float:
    return a / b if abs(b) > ALMOST_ZERO else other


def log(x: float) -> float:
    """Twice the series of artanh over the mantissa, and the exponent's share."""
    m, e = math.frexp(x)
    m, e = 2.0 * m, e - 1
    if m > 1.4142135623730951:
        m, e = m * 0.5, e + 1
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 21.0
    for odd in range(19, 1, -2):
        p = p * z + 1.0 / odd
    return float(e) * 0.6931471805599453 + (2.0 * s + 2.0 * s * z * p)


def eighths(terms: Iterable[float]) -> float:
    """A sum of many: term j belongs to partial sum j mod 8, and these are added by halves."""
    s = [0.0] * 8
    for j, term in enumerate(terms):
        s[j % 8] += term
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
