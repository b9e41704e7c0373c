"""A paper session whose venue has more money than it was paid, some looks after the start.

Arguments: its folder, its speed, and `keeps` or `returns`: whether the money is taken back when it was noticed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from engine.cli.output import echo_json
from engine.cli.run import read_settings
from engine.runtime.session import Session

AMOUNT = 7 * 10**8


class Giver:
    """A face that gives, once the books were compared a few times and agreed."""

    def __init__(self, *, returns: bool) -> None:
        self.session: Session | None = None
        self.returns = returns
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._give())

    async def _give(self) -> None:
        assert self.session is not None
        books, account = self.session.books, self.session.exchange.venue.account
        while books.look_count < 3:
            await asyncio.sleep(0.01)
        assert not books.breaks
        account.receive("USDT", AMOUNT)
        if self.returns:
            while not books.breaks:
                await asyncio.sleep(0.01)
            account.balances["USDT"].free -= AMOUNT
            while books.breaks:
                await asyncio.sleep(0.01)
            self.session.life.stop("it agrees again")

    def notify(self) -> None:
        return

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()


def main() -> None:
    giver = Giver(returns=sys.argv[3] == "returns")
    loaded = read_settings((), Path(sys.argv[1]))
    session = Session(loaded, speed=float(sys.argv[2]), faces=lambda _settings, _source, _handlers: giver)
    giver.session = session
    ended = uvloop.run(session.run(seconds=600))
    echo_json(ended)
    sys.exit(ended.exit_code)


if __name__ == "__main__":
    main()
