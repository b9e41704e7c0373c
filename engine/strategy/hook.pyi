from collections.abc import Callable
from typing import Any, final

import numpy as np

from engine._core.world import World

HOOKS_MAX: int
VIEW: np.dtype[Any]
WISHES: np.dtype[Any]

@final
class PythonHook:
    def __init__(self, world: World, strategy: int, decide: Callable[[Any, Any], int]) -> None: ...
    @property
    def address(self) -> int: ...
    @property
    def view(self) -> Any: ...
    @property
    def error(self) -> BaseException | None: ...
    @property
    def call_count(self) -> int: ...
