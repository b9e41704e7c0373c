"""What every command shares: JSON on stdout, times as text, the exit codes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

# 0 done; 1 refused or failed, one line says why; 2 the command line was wrong (click's own).
EXIT_UNREACHABLE = 3  # no engine answers at the socket
EXIT_UNHEALTHY = 4  # it answers, and is halted or not healthy
EXIT_CODES = {
    0: "done",
    1: "refused or failed; one line on stderr says why and what to do",
    2: "the command line was wrong",
    EXIT_UNREACHABLE: "no engine answers at the control socket",
    EXIT_UNHEALTHY: "the engine answers and is halted, or a check failed",
}


def echo_json(value: Any) -> None:
    """One JSON document, indented, keys in the order they were made."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def iso(ts_ns: int) -> str:
    """A time of UTC as text, to the second."""
    return f"{np.datetime64(ts_ns, 'ns').astype('datetime64[s]')}Z"


def program() -> str:
    """How this program is called from here, so that a command that is printed can be copied: `bot4`, or its path."""
    called = Path(sys.argv[0])
    found = shutil.which("bot4")
    if called.name != "bot4" or not called.exists():
        return "bot4"
    if found is not None and Path(found).samefile(called):
        return "bot4"
    try:
        return str(called.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(called.absolute())
