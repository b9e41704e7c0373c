"""A core and its plain-Python twin side by side: the same events to both, every observable word compared after each."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np

from engine._core import types
from engine._core.book import Rule
from engine._core.discipline import Discipline
from engine._core.features_feed import feed_address, feed_bytes, feed_init
from engine._core.infer import pack
from engine._core.orders import OrderType
from engine._core.strategy import StrategyAct
from engine._core.types import Can, Flag, Kind
from engine.model.step import Step
from engine.model.step_features import Request
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS
from engine.strategy.contract import NONE
from tests.support.desks import SECOND, START, Desk, event, terms_of
from tests.support.step_compare import Comparing, exactly, seen_of

QTY_MOST = 40
PROFILE = (1, 2, 3)  # of the volume that a VWAP follows
# Few attempts and short waits: every state of a bracket is passed in a few moves.
RULES = {
    "protect_ns": SECOND, "unwind_ns": SECOND, "close_ns": 2 * SECOND, "alarm_ns": 3 * SECOND, "places_max": 4,
    "unwinds_max": 2, "asks_max": 2, "lates_max": 1,
}  # fmt: skip


def decided(stated: dict[tuple[int, bool], dict[str, int]], view: Any) -> dict[tuple[int, bool], dict[str, int]]:
    """What a strategy makes of its wishes when it sees this: of features every bit counts, and whether they are known,
    of its peers the touch. So whatever is wrong in a view comes out as an order at another price, or as none."""
    if not view["features"] and not view["peers"]:
        return stated
    touches = [(one["bid_px_ticks"], one["ask_px_ticks"], one["book_trusted"]) for one in view["peers"]]
    lean = crc32(np.array(view["features"]).tobytes() + repr(touches).encode()) % 3 - 1
    unknown = any(map(math.isnan, view["features"]))
    made = {}
    for (tag, sell), fields in stated.items():
        px = fields["px_ticks"] + (lean if fields["px_ticks"] > 0 else 0)
        made[tag, sell] = fields | {"px_ticks": px, "kind": NONE if unknown and tag == 1 else fields["kind"]}
    return made


class Pair(Comparing):
    """The two, side by side. Every word that can be observed is compared after every event."""

    def __init__(self, *, symbols: int = 1, strategies: int = 1, orders: int = 12, can: int = int(Can.CAN_ALL),
                 own: dict[str, int] | None = None, limits: dict[str, int] | None = None,
                 modes: dict[str, int] | None = None, cash_only: int = 0, brackets: int = 0,
                 discipline: dict[str, Any] | None = None, validate: dict[str, Any] | None = None,
                 books: dict[str, int] | None = None, triggers: int = 0, algos: int = 0, tracked: int = 0,
                 groups: list[tuple[list[int], int]] | None = None, fees_age_ns: int = 0,
                 record: list[int] | None = None, cash: int = 0, features: list[Request | None] | None = None,
                 peers: list[list[int]] | None = None, linear: bool = False) -> None:  # fmt: skip
        self.symbols, self.strategies, self.books, self.linear = symbols, strategies, books, linear
        shape: dict[str, Any] = {"bracket_rules": RULES} if brackets else {}
        if tracked:
            shape |= {"samples_min": 3, "sample_ns": SECOND}
        requests = [one and (*one[:3], *([pack(one[3])] if one[3] else [])) for one in features or ()]
        sizes = {"triggers": triggers, "algos": algos, "tracked": tracked}
        rules = books or {}
        instrument = INSTRUMENT | {"qty_max_lots": QTY_MOST, "cash_only": cash_only, "fees_age_ns": fees_age_ns}
        instrument["linear"] = linear
        self.desk = Desk(symbols=symbols, strategies=strategies, orders=orders, can=can, cash=cash or None,
                         validate=validate is not None, brackets=brackets, instrument=instrument, limits=limits,
                         modes=modes, discipline=discipline, groups=len(groups or ()),
                         book_levels=rules.get("levels_max", 0), book_ticks=rules.get("ticks", 256),
                         features=feed_bytes(requests) if requests else 0, **sizes, **shape)  # fmt: skip
        gate_symbol = GATE_SYMBOL | {"margin_ppm": 100_000, "qty_max_lots": QTY_MOST}
        for symbol in range(symbols):
            self.desk.world.set_gate_symbol(symbol, **gate_symbol)
            if validate is not None:
                self.desk.world.set_validate(symbol, **validate)
            if books is not None:
                self.desk.world.set_book(symbol, **{k: v for k, v in rules.items() if k not in ("levels_max", "ticks")})
        for number, (members, policy) in enumerate(groups or ()):
            self.desk.world.set_group(number, members, policy)
        if tracked:
            self.desk.world.set_tracked(range(tracked))
        for strategy in range(strategies):
            watched = peers[strategy] if peers else ()
            self.desk.world.set_strategy(strategy, min(strategy, symbols - 1), limits=own, peers=watched)
        if requests:
            feed_init(self.desk.world, requests)
            self.desk.core.bind_features(feed_address())
        self.twin = Step(
            symbols=symbols, strategies=strategies, orders=orders, can=can, account=ACCOUNT,
            limits=LIMITS | {"equity_age_ns": 10**18} | (limits or {}), gate_symbol=gate_symbol, own=own or {},
            unit_value=1_000, tick_e8=INSTRUMENT["tick_e8"], lot_units=INSTRUMENT["lot_e8"], modes=modes,
            cash_only=bool(cash_only), discipline=discipline, brackets=brackets, groups=groups or (), books=books,
            fees_age_ns=fees_age_ns, cash=cash,
            validate=None if validate is None else self._judged_by(validate), profile=PROFILE,
            fees=(INSTRUMENT["fee_maker_e8"], INSTRUMENT["fee_taker_e8"]), features=features, peers=peers or (),
            linear=linear,
            **sizes, **shape,
        )  # fmt: skip
        for symbol in range(tracked):
            assert self.twin.correlation is not None
            self.twin.correlation.track(symbol)
        if record:
            self._remember(discipline or {}, record)
        self.sent: list[Any] = []
        self.trades = 0
        self.mid = 50_000
        self.book_id = 0
        self.said: Counter[Kind] = Counter()
        self.seen: list[dict[str, Any]] = []  # what the strategies saw in this event, in turn
        self._wish({}, 1)

    def _remember(self, rules: dict[str, Any], pnls: list[int]) -> None:
        """The first strategy's results before this world."""
        table = Discipline(strategies=self.strategies, symbols=self.symbols, **rules)
        for at, pnl in enumerate(pnls):
            result = {"pnl": pnl, "notional": 1_000_000, "now_ns": at, "stop_ppm": 1_000}
            table.result(0, 0, **result)
            assert self.twin.judge is not None
            self.twin.judge.table.result(0, 0, **result)
        self.desk.world.put_discipline(table.image())

    @staticmethod
    def _judged_by(limits: dict[str, Any]) -> dict[str, Any]:
        """What a world takes over from its instrument, beside what is stated."""
        own = {"px_ticks_min": INSTRUMENT["px_min_ticks"], "px_ticks_max": INSTRUMENT["px_max_ticks"],
               "tick_e8": INSTRUMENT["tick_e8"]}  # fmt: skip
        return own | limits

    # ------------------------------------------------------------------------------------------------------------ moves
    def act(self, move: tuple[Any, ...]) -> None:
        answer = getattr(self, f"_{move[0]}")(*move[1:])
        if answer is not None:  # or the move was several events, which were compared one by one
            self._agree(answer, move)

    def _both(self, record: Any) -> None:
        """The same record of market data to both."""
        self.desk.step(record)
        head = record.view(types.EVENT)[0]
        self._agree(self.twin.step(int(head["kind"]), now=int(head["ts_recv_ns"]), raw=record), head)

    def _agree(self, answer: Any, move: Any) -> None:
        status, out = answer
        seen, self.seen = self.seen, []
        assert self.desk.status == status, (move, types.Status(self.desk.status), types.Status(status))
        # What a strategy saw first: where it differs, so does what it wished for.
        assert [exactly(view) for view in seen] == [exactly(view) for view in self.twin.shown], move
        assert self._words(self.desk.out) == out, move
        self._compare()
        self.said.update(Kind(int(kind)) for kind in self.desk.out["kind"])
        self.sent.extend(self.desk.places)

    def _now(self) -> int:
        return START + self.desk.now

    def _quote(self, by: int, wide: int, symbol: int, wishes: list[tuple[Any, ...]]) -> Any:
        symbol %= self.symbols
        self.mid += by
        # Two sources of its own and the quotes are enough; one is not.
        self._wish(dict(self._stated(*one) for one in wishes), 1 if by == 0 else 3)
        if self.books is not None and self.books["rule"] != Rule.RULE_QUOTE:
            self._image(symbol, self.mid, self.mid + wide)
            return None
        self._both(self._touch(symbol, self.mid, self.mid + wide))
        return None

    def _touch(self, symbol: int, bid: int, ask: int, *, by: int = 1_000_000, **words: int) -> Any:
        flags = int(Flag.FLAG_LAST)
        prices = {"bid_px_ticks": bid, "bid_qty_lots": 50, "ask_px_ticks": ask, "ask_qty_lots": 50}
        return event(Kind.KIND_QUOTE, types.QUOTE, self.desk.tick(by), symbol=symbol, flags=flags,
                     **({"id_book": self.desk.now} | prices | words))  # fmt: skip

    def _stated(self, tag: int, sell: bool, kind: int, qty: int, away: int, tif: int, flags: int, stop: int,
                of_type: int = 0, trigger: int = 0, trail: int = 0, shown: int = 0, span: int = 0) -> Any:  # fmt: skip
        """A wish: prices from the mid, a date from the time, in steps so that the same wish comes again."""
        way = 1 if sell else -1
        px = self.mid + way * 2 + away
        expire = (START + self.desk.now) // (4 * SECOND) * 4 * SECOND + span * SECOND if span else 0
        return (tag, sell), {
            "kind": kind, "px_ticks": px, "qty_lots": qty, "type": of_type, "tif": tif, "flags": flags,
            "stop_px_ticks": 0 if flags & 2 else px + way * stop,
            # Every third trade has a target as well: nearer than its stop, or beyond it.
            "target_px_ticks": 0 if flags & 2 or stop % 3 else px - way * (stop // 2 + 1),
            "trigger_px_ticks": self.mid // 4 * 4 + trigger if trigger else 0, "trail_ticks": trail,
            "display_lots": shown, "expire_ns": expire,
        }  # fmt: skip

    def _wish(self, stated: dict[tuple[int, bool], dict[str, int]], sources: int) -> None:
        """What every strategy wishes for whenever it is called, until it is told otherwise."""

        def wish(view: Any, out: Any) -> None:
            self.seen.append(seen_of(view))
            out["signal"]["valid"], out["signal"]["sources"] = 1, sources
            if self.twin.algos:
                view["state"][: len(PROFILE)] = PROFILE
            for (tag, sell), fields in decided(stated, self.seen[-1]).items():
                for name, value in fields.items():
                    out["ask" if sell else "bid"][tag][name] = value

        def decide(strategy: int) -> Any:
            # A signal is heard when its strategy is called, and stands until the next.
            if self.twin.judge:
                self.twin.judge.said[strategy] = sources
            return decided(stated, self.twin.views[strategy])

        for strategy in range(self.strategies):
            self.desk.wish[strategy] = wish
            self.twin.decide[strategy] = partial(decide, strategy)

    def _image(self, symbol: int, bid: int, ask: int) -> None:
        """A whole book of one level a side and one behind it."""
        self.book_id += 1
        self._message(symbol, [(0, bid, 9), (1, ask, 8), (0, bid - 3, 40), (1, ask + 3, 40)], image=True)

    def _message(self, symbol: int, levels: list[tuple[int, int, int]], *, image: bool = False, after: int = 1) -> None:
        """One depth message, level by level. `after` is what its first number is more than the number before."""
        first, last = self.book_id - 1 + after, self.book_id - 1 + after
        for at, (side, px, qty) in enumerate(levels):
            flags = (Flag.FLAG_ASK if side else 0) | (Flag.FLAG_SNAPSHOT if image else 0)
            flags |= (Flag.FLAG_FIRST if at == 0 else 0) | (Flag.FLAG_LAST if at == len(levels) - 1 else 0)
            self._both(event(
                Kind.KIND_BOOK_LEVEL, types.LEVEL, self.desk.tick(1_000_000 if at == 0 else 0), symbol=symbol,
                flags=int(flags), px_ticks=px, qty_lots=qty, id_first=first, id_last=last, id_prev=first - 1,
            ))  # fmt: skip

    def _order(self, at: int) -> Any:
        if not self.sent:
            empty = np.zeros(1, types.INTENT)
            empty["id_order"], empty["px_ticks"], empty["qty_lots"] = 5, 50_000, 1
            return empty[0]
        return self.sent[-1 - at % len(self.sent)]

    def _about(self, order: Any, **words: Any) -> dict[str, Any]:
        sell = bool(int(order["flags"]) & Flag.FLAG_SELL)
        return {"now": self._now(), "symbol": int(order["symbol"]), "sell": sell, "id_order": int(order["id_order"]),
                "px": int(order["px_ticks"])} | words  # fmt: skip

    def _leg(self, order: Any) -> Any:
        """The record of a bracket's order. Of those the venue contradicts itself in no word: what has ended trades no
        more, and nothing grows that was not asked to. That is what a bracket's worst case rests on."""
        o = self.twin.orders.records.get(int(order["id_order"]))
        return o if o is not None and o.terms["bracket"] else None

    def _report(self, at: int, kind: int, told: int) -> Any:
        order = self._order(at)
        leg = self._leg(order)
        if leg is not None and not leg.live:
            told = min(told, leg.told)
        self.desk.report(kind, order, filled_lots=told)
        return self.twin.step(kind, **self._about(order, told=told))

    def _fill(self, at: int, lots: int, again: int) -> Any:
        order = self._order(at)
        leg = self._leg(order)
        if leg is not None and leg.terms["leg"] and not leg.live:
            return self._report(at, Kind.KIND_ORDER_ACK, 0)
        self.trades += again != 0
        self.desk.report(Kind.KIND_ORDER_FILL, order, qty_lots=lots, id_venue=self.trades)
        return self.twin.step(Kind.KIND_ORDER_FILL, **self._about(order, qty=lots, id_venue=self.trades))

    def _replaced(self, at: int, lots: int) -> Any:
        order = self._order(at)
        leg = self._leg(order)
        if leg is not None:
            lots = min(lots, leg.bound)
        # An order at market, triggered or not, has no price to be changed to.
        px = int(order["px_ticks"]) if terms_of(order)[0] == OrderType.TYPE_LIMIT else 0
        self.desk.report(Kind.KIND_ORDER_REPLACED, order, qty_lots=lots, px_ticks=px)
        return self.twin.step(Kind.KIND_ORDER_REPLACED, **self._about(order, qty=lots, px=px))

    def _fee(self, at: int, amount: int, base: int) -> Any:
        order = self._order(at)
        about = self._about(order)
        self.desk.say(Kind.KIND_FEE, types.FEE, symbol=about["symbol"], flags=4 * about["sell"],
                      id_order=about["id_order"], id_trade=self.trades, asset=base * (1 + about["symbol"]),
                      amount=amount)  # fmt: skip
        return self.twin.step(
            Kind.KIND_FEE,
            **(about | {"now": self._now(), "id_trade": self.trades, "amount": amount}),
            asset=base * (1 + about["symbol"]),
        )

    def _timer(self, by: int) -> Any:
        self.desk.timer(by=by)
        return self.twin.step(Kind.KIND_TIMER, now=self._now())

    def _feed(self, feed: int, up: int) -> Any:
        self.desk.say(Kind.KIND_FEED, types.FEED, symbol=0xFFFF, feed=feed, up=up)
        return self.twin.step(Kind.KIND_FEED, now=self._now(), feed=feed, up=up)

    def _halt(self, symbol: int, halted: int) -> Any:
        self.desk.say(Kind.KIND_SYMBOL, types.SYMBOL, symbol=symbol % self.symbols, halt=halted)
        return self.twin.step(Kind.KIND_SYMBOL, now=self._now(), symbol=symbol % self.symbols, halt=halted)

    def _control(self, mode: int, who: int, aggressive: bool, agree: bool, latch: int) -> Any:
        equity = self.desk.world.account()["equity"] if agree else 0
        words = {"latch": latch, "mode": mode, "who": who, "aggressive": int(aggressive), "equity": equity}
        self.desk.control(**words)
        return self.twin.step(Kind.KIND_CONTROL, now=self._now(), **words)

    def _denied(self, mask: int) -> Any:
        record = np.zeros(1, types.EVENT)
        self.desk.now += 1
        record["kind"], record["ts_recv_ns"] = Kind.KIND_DENIED, self._now()
        record["word"][0, 0] = mask
        self.desk.step(record)
        return self.twin.step(Kind.KIND_DENIED, now=self._now(), denied=mask)

    def _position(self, symbol: int, off: int, liquidation: int = 0) -> Any:
        symbol %= self.symbols
        lots = int(self.desk.world.positions()["lots"][symbol]) + off
        self.desk.say(Kind.KIND_POSITION, types.POSITION, symbol=symbol, lots=lots, liquidation_px_e8=liquidation)
        return self.twin.step(Kind.KIND_POSITION, now=self._now(), symbol=symbol, lots=lots, liquidation=liquidation)

    def _clock(self, offset: int, uncertainty: int, venue: int = 0) -> Any:
        words = {"venue": venue, "uncertainty": uncertainty, "offset": offset}
        self.desk.say(Kind.KIND_CLOCK, types.CLOCK, venue=venue, offset_ns=offset, uncertainty_ns=uncertainty)
        return self.twin.step(Kind.KIND_CLOCK, now=self._now(), **words)

    def _limit(self, which: int, value: int) -> Any:
        record = event(Kind.KIND_LIMIT, types.EVENT, self.desk.tick(1))
        record["word"][0, :2] = which, value
        self.desk.step(record)
        return self.twin.step(Kind.KIND_LIMIT, now=self._now(), which=which, value=value)

    def _balance(self, asset: int, off: int, locked: int) -> Any:
        """What the venue says of an asset: ours, or so much off."""
        cash = self.twin.ledger.balance(asset, 0) if 0 <= asset <= self.symbols else 0
        words = {"asset": asset, "free": cash + off - locked, "locked": locked}
        self.desk.say(Kind.KIND_BALANCE, types.BALANCE, **words)
        return self.twin.step(Kind.KIND_BALANCE, now=self._now(), symbol=0, **words)

    def _funding(self, number: int, symbol: int, amount: int, asset: int = 0) -> Any:
        words = {"symbol": symbol % self.symbols, "id_funding": number, "asset": asset, "amount": amount}
        self.desk.say(Kind.KIND_FUNDING, types.FUNDING, **words)
        return self.twin.step(Kind.KIND_FUNDING, now=self._now(), **words)

    def _books(self, symbol: int, halt: int, reason: int) -> Any:
        """A comparison of books speaks: it halts, lets go, or names what it found."""
        symbol %= self.symbols
        record = event(Kind.KIND_SYMBOL, types.EVENT, self.desk.tick(1), symbol=symbol)
        record["word"][0] = halt, reason, 7, 8, 9
        self.desk.step(record)
        return self.twin.step(Kind.KIND_SYMBOL, now=self._now(), symbol=symbol, halt=halt, reason=reason, id=9,
                              rates=(7, 8))  # fmt: skip

    def _strategy(self, act: int, reason: int, detail: int = 0) -> Any:
        record = np.zeros(1, types.EVENT)
        self.desk.now += 1
        record["kind"], record["ts_recv_ns"] = Kind.KIND_STRATEGY, self._now()
        record["word"][0, :4] = (0, act, reason, detail)
        self.desk.step(record)
        return self.twin.step(Kind.KIND_STRATEGY, now=self._now(), strategy=0, act=act, reason=reason, detail=detail)

    def _approve(self, lots: int, span: int) -> Any:
        """A person's word for the first strategy: so many lots, negative to sell, for so many seconds."""
        return self._strategy(int(StrategyAct.STRATEGY_ACT_APPROVE), lots, self._now() + span * SECOND)
