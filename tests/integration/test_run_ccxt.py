"""`bot4 run` at a venue of protocol `ccxt`: an unmodified ccxt trades for it at `bot4 venue`, and the books are one.

Every address of ccxt's Binance is moved to a venue on this machine; the session, its gate, its books and its end are
those of any other. It is killed and goes on, and one of its two venues may be native.
"""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("ccxt", reason="ccxt is an extra: pip install bot4[ccxt]")

from engine.cli.main import cli
from engine.errors import SettingsError, VenueNotSupported
from engine.runtime.endpoints import Stage, stage_of
from engine.runtime.exchanges import open_exchange
from engine.settings.load import load
from engine.settings.secrets import Secrets
from tests.integration import test_several_venues as several
from tests.integration.test_paper_loopback import their_trades

FILLS = 4


def settings_at(folder: Path, **ports: int) -> Path:
    """Those of two native venues, with each named `ccxt...` turned into one that ccxt speaks for."""
    path = folder / "ccxt.toml"
    texts = []
    for name, port in ports.items():
        text = several.VENUE.format(name=name, port=port, quoter="true")
        if name.startswith("ccxt"):
            text = text.replace('"binance_spot"', '"ccxt"\nexchange = "binance"').replace('symbol = "BTCUSDT"\n', "")
            # What `bot4 venue` allows; nothing that ccxt hands on says how much of it is used.
            text = text.replace("orders_per_10s = 1000", "orders_per_10s = 50")
        texts.append(text)
    path.write_text(several.HEAD + "".join(texts))
    return path


@pytest.fixture
def venue():
    child, port = several.start_venue(7)
    try:
        yield port
    finally:
        with child:
            child.kill()


def compare(folder: Path, port: int, at: int, summary: dict) -> None:
    theirs = their_trades(port)
    assert several.trades_of(folder / "state" / "journal", at) == theirs
    net = sum(-lots if sell else lots for _, sell, _, lots in theirs)
    assert round(summary["status"]["symbols"][at]["position"] * 100_000) == net


def test_a_session_through_ccxt_is_killed_goes_on_and_both_books_of_trades_are_one(tmp_path, venue):
    settings = settings_at(tmp_path, ccxt=venue)
    killed = several.run(tmp_path, settings, lambda found: found["counts"]["fills"] >= FILLS, signal.SIGKILL)
    assert killed["run"] == "paper"
    first = killed["counts"]["fills"]
    summary = several.run(
        tmp_path, settings,
        lambda found: found["symbols"][0].get("trusted") and found["counts"]["fills"] >= first + 2
        and found["books"].get("looks"),
        signal.SIGINT,
    )  # fmt: skip
    assert (summary["left_open"], summary["status"]["counts"]["illegal_reports"]) == (0, 0)
    assert not summary["status"]["books"].get("breaks")
    compare(tmp_path, venue, 0, summary)
    done = CliRunner().invoke(cli, ["replay", str(tmp_path / "state" / "journal"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["state"] == summary["state_hash"]


def test_one_venue_natively_and_one_through_ccxt_make_one_session(tmp_path):
    (one, port), (two, other) = several.start_venue(7), several.start_venue(8)
    try:
        settings = settings_at(tmp_path, native=port, ccxt=other)
        summary = several.run(
            tmp_path, settings, lambda found: min(row.get("realised") or 0 for row in found["symbols"]) != 0
            and found["counts"]["fills"] >= FILLS, signal.SIGINT,
        )  # fmt: skip
        for at, each in enumerate((port, other)):
            compare(tmp_path, each, at, summary)
        assert summary["left_open"] == 0
    finally:
        for child in (one, two):
            with child:
                child.kill()


def test_what_is_not_written_out_is_taken_to_have_money_and_paper_never_goes_there(tmp_path):
    text = settings_at(tmp_path, ccxt=1).read_text()
    far = tmp_path / "far.toml"
    far.write_text("\n".join(line for line in text.splitlines() if not line.startswith(("rest", "stream", "api"))))
    with pytest.raises(SettingsError, match="on paper"):
        open_exchange(load([far], environ={}).settings, 1, Secrets({}))
    live = load([far], environ={"BOT4__ENGINE__MODE": "live", "BOT4__VENUES__CCXT__CREDENTIAL": "x",
                                "BOT4__DISCIPLINE__BIASES": "enforce"}).settings  # fmt: skip
    assert stage_of(live) is Stage.LIVE
    near = load([settings_at(tmp_path, ccxt=1)], environ={"BOT4__ENGINE__MODE": "live",
                "BOT4__VENUES__CCXT__CREDENTIAL": "x", "BOT4__DISCIPLINE__BIASES": "enforce"}).settings  # fmt: skip
    assert stage_of(near) is Stage.REHEARSAL


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ('"binance"', '"nobody"', SettingsError, "knows no exchange"),
        ('base = "BTC"', 'base = "BTC"\nmarket = "linear"', VenueNotSupported, "spot, quoted in"),
    ],
)
def test_an_exchange_or_a_market_that_is_not_there_is_refused_before_anything_starts(tmp_path, old, new, error, said):
    path = settings_at(tmp_path, ccxt=1)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(error, match=said):
        open_exchange(load([path], environ={}).settings, 1, Secrets({}))
