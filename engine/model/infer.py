"""Twin of inference: a spec kept as it is, every answer from its definition, operation by operation as the kernel's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.model import stable

Floats = npt.NDArray[np.float64]
INPUTS_MAX, OUTPUTS_MAX, LAYERS_MAX, WIDTH_MAX, TREES_MAX = 256, 8, 4, 256, 4096


def _finite(what: str, values: Sequence[float], count: int) -> list[float]:
    numbers = [float(x) for x in values]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{what}: {count} finite numbers are needed")
    return numbers


def _dot(weights: Sequence[float], x: Sequence[float]) -> float:
    """Eight partial sums: value j belongs to sum j mod 8."""
    s = [0.0] * 8
    for j, (w, value) in enumerate(zip(weights, x, strict=True)):
        s[j % 8] += w * value
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))


def _byte(v: float) -> int:
    return round(min(max(v, -128.0), 127.0)) if not math.isnan(v) else -128


class Model:
    def __init__(self, spec: Mapping[str, Any], *, isa: str | None = None) -> None:
        self.isa = isa
        self.kind, self.link = spec["kind"], spec["link"]
        self.inputs, self.outputs = spec["inputs"], spec["outputs"]
        if self.kind not in ("dense", "trees") or self.link not in ("none", "logistic", "softmax"):
            raise ValueError(f"kind {self.kind!r}, link {self.link!r}")
        if not 1 <= self.inputs <= INPUTS_MAX or not 1 <= self.outputs <= OUTPUTS_MAX:
            raise ValueError(f"{self.inputs} inputs, {self.outputs} outputs")
        if self.kind == "dense":
            self.centre = _finite("centre", spec.get("centre", [0.0] * self.inputs), self.inputs)
            self.factor = _finite("factor", spec.get("factor", [1.0] * self.inputs), self.inputs)
            self.layers = list(spec["layers"])
            self._check_layers()
        else:
            self.base = _finite("base", spec["base"], self.outputs)
            self.singles = bool(spec.get("singles", False))
            self.forest = list(spec["trees"])
            self._check_forest()

    def _check_layers(self) -> None:
        if not 1 <= len(self.layers) <= LAYERS_MAX:
            raise ValueError(f"{len(self.layers)} layers")
        before = self.inputs
        for layer in self.layers:
            rows = layer["weights"]
            if not 1 <= len(rows) <= WIDTH_MAX:
                raise ValueError(f"rows of {before} finite weights are needed")
            for row in rows:
                _finite(f"rows of {before} finite weights", row, before)
            _finite("bias", layer["bias"], len(rows))
            if layer.get("step") is not None:
                _finite("row_step", layer["row_step"], len(rows))
                whole = all(float(w).is_integer() and abs(w) <= 127 for row in rows for w in row)
                if not whole or not 1e-300 < layer["step"] < 1e300:
                    raise ValueError("int8 weights are whole numbers up to 127, with a step of their inputs above 0")
            before = len(rows)
        if before != self.outputs:
            raise ValueError(f"the last layer has {before} outputs, the model {self.outputs}")

    def _check_forest(self) -> None:
        if not 1 <= len(self.forest) <= TREES_MAX:
            raise ValueError(f"{len(self.forest)} trees")
        for number, tree in enumerate(self.forest):
            if not 0 <= tree["output"] < self.outputs:
                raise ValueError(f"tree {number}: output {tree['output']}")
            seen = self._reach(number, tree, 0)
            if len(seen) != len(set(seen)) or len(seen) != len(tree["feature"]):
                raise ValueError(f"tree {number}: a node without a parent, or with two")

    def _reach(self, number: int, tree: Mapping[str, Any], at: int) -> list[int]:
        """Every node below one, itself first."""
        if not 0 <= at < len(tree["feature"]):
            raise ValueError(f"tree {number}: node {at} is not there")
        if tree["feature"][at] < 0:
            if not math.isfinite(tree["value"][at]):
                raise ValueError(f"tree {number}: leaf {at} has no finite value")
            return [at]
        left, right = tree["left"][at], tree["right"][at]
        if tree["feature"][at] >= self.inputs or not math.isfinite(tree["threshold"][at]) or min(left, right) <= at:
            raise ValueError(f"tree {number}: node {at} splits into {left} and {right}")
        return [at, *self._reach(number, tree, left), *self._reach(number, tree, right)]

    def run(self, x: Floats) -> Floats:
        row = [float(value) for value in x]
        if len(row) != self.inputs:
            raise ValueError(f"{len(row)} inputs for {self.inputs}")
        if self.kind == "dense":
            if any(map(math.isnan, row)):
                return np.full(self.outputs, math.nan)
            out = self._dense(row)
        else:
            out = self._sum_of_trees(row)
        if self.link == "logistic":
            out = [stable.logistic(value) for value in out]
        elif self.link == "softmax":
            out = [float(value) for value in stable.softmax(out)]
        return np.array([value if math.isfinite(value) else math.nan for value in out])

    def run_many(self, rows: Floats) -> Floats:
        return np.array([self.run(row) for row in rows]).reshape(len(rows), self.outputs)

    def _dense(self, x: list[float]) -> list[float]:
        here = [(value - c) * f for value, c, f in zip(x, self.centre, self.factor, strict=True)]
        for number, layer in enumerate(self.layers):
            if layer.get("step") is None:
                out = [_dot(row, here) + b for row, b in zip(layer["weights"], layer["bias"], strict=True)]
            else:
                # The kernel multiplies by what it divided once.
                per_step = 1.0 / layer["step"]
                narrow = [_byte(value * per_step) for value in here]
                out = [
                    float(sum(int(w) * q for w, q in zip(row, narrow, strict=True))) * (step * layer["step"]) + b
                    for row, step, b in zip(layer["weights"], layer["row_step"], layer["bias"], strict=True)
                ]
            last = number + 1 == len(self.layers)
            here = out if last else [value if value > 0.0 else 0.0 for value in out]
        return here

    def _sum_of_trees(self, x: list[float]) -> list[float]:
        with np.errstate(over="ignore"):
            row = [float(np.float32(value)) for value in x] if self.singles else x
        out = list(self.base)
        for tree in self.forest:
            at = 0
            while tree["feature"][at] >= 0:
                value, split = row[tree["feature"][at]], tree["threshold"][at]
                right = tree["missing_right"][at] if math.isnan(value) else value > split
                at = tree["right"][at] if right else tree["left"][at]
            out[tree["output"]] += tree["value"][at]
        return out

    def check(self) -> None:
        if self.kind == "dense":
            self._check_layers()
        else:
            self._check_forest()
