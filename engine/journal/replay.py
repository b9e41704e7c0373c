"""Steps a recorded session again and holds every output byte against the recorded one."""

from __future__ import annotations

from dataclasses import dataclass

from engine._core.step import Core
from engine._core.tape import Tape
from engine._core.types import Kind
from engine.errors import ReplayDiverged

FIRST_OUTPUT = int(Kind.KIND_INTENT_PLACE)


@dataclass(frozen=True)
class Replayed:
    inputs: int
    outputs: int
    state_hash: str


def replay(core: Core, tape: Tape) -> Replayed:
    """Run the tape through a core whose world is as it was at the tape's start. Raises at the first difference."""
    records = tape.records()
    at, inputs, outputs = 0, 0, 0
    while at < len(records):
        if records["kind"][at] >= FIRST_OUTPUT:
            raise ReplayDiverged(f"record {at}: recorded output {records[at]} that the replay did not make")
        _, made = core.step(records[at : at + 1])
        inputs += 1
        at += 1
        recorded = records[at : at + len(made)]
        if recorded.tobytes() != made.tobytes():
            raise ReplayDiverged(f"event {inputs}: recorded {recorded}, replayed {made}")
        outputs += len(made)
        at += len(made)
    return Replayed(inputs, outputs, core.world.state_hash())
