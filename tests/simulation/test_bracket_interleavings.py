"""Every interleaving of a bracket's events, not a sample of them.

The desk (tests/support/desk.py) keeps each request and report apart until it is delivered. `enumerate_all` takes every
possible next move from every reachable state until nothing is left to happen, checks the invariants after each move,
and proves termination: a state that could come back to itself would be met on its own path. States that were seen are
not walked again; the number of interleavings is counted exactly over them.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import pytest

from engine._core.brackets import BracketFlag, BracketKind, BracketPhase, Brackets
from engine._core.orders import Orders
from tests.support.desk import Budget, Desk

STRESS = int(os.environ.get("BOT4_STRESS", "0"))
AMENDS = BracketFlag.BRACKET_AMEND_DOWN | BracketFlag.BRACKET_AMEND_UP
LONG: dict[str, Any] = {"entry_px": 100, "stop_px": 90, "target_px": 110}
SHORT: dict[str, Any] = {"sell": 1, "entry_px": 100, "stop_px": 110, "target_px": 90}
HELD: dict[str, Any] = {"kind": BracketKind.BRACKET_OCO, "stop_px": 90, "target_px": 110}
PLAIN: dict[str, Any] = {"kind": BracketKind.BRACKET_OTO, "entry_px": 100, "stop_px": 90}
CALM = Budget(0, 0, 0, 0, 0)


class Walked(NamedTuple):
    interleavings: int
    depth: int
    states: int
    phases: set[int]


def new_desk(budget: Budget, terms: dict[str, Any], *, can_amend: bool = True) -> Desk:
    desk = Desk(
        Orders(capacity=24, symbols=1, fills_kept=48, requests_kept=24),
        Brackets(capacity=1, unwinds_max=2, lates_max=1),
        budget,
        can_amend=can_amend,
    )
    desk.open(**terms)
    desk.check()
    return desk


def enumerate_all(desk: Desk, *, states_max: int = 5_000_000) -> Walked:
    below: dict[int, tuple[int, int] | None] = {}
    phases: set[int] = set()
    path: list[tuple[Any, ...]] = []

    # 64 bits stand for the whole key: among a million states a collision has odds of one in 10**7.
    def walk(key: int) -> tuple[int, int]:
        if key in below:
            known = below[key]
            assert known is not None, f"does not terminate: {path}"
            return known
        below[key] = None
        assert len(below) <= states_max
        phases.add(desk.brackets.brief(desk.handle)[0])
        image = desk.image()
        moves = desk.moves()
        if not moves:
            ends(desk)
        count, depth = (0, 0) if moves else (1, 0)
        for move in moves:
            path.append(move)
            try:
                desk.do(move)
                # Counters are no part of the key, so they are looked at on every edge; the rest once a state.
                assert desk.orders.trouble_count == desk.brackets.trouble_count == 0
                key_next = hash(desk.key())
                if key_next not in below:
                    desk.check()
            except AssertionError as broken:
                raise AssertionError(f"after {path}") from broken
            more, deep = walk(key_next)
            count, depth = count + more, max(depth, deep + 1)
            path.pop()
            desk.load(image)
        below[key] = (count, depth)
        return count, depth

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        count, depth = walk(hash(desk.key()))
    finally:
        sys.setrecursionlimit(limit)
    return Walked(count, depth, len(below), phases)


def enumerate_to(desk: Desk, moves_max: int) -> tuple[int, bool]:
    """Every interleaving of so many moves and no more: the states met, and whether anything was left to happen."""
    seen: dict[int, int] = {}
    cut = False

    def walk(left: int) -> None:
        nonlocal cut
        image, moves = desk.image(), desk.moves()
        if not moves:
            ends(desk)
        if not left:
            cut |= bool(moves)
            return
        for move in moves:
            desk.do(move)
            assert desk.orders.trouble_count == desk.brackets.trouble_count == 0
            key = hash(desk.key())
            # Met before with as many moves to go: all that follows was walked then.
            if seen.get(key, -1) < left - 1:
                if key not in seen:
                    desk.check()
                seen[key] = left - 1
                walk(left - 1)
            desk.load(image)

    walk(moves_max)
    return len(seen), not cut


def ends(desk: Desk) -> None:
    """Nothing can happen any more: flat and closed, or an alarm stands."""
    phase = desk.brackets.brief(desk.handle)[0]
    if phase == BracketPhase.PHASE_CLOSED:
        assert desk.base + (-1 if desk.sell else 1) * desk.true_position() == 0
    else:
        assert phase == BracketPhase.PHASE_STUCK
        assert desk.incidents


TROUBLES = {
    "calm": CALM,
    "reject": CALM._replace(rejects=1),
    "timeout": CALM._replace(timeouts=1),
    "duplicate": CALM._replace(duplicates=1),
    "venue cancel": CALM._replace(cancels=1),
    "late": CALM._replace(lates=1),
}
CASES = [("OTOCO", {**LONG, "qty": 1, "flags": AMENDS}, trouble, True) for trouble in ("calm", "reject", "timeout")] + [
    ("OTOCO short", {**SHORT, "qty": 1, "flags": AMENDS}, "calm", True),
    ("OCO of 2", {**HELD, "qty": 2, "flags": AMENDS}, "calm", True),
    ("OCO of 2, no amend", {**HELD, "qty": 2}, "calm", True),
    ("OCO of 1", {**HELD, "qty": 1, "flags": AMENDS}, "duplicate", True),
    ("OCO of 1", {**HELD, "qty": 1, "flags": AMENDS}, "venue cancel", True),
    ("OCO of 1", {**HELD, "qty": 1, "flags": AMENDS}, "timeout", True),
    ("OTO of 1", {**PLAIN, "qty": 1, "flags": AMENDS}, "late", True),
    ("OTO of 2", {**PLAIN, "qty": 2, "flags": AMENDS}, "calm", True),
    ("OTO of 2, no amend", {**PLAIN, "qty": 2}, "calm", True),
    ("OTO of 2, amends refused", {**PLAIN, "qty": 2, "flags": AMENDS}, "calm", False),
]
DEEP = [
    ("OTOCO of 1", {**LONG, "qty": 1, "flags": AMENDS}, CALM._replace(lates=1)),
    ("OTOCO of 1", {**LONG, "qty": 1, "flags": AMENDS}, CALM._replace(recalls=1)),
    ("OTOCO of 1", {**LONG, "qty": 1, "flags": AMENDS}, CALM._replace(cancels=1)),
    ("OTOCO of 1", {**LONG, "qty": 1, "flags": AMENDS}, Budget(1, 1, 0, 0, 0)),
    ("OTOCO of 1", {**LONG, "qty": 1, "flags": AMENDS}, Budget(0, 0, 1, 0, 0)),
]

# Lives of more states than can be kept: every interleaving of so many moves, in the usual suite and in the deep form.
BOUNDED = [
    ("OTOCO of 2", {**LONG, "qty": 2, "flags": AMENDS}, CALM, 16, 24),
    ("OTOCO of 2, no amend", {**LONG, "qty": 2}, CALM, 16, 24),
    ("OTOCO of 1", {**LONG, "qty": 1, "flags": AMENDS}, Budget(1, 1, 1, 1, 1), 9, 14),
    ("OCO of 2", {**HELD, "qty": 2, "flags": AMENDS}, Budget(0, 1, 0, 0, 1), 11, 17),
]


@pytest.mark.parametrize(("name", "terms", "trouble", "can_amend"), CASES, ids=[f"{c[0]}, {c[2]}" for c in CASES])
def test_every_interleaving_stays_within_the_worst_case_and_ends_flat_or_alarmed(
    name, terms, trouble, can_amend, record_property
):
    walked = enumerate_all(new_desk(TROUBLES[trouble], terms, can_amend=can_amend))
    record_property("walked", str(walked))
    assert walked.depth >= 10
    assert BracketPhase.PHASE_CLOSED in walked.phases
    if terms.get("kind") != BracketKind.BRACKET_OTO:
        # The race that gives the bracket its hardest state is really among what was walked.
        assert BracketPhase.PHASE_OVER in walked.phases


@pytest.mark.skipif(not STRESS, reason="minutes; set BOT4_STRESS=1")
@pytest.mark.parametrize(("name", "terms", "budget"), DEEP, ids=[f"{d[0]} {tuple(d[2])}" for d in DEEP])
def test_every_interleaving_with_more_lots_and_more_trouble(name, terms, budget):
    walked = enumerate_all(new_desk(budget, terms))
    assert BracketPhase.PHASE_OVER in walked.phases


@pytest.mark.parametrize(("name", "terms", "budget", "few", "many"), BOUNDED, ids=[b[0] for b in BOUNDED])
def test_every_interleaving_of_so_many_moves_stays_within_the_worst_case(
    name, terms, budget, few, many, record_property
):
    states, whole = enumerate_to(new_desk(budget, terms), many if STRESS else few)
    record_property("walked", f"{states} states, {many if STRESS else few} moves")
    assert states > 500
    assert not whole, "it ends sooner: walk it whole"
