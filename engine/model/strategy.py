"""Twin of a strategy's row: its limits, its position, why it was stopped."""

from __future__ import annotations

from typing import Any

from engine._core.strategy import StopReason, StrategyAct, StrategyRule
from engine._core.strategy_abi import WishFlag, WishKind
from engine.errors import StrategyBadAct
from engine.model.strategy_abi import SLICED, check_wish

LIMITS = (
    "position_lots_max",
    "order_lots_max",
    "order_count_max",
    "place_count_max",
    "place_window_ns",
    "wish_fault_max",
)


class Row:
    def __init__(self, **limits: int) -> None:
        self.limits = dict.fromkeys(LIMITS, 0) | limits
        self.state: dict[str, int] = dict.fromkeys(
            [
                "stopped",
                "reason",
                "stopped_detail",
                "stopped_ns",
                "position_lots",
                "bought_lots",
                "sold_lots",
                "refused_count",
                "fault_row",
                "window_start_ns",
                "window_count",
                "approved_buy_lots",
                "approved_sell_lots",
                "approved_buy_until_ns",
                "approved_sell_until_ns",
                "approved_count",
                "approvals_used",
            ],
            0,
        )

    def check_limits(
        self, wish: Any, sell: bool, *, own_open_lots: int, own_order_count: int, now_ns: int
    ) -> tuple[bool, int]:
        limits, state = self.limits, self.state
        faults = check_wish(wish, sell, now_ns)
        if faults:
            state["fault_row"] += 1
            state["refused_count"] += 1
            if 0 < limits["wish_fault_max"] <= state["fault_row"]:
                self.stop(StopReason.STOPPED_WISH, faults, now_ns)
            return False, 1 << StrategyRule.STRATEGY_RULE_WISH
        state["fault_row"] = 0
        if wish["kind"] != WishKind.WISH_REST:
            return True, 0
        qty = int(wish["qty_lots"])
        piece = int(wish["display_lots"]) if int(wish["type"]) in SLICED else qty
        after = own_open_lots + qty + (-state["position_lots"] if sell else state["position_lots"])
        reduces = bool(int(wish["flags"]) & WishFlag.WISH_REDUCE_ONLY)
        if limits["place_count_max"] and now_ns >= state["window_start_ns"] + limits["place_window_ns"]:
            state["window_start_ns"], state["window_count"] = now_ns, 0
        rules = {
            StrategyRule.STRATEGY_RULE_ORDER_LOTS: 0 < limits["order_lots_max"] < piece,
            StrategyRule.STRATEGY_RULE_POSITION: not reduces and 0 < limits["position_lots_max"] < after,
            StrategyRule.STRATEGY_RULE_ORDER_COUNT: 0 < limits["order_count_max"] <= own_order_count,
            StrategyRule.STRATEGY_RULE_PLACE_RATE: 0 < limits["place_count_max"] <= state["window_count"],
        }
        mask = sum(1 << rule for rule, failed in rules.items() if failed)
        state["refused_count"] += mask != 0
        return mask == 0, mask

    def placed(self) -> None:
        self.state["window_count"] += 1
        self.state["fault_row"] = 0

    def fill(self, sell: bool, qty_lots: int) -> None:
        self.state["sold_lots" if sell else "bought_lots"] += qty_lots
        self.state["position_lots"] = self.state["bought_lots"] - self.state["sold_lots"]

    def approves(self, sell: bool, qty_lots: int, now_ns: int) -> bool:
        side = "sell" if sell else "buy"
        covers = qty_lots <= self.state[f"approved_{side}_lots"]
        return covers and now_ns < self.state[f"approved_{side}_until_ns"]

    def spend(self, sell: bool) -> None:
        side = "sell" if sell else "buy"
        self.state |= {f"approved_{side}_lots": 0, f"approved_{side}_until_ns": 0}
        self.state["approvals_used"] += 1

    def stop(self, reason: int, detail: int, now_ns: int) -> None:
        if not self.state["stopped"]:
            self.state |= {"stopped": 1, "reason": int(reason), "stopped_detail": detail, "stopped_ns": now_ns}

    def act(self, act: int, reason: int, detail: int, now_ns: int) -> None:
        if act == StrategyAct.STRATEGY_ACT_STOP and 1 <= reason <= max(StopReason):
            self.stop(reason, detail, now_ns)
        elif act == StrategyAct.STRATEGY_ACT_RESUME:
            self.state |= {"stopped": 0, "reason": 0, "stopped_detail": 0, "stopped_ns": 0, "fault_row": 0}
        elif act == StrategyAct.STRATEGY_ACT_APPROVE and reason and reason > -(2**63) and detail > now_ns:
            side = "sell" if reason < 0 else "buy"
            self.state |= {f"approved_{side}_lots": abs(reason), f"approved_{side}_until_ns": detail}
            self.state["approved_count"] += 1
        else:
            raise StrategyBadAct(f"act {act}, reason {reason}")

    def check(self) -> None:
        assert bool(self.state["stopped"]) == bool(self.state["reason"])
