"""Twin of the stable arithmetic: the same operations in the same order, on Python's own doubles."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from engine.model.features_arithmetic import log

Values = npt.ArrayLike
INF = math.inf
HIGH, LOW = 709.782712893384, -745.1332191019412


def exp(x: float) -> float:
    if math.isnan(x):
        return x
    if x >= HIGH:
        return INF if x > HIGH else 1.7976931348622732e308
    if x < LOW:
        return 0.0
    n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0
    r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
    r2 = r * r
    r4 = r2 * r2

    def four(k: int) -> float:
        c = [1.0 / math.factorial(k + i) for i in range(4)]
        return (c[0] + c[1] * r) + (c[2] + c[3] * r) * r2

    q = four(2) + four(6) * r4 + four(10) * (r4 * r4)
    half = int(n) >> 1
    return (1.0 + (r + r2 * q)) * math.ldexp(1.0, half) * math.ldexp(1.0, int(n) - half)


def logistic(x: float) -> float:
    z = exp(-abs(x))
    return 1.0 / (1.0 + z) if x >= 0.0 else z / (1.0 + z)


def _list(values: Values) -> list[float]:
    numbers = [float(x) for x in np.asarray(values, dtype=np.float64).ravel()]
    if not numbers:
        raise ValueError("no values")
    return numbers


def _most(values: Iterable[float]) -> float:
    numbers = list(values)
    return math.nan if any(map(math.isnan, numbers)) else max(numbers)


def _shares(values: list[float]) -> tuple[float, list[float]]:
    most = _most(values)
    if math.isnan(most):
        return most, [most] * len(values)
    return most, [exp(0.0 if x == most else x - most) for x in values]


def log_sum_exp(values: Values) -> float:
    most, shares = _shares(_list(values))
    if math.isnan(most) or most == -INF:
        return most
    total_ = 0.0
    for share in shares:
        total_ += share
    return most + log(total_)


def softmax(values: Values) -> npt.NDArray[np.float64]:
    shares = np.array(_shares(_list(values))[1])
    total_ = 0.0
    for share in shares:
        total_ += float(share)
    return shares / total_


def _sum(numbers: list[float]) -> float:
    total_, lost = 0.0, 0.0
    for x in numbers:
        after = total_ + x
        lost += (total_ - after) + x if abs(total_) >= abs(x) else (x - after) + total_
        total_ = after
    return total_ if math.isnan(lost) else total_ + lost


def total(values: Values) -> float:
    return _sum(_list(values))


def norm(values: Values) -> float:
    numbers = [abs(x) for x in _list(values)]
    most = _most(numbers)
    if most == 0.0 or not math.isfinite(most):
        return most
    power = math.frexp(most)[1]
    scaled = [math.ldexp(x, -power) for x in numbers]
    # A true length beyond the range is infinite; Python's ldexp would raise.
    length = math.sqrt(_sum([x * x for x in scaled]))
    return math.ldexp(length, power) if power < 1_000 else length * 2.0 * math.ldexp(1.0, power - 1)
