"""The breakers of a running engine: what each component's calls came to, and whether orders may go its way.

Components: every venue in use, and three that all of them rest on: `data` (books are young), `journal` (what happens
is on record) and `clock` (times are signed right). A venue is called by every order that leaves; its first answer is a
success, an order without one and a lost connection are failures. The others are looked at once a second. While one
on the order's way is open, or all trials of a half-open one are under way, the core is told by an event and its gate
denies; a global opening is the cascade, and trips.

Owns: outcomes, permits of orders under way, telling the core. Does not own: the rules (engine/_core/breaker).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.breaker import Breaker, BreakerEvent, Breakers, Change, Reason, State
from engine._core.types import CLOCK, FEED, INTENT, ORDER, Feed, Kind
from engine.errors import BreakerError, BreakerMinimumCallsNotMet
from engine.observe.status import BreakerStatus
from engine.runtime.build import venues_of
from engine.runtime.engine import Engine
from engine.runtime.events import denied_event
from engine.safety.audit import Entry
from engine.safety.audit import Kind as About
from engine.settings import schema

Records = npt.NDArray[Any]
COMPONENTS = schema.BREAKER_COMPONENTS
LOOK_NS = 10**9
# A network that is gone takes data and venue with it and comes back by itself; one more, and it is the machine.
OPEN_SHARE = 0.75
PERMITS_MAX = 4_096
# Whatever a venue says first of an order is an answer: one of no duration may expire without ever being acknowledged.
_ANSWERS = tuple(kind for kind in Kind if Kind.KIND_ORDER_ACK <= kind < Kind.KIND_ORDER_LOST)
_LOUD = (Change.CHANGE_CLOSED_TO_OPEN, Change.CHANGE_HALF_OPEN_TO_OPEN, Change.CHANGE_GLOBAL_OPENED)
STATES = {
    State.BREAKER_CLOSED: "closed", State.BREAKER_IS_OPEN: "open", State.BREAKER_HALF_OPEN: "half-open",
}  # fmt: skip


@dataclass(frozen=True)
class Looks:
    """How the components that nobody calls are doing."""

    data: Callable[[], bool]
    journal: Callable[[], bool]


def declare(table: Breakers, name: str, form: schema.Breaker) -> None:
    """A breaker as the settings describe it."""
    table.declare(
        name,
        cooldown_ns=form.cooldown_ms * 10**6,
        window=form.window,
        minimum_calls=form.minimum_calls,
        error_rate=form.error_rate_ppm / 10**6,
        failures_in_a_row=form.failures_in_a_row,
        tokens=form.tokens,
        successes_to_close=form.successes_to_close,
        critical=form.critical,
    )


class Board:
    """Watches an engine; `turn` after each turn of the loop."""

    def __init__(
        self,
        engine: Engine,
        settings: schema.Settings,
        looks: Looks,
        *,
        cascade: Callable[[tuple[str, ...]], object],
        note: Callable[..., None],
        record: Callable[[Entry], object],
    ) -> None:
        self._engine, self._looks, self._cascade, self._note, self._record = engine, looks, cascade, note, record
        self.table = Breakers(count_max=settings.capacity.components, open_share=OPEN_SHARE)
        self._trials: dict[str, int] = {}
        for name in COMPONENTS:
            self._declare(name, settings.breakers.get(name, schema.Breaker()))
        venues = {name: venue.breaker for name, venue in settings.venues.items() if venue.enabled}
        for name, form in venues.items():
            self._declare(name, form)
        for name, form in [*((c, settings.breakers[c]) for c in COMPONENTS if c in settings.breakers), *venues.items()]:
            needs = dict.fromkeys([*form.depends_on, *(COMPONENTS if name in venues else ())])
            for needed in needs:
                self.table.depend(name, needed)
        self._all = [self.table[name] for name in self._trials]
        self._venues = list(venues_of(settings))  # as the core numbers them
        rows = settings.instruments.values()
        self._way = [self.table[row.venue] for row in rows]  # by symbol
        self._permits: dict[int, tuple[Breaker, int]] = {}  # by our order's number
        self._denied = 0
        self._due_ns = 0
        engine.watch(self._inputs, self._outputs)

    def _declare(self, name: str, form: schema.Breaker) -> None:
        self._trials[name] = form.tokens
        declare(self.table, name, form)

    # ----------------------------------------------------------------------------------------------- what passes by
    def _outputs(self, outputs: Records) -> None:
        for at in np.flatnonzero(outputs["kind"] == int(Kind.KIND_INTENT_PLACE)):
            intent = outputs[at : at + 1].view(INTENT)[0]
            breaker = self._way[int(intent["symbol"])]
            permit = self._permit(breaker)
            if permit is not None:
                if len(self._permits) >= PERMITS_MAX:
                    oldest, given = self._permits.pop(next(iter(self._permits)))
                    oldest.release(given)
                self._permits[int(intent["id_order"])] = breaker, permit
            if breaker.state != State.BREAKER_CLOSED:
                self._tell()

    def _inputs(self, events: Records) -> None:
        kinds = events["kind"]
        if not np.any(kinds >= int(Kind.KIND_ORDER_ACK)):
            return
        for at in np.flatnonzero(np.isin(kinds, (*_ANSWERS, Kind.KIND_ORDER_LOST))):
            report = events[at : at + 1].view(ORDER)[0]
            breaker, permit = self._permits.pop(int(report["id_order"]), (None, 0))
            if breaker is not None:
                settle = breaker.failure if report["kind"] == int(Kind.KIND_ORDER_LOST) else breaker.success
                settle(permit, self._engine.now_ns)
        for at in np.flatnonzero(kinds == int(Kind.KIND_FEED)):
            feed = events[at : at + 1].view(FEED)[0]
            # Market data has its own component; a connection comes down once and is up for long: only the fall counts.
            if feed["feed"] != int(Feed.FEED_MARKET) and feed["up"] == 0:
                self.settle(self._venues[int(feed["venue"])], good=False)
        for at in np.flatnonzero(kinds == int(Kind.KIND_CLOCK)):
            self.settle("clock", good=events[at : at + 1].view(CLOCK)[0]["synchronised"] == 1)

    def _permit(self, breaker: Breaker) -> int | None:
        try:
            return breaker.allow(self._engine.now_ns)
        except BreakerError:
            # It opened within the very step that made this order: the order is the last one.
            return None

    @property
    def waiting(self) -> frozenset[int]:
        """Our numbers of the orders whose first answer is not there yet."""
        return frozenset(self._permits)

    def settle(self, component: str, *, good: bool) -> None:
        """What a call of this component came to."""
        breaker = self.table[component]
        permit = self._permit(breaker)
        if permit is not None:
            (breaker.success if good else breaker.failure)(permit, self._engine.now_ns)

    # ------------------------------------------------------------------------------------------------- on each turn
    def turn(self, now_ns: int) -> None:
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + LOOK_NS
            self.settle("data", good=self._looks.data())
            self.settle("journal", good=self._looks.journal())
        self.table.tick(now_ns)
        for event in self.table.drain():
            self._changed(event)
        self._tell()

    def _changed(self, event: BreakerEvent) -> None:
        change = Change(event.change).name.removeprefix("CHANGE_").replace("_", " ").lower()
        reason = Reason(event.reason).name.removeprefix("REASON_").replace("_", " ").lower()
        text = f"{event.component}: {change}, {reason}" + (f"; open: {', '.join(event.open)}" if event.open else "")
        self._note("breaker", self._engine.now_ns, text, severity="error" if event.change in _LOUD else "info")
        self._record(
            Entry(
                About.BREAKER,
                change,
                trigger=reason,
                rule="kernels/breaker",
                affected=event.component,
                explanation=text,
            )
        )
        if event.change == Change.CHANGE_GLOBAL_OPENED:
            self._cascade(event.open)

    def _tell(self) -> None:
        """The core's gate follows: a mask of those that deny an order now."""
        mask = sum(1 << breaker.id for breaker in self._denying())
        if mask != self._denied:
            self._denied = mask
            self._engine.take(denied_event(self._engine.now_ns, mask))

    def _denying(self) -> Iterator[Breaker]:
        for breaker in self._all:
            if breaker.state == State.BREAKER_IS_OPEN or self.table.global_open or self._is_trying(breaker):
                yield breaker

    def _is_trying(self, breaker: Breaker) -> bool:
        """Half-open, and every trial it may have is on its way."""
        if breaker.state != State.BREAKER_HALF_OPEN:
            return False
        under_way = sum(one is breaker for one, _permit in self._permits.values())
        return under_way >= self._trials[breaker.name]

    def status(self) -> tuple[BreakerStatus, ...]:
        rows = []
        for name, figures in self.table.metrics().items():
            breaker = self.table[name]
            rows.append(
                BreakerStatus(
                    name=name,
                    state=STATES[breaker.state],
                    calls=breaker.calls,
                    failures_in_a_row=breaker.failures_in_a_row,
                    error_rate_ppm=_rate_ppm(breaker),
                    trips=figures["closed_to_open"] + figures["half_open_to_open"],
                )
            )
        return tuple(rows)


def _rate_ppm(breaker: Breaker) -> int:
    try:
        return round(breaker.error_rate() * 10**6)
    except BreakerMinimumCallsNotMet:
        return 0
