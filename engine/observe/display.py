"""What people are shown: the picture itself, or with positions and profit as of the last daily cut (E-52, X-19).

The engine computes in real time; the display rule keeps a person from trading on the feeling of the hour. While it is
on, every face (socket, page, metrics) shows positions, entries and profit of the last daily cut, or nothing before the
first one; orders, fills and refusals are shown without price and quantity. Mode, latch, latency, feeds, breakers,
drawdown towards its limit and everything else an operator needs at 3 a.m. stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.observe.status import AccountStatus, Event, Status, StatusSource, SymbolStatus, WhyNot

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
_HIDDEN_OF_SYMBOL = ("position", "entry", "unrealised", "realised", "fees")
_HIDDEN_OF_ACCOUNT = tuple(n for n in AccountStatus.__struct_fields__ if n not in ("asset", "drawdown_ppm"))
# Limits whose value is the equity or a position in other words.
_TELLING = ("position", "gross", "net", "leverage", "margin", "order_notional", "daily_loss", "liquidation")


def cut_before(now_ns: int, hour: int) -> int:
    """The last daily cut at or before a time."""
    offset = hour * HOUR_NS
    return (now_ns - offset) // DAY_NS * DAY_NS + offset


class Display:
    """The source as people see it. Without redaction it hands everything through."""

    def __init__(self, source: StatusSource, *, redact: bool = False, day_cut_hour_utc: int = 0) -> None:
        self.source = source
        self.redact = redact
        self.hour = day_cut_hour_utc
        self._last: Status | None = None
        self._at_cut: Status | None = None

    def status(self) -> Status:
        status = self.source.status()
        if not self.redact:
            return status
        cut = cut_before(status.ts_ns, self.hour)
        # The last picture before the cut stands for the day that ended with it.
        if self._last is not None and self._last.ts_ns < cut <= status.ts_ns:
            self._at_cut = self._last
        self._last = status
        return _redacted(status, self._at_cut, cut)

    def events(self, after: int, most: int) -> Sequence[Event]:
        events = self.source.events(after, max(0, most))
        return (
            [_without(event, "px", "qty", "text") if event.qty is not None else event for event in events]
            if (self.redact)
            else events
        )

    def why(self, most: int, symbol: str | None = None) -> Sequence[WhyNot]:
        found = self.source.why(max(0, most), symbol)
        return [_hidden_why(entry) for entry in found] if self.redact else found


def _hidden_why(entry: WhyNot) -> WhyNot:
    return msgspec.structs.replace(entry, px=None, qty=None, largest_qty=None, headroom={})


def _without(event: Event, *names: str) -> Event:
    hidden = {name: "" if name == "text" else None for name in names}
    return msgspec.structs.replace(event, **hidden)


def _redacted(status: Status, at_cut: Status | None, cut: int) -> Status:
    before = {symbol.name: symbol for symbol in at_cut.symbols} if at_cut else {}

    def symbol_as_of(symbol: SymbolStatus) -> SymbolStatus:
        then = before.get(symbol.name)
        return msgspec.structs.replace(
            symbol, **{name: getattr(then, name) if then else None for name in _HIDDEN_OF_SYMBOL}
        )

    account = {name: getattr(at_cut.account, name) if at_cut else None for name in _HIDDEN_OF_ACCOUNT}
    return msgspec.structs.replace(
        status,
        redacted=True,
        as_of_ns=cut if at_cut else None,
        account=msgspec.structs.replace(status.account, **account),
        symbols=tuple(symbol_as_of(symbol) for symbol in status.symbols),
        orders=tuple(msgspec.structs.replace(order, px=None, qty=None, filled=None) for order in status.orders),
        strategies=tuple(msgspec.structs.replace(strategy, realised=None) for strategy in status.strategies),
        headroom=tuple(
            msgspec.structs.replace(row, value=None, limit=None, used_ppm=None)
            if any(word in row.rule for word in _TELLING)
            else row
            for row in status.headroom
        ),
        why=tuple(_hidden_why(entry) for entry in status.why),
    )
