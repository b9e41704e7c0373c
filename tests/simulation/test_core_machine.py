"""Ten suites of random histories over every section of the world: whatever comes, the invariants hold.

After each event: `check()` walks every section, the position is the sum of the fills that were told, no output was
lost, nothing was placed without a token or, while the latch is set, that opens anything. BOT4_STRESS=1 runs a thousand
histories a suite.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core import types
from engine._core.modes import Mode, Who
from engine._core.types import Can, Flag, Kind, TermsFlag
from tests.support.desks import SECOND, Desk, terms_of
from tests.support.suites import histories

LENGTH = 40
# What each suite leaves out or turns on: the same histories over different worlds.
SUITES: dict[str, dict[str, Any]] = {
    "all of it": {},
    "a venue that can do nothing": {"can": 0},
    "stops by triggers": {"can": int(Can.CAN_MARKET)},
    "amends": {"can": int(Can.CAN_ALL)},
    "no brackets": {"brackets": 0},
    "two symbols": {"symbols": 2, "strategies": 2},
    "perpetuals": {"instrument": {"linear": 1}},
    "tables that are always full": {"orders": 4, "brackets": 2, "triggers": 2, "can": int(Can.CAN_MARKET)},
    "a short day": {"deadlines": {"ack_ns": 10**6, "cancel_ns": 10**6, "unknown_ns": 10**6}},
    "discipline on paper": {"discipline": {"paper": 1}},
}
KINDS = [
    Kind.KIND_ORDER_ACK, Kind.KIND_ORDER_CANCELED, Kind.KIND_ORDER_REJECTED, Kind.KIND_ORDER_EXPIRED,
    Kind.KIND_ORDER_CANCEL_REFUSED, Kind.KIND_ORDER_CANCEL_TOO_LATE, Kind.KIND_ORDER_CANCEL_NO_ORDER,
    Kind.KIND_ORDER_REPLACE_REFUSED, Kind.KIND_ORDER_ABSENT, Kind.KIND_ORDER_LOST,
]  # fmt: skip

MOVE = st.one_of(
    st.tuples(st.just("quote"), st.integers(-30, 30), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("wish"), st.sampled_from(["bid", "ask"]), st.integers(0, 7), st.integers(0, 4),
              st.integers(0, 3), st.integers(1, 9), st.integers(-20, 20)),
    st.tuples(st.just("report"), st.integers(0, 30), st.sampled_from(KINDS)),
    st.tuples(st.just("fill"), st.integers(0, 30), st.integers(1, 9), st.booleans()),
    st.tuples(st.just("replaced"), st.integers(0, 30), st.integers(1, 9)),
    st.tuples(st.just("fee"), st.integers(0, 30), st.integers(-5, 50)),
    st.tuples(st.just("timer"), st.sampled_from([1, 10**6, SECOND, 40 * SECOND])),
    st.tuples(st.just("feed"), st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.just("mode"), st.integers(0, 3), st.sampled_from([Who.WHO_HUMAN, Who.WHO_ENGINE, Who.WHO_LATCH])),
    st.tuples(st.just("halt"), st.integers(0, 1)),
    st.tuples(st.just("position"), st.integers(-9, 9)),
)  # fmt: skip


class History:
    def __init__(self, shape: dict[str, Any]) -> None:
        self.desk = Desk(orders=shape.get("orders", 24), **{k: v for k, v in shape.items() if k != "orders"})
        self.symbols = shape.get("symbols", 1)
        self.inputs: list[Any] = []
        self.sent: list[Any] = []
        self.told = [0] * self.symbols
        self.mid = 50_000
        step = self.desk.core.step

        def recorded(record: Any) -> Any:
            self.inputs.append(record.copy())
            latch = self.desk.world.account()["latch"]
            status, out = step(record)
            places = out[out["kind"] == Kind.KIND_INTENT_PLACE].view(types.INTENT)
            assert (places["token"] != 0).all()
            # The latch stops all but what protects or closes.
            assert not latch or all(
                terms_of(p)[2] & TermsFlag.TERMS_REDUCE_ONLY or shape.get("can") in (0, 1) for p in places
            )
            self.sent.extend(places)
            self.sent.extend(out[out["kind"] == Kind.KIND_INTENT_AMEND].view(types.INTENT))
            return status, out

        self.desk.core = type("Recorded", (), {"step": staticmethod(recorded), "kept": self.desk.core})()

    def act(self, move: tuple[Any, ...]) -> None:
        getattr(self, f"_{move[0]}")(*move[1:])
        assert self.desk.world.counts["outputs_lost"] == 0
        assert [int(lots) for lots in self.desk.world.positions()["lots"]] == self.told

    def _order(self, at: int) -> Any:
        return self.sent[-1 - at % len(self.sent)]

    def _quote(self, by: int, wide: int, symbol: int) -> None:
        self.mid = max(49_000, min(51_000, self.mid + by))
        self.desk.quote(self.mid, self.mid + wide, symbol=symbol % self.symbols, by=1_000_000)

    def _wish(self, side: str, order_type: int, tif: int, flags: int, lots: int, away: int) -> None:
        way = -1 if side == "bid" else 1
        px = self.mid + way * 3 + away
        stop = px + way * 60
        fields = {
            "type": order_type,
            "tif": tif,
            "flags": flags,
            "qty_lots": lots,
            "px_ticks": px,
            "stop_px_ticks": stop,
        }
        if order_type in (2, 3, 4, 5):
            fields |= {"trigger_px_ticks": self.mid + away, "stop_px_ticks": 0}
        if order_type == 6:
            fields |= {"trail_ticks": 5 + abs(away), "stop_px_ticks": 0}
        if order_type == 7:
            fields |= {"display_lots": 1}
        if flags & 2:
            fields["stop_px_ticks"] = 0
        elif order_type < 2 and lots % 2:
            fields["target_px_ticks"] = px - way * 40
        self.desk.wants(side, strategy=lots % self.symbols, tag=lots % 2, expire_ns=1_700_000_000_000_000_000 + 2**40,
                        **fields)  # fmt: skip

    def _report(self, at: int, kind: int) -> None:
        if self.sent:
            self.desk.report(kind, self._order(at))

    def _fill(self, at: int, lots: int, again: bool) -> None:
        if not self.sent:
            return
        order = self._order(at)
        before = self.desk.world.counts["fills"]
        self.desk.fill(order, lots, trade=self.desk.trades if again else None)
        if self.desk.world.counts["fills"] > before:
            self.told[int(order["symbol"])] += -lots if order["flags"] & Flag.FLAG_SELL else lots

    def _replaced(self, at: int, lots: int) -> None:
        if self.sent:
            self.desk.report(Kind.KIND_ORDER_REPLACED, self._order(at), qty_lots=lots)

    def _fee(self, at: int, amount: int) -> None:
        if self.sent:
            order, trade = self._order(at), max(0, self.desk.trades)
            self.desk.say(Kind.KIND_FEE, types.FEE, symbol=int(order["symbol"]), flags=int(order["flags"]) & 4,
                          id_order=int(order["id_order"]), id_trade=trade, asset=0, amount=amount)  # fmt: skip

    def _timer(self, by: int) -> None:
        self.desk.timer(by=by)

    def _feed(self, feed: int, up: int) -> None:
        self.desk.say(Kind.KIND_FEED, types.FEED, feed=feed, up=up)

    def _mode(self, mode: int, who: int) -> None:
        self.desk.control(mode=Mode(mode), who=who, equity=self.desk.world.account()["equity"])

    def _halt(self, halted: int) -> None:
        self.desk.say(Kind.KIND_SYMBOL, types.SYMBOL, halt=halted)

    def _position(self, lots: int) -> None:
        self.desk.say(Kind.KIND_POSITION, types.POSITION, lots=lots)


@pytest.mark.parametrize("suite", SUITES)
def test_invariants_hold_whatever_comes(suite):
    @histories(usual=60)
    @given(st.lists(MOVE, min_size=1, max_size=LENGTH))
    def run(moves: list[tuple[Any, ...]]) -> None:
        history = History(SUITES[suite])
        try:
            for move in moves:
                history.act(move)
            assert history.desk.world.event_count == len(history.inputs)
        finally:
            history.desk.close()

    run()
