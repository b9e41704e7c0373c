"""Twin of the pool's core form: a dictionary from live handle to bytes, and a stack of free slots."""

from __future__ import annotations

from engine.errors import BadHandle, BadSize, DoubleFree, PoolExhausted, StaleHandle

_INDEX_BITS = 22
_GENERATION_MAX = 2**34 - 1


class Pool:
    def __init__(self, capacity: int, *, object_size: int = 64, tag: int = 1) -> None:
        sized = 8 <= object_size <= 2**20 and object_size % 8 == 0
        if not (1 <= capacity < 2**_INDEX_BITS and sized and 1 <= tag <= 255):
            raise BadSize(f"capacity={capacity}, object_size={object_size}, tag={tag}")
        self.capacity = capacity
        self.object_size = object_size
        self.tag = tag
        self.live: dict[int, bytearray] = {}
        self.generations = [0] * capacity
        self.free_slots = list(range(capacity - 1, -1, -1))
        self.retired_count = 0
        self.exhausted_count = 0

    @property
    def live_count(self) -> int:
        return len(self.live)

    def alloc(self) -> int:
        if not self.free_slots:
            self.exhausted_count += 1
            raise PoolExhausted
        index = self.free_slots.pop()
        self.generations[index] += 1
        handle = self.tag << 56 | self.generations[index] << _INDEX_BITS | index
        self.live[handle] = bytearray(self.object_size)
        return handle

    def _find(self, handle: int, *, freeing: bool = False) -> bytearray:
        if handle in self.live:
            return self.live[handle]
        tag, generation, index = handle >> 56, handle >> _INDEX_BITS & _GENERATION_MAX, handle & (2**_INDEX_BITS - 1)
        given_out = tag == self.tag and index < self.capacity and generation % 2 == 1
        if not given_out or generation > self.generations[index]:
            raise BadHandle(hex(handle))
        raise (DoubleFree if freeing and self.generations[index] == generation + 1 else StaleHandle)(hex(handle))

    def free(self, handle: int) -> None:
        self._find(handle, freeing=True)
        del self.live[handle]
        index = handle & (2**_INDEX_BITS - 1)
        self.generations[index] += 1
        if self.generations[index] > _GENERATION_MAX:
            self.retired_count += 1
        else:
            self.free_slots.append(index)

    def alive(self, handle: int) -> bool:
        return handle in self.live

    def read(self, handle: int) -> bytes:
        return bytes(self._find(handle))

    def write(self, handle: int, data: bytes | bytearray | memoryview) -> None:
        found, new = self._find(handle), bytes(data)
        if len(new) > self.object_size:
            raise BadSize(str(len(new)))
        found[: len(new)] = new

    def age(self, index: int, lives: int) -> None:
        if index >= self.capacity or lives > _GENERATION_MAX // 2:
            raise BadSize(f"{index}, {lives}")
        if self.generations[index] % 2:
            raise BadHandle(str(index))
        self.generations[index] = lives * 2

    def check(self) -> None:
        assert len(self.free_slots) + len(self.live) + self.retired_count == self.capacity
