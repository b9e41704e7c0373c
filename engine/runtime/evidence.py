"""What can be shown for a promotion, read from what an engine's folder holds. Nothing here is typed in by hand.

    days clean   days on which it traded live, after the last trip: journal/ says the days, audit/ and the latch's own
                 files (in force, or put aside by a reset) say the trips
    drills       drills that passed: drills/
    parity       live profit over what paper had on the same days: parity/, one file a comparison

All of it since the tier in force was entered. What cannot be read counts for nothing: a promotion is earned.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine._core.clock import utc_ns
from engine._core.latch import Latch
from engine.errors import Bot4Error, JournalError
from engine.journal.layout import Session, sessions, write_whole
from engine.research.parity import Parity
from engine.runtime.endpoints import Stage, stage_of
from engine.safety import drill
from engine.safety.audit import Kind, Report, read
from engine.settings.schema import Settings
from engine.settings.tiers import DAY_NS, PPM, Evidence

PARITY = "parity"
E8 = 10**8


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison of live with paper over the same days, in 1e-8 of the account's asset."""

    session: str
    at_ns: int
    live: int
    paper: int


@dataclass(frozen=True)
class Shown:
    """The evidence and what it was made of, for a person."""

    evidence: Evidence
    days_paper: int  # days without real money, which count for nothing
    trips: tuple[int, ...]  # when, oldest first
    drills_failed: int
    comparisons: int


def keep_parity(root: Path, found: Comparison) -> Path:
    """Store one comparison, where `gather` finds it."""
    folder = root / PARITY
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"parity-{found.at_ns}.json"
    write_whole(path, msgspec.json.encode(found))
    return path


def as_evidence(session: Session, held: Parity) -> Comparison | None:
    """What a session's comparison shows for a promotion: nothing on paper, nor where decisions differ.

    It is dated by the session's end, so that the same session compared twice counts once.
    """
    if session.file is None or not held.holds or _stage(session) is not Stage.LIVE:
        return None
    return Comparison(
        session=session.path.name, at_ns=_end_ns(session), live=round(held.recorded * E8),
        paper=round(held.simulated * E8),
    )  # fmt: skip


def root_of(session: Session) -> Path:
    """The engine's folder that a session belongs to: its journal stands in it."""
    return session.path.parent.parent


def gather(root: Path, since_ns: int, now_ns: int | None = None) -> Shown:
    """Everything that the folder shows since `since_ns`, and which drills are overdue now."""
    trips = tuple(sorted(ts_ns for ts_ns in _trips(root) if ts_ns >= since_ns))
    clean_from = max([since_ns, *trips])
    live, paper = set[int](), set[int]()
    for stage, day in _days(root):
        if stage is not Stage.LIVE:
            paper.add(day)
        elif day * DAY_NS >= clean_from:
            # A day counts from its first moment: that of the trip, or of the promotion, does not.
            live.add(day)
    drills = [evidence for evidence in drill.history(root / "drills") if evidence.at_ns >= since_ns]
    compared = [found for found in _comparisons(root) if found.at_ns >= since_ns]
    return Shown(
        Evidence(
            days_clean=len(live),
            parity_ppm=_parity(compared),
            drills=sum(evidence.passed for evidence in drills),
            drills_overdue=tuple(drill.overdue(root / "drills", utc_ns() if now_ns is None else now_ns)),
        ),
        days_paper=len(paper),
        trips=trips,
        drills_failed=sum(not evidence.passed for evidence in drills),
        comparisons=len(compared),
    )


def _days(root: Path) -> Iterator[tuple[Stage, int]]:
    """(stage, day) of every day that a session of the journal ran on; days are counted from 1970."""
    try:
        found = sessions(root / "journal")
    except (OSError, JournalError):
        return
    for session in found:
        if session.file is None:
            continue
        stage = _stage(session)
        first, last = session.file.created_ns // DAY_NS, _end_ns(session) // DAY_NS
        for day in range(first, last + 1):
            yield stage, day


def _stage(session: Session) -> Stage:
    """Settings that this version cannot read count as paper, which earns nothing."""
    meta = session.file.meta if session.file is not None else {}
    try:
        return stage_of(msgspec.convert(meta["settings"], Settings))
    except (KeyError, msgspec.ValidationError, Bot4Error):
        return Stage.PAPER


def _end_ns(session: Session) -> int:
    """When its newest segment was written last; a session that died is as long as its record."""
    ends = [path.stat().st_mtime_ns for path in session.segments()]
    return max([*ends, session.file.created_ns if session.file else 0])


def _trips(root: Path) -> Iterator[int]:
    """Every trip that left a trace."""
    if (root / "audit").is_dir():
        yield from (r.at_ns for r in read(root / "audit", None, Report()) if r.entry.kind is Kind.TRIP)
    for path in [root / "latch", *root.glob("latch.cleared-*")]:
        if not path.exists():
            continue
        latch = Latch(path)
        try:
            record = latch.record()
            # A latch that cannot be read is one that tripped; when, its file's own time says.
            yield record[0][1] if record else path.stat().st_mtime_ns
        finally:
            latch.close()


def _comparisons(root: Path) -> Iterator[Comparison]:
    for path in sorted((root / PARITY).glob("parity-*.json")):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Comparison)
        except (OSError, json.JSONDecodeError, msgspec.DecodeError):
            continue


def _parity(found: list[Comparison]) -> int:
    """Live over paper in ppm, at most all of it. Where paper had nothing, live must not have lost against it."""
    live, paper = sum(one.live for one in found), sum(one.paper for one in found)
    if not found:
        return 0
    if paper <= 0:
        return PPM if live >= paper else 0
    return max(0, min(PPM, live * PPM // paper))
