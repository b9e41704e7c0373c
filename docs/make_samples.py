"""Cuts the samples that the package ships out of two public recordings, one file for each form that can be imported.

Both sources are under the MIT licence: the order-book recording of hftbacktest's examples (USD-M BTCUSDT, April 2023)
and the five-minute candles of GeneTrader (Binance spot, 2024). Numbers are copied as they stand; only times of trades
and quotes are written in each form's own unit. The same sources give the same bytes.

Example: python docs/make_samples.py CAPTURE.log.gz BTCUSDT_5m.parquet ETHUSDT_5m.parquet
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from engine._core.types import LEVEL, QUOTE, TRADE, Flag, Kind
from engine.research import dataset, formats
from engine.research.dataset import Meta

OUT = Path(__file__).parents[1] / "engine" / "research" / "samples"
META = Meta("BTCUSDT", 10**7, 10**5, "linear")
SECONDS = 45  # of the order book
CANDLES = 2_016  # one week of five minutes
E8 = 10**8
BOOK = "hftbacktest, examples/usdm (github.com/nkaz001/hftbacktest)"
BARS = "GeneTrader, user_data (github.com/imsatoshi/GeneTrader)"
TICKS = {"symbol": "BTCUSDT", "tick": "0.1", "lot": "0.001", "market": "linear", "source": BOOK}


def _gz(name: str, text: bytes) -> None:
    with (OUT / name).open("wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
        packed.write(text)


def _csv(head: str, rows: Iterable[Iterable[Any]]) -> bytes:
    return "\n".join([head, *(",".join(map(str, row)) for row in rows), ""]).encode()


def _zip(name: str, text: bytes) -> None:
    with zipfile.ZipFile(OUT / name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(
            zipfile.ZipInfo(name.replace(".zip", ".csv"), (2024, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED, 9
        )


def _px(ticks: int) -> str:
    return f"{ticks * META.tick_e8 / E8:.1f}"


def _qty(lots: int) -> str:
    return f"{lots * META.lot_e8 / E8:.3f}"


def capture(source: Path) -> np.ndarray[Any, Any]:
    """The first seconds of the recording with the image that it begins with; its events back."""
    lines = gzip.decompress(source.read_bytes()).splitlines(keepends=True)
    until = int(lines[0].split(b" ", 1)[0]) + SECONDS * 10**6
    _gz("btcusdt-perp-capture.log.gz", b"".join(line for line in lines if int(line.split(b" ", 1)[0]) <= until))
    return dataset.load(OUT / "btcusdt-perp-capture.log.gz", META).events


def trades(source: Path) -> None:
    events = dataset.load(source, META).events
    rows = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_TRADE)]).view(TRADE)
    sold = (rows["flags"] & int(Flag.FLAG_SELL)) != 0
    plain = [
        (int(r["id_trade"]), _px(int(r["px_ticks"])), _qty(int(r["qty_lots"])),
         f"{int(r['px_ticks']) * int(r['qty_lots']) * 1e-4:.4f}", int(r["ts_venue_ns"]) // 10**6, str(bool(s)).lower())
        for r, s in zip(rows, sold, strict=True)
    ]  # fmt: skip
    _zip("BTCUSDT-trades-2023-04-04.zip", _csv("id,price,qty,quote_qty,time,is_buyer_maker", plain))
    _gz("btcusdt-perp-tardis-trades.csv.gz", _csv(
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
        (("binance-futures", "BTCUSDT", int(r["ts_venue_ns"]) // 1000, int(r["ts_recv_ns"]) // 1000, row[0],
          "sell" if s else "buy", row[1], row[2]) for r, row, s in zip(rows, plain, sold, strict=True)),
    ))  # fmt: skip
    # One aggregate is what one taker took at one price at one time.
    apart = np.flatnonzero(
        (np.diff(rows["px_ticks"]) != 0) | (np.diff(rows["ts_venue_ns"]) != 0) | (sold[1:] != sold[:-1])
    )
    begins, ends = np.r_[0, apart + 1], np.r_[apart, len(rows) - 1]
    _zip("BTCUSDT-aggTrades-2023-04-04.zip", _csv(
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        ((n + 1, plain[a][1], _qty(int(rows["qty_lots"][a : b + 1].sum())), plain[a][0], plain[b][0], *plain[a][4:6])
         for n, (a, b) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True))),
    ))  # fmt: skip


def book(events: np.ndarray[Any, Any]) -> None:
    """The same seconds as Tardis and as hftbacktest write them."""
    quotes = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_QUOTE)]).view(QUOTE)
    _gz("btcusdt-perp-tardis-quotes.csv.gz", _csv(
        "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount",
        (("binance-futures", "BTCUSDT", int(q["ts_venue_ns"]) // 1000, int(q["ts_recv_ns"]) // 1000,
          _qty(int(q["ask_qty_lots"])), _px(int(q["ask_px_ticks"])),
          _px(int(q["bid_px_ticks"])), _qty(int(q["bid_qty_lots"]))) for q in quotes),
    ))  # fmt: skip
    levels = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_BOOK_LEVEL)]).view(LEVEL)
    levels = levels[(np.cumsum((levels["flags"] & int(Flag.FLAG_SNAPSHOT)) != 0) > 0)]
    image = (levels["flags"] & int(Flag.FLAG_SNAPSHOT)) != 0
    ask = (levels["flags"] & int(Flag.FLAG_ASK)) != 0
    stamp = np.where(levels["ts_venue_ns"] > 0, levels["ts_venue_ns"], levels["ts_recv_ns"])
    _gz("btcusdt-perp-tardis-book.csv.gz", _csv(
        "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount",
        (("binance-futures", "BTCUSDT", int(t) // 1000, int(r["ts_recv_ns"]) // 1000, str(bool(i)).lower(),
          "ask" if a else "bid", _px(int(r["px_ticks"])), _qty(int(r["qty_lots"])))
         for r, t, i, a in zip(levels, stamp, image, ask, strict=True)),
    ))  # fmt: skip
    rows = events[np.isin(events["kind"], (int(Kind.KIND_BOOK_LEVEL), int(Kind.KIND_TRADE)))]
    first = int(np.flatnonzero((rows["flags"] & int(Flag.FLAG_SNAPSHOT)) != 0)[0])
    rows = rows[first:]
    made = np.zeros(len(rows), [("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"),
                                ("order_id", "u8"), ("ival", "i8"), ("fval", "f8")])  # fmt: skip
    is_trade = rows["kind"] == int(Kind.KIND_TRADE)
    sell = np.where(is_trade, (rows["flags"] & int(Flag.FLAG_SELL)) != 0, (rows["flags"] & int(Flag.FLAG_ASK)) != 0)
    image = ~is_trade & ((rows["flags"] & int(Flag.FLAG_SNAPSHOT)) != 0)
    kind = np.where(is_trade, formats.HFT_TRADE, np.where(image, formats.HFT_SNAPSHOT, formats.HFT_DEPTH))
    made["ev"] = kind | np.where(sell, formats.HFT_SELL, formats.HFT_BUY) | formats.HFT_LOCAL | (1 << 31)
    made["exch_ts"] = np.where(rows["ts_venue_ns"] > 0, rows["ts_venue_ns"], rows["ts_recv_ns"])
    made["local_ts"] = rows["ts_recv_ns"]
    made["px"], made["qty"] = rows["word"][:, 0] / 10, rows["word"][:, 1] / 1000
    buffer = io.BytesIO()
    np.savez_compressed(buffer, data=made)
    (OUT / "btcusdt-perp-hftbacktest.npz").write_bytes(buffer.getvalue())


def candles(btc: Path, eth: Path) -> None:
    table = pq.read_table(btc).slice(0, CANDLES).to_pandas()
    opened = (
        table["ts"].astype("int64")
        // (10**6 if table["ts"].dtype.kind == "M" and table["ts"].dtype.str.endswith("[ns]") else 1)
    ).tolist()
    rows = [(t, o, h, low, c, v, t + 299_999, 0, 0, 0, 0, 0) for t, o, h, low, c, v in zip(
        opened, *(table[n].tolist() for n in ("open", "high", "low", "close", "volume")), strict=True)]  # fmt: skip
    _zip("BTCUSDT-5m-2024-01.zip", _csv(",".join(formats.VISION["klines"]), rows))
    table = pq.read_table(eth).slice(0, CANDLES)
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.feather as pf  # noqa: PLC0415

    names = ("open", "high", "low", "close", "volume")
    dates = pa.array(np.array(table.column("ts").to_numpy(), "M8[ms]"), pa.timestamp("ms", "UTC"))
    pf.write_feather(pa.table([dates, *(table.column(n) for n in names)], names=["date", *names]),
                     OUT / "ETH_USDT-5m.feather", compression="zstd")  # fmt: skip
    stamps = dates.cast(pa.int64()).to_pylist()
    rows_json = [list(row) for row in zip(stamps, *(table.column(n).to_pylist() for n in names), strict=True)]
    _gz("ETH_USDT-5m.json.gz", json.dumps(rows_json).encode())


INDEX = {
    "capture": {"file": "btcusdt-perp-capture.log.gz", "form": "raw frames as Binance sent them", **TICKS},
    "vision-trades": {"file": "BTCUSDT-trades-2023-04-04.zip", "form": "Binance vision trades", **TICKS},
    "vision-aggtrades": {"file": "BTCUSDT-aggTrades-2023-04-04.zip", "form": "Binance vision aggTrades", **TICKS},
    "tardis-trades": {"file": "btcusdt-perp-tardis-trades.csv.gz", "form": "Tardis trades", **TICKS},
    "tardis-quotes": {"file": "btcusdt-perp-tardis-quotes.csv.gz", "form": "Tardis quotes", **TICKS},
    "tardis-book": {"file": "btcusdt-perp-tardis-book.csv.gz", "form": "Tardis incremental_book_L2", **TICKS},
    "hftbacktest": {"file": "btcusdt-perp-hftbacktest.npz", "form": "hftbacktest event records", **TICKS},
    "vision-klines": {"file": "BTCUSDT-5m-2024-01.zip", "form": "Binance vision klines, 5 minutes", "symbol": "BTCUSDT",
                      "tick": "0.01", "lot": "0.00001", "market": "linear", "source": BARS},
    "freqtrade-feather": {"file": "ETH_USDT-5m.feather", "form": "freqtrade candles, 5 minutes (extra parquet)",
                          "symbol": "ETHUSDT", "tick": "0.01", "lot": "0.0001", "market": "linear", "source": BARS},
    "freqtrade-json": {"file": "ETH_USDT-5m.json.gz", "form": "freqtrade candles, 5 minutes", "symbol": "ETHUSDT",
                       "tick": "0.01", "lot": "0.0001", "market": "linear", "source": BARS},
}  # fmt: skip


def main(capture_path: Path, btc: Path, eth: Path) -> None:
    OUT.mkdir(exist_ok=True)
    trades(capture_path)
    book(capture(capture_path))
    candles(btc, eth)
    (OUT / "index.json").write_text(json.dumps({k: v | {"licence": "MIT"} for k, v in INDEX.items()}, indent=2) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
