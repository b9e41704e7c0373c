"""Data sets: what is wrong with them is said, what cannot be trusted is withheld, what is written is read again."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from engine._core.types import EVENT, LEVEL, QUOTE, TRADE, Kind
from engine.errors import DatasetEmpty, DatasetUnreadable
from engine.research import dataset
from engine.research.dataset import Dataset, Meta
from engine.runtime.backtest import sample
from tests.support.books import message, quote
from tests.support.shared import shared_path

META = Meta("BTCUSDT", 10**7, 10**5, "linear", "made by hand")
S = 10**9


def trade(number, ts_ns):
    out = np.zeros(1, TRADE)
    out["kind"], out["id_trade"], out["ts_recv_ns"], out["ts_venue_ns"] = Kind.KIND_TRADE, number, ts_ns, ts_ns
    out["px_ticks"], out["qty_lots"] = 100, 1
    return out.view(EVENT)


def of(*parts):
    return Dataset(META, np.concatenate(parts))


def test_a_clean_sample_is_clean():
    found = dataset.check(sample(seed=1, count=2_000))
    assert found.clean
    assert (found.events, sum(found.kinds.values())) == (2_000, 2_000)


@pytest.mark.parametrize(
    ("events", "name", "value"),
    [
        ((trade(1, S), trade(1, S)), "duplicates", 1),
        ((trade(1, S), trade(5, S)), "missing_trades", 3),
        ((trade(1, 2 * S), trade(2, S)), "received_backwards", 1),
        ((trade(1, 2 * S), trade(2, S)), "venue_backwards", 1),
        ((trade(1, S), trade(2, 30 * S)), "holes", 1),
        ((trade(1, S), trade(2, 30 * S)), "longest_silence_ns", 29 * S),
        ((quote((100, 1), (100, 1), ts_ns=S),), "crossed_quotes", 1),
    ],
)
def test_each_fault_is_found_and_counted(events, name, value):
    found = dataset.check(of(*events))
    assert getattr(found, name) == value
    assert not found.clean


def test_a_venue_ahead_of_the_recorder_is_a_finding():
    events = trade(1, S)
    events["ts_venue_ns"] = S + 7
    found = dataset.check(of(events))
    assert (found.skew_min_ns, found.skew_max_ns, found.clean) == (-7, -7, False)


def depth(first, last, prev, ts_ns, *, snapshot=False):
    return message([("bid", 99, 5), ("ask", 101, 5)], first=first, last=last, prev=prev, ts_ns=ts_ns, snapshot=snapshot)


def test_nothing_is_played_between_a_broken_chain_and_the_next_image():
    data = of(
        quote((99, 1), (101, 1), ts_ns=1),
        depth(-1, 10, -1, 2, snapshot=True),
        depth(11, 12, 10, 3),
        quote((98, 1), (101, 1), ts_ns=4),
        depth(20, 21, 19, 5),
        quote((97, 1), (101, 1), ts_ns=6),
        trade(1, 7),
        depth(-1, 30, -1, 8, snapshot=True),
        quote((96, 1), (101, 1), ts_ns=9),
    )
    events, done = dataset.playable(data)
    quotes = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_QUOTE)]).view(QUOTE)
    assert quotes["bid_px_ticks"].tolist() == [98, 96]
    assert events["ts_recv_ns"][events["kind"] == int(Kind.KIND_BOOK_CLEAR)].tolist() == [5]
    assert not np.any(events["kind"] == int(Kind.KIND_TRADE))
    assert done["book_breaks"] == 1
    assert dataset.check(data).book_breaks == 1


def test_an_update_that_waited_for_the_image_follows_it():
    data = of(
        depth(8, 9, 7, 1), depth(10, 14, 9, 2), depth(-1, 12, -1, 3, snapshot=True), depth(15, 16, 14, 4),
        quote((96, 1), (101, 1), ts_ns=9),
    )  # fmt: skip
    events, done = dataset.playable(data)
    levels = np.ascontiguousarray(events[events["kind"] == int(Kind.KIND_BOOK_LEVEL)]).view(LEVEL)
    assert levels["id_last"].tolist() == [12, 12, 14, 14, 16, 16]
    assert levels["ts_recv_ns"].tolist() == [3, 3, 3, 3, 4, 4]
    assert done["book_breaks"] == 0


def test_what_is_saved_is_read_again_and_the_same_data_gives_the_same_file(tmp_path):
    data = sample(seed=3, count=500)
    for name in ("a.npz", "b.npz"):
        dataset.save(tmp_path / name, data)
    again = dataset.load(tmp_path / "a.npz")
    assert again.meta == data.meta
    assert again.events.tobytes() == data.events.tobytes()
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    np.save(tmp_path / "bare.npy", data.events)
    assert dataset.load(tmp_path / "bare.npy", META).events.tobytes() == data.events.tobytes()


def test_what_is_no_data_set_is_refused(tmp_path):
    np.save(tmp_path / "floats.npy", np.zeros(9))
    (tmp_path / "junk.npz").write_bytes(b"PK nothing")
    (tmp_path / "text.log").write_text("no stamp\n")
    with gzip.open(tmp_path / "half.log.gz", "wb") as file:
        file.write(b"1 {}\n" * 1000)
    half = (tmp_path / "half.log.gz").read_bytes()
    (tmp_path / "half.log.gz").write_bytes(half[: len(half) // 2])
    for name in ("floats.npy", "junk.npz", "text.log", "half.log.gz"):
        with pytest.raises(DatasetUnreadable):
            dataset.load(tmp_path / name, META)
    with pytest.raises(DatasetEmpty):
        dataset.check(Dataset(META, np.empty(0, EVENT)))
    with pytest.raises(DatasetEmpty):
        dataset.playable(Dataset(META, np.zeros(1, EVENT)))


@pytest.mark.needs_shared
def test_a_recorded_capture_is_whole_and_its_clock_skew_is_told():
    path = shared_path("binance_raw", "usdm_btcusdt_20230404.log.gz")
    data = dataset.load(path, META)
    found = dataset.check(data)
    assert (found.book_breaks, found.missing_trades, found.duplicates, found.refused_frames) == (0, 0, 0, 0)
    assert found.kinds == {"book_level": 68_278, "quote": 6_765, "trade": 2_197, "mark": 99}
    assert found.skew_min_ns < 0
    events, done = dataset.playable(data)
    stamped = events["ts_venue_ns"] > 0
    assert int((events["ts_recv_ns"] - events["ts_venue_ns"])[stamped].min()) == 0
    assert done["shifted_ns"] == found.skew_min_ns


@pytest.mark.needs_shared
def test_a_lost_frame_of_a_capture_withholds_the_rest():
    path = shared_path("binance_raw", "usdm_btcusdt_20230404.log.gz")
    data = dataset.load(path, META)
    rows = data.events.view(LEVEL)
    depth_at = (rows["kind"] == int(Kind.KIND_BOOK_LEVEL)) & (rows["id_prev"] > 0)
    ids = np.unique(rows["id_last"][depth_at])
    lost = ids[len(ids) // 2]
    cut = Dataset(data.meta, data.events[~(depth_at & (rows["id_last"] == lost))])
    assert dataset.check(cut).book_breaks == 1
    events, _ = dataset.playable(cut)
    assert events["kind"][-1] == int(Kind.KIND_BOOK_CLEAR)
