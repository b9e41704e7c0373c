"""A new user's path, by copy and paste: README and tutorial, line by line, in a folder like a fresh clone.

Only what takes long is made short (fewer worlds, fewer events), by options behind what the documents say; what would
build is taken as built. Ctrl-C is pressed on a real terminal.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from engine._core.clock import monotonic_ns
from tests.source.files import ROOT

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATIENCE_S = 240
# What is pressed shorter than the documents say, by the command that it stands behind.
SHORT = {"certify": "--seeds 1 --hours 0.05 --workers 1", "backtest": "--events 5000", "run": "", "top": "--count 1"}
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>()][A-Z0-9]?)")


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The tree as one has it after a clone and the first build."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("engine", "config", "docs"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "strategies", folder / "strategies", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "README.md", "setup.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    # The program of this interpreter, whatever it is called there.
    (commands / "bot4").write_text(
        f"#!{sys.executable}\nimport sys\nfrom engine.cli.main import main\nsys.exit(main())\n"
    )
    (commands / "bot4").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def environ(clone, tmp_path_factory):
    ports = {"BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "BOT4__SAFETY__STALL_MS": "30000"}
    cache = str(tmp_path_factory.mktemp("cache"))
    # A suite that `make test` runs hands its own variables to every `make` below it: ARGS would be the engine's.
    ours = ("BOT4_", "COV_", "COVERAGE", "MAKE", "MFLAGS", "ARGS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | ports | {"PYTHONPATH": str(clone), "BOT4_STRATEGY_CACHE": cache, "TERM": "xterm-256color"}


def _short(line):
    words = line.split()
    command = words[1] if len(words) > 1 and words[0].endswith("bot4") else ""
    if words[0] == "make":
        # What a clone would compile now is there already.
        return line.replace("make ", "make -o .venv/built.stamp -o .venv/dev.stamp ", 1)
    more = SHORT.get(command, "")
    return f"{line} {more}".strip()


def _bash(script, clone, environ):
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=clone, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Terminal:
    """A terminal of 80 columns and 24 lines, and what runs in it."""

    def __init__(self, line, clone, environ):
        self.text = ""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=clone, env=environ, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def read(self):
        """Some more of what it shows; False at the end."""
        ready, _, _ = select.select([self.master], [], [], 1.0)
        if not ready:
            return True
        try:
            data = os.read(self.master, 65_536)
        except OSError:
            return False
        self.text += ESCAPES.sub("", data.decode(errors="replace"))
        return bool(data)

    def until(self, *words):
        end_ns = monotonic_ns() + PATIENCE_S * 10**9
        while missing := [word for word in words if word not in self.text]:
            if not self.read() or monotonic_ns() > end_ns:
                pytest.fail(f"it never showed {missing}:\n{self.text[-4_000:]}")

    def press_ctrl_c(self):
        """What a terminal does: the signal goes to everything that runs in it."""
        os.killpg(self.process.pid, signal.SIGINT)
        while self.read():
            continue
        self.process.wait(PATIENCE_S)

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)
        os.close(self.master)


def _readme_commands():
    lines = (ROOT / "README.md").read_text().splitlines()
    return [re.split(r"\s+# ", line.strip())[0] for line in lines if re.match(r"    (make|\.venv/bin/bot4) ", line)]


# What somebody wants to know of an engine within a minute, and it has to fit 24 lines.
SHOWN = ("Normal", "tier whale", "BTCUSDT", "ETHUSDT", "SOLUSDT", "position", "profit", "order (", "equity", "today",
         "tick to order", "p50", "p99", "journal", "healthy", "health", "well", "last why not", "event",
         "http://127.0.0.1:", "Ctrl-C")  # fmt: skip


def test_make_run_shows_everything_live_and_ctrl_c_ends_it_in_order(clone, environ):
    """README: `make run`, `bot4 top` beside it, Ctrl-C; then the summary's own commands, as they are printed."""
    commands = _readme_commands()
    assert commands[0] == "make run"
    terminal = Terminal(_short("make run"), clone, environ)
    try:
        terminal.until(*SHOWN)
        # From here on nobody reads the terminal: it fills up, and the engine must not wait for it.
        (top,) = [line for line in commands if line.endswith("bot4 top")]
        shown = _bash(_short(top), clone, environ)
        assert "symbols" in shown
        assert "why not" in shown
        terminal.press_ctrl_c()
    finally:
        terminal.close()
    ended = terminal.text
    assert "ended because SIGINT received" in ended
    assert "0 orders left at the venue" in ended
    printed = re.findall(r"(?:byte for byte|its events|orders along): +(\S*bot4 .*?)\r?\n", ended)
    assert len(printed) == 3, ended[-2_000:]
    found = environ | {"PATH": f"{clone}/.venv/bin:{environ['PATH']}"}
    told = [_bash(line, clone, found) for line in printed]
    assert told[0].startswith("equal: ")
    assert "order_fill" in told[1]
    assert told[2].startswith("kind,flags,")


def test_the_other_commands_of_the_readme_do_what_it_says(clone, environ):
    """They are those that need no engine beside them; `bot4 venue` ends by itself after a second here."""
    for line in _readme_commands():
        words = line.split()
        if words[0] == "make" or words[1] == "top":
            continue
        if words[1] == "venue":
            assert "market streams" in _bash(f"{line} --port 0 --seconds 1", clone, environ)
            continue
        shown = _bash(_short(line), clone, environ)
        assert shown.startswith(("equal", "CERTIFIED", "strategies.")), (line, shown)


def test_the_tutorial_works_by_copy_and_paste(clone, environ):
    """Files are written where their title says, lines are run as they stand, in the order of the page."""
    said, prelude = [], ""
    for language, title, text in BLOCK.findall((ROOT / "docs" / "tutorial.md").read_text()):
        if title:
            (clone / title).write_text(text)
            continue
        assert language == "sh", text
        for line in text.splitlines():
            if line == "make run":
                continue  # the first test has walked it
            if line.startswith("export "):
                prelude += line + "\n"
                continue
            said.append((line, _bash(prelude + _short(line), clone, environ)))
    done = {line.split()[1]: shown for line, shown in said if not line.startswith("bot4 strategy")}
    assert done["backtest"].startswith("strategies.patient on BTCUSDT, generated")
    assert "look-ahead  passed" in done["backtest"]
    assert (clone / "patient.html").stat().st_size > 1_000
    assert done["certify"].startswith("CERTIFIED  strategies.patient")
    assert "patient" in done["config"]
    assert "ended because its time is over" in done["run"]
    assert done["replay"].startswith("equal: ")
    intents = int(re.search(r"([\d,]+) intents", done["run"])[1].replace(",", ""))
    assert intents > 0
    fills = int(re.search(r"([\d,]+) fills", done["backtest"])[1].replace(",", ""))
    assert fills > 0


def test_certify_of_a_name_that_is_none_is_one_plain_line_and_ends(clone, environ):
    done = subprocess.run(
        [Path(".venv/bin/bot4"), "certify", "strategies.nothing"],
        cwd=clone, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "BOT4-964" in done.stderr
    assert "Traceback" not in done.stderr
