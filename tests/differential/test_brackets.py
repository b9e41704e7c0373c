"""Brackets and their plain-Python twin beside the same orders and the same small venue: the same is asked for, always.

The bodies of tests/simulation/test_brackets.py state facts on the kernel; here both live the same random lives. A
bracket's life is a walk over everything that can happen next (tests/support/desk.py), with troubles of every kind.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from engine._core import bracket_table
from engine._core.brackets import BracketFlag, BracketKind, BracketLeg, BracketPhase
from engine._core.brackets import Brackets as Kernel
from engine._core.orders import Orders as KernelOrders
from engine._core.types import Status
from engine.model import brackets as model
from engine.model.orders import Orders as TwinOrders
from tests.support.desk import Budget, Desk

STEM = "brackets"
LIVES = 200 * (1 + 50 * int(os.environ.get("BOT4_STRESS", "0")))
AMENDS = int(BracketFlag.BRACKET_AMEND_DOWN | BracketFlag.BRACKET_AMEND_UP)
KINDS: dict[str, dict[str, Any]] = {
    "OTOCO": {"entry_px": 100, "stop_px": 90, "target_px": 110},
    "OTOCO short": {"sell": 1, "entry_px": 100, "stop_px": 110, "target_px": 90},
    "OTO at market": {"kind": int(BracketKind.BRACKET_OTO), "stop_px": 90},
    "OCO": {"kind": int(BracketKind.BRACKET_OCO), "stop_px": 90, "target_px": 110},
    "stop-limit": {"entry_px": 100, "stop_px": 90, "stop_limit_px": 89, "target_px": 110},
}
LIMITS = {"protect_ns": 70, "unwind_ns": 50, "close_ns": 60, "alarm_ns": 90, "places_max": 4, "unwinds_max": 2,
          "asks_max": 2, "lates_max": 1}  # fmt: skip
WORDS = ("kind", "leg", "handle", "id_order", "px_ticks", "px_stop_ticks", "qty_lots", "symbol", "strategy", "tag",
         "type", "tif", "sell", "reduce_only")  # fmt: skip


def facts(table: Kernel, handle: int) -> dict[str, Any] | None:
    """Of the kernel what `Brackets.facts` tells of the twin."""
    row = table.find(handle)
    if row is None:
        return None
    names = ("handle", "phase", "flags", "held_lots", "base_lots", "over_lots", "outside_lots", "qty_lots",
             "deadline_ns", "lates", "incidents")  # fmt: skip
    leg = ("id_order", "qty_lots", "filled_lots", "total_lots", "state", "places", "asks")
    return {name: int(row[name]) for name in names} | {
        "legs": [tuple(int(one[name]) for name in leg) for one in row["legs"]]
    }


def test_both_write_the_same_table():
    assert {(a, b): c for a, b, c in bracket_table.transitions()} == model.TABLE


class Told:
    """Of one side every action in its order."""

    def __init__(self, table: Any) -> None:
        self.table, self.said = table, []

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.table, name)
        if name not in ("open", "refused", "on_order", "recall", "flatten", "outside", "follow", "due", "adopt"):
            return member

        def call(*args: Any, **fields: Any) -> Any:
            answer = member(*args, **fields)
            actions = answer[2] if name in ("open", "adopt") else answer
            self.said += [tuple(int(action[word]) for word in WORDS) for action in actions]
            return answer

        return call


class Pair:
    def __init__(self, terms: dict[str, Any], budget: Budget, **desk: Any) -> None:
        self.sides = []
        for orders, brackets in ((KernelOrders, Kernel), (TwinOrders, model.Brackets)):
            told = Told(brackets(capacity=2, **LIMITS))
            self.sides.append(Desk(orders(capacity=48, symbols=1), told, budget, **desk))
            self.sides[-1].open(**terms)
        self.agree()

    def both(self, act: Any) -> None:
        for side in self.sides:
            act(side)
        self.agree()

    def agree(self) -> None:
        kernel, twin = self.sides
        assert kernel.brackets.said == twin.brackets.said
        assert facts(kernel.brackets.table, kernel.handle) == twin.brackets.facts(twin.handle)
        found = {name: kernel.brackets.counts[name] for name in twin.brackets.counts}
        assert found == twin.brackets.counts
        for side in self.sides:
            side.orders.check()
            side.brackets.check()
        assert kernel.moves() == twin.moves()


def live(rng: random.Random, terms: dict[str, Any]) -> set[int]:
    """One life: whatever can happen, or a word from outside. Returns the phases that it passed."""
    budget = Budget(*(rng.choice([0, 0, 1, 2]) for _ in range(6)))
    denied = tuple(leg for leg in BracketLeg if leg < BracketLeg.LEG_COUNT and rng.random() < 0.08)
    pair = Pair(terms, budget, can_amend=rng.random() < 0.7, gate_denies=denied)
    seen = {pair.sides[0].brackets.brief(pair.sides[0].handle)[0]}
    for _ in range(80):
        moves = pair.sides[0].moves()
        chance = rng.random()
        if chance < 0.02:
            lots = rng.randint(1, 2)
            pair.both(lambda side, lots=lots: side.carry_out(side.brackets.outside(side.handle, lots, now=side.now)))
        elif chance < 0.03:
            pair.both(lambda side: side.carry_out(side.brackets.flatten(side.handle, now=side.now)))
        elif not moves:
            break
        else:
            move = rng.choice(moves)
            pair.both(lambda side, move=move: side.do(move))
        seen.add(pair.sides[0].brackets.brief(pair.sides[0].handle)[0])
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_kernel_and_twin_ask_for_the_same_in_every_life(kind):
    seen: set[int] = set()
    for seed in range(LIVES):
        rng = random.Random(f"{kind} {seed}")
        flags = rng.choice([0, AMENDS, int(BracketFlag.BRACKET_AMEND_DOWN)])
        seen |= live(rng, KINDS[kind] | {"qty": rng.randint(1, 5), "flags": flags, "entry_ns": 80, "hold_ns": 90})
    # Nothing is agreed upon that never happened.
    assert {BracketPhase.PHASE_COVERED, BracketPhase.PHASE_UNWINDING, BracketPhase.PHASE_CLOSED} <= seen


@pytest.mark.parametrize("seed", range(20))
def test_a_bracket_that_follows_a_position_is_told_it_alike(seed):
    rng = random.Random(seed)
    flags = int(BracketFlag.BRACKET_FOLLOWS) | rng.choice([0, AMENDS])
    pair = Pair(
        {"kind": int(BracketKind.BRACKET_OCO), "qty": 3, "stop_px": 90, "flags": flags}, Budget(0, 0, 0, 9, 0, 0)
    )
    for _ in range(40):
        if rng.random() < 0.3:
            lots = rng.randint(0, 6)
            pair.both(lambda side, lots=lots: side.carry_out(side.brackets.follow(side.handle, lots, now=side.now)))
        elif pair.sides[0].moves():
            move = rng.choice(pair.sides[0].moves())
            pair.both(lambda side, move=move: side.do(move))
    assert len(pair.sides[0].brackets.said) > 3


def test_places_of_closed_brackets_are_given_to_new_ones_alike():
    rng = random.Random(5)
    tables = (Kernel(capacity=3), model.Brackets(capacity=3))
    orders = (KernelOrders(capacity=64, symbols=1), TwinOrders(capacity=64, symbols=1))
    handles: list[int] = []
    for turn in range(60):
        answers = [table.open(qty=1, entry_px=100, stop_px=90, target_px=110, now=turn)[:2] for table in tables]
        assert answers[0] == answers[1]
        if answers[0][0] == Status.OK:
            handles.append(answers[0][1])
        if handles and rng.random() < 0.7:
            # Its entry was refused: it ends, and its place with it.
            gone = handles.pop(rng.randrange(len(handles)))
            told = [table.refused(gone, BracketLeg.LEG_ENTRY, now=turn) for table in tables]
            assert told[0] == told[1] == []
        assert [facts(tables[0], one) for one in handles] == [tables[1].facts(one) for one in handles]
    assert len(handles) <= 3
    assert all(table.counts["live_count"] == 0 for table in orders)
    assert max(one >> 16 for one in handles) > 5, "places were used again"
