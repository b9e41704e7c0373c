"""exchangeInfo, spot and USD-M, into instruments and limits; the weights of requests. filters.md, read 2026-07-21."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from engine._core import decimal
from engine.errors import Bot4Error, InstrumentRefused
from engine.net.budget import SECOND, Limit, LimitKind
from engine.venues.directory import E8, Instrument, ticks_outward

_UNIT_NS = {"SECOND": SECOND, "MINUTE": 60 * SECOND, "HOUR": 3600 * SECOND, "DAY": 86_400 * SECOND}
_HEADER_UNIT_NS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND}
_INTERVALS_MAX = 10_000
_KINDS = {"REQUEST_WEIGHT": LimitKind.WEIGHT, "ORDERS": LimitKind.ORDERS, "RAW_REQUESTS": LimitKind.RAW}
_HEADER = re.compile(r"x-mbx-(used-weight|order-count)-(\d+)([smhd])", re.IGNORECASE)

# Weight by method and path; a REST path and its WebSocket method cost the same. Orders that succeed cost nothing on
# spot since 2026-04-02, but a budget is asked before that is known.
WEIGHTS: dict[str, int] = {
    "POST /api/v3/order": 1, "DELETE /api/v3/order": 1, "POST /api/v3/order/cancelReplace": 1,
    "PUT /api/v3/order/amend/keepPriority": 4, "GET /api/v3/order": 4, "DELETE /api/v3/openOrders": 1,
    "POST /api/v3/orderList/oco": 1, "POST /api/v3/orderList/oto": 1, "POST /api/v3/orderList/otoco": 1,
    "DELETE /api/v3/orderList": 1, "GET /api/v3/openOrders": 80, "GET /api/v3/account": 20,
    "GET /api/v3/myTrades": 20, "GET /api/v3/exchangeInfo": 20, "GET /api/v3/time": 1, "GET /api/v3/ping": 1,
    "GET /api/v3/account/commission": 20, "GET /api/v3/allOrders": 20,
    "order.place": 1, "order.cancel": 1, "order.cancelReplace": 1, "order.amend.keepPriority": 4, "order.status": 4,
    "openOrders.cancelAll": 1, "openOrders.status": 80, "session.logon": 2, "account.status": 20, "time": 1,
    "userDataStream.subscribe": 2, "userDataStream.subscribe.signature": 2,
    "POST /fapi/v1/order": 1, "PUT /fapi/v1/order": 1, "DELETE /fapi/v1/order": 1, "GET /fapi/v1/order": 1,
    "POST /fapi/v1/algoOrder": 1, "DELETE /fapi/v1/algoOrder": 1, "GET /fapi/v1/algoOrder": 1,
    "DELETE /fapi/v1/allOpenOrders": 1, "GET /fapi/v1/openOrders": 40, "GET /fapi/v3/account": 5,
    "GET /fapi/v3/positionRisk": 5, "GET /fapi/v1/userTrades": 5, "GET /fapi/v1/exchangeInfo": 1,
    "GET /fapi/v1/commissionRate": 20, "GET /fapi/v1/income": 30, "POST /fapi/v1/listenKey": 1,
    "PUT /fapi/v1/listenKey": 1, "GET /fapi/v1/positionSide/dual": 30, "GET /fapi/v1/symbolConfig": 5,
    "GET /fapi/v1/time": 1, "POST /fapi/v1/countdownCancelAll": 10, "order.modify": 1, "algoOrder.place": 1,
    "algoOrder.cancel": 1, "GET /fapi/v1/openAlgoOrders": 40, "DELETE /fapi/v1/algoOpenOrders": 1,
}  # fmt: skip
_NEW_ORDERS = {
    "POST /api/v3/order": 1, "POST /api/v3/order/cancelReplace": 1, "order.place": 1, "order.cancelReplace": 1,
    "POST /api/v3/orderList/oco": 2, "POST /api/v3/orderList/oto": 2, "POST /api/v3/orderList/otoco": 3,
    "POST /fapi/v1/order": 1, "POST /fapi/v1/algoOrder": 1, "algoOrder.place": 1, "order.modify": 1,
    "PUT /fapi/v1/order": 1,
}  # fmt: skip


def weight(request: str, *, depth: int = 0) -> int:
    """What a request costs. A depth snapshot costs by its size."""
    if request.endswith("/depth") or request == "depth":
        if "fapi" in request:
            return 2 if depth <= 50 else 5 if depth <= 100 else 10 if depth <= 500 else 20
        return 5 if depth <= 100 else 25 if depth <= 500 else 50 if depth <= 1000 else 250
    return WEIGHTS[request]


def new_orders(request: str) -> int:
    return _NEW_ORDERS.get(request, 0)


def _interval_ns(row: Mapping[str, Any]) -> int:
    """Of a limit. A number in quotes times a unit would be that text a billion times, and no memory left."""
    number = row["intervalNum"]
    if type(number) is not int or not 0 < number <= _INTERVALS_MAX:
        raise ValueError("intervalNum is no number of intervals")
    return _UNIT_NS[row["interval"]] * number


def limits(info: Mapping[str, Any]) -> list[Limit]:
    """`rateLimits` of exchangeInfo."""
    return [
        Limit(_KINDS[row["rateLimitType"]], _interval_ns(row), row["limit"])
        for row in info["rateLimits"]
        if row["rateLimitType"] in _KINDS
    ]


def counts_of_headers(headers: Mapping[str, str]) -> list[tuple[LimitKind, int, int]]:
    """(kind, interval, count) of every X-MBX header."""
    out = []
    for name, value in headers.items():
        if (found := _HEADER.fullmatch(name)) and value.isascii() and value.isdigit():
            kind = LimitKind.WEIGHT if found[1].lower() == "used-weight" else LimitKind.ORDERS
            out.append((kind, int(found[2]) * _HEADER_UNIT_NS[found[3].lower()], int(value)))
    return out


def counts_of_reply(rows: Iterable[Mapping[str, Any]]) -> list[tuple[LimitKind, int, int]]:
    """(kind, interval, count) of a WebSocket reply's `rateLimits`."""
    return [
        (_KINDS[row["rateLimitType"]], _interval_ns(row), int(row["count"]))
        for row in rows
        if row.get("rateLimitType") in _KINDS and "count" in row
    ]


def _ppm(text: str) -> int:
    return decimal.parse(text.encode(), 8) // 100


def _positive(text: str | None) -> bool:
    return text is not None and any(c not in "0." for c in text)


def _range(found: Mapping[str, Any], low: str, high: str, step: str) -> dict[str, int]:
    """The ends of a range that are not switched off by a zero."""
    out = {}
    if _positive(found.get(low)):
        out["least"] = ticks_outward(found[low], step, up=True)
    if _positive(found.get(high)):
        out["most"] = min(ticks_outward(found[high], step, up=False), 2**40)
    return out


def instrument(row: Mapping[str, Any], index: int) -> Instrument:
    """One row of `symbols`; raises when a step or a range is missing."""
    try:
        return _instrument(row, index)
    except (KeyError, TypeError, Bot4Error) as error:
        raise InstrumentRefused(f"{row.get('symbol')}: {type(error).__name__} {error}") from error


def _instrument(row: Mapping[str, Any], index: int) -> Instrument:
    filters = {f["filterType"]: f for f in row["filters"]}
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    px_step, qty_step = price["tickSize"], lot["stepSize"]
    if not _positive(px_step) or not _positive(qty_step):
        raise InstrumentRefused(f"{row['symbol']}: no tick or no step.")
    px = _range(price, "minPrice", "maxPrice", px_step)
    qty = _range(lot, "minQty", "maxQty", qty_step)
    market = _range(filters.get("MARKET_LOT_SIZE", {}), "minQty", "maxQty", qty_step)
    fields: dict[str, Any] = {
        "px_min_ticks": px.get("least", 1), "px_max_ticks": px.get("most", 2**40),
        "qty_min_lots": max(1, qty.get("least", 1)), "qty_max_lots": qty.get("most", 2**40),
        "market_qty_max_lots": market.get("most", qty.get("most", 2**40)),
    }  # fmt: skip
    if (f := filters.get("NOTIONAL")) is not None:
        fields["notional_min_e8"] = decimal.parse(f["minNotional"].encode(), E8)
        fields["notional_max_e8"] = decimal.parse(f.get("maxNotional", "0").encode(), E8)
    elif (f := filters.get("MIN_NOTIONAL")) is not None:
        fields["notional_min_e8"] = decimal.parse(f.get("minNotional", f.get("notional", "0")).encode(), E8)
    if (f := filters.get("PERCENT_PRICE_BY_SIDE")) is not None:
        fields |= {
            "buy_up_ppm": _ppm(f["bidMultiplierUp"]), "buy_down_ppm": _ppm(f["bidMultiplierDown"]),
            "sell_up_ppm": _ppm(f["askMultiplierUp"]), "sell_down_ppm": _ppm(f["askMultiplierDown"]),
        }  # fmt: skip
    elif (f := filters.get("PERCENT_PRICE")) is not None:
        up, down = _ppm(f["multiplierUp"]), _ppm(f["multiplierDown"])
        # USD-M holds buyers below the upper bound and sellers above the lower one; spot holds both to both.
        both = "marginAsset" not in row
        fields |= {"buy_up_ppm": up, "sell_down_ppm": down}
        fields |= {"buy_down_ppm": down, "sell_up_ppm": up} if both else {}
    counts = (("MAX_NUM_ORDERS", "orders_max", "maxNumOrders"), ("ICEBERG_PARTS", "iceberg_parts_max", "limit"),
              ("MAX_NUM_ALGO_ORDERS", "algo_orders_max", "maxNumAlgoOrders"))  # fmt: skip
    for name, to, key in counts:
        if (f := filters.get(name)) is not None:
            fields[to] = int(f.get(key, f.get("limit", 0)))
    if (f := filters.get("MAX_POSITION")) is not None and _positive(f.get("maxPosition")):
        fields["position_max_lots"] = ticks_outward(f["maxPosition"], qty_step, up=False)
    return Instrument(
        text=row["symbol"], index=index, base=row["baseAsset"], quote=row["quoteAsset"], px_step=px_step,
        qty_step=qty_step, trading=row.get("status", row.get("contractStatus")) == "TRADING",
        linear="marginAsset" in row and row["marginAsset"] == row["quoteAsset"],
        order_types=frozenset(row.get("orderTypes", row.get("OrderType", ()))),
        stp_modes=frozenset(row.get("allowedSelfTradePreventionModes", ())), **fields,
    )  # fmt: skip


def instruments(info: Mapping[str, Any], wanted: Iterable[str]) -> dict[str, Instrument]:
    """The wanted symbols, numbered in the order asked for; one that the venue does not list is refused."""
    rows = {row["symbol"]: row for row in info["symbols"]}
    out = {}
    for index, text in enumerate(wanted):
        if text not in rows:
            raise InstrumentRefused(f"{text}: the venue does not list it.")
        out[text] = instrument(rows[text], index)
    return out
