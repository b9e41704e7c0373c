"""The compiled encoder and its twin on the real venue's templates, on all kinds of intents."""

from __future__ import annotations

import hashlib
import hmac
import json
from urllib.parse import parse_qsl

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core import encode as core
from engine._core.orders import OrderTif as Tif
from engine._core.orders import OrderType as Type
from engine._core.types import INTENT, INTENT_TERMS, Flag, Kind, Status
from engine.errors import EncodeBadTemplate
from engine.model import encode as model
from engine.venues.binance import orders

STEM = "encode"
SYMBOLS = [("BTCUSDT", 0, "0.01", "0.00001"), ("SHIB1000USDT", 3, "0.0000001", "1"), ("ODDUSDT", 4, "0.25", "5")]
KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
NOW = 1_645_423_376_532 * 10**6
ORDER = 5 << 40 | 77


def _intent(kind=Kind.KIND_INTENT_PLACE, type=Type.TYPE_LIMIT, tif=Tif.TIF_GTC, asked=0, **fields):  # noqa: A002
    out = np.zeros(1, INTENT)
    values = {"kind": kind, "id_order": ORDER, "px_ticks": 5_200_000, "qty_lots": 1000, "token": 9}
    values |= {"terms": 1 | int(type) << 16 | int(tif) << 24 | asked << 32}
    for name, value in (values | fields).items():
        out[name] = value
    return out


def _terms(**fields):
    out = np.zeros(1, INTENT_TERMS)
    for name, value in ({"kind": Kind.KIND_INTENT_TERMS, "id_order": ORDER} | fields).items():
        out[name] = value
    return out


def _encoder(impl, market="spot", form=orders.Form.SESSION, stp=None):
    messages = orders.spot_messages(stp=stp) if market == "spot" else orders.usdm_messages(stp=stp)
    rows = orders.templates(messages, form, api_key=KEY)
    return impl.Encoder(SYMBOLS, rows, secret=None if form is orders.Form.SESSION else SECRET)


def test_a_limit_order_in_the_session_form(impl):
    e = _encoder(impl)
    e.check()
    status, out = e.encode(_intent(), NOW)
    assert status == Status.OK
    assert json.loads(out) == {
        "id": f"pb{ORDER:016x}0000", "method": "order.place",
        "params": {
            "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000",
            "price": "52000.00", "newClientOrderId": f"b4{ORDER:016x}", "newOrderRespType": "ACK",
            "recvWindow": 5000, "timestamp": 1_645_423_376_532,
        },
    }  # fmt: skip
    assert e.counts == (1, 0)


def test_the_hmac_form_signs_its_own_parameters_in_alphabetical_order(impl):
    status, out = _encoder(impl, form=orders.Form.HMAC).encode(_intent(px_ticks=1, qty_lots=3), NOW)
    assert status == Status.OK
    params = json.loads(out)["params"]
    signature = params.pop("signature")
    assert params["apiKey"] == KEY
    payload = "&".join(f"{k}={params[k]}" for k in sorted(params))
    assert hmac.new(SECRET, payload.encode(), hashlib.sha256).hexdigest() == signature


def test_the_rest_form_signs_the_query_as_it_stands(impl):
    status, out = _encoder(impl, form=orders.Form.REST).encode(_intent(), NOW)
    assert status == Status.OK
    verb, path, query = out.decode().split(" ")
    assert (verb, path) == ("POST", "/api/v3/order")
    payload, signature = query.split("&signature=")
    assert dict(parse_qsl(payload))["price"] == "52000.00"
    assert hmac.new(SECRET, payload.encode(), hashlib.sha256).hexdigest() == signature


def test_the_example_of_the_websocket_api_is_met(impl):
    # web-socket-api.md, "SIGNED request example (HMAC)": the same template machinery, its parameters.
    text = f"apiKey={KEY}&price=%p&quantity=%q&recvWindow=100&side=%D&symbol=%S&timeInForce=GTC&timestamp=%t&type=LIMIT"
    e = impl.Encoder([("BTCUSDT", 0, "0.01", "0.00000001")], [(impl.place_slots([0], [0]), "%s", text)], secret=SECRET)
    intent = _intent(flags=Flag.FLAG_SELL, px_ticks=5_200_000, qty_lots=1_000_000)
    assert e.encode(intent, NOW) == (Status.OK, b"aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24")


def test_an_order_without_the_gates_token_is_refused_whatever_else_is_wrong(impl):
    e = _encoder(impl)
    for intent in (_intent(token=0), _intent(token=0, symbol=99), _intent(token=0, type=7, tif=4)):
        assert e.encode(intent, NOW) == (Status.ENCODE_NO_TOKEN, b"")
    assert e.counts == (0, 3)


def test_a_cancel_and_a_query_need_no_token(impl):
    e = _encoder(impl)
    for kind, method in ((Kind.KIND_INTENT_CANCEL, "order.cancel"), (Kind.KIND_INTENT_QUERY, "order.status")):
        status, out = e.encode(_intent(kind, token=0), NOW)
        assert status == Status.OK
        assert json.loads(out)["method"] == method
        assert json.loads(out)["params"]["origClientOrderId"] == f"b4{ORDER:016x}"


def test_an_amend_without_a_token_only_shrinks_where_the_venue_can(impl):
    intent = _intent(Kind.KIND_INTENT_AMEND, token=0)
    status, out = _encoder(impl).encode(intent, NOW)
    assert status == Status.OK
    message = json.loads(out)
    assert message["method"] == "order.amend.keepPriority"
    assert message["params"]["newQty"] == "0.01000"
    assert "price" not in message["params"]
    assert _encoder(impl, "usdm").encode(intent, NOW) == (Status.ENCODE_NO_TOKEN, b"")


def test_an_amend_with_a_token_replaces_an_unfilled_order_only(impl):
    status, out = _encoder(impl).encode(_intent(Kind.KIND_INTENT_AMEND), NOW)
    params = json.loads(out)["params"]
    assert status == Status.OK
    assert params["cancelRestrictions"] == "ONLY_NEW"
    assert params["newClientOrderId"] == params["cancelOrigClientOrderId"] == f"b4{ORDER:016x}"
    status, out = _encoder(impl, "usdm").encode(_intent(Kind.KIND_INTENT_AMEND), NOW)
    assert json.loads(out)["method"] == "order.modify"


@pytest.mark.parametrize(
    ("market", "type_", "tif", "flags", "wanted"),
    [
        ("spot", Type.TYPE_LIMIT, Tif.TIF_GTX, 0, {"type": "LIMIT_MAKER"}),
        ("spot", Type.TYPE_LIMIT, Tif.TIF_GTC, 1, {"type": "LIMIT_MAKER"}),
        ("spot", Type.TYPE_LIMIT, Tif.TIF_FOK, 2, {"type": "LIMIT", "timeInForce": "FOK"}),
        ("spot", Type.TYPE_STOP, Tif.TIF_GTC, 0, {"type": "STOP_LOSS", "stopPrice": "510.00"}),
        ("spot", Type.TYPE_STOP_LIMIT, Tif.TIF_GTC, 0, {"type": "STOP_LOSS_LIMIT", "stopPrice": "510.00"}),
        ("spot", Type.TYPE_TAKE_PROFIT_LIMIT, Tif.TIF_GTC, 0, {"type": "TAKE_PROFIT_LIMIT"}),
        ("spot", Type.TYPE_TRAILING, Tif.TIF_GTC, 0, {"type": "STOP_LOSS", "trailingDelta": 20}),
        ("spot", Type.TYPE_ICEBERG, Tif.TIF_GTC, 0, {"icebergQty": "0.00100"}),
        ("usdm", Type.TYPE_LIMIT, Tif.TIF_GTX, 0, {"timeInForce": "GTX"}),
        ("usdm", Type.TYPE_LIMIT, Tif.TIF_GTD, 0, {"timeInForce": "GTD", "goodTillDate": 1_700_000_000_000}),
        ("usdm", Type.TYPE_MARKET, Tif.TIF_GTC, 2, {"type": "MARKET", "reduceOnly": "true"}),
        ("usdm", Type.TYPE_STOP, Tif.TIF_GTC, 2, {"type": "STOP_MARKET", "triggerPrice": "510.00"}),
        ("usdm", Type.TYPE_TRAILING, Tif.TIF_GTC, 0, {"callbackRate": "0.2", "activatePrice": "510.00"}),
    ],
)
def test_every_type_and_time_in_force_of_the_venue(impl, market, type_, tif, flags, wanted):
    terms = _terms(trigger_px_ticks=51_000, trail_ticks=100, display_lots=100, expire_ns=1_700_000_000 * 10**9)
    intent = _intent(type=type_, tif=tif, asked=flags)
    intent["flags"] = Flag.FLAG_FIRST
    status, out = _encoder(impl, market).encode(intent, NOW, terms)
    assert status == Status.OK
    params = json.loads(out)["params"]
    assert wanted.items() <= params.items()


@pytest.mark.parametrize(
    ("market", "fields"),
    [
        ("spot", {"tif": Tif.TIF_GTD}),
        ("spot", {"type": Type.TYPE_STOP}),  # no trigger came with it
        ("spot", {"type": 8}),
        ("spot", {"tif": 5}),
        ("spot", {"asked": 1, "tif": Tif.TIF_IOC}),
        ("spot", {"px_ticks": 0}),
        ("spot", {"px_ticks": -1}),
        ("spot", {"qty_lots": 0}),
        ("spot", {"symbol": 4, "qty_lots": 2**62}),
        ("usdm", {"type": Type.TYPE_ICEBERG}),
        ("usdm", {"kind": Kind.KIND_INTENT_CANCEL_ALL}),  # REST alone has it
        ("spot", {"kind": Kind.KIND_INTENT_CANCEL_ALL, "symbol": 0xFFFF}),
        ("spot", {"kind": Kind.KIND_QUOTE}),
    ],
)
def test_what_the_venue_lacks_is_refused(impl, market, fields):
    e = _encoder(impl, market)
    assert e.encode(_intent(**fields), NOW) == (Status.ENCODE_BAD_TERMS, b"")


def test_an_unknown_symbol_is_refused(impl):
    for symbol in (1, 5, 0xFFFF):
        assert _encoder(impl).encode(_intent(symbol=symbol), NOW) == (Status.WORLD_UNKNOWN_SYMBOL, b"")


def test_terms_of_another_order_are_refused(impl):
    intent = _intent(type=Type.TYPE_STOP)
    intent["flags"] = Flag.FLAG_FIRST
    for terms in (None, _terms(id_order=1, trigger_px_ticks=5), _terms(kind=0, trigger_px_ticks=5)):
        assert _encoder(impl).encode(intent, NOW, terms)[0] == Status.ENCODE_BAD_TERMS


def test_templates_that_contradict_themselves_are_refused(impl):
    slots = impl.place_slots([0], [0])
    bad = [
        [(slots, "%z", "")], [(slots, "%", "")], [(slots, "%s", "")], [(slots, "plain", "%p")],
        [(slots, "%s%s", "%p")], [(slots, "%s", "%s")], [(slots, "%P", "")], [(slots, "a", ""), (slots, "b", "")],
        [([200], "a", "")], [],
    ]  # fmt: skip
    for rows in bad:
        with pytest.raises(EncodeBadTemplate):
            impl.Encoder(SYMBOLS, rows, secret=SECRET)
    with pytest.raises(EncodeBadTemplate):
        impl.Encoder(SYMBOLS, [(slots, "%s", "%p")])


def test_a_percent_sign_stands_for_itself(impl):
    e = impl.Encoder(SYMBOLS, [(impl.place_slots([0], [0]), "100%% %S", "")])
    assert e.encode(_intent(), NOW) == (Status.OK, b"100% BTCUSDT")


def test_a_buffer_that_may_be_too_small_is_refused_before_anything_is_written():
    e = _encoder(core, form=orders.Form.HMAC)
    for room in range(0, e.room_max + 40, 7):
        status, out = e.encode(_intent(), NOW, room=room)
        assert status in (Status.OK, Status.ENCODE_NO_ROOM)
        assert bool(out) == (status == Status.OK)


_number = st.one_of(st.integers(0, 10**7), st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1, 2**60, 2**62]))


@given(data=st.data(), market=st.sampled_from(["spot", "usdm"]), form=st.sampled_from(list(orders.Form)))
def test_kernel_and_twin_write_the_same_bytes(data, market, form):
    one, two = _encoder(core, market, form), _encoder(model, market, form)
    for _ in range(4):
        intent = _intent(
            data.draw(st.sampled_from([128, 128, 128, 129, 130, 131, 132, 133, 2])),
            data.draw(st.integers(0, 8)), data.draw(st.integers(0, 5)), data.draw(st.integers(0, 3)),
            symbol=data.draw(st.sampled_from([0, 0, 3, 4, 1, 9, 0xFFFF])), token=data.draw(st.sampled_from([0, 1, 5])),
            px_ticks=data.draw(_number), qty_lots=data.draw(_number), id_order=data.draw(st.integers(0, 2**63 - 1)),
        )  # fmt: skip
        intent["flags"] = data.draw(st.sampled_from([0, 1, 4, 5]))
        terms = _terms(
            id_order=intent["id_order"][0], trigger_px_ticks=data.draw(_number), trail_ticks=data.draw(_number),
            display_lots=data.draw(_number), expire_ns=data.draw(_number),
        )  # fmt: skip
        now = data.draw(st.one_of(st.just(NOW), st.integers(0, 2**62)))
        assert one.encode(intent, now, terms) == two.encode(intent, now, terms)
    assert one.counts == two.counts
