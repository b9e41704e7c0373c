"""One session of the engine from its settings: core, journal, exchange, faces, latch, and the life that drives them.

The composition root of `bot4 run`. Nobody else knows all the parts; each of them can be read and tested alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from engine._core.clock import monotonic_ns, utc_ns
from engine._core.latch import Latch
from engine._core.modes import Mode, Who
from engine.errors import Bot4Error, GuardNotReady, SettingsError
from engine.journal.writer import NO_NEW_ORDERS, JournalConfig, JournalWriter
from engine.observe.commands import Handlers
from engine.observe.status import Status, StatusSource
from engine.runtime.build import build_core, session_meta
from engine.runtime.control import LATCH_FILE, Control, control_event
from engine.runtime.engine import Engine
from engine.runtime.exchanges import open_exchange
from engine.runtime.lifecycle import Lifecycle, Pace
from engine.runtime.picture import Picture
from engine.safety.notify import Notifier, Watchdog
from engine.settings.cooldown import Cooldown
from engine.settings.load import Loaded
from engine.settings.schema import Journal, Settings
from engine.strategy.meter import Meter


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
    status: Status


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
    ) -> None:
        if loaded.settings.engine.mode == "live":
            # The parts of a live driver are there, each proven alone; half a driver must not trade money.
            raise GuardNotReady(
                "`bot4 run` trades on paper only: no driver joins a venue's connections to the core yet."
            )
        self.root = Path(loaded.settings.engine.directory)
        self.root.mkdir(parents=True, exist_ok=True)
        # What is looser than at the last start waits its day, also over a restart.
        self.cooldown = Cooldown(self.root / "settings.json")
        admitted = self.cooldown.admit(loaded.settings, utc_ns())
        self.settings = admitted.settings
        loaded = replace(loaded, settings=self.settings)
        # First of all: a machine that was halted goes no further.
        self.latch = Latch(self.root / self.settings.safety.latch_file)
        self.latch.require_clear()
        self.started_ns = utc_ns()
        # The exchange first: a venue over sockets says its steps, its fees and what the account holds.
        opened = open_exchange(self.settings, self.started_ns)
        self.exchange = opened.exchange
        loaded = replace(loaded, settings=opened.settings)
        core = build_core(opened.settings, meter=meter, holdings=opened.holdings)
        self.journal = JournalWriter(
            self.root / "journal",
            journal_config(self.settings.journal),
            seed=self.settings.engine.seed,
            now_ns=utc_ns,
            world=core.world,
            meta=session_meta(opened.settings, opened.holdings),
        )
        self.engine = Engine(core, self.journal.tape, self.exchange, now_ns=self.started_ns, meter=meter)
        name = self.journal.session.path.name
        self.picture = Picture(loaded, self.engine, self.latch, session=name, started_ns=self.started_ns)
        self.picture.waiting = len(admitted.waiting)
        self._reread = reread
        self.control = Control(self.engine, self.picture, self.latch, reload=self.reload)
        self.faces = faces(self.settings, self.picture, self.control) if faces is not None else None
        self.notifier = Notifier()
        # Fed by the loop itself, and only while loop, market data and journal are what they should be.
        self.watchdog = Watchdog(self.notifier, {"journal": self._journal_holds, "data": self._data_flows})
        self.life = Lifecycle(
            self.engine,
            Pace(self.started_ns, speed=speed),
            each_turn=self._each_turn,
            wind_down=self._wind_down,
            quiet=lambda: self.engine.core.world.counts["live_orders"] == 0,
            tripped=lambda: self.latch.tripped,
            hang_up=self._hang_up,
            grace_s=self.settings.safety.grace_ms / 1_000,
        )
        self._paused_by_journal = False

    async def run(self, *, seconds: float | None = None, ready: Callable[[], Any] | None = None) -> Ended:
        self.journal.start()
        try:
            if self.faces is not None:
                await self.faces.start()
            self.notifier.ready(f"paper session {self.journal.session.path.name}")
            if ready is not None:
                ready()
            await self.exchange.start(self.engine)
            code = await self.life.run(seconds=seconds)
            self.notifier.stopping(self.life.reason)
            await self.exchange.close()
            status = self.picture.status()
        finally:
            await self.exchange.close()
            if self.faces is not None:
                await self.faces.close()
            self.journal.close()
            self.latch.close()
        return Ended(
            exit_code=code,
            reason=self.life.reason,
            seconds=(self.engine.now_ns - self.started_ns) / 1e9,
            directory=str(self.journal.session.path),
            records=self.engine.tape.count,
            state_hash=self.engine.core.world.state_hash(),
            status=status,
        )

    def reload(self) -> str:
        """Read the settings again: a stricter limit acts now, a looser value is queued, the rest needs a restart."""
        if self._reread is None:
            raise SettingsError("This engine was not started from files.")
        found = self.cooldown.admit(self._reread().settings, utc_ns(), self.settings)
        self.picture.waiting = len(found.waiting)
        acted, later = [], []
        for change in found.changes:
            name = ".".join(change.key)
            if change.key[0] == "limits" and self.control.tighten_now(change.key[1], int(change.new)):
                acted.append(name)
            else:
                later.append(name)
        self.settings = replace_limits(self.settings, found.settings, acted)
        words = [f"{', '.join(acted)} in force" if acted else "no limit changed"]
        if later:
            words.append(f"{', '.join(later)} with the next start")
        if found.waiting:
            words.append(f"{len(found.waiting)} looser values wait")
        return "; ".join(words) + "."

    # ------------------------------------------------------------------------------------------------- on each turn
    def _each_turn(self) -> None:
        self.watchdog.turn(monotonic_ns())
        if self.journal.health & NO_NEW_ORDERS and not self._paused_by_journal:
            # What cannot be recorded is not traded: cancels go on, entries stop, and a person has to look.
            self._paused_by_journal = True
            self.engine.take(control_event(self.engine.now_ns, mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_ENGINE)))
            self.picture.note("journal", self.engine.now_ns, self.journal.health_text(), severity="error")
            self._show()

    def _hang_up(self) -> None:
        """SIGHUP: systemd's reload."""
        self.notifier.reloading()
        try:
            text = self.reload()
        except Bot4Error as error:
            text = str(error)
        self.picture.note("settings", self.engine.now_ns, text, severity="warning")
        self.notifier.ready(text)

    def _show(self) -> None:
        """Whoever watches looks now and not at the next turn."""
        if self.faces is not None:
            self.faces.notify()

    def _journal_holds(self) -> bool:
        return self.journal.health == 0

    def _data_flows(self) -> bool:
        limit_ns = self.settings.limits.book_age_ns * 20
        world = self.engine.core.world
        return any(self.engine.now_ns - int(row["book_ts_ns"]) < limit_ns for row in world.instruments())

    def _wind_down(self) -> None:
        """No new orders, and what rests is taken back. A trip says so to the core as well, so the record shows it."""
        now_ns = self.engine.now_ns
        if self.latch.tripped:
            event = control_event(
                now_ns, latch=LATCH_FILE, mode=int(Mode.MODE_EMERGENCY), who=int(Who.WHO_LATCH),
                aggressive=int(self.settings.safety.plan == "aggressive"),
            )  # fmt: skip
        else:
            event = control_event(now_ns, mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_HUMAN))
        self.engine.take(event)
        self._show()


def replace_limits(running: Settings, wanted: Settings, names: list[str]) -> Settings:
    """The running settings with those limits that have just come into force."""
    taken = {name.removeprefix("limits."): None for name in names}
    limits = msgspec.structs.replace(running.limits, **{name: getattr(wanted.limits, name) for name in taken})
    return msgspec.structs.replace(running, limits=limits)
