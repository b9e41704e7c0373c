"""Twin of the gate: every rule is one line that says what it leaves as headroom; negative is a failure.

All amounts are whole numbers of account units. Integers of Python do not overflow, so the only thing taken over from
the kernel is that a value beyond 63 bits counts as the largest one.
"""

from __future__ import annotations

from typing import Any

from engine._core.risk import Rule
from engine.model.limits import Limits

SECOND, MINUTE, PPM = 10**9, 60 * 10**9, 10**6
MOST = 2**63 - 1

CAPS = set(
    "ORDER_NOTIONAL POSITION_SHARE GROSS NET LEVERAGE CORRELATION DRAWDOWN DAILY_LOSS EQUITY_STALE MARGIN LIQUIDATION "
    "STOP_MISSING OPEN_ORDERS_SYMBOL OPEN_ORDERS_ALL SIGNAL_STALE FEES_STALE".split()
)
SKIPS: dict[str, set[str]] = {
    "normal": {"NOT_REDUCING"},
    "reduce": CAPS,
    "protective": CAPS
    | set(
        "LATCH MODE BREAKER SYMBOL_HALTED BOOK_UNTRUSTED BOOK_STALE PX_BAND ORDER_RATE CHURN REJECTS "
        "CLOCK_DRIFT".split()
    ),
}


def saturated(value: int) -> int:
    return max(-MOST - 1, min(MOST, value))


def units(px: int, qty: int, value_q32: int) -> int:
    """Ticks x lots in account units, rounded away from zero. Without a known value everything is worth the most."""
    if value_q32 == 0:
        return MOST
    product = saturated(px * qty)
    rounded = -(-abs(product) * value_q32 // 2**32)
    return saturated(rounded) if product >= 0 else -saturated(rounded)


def share(base: int, ppm: int) -> int:
    """A share of a base, rounded down."""
    return saturated(base * ppm // PPM)


def age(most_ns: int, now_ns: int, stamp_ns: int) -> int:
    """What is left until a stamp is too old; one from the future has no age and fails."""
    return now_ns - stamp_ns if stamp_ns > now_ns else most_ns - (now_ns - stamp_ns)


def worst(s: dict[str, int], buys: int = 0, sells: int = 0) -> int:
    """The larger side if everything live fills on it and nothing on the other."""
    return max(s["lots"] + s["open_buy_lots"] + buys, -(s["lots"] - s["open_sell_lots"] - sells))


class Gate:
    def __init__(self, *, symbols: int, seed: int = 0) -> None:
        self.seed = seed  # of the tokens, which the twin does not make
        self.limits = Limits()
        self.account: dict[str, int] = dict.fromkeys(
            "equity ts_equity_ns peak day_base margin_available gross_worst long_worst short_worst orders_open "
            "clock_drift_ns latch mode breaker_denied position_scale_ppm".split(),
            0,
        )
        self.rows: list[dict[str, int]] = [
            dict.fromkeys(
                "bid_px_ticks ask_px_ticks ts_book_ns book_trusted halted lots open_buy_lots open_sell_lots value_q32 "
                "px_min_ticks px_max_ticks qty_min_lots qty_max_lots notional_min notional_max px_ref_ticks buy_up_ppm "
                "sell_down_ppm margin_ppm px_liquidation_ticks churn_tat_ns rejects_in_a_row orders_open "
                "fees_until_ns gross_value long_value short_value".split(),
                0,
            )
            for _ in range(symbols)
        ]
        self.orders_tat_ns = self.cancels_tat_ns = 0
        self.passed = self.denied = self.cancels_held = 0
        self.by_rule: dict[str, int] = {}

    def set_limits(self, **values: int) -> None:
        self.limits.update(values)

    def tighten(self, name: str, value: int) -> None:
        self.limits.tighten(name, value)

    def limit_values(self) -> dict[str, int]:
        return dict(self.limits)

    def set_account(self, **values: int) -> None:
        self.account.update(values)

    def set_symbol(self, symbol: int, **values: int) -> None:
        self.rows[symbol].update(values)

    # ------------------------------------------------------------------------------------------------------ the rules
    def headroom(self, now_ns: int, ask: dict[str, Any]) -> dict[str, int]:
        limits, a, s = self.limits, self.account, self.rows[ask.get("symbol", 0)]
        px, qty, sell = ask["px_ticks"], ask["qty_lots"], bool(ask.get("sell"))
        lane = ask.get("lane", "normal")
        stop, opposite = ask.get("px_stop_ticks", 0), ask.get("px_own_opposite_ticks", 0)
        mid2 = s["bid_px_ticks"] + s["ask_px_ticks"]
        dear = max(px, s["ask_px_ticks"])
        notional = units(px, qty, s["value_q32"])
        worst_after = worst(s, 0 if sell else qty, qty if sell else 0)
        gross = saturated(a["gross_worst"] + units(dear, worst_after - worst(s), s["value_q32"]))
        value = units(dear, qty, s["value_q32"])
        net = saturated(-a["short_worst"] + value if sell else a["long_worst"] + value)
        leverage = min(limits["leverage_tier_ppm"], limits["leverage_regime_ppm"])
        position_cap = share(share(a["equity"], limits["position_share_ppm"]), a["position_scale_ppm"])
        required = saturated(share(notional, s["margin_ppm"]) + 1)
        paused = a["mode"] == 1
        good_stop = px < stop <= s["px_max_ticks"] if sell else max(s["px_min_ticks"], 1) <= stop < px
        crosses_own = opposite > 0 and (px <= opposite if sell else px >= opposite)
        reference = s["px_ref_ticks"]
        percent = (
            -1
            if reference <= 0
            else px - share(reference, s["sell_down_ppm"])
            if sell
            else share(reference, s["buy_up_ppm"]) - px
        )
        liquidation = s["px_liquidation_ticks"]

        def fails(bad: bool) -> int:
            return -1 if bad else 0

        return {
            "LATCH": fails(a["latch"] != 0),
            "MODE": fails(a["mode"] != 0 and (lane == "normal" or paused)),
            "BREAKER": fails(a["breaker_denied"] != 0),
            "SYMBOL_HALTED": fails(s["halted"] != 0),
            "BOOK_UNTRUSTED": fails(not s["book_trusted"] or not 0 < s["bid_px_ticks"] < s["ask_px_ticks"]),
            "BOOK_STALE": age(limits["book_age_ns"], now_ns, s["ts_book_ns"]),
            "PX_RANGE": min(px - s["px_min_ticks"], s["px_max_ticks"] - px),
            "PX_PERCENT": percent,
            "PX_BAND": share(mid2, limits["px_band_ppm"]) - abs(saturated(2 * px) - mid2),
            "QTY_RANGE": min(qty - s["qty_min_lots"], s["qty_max_lots"] - qty),
            "NOTIONAL_RANGE": min(notional - s["notional_min"], s["notional_max"] - notional),
            "ORDER_NOTIONAL": limits["order_notional"] - notional,
            "POSITION_SHARE": position_cap - units(dear, worst_after, s["value_q32"]),
            "GROSS": share(a["equity"], limits["gross_share_ppm"]) - gross,
            "NET": share(a["equity"], limits["net_share_ppm"]) - net,
            "LEVERAGE": share(a["equity"], leverage) - gross,
            "CORRELATION": limits["correlation_ppm"] - ask.get("correlation_ppm", -PPM),
            "DRAWDOWN": -1
            if a["peak"] <= 0 or a["equity"] <= 0
            else share(a["peak"], limits["drawdown_ppm"]) - (a["peak"] - a["equity"]),
            "DAILY_LOSS": -1
            if a["day_base"] <= 0
            else share(a["day_base"], limits["daily_loss_ppm"]) - (a["day_base"] - a["equity"]),
            "EQUITY_STALE": age(limits["equity_age_ns"], now_ns, a["ts_equity_ns"]),
            "MARGIN": a["margin_available"] - saturated(share(required, limits["margin_ppm"]) + 1),
            "LIQUIDATION": 0
            if liquidation <= 0
            else abs(mid2 - 2 * liquidation) - share(mid2, limits["liquidation_ppm"]),
            "STOP_MISSING": fails(not good_stop),
            "ORDER_RATE": self._rate(self.orders_tat_ns, now_ns, SECOND, limits["orders_per_second"]),
            "CHURN": self._rate(s["churn_tat_ns"], now_ns, MINUTE, limits["churn_per_minute"]),
            "OPEN_ORDERS_SYMBOL": limits["open_orders_symbol"] - s["orders_open"] - 1,
            "OPEN_ORDERS_ALL": limits["open_orders_all"] - a["orders_open"] - 1,
            "REJECTS": limits["rejects_in_a_row"] - s["rejects_in_a_row"] - 1,
            "DUPLICATE_INTENT": fails(bool(ask.get("duplicate"))),
            "SELF_TRADE": fails(crosses_own),
            "CLOCK_DRIFT": limits["clock_drift_ns"] - abs(a["clock_drift_ns"]),
            "SIGNAL_STALE": age(limits["signal_age_ns"], now_ns, ask.get("ts_signal_ns", 0)),
            "NOT_REDUCING": (s["lots"] if sell else -s["lots"]) - ask.get("closing_lots", 0) - qty,
            "FEES_STALE": s["fees_until_ns"] - now_ns if s["fees_until_ns"] else 0,
            "NOT_OWNED": ask["owned_lots"] - qty if "owned_lots" in ask else 0,
        }

    def failed(self, now_ns: int, ask: dict[str, Any]) -> int:
        skips = SKIPS[ask.get("lane", "normal")]
        room = self.headroom(now_ns, ask)
        return sum(1 << int(Rule["RULE_" + name]) for name, left in room.items() if left < 0 and name not in skips)

    # ---------------------------------------------------------------------------------------------------- the counters
    @staticmethod
    def _rate(tat_ns: int, now_ns: int, window_ns: int, count: int) -> int:
        return window_ns - window_ns // max(count, 1) - (tat_ns - now_ns)

    @staticmethod
    def _take(tat_ns: int, now_ns: int, window_ns: int, count: int) -> int:
        return max(tat_ns, now_ns) + window_ns // max(count, 1)

    def place(self, now_ns: int, **ask: Any) -> int:
        failed = self.failed(now_ns, ask)
        if failed:
            self.denied += 1
            for rule in Rule:
                if failed >> int(rule) & 1 and rule.name != "RULE_COUNT":
                    self.by_rule[rule.name] = self.by_rule.get(rule.name, 0) + 1
            return failed
        self.passed += 1
        row = self.rows[ask.get("symbol", 0)]
        self.orders_tat_ns = self._take(self.orders_tat_ns, now_ns, SECOND, self.limits["orders_per_second"])
        row["churn_tat_ns"] = self._take(row["churn_tat_ns"], now_ns, MINUTE, self.limits["churn_per_minute"])
        return 0

    def cancel(self, now_ns: int, symbol: int = 0) -> bool:
        per_second, row = self.limits["cancels_per_second"], self.rows[symbol]
        if self._rate(self.cancels_tat_ns, now_ns, SECOND, per_second) < 0:
            self.cancels_held += 1
            return False
        self.cancels_tat_ns = self._take(self.cancels_tat_ns, now_ns, SECOND, per_second)
        row["churn_tat_ns"] = self._take(row["churn_tat_ns"], now_ns, MINUTE, self.limits["churn_per_minute"])
        return True

    def expose(self, symbol: int, px_ticks: int) -> None:
        s = self.rows[symbol]
        s["gross_value"] = units(px_ticks, worst(s), s["value_q32"])
        s["long_value"] = units(px_ticks, s["lots"] + s["open_buy_lots"], s["value_q32"])
        s["short_value"] = units(px_ticks, s["lots"] - s["open_sell_lots"], s["value_q32"])
        for total in ("gross_worst", "long_worst", "short_worst"):
            part = total.replace("worst", "value")
            self.account[total] = sum(row[part] for row in self.rows)

    def largest_lots(self, **ask: Any) -> int:
        """The largest quantity that would pass the size rules: found by trying, so keep the numbers small."""
        s, skips = self.rows[ask.get("symbol", 0)], SKIPS[ask.get("lane", "normal")]
        sized = {
            "ORDER_NOTIONAL",
            "QTY_RANGE",
            "NOTIONAL_RANGE",
            "POSITION_SHARE",
            "GROSS",
            "NET",
            "LEVERAGE",
            "MARGIN",
            "NOT_REDUCING",
            "NOT_OWNED",
        }
        for qty in range(s["qty_max_lots"], max(s["qty_min_lots"], 1) - 1, -1):
            room = self.headroom(0, ask | {"qty_lots": qty})
            if all(room[name] >= 0 for name in sized - skips):
                return qty
        return 0

    @property
    def counts(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "denied": self.denied,
            "cancels_held": self.cancels_held,
            "by_rule": self.by_rule,
        }

    def account_values(self) -> dict[str, int]:
        return dict(self.account)

    def symbol(self, symbol: int) -> dict[str, int]:
        return dict(self.rows[symbol])

    def check(self) -> None:
        assert self.account["gross_worst"] == sum(row["gross_value"] for row in self.rows)
