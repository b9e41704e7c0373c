"""`bot4 run` at a venue of protocol `ccxt`: an unmodified ccxt trades for it at `bot4 venue`, and the books are one.

Every address of ccxt's Binance is moved to a venue on this machine; the session, its gate, its books and its end are
those of any other. It is killed and goes on, and one of its two venues may be native.
"""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("ccxt", reason="ccxt is an extra: pip install bot4[ccxt]")

from engine.cli.main import cli
from engine.errors import InstrumentRefused, SettingsError, VenueNotSupported
from engine.runtime.endpoints import Stage, stage_of
from engine.runtime.exchanges import open_exchange
from engine.settings.load import load
from engine.settings.secrets import Secrets
from engine.venues.ccxt_open import open_ccxt
from tests.integration import test_several_venues as several
from tests.integration.test_paper_loopback import STEPS, their_trades
from tests.support.loopback import write_settings
from tests.support.served import served
from tests.support.trading import Trading

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
    with served("--seed", "7") as (_, port):
        yield port


def compare(folder: Path, port: int, at: int, summary: dict, kind: str = "spot") -> None:
    theirs = their_trades(port, kind)
    assert several.trades_of(folder / "state" / "journal", at) == theirs
    net = sum(-lots if sell else lots for _, sell, _, lots in theirs)
    assert round(summary["status"]["symbols"][at]["position"] * STEPS[kind][1]) == net


def killed_and_gone_on(folder: Path, settings: Path, enough) -> dict:
    """Killed when it is enough; the next session trades on, ends in order, agrees with the venue and replays."""
    killed = several.run(folder, settings, enough, signal.SIGKILL)
    assert killed["run"] == "paper"
    first = killed["counts"]["fills"]
    summary = several.run(
        folder, settings,
        lambda found: found["symbols"][0].get("trusted") and found["counts"]["fills"] >= first + 2
        and found["books"].get("looks"),
        signal.SIGINT,
    )  # fmt: skip
    assert (summary["left_open"], summary["status"]["counts"]["illegal_reports"]) == (0, 0)
    # Of perpetuals too: positions, and what is in the wallet beside what they cost.
    assert not summary["status"]["books"].get("breaks")
    done = CliRunner().invoke(cli, ["replay", str(folder / "state" / "journal"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["state"] == summary["state_hash"]
    return summary


def test_a_session_through_ccxt_is_killed_goes_on_and_both_books_of_trades_are_one(tmp_path, venue):
    settings = settings_at(tmp_path, ccxt=venue)
    summary = killed_and_gone_on(tmp_path, settings, lambda found: found["counts"]["fills"] >= FILLS)
    compare(tmp_path, venue, 0, summary)


def linear_at(folder: Path, port: int, exchange: str) -> Path:
    """Those of a native session of perpetuals, at the same venue through ccxt."""
    path = write_settings(folder, port, "usdm")
    text = path.read_text().replace('"binance_usdm"', f'"ccxt"\nexchange = "{exchange}"')
    path.write_text(text.replace("orders_per_10s = 100", "orders_per_10s = 50") + "[reconcile]\ninterval_s = 1\n")
    return path


@pytest.fixture
def perpetuals():
    with served("--seed", "7", "--kind", "usdm") as (_, port):
        yield port


# One class of ccxt's for perpetuals alone, and one for everything that the exchange has.
@pytest.mark.parametrize("exchange", ["binanceusdm", pytest.param("binance", marks=several.NIGHTLY)])
def test_perpetuals_through_ccxt_are_killed_go_on_and_positions_and_cash_are_one(tmp_path, perpetuals, exchange):
    summary = killed_and_gone_on(
        tmp_path, linear_at(tmp_path, perpetuals, exchange),
        lambda found: found["counts"]["fills"] >= FILLS and found["symbols"][0].get("position"),
    )  # fmt: skip
    compare(tmp_path, perpetuals, 0, summary, "usdm")


SPOT_TOO = """
[instruments.ETHUSDT]
base = "ETH"
tick = "0.01"
lot = "0.0001"
qty_max = "10"
px_max = "100000"
"""


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ('"binanceusdm"', '"gate"', VenueNotSupported, "perpetuals of gate"),
        ("[reconcile]", SPOT_TOO + "[reconcile]", VenueNotSupported, "linear and spot instruments"),
        ('market = "linear"', 'market = "linear"\nsymbol = "BTC/USD:BTC"', InstrumentRefused, "does not list"),
    ],
)
def test_perpetuals_that_cannot_be_counted_are_refused_before_anything_starts(
    tmp_path, perpetuals, old, new, error, said
):
    path = linear_at(tmp_path, perpetuals, "binanceusdm")
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(error, match=said):
        open_exchange(load([path], environ={}).settings, 1, Secrets({}))


def test_an_account_in_hedge_mode_or_on_isolated_margin_is_refused_before_anything_starts(tmp_path, perpetuals):
    settings = load([linear_at(tmp_path, perpetuals, "binanceusdm")], environ={}).settings
    at = f"http://127.0.0.1:{perpetuals}"
    exchange = open_ccxt("binanceusdm", key="key", secret="secret", rest=at, stream="ws://x", linear=True)

    async def main(*calls):
        for name, *args in calls:
            await getattr(exchange, name)(*args)

    with asyncio.Runner() as runner:
        try:
            runner.run(main(("set_position_mode", True)))
            with pytest.raises(SettingsError, match="hedge mode"):
                open_exchange(settings, 1, Secrets({}))
            runner.run(
                main(("set_position_mode", False), ("load_markets",), ("set_margin_mode", "isolated", "BTC/USDT:USDT"))
            )
            with pytest.raises(SettingsError, match="isolated"):
                open_exchange(settings, 1, Secrets({}))
        finally:
            runner.run(exchange.close())


def test_one_venue_natively_and_one_through_ccxt_make_one_session(tmp_path):
    with served("--seed", "7") as (_, port), served("--seed", "8") as (_, other):
        settings = settings_at(tmp_path, native=port, ccxt=other)
        summary = several.run(
            tmp_path, settings, lambda found: min(row.get("realised") or 0 for row in found["symbols"]) != 0
            and found["counts"]["fills"] >= FILLS, signal.SIGINT,
        )  # fmt: skip
        for at, each in enumerate((port, other)):
            compare(tmp_path, each, at, summary)
        assert summary["left_open"] == 0


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


def test_an_exchange_that_is_not_there_is_refused_before_anything_starts(tmp_path):
    path = settings_at(tmp_path, ccxt=1)
    path.write_text(path.read_text().replace('"binance"', '"nobody"'))
    with pytest.raises(SettingsError, match="knows no exchange"):
        open_exchange(load([path], environ={}).settings, 1, Secrets({}))


def test_a_position_that_somebody_else_makes_halts_its_symbol(tmp_path, perpetuals):
    path = linear_at(tmp_path, perpetuals, "binanceusdm")
    path.write_text(path.read_text().replace("[strategies.quoter_btc]", "[strategies.quoter_btc]\nenabled = false"))
    trading = Trading(tmp_path, path)

    def halted():
        return bool(trading.world.gate_symbols()["halted"][0])

    async def live():
        other = open_ccxt("binanceusdm", key="key", secret="secret", rest=f"http://127.0.0.1:{perpetuals}",
                          stream="ws://127.0.0.1:1", linear=True)  # fmt: skip
        async with trading.running():
            try:
                await trading.until(lambda: trading.exchange.gate.is_open and not halted())
                await other.create_order("BTC/USDT:USDT", "market", "buy", 0.05)
                await trading.until(lambda: halted() and trading.exchange.held[0][0] == 50)
            finally:
                await other.close()
        assert int(trading.world.positions()["lots"][0]) == 0

    asyncio.run(live())
