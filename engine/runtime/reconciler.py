"""Holds a running session's books against the venue's: on a timer, and whenever the venue's reports were away.

The exchange gives the look, books.py compares, breaks.py says what a difference means; here is when, and who is told:
the core by events (an incident each, and the halt of what is blocked), so that the record and every replay have it; the
audit; the picture. A break older than its grace trips: nobody knows then what the account holds.

Blocking takes new orders away from a symbol, or from all, as `[reconcile]` says for each check; what heals is given
back by itself. What the world brought along from an earlier session counts as blocked until a look says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.types import FEED, Feed, Kind
from engine.journal.books import Books, Key, Row
from engine.journal.breaks import HALT_BOOKS, Break, Tolerances, Verdict, Watch, break_events
from engine.journal.port import VenueView
from engine.observe.status import BooksStatus
from engine.runtime.build import symbols_of
from engine.runtime.engine import Engine
from engine.safety.audit import Entry
from engine.safety.audit import Kind as About
from engine.settings.reconcile import Reconcile
from engine.settings.schema import Settings

MS, SECOND = 10**6, 10**9
LATE_TURNS = 3  # looks that did not come before the picture says so
Trip = Callable[[str, str], object]


def tolerances_of(settings: Reconcile) -> Tolerances:
    return Tolerances(
        cash=settings.cash, position_lots=settings.position_lots, price_ppm=settings.price_ppm,
        grace_ns=settings.grace_s * SECOND, inflight_ns=settings.young_ms * MS, halt=settings.actions(),
        foreign=settings.foreign,
    )  # fmt: skip


def rows_of(settings: Settings) -> dict[int, Row]:
    """Each symbol as the ledger has it: the account's asset first, then each base in the order of the settings."""
    return {
        at: Row(row.market == "linear", row.tick * row.lot // 10**8, row.lot, 0, 1 + at)
        for at, row in enumerate(settings.instruments.values())
    }


class Reconciler:
    def __init__(
        self, engine: Engine, settings: Settings, *, next_trade: Mapping[int, int], known: Iterable[Key],
        record: Callable[[Entry], object], note: Callable[..., None], trip: Trip,
    ) -> None:  # fmt: skip
        chosen = settings.reconcile
        self._engine, self._record, self._note, self._trip = engine, record, note, trip
        self._every_ns, self._young_ns = chosen.interval_s * SECOND, chosen.young_ms * MS
        self._names = {at: name for name, at in symbols_of(settings).items()}
        self.books = Books(
            engine.core.world, rows_of(settings), tolerances=tolerances_of(chosen), young_ns=self._young_ns,
            next_trade=next_trade, known=known,
        )  # fmt: skip
        self.watch = Watch(self.books.tolerances)
        self.breaks: list[Break] = []
        self.look_count = 0
        self._why = "the start"
        self._asked = False
        self._up: dict[int, int] = {}  # by venue: 0 no user stream, 1 heard, 2 and the gate is open
        self._view: VenueView | None = None
        self._begun_ns = engine.now_ns
        self._due_ns = 0
        self._looked_ns = 0
        self._halted = False
        engine.watch(self._inputs, lambda _outputs: None)

    def _inputs(self, events: npt.NDArray[Any]) -> None:
        self.books.heard(self._engine.core.world, events)
        feeds = events[events["kind"] == int(Kind.KIND_FEED)].view(FEED)
        for feed in feeds[feeds["feed"] == int(Feed.FEED_USER)]:
            venue, up = int(feed["venue"]), int(feed["up"])
            before, self._up[venue] = self._up.get(venue, 0), up
            if up > before:
                # Reports were missed while the stream was away; nothing was traded while the gate was closed.
                self._why, self._due_ns = "the user stream is back" if before == 0 else "the gate is open again", 0

    def turn(self, now_ns: int) -> None:
        """Between two turns of the engine, on its time."""
        if self._view is not None:
            view, self._view = self._view, None
            self._asked = False
            self._judge(view, now_ns)
        elif now_ns >= self._due_ns and (not self._asked or now_ns >= self._due_ns + self._every_ns):
            # Asked again where an answer never came: the exchange itself keeps one look under way at a time.
            self._asked, self._due_ns = True, now_ns + self._every_ns
            self._engine.exchange.look(self.books.next_trade, self._taken)

    def _taken(self, view: VenueView) -> None:
        self._view = view

    def _judge(self, view: VenueView, now_ns: int) -> None:
        world = self._engine.core.world
        met = self.books.met_count
        self.breaks = self.books.judge(world, view, now_ns)
        self.look_count += 1
        self._looked_ns = now_ns
        verdict = self.watch.judge(self.breaks, now_ns=now_ns)
        halted = np.flatnonzero(world.symbols()["halted_by"] & HALT_BOOKS).tolist()
        events = break_events(verdict, halted, symbols=len(self._names), now_ns=now_ns)
        if len(events):
            self._engine.take(events)
        if self.books.doubtful:
            self._due_ns = min(self._due_ns, now_ns + self._young_ns)
        self._tell(verdict, now_ns, self.books.met_count - met)

    def _tell(self, verdict: Verdict, now_ns: int, met: int) -> None:
        settled = self._engine.exchange.settled()
        if self._why or settled or verdict.incidents or verdict.healed:
            table = [[row.what, row.believed, row.venue, row.action] for row in settled]
            table += [[*self._words(b), self._action(b)] for b in self.breaks]
            why, self._why = self._why or ("settled" if settled else "a break"), ""
            self._say(
                "compared", why, f"{met} trades met, {len(self.breaks)} breaks", rows=table, breaks=len(self.breaks)
            )
        for b in verdict.incidents:
            text = b.text(self._names)
            self._note("books", now_ns, text, symbol=self._names.get(b.symbol, ""), severity="error")
            self._say("break", b.what, text, believed=b.believed, venue=b.venue)
        for what, symbol, _ in verdict.healed:
            where = self._names.get(symbol, "all")
            self._note("books", now_ns, f"{what} of {where} agrees again", severity="warning")
            self._say("healed", what, where)
        if verdict.halted and not self._halted:
            self._halted = True
            oldest = min(self.breaks, key=lambda b: self.watch.since(b.key) or now_ns)
            self._say("halted", oldest.what, oldest.text(self._names))
            # Two sources of what the account holds do not agree, and the time for late confirmations is over.
            self._trip("equity-disagreement", f"books: {oldest.text(self._names)}")

    def _words(self, b: Break) -> tuple[str, str, str]:
        where = self._names.get(b.symbol, "account")
        return f"{b.what} of {where}" + (f": {b.detail}" if b.detail else ""), f"{b.believed:,}", f"{b.venue:,}"

    def _action(self, b: Break) -> str:
        stops = {"symbol": "no new orders of its symbol", "all": "no new orders", "report": "reported"}
        return stops[self.books.tolerances.halt[b.what]]

    def _say(self, action: str, trigger: str, text: str, **data: Any) -> None:
        self._record(
            Entry(
                About.BOOKS,
                action,
                trigger=trigger,
                rule="journal/recovery",
                affected="account",
                explanation=text,
                data=data,
            )
        )

    # ------------------------------------------------------------------------------------------------- what is shown
    def status(self, now_ns: int) -> BooksStatus:
        late = now_ns - max(self._looked_ns, self._begun_ns) > LATE_TURNS * self._every_ns + 60 * SECOND
        halted = np.flatnonzero(self._engine.core.world.symbols()["halted_by"] & HALT_BOOKS)
        return BooksStatus(
            looks=self.look_count,
            compared_ns=self._looked_ns or None,
            trades=self.books.met_count,
            breaks=tuple(b.text(self._names) for b in self.breaks),
            blocked=tuple(self._names[int(symbol)] for symbol in halted),
            late=late,
        )
