"""Fee schedules: what stands in config/fees loads exactly, and every mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine._core.cost import FeeTable
from engine.errors import FeesBadSchedule, FeesStale, FeesUnknownVenue, SettingsError
from engine.settings.fees import install, load_fees, rates_at
from engine.settings.load import load as load_settings

FILES = sorted((Path(__file__).resolve().parents[2] / "config" / "fees").glob("*.toml"))
GOOD = """venue = "x"
source = "a page"
as_of = 2026-01-31
[market.spot]
discount_percent = "25"
discount_asset = "BNB"
tiers = [{ volume = 0, maker = "0.1", taker = "0.1" }, { volume = 5, maker = "-0.005", taker = "0.07" }]
"""


def load(tmp_path, text):
    path = tmp_path / "fees.toml"
    path.write_text(text)
    return load_fees(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_fee_files_that_ship_load_with_source_and_date(path):
    schedule = load_fees(path)
    assert schedule.venue == path.stem
    assert schedule.source
    for market in schedule.markets:
        install(FeeTable(1), 0, market, discount_asset=3)


def test_fee_rates_are_exact():
    spot = load_fees(next(p for p in FILES if p.stem == "binance")).market("spot")
    assert [(t.maker_e8, t.taker_e8) for t in spot.tiers[:4]] == [
        (100_000, 100_000),
        (90_000, 100_000),
        (80_000, 100_000),
        (42_000, 60_000),
    ]
    assert (spot.discount_e8, spot.discount_asset) == (75_000_000, "BNB")


def test_fee_rebates_and_discounts_load(tmp_path):
    spot = load(tmp_path, GOOD).market("spot")
    assert spot.tiers[1].maker_e8 == -5000
    table = FeeTable(1)
    install(table, 0, spot, discount_asset=2, pay_discounted=True)
    with pytest.raises(FeesStale):
        table.rate(0, True, now_ns=0)
    table.refresh(0, 100_000, 100_000, 0)
    assert table.rate(0, True, now_ns=0) == (75_000, False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('maker = "0.1"', "maker = 0.1", "quotes"),
        ('maker = "0.1"', 'maker = "0.0000001"', "whole number of 1e-8"),
        ('maker = "0.1"', 'maker = "ten"', "not a number"),
        ('maker = "0.1"', 'maker = "NaN"', "whole number"),
        ('maker = "0.1"', 'makr = "0.1"', "did you mean 'maker'"),
        ('maker = "0.1"', 'maker = "0.2"', "rise in volume and fall in rate"),
        ('taker = "0.07"', 'taker = "0.7"', "rise in volume and fall in rate"),
        ('taker = "0.1"', 'taker = "11"', "rise in volume and fall in rate"),
        ("volume = 5", "volume = 0", "rise in volume"),
        ("volume = 0", "volume = 1", "rise in volume"),
        ("volume = 5", "volume = 5.0", "whole number"),
        ("volume = 5, ", "", "lacks volume"),
        ('discount_asset = "BNB"', "", "belong together"),
        ('discount_percent = "25"', "", "belong together"),
        ('discount_percent = "25"', 'discount_percent = "101"', "tiers"),
        ('source = "a page"', "", "lacks source"),
        ('source = "a page"', 'source = ""', "source"),
        ("as_of = 2026-01-31", 'as_of = "lately"', "as_of"),
        ("[market.spot]", "[markets.spot]", "did you mean 'market'"),
        ("tiers = [", "tiers = [1, ", "must be a table"),
        ("venue = ", "venue ", "at line 1"),
    ],
)
def test_fee_file_with_a_mistake_is_refused_with_file_and_entry(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(FeesBadSchedule, match=message) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "fees.toml" in str(caught.value)


def test_fee_file_or_market_that_is_missing_is_an_unknown_venue(tmp_path):
    with pytest.raises(FeesUnknownVenue):
        load_fees(tmp_path / "none.toml")
    with pytest.raises(FeesUnknownVenue, match="did you mean 'spot'"):
        load(tmp_path, GOOD).market("spott")


@pytest.mark.parametrize(
    ("volume", "discounted", "rates"),
    [(0, False, (100_000, 100_000)), (4, True, (75_000, 75_000)), (5, False, (-5_000, 70_000)),
     (10**9, True, (-5_000, 52_500))],
)  # fmt: skip
def test_a_volume_reaches_its_tier_and_a_rebate_is_not_discounted(tmp_path, volume, discounted, rates):
    assert rates_at(load(tmp_path, GOOD).market("spot"), volume, discounted=discounted) == rates


SETTINGS = """
[engine]
directory = "here"
[venues.paper]
fees = "{fees}"
fees_volume = {volume}
fees_discounted = {discounted}
[instruments.BTCUSDT]
base = "BTC"
tick = "0.01"
lot = "0.00001"
qty_max = "10"
[instruments.ETHUSDT]
base = "ETH"
market = "linear"
tick = "0.01"
lot = "0.001"
qty_max = "10"
fee_taker = "0.12"
"""


def settings(tmp_path, fees="binance", volume="0", discounted="false"):
    path = tmp_path / "mine.toml"
    path.write_text(SETTINGS.format(fees=fees, volume=volume, discounted=discounted))
    rows = load_settings([path], environ={}).settings.instruments
    return [(rows[name].fee_maker, rows[name].fee_taker) for name in ("BTCUSDT", "ETHUSDT")]


def test_instruments_of_a_venue_with_a_schedule_have_its_rates_and_what_they_name_themselves_wins(tmp_path):
    assert settings(tmp_path) == [(100_000, 100_000), (20_000, 120_000)]
    assert settings(tmp_path, volume="5_000_000") == [(80_000, 100_000), (14_000, 120_000)]
    assert settings(tmp_path, volume="5_000_000", discounted="true")[0] == (60_000, 75_000)
    assert settings(tmp_path, fees="") == [(100_000, 100_000), (100_000, 120_000)]


@pytest.mark.parametrize(("fees", "said"), [("binnance", "no such file"), ("coinbase", "no market 'linear'")])
def test_a_schedule_that_is_not_there_is_refused_by_name(tmp_path, fees, said):
    with pytest.raises(SettingsError, match=said):
        settings(tmp_path, fees=fees)
