from typing import Any, final

import numpy as np
import numpy.typing as npt

from engine._core.world import World

EVENT: np.dtype[Any]

@final
class Core:
    world: World
    def __init__(self, world: World) -> None: ...
    def bind(self, strategy: int, address: int, keep: object = ...) -> None: ...
    def bind_features(self, address: int, keep: object = ...) -> None: ...
    def step(self, event: npt.NDArray[Any]) -> tuple[int, npt.NDArray[Any]]: ...
    def outputs(self) -> npt.NDArray[Any]: ...
