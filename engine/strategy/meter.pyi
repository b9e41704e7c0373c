from typing import Any, final

import numpy as np
import numpy.typing as npt

EVENT: np.dtype[Any]

@final
class Meter:
    def wrap(
        self,
        strategy: int,
        address: int,
        *,
        budget_ns: int,
        hard_ns: int,
        strikes_max: int = ...,
        forgive_count: int = ...,
        keep: object = ...,
    ) -> int: ...
    @property
    def pending_count(self) -> int: ...
    def stop_events(self, now_ns: int) -> npt.NDArray[Any]: ...
    def figures(self) -> dict[int, dict[str, int]]: ...
