"""Order lists of Binance spot: OCO, OTO, OTOCO and the OPO forms as parameters of one request.

The core's own brackets work on every venue; a list at the venue lives on when this machine does not. This module writes
the request and says which legs the venue takes; states of the legs arrive as ordinary reports. Prices and quantities
are the instrument's ticks and lots.

Facts (rest-api.md, "Order lists", read 2026-07-21): of an OCO one leg is a LIMIT_MAKER or TAKE_PROFIT*, the other a
STOP_LOSS*; selling, the first lies above the market and the stop below, buying the other way round; both legs have one
quantity. The pending part of an OTO is placed when the working order is filled whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine._core import decimal
from engine.errors import EncodeBadTerms
from engine.venues.binance.ids import client_id
from engine.venues.directory import Instrument

_TAKES = {"LIMIT_MAKER", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"}
_STOPS = {"STOP_LOSS", "STOP_LOSS_LIMIT"}
_WORKING = {"LIMIT", "LIMIT_MAKER"}
_PENDING = {"LIMIT", "LIMIT_MAKER", "MARKET"} | _TAKES | _STOPS


@dataclass(frozen=True)
class Leg:
    """One order of a list. `px_ticks` and `trigger_px_ticks` are zero where its type has none."""

    id_order: int
    kind: str
    sell: bool
    qty_lots: int
    px_ticks: int = 0
    trigger_px_ticks: int = 0
    tif: str = "GTC"

    def check(self) -> None:
        priced = self.kind in ("LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT")
        triggered = self.kind in _STOPS | {"TAKE_PROFIT", "TAKE_PROFIT_LIMIT"}
        if self.kind not in _PENDING or self.qty_lots <= 0 or self.id_order <= 0:
            raise EncodeBadTerms(f"{self}")
        if (self.px_ticks > 0) != priced or (self.trigger_px_ticks > 0) != triggered:
            raise EncodeBadTerms(f"{self}: a {self.kind} has {'a' if priced else 'no'} price")


def _text(steps: int, step: str) -> str:
    scale, size = decimal.step_of(step.encode())
    return decimal.to_text(decimal.from_steps(steps, size), scale).decode()


def _leg(i: Instrument, leg: Leg, prefix: str, *, quantity: bool, side: bool) -> dict[str, str]:
    leg.check()
    out = {f"{prefix}Type": leg.kind, f"{prefix}ClientOrderId": client_id(leg.id_order)}
    if quantity:
        out[f"{prefix}Quantity"] = _text(leg.qty_lots, i.qty_step)
    if side:
        out[f"{prefix}Side"] = "SELL" if leg.sell else "BUY"
    if leg.px_ticks:
        out[f"{prefix}Price"] = _text(leg.px_ticks, i.px_step)
        if leg.kind != "LIMIT_MAKER":
            out[f"{prefix}TimeInForce"] = leg.tif
    if leg.trigger_px_ticks:
        out[f"{prefix}StopPrice"] = _text(leg.trigger_px_ticks, i.px_step)
    return out


def _pair(i: Instrument, one: Leg, other: Leg, above: str, below: str) -> dict[str, str]:
    """An OCO's two legs under the names the request gives to "above" and "below"."""
    takes, stop = (one, other) if one.kind in _TAKES else (other, one)
    if takes.kind not in _TAKES or stop.kind not in _STOPS:
        raise EncodeBadTerms("one leg is a LIMIT_MAKER or TAKE_PROFIT, the other a STOP_LOSS")
    if (takes.sell, takes.qty_lots) != (stop.sell, stop.qty_lots):
        raise EncodeBadTerms("both legs have one side and one quantity")
    target = takes.px_ticks or takes.trigger_px_ticks
    if (target <= stop.trigger_px_ticks) if takes.sell else (target >= stop.trigger_px_ticks):
        raise EncodeBadTerms("the target and the stop are on the wrong sides of each other")
    upper, lower = (takes, stop) if takes.sell else (stop, takes)
    return _leg(i, upper, above, quantity=False, side=False) | _leg(i, lower, below, quantity=False, side=False)


def oco(i: Instrument, one: Leg, other: Leg, *, list_id: str, stp: str | None = None) -> tuple[str, dict[str, str]]:
    """(WebSocket method, parameters) of one-cancels-the-other; REST takes them at /api/v3/orderList/oco."""
    params = {
        "symbol": i.text, "listClientOrderId": list_id, "side": "SELL" if one.sell else "BUY",
        "quantity": _text(one.qty_lots, i.qty_step), **_pair(i, one, other, "above", "below"),
    }  # fmt: skip
    return "orderList.place.oco", _with(params, stp)


def oto(
    i: Instrument, working: Leg, pending: Leg, *, list_id: str, stp: str | None = None
) -> tuple[str, dict[str, str]]:
    """One triggers the other: the pending order is placed when the working one is filled whole."""
    if working.kind not in _WORKING:
        raise EncodeBadTerms("the working order is a LIMIT or LIMIT_MAKER")
    params = {"symbol": i.text, "listClientOrderId": list_id}
    params |= _leg(i, working, "working", quantity=True, side=True)
    params |= _leg(i, pending, "pending", quantity=True, side=True)
    return "orderList.place.oto", _with(params, stp)


def otoco(
    i: Instrument, working: Leg, one: Leg, other: Leg, *, list_id: str, stp: str | None = None
) -> tuple[str, dict[str, str]]:
    """One triggers a pair of which one cancels the other: an entry with its target and stop."""
    if working.kind not in _WORKING:
        raise EncodeBadTerms("the working order is a LIMIT or LIMIT_MAKER")
    params = {
        "symbol": i.text, "listClientOrderId": list_id, "pendingSide": "SELL" if one.sell else "BUY",
        "pendingQuantity": _text(one.qty_lots, i.qty_step),
        **_leg(i, working, "working", quantity=True, side=True),
        **_pair(i, one, other, "pendingAbove", "pendingBelow"),
    }  # fmt: skip
    return "orderList.place.otoco", _with(params, stp)


def opo(
    i: Instrument, working: Leg, pending: Leg, *, list_id: str, stp: str | None = None
) -> tuple[str, dict[str, str]]:
    """One pays for the other: as OTO, a buy and then a sale of what it brought, whose quantity follows from it."""
    if working.kind not in _WORKING or working.sell or not pending.sell:
        raise EncodeBadTerms("the working order buys, the pending one sells")
    params = {"symbol": i.text, "listClientOrderId": list_id}
    params |= _leg(i, working, "working", quantity=True, side=True)
    params |= _leg(i, pending, "pending", quantity=False, side=True)
    return "orderList.place.opo", _with(params, stp)


def cancel(i: Instrument, *, list_id: str) -> tuple[str, dict[str, str]]:
    return "orderList.cancel", {"symbol": i.text, "listClientOrderId": list_id}


def _with(params: dict[str, str], stp: str | None) -> dict[str, str]:
    params["newOrderRespType"] = "ACK"
    if stp is not None:
        params["selfTradePreventionMode"] = stp
    return params
