"""The operator's knife: end a damaged session at its last good record, and keep the damaged bytes for whoever asks.

Never done by itself. What is behind the cut is not read any more; recovery asks the venue for it.
"""

from __future__ import annotations

from pathlib import Path

from engine._core.tape import scan
from engine.errors import RecoveryRefused
from engine.journal.layout import COMPRESSED, Session, sync_directory, write_whole
from engine.journal.reader import BLOCK, PER_BLOCK, open_session
from engine.journal.segments import image

ASIDE = ".damaged"
RECORDS_AT, CHECKS_AT = 320, 84


def cut(session: Session) -> str:
    """Set the first damaged segment and all behind it aside; put back the good part of the first."""
    found = open_session(session)
    if found.damage is None:
        return f"{session.path.name} is not damaged; nothing was cut."
    bad = found.damage.file
    paths = session.segments()
    at = paths.index(bad)
    if at == 0 and found.damage.record == 0:
        raise RecoveryRefused(f"{bad}: nothing good stands before the damage. Restore it from a copy.")
    kept = _good_part(bad, found.damage.record)
    for path in paths[at:]:
        path.rename(path.with_name(path.name + ASIDE))
    if kept:
        write_whole(bad.with_name(bad.name.removesuffix(COMPRESSED).removesuffix(".b4t") + ".b4t"), kept)
    sync_directory(bad.parent)
    again = open_session(session)
    again.must_be_sound()
    return f"{session.path.name} ends at record {again.count:,} now; {len(paths) - at} files set aside as *{ASIDE}."


def _good_part(path: Path, record: int) -> bytes:
    """A damaged segment with everything behind its last good record taken out, and open again."""
    data = bytearray(bytes(image(path)))
    found = scan(bytes(data), chain=True)
    good = min(found.good, max(0, record - found.first_record))
    if not good:
        return b""
    data[192:256] = bytes(64)
    block, slot = divmod(good, PER_BLOCK)
    start = BLOCK * (1 + block)
    if slot:
        data[start + 16 : start + 48] = bytes(32)
        data[start + CHECKS_AT + 4 * slot : start + RECORDS_AT] = bytes(4 * (PER_BLOCK - slot))
        data[start + RECORDS_AT + 64 * slot : start + BLOCK] = bytes(64 * (PER_BLOCK - slot))
        start += BLOCK
    data[start:] = bytes(len(data) - start)
    # Marks say what was on the disk; of what is left they would say too much.
    for at in range(BLOCK, start, BLOCK):
        data[at + 8 : at + 16] = bytes(8)
    return bytes(data)
