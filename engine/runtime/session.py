"""One session of the engine from its settings: core, journal, exchange, control, and the life that drives them.

The composition root of `bot4 run`. Nobody else knows all the parts; each of them can be read and tested alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine._core.clock import utc_ns
from engine._core.modes import Mode, Who
from engine.journal.writer import JournalConfig, JournalWriter
from engine.observe.server import ControlServer
from engine.observe.status import Status
from engine.runtime.build import build_core, session_meta
from engine.runtime.control import Control, control_event
from engine.runtime.embedded import EmbeddedExchange
from engine.runtime.engine import Engine
from engine.runtime.lifecycle import Lifecycle, Pace
from engine.runtime.picture import Picture
from engine.settings.load import Loaded
from engine.settings.schema import Journal
from engine.strategy.meter import Meter


@dataclass(frozen=True)
class Ended:
    """What a session leaves behind."""

    exit_code: int
    reason: str
    seconds: float
    directory: Path
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
    """A session that stands ready. `run` lives it; whatever happens, `close` leaves a closed journal."""

    def __init__(self, loaded: Loaded, *, speed: float = 1.0, meter: Meter | None = None) -> None:
        self.loaded, self.settings = loaded, loaded.settings
        self.root = Path(self.settings.engine.directory)
        self.started_ns = utc_ns()
        core = build_core(self.settings, meter=meter)
        self.journal = JournalWriter(
            self.root / "journal",
            journal_config(self.settings.journal),
            seed=self.settings.engine.seed,
            now_ns=utc_ns,
            world=core.world,
            meta=session_meta(self.settings),
        )
        exchange = EmbeddedExchange(self.settings, self.started_ns)
        self.engine = Engine(core, self.journal.tape, exchange, now_ns=self.started_ns, meter=meter)
        self.picture = Picture(loaded, self.engine, session=self.journal.session.path.name, started_ns=self.started_ns)
        self.control = Control(self.engine, self.picture)
        self.server = ControlServer(
            self.root / self.settings.control.socket,
            self.picture,
            self.control,
            clients_max=self.settings.control.clients_max,
        )
        self.life = Lifecycle(
            self.engine,
            Pace(self.started_ns, speed=speed),
            wind_down=self._wind_down,
            quiet=lambda: self.engine.core.world.counts["live_orders"] == 0,
            tripped=lambda: bool(self.engine.core.world.account()["latch"]),
            grace_s=self.settings.safety.grace_ms / 1_000,
        )

    async def run(self, *, seconds: float | None = None, ready: Callable[[], Any] | None = None) -> Ended:
        self.journal.start()
        try:
            await self.server.start()
            if ready is not None:
                ready()
            code = await self.life.run(seconds=seconds)
        finally:
            await self.server.close()
            self.close()
        return Ended(
            exit_code=code,
            reason=self.life.reason,
            seconds=(self.engine.now_ns - self.started_ns) / 1e9,
            directory=self.journal.session.path,
            records=self.engine.tape.count,
            state_hash=self.engine.core.world.state_hash(),
            status=self.picture.status(),
        )

    def close(self) -> None:
        """The last snapshot, and the journal closed in order. Twice is fine."""
        self.journal.close()

    def _wind_down(self) -> None:
        """No new orders, and what rests is taken back."""
        emergency = control_event(self.engine.now_ns, mode=int(Mode.MODE_PAUSED), who=int(Who.WHO_HUMAN))
        self.engine.take(emergency)
