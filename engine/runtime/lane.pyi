from typing import Any, final

import numpy as np

from engine.net.listener import Receiver

EVENT: np.dtype[Any]

@final
class Lane(Receiver):
    offset_ns: int
    def __init__(self, exchange: Any, engine: Any) -> None: ...
    def message(self, payload: memoryview | bytes, ts_recv_ns: int) -> None: ...
