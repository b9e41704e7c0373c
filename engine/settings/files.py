"""Small files that must survive a crash: written beside, synced, renamed, the folder synced. Mode 0600."""

from __future__ import annotations

import os
from pathlib import Path


def write_durable(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file as a whole: after a crash it is the old one or the new one."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        # An older file of that name keeps its mode through O_CREAT.
        os.fchmod(descriptor, mode)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
