"""Data in the forms of others: every number arrives as it was written, what is wrong is said, nothing is mended."""

from __future__ import annotations

import gzip
import json
import sys
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

from engine._core.types import BAR_PRICES, BAR_TOTALS, LEVEL, QUOTE, TRADE, Flag, Kind
from engine.cli.main import cli
from engine.errors import DatasetUnreadable, ExtraMissing
from engine.research import dataset, formats
from engine.research.dataset import Meta
from engine.runtime.backtest import sample
from tests.support.shared import shared_path

pytest.importorskip("pyarrow", reason="no pyarrow: the extra `parquet` brings it")
import pyarrow as pa
from pyarrow import feather, parquet

META = Meta("BTCUSDT", 10**6, 10**5)
MS = 1_000_000
T = 1_704_153_600_000  # 2024-01-02, in ms


def load(path, meta=META):
    return dataset.load(path, meta)


def of(data, kind, dtype):
    return np.ascontiguousarray(data.events[data.events["kind"] == int(kind)]).view(dtype)


def write(path, text):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(path.name.replace(".zip", ".csv"), text)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


TRADES = f"7,42000.01,0.500,21000.005,{T},true,true\n8,42000.02,0.001,42.00002,{T + 5},false,true\n"
TARDIS = "exchange,symbol,timestamp,local_timestamp,"
HEAD = "id,price,qty,quote_qty,time,is_buyer_maker\n"


# ------------------------------------------------------------------------------------------------------ binance vision
@pytest.mark.parametrize("name", ["BTCUSDT-trades-2024-01-02.csv", "BTCUSDT-trades-2024-01-02.zip", "x.csv.gz"])
def test_trades_of_binance_vision_arrive_as_written(tmp_path, name):
    data = load(write(tmp_path / name, TRADES))
    rows = of(data, Kind.KIND_TRADE, TRADE)
    assert rows["px_ticks"].tolist() == [4_200_001, 4_200_002]
    assert rows["qty_lots"].tolist() == [500, 1]
    assert rows["id_trade"].tolist() == [7, 8]
    assert rows["ts_venue_ns"].tolist() == rows["ts_recv_ns"].tolist() == [T * MS, (T + 5) * MS]
    # The buyer rested, so the aggressor sold.
    assert [bool(flags & Flag.FLAG_SELL) for flags in rows["flags"].tolist()] == [True, False]
    assert data.meta.supposed == ("received when the venue stamped it",)
    assert len(data.meta.source_sha256) == 64


def test_the_headed_form_and_stamps_in_microseconds_are_read_alike(tmp_path):
    plain = load(write(tmp_path / "a.csv", TRADES))
    rows = [",".join(line.split(",")[:6]) for line in TRADES.splitlines()]
    headed = load(write(tmp_path / "b.csv", HEAD + "\n".join(rows) + "\n"))
    finer = load(write(tmp_path / "c.csv", TRADES.replace(str(T), f"{T}000").replace(str(T + 5), f"{T + 5}000")))
    assert plain.events.tobytes() == headed.events.tobytes() == finer.events.tobytes()


def test_aggregated_trades_keep_the_trades_they_stand_for(tmp_path):
    text = f"11,42000.01,0.5,7,9,{T},true,true\n13,42000.01,0.5,12,12,{T},true,true\n"
    data = load(write(tmp_path / "BTCUSDT-aggTrades-2024-01-02.csv", text))
    rows = of(data, Kind.KIND_AGG_TRADE, TRADE)
    assert rows[["id_trade", "id_first", "id_last"]].tolist() == [(11, 7, 9), (13, 12, 12)]
    assert dataset.check(data).missing_trades == 1


def test_best_prices_have_the_time_they_were_sent_as_their_receipt(tmp_path):
    head = ",".join(formats.VISION["bookTicker"])
    data = load(write(tmp_path / "q.csv", f"{head}\n5,42000.01,1.5,42000.02,2.25,{T},{T + 3}\n"))
    (row,) = of(data, Kind.KIND_QUOTE, QUOTE)
    assert (row["bid_px_ticks"], row["bid_qty_lots"], row["ask_px_ticks"], row["ask_qty_lots"]) == (
        4_200_001, 1_500, 4_200_002, 2_250)  # fmt: skip
    assert (row["ts_venue_ns"], row["ts_recv_ns"], row["id_book"]) == (T * MS, (T + 3) * MS, 5)


def kline(at, low="1.00", close="1.05"):
    return f"{T + at * 60_000},1.01,1.10,{low},{close},3.000,{T + at * 60_000 + 59_999},3.15,4,2.000,2.1,0\n"


def test_klines_are_two_records_known_at_their_close_and_a_missing_or_broken_one_is_told(tmp_path):
    data = load(write(tmp_path / "BTCUSDT-1m-2024-01-02.csv", kline(0) + kline(1) + kline(4) + kline(5, close="1.20")))
    prices, totals = of(data, Kind.KIND_BAR_PRICES, BAR_PRICES), of(data, Kind.KIND_BAR_TOTALS, BAR_TOTALS)
    assert prices[0][["open_ticks", "high_ticks", "low_ticks", "close_ticks", "volume_lots"]].tolist() == (
        101, 110, 100, 105, 3_000)  # fmt: skip
    assert (totals[0]["trade_count"], totals[0]["taker_buy_lots"], totals[0]["quote_volume_e8"]) == (
        4,
        2_000,
        315_000_000,
    )
    assert prices["ts_recv_ns"].tolist() == totals["ts_close_ns"].tolist()
    found = dataset.check(data)
    assert (found.missing_bars, found.bad_bars, found.duplicates, found.clean) == (2, 1, 0, False)
    twice = dataset.check(load(write(tmp_path / "BTCUSDT-1m-b.csv", kline(0) + kline(1) + kline(1))))
    assert twice.duplicates == 1


# -------------------------------------------------------------------------------------------------------------- tardis
def test_tardis_trades_and_quotes_merge_by_receipt(tmp_path):
    rows = f"b,BTCUSDT,{T}000,{T}500,3,sell,42000.01,0.5\nb,BTCUSDT,{T}002,{T}900,4,buy,42000.02,0.25\n"
    a = write(tmp_path / "t.csv.gz", TARDIS + "id,side,price,amount\n" + rows)
    rows = f"b,BTCUSDT,{T}001,{T}700,1,42000.02,42000.01,2\nb,BTCUSDT,{T}001,{T}950,,,42000.01,2\n"
    b = write(tmp_path / "q.csv", TARDIS + "ask_amount,ask_price,bid_price,bid_amount\n" + rows)
    data = dataset.merge([load(a), load(b)])
    assert [int(kind) for kind in data.events["kind"]] == [
        Kind.KIND_TRADE, Kind.KIND_QUOTE, Kind.KIND_TRADE, Kind.KIND_QUOTE]  # fmt: skip
    assert data.events["ts_recv_ns"].tolist() == [(T * 1_000 + at) * 1_000 for at in (500, 700, 900, 950)]
    assert of(data, Kind.KIND_QUOTE, QUOTE)["ask_px_ticks"].tolist() == [4_200_002, 0]
    assert data.meta.source == "t.csv.gz, q.csv"
    assert dataset.check(data).skew_min_ns == 500_000


def test_tardis_depth_becomes_messages_and_the_best_prices_behind_them(tmp_path):
    head = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
    rows = [
        (0, "true,bid,100.00,2"), (0, "true,ask,100.02,1"), (1, "false,bid,100.01,3"), (2, "false,ask,100.05,9"),
        (3, "false,bid,100.01,0"), (3, "false,ask,100.03,1"),
    ]  # fmt: skip
    text = head + "".join(f"b,BTCUSDT,{T}00{at},{T}10{at},{row}\n" for at, row in rows)
    data = load(write(tmp_path / "book.csv", text))
    quotes = of(data, Kind.KIND_QUOTE, QUOTE)
    assert quotes[["bid_px_ticks", "bid_qty_lots", "ask_px_ticks", "ask_qty_lots"]].tolist() == [
        (10_000, 2_000, 10_002, 1_000), (10_001, 3_000, 10_002, 1_000), (10_000, 2_000, 10_002, 1_000)]  # fmt: skip
    levels = of(data, Kind.KIND_BOOK_LEVEL, LEVEL)
    assert levels["id_last"].tolist() == [1, 1, 2, 3, 4, 4]
    assert [bool(f & Flag.FLAG_SNAPSHOT) for f in levels["flags"].tolist()] == [True, True, False, False, False, False]
    events, done = dataset.playable(data)
    assert (done["book_breaks"], done["withheld"], len(events)) == (0, 0, len(data.events))


# --------------------------------------------------------------------------------------------------------- hftbacktest
def hft(rows):
    names = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
    out = np.zeros(len(rows), list(zip(names, ("u8", "i8", "i8", "f8", "f8", "u8", "i8", "f8"), strict=True)))
    for at, (ev, exch, local, px, qty) in enumerate(rows):
        out[at] = (ev, exch, local, px, qty, 0, 0, 0.0)
    return out


def test_event_records_of_hftbacktest_are_read_as_a_local_observer_sees_them(tmp_path):
    here, there = formats.HFT_LOCAL, 1 << 31
    buy, sell = formats.HFT_BUY, formats.HFT_SELL
    rows = [
        (formats.HFT_SNAPSHOT | buy | here | there, 1_000, 1_500, 100.0, 2.0),
        (formats.HFT_SNAPSHOT | sell | here | there, 1_000, 1_500, 100.02, 1.0),
        (formats.HFT_DEPTH | buy | there, 2_000, 2_400, 99.0, 7.0),
        (formats.HFT_TRADE | sell | here | there, 3_000, 3_600, 100.0, 0.5),
        (formats.HFT_DEPTH | buy | here | there, 4_000, 4_100, 100.0, 1.5),
    ]
    np.savez_compressed(tmp_path / "h.npz", data=hft(rows))
    data = load(tmp_path / "h.npz")
    assert [int(kind) for kind in data.events["kind"]] == [
        Kind.KIND_BOOK_LEVEL, Kind.KIND_BOOK_LEVEL, Kind.KIND_QUOTE, Kind.KIND_TRADE, Kind.KIND_BOOK_LEVEL,
        Kind.KIND_QUOTE,
    ]  # fmt: skip
    assert data.events["ts_recv_ns"].tolist() == [1_500, 1_500, 1_500, 3_600, 4_100, 4_100]
    assert of(data, Kind.KIND_TRADE, TRADE)[0][["px_ticks", "qty_lots"]].tolist() == (10_000, 500)
    assert of(data, Kind.KIND_QUOTE, QUOTE)["bid_qty_lots"].tolist() == [2_000, 1_500]
    np.save(tmp_path / "l3.npy", hft([(10 | here, 1, 2, 100.0, 1.0)]))
    with pytest.raises(DatasetUnreadable, match="order-by-order"):
        load(tmp_path / "l3.npy")


# ----------------------------------------------------------------------------------------------------------- freqtrade
def test_candles_of_freqtrade_are_the_same_from_feather_and_json(tmp_path):
    rows = [[T + at * 300_000, 1.01, 1.1, 1.0, 1.05, 3.0 + at] for at in (0, 1, 3)]
    (tmp_path / "BTC_USDT-5m.json").write_text(json.dumps(rows))
    columns = [list(column) for column in zip(*rows, strict=True)]
    table = pa.table({"date": pa.array(columns[0], pa.timestamp("ms", "UTC")),
                      **dict(zip(("open", "high", "low", "close", "volume"), columns[1:], strict=True))})  # fmt: skip
    feather.write_feather(table, tmp_path / "BTC_USDT-5m.feather")
    one, other = (load(tmp_path / f"BTC_USDT-5m.{suffix}") for suffix in ("json", "feather"))
    assert one.events.tobytes() == other.events.tobytes()
    totals = of(one, Kind.KIND_BAR_TOTALS, BAR_TOTALS)
    assert (totals["ts_close_ns"] - totals["ts_open_ns"]).tolist() == [300 * 10**9] * 3
    assert dataset.check(one).missing_bars == 1
    assert "bars of 5m" in one.meta.supposed[0]


# ------------------------------------------------------------------------------------------------------------- parquet
def test_parquet_brings_back_every_byte_its_meaning_and_its_provenance(tmp_path):
    data = sample(seed=3, count=500)
    for name in ("a", "b"):
        dataset.save(tmp_path / f"{name}.parquet", data)
    again = dataset.load(tmp_path / "a.parquet")
    assert again.events.tobytes() == data.events.tobytes()
    assert again.meta == data.meta
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_parquet_file_that_was_edited_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    dataset.save(path, sample(seed=3, count=50))
    table = parquet.read_table(path)

    def refused(changed, words):
        parquet.write_table(changed.replace_schema_metadata(changed.schema.metadata), path)
        with pytest.raises(DatasetUnreadable, match=words):
            dataset.load(path)

    at = table.schema.get_field_index("word_0")
    refused(table.slice(0, 49), "not those")
    refused(table.set_column(at, "word_0", pa.array([1] * 50, pa.int64())), "not those")
    refused(table.set_column(at, "word_0", table.column("word_0").cast(pa.float64())), "word_0 is not int64")
    refused(table.drop_columns(["word_4"]), "word_4")
    refused(table.replace_schema_metadata({**table.schema.metadata, b"bot4.format": b"9"}), "format 9")


# ------------------------------------------------------------------------------------------------------- what is wrong
@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", TRADES.replace("42000.02", "42000.025"), "row 2: 42000.025 is no whole number of steps .price, tick"),
        ("a.csv", TRADES.replace("0.500", "0.0005"), "row 1: 0.0005 .* .quantity, lot"),
        ("a.csv", TRADES.replace("0.500", "half"), "cannot be read"),
        ("a.csv", TRADES.replace("0.500", "NaN"), "no whole number"),
        ("a.csv", TRADES.replace(",true,true\n8", ",true\n8"), "fields in place of"),
        ("a.csv", TRADES.replace(str(T) + ",", "soon,"), "is no time"),
        ("a.csv", "price,colour\n1,red\n", "no known form has the columns price, colour"),
        ("a.csv", "1,2,3\n", "3 columns without names"),
        ("a.csv", "", "empty"),
        ("a.csv", "symbol,timestamp,price,amount\nETHUSDT,1,1,1\n", "no row of BTCUSDT; it has ETHUSDT"),
        ("a.json", "[[1, 2, 3]]", "neither candles"),
        ("a.json", "{}", "no list"),
        ("a.json", "[", "Expecting"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path, name, text, words):
    with pytest.raises(DatasetUnreadable, match=words):
        load(write(tmp_path / name, text))


@pytest.mark.parametrize("name", ["a.zip", "a.csv.gz", "a.parquet", "a.feather", "a.npz"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"not at all" * 20)
    with pytest.raises(DatasetUnreadable):
        load(tmp_path / name)


def test_floats_are_taken_to_their_last_digit_and_no_further():
    assert formats.steps([61.49918, 0.1 + 0.2], 1_000, "").tolist() == [6_149_918, 30_000]
    with pytest.raises(DatasetUnreadable):
        formats.steps([0.3000004], 10**6 * 10, "")
    with pytest.raises(DatasetUnreadable):
        formats.steps([float("nan")], 10**6, "")


def test_without_pyarrow_the_extra_is_named_and_the_rest_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    data = load(write(tmp_path / "a.csv", TRADES))
    with pytest.raises(ExtraMissing, match=r"bot4\[parquet\]"):
        dataset.save(tmp_path / "a.parquet", data)
    dataset.save(tmp_path / "a.npz", data)
    assert dataset.load(tmp_path / "a.npz").meta == data.meta


# ------------------------------------------------------------------------------------------------------- the commands
def test_import_list_and_check_go_together(tmp_path):
    write(tmp_path / "BTCUSDT-trades-2024-01-02.zip", TRADES)
    (tmp_path / "sets").mkdir()
    out = tmp_path / "sets" / "btc.parquet"
    steps = ["--symbol", "BTCUSDT", "--tick", "0.01", "--lot", "0.001"]
    run = CliRunner().invoke
    done = run(cli, ["data", "import", str(tmp_path / "BTCUSDT-trades-2024-01-02.zip"), str(out), *steps, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["findings"]["clean"]
    assert told["meta"]["form"] == "binance vision trades"
    (tmp_path / "sets" / "other.parquet").write_bytes(b"PAR1")
    listed = json.loads(run(cli, ["data", "list", str(tmp_path / "sets"), "--json"]).stdout)
    assert [row["path"] for row in listed] == ["btc.parquet", "other.parquet"]
    assert (listed[0]["events"], listed[0]["symbol"]) == (2, "BTCUSDT")
    assert "problem" in listed[1]
    assert run(cli, ["data", "check", str(out)]).exit_code == 0
    (tmp_path / "nothing").mkdir()
    assert "no data set" in run(cli, ["data", "list", str(tmp_path / "nothing")]).output


@pytest.mark.needs_shared
def test_recorded_tables_of_others_are_read_whole(tmp_path):
    ticks, bars = shared_path("ticks"), shared_path("bars")
    meta = Meta("BTCUSDT", 10**6, 10**5, "linear")
    name = "tardis_binance-futures_BTCUSDT_{}_20200222.parquet"
    parts = [load(ticks / name.format(one), meta) for one in ("trades", "quotes")]
    both = dataset.merge(parts)
    found = dataset.check(both)
    assert found.kinds == {"trade": 9_999, "quote": 9_999}
    assert (found.missing_trades, found.crossed_quotes, found.skew_min_ns > 0) == (0, 0, True)
    events, _ = dataset.playable(both)
    assert len(events) == 19_998
    minute = load(bars / "binance_BTCUSDT_1m_20240402_07.parquet", Meta("BTCUSDT", 10**6, 10**3))
    assert dataset.check(minute).kinds == {"bar_prices": 7_207, "bar_totals": 7_207}
    coins = load(bars / "freqtrade_5m_201801.parquet", Meta("ADA_BTC", 1, 1))
    assert dataset.check(coins).missing_bars == 40
