"""The numbered execution cases of Binance, run through encoder, answers, user stream and the core's order table."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine._core.order_table import OrderEvent, OrderState
from engine._core.orders import Orders, OrderTif, OrderType
from engine._core.types import BALANCE, FEE, INTENT, INTENT_TERMS, ORDER, POSITION, Flag, Kind, Status
from engine.venues.binance import ids
from engine.venues.binance.api import OrderApi
from engine.venues.binance.orders import Form, encoder
from engine.venues.binance.user import UserStream
from engine.venues.directory import Assets, Directory, Instrument

CASES = [
    case
    for name in ("cases_binance", "cases_usdm")
    for case in tomllib.loads((Path(__file__).parents[1] / "data" / f"{name}.toml").read_text())["case"]
]
EPOCH, NOW = 5, 1_507_725_176_595 * 10**6
FRESH = {
    "e": "executionReport",
    "E": 1_499_405_658_658,
    "s": "BTCUSDT",
    "S": "BUY",
    "o": "LIMIT",
    "f": "GTC",
    "q": "0.01000",
    "p": "52000.00",
    "P": "0.00000000",
    "F": "0.00000000",
    "g": -1,
    "C": "",
    "x": "NEW",
    "X": "NEW",
    "r": "NONE",
    "i": 28,
    "l": "0.00000",
    "z": "0.00000",
    "L": "0.00000000",
    "n": "0",
    "N": "USDT",
    "T": 1_499_405_658_657,
    "t": -1,
    "w": True,
    "m": False,
    "M": False,
    "O": 1_499_405_658_657,
    "Z": "0.00000000",
    "Y": "0.00000000",
    "Q": "0.00000000",
    "V": "NONE",
}
APPLIES = {
    Kind.KIND_ORDER_ACK: OrderEvent.ON_ACK, Kind.KIND_ORDER_CANCELED: OrderEvent.ON_CANCELED,
    Kind.KIND_ORDER_REJECTED: OrderEvent.ON_REJECT, Kind.KIND_ORDER_EXPIRED: OrderEvent.ON_EXPIRE,
    Kind.KIND_ORDER_CANCEL_REFUSED: OrderEvent.ON_CANCEL_REFUSED,
    Kind.KIND_ORDER_CANCEL_TOO_LATE: OrderEvent.ON_CANCEL_TOO_LATE,
    Kind.KIND_ORDER_CANCEL_NO_ORDER: OrderEvent.ON_CANCEL_NO_ORDER,
    Kind.KIND_ORDER_REPLACE_REFUSED: OrderEvent.ON_REPLACE_REFUSED,
    Kind.KIND_ORDER_REPLACE_NO_ORDER: OrderEvent.ON_REPLACE_NO_ORDER, Kind.KIND_ORDER_ABSENT: OrderEvent.ON_ABSENT,
    Kind.KIND_ORDER_LOST: OrderEvent.ON_TIMEOUT,
}  # fmt: skip


class Desk:
    """One account with one order: the protocol's parts and the core's order table."""

    def __init__(self, market: str, order: dict[str, Any]) -> None:
        assets = Assets()
        for name in ("BTC", "USDT", "BNB"):
            assets.add(name)
        self.directory = Directory(
            [Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.00001", linear=market == "usdm")],
            assets,
        )
        self.market = market
        self.order = {"type": "LIMIT", "tif": "GTC", "sell": False, "px": 5_200_000, "qty": 1000, "flags": 0} | order
        self.user = UserStream(self.directory)
        self.api = OrderApi(self.directory, self.user)
        self.encoder = encoder(market, Form.SESSION, self.directory.rows())
        self.orders = Orders(capacity=8, symbols=1, epoch=EPOCH)
        self.id_order = EPOCH << 40 | 1
        self.message: dict[str, Any] = {}
        self.events: Any = None
        self.answer: Any = None
        self.seen = 1000

    # ---------------------------------------------------------------------------------------------------------- out
    def send(self, what: str, asked: dict[str, Any]) -> Status:
        intent, terms = np.zeros(1, INTENT), np.zeros(1, INTENT_TERMS)
        o = self.order | asked
        kind, tif = OrderType[f"TYPE_{o['type']}"], OrderTif[f"TIF_{o['tif']}"]
        intent["kind"] = Kind[f"KIND_INTENT_{what.upper()}"]
        intent["flags"] = Flag.FLAG_FIRST | (Flag.FLAG_SELL if o["sell"] else 0)
        intent["symbol"] = o.get("symbol", 0)
        intent["id_order"], intent["px_ticks"], intent["qty_lots"] = self.id_order, o["px"], o["qty"]
        intent["token"] = o.get("token", 1 if what in ("place", "amend") else 0)
        intent["terms"] = 1 | int(kind) << 16 | int(tif) << 24 | o["flags"] << 32
        terms["kind"], terms["id_order"] = Kind.KIND_INTENT_TERMS, self.id_order
        terms["trigger_px_ticks"], terms["trail_ticks"] = o.get("trigger", 0), o.get("trail", 0)
        terms["display_lots"], terms["expire_ns"] = o.get("display", 0), o.get("expire", 0) * 10**9
        status, out = self.encoder.encode(intent, NOW, terms)
        if status == Status.OK:
            self.message = json.loads(out)
            self._sent(what, o)
        return status

    def _sent(self, what: str, o: dict[str, Any]) -> None:
        """What the core does when such an intent leaves."""
        if what == "place":
            triggered = o["type"] in ("STOP", "STOP_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT", "TRAILING")
            priced = o["type"] in ("LIMIT", "STOP_LIMIT", "TAKE_PROFIT_LIMIT", "ICEBERG")
            made, id_order = self.orders.create(
                type=OrderType[f"TYPE_{o['type']}"], tif=OrderTif[f"TIF_{o['tif']}"], sell=o["sell"],
                px=o["px"] if priced else 0, qty=o["qty"], px_stop=o.get("trigger", 0) if triggered else 0,
                display=o.get("display", 0) if o["type"] == "ICEBERG" else 0,
                expire=o.get("expire", 0) * 10**9 if o["tif"] == "GTD" else 0, now=1,
            )  # fmt: skip
            assert (made, id_order) == (0, self.id_order)
            assert self.orders.send(id_order, now=1) == 0
        elif what in ("cancel", "cancel_all"):
            assert self.orders.apply(self.id_order, OrderEvent.ON_CANCEL_ASKED, now=2) == 0
        elif what == "amend":
            assert self.orders.ask_replace(self.id_order, px=o["px"], qty=o["qty"], now=2) == 0

    # ----------------------------------------------------------------------------------------------------------- in
    def frame(self, text: str) -> None:
        text = text.replace("$C", ids.client_id(self.id_order)).replace("$R", str(self.message.get("id")))
        self.answer = self.api.on_frame(text.encode(), NOW)
        self._apply(self.answer.events)

    def report(self, letters: dict[str, Any]) -> None:
        self.seen += 1
        report = FRESH | {"c": "$C", "I": self.seen} | letters
        if self.market == "spot":
            self.frame(json.dumps({"subscriptionId": 0, "event": report}))
        else:
            self.frame(json.dumps({"e": "ORDER_TRADE_UPDATE", "E": 1, "T": 1, "o": report}))

    def lost(self) -> None:
        self._apply(self.api.lost(self.message["id"], NOW))

    def _apply(self, events: Any) -> None:
        self.events = events
        for row in events.view(ORDER):
            kind, id_order = int(row["kind"]), int(row["id_order"])
            if kind == Kind.KIND_ORDER_FILL:
                self.orders.fill(
                    id_order, trade=int(row["id_venue"]), qty=int(row["qty_lots"]), px=int(row["px_ticks"]),
                    told=int(row["filled_lots"]), sell=bool(row["flags"] & Flag.FLAG_SELL), now=3,
                )  # fmt: skip
            elif kind == Kind.KIND_ORDER_REPLACED:
                self.orders.replaced(id_order, px=int(row["px_ticks"]), qty=int(row["qty_lots"]), now=3)
            elif kind in APPLIES:
                self.orders.apply(id_order, APPLIES[Kind(kind)], told=int(row["filled_lots"]), now=3)
        self.orders.check()

    # ------------------------------------------------------------------------------------------------------- as text
    def text(self) -> list[str]:
        return [self._line(self.events[at : at + 1]) for at in range(len(self.events))]

    def _line(self, event: Any) -> str:
        kind = Kind(int(event["kind"][0]))
        names = self.directory.assets.names
        if kind is Kind.KIND_FEE:
            r = event.view(FEE)[0]
            return f"FEE {names[r['asset']]} {r['amount']} {'maker' if r['maker'] else 'taker'} #{r['id_trade']}"
        if kind is Kind.KIND_BALANCE:
            r = event.view(BALANCE)[0]
            return f"BALANCE {names[r['asset']]} {r['free']} {r['locked']} #{r['id_update']}"
        if kind is Kind.KIND_POSITION:
            r = event.view(POSITION)[0]
            return f"POSITION {r['lots']} @{r['entry_px_e8']} margin {r['margin']}"
        r = event.view(ORDER)[0]
        side = " sell" if r["flags"] & Flag.FLAG_SELL else ""
        name = kind.name.removeprefix("KIND_")
        return f"{name}{side} {r['qty_lots']}@{r['px_ticks']} of {r['filled_lots']} #{r['id_venue']}"


SENDS = ("place", "cancel", "amend", "query", "cancel_all")


def _run(desk: Desk, step: dict[str, Any]) -> None:
    for what in SENDS:
        if what in step:
            assert desk.send(what, step[what]) == Status[step.get("status", "OK")]
    if "method" in step:
        assert desk.message["method"] == step["method"]
    for name, value in step.get("says", {}).items():
        value = ids.client_id(desk.id_order) if value == "$C" else None if value == "-" else value  # noqa: PLW2901
        assert desk.message["params"].get(name) == value, name
    if "answer" in step:
        desk.frame(json.dumps({"id": "$R", **step["answer"]}))
    if "user" in step:
        desk.report(step["user"])
    if "raw" in step:
        desk.frame(step["raw"])
    if step.get("lost"):
        desk.lost()
    if "gives" in step:
        assert desk.text() == step["gives"]
    if "means" in step:
        assert (desk.answer.meaning.name, desk.answer.meaning.act.name) == (step["means"], step["act"])
    if "told" in step:
        said = {"retry": desk.answer.retry_until_ms, "banned": desk.answer.banned_until_ms}
        assert {name: said[name] for name in step["told"]} == step["told"]
    if "notes" in step:
        assert [note.kind.name for note in desk.user.take_notes()] == step["notes"]
    if "tally" in step:
        assert (desk.user.needs_tally or desk.api.needs_tally) is step["tally"]
    if "state" in step:
        assert OrderState(desk.orders.state(desk.id_order)).name == f"STATE_{step['state']}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['number']}")
def test_case(case):
    desk = Desk(case["market"], case.get("order", {}))
    for at, step in enumerate(case["steps"]):
        known = {*SENDS, *"status method says answer user raw lost gives means act told notes tally state".split()}
        assert set(step) <= known, f"step {at} says something that nobody checks"
        try:
            _run(desk, step)
        except AssertionError as error:
            raise AssertionError(f"case {case['number']}, step {at}: {case['title']}: {step}\n{error}") from error


def test_the_table_is_numbered_without_a_gap_and_large_enough():
    assert [case["number"] for case in CASES] == list(range(1, len(CASES) + 1))
    markets = Counter(case["market"] for case in CASES)
    assert min(markets["spot"], markets["usdm"]) >= 120
    assert len({case["title"] for case in CASES}) == len(CASES)
