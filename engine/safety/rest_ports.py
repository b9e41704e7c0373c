"""The guard's second port to Binance USD-M: blocking REST of its own, for when the loop or its connections are gone.

Owns: one signed connection (the courier's client, with the engine's key) and the last picture of orders and positions.
Does not own: equity, which needs two sources of the engine's; the caller lends a function. Used from the guard's
thread alone; every call may block up to the client's timeout and may raise.

The picture is asked for at most once in `refresh_s`, and anew after each action: the list of all open orders weighs 40
of the 2,400 a minute. Quantities and prices are integers in lots and ticks on this side, exact decimals on the other.
Orders of the plan carry a client id that begins with `b4x-`, so that the plan knows its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine._core.clock import monotonic_ns, utc_ns
from engine._core.modes import Act
from engine.safety import courier
from engine.safety.guard import Action

PLAN_PREFIX = "b4x-"
PROTECTIVE = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})


@dataclass(frozen=True)
class Symbol:
    name: str
    tick: Decimal
    lot: Decimal
    qty_min_lots: int = 1

    def lots(self, text: str) -> int:
        """Whole lots of a decimal text. What is less than a lot is less than any order can close."""
        return int(Decimal(text) / self.lot)

    def qty(self, lots: int) -> str:
        return format(self.lot * lots, "f")

    def px(self, ticks: int) -> str:
        return format(self.tick * ticks, "f")


@dataclass
class _Picture:
    at_ns: int
    orders: list[dict[str, Any]]
    lots: dict[str, int]
    touch: dict[str, tuple[int, int]]


class UsdmPorts:
    """`Ports` (engine/safety/guard.py) over REST. `symbols` in the order of the engine's own numbers."""

    def __init__(
        self,
        venue: courier.Venue,
        symbols: Sequence[Symbol],
        *,
        equity: Callable[[], tuple[int, int]],
        stop: Callable[[int], object],
        refresh_s: float = 1.0,
    ) -> None:
        self._client = courier.Client(venue)
        self._symbols = tuple(symbols)
        self._equity = equity
        self._stop = stop
        self._refresh_ns = int(refresh_s * 1e9)
        self._picture: _Picture | None = None
        self._answers: list[tuple[int, int, int]] = []
        self._synced = False
        self._order_count = 0

    def _call(self, method: str, path: str, **parameters: Any) -> Any:
        if not self._synced:
            self._client.sync_clock()
            self._synced = True
        try:
            return self._client.call(method, path, **parameters)
        except courier.VenueError as error:
            self._synced = self._synced and error.code != courier.CLOCK_WRONG
            raise

    def _look(self) -> _Picture:
        """The picture, asked for anew when it is old or something was done since."""
        now_ns = monotonic_ns()
        if self._picture is not None and now_ns - self._picture.at_ns < self._refresh_ns:
            return self._picture
        if not self._synced:
            self._client.sync_clock()
            self._synced = True
        orders = self._client.open_orders()
        lots, touch = {}, {}
        for symbol in self._symbols:
            lots[symbol.name] = self._position(symbol)
            book = self._call("GET", "/fapi/v1/ticker/bookTicker", symbol=symbol.name)
            touch[symbol.name] = (
                int(Decimal(book["bidPrice"]) / symbol.tick),
                int(Decimal(book["askPrice"]) / symbol.tick),
            )
        self._picture = _Picture(now_ns, orders, lots, touch)
        return self._picture

    def _position(self, symbol: Symbol) -> int:
        rows = self._call("GET", "/fapi/v3/positionRisk", symbol=symbol.name)
        return sum(symbol.lots(row["positionAmt"]) for row in rows if row["symbol"] == symbol.name)

    # ------------------------------------------------------------------------------------------------------------ ports
    def refuse(self) -> None:
        """Nothing is queued here."""

    def facts(self) -> Sequence[Mapping[str, int]]:
        picture = self._look()
        return [self._fact(symbol, picture) for symbol in self._symbols]

    def _fact(self, symbol: Symbol, picture: _Picture) -> dict[str, int]:
        mine = [order for order in picture.orders if order["symbol"] == symbol.name]
        working = [order for order in mine if not is_stop(order)]
        open_lots = {
            side: sum(
                symbol.lots(order["origQty"]) - symbol.lots(order.get("executedQty", "0"))
                for order in working
                if order["side"] == side
            )
            for side in ("BUY", "SELL")
        }
        bid, ask = picture.touch[symbol.name]
        return {
            "lots": picture.lots[symbol.name],
            "open_buy_lots": open_lots["BUY"],
            "open_sell_lots": open_lots["SELL"],
            "bid_px_ticks": bid,
            "ask_px_ticks": ask,
            "qty_min_lots": symbol.qty_min_lots,
            "orders_live": len(mine),
            "entries_live": sum(not reduces(order) for order in mine),
            "plan_live": sum(courier.name_of(order).startswith(PLAN_PREFIX) for order in mine),
        }

    def act(self, action: Action) -> None:
        symbol = self._symbols[action.symbol]
        try:
            if action.kind == Act.ACT_VERIFY:
                asked_ns = monotonic_ns()
                self._answers.append((action.symbol, self._position(symbol), asked_ns))
            elif action.kind == Act.ACT_CANCEL_ALL:
                for algo in sorted({order["algo"] for order in self._orders(symbol)}):
                    self._client.cancel_symbol(symbol.name, algo=algo)
            elif action.kind in (Act.ACT_CANCEL_ENTRIES, Act.ACT_CANCEL_PLAN):
                plan = action.kind == Act.ACT_CANCEL_PLAN
                for order in self._orders(symbol):
                    if courier.name_of(order).startswith(PLAN_PREFIX) if plan else not reduces(order):
                        self._client.cancel_one(order)
            else:
                self._place(symbol, action)
        finally:
            # Whatever came of it: the next facts are asked for.
            self._picture = None

    def _orders(self, symbol: Symbol) -> list[dict[str, Any]]:
        return [order for order in self._look().orders if order["symbol"] == symbol.name]

    def _place(self, symbol: Symbol, action: Action) -> None:
        self._order_count += 1
        order = {
            "symbol": symbol.name,
            "side": "SELL" if action.sell else "BUY",
            "quantity": symbol.qty(action.qty_lots),
            # The venue itself refuses what would open or turn a position.
            "reduceOnly": "true",
            # The time keeps ids of two runs apart; a retry after a lost answer has a new one, and reduces only.
            "newClientOrderId": f"{PLAN_PREFIX}{utc_ns() // 1_000_000}-{self._order_count}",
        }
        if action.kind == Act.ACT_PLACE_LIMIT:
            order |= {"type": "LIMIT", "timeInForce": "GTC", "price": symbol.px(action.px_ticks)}
        else:
            order |= {"type": "MARKET"}
        self._call("POST", "/fapi/v1/order", **order)

    def verified(self) -> Iterable[tuple[int, int, int]]:
        answers, self._answers = self._answers, []
        return answers

    def equity(self) -> tuple[int, int]:
        return self._equity()

    def standing(self) -> Iterable[str]:
        self._picture = None
        return [courier.name_of(order) for order in self._look().orders]

    def stop(self, code: int) -> None:
        self._client.close()
        self._stop(code)


def is_stop(order: Mapping[str, Any]) -> bool:
    """An armed stop, which waits for its price; it counts in no open quantity."""
    return bool(order.get("algo")) or order.get("type") in PROTECTIVE


def reduces(order: Mapping[str, Any]) -> bool:
    """Whether it can only make a position smaller."""
    return bool(order.get("reduceOnly") or order.get("closePosition"))
