"""The instruction set is what the CPU says, lowered on request and never raised."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from engine._core import isa

LEVELS = ["baseline", "v2", "v3", "v4"]
# What the kernel lists for each psABI level of x86-64.
FLAGS = {
    "v2": {"sse4_2", "ssse3", "popcnt"},
    "v3": {"avx2", "bmi1", "bmi2", "fma"},
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
READ = "from engine._core import isa; print(isa.level(), isa.offered())"


def _child(level: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", READ], env=os.environ | {"BOT4_ISA": level}, capture_output=True, text=True, check=False
    )


def _by_cpuinfo() -> str:
    if platform.machine() != "x86_64":
        return "baseline"
    line = next(text for text in Path("/proc/cpuinfo").read_text().splitlines() if text.startswith("flags"))
    have, level = set(line.split(":")[1].split()), "baseline"
    for name in LEVELS[1:]:
        if not have >= FLAGS[name]:
            break
        level = name
    return level


def test_the_offered_level_is_the_one_the_kernel_lists():
    assert isa.offered() == _by_cpuinfo()


def test_the_architecture_is_the_machines():
    expected = {"x86_64": "x86-64", "aarch64": "aarch64-neon"}.get(platform.machine(), "portable")
    assert isa.architecture() == expected


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_can_be_lowered_and_never_raised(level):
    child = _child(level)
    if LEVELS.index(level) <= LEVELS.index(isa.offered()):
        assert child.stdout.split() == [level, isa.offered()]
    else:
        assert child.returncode != 0
        assert "this CPU offers" in child.stderr


@pytest.mark.parametrize("level", ["v5", "AVX2", "0"])
def test_an_unknown_level_is_refused_with_the_known_ones(level):
    child = _child(level)
    assert child.returncode != 0
    assert "one of baseline, v2, v3, v4" in child.stderr


def test_an_empty_override_is_none():
    assert _child("").stdout.split() == [isa.offered(), isa.offered()]


def test_the_build_is_the_profile_that_was_asked_for():
    assert isa.profile() == os.environ.get("BOT4_PROFILE", "release")
