"""Twin of the modes: dictionaries, fractions for prices, and one function per state of the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from engine._core.modes import SWITCHES, Act, Goal, Mode, Need, Outcome, Phase, Who
from engine._core.types import Status
from engine.errors import ModeBadConfig

SECOND = 10**9
PPM = 10**6
DEFAULTS = {
    "cooldown_ns": 900 * SECOND, "reduce_interval_ns": 60 * SECOND, "reduce_share_ppm": 100_000,
    "reduce_target_ppm": 500_000, "cancel_ns": 2 * SECOND, "confirm_ns": 5 * SECOND, "flatten_ns": 60 * SECOND,
    "verify_ns": 10 * SECOND, "retry_ns": SECOND, "reprice_ns": 3 * SECOND, "give_ppm": 500, "band_ppm": 10_000,
    "attempts_standard": 5, "attempts_aggressive": 3, "cancels_max": 3, "equity_agree_ppm": 5_000,
}  # fmt: skip
Action = tuple[int, int, bool, int, int, int]


@dataclass
class Row:
    start: int = 0
    placed: int | None = None
    quiet: int | None = None
    asked: int | None = None
    verified: int | None = None
    verified_lots: int = 0
    cancelled: int | None = None
    attempts: int = 0
    cancels: int = 0
    working: bool = False
    stuck: bool = False
    touched: bool = False

    def is_verified(self, since: int | None, lots: int) -> bool:
        return (since is None or (self.verified is not None and self.verified >= since)) and self.verified_lots == lots


class Modes:
    def __init__(self, *, symbols: int, **config: int) -> None:
        c = self.config = DEFAULTS | config
        spans = ("cooldown_ns", "cancel_ns", "confirm_ns", "flatten_ns", "verify_ns", "give_ppm")
        if (
            any(c[name] < 0 for name in spans)
            or min(c["reduce_interval_ns"], c["retry_ns"], c["reprice_ns"], c["cancels_max"], symbols) < 1
            or not 0 < c["reduce_share_ppm"] <= PPM
            or not all(0 <= c[name] < PPM for name in ("reduce_target_ppm", "band_ppm", "equity_agree_ppm"))
        ):
            raise ModeBadConfig(str(config))
        self.symbols = symbols
        self.mode, self.phase, self.outcome, self.goal = Mode.MODE_PAUSED, Phase.PHASE_IDLE, Outcome.OUTCOME_NONE, 0
        self.aggressive = self.halted = self.captured = False
        self.since: int | None = None
        self.phase_at = self.steps = self.next = self.reported = 0
        self.by: dict[str, int] = {}
        self.rows = [Row() for _ in range(symbols)]
        names = ("lots", "open_buy_lots", "open_sell_lots", "bid_px_ticks", "ask_px_ticks", "qty_min_lots",
                 "orders_live", "entries_live", "plan_live", "dust_lots")  # fmt: skip
        self.facts: list[dict[str, int]] = [dict.fromkeys(names, 0) for _ in range(symbols)]
        self.counts = {"switches": 0, "refused": 0, "plans": 0, "actions": 0, "by_people": 0}

    @property
    def state(self) -> dict[str, int]:
        return {
            "mode": int(self.mode), "phase": int(self.phase), "outcome": int(self.outcome), "goal": int(self.goal),
            "aggressive": int(self.aggressive), "halted": int(self.halted), "steps": self.steps,
        }  # fmt: skip

    def fact(self, symbol: int, **values: int) -> None:
        self.facts[symbol].update(values)

    def attempts(self, symbol: int) -> int:
        return self.rows[symbol].attempts

    def verified(self, symbol: int, lots: int, as_of_ns: int) -> int:
        if symbol >= self.symbols:
            return Status.MODE_UNKNOWN_SYMBOL
        row = self.rows[symbol]
        if row.verified is None or as_of_ns > row.verified:
            row.verified, row.verified_lots = as_of_ns, lots
        return Status.OK

    # ----------------------------------------------------------------------------------------------------- switches
    @property
    def runs(self) -> bool:
        return self.phase not in (Phase.PHASE_IDLE, Phase.PHASE_ENDED)

    def _begin(self, goal: int, aggressive: bool, ready: dict[str, int], now: int) -> None:
        one, two = ready.get("equity_first", 0), ready.get("equity_second", 0)
        agree = min(one, two) > 0 and abs(one - two) <= max(one, two) * self.config["equity_agree_ppm"] // PPM
        self.rows = [Row() for _ in range(self.symbols)]
        self.halted = goal == Goal.GOAL_FLATTEN and not agree
        self.goal = Goal.GOAL_CANCEL if self.halted else goal
        self.aggressive, self.outcome, self.reported = aggressive, Outcome.OUTCOME_NONE, 0
        at = now
        for name in ("cancel", "confirm", "flatten", "verify"):
            at += self.config[f"{name}_ns"]
            self.by[name] = at
        self.counts["plans"] += 1
        self.phase, self.phase_at = Phase.PHASE_CANCEL, now
        if goal == Goal.GOAL_KEEP:
            self.outcome, self.phase = Outcome.OUTCOME_KEPT, Phase.PHASE_REPORT

    def switch(self, to: int, who: int, now_ns: int, *, aggressive: bool = False, **ready: int) -> int:
        status = self._switch(to, who, now_ns, aggressive, ready)
        self.counts["refused"] += status != Status.OK
        return status

    def _switch(self, to: int, who: int, now: int, aggressive: bool, ready: dict[str, int]) -> int:
        if to == self.mode and who in (Who.WHO_HUMAN, Who.WHO_ENGINE, Who.WHO_LATCH):
            if to == Mode.MODE_EMERGENCY and self.runs:
                self.aggressive = self.aggressive or aggressive
            elif to == Mode.MODE_EMERGENCY and who == Who.WHO_HUMAN and self.outcome != Outcome.OUTCOME_FLAT:
                self._begin(Goal.GOAL_FLATTEN, aggressive, ready, now)
            return Status.OK
        rows = [row for row in SWITCHES if row[:2] == (self.mode, to)]
        if not rows:
            return Status.MODE_ILLEGAL
        if who not in (Who.WHO_HUMAN, Who.WHO_ENGINE, Who.WHO_LATCH) or not rows[0][2] & who:
            return Status.MODE_NOT_YOURS
        need = rows[0][3]
        if (
            (need & Need.NEED_LATCH_CLEAR and ready.get("latch_clear") != 1)
            or (need & Need.NEED_RECONCILED and ready.get("reconciled") != 1)
            or (need & Need.NEED_COOLDOWN and self.since is not None and now - self.since < self.config["cooldown_ns"])
            or ((need & Need.NEED_PLAN_ENDED or to == Mode.MODE_NORMAL) and self.runs)
        ):
            return Status.MODE_NOT_READY
        self.mode, self.since, self.captured, self.steps = Mode(to), now, False, 0
        self.counts["switches"] += 1
        self.counts["by_people"] += who == Who.WHO_HUMAN
        if to == Mode.MODE_EMERGENCY:
            self._begin(Goal.GOAL_FLATTEN, aggressive, ready, now)
        return Status.OK

    def exit(self, goal: int, now_ns: int, *, aggressive: bool = False, **ready: int) -> None:
        if self.mode == Mode.MODE_EMERGENCY:
            return
        self.mode = Mode.MODE_EMERGENCY if goal >= Goal.GOAL_FLATTEN else Mode.MODE_PAUSED
        self.since = now_ns
        self.counts["switches"] += 1
        self._begin(min(goal, Goal.GOAL_FLATTEN), aggressive, ready, now_ns)

    # --------------------------------------------------------------------------------------------------- one symbol
    def _put(self, kind: int, symbol: int, sell: bool, px: int, qty: int, value: int) -> bool:
        if len(self.out) >= self.room:
            return False
        self.out.append((int(kind), symbol, sell, px, qty, int(value)))
        self.counts["actions"] += 1
        return True

    def _cancel(self, kind: int, symbol: int, now: int) -> None:
        row, c = self.rows[symbol], self.config
        waits = row.cancelled is not None and now - row.cancelled < c["retry_ns"]
        if row.cancels < c["cancels_max"] and not waits and self._put(kind, symbol, False, 0, 0, row.cancels + 1):
            row.cancels, row.cancelled = row.cancels + 1, now

    def _verify(self, symbol: int, now: int) -> None:
        row = self.rows[symbol]
        waits = row.asked is not None and now - row.asked < self.config["retry_ns"]
        if not waits and self._put(Act.ACT_VERIFY, symbol, False, 0, 0, 0):
            row.asked = now

    def _price(self, f: dict[str, int], sell: bool, give_ppm: int) -> int:
        bid, ask = f["bid_px_ticks"], f["ask_px_ticks"]
        mid, band = Fraction(bid + ask, 2), Fraction(self.config["band_ppm"], PPM)
        if sell:
            wanted = max(bid - bid * give_ppm // PPM, math.ceil(mid * (1 - band)))
            return min(max(wanted, 1), bid)
        return max(min(ask + ask * give_ppm // PPM, math.floor(mid * (1 + band))), ask)

    def _close(self, symbol: int, surplus: int, live: int, cancel: int, aggressive: bool, most: int, now: int) -> bool:
        row, f, c = self.rows[symbol], self.facts[symbol], self.config
        sell = f["lots"] > 0
        need = surplus - max(0, f["open_sell_lots"] if sell else f["open_buy_lots"])
        if live:
            if row.working and row.placed is not None and now - row.placed < c["reprice_ns"]:
                return False
            recent = row.cancelled is not None and now - row.cancelled < c["retry_ns"]
            if row.cancels < c["cancels_max"] or recent:
                self._cancel(cancel, symbol, now)
                return False
        if row.working:
            row.working, row.quiet = False, now
        if surplus <= 0:
            row.stuck = live > 0
            return True
        if row.attempts >= most:
            row.stuck = True
            return True
        if row.attempts and not row.is_verified(row.quiet, f["lots"]):
            self._verify(symbol, now)
            return False
        if need <= 0:
            return False
        if need < f["qty_min_lots"]:
            row.stuck = need == surplus
            return row.stuck
        px = 0
        if not aggressive:
            if not 0 < f["bid_px_ticks"] < f["ask_px_ticks"]:
                return False
            px = self._price(f, sell, c["give_ppm"] * row.attempts)
        kind = Act.ACT_PLACE_MARKET if aggressive else Act.ACT_PLACE_LIMIT
        if self._put(kind, symbol, sell, px, need, row.attempts + 1):
            row.attempts, row.placed, row.working, row.cancels, row.cancelled = row.attempts + 1, now, True, 0, None
        return False

    @staticmethod
    def sellable(f: dict[str, int]) -> int:
        """What of the position is owned."""
        return max(0, abs(f["lots"]) - f["dust_lots"])

    def is_dust(self, f: dict[str, int]) -> bool:
        """Held, and no order may close any of it."""
        none = self.sellable(f) < max(1, f["qty_min_lots"])
        return f["lots"] != 0 and f["orders_live"] == 0 and none

    # ------------------------------------------------------------------------------------------------------ the step
    def step(self, now_ns: int, room: int = 4096) -> list[Action]:
        self.out: list[Action] = []
        self.room = room
        if self.runs:
            self._plan(now_ns)
        elif self.mode == Mode.MODE_REDUCED:
            self._reduce(now_ns)
        return self.out

    def target(self, start: int, lots: int) -> int:
        if start * lots <= 0:
            return 0
        cut = min(self.steps * self.config["reduce_share_ppm"], PPM - self.config["reduce_target_ppm"])
        return abs(start) * (PPM - cut) // PPM

    def _reduce(self, now: int) -> None:
        assert self.since is not None
        if not self.captured:
            self.rows, self.captured = [Row(start=f["lots"]) for f in self.facts], True
        steps = (now - self.since) // self.config["reduce_interval_ns"]
        if steps > self.steps:
            self.steps = steps
            for row in self.rows:
                row.attempts, row.cancels, row.stuck = min(row.attempts, 1), 0, False
        first, last = self.next, 0
        for i in range(self.symbols):
            last, symbol = i, (first + i) % self.symbols
            f = self.facts[symbol]
            if f["entries_live"]:
                self._cancel(Act.ACT_CANCEL_ENTRIES, symbol, now)
            if f["lots"] or f["plan_live"]:
                surplus = abs(f["lots"]) - self.target(self.rows[symbol].start, f["lots"])
                surplus = min(surplus, self.sellable(f))
                most = self.config["attempts_standard"] + 1
                self._close(symbol, surplus, f["plan_live"], Act.ACT_CANCEL_PLAN, False, most, now)
            if len(self.out) == self.room:
                break
        self.next = (first + last) % self.symbols if len(self.out) == self.room else 0

    def _enter(self, phase: Phase, now: int) -> None:
        self.phase, self.phase_at = phase, now

    def _sweep(self, now: int) -> bool:
        done, flatten = True, self.goal == Goal.GOAL_FLATTEN
        for symbol, (row, f) in enumerate(zip(self.rows, self.facts, strict=True)):
            row.touched = row.touched or bool(f["lots"] or f["orders_live"])
            if f["orders_live" if flatten else "entries_live"]:
                self._cancel(Act.ACT_CANCEL_ALL if flatten else Act.ACT_CANCEL_ENTRIES, symbol, now)
                if self.phase == Phase.PHASE_CONFIRM or row.cancels == 0:
                    done = False
        return done

    def _flatten(self, now: int) -> bool:
        done, c = True, self.config
        late = now >= self.by["flatten"] - c["flatten_ns"] // 2
        for i in range(self.symbols):
            symbol = (self.next + i) % self.symbols
            row, f = self.rows[symbol], self.facts[symbol]
            row.touched = row.touched or bool(f["lots"] or f["orders_live"])
            if not f["orders_live"] and (not f["lots"] or self.is_dust(f)):
                if row.working:
                    row.working, row.quiet = False, now
                continue
            if row.stuck:
                continue
            aggressive = self.aggressive or late or row.attempts >= c["attempts_standard"]
            most = c["attempts_standard"] + c["attempts_aggressive"]
            if not self._close(symbol, self.sellable(f), f["orders_live"], Act.ACT_CANCEL_ALL, aggressive, most, now):
                done = False
        self.next = (self.next + 1) % self.symbols
        return done

    def _over(self, now: int) -> bool:
        done, stuck, dusty = True, False, False
        for symbol, (row, f) in enumerate(zip(self.rows, self.facts, strict=True)):
            dusty = dusty or self.is_dust(f)
            if (f["lots"] or f["orders_live"]) and not self.is_dust(f):
                row.touched = True
                if not row.stuck and now < self.by["flatten"]:
                    self._enter(Phase.PHASE_FLATTEN, now)
                    return False
                stuck = True
            elif row.touched and not row.is_verified(self.phase_at, f["lots"]):
                self._verify(symbol, now)
                done = False
        if done:
            flat = Outcome.OUTCOME_DUST if dusty else Outcome.OUTCOME_FLAT
            self.outcome = Outcome.OUTCOME_PARTIAL if stuck else flat
        return done

    def _report(self, now: int) -> None:
        while self.reported < self.symbols:
            row, f = self.rows[self.reported], self.facts[self.reported]
            unsure = row.verified is None or row.verified < self.phase_at
            doubtful = (
                self.goal == Goal.GOAL_FLATTEN and row.touched and unsure and self.outcome == Outcome.OUTCOME_PARTIAL
            )
            confirmed = not unsure and row.verified_lots == f["lots"] and self.goal == Goal.GOAL_FLATTEN
            if confirmed and self.is_dust(f):
                if not self._put(Act.ACT_DUST, self.reported, f["lots"] > 0, 0, f["lots"], f["dust_lots"]):
                    return
            elif (f["lots"] or f["orders_live"] or doubtful) and not self._put(
                Act.ACT_OPEN, self.reported, f["lots"] > 0, 0, f["lots"], f["orders_live"]
            ):
                return
            self.reported += 1
        if self._put(Act.ACT_ENDED, 0, False, 0, 0, self.outcome):
            self._enter(Phase.PHASE_ENDED, now)

    def _plan(self, now: int) -> None:
        if self.phase == Phase.PHASE_CANCEL and (self._sweep(now) or now >= self.by["cancel"]):
            self._enter(Phase.PHASE_CONFIRM, now)
        if self.phase == Phase.PHASE_CONFIRM:
            clear = self._sweep(now)
            if clear or now >= self.by["confirm"]:
                if self.goal == Goal.GOAL_FLATTEN:
                    self._enter(Phase.PHASE_FLATTEN, now)
                else:
                    ended = Outcome.OUTCOME_CANCELED if clear else Outcome.OUTCOME_PARTIAL
                    self.outcome = Outcome.OUTCOME_HALTED if self.halted else ended
                    self._enter(Phase.PHASE_REPORT, now)
        if self.phase == Phase.PHASE_FLATTEN and (self._flatten(now) or now >= self.by["flatten"]):
            self._enter(Phase.PHASE_VERIFY, now)
        if self.phase == Phase.PHASE_VERIFY:
            over = self._over(now)
            if self.phase == Phase.PHASE_VERIFY and (over or now >= self.by["verify"]):
                self.outcome = self.outcome if over else Outcome.OUTCOME_PARTIAL
                self.phase = Phase.PHASE_REPORT
        if self.phase == Phase.PHASE_REPORT:
            self._report(now)

    def check(self) -> None:
        most: Any = self.config["attempts_standard"] + self.config["attempts_aggressive"] + 1
        for row in self.rows:
            assert row.attempts <= most, "past the attempts"
            assert row.cancels <= self.config["cancels_max"], "past the cancels"
