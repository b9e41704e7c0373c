"""The calls of the USD-M form: orders, positions, settings and payments of an account; parameters in, an answer or an
`ApiError` out. Positions are one-way and on cross margin, as the exchange counts them.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine._core.match import Reason
from engine.sim.venue import usdm_wire, wire
from engine.sim.venue.accounts import Account, liquidation_px_e8, margin_of
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import OpenCall, Params
from engine.sim.venue.instruments import amount_text
from engine.sim.venue.market import Market
from engine.sim.venue.orders import Order, Refusal
from engine.sim.venue.public import PublicApi
from engine.sim.venue.usdm_algo import AlgoService
from engine.sim.venue.wire import MS, ApiError

RATE_LIMITS: list[dict[str, Any]] = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
]
_LISTS = {"orderidlist": "orderIdList", "origclientorderidlist": "origClientOrderIdList"}


@dataclass(frozen=True)
class Income:
    """One funding payment to an account."""

    id: int
    symbol: str
    asset: str
    amount_e8: int
    ts_ns: int


class UsdmApi(PublicApi):
    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.incomes: dict[int, deque[Income]] = {}
        self.countdowns: dict[tuple[int, str], int] = {}  # owner and symbol -> when all is cancelled
        self.news: list[tuple[int, dict[str, Any]]] = []  # owner and event, until the form tells them
        self.algo = AlgoService(exchange)
        self._dual: set[int] = set()
        self._isolated: set[tuple[int, str]] = set()

    def is_dual(self, account: Account) -> bool:
        return account.owner in self._dual

    def open_calls(self) -> dict[str, OpenCall]:
        return super().open_calls() | {"exchangeInfo": self.exchange_info, "premiumIndex": self.premium_index}

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
        return super().depth({"limit": "500"} | dict(params)) | {"E": now, "T": now}

    def premium_index(self, params: Params) -> Any:
        rows = [
            {"symbol": m.instrument.symbol, "markPrice": amount_text(m.mark_px_e8),
             "indexPrice": amount_text(m.index_px_e8), "estimatedSettlePrice": amount_text(m.index_px_e8),
             "lastFundingRate": amount_text(m.funding_rate_e8), "interestRate": "0.00010000",
             "nextFundingTime": m.next_funding_ns // MS, "time": self.exchange.now_ns // MS}
            for m in self._markets(params)
        ]  # fmt: skip
        return rows[0] if "symbol" in params else rows

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
        self.cancel_all_of(account.owner, self._market(params).instrument.symbol)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def countdown(self, account: Account, params: Params) -> dict[str, Any]:
        symbol, after_ms = self._market(params).instrument.symbol, wire.number(params, "countdownTime")
        if after_ms < 0:
            raise ApiError(-1130, "Data sent for parameter 'countdownTime' is not valid.")
        self.countdowns.pop((account.owner, symbol), None)
        if after_ms:
            self.countdowns[account.owner, symbol] = self.exchange.now_ns + after_ms * MS
        return {"symbol": symbol, "countdownTime": str(after_ms)}

    def all_orders(self, account: Account, params: Params) -> list[dict[str, Any]]:
        i, first = self._market(params).instrument, wire.number(params, "orderId", 0)
        start, limit = wire.number(params, "startTime", 0) * MS, min(1000, wire.number(params, "limit", 500))
        mine = [
            o for o in self.exchange.orders.values()
            if o.owner == account.owner and o.symbol == i.symbol and o.id >= first and o.created_ns >= start
        ]  # fmt: skip
        cut = mine[:limit] if first or start else mine[-limit:]
        return [usdm_wire.order_json(o, i) for o in cut]

    def batch(self, account: Account, params: Params) -> list[dict[str, Any]]:
        """A few orders at once; each is answered for itself."""
        return [self._answer(self.place, account, one) for one in _rows(wire.need(params, "batchOrders"))]

    def cancel_batch(self, account: Account, params: Params) -> list[dict[str, Any]]:
        # ccxt writes these names in small letters, and the real venue takes them.
        params = {_LISTS.get(name.lower(), name): value for name, value in params.items()}
        name = "orderIdList" if "orderIdList" in params else "origClientOrderIdList"
        single = {"orderIdList": "orderId", "origClientOrderIdList": "origClientOrderId"}[name]
        symbol = wire.need(params, "symbol")
        return [
            self._answer(self.cancel, account, {"symbol": symbol, single: str(one)})
            for one in _rows(wire.need(params, name))
        ]

    @staticmethod
    def _answer(call: Callable[[Account, Params], dict[str, Any]], account: Account, one: Any) -> dict[str, Any]:
        try:
            if not isinstance(one, dict):
                raise ApiError(-1130, "Data sent for parameter 'batchOrders' is not valid.")
            return call(account, {name: _text(value) for name, value in one.items()})
        except ApiError as error:
            return error.body()

    # --------------------------------------------------------------------------------------------- conditional orders
    def place_algo(self, account: Account, params: Params) -> dict[str, Any]:
        if account.owner in self._dual:
            raise ApiError(-4061, "Order's position side does not match user's setting.")
        return self.algo.place(account, params, self._market(params))

    def open_algos(self, account: Account, params: Params) -> list[dict[str, Any]]:
        return self.algo.open_of(account, [market.instrument.symbol for market in self._markets(params)])

    def all_algos(self, account: Account, params: Params) -> list[dict[str, Any]]:
        return self.algo.all_of(account, self._market(params).instrument.symbol)

    def cancel_algos(self, account: Account, params: Params) -> dict[str, Any]:
        self.algo.cancel_all(account.owner, self._market(params).instrument.symbol)
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

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

    def brackets(self, account: Account, params: Params) -> Any:  # noqa: ARG002  (the same for everybody)
        rows = [usdm_wire.brackets_json(market.instrument) for market in self._markets(params)]
        return rows[0] if "symbol" in params else rows

    def account_config(self, account: Account, params: Params) -> dict[str, Any]:  # noqa: ARG002
        return {
            "feeTier": account.tier, "canTrade": account.can_trade, "canDeposit": True, "canWithdraw": True,
            "dualSidePosition": self.is_dual(account), "updateTime": 0, "multiAssetsMargin": False, "tradeGroupId": -1,
        }  # fmt: skip

    def balance(self, account: Account, params: Params) -> list[dict[str, Any]]:  # noqa: ARG002
        row = usdm_wire.account_json(self.exchange, account)["assets"][0]
        return [
            {"accountAlias": f"embedded{account.owner}", "asset": row["asset"], "balance": row["walletBalance"],
             "crossWalletBalance": row["crossWalletBalance"], "crossUnPnl": row["unrealizedProfit"],
             "availableBalance": row["availableBalance"], "maxWithdrawAmount": row["maxWithdrawAmount"],
             "marginAvailable": True, "updateTime": row["updateTime"]}
        ]  # fmt: skip

    def leverage(self, account: Account, params: Params) -> dict[str, Any]:
        market, wanted = self._market(params), wire.number(params, "leverage")
        symbol = market.instrument.symbol
        if not 1 <= wanted <= market.instrument.tiers[0].leverage:
            raise ApiError(-4028, f"Leverage {wanted} is not valid")
        account.leverage[symbol] = wanted
        now = self.exchange.now_ns // MS
        said = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now, "T": now, "ac": {"s": symbol, "l": wanted}}
        self.news.append((account.owner, said))
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

    def cancel_all_of(self, owner: int, symbol: str) -> int:
        mine = [order for order in self.exchange.open.get(owner, {}).values() if order.symbol == symbol]
        return sum(self.exchange.cancel(order) for order in mine if order.is_open)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rows(text: str) -> list[Any]:
    """A list in a parameter; ten at most."""
    try:
        rows = json.loads(text)
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not 0 < len(rows) <= 10:
        raise ApiError(-1130, "Data sent for parameter 'batchOrders' is not valid.")
    return rows


def _refused(refusal: Refusal) -> ApiError:
    """The venue's words where they differ from spot's."""
    if refusal.reason == Reason.REASON_NO_CHANGE:
        return ApiError(-5027, "No need to modify the order.")
    error = wire.refusal_error(refusal)
    if error.msg == wire.ENGINE_TEXTS[int(Reason.REASON_WOULD_TAKE)]:
        return ApiError(-5022, "Due to the order could not be executed as maker, the Post Only order will be rejected.")
    if error.msg == "Filter failure: NOTIONAL":
        return ApiError(-4164, "Order's notional must be no smaller than 5 (unless you choose reduce only).")
    return error
