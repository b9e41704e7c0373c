"""A real process, really killed: -9 at every boundary of a journal write and at instants that nobody chose.

The parent is the market and the venue, and survives. A forked child is the engine: real core, real journal with its
threads, its intents on a socket. Then the parent recovers the journal against the venue's truth.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
from contextlib import suppress

import numpy as np
import pytest

from engine._core.order_table import OrderState
from engine._core.types import EVENT, Flag, Kind
from engine.journal.compare import epoch_of, glance, live_orders
from engine.journal.layout import find_session
from engine.journal.reader import open_session
from engine.journal.recovery import recover, verify
from engine.journal.writer import JournalConfig, JournalWriter
from engine.sim.world.certify import scratch
from engine.sim.world.venue import Venue
from engine.sim.world.wire import CANCEL, FILL, PLACE, RECORD, intents, record
from tests.support import world

KILLS = 1000 if os.environ.get("BOT4_NIGHTLY") else 50
BOUNDARIES = 5
END = bytes(64)
START = 1_700_000_000 * 10**9
STEP = 10**9


def _journal(root, core, **more):
    config = JournalConfig(segment_bytes=5 * 4096, disk_free_bytes=0, group_ms=0.5, disk_cap_bytes=1 << 40)
    clock = iter(range(START, START + 10**6))
    return JournalWriter(root, config, seed=1, now_ns=lambda: next(clock), world=core.world, **more)


def _live(root, wire, die_at):
    """The child. Boundaries are counted; at number `die_at` it kills itself, without a word."""
    core, passed = world.core(), 0
    journal = _journal(root, core, epoch=epoch_of(core.world))
    journal.start()

    def boundary():
        nonlocal passed
        if passed == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    while data := _read(wire):
        event = np.frombuffer(data, EVENT)
        boundary()
        journal.tape.append(event)
        boundary()
        _, outputs = core.step(event)
        boundary()
        journal.tape.append(outputs)
        boundary()
        for row in outputs:
            wire.sendall(row.tobytes())
        boundary()
        wire.sendall(END)


def _read(wire):
    data = b""
    while len(data) < 64:
        part = wire.recv(64 - len(data))
        if not part:
            return b""
        data += part
    return data


class Market:
    """The parent's side: quotes, the venue, and whatever the child sends."""

    def __init__(self, wire, seed):
        self.wire, self.now_ns = wire, START
        self.waiting = []
        self.venue = Venue(seed, self._report)
        self.chances = random.Random(seed)
        self.bid, self.quoted = 50_000, 0
        self.placed = []

    def _report(self, kind, order, now_ns, *, px_ticks, qty_lots=0, id_venue=0):
        words = (order.id_order, px_ticks, qty_lots, order.filled_lots, id_venue)
        flags = int(Flag.FLAG_SELL) if order.sell else 0
        self.waiting.append(record(int(kind), *words, now_ns=now_ns, flags=flags, ts_venue_ns=now_ns))

    def next_event(self):
        self.now_ns += STEP
        if self.waiting:
            return self.waiting.pop(0)
        self.bid += self.chances.choice([-2, -1, 0, 1, 2])
        bid_lots, ask_lots = self.venue.move(self.bid, self.bid + 1, self.now_ns)
        self.quoted += 1
        return record(int(Kind.KIND_QUOTE), self.bid, bid_lots, self.bid + 1, ask_lots, self.quoted,
                      now_ns=self.now_ns, flags=3, ts_venue_ns=self.now_ns)  # fmt: skip

    def take(self, data):
        """One intent reaches the venue."""
        for kind, _, ask in intents(data):
            if kind == PLACE:
                self.placed.append(ask.id_order)
                self.venue.place(ask, sent_ns=self.now_ns, now_ns=self.now_ns)
            elif kind == CANCEL:
                self.venue.take_away(ask.id_order, self.now_ns)

    def drive(self, events, at_random=None, pid=0):
        """Until the child is gone. What it sent before it died has arrived."""
        for number in range(events):
            with suppress(BrokenPipeError, ConnectionResetError):
                self.wire.sendall(self.next_event().tobytes())
            if number == at_random:
                os.kill(pid, signal.SIGKILL)
            while (data := self._hear()) != END:
                if not data:
                    return
                self.take(data)

    def _hear(self):
        try:
            return _read(self.wire)
        except ConnectionResetError:
            return b""


def kill_once(root, *, seed, die_at=-1, at_random=None):
    """One life and its end; returns the market that saw it."""
    world.core()  # built before the fork
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            ours.close()
            _live(root, theirs, die_at)
        finally:
            os._exit(3)
    theirs.close()
    market = Market(ours, seed)
    market.drive(100, at_random, pid)
    ours.close()
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return market


def hold(root, market):
    """Recover, and compare with what the venue knows."""
    core, venue = world.core(), market.venue
    if not (root / "s-000001" / "session.json").is_file():
        assert not market.placed  # it died before the journal had begun, and nothing was sent
        return
    recorded = open_session(find_session(root)).must_be_sound().records()
    sent = set(market.placed)
    on_tape = {int(x) for x in recorded["word"][recorded["kind"] == PLACE, 0]}
    assert sent <= on_tape
    assert len(sent) == len(market.placed)
    assert not venue.reused

    now = market.now_ns + 60 * 10**9
    rounds = 0
    while (found := recover(root, core, venue, now_ns=now)).plan.events or not rounds:
        # Once for what was lost, once for the cancels that the recovered core asked for; then there is nothing to say.
        rounds += 1
        assert rounds <= 2
        with _journal(root, core, epoch=found.next_epoch, previous=found.session, previous_count=found.records,
                      meta=found.meta()) as journal:  # fmt: skip
            found.begin(journal.tape)
            assert verify(found, venue) == []
            assert found.green
        assert glance(core.world, 0)[0] == venue.lots
        here = {int(o["id_order"]): int(o["filled_lots"]) for o in live_orders(core.world) if not o["trigger"]}
        assert here == {o.id_order: o.filled_lots for o in venue.open_orders()}
        core.world.check()
        asked = {int(o["id_order"]) for o in core.world.live_orders() if o["state"] == OrderState.STATE_PENDING_CANCEL}
        for order in venue.open_orders():
            if order.id_order in asked:
                venue.cancel(order)
    assert found.next_epoch == rounds + 2
    assert glance(core.world, 0)[0] == venue.lots


def test_killed_at_every_boundary_of_a_journal_write_nothing_is_lost_or_sent_twice():
    for number in range(KILLS):
        # Every boundary of every event of a stretch that trades; spread over the stretch when there are fewer kills.
        die_at = number if KILLS >= 500 else number * 499 // KILLS + number % BOUNDARIES
        with scratch() as root:
            market = kill_once(root, seed=number % 7, die_at=min(die_at, 494))
            hold(root, market)


def test_killed_at_instants_that_nobody_chose(tmp_path):
    draw = random.Random(3)
    for number in range(KILLS // 2):
        with scratch() as root:
            market = kill_once(root, seed=number, at_random=draw.randrange(95))
            hold(root, market)


def test_the_stretch_trades():
    with scratch() as root:
        market = kill_once(root, seed=2, at_random=99)
        hold(root, market)
        assert len(market.placed) > 5
        assert market.venue.trades


def test_a_process_that_sends_before_it_records_is_found_by_the_same_test(monkeypatch):
    """The check itself can fail: take the order of tape and wire away, and a kill between them shows it."""
    market = Market(None, 1)
    market.placed = [1 << 40 | 999]
    with scratch() as root:
        core = world.core()
        with _journal(root, core, epoch=1) as journal:
            journal.tape.append(market.next_event())
        with pytest.raises(AssertionError):
            hold(root, market)


def test_a_struct_of_a_record_is_its_64_bytes():
    assert struct.calcsize("<BBHIqqqqqqq") == RECORD.size == EVENT.itemsize == 64
    assert FILL == 65
