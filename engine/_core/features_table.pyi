from enum import IntEnum
from typing import NamedTuple

class family_t(IntEnum): ...  # noqa: N801

class Family(NamedTuple):
    number: int
    name: str
    group: str
    unit: str
    low: float
    high: float
    warm: str
    needs: tuple[str, ...]
    signals: tuple[str, ...]
    cost: str
    meaning: str

TABLE: tuple[Family, ...]

def warm_up(family: int, window: int) -> int: ...
