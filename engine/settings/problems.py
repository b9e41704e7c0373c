"""Mistakes in settings, collected and shown all at once: file, line, key, what was found, what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.errors import SettingsInvalid

Key = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: a file and line, or a variable of the environment."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    origin: Origin
    key: str
    found: str
    expected: str
    nearest: str | None = None

    def __str__(self) -> str:
        near = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        return f"{self.origin}: {self.key}: found {self.found}, expected {self.expected}{near}"


@dataclass
class Problems:
    """Collects; raises once, in the order of the files."""

    origins: dict[Key, Origin] = field(default_factory=dict)
    found: list[Problem] = field(default_factory=list)

    def origin(self, key: Key) -> Origin:
        """Of the key, or of the nearest table around it that was written down."""
        for depth in range(len(key), 0, -1):
            if key[:depth] in self.origins:
                return self.origins[key[:depth]]
        return Origin("defaults")

    def add(self, key: Key, found: str, expected: str, nearest: str | None = None) -> None:
        self.found.append(Problem(self.origin(key), dotted(key), found, expected, nearest))

    def raise_if_any(self) -> None:
        if self.found:
            ordered = tuple(sorted(self.found, key=lambda p: (p.origin.source, p.origin.line, p.key)))
            shown = "".join(f"\n  {problem}" for problem in ordered)
            raise SettingsInvalid(f"{len(ordered)} mistake{'s' * (len(ordered) > 1)}:{shown}\n", ordered)


def dotted(key: Key) -> str:
    return ".".join(part if part.replace("_", "").replace("-", "").isalnum() else f'"{part}"' for part in key)


def nearest(name: str, known: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return close[0] if close else None


def shown(value: Any) -> str:
    """A value as it would stand in a file, cut where it is long."""
    text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
