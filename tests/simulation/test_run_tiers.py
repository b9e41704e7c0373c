"""The capital tier of a running engine: it falls at once and by itself; a live start has to have earned its own."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine import __version__
from engine._core import types
from engine._core.clock import utc_ns
from engine._core.types import Kind
from engine.cli.run import read_settings
from engine.errors import RehearsalMissing, TierForbids
from engine.runtime.rehearsal import Rehearsal
from engine.runtime.session import Session
from engine.safety.audit import Kind as About
from engine.safety.audit import Report, read
from engine.settings.tiers import DAY_NS, read_standing
from engine.settings.units import from_text
from tests.support.hand import Hand

UNIT = 10**8


def poorer(hand: Hand, by: int) -> None:
    """Funding that is paid takes it off the account."""
    engine = hand.session.engine
    event = np.zeros(1, types.FUNDING)
    event["kind"], event["ts_recv_ns"], event["amount"] = Kind.KIND_FUNDING, engine.now_ns, -by
    engine.take(event.view(types.EVENT))
    hand.run(1_000)
    hand.session.tier.turn(engine.now_ns)


@pytest.fixture
def rich(tmp_path):
    hand = Hand(tmp_path, BOT4__ACCOUNT__CAPITAL="1000500")
    hand.run(200)
    hand.session.tier.turn(hand.session.engine.now_ns)
    yield hand
    hand.close()


def test_the_tier_of_the_capital_is_in_force_and_stays_while_the_equity_does(rich):
    assert rich.picture.status().tier == "whale"
    poorer(rich, 100 * UNIT)
    assert rich.picture.status().tier == "whale"


def test_an_equity_in_a_lower_tier_brings_its_limits_into_force_at_once(rich, tmp_path):
    before = dict(rich.session.engine.core.world.limits())
    poorer(rich, 2_000 * UNIT)
    after = rich.session.engine.core.world.limits()
    assert rich.picture.status().tier == "institutional"
    assert after["leverage_tier_ppm"] == 5_000_000 < before["leverage_tier_ppm"]
    assert all(after[name] <= before[name] for name in ("gross_share_ppm", "drawdown_ppm", "open_orders_all"))
    rich.close()
    found = [r.entry for r in read(tmp_path / "audit", None, Report()) if r.entry.kind is About.TIER]
    assert [(e.action, e.rule) for e in found] == [("demote", "howto/tiers")]
    assert "whale to institutional" in found[0].explanation


def test_what_the_lower_tier_does_not_grant_is_stopped_and_the_rest_goes_on(rich):
    poorer(rich, 2_000 * UNIT)
    states = {row.name: row.state for row in rich.picture.status().strategies}
    settings = rich.session.settings.strategies
    makers = {name for name in states if "market_making" in settings[name].features}
    assert 0 < len(makers) < len(states)
    assert {name for name, state in states.items() if state != "running"} == makers


def test_on_paper_a_tier_may_be_tried_with_less_than_it_needs_until_that_falls(tmp_path):
    hand = Hand(tmp_path, BOT4__ACCOUNT__CAPITAL="60000", BOT4__TIER__NAME="whale")
    hand.run(200)
    hand.session.tier.turn(hand.session.engine.now_ns)
    assert hand.picture.status().tier == "whale"
    poorer(hand, 45_000 * UNIT)
    assert hand.picture.status().tier == "growth"
    hand.close()


def test_it_does_not_rise_again_by_itself(rich):
    poorer(rich, 2_000 * UNIT)
    poorer(rich, -5_000 * UNIT)
    assert rich.picture.status().tier == "institutional"


LIVE = """
[engine]
mode = "live"
[safety]
switch = "gpio"
[venues.spot]
protocol = "binance_spot"
credential = "spot"
[instruments.BTCUSDT]
venue = "spot"
base = "BTC"
tick = "0.01"
lot = "0.00001"
"""


def live(folder: Path, capital: str, days: int = 30) -> None:
    mine = folder / "live.toml"
    text = LIVE.replace("[safety]", f"[safety]\nrehearsal_days = {days}")
    mine.write_text(text + f'[account]\ncapital = "{capital}"\n')
    loaded = read_settings((mine,), folder / "state")
    assert loaded.settings.account.capital == from_text(capital, "amount")
    Session(loaded)


def test_a_live_start_in_a_tier_that_was_not_earned_is_refused_with_what_it_needs(tmp_path):
    with pytest.raises(TierForbids, match="survival is in force"):
        live(tmp_path, "900000")
    standing = read_standing(tmp_path / "state" / "tier.json")
    assert standing is not None
    assert standing.name == "survival"
    with pytest.raises(TierForbids, match="more days in survival"):
        live(tmp_path, "900000")


def test_a_live_start_in_the_lowest_tier_is_held_up_by_nothing_of_the_ladder(tmp_path):
    with pytest.raises(RehearsalMissing, match="none for binance_spot"):
        live(tmp_path, "4000")


def test_an_older_rehearsal_is_not_allowed_by_the_start_that_needs_it(tmp_path):
    held = Rehearsal(at_ns=utc_ns() - 60 * DAY_NS, session="s-000001", protocol="binance_spot", version=__version__,
                     seconds=3_600, trades=9, settings="0")  # fmt: skip
    folder = tmp_path / "state" / "rehearsals"
    folder.mkdir(parents=True)
    (folder / "rehearsal-1.json").write_bytes(msgspec.json.encode(held))
    for days in (30, 365):
        with pytest.raises(RehearsalMissing, match="60 days old, 30 are allowed"):
            live(tmp_path, "4000", days)
