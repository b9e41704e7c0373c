"""The account through ccxt: addresses that are moved, the exchange's own timer, numbers that are letters, refusals."""

from __future__ import annotations

import asyncio
import base64

import pytest

pytest.importorskip("ccxt", reason="ccxt is an extra: pip install bot4[ccxt]")

from engine._core.breaker import Breakers
from engine._core.clock import utc_ns
from engine.errors import InstrumentRefused, SettingsError, VenueNotSupported, VenueRefused, VenueUnsure
from engine.net.budget import SECOND, Limit, LimitKind, RateBudget
from engine.net.clocksync import ClockSync
from engine.venues.bridge_thread import BridgeThread
from engine.venues.ccxt_account import CcxtAccount
from engine.venues.ccxt_bridge import CcxtBridge
from engine.venues.ccxt_open import hosts_of, instrument_of, open_ccxt
from engine.venues.directory import Directory, Instrument
from tests.integration.test_venue_account import Server

MARKET = {
    "spot": True, "base": "BTC", "quote": "USD", "active": True, "maker": 0.0016, "taker": 0.0026,
    "precision": {"price": 0.1, "amount": 1e-08},
    "limits": {"amount": {"min": 0.0001, "max": None}, "price": {"min": None, "max": None}, "cost": {"min": 0.5}},
}  # fmt: skip

NOTHING = {"error": [], "result": {}}


class Kraken:
    """ccxt's Kraken, every address of it moved to a server on this machine."""

    def __init__(self, answers):
        self.server = Server({"GET /0/public/Assets": NOTHING, "GET /0/public/AssetPairs": NOTHING} | answers)

    def __enter__(self):
        self.server.__enter__()
        at = f"127.0.0.1:{self.server.port}"
        secret = base64.b64encode(b"s" * 64).decode()
        self.thread = BridgeThread()
        exchange = open_ccxt("kraken", key="key", secret=secret, rest=f"http://{at}", stream=f"ws://{at}")
        assert hosts_of(exchange) == {"127.0.0.1"}
        breakers = Breakers(count_max=2)
        breakers.declare("kraken")
        directory = Directory([Instrument("BTCUSD", 0, "BTC", "USD", px_step="0.1", qty_step="0.00000001")])
        budget = RateBudget([Limit(LimitKind.WEIGHT, 60 * SECOND, 10_000)])
        bridge = CcxtBridge(
            exchange,
            directory,
            {"BTCUSD": "BTC/USD"},
            budget=budget,
            breaker=breakers["kraken"],
            deliver=lambda _: None,
        )
        self.account = CcxtAccount(bridge, self.thread, ClockSync(), since_ns=utc_ns())
        return self

    def __exit__(self, *_):
        asyncio.run(self.account.close())
        self.thread.close()
        self.server.__exit__()

    def ask(self, work):
        return asyncio.run(work)


def test_the_exchanges_own_timer_is_armed_for_the_whole_account_and_switched_off():
    with Kraken({"POST /0/private/CancelAllOrdersAfter": {"error": [], "result": {"currentTime": "x"}}}) as kraken:
        assert kraken.account.can_arm
        kraken.ask(kraken.account.arm_dead_man("", 60_000))
        kraken.ask(kraken.account.arm_dead_man("", 0))
        asked = [name for name, _ in kraken.server.asked if name.startswith("POST")]
        assert asked == ["POST /0/private/CancelAllOrdersAfter"] * 2


PAIR = {
    "altname": "XBTUSD", "wsname": "XBT/USD", "aclass_base": "currency", "base": "XXBT", "aclass_quote": "currency",
    "quote": "ZUSD", "pair_decimals": 1, "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [],
    "leverage_sell": [], "fees": [[0, 0.26]], "fees_maker": [[0, 0.16]], "ordermin": "0.0001", "costmin": "0.5",
    "tick_size": "0.1", "status": "online",
}  # fmt: skip
ASSETS = {"XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "display_decimals": 5},
          "ZUSD": {"aclass": "currency", "altname": "USD", "decimals": 4, "display_decimals": 2}}  # fmt: skip
LISTED = {
    "GET /0/public/AssetPairs": {"error": [], "result": {"XXBTZUSD": PAIR}},
    "GET /0/public/Assets": {"error": [], "result": ASSETS},
}
VOLUME = "POST /0/private/TradeVolume"
OWN = {"currency": "ZUSD", "volume": "1", "fees": {"XXBTZUSD": {"fee": "0.20"}},
       "fees_maker": {"XXBTZUSD": {"fee": "0.10"}}}  # fmt: skip


def test_an_exchange_that_has_said_the_accounts_fees_and_does_not_any_more_fails_instead_of_guessing():
    with Kraken(LISTED | {VOLUME: {"error": [], "result": OWN}}) as kraken:
        kraken.ask(kraken.account.listed(["BTCUSD"]))
        assert kraken.ask(kraken.account.fees("BTCUSD")) == (100_000, 200_000)
        kraken.server.answers[VOLUME] = (502, {"error": ["EService:Unavailable"]})
        with pytest.raises(VenueUnsure):
            kraken.ask(kraken.account.fees("BTCUSD"))
        kraken.server.answers[VOLUME] = {"error": [], "result": OWN}
        assert kraken.ask(kraken.account.fees("BTCUSD")) == (100_000, 200_000)


def test_an_exchange_that_never_says_them_is_taken_at_ccxts_word():
    with Kraken(LISTED | {VOLUME: {"error": ["EGeneral:Permission denied"]}}) as kraken:
        kraken.ask(kraken.account.listed(["BTCUSD"]))
        assert kraken.ask(kraken.account.fees("BTCUSD")) == (160_000, 260_000)


def test_a_refusal_and_a_doubt_are_told_apart():
    refused = {"error": ["EOrder:Insufficient funds"]}
    with Kraken({"POST /0/private/CancelAllOrdersAfter": refused}) as kraken, pytest.raises(VenueRefused):
        kraken.ask(kraken.account.arm_dead_man("", 60_000))
    with (
        Kraken({"POST /0/private/CancelAllOrdersAfter": (502, {"error": ["EService:Unavailable"]})}) as kraken,
        pytest.raises(VenueUnsure),
    ):
        kraken.ask(kraken.account.arm_dead_man("", 60_000))


def test_a_market_of_ccxts_is_counted_in_its_own_steps():
    found = instrument_of(MARKET, 3, "BTCUSD", 4)
    assert (found.index, found.px_step, found.qty_step) == (3, "0.1", "0.00000001")
    assert (found.qty_min_lots, found.notional_min_e8) == (10_000, 50_000_000)
    assert (found.fee_maker_e8, found.fee_taker_e8) == (160_000, 260_000)
    places = MARKET | {"precision": {"price": 2, "amount": 5}}
    assert instrument_of(places, 0, "X", 2).row() == ("X", 0, "0.01", "0.00001")


@pytest.mark.parametrize(
    ("changes", "mode", "error", "said"),
    [
        ({"spot": False}, 4, VenueNotSupported, "trades spot"),
        ({"precision": {"price": None, "amount": 1e-8}}, 4, InstrumentRefused, "names no step"),
        ({}, 3, InstrumentRefused, "change with its price"),
    ],
)
def test_a_market_that_cannot_be_counted_is_refused_by_name(changes, mode, error, said):
    with pytest.raises(error, match=said):
        instrument_of(MARKET | changes, 0, "BTCUSD", mode)


def test_an_exchange_that_ccxt_does_not_know_is_refused():
    with pytest.raises(SettingsError, match="nowhere"):
        open_ccxt("nowhere", key="k", secret="s")
