from typing import Any, final

import numpy.typing as npt

from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.world import World

EVENT: Any
ORDER_RECORD: Any
EQUAL: int
OTHER: int
EXTRA: int
MISSING: int

@final
class Comparer:
    def __init__(self, core: Core) -> None: ...
    def run(self, image: Any, first: int, count: int, *, compare: bool = ...) -> int: ...
    def resume(self, out_count: int) -> None: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def difference(self) -> int: ...
    @property
    def pending(self) -> npt.NDArray[Any]: ...

def feed(core: Core, tape: Tape, events: npt.NDArray[Any]) -> int: ...
def made(core: Core) -> bytes: ...
def glance(world: World, symbol: int) -> tuple[int, int, int, int]: ...
def live_orders(world: World) -> npt.NDArray[Any]: ...
def epoch_of(world: World) -> int: ...
def set_epoch(world: World, epoch: int) -> None: ...
def adopt(
    world: World,
    *,
    id_order: int,
    symbol: int,
    sell: bool,
    px_ticks: int,
    qty_lots: int,
    filled_lots: int,
    id_venue: int,
    strategy: int,
    tag: int,
    now_ns: int,
) -> bool: ...
