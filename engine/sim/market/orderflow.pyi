from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy.typing as npt

from engine.sim.market.hawkes import Hawkes

SYMBOLS_MAX: int
LEVEL_COUNT: int
POINT_COUNT: int

@final
class OrderFlow:
    def __init__(
        self,
        process: Hawkes,
        *,
        grid: Sequence[float],
        common: Sequence[float],
        gap_bp: float,
        symbols: Sequence[Mapping[str, Any]],
        regimes: Sequence[Mapping[str, Any]],
        regime: int,
        fixed: bool,
        pace: float,
        depth: bool,
    ) -> None: ...
    def stretch(self, count: int) -> npt.NDArray[Any]: ...
    def book(self, symbol: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]: ...
    @property
    def now_ns(self) -> int: ...
    @property
    def regimes_so_far(self) -> list[tuple[int, int]]: ...
