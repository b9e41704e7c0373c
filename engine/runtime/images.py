"""Images of books for a live driver: asked for over REST until one fits the changes that were held back for it.

Owns: how often was asked. Does not own: the local-book procedure (`engine/venues/feed.py`), the tasks (`care.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from engine._core.clock import utc_ns
from engine.errors import Bot4Error
from engine.venues.feed import IMAGE_LEVELS

if TYPE_CHECKING:
    from engine.runtime.live import LiveExchange


class Images:
    def __init__(self, live: LiveExchange) -> None:
        self.live = live
        self.count = 0

    def want(self, symbols: Iterable[int]) -> None:
        for symbol in symbols:
            self.live.care.begin(f"image {symbol}", partial(self._image, symbol))

    async def _image(self, symbol: int) -> None:
        live, again_s = self.live, self.live.care.config.again_s
        instrument = live.directory.at(symbol)
        assert instrument is not None
        while symbol in live.feed.wants_image():
            try:
                body = await live.account.depth(instrument.text, limit=IMAGE_LEVELS)
            except Bot4Error as error:
                live.care.failures[f"image {symbol}"] = str(error)
                await asyncio.sleep(again_s)
                continue
            self.count += 1
            if not live.image(symbol, body, utc_ns()):
                await asyncio.sleep(again_s)
