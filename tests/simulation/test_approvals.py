"""The desk of a person's word, moved by hand: its time, what it lets happen, and what it never holds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine._core.modes import Mode
from engine.errors import (
    ApprovalBadSignature,
    ApprovalNoKey,
    ApprovalUnknown,
    ApprovalWanted,
    LatchTripped,
    ModeNotReady,
)
from engine.observe.commands import Peer
from engine.safety.approval import Request, new_pair, sign
from engine.safety.audit import Kind as About
from engine.safety.audit import Report, read
from tests.support.hand import Hand

PEER = Peer(1, 1000, 1000)
MINE = """
[limits]
approval_over = "100"
[approval]
timeout_s = 2
key = "{key}"
[modes]
cooldown_ns = {cooldown}
[strategies.quoter_eth]
enabled = false
[strategies.breakout_sol]
enabled = false
"""
PEM, PUBLIC = new_pair()


class Desk(Hand):
    """A session with one quoter whose every entry waits for a word of two seconds."""

    def __init__(self, folder: Path, *, key: str = PUBLIC, cooldown: int = 0, **environ: str) -> None:
        (folder / "mine.toml").write_text(MINE.format(key=key, cooldown=cooldown))
        super().__init__(folder / "state", folder / "mine.toml", **environ)
        self.folder = folder / "state"

    def turn(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.run()
            self.session.approvals.turn(self.session.engine.now_ns)

    def until(self, side: str) -> Request:
        for _ in range(100):
            found = [one for one in self.control.approvals() if one.side == side]
            if found:
                return found[0]
            self.turn(0.1)
        pytest.fail(f"nobody was asked about a {side}")

    def give(self, request: Request) -> str:
        return self.control.approve(PEER, request.number, sign(PEM, request))

    @property
    def intents(self) -> int:
        return int(self.session.engine.core.world.counts["intents"])

    @property
    def mode(self) -> Mode:
        return Mode(int(self.session.engine.core.world.modes["mode"]))

    def said(self) -> list[str]:
        self.close()
        found = [record.entry for record in read(self.folder / "audit", None, Report())]
        return [entry.action for entry in found if entry.kind is About.APPROVAL]


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.close()


def test_silence_is_a_no_and_is_asked_anew(desk):
    first = desk.until("buy")
    desk.turn(2.2)
    assert desk.intents == 0
    with pytest.raises(ApprovalUnknown):
        desk.give(first)
    second = desk.until("buy")
    assert second.number > first.number
    # Yesterday's signature does not fit today's request.
    with pytest.raises(ApprovalBadSignature):
        desk.control.approve(PEER, second.number, sign(PEM, first))
    assert desk.intents == 0
    assert "expired" in desk.said()


def test_a_word_is_used_by_one_order_and_the_next_one_is_asked_about(desk):
    desk.give(desk.until("buy"))
    desk.turn(1)
    world = desk.session.engine.core.world
    assert desk.intents >= 1
    assert int(world.strategies()["approvals_used"][0]) == 1
    assert {"approved", "used"} <= set(desk.said())


def test_a_word_that_nobody_uses_lapses(desk):
    request = desk.until("buy")
    desk.control.pause(PEER)
    desk.give(request)
    desk.turn(2.5)
    assert desk.intents == 0
    assert "lapsed" in desk.said()
    assert not desk.session.approvals._given


def test_after_a_no_nobody_is_asked_again_before_the_time_is_over(desk):
    request = desk.until("buy")
    assert "denied" in desk.control.deny(PEER, request.number)
    desk.turn(1)
    assert not [one for one in desk.control.approvals() if one.side == "buy"]
    assert desk.until("buy").number > request.number


def test_nobody_is_asked_twice_about_the_same(desk):
    desk.until("buy")
    desk.until("sell")
    desk.turn(0.5)
    assert len(desk.control.approvals()) == 2


def test_without_an_operators_key_nobody_can_approve(tmp_path):
    desk = Desk(tmp_path)
    try:
        desk.session.approvals._public = ""
        request = desk.until("buy")
        with pytest.raises(ApprovalNoKey):
            desk.give(request)
        desk.turn(0.5)
        assert desk.intents == 0
    finally:
        desk.close()


def test_a_word_of_one_session_is_none_in_the_next(tmp_path):
    first = Desk(tmp_path)
    before = first.until("buy")
    first.close()
    second = Desk(tmp_path)
    try:
        again = second.until("buy")
        assert again.session != before.session
        with pytest.raises(ApprovalBadSignature):
            second.control.approve(PEER, again.number, sign(PEM, before))
        second.turn(0.5)
        assert second.intents == 0
    finally:
        second.close()


# -------------------------------------------------------------------------------------------------- the way to Normal
def test_after_an_emergency_normal_waits_for_a_word_and_a_pause_alone_does_not(tmp_path):
    desk = Desk(tmp_path)
    try:
        desk.control.pause(PEER)
        desk.control.resume(PEER)
        assert desk.mode == Mode.MODE_NORMAL
        # Nobody is asked on the way in.
        desk.control.liquidate(PEER, False)
        assert desk.mode == Mode.MODE_EMERGENCY
        desk.turn(0.5)
        # Nobody signs what cannot be: from here it leads to Paused only.
        with pytest.raises(ModeNotReady, match="Emergency leads to Paused, by `bot4 pause`"):
            desk.control.resume(PEER)
        assert [one for one in desk.control.approvals() if one.what == "resume"] == []
        desk.control.pause(PEER)
        with pytest.raises(ApprovalWanted, match="bot4 approve"):
            desk.control.resume(PEER)
        (request,) = [one for one in desk.control.approvals() if one.what == "resume"]
        with pytest.raises(ApprovalBadSignature):
            desk.control.approve(PEER, request.number, sign(new_pair()[0], request))
        assert desk.mode == Mode.MODE_PAUSED
        assert desk.give(request) == "The mode is Normal."
        assert desk.mode == Mode.MODE_NORMAL
        # The word was for one way back.
        desk.control.pause(PEER)
        assert desk.control.resume(PEER)
    finally:
        desk.close()


def test_a_word_for_normal_does_not_lift_what_forbids_it_and_may_be_given_again_in_time(tmp_path):
    desk = Desk(tmp_path, cooldown=10**9)
    try:
        desk.control.liquidate(PEER, False)
        desk.turn(0.2)
        desk.control.pause(PEER)
        with pytest.raises(ApprovalWanted):
            desk.control.resume(PEER)
        (request,) = [one for one in desk.control.approvals() if one.what == "resume"]
        with pytest.raises(ModeNotReady, match="the cooldown has 1 s left"):
            desk.give(request)
        desk.turn(1.2)
        desk.give(request)
        assert desk.mode == Mode.MODE_NORMAL
    finally:
        desk.close()


def test_a_liquidation_is_remembered_over_a_restart(tmp_path):
    for _ in range(2):
        desk = Desk(tmp_path)
        try:
            if desk.mode == Mode.MODE_NORMAL:
                desk.control.liquidate(PEER, False)
                desk.turn(0.2)
                continue
            assert desk.mode == Mode.MODE_PAUSED, "nobody took the emergency back"
            with pytest.raises(ApprovalWanted):
                desk.control.resume(PEER)
            (request,) = [one for one in desk.control.approvals() if one.what == "resume"]
            assert desk.give(request) == "The mode is Normal."
        finally:
            desk.close()
    desk = Desk(tmp_path)
    try:
        assert desk.mode == Mode.MODE_NORMAL
    finally:
        desk.close()


def test_a_liquidation_whose_mark_the_disk_refuses_still_liquidates_and_is_remembered_here(tmp_path):
    desk = Desk(tmp_path)
    try:
        (desk.folder / "paused").mkdir()
        desk.control.liquidate(PEER, False)
        assert desk.mode == Mode.MODE_EMERGENCY
        desk.turn(0.2)
        desk.control.pause(PEER)
        with pytest.raises(ApprovalWanted):
            desk.control.resume(PEER)
    finally:
        desk.close()


def test_a_halt_is_never_held_up_and_a_tripped_latch_is_not_put_aside_by_a_word(desk):
    desk.control.liquidate(PEER, False)
    desk.turn(0.2)
    desk.control.pause(PEER)
    with pytest.raises(ApprovalWanted):
        desk.control.resume(PEER)
    (request,) = [one for one in desk.control.approvals() if one.what == "resume"]
    desk.control.halt(PEER, "at once")
    assert desk.session.latch.tripped
    with pytest.raises(LatchTripped):
        desk.give(request)
    with pytest.raises(LatchTripped):
        desk.control.resume(PEER)
