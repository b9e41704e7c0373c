"""Twin of discipline: lists of trades, fractions, and each bias as one plain question.

The record is a list; everything about it is computed anew from the list whenever it is asked. Significance comes from
the incomplete beta function by its continued fraction, another way than the kernel's finite sums.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from engine._core.discipline import UNKNOWN, Bias, Claim, Corrective, Reason, Sign
from engine._core.types import Status
from engine.errors import DisciplineBadConfig

HOUR = 3600 * 10**9
YEAR = 31_557_600 * 10**9
MOST = 2**63 - 1
PPM = 10**6

# name, default, and whether a value other than the default is as strict as it must be
RULES: dict[str, tuple[float, Any]] = {
    "p_max": (0.05, lambda v: 0 < v <= 0.05),
    "sharpe_min": (2.0, lambda v: 2 <= v < 1e6),
    "confidence_min": (0.75, lambda v: 0.75 <= v < 1),
    "sharpe_span_min_ns": (24 * HOUR, lambda v: v >= HOUR),
    "fomo_rise_ppm": (50_000, lambda v: v > 0),
    "fomo_sentiment_ppm": (700_000, lambda v: 0 < v <= PPM),
    "fomo_cooldown_ns": (HOUR, lambda v: v >= HOUR),
    "revenge_window_ns": (HOUR // 4, lambda v: v > 0),
    "revenge_cooldown_ns": (4 * HOUR, lambda v: v >= 4 * HOUR),
    "cap_ppm": (10_000, lambda v: 0 < v <= 10_000),
    "cap_cooldown_ns": (4 * HOUR, lambda v: v >= 4 * HOUR),
    "size_factor_ppm": (1_500_000, lambda v: PPM <= v <= 1_500_000),
    "warning_window_ns": (HOUR // 4, lambda v: v > 0),
    "stop_grace_ns": (0, lambda v: v >= 0),
    "stop_retry_ns": (10**9, lambda v: v > 0),
    "explore_share_ppm": (1_000, lambda v: 0 <= v <= 10_000),
    "explore_max": (200, lambda v: v >= 0),
    "samples_min": (30, lambda v: v >= 10),
    "window": (256, lambda v: v <= 1024),
    "trials": (1, lambda v: 1 <= v <= 1000),
    "wins_max": (5, lambda v: 1 <= v <= 5),
    "shrinking_stops": (3, lambda v: 1 <= v <= 3),
    "confirmations_min": (3, lambda v: 3 <= v <= 64),
    "paper": (0, lambda v: v in (0, 1)),
    "validator": (0, lambda v: v in (0, 1, 2)),
}


def tail(t: float, freedom: int) -> float:
    """P(T > t) of Student's distribution, by the incomplete beta function's continued fraction (Lentz)."""
    x = freedom / (freedom + t * t)
    a, b = freedom / 2, 0.5
    near_one = x >= (a + 1) / (a + b + 2)
    value = 1 - _beta_part(b, a, 1 - x) if near_one else _beta_part(a, b, x)
    return value / 2 if t >= 0 else 1 - value / 2


def _beta_part(a: float, b: float, x: float) -> float:
    if x <= 0:
        return 0.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    tiny, c, d = 1e-300, 1.0, 1 / max(1 - (a + b) * x / (a + 1), 1e-300)
    h = d
    for m in range(1, 500):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / (1 + step * d or tiny)
            c = 1 + step / c or tiny
            h *= d * c
    return front * h / a


@dataclass
class Strategy:
    trades: list[tuple[int, int, int, int]] = field(default_factory=list)  # time, return, stake, stop
    revenge_until: int | None = None
    cap_until: int | None = None
    loss: int | None = None
    warned_until: int | None = None
    warned: int = 0
    wins: int = 0
    shrunk: int = 0
    stop_last: int = 0
    ignored: int = 0
    explored: int = 0
    clamped: int = 0
    refused: int = 0
    results: int = 0
    observed: int = 0


@dataclass
class Symbol:
    fomo_until: int | None = None
    revenge_until: int | None = None
    loss: int | None = None
    beyond: int | None = None
    forced: int | None = None


def later(now: int, span: int, before: int | None) -> int:
    end = min(now + span, MOST)
    return end if before is None else max(before, end)


def latest(one: int | None, other: int | None) -> int | None:
    return max((end for end in (one, other) if end is not None), default=None)


class Discipline:
    def __init__(self, *, strategies: int, symbols: int, **rules: float) -> None:
        self.rules: dict[str, Any] = {name: default for name, (default, _) in RULES.items()} | rules
        for name, value in self.rules.items():
            if not RULES[name][1](value):
                raise DisciplineBadConfig(name)
        if self.rules["validator"] and not self.rules["paper"]:
            raise DisciplineBadConfig("validator")
        if self.rules["samples_min"] > self.rules["window"] or strategies < 1 or symbols < 1:
            raise DisciplineBadConfig("sizes")
        self.strategies = [Strategy() for _ in range(strategies)]
        self.symbols = [Symbol() for _ in range(symbols)]
        self.checked = self.refused = self.reducing = self.explored = self.results_refused = 0
        self.observed = 0
        self.by_observed: dict[str, int] = {}
        self.by_reason: dict[str, int] = {}
        self.by_bias: dict[str, int] = {}

    def restart(self) -> Discipline:
        return copy.deepcopy(self)

    # -------------------------------------------------------------------------------------------------- over a restart
    def carry(self, to: int, before: Discipline, strategy: int) -> int:
        if to >= len(self.strategies) or strategy >= len(before.strategies):
            return Status.DISCIPLINE_UNKNOWN
        if self.strategies[to].trades:
            return Status.DISCIPLINE_BAD_RESULT
        s, mine = copy.deepcopy(before.strategies[strategy]), self.strategies[to]
        s.trades = s.trades[-self.rules["window"] :]
        for name in ("revenge_until", "cap_until", "warned_until"):
            setattr(s, name, latest(getattr(s, name), getattr(mine, name)))
        self.strategies[to] = s
        return Status.OK

    def carry_symbol(self, to: int, before: Discipline, symbol: int) -> int:
        if to >= len(self.symbols) or symbol >= len(before.symbols):
            return Status.DISCIPLINE_UNKNOWN
        mine, theirs = self.symbols[to], before.symbols[symbol]
        for name in ("fomo_until", "revenge_until", "loss"):
            setattr(mine, name, latest(getattr(mine, name), getattr(theirs, name)))
        return Status.OK

    def rest(self, now_ns: int) -> None:
        c = self.rules
        for s in self.strategies:
            s.revenge_until = later(now_ns, c["revenge_cooldown_ns"], s.revenge_until)
            s.cap_until = later(now_ns, c["cap_cooldown_ns"], s.cap_until)
        for y in self.symbols:
            y.fomo_until = later(now_ns, c["fomo_cooldown_ns"], y.fomo_until)
            y.revenge_until = later(now_ns, c["revenge_cooldown_ns"], y.revenge_until)

    # --------------------------------------------------------------------------------------------------- the record
    def result(self, strategy: int, symbol: int, *, pnl: int, notional: int, now_ns: int, stop_ppm: int = 0) -> int:
        if strategy >= len(self.strategies) or symbol >= len(self.symbols):
            self.results_refused += 1
            return Status.DISCIPLINE_UNKNOWN
        s = self.strategies[strategy]
        last = s.trades[-1][0] if s.trades else -1
        if not 0 < notional <= 2**52 or stop_ppm < 0 or now_ns < 0 or now_ns < last:
            self.results_refused += 1
            s.refused += 1
            return Status.DISCIPLINE_BAD_RESULT
        gain = max(-(10**10), min(10**10, math.floor(Fraction(pnl * 10**8, notional))))
        s.clamped += abs(gain) == 10**10
        s.trades = [*s.trades, (now_ns, gain, notional, stop_ppm)][-self.rules["window"] :]
        s.results += 1
        s.shrunk = s.shrunk + 1 if stop_ppm < s.stop_last else 0
        s.stop_last = stop_ppm
        s.wins = s.wins + 1 if pnl > 0 else 0
        if pnl < 0:
            s.loss = now_ns
            y = self.symbols[symbol]
            y.loss = now_ns if y.loss is None else max(y.loss, now_ns)
        return Status.OK

    def statistics(self, strategy: int) -> dict[str, Any]:
        s = self.strategies[strategy]
        returns = [trade[1] for trade in s.trades]
        n, total = len(returns), sum(returns)
        ev = Fraction(total, n * 10**8) if n else Fraction(0)
        t = sharpe = sharpe_se = 0.0
        p = 1.0
        if n >= 2 and len(set(returns)) > 1:
            mean = Fraction(total, n)
            variance = sum((r - mean) ** 2 for r in returns) / (n - 1)
            t = math.copysign(math.sqrt(mean**2 * n / variance), mean) if mean else 0.0
            p = tail(t, n - 1) if t else 1.0
            per_trade = t / math.sqrt(n)
            span = max(s.trades[-1][0] - s.trades[0][0], self.rules["sharpe_span_min_ns"])
            a_year = math.sqrt((n - 1) * YEAR / span)
            sharpe = per_trade * a_year
            sharpe_se = math.sqrt((1 + per_trade**2 / 2) / n) * a_year
        failed = 0
        for reason, bad in (
            (Reason.REASON_TOO_FEW_SAMPLES, n < self.rules["samples_min"]),
            (Reason.REASON_NEGATIVE_EV, total <= 0),
            (Reason.REASON_INSIGNIFICANT, not (t > 0 and p < self.rules["p_max"] / self.rules["trials"])),
            (Reason.REASON_LOW_CONFIDENCE, not (t > 0 and 1 - p > self.rules["confidence_min"])),
            (Reason.REASON_LOW_SHARPE, not sharpe > self.rules["sharpe_min"]),
        ):
            failed |= bad << reason
        return {
            "samples": n, "sum_e8": total, "ev": float(ev), "t": t, "p": p, "sharpe": sharpe, "sharpe_se": sharpe_se,
            "failed": failed, "wins_in_row": s.wins, "stops_shrunk": s.shrunk,
            "notional_sum": sum(trade[2] for trade in s.trades), "ignored_warnings": s.ignored,
            "explored": s.explored, "clamped": s.clamped, "refused": s.refused, "results": s.results,
        }  # fmt: skip

    def warn(self, strategy: int, notional: int, now_ns: int) -> int:
        if strategy >= len(self.strategies):
            return Status.DISCIPLINE_UNKNOWN
        s = self.strategies[strategy]
        if s.warned_until is None or now_ns >= s.warned_until or notional < s.warned:
            s.warned = notional
        s.warned_until = later(now_ns, self.rules["warning_window_ns"], s.warned_until)
        return Status.OK

    # --------------------------------------------------------------------------------------------------- the biases
    def position(self, now_ns: int, symbol: int, facts: Mapping[str, int]) -> dict[str, int] | None:
        if symbol >= len(self.symbols):
            return None
        y, beyond = self.symbols[symbol], _beyond(facts)
        if beyond is None:
            return None
        if not beyond:
            y.beyond = y.forced = None
            return None
        y.beyond = now_ns if y.beyond is None else y.beyond
        if now_ns - y.beyond < self.rules["stop_grace_ns"]:
            return None
        if y.forced is not None and now_ns - y.forced < self.rules["stop_retry_ns"]:
            return None
        y.forced = now_ns
        self._count(Bias.BIAS_LOSS_AVERSION)
        return _action(Corrective.CORRECT_FORCE_STOP, Bias.BIAS_LOSS_AVERSION, 0, symbol, 0, facts["position_lots"])

    def _count(self, bias: Bias) -> None:
        self.by_bias[bias.name or ""] = self.by_bias.get(bias.name or "", 0) + 1

    def _biases(  # noqa: PLR0912, PLR0915 - the rules one after the other, as they read
        self, now: int, signal: Mapping[str, Any], facts: Mapping[str, int], v: dict[str, Any]
    ) -> set[Reason]:
        found: set[Reason] = set()
        strategy, symbol, c = signal["strategy"], signal["symbol"], self.rules
        s, y = self.strategies[strategy], self.symbols[symbol]

        def stands(until: int | None) -> bool:
            if until is not None and now < until:
                v["until_ns"] = max(v["until_ns"], until)
                return True
            return False

        def act(bias: Bias, kind: Corrective, until: int, value: int) -> None:
            v["detected"] |= 1 << bias
            v["actions"].append(_action(kind, bias, strategy, symbol, until, value))
            self._count(bias)

        # FOMO
        if stands(y.fomo_until):
            found.add(Reason.REASON_COOLDOWN_FOMO)
        way = -1 if signal.get("sell") else 1
        rise = None if facts["rise_ppm"] == UNKNOWN else way * facts["rise_ppm"]
        sentiment = PPM if facts["sentiment_ppm"] == UNKNOWN else way * facts["sentiment_ppm"]
        px = signal["px_ticks"]
        chases = px < facts["px_band_low_ticks"] if signal.get("sell") else px > facts["px_band_high_ticks"]
        rises = rise is not None and rise >= c["fomo_rise_ppm"] and sentiment >= c["fomo_sentiment_ppm"]
        if chases or rises:
            y.fomo_until = later(now, c["fomo_cooldown_ns"], y.fomo_until)
            stands(y.fomo_until)
            act(Bias.BIAS_FOMO, Corrective.CORRECT_BLOCK, y.fomo_until, 0)
            found.add(Reason.REASON_FOMO)
        # revenge
        if [stands(s.revenge_until), stands(y.revenge_until)] != [False, False]:
            found.add(Reason.REASON_COOLDOWN_REVENGE)
        ends = []
        for row in (s, y):
            if row.loss is not None and now - row.loss < c["revenge_window_ns"]:
                row.revenge_until = later(now, c["revenge_cooldown_ns"], row.revenge_until)
                stands(row.revenge_until)
                ends.append(row)
        if ends:
            act(Bias.BIAS_REVENGE, Corrective.CORRECT_BLOCK,
                max(s.revenge_until or 0, y.revenge_until or 0) if y in ends else s.revenge_until or 0, 0)  # fmt: skip
            found.add(Reason.REASON_REVENGE)
        # overconfidence
        cap = max(facts["equity"], 0) * c["cap_ppm"] // PPM
        signs = 0
        if s.wins > c["wins_max"]:
            signs |= Sign.SIGN_STREAK
        if s.trades:
            mean = Fraction(sum(trade[2] for trade in s.trades), len(s.trades))
            if signal["notional"] > 0 and signal["notional"] > mean * Fraction(c["size_factor_ppm"], PPM):
                signs |= Sign.SIGN_SIZE
        if s.warned_until is not None and now < s.warned_until and signal["notional"] >= s.warned:
            s.ignored += 1
            signs |= Sign.SIGN_WARNING
        if signal["stop_ppm"] < s.stop_last and s.shrunk + 1 >= c["shrinking_stops"]:
            signs |= Sign.SIGN_STOPS
        v["signs"] = signs
        if signs:
            s.cap_until = later(now, c["cap_cooldown_ns"], s.cap_until)
            act(Bias.BIAS_OVERCONFIDENCE, Corrective.CORRECT_CAP, s.cap_until, cap)
        if s.cap_until is not None and now < s.cap_until:
            v["notional_max"] = cap
            limit = facts["position_share_ppm"]
            v["scale_ppm"] = min(PPM, c["cap_ppm"] * PPM // limit) if limit > 0 else 0
            if signal["notional"] > cap:
                stands(s.cap_until)
                found.add(Reason.REASON_OVERCONFIDENCE)
        # loss aversion
        if facts["position_lots"]:
            forced = self.position(now, symbol, facts)
            if forced:
                v["detected"] |= 1 << Bias.BIAS_LOSS_AVERSION
                v["actions"].append(forced | {"strategy": strategy})
            if _beyond(facts) is not False:
                found.add(Reason.REASON_LOSS_AVERSION)
        # confirmation
        if int(signal.get("sources", 0)).bit_count() < c["confirmations_min"]:
            act(Bias.BIAS_CONFIRMATION, Corrective.CORRECT_CONFIRM, 0, c["confirmations_min"])
            found.add(Reason.REASON_CONFIRMATION)
        return found

    # ---------------------------------------------------------------------------------------------------- the check
    def check_signal(
        self, now_ns: int, signal: Mapping[str, Any], facts: Mapping[str, int]
    ) -> tuple[int, dict[str, Any]]:
        signal = dict.fromkeys(("px_ticks", "qty_lots", "notional", "stop_ppm", "strategy", "symbol"), 0) | dict(signal)
        facts = dict.fromkeys(
            [
                "equity",
                "position_share_ppm",
                "position_lots",
                "px_stop_ticks",
                "bid_px_ticks",
                "ask_px_ticks",
                "rise_ppm",
                "sentiment_ppm",
                "px_band_low_ticks",
                "px_band_high_ticks",
            ],
            0,
        ) | dict(facts)
        v: dict[str, Any] = {
            "reasons": 0, "detected": 0, "until_ns": 0, "scale_ppm": PPM, "notional_max": MOST, "reducing": 0,
            "explored": 0, "signs": 0, "actions": [], "observed": 0, "news": 0,
        }  # fmt: skip
        self.checked += 1
        if signal["strategy"] >= len(self.strategies) or signal["symbol"] >= len(self.symbols):
            return Status.DISCIPLINE_UNKNOWN, self._refuse(v, {Reason.REASON_BAD_INPUT})
        held, qty = facts["position_lots"], signal["qty_lots"]
        if 0 < qty <= (held if signal.get("sell") else -held):
            self.reducing += 1
            return Status.OK, v | {"reducing": 1}
        s, c = self.strategies[signal["strategy"]], self.rules
        record = {
            Reason(i) for i in range(Reason.REASON_COUNT) if self.statistics(signal["strategy"])["failed"] >> i & 1
        }
        explores = (
            bool(c["paper"])
            and Reason.REASON_TOO_FEW_SAMPLES in record
            and s.explored < c["explore_max"]
            and facts["equity"] > 0
            and signal["notional"] <= facts["equity"] * c["explore_share_ppm"] // PPM
        )
        observes = bool(c["validator"])
        reasons: set[Reason] = set()
        if (
            min(signal["px_ticks"], qty, signal["notional"], signal["stop_ppm"], facts["equity"]) <= 0
            or facts["position_share_ppm"] <= 0
            or facts["rise_ppm"] == UNKNOWN
            or not 0 < facts["px_band_low_ticks"] < facts["px_band_high_ticks"]
            or not 0 < facts["bid_px_ticks"] < facts["ask_px_ticks"]
        ):
            reasons = reasons | {Reason.REASON_BAD_INPUT}
        figures = set() if explores and not observes else set(record)
        claims = signal.get("claims", 0)
        for claim, good, reason in (
            (Claim.CLAIM_P, 0 <= signal.get("p", 0.0) < c["p_max"], Reason.REASON_INSIGNIFICANT),
            (Claim.CLAIM_EV, signal.get("ev", 0.0) > 0, Reason.REASON_NEGATIVE_EV),
            (Claim.CLAIM_SHARPE, signal.get("sharpe", 0.0) > c["sharpe_min"], Reason.REASON_LOW_SHARPE),
            (
                Claim.CLAIM_CONFIDENCE,
                c["confidence_min"] < signal.get("confidence", 0.0) <= 1,
                Reason.REASON_LOW_CONFIDENCE,
            ),
        ):
            if claims & claim and not good:
                figures = figures | {reason}
        biases = self._biases(now_ns, signal, facts, v)
        if c["validator"] == 2:
            figures = figures | biases
            v |= {"scale_ppm": PPM, "notional_max": MOST}
        else:
            reasons = reasons | biases
        reasons = reasons | (set() if observes else figures)
        if reasons:
            return Status.DISCIPLINE_REFUSED, self._refuse(v, reasons)
        if observes:
            v["observed"] = sum(1 << reason for reason in figures)
            v["news"] = int(v["observed"] != s.observed)
            s.observed = v["observed"]
            self.observed += bool(figures)
            for reason in figures:
                self.by_observed[reason.name or ""] = self.by_observed.get(reason.name or "", 0) + 1
            return Status.OK, v
        if explores:
            v["explored"] = 1
            s.explored += 1
            self.explored += 1
        return Status.OK, v

    def _refuse(self, v: dict[str, Any], reasons: set[Reason]) -> dict[str, Any]:
        self.refused += 1
        for reason in reasons:
            v["reasons"] |= 1 << reason
            self.by_reason[reason.name or ""] = self.by_reason.get(reason.name or "", 0) + 1
        return v

    def cooldowns(self) -> dict[tuple[str, int, str], int | None]:
        found: dict[tuple[str, int, str], int | None] = {}
        for i, s in enumerate(self.strategies):
            found["strategy", i, "revenge"], found["strategy", i, "cap"] = s.revenge_until, s.cap_until
        for i, y in enumerate(self.symbols):
            found["symbol", i, "fomo"], found["symbol", i, "revenge"] = y.fomo_until, y.revenge_until
        return found

    @property
    def counts(self) -> dict[str, Any]:
        return {
            "checked": self.checked, "refused": self.refused, "reducing": self.reducing, "explored": self.explored,
            "results_refused": self.results_refused, "by_reason": self.by_reason, "by_bias": self.by_bias,
            "observed": self.observed, "observed_by_reason": self.by_observed,
        }  # fmt: skip

    def check(self) -> None:
        for s in self.strategies:
            assert len(s.trades) <= self.rules["window"], "record bounds"
            assert s.explored <= self.rules["explore_max"], "exploration past its allowance"


def _beyond(facts: Mapping[str, int]) -> bool | None:
    """Whether a position stands beyond its stop; None when that cannot be told."""
    lots, stop = facts.get("position_lots", 0), facts.get("px_stop_ticks", 0)
    if lots == 0:
        return False
    if stop <= 0 or not 0 < facts["bid_px_ticks"] < facts["ask_px_ticks"]:
        return None
    return facts["bid_px_ticks"] <= stop if lots > 0 else facts["ask_px_ticks"] >= stop


def _action(kind: int, bias: int, strategy: int, symbol: int, until_ns: int, value: int) -> dict[str, int]:
    return {
        "kind": int(kind), "bias": int(bias), "strategy": strategy, "symbol": symbol, "until_ns": until_ns,
        "value": value,
    }  # fmt: skip
