"""Twin of the step's wishes: own limits, the route, discipline, then an order, a bracket or a sliced parent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from engine._core.order_table import OrderState as State
from engine._core.orders import OrderTif, OrderType
from engine._core.routing import Against
from engine._core.strategy import StrategyRule
from engine._core.strategy_abi import WISH, WishFlag, WishType
from engine._core.types import Can, Stage, Status
from engine.model.algos import LIVE
from engine.model.step_gate import MOST, SECOND, Asked
from engine.model.step_orders import NEITHER, VENUE
from engine.model.step_view import ViewSide
from engine.model.strategy_abi import check_wish

KEEP, REST = 0, 1
PLENTY = 2**61
Wishes = dict[tuple[int, bool], dict[str, int]]
Decide = Callable[[], Wishes]


class WishSide(ViewSide):
    def __init__(self, *, strategies: int, profile: tuple[int, ...] = (), **shape: Any) -> None:
        super().__init__(strategies=strategies, **shape)
        self.on_word = False  # the wish that has just passed its own limits did so on a person's word
        self.decide: list[Decide] = [dict for _ in range(strategies)]
        self.profile = profile  # of every strategy's state: the volumes of a VWAP

    # ---------------------------------------------------------------------------------------------------- may it be
    @staticmethod
    def _record(wish: dict[str, int]) -> Any:
        record = np.zeros(1, WISH)[0]
        for name, value in wish.items():
            record[name] = value
        return record

    def _passes_own(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> bool:
        open_lots = replaced = count = 0
        for (at, side), held in self.held[strategy].items():
            parent = self._parent(-held) if held < 0 else None
            o = self.orders.records.get(held) if held > 0 else None
            if o is not None:
                left = o.qty - o.filled
            elif parent is not None and parent.state in LIVE:
                left = max(parent.want["qty_lots"] - parent.filled, 0)
            else:
                continue
            count += 1
            open_lots += left if side == sell else 0
            replaced += left if (at, side) == (tag, sell) else 0
        ok, reasons = self.rows[strategy].check_limits(
            self._record(wish), sell, own_open_lots=open_lots, own_order_count=count, now_ns=self.now
        )
        self.on_word = False
        if ok and self._needs_word(strategy, sell, wish, open_lots - replaced):
            ok = self.on_word = self.rows[strategy].approves(sell, wish["qty_lots"], self.now)
            if not ok:
                self.rows[strategy].state["refused_count"] += 1
                reasons = 1 << StrategyRule.STRATEGY_RULE_APPROVAL
        if not ok:
            self._deny_wish(strategy, tag, Stage.STAGE_STRATEGY, sell, wish, reasons)
        return ok

    def _needs_word(self, strategy: int, sell: bool, wish: dict[str, int], others_lots: int) -> bool:
        """Whether more would be held on that side than may be held without a person's word."""
        row, symbol = self.rows[strategy], self.symbol_of[strategy]
        over = self.gate.limits["approval_over"]
        if over == MOST or wish["kind"] != REST or wish["flags"] & WishFlag.WISH_REDUCE_ONLY:
            return False
        held = row.state["position_lots"]
        lots = others_lots + wish["qty_lots"] + (-held if sell else held)
        px = max(wish["px_ticks"], wish["trigger_px_ticks"], self.touch[symbol]["bid" if sell else "ask"])
        return lots > 0 and (px <= 0 or -(-px * lots * self.gate.rows[symbol]["value_q32"] // 2**32) > over)

    def _spend(self, strategy: int, sell: bool, on_word: bool) -> None:
        if on_word:
            self.rows[strategy].spend(sell)

    def _deny_wish(self, strategy: int, tag: int, stage: Stage, sell: bool, wish: dict[str, int], reasons: int,
                   symbol: int | None = None) -> None:  # fmt: skip
        self._deny(strategy, tag, stage, {
            "symbol": self.symbol_of[strategy] if symbol is None else symbol, "sell": sell,
            "px_ticks": wish["px_ticks"], "qty_lots": wish["qty_lots"],
        }, reasons)  # fmt: skip

    def _disciplined(self, strategy: int, tag: int, sell: bool, symbol: int, px: int, wish: dict[str, int]) -> bool:
        """The rules that protect from people. What an observing validator has against a signal is told once."""
        if self.judge is None:
            return True
        account, row = self.gate.account, self.gate.rows[symbol]
        passes, verdict = self.judge.check(
            self.now, strategy, symbol, sell, wish | {"px_ticks": px},
            touch=self.touch[symbol] | {"trusted": row["book_trusted"]}, lots=self.lots[symbol],
            equity=account["equity"], share_ppm=self.gate.limits["position_share_ppm"],
            value_q32=row["value_q32"], stop=self.stop_px[symbol], last=self.last_px[symbol],
        )  # fmt: skip
        ask = {"symbol": symbol, "sell": sell, "px_ticks": px, "qty_lots": wish["qty_lots"]}
        if not passes:
            self._deny(strategy, tag, Stage.STAGE_DISCIPLINE, ask, verdict["reasons"])
            return False
        if not verdict["reducing"]:
            account["position_scale_ppm"] = verdict["scale_ppm"]
        if verdict["news"]:
            self._deny(strategy, tag, Stage.STAGE_DISCIPLINE, ask, verdict["observed"], wish["qty_lots"])
            self.out[-1] = ("observed", *self.out[-1][1:])
        return True

    # ----------------------------------------------------------------------------------------------------------- route
    def _venue(self, symbol: int, sell: bool, wish: dict[str, int]) -> dict[str, Any]:
        row, touch, rules = self.gate.rows[symbol], self.touch[symbol], self.lots_range
        levels, first = self._levels(symbol, sell)
        untrusted = Against(0) if row["book_trusted"] else Against.AGAINST_UNTRUSTED
        return {
            "symbol": symbol, "levels": levels, "first": first,
            "against": int(untrusted | (Against.AGAINST_HALTED if row["halted"] else 0)),
            "unit_value": self.unit_value, "lot_units": self.lot_units, "qty_lots_min": rules["qty_min_lots"],
            "qty_lots_max": rules["qty_max_lots"], "px_rest_ticks": wish["px_ticks"], "ts_book_ns": touch["ts"],
            "balance": PLENTY, "budget": 1, "fee_maker_e8": self.fees[symbol][0],
            "fee_taker_e8": self.fees[symbol][1], "slippage_e8": 0, "latency_e8": 0,
        }  # fmt: skip

    def _routed(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> int | None:
        """The instrument, among those that are one underlying, on which this order costs least."""
        symbol = self.symbol_of[strategy]
        group = self.group_of.get(symbol)
        if group is None or wish["flags"] & WishFlag.WISH_REDUCE_ONLY:
            return symbol
        assert self.routing is not None
        venues = [self._venue(one, sell, wish) for one in self.routing.members(group)]
        firsts = [v["first"] for v in venues if not v["against"]]
        takes = any(wish["px_ticks"] <= first if sell else wish["px_ticks"] >= first for first in firsts)
        status, parts, against = self.routing.plan(
            venues, qty_units=wish["qty_lots"] * self.lot_units, policy=self.policies[group], sell=sell,
            maker=wish["type"] == WishType.TYPE_LIMIT and not takes, now_ns=self.now,
            age_ns_max=self.gate.limits["book_age_ns"],
        )  # fmt: skip
        if status == Status.OK:
            return int(venues[parts[0][0]]["symbol"])
        self._deny_wish(strategy, tag, Stage.STAGE_ROUTE, sell, wish, int(np.bitwise_or.reduce(against)))
        return None

    # ---------------------------------------------------------------------------------------------------- wish to order
    def _as_asked(self, strategy: int, tag: int, sell: bool, symbol: int, wish: dict[str, int]) -> Asked:
        kind, tif, touch = wish["type"], wish["tif"], self.touch[symbol]
        if wish["flags"] & WishFlag.WISH_POST_ONLY and kind == WishType.TYPE_LIMIT:
            tif = int(OrderTif.TIF_GTX)
        if kind == WishType.TYPE_MARKET and tif != OrderTif.TIF_FOK:
            tif = int(OrderTif.TIF_IOC)
        at_market = kind in (WishType.TYPE_MARKET, WishType.TYPE_STOP, WishType.TYPE_TAKE, WishType.TYPE_TRAILING)
        trail, trigger = 0, wish["trigger_px_ticks"]
        if kind == WishType.TYPE_TRAILING:
            trail = wish["trail_ticks"]
            trigger = touch["bid"] - trail if sell else touch["ask"] + trail
        reduces, qty = bool(wish["flags"] & WishFlag.WISH_REDUCE_ONLY), wish["qty_lots"]
        if reduces and sell and tif == OrderTif.TIF_IOC:
            # What fees took of a spot holding is not there to be sold; the rest goes.
            whole = self.lots[symbol] - self._dust(symbol)
            qty = whole if 0 < whole < qty else qty
        return Asked(
            symbol, strategy, tag, sell, qty, px=0 if at_market else wish["px_ticks"], trigger=trigger, trail=trail,
            display=wish["display_lots"], expire=wish["expire_ns"] if tif == OrderTif.TIF_GTD else 0,
            protect=wish["stop_px_ticks"], type=kind, tif=tif, lane="reduce" if reduces else "normal", reduces=reduces,
        )  # fmt: skip

    def _place(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> int:
        if not self._passes_own(strategy, tag, sell, wish):
            return 0
        on_word = self.on_word
        symbol = self._routed(strategy, tag, sell, wish)
        if symbol is None:
            return 0
        p = self._as_asked(strategy, tag, sell, symbol, wish)
        nets = self.rows[strategy].limits.get("nets", 0)
        entry = p.type in (OrderType.TYPE_LIMIT, OrderType.TYPE_MARKET)
        bracketed = bool(self.brackets and p.protect > 0 and not p.reduces and not nets and entry)
        # A target is part of the trade that was asked for: without brackets nobody would place it.
        if self._carries(p.type, p.tif, p.px) == NEITHER or (wish["target_px_ticks"] and not bracketed):
            rule = 1 << StrategyRule.STRATEGY_RULE_CARRY
            self._deny_wish(strategy, tag, Stage.STAGE_STRATEGY, sell, wish, rule, symbol)
            return 0
        reasons = self._cost_reasons(strategy, p, wish)
        if reasons:
            self._deny_wish(strategy, tag, Stage.STAGE_STRATEGY, sell, wish, reasons, symbol)
            return 0
        px = p.px or p.trigger or self.touch[symbol]["bid" if sell else "ask"]
        if not self._disciplined(strategy, tag, sell, symbol, px, wish):
            return 0
        id_order = self._open_bracket(p, wish) if bracketed else self._put(p)
        if id_order:
            self.rows[strategy].placed()
            self._spend(strategy, sell, on_word)
            self._note_stop(strategy, sell, wish)
        return id_order

    # --------------------------------------------------------------------------------------------------- sliced parents
    def _can_slice(self, strategy: int, wish: dict[str, int]) -> bool:
        limits, iceberg = self.rows[strategy].limits, wish["type"] == WishType.TYPE_ICEBERG
        if not self.algos or (wish["type"] == WishType.TYPE_POV and limits.get("share_ppm", 0) <= 0):
            return False
        rests = wish["tif"] in (OrderTif.TIF_GTC, OrderTif.TIF_GTX)
        if wish["target_px_ticks"] or (iceberg and not rests):
            return False
        opens = not wish["flags"] & WishFlag.WISH_REDUCE_ONLY
        if self.brackets and opens and (not limits.get("nets", 0) or self.symbol_of[strategy] in self.group_of):
            return False
        post = wish["tif"] == OrderTif.TIF_GTX or wish["flags"] & WishFlag.WISH_POST_ONLY
        tif = OrderTif.TIF_GTX if post else OrderTif.TIF_GTC if iceberg else OrderTif.TIF_IOC
        return self._carries(int(OrderType.TYPE_LIMIT), int(tif)) == VENUE

    def _start(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> int:
        """A parent: own limits and discipline for all of it; each of its children passes the gate."""
        symbol = self.symbol_of[strategy]
        if not self._passes_own(strategy, tag, sell, wish):
            return 0
        on_word = self.on_word
        if not self._can_slice(strategy, wish):
            self._deny_wish(strategy, tag, Stage.STAGE_STRATEGY, sell, wish, 1 << StrategyRule.STRATEGY_RULE_CARRY)
            return 0
        if not self._disciplined(strategy, tag, sell, symbol, wish["px_ticks"], wish):
            return 0
        id_algo, status = self._start_algo(strategy, symbol, sell, wish, profile=self.profile,
                                           share_ppm=self.rows[strategy].limits.get("share_ppm", 0))  # fmt: skip
        if not id_algo:
            self._deny_wish(strategy, tag, Stage.STAGE_ORDERS, sell, wish, status)
            return 0
        self.rows[strategy].placed()
        self._spend(strategy, sell, on_word)
        self._note_stop(strategy, sell, wish)
        return -id_algo

    # ---------------------------------------------------------------------------------------------------------- calling
    def _run(self, strategy: int) -> None:
        row = self.rows[strategy]
        if row.state["stopped"]:
            self._take_back_all(strategy)
            return
        self._show(strategy)
        for (tag, sell), wish in sorted(self.decide[strategy]().items()):
            if wish["kind"] != KEEP:
                self.held[strategy][tag, sell] = self._grant(strategy, tag, sell, wish)
        if row.state["stopped"]:
            self._take_back_all(strategy)

    def _run_all(self, symbol: int) -> None:
        for strategy in range(len(self.rows)):
            if self._watches(strategy, symbol):
                self._run(strategy)

    def _take_back_all(self, strategy: int) -> None:
        for key, held in sorted(self.held[strategy].items()):
            if held > 0:
                self._take_back(held)
            elif held < 0:
                parent = self._parent(-held)
                if parent is not None:
                    self._call_off(-held)
                if parent is None or parent.state not in LIVE:
                    self.held[strategy][key] = 0
                    if parent is not None:
                        self._forget_algo(-held)

    def _looks_like(self, o: Any, wish: dict[str, int]) -> bool:
        if o.qty - o.filled != wish["qty_lots"] or o.terms["type"] != wish["type"]:
            return False
        if o.terms["type"] in (OrderType.TYPE_MARKET, OrderType.TYPE_TRAILING):
            return True
        return o.terms["px_stop"] == wish["trigger_px_ticks"] and o.px in (0, wish["px_ticks"])

    def _amends(self, o: Any, wish: dict[str, int]) -> bool:
        down = wish["px_ticks"] == o.px and wish["qty_lots"] < o.qty - o.filled
        able = self.can & Can.CAN_AMEND or (self.can & Can.CAN_AMEND_DOWN and down)
        limits = o.terms["type"] == OrderType.TYPE_LIMIT and wish["type"] == WishType.TYPE_LIMIT
        return bool(able and limits and not o.terms["bracket"]
                    and o.state in (State.STATE_OPEN, State.STATE_PARTIAL))  # fmt: skip

    def _grant(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> int:
        """A wish as it is, or as large as its strategy's sizing makes it."""
        reduces = wish["flags"] & WishFlag.WISH_REDUCE_ONLY
        if not self.rows[strategy].limits.get("size_by", 0) or wish["kind"] != REST or reduces:
            return self._grant_whole(strategy, tag, sell, wish)
        held = self.held[strategy].get((tag, sell), 0)
        parent = self._parent(-held) if held < 0 else None
        if held > 0:
            o = self.orders.records[held]
            qty = o.qty - o.filled
        elif parent is not None:
            qty = parent.want["qty_lots"]
        elif check_wish(self._record(wish), sell, self.now):
            qty = wish["qty_lots"]  # malformed: its fault is told elsewhere
        else:
            qty = self._size(strategy, self.symbol_of[strategy], sell, wish)
        if qty == 0 and wish["qty_lots"] > 0:
            if held:
                return held
            self._deny_wish(strategy, tag, Stage.STAGE_STRATEGY, sell, wish, 1 << StrategyRule.STRATEGY_RULE_SIZE)
            return 0
        shown = min(wish["display_lots"], qty) if qty > 0 else wish["display_lots"]
        return self._grant_whole(strategy, tag, sell, wish | {"qty_lots": qty, "display_lots": shown})

    def _grant_whole(self, strategy: int, tag: int, sell: bool, wish: dict[str, int]) -> int:
        held, rest, sliced = self.held[strategy].get((tag, sell), 0), wish["kind"] == REST, self._sliced(wish)
        parent = self._parent(-held) if held < 0 else None
        if parent is not None:
            if rest and sliced and self._algo_looks_like(parent, wish):
                return held
            self._call_off(-held)
            if parent.state in LIVE:
                return held
            self._forget_algo(-held)
        o = self.orders.records[held] if held > 0 else None
        if o is not None:
            if rest and self._looks_like(o, wish):
                return held
            if (
                rest
                and self._amends(o, wish)
                and self._passes_own(strategy, tag, sell, wish)
                and self._disciplined(strategy, tag, sell, o.terms["symbol"], wish["px_ticks"], wish)
                and self._amend(held, wish["px_ticks"], o.filled + wish["qty_lots"], wish["stop_px_ticks"])
            ):
                self._spend(strategy, sell, self.on_word)
                self._note_stop(strategy, sell, wish)
                return held
            self._take_back(held)
            return self.held[strategy].get((tag, sell), 0)
        if not rest:
            return 0
        return (self._start if sliced else self._place)(strategy, tag, sell, wish)


__all__ = ["SECOND", "WishSide"]
