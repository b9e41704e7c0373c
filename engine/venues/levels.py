"""Market data records for venues whose messages are read by Python: one message's levels, one message's trades.

The native venues parse in the kernel; these are for books of a few hundred messages a second. Half a message is never
written: an error in the last level leaves nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import EVENT, LEVEL, TRADE, Flag, Kind

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def nothing() -> npt.NDArray[Any]:
    return np.zeros(0, EVENT)


def iso_ns(text: str) -> int:
    """Nanoseconds of an RFC 3339 time; more than six digits of a fraction are kept."""
    whole, _, rest = text.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.UTC)
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 10**9 + int(rest[:9].ljust(9, "0"))


def message(
    symbol: int, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]], *, ts_venue_ns: int, ts_recv_ns: int,
    id_last: int, snapshot: bool,
) -> npt.NDArray[Any]:  # fmt: skip
    """Levels as (ticks, lots). An image without a level still empties the book."""
    count = len(bids) + len(asks)
    if count == 0 and not snapshot:
        return nothing()
    out = np.zeros(max(count, 1), LEVEL)
    out["kind"] = Kind.KIND_BOOK_LEVEL if count else Kind.KIND_BOOK_CLEAR
    out["symbol"], out["ts_venue_ns"], out["ts_recv_ns"] = symbol, ts_venue_ns, ts_recv_ns
    out["id_first"] = out["id_last"] = id_last
    out["id_prev"] = -1
    if count:
        out["px_ticks"], out["qty_lots"] = zip(*bids, *asks, strict=True)
    flags = np.zeros(len(out), np.uint8)
    flags[len(bids) :] = Flag.FLAG_ASK if count else 0
    flags |= np.uint8(Flag.FLAG_SNAPSHOT if snapshot else 0) | np.uint8(0 if ts_venue_ns else Flag.FLAG_NO_VENUE_TIME)
    flags[0] |= np.uint8(Flag.FLAG_FIRST)
    flags[-1] |= np.uint8(Flag.FLAG_LAST)
    out["flags"] = flags
    return out.view(EVENT)


def trades(symbol: int, rows: Iterable[tuple[int, int, int, int, bool]], ts_recv_ns: int) -> npt.NDArray[Any]:
    """Rows of (number, ticks, lots, venue's time, the aggressor sold)."""
    rows = list(rows)
    out = np.zeros(len(rows), TRADE)
    out["kind"], out["symbol"], out["ts_recv_ns"] = Kind.KIND_TRADE, symbol, ts_recv_ns
    for at, (number, px, qty, ts, sold) in enumerate(rows):
        side = Flag.FLAG_SELL | Flag.FLAG_BUYER_MAKER if sold else 0
        out[at]["flags"] = Flag.FLAG_FIRST | Flag.FLAG_LAST | side
        out[at]["ts_venue_ns"], out[at]["px_ticks"], out[at]["qty_lots"] = ts, px, qty
        out[at]["id_trade"] = out[at]["id_first"] = out[at]["id_last"] = number
    return out.view(EVENT)
