"""Twin of the ring: a list of every event ever published, and one position per consumer. One thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.ring import EventClass, Policy
from engine._core.types import EVENT, Kind, Status
from engine.errors import RingBadPolicy, RingBadSize, RingClosed, RingConsumersExhausted

_CLASS = {
    EventClass.RING_CLASS_BOOK: (Kind.KIND_BOOK_LEVEL, Kind.KIND_QUOTE, Kind.KIND_BOOK_CLEAR),
    EventClass.RING_CLASS_MARKET: (Kind.KIND_BAR_PRICES, Kind.KIND_BAR_TOTALS, Kind.KIND_MARK, Kind.KIND_LIQUIDATION),
    EventClass.RING_CLASS_TRADE: (Kind.KIND_TRADE, Kind.KIND_AGG_TRADE),
    EventClass.RING_CLASS_ORDER: range(Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_EXPIRED + 1),
    EventClass.RING_CLASS_TIMER: (Kind.KIND_TIMER,),
    EventClass.RING_CLASS_INTENT: (Kind.KIND_INTENT_PLACE, Kind.KIND_INTENT_CANCEL),
    EventClass.RING_CLASS_REPORT: (Kind.KIND_DECISION,),
}
_BY_KIND = {int(kind): event_class for event_class, kinds in _CLASS.items() for kind in kinds}
_MAY_REFUSE = (EventClass.RING_CLASS_BOOK, EventClass.RING_CLASS_MARKET, EventClass.RING_CLASS_REPORT)


def class_of(kind: int) -> int:
    return _BY_KIND.get(kind, EventClass.RING_CLASS_CONTROL)


class Ring:
    def __init__(
        self,
        capacity: int,
        *,
        many: bool = False,
        behind: Sequence[int] = (0,),
        policy: Mapping[int, int] | None = None,
    ) -> None:
        if capacity < 1 or capacity & (capacity - 1):
            raise RingBadSize(str(capacity))
        if not 1 <= len(behind) <= 8 or any(mask >> i for i, mask in enumerate(behind)):
            raise RingConsumersExhausted(str(behind))
        for event_class, value in (policy or {}).items():
            conflates = value == Policy.RING_POLICY_CONFLATE
            known = 0 <= event_class < 8 and 0 <= value <= Policy.RING_POLICY_CONFLATE
            if not known or (value and event_class not in _MAY_REFUSE) or (conflates and event_class != 0):
                raise RingBadPolicy(f"{event_class}: {value}")
        self.capacity = capacity
        self.many = many
        self.behind = tuple(behind)
        self.policy = dict(policy or {})
        self.events: list[npt.NDArray[Any]] = []
        self.cursors = [0] * len(behind)
        self.closed = False
        self._refused = [0] * 8
        self._waited = [0] * 8

    @property
    def consumer_count(self) -> int:
        return len(self.cursors)

    @property
    def next(self) -> int:
        return len(self.events)

    def cursor(self, consumer: int = 0) -> int:
        return self.cursors[self._number(consumer)]

    def _number(self, consumer: int) -> int:
        if not 0 <= consumer < len(self.cursors):
            raise RingConsumersExhausted(str(consumer))
        return consumer

    def publish(self, events: npt.NDArray[Any]) -> int:
        batch = np.atleast_1d(events)
        if not 1 <= len(batch) <= self.capacity:
            raise RingBadSize(str(len(batch)))
        status = self.try_publish(batch)
        if status != Status.RING_FULL:
            return status
        event_class = class_of(int(batch[0]["kind"]))
        value = self.policy.get(event_class, Policy.RING_POLICY_WAIT)
        if value == Policy.RING_POLICY_REFUSE:
            self._refused[event_class] += 1
            return Status.RING_FULL
        self._waited[event_class] += 1
        return Status.RING_CONFLATE if value == Policy.RING_POLICY_CONFLATE else Status.RING_WAIT

    def try_publish(self, batch: npt.NDArray[Any]) -> int:
        """Publish all or none, and count nothing."""
        if self.closed:
            return Status.RING_CLOSED
        if len(self.events) + len(batch) - min(self.cursors) > self.capacity:
            return Status.RING_FULL
        for event in batch:
            numbered = np.array([event], dtype=EVENT)
            numbered["seq"] = len(self.events) & 0xFFFFFFFF
            self.events.append(numbered)
        return Status.OK

    def poll(self, consumer: int = 0, most: int = 2**64 - 1) -> npt.NDArray[Any]:
        at = self.cursors[self._number(consumer)]
        ahead = [self.cursors[i] for i in range(consumer) if self.behind[consumer] >> i & 1]
        end = min([len(self.events), *ahead])
        if self.closed and at == len(self.events):
            raise RingClosed
        end = min(end, at + most)
        self.cursors[consumer] = end
        return np.concatenate([np.zeros(0, dtype=EVENT), *self.events[at:end]])

    def close(self) -> None:
        self.closed = True

    def refused(self) -> list[int]:
        return list(self._refused)

    def waited(self) -> list[int]:
        return list(self._waited)

    def check(self) -> None:
        assert len(self.events) - min(self.cursors) <= self.capacity
