"""Conditional orders of USD-M: a service of its own beside the book, as at the real venue since it moved them there.

A conditional order rests here and not in the book; nothing is set aside for it. When its price is touched it becomes an
ordinary order with a number of its own, which its user is told first (`ai` of ALGO_UPDATE). Touched is judged by every
trade (CONTRACT_PRICE) or by the mark (MARK_PRICE); a trailing order follows the best price since it was activated.

Owns: conditional orders and what became of them. Does not own: matching and money (exchange.py), routes (usdm.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from engine._core.strategy_abi import WishType
from engine.sim.venue import usdm_wire, wire
from engine.sim.venue.accounts import Account
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import Params
from engine.sim.venue.instruments import E8
from engine.sim.venue.market import Market
from engine.sim.venue.orders import Order, Refusal, Terms
from engine.sim.venue.wire import MS, ApiError

STOPS = ("STOP", "STOP_MARKET")
TRAILING = "TRAILING_STOP_MARKET"
PRICED = ("STOP", "TAKE_PROFIT")
KEPT = 1_000
RATES = (1_000, 100_000)  # of a trailing order, in ppm: 0.1 % to 10 %


@dataclass(slots=True, eq=False)
class Conditional:
    id: int
    owner: int
    symbol: str
    kind: str
    terms: Terms  # of the order that it becomes
    client_id: str
    trigger: int  # ticks; of a trailing one where it is activated
    rate_ppm: int
    close: bool  # the whole position, whatever it is then
    by_mark: bool
    created_ns: int
    status: str = "NEW"
    updated_ns: int = 0
    triggered_ns: int = 0
    best: int = 0  # of a trailing one since its activation
    order: Order | None = None

    def touched(self, px: int) -> bool:
        """Whether this price sets it off; a trailing one moves along."""
        up = not self.terms.sell
        if self.kind == TRAILING:
            if not self.best:
                if self.trigger and (px > self.trigger if up else px < self.trigger):
                    return False
                self.best = px
            self.best = min(self.best, px) if up else max(self.best, px)
            away = (px - self.best if up else self.best - px) * 1_000_000
            return away >= self.best * self.rate_ppm
        return px >= self.trigger if up == (self.kind in STOPS) else px <= self.trigger


class AlgoService:
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.orders: dict[int, Conditional] = {}
        self.news: list[tuple[int, dict[str, Any]]] = []
        self._open: dict[int, Conditional] = {}
        self._ended: deque[int] = deque()
        self._seen = dict.fromkeys(exchange.markets, 0)  # the last trade that was judged
        self._id = 2_000_000_000  # far from the book's numbers, so that neither passes for the other

    # ----------------------------------------------------------------------------------------------------------- calls
    def place(self, account: Account, params: Params, market: Market) -> dict[str, Any]:
        if wire.need(params, "algoType") != "CONDITIONAL":
            raise ApiError(-1102, "Mandatory parameter 'algoType' was not sent, was empty/null, or malformed.")
        made = self._conditional(account, params, market)
        mine = [one for one in self._open.values() if (one.owner, one.symbol) == (account.owner, made.symbol)]
        if any(one.client_id == made.client_id for one in mine):
            raise ApiError(-4116, "ClientOrderId is duplicated.")
        if len(mine) >= market.instrument.algo_orders_max:
            raise ApiError(-4045, "Reach max stop order limit.")
        px = self._px(made, market)
        if made.kind != TRAILING and px and made.touched(px):
            raise ApiError(-2021, "Order would immediately trigger.")
        self._id = made.id
        self.orders[made.id] = self._open[made.id] = made
        self._tell(made)
        return self._json(made)

    def _conditional(self, account: Account, params: Params, market: Market) -> Conditional:
        i, kind = market.instrument, wire.need(params, "type")
        if kind not in usdm_wire.CONDITIONAL:
            raise ApiError(-1116, "Invalid orderType.")
        close = params.get("closePosition") == "true"
        if close and (kind in (*PRICED, TRAILING) or "quantity" in params or "reduceOnly" in params):
            raise ApiError(-1106, "Parameter 'quantity' sent when not required.")
        plain = {name: value for name, value in params.items() if name not in ("closePosition", "timeInForce", "price")}
        plain |= {"type": "LIMIT" if kind in PRICED else "MARKET", "quantity": params.get("quantity", i.qty_text(1))}
        if not close:
            wire.need(params, "quantity")
        if kind in PRICED:
            plain |= {"price": wire.need(params, "price"), "timeInForce": params.get("timeInForce", "GTC")}
        plain |= {"reduceOnly": "true"} if close else {}
        working = params.get("workingType", "CONTRACT_PRICE")
        if working not in ("CONTRACT_PRICE", "MARK_PRICE"):
            raise ApiError(-1130, "Data sent for parameter 'workingType' is not valid.")
        rate_ppm = 0
        if kind == TRAILING:
            # A percentage: "1" is one hundredth.
            rate_ppm = wire.steps({"callbackRate": wire.need(params, "callbackRate")}, "callbackRate", E8 // 10_000, "")
            if not RATES[0] <= rate_ppm <= RATES[1]:
                raise ApiError(-2007, "Invalid callBack rate.")
        else:
            wire.need(params, "triggerPrice")
        name = "activatePrice" if kind == TRAILING else "triggerPrice"
        number = self._id + 1
        return Conditional(
            number, account.owner, i.symbol, kind, usdm_wire.terms_of(plain, i),
            wire.client_id(params, "clientAlgoId") or f"algo{number:018d}",
            wire.steps(params, name, i.tick_e8, "PRICE_FILTER"), rate_ppm, close, working == "MARK_PRICE",
            self.exchange.now_ns, updated_ns=self.exchange.now_ns,
        )  # fmt: skip

    def query(self, account: Account, params: Params) -> dict[str, Any]:
        return self._json(self._find(account, params, -2013, "Order does not exist."))

    def cancel(self, account: Account, params: Params) -> dict[str, Any]:
        found = self._find(account, params, -2011, "Unknown order sent.")
        if found.id not in self._open:
            raise ApiError(-2011, "Unknown order sent.")
        self._end(found, "CANCELED")
        return {"algoId": found.id, "clientAlgoId": found.client_id, "code": "200", "msg": "success"}

    def open_of(self, account: Account, symbols: list[str]) -> list[dict[str, Any]]:
        return [self._json(one) for one in self._of(account.owner, symbols)]

    def all_of(self, account: Account, symbol: str) -> list[dict[str, Any]]:
        return [self._json(one) for one in self.orders.values() if (one.owner, one.symbol) == (account.owner, symbol)]

    def cancel_all(self, owner: int, symbol: str) -> int:
        mine = self._of(owner, [symbol])
        for one in mine:
            self._end(one, "CANCELED")
        return len(mine)

    def _of(self, owner: int, symbols: list[str]) -> list[Conditional]:
        return [one for one in self._open.values() if one.owner == owner and one.symbol in symbols]

    def _find(self, account: Account, params: Params, code: int, text: str) -> Conditional:
        if "algoId" in params:
            found = self.orders.get(wire.number(params, "algoId"))
        elif "clientAlgoId" in params:
            name = params["clientAlgoId"]
            mine = [one for one in self.orders.values() if (one.owner, one.client_id) == (account.owner, name)]
            found = mine[-1] if mine else None
        else:
            raise ApiError(-1102, "Either 'algoId' or 'clientAlgoId' must be sent.")
        if found is None or found.owner != account.owner:
            raise ApiError(code, text)
        return found

    # -------------------------------------------------------------------------------------------------------- triggers
    def pass_time(self) -> None:
        """What became of the orders that came of it; then judge what has been traded and where the mark is now."""
        for one in self.orders.values():
            if one.status == "TRIGGERED" and one.order is not None and not one.order.is_open:
                self._become(one, "FINISHED")
        for symbol, market in self.exchange.markets.items():
            trades = [trade for trade in market.trades if trade.id > self._seen[symbol]]
            self._seen[symbol] = trades[-1].id if trades else self._seen[symbol]
            mark = market.mark_px_e8 // market.instrument.tick_e8
            for one in [one for one in self._open.values() if one.symbol == symbol]:
                prices = [mark] if one.by_mark else [trade.px for trade in trades]
                if any(px and one.touched(px) for px in prices):
                    self._trigger(one)

    def _trigger(self, one: Conditional) -> None:
        account, terms = self.exchange.bank.accounts[one.owner], one.terms
        one.triggered_ns = self.exchange.now_ns
        self._end(one, "TRIGGERING")
        if one.close:
            lots = account.positions[one.symbol].lots
            if not lots or (lots > 0) != terms.sell:
                self._become(one, "EXPIRED")
                return
            terms = Terms(sell=terms.sell, type=terms.type, qty=abs(lots), stp=terms.stp, reduce_only=True)
        made = self.exchange.place(account, one.symbol, terms)
        if isinstance(made, Refusal):
            self._become(one, "REJECTED", wire.refusal_error(made).msg)
            return
        one.order = made
        self._become(one, "TRIGGERED")

    def _px(self, one: Conditional, market: Market) -> int:
        return market.mark_px_e8 // market.instrument.tick_e8 if one.by_mark else market.book.last_px

    def _end(self, one: Conditional, status: str) -> None:
        del self._open[one.id]
        self._ended.append(one.id)
        while len(self._ended) > KEPT:
            self.orders.pop(self._ended.popleft(), None)
        self._become(one, status)

    def _become(self, one: Conditional, status: str, why: str = "") -> None:
        one.status, one.updated_ns = status, self.exchange.now_ns
        self._tell(one, why)

    # ------------------------------------------------------------------------------------------------------------ words
    def _json(self, one: Conditional) -> dict[str, Any]:
        i, terms, order = self.exchange.markets[one.symbol].instrument, one.terms, one.order
        is_trailing = one.kind == TRAILING
        return {
            "algoId": one.id, "clientAlgoId": one.client_id, "algoType": "CONDITIONAL", "orderType": one.kind,
            "symbol": one.symbol, "side": "SELL" if terms.sell else "BUY", "positionSide": "BOTH",
            "timeInForce": usdm_wire.TIF_NAMES[int(terms.tif)],
            "quantity": "0" if one.close else i.qty_text(terms.qty), "algoStatus": one.status,
            "triggerPrice": i.px_text(0 if is_trailing else one.trigger), "price": i.px_text(terms.px),
            "icebergQuantity": None, "selfTradePreventionMode": wire.STP_NAMES[terms.stp],
            "workingType": "MARK_PRICE" if one.by_mark else "CONTRACT_PRICE", "priceMatch": "NONE",
            "closePosition": one.close, "priceProtect": False, "reduceOnly": terms.reduce_only,
            "activatePrice": i.px_text(one.trigger) if is_trailing else "",
            "callbackRate": f"{one.rate_ppm / 10_000:g}" if is_trailing else "",
            "actualOrderId": str(order.id) if order is not None else "",
            "createTime": one.created_ns // MS, "updateTime": one.updated_ns // MS,
            "triggerTime": one.triggered_ns // MS, "goodTillDate": terms.expire_ns // MS,
        }  # fmt: skip

    def _tell(self, one: Conditional, why: str = "") -> None:
        i, terms, order, now = self.exchange.markets[one.symbol].instrument, one.terms, one.order, self.exchange.now_ns
        mean = order.units // order.filled if order is not None and order.filled else 0
        self.news.append((one.owner, {
            "e": "ALGO_UPDATE", "T": now // MS, "E": now // MS,
            "o": {
                "caid": one.client_id, "aid": one.id, "at": "CONDITIONAL", "o": one.kind, "s": one.symbol,
                "S": "SELL" if terms.sell else "BUY", "ps": "BOTH", "f": usdm_wire.TIF_NAMES[int(terms.tif)],
                "q": "0" if one.close else i.qty_text(terms.qty), "X": one.status,
                "ai": str(order.id) if order is not None else "", "ap": i.px_text(mean),
                "aq": i.qty_text(order.filled if order is not None else 0),
                "act": "LIMIT" if terms.type == WishType.TYPE_LIMIT else "MARKET", "tp": i.px_text(one.trigger),
                "p": i.px_text(terms.px), "V": wire.STP_NAMES[terms.stp],
                "wt": "MARK_PRICE" if one.by_mark else "CONTRACT_PRICE", "pm": "NONE", "cp": one.close, "pP": False,
                "R": terms.reduce_only, "tt": one.triggered_ns // MS, "gtd": terms.expire_ns // MS, "rm": why,
            },
        }))  # fmt: skip
