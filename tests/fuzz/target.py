"""What the fuzz target and the replay of its corpus share: the parsers, and the comparison with the twin.

An input is one byte of choices (bit 0 binary, bit 1 context of the connection, bit 2 narrow room) and the frame.
"""

from __future__ import annotations

from engine._core.parse import Parser
from engine._core.types import Status
from engine.model.parse import Parser as Twin
from engine.model.scan import MALFORMED
from tests.support.frames import SYMBOLS

ROOM, NARROW_ROOM = 256, 3
CONTEXTS = [{}, {"context_symbol": "BTCUSDT", "context_snapshot": True, "time_unit": "us", "levels_max": 4}]
_FAST = [Parser(SYMBOLS, **context) for context in CONTEXTS]
_GENERAL = [Parser(SYMBOLS, general_only=True, **context) for context in CONTEXTS]
# Addresses of the blocks, for the C target; the list index is the context.
FAST = [parser.address for parser in _FAST] * 2
GENERAL = [parser.address for parser in _GENERAL] * 2
_TWINS = {
    (context, room): Twin(SYMBOLS, room=room, **CONTEXTS[context])
    for context in range(len(CONTEXTS))
    for room in (ROOM, NARROW_ROOM)
}


def agrees(binary: int, context: int, room: int, frame: bytes, status: int, events: bytes) -> None:
    """Raise when the twin reads a frame otherwise."""
    twin = _TWINS[context, room]
    twin.statuses.clear()
    wanted, array = (twin.read_sbe if binary else twin.read)(frame, 5)
    got = Status(status)
    same = got == wanted or (got in MALFORMED and wanted in MALFORMED)
    if not same or (got == Status.OK and array.tobytes() != events):
        raise AssertionError(f"kernel {got!r}, twin {wanted!r}: {frame!r}")
