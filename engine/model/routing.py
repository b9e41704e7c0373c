"""Twin of smart routing: fractions for prices, plain lists, one rule after the other."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from engine import errors
from engine._core.routing import Against, Life, Policy
from engine._core.types import Status

E8, AMOUNT_MAX = 10**8, 2**60
# venue, lots, worst price, value, fee, cost
Part = tuple[int, int, int, int, int, int]


def rest(life: int, qty_units: int, filled_units: int) -> tuple[Status, int]:
    if life not in (Life.LIFE_NEVER_SENT, Life.LIFE_ENDED):
        return Status.ROUTE_ORDER_LIVE, 0
    if not 0 <= filled_units <= qty_units or qty_units == 0 or (life == Life.LIFE_NEVER_SENT and filled_units):
        return Status.ROUTE_BAD_ASK, 0
    left = qty_units - filled_units
    return (Status.OK if left else Status.ROUTE_NONE), left


def rounded_up(value: int, rate_e8: int) -> int:
    return -(-value * rate_e8 // E8)


class Venue:
    def __init__(self, index: int, facts: dict[str, Any], *, sell: bool, maker: bool) -> None:
        self.index, self.facts, self.sell = index, facts, sell
        self.fee_e8 = facts["fee_maker_e8"] if maker else facts["fee_taker_e8"]
        self.penalty_e8 = facts["slippage_e8"] + facts["latency_e8"]
        self.levels: list[tuple[int, int]] = []
        book = [(facts["px_rest_ticks"], facts["qty_lots_max"])] if maker else facts["levels"]
        for px, qty in book:
            if px <= 0 or qty <= 0 or px > AMOUNT_MAX // max(facts["unit_value"], 1):
                break
            self.levels.append((px, qty))
        self.reset()

    def reset(self) -> None:
        self.at, self.left = 0, self.levels[0][1] if self.levels else 0
        self.lots = self.value = self.worst = 0

    @property
    def px(self) -> int | None:
        return self.levels[self.at][0] if self.at < len(self.levels) else None

    def key(self) -> Fraction:
        """All-in price of a base unit where it stands; smaller is better."""
        assert self.px is not None
        sign = -1 if self.sell else 1
        rates = E8 + sign * (self.fee_e8 + self.penalty_e8)
        return sign * Fraction(self.px * self.facts["unit_value"] * rates, self.facts["lot_units"])

    def take(self, lots: int) -> None:
        assert self.px is not None
        self.lots, self.left, self.worst = self.lots + lots, self.left - lots, self.px
        self.value += lots * self.px * self.facts["unit_value"]
        if self.left == 0:
            self.at += 1
            self.left = self.levels[self.at][1] if self.at < len(self.levels) else 0

    def affordable(self, lots: int) -> int:
        assert self.px is not None
        facts = self.facts
        if self.sell:
            return min(lots, int(facts["balance"] // facts["lot_units"] - self.lots))
        rate = E8 + max(self.fee_e8, 0)
        money = (facts["balance"] - 1) * E8 - self.value * rate
        return max(0, min(lots, int(money // (self.px * facts["unit_value"] * rate))))

    def part(self) -> Part:
        fee = rounded_up(self.value, self.fee_e8)
        cost = (-self.value if self.sell else self.value) + fee + rounded_up(self.value, self.penalty_e8)
        return self.index, self.lots, self.worst, self.value, fee, cost


class Routing:
    def __init__(self, *, groups: int = 1) -> None:
        if not 1 <= groups <= 65535:
            raise errors.RouteBadConfig(str(groups))
        self.groups: list[list[int]] = [[] for _ in range(groups)]

    def add(self, group: int, symbol: int) -> None:
        if symbol >= 65536:
            raise errors.RouteBadConfig(str(symbol))
        if symbol in self.members(group) or len(self.members(group)) == 8:
            raise errors.RouteBadConfig(str(symbol))
        self.groups[group].append(symbol)

    def members(self, group: int) -> list[int]:
        if group >= len(self.groups):
            raise errors.RouteUnknownGroup(str(group))
        return list(self.groups[group])

    def check(self) -> None:
        assert all(len(set(group)) == len(group) <= 8 for group in self.groups)

    def plan(
        self,
        venues: list[dict[str, Any]],
        *,
        qty_units: int,
        policy: int,
        sell: bool = False,
        maker: bool = False,
        now_ns: int = 0,
        age_ns_max: int = 500_000_000,
        parts_max: int = 1,
    ) -> tuple[Status, list[Part], list[int]]:
        if len(venues) > 8:
            raise errors.RouteBadAsk(str(len(venues)))
        if not 0 <= policy <= Policy.POLICY_SMART or parts_max < 1 or not 0 < qty_units <= AMOUNT_MAX:
            return Status.ROUTE_BAD_ASK, [], [0] * len(venues)
        against = [self._against(facts, now_ns, age_ns_max) for facts in venues]
        usable = [Venue(i, v, sell=sell, maker=maker) for i, v in enumerate(venues) if not against[i]]
        singles = []
        for venue in usable:
            why = self._whole(venue, qty_units)
            against[venue.index] = int(why)
            if not why:
                singles.append(venue.part())
        best = [min(singles, key=lambda p: self._rank(p, policy, sell=sell))] if singles else []
        if policy == Policy.POLICY_SMART and parts_max > 1 and len(usable) > 1:
            split = self._split(usable, qty_units, parts_max)
            if split and (not best or sum(p[5] for p in split) < best[0][5]):
                best = split
                for part in split:
                    against[part[0]] = 0
        return (Status.OK if best else Status.ROUTE_NONE), best, against

    @staticmethod
    def _rank(part: Part, policy: int, *, sell: bool) -> tuple[int, int, int]:
        index, _, _, value, fee, cost = part
        first = {Policy.POLICY_BEST_PRICE: -value if sell else value, Policy.POLICY_LOWEST_FEE: fee}
        return first.get(Policy(policy), 0), cost, index

    @staticmethod
    def _against(facts: dict[str, Any], now: int, age_max: int) -> int:
        flags = Against.AGAINST_HALTED | Against.AGAINST_UNTRUSTED | Against.AGAINST_BREAKER | Against.AGAINST_EXCLUDED
        why = facts["against"] & flags
        if facts["ts_book_ns"] <= 0 or not 0 <= now - facts["ts_book_ns"] <= age_max:
            why |= Against.AGAINST_STALE
        if facts["budget"] <= 0:
            why |= Against.AGAINST_BUDGET
        fees = [abs(facts[n]) <= E8 // 4 for n in ("fee_maker_e8", "fee_taker_e8")]
        penalties = [0 <= facts[n] <= E8 // 4 for n in ("slippage_e8", "latency_e8")]
        steps = 0 < facts["unit_value"] < 2**40 and 0 < facts["lot_units"] <= 2**36
        lots = 0 < facts["qty_lots_min"] <= facts["qty_lots_max"]
        if not (all(fees) and all(penalties) and steps and lots and facts["balance"] >= 0):
            why |= Against.AGAINST_INPUT
        return int(why)

    @staticmethod
    def _whole(venue: Venue, qty_units: int) -> Against:
        facts = venue.facts
        lots, dust = divmod(qty_units, facts["lot_units"])
        if dust or not facts["qty_lots_min"] <= lots <= facts["qty_lots_max"]:
            return Against.AGAINST_LOTS
        venue.reset()
        while venue.lots < lots:
            if venue.px is None:
                return Against.AGAINST_THIN
            take = min(venue.left, lots - venue.lots)
            if venue.value + take * venue.px * facts["unit_value"] > AMOUNT_MAX:
                return Against.AGAINST_INPUT
            venue.take(take)
        _, _, _, value, fee, _ = venue.part()
        if (qty_units if venue.sell else value + max(fee, 0)) > facts["balance"]:
            return Against.AGAINST_BALANCE
        return Against(0)

    def _split(self, usable: list[Venue], qty_units: int, parts_max: int) -> list[Part]:
        active = list(usable)
        while active:
            if not self._merge(active, qty_units):
                return []
            used = [v for v in active if v.lots]
            small = [v for v in used if v.lots < v.facts["qty_lots_min"]]
            if not small and len(used) <= parts_max:
                return [v.part() for v in used]
            leaves = small[0] if small else min(used, key=lambda v: v.lots * v.facts["lot_units"])
            active.remove(leaves)
        return []

    @staticmethod
    def _merge(active: list[Venue], left: int) -> bool:
        for venue in active:
            venue.reset()
        able = [v for v in active if v.px is not None]
        while left and able:
            venue = min(able, key=lambda v: v.key())
            assert venue.px is not None
            facts = venue.facts
            room = (AMOUNT_MAX - venue.value) // (venue.px * facts["unit_value"])
            most = min(venue.left, left // facts["lot_units"], facts["qty_lots_max"] - venue.lots, room)
            lots = venue.affordable(most)
            if lots <= 0:
                able.remove(venue)
                continue
            venue.take(lots)
            left -= lots * facts["lot_units"]
            if venue.px is None:
                able.remove(venue)
        return left == 0
