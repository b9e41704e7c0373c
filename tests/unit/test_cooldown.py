"""The cooldown: tightening at once, loosening after a day, and no way around it by restart, reload or clock."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.errors import CooldownBadFile
from engine.settings import keys
from engine.settings.cooldown import WAIT_NS, Cooldown
from engine.settings.schema import Breaker, Settings

NOW = 1_700_000_000_000_000_000
BAND = ("limits", "px_band_ppm")
MARGIN = ("limits", "margin_ppm")


def _band(value, **more):
    return keys.with_values(Settings(), {BAND: value} | {("limits", k): v for k, v in more.items()})


def _in_force(admission):
    return admission.settings.limits.px_band_ppm


@pytest.fixture
def guard(tmp_path):
    cooldown = Cooldown(tmp_path / "state" / "settings.json")
    cooldown.admit(_band(1_000), NOW)
    return cooldown


def test_the_first_start_takes_the_settings_as_they_are(tmp_path):
    admission = Cooldown(tmp_path / "settings.json").admit(_band(7), NOW)
    assert _in_force(admission) == 7
    assert admission.waiting == ()


def test_tightening_acts_at_once_and_loosening_back_waits(guard):
    assert _in_force(guard.admit(_band(500), NOW)) == 500
    back = guard.admit(_band(1_000), NOW + 1)
    assert _in_force(back) == 500
    (waiting,) = back.waiting
    assert (waiting.key, waiting.value, waiting.due_ns) == (["limits", "px_band_ppm"], 1_000, NOW + 1 + WAIT_NS)


def test_a_floor_tightens_upward(guard):
    assert guard.admit(_band(1_000, margin_ppm=2_000_000), NOW).settings.limits.margin_ppm == 2_000_000
    held = guard.admit(_band(1_000), NOW + 1)
    assert held.settings.limits.margin_ppm == 2_000_000
    assert [tuple(w.key) for w in held.waiting] == [MARGIN]


def test_a_restart_is_no_way_around(guard):
    guard.admit(_band(2_000), NOW)
    again = Cooldown(guard.path)
    assert _in_force(again.admit(_band(2_000), NOW + WAIT_NS - 1)) == 1_000
    due = Cooldown(guard.path).admit(_band(2_000), NOW + WAIT_NS)
    assert _in_force(due) == 2_000
    assert due.came_due == ("limits.px_band_ppm",)
    assert due.waiting == ()


def test_asking_for_less_keeps_the_place_and_asking_for_more_begins_a_new_day(guard):
    guard.admit(_band(3_000), NOW)
    less = guard.admit(_band(2_000), NOW + 10)
    assert [(w.value, w.due_ns) for w in less.waiting] == [(2_000, NOW + WAIT_NS)]
    more = guard.admit(_band(4_000), NOW + 20)
    assert [(w.value, w.due_ns) for w in more.waiting] == [(4_000, NOW + 20 + WAIT_NS)]


def test_a_wish_that_is_taken_back_is_forgotten(guard):
    guard.admit(_band(2_000), NOW)
    assert guard.admit(_band(1_000), NOW + 1).waiting == ()
    assert _in_force(guard.admit(_band(2_000), NOW + WAIT_NS)) == 1_000


def test_a_clock_set_back_makes_the_wait_longer_and_not_shorter(guard):
    guard.admit(_band(1_000), NOW + 1_000)
    guard.admit(_band(2_000), NOW - 10**15)
    (waiting,) = guard.waiting()
    assert waiting.due_ns == NOW + 1_000 + WAIT_NS


def test_taking_an_entry_out_and_putting_it_back_looser_is_no_way_around(tmp_path):
    cooldown = Cooldown(tmp_path / "settings.json")
    strict = keys.with_values(Settings(), {("breakers",): {"feed": {"cooldown_ms": 9_000}}})
    loose = keys.with_values(Settings(), {("breakers",): {"feed": {"cooldown_ms": 1}}})
    cooldown.admit(strict, NOW)
    cooldown.admit(Settings(), NOW + 1)
    assert cooldown.admit(loose, NOW + 2).settings.breakers == {"feed": Breaker(cooldown_ms=9_000)}


def test_the_changes_are_told_against_what_runs(guard):
    running = _band(1_000)
    admission = guard.admit(_band(500, book_age_ns=1_000), NOW, running)
    assert {str(change) for change in admission.changes} == {
        "limits.px_band_ppm: 1000 -> 500 (tighten)",
        "limits.book_age_ns: 500_000_000 -> 1000 (tighten)",
    }
    # What waits is no change: it is not in force.
    assert guard.admit(_band(900, book_age_ns=1_000), NOW, admission.settings).changes == ()


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 2, "seen_ns": 0, "in_force": [], "waiting": []}', b"[]"])
def test_a_file_that_cannot_be_read_lets_nothing_start(guard, content):
    guard.path.write_bytes(content)
    with pytest.raises(CooldownBadFile):
        guard.admit(Settings(), NOW)


def test_a_folder_that_cannot_be_written_lets_nothing_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CooldownBadFile):
        Cooldown(tmp_path / "file" / "settings.json").admit(Settings(), NOW)


def test_the_file_is_for_its_owner_alone_and_readable_by_people(guard):
    assert guard.path.stat().st_mode & 0o777 == 0o600
    assert json.loads(guard.path.read_text())["version"] == 1


class AnyOrder(RuleBasedStateMachine):
    """Whatever is wished for, restarted and waited: a value in force is never looser before its day."""

    @initialize()
    def start(self):
        import tempfile  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        # In memory where there is such a folder: every wish is synced to what holds it.
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.path = Path(self.folder.name) / "settings.json"
        self.now = NOW
        self.wished = [(NOW, 1_000)]
        self.force = Cooldown(self.path).admit(_band(1_000), NOW).settings.limits.px_band_ppm

    @rule(value=st.integers(1, 5).map(lambda n: n * 500), hours=st.integers(0, 30))
    def wish(self, value, hours):
        self.now += hours * 3600 * 10**9
        before = self.force
        self.force = Cooldown(self.path).admit(_band(value), self.now).settings.limits.px_band_ppm
        self.wished.append((self.now, value))
        assert self.force == value if value <= before else self.force in (before, value)
        if self.force > before:
            # In force and looser: then each wish of the whole last day was looser than what stood.
            since = [v for at, v in self.wished if at > self.now - WAIT_NS]
            assert all(v > before for v in since)

    @invariant()
    def never_looser_than_the_loosest_wish(self):
        assert self.force <= max(v for _, v in self.wished)

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = hypothesis_settings(max_examples=30, stateful_step_count=15, deadline=None)
