from collections.abc import Iterable
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

from engine._core.symbols import Symbols
from engine._core.types import Status

EVENT: np.dtype[Any]

@final
class Parser:
    symbols: Symbols
    room: int
    def __init__(
        self,
        symbols: Symbols | Iterable[tuple[str, int, str, str]],
        *,
        time_unit: str = ...,
        context_symbol: str | None = ...,
        context_snapshot: bool = ...,
        frame_bytes_max: int = ...,
        levels_max: int = ...,
        room: int = ...,
        general_only: bool = ...,
    ) -> None: ...
    def read(self, frame: Buffer, ts_recv_ns: int = ...) -> tuple[Status, npt.NDArray[Any]]: ...
    def read_sbe(self, frame: Buffer, ts_recv_ns: int = ...) -> tuple[Status, npt.NDArray[Any]]: ...
    def read_at(self, address: int, size: int, ts_recv_ns: int = ...) -> tuple[Status, npt.NDArray[Any]]: ...
    def parse(self, frame: Buffer, ts_recv_ns: int = ...) -> npt.NDArray[Any]: ...
    def parse_sbe(self, frame: Buffer, ts_recv_ns: int = ...) -> npt.NDArray[Any]: ...
    @property
    def address(self) -> int: ...
    @property
    def detail(self) -> int: ...
    @property
    def not_data(self) -> int: ...
    def counters(self) -> dict[str, int]: ...
    def check(self) -> None: ...
