"""Makes a failing run short: fewer hours, faults and messages that something happened to; the same promise broken.

Delta debugging over two lists, the scheduled faults and the fated messages. Every try is a whole run under the same
seed, so what is left is not a guess: it was run, and it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from engine.sim.world.faults import Fault, S
from engine.sim.world.outcome import Outcome

T = TypeVar("T")
# Runs the world again: (hours, faults, muted messages) -> what came of it.
Again = Callable[[float, list[Fault], frozenset[int]], Outcome]


@dataclass
class Script:
    """The least that still fails."""

    outcome: Outcome
    faults: list[Fault]
    fated: list[int]
    runs: int = 0
    before: tuple[int, int] = (0, 0)
    lines: list[str] = field(default_factory=list)

    def text(self) -> str:
        out = [f"seed {self.outcome.seed} breaks: {self.outcome.failure}"]
        out.append(
            f"shrunk from {self.before[0]} faults and {self.before[1]} fated messages to {len(self.faults)} and "
            f"{len(self.fated)}, in {self.runs} runs"
        )
        out += [f"  fault    {fault.text()}" for fault in self.faults]
        out += [f"  message  number {number} did not arrive well" for number in self.fated]
        return "\n".join([*out, "  the last events:", *(f"    {line}" for line in self.outcome.last[-8:])])


def ddmin(items: Sequence[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """A list from which nothing can be left out without the failure going: one-minimal."""
    left, pieces = list(items), 2
    if left and fails([]):
        return []
    while len(left) >= 2:
        size = max(1, len(left) // pieces)
        for at in range(0, len(left), size):
            rest = left[:at] + left[at + size :]
            if fails(rest):
                left, pieces = rest, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(left), pieces * 2)
    return left


def shrink(failed: Outcome, again: Again, *, runs_max: int = 300) -> Script:
    """Shorten a failed run until nothing can be left out, or until the budget of runs is used."""
    script = Script(failed, list(failed.faults), list(failed.fated), before=(len(failed.faults), len(failed.fated)))
    hours = min(failed.hours, (failed.at_ns + 240 * S) / (3600 * S))

    def attempt(faults: list[Fault], fated: list[int], hours: float) -> bool:
        if script.runs >= runs_max:
            return False
        script.runs += 1
        out = again(hours, faults, frozenset(failed.fated) - frozenset(fated))
        if out.checker != failed.checker:
            return False
        script.outcome, script.faults, script.fated = out, faults, fated
        return True

    if not attempt(script.faults, script.fated, hours):
        hours = failed.hours
    faults = ddmin(script.faults, lambda some: attempt(some, script.fated, hours))
    fated = ddmin(script.fated, lambda some: attempt(faults, some, hours))
    script.faults, script.fated = faults, fated
    return script
