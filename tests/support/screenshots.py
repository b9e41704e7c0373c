"""Takes the pictures in docs/images from a session that really runs: `python -m tests.support.screenshots`.

Needs a Chromium and a minute. The market is generated, the engine, the page and the terminal are the real ones.
"""

from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path

from rich.console import Console

from engine.cli import screen
from engine.observe.commands import Peer
from engine.observe.display import Display
from engine.observe.history import History
from engine.web.server import Dashboard
from tests.source.files import ROOT
from tests.support.browser import chromium
from tests.support.paper_source import PaperEngine
from tests.support.serving import running_loop

IMAGES = ROOT / "docs" / "images"


def terminal(name: str, picture: object, width: int, height: int) -> None:
    """What a terminal of this size shows, as a scalable image."""
    console = Console(record=True, width=width, height=height, file=io.StringIO(), force_terminal=True)
    console.print(picture, height=height)
    drawn = console.export_svg(title="bot4")
    # The drawing would ask a stranger's server for its letters; the reader's own will do.
    drawn = re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL)
    (IMAGES / f"{name}.svg").write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n")


def main() -> None:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, running_loop() as loop, sync_playwright() as playwright:
        engine = PaperEngine(Path(folder) / "session", capacity=400_000)
        display = Display(engine)
        board = Dashboard(display, history=History(display, candle_ns=250_000_000), port=0)
        for _ in range(180):
            engine.run(100)
            board.history.update()
        loop.run(board.start())
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 1180})
        page.goto(board.address)
        page.wait_for_selector('#head[data-state="good"]')
        for _ in range(20):
            loop.call(lambda: engine.run(100))
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / "dashboard.png")
        events = list(engine.events(engine.numbered - 20, 100))
        terminal("run", screen.screen(engine.status(), events), 110, 34)
        terminal("top", screen.full_screen(engine.status(), events), 150, 44)
        loop.call(lambda: engine.halt(Peer(1, 0, 0), "drill"))
        page.wait_for_selector('#head[data-state="halted"]')
        page.wait_for_timeout(300)
        page.screenshot(path=IMAGES / "dashboard-halted.png")
        browser.close()
        loop.run(board.close())


if __name__ == "__main__":
    main()
