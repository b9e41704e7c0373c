"""Compiles the kernels. Everything else about the package stands in pyproject.toml.

BOT4_PROFILE chooses how:

release   what users run: -O3, no checks. The default.
debug     -Og with every Cython check back on and `debug_assert` alive.
sanitize  debug under AddressSanitizer and UndefinedBehaviorSanitizer.
thread    release code under ThreadSanitizer.
coverage  release code unoptimised and counted by gcov: lines and branches, also where no interpreter lock is held,
          which Python's own tracer cannot see. `.ci/coverage.py` carries the counts back to the .pyx and .pxd lines.

BOT4_DRAFT=1 leaves the optimiser out of the release profile: for the test that asks what is in a wheel, not how fast.
BOT4_CYTHON_CACHE names a folder that keeps each profile's translations by what went into them: the test that builds a
wheel translates nothing that the checkout had. Unset, nothing is kept.
BOT4_CYTHONIZE_ONLY=1 translates every kernel anew into build/c-lint and stops before the C compiler: `make lint`.

No profile is tuned to the machine that builds it: a wheel must run on every machine of its architecture. Kernels
that gain from wider instructions carry several versions and choose at run time (`engine._core.isa`).
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

PROFILES = ("release", "debug", "sanitize", "thread", "coverage")
PROFILE = os.environ.get("BOT4_PROFILE", "release")
if PROFILE not in PROFILES:
    raise SystemExit(f"BOT4_PROFILE={PROFILE!r} is not one of {', '.join(PROFILES)}")

RELEASE_LIKE = PROFILE in ("release", "thread", "coverage")
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": not RELEASE_LIKE,
    "wraparound": not RELEASE_LIKE,
    "nonecheck": not RELEASE_LIKE,
    "initializedcheck": not RELEASE_LIKE,
    "overflowcheck": False,
    "cdivision": True,
    "embedsignature": False,
    "warn.undeclared": False,
}

# -fno-math-errno and -ffp-contract=off: the first lets sqrt be one instruction, the second keeps a*b+c rounded
# twice on every machine, so that a replay is bit-exact whether or not the CPU has fused multiply-add.
# -fno-trapping-math: nobody reads the floating-point exception flags, so a comparison may become a vector one.
COMPILE = [
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fno-strict-overflow",
    "-Wno-unused-function",
    # A function with an eight-wide vector in its signature is always inlined, so its ABI never matters.
    "-Wno-psabi",
]
LINK: list[str] = []
COMPILE += [f'-DBOT4_PROFILE="{PROFILE}"']
if PROFILE == "coverage":
    # Without optimisation every branch of the source is one branch of the machine; counters are shared by threads.
    COMPILE += ["-O0", "-DNDEBUG", "--coverage", "-fprofile-update=atomic", "-DBOT4_SWAPS_FAIL=1"]
    LINK += ["--coverage"]
elif RELEASE_LIKE:
    COMPILE += ["-O0" if os.environ.get("BOT4_DRAFT") else "-O3", "-DNDEBUG"]
else:
    COMPILE += ["-Og" if PROFILE == "debug" else "-O1", "-fno-omit-frame-pointer", "-DBOT4_DEBUG=1"]
# Which line an instruction came from is what a trace and a profiler need. Where each variable lives, which Python's own
# flags ask for, is a quarter of the compiler's time and four fifths of the file.
COMPILE += ["-g1"]
if PROFILE == "sanitize":
    COMPILE += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    LINK += ["-fsanitize=address,undefined"]
if PROFILE == "thread":
    COMPILE += ["-fsanitize=thread"]
    LINK += ["-fsanitize=thread"]
if platform.machine() == "aarch64":
    # Large System Extensions atomics where the CPU has them, exclusives where not, chosen once at load.
    COMPILE += ["-moutline-atomics"]

# What Cython adds to every module that takes a memoryview, two thirds of its C, stands in one module for all of them.
# Not for those that only make arrays of their structs: what it declares for them, shared, lacks a type.
SHARED = "engine._core._shared"


def shares(source: Path) -> bool:
    return "[::" in source.read_text()


def extension(name: str, source: Path) -> Extension:
    return Extension(name, [str(source)], extra_compile_args=COMPILE, extra_link_args=LINK)


def kernel(source: Path) -> Extension:
    return extension(".".join(source.with_suffix("").parts), source)


def sources() -> list[Path]:
    if os.environ.get("BOT4_ALREADY_BUILT"):
        # The Makefile compiles in place and then only registers the package: an editable install would compile it all
        # a second time, in a folder of its own.
        return []
    found = sorted(Path("engine").rglob("*.pyx"))
    if os.environ.get("BOT4_BENCH"):
        # The in-kernel timing loops: compiled beside the benches, never shipped.
        found += sorted(Path("bench").rglob("*.pyx"))
    return found


TRANSLATE_ONLY = bool(os.environ.get("BOT4_CYTHONIZE_ONLY"))
KEPT = os.environ.get("BOT4_CYTHON_CACHE")


def translated(wanted: list[Extension], shared: str | None = None) -> list[Extension]:
    made: list[Extension] = cythonize(
        wanted,
        compiler_directives=DIRECTIVES,
        build_dir="build/c-lint" if TRANSLATE_ONLY else f"build/c-{PROFILE}",
        force=TRANSLATE_ONLY,
        # What is only translated is translated for what Cython says about it: a kept one says nothing.
        # A folder per profile: two builds that fill one at the same time would take each other's unfinished files.
        cache=str(Path(KEPT, PROFILE)) if KEPT and not TRANSLATE_ONLY else False,
        nthreads=os.cpu_count() or 1,
        shared_utility_qualified_name=shared,
        show_all_warnings=False,
    )
    return made


extensions: list[Extension] = []
if found := sources():
    whole = extension(SHARED, Path(*SHARED.split(".")).with_suffix(".c"))
    extensions = translated([kernel(source) for source in found if not shares(source)])
    extensions += translated([whole, *(kernel(source) for source in found if shares(source))], SHARED)
if TRANSLATE_ONLY:
    raise SystemExit(0)
# The longest first: none of them is left alone at the end, with the other cores idle.
extensions.sort(key=lambda made: -Path(made.sources[0]).stat().st_size)
setup(
    ext_modules=extensions,
    # The settings that ship stand in config/ of a checkout, where users look for them, and in engine/config/ of a
    # wheel.
    packages=[*find_packages(include=["engine*", "strategies*"]), "engine.config"],
    package_dir={"engine.config": "config"},
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
)
