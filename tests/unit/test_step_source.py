"""What the step's source may and may not hold, and what its path allocates: nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.support.malloc_count import needs_own_allocator, run_counted

CORE = Path(__file__).resolve().parents[2] / "engine" / "_core"
STEP = sorted(CORE.glob("step*.pyx"))
STEPS = (int(os.environ.get("BOT4_STRESS", "0")) * 10_000_000) or 300_000


def text(path: Path) -> str:
    """The code without comments and docstrings."""
    return re.sub(r'""".*?"""|#[^\n]*', "", path.read_text(), flags=re.DOTALL)


def test_the_step_is_split_along_its_nouns():
    assert len(STEP) == 15


@pytest.mark.parametrize("path", sorted(CORE.glob("*.pyx")), ids=lambda p: p.stem)
def test_only_the_gate_makes_a_token(path):
    made = re.findall(r"\bgate_token\(", text(path))
    assert not made or path.stem == "risk"


@pytest.mark.parametrize("path", STEP, ids=lambda p: p.stem)
def test_a_token_on_an_intent_is_the_verdicts_or_none(path):
    given = re.findall(r"KIND_INTENT_(?:PLACE|AMEND)[^\n]*\n?[^\n]*", text(path))
    if path.stem != "step_orders":
        assert not [g for g in given if "_intent(" in g]
        return
    assert len([g for g in given if "_intent(" in g or "token" in g]) == 3
    assert all("token" in g for g in given if "_intent(" in g)


@pytest.mark.parametrize("path", STEP, ids=lambda p: p.stem)
def test_no_float_decides_and_nothing_is_allocated_or_asked_of_the_machine(path):
    code = text(path)
    # `double` stands only in the features' signature, which fills a view; claims of a signal are passed on as they are.
    assert not re.search(r"<double>|cdef double|\bfloat\b", code)
    assert not re.search(
        r"\b(malloc|calloc|realloc|free)\(|clock_(?:cycles|gettime|now)\w*\(|monotonic_ns|\brand\w*\(|\btime\(", code
    )


@pytest.mark.parametrize("path", [p for p in STEP if p.stem != "step"], ids=lambda p: p.stem)
def test_everything_below_the_dispatch_is_noexcept_nogil(path):
    heads = re.findall(r"^cdef (?:inline )?[\w* ]+ \*?\w+\((?:[^()]|\([^()]*\))*\)([^:\n]*):", text(path), re.MULTILINE)
    assert heads
    assert all("noexcept nogil" in head for head in heads)


def test_discipline_stands_before_the_gate_on_every_way_of_a_wish():
    code = text(CORE / "step_wishes.pyx")
    body = code[code.index("cdef int64_t _place(") : code.index("cdef bint _amends(")]
    assert body.index("_passes_own_limits(") < body.index(" disciplined(") < body.index("place(core, cause, &p)")
    assert body.index(" disciplined(") < body.index("_bracketed(")
    start = code[code.index("cdef int64_t _start(") : code.index("cdef bint _amends(")]
    assert start.index("_passes_own_limits(") < start.index(" disciplined(") < start.index("start_algo(")
    grant = code[code.index("cdef int64_t grant(") : code.index("cdef void take_back_all(")]
    assert grant.index(" disciplined(") < grant.index("amend(")
    # Nobody else places for a strategy; what closes by force is the engine's own and protective.
    assert len(re.findall(r"\bplace\(core", code)) == 1
    forced = text(CORE / "step_discipline.pyx")
    assert len(re.findall(r"\bplace\(core", forced)) == 1
    assert "p.symbol, p.strategy, p.tag, p.lane = symbol, STRATEGY_NONE, TAG_PLAN, LANE_PROTECTIVE" in forced
    assert not [path.stem for path in STEP if "place(core" in text(path) and path.stem in {"step_size", "step_routes"}]


@needs_own_allocator
def test_a_step_allocates_nothing(tmp_path):
    counted = run_counted(
        f"""
import numpy as np
from pathlib import Path
from bench.bench_step import FULL, _core, _quotes
from bench.loops import loop_step
from engine.strategy.cache import Cache
core = _core(Cache(Path({str(tmp_path / "cache")!r})), **FULL)
quotes = _quotes()
quotes["word"][:, 0] += np.arange(len(quotes)) % 7
quotes["word"][:, 2] += np.arange(len(quotes)) % 7
loop_step.steps(core, quotes, 1000)
result["steps"] = {STEPS}
result["calls"] = calls(loop_step.steps, core, quotes, {STEPS})
result["intents"] = core.world.counts["intents"]
""",
        tmp_path,
    )
    # The handful that Python itself makes for one call, whatever the number of steps.
    assert counted["calls"] < 20
    assert counted["intents"] > 3
