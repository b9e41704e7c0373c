from enum import IntEnum
from typing import Any, final

import numpy.typing as npt

from engine._core.book import Rule

class SyncState(IntEnum):
    WAITING = 0
    BUFFERING = 1
    LIVE = 2

@final
class BookSync:
    last_id: int
    gap_count: int
    image_count: int
    refused_image_count: int
    stale_count: int
    @property
    def rule(self) -> Rule: ...
    @property
    def state(self) -> SyncState: ...
    @property
    def wants_image(self) -> bool: ...
    def __init__(self, rule: Rule, *, buffer_most: int = ...) -> None: ...
    def on_changes(self, events: npt.NDArray[Any]) -> list[npt.NDArray[Any]]: ...
    def on_image(self, events: npt.NDArray[Any]) -> list[npt.NDArray[Any]]: ...
    def lost(self) -> None: ...
