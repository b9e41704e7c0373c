"""`bot4 run` on a terminal: its view has a screen of its own, and the terminal is given back with the summary."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import struct
import subprocess
import termios
import threading
from contextlib import contextmanager

from tests.integration.test_run import BOT4, FREE_PORTS, PATIENCE_S

OTHER_SCREEN, OWN_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


def read_until(master: int, *words: bytes) -> bytes:
    """What comes out of the terminal, up to all of these words or to its end."""
    seen = b""
    while not words or not all(word in seen for word in words):
        try:
            got = os.read(master, 65_536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # The last who had it open has closed it.
            got = b""
        if not got:
            return seen
        seen += got
    return seen


@contextmanager
def on_a_terminal(directory):
    """(the process, the terminal's other end). What waits for ever is ended, and the terminal with it."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    child = subprocess.Popen(
        [*BOT4, "run", "--seconds", "900", "--directory", str(directory)],
        stdout=slave, stderr=subprocess.PIPE, env=os.environ | FREE_PORTS | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(slave)
    late = threading.Timer(PATIENCE_S, child.kill)
    late.start()
    try:
        yield child, master
    finally:
        late.cancel()
        with child:
            child.kill()
        os.close(master)


def test_on_a_terminal_it_draws_on_a_screen_of_its_own_and_leaves_the_summary_on_the_first(tmp_path):
    with on_a_terminal(tmp_path) as (child, master):
        seen = read_until(master, OTHER_SCREEN, b"BTCUSDT", b"equity")
        assert OWN_SCREEN not in seen
        child.send_signal(signal.SIGINT)
        seen += read_until(master)
        assert child.wait(PATIENCE_S) == 0, child.stderr.read()
    drawn, _, after = seen.rpartition(OWN_SCREEN)
    assert OTHER_SCREEN in drawn
    assert b"replay it, byte for byte" in after
    # Below a view no line of the log tears it: they stand in the folder.
    (log,) = tmp_path.rglob("log.jsonl")
    assert all(line.startswith("{") for line in log.read_text().splitlines())


def test_a_terminal_that_nobody_reads_does_not_hold_up_the_engine(tmp_path):
    """A screen is larger than what a terminal keeps: the first is never drawn whole."""
    with on_a_terminal(tmp_path) as (child, master):
        read_until(master, OTHER_SCREEN)
        pictures = []
        while len(pictures) < 2 or pictures[-1]["counts"]["events"] <= pictures[0]["counts"]["events"]:
            assert child.poll() is None, child.stderr.read()
            done = subprocess.run(
                [*BOT4, "status", "--json", "-d", str(tmp_path)], capture_output=True, text=True, check=False
            )
            if done.returncode in (0, 4) and done.stdout:
                pictures.append(json.loads(done.stdout))
        child.send_signal(signal.SIGINT)
        assert b"replay it, byte for byte" in read_until(master)
        assert child.wait(PATIENCE_S) == 0, child.stderr.read()
