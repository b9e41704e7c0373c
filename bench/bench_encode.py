"""Order bytes: one limit order as Binance's WebSocket API takes it, unsigned and signed, beside msgspec and hmac."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec
import numpy as np

from bench.harness import Report, samples_array, time_calls
from bench.loops import loop_encode
from engine._core.types import INTENT, Kind, Status
from engine.venues.binance.orders import Form, encoder

BATCH = 16
NOW_NS = 1_645_423_376_532 * 10**6
KEY, SECRET = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A", b"s" * 64
SYMBOLS = [("BTCUSDT", 0, "0.01", "0.00001")]
ENCODE = msgspec.json.Encoder().encode
KEYED = hmac.new(SECRET, digestmod=hashlib.sha256)


def _intent() -> Any:
    intent = np.zeros(1, INTENT)
    intent["kind"], intent["id_order"], intent["token"] = Kind.KIND_INTENT_PLACE, 5 << 40, 9
    intent["px_ticks"], intent["qty_lots"] = 5_200_000, 1000
    return intent


def _python(signed: bool) -> bytes:
    """The same message by the best Python parts."""
    params: dict[str, Any] = {
        "newClientOrderId": f"b4{5 << 40:016x}", "newOrderRespType": "ACK", "price": f"{5_200_000 / 100:.2f}",
        "quantity": f"{1000 / 100_000:.5f}", "recvWindow": 5000, "side": "BUY", "symbol": "BTCUSDT",
        "timeInForce": "GTC", "timestamp": NOW_NS // 10**6, "type": "LIMIT",
    }  # fmt: skip
    if signed:
        params = {"apiKey": KEY, **params}
        one = KEYED.copy()
        one.update("&".join(f"{k}={v}" for k, v in params.items()).encode())
        params["signature"] = one.hexdigest()
    return ENCODE({"id": f"pb{5 << 40:016x}0000", "method": "order.place", "params": params})


def _run(report: Report, id_: str, form: Form) -> None:
    e = encoder("spot", form, SYMBOLS, api_key=KEY, secret=SECRET)
    intent = _intent()
    status, out = e.encode(intent, NOW_NS)
    assert status == Status.OK
    assert msgspec.json.decode(out) == msgspec.json.decode(_python(form is Form.HMAC))
    samples = samples_array(20_000)
    written, failed = loop_encode.encode(e, intent.view(np.uint8), NOW_NS, samples, BATCH)
    assert failed == 0
    assert written == len(out) * samples.size * BATCH
    report.row(
        id_,
        samples,
        batch=BATCH,
        python=time_calls(lambda: e.encode(intent, NOW_NS), calls=2000),
        peer="msgspec + hmac" if form is Form.HMAC else "msgspec",
        peer_samples=time_calls(lambda: _python(form is Form.HMAC), calls=2000),
        checksum=written,
    )


def bench_session(report: Report) -> None:
    _run(report, "encode_order", Form.SESSION)


def bench_hmac_form(report: Report) -> None:
    _run(report, "encode_order_hmac", Form.HMAC)
