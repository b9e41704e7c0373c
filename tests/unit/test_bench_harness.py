"""The judge of the figures: what is past its floor fails, what is short is shown as short, smoke judges nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from bench import harness
from bench.harness import Report
from engine._core.isa import profile
from tests.source.files import ROOT

BUDGETS = {
    "lean": {"title": "lower is better", "unit": "ns", "floor": 100, "goal": 10, "ratio_goal": 5},
    "rate": {"title": "higher is better", "unit": "M/s", "better": "higher", "floor": 2, "goal": 20},
    "open": {"title": "no floor", "unit": "ns", "goal": 3},
    "ratio": {"title": "a ratio alone", "unit": "ns", "ratio_goal": 2},
}


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(harness, "SMOKE", False)
    return Report(budgets=BUDGETS)


@pytest.mark.parametrize(
    ("value", "floor_ok", "goal_ok"), [(10, True, True), (10.1, True, False), (100, True, False), (100.1, False, False)]
)
def test_a_latency_is_held_from_above(report, value, floor_ok, goal_ok):
    row = report.row("lean", [value] * 5, checksum=1)
    assert (row.floor_ok, row.goal_ok) == (floor_ok, goal_ok)
    assert report.past_floor() == ([] if floor_ok else [row])


@pytest.mark.parametrize(
    ("value", "floor_ok", "goal_ok"), [(20, True, True), (19.9, True, False), (2, True, False), (1.9, False, False)]
)
def test_a_throughput_is_held_from_below(report, value, floor_ok, goal_ok):
    row = report.row("rate", [value] * 5, checksum=1)
    assert (row.floor_ok, row.goal_ok) == (floor_ok, goal_ok)
    assert report.past_floor() == ([] if floor_ok else [row])


def test_the_bad_tail_of_a_throughput_is_the_low_one(report):
    values = np.arange(1, 1001, dtype=float)
    slow, fast = report.row("rate", values, checksum=1), report.row("lean", values, checksum=1)
    assert slow.p999 < slow.p99 < slow.p50 == pytest.approx(500.5)
    assert fast.p999 > fast.p99 > fast.p50 == pytest.approx(500.5)


@pytest.mark.parametrize(("peer", "ratio", "goal_ok"), [(50, 5, True), (49, 4.9, False), (500, 50, True)])
def test_the_ratio_to_the_peer_must_hold_beside_the_goal(report, peer, ratio, goal_ok):
    row = report.row("lean", [10.0], checksum=1, peer="other", peer_samples=[peer])
    assert row.ratio == pytest.approx(ratio)
    assert row.goal_ok is goal_ok


def test_a_ratio_is_times_better_in_both_directions(report):
    assert report.row("lean", [10.0], checksum=1, peer="p", peer_samples=[20.0]).ratio == 2
    assert report.row("rate", [20.0], checksum=1, peer="p", peer_samples=[10.0]).ratio == 2
    assert report.row("ratio", [10.0], checksum=1, peer="p", peer_samples=[15.0]).goal_ok is False


def test_a_figure_without_a_floor_cannot_be_past_it(report):
    assert report.row("open", [1e9], checksum=1).floor_ok is None
    assert report.past_floor() == []


@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [math.inf]])
def test_samples_that_are_no_figures_are_refused(report, samples):
    with pytest.raises(ValueError, match="no finite samples"):
        report.row("open", samples, checksum=1)


def test_a_figure_needs_a_budget_and_is_measured_once(report):
    with pytest.raises(KeyError):
        report.row("unknown", [1.0], checksum=1)
    report.row("open", [1.0], checksum=1)
    with pytest.raises(ValueError, match="twice"):
        report.row("open", [1.0], checksum=1)
    assert report.without_row() == ["lean", "rate", "ratio"]


def test_smoke_judges_nothing_and_says_so(report, monkeypatch):
    monkeypatch.setattr(harness, "SMOKE", True)
    report.row("lean", [1e9], checksum=1)
    assert report.past_floor() == []
    assert "smoke" in report.table()
    assert "PAST FLOOR" not in report.table()


def test_the_table_names_what_is_past_its_floor_and_what_is_short(report):
    report.row("lean", [101.0], checksum=1)
    report.row("rate", [3.0], checksum=1)
    report.row("open", [1.0], checksum=1)
    lean, rate, free = (line.split() for line in report.table().splitlines()[-3:])
    assert (lean[-2:], rate[-1], free[-1]) == (["PAST", "FLOOR"], "short", "ok")


def test_a_path_shows_each_stage_of_everyone_who_walks_it(report, tmp_path):
    report.row("lean", [10.0], checksum=1)
    report.stages("lean", "here", {"parse": 4.0, "sign": 5.0})
    report.stages("lean", "other", {"parse": 40.0})
    lines = [line.split() for line in report.stage_tables().splitlines()]
    assert lines[0] == ["lean", "here", "other"]
    assert lines[1:4] == [["parse", "4.00", "40.00"], ["sign", "5.00", "-"], ["sum", "9.00", "40.00"]]
    report.write_json(tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text())[1]["stages"]["other"] == {"parse": 40.0}


def test_the_json_is_a_header_and_one_object_per_figure(report, tmp_path):
    report.row("lean", [9.0, 10.0, 11.0], checksum="abc", batch=4, python=[30.0], peer="other", peer_samples=[100.0])
    report.write_json(tmp_path / "out.json")
    header, row = json.loads((tmp_path / "out.json").read_text())
    assert {"machine", "instruction_set", "commit", "python", "compiler", "kernel", "smoke", "profile"} <= set(header)
    keys = "id unit p50 p99 p999 peer peer_p50 ratio floor goal floor_ok goal_ok checksum count"
    assert set(keys.split()) <= set(row)
    assert (row["p50"], row["ratio"], row["count"], row["checksum"], row["goal_ok"]) == (10.0, 10.0, 12, "abc", True)


_SLOW = """
from bench.harness import Report
def bench_too_slow(report: Report) -> None:
    row = report.row("pool_alloc_free", [1e6], checksum=1)
    assert row.floor_ok is False
"""


@pytest.mark.parametrize(("smoke", "fails"), [("", True), ("0", True), ("1", False)])
def test_a_run_with_a_figure_past_its_floor_fails_unless_it_is_smoke(tmp_path, smoke, fails):
    (tmp_path / "bench_slow.py").write_text(_SLOW)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "bench.conftest", "-p", "no:cacheprovider", "-o", "addopts=",
         "--rootdir", str(tmp_path), "-c", str(ROOT / "pyproject.toml"), str(tmp_path / "bench_slow.py")],
        cwd=ROOT, env=os.environ | {"BOT4_BENCH_SMOKE": smoke}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    assert ("PAST FLOOR: pool_alloc_free" in done.stdout) is fails


# A worker of a parallel run must not pass on that it is one: then nothing would be timed.
ALONE = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}


@pytest.mark.slow
@pytest.mark.skipif(profile() in ("sanitize", "thread"), reason="peers are not built for a sanitizer")
def test_every_bench_runs_and_every_budget_has_a_figure(tmp_path):
    out = tmp_path / "out.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "bench", "-q", "-p", "no:cacheprovider"],
        cwd=ROOT, env=ALONE | {"BOT4_BENCH_SMOKE": "1", "BOT4_BENCH_JSON": str(out)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    header, *rows = json.loads(out.read_text())
    assert header["smoke"] is True
    assert {row["id"] for row in rows} == set(Report().budgets)
    assert all(row["checksum"] not in ("", "None") for row in rows)
