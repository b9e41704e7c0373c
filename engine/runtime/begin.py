"""The core that a session starts with: that of the session before, where the account outlived it, or a new one.

At a venue over sockets orders and positions are there whoever watches, so the world goes on where its record ends; on
paper every session is a new account. Owns nothing: what it found goes to the session and into its file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine._core.step import Core
from engine.journal.compare import epoch_of
from engine.journal.layout import Session, last_epoch
from engine.runtime.build import build_core, session_meta
from engine.runtime.carry import carried_meta, carry_over
from engine.runtime.embedded import EmbeddedExchange
from engine.runtime.engine import at_venue
from engine.runtime.exchanges import Opened
from engine.runtime.rests import rests_of
from engine.safety.mark import Mark
from engine.strategy.meter import Meter
from engine.venues.tally import TallyStart


@dataclass(frozen=True)
class Begun:
    """The core that a session starts with, and what its file says of where that came from."""

    core: Core
    epoch: int
    meta: dict[str, Any]
    previous: Session | None = None
    previous_count: int = 0
    tally: TallyStart | None = None
    told: str = ""  # what it goes on from, for a person


def begin(root: Path, opened: Opened, now_ns: int, meter: Meter | None) -> Begun:
    journal = root / "journal"
    live = None if isinstance(opened.exchange, EmbeddedExchange) else opened.exchange
    paused = Mark(root).stands
    carried = carry_over(journal, opened.settings, paused=paused, meter=meter) if live is not None else None
    if live is not None and carried is not None:
        open_orders = at_venue(carried.core.world)["id_order"]
        live.go_on(carried.reports, carried.tally, (int(id_order) for id_order in open_orders))
        return Begun(
            carried.core, epoch_of(carried.core.world), carried_meta(opened.settings, carried), carried.session,
            carried.records, carried.tally, carried.text(),
        )  # fmt: skip
    # Order numbers carry the epoch: no session ever gives one that an earlier one gave.
    epoch = last_epoch(journal) + 1
    rests = rests_of(journal, opened.settings, now_ns)
    core = build_core(opened.settings, epoch=epoch, paused=paused, meter=meter, holdings=opened.holdings, rests=rests)
    meta = session_meta(opened.settings, opened.holdings, paused=paused, rests=rests)
    tally = TallyStart(live.next_trade if live is not None else {}, {})
    if live is not None:
        meta |= tally.meta()
    return Begun(core, epoch, meta, tally=tally)
