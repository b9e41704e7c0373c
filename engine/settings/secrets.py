"""Where secrets come from, and that they go nowhere else.

Owns: the order of the sources (a systemd credential, the keystore, the environment), the refusal of files that others
can read, and the type that a secret travels in: it does not show itself in a log, a traceback or an f-string. Settings
hold names of secrets, never secrets. Everything that was ever read is known to redact.py, which keeps it out of sinks.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import final

from engine.errors import SecretExposed, SecretMissing
from engine.settings.keystore import Keystore
from engine.settings.redact import REDACTOR

CREDENTIALS = "CREDENTIALS_DIRECTORY"
VARIABLE = "BOT4_SECRET_"
UNIT = "bot4_"  # what systemd puts before the names of a folder of credentials


@final
class Secret:
    """A secret value. `reveal` is the one way to see it."""

    __slots__ = ("_value", "name", "source")

    def __init__(self, name: str, value: str, source: str) -> None:
        self.name, self._value, self.source = name, value, source
        REDACTOR.learn(value)

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"<secret {self.name} from {self.source}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not written down")


def require_private(path: Path) -> None:
    """Refuse a file that anybody but its owner can read or write, and one whose owner is somebody else."""
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise SecretExposed(f"{path} has mode {stat.S_IMODE(found.st_mode):04o}.")
    if found.st_uid not in (os.geteuid(), 0):
        raise SecretExposed(f"{path} belongs to uid {found.st_uid}.")


class Secrets:
    """The secrets of one engine, by name. Sources are asked in order; the first that knows the name is taken."""

    def __init__(self, environ: Mapping[str, str], keystore: Callable[[], Keystore | None] = lambda: None) -> None:
        """`keystore` opens it, or answers that there is none: asked for the passphrase no sooner than it is needed."""
        self._environ = environ
        self._open = keystore
        self._read: list[Secret] = []
        self._tell: Callable[[Secret], object] = self._read.append

    def watch(self, tell: Callable[[Secret], object]) -> None:
        """Be told of every secret that is read, those before this call included."""
        for secret in self._read:
            tell(secret)
        self._tell = tell

    def get(self, name: str) -> Secret:
        """The secret of a name, or an error that names the sources and no value."""
        for source in (self._credential, self._stored, self._variable):
            if (found := source(name)) is not None:
                self._tell(found)
                return found
        raise SecretMissing(f"{name!r}: not among systemd credentials, keystore, {_variable(name)}.")

    def names(self) -> dict[str, str]:
        """Every name that is known, and the source that it would be taken from."""
        known = {}
        for variable in self._environ:
            if variable.startswith(VARIABLE):
                known[variable[len(VARIABLE) :].lower()] = "environment"
        if (keystore := self._store) is not None:
            known |= dict.fromkeys(keystore.names(), "keystore")
        folder = self._environ.get(CREDENTIALS)
        if folder and Path(folder).is_dir():
            known |= {path.name.removeprefix(UNIT): "systemd" for path in Path(folder).iterdir() if path.is_file()}
        return known

    @cached_property
    def _store(self) -> Keystore | None:
        return self._open()

    def _credential(self, name: str) -> Secret | None:
        folder = self._environ.get(CREDENTIALS)
        # A name is no path: one with a slash could reach any file of the machine.
        if not folder or "/" in name or name.startswith("."):
            return None
        path = next((path for path in (Path(folder) / (UNIT + name), Path(folder) / name) if path.is_file()), None)
        if path is None:
            return None
        require_private(path)
        return Secret(name, path.read_text(encoding="utf-8").removesuffix("\n"), "systemd")

    def _stored(self, name: str) -> Secret | None:
        value = self._store.find(name) if self._store is not None else None
        return None if value is None else Secret(name, value, "keystore")

    def _variable(self, name: str) -> Secret | None:
        value = self._environ.get(_variable(name))
        return None if value is None else Secret(name, value, "environment")


def _variable(name: str) -> str:
    return VARIABLE + name.upper().replace("-", "_").replace(".", "_")
