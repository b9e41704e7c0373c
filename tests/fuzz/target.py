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


def agrees(choices: tuple[int, int, int], frame: bytes, status: int, events: bytes) -> None:
    """Raise when the twin reads a frame otherwise. The choices are binary or not, context, room."""
    binary, context, room = choices
    twin = _TWINS[context, room]
    twin.statuses.clear()
    wanted, array = (twin.read_sbe if binary else twin.read)(frame, 5)
    got = Status(status)
    same = got == wanted or (got in MALFORMED and wanted in MALFORMED)
    if not same or (got == Status.OK and array.tobytes() != events):
        raise AssertionError(f"kernel {got!r}, twin {wanted!r}: {frame!r}")


def replay(data: bytes) -> None:
    """Do with one input what the C target does, through the Python face: for the suite and for its sanitize build."""
    if not data:
        return
    binary, context, room = data[0] & 1, data[0] >> 1 & 1, NARROW_ROOM if data[0] & 4 else ROOM
    frame = data[1:]
    answers = []
    for general_only in (False, False, True):
        parser = Parser(SYMBOLS, room=room, general_only=general_only, **CONTEXTS[context])
        status, events = (parser.read_sbe if binary else parser.read)(frame, 5)
        parser.check()
        answers.append((int(status), events.tobytes()))
    if len(set(answers)) != 1:
        raise AssertionError(f"{answers}: {frame!r}")
    agrees((binary, context, room), frame, *answers[0])
