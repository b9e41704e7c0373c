"""A recorded session of the quoter on a generated market, of any length and with any snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import INTENT, Kind
from engine.journal.compare import feed
from engine.journal.reconcile import report
from engine.journal.writer import JournalWriter
from engine.sim.market import random_walk
from tests.support import world
from tests.support.journal import small_journal

MARKET = random_walk(seed=3, count=3000)
NOW = int(MARKET["ts_recv_ns"][-1])


def trade(
    root: Path, *, count: int = 3000, snapshots: tuple[int, ...] = (), close: bool = True, **settings: Any
) -> tuple[Core, JournalWriter]:
    """A session of the quoter on a generated market; its first orders are cancelled, the last ones never answered."""
    core = world.smallest()
    journal = small_journal(root, world=core.world, segment_bytes=1 << 20, **settings)
    at = answered = 0
    for stop in (*snapshots, count):
        while at < stop:
            at += feed(core, journal.tape, MARKET[at:stop])
            answered += _answer(core, journal.tape) if answered < 40 else 0
        journal.turn()
        if stop in snapshots:
            journal.snapshot(core.world)
    if close:
        journal.close()
    return core, journal


def _answer(core: Core, tape: Tape) -> int:
    """The venue takes each order, and ends it."""
    places = core.outputs()
    places = places[places["kind"] == Kind.KIND_INTENT_PLACE].view(INTENT)
    for place in places:
        for kind in (Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_CANCELED):
            sell = bool(place["flags"] & 4)
            now = int(place["ts_recv_ns"])
            feed(core, tape, report(kind, id_order=int(place["id_order"]), symbol=0, sell=sell, now_ns=now))
    return len(places)
