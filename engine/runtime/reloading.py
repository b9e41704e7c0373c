"""The settings read again in a running engine: by SIGHUP, which is systemd's reload, and by `bot4 reload`.

A stricter limit acts at once, as an event on the record; what is looser waits its day; everything else waits for the
next start. Owns which of the file's values are in force. Does not own what waits (settings/cooldown).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine._core.clock import utc_ns
from engine.errors import Bot4Error, SettingsError
from engine.runtime.engine import Engine
from engine.runtime.picture import Picture
from engine.safety.audit import Entry
from engine.safety.audit import Kind as About
from engine.safety.notify import Notifier
from engine.settings.cooldown import Cooldown
from engine.settings.load import Loaded
from engine.settings.schema import Settings


class Reloading:
    def __init__(
        self, settings: Settings, cooldown: Cooldown, reread: Callable[[], Loaded] | None, *,
        tighten: Callable[[str, int], bool], picture: Picture, engine: Engine, notifier: Notifier,
        record: Callable[[Entry], Any],
    ) -> None:  # fmt: skip
        self.settings = settings
        self._cooldown, self._reread, self._tighten = cooldown, reread, tighten
        self._picture, self._engine, self._notifier, self._record = picture, engine, notifier, record

    def reload(self) -> str:
        """What came of it, in words. Raises what is wrong with the files: then nothing has changed."""
        if self._reread is None:
            raise SettingsError("This engine was not started from files.")
        found = self._cooldown.admit(self._reread().settings, utc_ns(), self.settings)
        self._picture.waiting = len(found.waiting)
        acted, later = [], []
        for change in found.changes:
            name = ".".join(change.key)
            if change.key[0] == "limits" and self._tighten(change.key[1], int(change.new)):
                acted.append(name)
            else:
                later.append(name)
        self.settings = merge_limits(self.settings, found.settings, acted)
        self._picture.renewed(self.settings)
        words = [f"{', '.join(acted)} in force" if acted else "no limit changed"]
        if later:
            words.append(f"{', '.join(later)} with the next start")
        if found.waiting:
            words.append(f"{len(found.waiting)} looser values wait")
        return "; ".join(words) + "."

    def hang_up(self) -> None:
        """SIGHUP: a file that is wrong is said, and the engine goes on with what it has."""
        self._notifier.reloading()
        try:
            text = self.reload()
        except Bot4Error as error:
            text = str(error)
        self._picture.note("settings", self._engine.now_ns, text, severity="warning")
        self._record(
            Entry(About.CONFIG, "reload", trigger="SIGHUP", rule="howto/settings", affected="settings",
                  explanation=text)
        )  # fmt: skip
        self._notifier.ready(text)


def merge_limits(running: Settings, wanted: Settings, names: list[str]) -> Settings:
    """The running settings with those limits that have just come into force."""
    values = {name: getattr(wanted.limits, name) for name in (key.removeprefix("limits.") for key in names)}
    return msgspec.structs.replace(running, limits=msgspec.structs.replace(running.limits, **values))
