"""Whether a venue answers from here, with a certificate that is right, and how far its clock is from ours.

One small public question over HTTPS; no key is used and nothing is signed.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass

from engine._core.clock import monotonic_ns, utc_ns
from engine.settings.schema import Venue
from engine.venues.binance.market import SPOT, SPOT_TESTNET, USDM

TIMEOUT_S = 3.0
# Where each protocol tells its time to anybody, and what its milliseconds are called.
QUESTIONS = {
    "binance_spot": (SPOT.rest, "/api/v3/time", "serverTime"),
    "binance_usdm": (USDM.rest, "/fapi/v1/time", "serverTime"),
    "kraken": ("https://api.kraken.com", "/0/public/Time", ""),
    "coinbase": ("https://api.coinbase.com", "/api/v3/brokerage/time", ""),
}


@dataclass(frozen=True)
class Reached:
    """What came of the question: `trouble` is empty where it was answered."""

    address: str
    trouble: str = ""
    took_ns: int = 0
    offset_ns: int | None = None  # the venue's clock less ours

    def text(self) -> str:
        if self.trouble:
            return f"{self.address}: {self.trouble}"
        offset = "" if self.offset_ns is None else f", its clock {self.offset_ns / 1e6:+.0f} ms from ours"
        return f"{self.address} answers in {self.took_ns / 1e6:.0f} ms{offset}"


def reach(venue: Venue) -> Reached | None:
    """Ask once. None for a protocol that has no such question: the embedded one, and what ccxt speaks."""
    if venue.protocol not in QUESTIONS:
        return None
    base, path, field = QUESTIONS[venue.protocol]
    if venue.testnet and venue.protocol == "binance_spot":
        base = SPOT_TESTNET.rest
    address = (venue.rest or base).rstrip("/")
    begun, sent = monotonic_ns(), utc_ns()
    try:
        request = urllib.request.Request(address + path, headers={"User-Agent": "bot4"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=ssl.create_default_context()) as answer:
            body = answer.read(65_536)
    except urllib.error.HTTPError as error:
        return Reached(address, f"answers {error.code} {error.reason}")
    except (OSError, ValueError) as error:
        return Reached(address, str(getattr(error, "reason", error)))
    took = monotonic_ns() - begun
    offset = None
    if field:
        try:
            offset = int(json.loads(body)[field]) * 10**6 - (sent + took // 2)
        except (ValueError, KeyError, TypeError):
            return Reached(address, "answers, and not with its time")
    return Reached(address, took_ns=took, offset_ns=offset)
