from typing import Any, final

import numpy as np
import numpy.typing as npt

from engine._core.types import Status

EVENT: np.dtype[Any]

@final
class Lane:
    offset_ns: int
    def __init__(self, exchange: Any, engine: Any) -> None: ...
    def message(self, payload: memoryview | bytes, ts_recv_ns: int) -> tuple[Status, npt.NDArray[Any]] | None: ...
