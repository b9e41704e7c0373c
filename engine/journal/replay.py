"""Steps a recorded session again and holds every output byte, and the world at every snapshot, against the recorded.

Starts at a snapshot, runs the compiled loop of compare.pyx over the segments, stops at the first difference with both
records in words. A core comes in bound to its strategies; its world is replaced by the snapshot's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from engine._core.checksum import blake2b
from engine._core.step import Core
from engine._core.tape import Tape, first_at, header, records
from engine._core.types import EVENT
from engine.errors import ReplayDiverged, SnapshotMissing
from engine.journal.compare import EXTRA, MISSING, OTHER, Comparer
from engine.journal.layout import Session
from engine.journal.reader import BLOCK, PER_BLOCK, Opened, open_session
from engine.journal.show import difference
from engine.journal.snapshot import Snapshot, latest, read_snapshot

CHUNK = 500_000  # records between two calls of `progress`
NEVER = 2**63 - 1


@dataclass
class Replayed:
    inputs: int
    outputs: int
    state_hash: str
    first_record: int = 0
    last_record: int = 0
    snapshots_met: int = 0
    torn: str = ""
    pending: Any = field(default_factory=lambda: np.zeros(0, EVENT))


def replay(core: Core, tape: Tape) -> Replayed:
    """Run one tape through a core whose world is as it was at the tape's start. Raises at the first difference."""
    rows = tape.records()
    blocks = np.zeros((-(-len(rows) // PER_BLOCK), PER_BLOCK), EVENT)
    blocks.reshape(-1)[: len(rows)] = rows
    image = np.zeros((1 + len(blocks), BLOCK), np.uint8)
    image[1:, BLOCK - 64 * PER_BLOCK :] = blocks.view(np.uint8).reshape(len(blocks), 64 * PER_BLOCK)
    comparer = Comparer(core)
    at = comparer.run(image.reshape(-1), 0, len(rows))
    if at < len(rows):
        raise ReplayDiverged(_explain(comparer, rows[at], at))
    return Replayed(comparer.inputs, comparer.outputs, core.world.state_hash())


def _explain(comparer: Comparer, recorded: Any, number: int) -> str:
    pending = comparer.pending
    what = {
        OTHER: "another output than the recorded one",
        EXTRA: "a recorded output that the replay did not make",
        MISSING: "an output that was not recorded",
    }[comparer.difference]
    return f"event {comparer.inputs}, record {number:,}: {what}.\n" + difference(
        recorded if comparer.difference != MISSING else None, pending[0] if len(pending) else None
    )


def replay_session(
    core: Core,
    session: Session,
    *,
    compare: bool = True,
    since_ns: int | None = None,
    until_ns: int | None = None,
    opened: Opened | None = None,
    start: Snapshot | None = None,
    progress: Callable[[int, int, int], None] | None = None,
) -> Replayed:
    """Replay a session from the snapshot before `since_ns` to `until_ns`, both ends of the session by default.

    `progress(done, all, now_ns)` is called between chunks.
    """
    found = (opened or open_session(session, chain=False)).must_be_sound()
    begin = start or _start(session, found, since_ns)
    if begin is not None:
        core.world.load(begin.image)
    first = begin.record_number if begin else 0
    meets = _snapshots(session, first) if compare else []
    comparer, met, at, end = Comparer(core), 0, first, found.count
    for part in found.parts:
        limit = part.count
        if until_ns is not None:
            limit = min(limit, first_at(part.image, part.count, until_ns + 1))
        stop = part.first_record + limit
        while part.first_record <= at < stop:
            here = min(stop, at + CHUNK, *(m.record_number for m in meets[met : met + 1]))
            taken = comparer.run(part.image, at - part.first_record, here - at, compare=compare)
            at += taken
            if at < here:
                raise ReplayDiverged(_explain(comparer, records(part.image, at - part.first_record, 1)[0], at))
            while met < len(meets) and meets[met].record_number <= at:
                _same_world(core, meets[met], at)
                met += 1
            if progress is not None:
                progress(at - first, end - first, core.world.now_ns)
        if limit < part.count:
            break
    if at == found.count and found.count and compare and len(comparer.pending) and not found.torn and _is_ended(found):
        raise ReplayDiverged(f"event {comparer.inputs}: outputs at the very end that were not recorded.\n"
                             + difference(None, comparer.pending[0]))  # fmt: skip
    return Replayed(
        comparer.inputs, comparer.outputs, core.world.state_hash(), first, at, met, found.torn, comparer.pending
    )


def _is_ended(found: Opened) -> bool:
    """A session that was closed in order has every output of its last event.

    A segment is closed when it is full, too: behind it stands the next one, made ahead, even when the power took all
    that was written there. Only an end in order takes that one away.
    """
    return header(found.parts[-1].image).closed and len(found.session.segments()) == len(found.parts)


def _start(session: Session, found: Opened, since_ns: int | None) -> Snapshot | None:
    """The last snapshot that lies before the time, and inside what is good. None: the core's own world is it."""
    if not session.snapshots():
        return None
    if since_ns is None:
        return read_snapshot(session, session.snapshots()[0])
    at_most = found.count
    for part in found.parts:
        index = first_at(part.image, part.count, since_ns)
        if index < part.count:
            at_most = part.first_record + index
            break
    try:
        return latest(session, at_most=at_most)[0]
    except SnapshotMissing:
        return read_snapshot(session, session.snapshots()[0])


def _snapshots(session: Session, after: int) -> list[Snapshot]:
    return [s for s in (read_snapshot(session, path) for path in session.snapshots()) if s.record_number > after]


def _same_world(core: Core, snapshot: Snapshot, at: int) -> None:
    if at != snapshot.record_number or blake2b(memoryview(core.world)) == snapshot.digest:
        return
    world, kept = np.frombuffer(memoryview(core.world), np.uint8), np.frombuffer(snapshot.image, np.uint8)
    differing = np.flatnonzero(world != kept) if world.size == kept.size else np.zeros(1, int)
    raise ReplayDiverged(
        f"record {at:,}: the world differs from {snapshot.path.name} in {differing.size:,} bytes, "
        f"the first at offset {int(differing[0]):,}."
    )
