"""Text of USD-M futures where it differs from spot's: parameters of orders, answers, events of the user stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine._core.strategy_abi import WishTif, WishType
from engine.sim.venue import wire
from engine.sim.venue.accounts import Account, margin_of
from engine.sim.venue.exchange import Exchange
from engine.sim.venue.instruments import E8, Instrument, amount_text
from engine.sim.venue.market import Market
from engine.sim.venue.orders import Execution, Order, Report, Terms
from engine.sim.venue.wire import MS, ApiError

TYPES = {"LIMIT": WishType.TYPE_LIMIT, "MARKET": WishType.TYPE_MARKET}
CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")
TIFS = {
    "GTC": WishTif.TIF_GTC, "IOC": WishTif.TIF_IOC, "FOK": WishTif.TIF_FOK, "GTX": WishTif.TIF_GTX,
    "GTD": WishTif.TIF_GTD,
}  # fmt: skip
TIF_NAMES = {int(tif): name for name, tif in TIFS.items()}
STP_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
EXECUTIONS = {"REPLACED": "AMENDMENT", "PENDING_NEW": "NEW", "TRIGGERED": "NEW"}


def terms_of(params: Mapping[str, str], instrument: Instrument) -> Terms:
    sell, kind = wire.side_of(params), wire.need(params, "type")
    if kind not in TYPES:
        # Conditional ones have a service of their own (usdm_algo.py).
        raise ApiError(-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints.")
    if params.get("positionSide", "BOTH") != "BOTH":
        raise ApiError(-4061, "Order's position side does not match user's setting.")
    if "closePosition" in params or "priceMatch" in params:
        raise ApiError(-1106, "Parameter 'closePosition' sent when not required.")
    stp = params.get("selfTradePreventionMode", "NONE")
    if stp not in STP_MODES:
        raise ApiError(-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
    tif, expire_ns = WishTif.TIF_GTC, 0
    if kind == "LIMIT":
        wire.need(params, "price")
        text = wire.need(params, "timeInForce")
        if text not in TIFS:
            raise ApiError(-1115, "Invalid timeInForce.")
        tif = TIFS[text]
        expire_ns = wire.number(params, "goodTillDate") * MS if text == "GTD" else 0
    elif "price" in params:
        raise ApiError(-1106, "Parameter 'price' sent when not required.")
    wire.need(params, "quantity")
    return Terms(
        sell=sell, type=int(TYPES[kind]), qty=wire.steps(params, "quantity", instrument.lot_e8, "LOT_SIZE"),
        px=wire.steps(params, "price", instrument.tick_e8, "PRICE_FILTER"), tif=tif, stp=wire.STP[stp],
        expire_ns=expire_ns, client_id=wire.client_id(params, "newClientOrderId"),
        reduce_only=params.get("reduceOnly") == "true",
    )  # fmt: skip


def order_json(order: Order, instrument: Instrument) -> dict[str, Any]:
    """An order, as every call answers with it."""
    terms, kind = order.terms, "MARKET" if order.terms.type == WishType.TYPE_MARKET else "LIMIT"
    mean = order.units * instrument.tick_e8 // order.filled if order.filled else 0
    return {
        "symbol": order.symbol, "orderId": order.id, "clientOrderId": order.client_id,
        "price": instrument.px_text(order.px), "origQty": instrument.qty_text(order.qty),
        "executedQty": instrument.qty_text(order.filled), "cumQty": instrument.qty_text(order.filled),
        "cumQuote": amount_text(order.units * instrument.unit_e8), "avgPrice": amount_text(mean),
        "status": order.status, "timeInForce": TIF_NAMES[int(terms.tif)], "type": kind, "origType": kind,
        "side": "SELL" if terms.sell else "BUY", "positionSide": "BOTH", "reduceOnly": terms.reduce_only,
        "closePosition": False, "stopPrice": "0.00000000", "workingType": "CONTRACT_PRICE", "priceProtect": False,
        "priceMatch": "NONE", "selfTradePreventionMode": wire.STP_NAMES[terms.stp],
        "goodTillDate": terms.expire_ns // MS, "time": order.created_ns // MS, "updateTime": order.updated_ns // MS,
    }  # fmt: skip


def trade_json(e: Execution, instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": e.order.symbol, "id": e.trade_id, "orderId": e.order.id,
        "side": "SELL" if e.order.terms.sell else "BUY",
        "price": instrument.px_text(e.px), "qty": instrument.qty_text(e.lots), "realizedPnl": amount_text(e.profit_e8),
        "quoteQty": amount_text(e.px * e.lots * instrument.unit_e8), "commission": amount_text(e.fee.amount),
        "commissionAsset": e.fee.asset, "time": e.ts_ns // MS, "positionSide": "BOTH",
        "buyer": not e.order.terms.sell, "maker": e.maker,
    }  # fmt: skip


def symbol_json(market: Market) -> dict[str, Any]:
    i = market.instrument
    up, down = (f"{ppm / 10**6:g}" for ppm in (i.percent_up_ppm, i.percent_down_ppm))
    lots = {"minQty": i.qty_text(i.qty_min_lots), "stepSize": i.qty_text(1)}
    return {
        "symbol": i.symbol, "pair": i.symbol, "contractType": "PERPETUAL", "status":
        "SETTLING" if market.book.halted else "TRADING", "baseAsset": i.base, "quoteAsset": i.quote,
        "marginAsset": i.quote, "pricePrecision": i.px_digits, "quantityPrecision": i.qty_digits,
        "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000, "liquidationFee": "0.012500", "orderTypes": [*TYPES, *CONDITIONAL],
        "timeInForce": list(TIFS),
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": i.px_text(1), "maxPrice": i.px_text(i.px_max_ticks),
             "tickSize": i.px_text(1)},
            {"filterType": "LOT_SIZE", "maxQty": i.qty_text(i.qty_max_lots), **lots},
            {"filterType": "MARKET_LOT_SIZE", "maxQty": i.qty_text(i.market_qty_max_lots or i.qty_max_lots), **lots},
            {"filterType": "MAX_NUM_ORDERS", "limit": i.orders_max},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": i.algo_orders_max},
            {"filterType": "MIN_NOTIONAL", "notional": str(i.notional_min)},
            {"filterType": "PERCENT_PRICE", "multiplierUp": up, "multiplierDown": down, "multiplierDecimal": "4"},
        ],
    }  # fmt: skip


def position_json(account: Account, market: Market, liquidation_px_e8: int) -> dict[str, Any]:
    """A row of positionRisk."""
    i, position = market.instrument, account.positions[market.instrument.symbol]
    notional = position.lots * i.lot_e8 * market.mark_px_e8 // E8
    return {
        "symbol": i.symbol, "positionSide": "BOTH", "positionAmt": i.qty_text(position.lots),
        "entryPrice": amount_text(position.entry_px_e8(i)), "breakEvenPrice": amount_text(position.entry_px_e8(i)),
        "markPrice": amount_text(market.mark_px_e8),
        "unRealizedProfit": amount_text(position.unrealized_e8(market.mark_px_e8, i)),
        "liquidationPrice": amount_text(liquidation_px_e8), "notional": amount_text(notional), "marginAsset": i.quote,
        "isolatedMargin": "0", "isolatedWallet": "0", "maintMargin": amount_text(margin_of(i, abs(notional))[0]),
    }  # fmt: skip


def brackets_json(i: Instrument) -> dict[str, Any]:
    """The tiers of margin, each from where the one before ends."""
    floors = [0, *(tier.notional_cap for tier in i.tiers[:-1])]
    return {
        "symbol": i.symbol, "notionalCoef": 1.0,
        "brackets": [
            {"bracket": n, "initialLeverage": tier.leverage, "notionalCap": tier.notional_cap, "notionalFloor": floor,
             "maintMarginRatio": tier.rate_ppm / 10**6, "cum": tier.cum}
            for n, (tier, floor) in enumerate(zip(i.tiers, floors, strict=True), 1)
        ],
    }  # fmt: skip


def account_json(exchange: Exchange, account: Account) -> dict[str, Any]:
    """The account: one asset, cross margin."""
    equity, maintenance, initial = exchange.equity_e8(account)
    wallet = account.balances["USDT"].free
    row = {
        "walletBalance": amount_text(wallet), "unrealizedProfit": amount_text(equity - wallet),
        "marginBalance": amount_text(equity), "maintMargin": amount_text(maintenance),
        "initialMargin": amount_text(initial), "availableBalance": amount_text(max(0, equity - initial)),
        "crossWalletBalance": amount_text(wallet),
        "maxWithdrawAmount": amount_text(max(0, min(wallet, equity - initial))),
    }  # fmt: skip
    totals = {f"total{name[0].upper()}{name[1:]}": value for name, value in row.items() if name != "availableBalance"}
    return totals | {
        "availableBalance": row["availableBalance"],
        "assets": [{"asset": "USDT", **row, "updateTime": exchange.now_ns // MS}],
        "positions": [],
    }


# -------------------------------------------------------------------------------------------------------- user stream
def report_event(report: Report, instrument: Instrument) -> dict[str, Any]:
    order, terms, e = report.order, report.order.terms, report.execution
    kind = "MARKET" if terms.type == WishType.TYPE_MARKET else "LIMIT"
    mean = report.units * instrument.tick_e8 // report.filled if report.filled else 0
    what = "CALCULATED" if order.autoclose and e else EXECUTIONS.get(report.what, report.what)
    ts_ms = report.ts_ns // MS
    return {
        "e": "ORDER_TRADE_UPDATE", "E": ts_ms, "T": ts_ms,
        "o": {
            "s": order.symbol, "c": order.client_id, "S": "SELL" if terms.sell else "BUY", "o": kind,
            "f": TIF_NAMES[int(terms.tif)], "q": instrument.qty_text(order.qty), "p": instrument.px_text(order.px),
            "ap": amount_text(mean), "sp": "0", "x": what, "X": report.status, "i": order.id,
            "l": instrument.qty_text(e.lots if e else 0), "z": instrument.qty_text(report.filled),
            "L": instrument.px_text(e.px if e else 0), "N": e.fee.asset if e else None,
            "n": amount_text(e.fee.amount) if e else None, "T": ts_ms, "t": e.trade_id if e else 0, "b": "0", "a": "0",
            "m": bool(e and e.maker), "R": terms.reduce_only, "wt": "CONTRACT_PRICE", "ot": kind, "ps": "BOTH",
            "cp": False, "rp": amount_text(e.profit_e8 if e else 0), "pP": False, "si": 0, "ss": 0,
            "V": wire.STP_NAMES[terms.stp], "pm": "NONE", "gtd": terms.expire_ns // MS,
        },
    }  # fmt: skip


def account_event(account: Account, markets: list[Market], now_ns: int, why: str) -> dict[str, Any]:
    """What the account holds: the wallet, and the positions that changed."""
    wallet = amount_text(account.balances["USDT"].free)
    rows = []
    for market in markets:
        i, position = market.instrument, account.positions[market.instrument.symbol]
        entry = amount_text(position.entry_px_e8(i))
        rows.append({
            "s": i.symbol, "pa": i.qty_text(position.lots), "ep": entry, "bep": entry,
            "cr": amount_text(position.realized_e8), "up": amount_text(position.unrealized_e8(market.mark_px_e8, i)),
            "mt": "cross", "iw": "0.00000000", "ps": "BOTH",
        })  # fmt: skip
    return {
        "e": "ACCOUNT_UPDATE", "E": now_ns // MS, "T": now_ns // MS,
        "a": {"m": why, "B": [{"a": "USDT", "wb": wallet, "cw": wallet, "bc": "0"}], "P": rows},
    }  # fmt: skip
