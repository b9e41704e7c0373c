"""Whole trading lives through the step and its twin: orders that are acked, amended, filled, refused and queried.

The histories of test_step.py come from everywhere, so few of their orders live long. Here each move is chosen with an
eye on what is out, from a seed: every answer that a venue can give is given to an order that waits for it.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from engine._core.types import Kind
from tests.differential.test_step import SUITES
from tests.support.desks import SECOND
from tests.support.step_pair import Pair

STEM = "step"
LIVES = int(os.environ.get("BOT4_STRESS", "0")) * 200 or 8
MOVES = 120
ANSWERS = [Kind.KIND_ORDER_REJECTED, Kind.KIND_ORDER_EXPIRED, Kind.KIND_ORDER_CANCELED, Kind.KIND_ORDER_ABSENT,
           Kind.KIND_ORDER_CANCEL_REFUSED, Kind.KIND_ORDER_CANCEL_TOO_LATE, Kind.KIND_ORDER_CANCEL_NO_ORDER,
           Kind.KIND_ORDER_REPLACE_REFUSED, Kind.KIND_ORDER_REPLACE_NO_ORDER, Kind.KIND_ORDER_LOST]  # fmt: skip


def wishes(rng):
    """At most one of a side and tag; mostly an order that the gate lets by."""
    made = []
    for tag, sell in {(rng.randint(0, 1), rng.random() < 0.5) for _ in range(rng.randint(0, 2))}:
        kind = rng.choice([1, 1, 1, 1, 2, 0])
        flags = rng.choice([0, 0, 0, 1, 2, 2])
        made.append((tag, sell, kind, rng.choice([1, 2, 5, 5]), rng.randint(-2, 1), rng.choice([0, 0, 0, 3]), flags,
                     rng.randint(20, 60)))  # fmt: skip
    return made


def one_of(rng, pair):
    """Where an order is, counted from the newest: mostly one that lives; and what of it is open."""
    found = [pair.twin.orders.records.get(int(intent["id_order"])) for intent in reversed(pair.sent)]
    live = [(at, o.qty - o.filled) for at, o in enumerate(found) if o is not None and o.live]
    if not live or rng.random() < 0.1:
        return rng.randrange(len(found)), 3
    return rng.choice(live)


def seldom(rng):
    """What is not about an order: mostly what leaves the way open for more."""
    return rng.choice([("denied", rng.choice([0, 0, 2])), ("strategy", rng.randint(0, 3), rng.randint(0, 4)),
                       ("control", rng.randint(0, 4), rng.choice([1, 1, 1, 0, 2, 3, 4]), False, True, 0),
                       ("halt", rng.randint(0, 1), rng.choice([0, 0, 1])), ("feed", rng.randint(0, 2), 0),
                       ("feed", 1, 1), ("feed", 1, 2), ("feed", 1, 2), ("position", 0, 0), ("position", 1, 0),
                       ("position", rng.randint(0, 1), 1)])  # fmt: skip


def move(rng, pair):
    if not pair.sent or rng.random() < 0.45:
        return ("quote", rng.randint(-2, 2), rng.randint(1, 2), rng.randint(0, 1), wishes(rng))
    at, open_lots = one_of(rng, pair)
    moves = {
        ("report", at, Kind.KIND_ORDER_ACK, 0): 35,
        ("fill", at, rng.randint(1, max(open_lots, 1) + (rng.random() < 0.1)), rng.randint(0, 5)): 15,
        ("replaced", at, rng.randint(1, 6)): 10,
        ("report", at, rng.choice(ANSWERS), rng.choice([0, 0, 0, 1])): 25,
        ("fee", at, rng.choice([1, 50_000, 100_000]), rng.randint(0, 1)): 5,
        ("timer", rng.choice([1, SECOND, SECOND, 6 * SECOND, 31 * SECOND])): 5,
        # Where brackets live, longer spells of trading: what halts a symbol ends every exit with it.
        seldom(rng): 1 if pair.twin.brackets else 5,
    }
    return rng.choices(list(moves), list(moves.values()))[0]


@pytest.mark.parametrize("suite", SUITES)
def test_step_and_twin_live_the_same_lives(suite):
    said: Counter[Kind] = Counter()
    for seed in range(LIVES):
        rng = random.Random(f"{suite} {seed}")
        pair = Pair(**SUITES[suite])
        try:
            for _ in range(MOVES):
                pair.act(move(rng, pair))
                said.update(Kind(int(kind)) for kind in pair.desk.out["kind"])
        finally:
            pair.desk.close()
    if SUITES[suite].get("discipline") == {}:
        # Nobody has a record yet, so an enforcing validator refuses every entry.
        assert said[Kind.KIND_DECISION] >= 10 > said[Kind.KIND_INTENT_PLACE]
        return
    if SUITES[suite].get("brackets"):
        # Of brackets more is said than that they opened and closed.
        assert said[Kind.KIND_BRACKET] >= 30
        assert said[Kind.KIND_INTENT_TERMS] + said[Kind.KIND_INCIDENT] >= 5
    # A life in which nothing was ordered would agree about nothing.
    assert said[Kind.KIND_INTENT_PLACE] >= 10
    assert said[Kind.KIND_INTENT_CANCEL] + said[Kind.KIND_INTENT_AMEND] >= 3
