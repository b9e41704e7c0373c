"""Models of other libraries as models of ours: files of LightGBM and XGBoost, fitted estimators of scikit-learn.

Owns: what their fields mean, and the refusal of what the kernel does not compute (categories, linear leaves, dart,
other links). Does not own: the model (infer), the file it becomes (engine/strategy/models.py). No library is imported
and nothing is unpickled: files are read as text, an estimator is whatever has the attributes of one.

Exactness: a LightGBM model's raw score is the same to the last bit (double thresholds, double sums in the trees'
order); XGBoost adds single-precision leaves in single precision, so its score differs in the seventh digit; its
comparison `x < t` on singles becomes `x <= the double below t`, which is the same for every single x.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.errors import ModelForeign

Spec = dict[str, Any]
COLUMNS = ("feature", "threshold", "left", "right", "missing_right", "value")


def read(text: str) -> Spec:
    """The model of a file's text: LightGBM's text form or XGBoost's JSON."""
    if text.startswith("tree\n"):
        return lightgbm(text)
    try:
        row = json.loads(text)
    except ValueError as error:
        raise ModelForeign(f"neither LightGBM's text nor XGBoost's JSON: {error}") from error
    if not isinstance(row, dict) or "learner" not in row:
        raise ModelForeign("JSON, but not what XGBoost's save_model writes")
    return xgboost(row)


def _spec(inputs: int, outputs: int, link: str, base: list[float], trees: list[Spec], *, singles: bool) -> Spec:
    return {"kind": "trees", "inputs": inputs, "outputs": outputs, "link": link, "base": base, "trees": trees,
            "singles": singles}  # fmt: skip


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


# ---------------------------------------------------------------------------------------------------------- LightGBM
def lightgbm(text: str) -> Spec:
    """What Booster.save_model writes."""
    head, *blocks = re.split(r"^Tree=\d+$", text.split("end of trees", maxsplit=1)[0], flags=re.MULTILINE)
    known = _fields(head)
    outputs = int(known["num_tree_per_iteration"])
    words = known.get("objective", "regression").split()
    links = {"binary": "logistic", "multiclass": "softmax", "regression": "none", "regression_l1": "none",
             "huber": "none", "fair": "none", "quantile": "none", "lambdarank": "none"}  # fmt: skip
    if words[0] not in links or "sqrt" in words:
        raise ModelForeign(f"LightGBM objective {' '.join(words)!r}")
    steep = next((float(word.split(":")[1]) for word in words if word.startswith("sigmoid:")), 1.0)
    # A random forest averages; the division belongs into the leaves.
    share = steep / (max(len(blocks) // outputs, 1) if re.search(r"^average_output$", head, re.MULTILINE) else 1)
    trees = [_lightgbm_tree(_fields(block), number % outputs, share) for number, block in enumerate(blocks)]
    base = [0.0] * outputs
    return _spec(int(known["max_feature_idx"]) + 1, outputs, links[words[0]], base, trees, singles=False)


def _lightgbm_tree(row: Mapping[str, str], output: int, share: float) -> Spec:
    if int(row.get("num_cat", "0")) or int(row.get("is_linear", "0")):
        raise ModelForeign("a LightGBM tree with categories or linear leaves")
    leaves = [float(value) * share if share != 1.0 else float(value) for value in row["leaf_value"].split()]
    inner = len(leaves) - 1
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    if inner:
        names = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
        for feature, threshold, kind, left, right in zip(*(row[name].split() for name in names), strict=True):
            bits = int(kind)
            if bits & 1 or (bits >> 2) & 3 == 1:
                raise ModelForeign("a LightGBM split on categories, or one that takes 0 for missing")
            # Where nothing was missing in training LightGBM reads NaN as 0.
            learned = not bits & 2 if (bits >> 2) & 3 == 2 else float(threshold) < 0.0
            # A negative child is a leaf: ~number. Leaves follow the inner nodes here.
            children = [inner + ~int(child) if int(child) < 0 else int(child) for child in (left, right)]
            for name, value in zip(
                COLUMNS, (int(feature), float(threshold), *children, int(learned), 0.0), strict=True
            ):
                columns[name].append(value)
    for value in leaves:
        for name, one in zip(COLUMNS, (-1, 0.0, 0, 0, 0, value), strict=True):
            columns[name].append(one)
    return columns | {"output": output}


# ----------------------------------------------------------------------------------------------------------- XGBoost
def xgboost(row: Mapping[str, Any]) -> Spec:
    """What Booster.save_model writes into a .json."""
    learner = row["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    links = {"binary:logistic": "logistic", "multi:softprob": "softmax", "multi:softmax": "softmax",
             "reg:squarederror": "none", "binary:logitraw": "none", "reg:absoluteerror": "none"}  # fmt: skip
    if booster["name"] != "gbtree" or objective not in links:
        raise ModelForeign(f"XGBoost {booster['name']} with {objective}")
    param = learner["learner_model_param"]
    outputs = max(int(param["num_class"]), 1)
    base = [float(value) for value in str(param["base_score"]).strip("[]").split(",")]
    if objective == "binary:logistic":
        # Stored as a chance; the sum of trees begins with its logit.
        base = [float(np.float32(math.log(value / (1.0 - value)))) for value in base]
    model = booster["model"]
    trees = [_xgboost_tree(tree, at) for tree, at in zip(model["trees"], model["tree_info"], strict=True)]
    base = base * outputs if len(base) == 1 else base
    return _spec(int(param["num_feature"]), outputs, links[objective], base, trees, singles=True)


def _xgboost_tree(tree: Mapping[str, Any], output: int) -> Spec:
    if any(tree.get("split_type", [])) or int(tree.get("tree_param", {}).get("size_leaf_vector", "1")) > 1:
        raise ModelForeign("an XGBoost tree with categories or with vectors in its leaves")
    leaf = [child < 0 for child in tree["left_children"]]
    # The value of a leaf stands where the condition of a split does.
    told = [float(np.float32(value)) for value in tree["split_conditions"]]
    return {
        "output": output,
        "feature": [-1 if ends else int(at) for ends, at in zip(leaf, tree["split_indices"], strict=True)],
        "threshold": [0.0 if ends else math.nextafter(t, -math.inf) for ends, t in zip(leaf, told, strict=True)],
        "left": [max(at, 0) for at in tree["left_children"]],
        "right": [max(at, 0) for at in tree["right_children"]],
        "missing_right": [0 if ends else 1 - int(d) for ends, d in zip(leaf, tree["default_left"], strict=True)],
        "value": [value if ends else 0.0 for ends, value in zip(leaf, told, strict=True)],
    }


# ------------------------------------------------------------------------------------------------------ scikit-learn
def sklearn(estimator: Any) -> Spec:
    """A fitted linear model, tree, random forest or gradient boosting, alone or behind a StandardScaler."""
    if hasattr(estimator, "steps"):
        (_, scaler), (_, last) = estimator.steps
        spec = sklearn(last)
        if not hasattr(scaler, "scale_") or spec["kind"] != "dense":
            raise ModelForeign(f"a pipeline of {type(scaler).__name__} and {type(last).__name__}")
        return spec | {"centre": scaler.mean_.tolist(), "factor": (1.0 / scaler.scale_).tolist()}
    if hasattr(estimator, "coef_"):
        return _linear(estimator)
    if hasattr(estimator, "learning_rate") and hasattr(estimator, "estimators_"):
        return _boosted(estimator)
    trees = [estimator] if hasattr(estimator, "tree_") else list(getattr(estimator, "estimators_", ()))
    if not trees or not all(hasattr(tree, "tree_") for tree in trees):
        raise ModelForeign(f"scikit-learn's {type(estimator).__name__}")
    outputs = trees[0].tree_.value.shape[2]
    made = [_sklearn_tree(tree.tree_, at, 1.0 / len(trees)) for tree in trees for at in range(outputs)]
    return _spec(estimator.n_features_in_, outputs, "none", [0.0] * outputs, made, singles=True)


def _linear(estimator: Any) -> Spec:
    weights = np.atleast_2d(estimator.coef_)
    classes = hasattr(estimator, "classes_")
    link = "none" if not classes else "logistic" if len(weights) == 1 else "softmax"
    if len(weights) > 1 and classes and type(estimator).__name__ != "LogisticRegression":
        raise ModelForeign(f"classes of {type(estimator).__name__}")
    layer = {"weights": weights.tolist(), "bias": np.broadcast_to(estimator.intercept_, len(weights)).tolist()}
    count = weights.shape[1]
    return {"kind": "dense", "inputs": count, "outputs": len(weights), "link": link, "layers": [layer],
            "centre": [0.0] * count, "factor": [1.0] * count}  # fmt: skip


def _boosted(estimator: Any) -> Spec:
    rows = np.asarray(estimator.estimators_)
    if rows.ndim != 2 or estimator.init is not None:
        raise ModelForeign(f"scikit-learn's {type(estimator).__name__} with a start of its own")
    outputs = rows.shape[1]
    if hasattr(estimator, "classes_"):
        if estimator.loss != "log_loss":
            raise ModelForeign(f"loss {estimator.loss}")
        prior = estimator.init_.class_prior_
        link = "logistic" if outputs == 1 else "softmax"
        base = [math.log(prior[1] / prior[0])] if outputs == 1 else (np.log(prior) - np.log(prior).mean()).tolist()
    else:
        link, base = "none", [float(np.ravel(estimator.init_.constant_)[0])]
    made = [_sklearn_tree(tree.tree_, at, estimator.learning_rate, 0) for row in rows for at, tree in enumerate(row)]
    return _spec(estimator.n_features_in_, outputs, link, base, made, singles=True)


def _sklearn_tree(tree: Any, output: int, share: float, column: int | None = None) -> Spec:
    leaf = tree.children_left < 0
    missing_left = getattr(tree, "missing_go_to_left", np.zeros(len(leaf), dtype=bool))
    value = tree.value[:, 0, output if column is None else column] * share
    return {
        "output": output,
        "feature": np.where(leaf, -1, tree.feature).tolist(),
        "threshold": np.where(leaf, 0.0, tree.threshold).tolist(),
        "left": np.where(leaf, 0, tree.children_left).tolist(),
        "right": np.where(leaf, 0, tree.children_right).tolist(),
        "missing_right": np.where(leaf, 0, 1 - np.asarray(missing_left, dtype=int)).tolist(),
        "value": np.where(leaf, value, 0.0).tolist(),
    }
