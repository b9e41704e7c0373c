"""What an exchange over sockets is to a session, and what it asks of the parts that differ between protocols.

Owns: the shapes. An exchange of a session is native (`live.py`), through ccxt (`bridged.py`), or several of them
(`several.py`); the composition root knows no difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy.typing as npt

from engine.runtime.engine import Engine, Exchange
from engine.venues.binance.ids import Request
from engine.venues.tally import TallyStart


class Session(Exchange, Protocol):
    """An exchange whose account outlives the process, on the machine's UTC."""

    @property
    def next_trade(self) -> dict[int, int]:
        """By symbol: the first of the account's trades that was not compared yet."""

    def go_on(self, reports: npt.NDArray[Any], start: TallyStart, orders: Iterable[int]) -> None: ...
    async def start(self, engine: Engine) -> None: ...
    async def close(self) -> None: ...
    def dead_man_state(self, now_ns: int) -> str: ...


class Asker(Protocol):
    """Who puts the question what became of an order, and knows which requests may still arrive."""

    placed: dict[int, int]
    asks: dict[int, tuple[Request, int]]

    def ask(self, request: Request, at_ns: int) -> None: ...
