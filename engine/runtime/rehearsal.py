"""What has to be shown before real money: a rehearsal of the same engine, live in every respect but the money.

A session in mode "live" whose venue is a testnet, or one served on this machine, leaves its evidence in rehearsals/
when it lasted long enough, traded, agreed with the venue's books and ended in order. A start at a venue with money
wants one for the same protocol and by the same version of the engine that is not too old; it is refused with what is
missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine import __version__
from engine.errors import RehearsalMissing
from engine.journal.layout import write_whole
from engine.observe.status import Status
from engine.runtime.endpoints import venues_over
from engine.settings.schema import Settings
from engine.settings.tiers import DAY_NS

FOLDER = "rehearsals"


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsal that held."""

    at_ns: int
    session: str
    protocol: str
    version: str
    seconds: int
    trades: int  # that both sides have
    settings: str  # their hash


def lacking(settings: Settings, status: Status, *, seconds: float, exit_code: int, left_open: int) -> tuple[str, ...]:
    """Why a session that has ended is no evidence; empty: it is."""
    books, least_s = status.books, settings.safety.rehearsal_s
    found = (
        (seconds < least_s, f"it lasted {seconds:,.0f} of {least_s:,} s"),
        (exit_code != 0, f"it ended with {exit_code}"),
        (left_open > 0, f"{left_open} orders were left open"),
        (books.looks == 0, "the books were never held against the venue's"),
        (books.trades == 0, "nothing was traded"),
        (bool(books.breaks), "; ".join(books.breaks)),
    )
    return tuple(text for is_so, text in found if is_so)


def conclude(
    root: Path, settings: Settings, status: Status, *, seconds: float, exit_code: int, left_open: int
) -> str:  # fmt: skip
    """At the end of one: its evidence is kept where `require` finds it, or what it lacks is said."""
    lacks = lacking(settings, status, seconds=seconds, exit_code=exit_code, left_open=left_open)
    if lacks:
        return f"no evidence: {'; '.join(lacks)}"
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    protocols = sorted({venue.protocol for venue in venues_over(settings).values()})
    for protocol in protocols:
        held = Rehearsal(
            at_ns=status.ts_ns, session=status.session, protocol=protocol, version=__version__,
            seconds=int(seconds), trades=status.books.trades, settings=settings.hash(),
        )  # fmt: skip
        write_whole(folder / f"rehearsal-{held.at_ns}-{protocol}.json", msgspec.json.encode(held))
    return f"real money at {', '.join(protocols)} is allowed"


def history(root: Path) -> Iterator[Rehearsal]:
    """All that were kept, oldest first. What cannot be read counts for nothing."""
    for path in sorted((root / FOLDER).glob("rehearsal-*.json")):
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Rehearsal)
        except (OSError, msgspec.DecodeError):
            continue


def require(root: Path, settings: Settings, protocol: str, now_ns: int) -> Rehearsal:
    """The newest rehearsal that allows real money at this protocol. Raises what is missing."""
    of = [found for found in history(root) if found.protocol == protocol]
    mine = [found for found in of if found.version == __version__]
    days = settings.safety.rehearsal_days
    if not of:
        raise RehearsalMissing(f"{root / FOLDER} has none for {protocol}.")
    if not mine:
        raise RehearsalMissing(f"the newest one for {protocol} was by version {of[-1].version}, this is {__version__}.")
    if now_ns - mine[-1].at_ns > days * DAY_NS:
        age = (now_ns - mine[-1].at_ns) // DAY_NS
        raise RehearsalMissing(f"the newest one for {protocol} is {age} days old, {days} are allowed.")
    return mine[-1]
