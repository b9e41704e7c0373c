"""On which line of a TOML file a key stands: the parser does not say, and an error without its line is half an error.

Reads text that the parser has accepted already, so it may be simple: it follows strings, brackets and comments, and
notes each table header and each key at the beginning of a statement. A key inside an inline table or a list has the
line of the statement it stands in.
"""

from __future__ import annotations

import re

_KEY = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'))*)\s*"""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*'""")

Path = tuple[str, ...]


def lines_of(text: str) -> dict[Path, int]:
    """For each key path, and each table, the line (from 1) where it is first written."""
    found: dict[Path, int] = {}
    table: Path = ()
    at, line = 0, 1
    while at < len(text):
        start = at
        at = _end_of_statement(text, at)
        statement = text[start:at]
        stripped = statement.lstrip()
        where = line + statement[: len(statement) - len(stripped)].count("\n")
        line += statement.count("\n")
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.startswith("["):
            table = _parts(stripped.lstrip("[").split("]", 1)[0])
            _note(found, table, where)
        elif key := _KEY.match(stripped):
            _note(found, table + _parts(key[1]), where)
    return found


def _parts(dotted: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _note(found: dict[Path, int], path: Path, line: int) -> None:
    # A dotted key makes the tables above it as well.
    for depth in range(1, len(path) + 1):
        found.setdefault(path[:depth], line)


def _end_of_statement(text: str, at: int) -> int:
    """Behind the newline that ends the statement: not one inside a string or a bracket."""
    depth = 0
    while at < len(text):
        char = text[at]
        if char in "\"'":
            at = _end_of_string(text, at)
            continue
        if char == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        depth += (char in "[{") - (char in "]}")
        at += 1
        if char == "\n" and depth <= 0:
            return at
    return at


def _end_of_string(text: str, at: int) -> int:
    quote = text[at]
    mark = quote * 3 if text.startswith(quote * 3, at) else quote
    at += len(mark)
    while at < len(text) and not text.startswith(mark, at):
        at += 2 if text[at] == "\\" and quote == '"' else 1
    return at + len(mark)
