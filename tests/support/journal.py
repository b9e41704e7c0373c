"""Journals of small segments and records that are easily told apart."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from engine._core.types import EVENT
from engine._core.world import World
from engine.journal.writer import JournalConfig, JournalWriter

BLOCK, PER_BLOCK = 4096, 59
SMALL = 4  # blocks of a segment


def rows(number: int, *, start: int = 0, kind: int = 2) -> Any:
    out = np.zeros(number, EVENT)
    at = np.arange(start, start + number)
    out["kind"] = kind
    out["seq"] = at
    out["ts_recv_ns"] = 1_000 + at
    out["word"] = at[:, None] * [1, -1, 7, 1 << 40, 3]
    return out


def small_world(**fields: int) -> World:
    return World(**{"symbols": 2, "strategies": 1, "orders": 16, **fields})


def small_journal(root: Path, **settings: Any) -> JournalWriter:
    """A journal of four blocks a segment, on a clock that counts calls."""
    boot = settings.pop("boot", b"this boot is one")
    world = settings.pop("world", None) or small_world()
    config = {"segment_bytes": (1 + SMALL) * BLOCK, "disk_free_bytes": 0, "compress": False} | settings
    ticks = count(1)
    return JournalWriter(root, JournalConfig(**config), seed=7, now_ns=lambda: next(ticks), world=world, boot=boot)


def fill(journal: JournalWriter, number: int, *, start: int = 0, at_once: int = 50, turn: bool = True) -> None:
    for at in range(start, start + number, at_once):
        journal.tape.append(rows(min(at_once, start + number - at), start=at))
        if turn:
            journal.turn()


def abandon(journal: JournalWriter) -> None:
    """Let go of a journal as a dying process does: nothing is ended, only the lock goes."""
    journal._closed = True
    os.close(journal._lock)
