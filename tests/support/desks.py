"""A core with every section, events as one-liners, and the records that come out by kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core import types
from engine._core.step import Core
from engine._core.strategy_abi import WishType
from engine._core.types import Can, Flag, Kind
from engine._core.world import World
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS
from engine.strategy.contract import OK, REST
from engine.strategy.hook import PythonHook

START = 1_700_000_000_000_000_000
SECOND = 10**9
VIEW = {
    Kind.KIND_INTENT_PLACE: types.INTENT, Kind.KIND_INTENT_CANCEL: types.INTENT, Kind.KIND_INTENT_AMEND: types.INTENT,
    Kind.KIND_INTENT_QUERY: types.INTENT, Kind.KIND_INTENT_TERMS: types.INTENT_TERMS,
    Kind.KIND_DECISION: types.DECISION, Kind.KIND_INCIDENT: types.INCIDENT, Kind.KIND_BRACKET: types.BRACKET,
    Kind.KIND_MODE: types.MODE,
}  # fmt: skip


def event(kind: int, dtype: np.dtype[Any], now: int, *, symbol: int = 0, flags: int = 0, **words: int) -> Any:
    record = np.zeros(1, dtype)
    record["kind"], record["symbol"], record["flags"] = kind, symbol, flags
    record["ts_recv_ns"] = record["ts_venue_ns"] = START + now
    for name, value in words.items():
        record[name] = value
    return record.view(types.EVENT)


class Desk:
    """One world with all its sections, strategies as functions that the test changes, and the clock of the test."""

    def __init__(
        self,
        *,
        symbols: int = 1,
        strategies: int = 1,
        can: int = int(Can.CAN_ALL),
        cash: int | None = 100_000 * 10**8,
        instrument: dict[str, Any] | None = None,
        limits: dict[str, int] | None = None,
        **shape: Any,
    ) -> None:
        shape = {"brackets": 16, "triggers": 16, "algos": 4, "orders": 64, "validate": True} | shape
        self.world = World(symbols=symbols, strategies=strategies, **shape)
        for symbol in range(symbols):
            self.world.set_instrument(symbol, **(INSTRUMENT | {"can": can} | (instrument or {})))
            self.world.set_gate_symbol(symbol, **(GATE_SYMBOL | {"margin_ppm": 100_000}))
            if shape["validate"]:
                self.world.set_validate(symbol, needs_id=0, needs_time=0)
        self.world.set_account(**ACCOUNT)
        self.world.set_limits(**(LIMITS | {"equity_age_ns": 10**18} | (limits or {})))
        if cash is not None:
            self.world.set_cash(0, cash)
        self.core = Core(self.world)
        self.now = 0
        self.wish: dict[int, Callable[[Any, Any], None]] = {}
        self.hooks = []
        for slot in range(strategies):
            self.world.set_strategy(slot, min(slot, symbols - 1))
            self.hooks.append(PythonHook(self.world, slot, self._decide(slot)))
            self.core.bind(slot, self.hooks[-1].address, self.hooks[-1])
        self.status = 0
        self.heard: npt.NDArray[Any] = np.zeros(1, types.EVENT)
        self.out: npt.NDArray[Any] = np.zeros(0, types.EVENT)
        self.trades = 0

    def _decide(self, slot: int) -> Callable[[Any, Any], int]:
        # Of the wishes alone: a strategy that held its desk would keep both alive in a ring.
        wish = self.wish

        def decide(view: Any, wishes: Any) -> int:
            if slot in wish:
                wish[slot](view, wishes)
            return OK

        return decide

    def close(self) -> None:
        """Give the strategies' places back now: a failed test keeps its frames, and there are only so many places."""
        self.hooks.clear()
        self.wish.clear()
        del self.core

    # ------------------------------------------------------------------------------------------------------- events in
    def step(self, record: Any) -> npt.NDArray[Any]:
        self.heard = record
        self.status, self.out = self.core.step(record)
        self.world.check()
        return self.out

    def tick(self, by: int) -> int:
        self.now += by
        return self.now

    def quote(self, bid: int = 50_000, ask: int = 50_001, *, symbol: int = 0, by: int = 1_000_000) -> npt.NDArray[Any]:
        return self.step(
            event(Kind.KIND_QUOTE, types.QUOTE, self.tick(by), symbol=symbol, bid_px_ticks=bid, bid_qty_lots=50,
                  ask_px_ticks=ask, ask_qty_lots=50, id_book=self.now)
        )  # fmt: skip

    def trade(self, px: int, lots: int = 1, *, symbol: int = 0, by: int = 1_000_000) -> npt.NDArray[Any]:
        return self.step(
            event(
                Kind.KIND_TRADE,
                types.TRADE,
                self.tick(by),
                symbol=symbol,
                px_ticks=px,
                qty_lots=lots,
                id_trade=self.now,
            )
        )

    def timer(self, by: int = SECOND) -> npt.NDArray[Any]:
        return self.step(event(Kind.KIND_TIMER, types.EVENT, self.tick(by)))

    def control(self, **words: int) -> npt.NDArray[Any]:
        return self.step(event(Kind.KIND_CONTROL, types.CONTROL, self.tick(1), **words))

    def say(
        self, kind: int, dtype: np.dtype[Any], *, symbol: int = 0, flags: int = 0, **words: int
    ) -> npt.NDArray[Any]:
        return self.step(event(kind, dtype, self.tick(1), symbol=symbol, flags=flags, **words))

    def report(self, kind: int, order: Any, **words: int) -> npt.NDArray[Any]:
        """Of the venue, on the order of an intent."""
        flags = int(order["flags"]) & int(Flag.FLAG_SELL)
        fields = {"id_order": int(order["id_order"]), "px_ticks": int(order["px_ticks"])} | words
        return self.say(kind, types.ORDER, symbol=int(order["symbol"]), flags=flags, **fields)

    def ack(self, order: Any) -> npt.NDArray[Any]:
        return self.report(Kind.KIND_ORDER_ACK, order, id_venue=7)

    def fill(self, order: Any, lots: int | None = None, *, px: int | None = None, trade: int | None = None) -> Any:
        self.trades += 1
        return self.report(
            Kind.KIND_ORDER_FILL, order, qty_lots=int(order["qty_lots"]) if lots is None else lots,
            px_ticks=int(order["px_ticks"]) if px is None else px, id_venue=trade or self.trades,
        )  # fmt: skip

    def canceled(self, order: Any) -> npt.NDArray[Any]:
        return self.report(Kind.KIND_ORDER_CANCELED, order)

    # ------------------------------------------------------------------------------------------------------ records out
    def these(self, kind: int) -> npt.NDArray[Any]:
        return self.out[self.out["kind"] == kind].view(VIEW[Kind(kind)])

    @property
    def places(self) -> npt.NDArray[Any]:
        return self.these(Kind.KIND_INTENT_PLACE)

    @property
    def cancels(self) -> npt.NDArray[Any]:
        return self.these(Kind.KIND_INTENT_CANCEL)

    @property
    def denials(self) -> npt.NDArray[Any]:
        return self.these(Kind.KIND_DECISION)

    @property
    def incidents(self) -> list[int]:
        return [int(what) for what in self.these(Kind.KIND_INCIDENT)["what"]]

    @property
    def lots(self) -> int:
        return int(self.world.positions()["lots"][0])

    # ----------------------------------------------------------------------------------------------------------- wishes
    def wants(self, side: str = "bid", *, strategy: int = 0, tag: int = 0, **fields: Any) -> None:
        """From now on, until it is told otherwise. Without fields the side is left as it is."""
        stop = {"bid": 49_900, "ask": 50_100}[side]
        px = {"bid": 49_999, "ask": 50_002}[side]
        values = {"kind": REST, "px_ticks": px, "qty_lots": 5, "stop_px_ticks": stop} | fields

        def decide(view: Any, wishes: Any) -> None:
            for name, value in values.items():
                wishes[side][tag][name] = value

        self.wish[strategy] = decide

    def wants_nothing(self, *, strategy: int = 0) -> None:
        self.wish.pop(strategy, None)


def serve(desk: Desk) -> list[Any]:
    """Be an honest, quick venue for what the last event brought about: ack, fill what closes or goes at market, confirm
    cancels and amends, tell positions when asked. Returns the orders that it filled."""
    filled: list[Any] = []
    waiting = [desk.out]
    while waiting:
        out = waiting.pop(0)

        def those(kind: int, records: npt.NDArray[Any] = out) -> npt.NDArray[Any]:
            return records[records["kind"] == kind].view(types.INTENT)

        waiting += [desk.canceled(order) for order in those(Kind.KIND_INTENT_CANCEL)]
        waiting += [
            desk.report(Kind.KIND_ORDER_REPLACED, order, qty_lots=int(order["qty_lots"]), px_ticks=0)
            for order in those(Kind.KIND_INTENT_AMEND)
        ]
        for order in those(Kind.KIND_INTENT_PLACE):
            waiting.append(desk.ack(order))
            at_market = terms_of(order)[0] == WishType.TYPE_MARKET
            if at_market or terms_of(order)[2] & types.TermsFlag.TERMS_CLOSING:
                waiting.append(desk.fill(order))
                filled.append(order)
        for query in those(Kind.KIND_INTENT_QUERY):
            if query["id_order"] == 0:
                symbol = int(query["symbol"])
                lots = int(desk.world.positions()["lots"][symbol])
                waiting.append(desk.say(Kind.KIND_POSITION, types.POSITION, symbol=symbol, lots=lots))
    return filled


def terms_of(intent: Any) -> tuple[int, int, int]:
    """(type, time in force, flags) of an intent."""
    word = int(intent["terms"])
    return word >> 16 & 0xFF, word >> 24 & 0xFF, word >> 32 & 0xFF
