"""Tightening acts at once, loosening waits a day, and neither a reload nor a restart is a way around it (X-21).

Owns: one small file with the guarded values in force and the looser ones that wait. Whoever starts or reloads the
engine has its settings admitted here: a stricter value is in force from then on, a looser one is put in the queue
with the time it was first asked for, and comes into force with the first admission after its day. Asking for
something less loose meanwhile keeps the place in the queue; asking for something looser begins a new day; a value
that is taken back is forgotten. A setting that no file names any more counts with its default, like any other value.

Time is handed in. A clock set back makes the wait longer, never shorter. A file that cannot be read lets nothing
start; a missing one is a first start, and whoever may delete files of the engine may do so: the audit shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import CooldownBadFile
from engine.settings.files import write_durable
from engine.settings.keys import Change, describe, differences, values, with_values
from engine.settings.problems import Key, dotted
from engine.settings.schema import Settings

WAIT_NS = 24 * 3600 * 10**9


class Waiting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One looser value in the queue."""

    key: list[str]
    value: int
    since_ns: int
    due_ns: int


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    seen_ns: int  # the latest time that was ever handed in
    in_force: list[tuple[list[str], int]]
    waiting: list[Waiting]


@dataclass(frozen=True)
class Admission:
    """What is in force now, what changed against before, and what waits."""

    settings: Settings
    changes: tuple[Change, ...]
    waiting: tuple[Waiting, ...]
    came_due: tuple[str, ...] = field(default=())


class Cooldown:
    """The guard between settings that are wished for and settings in force. One per engine folder."""

    def __init__(self, path: Path, *, wait_ns: int = WAIT_NS) -> None:
        self.path = path
        self.wait_ns = wait_ns

    def waiting(self) -> tuple[Waiting, ...]:
        """The queue as it stands, soonest first."""
        return tuple(sorted(self._read().waiting, key=lambda w: (w.due_ns, w.key)))

    def admit(self, wanted: Settings, now_ns: int, running: Settings | None = None) -> Admission:
        """Settings in force from now on. `running` (what the engine runs with) says against what changes are told."""
        file = self._read()
        first = file.version == 0
        now_ns = max(now_ns, file.seen_ns)
        before = {tuple(key): value for key, value in file.in_force}
        queue = {tuple(waiting.key): waiting for waiting in file.waiting}
        in_force: dict[Key, int] = {}
        held: dict[Key, int] = {}
        came_due = []
        for key, value in _guarded(wanted).items():
            description = describe(key)
            assert description is not None
            old = before.get(key)
            if first or old is None or not description.is_looser(value, old):
                # A new entry (a venue, a breaker) has no value in force that it could be looser than.
                in_force[key] = value
                queue.pop(key, None)
                continue
            waits = queue.get(key)
            if waits is None or description.is_looser(value, waits.value):
                waits = Waiting(list(key), value, now_ns, now_ns + self.wait_ns)
            elif waits.value != value:
                waits = msgspec.structs.replace(waits, value=value)
            if waits.due_ns <= now_ns:
                in_force[key] = value
                queue.pop(key, None)
                came_due.append(dotted(key))
            else:
                queue[key] = waits
                in_force[key] = held[key] = old
        queue = {key: waits for key, waits in queue.items() if key in held}
        # What no settings name for the moment stays known: taking an entry out and putting it back is no way around.
        kept = {key: value for key, value in before.items() if key not in in_force}
        settings = with_values(wanted, dict(held)) if held else wanted
        self._write(_File(1, now_ns, [(list(k), v) for k, v in (kept | in_force).items()], list(queue.values())))
        changes = tuple(differences(running, settings)) if running is not None else ()
        ordered = tuple(sorted(queue.values(), key=lambda w: (w.due_ns, w.key)))
        return Admission(settings, changes, ordered, tuple(came_due))

    def _read(self) -> _File:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return _File(0, 0, [], [])
        except OSError as error:
            raise CooldownBadFile(f"{self.path}: {error.strerror}.") from None
        try:
            file = msgspec.json.decode(content, type=_File)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise CooldownBadFile(f"{self.path}: {error}.") from None
        if file.version != 1:
            raise CooldownBadFile(f"{self.path}: version {file.version}.")
        return file

    def _write(self, file: _File) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_durable(self.path, msgspec.json.encode(file))
        except OSError as error:
            raise CooldownBadFile(f"{self.path}: {error.strerror}.") from None


def _guarded(settings: Settings) -> dict[Key, Any]:
    return {
        key: value
        for key, value in values(settings).items()
        if (description := describe(key)) is not None and description.guarded
    }
