"""An engine in this process at the venues that settings name: real sockets, and every moment of it can be asked."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

from engine._core.clock import utc_ns
from engine._core.tape import Tape
from engine._core.types import FEED, INTENT, Flag, Kind
from engine.journal.port import VenueView
from engine.runtime.begin import begin
from engine.runtime.engine import Engine
from engine.runtime.exchanges import open_exchange
from engine.runtime.several import SeveralExchanges
from engine.settings.load import load
from engine.settings.secrets import Secrets
from tests.support.loopback import be_patient


class Trading:
    """An engine in this process at every venue of its settings."""

    def __init__(self, folder: Path, path: Path) -> None:
        opened = open_exchange(load([path], environ={}).settings, utc_ns(), Secrets({}))
        begun = begin(folder, opened, utc_ns(), None)
        be_patient(begun.core)
        # What is held at a lost venue keeps its last price: how long is the limit's to say, and has tests of its own.
        begun.core.world.set_limits(equity_age_ns=86_400 * 10**9)
        self.world, self.exchange = begun.core.world, opened.exchange
        self.tape = Tape(folder / "tape.b4", capacity=1 << 21, write=True)
        self.engine = Engine(begun.core, self.tape, self.exchange, now_ns=utc_ns())
        self.placed: list[tuple[int, list[int], bool]] = []  # symbol, the asks as they were, whether it sells
        for door in self.exchange.parts.values() if isinstance(self.exchange, SeveralExchanges) else [self.exchange]:
            # How long the last look waits for one that is gone.
            door.care.config = replace(door.care.config, settle_s=2.0)
        self.filled: list[int] = []
        self.lost: set[int] = set()
        self.engine.watch(self._inputs, self._outputs)

    def _outputs(self, outputs):
        asks = self.world.instruments()["ask_px_ticks"].tolist()
        for row in outputs[outputs["kind"] == int(Kind.KIND_INTENT_PLACE)].view(INTENT):
            self.placed.append((int(row["symbol"]), asks, bool(row["flags"] & Flag.FLAG_SELL)))

    def _inputs(self, events):
        fills = events[events["kind"] == int(Kind.KIND_ORDER_FILL)]
        self.filled += fills["symbol"].tolist()
        for row in events[events["kind"] == int(Kind.KIND_FEED)].view(FEED):
            if row["feed"] == 0:
                continue
            (self.lost.discard if row["up"] else self.lost.add)(int(row["venue"]))

    @contextlib.asynccontextmanager
    async def running(self):
        await self.exchange.start(self.engine)
        self.turning = asyncio.create_task(self._turn())
        try:
            yield self
        finally:
            self.turning.cancel()
            await asyncio.gather(self.turning, return_exceptions=True)
            await self.exchange.close()
            self.tape.close()

    async def _turn(self):
        while True:
            self.engine.advance(utc_ns())
            await asyncio.sleep(0.002)

    async def until(self, condition):
        while not condition():
            if self.turning.done():
                self.turning.result()
            await asyncio.sleep(0.005)

    async def look(self) -> VenueView:
        """Asked again where trades came in between too often."""
        views: list[VenueView] = []

        def came():
            if not views:
                self.exchange.look({}, views.append)
            return bool(views)

        await self.until(came)
        return views[0]
