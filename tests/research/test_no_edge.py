"""A strategy without an edge shows none: over many seeded worlds its Sharpe ratio is as often significant as chance."""

from __future__ import annotations

import math
import os

import msgspec
import numpy as np
import pytest

from engine.research import figures, report
from engine.runtime.backtest import Asked, run_backtest, sample
from engine.settings.load import config_directory, load

NAME = "tests.support.strategies.holds"
WORLDS = 1_000 if os.environ.get("BOT4_STRESS") else 40
EVENTS = 3_000


@pytest.fixture(scope="module")
def worlds():
    """(Sharpe ratio in standard errors, what the report says) of every world."""
    settings = load([config_directory() / "paper.toml"]).settings
    # Fees are a sure loss and no lack of skill: what is asked here is whether luck looks like skill.
    free = msgspec.structs.replace(settings.instruments["BTCUSDT"], fee_maker=0, fee_taker=0)
    settings = msgspec.structs.replace(settings, instruments={"BTCUSDT": free})
    found = []
    for seed in range(WORLDS):
        told = run_backtest(settings, Asked(NAME, {}, seed, 1.0, cuts=0), sample(seed=seed, count=EVENTS))
        assert len(told.run.fills) == 1
        returns = report.returns_of(told.run)
        found.append((figures.sharpe(returns) / figures.sharpe_error(returns), report.verdict(told)))
    return found


def test_luck_is_significant_no_more_often_than_chance_allows(worlds):
    """One in twenty beyond two standard errors: the count of so many is binomial, here within four deviations."""
    share = 0.0455
    beyond = sum(abs(ratio) > 2 for ratio, _ in worlds)
    assert abs(beyond - share * WORLDS) <= 4 * math.sqrt(WORLDS * share * (1 - share))


def test_neither_winning_nor_losing_worlds_are_preferred(worlds):
    ratios = np.array([ratio for ratio, _ in worlds])
    assert abs(float(np.mean(ratios))) <= 4 / math.sqrt(WORLDS)
    assert 0.6 < float(np.std(ratios)) < 1.5


def test_the_report_says_of_each_world_whether_its_ratio_is_significant(worlds):
    for ratio, said in worlds:
        assert said.startswith("no significant Sharpe ratio") == (abs(ratio) < 2)
