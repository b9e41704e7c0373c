"""The seeded world: the engine keeps every promise in it, and each defence that is taken away is missed at once."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from engine._core.bracket_table import BracketPhase
from engine.cli.certify import certify as certify_command
from engine.errors import WorldCannotHold, WorldFoundBreak
from engine.sim.world.certify import certify
from engine.sim.world.faults import (
    BAN,
    CLOCK,
    CUT,
    DISK_FULL,
    FLIP,
    HALT,
    KILL,
    KINDS,
    LATCH,
    POWER,
    SNAPSHOT,
    START_NS,
    TEAR,
    Fates,
    Fault,
    Rates,
    S,
    schedule,
)  # fmt: skip
from engine.sim.world.outcome import Outcome
from engine.sim.world.promises import BARE_MOST_NS, Promises
from engine.sim.world.shrink import ddmin
from engine.sim.world.venue import Venue
from tests.support import world
from tests.support.world import SETUP, runner

NIGHTLY = bool(os.environ.get("BOT4_NIGHTLY"))
QUIET = {"per_hour": {}, "lost": 0, "twice": 0, "late": 0, "throttled": 0}


def rates(**more):
    return QUIET | more


@pytest.mark.parametrize("seed", range(6 if not NIGHTLY else 200))
def test_every_promise_holds_after_every_event(seed):
    out = runner().run(seed, 4)
    assert not out.failure
    assert out.events > 2000
    assert out.orders > 0


HARSH = {"per_hour": dict.fromkeys(KINDS, 6.0) | {LATCH: 0}, "lost": 0.1, "twice": 0.1, "late": 0.1, "throttled": 0.05}


@pytest.mark.parametrize("strategy", [SETUP.name, "strategies.breakout"])
def test_a_harsh_world_is_survived_too(strategy):
    out = runner(strategy=strategy, **HARSH).run(5, 3)
    assert not out.failure
    assert out.lives > 20
    assert out.refused > 0


def test_a_seed_is_the_same_run_every_time():
    one, two = (runner().run(3, 1) for _ in range(2))
    other = runner().run(4, 1)
    assert one == two
    assert (one.events, one.fated) != (other.events, other.fated)


# Each defence that is taken away, the world that needs it, and the checkers of which one must find it.
MUTANTS = [
    (world.SendsBeforeItRecords, rates(per_hour={KILL: 20}), {"what was sent is recorded"}),
    (world.KeepsItsEpoch, rates(per_hour={POWER: 20}), {"no client id twice"}),
    (world.DropsTheOutputs, rates(per_hour={KILL: 5}),
     {"a process that died can be recovered", "what was sent is recorded"}),
    (world.RecordsAnotherTime, rates(per_hour={KILL: 5}), {"a process that died can be recovered"}),
    (world.SendsWithoutAJournal, rates(per_hour={DISK_FULL: 5}), {"no order that cannot be recorded"}),
    (world.CountsEveryFill, rates(twice=0.1), {"position = the venue's fills", "recovery reaches a fixed point"}),
    (world.NeverAsks, rates(lost=0.05),
     {"position = the venue's fills", "no ghost in the table", "no orphan at the venue",
      "filled quantities agree", "everything is settled in the end"}),
    (world.TakesSilenceForNo, rates(lost=0.1),
     {"no orphan at the venue", "position = the venue's fills", "exposure within its limit", "no ghost in the table"}),
    (world.ForgetsTheLatch, rates(per_hour={LATCH: 4}), {"silence after the latch"}),
    (world.LeavesForeignOrders, rates(per_hour={POWER: 20}), {"no orphan at the venue"}),
    (world.CallsItAbsentTooSoon, rates(late=0.3, per_hour={CUT: 30, KILL: 20}),
     {"no orphan at the venue", "position = the venue's fills", "recovery reaches a fixed point"}),
    (world.TrustsEverySum, rates(per_hour={FLIP: 10}), {"damage is refused"}),
    (world.BooksNothingAfterACrash, rates(per_hour={KILL: 20}), {"recovery reaches a fixed point"}),
    (world.MisnumbersItsSnapshots, rates(per_hour={SNAPSHOT: 10, KILL: 10}), {"a process that died can be recovered"}),
    (world.OverstepsItsLimit, rates(), {"exposure within its limit"}),
    (world.NeverAsks, rates(per_hour={BAN: 10}), {"no ghost in the table", "position = the venue's fills"}),
    (world.SendsAgainWhatWasRefused, rates(throttled=0.1), {"no orphan at the venue"}),
    (world.BooksNothingAfterACrash, rates(per_hour={TEAR: 20}), {"recovery reaches a fixed point"}),
    (world.TakesTheVenuesClockForItsOwn, rates(per_hour={CLOCK: 20, KILL: 5}),
     {"a process that died can be recovered"}),
]  # fmt: skip
# Those of entries with their exits, on a strategy that has some.
EXITS = [
    (world.HasNoClock, rates(lost=0.05), {"nothing held without protection"}),
    (world.LosesTheUnwind, rates(), {"no ghost in the table", "everything is settled in the end"}),
    (world.AsksTheVenueForItsOwnStops, rates(), {"everything is settled in the end"}),
    (world.GivesUpAfterARefusal, rates(per_hour={HALT: 20}), {"nothing held without protection"}),
]
BREAKOUT = "strategies.breakout"


@pytest.mark.parametrize(
    ("strategy", "mutant", "where", "checkers"),
    [(SETUP.name, *row) for row in MUTANTS] + [(BREAKOUT, *row) for row in EXITS],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_a_missing_defence_is_found_and_the_defence_itself_is_not(strategy, mutant, where, checkers):
    sound = runner(strategy=strategy, **where)
    for seed in range(12):
        out = runner(mutant, strategy, **where).run(seed, 1)
        if out.failure:
            assert out.checker in checkers, out.failure
            assert not sound.run(seed, 1).failure
            return
    pytest.fail("no seed of twelve found it")


def test_a_counterexample_is_shrunk_to_the_faults_that_matter():
    where = rates(per_hour={DISK_FULL: 3, CUT: 4, KILL: 2}, twice=0.02)
    hunt = runner(world.SendsWithoutAJournal, **where)
    failed = next(out for out in (hunt.run(seed, 2) for seed in range(20)) if out.failure)
    script = hunt.shrink(failed, runs_max=60)
    assert [fault.kind for fault in script.faults] == [DISK_FULL]
    assert script.fated == []
    assert script.outcome.checker == failed.checker
    text = script.text()
    assert "disk full" in text
    assert f"seed {failed.seed}" in text
    assert "intent" in text or "quote" in text


def test_what_is_shrunk_is_one_minimal():
    calls = []

    def fails(items):
        calls.append(items)
        return {3, 11} <= set(items)

    assert ddmin(list(range(16)), fails) == [3, 11]
    assert ddmin([1, 2], lambda items: True) == []
    assert len(calls) < 80


def test_faults_and_fates_depend_on_the_seed_alone():
    assert schedule(1, 10, Rates()) == schedule(1, 10, Rates())
    assert schedule(1, 10, Rates()) != schedule(2, 10, Rates())
    # A longer run has the shorter one's faults, and more.
    short, long = schedule(1, 5, Rates()), schedule(1, 10, Rates())
    assert long[: len(short)] == short
    assert all(isinstance(fault, Fault) and fault.at_ns < 10 * 3600 * S for fault in long)
    fates = Fates(7, Rates(lost=0.25, twice=0.25, late=0.25, throttled=0.0))
    drawn = [fates.of(n) for n in range(4000)]
    for fate in ("lost", "twice", "late", ""):
        assert 850 < drawn.count(fate) < 1150
    assert Fates(7, Rates(lost=1.0, twice=0, late=0, throttled=0), frozenset({5})).of(5) == ""


def test_a_certificate_counts_what_was_run():
    found = certify(lambda: SETUP, seeds=2, hours=0.5, workers=1)
    assert found.passed
    assert (found.seeds, found.hours) == (2, 1.0)
    assert found.events > 500


# Each strategy that decides by quotes and trades of one symbol, and hours that its warm-up leaves room in.
CERTIFIED = [
    ("quoter", 1), ("market_maker", 1), ("breakout", 1), ("momentum", 1), ("mean_reversion", 1), ("trend", 3),
    ("short_side", 3), ("swing", 10),
]  # fmt: skip


@pytest.mark.parametrize(("name", "hours"), CERTIFIED)
def test_every_strategy_of_one_symbol_trades_here_and_keeps_every_promise(name, hours):
    orders = fills = 0
    for seed in range(2 if not NIGHTLY else 100):
        out = runner(strategy=f"strategies.{name}").run(seed, hours)
        assert not out.failure
        orders, fills = orders + out.orders, fills + out.fills
    assert orders > 0
    assert fills > 0


# Seeds that found what is mended now: fills that overtook each other and left a position bare, an amend under way that
# was called lost, a number used again for a stop whose leaving had lost its record.
FOUND = [(BREAKOUT, {}, 2), (BREAKOUT, HARSH, 122)]


@pytest.mark.parametrize(("strategy", "where", "seed"), FOUND, ids=lambda x: str(x) if isinstance(x, int) else "")
def test_what_a_seed_has_found_stays_mended(strategy, where, seed):
    out = runner(strategy=strategy, **where).run(seed, 0.4)
    assert not out.failure
    assert out.orders > 0


@pytest.mark.parametrize("name", ["arbitrage", "funding", "hedge"])
def test_a_strategy_that_watches_others_is_refused_by_name(name):
    done = CliRunner().invoke(certify_command, [f"strategies.{name}", "--seeds", "1"])
    assert isinstance(done.exception, WorldCannotHold)
    assert f"strategies.{name} watches 1 other symbol;" in str(done.exception)


def test_a_strategy_that_never_orders_gets_no_certificate():
    # Its averages want an hour before they say anything.
    done = CliRunner().invoke(certify_command, ["strategies.trend", "--seeds", "1", "--hours", "0.5", "--workers", "1"])
    assert done.exit_code == 4, done.output
    assert done.output.startswith("IDLE  strategies.trend: 0 simulated hours and no order")


@pytest.mark.parametrize(
    ("found", "checker"),
    [((BracketPhase.PHASE_COVERED, 1, -3, 0), "both exits filled has its name"),
     ((BracketPhase.PHASE_STUCK, 1, 3, 2), "nothing held without protection"),
     ((BracketPhase.PHASE_OVER, -1, -3, 0), "nothing held without protection"),
     ((BracketPhase.PHASE_COVERED, 1, 3, 3), ""),
        ((BracketPhase.PHASE_STUCK, -1, 3, 0), "")],
)  # fmt: skip
def test_what_a_bracket_may_not_stand_in_is_seen(monkeypatch, found, checker):
    now, outcome = [START_NS], Outcome(1, 1.0)
    promises = Promises(SETUP, SimpleNamespace(core=world.core()), Venue(1, _nobody), outcome, lambda: now[0])
    monkeypatch.setattr("engine.sim.world.promises.guarded", lambda _: [found])
    # The account is long by three.
    monkeypatch.setattr("engine.sim.world.promises.glance", lambda *_: (3, 3, 0, 0))
    monkeypatch.setattr("engine.sim.world.promises.owned_lots", lambda *_: 3)
    with suppress(WorldFoundBreak):
        # The third time nobody could have acted: the deadline begins anew.
        for reachable in (True, True, False, True, True):
            promises.protected(reachable=reachable)
            now[0] += BARE_MOST_NS
        assert not outcome.checker
        promises.protected(reachable=True)
    assert outcome.checker == checker


def _nobody(*_, **__):
    """The venue's reports have nobody to go to."""


def test_the_command_prints_a_certificate():
    done = CliRunner().invoke(certify_command, ["--seeds", "1", "--hours", "0.2", "--workers", "1", "--json"])
    assert done.exit_code == 0, done.output
    out = json.loads(done.output)
    assert out["passed"]
    assert out["counterexample"] is None


def test_a_torn_write_is_part_of_the_world():
    out = runner(**rates(per_hour={TEAR: 10})).run(1, 2)
    assert not out.failure
    assert out.lives > 5
