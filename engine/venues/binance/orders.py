"""The messages of Binance's order entry as templates for the encoder: WebSocket API and REST, spot and USD-M.

Three forms of every message: `SESSION` is unsigned and goes over a WebSocket that `session.logon` has signed once;
`HMAC` signs each message; `REST` is the signed query string of a request. Parameters stand in alphabetical order,
because that is the order in which the WebSocket API signs them.

What a venue lacks has no template, so the encoder refuses it: spot has no good-till-date, USD-M no iceberg, and
neither moves the price of a stop. Reduce-only is a parameter on USD-M; spot has none, and the gate's own check that
such an order reduces is what holds there. An amend without the gate's verdict is "keep priority" on spot, which the
venue itself allows to shrink only; with one it is a cancel-replace that acts on an unfilled order alone, because the
quantity of a new order would count the fills of the old one twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from engine._core.encode import Encoder, amend_slots, cancel_all_slots, cancel_slots, place_slots, query_slots
from engine._core.orders import OrderTif as Tif
from engine._core.orders import OrderType as Type

CLIENT_ID = "b4"  # every client id of ours begins so; 16 hexadecimal digits follow
REPLACE_ID = "b4r"  # the cancel half of a replacement

type_names_spot = {
    Type.TYPE_LIMIT: "LIMIT", Type.TYPE_MARKET: "MARKET", Type.TYPE_STOP: "STOP_LOSS",
    Type.TYPE_STOP_LIMIT: "STOP_LOSS_LIMIT", Type.TYPE_TAKE_PROFIT: "TAKE_PROFIT",
    Type.TYPE_TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT", Type.TYPE_TRAILING: "STOP_LOSS", Type.TYPE_ICEBERG: "LIMIT",
}  # fmt: skip
type_names_usdm = {
    Type.TYPE_LIMIT: "LIMIT", Type.TYPE_MARKET: "MARKET", Type.TYPE_STOP: "STOP_MARKET", Type.TYPE_STOP_LIMIT: "STOP",
    Type.TYPE_TAKE_PROFIT: "TAKE_PROFIT_MARKET", Type.TYPE_TAKE_PROFIT_LIMIT: "TAKE_PROFIT",
    Type.TYPE_TRAILING: "TRAILING_STOP_MARKET",
}  # fmt: skip
TIF_NAMES = {
    Tif.TIF_GTC: "GTC", Tif.TIF_IOC: "IOC", Tif.TIF_FOK: "FOK", Tif.TIF_GTX: "GTX", Tif.TIF_GTD: "GTD"
}  # fmt: skip
STP_MODES = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER")
STP_MODES_USDM = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")


class Form(Enum):
    SESSION = "session"
    HMAC = "hmac"
    REST = "rest"


@dataclass(frozen=True)
class Message:
    """One message before its form: what it serves, its method or path, its parameters."""

    slots: tuple[int, ...]
    method: str  # of the WebSocket API; empty: that one has no such method
    path: str  # of REST
    params: tuple[tuple[str, str], ...]


# Parameters that JSON carries as numbers; a signature sees the same text either way.
_NUMBERS = {"timestamp", "recvWindow", "goodTillDate", "trailingDelta", "orderId"}
_LIVES_LIMIT = (Tif.TIF_GTC, Tif.TIF_IOC, Tif.TIF_FOK)
# Orders that a stop turns into market orders: their time in force is not sent.
_AS_MARKET = (Type.TYPE_MARKET, Type.TYPE_STOP, Type.TYPE_TAKE_PROFIT, Type.TYPE_TRAILING)
_CONDITIONAL = (
    Type.TYPE_STOP, Type.TYPE_STOP_LIMIT, Type.TYPE_TAKE_PROFIT, Type.TYPE_TAKE_PROFIT_LIMIT, Type.TYPE_TRAILING
)  # fmt: skip
_PLAIN_USDM = (Type.TYPE_LIMIT, Type.TYPE_MARKET, Type.TYPE_ICEBERG)


def _slots(types: Sequence[int], tifs: Sequence[int], reduce: Sequence[bool] = (False, True)) -> tuple[int, ...]:
    return tuple(place_slots([int(t) for t in types], [int(t) for t in tifs], reduce=list(reduce)))


def spot_messages(*, stp: str | None = None) -> Iterator[Message]:
    """Every message of spot order entry."""
    base = [("symbol", "%S"), ("side", "%D"), ("quantity", "%q"), ("newClientOrderId", CLIENT_ID + "%o")]
    # ACK: what became of an order is told by the user stream, and the shortest answer comes first.
    base += [("newOrderRespType", "ACK")] + ([("selfTradePreventionMode", stp)] if stp else [])

    def place(slots: tuple[int, ...], *more: tuple[str, str]) -> Message:
        return Message(slots, "order.place", "POST /api/v3/order", (*base, *more))

    for tif in _LIVES_LIMIT:
        in_force = ("timeInForce", TIF_NAMES[tif])
        yield place(_slots([Type.TYPE_LIMIT], [tif]), ("type", "LIMIT"), ("price", "%p"), in_force)
        for kind in (Type.TYPE_STOP_LIMIT, Type.TYPE_TAKE_PROFIT_LIMIT):
            yield place(
                _slots([kind], [tif]), ("type", type_names_spot[kind]), ("price", "%p"), ("stopPrice", "%g"), in_force
            )
    yield place(_slots([Type.TYPE_LIMIT], [Tif.TIF_GTX]), ("type", "LIMIT_MAKER"), ("price", "%p"))
    yield place(_slots([Type.TYPE_MARKET], _LIVES_LIMIT), ("type", "MARKET"))
    yield place(_slots([Type.TYPE_STOP], _LIVES_LIMIT), ("type", "STOP_LOSS"), ("stopPrice", "%g"))
    yield place(_slots([Type.TYPE_TAKE_PROFIT], _LIVES_LIMIT), ("type", "TAKE_PROFIT"), ("stopPrice", "%g"))
    yield place(
        _slots([Type.TYPE_TRAILING], _LIVES_LIMIT), ("type", "STOP_LOSS"), ("stopPrice", "%g"), ("trailingDelta", "%b")
    )
    ice = ("icebergQty", "%d")
    yield place(
        _slots([Type.TYPE_ICEBERG], [Tif.TIF_GTC]), ("type", "LIMIT"), ("price", "%p"), ("timeInForce", "GTC"), ice
    )
    yield place(_slots([Type.TYPE_ICEBERG], [Tif.TIF_GTX]), ("type", "LIMIT_MAKER"), ("price", "%p"), ice)

    named = [("symbol", "%S"), ("origClientOrderId", CLIENT_ID + "%o")]
    kinds = [int(t) for t in type_names_spot]
    yield Message(tuple(cancel_slots(kinds)), "order.cancel", "DELETE /api/v3/order", tuple(named))
    yield Message(tuple(query_slots(kinds)), "order.status", "GET /api/v3/order", tuple(named))
    limits = [int(Type.TYPE_LIMIT)]
    yield Message(
        tuple(amend_slots(limits, token=False)), "order.amend.keepPriority", "PUT /api/v3/order/amend/keepPriority",
        (*named, ("newQty", "%q"), ("newClientOrderId", CLIENT_ID + "%o")),
    )  # fmt: skip
    # The answer to a replacement is what tells the terms that hold now, so it is asked for in full.
    replaced = [(name, "RESULT" if name == "newOrderRespType" else value) for name, value in base]
    # The slot knows the type, not the time in force; an order that lives long enough to be replaced is GTC.
    yield Message(
        tuple(amend_slots(limits, token=True)), "order.cancelReplace", "POST /api/v3/order/cancelReplace",
        (*replaced, ("type", "LIMIT"), ("price", "%p"), ("timeInForce", "GTC"),
         ("cancelReplaceMode", "STOP_ON_FAILURE"),
         ("cancelOrigClientOrderId", CLIENT_ID + "%o"), ("cancelNewClientOrderId", REPLACE_ID + "%o"),
         ("cancelRestrictions", "ONLY_NEW")),
    )  # fmt: skip
    yield Message(
        tuple(cancel_all_slots(every=False)), "openOrders.cancelAll", "DELETE /api/v3/openOrders", (("symbol", "%S"),)
    )


def usdm_messages(*, stp: str | None = None) -> Iterator[Message]:
    """Every message of USD-M order entry. Conditional orders have a service of their own there."""
    common = [("symbol", "%S"), ("side", "%D"), ("quantity", "%q"), ("newOrderRespType", "ACK")]
    mode = [("selfTradePreventionMode", stp)] if stp else []
    for reduce in (False, True):
        only = [("reduceOnly", "true")] if reduce else []
        base = (*common, *mode, *only, ("newClientOrderId", CLIENT_ID + "%o"))
        for tif, in_force in TIF_NAMES.items():
            dated = [("goodTillDate", "%x")] if tif == Tif.TIF_GTD else []
            yield Message(
                _slots([Type.TYPE_LIMIT], [tif], [reduce]), "order.place", "POST /fapi/v1/order",
                (*base, ("type", "LIMIT"), ("price", "%p"), ("timeInForce", in_force), *dated),
            )  # fmt: skip
        yield Message(
            _slots([Type.TYPE_MARKET], _LIVES_LIMIT, [reduce]), "order.place", "POST /fapi/v1/order",
            (*base, ("type", "MARKET")),
        )  # fmt: skip
        algo = (*common, *mode, *only, ("algoType", "CONDITIONAL"), ("clientAlgoId", CLIENT_ID + "%o"))
        for kind in _CONDITIONAL:
            priced = kind not in _AS_MARKET
            for tifs in [(tif,) for tif in _LIVES_LIMIT] if priced else [_LIVES_LIMIT]:
                more = [("type", type_names_usdm[kind])]
                more += [("price", "%p"), ("timeInForce", TIF_NAMES[tifs[0]])] if priced else []
                if kind == Type.TYPE_TRAILING:
                    more += [("activatePrice", "%g"), ("callbackRate", "%c")]
                else:
                    more += [("triggerPrice", "%g")]
                slots = _slots([kind], tifs, [reduce])
                yield Message(slots, "algoOrder.place", "POST /fapi/v1/algoOrder", (*algo, *more))
    named = (("symbol", "%S"), ("origClientOrderId", CLIENT_ID + "%o"))
    plain, conditional = [int(t) for t in _PLAIN_USDM], [int(t) for t in _CONDITIONAL]
    yield Message(tuple(cancel_slots(plain)), "order.cancel", "DELETE /fapi/v1/order", named)
    yield Message(tuple(query_slots(plain)), "order.status", "GET /fapi/v1/order", named)
    algo_named = (("clientAlgoId", CLIENT_ID + "%o"),)
    yield Message(tuple(cancel_slots(conditional)), "algoOrder.cancel", "DELETE /fapi/v1/algoOrder", algo_named)
    yield Message(tuple(query_slots(conditional)), "", "GET /fapi/v1/algoOrder", algo_named)
    yield Message(
        tuple(amend_slots([int(Type.TYPE_LIMIT)], token=True)), "order.modify", "PUT /fapi/v1/order",
        (*named, ("side", "%D"), ("quantity", "%q"), ("price", "%p")),
    )  # fmt: skip
    yield Message(tuple(cancel_all_slots(every=False)), "", "DELETE /fapi/v1/allOpenOrders", (("symbol", "%S"),))


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


def _query(params: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in params)


def _json(params: Sequence[tuple[str, str]]) -> str:
    return ",".join(f'"{k}":{v}' if k in _NUMBERS else f'"{k}":"{v}"' for k, v in params)


def templates(
    messages: Iterator[Message], form: Form, *, api_key: str = "", recv_window_ms: int = 5000
) -> list[tuple[tuple[int, ...], str, str]]:
    """The encoder's rows: slots, message, and what of it is signed."""
    rows = []
    for message in messages:
        params = [*message.params, ("recvWindow", str(recv_window_ms)), ("timestamp", "%t")]
        if form is Form.REST:
            # The verb and path in front make a line that a transport splits at the first two blanks.
            rows.append((message.slots, f"{message.path} %P&signature=%s", _query(sorted(params))))
            continue
        if not message.method:
            continue
        head = f'{{"id":"%i","method":"{message.method}","params":{{'
        if form is Form.SESSION:
            rows.append((message.slots, head + _json(sorted(params)) + "}}", ""))
        else:
            params = sorted([*params, ("apiKey", _escaped(api_key))])
            rows.append((message.slots, head + _json(params) + ',"signature":"%s"}}', _query(params)))
    return rows


def encoder(
    market: str,
    form: Form,
    symbols: Sequence[tuple[str, int, str, str]],
    *,
    api_key: str = "",
    secret: bytes | None = None,
    recv_window_ms: int = 5000,
    stp: str | None = None,
) -> Encoder:
    """The encoder of one order connection: `market` is "spot" or "usdm"."""
    modes = STP_MODES if market == "spot" else STP_MODES_USDM
    if market not in ("spot", "usdm") or (stp is not None and stp not in modes):
        raise ValueError(f"market {market!r} with self-trade prevention {stp!r}; modes: {', '.join(modes)}")
    messages = spot_messages(stp=stp) if market == "spot" else usdm_messages(stp=stp)
    if form is not Form.SESSION and secret is None:
        raise ValueError(f"the {form.value} form signs each message: it needs the secret")
    rows = templates(messages, form, api_key=api_key, recv_window_ms=recv_window_ms)
    return Encoder(symbols, rows, secret=None if form is Form.SESSION else secret)
