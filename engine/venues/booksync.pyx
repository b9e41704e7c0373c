cimport cython

from collections import deque
from enum import IntEnum

from engine._core.types cimport level_event_t

from engine._core.book import Rule


class SyncState(IntEnum):
    WAITING = SYNC_WAITING
    BUFFERING = SYNC_BUFFERING
    LIVE = SYNC_LIVE


_STATES = tuple(SyncState)


cdef (int64_t, int64_t, int64_t) _ids(events):
    cdef const unsigned char[::1] view = memoryview(events[:1]).cast("B")
    cdef const level_event_t* row = <const level_event_t*>&view[0]
    return row.id_first, row.id_last, row.id_prev


@cython.final
cdef class BookSync:
    def __init__(self, rule, *, buffer_most=2048):
        if rule not in (Rule.RULE_SPOT, Rule.RULE_LINKED):
            raise ValueError(f"{rule!r} has its images in the stream")
        self.rule = rule
        self.spot = rule is Rule.RULE_SPOT
        self.last_id = -1
        self.buffer = deque(maxlen=buffer_most)

    @property
    def state(self):
        return _STATES[self.stage]

    @property
    def wants_image(self):
        return self.stage == SYNC_BUFFERING

    cdef int passes(self, int64_t first, int64_t last, int64_t prev):
        """One message's numbers, of a book that is live."""
        if self.stage != SYNC_LIVE:
            return SYNC_HELD
        if self.is_old(last):
            self.stale_count += 1
            return SYNC_OLD
        if not self.follows(first, last, prev):
            return SYNC_HELD
        self.last_id, self.is_first = last, False
        return SYNC_PASSES

    def on_changes(self, events):
        """One message's events; what may go on to the book."""
        first, last, prev = _ids(events)
        cdef int answer = self.passes(first, last, prev)
        if answer != SYNC_HELD:
            return [events] if answer == SYNC_PASSES else []
        self.gap_count += self.stage == SYNC_LIVE
        self.stage = SYNC_BUFFERING
        if self.buffer and not self._links(self.buffer[len(self.buffer) - 1], first, prev):
            # A hole in the buffer: an image can only fit behind it.
            self.buffer.clear()
        self.buffer.append(events)
        return []

    def on_image(self, events):
        """An image; it and the changes that follow it, or nothing when it is too old: ask again."""
        image_id = _ids(events)[1]
        if self.buffer and image_id < self._least(_ids(self.buffer[0])[0]):
            self.refused_image_count += 1
            return []
        self.image_count += 1
        self.last_id, self.is_first = image_id, True
        out = [events]
        self.stage = SYNC_LIVE
        held, self.buffer = list(self.buffer), deque(maxlen=self.buffer.maxlen)
        for at, changes in enumerate(held):
            first, last, prev = _ids(changes)
            if self.is_old(last):
                continue
            if not self.follows(first, last, prev):
                self.gap_count += 1
                self.stage = SYNC_BUFFERING
                self.buffer.extend(held[at:])
                break
            self.last_id, self.is_first = last, False
            out.append(changes)
        return out

    def lost(self):
        """The connection or a change is gone: what the book holds is no longer the market."""
        self.stage = SYNC_WAITING
        self.buffer.clear()

    # ----------------------------------------------------------------------------------------------------------- rules
    def _least(self, int64_t first):
        """The oldest image that a buffer beginning at `first` can follow."""
        return first - 1 if self.spot else first

    cdef bint is_old(self, int64_t last):
        if self.is_first and not self.spot:
            return last < self.last_id
        return last <= self.last_id

    cdef bint follows(self, int64_t first, int64_t last, int64_t prev):
        if self.spot:
            return first <= self.last_id + 1 <= last
        if self.is_first:
            return first <= self.last_id <= last or prev == self.last_id
        return prev == self.last_id

    def _links(self, before, int64_t first, int64_t prev):
        end = _ids(before)[1]
        return first <= end + 1 if self.spot else prev == end
