"""Inference: kernel against twin to the bit on every instruction set, and what is no model is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core import infer as core
from engine.model import infer as model

STEM = "infer"
EDGES = [0.0, -0.0, 0.5, 1.0, -1.0, 2.0, 1e-3, 127.4, 127.5, -128.5, 1e6, 1e300, -1e300, math.inf, -math.inf, math.nan]


def levels():
    return [name for name in ("baseline", "v2", "v3", "v4", "vnni") if _offered(name)]


def _offered(name):
    try:
        core.level(name)
    except ValueError:
        return False
    return True


def line(weights, bias=0.0, link="none", **more):
    spec = {"kind": "dense", "inputs": len(weights), "outputs": 1, "link": link}
    return spec | {"layers": [{"weights": [weights], "bias": [bias]}], **more}


def stump(feature=0, threshold=1.0, values=(-1.0, 1.0), missing_right=0, output=0):
    return {
        "output": output, "feature": [feature, -1, -1], "threshold": [threshold, 0.0, 0.0], "left": [1, 0, 0],
        "right": [2, 0, 0], "missing_right": [missing_right, 0, 0], "value": [0.0, *values],
    }  # fmt: skip


def forest(trees, inputs=2, outputs=1, link="none", **more):
    return {"kind": "trees", "inputs": inputs, "outputs": outputs, "link": link, "base": [0.0] * outputs,
            "trees": trees, **more}  # fmt: skip


def ask(made, *x):
    return made.run(np.array(x, dtype=np.float64)).tolist()


def test_a_line_is_its_weights_and_its_bias_on_the_scale_it_was_learned_on(impl):
    assert ask(impl.Model(line([2.0, -1.0], 0.5)), 3.0, 4.0) == [2.5]
    scaled = impl.Model(line([2.0, -1.0], 0.5, centre=[1.0, 2.0], factor=[0.5, 4.0]))
    assert ask(scaled, 3.0, 4.0) == [2.0 * 1.0 - 1.0 * 8.0 + 0.5]
    assert ask(impl.Model(line([1.0, 1.0], link="logistic")), 0.0, 0.0) == [0.5]


def test_a_dense_model_says_nothing_where_an_input_is_missing_or_its_answer_is_not_finite(impl):
    made = impl.Model(line([1.0, 1.0]))
    assert math.isnan(ask(made, math.nan, 1.0)[0])
    assert math.isnan(ask(made, math.inf, 1.0)[0])
    assert math.isnan(ask(impl.Model(line([1e300, 1.0])), 1e300, 1.0)[0])


def test_between_layers_stands_a_ramp(impl):
    spec = {"kind": "dense", "inputs": 1, "outputs": 1, "link": "none", "layers": [
        {"weights": [[1.0], [-1.0]], "bias": [0.0, 0.0]}, {"weights": [[1.0, 1.0]], "bias": [0.0]}]}  # fmt: skip
    assert [ask(impl.Model(spec), x)[0] for x in (-3.0, 0.0, 2.0)] == [3.0, 0.0, 2.0]


def test_bytes_are_rounded_to_even_and_held_at_their_ends(impl):
    spec = {"kind": "dense", "inputs": 2, "outputs": 1, "link": "none", "layers": [
        {"weights": [[100, 1]], "bias": [0.25], "step": 0.5, "row_step": [0.01]}]}  # fmt: skip
    made = impl.Model(spec)
    for x, q in ((0.25, 0), (0.75, 2), (-0.25, 0), (1e9, 127), (-1e9, -128), (63.5, 127)):
        assert ask(made, x, 0.0) == [pytest.approx(100 * q * 0.01 * 0.5 + 0.25)]


def test_a_tree_goes_left_at_its_threshold_and_the_learned_way_for_what_is_missing(impl):
    for missing_right, gone in ((0, -1.0), (1, 1.0)):
        made = impl.Model(forest([stump(missing_right=missing_right)]))
        assert [ask(made, x, 0.0)[0] for x in (1.0, 1.0000001, -math.inf, math.inf, math.nan)] == [
            -1.0, 1.0, -1.0, 1.0, gone,
        ]  # fmt: skip


def test_trees_are_added_in_their_order_to_their_own_output(impl):
    trees = [stump(values=(0.1 * n, -0.1 * n), output=n % 3) for n in range(19)]
    made = impl.Model(forest(trees, outputs=3) | {"base": [1.0, 2.0, 3.0]})
    want = [1.0, 2.0, 3.0]
    for n in range(19):
        want[n % 3] += 0.1 * n
    assert ask(made, 0.0, 0.0) == want
    shares = ask(impl.Model(forest(trees, outputs=3, link="softmax")), 0.0, 0.0)
    assert sum(shares) == pytest.approx(1.0)
    assert shares[0] == max(shares)


def test_a_model_of_singles_sees_its_inputs_in_single_precision(impl):
    inside = float(np.float32(0.1))
    assert inside > 0.1
    trees = [stump(threshold=0.1)]
    assert ask(impl.Model(forest(trees)), 0.1, 0.0) == [-1.0]
    assert ask(impl.Model(forest(trees, singles=True)), 0.1, 0.0) == [1.0]


def test_a_tree_that_is_one_leaf_is_its_value(impl):
    leaf = {name: [0] for name in ("threshold", "left", "right", "missing_right")} | {
        "feature": [-1], "value": [0.75], "output": 0,
    }  # fmt: skip
    made = impl.Model(forest([leaf] * 9))
    made.check()
    assert ask(made, 5.0, math.nan) == [6.75]


def changed(spec, **more):
    return {**spec, **more}


BAD = {
    "kind": changed(line([1.0]), kind="forest"),
    "link": changed(line([1.0]), link="probit"),
    "no inputs": changed(line([1.0]), inputs=0),
    "too many inputs": line([0.0] * 257),
    "too many outputs": changed(line([1.0]), outputs=9),
    "weights of another width": changed(line([1.0, 2.0]), inputs=3),
    "a weight that is no number": line([math.nan]),
    "a bias that is no number": line([1.0], math.inf),
    "a scale of another width": line([1.0], centre=[0.0, 0.0]),
    "no layers": changed(line([1.0]), layers=[]),
    "five layers": changed(line([1.0]), layers=[{"weights": [[1.0]], "bias": [0.0]}] * 5),
    "another number of outputs": changed(line([1.0]), outputs=2),
    "half a byte": changed(line([1.0]), layers=[{"weights": [[0.5]], "bias": [0.0], "step": 1.0, "row_step": [1.0]}]),
    "beyond a byte": changed(line([1.0]), layers=[{"weights": [[128]], "bias": [0.0], "step": 1.0, "row_step": [1]}]),
    "no step": changed(line([1.0]), layers=[{"weights": [[1]], "bias": [0.0], "step": 0.0, "row_step": [1.0]}]),
    "no trees": forest([]),
    "a feature there is not": forest([stump(feature=2)]),
    "a threshold that is no number": forest([stump(threshold=math.nan)]),
    "a leaf that is no number": forest([stump(values=(math.inf, 0.0))]),
    "an output there is not": forest([stump(output=1)]),
    "a base of another width": forest([stump()]) | {"base": []},
    "a child before its parent": forest([changed(stump(), left=[0, 0, 0])]),
    "a child that is not there": forest([changed(stump(), right=[3, 0, 0])]),
    "one child twice": forest([changed(stump(), right=[1, 0, 0])]),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_model_is_refused(impl, what):
    with pytest.raises((ValueError, KeyError)):
        impl.Model(BAD[what])


def test_inputs_of_another_width_are_refused(impl):
    made = impl.Model(line([1.0, 2.0]))
    for rows in (np.zeros(1), np.zeros(3)):
        with pytest.raises(ValueError, match="inputs"):
            made.run(rows)


@st.composite
def trees(draw, inputs, outputs):
    """A random tree: leaves are opened until it is large enough."""
    rows = [[-1, 0.0, 0, 0, 0, draw(st.floats(-10, 10))]]
    for _ in range(draw(st.integers(0, 12))):
        leaves = [at for at, row in enumerate(rows) if row[0] < 0]
        at = draw(st.sampled_from(leaves))
        rows[at][:5] = [
            draw(st.integers(0, inputs - 1)), draw(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 127.5, 1e6])), len(rows),
            len(rows) + 1, draw(st.integers(0, 1)),
        ]  # fmt: skip
        rows += [[-1, 0.0, 0, 0, 0, draw(st.floats(-10, 10))] for _ in range(2)]
    names = ("feature", "threshold", "left", "right", "missing_right", "value")
    tree = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    return tree | {"output": draw(st.integers(0, outputs - 1))}


@st.composite
def layers(draw, inputs, outputs):
    width = draw(st.integers(1, 20))
    made = []
    for before, after in ((inputs, width), (width, outputs)):
        narrow = draw(st.booleans())
        weight = st.integers(-127, 127) if narrow else st.floats(-5, 5)
        layer = {
            "weights": [draw(st.lists(weight, min_size=before, max_size=before)) for _ in range(after)],
            "bias": draw(st.lists(st.floats(-5, 5), min_size=after, max_size=after)),
        }
        if narrow:
            layer |= {"step": draw(st.sampled_from([0.01, 0.5, 3.0])), "row_step": [0.125] * after}
        made.append(layer)
    return made


@st.composite
def specs(draw):
    inputs, outputs = draw(st.integers(1, 20)), draw(st.integers(1, 3))
    spec = {"inputs": inputs, "outputs": outputs, "link": draw(st.sampled_from(["none", "logistic", "softmax"]))}
    if draw(st.booleans()):
        numbers = st.lists(st.sampled_from([0.0, 0.5, 1.0, -3.0]), min_size=inputs, max_size=inputs)
        return spec | {"kind": "dense", "layers": draw(layers(inputs, outputs)), "centre": draw(numbers),
                       "factor": draw(numbers)}  # fmt: skip
    many = draw(st.lists(trees(inputs, outputs), min_size=1, max_size=11))
    base = draw(st.lists(st.floats(-3, 3), min_size=outputs, max_size=outputs))
    return spec | {"kind": "trees", "trees": many, "base": base, "singles": draw(st.booleans())}


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_kernel_and_twin_agree_to_the_bit_on_every_instruction_set(data):
    spec = data.draw(specs())
    twin = model.Model(spec)
    rows = np.array([
        data.draw(st.lists(st.sampled_from(EDGES), min_size=spec["inputs"], max_size=spec["inputs"])) for _ in range(3)
    ])  # fmt: skip
    with np.errstate(all="ignore"):
        want = twin.run_many(rows)
    for isa in levels():
        kernel = core.Model(spec, isa=isa)
        kernel.check()
        got = kernel.run_many(rows)
        assert np.array_equal(np.isnan(got), np.isnan(want))
        # What is equal is equal in every bit but the sign of a zero that an empty place was added to.
        assert np.array_equal(got, want, equal_nan=True), isa
        assert got.tobytes() == np.array([kernel.run(row) for row in rows]).tobytes()


@pytest.mark.parametrize("narrow", [False, True])
def test_wide_layers_give_the_same_bits_on_every_instruction_set(narrow):
    rng = np.random.default_rng(11)
    width = 256
    layer = {"weights": rng.integers(-127, 128, (width, width)).tolist(), "bias": rng.normal(0, 1, width).tolist()}
    last = {"weights": rng.normal(0, 1, (1, width)).tolist(), "bias": [0.0]}
    if narrow:
        layer |= {"step": 0.02, "row_step": rng.uniform(0.001, 0.01, width).tolist()}
    spec = {"kind": "dense", "inputs": width, "outputs": 1, "link": "none", "layers": [layer, last]}
    rows = rng.normal(0, 1, (20, width))
    made = {isa: core.Model(spec, isa=isa).run_many(rows).tobytes() for isa in levels()}
    assert len(set(made.values())) == 1
    assert next(iter(made.values())) == model.Model(spec).run_many(rows).tobytes()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_are_refused_or_stay_a_model_that_cannot_be_left(data):
    block = bytearray(core.pack(data.draw(specs())))
    at = data.draw(st.integers(0, len(block) - 1))
    block[at] = data.draw(st.integers(0, 255))
    try:
        made = core.Model(bytes(block))
    except ValueError:
        return
    made.check()
    assert made.run(np.zeros(made.inputs)).shape == (made.outputs,)


def test_the_digest_is_of_the_block_and_a_block_is_a_model_again():
    spec = forest([stump(), stump(1)])
    made = core.Model(spec)
    again = core.Model(made.state())
    assert (again.digest, again.inputs, again.outputs) == (made.digest, 2, 1)
    assert core.Model(forest([stump(), stump(1, 1.5)])).digest != made.digest
    for cut in (0, 64, 128, len(made.state()) - 64):
        with pytest.raises(ValueError, match="no model"):
            core.Model(made.state()[:cut])


def test_an_instruction_set_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="isa 'v9'"):
        core.Model(line([1.0]), isa="v9")
