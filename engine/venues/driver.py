"""The live driver's judgements: may orders leave, what is due, what a loss means. No socket and no clock inside.

`StartGate` says why no order may leave yet, in plain words, until every condition is green: market data of each symbol,
the user stream, the order connection, the clock, the reconciliation. What was green can turn red again: a lost user
stream closes the gate at once, and it opens only after a new reconciliation, because reports were missed meanwhile.

`Duties` is the time table of everything that is asked from time to time: clock, tally, instruments, fees, funding,
dead-man timer. A duty that fails is tried again sooner; one that keeps failing past its limit closes the gate.
`Tally` finds fills that the stream did not tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy.typing as npt

from engine._core.types import ORDER, Kind
from engine.errors import StartRefused
from engine.journal.port import VenueTrade
from engine.venues.records import Records

SECOND = 1_000_000_000


class Light(IntEnum):
    DATA = 0
    USER_STREAM = 1
    ORDERS = 2
    CLOCK = 3
    RECONCILED = 4
    DUTIES = 5
    BUDGET = 6
    SETTINGS = 7


class StartGate:
    """Closed until every light is green. Cancels and reductions do not ask here."""

    def __init__(self, symbols: Iterable[int]) -> None:
        self._books = dict.fromkeys(symbols, False)
        self._why: dict[Light, str] = {
            Light.DATA: "no whole book yet", Light.USER_STREAM: "not connected yet", Light.ORDERS: "not connected yet",
            Light.CLOCK: "not measured yet", Light.RECONCILED: "not compared with the venue yet",
        }  # fmt: skip
        self.closed_count = 0

    @property
    def reasons(self) -> dict[Light, str]:
        """The very table, not a copy: whoever asks at each order holds it and looks whether it is empty."""
        return self._why

    @property
    def is_open(self) -> bool:
        return not self._why

    def why(self) -> dict[str, str]:
        """Every reason at once."""
        return {light.name.lower(): reason for light, reason in sorted(self._why.items())}

    def must_be_open(self) -> None:
        if self._why:
            raise StartRefused("; ".join(f"{name}: {reason}" for name, reason in self.why().items()) + ".")

    def green(self, light: Light) -> None:
        self._why.pop(light, None)

    def red(self, light: Light, reason: str) -> None:
        self.closed_count += int(self.is_open)
        self._why[light] = reason

    # ------------------------------------------------------------------------------------------------ what happened
    def book(self, symbol: int, *, whole: bool) -> None:
        if symbol not in self._books:
            return
        self._books[symbol] = whole
        missing = [s for s, here in self._books.items() if not here]
        if missing:
            self.red(Light.DATA, f"no whole book of {len(missing)} of {len(self._books)} symbols")
        else:
            self.green(Light.DATA)

    def user_stream(self, *, up: bool, reason: str = "") -> None:
        if up:
            self.green(Light.USER_STREAM)
            return
        self.red(Light.USER_STREAM, reason or "lost")
        # What happened meanwhile is known to the venue alone.
        self.red(Light.RECONCILED, "the user stream was lost: open orders and trades come first")

    def orders(self, *, up: bool, reason: str = "") -> None:
        if up:
            self.green(Light.ORDERS)
        else:
            self.red(Light.ORDERS, reason or "lost")

    def clock(self, why_not_sign: str) -> None:
        if why_not_sign:
            self.red(Light.CLOCK, why_not_sign)
        else:
            self.green(Light.CLOCK)

    def budget(self, reason: str) -> None:
        """The venue's limits: empty when a new order may be asked for."""
        if reason:
            self.red(Light.BUDGET, reason)
        else:
            self.green(Light.BUDGET)

    def settings(self, why_not: str) -> None:
        """How the account is set up at the venue: empty when the core can count in it."""
        if why_not:
            self.red(Light.SETTINGS, why_not)
        else:
            self.green(Light.SETTINGS)

    def duties(self, overdue: list[str]) -> None:
        if overdue:
            self.red(Light.DUTIES, f"too long without {', '.join(overdue)}")
        else:
            self.green(Light.DUTIES)

    def reconciled(self, *, breaks: int) -> None:
        """The books of record were compared. Green only with the stream up: without it they are out of date at once."""
        if breaks:
            self.red(Light.RECONCILED, f"{breaks} differences to the venue are not settled")
        elif Light.USER_STREAM in self._why:
            self.red(Light.RECONCILED, "the user stream is not up")
        else:
            self.green(Light.RECONCILED)


@dataclass(frozen=True)
class Duty:
    name: str
    every_ns: int
    again_ns: int  # after a failure
    limit_ns: int  # without a success the gate closes; 0: never


DUTIES = (
    Duty("clock", 30 * SECOND, 2 * SECOND, 120 * SECOND),
    Duty("tally", 60 * SECOND, 5 * SECOND, 300 * SECOND),
    Duty("instruments", 600 * SECOND, 30 * SECOND, 3600 * SECOND),
    # A fee table older than five minutes is not used (ledger.cost refuses it); a minute keeps it fresh.
    Duty("fees", 60 * SECOND, 10 * SECOND, 300 * SECOND),
    Duty("funding", 300 * SECOND, 30 * SECOND, 0),
    Duty("settings", 300 * SECOND, 5 * SECOND, 3600 * SECOND),
    Duty("listen_key", 1800 * SECOND, 10 * SECOND, 3300 * SECOND),
    Duty("dead_man", 10 * SECOND, 2 * SECOND, 60 * SECOND),
)


def often_enough(duties: Iterable[Duty], fees_age_ns: int) -> tuple[Duty, ...]:
    """The time table where fees may be so old: they are asked for three times in that, so one failure stops nothing."""
    return tuple(
        replace(duty, every_ns=min(duty.every_ns, fees_age_ns // 3), again_ns=min(duty.again_ns, fees_age_ns // 12))
        if duty.name == "fees"
        else duty
        for duty in duties
    )


class Duties:
    """What is due when."""

    def __init__(self, duties: Iterable[Duty], now_ns: int) -> None:
        self._duties = {duty.name: duty for duty in duties}
        self._due = dict.fromkeys(self._duties, now_ns)
        self._done = dict.fromkeys(self._duties, now_ns)
        self._running: set[str] = set()
        self._wanted: dict[str, int] = {}  # of those under way: asked for once more meanwhile
        self.failures: dict[str, int] = dict.fromkeys(self._duties, 0)

    def due(self, now_ns: int) -> list[str]:
        """The duties to begin now; each is under way until `done` or `failed`."""
        names = [name for name, at in self._due.items() if at <= now_ns and name not in self._running]
        self._running.update(names)
        return names

    def next_ns(self) -> int | None:
        """When to look again."""
        return min((at for name, at in self._due.items() if name not in self._running), default=None)

    def done(self, name: str, now_ns: int) -> None:
        self._running.discard(name)
        self._done[name] = now_ns
        next_ns = now_ns + self._duties[name].every_ns
        self._due[name] = min(next_ns, self._wanted.pop(name, next_ns))

    def put_off(self, name: str) -> None:
        """It could not begin yet, which is no failure: it is due at the next look again."""
        self._running.discard(name)
        self._wanted.pop(name, None)

    def failed(self, name: str, now_ns: int) -> None:
        self._running.discard(name)
        self._wanted.pop(name, None)
        self.failures[name] += 1
        self._due[name] = now_ns + self._duties[name].again_ns

    def at_once(self, name: str, now_ns: int) -> None:
        """Something happened: a gap, a refused report, a reconnect."""
        if name in self._running:
            self._wanted[name] = min(now_ns, self._wanted.get(name, now_ns))
        elif name in self._due:
            self._due[name] = now_ns

    def overdue(self, now_ns: int) -> list[str]:
        """Duties past their limit: what they keep fresh is not to be relied on."""
        return [d.name for d in self._duties.values() if d.limit_ns and now_ns - self._done[d.name] > d.limit_ns]


class Tally:
    """Fills told by the stream against the venue's own list of trades.

    A trade that the stream did not tell becomes the same report the stream would have made; the core knows a repeat by
    its number, so telling one twice changes nothing. Trades of orders that are not ours are counted and left alone.
    """

    def __init__(self, *, kept: int = 65_536) -> None:
        self._told: dict[tuple[int, bool, int], None] = {}
        self._kept = kept
        self.missed_count = 0
        self.foreign_count = 0

    def heard(self, events: npt.NDArray[Any]) -> None:
        """Reports of the stream, as they go to the core."""
        for row in events[events["kind"] == Kind.KIND_ORDER_FILL].view(ORDER):
            self._remember((int(row["symbol"]), bool(row["flags"] & 4), int(row["id_venue"])))

    def booked(self, trades: Iterable[tuple[int, bool, int]]) -> None:
        """Trades that the core has, as (symbol, sell, number)."""
        for key in trades:
            self._remember(key)

    def is_told(self, symbol: int, sell: bool, id_trade: int) -> bool:
        return (symbol, sell, id_trade) in self._told

    def _remember(self, key: tuple[int, bool, int]) -> None:
        self._told[key] = None
        while len(self._told) > self._kept:
            del self._told[next(iter(self._told))]

    def missing(
        self, trades: Iterable[VenueTrade], filled_lots: Mapping[int, int], ts_recv_ns: int
    ) -> npt.NDArray[Any]:
        """Reports of the trades that nobody told, oldest first. `filled_lots` is what the core has per order."""
        records, so_far = Records(), dict(filled_lots)
        for trade in sorted(trades, key=lambda t: (t.symbol, t.id_trade)):
            key = trade.symbol, trade.sell, trade.id_trade
            if key in self._told:
                continue
            self._remember(key)
            if not trade.id_order:
                self.foreign_count += 1
                continue
            self.missed_count += 1
            so_far[trade.id_order] = so_far.get(trade.id_order, 0) + trade.qty_lots
            records.order(
                Kind.KIND_ORDER_FILL, symbol=trade.symbol, sell=trade.sell, ts_venue_ns=trade.ts_ns,
                ts_recv_ns=ts_recv_ns, id_order=trade.id_order, px_ticks=trade.px_ticks, qty_lots=trade.qty_lots,
                filled_lots=so_far[trade.id_order], id_venue=trade.id_trade,
            )  # fmt: skip
            records.fee(
                symbol=trade.symbol, sell=trade.sell, ts_venue_ns=trade.ts_ns, ts_recv_ns=ts_recv_ns,
                id_order=trade.id_order, id_trade=trade.id_trade, asset=trade.fee_asset, amount=trade.fee,
                maker=trade.maker,
            )  # fmt: skip
        return records.take()
