"""Strategies by name: parameters, limits, and the errors of a configuration that is wrong."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
from click.testing import CliRunner

from engine.cli.main import cli
from engine.errors import StrategyBadParameter, StrategyNotAccepted, StrategyUnknown
from engine.strategy.contract import Parameter
from engine.strategy.registry import checked_limits, define, find, names


def module(**content):
    made = ModuleType("made_up")
    for name, value in content.items():
        setattr(made, name, value)
    return made


def test_every_strategy_of_the_package_is_found_and_says_what_it_is():
    assert {"strategies.breakout", "strategies.market_maker", "strategies.quoter", "strategies.trend"} <= set(names())
    for name in names():
        definition = find(name)
        assert "Idea:" in definition.text
        assert "Loses" in definition.text
        assert definition.values({}) is not None


def test_an_unknown_name_is_an_error_with_the_nearest_one():
    with pytest.raises(StrategyUnknown, match=r"strategies\.quoter"):
        find("strategies.quotter")


def test_an_error_inside_a_strategys_imports_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import there_is_no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        find("needs_more")
    sys.modules.pop("needs_more", None)


def test_parameters_come_back_in_the_order_of_their_slots():
    assert find("strategies.quoter").values({"skew_lots": 3}) == ((5, 200, 3, 500), ())
    ints, floats = find("strategies.breakout").values({"stop_share": 1, "qty": 7})
    assert (ints[0], floats) == (7, (1.0, 1.5))


def test_an_unknown_parameter_is_an_error_with_the_nearest_name():
    with pytest.raises(StrategyBadParameter, match="position_max"):
        find("strategies.quoter").values({"position_maxx": 3})


@pytest.mark.parametrize("value", [0, 1_000_001, -1, 5.0, "5", True, None])
def test_a_whole_parameter_of_the_wrong_type_or_range_is_refused(value):
    with pytest.raises(StrategyBadParameter, match="qty"):
        find("strategies.quoter").values({"qty": value})


@pytest.mark.parametrize("value", [0.04, 10.1, float("nan"), float("inf"), "1", True])
def test_a_float_parameter_of_the_wrong_type_or_range_is_refused(value):
    with pytest.raises(StrategyBadParameter, match="stop_share"):
        find("strategies.breakout").values({"stop_share": value})


@pytest.mark.parametrize(
    "limits",
    [
        {"position_lots_mx": 1},
        {"reserved": 1},
        {"order_lots_max": -1},
        {"order_lots_max": 2**63},
        {"order_lots_max": 1.0},
        {"order_lots_max": True},
    ],
)
def test_a_limit_that_does_not_exist_or_cannot_be_is_refused(limits):
    with pytest.raises(StrategyBadParameter):
        checked_limits("s", limits)


@pytest.mark.parametrize(
    "content",
    [
        {"PARAMETERS": ()},
        {"PARAMETERS": (), "decide": len, "Strategy": object},
        {"decide": len},
        {"PARAMETERS": [Parameter("a", 1, 0, 2, "", "")], "decide": len},
        {"PARAMETERS": ("a",), "decide": len},
        {"PARAMETERS": (Parameter("a", 1, 0, 2, "", ""), Parameter("a", 1, 0, 2, "", "")), "decide": len},
        {"PARAMETERS": tuple(Parameter(f"p{i}", 1, 0, 2, "", "") for i in range(17)), "decide": len},
        {"PARAMETERS": tuple(Parameter(f"p{i}", 1.0, 0, 2, "", "") for i in range(9)), "decide": len},
    ],
)
def test_a_module_that_is_not_a_strategy_is_refused(content):
    with pytest.raises(StrategyNotAccepted):
        define(module(**content))


def test_a_default_outside_its_own_range_is_refused():
    with pytest.raises(StrategyBadParameter):
        define(module(PARAMETERS=(Parameter("a", 5, 0, 2, "lots", ""),), decide=len))


def test_the_command_lists_builds_and_checks(tmp_path):
    run = CliRunner()
    cache = ["--directory", str(tmp_path / "cache")]
    listed = run.invoke(cli, ["strategy", "list", *cache])
    assert "strategies.quoter (not built)" in listed.output
    assert "qty = 5 lots (1 to 1000000)" in listed.output
    built = run.invoke(cli, ["strategy", "build", "strategies.quoter", *cache])
    assert built.output.startswith("strategies.quoter: ")
    assert "strategies.quoter (built)" in run.invoke(cli, ["strategy", "list", *cache]).output
    checked = run.invoke(cli, ["strategy", "check", "strategies.quoter", "--views", "50", *cache])
    assert checked.output.startswith("equal: ")
    assert checked.exit_code == 0
