"""Twin of the conflation table: the messages that wait are kept whole, and merged only when they go out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.ring import EventClass, Policy
from engine._core.types import EVENT, LEVEL, Flag, Kind, Status
from engine.errors import RingBadSize
from engine.model.ring import Ring, class_of

Message = npt.NDArray[Any]
FIRST, LAST, ASK = int(Flag.FLAG_FIRST), int(Flag.FLAG_LAST), int(Flag.FLAG_ASK)
SNAPSHOT, CONFLATED = int(Flag.FLAG_SNAPSHOT), int(Flag.FLAG_CONFLATED)
NO_VENUE_TIME = int(Flag.FLAG_NO_VENUE_TIME)


class _Pending:
    """What waits for one symbol. `merged` counts messages that an image in `depth` replaced."""

    def __init__(self) -> None:
        self.clear: list[Message] = []
        self.depth: list[Message] = []
        self.quotes: list[Message] = []
        self.merged = 0
        self.counts = dict.fromkeys(("delayed", "conflated", "gap", "stale", "flushed"), 0)

    def __bool__(self) -> bool:
        return bool(self.clear or self.depth or self.quotes)

    def levels(self) -> dict[tuple[int, int], Message]:
        """The newest state of each price and side, in the order in which they first appeared."""
        out: dict[tuple[int, int], Message] = {}
        for message in self.depth:
            for event in message.view(LEVEL):
                if event["kind"] == Kind.KIND_BOOK_LEVEL:
                    out[int(event["px_ticks"]), int(event["flags"]) & ASK] = event
        return out

    def out(self) -> Message:
        """The pending depth as one message."""
        levels = list(self.levels().values())
        rows = np.zeros(max(1, len(levels)), dtype=LEVEL)
        first, newest = self.depth[0].view(LEVEL)[0], self.depth[-1].view(LEVEL)[0]
        flags = int(newest["flags"]) & NO_VENUE_TIME
        if _is_image(self.depth[0]):
            flags |= SNAPSHOT
        if len(self.depth) + self.merged > 1:
            flags |= CONFLATED
        rows["kind"] = Kind.KIND_BOOK_LEVEL if levels else Kind.KIND_BOOK_CLEAR
        rows["symbol"], rows["flags"] = newest["symbol"], flags
        for row, level in zip(rows, levels, strict=False):
            row["px_ticks"], row["qty_lots"] = level["px_ticks"], level["qty_lots"]
            row["flags"] |= int(level["flags"]) & ASK
        rows["flags"][0] |= FIRST
        rows["flags"][-1] |= LAST
        rows["ts_venue_ns"], rows["ts_recv_ns"] = newest["ts_venue_ns"], newest["ts_recv_ns"]
        rows["id_first"], rows["id_prev"], rows["id_last"] = first["id_first"], first["id_prev"], newest["id_last"]
        return rows.view(EVENT)


def _is_image(message: Message) -> bool:
    return bool(message["flags"][0] & SNAPSHOT)


class Conflation:
    def __init__(self, *, symbol_count: int, levels_max: int) -> None:
        if not (1 <= symbol_count <= 65536 and 1 <= levels_max <= 1 << 20):
            raise RingBadSize(f"{symbol_count}, {levels_max}")
        self.levels_max = levels_max
        self.symbols = [_Pending() for _ in range(symbol_count)]
        self.waiting: list[int] = []
        self.refused_count = 0

    @property
    def waiting_count(self) -> int:
        return len(self.waiting)

    def counts(self, symbol: int) -> dict[str, int]:
        if not 0 <= symbol < len(self.symbols):
            raise RingBadSize(str(symbol))
        return dict(self.symbols[symbol].counts)

    def _whole(self, events: Message) -> bool:
        if not len(events) or events["symbol"][0] >= len(self.symbols):
            return False
        if events["kind"][0] in (Kind.KIND_QUOTE, Kind.KIND_BOOK_CLEAR):
            return len(events) == 1
        ends = [(i == 0) * FIRST | (i == len(events) - 1) * LAST for i in range(len(events))]
        return (
            set(events["kind"].tolist()) == {int(Kind.KIND_BOOK_LEVEL)}
            and len(set(events["symbol"].tolist())) == 1
            and (events["flags"] & (FIRST | LAST)).tolist() == ends
            and len(set((events["flags"] & SNAPSHOT).tolist())) == 1
        )

    def put(self, events: Message) -> int:
        events = np.atleast_1d(events).copy()
        if not self._whole(events):
            return Status.RING_BAD_MESSAGE
        symbol = int(events["symbol"][0])
        pending, counts = self.symbols[symbol], self.symbols[symbol].counts
        if events["kind"][0] == Kind.KIND_QUOTE:
            counts["conflated"] += bool(pending.quotes)
            counts["delayed"] += 1
            pending.quotes.append(events)
        elif events["kind"][0] == Kind.KIND_BOOK_CLEAR and not _is_image(events):
            counts["conflated"] += bool(pending.depth) + bool(pending.quotes) + bool(pending.clear)
            counts["delayed"] += 1
            pending.clear += [*pending.depth, *pending.quotes, events]
            pending.depth, pending.quotes, pending.merged = [], [], 0
        else:
            status = self._put_depth(pending, events)
            if status != Status.OK:
                return status
        if symbol not in self.waiting:
            self.waiting.append(symbol)
        return Status.OK

    def _put_depth(self, pending: _Pending, events: Message) -> int:
        image, counts = _is_image(events), pending.counts
        if not image and pending.depth:
            if events.view(LEVEL)["id_last"][0] < pending.depth[-1].view(LEVEL)["id_last"][0]:
                counts["stale"] += 1
                return Status.OK
        elif not image and pending.clear:
            counts["delayed"] += 1
            counts["gap"] += 1
            return Status.OK
        gap = bool(pending.depth) and not image and not _follows(pending.depth, events)
        if not self._fits(pending, events, replaces=image or gap):
            self.refused_count += 1
            return Status.RING_WAIT
        counts["delayed"] += 1
        before = len(pending.depth) + pending.merged
        if gap:
            counts["conflated"] -= before - 1
            counts["gap"] += before
        else:
            counts["conflated"] += bool(pending.depth)
        if gap or image:
            pending.depth, pending.merged = [], 0 if gap else before
        pending.depth.append(events)
        return Status.OK

    def _fits(self, pending: _Pending, events: Message, *, replaces: bool) -> bool:
        """A price that one message names twice is counted twice: room is judged before anything is merged."""
        if events["kind"][0] == Kind.KIND_BOOK_CLEAR:
            return True
        if replaces or len(events) > self.levels_max:
            return len(events) <= self.levels_max
        held = pending.levels()
        if len(held) + len(events) <= self.levels_max:
            return True
        fresh = [e for e in events.view(LEVEL) if (int(e["px_ticks"]), int(e["flags"]) & ASK) not in held]
        return len(held) + len(fresh) <= self.levels_max

    def flush(self, ring: Ring) -> int:
        if self.levels_max > ring.capacity:
            raise RingBadSize(str(self.levels_max))
        while self.waiting:
            pending = self.symbols[self.waiting[0]]
            if pending.clear:
                status = self._send_newest(ring, pending.clear)
                if status != Status.OK:
                    return status
                pending.clear, pending.counts["flushed"] = [], pending.counts["flushed"] + 1
            if pending.depth:
                status = ring.try_publish(pending.out())
                if status != Status.OK:
                    return status
                pending.depth, pending.merged = [], 0
                pending.counts["flushed"] += 1
            if pending.quotes:
                status = self._send_newest(ring, pending.quotes)
                if status != Status.OK:
                    return status
                pending.quotes, pending.counts["flushed"] = [], pending.counts["flushed"] + 1
            self.waiting.pop(0)
        return Status.OK

    @staticmethod
    def _send_newest(ring: Ring, messages: list[Message]) -> int:
        newest = messages[-1].copy()
        newest["flags"] |= CONFLATED * (len(messages) > 1)
        return ring.try_publish(newest)

    def offer(self, ring: Ring, events: Message) -> int:
        events = np.atleast_1d(events)
        if self.levels_max > ring.capacity or not 1 <= len(events) <= ring.capacity:
            raise RingBadSize(f"{len(events)}, {self.levels_max}")
        self.flush(ring)
        book = class_of(int(events["kind"][0])) == EventClass.RING_CLASS_BOOK
        if book and ring.policy.get(EventClass.RING_CLASS_BOOK) == Policy.RING_POLICY_CONFLATE:
            if not self._whole(events):
                return Status.RING_BAD_MESSAGE
            if int(events["symbol"][0]) in self.waiting:
                return self.put(events)
        status = ring.publish(events)
        return self.put(events) if status == Status.RING_CONFLATE else status

    def check(self) -> None:
        for symbol, pending in enumerate(self.symbols):
            assert bool(pending) == (symbol in self.waiting)
            assert len(pending.levels()) <= self.levels_max


def _follows(depth: list[Message], events: Message) -> bool:
    newest, head = depth[-1].view(LEVEL)[0], events.view(LEVEL)[0]
    if head["id_prev"] >= 0 and head["id_prev"] == newest["id_last"]:
        return True
    if head["id_prev"] >= 0 and not _is_image(depth[-1]):
        return False
    return bool(head["id_first"] <= newest["id_last"] + 1)
