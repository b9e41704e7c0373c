"""A small account behind the guard's ports: orders and positions that change as the plan acts, trouble by script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine._core.clock import monotonic_ns
from engine._core.modes import Act
from engine.safety.guard import Action


@dataclass
class Order:
    name: str
    symbol: int
    lots: int  # signed
    reduce_only: bool = False
    armed_stop: bool = False
    plan: bool = False


@dataclass
class Account:
    """The truth at the venue: what both ports see and change."""

    lots: list[int]
    orders: list[Order] = field(default_factory=list)
    # One word per action, used up in turn: "", "raise", "lose" (nothing happens), "fill" (an entry fills first).
    trouble: list[str] = field(default_factory=list)
    answers: list[tuple[int, int, int]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    equities: tuple[int, int] = (1_000_000, 1_000_000)

    def next_trouble(self) -> str:
        return self.trouble.pop(0) if self.trouble else ""


class DeskPorts:
    """`Ports` over an account. `dead` makes every call raise, as a port does whose loop is gone."""

    def __init__(self, account: Account, name: str = "first", *, dead: bool = False) -> None:
        self.account = account
        self.name = name
        self.dead = dead
        self.stopped: list[int] = []

    def _live(self, what: str) -> None:
        if self.dead:
            raise ConnectionError(f"{self.name}: {what}")
        self.account.log.append(f"{self.name} {what}")

    def refuse(self) -> None:
        self._live("refuse")

    def facts(self) -> Sequence[Mapping[str, int]]:
        if self.dead:
            raise ConnectionError(self.name)
        rows = []
        for symbol, lots in enumerate(self.account.lots):
            mine = [o for o in self.account.orders if o.symbol == symbol]
            working = [o for o in mine if not o.armed_stop]
            rows.append({
                "lots": lots, "orders_live": len(mine), "bid_px_ticks": 1000, "ask_px_ticks": 1001, "qty_min_lots": 1,
                "open_buy_lots": sum(o.lots for o in working if o.lots > 0),
                "open_sell_lots": -sum(o.lots for o in working if o.lots < 0),
                "entries_live": sum(not o.reduce_only for o in mine), "plan_live": sum(o.plan for o in mine),
            })  # fmt: skip
        return rows

    def act(self, action: Action) -> None:
        self._live(Act(action.kind).name.removeprefix("ACT_").lower())
        trouble = self.account.next_trouble()
        if trouble == "raise":
            raise ConnectionError("the venue hung up")
        if trouble == "lose":
            return
        if trouble == "fill":
            entry = next((o for o in self.account.orders if o.symbol == action.symbol and not o.reduce_only), None)
            if entry is not None:
                self.account.orders.remove(entry)
                self.account.lots[entry.symbol] += entry.lots
        self._do(action)

    def _do(self, action: Action) -> None:
        account, symbol = self.account, action.symbol
        gone = {
            Act.ACT_CANCEL_ENTRIES: lambda o: not o.reduce_only,
            Act.ACT_CANCEL_ALL: lambda o: True,
            Act.ACT_CANCEL_PLAN: lambda o: o.plan,
        }.get(action.kind)
        if gone is not None:
            account.orders = [o for o in account.orders if o.symbol != symbol or not gone(o)]
        elif action.kind == Act.ACT_VERIFY:
            account.answers.append((symbol, account.lots[symbol], monotonic_ns()))
        elif action.kind in (Act.ACT_PLACE_LIMIT, Act.ACT_PLACE_MARKET):
            signed = -action.qty_lots if action.sell else action.qty_lots
            # The venue's reduce-only: never more than what is held, never in the same direction.
            held = account.lots[symbol]
            assert signed * held < 0, "a flatten order that does not reduce"
            account.lots[symbol] += signed if abs(signed) <= abs(held) else -held

    def verified(self) -> Iterable[tuple[int, int, int]]:
        if self.dead:
            raise ConnectionError(self.name)
        answers, self.account.answers = self.account.answers, []
        return answers

    def equity(self) -> tuple[int, int]:
        if self.dead:
            raise ConnectionError(self.name)
        return self.account.equities

    def standing(self) -> Iterable[str]:
        if self.dead:
            raise ConnectionError(self.name)
        return [o.name for o in self.account.orders]

    def stop(self, code: int) -> None:
        self.stopped.append(code)
