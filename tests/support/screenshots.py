"""Takes the pictures in docs/images from a real `bot4 run`: `python -m tests.support.screenshots`.

With `report` only that of a backtest. Needs a Chromium and two minutes. The engine is a process of its own, started
as a user starts it; the terminal's pictures are drawn from its control socket by the code that `bot4 run` and
`bot4 top` draw with, the page's by a browser.
Then it is halted, and the time from the trip to the red page is measured: the page notes when it turned, the latch's
record says when it tripped.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.cli import screen
from engine.errors import ControlUnreachable
from engine.observe.client import ControlClient
from engine.observe.commands import Halt
from tests.source.files import ROOT
from tests.support.browser import chromium

IMAGES = ROOT / "docs" / "images"
STRATEGIES = ("QUOTER_BTC", "QUOTER_ETH", "BREAKOUT_SOL")
REPORT_HEIGHT = 3_000  # down to the sensitivity; the lists of trips and fills go on below
SECONDS = 45.0  # of trading before the pictures: candles and a curve to look at
NOTE_RED = (
    "() => { window.red = 0; const head = document.getElementById('head'); new MutationObserver(() => { "
    "if (head.dataset.state === 'halted' && !window.red) window.red = Date.now(); })"
    ".observe(head, {attributes: true}); }"
)


def terminal(name: str, picture: Any, width: int, height: int) -> None:
    """What a terminal of this size shows, as a scalable image."""
    console = Console(record=True, width=width, height=height, file=io.StringIO(), force_terminal=True)
    console.print(picture, height=height)
    drawn = console.export_svg(title="bot4")
    # The drawing would ask a stranger's server for its letters; the reader's own will do.
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    (IMAGES / f"{name}.svg").write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n")


def engine(directory: Path) -> tuple[subprocess.Popen[str], str]:
    """A running engine and the address of its page."""
    ports = {"BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__PORT": "0", "PYTHONUNBUFFERED": "1"}
    # A browser draws on the same processor: a call that it interrupted must not stop a strategy.
    ports |= {
        f"BOT4__STRATEGIES__{name}__{key}": "1000000000" for name in STRATEGIES for key in ("BUDGET_NS", "HARD_NS")
    }
    process = subprocess.Popen(
        [sys.executable, "-c", "from engine.cli.main import main; main()", "run", "--plain", "-d", str(directory)],
        stdout=subprocess.PIPE, text=True, env=os.environ | ports,
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline().removeprefix("the page: ").strip()


def client(directory: Path) -> ControlClient:
    while True:
        try:
            return ControlClient(directory / "control.sock", timeout_s=60)
        except ControlUnreachable:
            time.sleep(0.2)


def trip_and_measure(page: Any, asked: ControlClient) -> float:
    """Milliseconds from the trip, as the latch's record has it, to the red head of the page."""
    page.evaluate(NOTE_RED)
    asked.call(Halt("a drill for the picture"))
    page.wait_for_function("() => window.red > 0")
    tripped_ns = page.evaluate("() => state.status.latch.since_ns")
    return float(page.evaluate("() => window.red")) - tripped_ns / 1e6


def report() -> None:
    """The page of a backtest on a shipped sample, as a browser shows it."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "report.html"
        call = [str(ROOT / ".venv" / "bin" / "bot4"), "backtest", "trend", "--data", "sample:vision-klines"]
        subprocess.run([*call, "--set", "bar_s=300", "--set", "qty=100", "--report", str(made)], check=True)
        size = f"--window-size=1040,{REPORT_HEIGHT}"
        shown = f"--screenshot={IMAGES / 'backtest.png'}"
        browser = str(chromium())
        subprocess.run(
            [browser, "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size, shown, made.as_uri()], check=True
        )


def main() -> None:
    if sys.argv[1:] == ["report"]:
        report()
        return
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        directory = Path(folder) / "run"
        process, address = engine(directory)
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1500, "height": 1180})
        page.set_default_timeout(240_000)
        with client(directory) as asked:
            time.sleep(SECONDS)
            status, events = asked.status(), asked.events(0, 10_000)
            terminal("run", screen.screen(status, events[-8:], height=32, page="http://127.0.0.1:8080/"), 110, 32)
            terminal("top", screen.full_screen(status, events), 150, 44)
            page.goto(address)
            page.wait_for_selector('#head[data-state="good"]')
            page.wait_for_timeout(4_000)
            page.screenshot(path=IMAGES / "dashboard.png")
            print(f"from trip to red: {trip_and_measure(page, asked):.0f} ms")  # noqa: T201
        page.wait_for_function("() => document.getElementById('mode').textContent === 'engine ended'")
        page.screenshot(path=IMAGES / "dashboard-halted.png")
        browser.close()
        assert process.stdout is not None
        print(process.stdout.read())  # noqa: T201
        assert process.wait() == 70


if __name__ == "__main__":
    main()
