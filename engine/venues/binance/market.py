"""Market data connections of Binance: which streams, on which address, and what a frame that is no data means.

Frames themselves go to the kernel's parser, JSON or SBE. Spot has one address; USD-M has one for books and quotes and
one for everything else, and a subscription at the wrong one is silently empty, so streams are sorted by what they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

_ENCODE = msgspec.json.Encoder().encode
STREAMS_PER_CONNECTION = 1024
STREAMS_PER_MESSAGE = 200
_PUBLIC_USDM = ("depth", "bookTicker")
# SBE has streams of its own, a few of them.
_SBE = ("trade", "bestBidAsk", "depth", "depth20")


@dataclass(frozen=True)
class Endpoints:
    """Where a market answers. Tests and the embedded venue put their own in."""

    market_ws: str
    user_ws: str
    api_ws: str
    rest: str
    sbe_ws: str = ""


SPOT = Endpoints(
    market_ws="wss://stream.binance.com:9443",
    user_ws="",  # on the WebSocket API
    api_ws="wss://ws-api.binance.com:443/ws-api/v3",
    rest="https://api.binance.com",
    sbe_ws="wss://stream-sbe.binance.com:9443",
)
SPOT_TESTNET = Endpoints(
    market_ws="wss://stream.testnet.binance.vision:9443",
    user_ws="",
    api_ws="wss://ws-api.testnet.binance.vision/ws-api/v3",
    rest="https://testnet.binance.vision",
)
USDM = Endpoints(
    market_ws="wss://fstream.binance.com",
    user_ws="wss://fstream.binance.com/private",
    api_ws="wss://ws-fapi.binance.com/ws-fapi/v1",
    rest="https://fapi.binance.com",
)


def stream(text: str, name: str) -> str:
    """`btcusdt@depth@100ms`: small letters for the symbol, the stream's name as it is."""
    return f"{text.lower()}@{name}"


def _chunks(names: Sequence[str], most: int) -> list[list[str]]:
    return [list(names[at : at + most]) for at in range(0, len(names), most)]


def _addresses(base: str, names: Sequence[str]) -> list[str]:
    return [f"{base}/stream?streams={'/'.join(part)}" for part in _chunks(names, STREAMS_PER_CONNECTION)]


def urls(market: str, endpoints: Endpoints, names: Iterable[str], *, sbe: bool = False) -> list[str]:
    """The connections that carry these streams, each named in its address: no subscription can get lost."""
    names = list(dict.fromkeys(names))
    if sbe:
        if market != "spot" or any(name.split("@")[1] not in _SBE for name in names):
            raise ValueError(f"SBE is spot's and has {', '.join(_SBE)}: {names}")
        return _addresses(endpoints.sbe_ws, names)
    if market == "spot":
        return _addresses(endpoints.market_ws, names)
    out = []
    for path, is_public in (("public", True), ("market", False)):
        mine = [n for n in names if n.split("@")[1].startswith(_PUBLIC_USDM) == is_public]
        out += _addresses(f"{endpoints.market_ws}/{path}", mine)
    return out


def subscribe(names: Iterable[str], *, first_id: int = 1, method: str = "SUBSCRIBE") -> list[bytes]:
    """Control messages for a connection that is up. Send at most four a second: pings count in the same five."""
    parts = _chunks(list(names), STREAMS_PER_MESSAGE)
    return [_ENCODE({"method": method, "params": part, "id": first_id + n}) for n, part in enumerate(parts)]
