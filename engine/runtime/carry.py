"""What a session takes over from the one before it on the same account: the world where that one's record ended.

    carry_over(journal, settings)   replays the newest session to its end; None where there is nothing to go on from

Positions, open orders, the day's loss, cooldowns and the mode go on; only what the settings may change at a start does
(limits). The driver then asks the venue what became of the rest: it gets what was heard so far, so that a fill of the
time between is told once, and the numbers from which on it has to look. A world that was built from other instruments,
strategies or sizes cannot go on: with something open that is refused, flat it begins anew.

Nothing is written here. A session that died while it took over leaves the earlier one as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from engine._core.step import Core
from engine._core.types import ORDER, Kind
from engine.errors import RecoveryRefused, ReplayDiverged
from engine.journal.compare import epoch_of, set_epoch
from engine.journal.layout import Session, sessions
from engine.journal.reader import open_session
from engine.journal.replay import replay_session
from engine.journal.snapshot import latest
from engine.runtime.build import build_core, core_of, session_meta
from engine.runtime.engine import at_venue
from engine.settings.schema import Settings
from engine.strategy.meter import Meter
from engine.venues.tally import TallyStart

# What the world is built from. A venue's fees may be others each day: they come in as events.
SHAPES = ("account", "capacity", "core", "discipline", "instruments", "modes", "strategies")
FEES = ("fee_maker", "fee_taker")


@dataclass(frozen=True)
class Carried:
    """A core that goes on, and what its driver has to know of the time before."""

    core: Core
    session: Session
    records: int  # of the earlier session
    reports: npt.NDArray[Any]  # every order report that it heard
    tally: TallyStart
    meta: dict[str, Any]
    torn: str  # what was cut at the end of the record, or nothing

    def text(self) -> str:
        """What it goes on with, before the venue has been asked about it."""
        held = int(np.count_nonzero(self.core.world.positions()["lots"]))
        cut = f" ({self.torn})" if self.torn else ""
        return (
            f"goes on from {self.session.path.name}, {self.records:,} records{cut}: "
            f"{len(at_venue(self.core.world))} orders believed open, {held} positions; the venue is asked"
        )


def carry_over(
    journal: Path, settings: Settings, *, paused: bool = False, meter: Meter | None = None
) -> Carried | None:
    """Go on from the newest session of a journal, in an epoch of its own; `paused` behind an emergency."""
    earlier = sessions(journal) if journal.is_dir() else []
    if not earlier or earlier[-1].file is None or "holdings" not in earlier[-1].file.meta:
        # None at all, or one whose exchange lived in its process and ended with it.
        return None
    session = earlier[-1]
    assert session.file is not None
    opened = open_session(session).must_be_sound()
    core = core_of(session)
    snapshot, _ = latest(session, at_most=opened.count)
    try:
        replay_session(core, session, opened=opened, start=snapshot)
    except ReplayDiverged as error:
        raise RecoveryRefused(
            f"{session.path.name} does not replay on this build, so its world is not known: {error.detail}"
        ) from error
    before = msgspec.convert(session.file.meta["settings"], Settings)
    if differ := [name for name in SHAPES if _shape(before, name) != _shape(settings, name)]:
        _require_flat(core, f"{', '.join(differ)} changed since {session.path.name}")
        return None
    rows = opened.records()
    kinds = rows["kind"]
    reports = rows[(kinds >= int(Kind.KIND_ORDER_ACK)) & (kinds <= int(Kind.KIND_ORDER_LOST))]
    going_on = _bound(before, session, meter)
    going_on.world.load(memoryview(core.world))
    going_on.world.set_limits(**settings.limits.core())
    set_epoch(going_on.world, epoch_of(core.world) + 1)
    # The latch that counts is the file, and a start with a tripped one never comes this far.
    going_on.world.set_account(latch=0)
    if paused:
        going_on.world.begin_paused()
    fills = reports[reports["kind"] == int(Kind.KIND_ORDER_FILL)].view(ORDER)
    tally = TallyStart.of(session.file.meta).after(fills, core.world.now_ns)
    return Carried(going_on, session, opened.count, reports, tally, session.file.meta, opened.torn)


def _bound(before: Settings, session: Session, meter: Meter | None) -> Core:
    """A core of the same make whose strategies are measured; the replay above had nobody to measure."""
    assert session.file is not None
    return build_core(before, epoch=session.file.epoch, holdings=_holdings(session.file.meta), meter=meter)


def _holdings(meta: dict[str, Any]) -> dict[int, int]:
    return {int(asset): int(amount) for asset, amount in meta["holdings"].items()}


def _shape(settings: Settings, name: str) -> Any:
    found = msgspec.to_builtins(getattr(settings, name))
    if name == "instruments":
        found = {text: {k: v for k, v in row.items() if k not in FEES} for text, row in found.items()}
    if name == "account":
        # The capital is what the account held when it all began.
        found = {k: v for k, v in found.items() if k != "capital"}
    return found


def _require_flat(core: Core, why: str) -> None:
    held = int(np.abs(core.world.positions()["lots"]).sum())
    live = int(core.world.counts["live_orders"])
    if held or live:
        raise RecoveryRefused(
            f"{why}, and {live} orders and {held} lots stand. Start with the settings as they were and go flat first."
        )


def carried_meta(settings: Settings, carried: Carried) -> dict[str, Any]:
    """The new session's own words: the settings that its world was built from, with the limits of now."""
    before = msgspec.convert(carried.meta["settings"], Settings)
    now = msgspec.structs.replace(settings, instruments=before.instruments, account=before.account)
    return session_meta(now, _holdings(carried.meta)) | carried.tally.meta()
