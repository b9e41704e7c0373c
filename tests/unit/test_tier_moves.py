"""Moving on the ladder: down at once, up one at a time with evidence and after the cooldown; `bot4 tiers`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from engine.cli.main import cli
from engine.errors import TierBadFile, TierUnknown
from engine.settings import tiers
from engine.settings.load import config_directory

LADDER = tiers.read_ladder(config_directory() / "tiers")
E8, NOW = 10**8, 1_700_000_000_000_000_000
ALL = tiers.Evidence(days_clean=9_999, parity_ppm=1_000_000, drills=999)


def _move(capital, name, evidence=ALL, days=1_000):
    current = tiers.Standing(name=name, since_ns=NOW - days * tiers.DAY_NS) if name else None
    return tiers.move(LADDER, capital * E8, evidence, current, NOW, hysteresis_ppm=50_000, cooldown_days=7)


def test_a_first_start_takes_the_lowest_tier_whatever_the_capital():
    assert _move(5_000_000, None).standing.name == "survival"


def test_below_the_lowest_bound_nothing_trades_live():
    assert _move(1_999, "whale") == tiers.Move(None, "none", ("capital of 2000",))


def test_demotion_is_automatic_at_once_and_as_far_as_the_capital_says():
    move = _move(4_000, "whale", tiers.Evidence(), days=0)
    assert (move.change, move.standing) == ("demote", tiers.Standing(name="survival", since_ns=NOW))


def test_promotion_goes_one_tier_at_a_time():
    move = _move(5_000_000, "survival")
    assert (move.change, move.standing.name) == ("promote", "growth")


@pytest.mark.parametrize("name", tiers.NAMES[1:])
@pytest.mark.parametrize("field", ["days_clean", "parity_ppm", "drills"])
def test_promotion_into_each_tier_needs_each_piece_of_evidence(name, field):
    above = tiers.find(LADDER, name).tier
    below = tiers.NAMES[tiers.NAMES.index(name) - 1]
    just = {n: getattr(above.promotion, n) for n in ("days_clean", "parity_ppm", "drills")}
    assert _move(20_000_000, below, tiers.Evidence(**just)).standing.name == name
    short = _move(20_000_000, below, tiers.Evidence(**(just | {field: just[field] - 1})))
    assert (short.change, short.standing.name, len(short.missing)) == ("wait", below, 1)


def test_promotion_waits_for_the_cooldown():
    move = _move(6_000, "survival", days=6)
    assert (move.change, move.missing) == ("wait", ("1.0 more days in survival",))
    assert _move(6_000, "survival", days=7).change == "promote"


def test_staying_tells_the_capital_that_promotion_needs():
    assert _move(5_100, "survival").missing == ("capital above 5250, not 5100",)
    assert _move(50_000_000, "whale").missing == ()


def test_the_tier_in_force_is_kept_and_a_bad_record_is_refused(tmp_path):
    path = tmp_path / "in" / "tier.json"
    assert tiers.read_standing(path) is None
    tiers.write_standing(path, tiers.Standing(name="growth", since_ns=NOW))
    assert tiers.read_standing(path) == tiers.Standing(name="growth", since_ns=NOW)
    path.write_text('{"name": "growth"}')
    with pytest.raises(TierBadFile):
        tiers.read_standing(path)
    with pytest.raises(TierUnknown, match="minnow"):
        _move(6_000, "minnow")


def test_a_ladder_with_a_gap_or_a_tier_that_grants_less_is_refused(tmp_path):
    for name in tiers.NAMES:
        (tmp_path / f"{name}.toml").write_text((config_directory() / "tiers" / f"{name}.toml").read_text())
    tiers.read_ladder(tmp_path)
    growth = (tmp_path / "growth.toml").read_text()
    for old, new in (('capital_from = "5000"', 'capital_from = "6000"'), ("venues_max = 2", "venues_max = 1\n#"),
                     ('name = "growth"', 'name = "other"')):  # fmt: skip
        changed = growth.replace(old, new)
        assert changed != growth
        (tmp_path / "growth.toml").write_text(changed)
        if "venues_max" in old:
            (tmp_path / "acceleration.toml").write_text(
                (tmp_path / "acceleration.toml").read_text().replace("venues_max = 3", "venues_max = 0")
            )
        with pytest.raises((TierBadFile, ValueError)):
            tiers.read_ladder(tmp_path)


def test_bot4_tiers_shows_the_ladder_and_what_is_missing(tmp_path):
    runner = CliRunner(env={"BOT4__ENGINE__DIRECTORY": str(tmp_path), "BOT4__ACCOUNT__CAPITAL": "6000"})
    shown = runner.invoke(cli, ["tiers"])
    assert shown.exit_code == 0, shown.output
    for name in tiers.NAMES:
        assert name in shown.output
    assert "stand in tier growth" in shown.output
    tiers.write_standing(tmp_path / "tier.json", tiers.Standing(name="survival", since_ns=NOW))
    found = json.loads(runner.invoke(cli, ["tiers", "--json"]).output)
    assert found["change"] == "wait"
    assert any("drills" in need for need in found["missing"])
