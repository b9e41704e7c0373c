"""`bot4 venue` in a process of its own, as a person starts it, on a port that is free."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BOT4 = (sys.executable, "-c", "from engine.cli.main import main; main()")


@contextmanager
def served(*options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port; it is killed at the end, if it still runs."""
    child = subprocess.Popen(
        [*BOT4, "venue", "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        yield child, _port(child)
    finally:
        with child:
            child.kill()


def _port(child: subprocess.Popen[str]) -> int:
    assert child.stdout is not None
    while line := child.stdout.readline():
        if found := re.search(r"REST\s+http://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    pytest.fail(f"no venue: {child.communicate()}")
