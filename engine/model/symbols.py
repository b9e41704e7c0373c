"""Twin of the symbol table: a dictionary."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from engine import errors
from engine.model import decimal


class Entry(NamedTuple):
    symbol: int
    px_step: bytes
    qty_step: bytes


class Symbols:
    def __init__(self, rows: Iterable[tuple[str, int, str, str]], *, capacity: int = 0) -> None:
        rows = list(rows)
        self.capacity = capacity or max(1, len(rows))
        if self.capacity > 32_768:
            raise errors.BadSize(str(capacity))
        self.by_text: dict[bytes, Entry] = {}
        for row in rows:
            self.add(*row)

    def add(self, text: str, index: int, px_step: str, qty_step: str) -> None:
        raw = text.encode()
        for step in (px_step, qty_step):
            decimal.step_of(step.encode())
        plain = all(byte > 0x20 and byte != 0x7F and byte not in b'"\\' for byte in raw)
        if not 1 <= len(raw) <= 24 or not plain or raw in self.by_text:
            raise errors.BadSymbol(text)
        if len(self.by_text) == self.capacity:
            raise errors.SymbolsFull(text)
        self.by_text[raw] = Entry(index, px_step.encode(), qty_step.encode())

    def entry(self, text: bytes, *, fold: bool = False) -> Entry | None:
        # bytes.upper() is ASCII only, as stream names are.
        return self.by_text.get(text.upper() if fold else text)

    def find(self, text: bytes, *, fold: bool = False) -> int | None:
        found = self.entry(text, fold=fold)
        return None if found is None else found.symbol

    def __len__(self) -> int:
        return len(self.by_text)

    def check(self) -> None:
        assert len(self.by_text) <= self.capacity
