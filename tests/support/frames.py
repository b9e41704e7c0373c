"""Frames of Binance for the parser's tests: one good example of each message, and the recorded ones."""

# ruff: noqa: E501  (a frame stands on one line, as the venue sends it)

from __future__ import annotations

import gzip
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path

# text, index, price step, quantity step. The test venue: fine enough for every recording under binance_raw.
SYMBOLS = [
    ("BTCUSDT", 0, "0.01000000", "0.00000100"),
    ("ETHUSDT", 1, "0.01", "0.001"),
    ("BNBBTC", 2, "0.0001", "0.001"),
    ("BNBUSDT", 3, "0.0001", "0.01"),
    ("BTCUSD_PERP", 4, "0.1", "1"),
    ("1000000MOGUSDT_251226", 5, "0.0000001", "25"),
    ("币安人生USDT", 6, "0.00000000000001", "0.5"),
]

MESSAGES: dict[str, bytes] = {
    "spot_depth": b'{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}',
    "spot_partial": b'{"lastUpdateId":160,"bids":[["0.0024","10"],["0.0023","0.5"]],"asks":[["0.0026","100"]]}',
    "spot_trade": b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782134,"m":true,"M":true}',
    "spot_trade_old": b'{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","b":88,"a":50,"T":1672515782134,"m":false,"M":true}',
    "spot_agg": b'{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,"T":1672515782134,"m":true,"M":true}',
    "spot_quote": b'{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}',
    "kline": b'{"e":"kline","E":1672515782136,"s":"BNBBTC","k":{"t":1672515780000,"T":1672515839999,"s":"BNBBTC","i":"1m","f":100,"L":200,'
    b'"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0015","v":"1000","n":100,"x":true,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}',
    "usdm_depth": b'{"e":"depthUpdate","E":1672515782136,"T":1672515782130,"s":"BTCUSDT","U":157,"u":160,"pu":149,'
    b'"b":[["61800.20","2.507"],["61800.10","0.000"]],"a":[["61800.30","3.330"],["12345678.5","0.014"]]}',
    "usdm_depth_empty": b'{"e":"depthUpdate","E":1672515782136,"T":1672515782130,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[],"a":[]}',
    "usdm_trade": b'{"e":"trade","E":1680652700455,"T":1680652700452,"s":"BTCUSDT","t":3535186032,"p":"28145.10","q":"0.002","X":"MARKET","m":true}',
    "usdm_agg": b'{"e":"aggTrade","E":1718000000000,"a":2200000000,"s":"BTCUSDT","p":"67123.40","q":"1.501","nq":"1.500","f":1,"l":3,"T":1717999999998,"m":false,"st":1}',
    "usdm_quote": b'{"e":"bookTicker","u":2710246762461,"s":"BTCUSDT","b":"28145.10","B":"3.868","a":"28145.20","A":"6.887","T":1680652700430,"E":1680652700435}',
    "usdm_quote_new": b'{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","b":"25.3519","B":"31.21","a":"25.3652","A":"40.66","st":1,"ps":"BNBUSDT"}',
    "mark": b'{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","ap":"11794.15","i":"11784.62659091","P":"11784.25641265","r":"-0.00038167","T":1562306400000}',
    "mark_dated": b'{"e":"markPriceUpdate","E":1562305380000,"s":"BTCUSDT","p":"11794.15","P":"0","i":"11784.6","r":"","T":0}',
    "liquidation": b'{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910","ap":"9910.12345678","X":"FILLED","l":"0.014","z":"0.014","T":1568014460890}}',
    "coinm_depth": b'{"e":"depthUpdate","E":1723161257440,"T":1723161257432,"s":"BTCUSD_PERP","ps":"BTCUSD","U":1,"u":9,"pu":0,"b":[["61773.6","1001"]],"a":[]}',
}
REPLIES = {
    "reply": b'{"result":null,"id":1}',
    "error": b'{"code":2,"msg":"Invalid request: \\"x\\"","id":"a"}',
    "usdm_error": b'{"error":{"code":-1121,"msg":"Invalid symbol."},"id":7}',
    "shutdown": b'{"e":"serverShutdown","E":1672515782136}',
}


def combined(message: bytes, stream: bytes = b"btcusdt@depth@100ms") -> bytes:
    return b'{"stream":"' + stream + b'","data":' + message + b"}"


def sbe_header(template: int, block: int, *, schema: int = 1, version: int = 0) -> bytes:
    return struct.pack("<HHHH", block, template, schema, version)


def sbe_symbol(text: bytes = b"BTCUSDT") -> bytes:
    return bytes([len(text)]) + text


def sbe_side(rows: list[tuple[int, int]], *, pad: int = 0) -> bytes:
    return struct.pack("<HH", 16 + pad, len(rows)) + b"".join(struct.pack("<qq", *row) + b"\xee" * pad for row in rows)


def sbe_depth(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], *, snapshot: bool = False, pad: int = 0, version: int = 0
) -> bytes:
    ids = (400,) if snapshot else (390, 400)
    root = struct.pack("<q", 1672515782136123) + struct.pack(f"<{len(ids)}q", *ids) + struct.pack("<bb", -2, -5)
    header = sbe_header(10002 if snapshot else 10003, len(root) + pad, version=version)
    return header + root + b"\xee" * pad + sbe_side(bids, pad=pad) + sbe_side(asks, pad=pad) + sbe_symbol()


def sbe_trades(rows: list[tuple[int, int, int, int]], *, pad: int = 0) -> bytes:
    root = struct.pack("<qqbb", 1672515782136123, 1672515782136100, -2, -8)
    body = b"".join(struct.pack("<qqqB", *row) + b"\xee" * pad for row in rows)
    header = sbe_header(10000, len(root) + pad)
    return header + root + b"\xee" * pad + struct.pack("<HI", 25 + pad, len(rows)) + body + sbe_symbol()


def sbe_quote(*, pad: int = 0) -> bytes:
    root = struct.pack("<qqbbqqqq", 1672515782136123, 400, -2, -5, 6183763, 378826, 6183764, 0)
    return sbe_header(10001, len(root) + pad) + root + b"\xee" * pad + sbe_symbol()


SBE = {
    "trades": sbe_trades([(1, 6183763, 2000000, 1), (2, 6183764, 300, 0)]),
    "no_trades": sbe_trades([]),
    "quote": sbe_quote(),
    "snapshot": sbe_depth([(6183763, 378826)], [(6183764, 154698), (6183765, 1)], snapshot=True),
    "diff": sbe_depth([(6183763, 0)], []),
    "empty_diff": sbe_depth([], []),
    "empty_snapshot": sbe_depth([], [], snapshot=True),
    "newer_schema": sbe_depth([(6183763, 5)], [(6183764, 7)], pad=3, version=1),
}


def recorded_logs(path: Path) -> Iterator[bytes]:
    """Lines `time text` of a folder binance_raw file."""
    with gzip.open(path) as lines:
        for line in lines:
            yield line.rstrip(b"\n").split(b" ", 1)[1]


def recorded_captures(path: Path) -> Iterator[bytes]:
    """Received frames of a folder ws_raw file."""
    with gzip.open(path, "rt") as lines:
        for line in lines:
            record = json.loads(line)
            if record["t"] == "recv" and "data" in record:
                yield record["data"].encode()


def symbols_named_in(frames: list[bytes]) -> list[tuple[str, int, str, str]]:
    """A table of every symbol in some frames, with the finest steps a venue uses."""
    names = sorted({name for frame in frames for name in re.findall(rb'"s": ?"([A-Z0-9_]+)"', frame)})
    return [(name.decode(), i, "0.00000001", "0.00000001") for i, name in enumerate(names)]
