"""What is compared of a world and its twin after an event: every observable word, and what strategies were shown."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine._core import types
from engine._core.discipline import DecisionFlag, Discipline
from engine._core.features_feed import feed_of, feed_words
from engine._core.types import Flag, Kind
from engine._core.validate import REFUSAL
from engine.model.step import Step
from tests.support.desks import Desk, terms_of

SEEN = (
    "strategy", "symbol", "now_ns", "cause", "bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots",
    "last_px_ticks", "position_lots", "symbol_position_lots", "open_buy_lots", "open_sell_lots", "book_trusted",
    "mark_px_e8", "funding_rate_e8", "funding_ns", "tick_e8", "lot_e8", "book_ns",
)  # fmt: skip


def seen_of(view: Any) -> dict[str, Any]:
    """A view in the words of the twin."""
    seen: dict[str, Any] = {name: int(view[name]) for name in SEEN}
    seen["features"] = view["features"][: int(view["feature_count"])].tolist()
    peers = view["peers"][: int(view["peer_count"])]
    return seen | {"peers": [{name: int(one[name]) for name in peers.dtype.names} for one in peers]}


def exactly(view: dict[str, Any]) -> dict[str, Any]:
    """With features as their bits: a NaN equals itself and of zeros the sign counts."""
    return view | {"features": np.array(view["features"]).tobytes()}


class Comparing:
    desk: Desk
    twin: Step
    symbols: int
    strategies: int

    @staticmethod
    def _words(out: Any) -> list[tuple[Any, ...]]:
        words: list[tuple[Any, ...]] = []
        for raw in out:
            kind = Kind(int(raw["kind"]))
            if kind == Kind.KIND_DECISION:
                r = raw.reshape(1).view(types.DECISION)[0]
                origin = int(r["origin"])
                who = (origin & 0xFFFF, origin >> 16 & 0xFFFF, origin >> 32)
                what = tuple(int(r[name]) for name in ("px_ticks", "qty_lots", "reasons", "headroom_lots"))
                said = "observed" if r["flags"] & DecisionFlag.DECISION_OBSERVED else kind
                words.append((said, *who, bool(r["flags"] & 4), int(r["symbol"]), *what))
            elif kind == Kind.KIND_REFUSAL:
                r = raw.reshape(1).view(REFUSAL)[0]
                names = ("symbol", "reason", "value", "limit", "id_event", "actions")
                words.append((kind, *(int(r[name]) for name in names)))
            elif kind == Kind.KIND_ALGO:
                r = raw.reshape(1).view(types.ALGO)[0]
                names = ("id_algo", "state", "filled_lots", "qty_lots", "strategy")
                words.append((kind, int(r["symbol"]), bool(r["flags"] & Flag.FLAG_SELL), *(int(r[n]) for n in names)))
            elif kind == Kind.KIND_MODE:
                r = raw.reshape(1).view(types.MODE)[0]
                names = ("symbol", "mode", "phase", "outcome", "action", "value")
                words.append((kind, *(int(r[name]) for name in names)))
            elif kind == Kind.KIND_INTENT_TERMS:
                r = raw.reshape(1).view(types.INTENT_TERMS)[0]
                names = ("symbol", "id_order", "trigger_px_ticks", "trail_ticks", "display_lots", "expire_ns")
                words.append((kind, bool(r["flags"] & Flag.FLAG_SELL), *(int(r[name]) for name in names)))
            elif kind == Kind.KIND_BRACKET:
                r = raw.reshape(1).view(types.BRACKET)[0]
                names = ("bracket", "phase", "phase_before", "held_lots", "strategy")
                words.append((kind, int(r["symbol"]), bool(r["flags"] & Flag.FLAG_SELL), *(int(r[n]) for n in names)))
            elif kind == Kind.KIND_INCIDENT:
                r = raw.reshape(1).view(types.INCIDENT)[0]
                words.append((kind, int(r["what"]), int(r["symbol"]), int(r["id_order"])))
            else:
                r = raw.reshape(1).view(types.INTENT)[0]
                words.append((kind, bool(r["flags"] & Flag.FLAG_SELL), int(r["symbol"]), int(r["id_order"]),
                              int(r["px_ticks"]), int(r["qty_lots"]), *terms_of(r)))  # fmt: skip
        return words

    def _compare(self) -> None:
        world, twin = self.desk.world, self.twin
        live = {int(o["id_order"]): o for o in world.live_orders()}
        assert set(live) == {i for i, o in twin.orders.records.items() if o.live}
        for i, o in live.items():
            t = twin.orders.records[i]
            assert (o["state"], o["qty_lots"], o["filled_lots"], o["px_ticks"]) == (t.state, t.qty, t.filled, t.px)
        assert world.positions()["lots"].tolist() == twin.lots
        balances = world.assets()["balance"].tolist()
        assert balances == [[twin.ledger.balance(asset, of) for of in range(8)] for asset in range(1 + self.symbols)]
        assert world.limits() == twin.gate.limits
        rows, account = world.gate_symbols(), world.account()
        for symbol in range(self.symbols):
            expected = twin.gate.symbol(symbol)
            found = {name: int(rows[name][symbol]) for name in expected}
            # The kernel keeps who halted it, a bit each; the gate asks whether anybody did.
            assert found | {"halted": int(found["halted"] != 0)} == expected
        assert {name: world.modes[name] for name in ("mode", "phase", "outcome", "steps")} == {
            name: twin.modes.state[name] for name in ("mode", "phase", "outcome", "steps")
        }
        expected = twin.gate.account_values()
        assert {name: account[name] for name in expected} == expected
        strategies = world.strategies()
        for strategy in range(self.strategies):
            expected = twin.rows[strategy].state
            assert {name: int(strategies[name][strategy]) for name in expected} == expected
        if twin.brackets:
            self._compare_brackets()
        self._compare_sections()
        self._compare_features()
        # The verdicts are among the words of every event; the statistics behind them are dear to read.
        if twin.judge and world.event_count % 8 == 0:
            table = Discipline.load(world.discipline())
            table.check()
            assert table.cooldowns() == twin.judge.table.cooldowns()
            assert table.counts == twin.judge.table.counts
            samples = [table.statistics(i)["sum_e8"] for i in range(self.strategies)]
            assert samples == [twin.judge.table.statistics(i)["sum_e8"] for i in range(self.strategies)]

    def _compare_features(self) -> None:
        for strategy, feed in enumerate(self.twin.feeds):
            if feed is not None:
                told = feed_of(self.desk.world, strategy)
                assert told is not None
                assert np.array(told[3]).tobytes() == np.array(feed.values).tobytes()
                found, expected = feed_words(self.desk.world, strategy), feed.words()
                assert found is not None
                assert {name: found[name] for name in expected} == expected

    def _compare_sections(self) -> None:
        world, twin = self.desk.world, self.twin
        if twin.algos:
            rows = {int(row["id_algo"]): row for row in world.algos()}
            assert set(rows) == set(twin.algos.parents)
            for id_algo, row in rows.items():
                expected = twin.algos.row(id_algo)
                assert {name: int(row[name]) for name in expected} == expected
            twin.algos.check()
        if twin.triggers:
            twin.triggers.check()
            assert {i: o for i, o in twin.waiting.items() if not twin.orders.records[i].live} == {}
        for symbol, book in enumerate(twin.books or ()):
            top = world.book_top(symbol)
            names = ("bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots", "update_id", "ts_ns", "trust")
            line = [int(top[name]) for name in names]
            assert (*line[:6], line[6] & 0xFFFFFFFF, line[6] >> 32) == book.top()
            book.check()

    def _compare_brackets(self) -> None:
        world, twin = self.desk.world, self.twin
        assert twin.brackets is not None
        twin.brackets.check()
        rows = {int(row["handle"]): row for row in world.brackets()}
        assert set(rows) == {b.handle for b in twin.brackets.slots if b is not None}
        for handle, row in rows.items():
            assert bracket_facts(row) == twin.brackets.facts(handle)
        symbols = world.symbols()
        assert symbols["unprotected_lots"].tolist() == twin.unprotected
        assert symbols["stop_px_ticks"].tolist() == twin.stop_px


def bracket_facts(row: Any) -> dict[str, Any]:
    """A bracket's row in the words of the twin."""
    legs = row["legs"]
    out = sum(legs[i]["total_lots"] for i in (1, 2, 3))
    names = ("handle", "phase", "flags", "base_lots", "over_lots", "outside_lots", "qty_lots", "deadline_ns", "lates",
             "incidents")  # fmt: skip
    leg = ("id_order", "qty_lots", "filled_lots", "total_lots", "state", "places", "asks")
    held = row["base_lots"] + legs[0]["total_lots"] + row["over_lots"] - out - row["outside_lots"]
    return {name: int(row[name]) for name in names} | {
        "held_lots": held, "legs": [tuple(int(one[name]) for name in leg) for one in legs]
    }  # fmt: skip
