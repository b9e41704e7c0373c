"""Sweeps: what is tried, what is kept, that a killed one ends with the same bytes, by whomever it is run."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from engine.cli.main import cli
from engine.errors import ExtraMissing, SweepDiffers, SweepEmpty, SweepImpossible
from engine.research import space, sweep, sweep_report
from engine.research.sweep import FAILED, MEMORY, Store, Trial, judge, run_all
from engine.runtime.backtest import sample
from engine.runtime.sweep import Crew, Job, LocalWorkers, RayWorkers, Wanted, plan_of, run_sweep, run_trial
from engine.settings.load import config_directory, load
from engine.strategy.contract import Parameter

EVENTS = 2_500
AXES = ("qty=1:3", "skew_lots=10,40")
COMMAND = ["sweep", "quoter", *(word for axis in AXES for word in ("-p", axis)), "--events", str(EVENTS),
           "--latency-ms", "5", "--draws", "200", "--folds", "2"]  # fmt: skip
BOT4 = (sys.executable, "-c", "from engine.cli.main import main; main()")
PARAMETERS = (
    Parameter("qty", 5, 1, 100, "lots", "a whole one"),
    Parameter("share", 0.5, 0.0, 1.0, "", "a decimal one"),
)


@pytest.fixture(scope="module")
def settings():
    return load([config_directory() / "paper.toml"]).settings


@pytest.fixture(scope="module")
def data():
    return sample(seed=7, count=EVENTS)


@pytest.fixture(scope="module")
def job(settings, data):
    return Job(settings, "strategies.quoter", 7, 5.0, data.meta)


def wanted(**more):
    return Wanted("quoter", AXES, latency_ms=5.0, draws=200, folds=2, **more)


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def run_here(root, settings, data, asked, *, stop_after=None, crew=None):
    """A sweep into `root`; it dies after so many trials if that is said."""
    plan = plan_of(asked, settings, data)
    store = Store(root, plan)
    seen = []

    def done(trial):
        seen.append(trial.number)
        if stop_after is not None and len(seen) == stop_after:
            raise KeyboardInterrupt

    if stop_after is not None:
        with pytest.raises(KeyboardInterrupt):
            run_sweep(plan, store, settings, data, crew or Crew(1), done)
        return None
    result, told = run_sweep(plan, store, settings, data, crew or Crew(1), done)
    store.finish(sweep_report.as_json(result, told), sweep_report.page(result, told), "winner")
    return result


@pytest.fixture(scope="module")
def whole(tmp_path_factory, settings, data):
    """A sweep that ran through, with two workers."""
    root = tmp_path_factory.mktemp("sweep") / "whole"
    return root, run_here(root, settings, data, wanted(), crew=Crew(2))


# ------------------------------------------------------------------------------------------------------- what is tried
@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("qty=1:4", (1, 2, 3, 4)),
        ("qty=1:10:4", (1, 5, 9)),
        ("qty=5:5", (5,)),
        ("qty=3,1,3", (3, 1)),
        ("share=0.1:0.9:0.1", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("qty=1:100:log", None),
    ],
)
def test_an_axis_is_what_its_text_says(text, values):
    found = space.axis(text)
    if values is None:
        steps = np.diff(np.log(found.values))
        assert found.values[0] == 1
        assert found.values[-1] == 100
        assert len(set(found.values)) == len(found.values)
        assert np.all(steps > 0)
    else:
        assert found.values == values


@pytest.mark.parametrize(
    "text",
    ["qty", "qty=", "=1", "qty=2:1", "qty=1:2:0", "qty=1:2:-1", "x=0:1:log", "qty=a,b", "qty=1:2:3:4", "x=nan:1",
     "qty=1:2:1:log", "qty=1:1000000000", "x=0.5:inf"],
)  # fmt: skip
def test_what_is_no_axis_is_refused_with_the_notation(text):
    with pytest.raises(SweepImpossible, match="LOW:HIGH"):
        space.axis(text)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["qyt=1:3"], "no parameter qyt"),
        (["qty=0:3"], "beyond 1 to 100"),
        (["share=0.5:1.5"], "beyond"),
        (["qty=0.5:3.0"], "beyond"),
        (["qty=1.0:3.0"], "whole numbers"),
        (["qty=1.5,2"], "whole numbers"),
        (["qty=1:3", "qty=1:4"], "twice"),
        ([], "nothing to search"),
    ],
)
def test_an_axis_is_held_against_its_parameter(texts, words):
    with pytest.raises(SweepImpossible, match=words):
        space.axes(texts, PARAMETERS)


def test_a_grid_has_every_combination_once_and_refuses_an_interval():
    found = list(space.grid(space.axes(["qty=1:3", "share=0.25,0.5"], PARAMETERS)))
    assert len({tuple(row.values()) for row in found}) == len(found) == 6
    assert found[:2] == [{"qty": 1, "share": 0.25}, {"qty": 1, "share": 0.5}]
    with pytest.raises(SweepImpossible, match="a grid needs"):
        list(space.grid(space.axes(["share=0.0:1.0"], PARAMETERS)))
    with pytest.raises(SweepImpossible, match="most are"):
        list(space.grid([space.Axis("a", tuple(range(1_000))), space.Axis("b", tuple(range(1_000)))]))


def test_draws_stay_inside_their_axis_at_both_ends():
    for text in ("qty=1:3", "share=0.25:0.75", "share=0.001:1.0:log"):
        axis = space.axis(text)
        low, high = axis.ends
        assert axis.at(0.0) == pytest.approx(low)
        assert low <= axis.at(0.5) <= axis.at(1 - 2**-53) <= high * (1 + 1e-12)


def test_a_random_trial_does_not_depend_on_how_many_there_are(settings, data, tmp_path):
    def tried(count):
        plan = plan_of(replace(wanted(search="random"), trials=count, params=("qty=1:100",)), settings, data)
        seen = {}

        def run(batch):
            seen.update(batch)
            yield from (Trial(number, params, FAILED) for number, params in batch)

        run_all(plan, Store(tmp_path / str(count), plan), run, lambda trial: None)
        return seen

    few, many = tried(5), tried(50)
    assert few == {number: many[number] for number in range(5)}
    assert len({row["qty"] for row in many.values()}) > 20


# -------------------------------------------------------------------------------------------------------- what is kept
def test_a_sweep_is_whole_and_the_best_is_the_best(whole):
    root, result = whole
    assert sorted(files(root)) == [
        "plan.json", "report.html", "result.json", *(f"trials/{n:06}.json" for n in range(6)), "winner.html"
    ]  # fmt: skip
    assert result.scores[result.winner.number] == max(result.scores.values())
    assert len(result.folds) == 2
    assert len(result.unseen) == sum(fold.test_periods for fold in result.folds)
    told = json.loads((root / "result.json").read_text())
    assert told["trials"] == told["ranked"] == 6
    assert told["winner"]["look_ahead"].startswith("passed")


def test_a_sweep_that_was_stopped_ends_with_the_same_bytes(whole, tmp_path, settings, data):
    run_here(tmp_path / "s", settings, data, wanted(), stop_after=4)
    assert 4 <= len(list((tmp_path / "s" / "trials").iterdir())) < 6
    run_here(tmp_path / "s", settings, data, wanted())
    assert files(tmp_path / "s") == files(whole[0])


def test_a_sweep_whose_process_was_killed_ends_with_the_same_bytes(whole, tmp_path, settings, data):
    out = tmp_path / "killed"
    with subprocess.Popen(
        [*BOT4, *COMMAND, "--workers", "1", "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not list(out.glob("trials/*.json")) and process.poll() is None:
            try:
                process.wait(timeout=0.02)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGKILL)
    # On a starved machine it may have been through before it was killed: the bytes must be the same all the more.
    assert process.returncode in (-signal.SIGKILL, 0)
    run_here(out, settings, data, wanted())
    assert files(out) == files(whole[0])


def test_a_directory_holds_one_plan(whole, settings, data):
    root, _ = whole
    for other in (replace(wanted(), seed=8), replace(wanted(), score="return"), replace(wanted(), params=("qty=1:3",))):
        with pytest.raises(SweepDiffers):
            Store(root, plan_of(other, settings, data))
    assert len(Store(root, plan_of(wanted(), settings, data)).read()) == 6


def test_a_directory_with_something_else_is_left_alone(tmp_path, settings, data):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SweepImpossible, match="something else"):
        Store(tmp_path, plan_of(wanted(), settings, data))
    assert files(tmp_path) == {"letter.txt": b"dear"}


# --------------------------------------------------------------------------------------------------------- what failed
def test_a_trial_that_fails_is_a_result_and_not_the_end(job, data):
    trial = run_trial(job, data.events, 3, {"nonsense": 1})
    assert (trial.number, trial.status) == (3, FAILED)
    assert "nonsense" in trial.error
    assert not trial.ranked


def test_a_worker_that_wants_more_memory_than_its_cap_fails_its_trial_alone(job, data, tmp_path):
    np.save(tmp_path / "events.npy", data.events)
    workers = LocalWorkers(replace(job, memory_mb=1), tmp_path / "events.npy", 1)
    try:
        found = list(workers.run([(0, {"qty": 1}), (1, {"qty": 2})]))
    finally:
        workers.close()
    assert [trial.status for trial in sorted(found, key=lambda t: t.number)] == [MEMORY, MEMORY]


def test_what_wanted_memory_is_tried_again_and_what_failed_otherwise_is_not(tmp_path, settings, data):
    plan = plan_of(wanted(), settings, data)
    store = Store(tmp_path, plan)
    store.write(Trial(0, {"qty": 1, "skew_lots": 10}, MEMORY))
    store.write(Trial(1, {"qty": 1, "skew_lots": 40}, FAILED, "why"))
    asked = []

    def run(batch):
        asked.extend(number for number, _ in batch)
        yield from (Trial(number, params, FAILED) for number, params in batch)

    run_all(plan, store, run, lambda trial: None)
    assert asked == [0, 2, 3, 4, 5]


def test_a_sweep_without_anything_to_rank_says_so(settings, data):
    plan = plan_of(wanted(), settings, data)
    flat = Trial(0, {"qty": 1, "skew_lots": 10}, "ok", returns=np.zeros(100))
    with pytest.raises(SweepEmpty, match="2 trials"):
        judge(plan, [flat, Trial(1, {}, FAILED)], lambda trial: (np.zeros(1), np.zeros(1)))


def test_of_equal_scores_the_first_wins():
    assert sweep.best({4: 1.0, 2: 1.0, 3: 0.5}) == 2


# ------------------------------------------------------------------------------------------------ optuna, Ray, command
@pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="no optuna: the extra `sweep` brings it")
def test_an_optimiser_that_is_taken_up_asks_what_it_would_have_asked(tmp_path, settings, data):
    """Scores made by hand, so that many trials cost nothing: the search is what is tested."""
    asked = replace(wanted(search="optuna", split="none"), trials=20, params=("qty=1:100", "stop_ticks=10:1000"))
    plan = plan_of(asked, settings, data)
    noise = np.random.default_rng(1).normal(size=200)

    def run(batch):
        for number, params in batch:
            yield Trial(number, params, "ok", returns=noise * 1e-3 + 1e-3 * (1 - abs(params["qty"] - 60) / 60))

    def through(root, *, stop_after=None):
        store, seen = Store(root, plan), []

        def done(trial):
            seen.append(trial)
            if len(seen) == stop_after:
                raise KeyboardInterrupt

        if stop_after is None:
            return run_all(plan, store, run, done)
        with pytest.raises(KeyboardInterrupt):
            run_all(plan, store, run, done)
        return []

    trials = through(tmp_path / "whole")
    through(tmp_path / "cut", stop_after=11)
    through(tmp_path / "cut")
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert len(trials) == 20
    # It learns: the later half lies nearer to what scores best.
    far = [abs(trial.params["qty"] - 60) for trial in trials]
    assert np.mean(far[10:]) < np.mean(far[:10])


def test_an_extra_that_is_missing_is_named(monkeypatch, tmp_path, settings, data, job):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    plan = plan_of(replace(wanted(search="optuna")), settings, data)
    with pytest.raises(ExtraMissing, match=r"bot4\[sweep\]"):
        run_all(plan, Store(tmp_path, plan), lambda batch: iter(()), lambda trial: None)
    with pytest.raises(ExtraMissing, match=r"bot4\[ray\]"):
        RayWorkers(job, tmp_path / "events.npy", 2, "local")


@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or not os.environ.get("BOT4_STRESS"),
    reason="starts a Ray cluster of two nodes: BOT4_STRESS=1 with the extra `ray`",
)
def test_a_ray_cluster_of_two_workers_gives_the_same_bytes(whole, tmp_path, settings, data):
    """In a process of its own: Ray leaves threads and handlers behind."""
    code = (
        "import sys\n"
        "from ray.cluster_utils import Cluster\n"
        "from engine.cli.main import main\n"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1})\n"
        "cluster.add_node(num_cpus=1)\n"
        "sys.argv += ['--ray', cluster.address]\n"
        "try:\n    main()\n"
        "finally:\n    cluster.shutdown()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND, "--out", str(tmp_path / "ray")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    ours, theirs = files(tmp_path / "ray"), files(whole[0])
    assert {name: ours[name] for name in ours if name != "winner.html"} == {
        name: theirs[name] for name in theirs if name != "winner.html"
    }


def test_the_command_tells_json_refuses_a_wrong_axis_and_repeats_itself(tmp_path):
    base = ["sweep", "quoter", "--events", "2000", "--latency-ms", "5", "--workers", "1", "--draws", "100"]
    base += ["--split", "purged-kfold", "--folds", "2", "--purge", "0.2", "--embargo", "0.1"]
    base += ["--out", str(tmp_path / "o")]
    refused = CliRunner().invoke(cli, [*base, "-p", "quantity=1:3"])
    assert refused.exit_code == 1
    assert "no parameter quantity" in str(refused.exception)
    done = CliRunner().invoke(cli, [*base, "-p", "qty=1:2", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "o" / "result.json").read_text())
    assert len(told["folds"]) == 2
    again = CliRunner().invoke(cli, [*base, "-p", "qty=1:2"])
    assert again.exit_code == 0
    assert "trial" in again.output
    assert told["verdict"] in again.output
