"""`bot4 run` with a strategy that asks a trained model: bars close, the model speaks, its word is what is traded.

A model is trained by the command on a shipped sample and stands beside a copy of the shipped strategy. What it said is
worked out again from the bars in the record, by the batch; the orders in the record are held against that.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import strategies
from engine._core.infer import Model
from engine._core.types import BAR_PRICES, Flag, Kind
from engine.errors import VenueNotSupported
from engine.journal.layout import sessions
from engine.journal.reader import open_session
from engine.research.prepare import columns_of
from engine.runtime.exchanges import open_exchange
from engine.settings.load import load
from engine.settings.secrets import Secrets
from engine.strategy import models, registry
from tests.integration.test_run import BOT4, LONG, RUNNING, Running

SETTINGS = """
[engine]
mode = "paper"
[features]
enabled = ["ta_basic"]
bars = "1s"
[discipline]
biases = "observe"
[venues.paper]
protocol = "embedded"
[instruments.BTCUSDT]
market = "linear"
base = "BTC"
tick = "0.1"
lot = "0.001"
qty_max = "100"
px_max = "1000000"
px_start = "60000"
notional_min = "5"
[strategies.learned]
module = "mine.learned"
symbol = "BTCUSDT"
params = {{ qty = 10, both_sides = 0, enter = {enter}, leave_at = {enter}, stop_atr = 20.0 }}
"""
# Nobody answers there.
ADDRESSES = """rest = "http://127.0.0.1:1"
stream = "ws://127.0.0.1:1"
api = "ws://127.0.0.1:1"
"""
WARM_BARS, MORE_BARS, FILLS = 14, 30, 4
EVENTS_A_BAR = 500  # some


@pytest.fixture(autouse=True)
def nothing_is_left_behind():
    yield
    while RUNNING:
        RUNNING.pop().end()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the shipped strategy over shorter windows and a model of its own, and how processes find it."""
    (tmp_path / "mine").mkdir()
    source = Path(strategies.__file__).with_name("learned.py").read_text()
    (tmp_path / "mine" / "learned.py").write_text(source.replace(", 50)", ", 14)").replace(", 20)", ", 10)"))
    monkeypatch.syspath_prepend(str(tmp_path))
    environ = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        [*BOT4, "model", "fit", "mine.learned", "sample:vision-klines", "--horizon", "2", "--json"],
        capture_output=True, text=True, check=False, env=os.environ | environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["about"]["rows"] > 1_000
    yield tmp_path, environ
    for name in ("mine", "mine.learned"):
        sys.modules.pop(name, None)


def records_of(directory):
    (session,) = sessions(directory / "journal")
    return open_session(session).records()


def words_of(records, model):
    """(when, the chance of a rise) of each closed bar, worked out again from the record."""
    bars = records[records["kind"] == int(Kind.KIND_BAR_PRICES)].view(BAR_PRICES)
    assert (bars["flags"] & int(Flag.FLAG_CLOSED) != 0).all()
    request = registry.learns("mine.learned")[0]
    rows, _ = columns_of(SimpleNamespace(events=records, meta=SimpleNamespace(source="the record")), request[2])
    block = models.load(model, request).block
    return bars["ts_recv_ns"], Model(block).run_many(np.ascontiguousarray(rows))[:, 0]


def session(folder, environ, enter, name, enough):
    """One session, ended when it has done enough: its record, after a replay that compared equal."""
    path, directory = folder / f"{name}.toml", folder / name
    path.write_text(SETTINGS.format(enter=enter))
    running = Running(directory, "--config", str(path), "--speed", "20", *LONG, **environ)
    while not enough(running.until_answers()["counts"]):
        pass
    running.process.send_signal(signal.SIGINT)
    code, summary = running.wait()
    assert code == 0
    done = subprocess.run(
        [*BOT4, "replay", "--verify", str(directory / "journal"), "--json"],
        capture_output=True, text=True, check=False, env=os.environ | environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["equal"], told["state"]) == (True, summary["state_hash"])
    assert summary["status"]["counts"]["illegal_reports"] == 0
    return records_of(directory)


@pytest.mark.parametrize(
    ("protocol", "said"),
    [('"ccxt"\nexchange = "binanceusdm"', "through ccxt"), ('"binance_usdm"', "no closed bars of 1s")],
)
def test_a_venue_that_tells_no_such_bars_is_refused(tmp_path, protocol, said):
    """Refused before anybody is asked: a model that is never told of a bar would stay silent for ever."""
    path = tmp_path / "far.toml"
    text = SETTINGS.format(enter=0.6).replace('"mine.learned"', '"strategies.learned"')
    path.write_text(text.replace('protocol = "embedded"', f"protocol = {protocol}\n{ADDRESSES}"))
    with pytest.raises(VenueNotSupported, match=said):
        open_exchange(load([path], environ={}).settings, 1, Secrets({}))


def test_a_session_trades_what_its_model_says_and_replays_equal(here):
    folder, environ = here
    model = folder / "mine" / "learned.json"
    enough = EVENTS_A_BAR * (WARM_BARS + MORE_BARS)
    quiet = session(folder, environ, 1.0, "quiet", lambda counts: counts["events"] >= enough)
    # Nothing is certain, so nothing is bought; but the model has spoken, once a bar, when all was warm.
    assert not (quiet["kind"] == int(Kind.KIND_INTENT_PLACE)).any()
    times, words = words_of(quiet, model)
    assert (np.diff(times) == 10**9).all()
    said = words[np.isfinite(words)]
    assert len(said) > MORE_BARS // 2
    assert np.isnan(words[: WARM_BARS - 2]).all()

    middle = float(np.median(said))
    traded = session(folder, environ, f"{middle:.6f}", "traded", lambda counts: counts["fills"] >= FILLS)
    times, words = words_of(traded, model)
    placed = traded[traded["kind"] == int(Kind.KIND_INTENT_PLACE)]
    sells = placed["flags"] & int(Flag.FLAG_SELL) != 0
    assert 0 < sells.sum() < len(placed)
    for sell, now in zip(sells, placed["ts_recv_ns"], strict=True):
        word = words[np.searchsorted(times, now, side="right") - 1]
        assert (word < round(middle, 6)) if sell else (word > round(middle, 6))
