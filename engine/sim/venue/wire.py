"""Text of the venue: parameters in, JSON out, error codes and their sentences. No socket, no clock, no state.

Numbers are parsed to steps exactly; what has more digits than a step can hold is refused with the venue's own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine._core.match import ListKind, Reason
from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import Status
from engine.sim.venue.instruments import E8, Instrument, amount_text
from engine.sim.venue.market import Kline, Market
from engine.sim.venue.orders import Execution, Order, OrderList, Refusal, Report, Terms

MS = 1_000_000
_NUMBER = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)
_CLIENT_ID = re.compile(r"[a-zA-Z0-9\-_.:/]{1,36}", re.ASCII)
STP = {"NONE": 0, "EXPIRE_TAKER": 1, "EXPIRE_MAKER": 2, "EXPIRE_BOTH": 3, "DECREMENT": 4}
STP_NAMES = {number: name for name, number in STP.items()}
TYPES = {
    "LIMIT": WishType.TYPE_LIMIT, "LIMIT_MAKER": WishType.TYPE_LIMIT, "MARKET": WishType.TYPE_MARKET,
    "STOP_LOSS": WishType.TYPE_STOP, "STOP_LOSS_LIMIT": WishType.TYPE_STOP_LIMIT, "TAKE_PROFIT": WishType.TYPE_TAKE,
    "TAKE_PROFIT_LIMIT": WishType.TYPE_TAKE_LIMIT,
}  # fmt: skip
LIMITS = ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
TIFS = {"GTC": WishTif.TIF_GTC, "IOC": WishTif.TIF_IOC, "FOK": WishTif.TIF_FOK}
_TYPE_NAMES = {
    int(WishType.TYPE_MARKET): "MARKET", int(WishType.TYPE_STOP): "STOP_LOSS", int(WishType.TYPE_TAKE): "TAKE_PROFIT",
    int(WishType.TYPE_STOP_LIMIT): "STOP_LOSS_LIMIT", int(WishType.TYPE_TAKE_LIMIT): "TAKE_PROFIT_LIMIT",
    int(WishType.TYPE_ICEBERG): "LIMIT",
}  # fmt: skip

FILTERS = {
    int(Reason.REASON_PRICE_FILTER): "PRICE_FILTER", int(Reason.REASON_LOT_SIZE): "LOT_SIZE",
    int(Reason.REASON_MARKET_LOT_SIZE): "MARKET_LOT_SIZE", int(Reason.REASON_NOTIONAL): "NOTIONAL",
    int(Reason.REASON_PERCENT_PRICE): "PERCENT_PRICE_BY_SIDE", int(Reason.REASON_MAX_ORDERS): "MAX_NUM_ORDERS",
    int(Reason.REASON_MAX_ALGO): "MAX_NUM_ALGO_ORDERS", int(Reason.REASON_MAX_ICEBERG): "MAX_NUM_ICEBERG_ORDERS",
    int(Reason.REASON_ICEBERG_PARTS): "ICEBERG_PARTS",
}  # fmt: skip
ENGINE_TEXTS = {
    int(Reason.REASON_DUPLICATE): "Duplicate order sent.",
    int(Reason.REASON_WOULD_TAKE): "Order would immediately match and take.",
    int(Reason.REASON_WOULD_TRIGGER): "Order would trigger immediately.",
    int(Reason.REASON_HALTED): "Market is closed.",
    int(Reason.REASON_LIST): "The relationship of the prices for the orders is not correct.",
    int(Reason.REASON_CAPACITY): "Order could not be placed: the book has no room.",
}
EXPIRY_REASONS = {
    int(Reason.REASON_OCO): "OCO_TRIGGER", int(Reason.REASON_OTO): "OTO_PHASE_ONE_EXPIRED",
    int(Reason.REASON_IOC): "UNFILLED_IOC_QUANTITY_EXPIRED", int(Reason.REASON_FOK): "UNFILLED_FOK_ORDER_EXPIRED",
    int(Reason.REASON_LIQUIDITY): "INSUFFICIENT_LIQUIDITY", int(Reason.REASON_BUDGET): "INSUFFICIENT_LIQUIDITY",
    int(Reason.REASON_SELF): "EXCHANGE_CANCELED",
}  # fmt: skip
WORDS = {
    "balance": (-2010, "Account has insufficient balance for requested action."),
    "margin": (-2019, "Margin is insufficient."),
    "reduce": (-2022, "ReduceOnly Order is rejected."),
}


class ApiError(Exception):
    """An answer of the venue to what a client did wrong: it goes over the wire, never up the stack of the engine."""

    def __init__(self, code: int, msg: str, http: int = 400, **more: Any) -> None:
        super().__init__(f"{code} {msg}")
        self.code, self.msg, self.http, self.more = code, msg, http, more

    def body(self) -> dict[str, Any]:
        return {"code": self.code, "msg": self.msg, **({"data": self.more} if self.more else {})}


def refusal_error(refusal: Refusal) -> ApiError:
    if refusal.word in WORDS:
        return ApiError(*WORDS[refusal.word])
    if refusal.reason in FILTERS:
        return ApiError(-1013, f"Filter failure: {FILTERS[refusal.reason]}")
    if refusal.reason in ENGINE_TEXTS:
        return ApiError(-2010, ENGINE_TEXTS[refusal.reason])
    if refusal.status == Status.MATCH_UNKNOWN:
        return ApiError(-2011, "Unknown order sent.")
    return ApiError(-1106, "Parameter was sent when not required.")


# ---------------------------------------------------------------------------------------------------------- parameters
def need(params: Mapping[str, str], name: str) -> str:
    value = params.get(name, "")
    if not value:
        raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def number(params: Mapping[str, str], name: str, default: int | None = None) -> int:
    """A whole number."""
    value = params.get(name)
    if value is None and default is not None:
        return default
    if value is None or not re.fullmatch(r"-?[0-9]{1,18}", value, re.ASCII):
        if value is None:
            need(params, name)
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(value)


def amount_e8(params: Mapping[str, str], name: str) -> int:
    """A decimal in 1e-8; 0 when it was not sent."""
    text = params.get(name)
    if text is None:
        return 0
    found = _NUMBER.fullmatch(text)
    if found is None:
        legal = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
    decimals = (found[2] or "").rstrip("0")
    if len(decimals) > 8:
        raise ApiError(-1111, f"Parameter '{name}' has too much precision.")
    value = int(found[1]) * E8 + int(decimals.ljust(8, "0"))
    if value >= 2**62:
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; the value is out of range.")
    return value


def steps(params: Mapping[str, str], name: str, step_e8: int, filter_name: str) -> int:
    value = amount_e8(params, name)
    if value % step_e8:
        raise ApiError(-1013, f"Filter failure: {filter_name}")
    return value // step_e8


def client_id(params: Mapping[str, str], name: str) -> str:
    value = params.get(name, "")
    if value and not _CLIENT_ID.fullmatch(value):
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[\\.A-Z\\:/a-z0-9_-]{{1,36}}$'.")  # fmt: skip  # noqa: E501
    return value


def side_of(params: Mapping[str, str]) -> bool:
    side = need(params, "side")
    if side not in ("BUY", "SELL"):
        raise ApiError(-1117, "Invalid side.")
    return side == "SELL"


def _tif_of(params: Mapping[str, str], kind: str, name: str) -> str | None:
    """Its time in force, which a limit order must have and no other may."""
    text = params.get(name)
    if text is not None and text not in TIFS:
        raise ApiError(-1115, "Invalid timeInForce.")
    if kind in LIMITS:
        return need(params, name)
    if text is not None:
        raise ApiError(-1106, f"Parameter '{name}' sent when not required.")
    return None


def terms_of(params: Mapping[str, str], instrument: Instrument, *, prefix: str = "", sell: bool | None = None,
             qty_name: str = "quantity") -> Terms:  # fmt: skip
    """An order's terms from its parameters; `prefix` names a leg of a list (above, below, working, pending)."""

    def name(short: str) -> str:
        return prefix + short[0].upper() + short[1:] if prefix else short

    sells = side_of(params) if sell is None else sell
    kind = need(params, name("type"))
    if kind not in TYPES:
        raise ApiError(-1116, "Invalid orderType.")
    tif_text = _tif_of(params, kind, name("timeInForce"))
    if kind in LIMITS or kind == "LIMIT_MAKER":
        need(params, name("price"))
    elif params.get(name("price")) is not None:
        raise ApiError(-1106, f"Parameter '{name('price')}' sent when not required.")
    quote = amount_e8(params, "quoteOrderQty") if kind == "MARKET" and not prefix else 0
    if not quote:
        need(params, qty_name)
    bips = number(params, name("trailingDelta"), 0)
    conditional = kind.startswith(("STOP_LOSS", "TAKE_PROFIT"))
    if conditional and not bips:
        need(params, name("stopPrice"))
    if bips and kind.startswith("TAKE_PROFIT"):
        raise ApiError(-1106, f"Parameter '{name('trailingDelta')}' sent when not required.")
    stp = params.get("selfTradePreventionMode", "NONE")
    if stp not in STP:
        raise ApiError(-1013, "This symbol does not allow the specified self-trade prevention mode.")
    display = steps(params, name("icebergQty"), instrument.lot_e8, "LOT_SIZE")
    type_ = int(TYPES[kind])
    if bips:
        type_ = WishType.TYPE_TRAILING
    elif display:
        type_ = WishType.TYPE_ICEBERG
    tif = WishTif.TIF_GTX if kind == "LIMIT_MAKER" else TIFS.get(tif_text or "GTC", WishTif.TIF_GTC)
    if display and tif not in (WishTif.TIF_GTC, WishTif.TIF_GTX):
        raise ApiError(-1128, "Combination of optional parameters invalid.")
    qty = steps(params, qty_name, instrument.lot_e8, "LOT_SIZE")
    return Terms(
        sell=sells,
        type=type_,
        qty=qty if not quote else instrument.qty_max_lots,
        px=steps(params, name("price"), instrument.tick_e8, "PRICE_FILTER"),
        tif=tif,
        stp=STP[stp],
        trigger=steps(params, name("stopPrice"), instrument.tick_e8, "PRICE_FILTER"),
        trail=bips,
        trail_in_bips=bool(bips),
        display=display,
        quote_e8=quote,
        client_id=client_id(params, name("clientOrderId") if prefix else "newClientOrderId"),
    )


# ------------------------------------------------------------------------------------------------------------- answers
def type_name(order: Order) -> str:
    terms = order.terms
    if terms.type == WishType.TYPE_TRAILING:
        return "STOP_LOSS_LIMIT" if terms.px else "STOP_LOSS"
    if terms.type == WishType.TYPE_LIMIT and terms.tif == WishTif.TIF_GTX:
        return "LIMIT_MAKER"
    return _TYPE_NAMES.get(terms.type, "LIMIT")


def tif_name(order: Order) -> str:
    return {int(WishTif.TIF_IOC): "IOC", int(WishTif.TIF_FOK): "FOK"}.get(order.terms.tif, "GTC")


def order_json(order: Order, instrument: Instrument) -> dict[str, Any]:
    """The full order, as queries give it."""
    terms = order.terms
    out = {
        "symbol": order.symbol, "orderId": order.id, "orderListId": order.list_id, "clientOrderId": order.client_id,
        "price": instrument.px_text(order.px), "origQty": instrument.qty_text(order.qty),
        "executedQty": instrument.qty_text(order.filled), "origQuoteOrderQty": amount_text(terms.quote_e8),
        "cummulativeQuoteQty": amount_text(order.units * instrument.unit_e8), "status": order.status,
        "timeInForce": tif_name(order), "type": type_name(order), "side": "SELL" if terms.sell else "BUY",
        "stopPrice": instrument.px_text(terms.trigger), "icebergQty": instrument.qty_text(terms.display),
        "time": order.created_ns // MS, "updateTime": order.updated_ns // MS, "isWorking": order.working_ns >= 0,
        "workingTime": order.working_ns // MS if order.working_ns >= 0 else -1,
        "selfTradePreventionMode": STP_NAMES[terms.stp],
    }  # fmt: skip
    if order.prevented:
        out["preventedQuantity"] = instrument.qty_text(order.prevented)
    if terms.trail_in_bips:
        out["trailingDelta"] = terms.trail
    return out


def placed_json(order: Order, instrument: Instrument, form: str) -> dict[str, Any]:
    """What placing an order answers: ACK, RESULT or FULL."""
    full = order_json(order, instrument)
    out = {name: full[name] for name in ("symbol", "orderId", "orderListId", "clientOrderId")}
    out["transactTime"] = order.updated_ns // MS
    if form == "ACK":
        return out
    for name in (
        "price", "origQty", "executedQty", "origQuoteOrderQty", "cummulativeQuoteQty", "status", "timeInForce", "type",
        "side", "workingTime", "selfTradePreventionMode",
    ):  # fmt: skip
        out[name] = full[name]
    for name in ("stopPrice", "icebergQty"):
        if (order.terms.trigger and name == "stopPrice") or (order.terms.display and name == "icebergQty"):
            out[name] = full[name]
    if form == "FULL":
        out["fills"] = [
            {"price": instrument.px_text(e.px), "qty": instrument.qty_text(e.lots),
             "commission": amount_text(e.fee.amount), "commissionAsset": e.fee.asset, "tradeId": e.trade_id}
            for e in order.executions
        ]  # fmt: skip
    return out


def canceled_json(order: Order, instrument: Instrument, cancel_id: str) -> dict[str, Any]:
    out = placed_json(order, instrument, "RESULT")
    return out | {"origClientOrderId": order.client_id, "clientOrderId": cancel_id}


def list_json(made: OrderList, *, reports: bool = False, instrument: Instrument | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "orderListId": made.id, "contingencyType": made.contingency,
        "listStatusType": "ALL_DONE" if made.status == "ALL_DONE" else "EXEC_STARTED",
        "listOrderStatus": made.status, "listClientOrderId": made.client_id,
        "transactionTime": made.created_ns // MS, "symbol": made.symbol,
        "orders": [{"symbol": o.symbol, "orderId": o.id, "clientOrderId": o.client_id} for o in made.orders],
    }  # fmt: skip
    if reports and instrument is not None:
        out["orderReports"] = [placed_json(o, instrument, "RESULT") for o in made.orders]
    return out


def trade_json(e: Execution, instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": e.order.symbol, "id": e.trade_id, "orderId": e.order.id, "orderListId": e.order.list_id,
        "price": instrument.px_text(e.px), "qty": instrument.qty_text(e.lots),
        "quoteQty": amount_text(e.px * e.lots * instrument.unit_e8), "commission": amount_text(e.fee.amount),
        "commissionAsset": e.fee.asset, "time": e.ts_ns // MS, "isBuyer": not e.order.terms.sell, "isMaker": e.maker,
        "isBestMatch": True,
    }  # fmt: skip


def kline_json(k: Kline, span_ns: int, instrument: Instrument) -> list[Any]:
    unit = instrument.unit_e8
    return [
        k.open_ns // MS, *(instrument.px_text(x) for x in (k.open, k.high, k.low, k.close)),
        instrument.qty_text(k.lots), (k.open_ns + span_ns) // MS - 1, amount_text(k.units * unit), k.trades,
        instrument.qty_text(k.taker_lots), amount_text(k.taker_units * unit), "0",
    ]  # fmt: skip


def ticker_json(market: Market, now_ns: int) -> dict[str, Any]:
    i, book, day = market.instrument, market.book, market.day(now_ns)
    first, last = (day[0].open, day[-1].close) if day else (book.last_px, book.last_px)
    lots, units = sum(k.lots for k in day), sum(k.units for k in day)
    bid, ask = book.best_bid, book.best_ask
    change = (last - first) * 100_000 // first if first else 0
    return {
        "symbol": i.symbol, "priceChange": amount_text((last - first) * i.tick_e8),
        "priceChangePercent": f"{'-' if change < 0 else ''}{abs(change) // 1000}.{abs(change) % 1000:03d}",
        "weightedAvgPrice": amount_text(units * i.tick_e8 // lots if lots else 0), "prevClosePrice": i.px_text(first),
        "lastPrice": i.px_text(last), "lastQty": i.qty_text(market.trades[-1].lots if market.trades else 0),
        "bidPrice": i.px_text(bid), "bidQty": i.qty_text(max(0, book.lots_at(bid))), "askPrice": i.px_text(ask),
        "askQty": i.qty_text(max(0, -book.lots_at(ask))), "openPrice": i.px_text(first),
        "highPrice": i.px_text(max((k.high for k in day), default=last)),
        "lowPrice": i.px_text(min((k.low for k in day), default=last)), "volume": i.qty_text(lots),
        "quoteVolume": amount_text(units * i.unit_e8), "openTime": (now_ns - 86_400 * 10**9) // MS,
        "closeTime": now_ns // MS, "firstId": day[0].first if day else -1, "lastId": day[-1].last if day else -1,
        "count": sum(k.trades for k in day),
    }  # fmt: skip


def symbol_json(market: Market) -> dict[str, Any]:
    i = market.instrument
    up, down = (f"{ppm / 10**6:g}" for ppm in (i.percent_up_ppm, i.percent_down_ppm))
    lots = {"minQty": i.qty_text(i.qty_min_lots), "stepSize": i.qty_text(1)}
    return {
        "symbol": i.symbol, "status": "HALT" if market.book.halted else "TRADING", "baseAsset": i.base,
        "baseAssetPrecision": 8, "quoteAsset": i.quote, "quotePrecision": 8, "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8, "orderTypes": list(TYPES), "icebergAllowed": True,
        "ocoAllowed": True, "otoAllowed": True, "opoAllowed": False, "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True, "cancelReplaceAllowed": True, "amendAllowed": True, "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False, "permissions": [], "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE", "allowedSelfTradePreventionModes": list(STP),
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": i.px_text(1), "maxPrice": i.px_text(i.px_max_ticks),
             "tickSize": i.px_text(1)},
            {"filterType": "LOT_SIZE", "maxQty": i.qty_text(i.qty_max_lots), **lots},
            {"filterType": "ICEBERG_PARTS", "limit": i.iceberg_parts_max},
            {"filterType": "MARKET_LOT_SIZE", "maxQty": i.qty_text(i.market_qty_max_lots or i.qty_max_lots), **lots},
            {"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": 1, "maxTrailingAboveDelta": 9999,
             "minTrailingBelowDelta": 1, "maxTrailingBelowDelta": 9999},
            {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": up, "bidMultiplierDown": down,
             "askMultiplierUp": up, "askMultiplierDown": down, "avgPriceMins": 0},
            {"filterType": "NOTIONAL", "minNotional": amount_text(i.notional_min * E8), "applyMinToMarket": True,
             "maxNotional": "9000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 0},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": i.orders_max},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": i.algo_orders_max},
            {"filterType": "MAX_NUM_ICEBERG_ORDERS", "maxNumIcebergOrders": i.iceberg_orders_max},
        ],
    }  # fmt: skip


def report_json(report: Report, instrument: Instrument, number_: int) -> dict[str, Any]:
    """An executionReport of the user stream."""
    order, terms, e = report.order, report.order.terms, report.execution
    what = {"TRIGGERED": "NEW", "PENDING_NEW": "NEW"}.get(report.what, report.what)
    out = {
        "e": "executionReport", "E": report.ts_ns // MS, "s": order.symbol,
        "c": report.cancel_id or order.client_id, "S": "SELL" if terms.sell else "BUY", "o": type_name(order),
        "f": tif_name(order), "q": instrument.qty_text(order.qty), "p": instrument.px_text(order.px),
        "P": instrument.px_text(terms.trigger), "F": instrument.qty_text(terms.display), "g": order.list_id,
        "C": order.client_id if report.cancel_id else "", "x": what, "X": report.status,
        "r": "NONE", "i": order.id, "l": instrument.qty_text(e.lots if e else 0),
        "z": instrument.qty_text(report.filled), "L": instrument.px_text(e.px if e else 0),
        "n": amount_text(e.fee.amount if e else 0), "N": e.fee.asset if e else None, "T": report.ts_ns // MS,
        "t": e.trade_id if e else -1, "I": number_, "w": order.working_ns >= 0 and order.is_open,
        "m": bool(e and e.maker), "M": False, "O": order.created_ns // MS,
        "Z": amount_text(report.units * instrument.unit_e8),
        "Y": amount_text(e.px * e.lots * instrument.unit_e8 if e else 0), "Q": amount_text(terms.quote_e8),
        "V": STP_NAMES[terms.stp],
    }  # fmt: skip
    if order.working_ns >= 0:
        out["W"] = order.working_ns // MS
    if report.what == "EXPIRED" and report.reason in EXPIRY_REASONS:
        out["eR"] = EXPIRY_REASONS[report.reason]
    return out


LIST_KINDS = {"oco": ListKind.LIST_OCO, "oto": ListKind.LIST_OTO, "otoco": ListKind.LIST_OTOCO}
