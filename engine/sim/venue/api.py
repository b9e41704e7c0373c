"""The venue's calls, the same for REST and for the WebSocket API: parameters in, an answer or an `ApiError` out."""

from __future__ import annotations

from typing import Any

from engine.sim.venue import wire
from engine.sim.venue.accounts import Account
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.form import OpenCall, Params
from engine.sim.venue.instruments import amount_text
from engine.sim.venue.market import Market
from engine.sim.venue.orders import Order, OrderList, Refusal
from engine.sim.venue.public import PublicApi
from engine.sim.venue.wire import MS, ApiError

DEPTH_WEIGHTS = ((100, 5), (500, 25), (1000, 50), (5000, 250))
RATE_LIMITS: list[dict[str, Any]] = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200_000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
]


class Api(PublicApi):
    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._cancels = 0

    # ---------------------------------------------------------------------------------------------------------- public
    def open_calls(self) -> dict[str, OpenCall]:
        return super().open_calls() | {"exchangeInfo": self.exchange_info, "avgPrice": self.avg_price}

    def exchange_info(self, params: Params) -> dict[str, Any]:
        return {
            "timezone": "UTC", "serverTime": self.exchange.now_ns // MS, "rateLimits": RATE_LIMITS,
            "exchangeFilters": [], "symbols": [wire.symbol_json(market) for market in self._markets(params)],
        }  # fmt: skip

    def avg_price(self, params: Params) -> dict[str, Any]:
        market = self._market(params)
        rows = market.klines_of("1m", 5)
        lots, units = sum(k.lots for k in rows), sum(k.units for k in rows)
        px = units * market.instrument.tick_e8 // lots if lots else market.book.last_px * market.instrument.tick_e8
        return {"mins": 5, "price": amount_text(px), "closeTime": self.exchange.now_ns // MS}

    # --------------------------------------------------------------------------------------------------------- account
    def account(self, account: Account, params: Params) -> dict[str, Any]:
        skip = params.get("omitZeroBalances") == "true"
        rates = next(iter(self.exchange.markets.values())).instrument.fees[account.tier]
        return {
            "makerCommission": rates[0] // 10_000, "takerCommission": rates[1] // 10_000, "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": amount_text(rates[0]), "taker": amount_text(rates[1]),
                                "buyer": "0.00000000", "seller": "0.00000000"},
            "canTrade": account.can_trade, "canWithdraw": False, "canDeposit": False, "brokered": False,
            "requireSelfTradePrevention": False, "preventSor": False, "updateTime": self.exchange.now_ns // MS,
            "accountType": "SPOT", "permissions": ["SPOT"], "uid": account.owner,
            "balances": [
                {"asset": asset, "free": amount_text(held.free), "locked": amount_text(held.locked)}
                for asset, held in sorted(account.balances.items())
                if not skip or held.free or held.locked
            ],
        }  # fmt: skip

    def commission(self, account: Account, params: Params) -> dict[str, Any]:
        market = self._market(params)
        maker, taker = (amount_text(rate) for rate in market.instrument.fees[account.tier])
        zero = dict.fromkeys(("maker", "taker", "buyer", "seller"), "0.00000000")
        return {
            "symbol": market.instrument.symbol, "standardCommission": zero | {"maker": maker, "taker": taker},
            "specialCommission": zero, "taxCommission": zero,
            "discount": {"enabledForAccount": bool(account.fee_asset), "enabledForSymbol": True,
                         "discountAsset": "BNB", "discount": "0.75000000"},
        }  # fmt: skip

    # ---------------------------------------------------------------------------------------------------------- orders
    def _place(self, account: Account, params: Params, *, test: bool = False) -> tuple[Order, Market]:
        market = self._market(params)
        if not account.can_trade:
            raise ApiError(-2010, "This action is disabled on this account.")
        terms = wire.terms_of(params, market.instrument)
        made = self.exchange.place(account, market.instrument.symbol, terms, test=test)
        if isinstance(made, Refusal):
            raise wire.refusal_error(made)
        return made, market

    def place(self, account: Account, params: Params) -> dict[str, Any]:
        form = params.get("newOrderRespType") or ("FULL" if params.get("type") in ("MARKET", "LIMIT") else "ACK")
        if form not in ("ACK", "RESULT", "FULL"):
            raise ApiError(-1118, "Invalid newOrderRespType.")
        order, market = self._place(account, params)
        return wire.placed_json(order, market.instrument, form)

    def test(self, account: Account, params: Params) -> dict[str, Any]:
        self._place(account, params, test=True)
        return {}

    def _find(self, account: Account, params: Params, *, code: int = -2013, text: str = "Order does not exist.",
              id_name: str = "orderId", client_name: str = "origClientOrderId") -> tuple[Order, Market]:  # fmt: skip
        market = self._market(params)
        if id_name in params:
            order = self.exchange.orders.get(wire.number(params, id_name))
        elif client_name in params:
            order = self.exchange.by_client.get((account.owner, market.instrument.symbol, params[client_name]))
        else:
            raise ApiError(-1102, f"Param '{client_name}' or '{id_name}' must be sent, but both were empty/null!")
        if order is None or order.owner != account.owner or order.symbol != market.instrument.symbol:
            raise ApiError(code, text)
        return order, market

    def query(self, account: Account, params: Params) -> dict[str, Any]:
        order, market = self._find(account, params)
        return wire.order_json(order, market.instrument)

    def cancel(self, account: Account, params: Params, *, id_name: str = "orderId",
               client_name: str = "origClientOrderId") -> dict[str, Any]:  # fmt: skip
        unknown = {"code": -2011, "text": "Unknown order sent."}
        order, market = self._find(account, params, id_name=id_name, client_name=client_name, **unknown)  # type: ignore[arg-type]
        only = params.get("cancelRestrictions")
        wanted = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}.get(only or "")
        if only and order.is_open and wanted != order.status:
            raise ApiError(-2011, "Order was not canceled due to cancel restrictions.")
        self._cancels += 1
        cancel_id = wire.client_id(params, "newClientOrderId") or f"cancel{self._cancels:016d}"
        made = self.exchange.lists.get(order.list_id)
        if not self.exchange.cancel(order, cancel_id=cancel_id):
            raise ApiError(-2011, "Unknown order sent.")
        if made is not None:
            return wire.list_json(made, reports=True, instrument=market.instrument)
        return wire.canceled_json(order, market.instrument, cancel_id)

    def cancel_replace(self, account: Account, params: Params) -> dict[str, Any]:
        mode = wire.need(params, "cancelReplaceMode")
        if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
            raise ApiError(-1102, "Mandatory parameter 'cancelReplaceMode' was not sent, was empty/null, or malformed.")
        out: dict[str, Any] = {"cancelResult": "SUCCESS", "newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None}
        try:
            cancel = {k: v for k, v in params.items() if k != "newClientOrderId"}
            out["cancelResponse"] = self.cancel(
                account, cancel, id_name="cancelOrderId", client_name="cancelOrigClientOrderId"
            )
        except ApiError as error:
            out |= {"cancelResult": "FAILURE", "cancelResponse": error.body()}
            if mode == "STOP_ON_FAILURE":
                raise ApiError(-2022, "Order cancel-replace failed.", **out) from error
        try:
            out["newOrderResponse"] = self.place(account, params)
            out["newOrderResult"] = "SUCCESS"
        except ApiError as error:
            out |= {"newOrderResult": "FAILURE", "newOrderResponse": error.body()}
        if out["cancelResult"] == out["newOrderResult"] == "SUCCESS":
            return out
        if "SUCCESS" in (out["cancelResult"], out["newOrderResult"]):
            raise ApiError(-2021, "Order cancel-replace partially failed.", 409, **out)
        raise ApiError(-2022, "Order cancel-replace failed.", **out)

    def amend(self, account: Account, params: Params) -> dict[str, Any]:
        order, market = self._find(account, params)
        qty = wire.steps(params, "newQty", market.instrument.lot_e8, "LOT_SIZE")
        refusal = self.exchange.amend(order, px=order.px, qty=qty, keep_only=True)
        if refusal is not None:
            raise ApiError(-2038, "Order amend is not supported or would not reduce the quantity.")
        return {
            "transactTime": self.exchange.now_ns // MS, "executionId": len(order.executions) + order.amends,
            "amendedOrder": wire.order_json(order, market.instrument),
        }  # fmt: skip

    def _open(self, account: Account, params: Params) -> list[Order]:
        symbol = self._market(params).instrument.symbol if "symbol" in params else None
        orders = self.exchange.open.get(account.owner, {}).values()
        return [order for order in orders if symbol in (None, order.symbol)]

    def open_orders(self, account: Account, params: Params) -> list[dict[str, Any]]:
        return [wire.order_json(o, self.exchange.markets[o.symbol].instrument) for o in self._open(account, params)]

    def cancel_all(self, account: Account, params: Params) -> list[dict[str, Any]]:
        market = self._market(params)
        orders = self._open(account, params)
        if not orders:
            raise ApiError(-2011, "Unknown order sent.")
        out: list[dict[str, Any]] = []
        for order in orders:
            made: OrderList | None = self.exchange.lists.get(order.list_id)
            self._cancels += 1
            if not order.is_open or not self.exchange.cancel(order, cancel_id=f"cancel{self._cancels:016d}"):
                continue
            if made is None:
                out.append(wire.canceled_json(order, market.instrument, f"cancel{self._cancels:016d}"))
            else:
                out.append(wire.list_json(made, reports=True, instrument=market.instrument))
        return out

    def all_orders(self, account: Account, params: Params) -> list[dict[str, Any]]:
        market = self._market(params)
        first, limit = wire.number(params, "orderId", 0), min(1000, wire.number(params, "limit", 500))
        mine = [o for o in self.exchange.orders.values()
                if o.owner == account.owner and o.symbol == market.instrument.symbol and o.id >= first]  # fmt: skip
        return [wire.order_json(o, market.instrument) for o in (mine[:limit] if first else mine[-limit:])]

    def my_trades(self, account: Account, params: Params) -> list[dict[str, Any]]:
        market = self._market(params)
        order, first = wire.number(params, "orderId", 0), wire.number(params, "fromId", 0)
        limit, start = min(1000, wire.number(params, "limit", 500)), wire.number(params, "startTime", 0) * MS
        mine = [e for e in self.exchange.executions.get(account.owner, ())
                if e.order.symbol == market.instrument.symbol and (not order or e.order.id == order)
                and e.trade_id >= first and e.ts_ns >= start]  # fmt: skip
        return [wire.trade_json(e, market.instrument) for e in (mine[:limit] if first or start else mine[-limit:])]

    # ----------------------------------------------------------------------------------------------------------- lists
    def place_list(self, account: Account, params: Params, kind: str) -> dict[str, Any]:
        market = self._market(params)
        i = market.instrument
        if kind == "oco":
            sell = wire.side_of(params)
            legs = [wire.terms_of(params, i, prefix=leg, sell=sell) for leg in ("above", "below")]
        else:
            working = self._working(params, market)
            sides = wire.need(params, "pendingSide")
            if sides not in ("BUY", "SELL"):
                raise ApiError(-1117, "Invalid side.")
            names = ("pending",) if kind == "oto" else ("pendingAbove", "pendingBelow")
            legs = [working] + [
                wire.terms_of(params, i, prefix=leg, sell=sides == "SELL", qty_name="pendingQuantity") for leg in names
            ]
        made = self.exchange.place_list(
            account, i.symbol, wire.LIST_KINDS[kind], legs, client_id=wire.client_id(params, "listClientOrderId")
        )
        if isinstance(made, Refusal):
            raise wire.refusal_error(made)
        return wire.list_json(made, reports=True, instrument=i)

    def _working(self, params: Params, market: Market) -> Any:
        side = wire.need(params, "workingSide")
        if side not in ("BUY", "SELL"):
            raise ApiError(-1117, "Invalid side.")
        if wire.need(params, "workingType") not in ("LIMIT", "LIMIT_MAKER"):
            raise ApiError(-1116, "Invalid orderType.")
        return wire.terms_of(
            params, market.instrument, prefix="working", sell=side == "SELL", qty_name="workingQuantity"
        )

    def legacy_oco(self, account: Account, params: Params) -> dict[str, Any]:
        """The deprecated form of an OCO: one price, one stop price, perhaps a stop limit price."""
        sell = wire.side_of(params)
        limit, stop = ("above", "below") if sell else ("below", "above")
        stop_limit = params.get("stopLimitPrice")
        more = {
            f"{limit}Type": "LIMIT_MAKER", f"{limit}Price": wire.need(params, "price"),
            f"{stop}Type": "STOP_LOSS_LIMIT" if stop_limit else "STOP_LOSS",
            f"{stop}StopPrice": wire.need(params, "stopPrice"),
        }  # fmt: skip
        if stop_limit:
            more |= {f"{stop}Price": stop_limit, f"{stop}TimeInForce": params.get("stopLimitTimeInForce", "GTC")}
        for ours, theirs in ((limit, "limitClientOrderId"), (stop, "stopClientOrderId")):
            if theirs in params:
                more[f"{ours}ClientOrderId"] = params[theirs]
        return self.place_list(account, dict(params) | more, "oco")

    def _find_list(self, account: Account, params: Params, code: int, text: str) -> OrderList:
        made = None
        if "orderListId" in params:
            made = self.exchange.lists.get(wire.number(params, "orderListId"))
        else:
            name = params.get("origClientOrderId") or params.get("listClientOrderId")
            if not name:
                raise ApiError(
                    -1102, "Param 'origClientOrderId' or 'orderListId' must be sent, but both were empty/null!"
                )
            made = next((x for x in self.exchange.lists.values() if x.client_id == name), None)
        if made is None or made.owner != account.owner:
            raise ApiError(code, text)
        return made

    def query_list(self, account: Account, params: Params) -> dict[str, Any]:
        return wire.list_json(self._find_list(account, params, -2018, "Order list does not exist."))

    def cancel_list(self, account: Account, params: Params) -> dict[str, Any]:
        made = self._find_list(account, params, -2011, "Unknown order list sent.")
        live = [order for order in made.orders if order.is_open]
        self._cancels += 1
        if not live or not self.exchange.cancel(live[0], cancel_id=f"cancel{self._cancels:016d}"):
            raise ApiError(-2011, "Unknown order list sent.")
        for order in live[1:]:
            if order.is_open:
                self.exchange.cancel(order)
        return wire.list_json(made, reports=True, instrument=self.exchange.markets[made.symbol].instrument)

    def lists(self, account: Account, params: Params, *, only_open: bool) -> list[dict[str, Any]]:
        limit = min(1000, wire.number(params, "limit", 500))
        mine = [x for x in self.exchange.lists.values()
                if x.owner == account.owner and not (only_open and x.status == "ALL_DONE")]  # fmt: skip
        return [wire.list_json(x) for x in mine[-limit:]]
