import os
from enum import IntEnum
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

EVENT: np.dtype[Any]

class Mode(IntEnum):
    TAPE_SYNC_OFF = 0
    TAPE_SYNC_GROUP = 1
    TAPE_SYNC_EACH = 2

class Health(IntEnum):
    HEALTH_DISK_LOW = 1
    HEALTH_CAP = 2
    HEALTH_SYNC_FAILED = 4
    HEALTH_NO_SEGMENT = 8
    HEALTH_REFUSED = 16

tape_mode_t = Mode
tape_health_t = Health

class HeaderView(NamedTuple):
    number: int
    epoch: int
    ts_created_ns: int
    klass: int
    session: bytes
    boot: bytes
    first_record: int
    block_count: int
    closed: bool
    record_count: int
    chain_before: bytes
    chain: bytes
    check: int
    check_before: int
    crc: int

class ScanView(NamedTuple):
    status: int
    good: int
    mark: int
    chained: int
    first_record: int
    ts_first_ns: int
    ts_last_ns: int
    check: int
    dirty: bool
    resumes: bool
    chain: bytes

def header(image: Any) -> HeaderView: ...
def scan(image: Any, *, chain: bool = ...) -> ScanView: ...
def records(image: Any, first: int, count: int) -> npt.NDArray[Any]: ...
def first_at(image: Any, count: int, ts_ns: int) -> int: ...

@final
class Segment:
    path: str
    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        blocks: int,
        number: int = ...,
        epoch: int = ...,
        ts_created_ns: int = ...,
        klass: int = ...,
        session: bytes = ...,
        boot: bytes = ...,
    ) -> None: ...
    def touch(self, pages: int) -> None: ...
    def sync(self) -> None: ...

@final
class Tape:
    path: str
    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        *,
        capacity: int = ...,
        ts_created_ns: int = ...,
        write: bool = ...,
        segment: Segment | None = ...,
        mode: int = ...,
        first_record: int = ...,
        check: int = ...,
        chain: bytes = ...,
    ) -> None: ...
    def append(self, events: npt.NDArray[Any]) -> None: ...
    def commit(self) -> None: ...
    def turn(self, *, sync: bool = ...) -> bool: ...
    def run(self, period_ns: int, turns: int) -> int: ...
    def stop(self) -> None: ...
    def offer(self, segment: Segment) -> None: ...
    def take(self) -> str: ...
    def rotate(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Tape: ...
    def __exit__(self, *exc: object) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def durable(self) -> int: ...
    @property
    def refused_count(self) -> int: ...
    @property
    def sync_count(self) -> int: ...
    @property
    def needs_segment(self) -> bool: ...
    @property
    def closed_waits(self) -> bool: ...
    @property
    def current_used(self) -> tuple[int, int, int]: ...
    @property
    def health(self) -> int: ...
    def set_health(self, bits: int, on: bool) -> None: ...
    def records(self) -> npt.NDArray[Any]: ...
