"""What a person waits: from the command to a live picture with prices on the terminal, and to the answer of a halt.

Each start is a process of its own on a terminal of its own (a pty), as a person would start it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench.harness import Report, sized
from engine._core.clock import monotonic_ns

BOT4 = (sys.executable, "-c", "from engine.cli.main import main; main()")
# A price of each of the three symbols, an equity and the way to an order: the picture is whole.
WHOLE = (b"BTCUSDT", b"ETHUSDT", b"SOLUSDT", b"equity", b"tick to order")
FREE = {"BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__SAFETY__STALL_MS": "30000"}


def _first_picture(directory: Path) -> tuple[int, int, int]:
    """ns to the first whole picture; ns from a halt's start to its end and exit code of the halt."""
    ours, theirs = os.openpty()
    environ = os.environ | FREE | {"TERM": "xterm", "COLUMNS": "160", "LINES": "60"}
    begun = monotonic_ns()
    with subprocess.Popen(
        [*BOT4, "run", "-d", str(directory)], stdin=theirs, stdout=theirs, stderr=theirs, env=environ
    ) as engine:
        os.close(theirs)
        shown = b""
        while not all(word in shown for word in WHOLE):
            shown += os.read(ours, 65_536)
        taken = monotonic_ns() - begun
        asked = monotonic_ns()
        halt = subprocess.run([*BOT4, "halt", "-d", str(directory)], capture_output=True, check=False)
        halted = monotonic_ns() - asked
        engine.send_signal(signal.SIGINT)
        try:
            while os.read(ours, 65_536):
                pass
        except OSError:
            pass  # the terminal ended with the engine
    os.close(ours)
    assert engine.returncode == 70, shown[-2_000:]
    return taken, halted, halt.returncode


def bench_start(report: Report, tmp_path: Path) -> None:
    found = [_first_picture(tmp_path / str(at)) for at in range(sized(7, 1))]
    assert all(code == 0 for _, _, code in found)
    report.row("start_to_picture", np.array([taken / 1e9 for taken, _, _ in found]), checksum=len(found))
    report.row("halt_command", np.array([halted / 1e9 for _, halted, _ in found]), checksum=len(found))
