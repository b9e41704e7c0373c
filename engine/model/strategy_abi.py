"""Twin of the check of one wish: one sentence per fault."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from engine._core.strategy_abi import WishFault as F
from engine._core.strategy_abi import WishFlag, WishKind, WishTif, WishType

SLICED = (WishType.TYPE_TWAP, WishType.TYPE_VWAP, WishType.TYPE_POV)
PRICED = (WishType.TYPE_LIMIT, WishType.TYPE_STOP_LIMIT, WishType.TYPE_TAKE_LIMIT, WishType.TYPE_ICEBERG, *SLICED)
TRIGGERED = (WishType.TYPE_STOP, WishType.TYPE_STOP_LIMIT, WishType.TYPE_TAKE, WishType.TYPE_TAKE_LIMIT)
ENTRIES = (WishType.TYPE_LIMIT, WishType.TYPE_MARKET, WishType.TYPE_ICEBERG, *SLICED)


def check_wish(wish: Any, sell: bool, now_ns: int) -> int:
    w = {name: int(wish[name]) for name in wish.dtype.names}
    if w["kind"] not in (0, 1, 2):
        return int(F.FAULT_KIND)
    if w["kind"] != WishKind.WISH_REST:
        return 0
    if not 0 <= w["type"] < WishType.TYPE_COUNT:
        return int(F.FAULT_TYPE)
    post = w["tif"] == WishTif.TIF_GTX or bool(w["flags"] & 1)
    px, stop, target = w["px_ticks"], w["stop_px_ticks"], w["target_px_ticks"]
    sliced = w["type"] in SLICED
    facts = {
        F.FAULT_TIF: not 0 <= w["tif"] < WishTif.TIF_COUNT
        or (sliced and w["tif"] in (WishTif.TIF_FOK, WishTif.TIF_GTD)),
        F.FAULT_FLAGS: w["flags"] not in (0, 1, 2, 3)
        or (post and w["type"] not in (WishType.TYPE_LIMIT, WishType.TYPE_ICEBERG, *SLICED))
        or (post and w["tif"] in (WishTif.TIF_IOC, WishTif.TIF_FOK)),
        F.FAULT_QTY: w["qty_lots"] < 1,
        F.FAULT_PX: w["type"] in PRICED and px < 1,
        F.FAULT_TRIGGER: w["type"] in TRIGGERED and w["trigger_px_ticks"] < 1,
        F.FAULT_TRAIL: w["type"] == WishType.TYPE_TRAILING and w["trail_ticks"] < 1,
        F.FAULT_DISPLAY: (w["type"] == WishType.TYPE_ICEBERG or sliced) and not 1 <= w["display_lots"] <= w["qty_lots"],
        F.FAULT_EXPIRE: (w["tif"] == WishTif.TIF_GTD or sliced) and w["expire_ns"] <= now_ns,
        F.FAULT_BRACKET: _bracket_is_wrong(w, sell, px, stop, target) or (sliced and target > 0),
    }
    return sum(int(fault) for fault, holds in facts.items() if holds)


def _bracket_is_wrong(w: dict[str, int], sell: bool, px: int, stop: int, target: int) -> bool:
    if stop < 0 or target < 0:
        return True
    if stop == 0 and target == 0:
        return False
    if w["flags"] & WishFlag.WISH_REDUCE_ONLY or w["type"] not in ENTRIES:
        return True
    # Seen from a buyer: the stop below, the target above. A seller's prices are mirrored.
    mirror = -1 if sell else 1
    ladder = [stop or None, px if w["type"] != WishType.TYPE_MARKET else None, target or None]
    known = [mirror * level for level in ladder if level is not None]
    return any(low >= high for low, high in pairwise(known))
