"""One path for every trip, and the sequence behind it: it ends flat, or says exactly what is open, whatever fails."""

from __future__ import annotations

import json
import os
import threading

import pytest
from gpiozero.pins.mock import MockFactory
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core.latch import REASONS, Latch
from engine._core.modes import Goal
from engine.errors import GuardNotReady, LatchTripped, SwitchOpen
from engine.safety.audit import Audit, Kind, Report, read
from engine.safety.guard import Guard, Plan, State
from engine.safety.pins import Pins
from engine.safety.pulse import Pulse
from engine.safety.sentry import Sentry
from engine.safety.stall import StallWatch
from tests.support.desk_ports import Account, DeskPorts, Order

KEY = bytes(range(32))
MS = 1_000_000
# Short deadlines: what is tried is the order of things, on the real clock.
LIMITS = {
    "cancel_ns": 60 * MS, "confirm_ns": 60 * MS, "flatten_ns": 200 * MS, "verify_ns": 100 * MS, "retry_ns": 2 * MS,
    "reprice_ns": 20 * MS,
}  # fmt: skip
FLATTEN = Plan(Goal.GOAL_FLATTEN, limits=LIMITS)
CANCEL = Plan(Goal.GOAL_CANCEL, limits=LIMITS)


def account():
    return Account(
        lots=[5, -3],
        orders=[
            Order("entry-0", 0, 4), Order("entry-1", 1, -2), Order("stop-0", 0, -5, reduce_only=True, armed_stop=True),
        ],
    )  # fmt: skip


class Run:
    """A guard over an account, tripped and run to its end in its own thread; the exit is caught instead of taken."""

    def __init__(self, tmp_path, desk, *, audit=None, fallback=None, ports=None, plan=FLATTEN, grace_s=60.0, **more):
        self.latch = Latch(tmp_path / "latch")
        self.desk = desk
        self.exits: list[int] = []
        self.words: list[str] = []
        self.ports = ports or DeskPorts(desk)
        self.exited = threading.Event()
        self.handover = tmp_path / "handover.json"
        self.guard = Guard(
            self.latch, self.ports, plan=plan, fallback=fallback, audit=audit, grace_s=grace_s, symbols=len(desk.lots),
            handover=self.handover, environment={"INVOCATION_ID": "run"}, last_words=self.words.append,
            exit=self._exit, **more,
        )  # fmt: skip

    def _exit(self, code):
        self.exits.append(code)
        self.exited.set()

    def trip(self, reason="command", detail="a test", **more):
        with self.guard:
            self.guard.trip(reason, detail, **more)
            assert self.exited.wait(60)
            self.guard._thread.join(60)
        return self.guard.ending

    def told(self):
        return json.loads(self.handover.read_text())


def test_a_trip_cancels_flattens_verifies_records_and_exits_70(tmp_path):
    with Audit(tmp_path / "audit", KEY, journal_socket=None) as audit:
        run = Run(tmp_path, account(), audit=audit)
        ending = run.trip("switch", "pressed")
    assert run.exits == [70]
    assert run.ports.stopped == [70]
    assert (run.desk.lots, run.desk.orders) == ([0, 0], [])
    assert (ending.outcome, ending.verified, ending.open) == ("flat", True, [])
    assert [state for state, _ in ending.steps] == [
        "REFUSE",
        "CANCEL",
        "CONFIRM",
        "FLATTEN",
        "VERIFY",
        "RECORD",
        "EXIT",
    ]
    assert [at for _, at in ending.steps] == sorted(at for _, at in ending.steps)
    assert run.told() == {**run.told(), "verified": True, "invocation": "run", "keep": [], "outcome": "flat"}
    kinds = [record.entry.kind for record in read(tmp_path / "audit", KEY, Report())]
    assert kinds == [Kind.OPENED, Kind.TRIP, Kind.SEQUENCE]
    assert Latch(tmp_path / "latch").reasons == ("switch",)


def test_the_process_never_ends_before_its_trip_is_on_disk(tmp_path):
    """A trip that pokes nobody, as a signal's handler does, over an account that is flat at once: the end is near."""
    desk = Account(lots=[0])
    durable: list[bool] = []
    latch = Latch(tmp_path / "latch")
    exited = threading.Event()
    # Its watch turns once in ten seconds: the scribe hears of nothing in time.
    sentry = Sentry(latch, tick_ns=10_000 * MS)

    def leave(_code):
        durable.append(latch.durable)
        exited.set()

    with Guard(latch, DeskPorts(desk), plan=CANCEL, sentry=sentry, exit=leave, last_words=lambda _text: None):
        latch.trip("signal")
        assert exited.wait(60)
    assert durable == [True]
    assert Latch(tmp_path / "latch").tripped


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_takes_the_same_path(reason, tmp_path):
    run = Run(tmp_path, account(), plan=CANCEL)
    ending = run.trip(reason)
    assert (run.exits, ending.reason, ending.verified) == ([70], reason, True)
    # Entries are gone, the stop of the position that is kept stands and is handed over by name.
    assert [o.name for o in run.desk.orders] == ["stop-0"]
    assert run.told()["keep"] == ["stop-0"]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda g: g.journal_failed(OSError("disk")), "journal-failure"),
        (lambda g: g.clock_off(2_000_000_000, 500_000_000), "clock"),
        (lambda g: g.equity_seen(1_000_000, 1_200_000, 10_000), "equity-disagreement"),
        (lambda g: g.breakers_open(["feed", "orders"]), "breaker-cascade"),
        (lambda g: g.failed("pins", ValueError("x")), "safety-exception"),
        (lambda g: g.trip("no such reason"), "unknown"),
        (lambda g: g.trip(None, None, value="x"), "unknown"),
    ],
)
def test_every_source_trips(call, reason, tmp_path):
    run = Run(tmp_path, account())
    call(run.guard)
    assert run.latch.first == reason


def test_what_lies_within_its_limit_does_not_trip(tmp_path):
    run = Run(tmp_path, account())
    run.guard.clock_off(-400_000_000, 500_000_000)
    run.guard.equity_seen(1_000_000, 1_005_000, 10_000)
    run.guard.equity_seen(0, 0, 10_000)
    assert not run.latch.tripped


@pytest.mark.parametrize("equities", [(1_000_000, 1_500_000), (0, 0), (1_000_000, 0)])
def test_without_two_sources_of_equity_that_agree_nothing_is_flattened(equities, tmp_path):
    desk = account()
    desk.equities = equities
    run = Run(tmp_path, desk)
    ending = run.trip("drawdown")
    assert desk.lots == [5, -3]
    assert [o.name for o in desk.orders] == ["stop-0"]
    assert (ending.outcome, run.told()["keep"]) == ("halted", ["stop-0"])


def test_a_trip_for_disagreeing_equity_halts_even_when_they_agree_later(tmp_path):
    run = Run(tmp_path, account())
    run.trip("equity-disagreement")
    assert run.desk.lots == [5, -3]


def test_a_dead_port_is_replaced_by_the_other(tmp_path):
    desk = account()
    run = Run(tmp_path, desk, ports=DeskPorts(desk, dead=True), fallback=DeskPorts(desk, "second"))
    ending = run.trip("command")
    assert (desk.lots, desk.orders, ending.fallback, ending.verified) == ([0, 0], [], True, True)


def test_with_both_ports_dead_it_ends_by_its_grace_and_says_that_everything_may_be_open(tmp_path):
    desk = account()
    run = Run(tmp_path, desk, ports=DeskPorts(desk, dead=True), fallback=DeskPorts(desk, dead=True), grace_s=0.3)
    ending = run.trip("command")
    assert run.exits == [70]
    assert ending.verified is False
    assert [row["orders"] for row in ending.open] == [-1, -1]
    assert run.told()["verified"] is False


def test_a_loop_stuck_in_user_code_is_gone_round(tmp_path):
    desk, pulse, release = account(), Pulse(), threading.Event()

    def stuck_in_a_strategy():
        pulse.mark(code)
        release.wait(60)

    code = pulse.name("strategy quoter")
    loop = threading.Thread(target=stuck_in_a_strategy)
    loop.start()
    pulse.arm()
    latch_dir = tmp_path
    run = None
    try:
        watch = StallWatch(pulse, warn_s=0.05, loop_thread=loop.ident)
        with Audit(tmp_path / "audit", KEY, journal_socket=None) as audit:
            run = Run(latch_dir, desk, audit=audit, fallback=DeskPorts(desk, "second"), stall=watch)
            sentry = Sentry(run.latch, pulse=pulse, stall_ns=300 * MS, priority=0)
            run.guard._sentry = sentry
            with run.guard:
                assert run.exited.wait(60)
        assert run.guard.ending.reason == "heartbeat-stall"
        assert run.guard.ending.fallback
        assert all(line.startswith("second") for line in desk.log)
        assert watch.last.running == "strategy quoter"
        assert any("stuck_in_a_strategy" in frame for frame in watch.last.stack)
        kinds = [record.entry.kind for record in read(tmp_path / "audit", KEY, Report())]
        assert Kind.STALL in kinds
    finally:
        release.set()
        loop.join()
    assert (desk.lots, desk.orders) == ([0, 0], [])


def test_a_full_disk_stops_nothing(tmp_path):
    audit = Audit(tmp_path / "audit", KEY, journal_socket=None)
    full = os.open("/dev/full", os.O_WRONLY)  # the kernel's own full disk: every write is ENOSPC
    os.dup2(full, audit._file)
    os.close(full)
    run = Run(tmp_path, account(), audit=audit)
    ending = run.trip("journal-failure")
    assert (run.desk.lots, run.exits) == ([0, 0], [70])
    assert any("No space left" in text for text in ending.errors)
    assert any("not in the audit" in words and "journal-failure" in words for words in run.words)


def test_nothing_is_spared_by_the_courier_when_the_handover_cannot_be_written(tmp_path):
    run = Run(tmp_path, account())
    run.handover.mkdir()
    run.trip("command")
    assert run.exits == [70]
    assert not any(run.handover.iterdir())


def test_a_port_that_raises_on_stop_still_exits(tmp_path):
    class Stubborn(DeskPorts):
        def stop(self, code):
            raise RuntimeError("no")

    desk = account()
    run = Run(tmp_path, desk, ports=Stubborn(desk))
    run.guard._thread.run = lambda: None
    run.latch.trip("command")
    with pytest.raises(RuntimeError):
        run.guard._sequence()
    assert run.exits == [70]


def test_an_exception_in_the_guards_own_turn_is_a_trip(tmp_path):
    class Broken:
        def poll(self):
            raise ValueError("a bug in here")

    run = Run(tmp_path, account(), pins=Broken())
    with run.guard:
        assert run.exited.wait(60)
    assert run.latch.first == "safety-exception"
    assert "a bug in here" in run.latch.note


def test_nothing_is_ready_before_the_threads_run_and_after_a_trip(tmp_path):
    run = Run(tmp_path, account())
    with pytest.raises(GuardNotReady, match="sentry"):
        run.guard.require_ready()
    with run.guard:
        while not run.guard._sentry.alive:
            os.sched_yield()
        run.guard.require_ready()
        run.guard.trip("command")
        with pytest.raises(LatchTripped):
            run.guard.require_ready()
        assert run.exited.wait(60)


def test_a_loop_open_at_the_start_is_a_durable_recorded_trip_before_any_thread_runs(tmp_path):
    factory = MockFactory()
    factory.pin(27).drive_low()
    factory.pin(17)  # pulled up: held, or cut
    audit = Audit(tmp_path / "audit", KEY, journal_socket=None)
    run = Run(tmp_path, account(), audit=audit)
    run.guard.pins = Pins(run.guard.trip, factory=factory)
    factory.pin(27).drive_low()
    with pytest.raises(SwitchOpen):
        run.guard.require_closed()
    run.guard.pins.close()
    audit.close()
    assert (run.latch.reasons, run.latch.durable, run.guard.alive) == (("switch",), True, False)
    (told,) = [r.entry for r in read(tmp_path / "audit", KEY, Report()) if r.entry.kind is Kind.TRIP]
    assert (told.trigger, told.explanation, told.human) == ("switch", "open at the start", True)


def test_closed_without_a_trip_it_does_nothing(tmp_path):
    run = Run(tmp_path, account())
    with run.guard:
        pass
    run.guard.close()
    assert (run.exits, run.desk.log, run.guard.state) == ([], [], State.WATCHING)


TROUBLE = st.lists(st.sampled_from(["", "raise", "lose", "fill"]), max_size=12)
ORDERS = st.lists(
    st.builds(
        Order, name=st.uuids().map(str), symbol=st.integers(0, 1), lots=st.integers(-4, 4).filter(bool),
        reduce_only=st.booleans(), armed_stop=st.just(False),
    ),
    max_size=4,
)  # fmt: skip


@settings(max_examples=int(25 * float(os.environ.get("BOT4_STRESS", "1"))))
@given(lots=st.lists(st.integers(-6, 6), min_size=2, max_size=2), orders=ORDERS, trouble=TROUBLE, other=st.booleans())
def test_under_any_trouble_it_ends_flat_or_names_exactly_what_is_open(tmp_path_factory, lots, orders, trouble, other):
    desk = Account(lots=list(lots), orders=list(orders), trouble=list(trouble))
    run = Run(
        tmp_path_factory.mktemp("run"), desk, fallback=DeskPorts(desk, "second") if other else None, grace_s=2.0,
        plan=Plan(Goal.GOAL_FLATTEN, limits={name: value // 3 for name, value in LIMITS.items()}),
    )  # fmt: skip
    ending = run.trip("command")
    assert run.exits == [70]
    # What is true at the venue is named; a symbol without a confirmed end may be named with zeros, never left out.
    named = {row["symbol"] for row in ending.open}
    truly_open = {s for s in range(2) if desk.lots[s] or any(o.symbol == s for o in desk.orders)}
    assert truly_open <= named
    if ending.verified:
        assert not truly_open
