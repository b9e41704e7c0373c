"""Twin of the step's rules on signals: what is known when a wish comes, who says so, and what a trade came to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from engine._core.discipline import UNKNOWN
from engine._core.types import Status
from engine.model.discipline import Discipline
from engine.model.risk import units

PPM = 10**6
RISE_NS = 300 * 10**9
QUOTES, TRADES = 1 << 32, 1 << 33


@dataclass
class Trade:
    """A strategy's trade from flat to flat."""

    cash: int = 0
    stake: int = 0
    stop_ppm: int = 0


@dataclass
class Anchor:
    """Twice the mid some time ago: between one and two windows."""

    px2: int = 0
    next_px2: int = 0
    next_ns: int = 0


def stop_ppm(px: int, stop: int) -> int:
    away = abs(px - stop)
    return away * PPM // px if px > 0 and 0 < away < 2**40 else 0


class Judge:
    def __init__(self, strategies: int, symbols: int, **rules: Any) -> None:
        self.table = Discipline(strategies=strategies, symbols=symbols, **rules)
        self.trades = [Trade() for _ in range(strategies)]
        self.anchors = [Anchor() for _ in range(symbols)]
        self.said: dict[int, int] = {}  # sources that a strategy's last signal named

    def price(self, symbol: int, bid: int, ask: int, now: int) -> None:
        anchor = self.anchors[symbol]
        if now - anchor.next_ns >= RISE_NS:
            anchor.px2 = anchor.next_px2 or bid + ask
            anchor.next_px2, anchor.next_ns = bid + ask, now

    def facts(self, symbol: int, *, touch: dict[str, int], lots: int, equity: int, share_ppm: int,
              stop: int) -> dict[str, int]:  # fmt: skip
        bid, ask, anchor = touch["bid"], touch["ask"], self.anchors[symbol].px2
        trusted = bool(touch["trusted"])
        return {
            "equity": equity, "position_share_ppm": share_ppm, "position_lots": lots, "px_stop_ticks": stop,
            "bid_px_ticks": bid if trusted else 0, "ask_px_ticks": ask if trusted else 0,
            "rise_ppm": math.trunc(Fraction((bid + ask - anchor) * PPM, anchor)) if anchor > 0 else UNKNOWN,
            "sentiment_ppm": UNKNOWN,
            "px_band_low_ticks": bid - bid // 20, "px_band_high_ticks": ask + ask // 20,
        }  # fmt: skip

    def position(self, now: int, symbol: int, **known: Any) -> dict[str, int] | None:
        """What a position beyond its stop calls for."""
        return self.table.position(now, symbol, self.facts(symbol, **known))

    def check(self, now: int, strategy: int, symbol: int, sell: bool, wish: dict[str, int], *, touch: dict[str, int],
              lots: int, equity: int, share_ppm: int, value_q32: int, stop: int,
              last: int = 0) -> tuple[bool, dict[str, Any]]:  # fmt: skip
        """Whether a wish passes, and the verdict. `stop` is where the nearest live stop stands, 0: there is none;
        `last` the price of the newest trade. One near the touch says what the quotes do."""
        bid, ask, trusted = touch["bid"], touch["ask"], bool(touch["trusted"])
        px, qty = wish["px_ticks"], wish["qty_lots"]
        near = trusted and bid > 0 and bid - bid // 100 <= last <= ask + ask // 100
        traded = TRADES if near else 0
        signal = {
            "strategy": strategy, "symbol": symbol, "sell": int(sell), "px_ticks": px, "qty_lots": qty,
            "notional": units(px, qty, value_q32), "stop_ppm": stop_ppm(px, wish["stop_px_ticks"]),
            "sources": self.said.get(strategy, 1) | (QUOTES if trusted and 0 < bid < ask else 0) | traded,
        }  # fmt: skip
        facts = self.facts(symbol, touch=touch, lots=lots, equity=equity, share_ppm=share_ppm, stop=stop)
        status, verdict = self.table.check_signal(now, signal, facts)
        return status == Status.OK, verdict

    def filled(self, now: int, strategy: int, symbol: int, sell: bool, px: int, qty: int, before: int,
               value_q32: int, stop: int = 0) -> None:  # fmt: skip
        """Every fill of a strategy's orders. From flat to flat is one trade, and a turn through zero two."""
        trade, closing, way = self.trades[strategy], 0, 1 if sell else -1
        if before and (before > 0) == sell:
            closing = min(qty, abs(before))
            trade.cash += way * units(px, closing, value_q32)
            if closing == abs(before):
                if trade.stake > 0:
                    self.table.result(strategy, symbol, pnl=trade.cash, notional=trade.stake, now_ns=now,
                                      stop_ppm=trade.stop_ppm)  # fmt: skip
                trade.cash = trade.stake = trade.stop_ppm = 0
        if qty > closing:
            value = units(px, qty - closing, value_q32)
            if trade.stake == 0:
                trade.stop_ppm = stop_ppm(px, stop) if stop else 0
            trade.cash += way * value
            trade.stake += value

    def charged(self, strategy: int, amount: int) -> None:
        self.trades[strategy].cash -= amount
