"""HMAC-SHA256 of one order's 250 bytes, beside Python's own copy of a keyed object."""

from __future__ import annotations

import hashlib
import hmac

from bench.harness import Report, samples_array, time_calls
from bench.loops import loop_hmac
from engine._core.hmac import HmacKey

SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
BATCH = 16


def bench_sign(report: Report) -> None:
    message = bytearray(b"apiKey=" + b"k" * 64 + b"&x=" + b"0123456789" * 18)[:250]
    key = HmacKey(SECRET)
    keyed = hmac.new(SECRET, digestmod=hashlib.sha256)

    def copied() -> str:
        one = keyed.copy()
        one.update(message)
        return one.hexdigest()

    assert key.sign(message).hex() == copied()
    samples = samples_array(20_000)
    checksum = loop_hmac.sign(key, message, samples, BATCH)
    report.row(
        "hmac_sha256",
        samples,
        batch=BATCH,
        python=time_calls(lambda: key.sign(message), calls=2000),
        peer="hmac.copy()",
        peer_samples=time_calls(copied, calls=2000),
        checksum=checksum,
    )
