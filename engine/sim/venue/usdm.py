"""The USD-M form of the served venue: calls, listen keys, marks, funding, and the timer that cancels everything.

Positions are one-way and on cross margin, as the exchange counts them. The mark is the middle of the book, funding is
settled at fixed times at the rate given. A listen key lives an hour after it was last asked for; a countdown that is
not renewed cancels every order of its symbol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine._core.match import Reason
from engine.sim.venue import usdm_wire, wire
from engine.sim.venue.accounts import Account, liquidation_px_e8, margin_of
from engine.sim.venue.api import Api
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import OpenCall, OpenRoute, Params, SignedCall, SignedRoute
from engine.sim.venue.instruments import amount_text
from engine.sim.venue.market import Market
from engine.sim.venue.orders import Order, Refusal
from engine.sim.venue.wire import MS, ApiError

HOUR_NS = 3600 * 10**9
RATE_LIMITS: list[dict[str, Any]] = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
]
_PUBLIC = ("depth", "bookTicker", "trade")
INCOMES_KEPT = 10_000


@dataclass(frozen=True)
class Income:
    """One funding payment to an account."""

    id: int
    symbol: str
    asset: str
    amount_e8: int
    ts_ns: int


def _depth_weight(params: Mapping[str, str]) -> int:
    limit = wire.number(params, "limit", 500)
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


class UsdmForm:
    name = "usdm"
    rate_limits = RATE_LIMITS
    market_paths: tuple[str, ...] = tuple(
        f"/{part}{path}" for part in ("public", "market") for path in ("/ws", "/ws/{names:.+}", "/stream")
    )
    api_path = "/ws-fapi/v1"
    user_path, listen_path = "/private/ws", "/fapi/v1/listenKey"
    futures = True

    def __init__(
        self, exchange: Exchange, *, funding_ns: int = 8 * HOUR_NS, rate_e8: int = 10_000, key_life_ns: int = HOUR_NS
    ) -> None:
        self.exchange, self._public_api = exchange, Api(exchange)
        self.funding_ns, self.rate_e8, self.key_life_ns = funding_ns, rate_e8, key_life_ns
        self.incomes: dict[int, deque[Income]] = {}
        self.countdowns: dict[tuple[int, str], int] = {}  # owner and symbol -> when all is cancelled
        self.listen_keys: dict[str, tuple[Account, int]] = {}  # with its end
        self.countdown_count = 0
        self._dual: set[int] = set()
        self._isolated: set[tuple[int, str]] = set()
        self._news: list[tuple[int, dict[str, Any]]] = []
        self._income_id = 0
        self._key_id = 0
        self._positions: dict[tuple[int, str], int] = {}  # as last told
        for market in exchange.markets.values():
            market.funding_rate_e8 = rate_e8

    # ------------------------------------------------------------------------------------------------------------ time
    def pass_time(self) -> None:
        """Marks move, fundings are settled, countdowns run out, listen keys end."""
        now = self.exchange.now_ns
        for market in self.exchange.markets.values():
            self._move_mark(market)
            if not market.next_funding_ns:
                market.next_funding_ns = now - now % self.funding_ns + self.funding_ns
            elif now >= market.next_funding_ns:
                self._settle(market)
        for (owner, symbol), end_ns in list(self.countdowns.items()):
            if now >= end_ns:
                del self.countdowns[owner, symbol]
                self.countdown_count += 1
                self._cancel_all(owner, symbol)
        for key, (account, end_ns) in list(self.listen_keys.items()):
            if now >= end_ns:
                del self.listen_keys[key]
                self._news.append((account.owner, {"e": "listenKeyExpired", "E": now // MS, "listenKey": key}))

    def _move_mark(self, market: Market) -> None:
        book = market.book
        middle = book.best_bid + book.best_ask if book.best_bid and book.best_ask else 2 * book.last_px
        mark = middle * market.instrument.tick_e8 // 2
        if mark and mark != market.mark_px_e8:
            self.exchange.set_mark(market.instrument.symbol, mark)

    def _settle(self, market: Market) -> None:
        now, symbol = self.exchange.now_ns, market.instrument.symbol
        market.next_funding_ns += self.funding_ns
        for account, amount in self.exchange.settle_funding(symbol, self.rate_e8):
            self._income_id += 1
            made = Income(self._income_id, symbol, market.instrument.quote, amount, now)
            self.incomes.setdefault(account.owner, deque(maxlen=INCOMES_KEPT)).append(made)
            account.touched.clear()
            self._news.append((account.owner, usdm_wire.account_event(account, [], now, "FUNDING_FEE")))

    def _cancel_all(self, owner: int, symbol: str) -> int:
        mine = [order for order in self.exchange.open.get(owner, {}).values() if order.symbol == symbol]
        return sum(self.exchange.cancel(order) for order in mine if order.is_open)

    # ------------------------------------------------------------------------------------------------------ user stream
    def listen(self, method: str, account: Account) -> dict[str, Any]:
        """One key an account: asked for again it is the same, and lives on."""
        key = next((key for key, (who, _) in self.listen_keys.items() if who is account), None)
        if method == "DELETE":
            self.listen_keys.pop(key or "", None)
            return {}
        if key is None and method == "PUT":
            raise ApiError(-1125, "This listenKey does not exist.")
        if key is None:
            self._key_id += 1
            key = f"listen{account.owner:04d}{self._key_id:054d}"
        self.listen_keys[key] = account, self.exchange.now_ns + self.key_life_ns
        return {"listenKey": key}

    def listener(self, listen_key: str) -> Account | None:
        found = self.listen_keys.get(listen_key)
        return found[0] if found else None

    def news(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """What the account holds comes before the reports of the orders that changed it, as at the real venue."""
        for account in self.exchange.bank.accounts.values():
            changed = [
                market for symbol, market in self.exchange.markets.items()
                if account.positions[symbol].lots != self._positions.get((account.owner, symbol), 0)
            ]  # fmt: skip
            if account.touched or changed:
                account.touched.clear()
                for market in changed:
                    symbol = market.instrument.symbol
                    self._positions[account.owner, symbol] = account.positions[symbol].lots
                yield account.owner, usdm_wire.account_event(account, changed, self.exchange.now_ns, "ORDER")
        for report in self.exchange.take_reports():
            if report.what != "TRADE_PREVENTION":
                instrument = self.exchange.markets[report.order.symbol].instrument
                yield report.order.owner, usdm_wire.report_event(report, instrument)
        news, self._news = self._news, []
        yield from news

    @staticmethod
    def carries(path: str, stream: str) -> bool:
        """Books and quotes have one address, everything else another."""
        return path.startswith("/public") == stream.split("@")[1].startswith(_PUBLIC)

    # ----------------------------------------------------------------------------------------------------------- routes
    def public(self) -> list[OpenRoute]:
        api = self._public_api
        return [
            ("GET", "/fapi/v1/ping", 1, lambda _: {}),
            ("GET", "/fapi/v1/time", 1, lambda _: {"serverTime": self.exchange.now_ns // MS}),
            ("GET", "/fapi/v1/exchangeInfo", 1, self.exchange_info),
            ("GET", "/fapi/v1/depth", _depth_weight, self.depth),
            ("GET", "/fapi/v1/trades", 5, api.trades),
            ("GET", "/fapi/v1/aggTrades", 20, api.agg_trades),
            ("GET", "/fapi/v1/klines", 5, api.klines),
            ("GET", "/fapi/v1/premiumIndex", 1, self.premium_index),
            ("GET", "/fapi/v1/ticker/24hr", 1, api.ticker),
            ("GET", "/fapi/v1/ticker/price", 1, api.ticker_price),
            ("GET", "/fapi/v1/ticker/bookTicker", 2, api.ticker_book),
        ]

    def private(self) -> list[SignedRoute]:
        return [
            ("POST", "/fapi/v1/order", 1, 1, self.place),
            ("PUT", "/fapi/v1/order", 1, 1, self.modify),
            ("GET", "/fapi/v1/order", 1, 0, self.query),
            ("DELETE", "/fapi/v1/order", 1, 0, self.cancel),
            ("GET", "/fapi/v1/openOrders", 1, 0, self.open_orders),
            ("DELETE", "/fapi/v1/allOpenOrders", 1, 0, self.cancel_all),
            ("POST", "/fapi/v1/countdownCancelAll", 10, 0, self.countdown),
            ("GET", "/fapi/v1/userTrades", 5, 0, self.user_trades),
            ("GET", "/fapi/v1/income", 30, 0, self.income),
            ("GET", "/fapi/v3/account", 5, 0, lambda a, _: usdm_wire.account_json(self.exchange, a)),
            ("GET", "/fapi/v3/positionRisk", 5, 0, self.positions),
            ("GET", "/fapi/v1/symbolConfig", 5, 0, self.symbol_config),
            ("POST", "/fapi/v1/leverage", 1, 0, self.leverage),
            ("POST", "/fapi/v1/marginType", 1, 0, self.margin_type),
            ("GET", "/fapi/v1/positionSide/dual", 30, 0, lambda a, _: {"dualSidePosition": a.owner in self._dual}),
            ("POST", "/fapi/v1/positionSide/dual", 1, 0, self.position_side),
            ("GET", "/fapi/v1/commissionRate", 20, 0, self.commission),
        ]

    def open_calls(self) -> dict[str, tuple[Any, OpenCall]]:
        return {
            "time": (1, lambda _: {"serverTime": self.exchange.now_ns // MS}), "ping": (1, lambda _: {}),
            "depth": (_depth_weight, self.depth), "ticker.price": (1, self._public_api.ticker_price),
            "ticker.book": (2, self._public_api.ticker_book),
        }  # fmt: skip

    def calls(self) -> dict[str, SignedCall]:
        return {
            "order.place": (1, 1, self.place), "order.modify": (1, 1, self.modify), "order.cancel": (1, 0, self.cancel),
            "order.status": (1, 0, self.query), "v2/account.position": (5, 0, self.positions),
            "v2/account.status": (5, 0, lambda a, _: usdm_wire.account_json(self.exchange, a)),
        }  # fmt: skip

    # ----------------------------------------------------------------------------------------------------- public calls
    def exchange_info(self, _: Params) -> dict[str, Any]:
        return {
            "timezone": "UTC", "serverTime": self.exchange.now_ns // MS, "futuresType": "U_MARGINED",
            "rateLimits": RATE_LIMITS, "exchangeFilters": [],
            "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}],
            "symbols": [usdm_wire.symbol_json(market) for market in self.exchange.markets.values()],
        }  # fmt: skip

    def depth(self, params: Params) -> dict[str, Any]:
        now = self.exchange.now_ns // MS
        return self._public_api.depth({"limit": "500"} | dict(params)) | {"E": now, "T": now}

    def premium_index(self, params: Params) -> Any:
        rows = [
            {"symbol": m.instrument.symbol, "markPrice": amount_text(m.mark_px_e8),
             "indexPrice": amount_text(m.index_px_e8), "estimatedSettlePrice": amount_text(m.index_px_e8),
             "lastFundingRate": amount_text(m.funding_rate_e8), "interestRate": "0.00010000",
             "nextFundingTime": m.next_funding_ns // MS, "time": self.exchange.now_ns // MS}
            for m in self._markets(params)
        ]  # fmt: skip
        return rows[0] if "symbol" in params else rows

    def _market(self, params: Params) -> Market:
        market = self.exchange.markets.get(wire.need(params, "symbol"))
        if market is None:
            raise ApiError(-1121, "Invalid symbol.")
        return market

    def _markets(self, params: Params) -> list[Market]:
        return [self._market(params)] if "symbol" in params else list(self.exchange.markets.values())

    # ----------------------------------------------------------------------------------------------------------- orders
    def place(self, account: Account, params: Params) -> dict[str, Any]:
        market = self._market(params)
        if account.owner in self._dual:
            raise ApiError(-4061, "Order's position side does not match user's setting.")
        if params.get("newOrderRespType", "ACK") not in ("ACK", "RESULT"):
            raise ApiError(-1118, "Invalid newOrderRespType.")
        made = self.exchange.place(account, market.instrument.symbol, usdm_wire.terms_of(params, market.instrument))
        if isinstance(made, Refusal):
            raise _refused(made)
        return usdm_wire.order_json(made, market.instrument)

    def _find(self, account: Account, params: Params, code: int, text: str) -> tuple[Order, Market]:
        market = self._market(params)
        if "orderId" in params:
            order = self.exchange.orders.get(wire.number(params, "orderId"))
        elif "origClientOrderId" in params:
            name = params["origClientOrderId"]
            order = self.exchange.by_client.get((account.owner, market.instrument.symbol, name))
        else:
            raise ApiError(-1102, "Either 'orderId' or 'origClientOrderId' must be sent.")
        if order is None or order.owner != account.owner or order.symbol != market.instrument.symbol:
            raise ApiError(code, text)
        return order, market

    def query(self, account: Account, params: Params) -> dict[str, Any]:
        order, market = self._find(account, params, -2013, "Order does not exist.")
        return usdm_wire.order_json(order, market.instrument)

    def cancel(self, account: Account, params: Params) -> dict[str, Any]:
        order, market = self._find(account, params, -2011, "Unknown order sent.")
        if not self.exchange.cancel(order):
            raise ApiError(-2011, "Unknown order sent.")
        return usdm_wire.order_json(order, market.instrument)

    def modify(self, account: Account, params: Params) -> dict[str, Any]:
        order, market = self._find(account, params, -2013, "Order does not exist.")
        i = market.instrument
        if wire.side_of(params) != order.terms.sell:
            raise ApiError(-5022, "The order's side cannot be changed.")
        refusal = self.exchange.amend(
            order, px=wire.steps(params, "price", i.tick_e8, "PRICE_FILTER"),
            qty=wire.steps(params, "quantity", i.lot_e8, "LOT_SIZE"),
        )  # fmt: skip
        if refusal is not None:
            raise _refused(refusal)
        return usdm_wire.order_json(order, i)

    def open_orders(self, account: Account, params: Params) -> list[dict[str, Any]]:
        names = [market.instrument.symbol for market in self._markets(params)]
        orders = [o for o in self.exchange.open.get(account.owner, {}).values() if o.symbol in names]
        return [usdm_wire.order_json(o, self.exchange.markets[o.symbol].instrument) for o in orders]

    def cancel_all(self, account: Account, params: Params) -> dict[str, Any]:
        self._cancel_all(account.owner, self._market(params).instrument.symbol)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def countdown(self, account: Account, params: Params) -> dict[str, Any]:
        symbol, after_ms = self._market(params).instrument.symbol, wire.number(params, "countdownTime")
        if after_ms < 0:
            raise ApiError(-1130, "Data sent for parameter 'countdownTime' is not valid.")
        self.countdowns.pop((account.owner, symbol), None)
        if after_ms:
            self.countdowns[account.owner, symbol] = self.exchange.now_ns + after_ms * MS
        return {"symbol": symbol, "countdownTime": str(after_ms)}

    # ---------------------------------------------------------------------------------------------------------- account
    def user_trades(self, account: Account, params: Params) -> list[dict[str, Any]]:
        market = self._market(params)
        first, start = wire.number(params, "fromId", 0), wire.number(params, "startTime", 0) * MS
        limit, order = min(1000, wire.number(params, "limit", 500)), wire.number(params, "orderId", 0)
        mine = [e for e in self.exchange.executions.get(account.owner, ())
                if e.order.symbol == market.instrument.symbol and e.trade_id >= first and e.ts_ns >= start
                and (not order or e.order.id == order)]  # fmt: skip
        cut = mine[:limit] if first or start else mine[-limit:]
        return [usdm_wire.trade_json(e, market.instrument) for e in cut]

    def income(self, account: Account, params: Params) -> list[dict[str, Any]]:
        start, limit = wire.number(params, "startTime", 0) * MS, min(1000, wire.number(params, "limit", 100))
        if params.get("incomeType", "FUNDING_FEE") != "FUNDING_FEE":
            return []
        rows = [row for row in self.incomes.get(account.owner, ()) if row.ts_ns >= start]
        return [
            {"symbol": row.symbol, "incomeType": "FUNDING_FEE", "income": amount_text(row.amount_e8),
             "asset": row.asset, "info": "FUNDING_FEE", "time": row.ts_ns // MS, "tranId": row.id, "tradeId": ""}
            for row in rows[:limit]
        ]  # fmt: skip

    def positions(self, account: Account, params: Params) -> list[dict[str, Any]]:
        """The open positions; of one symbol also that there is none."""
        return [
            usdm_wire.position_json(account, market, self._liquidation(account, market))
            for market in self._markets(params)
            if account.positions[market.instrument.symbol].lots or "symbol" in params
        ]

    def _liquidation(self, account: Account, market: Market) -> int:
        i, position = market.instrument, account.positions[market.instrument.symbol]
        others = [m for m in self.exchange.markets.values() if m is not market]
        margin = profit = 0
        for m in others:
            held = account.positions[m.instrument.symbol]
            margin += margin_of(m.instrument, abs(held.lots) * m.instrument.lot_e8 * m.mark_px_e8 // 10**8)[0]
            profit += held.unrealized_e8(m.mark_px_e8, m.instrument)
        return liquidation_px_e8(
            i, wallet_e8=account.balances[i.quote].free, others_margin_e8=margin, others_profit_e8=profit,
            lots=position.lots, entry_px_e8=position.entry_px_e8(i),
        )  # fmt: skip

    def symbol_config(self, account: Account, params: Params) -> list[dict[str, Any]]:
        return [
            {"symbol": symbol, "marginType": "ISOLATED" if (account.owner, symbol) in self._isolated else "CROSSED",
             "isAutoAddMargin": False, "leverage": account.leverage[symbol], "maxNotionalValue": "230000000"}
            for symbol in (market.instrument.symbol for market in self._markets(params))
        ]  # fmt: skip

    def leverage(self, account: Account, params: Params) -> dict[str, Any]:
        market, wanted = self._market(params), wire.number(params, "leverage")
        symbol = market.instrument.symbol
        if not 1 <= wanted <= market.instrument.tiers[0].leverage:
            raise ApiError(-4028, f"Leverage {wanted} is not valid")
        account.leverage[symbol] = wanted
        now = self.exchange.now_ns // MS
        said = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now, "ac": {"s": symbol, "l": wanted}}
        self._news.append((account.owner, said))
        return {"leverage": wanted, "maxNotionalValue": "230000000", "symbol": symbol}

    def margin_type(self, account: Account, params: Params) -> dict[str, Any]:
        place, wanted = (account.owner, self._market(params).instrument.symbol), wire.need(params, "marginType")
        if wanted not in ("ISOLATED", "CROSSED"):
            raise ApiError(-1130, "Data sent for parameter 'marginType' is not valid.")
        if (wanted == "ISOLATED") == (place in self._isolated):
            raise ApiError(-4046, "No need to change margin type.")
        self._isolated ^= {place}
        return {"code": 200, "msg": "success"}

    def position_side(self, account: Account, params: Params) -> dict[str, Any]:
        dual = wire.need(params, "dualSidePosition") == "true"
        if dual == (account.owner in self._dual):
            raise ApiError(-4059, "No need to change position side.")
        if self.exchange.open.get(account.owner) or any(p.lots for p in account.positions.values()):
            raise ApiError(-4068, "Position side cannot be changed if there exists position.")
        self._dual ^= {account.owner}
        return {"code": 200, "msg": "success"}

    def commission(self, account: Account, params: Params) -> dict[str, Any]:
        i = self._market(params).instrument
        maker, taker = (amount_text(rate) for rate in i.fees[account.tier])
        return {"symbol": i.symbol, "makerCommissionRate": maker, "takerCommissionRate": taker}


def _refused(refusal: Refusal) -> ApiError:
    """The venue's words where they differ from spot's."""
    error = wire.refusal_error(refusal)
    if error.msg == wire.ENGINE_TEXTS[int(Reason.REASON_WOULD_TAKE)]:
        return ApiError(-5022, "Due to the order could not be executed as maker, the Post Only order will be rejected.")
    if error.msg == "Filter failure: NOTIONAL":
        return ApiError(-4164, "Order's notional must be no smaller than 5 (unless you choose reduce only).")
    return error
