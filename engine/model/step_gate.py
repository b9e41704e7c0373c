"""Twin of the step's state and of the gate's questions: what is exposed, what an ask counts, what a denial says.

The lowest of the layers, like the kernel's: gate, orders, slices, brackets, plans, wishes, market, events; each calls
downward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine._core.modes import Mode
from engine._core.orders import OrderFlag, OrderType
from engine._core.types import Feed, Kind, Stage
from engine.model.algos import Algos
from engine.model.book import Book
from engine.model.brackets import Brackets
from engine.model.correlation import Correlation
from engine.model.ledger import Ledger
from engine.model.modes import Modes
from engine.model.orders import Orders
from engine.model.risk import Gate
from engine.model.routing import Routing
from engine.model.step_discipline import Judge
from engine.model.strategy import Row
from engine.model.triggers import Triggers
from engine.model.validate import Validate

SECOND = 10**9
MARK = ("mark_px_e8", "funding_rate_e8", "ts_funding_ns")
NOBODY, EVERY = 0xFFFF, 0xFFFF  # no strategy: the engine itself; no one symbol: all of them
MOST = 2**63 - 1
# The kernel's own: docs/kernels/brackets.md.
BRACKET_RULES = {
    "protect_ns": 3 * SECOND, "unwind_ns": 5 * SECOND, "close_ns": 10 * SECOND, "alarm_ns": 30 * SECOND,
    "places_max": 64, "unwinds_max": 5, "asks_max": 3, "lates_max": 3,
}  # fmt: skip
WAITS_FOR_A_PRICE = (OrderType.TYPE_STOP, OrderType.TYPE_STOP_LIMIT, OrderType.TYPE_TRAILING)
# On the ack the order is already among the live ones: what counts orders and rates would count it twice. And it rests
# already: what is not known just now is no reason to take it back.
NOT_AGAIN = {
    "ORDER_RATE", "CHURN", "OPEN_ORDERS_SYMBOL", "OPEN_ORDERS_ALL", "DUPLICATE_INTENT", "SELF_TRADE", "SIGNAL_STALE",
    "NOT_REDUCING", "NOT_OWNED", "BOOK_UNTRUSTED", "BOOK_STALE", "EQUITY_STALE", "CLOCK_DRIFT", "REJECTS", "BREAKER",
    "FEES_STALE",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What somebody wants placed."""

    symbol: int
    strategy: int
    tag: int
    sell: bool
    qty: int
    px: int = 0  # 0: at market, also when triggered
    trigger: int = 0
    trail: int = 0
    display: int = 0
    expire: int = 0
    signal: int = 0
    protect: int = 0  # the stop that an entry states: for the gate
    type: int = 0
    tif: int = 0
    lane: str = "normal"
    reduces: bool = False
    bracket: int = 0
    leg: int = 0
    sibling: Any = None  # another exit over the same position, of which only one will fill


def _books(symbols: int, cash: int, linear: bool, **terms: int) -> Ledger:
    """Spot or linear perpetuals of one quote asset, the account's own, with what was in it before."""
    ledger = Ledger(assets=1 + symbols, symbols=symbols)
    for asset in range(1 + symbols):
        ledger.set_asset(asset)
    for symbol in range(symbols):
        ledger.set_symbol(symbol, linear=linear, base=1 + symbol, quote=0, **terms)
    if cash:
        ledger.transfer(0, cash)
    return ledger


class GateSide:
    def __init__(self, *, symbols: int, strategies: int, orders: int, can: int, account: dict[str, int],
                 limits: dict[str, int], gate_symbol: dict[str, int], own: dict[str, int], unit_value: int,
                 tick_e8: int, lot_units: int, modes: dict[str, int] | None = None,
                 cash_only: bool = False, discipline: dict[str, Any] | None = None,
                 brackets: int = 0, bracket_rules: dict[str, int] | None = None, validate: dict[str, Any] | None = None,
                 books: dict[str, int] | None = None, triggers: int = 0, algos: int = 0, tracked: int = 0,
                 samples_min: int = 30, sample_ns: int = 60 * SECOND, fees: tuple[int, int] = (0, 0), cash: int = 0,
                 fees_age_ns: int = 0, linear: bool = False,
                 groups: Sequence[tuple[Sequence[int], int]] = ()) -> None:  # fmt: skip
        self.now = 0
        self.judge = None if discipline is None else Judge(strategies, symbols, **discipline)
        self.lot_units, self.tick_e8, self.cash_only = lot_units, tick_e8, cash_only
        self.modes = Modes(symbols=symbols, **(modes or {}))
        self.modes.mode = Mode.MODE_NORMAL
        self.can = can
        self.gate = Gate(symbols=symbols)
        self.gate.set_limits(**limits)
        self.gate.set_account(**account)
        self.orders = Orders(capacity=orders, symbols=symbols, ack_ns=5 * SECOND, cancel_ns=5 * SECOND,
                             replace_ns=5 * SECOND, unknown_ns=30 * SECOND)  # fmt: skip
        self.accounted = cash > 0
        self.ledger = _books(symbols, cash, linear, unit_value=unit_value, lot_units=lot_units, tick_e8=tick_e8)
        for symbol in range(symbols):
            self.gate.set_symbol(symbol, **gate_symbol, fees_until_ns=int(fees_age_ns > 0))
        quiet = dict.fromkeys("bid ask bid_lots ask_lots ts trusted halted books other data".split(), 0)
        self.touch = [dict(quiet) for _ in range(symbols)]
        self.lots = [0] * symbols
        self.rows = [Row(**own) for _ in range(strategies)]
        self.held: list[dict[tuple[int, bool], int]] = [{} for _ in range(strategies)]
        self.symbol_of = [min(i, symbols - 1) for i in range(strategies)]
        self.sent_px: dict[int, int] = {}
        self.down: set[int] = set()
        self.unreconciled = False
        self.paid: set[tuple[int, int, int]] = set()
        self.out: list[tuple[Any, ...]] = []
        self.brackets = Brackets(capacity=brackets, **(BRACKET_RULES | (bracket_rules or {}))) if brackets else None
        # The brackets over a net position, while long and while short; and where their stops shall stand.
        self.guards, self.stops = ([[0, 0] for _ in range(strategies)] for _ in range(2))
        self.dust, self.venue_equity, self.id_funding = [0] * symbols, 0, 0
        self.valued = [(0, 0)] * symbols  # the position that was valued whole the last time, and its value since
        self.stop_px = [0] * symbols  # of the nearest live stop
        self.unprotected = [0] * symbols
        self.last_px = [0] * symbols  # of the newest trade
        self.marks = [dict.fromkeys(MARK, 0) for _ in range(symbols)]  # as the venue told them last
        self.fees_age_ns = fees_age_ns
        self.unit_value, self.fees, self.lots_range = unit_value, [fees] * symbols, gate_symbol
        self.validate = None if validate is None else Validate(symbols=symbols)
        for symbol in range(symbols):
            if self.validate:
                self.validate.configure(symbol, **(validate or {}))
        self.books = None if books is None else [Book(**books) for _ in range(symbols)]
        self.triggers = Triggers(capacity=triggers, symbols=symbols) if triggers else None
        self.waiting: dict[int, int] = {}  # handles of the triggers that hold orders back, by order
        self.algos = Algos(capacity=algos) if algos else None
        self.carried: dict[int, tuple[int, int]] = {}  # of each parent: the stop that its wish stated, and its flags
        self.correlation = Correlation(tracked=tracked, symbols=symbols, samples_min=samples_min) if tracked else None
        self.sample_ns, self.sampled_ns = sample_ns, 0
        self.routing = Routing(groups=len(groups)) if groups else None
        self.policies = [policy for _, policy in groups]
        self.group_of: dict[int, int] = {}
        for number, (members, _) in enumerate(groups):
            for member in members:
                assert self.routing is not None
                self.routing.add(number, member)
                self.group_of[member] = number

    def _expose(self, symbol: int) -> None:
        touch, sums = self.touch[symbol], self.orders.symbol(symbol)
        blocked = bool(self.down & {Feed.FEED_USER, Feed.FEED_ORDERS}) or self.unreconciled
        self.gate.set_symbol(
            symbol, bid_px_ticks=touch["bid"], ask_px_ticks=touch["ask"], ts_book_ns=touch["ts"],
            book_trusted=int(bool(touch["trusted"]) and self._usable(symbol)), px_ref_ticks=touch["ask"],
            halted=int(bool(touch["halted"] or touch["books"] or touch["other"] or touch["data"] or blocked)),
            lots=self.lots[symbol], open_buy_lots=sums["open_buy_lots"], open_sell_lots=sums["open_sell_lots"],
            orders_open=sums["live_count"],
        )  # fmt: skip
        live = sum(o.live for o in self.orders.records.values())
        self.gate.set_account(orders_open=live)
        if not self.accounted:
            self.gate.set_account(ts_equity_ns=self.now)
        self.gate.expose(symbol, touch["ask"])
        if self.correlation:
            self.correlation.hold(symbol, self.lots[symbol])

    def _usable(self, symbol: int) -> bool:
        """Whether nobody suspects the data, halts them or misses a stream of them."""
        if self.validate is None:
            return True
        row = self.validate.rows[symbol]
        return not (row.halted or row.suspect or row.silent)

    # ---------------------------------------------------------------------------------------------------------- gating
    def _armed(self, o: Any) -> bool:
        """A stop that waits for its price: it closes nothing yet. One of ours that has fired does."""
        if o.terms["flags"] & OrderFlag.ORDER_EMULATED and o.id_order not in self.waiting:
            return False
        return o.terms["type"] in WAITS_FOR_A_PRICE

    def _closing(self, symbol: int, sell: bool, own: Any, sibling: Any, armed: bool) -> int:
        """What other reduce-only orders of a side close: those that wait for a price if this one does, else others."""
        every = self.orders.symbol(symbol)["reduce_sell_lots" if sell else "reduce_buy_lots"]
        waiting = 0
        for o in self.orders.records.values():
            mine = o.live and o.terms["symbol"] == symbol and bool(o.terms["sell"]) == sell
            if not mine or not o.terms["flags"] & OrderFlag.ORDER_REDUCE_ONLY:
                continue
            if o is own or o is sibling:
                every -= o.exposure
            elif self._armed(o):
                waiting += o.exposure
        return waiting if armed else every - waiting

    def _failed(self, ask: dict[str, Any], own: Any = None, filled: int = 0, *, sibling: Any = None,
                armed: bool = False) -> int:  # fmt: skip
        """The gate's answer. `own` lives already and is not counted twice; the quantity asked for includes `filled`."""
        row = self.gate.rows[ask["symbol"]]
        side = "open_sell_lots" if ask["sell"] else "open_buy_lots"
        off = (own.exposure if own else 0) + (sibling.exposure if sibling else 0) + filled
        ask["closing_lots"] = 0
        if self.correlation:
            worst = self.correlation.worst(ask["symbol"], bool(ask["sell"]))
            ask["correlation_ppm"] = MOST if worst is None else worst
        if ask["lane"] != "normal":
            waits = self._armed(own) if own else armed
            ask["closing_lots"] = self._closing(ask["symbol"], bool(ask["sell"]), own, sibling, waits) - filled
        if ask["sell"] and self.cash_only:
            bespoken = ask["closing_lots"] if ask["lane"] != "normal" else row[side] - off
            ask["owned_lots"] = self._owned(ask["symbol"]) - bespoken
        row[side] -= off
        failed = self.gate.failed(self.now, ask)
        row[side] += off
        return failed

    def _base(self, symbol: int) -> int:
        """What the account has of a symbol's base asset, in its units."""
        return self.ledger.balance(1 + symbol, 0)

    def _owned(self, symbol: int) -> int:
        return max(0, self._base(symbol)) // self.lot_units

    def _dust(self, symbol: int) -> int:
        """Lots of a long position that fees have taken a part of."""
        return max(0, self.lots[symbol] - self._owned(symbol)) if self.cash_only and self.lots[symbol] > 0 else 0

    def _ask(self, symbol: int, sell: bool, px: int, qty: int, stop: int, lane: str) -> dict[str, Any]:
        return {
            "symbol": symbol, "sell": sell, "px_ticks": px, "qty_lots": qty, "px_stop_ticks": stop,
            "ts_signal_ns": self.now, "lane": lane,
        }  # fmt: skip

    @staticmethod
    def _lane_of(o: Any) -> str:
        t = o.terms
        reduces = bool(t["flags"] & OrderFlag.ORDER_REDUCE_ONLY)
        if (t["bracket"] and t["leg"]) or (reduces and t["strategy"] == NOBODY):
            return "protective"
        return "reduce" if reduces else "normal"

    def _deny(self, strategy: int, tag: int, stage: Stage, ask: dict[str, Any], reasons: int, largest: int = 0) -> None:
        self.out.append((Kind.KIND_DECISION, strategy, tag, stage, bool(ask["sell"]), ask["symbol"], ask["px_ticks"],
                         ask["qty_lots"], reasons, largest))  # fmt: skip

    def _deny_by_gate(self, strategy: int, tag: int, ask: dict[str, Any], failed: int) -> None:
        self._deny(strategy, tag, Stage.STAGE_GATE, ask, failed, self.gate.largest_lots(**ask))
