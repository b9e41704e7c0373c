"""What a search may try: one axis per parameter of a strategy, written as text.

    qty=1:10        whole numbers 1 to 10          away=0.5:2:0.25   from 0.5 in steps of 0.25
    tag=1,2,5       one of these                   scale=0.001:1     anything between, drawn evenly
    fast=2:200:log  drawn evenly in the logarithm

Owns: the notation, the grid, and which value a number in [0, 1) stands for. Draws nothing itself.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.errors import SweepImpossible
from engine.strategy.contract import Parameter

Number = int | float
Params = dict[str, Number]
GRID_MAX = 100_000
# Steps of a decimal are counted with this much forgiveness: 0.1:0.9:0.1 has nine values.
_SLACK = 1e-9


@dataclass(frozen=True)
class Axis:
    """Either the values it has, or the two ends of an interval."""

    name: str
    values: tuple[Number, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def at(self, share: float) -> Number:
        """The value that a number in [0, 1) stands for."""
        if self.values:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        if self.log:
            return math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return self.low + share * (self.high - self.low)

    @property
    def ends(self) -> tuple[Number, Number]:
        return (min(self.values), max(self.values)) if self.values else (self.low, self.high)


def _number(text: str) -> Number:
    try:
        return int(text)
    except ValueError:
        value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def axis(text: str) -> Axis:
    """One axis of its text."""
    name, equals, rest = text.partition("=")
    try:
        if not name or not equals:
            raise ValueError
        if ":" not in rest:
            values = tuple(_number(word) for word in rest.split(","))
            return Axis(name, tuple(dict.fromkeys(values)))
        words = rest.split(":")
        log = words[-1] == "log"
        low, high, *step = (_number(word) for word in (words[:-1] if log else words))
        return _interval(name, low, high, step, log)
    except ValueError:
        raise SweepImpossible(
            f"{text!r} is no axis: NAME=LOW:HIGH, NAME=LOW:HIGH:STEP, NAME=LOW:HIGH:log or NAME=A,B,C"
        ) from None


def _interval(name: str, low: Number, high: Number, step: Sequence[Number], log: bool) -> Axis:
    if not low <= high or len(step) > 1 or (log and (low <= 0 or step)):
        raise ValueError
    whole = isinstance(low, int) and isinstance(high, int) and all(isinstance(part, int) for part in step)
    if whole and log:
        # Evenly in the logarithm, each value once.
        count = min(int(high - low) + 1, 64)
        ratio = (high / low) ** (1 / max(count - 1, 1))
        return Axis(name, tuple(dict.fromkeys(min(int(high), round(low * ratio**at)) for at in range(count))))
    if whole or step:
        width = step[0] if step else 1
        if not width > 0:
            raise ValueError
        count = int((high - low) / width + _SLACK) + 1
        if count > GRID_MAX:
            raise ValueError
        values = tuple(low + at * width for at in range(count))
        return Axis(name, values if whole else tuple(float(f"{value:.12g}") for value in values))
    return Axis(name, low=float(low), high=float(high), log=log)


def axes(texts: Sequence[str], parameters: Sequence[Parameter]) -> tuple[Axis, ...]:
    """The axes, each held against the parameter of the strategy that it names."""
    found = tuple(axis(text) for text in texts)
    known = {parameter.name: parameter for parameter in parameters}
    if not found:
        raise SweepImpossible(f"nothing to search; give --param NAME=LOW:HIGH for one of {', '.join(known) or 'none'}")
    if len({one.name for one in found}) < len(found):
        raise SweepImpossible("a parameter is given twice")
    for one in found:
        parameter = known.get(one.name)
        if parameter is None:
            raise SweepImpossible(f"the strategy has no parameter {one.name}; it has {', '.join(known) or 'none'}")
        low, high = one.ends
        if low < parameter.low or high > parameter.high:
            raise SweepImpossible(f"{one.name}: {low} to {high} reaches beyond {parameter.low} to {parameter.high}")
        whole = bool(one.values) and all(isinstance(value, int) for value in one.values)
        if isinstance(parameter.default, int) and not whole:
            raise SweepImpossible(f"{one.name} takes whole numbers; give whole ends and a whole step")
    return found


def grid(space: Sequence[Axis]) -> Iterator[Params]:
    """Every combination, the last axis fastest."""
    for one in space:
        if not one.values:
            raise SweepImpossible(f"{one.name}: a grid needs values or a step")
    count = math.prod(len(one.values) for one in space)
    if count > GRID_MAX:
        raise SweepImpossible(f"a grid of {count:,} trials; most are {GRID_MAX:,}. Use --search random")
    for values in itertools.product(*(one.values for one in space)):
        yield {one.name: value for one, value in zip(space, values, strict=True)}


def drawn(space: Sequence[Axis], shares: Sequence[float]) -> Params:
    """The parameters that one draw for each axis stands for."""
    return {one.name: one.at(share) for one, share in zip(space, shares, strict=True)}
