"""Collects the figures of a bench run and holds them against bench/budgets.toml.

A bench calls `report.row(id, samples_ns, ...)` with its own samples and, where there is one, the peer's, measured in
the same run. At the end the table is printed, written as JSON if asked (BOT4_BENCH_JSON), and the run fails when a
figure is past its floor. In smoke mode (BOT4_BENCH_SMOKE) sizes are small: it proves that every bench still runs
and gives right results, and judges no speed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine._core import isa

SMOKE = os.environ.get("BOT4_BENCH_SMOKE", "") not in ("", "0")
BUDGETS = Path(__file__).with_name("budgets.toml")


def sized(full: int, smoke: int) -> int:
    """The size of a bench: whole, or small in smoke mode."""
    return smoke if SMOKE else full


def samples_array(full: int = 200_000, smoke: int = 200) -> npt.NDArray[np.float64]:
    return np.zeros(sized(full, smoke))


def time_calls(call: Callable[[], object], *, calls: int, rounds: int = 7) -> npt.NDArray[np.float64]:
    """Nanoseconds per call of a Python callable, one sample a round of `calls`."""
    calls, rounds = sized(calls, 3), sized(rounds, 2)
    samples = np.zeros(rounds)
    loop = range(calls)
    for i in range(rounds):
        start = time.perf_counter_ns()
        for _ in loop:
            call()
        samples[i] = (time.perf_counter_ns() - start) / calls
    return samples


def heavy_peer(package: str, measure: str, *args: Any) -> dict[str, Any]:
    """What `Report.row` wants of a peer that only `make bench` installs; nothing where it is missing."""
    if importlib.util.find_spec(package) is None:
        return {}
    bench = importlib.import_module(f"bench.peer_{package.removesuffix('_trader')}")
    samples, _ = getattr(bench, measure)(*args)
    return {"peer": f"{package} {importlib.metadata.version(package)}", "peer_samples": samples}


@dataclass
class Row:
    id: str
    unit: str
    title: str
    p50: float
    p99: float
    p999: float
    batch: int
    count: int
    python_p50: float | None
    peer: str | None
    peer_p50: float | None
    floor: float | None
    goal: float | None
    ratio_goal: float | None
    higher_is_better: bool
    checksum: str
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer."""
        if self.peer_p50 is None or not self.p50:
            return None
        return self.p50 / self.peer_p50 if self.higher_is_better else self.peer_p50 / self.p50

    def _meets(self, limit: float | None) -> bool | None:
        if limit is None:
            return None
        return self.p50 >= limit if self.higher_is_better else self.p50 <= limit

    @property
    def floor_ok(self) -> bool | None:
        return self._meets(self.floor)

    @property
    def goal_ok(self) -> bool | None:
        ok = self._meets(self.goal)
        if self.ratio_goal is None or self.ratio is None:
            return ok
        # Both count: a fast figure behind its peer is short, and so is a slow one ahead of it.
        return self.ratio >= self.ratio_goal and ok is not False

    def as_json(self) -> dict[str, Any]:
        names = "id unit title p50 p99 p999 batch count python_p50 peer peer_p50 ratio ratio_goal floor goal"
        out = {name: getattr(self, name) for name in names.split()}
        return out | {
            "floor_ok": self.floor_ok,
            "goal_ok": self.goal_ok,
            "checksum": self.checksum,
            "note": self.note,
        }


@dataclass
class Report:
    rows: list[Row] = field(default_factory=list)
    budgets: dict[str, dict[str, Any]] = field(default_factory=lambda: tomllib.loads(BUDGETS.read_text()))
    # Of a row that is a path: whose, and the median of each of its stages in the row's unit.
    stages_of: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def row(
        self,
        id: str,  # noqa: A002  (the name that the table and the JSON use)
        samples: npt.ArrayLike,
        *,
        checksum: object,
        batch: int = 1,
        python: npt.ArrayLike | None = None,
        peer: str | None = None,
        peer_samples: npt.ArrayLike | None = None,
        goal: float | None = None,
        note: str = "",
    ) -> Row:
        """Add one figure. `checksum` is what the bench computed: a run whose result changed shows it. `goal` is one
        that depends on the machine's own limit, measured in the same run."""
        budget = self.budgets[id]
        if any(row.id == id for row in self.rows):
            raise ValueError(f"{id}: measured twice in one run")
        values = np.sort(np.asarray(samples, dtype=np.float64).ravel())
        if not values.size or not math.isfinite(float(values.sum())):
            raise ValueError(f"{id}: no finite samples")
        higher = budget.get("better") == "higher"
        # For a throughput the bad tail is the low one.
        tail = 100 - np.array([50, 99, 99.9]) if higher else np.array([50, 99, 99.9])
        p50, p99, p999 = (float(x) for x in np.percentile(values, tail))
        row = Row(
            id=id,
            unit=budget["unit"],
            title=budget["title"],
            p50=p50,
            p99=p99,
            p999=p999,
            batch=batch,
            count=int(values.size) * batch,
            python_p50=None if python is None else float(np.median(np.asarray(python, dtype=np.float64))),
            peer=peer,
            peer_p50=None if peer_samples is None else float(np.median(np.asarray(peer_samples, dtype=np.float64))),
            floor=budget.get("floor"),
            goal=budget.get("goal") if goal is None else goal,
            ratio_goal=budget.get("ratio_goal"),
            higher_is_better=higher,
            checksum=str(checksum),
            note=note,
        )
        self.rows.append(row)
        return row

    def stages(self, id: str, whose: str, medians: dict[str, float]) -> None:  # noqa: A002  (as in `row`)
        """The stages of one row, in their order; of a peer too, as far as it has the same ones."""
        self.stages_of.setdefault(id, {})[whose] = medians

    # ------------------------------------------------------------------------------------------------ the output
    def table(self) -> str:
        head = ("id", "p50", "p99", "p99.9", "unit", "python", "peer", "peer p50", "ratio", "floor", "goal", "verdict")
        lines = [head, *(self._cells(row) for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
        text_columns = {0, 4, 6, 11}
        out = [header_line()]
        for line in lines:
            cells = [
                c.ljust(w) if i in text_columns else c.rjust(w)
                for i, (c, w) in enumerate(zip(line, widths, strict=True))
            ]
            out.append("  ".join(cells).rstrip())
        return "\n".join(out)

    def stage_tables(self) -> str:
        """One table a path: a line for each stage, a column for each that walks it."""
        out = []
        for name, columns in self.stages_of.items():
            stages = max(columns.values(), key=len)
            lines = [
                (name, *columns),
                *((stage, *(_figure(c.get(stage)) for c in columns.values())) for stage in stages),
            ]
            lines.append(("sum", *(_figure(sum(c.values())) for c in columns.values())))
            widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
            out += [
                "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
                for line in lines
            ] + [""]
        return "\n".join(out)

    @staticmethod
    def _cells(row: Row) -> tuple[str, ...]:
        verdict = (
            "smoke" if SMOKE else "PAST FLOOR" if row.floor_ok is False else "short" if row.goal_ok is False else "ok"
        )
        return (
            row.id,
            _figure(row.p50),
            _figure(row.p99),
            _figure(row.p999),
            row.unit,
            _figure(row.python_p50),
            row.peer or "-",
            _figure(row.peer_p50),
            "-" if row.ratio is None else f"{row.ratio:.1f}x",
            _figure(row.floor),
            _figure(row.goal),
            verdict,
        )

    def write_json(self, path: Path) -> None:
        path.write_text(json.dumps([header(), *(self._as_json(row) for row in self.rows)], indent=1) + "\n")

    def _as_json(self, row: Row) -> dict[str, Any]:
        stages = self.stages_of.get(row.id)
        return row.as_json() | ({"stages": stages} if stages else {})

    def without_row(self) -> list[str]:
        """Budgeted figures that this run did not measure."""
        return sorted(set(self.budgets) - {row.id for row in self.rows})

    def past_floor(self) -> list[Row]:
        return [] if SMOKE else [row for row in self.rows if row.floor_ok is False]


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _commit() -> str:
    try:
        out = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True, cwd=BUDGETS.parent
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return out.stdout.strip()


def _governor() -> str:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else "none"


def header() -> dict[str, Any]:
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return {
        "machine": _cpu_model(),
        "cores": os.cpu_count(),
        "arch": platform.machine(),
        "kernel": platform.release(),
        "governor": _governor(),
        "compiler": compiler,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "instruction_set": f"{isa.architecture()} {isa.level()}",
        "profile": isa.profile(),
        "commit": _commit(),
        "smoke": SMOKE,
    }


def header_line() -> str:
    return " | ".join(f"{key} {value}" for key, value in header().items())


def note(text: str) -> None:
    print(text, file=sys.stderr)
