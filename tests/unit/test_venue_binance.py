"""Binance's protocol parts: instruments, limits, error meanings, signatures, order lists, streams."""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engine.errors import EncodeBadTerms, InstrumentRefused
from engine.net.budget import SECOND, LimitKind
from engine.venues.binance import errors, info, lists, market, sign
from engine.venues.binance.ids import client_id, order_of, request_id, request_of
from engine.venues.binance.orders import Form, encoder
from engine.venues.binance.user import UserStream
from engine.venues.directory import Assets, Directory, Instrument
from engine.venues.outcome import Act, Outcome
from tests.support.shared import shared_path

BTC = Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.01", qty_step="0.00001")
ROW = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "orderTypes": ["LIMIT", "MARKET"],
    "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER"],
    "filters": [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01000000",
            "maxPrice": "1000000.00000000",
            "tickSize": "0.01000000",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "92.45610641", "stepSize": "0.00000000"},
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": "5",
            "bidMultiplierDown": "0.2",
            "askMultiplierUp": "5",
            "askMultiplierDown": "0.2",
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": "5.00000000",
            "applyMinToMarket": True,
            "maxNotional": "9000000.00000000",
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        {"filterType": "MAX_POSITION", "maxPosition": "10.00000500"},
        {"filterType": "A_FILTER_OF_TOMORROW", "x": 1},
    ],
}


# ------------------------------------------------------------------------------------------------------- instruments
def test_every_filter_becomes_a_limit_in_ticks_and_lots():
    i = info.instrument(ROW, 3)
    assert i.row() == ("BTCUSDT", 3, "0.01000000", "0.00001000")
    assert (i.tick_e8, i.lot_e8) == (1_000_000, 1_000)
    assert (i.px_min_ticks, i.px_max_ticks) == (1, 100_000_000)
    assert (i.qty_min_lots, i.qty_max_lots) == (1, 900_000_000)
    # Limits that lie between two steps go inward.
    assert i.market_qty_max_lots == 9_245_610
    assert i.position_max_lots == 1_000_000
    assert (i.notional_min_e8, i.notional_max_e8) == (500_000_000, 900_000_000_000_000)
    assert (i.buy_up_ppm, i.buy_down_ppm, i.sell_up_ppm, i.sell_down_ppm) == (5_000_000, 200_000, 5_000_000, 200_000)
    assert (i.orders_max, i.algo_orders_max, i.iceberg_parts_max) == (200, 5, 10)
    assert i.trading
    assert not i.linear


@pytest.mark.parametrize(
    "broken",
    [
        {"filters": []},
        {
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0", "minPrice": "0", "maxPrice": "0"},
                ROW["filters"][1],
            ]
        },
        {"baseAsset": None, "filters": None},
        {"filters": [{**ROW["filters"][0], "minPrice": "x"}, ROW["filters"][1]]},
    ],
)
def test_a_row_that_says_too_little_is_refused_by_name(broken):
    with pytest.raises(InstrumentRefused, match="BTCUSDT"):
        info.instrument(ROW | broken, 0)


def test_a_symbol_that_the_venue_does_not_list_is_refused():
    with pytest.raises(InstrumentRefused, match="NOPE"):
        info.instruments({"symbols": [ROW]}, ["BTCUSDT", "NOPE"])


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("responses__spot_market_exchange_info", 2),
        ("responses__usdt_futures_exchange_info", 1),
        ("http_responses__http_futures_market_exchange_info", 3),
    ],
)
@pytest.mark.needs_shared
def test_recorded_descriptions_are_read(name, count):
    content = json.loads(shared_path("fixtures", "nautilus", "binance", f"{name}.json").read_text())
    rows = info.instruments(content, [row["symbol"] for row in content["symbols"]])
    directory = Directory(rows.values())
    assert len(directory) == count
    assert all(i.tick_e8 > 0 and i.lot_e8 > 0 and i.qty_max_lots > i.qty_min_lots for i in directory)
    assert info.limits(content)[0].kind is LimitKind.WEIGHT


def test_a_refresh_takes_limits_over_and_stops_what_moved_or_vanished():
    directory = Directory([info.instrument(ROW, 0), Instrument("GONE", 1, "A", "B", px_step="1", qty_step="1")])
    directory.set_fees("BTCUSDT", 10, 20)
    halted = info.instrument(ROW | {"status": "HALT"}, 7)
    assert directory.refresh({"BTCUSDT": halted}) == ["BTCUSDT", "GONE"]
    now = directory.find("BTCUSDT")
    assert (now.trading, now.index, now.fee_taker_e8) == (False, 0, 20)
    moved = Instrument("BTCUSDT", 0, "BTC", "USDT", px_step="0.1", qty_step="0.00001")
    directory.refresh({"BTCUSDT": moved})
    assert directory.find("BTCUSDT").px_step == "0.01000000"
    assert not directory.find("BTCUSDT").trading


def test_steps_that_the_core_cannot_count_in_are_refused():
    for steps in (("0.000000001", "1"), ("1", "0.0000000001"), ("0", "1"), ("x", "1")):
        with pytest.raises(InstrumentRefused):
            Directory([Instrument("X", 0, "A", "B", px_step=steps[0], qty_step=steps[1])])
    with pytest.raises(InstrumentRefused, match="twice"):
        Directory([BTC, BTC])


def test_amounts_are_cut_toward_zero_never_rounded_up():
    assets = Assets()
    usdt = assets.add("USDT", 6)
    assert assets.units(usdt, "1.2345678") == 1_234_567
    assert assets.units(usdt, "-0.0000019") == -1
    assert assets.units(usdt, "5") == 5_000_000
    assert assets.add("USDT") == usdt


# ------------------------------------------------------------------------------------------------------------- limits
def test_limits_and_counts_of_the_venues_own_words():
    found = info.limits(
        {
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50},
                {"rateLimitType": "OF_TOMORROW", "interval": "DAY", "intervalNum": 1, "limit": 5},
            ]
        }
    )
    assert [(x.kind, x.interval_ns, x.most) for x in found] == [
        (LimitKind.WEIGHT, 60 * SECOND, 6000),
        (LimitKind.ORDERS, 10 * SECOND, 50),
    ]
    headers = {
        "x-mbx-used-weight-1m": "17",
        "X-MBX-ORDER-COUNT-10S": "3",
        "x-mbx-used-weight": "17",
        "Date": "x",
        "X-MBX-ORDER-COUNT-1D": "many",
    }
    assert info.counts_of_headers(headers) == [(LimitKind.WEIGHT, 60 * SECOND, 17), (LimitKind.ORDERS, 10 * SECOND, 3)]


@pytest.mark.parametrize(("depth", "weight"), [(5, 5), (100, 5), (500, 25), (1000, 50), (5000, 250)])
def test_a_snapshot_costs_by_its_depth(depth, weight):
    assert info.weight("GET /api/v3/depth", depth=depth) == weight
    assert info.new_orders("POST /api/v3/orderList/otoco") == 3
    assert info.new_orders("order.cancel") == 0


# ------------------------------------------------------------------------------------------------------------- errors
def test_a_http_status_speaks_where_no_code_does():
    assert errors.meaning_of_http(200, None).outcome is Outcome.DONE
    assert errors.meaning_of_http(502, None).outcome is Outcome.UNKNOWN
    assert errors.meaning_of_http(504, None).act is Act.RETRY
    assert errors.meaning_of_http(418, -1003, "x").act is Act.BAN
    assert errors.meaning_of_http(403, None).outcome is Outcome.NOT_SENT
    assert errors.meaning_of_http(429, -1015, "Too many new orders.").act is Act.SLOW_ORDERS
    assert errors.meaning_of_http(302, None).outcome is Outcome.UNKNOWN
    assert errors.banned_until_ms("IP banned until 1507725896000. Please use") == 1_507_725_896_000
    assert errors.banned_until_ms("no") is None


# ---------------------------------------------------------------------------------------------------------------- ids
@pytest.mark.parametrize(
    "bad", ["", "b4", "b4000005000000004", "b4f00005000000004d", "x4000005000000004d", None, 7, "B4000005000000004D"]
)
def test_an_id_that_is_not_ours_names_no_order(bad):
    assert order_of(bad) is None
    assert request_of(bad) is None


def test_ids_go_out_and_come_back():
    assert order_of(client_id(5 << 40 | 77)) == 5 << 40 | 77
    assert request_of(request_id("p", sell=True, id_order=9, symbol=3)) == ("p", True, 9, 3)
    assert request_of("zb00000000000000010000") is None
    assert request_of("pb8000000000000001" + "0000") is None


# ------------------------------------------------------------------------------------------------------------- signing
def test_a_signed_query_is_encoded_first_and_ends_in_its_signature():
    signer = sign.HmacSigner("key", b"secret")
    query = sign.query(signer, {"symbol": "BTCUSDT", "x": "a b&c"}, now_ms=5)
    payload, signature = query.split("&signature=")
    assert dict(parse_qsl(payload)) == {"symbol": "BTCUSDT", "x": "a b&c", "recvWindow": "5000", "timestamp": "5"}
    assert signature == hmac.new(b"secret", payload.encode(), hashlib.sha256).hexdigest()


def test_log_on_is_signed_by_the_ed25519_key():
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signer = sign.Ed25519Signer("key", pem)
    params = json.loads(sign.logon(signer, "1", now_ms=1_649_729_878_532))["params"]
    signature = params.pop("signature")
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params))
    assert payload == "apiKey=key&recvWindow=5000&timestamp=1649729878532"
    assert signature == signer.sign(payload.encode())
    import base64  # noqa: PLC0415

    key.public_key().verify(base64.b64decode(signature), payload.encode())


def test_a_key_of_another_kind_is_refused():
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key  # noqa: PLC0415

    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="Ed25519"):
        sign.Ed25519Signer("key", pem)


# --------------------------------------------------------------------------------------------------------- order lists
def _leg(n, kind, sell=True, qty=1000, px=0, trigger=0):
    return lists.Leg(n, kind, sell, qty, px, trigger)


def test_an_oco_names_its_legs_above_and_below_by_its_side():
    take, stop = _leg(1, "LIMIT_MAKER", px=5_300_000), _leg(2, "STOP_LOSS_LIMIT", px=5_090_000, trigger=5_100_000)
    method, params = lists.oco(BTC, stop, take, list_id="l1", stp="EXPIRE_BOTH")
    assert method == "orderList.place.oco"
    assert params == {
        "symbol": "BTCUSDT",
        "listClientOrderId": "l1",
        "side": "SELL",
        "quantity": "0.01000",
        "aboveType": "LIMIT_MAKER",
        "aboveClientOrderId": client_id(1),
        "abovePrice": "53000.00",
        "belowType": "STOP_LOSS_LIMIT",
        "belowClientOrderId": client_id(2),
        "belowPrice": "50900.00",
        "belowTimeInForce": "GTC",
        "belowStopPrice": "51000.00",
        "newOrderRespType": "ACK",
        "selfTradePreventionMode": "EXPIRE_BOTH",
    }
    buy = [_leg(1, "LIMIT_MAKER", sell=False, px=5_000_000), _leg(2, "STOP_LOSS", sell=False, trigger=5_500_000)]
    params = lists.oco(BTC, *buy, list_id="l1")[1]
    assert (params["aboveType"], params["belowType"]) == ("STOP_LOSS", "LIMIT_MAKER")


def test_an_entry_with_target_and_stop_is_one_request():
    entry = _leg(1, "LIMIT", sell=False, px=5_200_000)
    method, params = lists.otoco(
        BTC, entry, _leg(2, "TAKE_PROFIT", trigger=5_300_000), _leg(3, "STOP_LOSS", trigger=5_100_000), list_id="l1"
    )
    assert method == "orderList.place.otoco"
    assert (params["workingSide"], params["pendingSide"]) == ("BUY", "SELL")
    assert (params["pendingAboveType"], params["pendingBelowType"]) == ("TAKE_PROFIT", "STOP_LOSS")
    assert lists.oto(BTC, entry, _leg(2, "MARKET"), list_id="l")[1]["pendingQuantity"] == "0.01000"
    assert "pendingQuantity" not in lists.opo(BTC, entry, _leg(2, "MARKET"), list_id="l")[1]
    assert lists.cancel(BTC, list_id="l")[1] == {"symbol": "BTCUSDT", "listClientOrderId": "l"}


TAKE, STOP = _leg(1, "LIMIT_MAKER", px=5_300_000), _leg(2, "STOP_LOSS", trigger=5_100_000)


@pytest.mark.parametrize(
    "legs",
    [
        (TAKE, TAKE),
        (STOP, STOP),
        (TAKE, _leg(2, "STOP_LOSS", sell=False, trigger=5_100_000)),
        (TAKE, _leg(2, "STOP_LOSS", qty=5, trigger=5_100_000)),
        (TAKE, _leg(2, "STOP_LOSS", trigger=5_400_000)),
        (TAKE, _leg(2, "STOP_LOSS")),
        (TAKE, _leg(2, "STOP_LOSS", px=5, trigger=5_100_000)),
        (TAKE, _leg(0, "STOP_LOSS", trigger=5)),
        (TAKE, _leg(2, "NONSENSE", trigger=5)),
    ],
)
def test_legs_that_contradict_each_other_are_refused(legs):
    with pytest.raises(EncodeBadTerms):
        lists.oco(BTC, *legs, list_id="l")


def test_a_working_order_that_would_not_rest_is_refused():
    for make in (
        lambda: lists.oto(BTC, STOP, TAKE, list_id="l"),
        lambda: lists.otoco(BTC, STOP, TAKE, STOP, list_id="l"),
        lambda: lists.opo(BTC, _leg(1, "LIMIT", px=5), TAKE, list_id="l"),
    ):
        with pytest.raises(EncodeBadTerms):
            make()


# ------------------------------------------------------------------------------------------------------------ streams
def test_usdm_streams_are_sorted_to_the_address_that_serves_them():
    names = [market.stream("BTCUSDT", n) for n in ("depth@100ms", "aggTrade", "bookTicker", "markPrice@1s", "aggTrade")]
    assert market.urls("usdm", market.USDM, names) == [
        "wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker",
        "wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/btcusdt@markPrice@1s",
    ]
    assert len(market.urls("spot", market.SPOT, [f"x{n}@trade" for n in range(1025)])) == 2
    assert market.urls("spot", market.SPOT, ["btcusdt@depth20"], sbe=True)[0].startswith("wss://stream-sbe.binance.com")
    with pytest.raises(ValueError, match="SBE"):
        market.urls("spot", market.SPOT, ["btcusdt@aggTrade"], sbe=True)


def test_subscriptions_are_cut_into_messages():
    messages = market.subscribe([f"x{n}@trade" for n in range(450)], first_id=7)
    assert [json.loads(m)["id"] for m in messages] == [7, 8, 9]
    assert sum(len(json.loads(m)["params"]) for m in messages) == 450


def test_a_mode_of_self_trade_prevention_that_the_market_lacks_is_refused():
    with pytest.raises(ValueError, match="DECREMENT"):
        encoder("usdm", Form.SESSION, [BTC.row()], stp="DECREMENT")
    with pytest.raises(ValueError, match="secret"):
        encoder("spot", Form.HMAC, [BTC.row()])


# ---------------------------------------------------------------------------------------------- recorded user events
@pytest.mark.needs_shared
def test_recorded_user_events_of_others_are_all_understood():
    folder = shared_path("fixtures", "nautilus", "binance")
    kinds = ("execution_report", "user_data_json", "order_update", "algo_update")
    names = [p for p in sorted(folder.glob("*.json")) if any(k in p.name for k in kinds) and "metadata" not in p.name]
    directory = Directory(
        [
            Instrument(text, index, base, "USDT", px_step="0.00001", qty_step="0.00000001")
            for index, (text, base) in enumerate(
                [("ETHUSDT", "ETH"), ("BTCUSDT", "BTC"), ("ETHBTC", "ETH"), ("BNBUSDT", "BNB"), ("DOGEUSDT", "DOGE")]
            )
        ]
    )
    stream = UserStream(directory)
    for path in names:
        content = json.loads(path.read_text())
        stream.on_message(content, 1)
        # The same event as if it were about an order of ours.
        event = content.get("data") or content.get("event") or content
        body = event.get("o") if isinstance(event.get("o"), dict) else event
        for key in ("c", "C", "caid"):
            if body.get(key):
                body[key] = client_id(7)
        stream.on_message(content, 1)
    assert len(names) >= 15
    assert stream.refused_count == 0
    assert stream.notes
