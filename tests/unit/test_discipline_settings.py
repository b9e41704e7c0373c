"""Discipline by settings: always there, never looser than it is, and the figures decide where money is real."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from engine._core.discipline import Discipline as Table
from engine.errors import DisciplineBadConfig
from engine.runtime.build import build_core
from engine.settings.discipline import Discipline
from engine.settings.problems import Problems
from engine.settings.relations import check_relations
from engine.settings.schema import Engine, Settings, Venue
from engine.settings.trading import Instrument, Strategy

KERNEL = Table(strategies=1, symbols=1).rules
# What may only be made stricter: its name in the settings and by which step it becomes looser.
LOOSER = {
    "p_max_ppm": 1, "sharpe_min_milli": -1, "confidence_min_ppm": -1, "fomo_cooldown_s": -1, "revenge_cooldown_s": -1,
    "cap_ppm": 1, "cap_cooldown_s": -1, "size_factor_ppm": 1, "wins_max": 1, "shrinking_stops": 1,
    "confirmations_min": -1,
}  # fmt: skip


def settings(**rules) -> Settings:
    return Settings(
        venues={"paper": Venue()},
        instruments={"BTCUSDT": Instrument(base="BTC", tick=10**6, lot=10**5)},
        strategies={"q": Strategy(module="strategies.quoter", symbol="BTCUSDT")},
        discipline=Discipline(**rules),
    )


def test_the_defaults_are_the_kernels_own():
    mine = Discipline().core("live")
    assert {name: KERNEL[name] for name in mine} == mine


@pytest.mark.parametrize("name", LOOSER)
def test_no_rule_can_be_made_looser_than_it_was_written(name):
    default = getattr(Discipline(), name)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({name: default + LOOSER[name]}, Discipline)
    rules = Discipline().core("paper") | Discipline(**{name: default + LOOSER[name]}).core("paper")
    with pytest.raises(DisciplineBadConfig):
        Table(strategies=1, symbols=1, **rules)


@pytest.mark.parametrize("name", LOOSER)
def test_every_rule_can_be_made_stricter_and_the_core_takes_it(name):
    step = 1_000 if name.endswith("_ppm") else 1
    value = getattr(Discipline(), name) - LOOSER[name] * step
    stricter = msgspec.convert({name: value}, Discipline)
    assert Table(strategies=1, symbols=1, **stricter.core("live")).rules != KERNEL


def test_a_core_of_the_engine_has_discipline_whatever_the_settings_say():
    core = build_core(settings())
    assert "discipline" in core.world.guards
    assert Table.load(core.world.discipline()).rules["validator"] == 1  # paper, auto: it observes
    assert Table.load(build_core(settings(validator="enforce")).world.discipline()).rules["validator"] == 0


def test_only_research_builds_a_core_without_it():
    root = Path(__file__).resolve().parents[2] / "engine"
    without = [path for path in root.rglob("*.py") if re.search(r"disciplined=False", path.read_text())]
    assert [path.relative_to(root).as_posix() for path in without] == ["runtime/backtest.py"]


def test_with_real_money_the_figures_decide():
    live = Engine(mode="live")
    assert Discipline().core("live")["validator"] == 0
    found = Problems()
    check_relations(msgspec.structs.replace(settings(validator="observe"), engine=live), found)
    assert "discipline.validator" in [problem.key for problem in found.found]
    with pytest.raises(DisciplineBadConfig):
        Table(strategies=1, symbols=1, **Discipline(validator="observe").core("live"))


def test_a_record_cannot_need_more_trades_than_are_kept():
    found = Problems()
    check_relations(settings(samples_min=50, window=40), found)
    assert "discipline.samples_min" in [problem.key for problem in found.found]
