from collections.abc import Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

DIMS: int
SCALES: int

@final
class Hawkes:
    def __init__(
        self,
        base: npt.ArrayLike,
        alpha: npt.ArrayLike,
        beta: npt.ArrayLike | Sequence[float],
        *,
        seed: int,
        start_ns: int = 0,
    ) -> None: ...
    def simulate(self, count: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]: ...

def uniforms(seed: int, count: int) -> npt.NDArray[np.float64]: ...
def history(
    times_ns: npt.NDArray[Any], kinds: npt.NDArray[Any], dims: int, beta: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
