"""One picture of the engine, and who makes it.

`Status` is the one document behind `bot4 status`, `bot4 top`, the dashboard and the metrics: what one of them shows the
others show too. It is for display: prices and amounts are floats in whole units of their asset; the exact numbers are
in the journal. Times are nanoseconds UTC, durations nanoseconds. A field that is not known is None, never a
made-up number; figures that the display rule hides are None as well, and `redacted` says so.

Making one copies words out of the arena and must cost the loop less than 100 us at 64 symbols: it is asked for at most
20 times a second, and only while somebody looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

VERSION = 1


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Fields that stand at their default are left out on the wire."""


class SymbolStatus(_Part, frozen=True, kw_only=True):
    """One instrument: its touch, its book, what is held of it."""

    name: str
    venue: str = ""
    trusted: bool = False
    halted: bool = False
    bid: float | None = None
    ask: float | None = None
    last: float | None = None
    book_age_ns: int | None = None
    bids: tuple[tuple[float, float], ...] = ()  # price, quantity; best first
    asks: tuple[tuple[float, float], ...] = ()
    position: float | None = None
    entry: float | None = None
    unrealised: float | None = None
    realised: float | None = None
    fees: float | None = None
    orders_open: int = 0


class OrderStatus(_Part, frozen=True, kw_only=True):
    """One live order."""

    id: int
    symbol: str
    side: str  # buy, sell
    state: str
    px: float | None = None
    qty: float | None = None
    filled: float | None = None
    strategy: str = ""
    age_ns: int | None = None


class AccountStatus(_Part, frozen=True, kw_only=True):
    """The account in its own asset."""

    asset: str
    equity: float | None = None
    peak: float | None = None
    day_base: float | None = None
    day_profit: float | None = None
    realised: float | None = None
    unrealised: float | None = None
    fees: float | None = None
    drawdown_ppm: int | None = None
    margin_available: float | None = None
    gross: float | None = None
    net: float | None = None


class LatencyStatus(_Part, frozen=True, kw_only=True):
    """One stage of the way from a tick to an order."""

    stage: str  # tick_to_order is the whole way
    count: int = 0
    p50_ns: int | None = None
    p90_ns: int | None = None
    p99_ns: int | None = None
    p999_ns: int | None = None
    max_ns: int | None = None
    sum_ns: int | None = None
    buckets: tuple[tuple[int, int], ...] = ()  # upper bound in ns, count up to it since the start


class JournalStatus(_Part, frozen=True, kw_only=True):
    """The record."""

    enabled: bool = False
    healthy: bool = False
    mode: str = ""
    records: int = 0
    bytes: int = 0
    lag_ns: int | None = None  # from write to disk
    synced_ns: int | None = None
    disk_free_bytes: int | None = None
    snapshot_ns: int | None = None
    path: str = ""


class BooksStatus(_Part, frozen=True, kw_only=True):
    """Our books against the venue's."""

    looks: int = 0
    compared_ns: int | None = None  # the last look
    trades: int = 0  # that both sides have
    breaks: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()  # symbols without new orders because of them
    late: bool = False  # no look came for several turns


class FeedStatus(_Part, frozen=True, kw_only=True):
    """One stream of a venue."""

    name: str
    venue: str = ""
    connected: bool = False
    age_ns: int | None = None
    messages: int = 0
    gaps: int = 0
    reconnects: int = 0


class BreakerStatus(_Part, frozen=True, kw_only=True):
    """One breaker."""

    name: str
    state: str  # closed, open, half-open
    calls: int = 0
    failures_in_a_row: int = 0
    error_rate_ppm: int = 0
    trips: int = 0


class HeadroomStatus(_Part, frozen=True, kw_only=True):
    """One limit of the gate and how much of it is used: 1,000,000 is all of it."""

    rule: str
    unit: str = ""
    limit: float | None = None
    value: float | None = None
    used_ppm: int | None = None


class StrategyStatus(_Part, frozen=True, kw_only=True):
    """One strategy."""

    name: str
    symbol: str = ""
    state: str = "running"  # running, stopped and why
    calls: int = 0
    intents: int = 0
    denied: int = 0
    strikes: int = 0
    p99_ns: int | None = None
    realised: float | None = None


class WhyNot(_Part, frozen=True, kw_only=True):
    """One signal that was denied, skipped, or let pass by a validator that observes, with every reason."""

    ts_ns: int
    symbol: str
    strategy: str = ""
    side: str = ""
    px: float | None = None
    qty: float | None = None
    reasons: tuple[str, ...] = ()
    headroom: dict[str, float] = {}
    largest_qty: float | None = None  # the largest size that would pass
    observed: bool = False  # it passed: an observing validator only says what it has against it


class Event(_Part, frozen=True, kw_only=True):
    """One line of the tail: a fill, a switch of mode, a trip, a gap. `number` counts from 1 and never repeats."""

    number: int
    ts_ns: int
    kind: str
    severity: str = "info"  # info, warning, error
    symbol: str = ""
    text: str = ""
    side: str = ""
    px: float | None = None
    qty: float | None = None


class LatchStatus(_Part, frozen=True, kw_only=True):
    """The latch: tripped, nothing leaves."""

    tripped: bool = False
    durable: bool = True
    reasons: tuple[str, ...] = ()  # the first one first
    since_ns: int | None = None
    note: str = ""


class SafetyStatus(_Part, frozen=True, kw_only=True):
    """The devices around the latch."""

    switch: str = ""  # closed, open (pressed or cut), gone (the chip is), simulated, none
    tamper: str = ""  # of its loop the same
    dead_man: str = ""  # armed, not available, off
    courier: str = ""
    plan: str = ""  # the step that a running plan stands in
    drills_overdue: tuple[str, ...] = ()  # kinds that nobody has passed in their time


class Status(_Part, frozen=True, kw_only=True):
    """The whole picture at one moment."""

    version: int = VERSION
    name: str
    session: str = ""
    run: str = "paper"  # paper, rehearsal, live
    ts_ns: int
    started_ns: int = 0
    mode: str = ""  # Normal, Paused, Reduced, Emergency
    mode_since_ns: int = 0
    tier: str = ""
    settings_hash: str = ""
    healthy: bool = True
    unhealthy: tuple[str, ...] = ()  # what is not, in words
    redacted: bool = False
    as_of_ns: int | None = None  # redacted: the daily cut that positions and profit are of
    latch: LatchStatus = LatchStatus()
    account: AccountStatus
    symbols: tuple[SymbolStatus, ...] = ()
    orders: tuple[OrderStatus, ...] = ()
    latency: tuple[LatencyStatus, ...] = ()
    journal: JournalStatus = JournalStatus()
    books: BooksStatus = BooksStatus()
    feeds: tuple[FeedStatus, ...] = ()
    breakers: tuple[BreakerStatus, ...] = ()
    headroom: tuple[HeadroomStatus, ...] = ()
    denied_by_rule: dict[str, int] = {}
    strategies: tuple[StrategyStatus, ...] = ()
    counts: dict[str, int] = {}
    safety: SafetyStatus = SafetyStatus()
    why: tuple[WhyNot, ...] = ()  # the last few, newest first
    waiting: int = 0  # settings that wait their day
    host: tuple[str, ...] = ()  # what was asked of the machine, and what it refused
    loop_lag_ns: int | None = None
    memory_bytes: int | None = None

    def stage(self, name: str) -> LatencyStatus | None:
        return next((stage for stage in self.latency if stage.stage == name), None)


class StatusSource(Protocol):
    """Who makes the picture: the composition root. All three are called on the loop's thread and return at once."""

    def status(self) -> Status: ...

    def events(self, after: int, most: int) -> Sequence[Event]:
        """Events with a number above `after`, oldest first, at most so many; those no longer kept are left out."""
        ...

    def why(self, most: int, symbol: str | None) -> Sequence[WhyNot]:
        """The last refusals, newest first."""
        ...
