"""How the guard sees and acts through the engine itself, from its own thread.

After a trip the core carries out the plan in its own steps, so that every cancel and every closing order is on the
record and passes the gate. This port only tells how far it is: the loop publishes one immutable account of itself each
turn, the guard reads the newest. An account that is too old means that the loop does not turn, and the call raises:
the guard then takes the other port, or ends by its grace.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core.clock import monotonic_ns
from engine._core.orders import OrderFlag, OrderType
from engine.errors import LoopSilent
from engine.runtime.engine import Engine
from engine.safety.guard import Action
from engine.venues.binance.ids import client_id

FRESH_NS = 500_000_000
# A stop that waits for its price closes nothing yet.
ARMED = (int(OrderType.TYPE_STOP), int(OrderType.TYPE_STOP_LIMIT), int(OrderType.TYPE_TRAILING))


@dataclass(frozen=True, slots=True)
class Account:
    """The engine and the venue at one turn of the loop. Times are monotonic."""

    at_ns: int
    facts: tuple[Mapping[str, int], ...]
    venue_lots: tuple[tuple[int, int], ...]  # symbol, lots: the venue's own word
    equity: tuple[int, int]  # the core's, the venue's
    standing: tuple[str, ...]  # as the venue and the courier spell them


def standing_of(orders: npt.NDArray[Any]) -> tuple[str, ...]:
    """Client ids as the courier reads them at the venue; the venues that it knows spell ours in one way."""
    return tuple(client_id(int(order["id_order"])) for order in orders)


def account_of(engine: Engine) -> Account:
    """Taken on the loop's thread, between two steps."""
    world = engine.core.world
    orders = world.live_orders()
    rows = world.instruments()
    held = np.asarray(world.positions()["lots"])
    left = orders["qty_lots"] - orders["filled_lots"]
    armed, selling = np.isin(orders["type"], ARMED), orders["sell"] == 1
    reducing = (orders["flags"] & OrderFlag.ORDER_REDUCE_ONLY) != 0
    facts = []
    for symbol, row in enumerate(rows):
        mine = orders["symbol"] == symbol
        facts.append(
            {
                "lots": int(held[symbol]),
                "open_buy_lots": int(left[mine & ~armed & ~selling].sum()),
                "open_sell_lots": int(left[mine & ~armed & selling].sum()),
                "bid_px_ticks": int(row["bid_px_ticks"]) if row["book_trusted"] else 0,
                "ask_px_ticks": int(row["ask_px_ticks"]) if row["book_trusted"] else 0,
                "qty_min_lots": int(row["qty_min_lots"]),
                "orders_live": int(mine.sum()),
                "entries_live": int((mine & ~reducing).sum()),
            }
        )
    return Account(
        at_ns=monotonic_ns(),
        facts=tuple(facts),
        venue_lots=tuple(engine.exchange.positions().items()),
        equity=(int(world.account()["equity"]), engine.exchange.equity()),
        standing=standing_of(orders),
    )


class EnginePorts:
    """`Ports` over the running engine. `publish` is the loop's, everything else the guard's thread."""

    def __init__(self, engine: Engine, *, ended: threading.Event, grace_s: float) -> None:
        self._engine = engine
        self._ended, self._grace_s = ended, grace_s
        self._account: Account | None = None
        self._published = threading.Event()

    def publish(self) -> None:
        """Once a turn, from the trip on."""
        self._account = account_of(self._engine)
        self._published.set()

    def refuse(self) -> None:
        """The latch has closed the door already; what is awaited is the loop's first word after it."""
        self._published.wait(FRESH_NS / 1e9)
        self._now()

    def facts(self) -> Sequence[Mapping[str, int]]:
        return self._now().facts

    def act(self, action: Action) -> None:
        """The core's own plan does it: the same plan, from the same settings, over the same facts."""

    def verified(self) -> Iterable[tuple[int, int, int]]:
        account = self._now()
        return [(symbol, lots, account.at_ns) for symbol, lots in account.venue_lots]

    def equity(self) -> tuple[int, int]:
        return self._now().equity

    def standing(self) -> Iterable[str]:
        return self._now().standing

    def stop(self, code: int) -> None:  # noqa: ARG002 - the lifecycle ends with the same code
        """The loop ends by itself once the sequence is over, with its journal closed in order. So long is waited."""
        account = self._account
        if account is not None and monotonic_ns() - account.at_ns < FRESH_NS:
            self._ended.wait(self._grace_s)

    def _now(self) -> Account:
        account = self._account
        if account is None or monotonic_ns() - account.at_ns > FRESH_NS:
            raise LoopSilent(
                "the loop has not turned since the trip" if account is None else "the loop stopped turning"
            )
        return account


def exit_once(ended: threading.Event, leave: Callable[[int], object]) -> Callable[[int], object]:
    """The guard's way out: nothing, where the loop has ended in order and its thread is about to leave by itself."""

    def end(code: int) -> None:
        if not ended.is_set():
            leave(code)

    return end
