"""What discipline knows at a start: records and rests of the session before, whatever became of its world.

    rests_of(journal, settings, now_ns)   the table to begin with; None where there was no session

A session on an exchange that ended with its process begins with an account of its own, and so does one whose settings
changed. Its strategies are the same strategies: what they lost, won and have to wait for goes on, by their names and
by those of the symbols. A record that does not replay says nothing of that, so everybody then rests as after the worst.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine._core.discipline import Discipline
from engine.errors import Bot4Error
from engine.journal.layout import Session, sessions
from engine.journal.reader import open_session
from engine.journal.replay import replay_session
from engine.journal.snapshot import latest
from engine.runtime.build import core_of, strategies_of, symbols_of
from engine.runtime.endpoints import discipline_of
from engine.settings.schema import Settings


def rests_of(journal: Path, settings: Settings, now_ns: int) -> bytes | None:
    """The table of discipline that a new world begins with."""
    slots, symbols = strategies_of(settings), symbols_of(settings)
    earlier = sessions(journal) if journal.is_dir() else []
    if not earlier or not slots:
        return None
    rules = settings.discipline.core(discipline_of(settings))
    mine = Discipline(strategies=len(slots), symbols=len(symbols), **rules)
    try:
        _take_over(mine, earlier[-1], slots, symbols)
    except (Bot4Error, msgspec.ValidationError):
        mine.rest(now_ns)
    return mine.image()


def _take_over(mine: Discipline, session: Session, slots: dict[str, int], symbols: dict[str, int]) -> None:
    if session.file is None or "settings" not in session.file.meta:
        return
    before = msgspec.convert(session.file.meta["settings"], Settings)
    image = _at_its_end(session)
    if not image:
        return
    theirs = Discipline.load(image)
    for name, slot in strategies_of(before).items():
        if name in slots:
            mine.carry(slots[name], theirs, slot)
    for name, symbol in symbols_of(before).items():
        if name in symbols:
            mine.carry_symbol(symbols[name], theirs, symbol)


def _at_its_end(session: Session) -> bytes:
    opened = open_session(session).must_be_sound()
    core = core_of(session)
    snapshot, _ = latest(session, at_most=opened.count)
    replay_session(core, session, opened=opened, start=snapshot)
    return core.world.discipline()
