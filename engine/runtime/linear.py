"""What a live driver does beside the hot path for an account of perpetuals: settings, funding, dead-man.

Owns: which payments were asked for, what the account's settings are held against. Does not own: the time table and the
tasks (`care.py`). The dead-man timer is renewed from the loop that trades: when that stands still, or a fault of ours
has ended the session, nobody renews it and the venue cancels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from engine._core.clock import utc_ns
from engine.errors import Bot4Error
from engine.venues.records import Records

if TYPE_CHECKING:
    from engine.runtime.door import Door

MS = 1_000_000


class LinearCare:
    def __init__(self, live: Door) -> None:
        self.live = live
        self.funding_ns = 0  # the venue's time from which payments are asked for; 0: from the first look on
        self.payment_count = 0
        self.margin_ppm: dict[str, int] = {}  # by symbol: what the core sets aside of a notional

    def acts(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        out = {"funding": self.fund, "settings": self.check_settings}
        return out | ({"dead_man": self.arm} if self.live.dead_man.available else {})

    async def check_settings(self) -> None:
        found = await self.live.account.settings()
        shares = {i.text: self.margin_ppm.get(i.text, 10**6) for i in self.live.directory}
        why_not = found.why_not(shares)
        if why_not:
            self.live.note("settings", why_not)
        self.live.gate.settings(why_not)

    # --------------------------------------------------------------------------------------------------------- funding
    async def fund(self) -> None:
        """Every payment since the last look; the core knows one that it has booked by its number."""
        live = self.live
        now = utc_ns()
        if not self.funding_ns:
            self.funding_ns = live.clock.venue_now_ns(now)
            return
        records = Records()
        for number, symbol, asset, units, ts_ns in sorted(await live.account.funding_since(self.funding_ns)):
            self.payment_count += 1
            records.funding(
                symbol=symbol, ts_venue_ns=ts_ns, ts_recv_ns=now, id_funding=number, asset=asset, amount=units
            )
            self.funding_ns = ts_ns
        if len(records):
            live.tell(records.take())

    # -------------------------------------------------------------------------------------------------------- dead-man
    async def arm(self) -> None:
        """Armed is armed for every symbol: it is said when the last of them has answered."""
        live = self.live
        if live.failure is not None:
            return
        try:
            for instrument in live.directory:
                await live.account.arm_dead_man(instrument.text, live.dead_man.after_ns // MS)
        except Bot4Error as error:
            live.dead_man.refused(str(error))
            raise
        live.dead_man.armed(utc_ns())

    async def disarm(self) -> None:
        """After the last look nothing rests that it could cancel."""
        for instrument in self.live.directory:
            await self.live.account.arm_dead_man(instrument.text, 0)
        self.live.dead_man.disarmed()

    # ------------------------------------------------------------------------------------------------------- positions
    async def differences(self) -> int:
        """How many positions are not what the core believes, by the venue's own word."""
        found, ours = await self.live.account.positions(), self._believed()
        wrong = [i for i in self.live.directory if found.get(i.index, 0) != ours[i.index]]
        for i in wrong:
            self.live.note("position", f"{i.text}: {found.get(i.index, 0)} lots at the venue, {ours[i.index]} here")
        if not wrong:
            self._tell(found, ours)
        return len(wrong)

    async def look(self) -> None:
        """Asked for where no stream tells it: told when it is what the core believes, or stays something else.

        A fill that one side has heard of and the other has not is no difference; it is looked at again.
        """
        care = self.live.care.config
        for tries_left in reversed(range(care.looks_most)):
            before = self._believed()
            found = await self.live.account.positions()
            same = all(found.get(symbol, 0) == lots for symbol, lots in before.items())
            if before == self._believed() and (same or not tries_left):
                self._tell(found, before)
                return
            await asyncio.sleep(care.again_s)

    def _believed(self) -> dict[int, int]:
        lots = self.live.core.world.positions()["lots"]
        return {i.index: int(lots[i.index]) for i in self.live.directory}

    async def tell_positions(self, symbols: Iterable[int]) -> None:
        self._tell(await self.live.account.positions(), symbols)

    def _tell(self, found: dict[int, int], symbols: Iterable[int]) -> None:
        records, now = Records(), utc_ns()
        for symbol in symbols:
            # Of the same answer; what a stream said of it may be older.
            entry_px_e8 = self.live.account.entry_px_e8.get(symbol, 0)
            records.position(
                symbol=symbol, ts_venue_ns=self.live.clock.venue_now_ns(now) // MS * MS, ts_recv_ns=now,
                lots=found.get(symbol, 0), entry_px_e8=entry_px_e8,
            )  # fmt: skip
        self.live.tell(records.take())
