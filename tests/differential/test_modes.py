"""Modes: the table of switches, the schedule, every short life of the flatten plan, and the twin beside all of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine._core import modes as core
from engine._core.modes import PHASES, SWITCHES, Act, Goal, Mode, Need, Outcome, Phase, Who
from engine._core.risk import MODES as GATE_MODES
from engine._core.types import Status
from engine.errors import ModeBadConfig
from engine.model import modes as model

STEM = "modes"
READY = {"latch_clear": 1, "reconciled": 1, "equity_first": 1_000, "equity_second": 1_000}
TINY = {
    "cooldown_ns": 10, "reduce_interval_ns": 10, "reduce_share_ppm": 250_000, "reduce_target_ppm": 500_000,
    "cancel_ns": 2, "confirm_ns": 3, "flatten_ns": 10, "verify_ns": 3, "retry_ns": 1, "reprice_ns": 2,
    "give_ppm": 10_000, "band_ppm": 30_000, "attempts_standard": 2, "attempts_aggressive": 2, "cancels_max": 2,
}  # fmt: skip
ASKERS = (Who.WHO_HUMAN, Who.WHO_ENGINE, Who.WHO_LATCH)
TOUCH = {"bid_px_ticks": 1_000, "ask_px_ticks": 1_010, "qty_min_lots": 1}


def started(impl, symbols=1, **config):
    m = impl.Modes(symbols=symbols, **TINY | config)
    for symbol in range(symbols):
        m.fact(symbol, **TOUCH)
    assert m.switch(Mode.MODE_NORMAL, Who.WHO_HUMAN, 0, **READY) == Status.OK
    return m


def into(m, mode, now=0):
    path = {Mode.MODE_NORMAL: [], Mode.MODE_PAUSED: [1], Mode.MODE_REDUCED: [2], Mode.MODE_EMERGENCY: [3]}[mode]
    for to in path:
        assert m.switch(to, Who.WHO_HUMAN, now, **READY) == Status.OK


def kinds(actions):
    return [Act(action[0]).name for action in actions]


# ------------------------------------------------------------------------------------------------- switches
@pytest.mark.parametrize(("before", "to", "who"), list(itertools.product(range(4), range(5), (0, 1, 2, 3, 4, 7, 8))))
def test_a_switch_is_legal_exactly_by_the_table(impl, before, to, who):
    m = started(impl)
    into(m, before)
    if before == Mode.MODE_EMERGENCY:
        m.step(0), m.step(0)
    status = m.switch(to, who, 1_000, **READY)
    rows = [row for row in SWITCHES if row[:2] == (before, to)]
    if before == to and who in ASKERS:
        expected = Status.OK
    elif not rows:
        expected = Status.MODE_ILLEGAL
    else:
        expected = Status.OK if who in ASKERS and rows[0][2] & who else Status.MODE_NOT_YOURS
    assert status == expected
    assert m.state["mode"] == (to if status == Status.OK else before)
    m.check()


def test_the_modes_carry_the_numbers_of_the_gate():
    assert {f"MODE_{name.upper()}": value for name, value in GATE_MODES.items()} == {
        mode.name: mode.value for mode in Mode if mode != Mode.MODE_COUNT
    }


def test_trading_waits_until_safety_is_ready(impl):
    m = impl.Modes(symbols=1, **TINY)
    assert m.state["mode"] == Mode.MODE_PAUSED
    assert m.switch(Mode.MODE_NORMAL, Who.WHO_HUMAN, 0) == Status.MODE_NOT_READY


def test_only_people_may_ask_for_normal_and_nobody_goes_there_from_an_emergency():
    back = [row for row in SWITCHES if row[1] == Mode.MODE_NORMAL]
    assert all(row[2] == Who.WHO_HUMAN for row in back)
    assert all(row[3] == Need.NEED_LATCH_CLEAR | Need.NEED_COOLDOWN | Need.NEED_RECONCILED for row in back)
    assert Mode.MODE_EMERGENCY not in {row[0] for row in back}


@pytest.mark.parametrize("missing", ["latch_clear", "reconciled"])
def test_the_way_back_needs_every_condition_and_the_cooldown_to_the_nanosecond(impl, missing):
    m = started(impl)
    into(m, Mode.MODE_PAUSED, now=100)
    assert m.switch(0, Who.WHO_HUMAN, 109, **READY) == Status.MODE_NOT_READY
    assert m.switch(0, Who.WHO_HUMAN, 110, **READY | {missing: 0}) == Status.MODE_NOT_READY
    assert m.switch(0, Who.WHO_HUMAN, 110, **READY) == Status.OK


def test_an_emergency_is_left_only_when_its_plan_has_ended(impl):
    m = started(impl)
    m.fact(0, lots=5)
    into(m, Mode.MODE_EMERGENCY)
    m.step(0)
    assert m.switch(Mode.MODE_PAUSED, Who.WHO_HUMAN, 5, **READY) == Status.MODE_NOT_READY


@pytest.mark.parametrize(
    "bad", [{"reduce_share_ppm": 0}, {"retry_ns": 0}, {"cancel_ns": -1}, {"band_ppm": 10**6}, {"cancels_max": 0}]
)
def test_a_schedule_out_of_range_is_refused(impl, bad):
    with pytest.raises(ModeBadConfig):
        impl.Modes(symbols=1, **TINY | bad)


# ------------------------------------------------------------------------------------------------- Reduced
@pytest.mark.parametrize("sign", [1, -1])
def test_reduced_shrinks_by_the_schedule_stops_at_its_target_and_never_flips(impl, sign):
    m = started(impl)
    m.fact(0, lots=sign * 7)
    into(m, Mode.MODE_REDUCED, now=0)
    held, asked = 7, {}
    for now in range(100):
        for kind, _, sell, _, qty, _ in m.step(now):
            if kind == Act.ACT_VERIFY:
                m.verified(0, sign * held, now)
                continue
            assert (kind, sell) == (Act.ACT_PLACE_LIMIT, sign > 0)
            held -= qty
            asked[now // 10] = asked.get(now // 10, 0) + qty
            m.fact(0, lots=sign * held)
    # 7 lots: 5.25 rounded to 5, then 3.5 rounded to 3, and no further.
    assert (held, asked) == (3, {1: 2, 2: 2})


def test_reduced_takes_entries_back_and_leaves_stops_alone(impl):
    m = started(impl)
    m.fact(0, lots=8, orders_live=2, entries_live=1)
    into(m, Mode.MODE_REDUCED)
    assert kinds(m.step(0)) == ["ACT_CANCEL_ENTRIES"]


# ------------------------------------------------------------------------------------------------- the plan
def test_market_exit_does_not_race_pending_orders(impl):
    """PEERS 26: block, cancel, confirm, and only then flatten; each a state with its time."""
    m = started(impl)
    m.fact(0, lots=5, orders_live=1, entries_live=1, open_buy_lots=3)
    into(m, Mode.MODE_EMERGENCY)
    assert kinds(m.step(0)) == ["ACT_CANCEL_ALL"]
    assert m.state["phase"] == Phase.PHASE_CONFIRM
    assert m.step(0) == []
    m.fact(0, orders_live=0, entries_live=0, open_buy_lots=0, lots=6)  # one lot filled meanwhile
    assert m.step(1) == [(Act.ACT_PLACE_LIMIT, 0, True, 1_000, 6, 1)]
    m.fact(0, lots=0)
    assert kinds(m.step(2)) == ["ACT_VERIFY"]
    m.verified(0, 0, 1)  # an answer to an older question
    assert m.step(2) == []
    m.verified(0, 0, 2)
    assert m.step(3) == [(Act.ACT_ENDED, 0, False, 0, 0, Outcome.OUTCOME_FLAT)]


def test_no_endless_liquidation_loop(impl):
    """PEERS 11: a venue that loses every order is asked a stated number of times, each after a fresh position."""
    m = started(impl, flatten_ns=1_000)
    m.fact(0, lots=5)
    into(m, Mode.MODE_EMERGENCY)
    placed, fresh = 0, True
    for now in range(1_100):
        for kind, *_ in m.step(now):
            if kind in (Act.ACT_PLACE_LIMIT, Act.ACT_PLACE_MARKET):
                assert fresh
                placed, fresh = placed + 1, False
            elif kind == Act.ACT_VERIFY:
                m.verified(0, 5, now)
                fresh = True
    assert placed == TINY["attempts_standard"] + TINY["attempts_aggressive"]
    assert m.state["outcome"] == Outcome.OUTCOME_PARTIAL


def test_attempts_give_way_inside_the_band_and_end_without_a_price(impl):
    m = started(impl, flatten_ns=1_000)
    m.fact(0, lots=-5)
    into(m, Mode.MODE_EMERGENCY)
    prices = []
    for now in range(60):
        for kind, _, _, px, _, _ in m.step(now):
            if kind == Act.ACT_VERIFY:
                m.verified(0, -5, now)
            elif kind in (Act.ACT_PLACE_LIMIT, Act.ACT_PLACE_MARKET):
                prices.append(px)
    assert prices == [1_010, 1_020, 0, 0]


def test_equity_sources_that_disagree_halt_and_flatten_nothing(impl):
    """PEERS 32: a wrong balance must not sell everything; entries go, positions keep their stops."""
    for second in (990, 0):
        m = started(impl)
        m.fact(0, lots=5, orders_live=2, entries_live=1)
        m.switch(Mode.MODE_EMERGENCY, Who.WHO_ENGINE, 0, **READY | {"equity_second": second})
        assert kinds(m.step(0)) == ["ACT_CANCEL_ENTRIES"]
        m.fact(0, orders_live=1, entries_live=0)
        assert m.step(1) == [
            (Act.ACT_OPEN, 0, True, 0, 5, 1),
            (Act.ACT_ENDED, 0, False, 0, 0, Outcome.OUTCOME_HALTED),
        ]
        assert m.switch(Mode.MODE_EMERGENCY, Who.WHO_ENGINE, 2, **READY) == Status.OK
        assert m.step(2) == []  # the engine never starts over
        m.switch(Mode.MODE_EMERGENCY, Who.WHO_HUMAN, 2, **READY)
        assert kinds(m.step(2)) == ["ACT_CANCEL_ALL"]


@pytest.mark.parametrize(
    ("goal", "asked", "mode"),
    [
        (Goal.GOAL_KEEP, ["ACT_OPEN", "ACT_ENDED"], Mode.MODE_PAUSED),
        (Goal.GOAL_CANCEL, ["ACT_CANCEL_ENTRIES"], Mode.MODE_PAUSED),
        (Goal.GOAL_FLATTEN, ["ACT_CANCEL_ALL"], Mode.MODE_EMERGENCY),
    ],
)
def test_on_exit_keeps_cancels_or_flattens(impl, goal, asked, mode):
    """PEERS 30."""
    m = started(impl)
    m.fact(0, lots=5, orders_live=2, entries_live=1)
    m.exit(goal, 0, **READY)
    assert (kinds(m.step(0)), m.state["mode"]) == (asked, mode)


def test_a_short_array_serves_every_symbol_in_turn(impl):
    m = started(impl, symbols=5, cancel_ns=100, confirm_ns=100)
    for symbol in range(5):
        m.fact(symbol, lots=1, orders_live=1, entries_live=1)
    into(m, Mode.MODE_EMERGENCY)
    asked = [action[1] for now in range(5) for action in m.step(0, 1)]
    assert asked == [0, 1, 2, 3, 4]


def test_what_is_less_than_the_smallest_order_is_named_and_not_asked_for(impl):
    m = started(impl)
    m.fact(0, lots=2, qty_min_lots=3)
    into(m, Mode.MODE_EMERGENCY)
    assert m.step(0) == [(Act.ACT_VERIFY, 0, False, 0, 0, 0)]
    m.verified(0, 2, 1)
    assert m.step(2) == [
        (Act.ACT_DUST, 0, True, 0, 2, 0),
        (Act.ACT_ENDED, 0, False, 0, 0, Outcome.OUTCOME_DUST),
    ]


def test_what_is_not_owned_is_not_asked_for_and_the_rest_is(impl):
    m = started(impl)
    m.fact(0, lots=7, dust_lots=2)
    into(m, Mode.MODE_EMERGENCY)
    kind, _, sell, _, qty, _ = m.step(0)[0]
    assert (kind, sell, qty) == (Act.ACT_PLACE_LIMIT, True, 5)
    m.fact(0, lots=2, dust_lots=2)
    m.step(1)
    m.verified(0, 2, 1)
    assert m.step(2) == [
        (Act.ACT_DUST, 0, True, 0, 2, 2),
        (Act.ACT_ENDED, 0, False, 0, 0, Outcome.OUTCOME_DUST),
    ]


def test_dust_that_the_venue_tells_otherwise_of_is_no_dust_yet(impl):
    m = started(impl)
    m.fact(0, lots=1, dust_lots=1)
    into(m, Mode.MODE_EMERGENCY)
    m.step(0)
    m.verified(0, 3, 1)
    assert all(action[0] != Act.ACT_ENDED for action in m.step(2))
    ended = m.step(10**12)
    assert [action[0] for action in ended] == [Act.ACT_VERIFY, Act.ACT_OPEN, Act.ACT_ENDED]
    assert ended[-1][5] == Outcome.OUTCOME_PARTIAL


def test_reduced_never_asks_for_what_is_not_owned(impl):
    m = started(impl, reduce_interval_ns=10, reduce_share_ppm=1_000_000, reduce_target_ppm=0)
    m.fact(0, lots=4, dust_lots=1)
    into(m, Mode.MODE_REDUCED)
    assert m.step(0) == []
    assert [action[4] for action in m.step(10)] == [3]


# ------------------------------------------------------------------------------------------------- every short life
class Venue:
    """Two symbols with orders that may refuse to go, fill while they are cancelled, fill in part, or stay silent."""

    GOOD, SILENT, FILLS, REFUSES = range(4)

    def __init__(self, machines, lots, entries):
        self.machines, self.lots, self.entries, self.plan = machines, list(lots), list(entries), [0, 0]
        self.tell()

    def tell(self):
        for symbol in range(2):
            entry, own, lots = self.entries[symbol], self.plan[symbol], self.lots[symbol]
            facts = {
                "lots": lots, "orders_live": (entry != 0) + (own != 0), "entries_live": int(entry != 0),
                "plan_live": int(own != 0), "open_buy_lots": max(entry, 0) + max(own, 0),
                "open_sell_lots": max(-entry, 0) + max(-own, 0),
            }  # fmt: skip
            for m in self.machines:
                m.fact(symbol, **facts)

    def fill_own(self, symbol, qty):
        """Our own orders only ever bring a position nearer to flat."""
        before = self.lots[symbol]
        self.lots[symbol] += qty
        assert abs(self.lots[symbol]) < abs(before)
        assert self.lots[symbol] * before >= 0
        self.plan[symbol] -= qty

    def act(self, action, mood, now):
        kind, symbol, sell, _, qty, _ = action
        if kind in (Act.ACT_PLACE_LIMIT, Act.ACT_PLACE_MARKET):
            closing = [q for q in (self.entries[symbol], self.plan[symbol]) if (q < 0) == sell and q]
            assert sell == (self.lots[symbol] > 0)
            assert 0 < qty <= abs(self.lots[symbol]) - sum(map(abs, closing))
            if mood != self.REFUSES:
                self.plan[symbol] += -qty if sell else qty
            if mood == self.GOOD:
                self.fill_own(symbol, self.plan[symbol])
            elif mood == self.FILLS and qty > 1:
                self.fill_own(symbol, self.plan[symbol] // 2 if not sell else -(qty // 2))
        elif kind in (Act.ACT_CANCEL_ALL, Act.ACT_CANCEL_ENTRIES):
            if mood == self.GOOD:
                self.entries[symbol] = self.plan[symbol] = 0
            elif mood == self.FILLS:
                self.lots[symbol] += self.entries[symbol]
                self.entries[symbol] = 0
                self.plan[symbol] = 0
        elif kind == Act.ACT_VERIFY and mood != self.SILENT:
            for m in self.machines:
                m.verified(symbol, self.lots[symbol], now)


def live(moods, tail, lots, entries, aggressive=False):
    machines = [impl.Modes(symbols=2, **TINY) for impl in (core, model)]
    for m in machines:
        for symbol in range(2):
            m.fact(symbol, **TOUCH)
    venue = Venue(machines, lots, entries)
    for m in machines:
        assert m.switch(Mode.MODE_EMERGENCY, Who.WHO_ENGINE, 0, aggressive=aggressive, **READY) == Status.OK
    named, total = [], sum(TINY[f"{name}_ns"] for name in ("cancel", "confirm", "flatten", "verify"))
    for now in range(total + 1):
        kernel, twin = (m.step(now) for m in machines)
        assert kernel == twin
        assert machines[0].state == machines[1].state
        machines[0].check()
        for action in kernel:
            if action[0] == Act.ACT_OPEN:
                named.append((action[1], action[4], action[5]))
            elif action[0] == Act.ACT_ENDED:
                return venue, named, action[5]
            else:
                mood = moods[now][action[1]] if now < len(moods) else tail
                venue.act(action, mood, now)
        venue.tell()
    raise AssertionError("the plan outlived its deadlines")


STARTS = [((5, -3), (2, 0)), ((4, 0), (-4, 3))]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("tail", [Venue.GOOD, Venue.SILENT, Venue.REFUSES])
def test_every_short_life_of_the_plan_ends_flat_or_with_the_exact_list(start, tail):
    """Every course of three steps in which each of two symbols' venue does what it should, nothing, fills or refuses."""  # noqa: E501
    pairs = list(itertools.product(range(4), repeat=2))
    outcomes = set()
    for moods in itertools.product(pairs, repeat=3):
        venue, named, outcome = live(moods, tail, *start)
        open_now = [
            (s, venue.lots[s], (venue.entries[s] != 0) + (venue.plan[s] != 0))
            for s in range(2)
            if venue.lots[s] or venue.entries[s] or venue.plan[s]
        ]
        if outcome == Outcome.OUTCOME_FLAT:
            assert (open_now, named) == ([], [])
        else:
            assert outcome == Outcome.OUTCOME_PARTIAL
            # What is flat by our own book, and not confirmed, is named with nothing open.
            assert [row for row in named if row[1] or row[2]] == open_now
            assert named
        outcomes.add(outcome)
    assert Outcome.OUTCOME_PARTIAL in outcomes or tail == Venue.GOOD
    assert Outcome.OUTCOME_FLAT in outcomes or tail != Venue.GOOD


# ------------------------------------------------------------------------------------------------- against the twin
class Lives(RuleBasedStateMachine):
    @initialize(symbols=st.integers(1, 3))
    def start(self, symbols):
        self.symbols, self.now = symbols, 0
        self.both = [impl.Modes(symbols=symbols, **TINY) for impl in (core, model)]

    def same(self, call):
        kernel, twin = (call(m) for m in self.both)
        assert kernel == twin
        return kernel

    @rule(to=st.integers(0, 4), who=st.sampled_from([1, 1, 2, 4, 3]), wait=st.sampled_from([0, 1, 10]),
          aggressive=st.booleans(), clear=st.sampled_from([1, 1, 0]), second=st.sampled_from([1_000, 995, 900]))  # fmt: skip  # noqa: E501
    def switch(self, to, who, wait, aggressive, clear, second):
        self.now += wait
        ready = READY | {"latch_clear": clear, "equity_second": second}
        self.same(lambda m: m.switch(to, who, self.now, aggressive=aggressive, **ready))

    @rule(goal=st.integers(0, 2))
    def exit(self, goal):
        self.same(lambda m: m.exit(goal, self.now, **READY))

    @rule(symbol=st.integers(0, 2), lots=st.sampled_from([0, 1, 7, -7, 100, 2**62, -(2**62)]), buy=st.integers(0, 4),
          sell=st.integers(0, 4), live_=st.integers(0, 2), entries=st.integers(0, 1), own=st.integers(0, 1),
          bid=st.sampled_from([0, 1, 1_000, 1_010, 2**61]), least=st.sampled_from([0, 1, 3]))  # fmt: skip
    def fact(self, symbol, lots, buy, sell, live_, entries, own, bid, least):
        facts = {
            "lots": lots, "open_buy_lots": buy, "open_sell_lots": sell, "orders_live": max(live_, entries, own),
            "entries_live": entries, "plan_live": own, "bid_px_ticks": bid,
            "ask_px_ticks": 2**62 if bid > 2_000 else 1_010, "qty_min_lots": least,
        }  # fmt: skip
        for m in self.both:
            m.fact(symbol % self.symbols, **facts)

    @rule(symbol=st.integers(0, 3), lots=st.sampled_from([0, 7, -7]), back=st.integers(0, 3))
    def verified(self, symbol, lots, back):
        self.same(lambda m: m.verified(symbol if symbol < self.symbols else 99, lots, self.now - back))

    @rule(wait=st.sampled_from([0, 1, 1, 2, 5, 20]), room=st.sampled_from([0, 1, 2, 4096]))
    def step(self, wait, room):
        self.now += wait
        actions = self.same(lambda m: m.step(self.now, room))
        assert len(actions) <= room

    @invariant()
    def agree(self):
        if not hasattr(self, "both"):
            return
        kernel, twin = self.both
        assert kernel.state == twin.state
        assert kernel.counts == twin.counts
        assert [kernel.attempts(s) for s in range(self.symbols)] == [twin.attempts(s) for s in range(self.symbols)]
        kernel.check()


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=150, stateful_step_count=40)


def test_every_state_of_the_plan_but_the_last_has_a_deadline():
    assert [row[0] for row in PHASES if not row[3]] == [Phase.PHASE_REPORT]
