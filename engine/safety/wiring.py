"""Which switch an engine has: written beside its latch at every start, so that a reset asks the same lines.

Owns: one small file and the check that the loops are closed. A file that cannot be read refuses the reset: whoever
knows better says so on the command line, and the audit keeps that he did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from engine.errors import ResetRefused
from engine.safety.lines import Lines
from engine.settings.files import write_durable

NAME = "wiring.json"


class Wiring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The switch as the settings have it. Without a word about it there is one, on the usual pins."""

    switch: str = "gpio"  # gpio, or in words what stands in its place: simulated, none
    chip: str = "/dev/gpiochip0"
    lines: tuple[int, ...] = (17, 27)
    bias: str = "pull-up"

    def check(self) -> Callable[[], str]:
        """What a reset asks: the reason why it is refused, or nothing."""
        return loops_closed(self.chip, self.lines, bias=self.bias) if self.switch == "gpio" else no_switch

    def __str__(self) -> str:
        lines = ", ".join(map(str, self.lines))
        return f"lines {lines} of {self.chip}, {self.bias}" if self.switch == "gpio" else self.switch


def remember(state: Path, wiring: Wiring) -> None:
    """Before the lines are asked for: a start that finds no chip is reset by the same wiring."""
    content = msgspec.json.encode(wiring)
    path = state / NAME
    if not path.is_file() or path.read_bytes() != content:
        write_durable(path, content)


def recall(state: Path) -> Wiring:
    try:
        return msgspec.json.decode((state / NAME).read_bytes(), type=Wiring)
    except FileNotFoundError:
        return Wiring()
    except (OSError, msgspec.DecodeError) as error:
        raise ResetRefused(f"{state / NAME}: {error}; name the switch with --switch") from error


def loops_closed(chip: str, lines: Sequence[int], *, bias: str = "pull-up", readings: int = 50) -> Callable[[], str]:
    """A check that says what is wrong, or nothing. Many readings: a contact that chatters is not closed."""

    def check() -> str:
        request = Lines(chip, lines, bias=bias)
        try:
            for _ in range(readings):
                if open_lines := [line for line in lines if request.level(line)]:
                    return f"line {', '.join(map(str, open_lines))} of {chip} is open: release the switch"
        finally:
            request.close()
        return ""

    return check


def no_switch() -> str:
    """There is nothing to look at, and the audit says so."""
    return ""
