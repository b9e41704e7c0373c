"""A journal of market data (`bot4 record`), or the market data of a session, as a data set of one symbol.

What the numbers mean stands with the session: as its recorder was told by the venue, or in the settings it ran with.
A book that was lost begins anew with its next image; the feed's own words are left out, because nothing was received
in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine._core.types import EVENT, Kind
from engine.errors import DatasetUnreadable
from engine.journal.layout import Session, find_session
from engine.journal.query import everything
from engine.research.dataset import Dataset, Meta

FORM = "journal"


def read(path: Path, symbol: str | None) -> Dataset:
    """The market data of `symbol`; it may be left out where there is only one."""
    session = find_session(path)
    known = _instruments(session)
    if symbol is None and len(known) == 1:
        (symbol,) = known
    if symbol not in known:
        raise DatasetUnreadable(f"{path}: --symbol is one of {', '.join(known) or 'none: it names no instrument'}")
    at, tick, lot, market = known[symbol]
    parts = []
    for _, rows in everything(session):
        mine = rows[(rows["kind"] < int(Kind.KIND_ORDER_ACK)) & (rows["symbol"] == at)]
        mine["symbol"] = 0
        parts.append(mine)
    events = np.concatenate([np.zeros(0, EVENT), *parts])
    source = f"{session.file.meta.get('source', 'bot4 run') if session.file else ''} {session.path.name}".strip()
    return Dataset(Meta(symbol, tick, lot, market=market, source=source, form=FORM), events)


def _instruments(session: Session) -> dict[str, tuple[int, int, int, str]]:
    """Number, tick, lot and market of each symbol by its name."""
    meta: Mapping[str, Any] = session.file.meta if session.file is not None else {}
    told = meta.get("instruments")
    if told is not None:
        return {
            row["symbol"]: (at, row["tick_e8"], row["lot_e8"], "linear" if row["linear"] else "spot")
            for at, row in enumerate(told)
        }
    rows = meta.get("settings", {}).get("instruments", {})
    return {name: (at, row["tick"], row["lot"], row["market"]) for at, (name, row) in enumerate(rows.items())}
