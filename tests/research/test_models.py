"""Models from training to the wish: files, importers, refusals, and one answer in every form of a run."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from engine._core.features_feed import feed_bytes, feed_hash, feed_init, feed_of
from engine._core.infer import Model
from engine._core.world import World
from engine.cli.backtest import read_data
from engine.cli.main import cli
from engine.errors import ModelForeign, ModelMismatch, ModelUnreadable, StrategyNotAccepted
from engine.research import imported, learn
from engine.research.prepare import columns_of
from engine.runtime.backtest import Asked, run_backtest, settings_for
from engine.runtime.build import core_of, session_meta
from engine.settings.load import config_directory, load
from engine.strategy import models, registry

FOREIGN = json.loads(Path(__file__).parents[1].joinpath("data/foreign_models.json").read_text())
PROBE = np.array([[np.nan if value is None else value for value in row] for row in FOREIGN["probe"]])
NAMES = [name for name in FOREIGN if name != "probe"]
STRATEGY = "strategies.learned"


@pytest.fixture(scope="module")
def bars():
    return read_data("sample:vision-klines", None, None, None, "spot")


@pytest.fixture(scope="module")
def learned():
    return models.load(registry.learns(STRATEGY)[1], registry.learns(STRATEGY)[0])


# -------------------------------------------------------------------------------------------------- other libraries
@pytest.mark.parametrize("name", NAMES)
def test_an_imported_model_answers_as_the_library_that_trained_it(name):
    made = Model(imported.read(FOREIGN[name]["file"]))
    # One library adds in doubles, the other in singles.
    room = 1e-15 if name.startswith("lightgbm") else 5e-7
    assert np.isnan(PROBE).any()
    np.testing.assert_allclose(made.run_many(PROBE), FOREIGN[name]["answers"], rtol=0, atol=room)


def edited(name, old, new):
    text = FOREIGN[name]["file"]
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (edited("lightgbm_binary", "num_cat=0", "num_cat=1"), "categories"),
        (edited("lightgbm_binary", "is_linear=0", "is_linear=1"), "linear leaves"),
        (edited("lightgbm_binary", "objective=binary sigmoid:1", "objective=poisson"), "poisson"),
        (edited("xgboost_binary", '"name": "gbtree"', '"name": "dart"'), "dart"),
        (edited("xgboost_binary", "binary:logistic", "survival:aft"), "survival"),
        ("{}", "save_model"),
        ("not a model", "neither"),
    ],
)
def test_what_another_library_computes_and_we_do_not_is_refused(text, said):
    with pytest.raises(ModelForeign, match=said):
        imported.read(text)


def test_estimators_of_scikit_learn_answer_as_they_do_there():
    reason = "scikit-learn is a peer, installed for the benches alone"
    ensemble = pytest.importorskip("sklearn.ensemble", reason=reason)
    linear = pytest.importorskip("sklearn.linear_model", reason=reason)
    pipeline = pytest.importorskip("sklearn.pipeline", reason=reason)
    scaling = pytest.importorskip("sklearn.preprocessing", reason=reason)
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, (300, 4))
    two, three = (x[:, 0] > 0).astype(int), np.digitize(x[:, 1], [-0.5, 0.5])
    for estimator, target in (
        (pipeline.make_pipeline(scaling.StandardScaler(), linear.LogisticRegression()), two),
        (linear.LogisticRegression(), three),
        (linear.Ridge(), x[:, 2]),
        (ensemble.GradientBoostingClassifier(n_estimators=9), two),
        (ensemble.GradientBoostingClassifier(n_estimators=4), three),
        (ensemble.GradientBoostingRegressor(n_estimators=9), x[:, 2]),
        (ensemble.RandomForestClassifier(n_estimators=7), three),
    ):
        estimator.fit(x, target)
        want = estimator.predict_proba(x) if hasattr(estimator, "classes_") else estimator.predict(x)[:, None]
        got = Model(imported.sklearn(estimator)).run_many(x)
        np.testing.assert_allclose(got, want[:, 1:] if got.shape[1] == 1 and want.shape[1] == 2 else want, atol=1e-9)
    with pytest.raises(ModelForeign, match="StandardScaler"):
        imported.sklearn(scaling.StandardScaler().fit(x))


# ------------------------------------------------------------------------------------------------------------- files
def test_a_file_is_read_as_it_was_written_and_the_same_model_is_the_same_bytes(tmp_path, learned):
    request, path = registry.learns(STRATEGY)
    row = json.loads(path.read_text())
    models.save(tmp_path / "one.json", row, request, row["outputs"], row["about"])
    assert (tmp_path / "one.json").read_bytes() == path.read_bytes()
    assert models.load(tmp_path / "one.json", request).digest == learned.digest


def test_a_model_of_other_features_is_refused(learned):
    request, path = registry.learns(STRATEGY)
    other = (request[0], request[1], (*request[2][:-1], ("atr", 15)))
    with pytest.raises(ModelMismatch, match=r"atr:14 .*atr:15"):
        models.load(path, other)
    # The same features in another order are other features, and so are those of bars of another length.
    with pytest.raises(ModelMismatch):
        models.load(path, (request[0], request[1], request[2][::-1]))
    with pytest.raises(ModelMismatch):
        models.load(path, (1, 60 * 10**9, request[2]))
    assert learned.features == feed_hash(request).hex()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "else"}, "no bot4-model"), ({"version": 2}, "version 1"), ({"kind": "poem"}, "poem"),
        ({"layers": []}, "0 layers"), ({"inputs": ["rsi:14"]}, "finite"), ({"wieghts": 1}, "unknown wieghts"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_model_is_refused(tmp_path, change, said):
    row = json.loads(registry.learns(STRATEGY)[1].read_text()) | change
    (tmp_path / "bad.json").write_text(json.dumps(row))
    with pytest.raises(ModelUnreadable, match=said):
        models.read(tmp_path / "bad.json")


def test_a_file_that_is_cut_or_missing_is_refused(tmp_path):
    whole = registry.learns(STRATEGY)[1].read_bytes()
    (tmp_path / "cut.json").write_bytes(whole[:-20])
    for name in ("cut.json", "none.json"):
        with pytest.raises(ModelUnreadable, match=name):
            models.read(tmp_path / name)


# ---------------------------------------------------------------------------------------------------------- learning
def test_what_is_learned_is_what_was_planted(bars):
    """A target that is a known function of the features: the weights come back, and the rest of the data agrees."""
    request = registry.learns(STRATEGY)[0]
    found = learn.fit(bars, request, horizon=3, share=0.7, ridge=10.0)
    again = learn.fit(bars, request, horizon=3, share=0.7, ridge=10.0)
    assert found == again
    assert found.rows > found.rest > 500
    # It learned something of the first part; how little of that holds later is what the file says.
    assert found.loss[0] < 0.6931
    x = np.random.default_rng(1).normal(0, 1, (40_000, 3))
    planted = np.array([1.5, -0.5, 0.0])
    rise = np.random.default_rng(2).uniform(size=len(x)) < 1 / (1 + np.exp(-(x @ planted + 0.25)))
    weights, bias = learn._newton(x, rise.astype(float), 1.0)
    assert np.allclose([*weights, bias], [*planted, 0.25], atol=0.05)


def test_what_lies_behind_the_cut_teaches_nothing(bars):
    request = registry.learns(STRATEGY)[0]
    cut = bars.events.copy()
    cut["word"][-800:, 3] = cut["word"][-800:, 3] // 2
    changed = type(bars)(bars.meta, cut)
    one, other = (learn.fit(data, request, horizon=3, share=0.5, ridge=10.0) for data in (bars, changed))
    assert one.spec == other.spec
    assert one.loss[1] != other.loss[1]


def test_bytes_say_nearly_what_doubles_say(bars):
    request = registry.learns(STRATEGY)[0]
    spec = learn.fit(bars, request, horizon=3, share=0.7, ridge=10.0).spec
    rows, _ = columns_of(bars, request[2])
    rows = np.ascontiguousarray(rows[np.isfinite(rows).all(axis=1)])
    one, other = (Model(made).run_many(rows) for made in (spec, learn.quantised(spec, rows)))
    assert 0 < np.abs(one - other).max() < 0.02


def test_features_of_the_touch_are_not_learned_from_bars(bars):
    with pytest.raises(ModelForeign, match="closed bars"):
        learn.fit(bars, (1, 0, (("rsi", 14),)), horizon=1, share=0.7, ridge=1.0)


# ------------------------------------------------------------------------------------------------------------ in a run
@pytest.fixture
def module(tmp_path, monkeypatch):
    """A copy of the shipped strategy with a model file of its own, which keeps what it sees."""

    def make(tail=""):
        source = Path(registry.learns(STRATEGY)[1]).with_suffix(".py").read_text()
        (tmp_path / "learned_here.py").write_text(source + tail)
        shutil.copy(registry.learns(STRATEGY)[1], tmp_path / "learned.json")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "learned_here", raising=False)
        # A bare name is one of the shipped strategies, unless a module of that name is there already.
        return importlib.import_module("learned_here").__name__

    yield make
    sys.modules.pop("learned_here", None)


WATCH = """
SEEN = []
_decide = decide
del decide


class Strategy:
    def decide(self, view, wishes):
        SEEN.append(view["features"][: int(view["feature_count"])].copy())
        return _decide(view, wishes)
"""


def test_what_a_strategy_sees_is_the_models_answer_to_the_batch_of_its_features(module, bars, learned):
    name = module(WATCH)
    paper = load([config_directory() / "paper.toml"]).settings
    told = run_backtest(paper, Asked(name, {}, latency_ms=5, cuts=2), bars)
    assert told.check.difference is None
    seen = np.array(sys.modules[name].SEEN[: 2 * len(bars.events)])
    rows, _ = columns_of(bars, registry.learns(STRATEGY)[0][2])
    want = Model(learned.block).run_many(np.ascontiguousarray(rows))
    warm = np.isfinite(rows).all(axis=1)
    # Each call sees one of the batch's rows, bit for bit, and the answer to it behind it.
    answers = {row.tobytes(): answer for row, answer in zip(rows[warm], want[warm], strict=True)}
    known = seen[np.isfinite(seen[:, :9]).all(axis=1)]
    assert len(known) > 1_000
    assert all(answers[row[:9].tobytes()].tobytes() == row[9:].tobytes() for row in known)
    cold = seen[~np.isfinite(seen[:, :9]).all(axis=1)]
    assert len(cold) > 0
    assert np.isnan(cold[:, 9]).all()


def test_the_model_is_part_of_the_world_its_hash_and_the_session(module, bars):
    name = module()
    definition = registry.find(name)
    path = Path(sys.modules[name].__file__).with_name("learned.json")
    before = registry.features_hash(definition)
    assert definition.model is not None
    assert definition.model.digest == models.read(path).digest
    row = json.loads(path.read_text())
    row["layers"][0]["bias"][0] += 0.125
    models.save(path, row, registry.learns(name)[0], row["outputs"], row["about"])
    after = registry.find(name)
    # What a session keeps of its features names the model: a replay with another one is refused (runtime/build.py).
    assert registry.features_hash(after) != before
    worlds = []
    for one in (definition, after):
        world = World(symbols=1, strategies=1, features=feed_bytes([one.features]))
        feed_init(world, [one.features])
        worlds.append(world.state_hash())
    assert worlds[0] != worlds[1]
    assert len(bars.events) > 0


def test_a_replay_with_another_model_is_refused(module, bars):
    name = module(WATCH)
    paper = load([config_directory() / "paper.toml"]).settings
    settings = settings_for(paper, Asked(name, {}), (bars, bars.events))
    kept = SimpleNamespace(meta=json.loads(json.dumps(session_meta(settings))), epoch=1, seed=7)
    session = SimpleNamespace(file=kept, path="a recorded session")
    definition = registry.find(name)
    _, _, digest, values = feed_of(core_of(session).world, 0)
    assert digest.hex() == registry.features_hash(definition)
    assert len(values) == len(definition.features[2]) + 1
    path = Path(sys.modules[name].__file__).with_name("learned.json")
    row = json.loads(path.read_text())
    row["layers"][0]["bias"][0] += 0.125
    models.save(path, row, registry.learns(name)[0], row["outputs"], row["about"])
    with pytest.raises(StrategyNotAccepted, match="other features"):
        core_of(session)


def test_a_strategy_whose_model_was_trained_on_others_does_not_start(module):
    name = module('\nFEATURES = (*FEATURES[:-1], Feature("atr", 15))\n')
    with pytest.raises(ModelMismatch, match="atr:15"):
        registry.find(name)


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        ("\nFEATURES = ()\n", "needs FEATURES"),
        ("\nMODEL = 3\n", "name of a file"),
        ("\nMODEL = ''\n", "name of a file"),
    ],
)
def test_a_module_that_names_a_model_wrongly_is_refused(module, tail, said):
    with pytest.raises(StrategyNotAccepted, match=said):
        registry.find(module(tail))


def test_a_world_takes_no_model_of_another_width(learned):
    request = (2, 0, (("rsi", 14),), learned.block)
    world = World(symbols=1, strategies=1, features=feed_bytes([request]))
    with pytest.raises(ValueError, match="9 features"):
        feed_init(world, [request])


# ------------------------------------------------------------------------------------------------------ command line
def asked(*words):
    return CliRunner().invoke(cli, ["model", *map(str, words)])


def test_the_shipped_model_is_what_the_command_in_its_text_trains(tmp_path):
    out = tmp_path / "again.json"
    done = asked("fit", STRATEGY, "sample:vision-klines", "--horizon", 3, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    again, shipped = (json.loads(path.read_text()) for path in (out, registry.learns(STRATEGY)[1]))
    # The linear algebra behind the training differs in its last digits by machine; the features and the data do not.
    assert np.allclose(again.pop("layers")[0]["weights"], shipped.pop("layers")[0]["weights"], rtol=1e-6)
    assert np.allclose(again["about"].pop("loss_rest"), shipped["about"].pop("loss_rest"), rtol=1e-6)
    assert {name: again[name] for name in ("features", "inputs", "outputs", "kind")} == {
        name: shipped[name] for name in ("features", "inputs", "outputs", "kind")
    }


def test_a_model_is_imported_for_a_strategy_and_shown(tmp_path, module):
    name = module("\nFEATURES = FEATURES[:5]\n")
    (tmp_path / "booster.txt").write_text(FOREIGN["lightgbm_binary"]["file"])
    done = asked("import", name, tmp_path / "booster.txt")
    assert done.exit_code == 0, done.output
    assert registry.find(name).model.outputs == ("output_0",)
    assert "output_0" in asked("show", name).output
    shown = json.loads(asked("show", tmp_path / "learned.json", "--json").output)
    assert shown["about"] == {"imported_from": "booster.txt"}
    assert "9 features" in asked("import", STRATEGY, tmp_path / "booster.txt", "--out", tmp_path / "x.json").output
    int8 = asked("fit", STRATEGY, "sample:vision-klines", "--int8", "--out", tmp_path / "bytes.json", "--json")
    assert json.loads(int8.output)["digest"] != shown["digest"]
