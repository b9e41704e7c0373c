"""Twin of the step's sizing and cost: how much of a wish, and whether it is worth its price, as its strategy asks."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from engine._core.orders import OrderTif, OrderType
from engine._core.strategy import SizeBy, StrategyRule
from engine.errors import Bot4Error
from engine.model import cost, sizing
from engine.model.sizing import E8
from engine.model.step_account import AccountSide
from engine.model.step_gate import Asked

SHARE_PPM, HALF_PPM, PAYOFF_MOST = 20_000, 500_000, 10**12
LEVELS = 32  # of a book that is looked at


class SizeSide(AccountSide):
    def _levels(self, symbol: int, sell: bool) -> tuple[list[tuple[int, int]], int]:
        """What an order would take, best first, and the best price; while half a message stands in a book, nothing."""
        touch = self.touch[symbol]
        first = (touch["bid"], touch["bid_lots"]) if sell else (touch["ask"], touch["ask_lots"])
        levels = [first]
        if self.books:
            book = self.books[symbol]
            levels = [(int(px), int(lots)) for px, lots in book.levels(0 if sell else 1, LEVELS)] if book.whole else []
        return levels, levels[0][0] if levels else first[0]

    # -------------------------------------------------------------------------------------------------------- how much
    def _kelly_e8(self, strategy: int, limits: dict[str, int]) -> int | None:
        """The part of the equity that a strategy's own record speaks for; None without any record."""
        if self.judge is None:
            return None
        rules, trades = self.judge.table.rules, self.judge.table.strategies[strategy].trades
        returns = [trade[1] for trade in trades]
        if len(returns) < rules["samples_min"]:
            return int(rules["explore_share_ppm"]) * 100
        wins, losses = [r for r in returns if r > 0], [-r for r in returns if r < 0]
        if not wins:
            return 0
        payoff = PAYOFF_MOST
        if losses:
            payoff = min(payoff, int(Fraction(sum(wins), len(wins)) / Fraction(sum(losses), len(losses)) * E8))
        if payoff < 1:
            return 0
        part, cap = limits.get("kelly_part_ppm", 0) or HALF_PPM, limits.get("kelly_cap_ppm", 0) or SHARE_PPM
        return sizing.kelly_e8(len(wins) * E8 // len(returns), payoff, share_e8=part * 100, cap_e8=cap * 100)

    def _size(self, strategy: int, symbol: int, sell: bool, wish: dict[str, int]) -> int:
        """What a wish gets: at most what it names; 0: no order can be made of it."""
        row, limits, gate, touch = self.rows[strategy], self.rows[strategy].limits, self.gate.rows[symbol], self.touch
        at_market = wish["type"] == OrderType.TYPE_MARKET
        kelly = -1
        if limits.get("size_by", 0) == SizeBy.SIZE_BY_KELLY:
            found = self._kelly_e8(strategy, limits)
            if found is None:
                return 0
            kelly = found
        room, most = sizing.INT64_MAX, min(gate["qty_max_lots"], wish["qty_lots"])
        if limits["order_lots_max"]:
            most = min(most, limits["order_lots_max"])
        if limits["position_lots_max"]:
            own = -row.state["position_lots"] if sell else row.state["position_lots"]
            room = max(0, limits["position_lots_max"] - own)
        try:
            lots, _ = sizing.largest(
                equity=self.gate.account["equity"] * self.unit_value * 2**32 // gate["value_q32"],
                px_ticks=touch[symbol]["bid" if sell else "ask"] if at_market else wish["px_ticks"],
                stop_px_ticks=wish["stop_px_ticks"], unit_value=self.unit_value,
                notional_share_e8=(limits.get("size_share_ppm", 0) or SHARE_PPM) * 100,
                risk_share_e8=(limits.get("size_risk_ppm", 0) or SHARE_PPM) * 100, kelly_e8=kelly,
                fee_rate_e8=max(self.fees[symbol][1], 0), position_room_lots=room, qty_max_lots=most,
                held_value=abs(self.lots[symbol]) * touch[symbol]["ask"] * self.unit_value,
                qty_min_lots=max(gate["qty_min_lots"], 1),
            )  # fmt: skip
        except Bot4Error:
            return 0
        return lots

    # ---------------------------------------------------------------------------------------------------- at what cost
    def _cost_reasons(self, strategy: int, p: Asked, wish: dict[str, int]) -> int:
        """Which of the strategy's own limits on cost an entry fails. What cannot be estimated fails what is asked."""
        limits = self.rows[strategy].limits
        slips, earns = limits.get("slippage_ppm_max", 0), limits.get("earns", 0)
        entry = not p.reduces and p.type in (OrderType.TYPE_LIMIT, OrderType.TYPE_MARKET)
        if not entry or not (slips or earns):
            return 0
        out = self._cost(p)
        failed = 0
        if slips and (out is None or out["slippage"] > out["value"] * slips // 10**6):
            failed |= 1 << StrategyRule.STRATEGY_RULE_SLIPPAGE
        target = wish["target_px_ticks"]
        if earns and target > 0:
            even = out["break_even_px_ticks"] if out else 0
            if even == 0 or (target > even if p.sell else target < even):
                failed |= 1 << StrategyRule.STRATEGY_RULE_COST
        return failed

    def _cost(self, p: Asked) -> dict[str, Any] | None:
        levels, touch = self._levels(p.symbol, p.sell)[0], self.touch[p.symbol]
        (maker, taker), funding = self.fees[p.symbol], self.marks[p.symbol]["funding_rate_e8"]
        try:
            return cost.estimate(
                [px for px, _ in levels], [lots for _, lots in levels], sell=p.sell, qty=p.qty,
                unit_value=self.unit_value, bid_px_ticks=touch["bid"], ask_px_ticks=touch["ask"], maker_e8=maker,
                taker_e8=taker, limit_ticks=p.px, post_only=p.tif == OrderTif.TIF_GTX,
                funding_rate_e8=funding, funding_count=int(funding != 0),
            )  # fmt: skip
        except Bot4Error:
            return None
