"""Frames of a venue's market connections into events that the core may have. No socket and no clock inside.

Joins the compiled parser, the merge of doubled connections and the local-book procedure of every symbol; says which
symbols want an image and which books have just been lost. Quotes are held back until the symbol's book is live: a quote
ahead of a book that is not there would show a touch without a book behind it.

Owns: one parser, one procedure a symbol, counters. Does not own: connections, the request for an image, the core's
books, which check every number again. Invariant: what is released of a symbol's depth is an image and every change
after it, without a gap. Cost: some 3 us a message; engine/runtime/lane.pyx does the common case by the same numbers in
compiled code.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.book import Rule
from engine._core.parse import Parser
from engine._core.types import BAR_TOTALS, Flag, Kind, Status
from engine.venues.booksync import BookSync, SyncState
from engine.venues.directory import Directory
from engine.venues.merge import Merge

Events = npt.NDArray[Any]
# By kind of market: the streams that whoever follows it listens to, and how their changes hang together.
STREAMS = {"spot": ("depth@100ms", "bookTicker", "trade"),
           "usdm": ("depth@100ms", "bookTicker", "aggTrade", "markPrice@1s")}  # fmt: skip
RULES = {"spot": Rule.RULE_SPOT, "usdm": Rule.RULE_LINKED}
DEPTH = (int(Kind.KIND_BOOK_LEVEL), int(Kind.KIND_BOOK_CLEAR))
QUOTE = int(Kind.KIND_QUOTE)
BAR = int(Kind.KIND_BAR_PRICES)
_HEAD = struct.Struct("<BBHIqqqqqqq").unpack_from  # of the first event: a record array costs ten times as much to ask
_NUMBER = {QUOTE: (0, 4), int(Kind.KIND_TRADE): (1, 2)}  # row of the marks, and the word that grows
SHUTDOWN = 3  # `Parser.not_data`
IMAGE_LEVELS = 500


class MarketFeed:
    """The market data of one venue."""

    def __init__(self, directory: Directory, rule: Rule = Rule.RULE_SPOT) -> None:
        self.parser = Parser(directory.rows())
        self.syncs = {i.index: BookSync(rule) for i in directory}
        self.refused_count = 0
        self.held_quote_count = 0
        self.shutdown_said = False
        self.image_wanted = False  # of some symbol; who reads it clears it
        self.lost: list[int] = []  # symbols whose book has just lost its thread; who reads them empties the list
        self._images = {
            i.index: Parser([i.row()], context_symbol=i.text, context_snapshot=True, room=2 * IMAGE_LEVELS + 2)
            for i in directory
        }
        self._merge = Merge()
        self._closed_ns: dict[int, int] = {}  # by symbol: when the newest closed bar began
        # The highest number seen of the two kinds that come by the thousand, by symbol: quotes, then trades.
        self.marks = np.full((2, 1 + max(self.syncs)), -1, np.int64)

    def on_frame(self, frame: memoryview | bytes, ts_recv_ns: int) -> list[Events]:
        """What one frame releases, in order; mostly one array, nothing while a book waits for its image."""
        return self.on_events(*self.parser.read(frame, ts_recv_ns))

    def on_events(self, status: Status, events: Events) -> list[Events]:
        """The same of a frame that was read: what the parser says of it."""
        if status != Status.OK or not len(events):
            if status == Status.PARSE_NOT_DATA:
                self.shutdown_said |= self.parser.not_data == SHUTDOWN
            elif status != Status.OK:
                self.refused_count += 1
            return []
        kind, _, symbol, _, _, _, *words = _HEAD(events.data)
        sync = self.syncs[symbol]
        if kind in DEPTH:
            # The procedure drops what came before, also over another connection.
            return self._changes(sync, events)
        if kind == QUOTE and sync.state is not SyncState.LIVE:
            self.held_quote_count += 1
            return []
        if len(events) == 1 and kind in _NUMBER:
            # The merge's rule for these two, without its arrays.
            row, word = _NUMBER[kind]
            if words[word] <= self.marks[row, symbol]:
                return []
            self.marks[row, symbol] = words[word]
            return [events]
        closes = kind == BAR and events["flags"][0] & Flag.FLAG_CLOSED
        events = self._once(events) if closes else self._merge.pass_on(events)
        return [events] if len(events) else []

    def _once(self, events: Events) -> Events:
        """A bar closes once, however many connections say so, and however often."""
        symbol, opened = int(events["symbol"][0]), int(events[1:2].view(BAR_TOTALS)["ts_open_ns"][0])
        if opened <= self._closed_ns.get(symbol, -1):
            return events[:0]
        self._closed_ns[symbol] = opened
        return events

    def _changes(self, sync: BookSync, events: Events) -> list[Events]:
        gaps = sync.gap_count
        out = sync.on_changes(events)
        self.image_wanted = self.image_wanted or sync.wants_image
        if sync.gap_count != gaps:
            self.lost.append(int(events["symbol"][0]))
        return out

    def on_image(self, symbol: int, body: bytes, ts_recv_ns: int) -> list[Events]:
        """A requested image; empty when it is too old for what is held back, or unreadable: ask again."""
        status, events = self._images[symbol].read(body, ts_recv_ns)
        if status != Status.OK or not len(events):
            self.refused_count += 1
            return []
        return self.syncs[symbol].on_image(events)

    def wants_image(self) -> list[int]:
        return [symbol for symbol, sync in self.syncs.items() if sync.wants_image]

    def is_live(self, symbol: int) -> bool:
        return self.syncs[symbol].state is SyncState.LIVE

    def restart(self, symbol: int) -> None:
        """The core's book refused what it was given: from its next change on it waits for an image."""
        self.syncs[symbol].lost()

    def down(self) -> None:
        """Every connection is gone: no book is the market any more."""
        self._merge = Merge()
        self.marks.fill(-1)
        for sync in self.syncs.values():
            sync.lost()
