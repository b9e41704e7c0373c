"""The keystore: secrets by name in one sealed file of mode 0600.

It is opened once with its passphrase, changed in memory and written as a whole, durably. What is listed are names and
the days they were put in, never values.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

import msgspec

from engine.errors import KeystoreBadFile, KeystoreLocked, KeystoreNameTaken, SecretExposed, SecretMissing
from engine.settings import seal as sealing
from engine.settings.files import write_durable
from engine.settings.seal import open_bytes, seal

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")


class Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One secret and when it was put in."""

    value: str
    added_ns: int
    rotated_ns: int | None = None

    def __repr__(self) -> str:
        return f"<entry of {self.added_ns}>"


class Keystore:
    """The keystore at a path; without a file it is an empty one, and the first change makes the file."""

    def __init__(self, path: Path, passphrase: str, *, log_n: int | None = None) -> None:
        self.path = path
        self._passphrase = passphrase
        self._log_n = log_n or sealing.LOG_N
        self._entries = self._read()

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._entries))

    def listing(self) -> list[tuple[str, int, int | None]]:
        """(name, added, last rotated) of each."""
        return [(name, entry.added_ns, entry.rotated_ns) for name, entry in sorted(self._entries.items())]

    def find(self, name: str) -> str | None:
        entry = self._entries.get(name)
        return None if entry is None else entry.value

    def add(self, name: str, value: str, now_ns: int) -> None:
        if not NAME.match(name):
            raise KeystoreBadFile(f"{name!r} is no name: letters, digits, dot, dash and underscore.")
        if name in self._entries:
            raise KeystoreNameTaken(f"{name!r}.")
        self._change(self._entries | {name: Entry(value, now_ns)})

    def rotate(self, name: str, value: str, now_ns: int) -> None:
        old = self._require(name)
        self._change(self._entries | {name: Entry(value, old.added_ns, now_ns)})

    def remove(self, name: str) -> None:
        self._require(name)
        self._change({other: entry for other, entry in self._entries.items() if other != name})

    def change_passphrase(self, passphrase: str) -> None:
        """Seal everything anew, with a new salt."""
        self._passphrase = passphrase
        self._change(self._entries)

    def _require(self, name: str) -> Entry:
        if name not in self._entries:
            raise SecretMissing(f"{name!r} is not in the keystore.")
        return self._entries[name]

    def _read(self) -> dict[str, Entry]:
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
            if mode & 0o077:
                raise SecretExposed(f"{self.path} has mode {mode:04o}.")
            content = open_bytes(self.path.read_bytes(), self._passphrase)
        except FileNotFoundError:
            return {}
        except OSError as error:
            if isinstance(error, KeystoreBadFile | SecretExposed):
                raise
            raise KeystoreBadFile(f"{self.path}: {error.strerror}.") from None
        if content is None:
            raise KeystoreLocked(f"{self.path}.")
        try:
            return msgspec.json.decode(content, type=dict[str, Entry])
        except (msgspec.DecodeError, msgspec.ValidationError):
            # The text of the error would quote the content.
            raise KeystoreBadFile(f"{self.path}: what is sealed in it is no keystore.") from None

    def _change(self, entries: dict[str, Entry]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_durable(self.path, seal(msgspec.json.encode(entries), self._passphrase, log_n=self._log_n))
        # In memory only what is on the disk as well.
        self._entries = entries
