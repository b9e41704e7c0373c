"""The venue's three chances: how often an order is filled, how much of it at a time, and how long a message takes.

    fill count   Poisson(3)
    fill ratio   Beta(2, 5), mean 2/7
    latency      log-normal(3.9, 0.3) in milliseconds, median 49.4 ms

Each sampler is an exact method fed by one stream of uniforms, which Python promises never to change for a seed: no
table is fitted and no library's sampler stands in between, so a seed means the same run next year. Beside each sampler
stands its distribution function, written from the definition, and `ks_p_value` holds the one against the other.

Owns: the stream it was made with. Cost: below a microsecond a draw for the count and the ratio, about one for latency.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import NormalDist

POISSON_MEAN = 3.0
BETA_A, BETA_B = 2, 5
LATENCY_MU, LATENCY_SIGMA = 3.9, 0.3
NS_PER_MS = 1_000_000
_NORMAL = NormalDist()


class Chances:
    """One seeded stream and the draws made from it. Two of the same seed give the same draws, for ever."""

    def __init__(self, seed: int | str) -> None:
        self._stream = random.Random(seed)
        self.uniform = self._stream.random

    def fill_count(self, mean: float = POISSON_MEAN) -> int:
        """Poisson by inversion: walk the probabilities until the uniform is used up."""
        left, count, mass = self.uniform(), 0, math.exp(-mean)
        while left >= mass and count < 1000:
            left -= mass
            count += 1
            mass *= mean / count
        return count

    def fill_ratio(self, a: int = BETA_A, b: int = BETA_B) -> float:
        """Beta(a, b) of whole numbers is the a-th smallest of a + b - 1 uniforms: exact, and nothing to reject."""
        return sorted(self.uniform() for _ in range(a + b - 1))[a - 1]

    def latency_ns(self, mu: float = LATENCY_MU, sigma: float = LATENCY_SIGMA) -> int:
        """Log-normal by inversion, in whole nanoseconds, never below one."""
        # The stream gives [0, 1); the mirror image gives (0, 1], and its one forbidden value is stepped back from.
        above_zero = min(1.0 - self.uniform(), 1.0 - 2.0**-53)
        return max(1, round(math.exp(mu + sigma * _NORMAL.inv_cdf(above_zero)) * NS_PER_MS))

    def exponential_ns(self, mean_ns: float) -> int:
        """A gap of a Poisson stream, at least one nanosecond."""
        return max(1, round(-math.log(1.0 - self.uniform()) * mean_ns))

    def happens(self, chance: float) -> bool:
        """True with this chance. One draw is made whatever the chance, so that changing it moves nothing else."""
        return self.uniform() < chance

    def below(self, bound: int) -> int:
        """A whole number from 0 to below the bound."""
        return min(bound - 1, int(self.uniform() * bound))


# ------------------------------------------------------------------------------------------- the definitions themselves
def poisson_mass(count: int, mean: float = POISSON_MEAN) -> float:
    return math.exp(-mean + count * math.log(mean) - math.lgamma(count + 1)) if count >= 0 else 0.0


def poisson_cdf(count: int, mean: float = POISSON_MEAN) -> float:
    return min(1.0, math.fsum(poisson_mass(k, mean) for k in range(count + 1)))


def beta_cdf(x: float, a: int = BETA_A, b: int = BETA_B) -> float:
    """The chance that at least `a` of `a + b - 1` uniforms lie below x: the binomial sum, exact for whole a and b."""
    n, x = a + b - 1, min(1.0, max(0.0, x))
    return math.fsum(math.comb(n, j) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))


def latency_cdf(latency_ns: float, mu: float = LATENCY_MU, sigma: float = LATENCY_SIGMA) -> float:
    if latency_ns <= 0:
        return 0.0
    return 0.5 * math.erfc(-(math.log(latency_ns / NS_PER_MS) - mu) / (sigma * math.sqrt(2)))


# ----------------------------------------------------------------------------------------------- Kolmogorov, Smirnov
def ks_distance(uniforms: Sequence[float]) -> float:
    """The largest distance between the sample's step function and the uniform's line.

    A sample is brought here through its own distribution function; if it has that distribution, this is uniform.
    """
    ordered, n = sorted(uniforms), len(uniforms)
    return max(max((i + 1) / n - u, u - i / n) for i, u in enumerate(ordered))


def ks_p_value(distance: float, n: int) -> float:
    """The chance of a distance at least this large from a true sample: Kolmogorov's series, Stephens' form."""
    root = math.sqrt(n)
    lam = (root + 0.12 + 0.11 / root) * distance
    if lam < 0.3:
        return 1.0  # the series alternates too slowly there, and the answer is 1 to nine places
    terms = ((-1) ** (k - 1) * math.exp(-2.0 * k * k * lam * lam) for k in range(1, 101))
    return min(1.0, max(0.0, 2.0 * math.fsum(terms)))


def spread_poisson(counts: Sequence[int], uniforms: Sequence[float], mean: float = POISSON_MEAN) -> list[float]:
    """Counts as uniforms: each is spread over its own step of the distribution function.

    A discrete sample put straight into the Kolmogorov test passes far too easily; spread like this the test is exact.
    """
    return [
        poisson_cdf(k - 1, mean) + u * poisson_mass(k, mean) if k else u * poisson_mass(0, mean)
        for k, u in zip(counts, uniforms, strict=True)
    ]
