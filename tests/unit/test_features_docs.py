"""The registry, the command that shows it and the page that is generated from it."""

from __future__ import annotations

import importlib.util
import json

import pytest
from click.testing import CliRunner

from engine._core.features_table import TABLE
from engine.cli.main import cli
from engine.research.catalogue import entries
from tests.source.files import ROOT


def _run(*words: str):
    return CliRunner().invoke(cli, ["features", *words])


def test_the_reference_page_is_current():
    spec = importlib.util.spec_from_file_location("make_features", ROOT / "docs/make_features.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page(), "run `python docs/make_features.py`"


def test_list_names_every_family():
    shown = _run("list")
    assert shown.exit_code == 0
    assert all(row.name in shown.output for row in TABLE)
    assert all(row.name in shown.output for row in entries())
    assert f"{len(entries())} families, {sum(row.windows for row in entries())} features" in shown.output


def test_list_of_a_group_is_that_group():
    rows = json.loads(_run("list", "--group", "bands", "--json").output)
    assert rows
    assert {row["group"] for row in rows} == {"bands"}


def test_show_says_when_the_first_value_comes():
    assert json.loads(_run("show", "rsi:14", "--json").output)["first_value"] == {"14": 15}
    assert "warm-up" in _run("show", "macd").output


@pytest.mark.parametrize("words", [("show", "nosuch"), ("show", "rsi:0"), ("show", "rsi:x"), ("list", "--group", "x")])
def test_a_wrong_name_is_a_usage_error(words):
    assert _run(*words).exit_code == 2


def test_names_bounds_and_meanings_are_whole():
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert all(row.low < row.high and row.unit and row.meaning for row in TABLE)


def test_names_are_one_of_a_kind_over_all_kernels_and_every_feature_has_bounds():
    names = [row.name for row in entries()]
    assert len(set(names)) == len(names)
    assert all(row.low < row.high for row in entries())


def test_show_says_what_a_feature_of_another_kernel_waits_for():
    assert "n buckets" in _run("show", "vpin").output
    assert json.loads(_run("show", "season_volume", "--json").output)["warm_up"] == "n days"
