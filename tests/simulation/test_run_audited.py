"""What the audit says of a whole life of a session: every record answers every question that is asked of it later."""

from __future__ import annotations

import pytest

from engine.observe.commands import Peer
from engine.safety.audit import Kind, Report, read
from engine.safety.life import PHRASE, reset
from tests.support.hand import Hand

PEER = Peer(1, 0, 0)
MINE = '[safety]\naudit_orders = "each"\n[modes]\ncooldown_ns = 0\n'


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    (folder / "mine.toml").write_text(MINE)
    hand = Hand(folder / "state", folder / "mine.toml")
    try:
        for _ in range(40):
            hand.run(100)
        hand.control.pause(PEER)
        hand.control.resume(PEER)
        hand.control.tighten(PEER, "drawdown_ppm", 1_000)
        hand.control.liquidate(PEER, False)
        hand.run(500)
        hand.session.orders.close()
        hand.control.halt(PEER, "drill")
        hand.session.chain.guard.trip("command", "drill")
    finally:
        hand.close()
    key = (folder / "state" / "audit.key").read_bytes()
    reset(folder / "state", typed=PHRASE, key=key, switch_closed=str, switch="simulated", reason="a drill")
    return [*read(folder / "state" / "audit", None, Report())]


def test_every_record_says_who_what_why_and_of_what(records):
    for record in records:
        entry = record.entry
        told = (entry.action, entry.trigger, entry.rule, entry.affected, entry.actor, entry.explanation)
        assert all(told), f"{record.audit_id}: {told}"
        assert record.at_ns > 0


def test_each_switch_of_mode_is_a_record_whoever_asked_for_it(records):
    switches = [r.entry.explanation for r in records if r.entry.kind is Kind.MODE]
    assert switches[:3] == ["Normal to Paused", "Paused to Normal", "Normal to Emergency"]
    people = [r.entry for r in records if r.entry.kind is Kind.HUMAN]
    assert [entry.action for entry in people] == ["mode", "mode", "limit", "mode", "trip"]
    assert all(entry.human and entry.actor == str(PEER) for entry in people)
    assert records[-1].entry.kind is Kind.RESET
