"""One record as bytes, both ways: what the world makes of words, and the orders that it reads out of intents."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from engine._core.strategy_abi import WishTif, WishType
from engine._core.types import EVENT, Flag, Kind
from engine.venues.terms import POST_ONLY, REDUCE_ONLY, unpack

RECORD = struct.Struct("<BBHIqqqqqqq")
PLACE, CANCEL, QUERY = int(Kind.KIND_INTENT_PLACE), int(Kind.KIND_INTENT_CANCEL), int(Kind.KIND_INTENT_QUERY)
AMEND, CANCEL_ALL = int(Kind.KIND_INTENT_AMEND), int(Kind.KIND_INTENT_CANCEL_ALL)
FILL, REJECTED, SELL = int(Kind.KIND_ORDER_FILL), int(Kind.KIND_ORDER_REJECTED), int(Flag.FLAG_SELL)
_TERMS, _FOLLOWED = int(Kind.KIND_INTENT_TERMS), int(Flag.FLAG_FIRST)
_INTENTS = (PLACE, CANCEL, QUERY, AMEND, CANCEL_ALL)
_LIMIT, _GTC, _GTX = int(WishType.TYPE_LIMIT), int(WishTif.TIF_GTC), int(WishTif.TIF_GTX)


class Ask(NamedTuple):
    """What an order asks for. Of an amend: what it shall become; of a cancel and a question the number counts alone."""

    id_order: int
    sell: bool = False
    px_ticks: int = 0
    qty_lots: int = 0
    type: int = _LIMIT
    tif: int = _GTC
    reduce_only: bool = False
    trigger_px: int = 0
    trail: int = 0
    display_lots: int = 0
    expire_ns: int = 0


def pack(kind: int, *words: int, now_ns: int, flags: int = 0, ts_venue_ns: int = 0) -> bytes:
    return RECORD.pack(kind, flags, 0, 0, ts_venue_ns, now_ns, *words, *(0,) * (5 - len(words)))


def record(kind: int, *words: int, now_ns: int, flags: int = 0, ts_venue_ns: int = 0) -> Any:
    return np.frombuffer(pack(kind, *words, now_ns=now_ns, flags=flags, ts_venue_ns=ts_venue_ns), EVENT)


def intents(outputs: bytes) -> Iterator[tuple[int, int, Ask]]:
    """(kind, time of the engine, what is asked) of every intent among the outputs of a step."""
    rows = list(RECORD.iter_unpack(outputs))
    for at, (kind, flags, _, _, _, now_ns, id_order, px, qty, _, terms) in enumerate(rows):
        if kind not in _INTENTS:
            continue
        sell = bool(flags & SELL)
        if kind != PLACE:
            yield kind, now_ns, Ask(id_order, sell, px, qty)
            continue
        how, tif, marks = unpack(terms)
        if marks & POST_ONLY and how == _LIMIT:
            tif = _GTX
        # The second half of what a strategy wished for stands just behind it.
        more = rows[at + 1][7:] if flags & _FOLLOWED and rows[at + 1][0] == _TERMS else (0, 0, 0, 0)
        yield kind, now_ns, Ask(id_order, sell, px, qty, how, tif, bool(marks & REDUCE_ONLY), *more)
