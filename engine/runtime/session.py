"""One session of the engine from its settings: core, journal, exchange, faces, latch, and the life that drives them.

The composition root of `bot4 run`. Nobody else knows all the parts; each of them can be read and tested alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine._core.clock import monotonic_ns, utc_ns
from engine._core.latch import Latch
from engine._core.modes import Mode, Phase, Who
from engine._core.tape import Health
from engine.journal.writer import NO_NEW_ORDERS, JournalConfig, JournalWriter
from engine.observe.commands import Handlers
from engine.observe.status import SafetyStatus, Status, StatusSource
from engine.runtime import rehearsal
from engine.runtime.approvals import Approvals
from engine.runtime.audited import OrderAudit
from engine.runtime.begin import begin
from engine.runtime.breakers import Board, Looks
from engine.runtime.chain import Chain
from engine.runtime.control import LATCH_FILE, Control
from engine.runtime.embedded import EmbeddedExchange
from engine.runtime.endpoints import Stage, venues_over
from engine.runtime.engine import Engine, at_venue
from engine.runtime.events import control_event
from engine.runtime.exchanges import open_exchange
from engine.runtime.keeper import Keeper
from engine.runtime.lifecycle import EXIT_TRIPPED, Lifecycle, Pace
from engine.runtime.overseer import Overseer
from engine.runtime.picture import Picture
from engine.runtime.reconciler import Reconciler
from engine.runtime.reloading import Reloading
from engine.runtime.standing import TierWatch, admit
from engine.runtime.waiting import Waiting
from engine.safety.approval import paper_pair
from engine.safety.audit import Audit, Entry
from engine.safety.audit import Kind as About
from engine.safety.life import LATCH_NAME, paper_key
from engine.safety.mark import Mark
from engine.safety.notify import Notifier, Watchdog
from engine.safety.tuning import NOT_ASKED, Collector, arena_row, tune, world_memory
from engine.settings.cooldown import Cooldown
from engine.settings.load import Loaded
from engine.settings.schema import Journal, Settings
from engine.settings.secrets import Secret, Secrets
from engine.strategy.meter import Meter
from engine.venues.tally import TallyStart

# What a session cannot go on with; the rest of the journal's troubles leave the cancels going.
BROKEN = int(Health.HEALTH_SYNC_FAILED | Health.HEALTH_NO_SEGMENT | Health.HEALTH_REFUSED)


class Faces(Protocol):
    """What shows the engine and takes commands: socket, page, metrics, alerts. They lie above this layer."""

    async def start(self) -> None: ...

    def notify(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Ended:
    """What a session leaves behind."""

    exit_code: int
    reason: str
    seconds: float
    directory: str
    records: int
    state_hash: str
    left_open: int  # orders that the venue may still have
    status: Status
    rehearsed: str = ""  # what a rehearsal came to


def journal_config(journal: Journal) -> JournalConfig:
    return JournalConfig(
        sync=journal.mode,
        group_ms=journal.group_ms,
        segment_bytes=journal.segment_bytes,
        disk_cap_bytes=journal.disk_max_bytes,
        disk_free_bytes=journal.disk_free_min_bytes,
        compress=journal.compress,
    )


class Session:
    """A session that stands ready. `run` lives it; whatever happens, the journal is closed in order."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        speed: float = 1.0,
        meter: Meter | None = None,
        reread: Callable[[], Loaded] | None = None,
        faces: Callable[[Settings, StatusSource, Handlers], Faces] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        engine = loaded.settings.engine
        self.root = Path(engine.directory)
        self.root.mkdir(parents=True, exist_ok=True)
        self._secrets = secrets or Secrets(os.environ)
        with ExitStack() as undo:
            # First of all: a machine that was halted goes no further.
            self.latch = undo.enter_context(Latch(self.root / LATCH_NAME))
            self.latch.require_clear()
            # Its lock is the folder's: from here on no other engine writes in it.
            self.audit = undo.enter_context(Audit(self.root / "audit", paper_key(self.root)))
            self._secrets.watch(self._secret_read)
            # What is looser than at the last start waits its day, also over a restart.
            self.cooldown = Cooldown(self.root / "settings.json")
            admitted = self.cooldown.admit(loaded.settings, utc_ns())
            self.settings = admitted.settings
            # By what is in force: what a start with money asks for cannot be loosened in the start that needs it.
            self.stage, self.switch = admit(replace(loaded, settings=self.settings), self.root, utc_ns())
            self.started_ns = utc_ns()
            self.arena = world_memory(lock=self.settings.core.lock_memory, huge=self.settings.core.huge_pages)
            self._build(replace(loaded, settings=self.settings), meter, undo)
            undo.callback(self.chain.close)
            self.picture.waiting = len(admitted.waiting)
            self._kept = undo.pop_all()
        self.approvals = Approvals(
            self.engine, self.settings, session=self.journal.session.path.name, public=self._operator(),
            note=self.picture.note, record=self.audit.note,
        )  # fmt: skip
        self.mark = Mark(self.root)
        self.control = Control(
            self.engine, self.picture, self.latch, reload=self._read_again, record=self.audit.note,
            mark=self.mark, desk=self.approvals,
        )  # fmt: skip
        self.notifier = Notifier()
        self.reloading = Reloading(
            self.settings, self.cooldown, reread, tighten=self.control.tighten_now, picture=self.picture,
            engine=self.engine, notifier=self.notifier, record=self.audit.note,
        )  # fmt: skip
        self.tier = TierWatch(
            self.engine, loaded, self.root,
            tighten=self.control.tighten_now, note=self.picture.note, record=self.audit.note,
        )  # fmt: skip
        self.picture.tier = lambda: self.tier.tier.name
        self.faces = faces(self.settings, self.picture, self.control) if faces is not None else None
        # Fed by the loop itself, and only while loop, market data, journal and guard are what they should be.
        checks = {
            "journal": lambda: self.journal.health == 0, "data": self._data_flows,
            "guard": lambda: self.chain.alive, "audit": lambda: self.audit.healthy,
        }  # fmt: skip
        self.collector = Collector()
        self.watchdog = Watchdog(self.notifier, checks)
        self.limits = Overseer(self.engine, self.chain.guard, self.settings.modes.equity_agree_ppm)
        start = self._tally or TallyStart({}, {})
        self.books = Reconciler(
            self.engine, self.settings, next_trade=start.next_trade, known=start.keys(),
            record=self.audit.note, note=self.picture.note, trip=self.chain.guard.trip,
        )  # fmt: skip
        self.picture.books = self.books.status
        self.life = Lifecycle(
            self.engine,
            Pace(self.started_ns, speed=speed, wall=not isinstance(self.exchange, EmbeddedExchange)),
            each_turn=self._each_turn,
            wind_down=self._wind_down,
            quiet=self._quiet,
            tripped=lambda: self.latch.tripped,
            hang_up=self.reloading.hang_up,
            grace_s=self.settings.safety.grace_ms / 1_000,
        )
        self.picture.life = self.life
        self.waiting = Waiting(spin=self.settings.core.wait == "spin")
        self._paused_by_journal = False
        self.arena.seal()

    def _build(self, loaded: Loaded, meter: Meter | None, undo: ExitStack) -> None:
        """Core, journal, exchange, chain, picture: in this order, each over the ones before it."""
        settings = self.settings
        # Everything compiled that is made from here to the end of the start stands in one block.
        undo.callback(self.arena.seal)
        self.arena.open()
        # The exchange before the core: a venue over sockets says its steps, its fees and what the account holds.
        opened = open_exchange(settings, self.started_ns, self._secrets, lambda: self.latch.tripped)
        self.exchange = opened.exchange
        begun = begin(self.root, opened, self.started_ns, meter)
        self.journal = JournalWriter(
            self.root / "journal",
            journal_config(settings.journal),
            seed=settings.engine.seed,
            epoch=begun.epoch,
            now_ns=utc_ns,
            world=begun.core.world,
            previous=begun.previous,
            previous_count=begun.previous_count,
            meta=begun.meta,
        )
        undo.callback(self.journal.close)
        self.engine = Engine(begun.core, self.journal.tape, self.exchange, now_ns=self.started_ns, meter=meter)
        self._tally, self.goes_on = begun.tally, begun.told
        self.keeper = Keeper(self.journal, begun.core.world, settings)
        self.chain = Chain(settings, self.root, self.latch, self.audit, self.engine)
        self.orders = OrderAudit(self.audit, self.engine, settings)
        name = self.journal.session.path.name
        loaded = replace(loaded, settings=opened.settings)
        self.picture = Picture(loaded, self.engine, self.latch, session=name, started_ns=self.started_ns)
        self.breakers = Board(
            self.engine, self.settings, Looks(data=self._data_flows, journal=lambda: self.journal.health == 0),
            cascade=self.chain.guard.breakers_open, note=self.picture.note, record=self.audit.note,
        )  # fmt: skip
        self.picture.breakers, self.picture.safety = self.breakers.status, self._devices

    async def run(self, *, seconds: float | None = None, ready: Callable[[], object] = lambda: None) -> Ended:
        name = self.journal.session.path.name
        with self._kept:
            self.life.hear_signals()
            self.journal.start()
            self.chain.start()
            self._tune()
            self._stay_paused()
            if self.goes_on:
                self.picture.note("journal", self.engine.now_ns, self.goes_on)
            self.audit.append(
                Entry(About.START, "start", trigger=name, rule="safety/daemon", affected=self._account,
                      explanation="; ".join(filter(None, (self.switch, self.goes_on))),
                      data={"settings": self.settings.hash(), "stage": self.stage})
            )  # fmt: skip
            try:
                if self.faces is not None:
                    await self.faces.start()
                self.notifier.ready(
                    f"{self.stage} session {name}; {self.switch}; dead-man timer: {self._devices().dead_man}"
                )
                ready()
                await self.exchange.start(self.engine)
                with self.waiting:
                    code = await self.life.run(seconds=seconds)
                self.notifier.stopping(self.life.reason)
                await self._while_it_ends(self.exchange.close())
                self.keeper.close()
                status = self.picture.status()
                self.orders.close()
                left_open = len(at_venue(self.engine.core.world))
                self.audit.note(
                    Entry(About.STOP, "stop", trigger=self.life.reason, rule="safety/daemon", affected=self._account,
                          explanation=f"{left_open} orders left at the venue", data={"exit_code": code})
                )  # fmt: skip
                rehearsed = self._rehearsed(status, code, left_open)
            finally:
                await self._while_it_ends(self.exchange.close())
                if self.faces is not None:
                    await self._while_it_ends(self.faces.close())
                self.collector.close()
        return Ended(
            exit_code=EXIT_TRIPPED if self.latch.tripped else code,
            reason=self.life.reason,
            seconds=(self.engine.now_ns - self.started_ns) / 1e9,
            directory=str(self.journal.session.path),
            records=self.engine.tape.count,
            state_hash=self.engine.core.world.state_hash(),
            left_open=left_open,
            status=status,
            rehearsed=rehearsed,
        )

    @property
    def _account(self) -> str:
        """What the session trades with, in words."""
        found = venues_over(self.settings)
        return f"account at {', '.join(found)}" if found else "paper account"

    def _operator(self) -> str:
        """The public half of the key that approves; on paper, where none is named, a pair of this folder's own."""
        if self.settings.approval.key or self.settings.engine.mode != "paper":
            return self.settings.approval.key
        return paper_pair(self.root)

    def _secret_read(self, secret: Secret) -> None:
        """Every use of a key is on record: which, from where, never what."""
        self.audit.note(
            Entry(About.KEY, "read", trigger="session", rule="howto/secrets", affected=secret.name,
                  explanation=f"the engine read it from {secret.source}")
        )  # fmt: skip

    def _rehearsed(self, status: Status, code: int, left_open: int) -> str:
        """At an orderly end of a rehearsal: its evidence is kept, or what it lacks is said."""
        if self.stage is not Stage.REHEARSAL:
            return ""
        text = rehearsal.conclude(
            self.root, self.settings, status, seconds=(self.engine.now_ns - self.started_ns) / 1e9, exit_code=code,
            left_open=left_open,
        )  # fmt: skip
        self.audit.note(
            Entry(About.DRILL, "rehearsal", trigger=self.life.reason, rule="howto/go-live", affected=self._account,
                  explanation=text)
        )  # fmt: skip
        return text

    def _tune(self) -> None:
        """Ask the machine for what the settings want of it; a refusal costs time, not safety."""
        core = self.settings.core
        rows = tune(
            lock=core.lock_memory, freeze=core.freeze, cpus=(core.cpu,) if core.cpu >= 0 else (),
            priority=core.real_time, huge=core.huge_pages,
        )  # fmt: skip
        rows.append(arena_row(self.arena))
        self.picture.host = tuple(row.text() for row in rows if row.detail != NOT_ASKED)
        for row in rows:
            if not row.granted:
                self.picture.note("host", self.engine.now_ns, row.text(), severity="warning")

    def _stay_paused(self) -> None:
        """After an emergency nothing is Normal before a person says so, also where a stuck loop never told its core."""
        mode = self.engine.core.world.modes["mode"]
        if self.mark.stands and mode in (Mode.MODE_NORMAL, Mode.MODE_REDUCED):
            self.engine.take(control_event(self.engine.now_ns, mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_LATCH)))

    def close(self) -> None:
        """Give everything back without having lived: `run` does it by itself. Twice is fine."""
        self._kept.close()

    def _read_again(self) -> str:
        """The control stands before what reads the settings, for that tightens through it."""
        return self.reloading.reload()

    # ------------------------------------------------------------------------------------------------- on each turn
    def _each_turn(self) -> None:
        now_ns = monotonic_ns()
        self.chain.turn(now_ns)
        self.collector.turn(now_ns)
        self.watchdog.turn(now_ns)
        self.limits.turn(self.engine.now_ns)
        self.breakers.turn(self.engine.now_ns)
        self.tier.turn(self.engine.now_ns)
        self.approvals.turn(self.engine.now_ns)
        self.orders.turn()
        self.books.turn(self.engine.now_ns)
        self.keeper.turn(now_ns)
        health = self.journal.health
        if health & BROKEN:
            self.chain.guard.trip("journal-failure", self.journal.health_text())
        elif health & NO_NEW_ORDERS and not self._paused_by_journal:
            # What cannot be recorded is not traded: cancels go on, entries stop, and a person has to look.
            self._paused_by_journal = True
            self.engine.take(control_event(self.engine.now_ns, mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_ENGINE)))
            self.picture.note("journal", self.engine.now_ns, self.journal.health_text(), severity="error")
            self._show()

    def _devices(self) -> SafetyStatus:
        """The switch's lines, the drills, and the venue's own timer."""
        told = self.chain.status()
        if isinstance(self.exchange, EmbeddedExchange):
            return told
        return msgspec.structs.replace(told, dead_man=self.exchange.dead_man_state(utc_ns()))

    def _show(self) -> None:
        """Whoever watches looks now and not at the next turn."""
        if self.faces is not None:
            self.faces.notify()

    def _data_flows(self) -> bool:
        """Whether any book is young; a session that has just begun has its time to get one."""
        oldest_ns = self.engine.now_ns - self.reloading.settings.limits.book_age_ns * 20
        if self.started_ns > oldest_ns:
            return True
        return any(int(row["book_ts_ns"]) > oldest_ns for row in self.engine.core.world.instruments())

    # -------------------------------------------------------------------------------------------------------- the end
    async def _while_it_ends(self, part: Coroutine[Any, Any, None]) -> None:
        """A last look at a venue that does not answer takes longer than a stall: the loop turns, so its heart beats."""
        ending = asyncio.ensure_future(part)
        try:
            while not ending.done():
                now_ns = monotonic_ns()
                self.chain.turn(now_ns)
                self.watchdog.turn(now_ns)
                await asyncio.wait([ending], timeout=self.life.pace.turn_s)
        finally:
            ending.cancel()
        ending.result()

    def _wind_down(self) -> None:
        """What the settings want of an end. A trip says so to the core as well, so that the record shows it."""
        now_ns, safety = self.engine.now_ns, self.settings.safety
        flatten = {"mode": int(Mode.MODE_EMERGENCY), "equity": self.engine.exchange.equity()}
        if self.latch.tripped:
            # Without a second opinion on the equity the plan of an emergency takes back and closes nothing.
            plan = flatten | {"equity": 0} if safety.plan == "cancel" else flatten
            aggressive = int(safety.plan == "aggressive")
            event = control_event(now_ns, latch=LATCH_FILE, who=int(Who.WHO_LATCH), aggressive=aggressive, **plan)
        elif safety.on_exit == "flatten":
            event = control_event(now_ns, who=int(Who.WHO_HUMAN), **flatten)
        elif safety.on_exit == "cancel":
            event = control_event(now_ns, mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_HUMAN))
        else:
            return
        self.engine.take(event)
        self._show()

    def _quiet(self) -> bool:
        """Whether nothing is to be waited for: no order, no plan, no guard at work."""
        world = self.engine.core.world
        if self.settings.safety.on_exit == "keep" and not self.latch.tripped:
            return True
        planning = world.modes["phase"] not in (Phase.PHASE_IDLE, Phase.PHASE_ENDED)
        return not len(at_venue(world)) and not planning and self.chain.settled
