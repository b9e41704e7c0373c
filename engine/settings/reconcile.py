"""The section [reconcile]: how often our books meet the venue's, what may differ, and what a break stops."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from engine.settings.trading import Section
from engine.settings.units import amount, plain, whole

Action = Literal["report", "symbol", "all"]
CHECKS = ("orders", "executions", "position", "profit", "cash", "price")


def _check(text: str) -> msgspec.Meta:
    return plain("choice", f"{text} A break is reported, or stops new orders of its symbol, or of all.")


class Reconcile(Section, frozen=True, kw_only=True):
    """Our books against the venue's, while it runs and after each reconnect: docs/journal/recovery.md."""

    interval_s: Annotated[int, whole("s", 1, 3_600, "Time between two comparisons.", "down")] = 60
    young_ms: Annotated[
        int, whole("ms", 1, 60_000, "What differs for less is still on its way; so is a request that is younger.")
    ] = 5_000
    grace_s: Annotated[
        int, whole("s", 1, 86_400, "A break that stands for so long trips the latch: late confirmations.", "down")
    ] = 1_800
    cash: Annotated[int, amount("asset", "0", "1", "Most that cash and profit may differ by.", "down")] = 10**6
    position_lots: Annotated[int, whole("lots", 0, 1_000, "Most that a position may differ by.", "down")] = 0
    price_ppm: Annotated[
        int, whole("ppm", 1, 1_000_000, "Most that an execution may lie off the market's price.", "down")
    ] = 50_000
    orders: Annotated[Action, _check("Open orders and what is filled of them.")] = "symbol"
    executions: Annotated[Action, _check("Each fill against each trade of the venue.")] = "symbol"
    position: Annotated[Action, _check("The sum of the trades against the position.")] = "symbol"
    profit: Annotated[Action, _check("Bought and sold value against realised profit and cost.")] = "symbol"
    cash_action: Annotated[Action, _check("Start + flows - fees against cash.")] = "all"
    price: Annotated[Action, _check("Execution prices against the market's.")] = "report"
    foreign: Annotated[
        Literal["cancel", "refuse"],
        plain("choice", "Open orders that are not ours: cancelled, or a break that stops their symbol."),
    ] = "cancel"

    def actions(self) -> dict[str, str]:
        """What each break does; an order that is not ours is one of the orders."""
        own = {name: getattr(self, name) for name in CHECKS if name != "cash"}
        return own | {"cash": self.cash_action, "foreign": self.orders}
