"""What every command shares: JSON on stdout, times as text, the exit codes."""

from __future__ import annotations

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
