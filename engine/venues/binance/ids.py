"""Client ids and request ids: how an answer or a report finds its order without a table.

A client id is `b4` and 16 hexadecimal digits of the order's number. A request id is one letter of what was asked, `b`
or `s` for the side, the 16 digits, and 4 digits of the symbol's index. What does not look so is not ours.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.venues.binance.orders import CLIENT_ID, REPLACE_ID

_CLIENT = re.compile(rf"{CLIENT_ID}([0-9a-f]{{16}})")
_REQUEST = re.compile(r"([pcqakx])([bs])([0-9a-f]{16})([0-9a-f]{4})")


class Request(NamedTuple):
    operation: str  # p place, c cancel, q query, a replace, k shrink in place, x cancel all
    sell: bool
    id_order: int
    symbol: int


def order_of(client_id: object) -> int | None:
    """Our order's number, or None when somebody else made this id."""
    found = _CLIENT.fullmatch(client_id) if isinstance(client_id, str) else None
    # The core's numbers are positive: a sign bit was made by nobody here.
    return int(found[1], 16) if found and found[1] < "8" else None


def client_id(id_order: int) -> str:
    return f"{CLIENT_ID}{id_order:016x}"


def is_half_of_replacement(cancel_id: object) -> bool:
    return isinstance(cancel_id, str) and cancel_id.startswith(REPLACE_ID)


def request_of(request_id: object) -> Request | None:
    found = _REQUEST.fullmatch(request_id) if isinstance(request_id, str) else None
    if found is None or found[3] >= "8":
        return None
    return Request(found[1], found[2] == "s", int(found[3], 16), int(found[4], 16))


def request_id(operation: str, *, sell: bool, id_order: int, symbol: int) -> str:
    return f"{operation}{'s' if sell else 'b'}{id_order:016x}{symbol:04x}"
