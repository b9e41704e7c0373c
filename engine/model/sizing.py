"""Twin of the sizing kernel: the largest whole number that satisfies a definition, found with fractions."""

from __future__ import annotations

import math
from enum import IntEnum
from fractions import Fraction

from engine.errors import CostBadInput, SizeBelowMinimum

E8 = 10**8
INT64_MAX = 2**63 - 1


class Cap(IntEnum):
    CAP_NOTIONAL = 0
    CAP_RISK = 1
    CAP_KELLY = 2
    CAP_MARGIN = 3
    CAP_POSITION = 4
    CAP_DEPTH = 5
    CAP_VENUE = 6


def to_lot(lots: int, step_lots: int) -> int:
    if step_lots < 1:
        raise CostBadInput
    return max(0, lots) // step_lots * step_lots


def notional(equity: int, share_e8: int, *, px_ticks: int, unit_value: int, held_value: int = 0) -> int:
    if min(equity, px_ticks, unit_value) < 1 or not 0 <= share_e8 <= E8 or held_value < 0:
        raise CostBadInput
    return max(0, math.floor((Fraction(equity * share_e8, E8) - held_value) / (px_ticks * unit_value)))


def risk(
    equity: int, share_e8: int, *, px_ticks: int, stop_px_ticks: int, unit_value: int, fee_rate_e8: int = 0
) -> int:
    if min(equity, px_ticks, stop_px_ticks, unit_value) < 1 or stop_px_ticks == px_ticks:
        raise CostBadInput
    if not 0 <= share_e8 <= E8 or not 0 <= fee_rate_e8 <= 10**7:
        raise CostBadInput
    fees = math.ceil(Fraction((px_ticks + stop_px_ticks) * unit_value * fee_rate_e8, E8))
    return math.floor(Fraction(equity * share_e8, E8) / (abs(px_ticks - stop_px_ticks) * unit_value + fees))


def kelly_e8(win_e8: int, payoff_e8: int, *, share_e8: int = 50_000_000, cap_e8: int = E8) -> int:
    if not all(0 <= share <= E8 for share in (win_e8, share_e8, cap_e8)) or not 1 <= payoff_e8 <= 10**12:
        raise CostBadInput
    win = Fraction(win_e8, E8)
    edge = math.floor((win - (1 - win) / Fraction(payoff_e8, E8)) * E8)
    return min(max(0, edge) * share_e8 // E8, cap_e8)


def largest(
    *,
    equity: int,
    px_ticks: int,
    stop_px_ticks: int,
    unit_value: int,
    notional_share_e8: int = 2_000_000,
    risk_share_e8: int = 2_000_000,
    kelly_e8: int = -1,
    fee_rate_e8: int = 0,
    held_value: int = 0,
    margin_headroom: int = -1,
    leverage: int = 1,
    position_room_lots: int = INT64_MAX,
    depth_lots: int = -1,
    qty_min_lots: int = 1,
    qty_max_lots: int = INT64_MAX,
    qty_step_lots: int = 1,
    notional_min: int = 0,
) -> tuple[int, Cap]:
    if qty_step_lots < 1 or min(qty_min_lots, qty_max_lots, notional_min, position_room_lots) < 0 or depth_lots < -1:
        raise CostBadInput
    price = {"px_ticks": px_ticks, "unit_value": unit_value}
    by_cap = {
        Cap.CAP_NOTIONAL: notional(equity, notional_share_e8, held_value=held_value, **price),
        Cap.CAP_RISK: risk(equity, risk_share_e8, stop_px_ticks=stop_px_ticks, fee_rate_e8=fee_rate_e8, **price),
        Cap.CAP_POSITION: position_room_lots,
        Cap.CAP_VENUE: qty_max_lots,
    }
    if kelly_e8 != -1:
        by_cap[Cap.CAP_KELLY] = notional(equity, kelly_e8, **price)
    if margin_headroom != -1:
        if margin_headroom < 0 or leverage < 1:
            raise CostBadInput
        by_cap[Cap.CAP_MARGIN] = margin_headroom * leverage // (px_ticks * unit_value)
    if depth_lots != -1:
        by_cap[Cap.CAP_DEPTH] = depth_lots
    least = min(by_cap.values())
    lots = to_lot(least, qty_step_lots)
    if lots < max(1, qty_min_lots) or lots * px_ticks * unit_value < notional_min:
        raise SizeBelowMinimum
    return lots, min(cap for cap, value in by_cap.items() if value == least)
