import os
from typing import Any, final

import numpy as np
import numpy.typing as npt

EVENT: np.dtype[Any]

@final
class Tape:
    path: str
    def __init__(
        self, path: str | os.PathLike[str], *, capacity: int = ..., ts_created_ns: int = ..., write: bool = ...
    ) -> None: ...
    def append(self, records: npt.NDArray[Any]) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    def records(self) -> npt.NDArray[Any]: ...
