"""The progress bar: on standard error, and only where somebody looks."""

from __future__ import annotations

import os
import subprocess
import sys

CODE = (
    "from engine.cli.progress import progress\n"
    "with progress('work') as advance:\n"
    "    for at in range(1, 101):\n"
    "        advance(at, 100, 'here')\n"
    "print('done')\n"
)


def test_it_shows_how_far_it_is_on_a_terminal_and_leaves_standard_output_alone():
    ours, theirs = os.openpty()
    # A terminal that does not say what it is gets no control codes, and so no bar.
    environ = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, stderr=theirs, env=environ) as child:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65_536):
                shown += piece
        except OSError:
            pass  # the other end is closed: that is how a terminal ends
        assert child.stdout is not None
        assert child.stdout.read() == b"done\n"
    os.close(ours)
    assert b"work" in shown
    assert b"100/100" in shown


def test_nothing_is_shown_in_a_pipe():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == (b"done\n", b"")
