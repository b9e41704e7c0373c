"""Twin of the margin kernel: the venue's formulas in fractions.

The liquidation price is not solved bracket by bracket but looked for: the equity of the position less its
maintenance margin is a broken line over the notional, and the price is where that line crosses zero.
"""

from __future__ import annotations

import math
from fractions import Fraction

from engine.errors import (
    MarginAboveTiers,
    MarginBadTiers,
    MarginInsufficient,
    MarginLeverage,
    MarginMissing,
    MarginNoLiquidation,
    MarginNotReducing,
    MarginOverflow,
    MarginStale,
)

E8 = 10**8
AMOUNT_MAX = 2**60 - 1
INT64_MAX = 2**63 - 1


def _fits(value: int) -> int:
    if abs(value) > INT64_MAX:
        raise MarginOverflow(f"{value}")
    return value


class MarginTiers:
    def __init__(self) -> None:
        self.tiers: list[tuple[int, int, int, int]] = []  # cap, rate, leverage, amount

    def add(self, notional_cap: int, maintenance_e8: int, *, leverage_max: int, amount: int = -1) -> None:
        sane = 0 < notional_cap <= AMOUNT_MAX and 0 < maintenance_e8 < E8 and leverage_max >= 1
        if len(self.tiers) == 16 or not sane:
            raise MarginBadTiers
        if self.tiers:
            cap, rate, leverage, below = self.tiers[-1]
            joined = cap * (maintenance_e8 - rate) // E8 + below
            if notional_cap <= cap or maintenance_e8 < rate or leverage_max > leverage or amount not in (-1, joined):
                raise MarginBadTiers
        else:
            if not -1 <= amount <= AMOUNT_MAX:
                raise MarginBadTiers
            joined = max(amount, 0)
        self.tiers.append((notional_cap, maintenance_e8, leverage_max, joined))

    def rows(self) -> list[tuple[int, int, int, int]]:
        return list(self.tiers)

    def _tier(self, notional: int) -> tuple[int, int, int, int]:
        if not self.tiers:
            raise MarginMissing
        if notional < 0:
            raise MarginOverflow
        for tier in self.tiers:
            if notional <= tier[0]:
                return tier
        raise MarginAboveTiers(f"{notional}")

    def maintenance(self, notional: int) -> int:
        _, rate, _, amount = self._tier(notional)
        return max(0, math.ceil(Fraction(notional * rate, E8)) - amount)

    def initial(self, notional: int, leverage: int) -> int:
        highest = self._tier(notional)[2]
        if not 1 <= leverage <= highest:
            raise MarginLeverage(f"{leverage}")
        return math.ceil(Fraction(notional, leverage))

    def order(
        self,
        *,
        position_lots: int,
        sell: bool,
        qty_lots: int,
        px_ticks: int,
        unit_value: int,
        leverage: int,
        open_lots: int = 0,
    ) -> int:
        if open_lots < 0 or min(qty_lots, px_ticks, unit_value) < 1:
            raise MarginOverflow
        if max(abs(position_lots), open_lots, qty_lots) > AMOUNT_MAX:
            raise MarginOverflow
        sign = -1 if sell else 1
        before = position_lots + sign * open_lots
        after = before + sign * qty_lots
        added = abs(after) - abs(before)
        if added <= 0:
            return 0
        self.initial(_fits(px_ticks * abs(after) * unit_value), leverage)
        return math.ceil(Fraction(px_ticks * added * unit_value, leverage))

    def liquidation_px_e8(
        self,
        *,
        lots: int,
        cost: int,
        unit_value: int,
        tick_e8: int,
        wallet: int,
        other_maintenance: int = 0,
        other_unrealised: int = 0,
    ) -> int:
        if not self.tiers:
            raise MarginMissing
        if lots == 0:
            raise MarginNoLiquidation
        free = wallet - other_maintenance + other_unrealised
        side = 1 if lots > 0 else -1

        def excess(notional: Fraction | int, tier: tuple[int, int, int, int]) -> Fraction:
            """Equity less maintenance margin at a notional, by one bracket's line."""
            return free + side * notional - cost - (Fraction(notional * tier[1], E8) - tier[3])

        for tier in self.tiers:
            # The line of this bracket crosses zero inside it when its sign has changed at the cap.
            if side * excess(tier[0], tier) >= 0:
                break
        slope = side - Fraction(tier[1], E8)
        notional = -excess(0, tier) / slope
        if notional <= 0:
            if side > 0:
                raise MarginNoLiquidation
            return 0
        px_e8 = notional * tick_e8 / (abs(lots) * unit_value)
        return _fits(math.ceil(px_e8) if side > 0 else math.floor(px_e8))

    def check(self) -> None:
        assert self.tiers == sorted(self.tiers)


def account_headroom(
    required: int = 0,
    *,
    wallet: int,
    unrealised: int,
    initial: int,
    now_ns: int,
    age_max_ns: int,
    ts_ns: int,
    reserved_orders: int = 0,
    is_known: bool = True,
) -> int:
    if not is_known:
        raise MarginMissing
    if not 0 <= now_ns - ts_ns <= age_max_ns:
        raise MarginStale
    if max(map(abs, (wallet, unrealised, initial, reserved_orders))) > AMOUNT_MAX or required < 0:
        raise MarginOverflow
    available = wallet + unrealised - initial - reserved_orders
    if available < required * Fraction(110, 100):
        raise MarginInsufficient(f"{available}")
    return max(0, math.floor(Fraction(available * 100, 110)))


def distance_e8(lots: int, mark_px_e8: int, liquidation_px_e8: int) -> int:
    if mark_px_e8 < 1 or liquidation_px_e8 < 0:
        raise MarginMissing
    room = mark_px_e8 - liquidation_px_e8 if lots > 0 else liquidation_px_e8 - mark_px_e8
    return _fits(math.floor(Fraction(room * E8, mark_px_e8)))


def leverage_e8(gross: int, equity: int) -> int:
    if equity < 1 or gross < 0:
        raise MarginMissing
    return _fits(math.ceil(Fraction(gross * E8, equity)))


def reduces(
    *,
    position_lots: int,
    position_ts_ns: int,
    sell: bool,
    qty_lots: int,
    now_ns: int,
    age_max_ns: int,
    open_reducing_lots: int = 0,
) -> None:
    if not 0 <= now_ns - position_ts_ns <= age_max_ns:
        raise MarginStale
    closable = (position_lots if sell else -position_lots) - open_reducing_lots
    if qty_lots < 1 or open_reducing_lots < 0 or qty_lots > closable:
        raise MarginNotReducing
