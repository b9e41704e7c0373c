"""The pins: the switch and the tamper loop through gpiozero, and the three lamps.

Owns: gpiozero's devices, the wiring self-test, the lamps' patterns. Does not own: the fast reader of the same lines
(the sentry), nor what a trip leads to.

Wiring: both loops are normally closed, between the pin and ground, with the pull-up on. Closed reads low. A press, a
cut wire, a pulled plug and a dead supply all let the pull-up win; a chip that does not answer counts the same. What a
passive loop cannot show is a short across the two wires: only a press shows it, which is why drills press.

A line has one requester in the system. On a real chip the request of the loops belongs to the sentry's `Lines`, and
gpiozero reads through it (`SharedFactory`); the lamps are lgpio's own. Where the contact is wired to a second pin,
either reader can have a pin of its own instead.

Nothing here may raise into gpiozero: an exception in a callback ends lgpio's only thread and with it every later edge.
An exception is a trip instead.

Cost: `poll` is two readings, 30 us with the interpreter; the guard calls it 20 times a second, and more often while a
line is open.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gpiozero import LED, Button, Factory  # type: ignore[import-untyped]
from gpiozero.pins import Pin  # type: ignore[import-untyped]

from engine._core.clock import monotonic_ns
from engine.errors import SwitchMissing, SwitchOpen
from engine.safety.debounce import Debounce
from engine.safety.lines import Lines

Trip = Callable[[str, str], object]

GREEN, YELLOW, RED = "green", "yellow", "red"


# ---------------------------------------------------------------------------------- gpiozero over the sentry's request
class LinePin(Pin):  # type: ignore[misc]  # gpiozero is not typed
    """An input of a `Lines` request as gpiozero sees a pin. Its edges are found by `update`, from the guard's turn."""

    def __init__(self, factory: SharedFactory, offset: int) -> None:
        super().__init__()
        self._factory = factory
        self._offset = offset
        self._when_changed: Callable[..., None] | None = None
        self._seen = factory.lines.level(offset)

    def update(self) -> int:
        """Read the level, tell gpiozero when it changed. Raises LineLost when the chip is gone."""
        level = self._factory.lines.level(self._offset)
        if level != self._seen:
            self._seen = level
            if self._when_changed is not None:
                self._when_changed(self._factory.ticks(), level)
        return int(level)

    def _get_state(self) -> int:
        return int(self._factory.lines.level(self._offset))

    def _get_function(self) -> str:
        return "input"

    def _set_function(self, value: str) -> None:
        if value != "input":
            raise ValueError("a line of the switch is never an output")

    def _get_pull(self) -> str:
        return self._factory.pull

    def _set_pull(self, value: str) -> None:
        if value != self._factory.pull:
            raise ValueError(f"the line was requested with {self._factory.pull}")

    def _get_info(self) -> Any:
        return self._factory

    def _get_bounce(self) -> None:
        """Raw levels: the debouncing is the engine's own, and bounded."""

    def _set_bounce(self, value: float | None) -> None:
        if value is not None:
            raise ValueError("debouncing is the engine's own")

    def _get_edges(self) -> str:
        return "both"

    def _set_edges(self, value: str) -> None:
        """Both edges are always watched; gpiozero sets this around every change of the handler."""

    def _get_when_changed(self) -> Callable[..., None] | None:
        return self._when_changed

    def _set_when_changed(self, value: Callable[..., None] | None) -> None:
        self._when_changed = value

    def __repr__(self) -> str:
        return f"<LinePin {self._factory.lines.chip} {self._offset}>"

    def input_with_pull(self, pull: str) -> None:
        self._set_pull(pull)

    def close(self) -> None:
        self._when_changed = None


class SharedFactory(Factory):  # type: ignore[misc]
    """Pins of a line request that another reader has too."""

    def __init__(self, lines: Lines, *, pull: str = "up") -> None:
        super().__init__()
        self.lines = lines
        self.pull = pull
        self.name = lines.chip
        self.pins: dict[int, LinePin] = {}

    def pin(self, name: Any) -> LinePin:
        offset = int(str(name).removeprefix("GPIO"))
        return self.pins.setdefault(offset, LinePin(self, offset))

    def ticks(self) -> float:
        return monotonic_ns() / 1e9

    def ticks_diff(self, later: float, earlier: float) -> float:
        return later - earlier

    def close(self) -> None:
        self.pins.clear()

    def reserve_pins(self, requester: Any, *names: Any) -> None:
        """The kernel reserves: a line has one request in the whole system, and `Lines` has it."""

    def release_pins(self, reserver: Any, *names: Any) -> None:
        """The request ends with `Lines`."""


# ------------------------------------------------------------------------------------------------------------- inputs
@dataclass
class Loop:
    """One normally-closed loop as gpiozero sees it."""

    name: str  # the latch's reason: "switch" or "tamper"
    button: Button
    rule: Debounce

    def is_open(self) -> bool:
        pin = self.button.pin
        if isinstance(pin, LinePin):
            return bool(pin.update())
        return not self.button.is_pressed


class Pins:
    """The loops. `trip(reason, detail)` is the guard's one entry; `report(bits)` is the sentry's, with bit 1 = open."""

    def __init__(
        self,
        trip: Trip,
        *,
        loops: Iterable[tuple[str, int]] = (("switch", 17), ("tamper", 27)),
        factory: Any = None,
        pull_up: bool | None = True,
        debounce_ns: int = 5_000_000,
        latest_ns: int = 50_000_000,
        report: Callable[[int], None] | None = None,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._trip = trip
        self._report = report
        self._wake = wake
        self._lost = False
        self.error_count = 0
        self.loops: list[Loop] = []
        active = None if pull_up else False
        for name, number in loops:
            # A closed loop is "held" to gpiozero; its thread waits the hold time out before it can be ended.
            button = Button(number, pull_up=pull_up, active_state=active, hold_time=0.02, pin_factory=factory)
            loop = Loop(name, button, Debounce(debounce_ns, latest_ns))
            # Released: the loop opened. The edge only starts the clock; `poll` decides, so that a glitch is none.
            button.when_released = self._guarded(loop, True)
            button.when_pressed = self._guarded(loop, False)
            self.loops.append(loop)

    def _guarded(self, loop: Loop, opened: bool) -> Callable[[], None]:
        def on_edge() -> None:
            try:
                self._sample(loop, opened)
                if self._wake is not None:
                    self._wake()
            except Exception as error:  # noqa: BLE001 - it would end lgpio's thread: every later edge would be lost
                self._failed(loop.name, error)

        return on_edge

    def _sample(self, loop: Loop, opened: bool) -> None:
        before = loop.rule.tripped
        if loop.rule.sample(monotonic_ns(), opened) and not before:
            self._trip(loop.name, f"{loop.button.pin!r} is open")

    def _failed(self, reason: str, error: Exception) -> None:
        """A reader that fails is an open loop. Once: an absent chip fails at every turn."""
        self.error_count += 1
        if not self._lost:
            self._lost = True
            self._trip(reason, f"{type(error).__name__}: {error}")

    def poll(self) -> bool:
        """Read both loops; True while one is open, so that the caller polls again soon. Never raises."""
        bits = 0
        for index, loop in enumerate(self.loops):
            try:
                opened = loop.is_open()
                self._sample(loop, opened)
            except Exception as error:  # noqa: BLE001 - the chip is gone: a halt
                self._failed(loop.name, error)
                opened = True
            bits |= opened << index
        if self._report is not None and not self._lost:
            self._report(bits)
        return bits != 0

    def self_test(self, *, readings: int = 20) -> None:
        """Before trading: every loop has to be seen closed, at each of several readings. One that is not trips."""
        for _ in range(readings):
            if self.poll() or self._lost:
                names = [loop.name for loop in self.loops if self._lost or loop.is_open()]
                for name in names:
                    self._trip(name, "open at the start")
                raise SwitchOpen(f"{', '.join(names) or 'a loop'}; debounced openings so far: {self.glitch_count}")

    @property
    def glitch_count(self) -> int:
        return sum(loop.rule.glitch_count for loop in self.loops)

    def close(self) -> None:
        for loop in self.loops:
            try:
                loop.button.close()
            except Exception:  # noqa: BLE001 - as in a reading: the chip is gone; that has tripped already
                self.error_count += 1


def require_switch(switch: str, *, live: bool, acknowledged: bool) -> str:
    """What start-up says about the switch; SwitchMissing when live trading has none and nobody took that on himself.

    `switch` is "gpio", "simulated" (a command and a signal), or, in words, "none"; nothing else and no default switches
    it off. Where money is real only the first is one.
    """
    if switch == "gpio":
        return "kill switch: on GPIO"
    if switch not in ("simulated", "none"):
        raise SwitchMissing(f"switch = {switch!r} is none of gpio, simulated, none")
    if live and not acknowledged:
        raise SwitchMissing(f"switch = {switch}, and the tier file does not say live_without_switch = true")
    words = "kill switch: NONE" if switch == "none" else "kill switch: simulated (bot4 halt, or SIGUSR1)"
    return words + (" (acknowledged in the tier file)" if live else " (no real money)" if switch == "none" else "")


# -------------------------------------------------------------------------------------------------------------- lamps
# Per mode: the lamp and how it is lit. `heart` toggles with each sign of progress of the core, never with time alone.
PATTERNS: dict[str, dict[str, str]] = {
    "starting": {GREEN: "on", YELLOW: "on", RED: "on"},
    "normal": {GREEN: "heart"},
    "paused": {GREEN: "heart", YELLOW: "on"},
    "reduced": {GREEN: "heart", YELLOW: "blink"},
    "emergency": {RED: "blink"},
    "halted": {RED: "on"},
}
BLINK_NS = 500_000_000


class Lamps:
    """Three LEDs. A lamp that fails is counted and shown in the status; it holds up nothing and trips nothing."""

    def __init__(self, pins: tuple[int, int, int] = (22, 23, 24), *, factory: Any = None) -> None:
        self.error_count = 0
        self.error_last = ""
        self.mode = "starting"
        self._progress = 0
        self._heart = False
        self._lamps: dict[str, LED] = {}
        with warnings.catch_warnings():
            # gpiozero warns for each factory that it tried in vain; the count and the text say it once.
            warnings.simplefilter("ignore")
            for name, number in zip((GREEN, YELLOW, RED), pins, strict=True):
                try:
                    self._lamps[name] = LED(number, pin_factory=factory)
                except Exception as error:  # noqa: BLE001 - no chip, no permission, no library: lamps are not safety
                    self._failed(error)
        self.turn(0, 0)

    def _failed(self, error: Exception) -> None:
        self.error_count += 1
        self.error_last = f"{type(error).__name__}: {error}"

    def show(self, mode: str, now_ns: int) -> None:
        """The pattern of another mode, from now on. A mode nobody knows is shown as halted."""
        self.mode = mode if mode in PATTERNS else "halted"
        self.turn(now_ns, self._progress)

    def turn(self, now_ns: int, progress: int) -> None:
        """Set every lamp for this moment. `progress` is the heart-beat's count: a core at rest stops the blink."""
        if progress != self._progress:
            self._progress = progress
            self._heart = not self._heart
        pattern = PATTERNS[self.mode]
        for name, lamp in self._lamps.items():
            how = pattern.get(name, "off")
            lit = how == "on" or (how == "heart" and self._heart) or (how == "blink" and now_ns // BLINK_NS % 2 == 0)
            try:
                if bool(lamp.value) != lit:
                    lamp.value = lit
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(error)

    @property
    def lit(self) -> tuple[str, ...]:
        return tuple(name for name, lamp in self._lamps.items() if lamp.value)

    def close(self) -> None:
        for lamp in self._lamps.values():
            try:
                lamp.close()
            except Exception as error:  # noqa: BLE001 - a chip that is gone takes nothing back, and the exit code stays
                self._failed(error)
        self._lamps.clear()
