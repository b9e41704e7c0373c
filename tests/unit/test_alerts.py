"""The alert engine: grouping, suppression, quiet hours, escalation, resolution. Time is handed in."""

from __future__ import annotations

import msgspec

from engine.observe import status as s
from engine.observe.alerts import RULES, SECOND, AlertEngine, Rule, latency_rule
from engine.settings.schema import Alerts

MIDNIGHT = 1_700_006_400 * SECOND - (1_700_006_400 % 86_400) * SECOND
GOOD = s.Status(
    name="t", ts_ns=0, mode="Normal", account=s.AccountStatus(asset="USDT"),
    journal=s.JournalStatus(enabled=True, healthy=True),
    feeds=(s.FeedStatus(name="a", connected=True), s.FeedStatus(name="b", connected=True)),
    symbols=(s.SymbolStatus(name="X", trusted=True),), breakers=(s.BreakerStatus(name="v", state="closed"),),
)  # fmt: skip
HALTED = msgspec.structs.replace(GOOD, latch=s.LatchStatus(tripped=True, reasons=("switch",)))
LOST = msgspec.structs.replace(GOOD, feeds=(s.FeedStatus(name="a"), s.FeedStatus(name="b", connected=True)))
ALL_LOST = msgspec.structs.replace(
    GOOD,
    feeds=(s.FeedStatus(name="a"), s.FeedStatus(name="b")),
    symbols=(s.SymbolStatus(name="X"),),
    breakers=(s.BreakerStatus(name="v", state="open"),),
)


def _engine(rules=RULES, **kw):
    return AlertEngine(msgspec.structs.replace(Alerts(), **kw), rules, engine="t")


def test_a_good_picture_says_nothing_and_a_trip_is_told_at_once_and_once():
    engine = _engine()
    assert engine.step(GOOD, 0) == []
    (message,) = engine.step(HALTED, 1)
    assert (message.kind, message.severity, message.title) == ("alert", "P0", "[P0] t: halted: switch")
    assert engine.step(HALTED, 2) == []
    (resolved,) = engine.step(GOOD, 3)
    assert (resolved.kind, resolved.group) == ("resolved", "halt")


def test_a_rule_with_a_time_must_hold_all_of_it():
    engine = _engine()
    assert engine.step(LOST, 0) == []
    assert engine.step(GOOD, SECOND) == []
    assert engine.step(LOST, 2 * SECOND) == []
    assert engine.step(LOST, 4 * SECOND - 1) == []
    (message,) = engine.step(LOST, 4 * SECOND)
    assert message.findings[0].subject == "a"


def test_what_follows_from_a_known_cause_is_named_with_it_and_not_told_by_itself():
    engine = _engine()
    # The feeds were lost first; breaker and book follow in the same picture or later.
    told = [message for t in range(20) for message in engine.step(ALL_LOST, t * SECOND)]
    # The breaker opened before the feed's two seconds were over; what came afterwards is named with the feed alone.
    assert [(m.findings[0].rule, len(m.findings)) for m in told] == [("breaker-open", 1), ("feed-lost", 2)]
    assert "book-untrusted" not in {f.rule for m in told for f in m.findings}
    assert any(f.rule == "book-untrusted" for f in engine.open)


def test_a_follower_is_told_when_its_cause_is_over_and_it_is_not():
    engine = _engine(group_s=0)
    for t in range(4):
        engine.step(ALL_LOST, t * SECOND)
    mended = msgspec.structs.replace(ALL_LOST, feeds=GOOD.feeds)
    messages = engine.step(mended, 10 * SECOND)
    assert {(m.kind, f.rule) for m in messages for f in m.findings} >= {("resolved", "feed-lost")}
    assert any(f.rule == "book-untrusted" for f in engine.open)


def test_one_group_is_one_message_in_five_minutes_and_a_p0_does_not_wait():
    many = Rule("many", "P2", lambda st: ((f.name, f"{f.name} lost") for f in st.feeds if not f.connected), group="g")
    engine = _engine((many,))
    assert len(engine.step(LOST, 0)) == 1
    both = msgspec.structs.replace(LOST, feeds=(s.FeedStatus(name="a"), s.FeedStatus(name="b")))
    assert engine.step(both, SECOND) == []
    assert engine.step(both, 300 * SECOND - 1) == []
    (later,) = engine.step(both, 300 * SECOND)
    assert [f.subject for f in later.findings] == ["b"]
    urgent = Rule("urgent", "P0", lambda st: ((f.name, "x") for f in st.feeds if not f.connected), group="g")
    engine = _engine((urgent,))
    assert len(engine.step(LOST, 0)) == 1
    assert len(engine.step(both, 1)) == 1


def test_in_quiet_hours_only_what_wakes_people_is_told_and_the_rest_afterwards():
    small = Rule("small", "P2", lambda st: (("", "s") for _ in [0] if not st.feeds[0].connected))
    engine = _engine((small, *RULES[:1]), quiet_from="22:00", quiet_to="06:00", quiet_severity="P0")
    night = MIDNIGHT + 23 * 3600 * SECOND
    assert engine.step(LOST, night) == []
    worse = msgspec.structs.replace(LOST, latch=HALTED.latch)
    assert [m.severity for m in engine.step(worse, night + 1)] == ["P0"]
    assert engine.step(worse, MIDNIGHT + (24 + 5) * 3600 * SECOND + 59 * 60 * SECOND)[0].kind == "escalation"
    morning = engine.step(worse, MIDNIGHT + (24 + 6) * 3600 * SECOND)
    assert [(m.kind, m.findings[0].rule) for m in morning] == [("alert", "small")]


def test_nobody_acknowledging_escalates_once_after_ten_minutes_and_somebody_does_not():
    engine = _engine()
    engine.step(HALTED, 0)
    assert engine.step(HALTED, 600 * SECOND - 1) == []
    (message,) = engine.step(HALTED, 600 * SECOND)
    assert message.kind == "escalation"
    assert engine.step(HALTED, 2_000 * SECOND) == []
    engine = _engine()
    engine.step(HALTED, 0)
    assert engine.acknowledge("halt") == 1
    assert engine.step(HALTED, 600 * SECOND) == []


def test_small_things_are_not_escalated():
    engine = _engine((Rule("small", "P2", lambda st: iter([("", "s")])),))
    assert len(engine.step(GOOD, 0)) == 1
    assert engine.step(GOOD, 10_000 * SECOND) == []


def test_what_came_and_went_untold_is_not_resolved_aloud():
    slow = Rule("slow", "P2", lambda st: ((f.name, "x") for f in st.feeds if not f.connected), group="g")
    engine = _engine((slow,))
    engine.step(LOST, 0)
    both = msgspec.structs.replace(LOST, feeds=(s.FeedStatus(name="a"), s.FeedStatus(name="b")))
    engine.step(both, SECOND)
    assert engine.step(LOST, 2 * SECOND) == []


def test_a_circle_of_causes_hides_nothing_for_ever():
    one = Rule("one", "P1", lambda st: iter([("", "1")]), causes=("one",))
    engine = _engine((one,))
    assert [m.findings[0].rule for m in engine.step(GOOD, 0)] == ["one"]


def test_latency_above_its_bound_is_an_alert():
    slow = msgspec.structs.replace(GOOD, latency=(s.LatencyStatus(stage="tick_to_order", p99_ns=2_000),))
    engine = _engine((latency_rule(1_000),))
    assert "2 us, more than 1 us" in engine.step(slow, 0)[0].text
    assert _engine((latency_rule(2_000),)).step(slow, 0) == []


def test_every_shipped_rule_names_causes_and_groups_that_exist():
    names = {rule.name for rule in RULES}
    for rule in RULES:
        assert set(rule.causes) <= names
        assert rule.group
        assert list(rule.find(GOOD)) == []
