"""Inference: an answer of a line, of bytes and of a forest in the kernel, beside LightGBM and NumPy in the same run."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from bench.harness import Report, samples_array, sized, time_calls
from bench.loops import loop_infer
from engine._core.infer import Model
from engine.research import imported

BATCH, ROWS, INPUTS = 64, 256, 32
TREES, LEAVES = 100, 31


def _rows(width: int = INPUTS) -> np.ndarray:
    return np.random.default_rng(4).normal(0, 1, (ROWS, width))


def _line(rng: np.random.Generator) -> dict[str, Any]:
    layer = {"weights": rng.normal(0, 0.3, (1, INPUTS)).tolist(), "bias": [0.1]}
    return {"kind": "dense", "inputs": INPUTS, "outputs": 1, "link": "logistic", "layers": [layer]}


def _narrow(width: int, rng: np.random.Generator) -> dict[str, Any]:
    layers = [
        {"weights": rng.integers(-127, 128, (after, before)).tolist(), "bias": [0.1] * after, "step": 0.03,
         "row_step": [0.01] * after}
        for before, after in ((width, width), (width, 1))
    ]  # fmt: skip
    return {"kind": "dense", "inputs": width, "outputs": 1, "link": "none", "layers": layers}


def _forest(rng: np.random.Generator) -> dict[str, Any]:
    """Trees grown leaf by leaf, a random leaf each time: as uneven as boosted ones."""
    trees = []
    for _ in range(TREES):
        rows = [[-1, 0.0, 0, 0, 0, rng.normal()]]
        while len(rows) < 2 * LEAVES - 1:
            at = int(rng.choice([n for n, row in enumerate(rows) if row[0] < 0]))
            rows[at][:4] = [int(rng.integers(INPUTS)), float(rng.normal()), len(rows), len(rows) + 1]
            rows += [[-1, 0.0, 0, 0, 0, rng.normal()] for _ in range(2)]
        names = ("feature", "threshold", "left", "right", "missing_right", "value")
        trees.append({name: [row[i] for row in rows] for i, name in enumerate(names)} | {"output": 0})
    return {"kind": "trees", "inputs": INPUTS, "outputs": 1, "link": "logistic", "base": [0.0], "trees": trees}


def _boosted() -> tuple[dict[str, Any], Any]:
    """What LightGBM trains by itself in a hundred rounds, and the booster; the random forest where it is not there."""
    if importlib.util.find_spec("lightgbm") is None:
        return _forest(np.random.default_rng(7)), None
    lightgbm = importlib.import_module("lightgbm")
    rng = np.random.default_rng(7)
    x = rng.normal(0, 1, (20_000, INPUTS))
    y = (x[:, 0] + x[:, 1] * x[:, 2] + rng.normal(0, 1, len(x)) > 0).astype(int)
    told = {"objective": "binary", "num_leaves": LEAVES, "verbose": -1, "num_threads": 1, "seed": 1}
    booster = lightgbm.train(told, lightgbm.Dataset(x, y), num_boost_round=TREES)
    return imported.lightgbm(booster.model_to_string()), booster


def bench_linear(report: Report) -> None:
    rows, spec = _rows(), _line(np.random.default_rng(5))
    model, samples = Model(spec), samples_array()
    total = loop_infer.run(model, rows, samples, BATCH)
    weights = np.array(spec["layers"][0]["weights"][0])
    want = 1 / (1 + np.exp(-(rows @ weights + 0.1)))
    assert np.allclose(model.run_many(rows)[:, 0], want, rtol=1e-13)
    count = samples.size * BATCH
    assert np.isclose(total, want.sum() * (count // ROWS) + want[: count % ROWS].sum())
    one = rows[0].copy()
    peer = time_calls(lambda: 1 / (1 + np.exp(-(weights @ one + 0.1))), calls=20_000)
    report.row("infer_linear", samples, batch=BATCH, checksum=f"{total:.6f}", peer="NumPy, one row", peer_samples=peer)


def bench_trees(report: Report) -> None:
    rows = _rows()
    spec, booster = _boosted()
    model, samples = Model(spec), samples_array(20_000)
    total = loop_infer.run(model, rows, samples, 8)
    answers = model.run_many(rows)[:, 0]
    count = samples.size * 8
    assert np.isclose(total, answers.sum() * (count // ROWS) + answers[: count % ROWS].sum())
    peer = {}
    if booster is not None:
        assert np.allclose(answers, booster.predict(rows), rtol=1e-14)
        # Its own batch form, by the row: no call's overhead counts against it.
        slow = time_calls(lambda: booster.predict(rows, num_threads=1), calls=20) / ROWS
        peer = {"peer": "LightGBM, 256 rows a call", "peer_samples": slow}
    report.row("infer_trees", samples, batch=8, checksum=f"{total:.6f}", note=f"{TREES} trees, {LEAVES} leaves", **peer)


def bench_bytes(report: Report) -> None:
    """A layer of 256 by 256 bytes, and the same in doubles by NumPy."""
    rows, spec = _rows(256), _narrow(256, np.random.default_rng(6))
    model, samples = Model(spec), samples_array(4_000)
    loop_infer.run(model, rows, samples, 4)
    baseline = Model(spec, isa="baseline")
    assert model.run_many(rows).tobytes() == baseline.run_many(rows).tobytes()
    slow = samples_array(400)
    loop_infer.run(baseline, rows, slow, 4)
    report.row("infer_int8_baseline", slow, batch=4, checksum=float(baseline.run(rows[0])[0]))
    weights, one = np.array(spec["layers"][0]["weights"], dtype=np.float64), rows[0].copy()
    peer = time_calls(lambda: weights @ one, calls=sized(2_000, 3))
    report.row("infer_int8", samples, batch=4, checksum=float(model.run(rows[0])[0]), peer="NumPy float64",
               peer_samples=peer)  # fmt: skip


def bench_softmax(report: Report) -> None:
    rows, samples = _rows(8) * 10, samples_array(20_000)
    total = loop_infer.softmax(rows, samples, BATCH)
    shares = np.exp(rows - rows.max(axis=1, keepdims=True))
    want = (shares / shares.sum(axis=1, keepdims=True))[:, 0]
    count = samples.size * BATCH
    assert np.isclose(total, want.sum() * (count // ROWS) + want[: count % ROWS].sum())
    one = rows[0].copy()

    def softmax() -> np.ndarray:
        shares = np.exp(one - one.max())
        return shares / shares.sum()

    peer = time_calls(softmax, calls=20_000)
    report.row("stable_softmax", samples, batch=BATCH, checksum=f"{total:.6f}", peer="NumPy", peer_samples=peer)
