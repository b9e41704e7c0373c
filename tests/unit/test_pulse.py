"""The words of the loop's heart-beat: what the loop writes is what the sentry reads."""

from __future__ import annotations

from engine.safety.pulse import Pulse


def test_it_counts_beats_and_events_and_shows_what_waits():
    pulse = Pulse()
    assert (pulse.beats, pulse.sequence, pulse.backlog) == (0, 0, 0)
    for _ in range(3):
        pulse.beat()
    pulse.step()
    pulse.step(40)
    pulse.waiting(7)
    assert (pulse.beats, pulse.sequence, pulse.backlog) == (3, 41, 7)


def test_it_is_armed_and_disarmed_and_names_what_runs():
    pulse = Pulse()
    assert not pulse.armed
    pulse.arm()
    assert pulse.armed
    pulse.disarm()
    assert not pulse.armed
    assert pulse.running == "the loop"
    pulse.mark(pulse.name("a strategy"))
    assert pulse.running == "a strategy"
    pulse.mark(99)
    assert pulse.running == "mark 99"
    pulse.mark(0)
    assert pulse.running == "the loop"


def test_two_pulses_share_no_word():
    one, other = Pulse(), Pulse()
    one.beat()
    assert (other.beats, one.address == other.address, one.address % 64) == (0, False, 0)
