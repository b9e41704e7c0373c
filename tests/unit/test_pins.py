"""The pins through gpiozero's own simulated chip, and the rule of when an open line is a trip, in both its forms."""

from __future__ import annotations

import warnings

import pytest
from gpiozero.pins.mock import MockFactory, MockPin
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import LineRefused, SwitchMissing, SwitchOpen
from engine.safety.debounce import Debounce
from engine.safety.lines import Lines
from engine.safety.pins import PATTERNS, Lamps, Pins, require_switch
from engine.safety.sentry import debounce

US, MS = 1_000, 1_000_000


# ------------------------------------------------------------------------------------------------------------ the rule
READINGS = st.lists(st.tuples(st.integers(0, 8 * MS), st.booleans()), max_size=60)


@given(READINGS, st.sampled_from([0, 1, MS, 5 * MS]), st.sampled_from([1, 5 * MS, 20 * MS]))
def test_both_readers_follow_the_same_rule(steps, debounce_ns, latest_ns):
    now, readings = 1, []
    for step, is_open in steps:
        now += step
        readings.append((now, is_open))
    rule, at = Debounce(debounce_ns, latest_ns), -1
    for index, (now_ns, is_open) in enumerate(readings):
        if rule.sample(now_ns, is_open):
            at = index
            break
    assert debounce(readings, debounce_ns, latest_ns) == (at, rule.glitch_count)


@given(READINGS)
def test_a_line_never_seen_open_never_trips(steps):
    readings = [(i * MS, False) for i, _ in enumerate(steps)]
    assert debounce(readings, 5 * MS, 50 * MS) == (-1, 0)


@given(st.integers(1, 4_999), st.integers(1, 5))
def test_an_opening_shorter_than_the_debounce_that_settles_is_a_glitch(open_us, count):
    readings = []
    for n in range(count):
        at = n * 100 * MS
        readings += [(at, True), (at + open_us * US, False), (at + 20 * MS, False)]
    assert debounce(readings, 5 * MS, 50 * MS) == (-1, count)


@given(st.integers(5_000, 1_000_000))
def test_an_opening_as_long_as_the_debounce_trips_even_if_only_its_edges_are_seen(open_us):
    assert debounce([(MS, True), (MS + open_us * US, False)], 5 * MS, 50 * MS)[0] == 1


def test_chatter_trips_no_later_than_the_stated_time():
    # Every edge would start the kernel's debounce anew: a line that chatters for ever would never trip there.
    readings = [(n * MS, n % 2 == 0) for n in range(200)]
    at, _ = debounce(readings, 5 * MS, 50 * MS)
    assert readings[at][0] - readings[0][0] == 50 * MS


def test_toggles_of_microseconds_between_two_turns_are_seen_whole():
    readings = [(MS + n * 2 * US, n % 2 == 0) for n in range(10)]
    assert debounce([*readings, (MS + 30 * MS, False)], 5 * MS, 50 * MS) == (-1, 1)


# --------------------------------------------------------------------------------------------------- gpiozero's devices
class Desk:
    """Pins over gpiozero's MockFactory, with both loops closed."""

    def __init__(self, **more):
        self.factory = MockFactory()
        self.trips: list[tuple[str, str]] = []
        self.reports: list[int] = []
        self.wakes: list[bool] = []
        for number in (17, 27):
            self.factory.pin(number).drive_low()
        self.pins = Pins(
            lambda reason, detail: self.trips.append((reason, detail)), factory=self.factory,
            report=self.reports.append, wake=lambda: self.wakes.append(True), debounce_ns=0, **more,
        )  # fmt: skip
        for number in (17, 27):
            self.factory.pin(number).drive_low()

    def reasons(self):
        return [reason for reason, _ in self.trips]


def test_closed_loops_pass_the_self_test():
    desk = Desk()
    desk.pins.self_test()
    assert (desk.trips, set(desk.reports)) == ([], {0})
    desk.pins.close()


@pytest.mark.parametrize(("number", "reason"), [(17, "switch"), (27, "tamper")])
def test_an_opened_loop_trips_with_its_name(number, reason):
    desk = Desk()
    desk.factory.pin(number).drive_high()
    assert desk.reasons() == [reason]
    assert desk.wakes
    # Pressed again and again: it is the latch that counts, not this.
    desk.factory.pin(number).drive_low()
    desk.factory.pin(number).drive_high()
    assert desk.reasons() == [reason]
    desk.pins.close()


@pytest.mark.parametrize(("number", "reason"), [(17, "switch"), (27, "tamper")])
def test_a_loop_that_is_open_at_the_start_fails_the_self_test_and_trips(number, reason):
    factory, trips = MockFactory(), []
    factory.pin(44 - number).drive_low()
    factory.pin(number)  # pulled up: a press held, or no wire at all
    # Whoever holds it longer than a bounce is not waited for: it was open when it had to be closed.
    pins = Pins(lambda *what: trips.append(what), factory=factory, debounce_ns=10**12, latest_ns=10**12)
    factory.pin(44 - number).drive_low()
    with pytest.raises(SwitchOpen, match=reason):
        pins.self_test()
    assert trips == [(reason, "open at the start")]
    pins.close()


def test_the_sentry_is_told_what_this_reader_sees():
    desk = Desk()
    desk.pins.poll()
    desk.factory.pin(27).drive_high()
    desk.pins.poll()
    assert desk.reports == [0, 2]
    desk.pins.close()


def test_an_exception_in_the_callback_is_a_trip_and_does_not_reach_gpiozero():
    factory, trips = MockFactory(), []
    for number in (17, 27):
        factory.pin(number).drive_low()

    def wake():
        raise RuntimeError("a bug in here")

    pins = Pins(lambda *what: trips.append(what), factory=factory, wake=wake)
    factory.pin(17).drive_high()
    factory.pin(17).drive_low()
    assert [reason for reason, _ in trips] == ["switch"]
    assert "a bug in here" in trips[0][1]
    pins.close()


def test_a_chip_that_is_gone_is_a_trip_told_once():
    desk = Desk()
    desk.pins.loops[0].button.close()  # reading a closed device raises, as a vanished chip does
    for _ in range(5):
        assert desk.pins.poll()
    assert desk.reasons() == ["switch"]
    assert desk.pins.error_count >= 5
    # No report either: to the sentry the reader is silent.
    assert desk.reports == []


@pytest.mark.parametrize(
    ("switch", "live", "acknowledged", "says"),
    [
        ("gpio", True, False, "on GPIO"), ("gpio", False, False, "on GPIO"),
        ("none", False, False, "NONE"), ("none", True, True, "acknowledged"),
        ("simulated", False, False, "simulated"), ("simulated", True, True, "acknowledged"),
    ],
)  # fmt: skip
def test_start_up_says_what_stands_in_for_the_switch(switch, live, acknowledged, says):
    assert says in require_switch(switch, live=live, acknowledged=acknowledged)


@pytest.mark.parametrize(
    ("switch", "live", "acknowledged"),
    [("none", True, False), ("simulated", True, False), ("", False, True), ("None", False, True)],
)
def test_live_without_a_switch_is_refused_and_none_has_to_be_said_in_words(switch, live, acknowledged):
    with pytest.raises(SwitchMissing):
        require_switch(switch, live=live, acknowledged=acknowledged)


def test_a_missing_chip_is_refused_by_name():
    with pytest.raises(LineRefused, match="gpiochip999"):
        Lines("/dev/gpiochip999", [17])
    with pytest.raises(LineRefused, match="Inappropriate ioctl"):
        Lines("/dev/null", [17])
    with pytest.raises(LineRefused, match="0 lines"):
        Lines("/dev/null", [])


# --------------------------------------------------------------------------------------------------------------- lamps
@pytest.mark.parametrize("mode", [*PATTERNS, "no such mode"])
def test_each_mode_has_its_lamps(mode):
    lamps = Lamps(factory=MockFactory())
    lamps.show(mode, 0)
    pattern = PATTERNS.get(mode, PATTERNS["halted"])
    lit = {name for name, how in pattern.items() if how in ("on", "blink")}
    assert set(lamps.lit) == lit
    lamps.turn(500 * MS, 0)
    assert set(lamps.lit) == {name for name, how in pattern.items() if how == "on"}
    lamps.close()


def test_the_heart_beat_blinks_with_progress_and_stands_still_without_it():
    lamps = Lamps(factory=MockFactory())
    lamps.show("normal", 0)
    seen = []
    for progress in (1, 1, 1, 2, 3, 3):
        lamps.turn(progress * 123 * MS, progress)
        seen.append("green" in lamps.lit)
    assert seen == [True, True, True, False, True, True]
    lamps.close()


class GonePin(MockPin):
    """A pin of a chip that was taken away: giving it back fails."""

    gone = True

    def close(self):
        gone, self.gone = self.gone, False
        if gone:
            raise OSError("No such device")
        super().close()


def test_a_chip_that_is_gone_holds_up_no_closing():
    lamps = Lamps(factory=MockFactory(pin_class=GonePin))
    lamps.close()
    assert (lamps.error_count, lamps.lit) == (3, ())
    assert "No such device" in lamps.error_last
    pins = Pins(lambda *_: None, factory=MockFactory(pin_class=GonePin))
    pins.close()
    assert pins.error_count == 2


def test_lamps_that_cannot_be_had_are_counted_and_hold_up_nothing():
    factory = MockFactory()
    first = Lamps(factory=factory)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = Lamps(factory=factory)
    assert (first.error_count, second.error_count) == (0, 3)
    assert "GPIOPinInUse" in second.error_last
    second.show("halted", 0)
    assert second.lit == ()
    first.close()
