"""Twin of the cost kernel: fractions, lists, and one named rounding at the end of each amount."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from engine.errors import CostBadInput, CostDepthShort, FeesBadSchedule, FeesStale, FeesUnknownVenue

E8 = 10**8
RATE_MAX = 10**7
WARN_NS = 60 * 10**9
REFUSE_NS = 300 * 10**9


def _ceil(value: int, rate_e8: int) -> int:
    return math.ceil(Fraction(value * rate_e8, E8))


class FeeTable:
    def __init__(self, rows: int, *, warn_ns: int = WARN_NS, refuse_ns: int = REFUSE_NS) -> None:
        if not 1 <= rows <= 4096 or not 0 <= warn_ns <= refuse_ns:
            raise FeesBadSchedule
        self.rows, self.warn_ns, self.refuse_ns = rows, warn_ns, refuse_ns
        self.tiers: dict[int, list[tuple[int, int, int]]] = {}
        self.in_force: dict[int, tuple[int, int]] = {}
        self.refreshed_ns: dict[int, int] = {}
        self.discount: dict[int, Fraction] = {}
        self.discount_asset: dict[int, int] = {}

    def add_tier(self, row: int, volume_min: int, maker_e8: int, taker_e8: int) -> None:
        if row >= self.rows:
            raise FeesUnknownVenue
        tiers = self.tiers.get(row, [])
        last = tiers[-1] if tiers else (-1, RATE_MAX, RATE_MAX)
        if (
            len(tiers) == 16
            or not -RATE_MAX <= maker_e8 <= taker_e8 <= RATE_MAX
            or taker_e8 < 0
            or volume_min <= last[0]
            or (not tiers and volume_min != 0)
            or maker_e8 > last[1]
            or taker_e8 > last[2]
        ):
            raise FeesBadSchedule
        if not tiers:
            self.in_force[row] = (maker_e8, taker_e8)
        self.tiers[row] = [*tiers, (volume_min, maker_e8, taker_e8)]

    def _row(self, row: int) -> list[tuple[int, int, int]]:
        if row not in self.tiers:
            raise FeesUnknownVenue
        return self.tiers[row]

    def set_tier(self, row: int, tier: int) -> None:
        if tier >= len(self._row(row)):
            raise FeesBadSchedule
        self.in_force[row] = self.tiers[row][tier][1:]

    def set_volume(self, row: int, volume: int) -> None:
        reached = [tier for tier in self._row(row) if tier[0] <= max(volume, 0)]
        self.in_force[row] = reached[-1][1:]

    def set_discount(self, row: int, discount_e8: int, *, asset: int, pays: bool) -> None:
        self._row(row)
        if not 0 <= discount_e8 <= E8:
            raise FeesBadSchedule
        self.discount[row] = Fraction(discount_e8, E8) if pays else Fraction(1)
        self.discount_asset[row] = asset

    def refresh(self, row: int, maker_e8: int, taker_e8: int, ts_ns: int) -> None:
        self._row(row)
        if max(abs(maker_e8), abs(taker_e8)) > RATE_MAX:
            raise FeesBadSchedule
        if ts_ns < self.refreshed_ns.get(row, ts_ns):
            raise FeesStale
        self.in_force[row] = (maker_e8, taker_e8)
        self.refreshed_ns[row] = ts_ns

    def rate(self, row: int, maker: bool, *, now_ns: int) -> tuple[int, bool]:
        self._row(row)
        if row not in self.refreshed_ns or not 0 <= now_ns - self.refreshed_ns[row] <= self.refuse_ns:
            raise FeesStale
        rate = self.in_force[row][0 if maker else 1]
        if rate > 0:
            rate = math.ceil(rate * self.discount.get(row, Fraction(1)))
        return rate, now_ns - self.refreshed_ns[row] > self.warn_ns


def is_maker(*, sell: bool, px_ticks: int, bid_px_ticks: int, ask_px_ticks: int, post_only: bool) -> bool:
    crosses = px_ticks == 0 or (px_ticks <= bid_px_ticks if sell else px_ticks >= ask_px_ticks)
    return post_only or not crosses


def fee(value: int, rate_e8: int) -> int:
    return _ceil(value, rate_e8)


def funding(value: int, rate_e8: int, *, short_side: bool) -> int:
    return _ceil(value, -rate_e8 if short_side else rate_e8)


def walk(
    px_ticks: Sequence[int], qty_lots: Sequence[int], *, sell: bool, want_lots: int, limit_ticks: int = 0
) -> tuple[int, int, int]:
    taken, value, worst = _walk(px_ticks, qty_lots, sell, want_lots, limit_ticks)
    if taken < want_lots:
        raise CostDepthShort
    return taken, value, worst


def _walk(px_ticks: Sequence[int], qty_lots: Sequence[int], sell: bool, want: int, limit: int) -> tuple[int, int, int]:
    """Lot by lot, as the definition says it."""
    if want < 1:
        raise CostBadInput
    taken = value = worst = 0
    for px, qty in zip(map(int, px_ticks), map(int, qty_lots), strict=True):
        if taken == want or (limit and (px < limit if sell else px > limit)):
            break
        if px < 1 or qty < 1 or (worst and (px >= worst if sell else px <= worst)):
            raise CostBadInput
        lots = min(qty, want - taken)
        taken, value, worst = taken + lots, value + lots * px, px
    return taken, value, worst


def estimate(
    px_ticks: Sequence[int],
    qty_lots: Sequence[int],
    *,
    sell: bool,
    qty: int,
    unit_value: int,
    bid_px_ticks: int,
    ask_px_ticks: int,
    maker_e8: int,
    taker_e8: int,
    limit_ticks: int = 0,
    post_only: bool = False,
    funding_rate_e8: int = 0,
    funding_count: int = 0,
    network_fee: int = 0,
) -> dict[str, int]:
    if min(qty, unit_value, bid_px_ticks) < 1 or limit_ticks < 0 or ask_px_ticks <= bid_px_ticks:
        raise CostBadInput
    if post_only and not limit_ticks:
        raise CostBadInput
    touch = {"bid_px_ticks": bid_px_ticks, "ask_px_ticks": ask_px_ticks}
    taken = taken_ticks = worst = 0
    if not is_maker(sell=sell, px_ticks=limit_ticks, post_only=post_only, **touch):
        taken, taken_ticks, worst = _walk(px_ticks, qty_lots, sell, qty, limit_ticks)
        if taken < qty and not limit_ticks:
            raise CostDepthShort
    rested = (qty - taken) * limit_ticks * unit_value
    value = taken_ticks * unit_value + rested
    away = taken_ticks - taken * Fraction(bid_px_ticks + ask_px_ticks, 2)
    out = {
        "value": value,
        "fee_entry": _ceil(taken_ticks * unit_value, taker_e8) + _ceil(rested, maker_e8),
        "fee_exit": _ceil(value, taker_e8),
        "slippage": max(0, math.ceil((-away if sell else away) * unit_value)),
        "funding": funding(value, funding_rate_e8, short_side=sell) * funding_count,
        "network": network_fee,
    }
    out["total"] = sum(out.values()) - value
    paid = out["fee_entry"] + out["funding"] + network_fee
    out["break_even_px_ticks"] = _break_even(sell, qty * unit_value, value, paid, Fraction(taker_e8, E8))
    out["worst_px_ticks"], out["taken_lots"] = worst, taken
    return out


def _break_even(sell: bool, per_tick: int, value: int, paid: int, rate: Fraction) -> int:
    if sell:
        return max(0, math.floor((value - paid) / (1 + rate) / per_tick))
    return max(1, math.ceil((value + paid) / (1 - rate) / per_tick))
