"""The shipped order flow is what the recordings give, and the parts of the fit do what they say."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from click.testing import CliRunner

from engine.cli.market import BARS, TAPES, market, text_of
from engine.errors import SimBadCapture
from engine.research import market_fit
from engine.research.recordings import LEVELS, merge_sweeps, read
from engine.sim.market.flow import REGIMES, fitted
from tests.support.shared import shared_path

pytestmark = pytest.mark.timeout(300)


def close(shipped, found, where=""):
    """Equal but for how a library sums."""
    if isinstance(shipped, dict):
        assert shipped.keys() == found.keys(), where
        for key, value in shipped.items():
            close(value, found[key], f"{where}.{key}")
    elif isinstance(shipped, list):
        assert len(shipped) == len(found), where
        for at, (a, b) in enumerate(zip(shipped, found, strict=True)):
            close(a, b, f"{where}[{at}]")
    elif isinstance(shipped, float):
        assert found == pytest.approx(shipped, rel=0.02, abs=1e-3), where
    else:
        assert shipped == found, where


@pytest.mark.needs_shared
def test_the_recordings_give_the_parameters_that_ship(tmp_path):
    folder, out = shared_path(), tmp_path / "flow.json"
    done = CliRunner().invoke(market, ["fit", str(folder), "--write", str(out), "--seconds", "60", "--json"])
    assert done.exit_code == 0, done.output
    found, shipped = json.loads(out.read_text()), fitted()
    assert json.loads(done.output) == found
    assert found["provenance"]["sources"] == shipped["provenance"]["sources"]
    assert [row["file"] for row in shipped["provenance"]["sources"]] == [*TAPES.values(), *BARS.values()]
    recorded = [[row[0], row[1], row[2]] for row in found["provenance"]["table"]]
    close([[row[0], row[1], row[2]] for row in shipped["provenance"]["table"]], recorded)
    close(shipped["provenance"]["estimate"], found["provenance"]["estimate"])
    close(
        {k: v for k, v in shipped.items() if k != "provenance"}, {k: v for k, v in found.items() if k != "provenance"}
    )


def test_a_folder_without_recordings_is_named(tmp_path):
    done = CliRunner().invoke(market, ["fit", str(tmp_path)])
    assert done.exit_code == 1
    assert TAPES["BTCUSDT"] in str(done.exception)


def test_the_file_reads_back_as_what_was_written():
    again = json.loads(text_of(fitted()))
    assert again == fitted()
    assert max(map(len, text_of(fitted()).splitlines())) < 1_000


def test_trades_of_one_time_and_side_are_one_market_order():
    ns = np.array([1, 2, 3, 4, 5])
    venue = np.array([10, 10, 10, 11, 11])
    sell = np.array([True, True, False, False, False])
    px, qty = np.array([5.0, 4.0, 6.0, 6.0, 7.0]), np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    got = merge_sweeps(ns, venue, sell, px, qty)
    assert [column.tolist() for column in got] == [[1, 3, 4], [True, False, False], [5.0, 6.0, 6.0], [3.0, 4.0, 24.0]]


def line(ns, stream, **data):
    return f"{ns} " + json.dumps({"stream": stream, "data": data} if stream else data) + "\n"


def test_a_recording_becomes_trades_touches_and_levels(tmp_path):
    path = tmp_path / "x.log.gz"
    second = 10**9
    levels = {side: [[str(px), "1"] for px in prices] for side, prices in
              (("bids", range(100, 70, -1)), ("asks", range(101, 131)))}  # fmt: skip
    with gzip.open(path, "wt") as out:
        out.write(line(10**18, "", lastUpdateId=1, **levels))
        out.write(line(10**18 + 1, "x@bookTicker", b="100", B="1", a="101", A="1"))
        out.write(line(10**18 + 2, "x@depth@0ms", b=[["100", "0"]], a=[["102", "7"]]))
        out.write(line(10**18 + second + 2, "x@depth@0ms", b=[["100", "3"]], a=[]))
        out.write(line(10**18 + second + 3, "x@bookTicker", b="100", B="3", a="101", A="1"))
        out.write(line(10**18 + second + 4, "x@trade", T=5, m=True, p="100", q="0.5"))
        out.write(line(10**18 + second + 5, "x@trade", T=6, m=False, p="101", q="0.25"))
    tape = read([path], "X")
    assert tape.trade_sell.tolist() == [True, False]
    assert tape.trade_qty.tolist() == [0.5, 0.25]
    assert tape.bid_qty.tolist() == [1.0, 3.0]
    assert tape.seconds == pytest.approx(1.0)
    # Two samples of two sides: the first without the best bid, which came back in the second.
    assert tape.level_away.shape == (4, LEVELS)
    assert tape.level_qty[:, 0].tolist() == [1.0, 1.0, 3.0, 1.0]
    assert tape.level_qty[1, 1] == 7.0
    assert tape.level_away[2].tolist() == list(range(LEVELS))
    empty = tmp_path / "empty.log.gz"
    with gzip.open(empty, "wt") as out:
        out.write(line(1, "x@trade", T=5, m=True, p="100", q="0.5"))
    with pytest.raises(SimBadCapture, match="1 trades and 0 quotes"):
        read([empty], "X")


def bars(hours):
    """Five-minute closes: calm, and every twentieth hour a trend, a crash and a gap."""
    steps, volumes = [], []
    for hour in range(hours):
        kind = {5: 1, 10: 2, 15: 3}.get(hour % 20, 0)
        r = np.tile([-1e-3, 1e-3], 6)
        if kind == 1:
            r = np.full(12, 1e-3)
        elif kind == 2:
            r = np.array([-3e-3] * 10 + [2e-3] * 2)
        elif kind == 3:
            r[6] = 0.05
        steps.append(r)
        volumes.append(np.full(12, {0: 1.0, 1: 2.0, 2: 4.0, 3: 3.0}[kind]))
    closes = 100 * np.exp(np.cumsum(np.concatenate([[0.0], *steps])))
    return closes, np.concatenate([[1.0], *volumes])


def test_hours_are_told_apart_by_how_violent_and_one_sided_they_are():
    found = market_fit.regimes(*bars(400))
    assert [found[name]["hours"] for name in REGIMES] == [340, 20, 20, 20]
    assert found["trend"]["rate"] == pytest.approx(2.0)
    assert found["trend"]["jump"] == pytest.approx(2**-0.5, rel=1e-3)
    assert found["crash"]["rate"] == pytest.approx(4.0)
    assert found["crash"]["drift"] > 3
    assert found["calm"]["dwell_s"] == pytest.approx(3600 * 340 / 61, rel=0.02)
    assert found["crash"]["next"] == {"calm": 1.0, "trend": 0.0, "crash": 0.0, "gap": 0.0}
    assert found["gap_bp"] == pytest.approx(500, rel=1e-3)


def test_hours_without_a_crash_are_refused():
    closes, volumes = bars(20)
    with pytest.raises(ValueError, match="no hour of the bars is a crash"):
        market_fit.regimes(closes[: 12 * 9], volumes[: 12 * 9])


def test_one_factor_gives_its_own_correlations_back():
    loadings = np.array([0.9, 0.8, 0.7, 0.6])
    correlation = np.outer(loadings, loadings)
    np.fill_diagonal(correlation, 1.0)
    assert market_fit.one_factor(correlation) == pytest.approx(loadings, abs=1e-3)
    assert market_fit.one_factor(np.array([[1.0, 0.49], [0.49, 1.0]])) == pytest.approx([0.7, 0.7])
