"""What a live driver hears on the account's connections, and what it does about it.

An answer has its order's fate, which the sender reads, and words beside: limits, bans, a clock that is off, a key that
is refused. A user stream has reports, and notes: an end, a shutdown, a payment, settings that changed.

Owns: the venue's newest word on each asset until it is passed on. Does not own: the connections (`lines.py`), what
messages mean (`engine/venues`), the door into the core (`live.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine._core.types import BALANCE, Feed, Kind
from engine.net.transport import Connection
from engine.venues.binance.api import Answer
from engine.venues.binance.user import NoteKind
from engine.venues.outcome import Act

if TYPE_CHECKING:
    from engine.runtime.live import LiveExchange

Events = npt.NDArray[Any]
MS = 1_000_000
# USD-M says what an account holds ahead of the reports that changed it: its word is passed on when they are through.
BALANCE_NS = 250 * MS


class Hearing:
    def __init__(self, live: LiveExchange) -> None:
        self.live = live
        self._words: dict[int, tuple[int, Events]] = {}  # the venue's newest word on an asset, and when it came

    def on_orders(self, connection: Connection, payload: memoryview | bytes, ts_recv_ns: int) -> None:
        live = self.live
        answer = live.sender.on_frame(payload, ts_recv_ns)
        if len(answer.events):
            live.tell(answer.events)
        if not answer.from_user_stream:
            self._judge(connection, answer, ts_recv_ns)
        if live.user.notes:
            self._read_notes(connection, ts_recv_ns)
        if live.user.needs_tally or live.api.needs_tally:
            live.user.needs_tally = live.api.needs_tally = False
            live.care.at_once("tally", ts_recv_ns)

    def _judge(self, connection: Connection, answer: Answer, now: int) -> None:
        """What an answer says besides its order's fate."""
        live = self.live
        if answer.request_id == "logon" and answer.meaning.act is Act.NONE:
            live.lines.logged_on(connection, now)
        elif answer.request_id == "user" and answer.meaning.act is Act.NONE:
            live.lines.subscribed(connection, now)
        venue_ns = live.clock.venue_now_ns(now)
        for kind, interval_ns, count in answer.counts:
            live.budget.told(kind, interval_ns, count, venue_ns)
        act = answer.meaning.act
        if act is Act.NONE:
            return
        live.note("answer", f"{answer.request_id} {answer.meaning.name}: {answer.text}")
        wait = None if answer.retry_until_ms is None else max(0, answer.retry_until_ms * MS - venue_ns)
        if act is Act.SLOW:
            live.budget.too_many(venue_ns, wait)
        elif act is Act.SLOW_ORDERS:
            live.budget.too_many_orders(venue_ns, wait)
        elif act is Act.BAN:
            until_ms = answer.banned_until_ms
            live.budget.banned(venue_ns, None if until_ms is None else until_ms * MS)
        elif act is Act.CLOCK:
            live.clock.clear()
            live.care.at_once("clock", now)
        elif act is Act.KEY:
            live.gate.orders(up=False, reason=f"the venue refuses the key: {answer.text}")
        elif act in (Act.FIX, Act.HALT):
            live.care.at_once("instruments", now)
        live.care.judge(now)
        live.show_gate(now)
        live.flush()
        if answer.request_id in ("logon", "user"):
            # Without it this connection carries nothing: a new one tries again after its pause.
            connection.close()

    def on_user(self, connection: Connection, payload: memoryview | bytes, ts_recv_ns: int) -> None:
        """A frame of the user stream where it has a connection of its own."""
        live = self.live
        events = live.user.on_frame(payload, ts_recv_ns)
        if len(events):
            words = events["kind"] == Kind.KIND_BALANCE
            for at in np.flatnonzero(words):
                self._words[int(events[at : at + 1].view(BALANCE)["asset"][0])] = ts_recv_ns, events[at : at + 1]
            live.tell(events[~words] if words.any() else events)
        if live.user.notes:
            self._read_notes(connection, ts_recv_ns)
        if live.user.needs_tally:
            live.user.needs_tally = False
            live.care.at_once("tally", ts_recv_ns)

    def pass_words(self, now: int) -> None:
        live = self.live
        for asset, (ts_ns, event) in list(self._words.items()):
            if now - ts_ns >= BALANCE_NS:
                del self._words[asset]
                live.tell(event)

    def _read_notes(self, connection: Connection, now: int) -> None:
        live = self.live
        for note in live.user.take_notes():
            live.note("user", note.kind.name.lower())
            if note.kind is NoteKind.STREAM_ENDED:
                live.lines.user_ended(connection, now)
            elif note.kind is NoteKind.SHUTDOWN:
                live.lines.roll_over()
            elif note.kind is NoteKind.FUNDING:
                live.care.at_once("funding", now)
            elif note.kind in (NoteKind.SETTINGS, NoteKind.HEDGE_MODE):
                live.care.at_once("settings", now)

    def reached(self, now: int) -> None:
        """Orders may be sent and their fates are heard; nothing new leaves before both sides were compared."""
        live = self.live
        live.gate.orders(up=True)
        live.gate.user_stream(up=True)
        live.tell_feed(Feed.FEED_ORDERS, up=1, now=now)
        live.tell_feed(Feed.FEED_USER, up=1, now=now)
        live.flush()
        live.care.reconcile()

    def lost(self, reason: str, now: int, *, orders: bool) -> None:
        """The user stream is gone; `orders`: and with it every connection that carried orders."""
        live = self.live
        reds = live.gate.why()
        if orders and "orders" not in reds:
            live.gate.orders(up=False, reason=reason)
            live.tell_feed(Feed.FEED_ORDERS, up=0, now=now)
        if "user_stream" not in reds:
            live.note("account", reason)
            live.gate.user_stream(up=False, reason=reason)
            live.told_open = False
            live.tell_feed(Feed.FEED_USER, up=0, now=now)
        live.queue_records()
        if orders:
            live.tell(live.sender.gone(now))
        live.flush()
