"""What ten people who look cost: tick to order of a paper session of `bot4 run`, with and without ten open pages.

Both are the whole session in this process - core, journal, embedded exchange, socket, page, alerts - in real time, one
after the other; the pages are ten streams at 20 pictures a second, read by another process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uvloop

from bench.harness import Report, sized
from engine.runtime.session import Session
from engine.settings.load import config_directory, load
from engine.settings.secrets import Secrets
from engine.web.faces import Faces

VIEWERS = 10
READER = """
import asyncio, sys, aiohttp
async def look(session, address):
    count = 0
    async with session.ws_connect(address, max_msg_size=0) as stream:
        async for message in stream:
            count += message.type == aiohttp.WSMsgType.TEXT
    return count
async def main(address, many):
    async with aiohttp.ClientSession() as session:
        print(sum(await asyncio.gather(*(look(session, address) for _ in range(many)))))
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def _session(directory: Path, seconds: float, viewers: int) -> tuple[npt.NDArray[np.float64], int]:
    """Every measured time of one session in ns, and how many pictures its viewers were sent."""
    environ = {
        "BOT4__ENGINE__DIRECTORY": str(directory), "BOT4__DASHBOARD__PORT": "0", "BOT4__METRICS__ENABLED": "false",
    }  # fmt: skip
    shown: list[Faces] = []
    readers: list[subprocess.Popen[str]] = []

    def faces(settings: Any, source: Any, handlers: Any) -> Faces:
        shown.append(Faces(settings, source, handlers, Secrets({})))
        return shown[0]

    def ready() -> None:
        board = shown[0].dashboard
        if viewers and board is not None:
            words = [sys.executable, "-c", READER, board.address.replace("http", "ws") + "stream", str(viewers)]
            readers.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))

    session = Session(load([config_directory() / "paper.toml"], environ=environ), faces=faces)
    uvloop.run(session.run(seconds=seconds, ready=ready))
    sent = sum(int(reader.communicate(timeout=60)[0]) for reader in readers)
    taken = session.engine.order_ns
    return np.repeat(taken.bucket_tops().astype(np.float64), taken.counts().astype(np.int64)), sent


def bench_viewers(report: Report, tmp_path: Path) -> None:
    seconds = sized(20, 3)
    alone, _ = _session(tmp_path / "alone", seconds, 0)
    watched, sent = _session(tmp_path / "watched", seconds, VIEWERS)
    assert sent > 0
    report.row("tick_to_order_ten_viewers", watched, peer="without a viewer", peer_samples=alone, checksum=sent)
