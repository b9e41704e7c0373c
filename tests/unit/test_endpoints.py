"""Where a session's venue answers decides how much depends on it; a word in the settings does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.errors import RehearsalMissing, SettingsError, SwitchMissing
from engine.runtime.endpoints import Stage, discipline_of, stage_of
from engine.runtime.standing import admit
from engine.settings.load import config_directory, load

TEXT = """
[engine]
mode = "{mode}"
directory = "{folder}"
[account]
capital = "4000"
[safety]
switch = "{switch}"
[venues.away]
protocol = "{protocol}"
credential = "away"
{lines}
[instruments.BTCUSDT]
venue = "away"
base = "BTC"
tick = "0.01"
lot = "0.00001"
"""
LOOP = 'rest = "http://127.0.0.1:9"\nstream = "ws://127.0.0.1:9"\napi = "ws://127.0.0.1:9/x"'


def loaded(folder: Path, lines: str = "", *, mode: str = "live", protocol: str = "binance_spot", switch: str = "gpio",
           directory: Path | None = None):  # fmt: skip
    path = folder / "mine.toml"
    path.write_text(TEXT.format(mode=mode, protocol=protocol, lines=lines, switch=switch, folder=folder / "state"))
    return load([path], directory=directory)


@pytest.mark.parametrize(
    ("protocol", "lines", "stage"),
    [
        ("binance_spot", "", Stage.LIVE),
        ("binance_usdm", "", Stage.LIVE),
        ("binance_spot", "testnet = true", Stage.REHEARSAL),
        ("binance_spot", LOOP, Stage.REHEARSAL),
        ("binance_usdm", LOOP, Stage.REHEARSAL),
        # One address with money among others is money.
        ("binance_spot", LOOP.splitlines()[0], Stage.LIVE),
        ("binance_spot", f'{LOOP}\nstream_spare = "wss://stream.binance.com:9443"', Stage.LIVE),
        ("binance_usdm", 'rest = "https://demo-fapi.binance.com"\nstream = "wss://fstream.binancefuture.com"\n'
                         'api = "wss://testnet.binancefuture.com/ws-fapi/v1"', Stage.REHEARSAL),
        ("binance_spot", 'rest = "https://testnet.binance.vision.example.org"', Stage.LIVE),
        # Whatever has no driver would be money, if it had one.
        ("kraken", "testnet = true", Stage.LIVE),
    ],
)  # fmt: skip
def test_the_addresses_say_whether_money_is_there(tmp_path, protocol, lines, stage):
    settings = loaded(tmp_path, lines, protocol=protocol).settings
    assert stage_of(settings) is stage
    assert discipline_of(settings) == ("live" if stage is Stage.LIVE else "paper")
    assert stage_of(loaded(tmp_path, lines, protocol=protocol, mode="paper").settings) is Stage.PAPER


@pytest.mark.parametrize("line", ['rest = "https://api.binance.com"', 'stream_spare = "wss://stream.binance.com:9443"'])
def test_a_testnet_with_an_address_that_has_money_is_refused(tmp_path, line):
    with pytest.raises(SettingsError, match="not all a testnet's"):
        stage_of(loaded(tmp_path, f"testnet = true\n{line}").settings)


@pytest.mark.parametrize("switch", ["none", "simulated"])
def test_real_money_without_a_switch_on_pins_is_refused_unless_the_tier_file_takes_it_on_itself(tmp_path, switch):
    with pytest.raises(SwitchMissing, match="live_without_switch"):
        admit(loaded(tmp_path, switch=switch), tmp_path, 0)
    stage, words = admit(loaded(tmp_path, LOOP, switch=switch), tmp_path, 0)
    assert stage is Stage.REHEARSAL
    assert "kill switch" in words


def test_the_tier_files_word_is_taken_and_shown(tmp_path):
    own = shutil.copytree(config_directory(), tmp_path / "config")
    tier = own / "tiers" / "survival.toml"
    tier.write_text(tier.read_text().replace("[grants]", "live_without_switch = true\n[grants]", 1))
    found = loaded(tmp_path, switch="none", directory=own)
    assert found.tier.live_without_switch
    with pytest.raises(RehearsalMissing):  # the next thing that is asked for
        admit(found, tmp_path, 0)
