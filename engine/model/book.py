"""Twin of the book: a SortedDict a side, and the venue's rules read aloud.

There is no window here and no overflow: a side is a mapping from price to quantity that keeps its best `levels_max`
levels. What was dropped for want of room is remembered as the horizon, the nearest price ever dropped.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from sortedcontainers import SortedDict  # type: ignore[import-untyped]

from engine._core.book import Quotes, Rule, Side, Trust
from engine._core.types import LEVEL, QUOTE, Flag, Kind, Status
from engine.errors import BadSize, BookUntrusted, by_status

__all__ = ["Book", "Quotes", "Rule", "Side", "Trust"]

COUNTS = "message image gap stale untrusted refused crossed checksum mismatch full overlap"
Event = dict[str, int]
LIVE_OR_SUSPECT = (Trust.TRUST_LIVE, Trust.TRUST_SUSPECT)
SHARED_NUMBERS = (Rule.RULE_SPOT, Rule.RULE_LINKED)  # quotes, images and updates are numbered from one sequence


class Half:
    """One side. Prices are kept with their sign turned for asks, so the best is always the greatest key."""

    def __init__(self, sign: int, levels_max: int) -> None:
        self.sign = sign
        self.levels_max = levels_max
        self.clear()

    def clear(self) -> None:
        self.by_key: SortedDict[int, int] = SortedDict()
        self.horizon: int | None = None

    def set(self, px_ticks: int, qty_lots: int) -> Status:
        key = px_ticks * self.sign
        if qty_lots == 0:
            self.by_key.pop(key, None)
            return Status.OK
        if key not in self.by_key and self.horizon is not None and key <= self.horizon:
            return Status.BOOK_FULL
        self.by_key[key] = qty_lots
        if len(self.by_key) <= self.levels_max:
            return Status.OK
        self.horizon, _ = self.by_key.popitem(0)
        return Status.BOOK_FULL

    def truncate(self, depth: int) -> None:
        while len(self.by_key) > depth:
            self.by_key.popitem(0)

    def walk(self) -> list[tuple[int, int]]:
        """Price and quantity, best first."""
        return [(key * self.sign, qty) for key, qty in reversed(self.by_key.items())]

    def best(self) -> tuple[int, int]:
        return self.walk_best() if self.by_key else (0, 0)

    def walk_best(self) -> tuple[int, int]:
        key, qty = self.by_key.peekitem(-1)
        return key * self.sign, qty


class Book:
    def __init__(
        self,
        *,
        ticks: int = 2048,
        levels_max: int = 8192,
        rule: int = Rule.RULE_NONE,
        crossed_trust: int = Trust.TRUST_REBUILDING,
        quotes: int = Quotes.QUOTES_CHECK,
        depth: int = 0,
        px_ticks_max: int = 1 << 40,
        qty_lots_max: int = 1 << 42,
        px_unit: int = 1,
        qty_unit: int = 1,
    ) -> None:
        possible = (
            8 <= ticks <= 4096
            and ticks & (ticks - 1) == 0
            and 1 <= levels_max <= 1_000_000
            and rule in tuple(Rule)
            and quotes in tuple(Quotes)
            and crossed_trust in (Trust.TRUST_SUSPECT, Trust.TRUST_REBUILDING)
            and 0 <= depth <= levels_max // 2
            and 1 <= px_ticks_max <= 1 << 60
            and 1 <= qty_lots_max <= (1 << 62) // levels_max
            and 1 <= px_unit <= (1 << 62) // px_ticks_max
            and 1 <= qty_unit <= (2**63 - 1) // qty_lots_max
        )
        if not possible:
            raise BadSize(f"ticks={ticks} levels_max={levels_max} depth={depth}")
        self.rule, self.crossed_trust, self.quotes, self.depth = rule, crossed_trust, quotes, depth
        self.px_ticks_max, self.qty_lots_max, self.px_unit, self.qty_unit = (
            px_ticks_max,
            qty_lots_max,
            px_unit,
            qty_unit,
        )
        self.halves = (Half(1, levels_max), Half(-1, levels_max))
        self.tally: Counter[str] = Counter()
        self.trust: int = Trust.TRUST_NONE
        self.reason: int = Status.OK
        self.sequence = -1
        self.quote: tuple[int, ...] = ()
        self.quote_id = -1
        self.time = 0
        self.waits_first = False
        self.whole = True
        self.message: str | None = None  # "update", "image" or "skip"
        self.message_status: int = Status.OK
        self.line: tuple[int, ...] = (0, 0, 0, 0, -1, 0, 0, 0)

    # -------------------------------------------------------------------------------------------- the top line
    def touch(self) -> tuple[int, ...]:
        return (*self.halves[0].best(), *self.halves[1].best())

    def publish(self) -> None:
        if self.quotes == Quotes.QUOTES_LEAD and self.quote_id > self.sequence:
            shown, number = self.quote, self.quote_id
        else:
            shown, number = self.touch(), self.sequence
        self.line = (*shown, number, self.time, self.trust, self.reason)

    def lose_trust(self, trust: int, reason: int) -> None:
        self.trust, self.reason = trust, reason
        self.line = (*self.line[:6], trust, reason)

    def distrust(self, trust: int, reason: int = 0) -> None:
        if trust not in (Trust.TRUST_NONE, Trust.TRUST_SUSPECT, Trust.TRUST_REBUILDING):
            raise BookUntrusted(f"trust {trust}")
        if trust == Trust.TRUST_SUSPECT and self.trust != Trust.TRUST_LIVE:
            return
        if self.message and trust != Trust.TRUST_SUSPECT:
            self.message, self.message_status = "skip", Status.BOOK_UNTRUSTED
        self.lose_trust(trust, reason)

    # ------------------------------------------------------------------------------------------------ messages
    def skip(self, status: int, count: str) -> None:
        self.tally[count] += 1
        self.message, self.message_status = "skip", status

    def gap(self) -> None:
        self.lose_trust(Trust.TRUST_REBUILDING, Status.BOOK_GAP)
        self.skip(Status.BOOK_GAP, "gap")

    def stale(self) -> None:
        self.skip(Status.BOOK_STALE_UPDATE, "stale")

    def begin(self, event: Event) -> None:
        if self.message in ("update", "image"):
            self.gap()
        if event["flags"] & Flag.FLAG_SNAPSHOT:
            self.begin_image(event)
        elif self.trust not in LIVE_OR_SUSPECT:
            self.skip(Status.BOOK_UNTRUSTED, "untrusted")
        else:
            verdict = self.follows(event["id_first"], event["id_last"], event["id_prev"])
            if verdict == "gap":
                self.gap()
            elif verdict == "stale":
                self.stale()
            else:
                self.tally["overlap"] += verdict == "overlap"
                self.message, self.whole = "update", False

    def begin_image(self, event: Event) -> None:
        if self.trust in LIVE_OR_SUSPECT and self.rule in SHARED_NUMBERS and event["id_last"] < self.sequence:
            self.stale()
            return
        self.clear()
        self.message, self.whole = "image", False

    def follows(self, first: int, last: int, previous: int) -> str:
        """How an update's numbers stand to the book's, by the venue's rule."""
        ours = self.sequence
        if self.rule in (Rule.RULE_SPOT, Rule.RULE_CONTIGUOUS):
            if last <= ours:
                return "stale"
            if first > ours + 1:
                return "gap"
            if first == ours + 1 or self.waits_first:
                return "follows"
            return "gap" if self.rule == Rule.RULE_CONTIGUOUS else "overlap"
        if self.rule == Rule.RULE_LINKED and previous != ours:
            if self.waits_first:
                return "stale" if last < ours else "gap" if first > ours else "follows"
            return "stale" if last <= ours else "gap"
        return "follows"

    def clear(self) -> None:
        for half in self.halves:
            half.clear()
        self.quote_id = -1

    def end(self, event: Event, level_status: int) -> int:
        self.tally["message"] += 1
        self.time = event["ts_recv_ns"]
        self.whole = True
        if self.depth:
            for half in self.halves:
                half.truncate(self.depth)
        self.trust, self.reason = Trust.TRUST_LIVE, Status.OK
        self.waits_first = self.message == "image"
        self.tally["image"] += self.waits_first
        self.message = None
        number = event["id_last"]
        if self.rule == Rule.RULE_CHECKSUM:
            self.sequence += 1
            if number not in (-1, self.checksum()) and number >= 0:
                self.tally["checksum"] += 1
                self.trust, self.reason = Trust.TRUST_REBUILDING, Status.BOOK_CHECKSUM
                self.publish()
                return Status.BOOK_CHECKSUM
        elif number >= 0:
            self.sequence = number
        verdict = self.judge()
        self.publish()
        return verdict if verdict != Status.OK else level_status

    def judge(self) -> int:
        bid, _, ask, _ = self.touch()
        if bid and ask and bid >= ask:
            self.tally["crossed"] += 1
            self.trust, self.reason = self.crossed_trust, Status.BOOK_CROSSED
        elif not self.depth and any(not half.by_key and half.horizon is not None for half in self.halves):
            self.trust, self.reason = Trust.TRUST_REBUILDING, Status.BOOK_OUTSIDE
        elif self.quote_id == self.sequence and self.quote_id >= 0 and self.quote != self.touch():
            self.tally["mismatch"] += 1
            self.trust, self.reason = Trust.TRUST_REBUILDING, Status.BOOK_MISMATCH
        return self.reason

    def check_level(self, px_ticks: int, qty_lots: int) -> int:
        if not 1 <= px_ticks <= self.px_ticks_max:
            return Status.BOOK_BAD_PRICE
        if not 0 <= qty_lots <= self.qty_lots_max:
            return Status.BOOK_BAD_QUANTITY
        return Status.OK

    def set_level(self, side: int, px_ticks: int, qty_lots: int) -> int:
        status = self.halves[side].set(px_ticks, qty_lots)
        self.tally["full"] += status == Status.BOOK_FULL
        return status

    def skipped(self, event: Event) -> int:
        if event["flags"] & Flag.FLAG_LAST:
            self.message = None
        return self.message_status

    def apply_clear(self, event: Event) -> int:
        flags = event["flags"]
        if flags & Flag.FLAG_SNAPSHOT:
            self.begin(event)
            if self.message == "skip":
                return self.skipped(event)
            return self.end(event, Status.OK) if flags & Flag.FLAG_LAST else Status.OK
        self.clear()
        self.message, self.whole = None, True
        self.trust, self.reason = Trust.TRUST_NONE, Status.OK
        self.sequence = -1
        self.time = event["ts_recv_ns"]
        self.publish()
        return Status.OK

    def check_quote(self, quote: tuple[int, ...]) -> int:
        for px_ticks, qty_lots in (quote[:2], quote[2:]):
            if (px_ticks, qty_lots) == (0, 0):
                continue
            status = self.check_level(px_ticks, qty_lots)
            if status == Status.OK and qty_lots == 0:
                status = Status.BOOK_BAD_QUANTITY
            if status != Status.OK:
                return status
        return Status.BOOK_CROSSED if quote[0] and quote[2] and quote[0] >= quote[2] else Status.OK

    def apply_quote(self, event: Event) -> int:
        quote = tuple(event[name] for name in ("bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots"))
        number = event["id_book"]
        if self.rule != Rule.RULE_QUOTE:
            if self.quotes == Quotes.QUOTES_IGNORE:
                return Status.OK
            if self.rule not in SHARED_NUMBERS or self.message:
                return Status.WORLD_BAD_EVENT
        status = self.check_quote(quote)
        if status != Status.OK:
            self.tally["crossed"] += status == Status.BOOK_CROSSED
            self.tally["refused"] += 1
            return status
        if self.rule == Rule.RULE_QUOTE:
            return self.apply_quote_alone(quote, number, event["ts_recv_ns"])
        if self.trust not in LIVE_OR_SUSPECT:
            self.tally["untrusted"] += 1
            return Status.BOOK_UNTRUSTED
        if number < max(self.sequence, self.quote_id):
            self.tally["stale"] += 1
            return Status.BOOK_STALE_UPDATE
        self.quote, self.quote_id = quote, number
        if number > self.sequence:
            if self.quotes == Quotes.QUOTES_LEAD:
                self.time = event["ts_recv_ns"]
                self.publish()
        elif quote != self.touch():
            self.tally["mismatch"] += 1
            self.lose_trust(Trust.TRUST_REBUILDING, Status.BOOK_MISMATCH)
            return Status.BOOK_MISMATCH
        return Status.OK

    def apply_quote_alone(self, quote: tuple[int, ...], number: int, ts_ns: int) -> int:
        if 0 <= number < self.sequence and self.trust in LIVE_OR_SUSPECT:
            self.tally["stale"] += 1
            return Status.BOOK_STALE_UPDATE
        self.clear()
        for side, (px_ticks, qty_lots) in enumerate((quote[:2], quote[2:])):
            if px_ticks:
                self.set_level(side, px_ticks, qty_lots)
        self.sequence = number if number >= 0 else self.sequence
        self.tally["message"] += 1
        self.time = ts_ns
        self.trust, self.reason = Trust.TRUST_LIVE, Status.OK
        self.publish()
        return Status.OK

    def apply_level(self, event: Event) -> int:
        flags = event["flags"]
        if flags & Flag.FLAG_FIRST:
            self.begin(event)
        elif self.message is None:
            if self.trust in LIVE_OR_SUSPECT:
                self.gap()
            else:
                self.skip(Status.BOOK_UNTRUSTED, "untrusted")
        if self.message == "skip":
            return self.skipped(event)
        px_ticks, qty_lots = event["px_ticks"], event["qty_lots"]
        status: int = Status.OK
        if (px_ticks, qty_lots) != (0, 0):
            status = self.check_level(px_ticks, qty_lots)
            if status != Status.OK:
                self.lose_trust(Trust.TRUST_REBUILDING, status)
                self.skip(status, "refused")
                return self.skipped(event)
            status = self.set_level(bool(flags & Flag.FLAG_ASK), px_ticks, qty_lots)
        return self.end(event, status) if flags & Flag.FLAG_LAST else status

    def apply(self, events: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        names = LEVEL.names or (), QUOTE.names or ()
        statuses: list[int] = []
        for words, other in zip(events.view(LEVEL).tolist(), events.view(QUOTE).tolist(), strict=True):
            level, quote = (dict(zip(n, row, strict=True)) for n, row in zip(names, (words, other), strict=True))
            kind = level["kind"]
            if kind == Kind.KIND_BOOK_LEVEL and self.rule != Rule.RULE_QUOTE:
                statuses.append(self.apply_level(level))
            elif kind == Kind.KIND_QUOTE:
                statuses.append(self.apply_quote(quote))
            elif kind == Kind.KIND_BOOK_CLEAR:
                statuses.append(self.apply_clear(level))
            else:
                statuses.append(Status.WORLD_BAD_EVENT)
        return np.array(statuses, dtype=np.int32)

    def _set(self, side: int, px_ticks: int, qty_lots: int, ts_ns: int) -> None:
        if self.message in ("update", "image"):
            raise BookUntrusted
        status = self.check_level(px_ticks, qty_lots)
        if status != Status.OK:
            self.tally["refused"] += 1
            raise by_status(status)
        status = self.set_level(side, px_ticks, qty_lots)
        self.time = ts_ns
        self.publish()
        if status != Status.OK:
            raise by_status(status)

    def set_bid(self, px_ticks: int, qty_lots: int, ts_ns: int = 0) -> None:
        self._set(0, px_ticks, qty_lots, ts_ns)

    def set_ask(self, px_ticks: int, qty_lots: int, ts_ns: int = 0) -> None:
        self._set(1, px_ticks, qty_lots, ts_ns)

    # ------------------------------------------------------------------------------------------------- queries
    def top(self) -> tuple[int, ...]:
        return tuple(int(word) for word in self.line)

    @property
    def best_bid_ticks(self) -> int:
        return self.line[0]

    @property
    def best_bid_lots(self) -> int:
        return self.line[1]

    @property
    def best_ask_ticks(self) -> int:
        return self.line[2]

    @property
    def best_ask_lots(self) -> int:
        return self.line[3]

    @property
    def update_id(self) -> int:
        return self.line[4]

    @property
    def ts_ns(self) -> int:
        return self.line[5]

    @property
    def mid_half_ticks(self) -> int:
        return self.line[0] + self.line[2] if self.line[0] and self.line[2] else 0

    @property
    def micro_price(self) -> float:
        bid, bid_lots, ask, ask_lots = (float(word) for word in self.line[:4])
        return (bid * ask_lots + ask * bid_lots) / (bid_lots + ask_lots) if bid and ask else 0.0

    def level_count(self, side: int) -> int:
        return len(self.halves[side].by_key)

    def total_lots(self, side: int) -> int:
        return sum(self.halves[side].by_key.values())

    def horizon_ticks(self, side: int) -> int:
        half = self.halves[side]
        return 0 if half.horizon is None else half.horizon * half.sign

    def _walk(self, side: int) -> list[tuple[int, int]]:
        if not self.whole:
            raise BookUntrusted("half a message stands in it")
        return self.halves[side].walk()

    def imbalance(self, levels: int) -> float:
        bids, asks = (sum(qty for _, qty in self._walk(side)[:levels]) for side in (0, 1))
        if not bids + asks:
            raise by_status(Status.BOOK_EMPTY_SIDE)
        return float(bids - asks) / float(bids + asks)

    def depth_to(self, side: int, px_ticks: int) -> int:
        half = self.halves[side]
        lots = sum(qty for px, qty in self._walk(side) if px * half.sign >= px_ticks * half.sign)
        if half.horizon is not None and px_ticks * half.sign <= half.horizon:
            raise by_status(Status.BOOK_OUTSIDE)
        return lots

    def cost(self, side: int, qty_lots: int) -> tuple[int, int]:
        if qty_lots <= 0:
            raise by_status(Status.BOOK_BAD_QUANTITY)
        worst, total, left = 0, 0, qty_lots
        for px, qty in self._walk(side):
            take = min(left, qty)
            worst, total, left = px, total + px * take, left - take
            if not left:
                return worst, total
        raise by_status(Status.BOOK_TOO_THIN if left < qty_lots else Status.BOOK_EMPTY_SIDE)

    def levels(self, side: int, count: int = 0xFFFFFFFF) -> npt.NDArray[np.int64]:
        return np.array(self._walk(side)[:count], dtype=np.int64).reshape(-1, 2)

    def checksum(self) -> int:
        rows = [row for side in (1, 0) for row in self.halves[side].walk()[:10]]
        return zlib.crc32("".join(f"{px * self.px_unit}{qty * self.qty_unit}" for px, qty in rows).encode())

    def counts(self) -> dict[str, int]:
        return {f"{name}_count": self.tally[name] for name in COUNTS.split()}

    def check(self) -> None:
        for half in self.halves:
            assert all(qty > 0 for qty in half.by_key.values())
            assert len(half.by_key) <= half.levels_max
            assert half.horizon is None or all(key > half.horizon for key in half.by_key)
