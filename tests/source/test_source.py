"""The rules held against every file of the project."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from tests.source import rules
from tests.source.files import ROOT, module_name, read, sources, texts

PYTHON = sources("engine", ".py") + sources("strategies", ".py")
CYTHON = sources("engine", ".pyx", ".pxd")
TESTS = [
    path for path in sources("tests", ".py") + sources("bench", ".py") if path.name.startswith(("test_", "bench_"))
]
# The samples of the rules' own tests are bad on purpose.
SAMPLES = {Path("tests/source/test_rules.py"), Path("tests/source/rules.py")}
CLOCK = {Path("engine/_core/clock.pyx"), Path("engine/_core/clock.pxd")}
# Imports nothing of the engine: it has to run when the engine's environment is broken, so it has clocks of its own.
ALONE = {Path("engine/safety/courier.py")}
# What is replayed is told the time; the others may ask the clock module, and nobody reads the machine's clock.
TOLD_THE_TIME = {"_core", "model", "sim", "strategy", "journal", "settings"}
# Kernels beside the core, that are not replayed, and why they ask the clock module.
ASK_THE_CLOCK = {
    Path("engine/_core/breaker.pyx"): "its Python face stamps its own word for calls outside the core",
    Path("engine/_core/latch.pyx"): "a trip from any thread, without the core, is dated in the latch file",
    Path("engine/strategy/meter.pyx"): "measures a strategy from outside the core; what it finds enters as an event",
}


def _hold(findings: list[str]) -> None:
    assert not findings, "\n" + "\n".join(findings)


def _all(rule, paths) -> list[str]:
    return [finding for path in paths for finding in rule(str(path), read(path))]


def test_the_rules_see_the_whole_project():
    assert len(PYTHON) >= 8
    assert len(CYTHON) >= 10
    assert len(TESTS) >= 4


def test_imports_point_downward():
    _hold([f for path in PYTHON for f in rules.import_order(module_name(path), read(path))])


def test_kernels_import_kernels_only():
    _hold([f for path in CYTHON for f in rules.import_order(module_name(path), read(path), cython=True)])


def test_the_engine_holds_no_fakes():
    _hold(_all(rules.no_fakes, PYTHON))


def test_tests_and_benches_hold_no_fakes():
    found = _all(rules.no_fakes, [p for p in sources("tests", ".py") + sources("bench", ".py") if p not in SAMPLES])
    # An empty function is what a bench measures a call by.
    _hold([f for f in found if not (f.startswith("bench/") and f.endswith("has no body"))])


def test_kernels_are_finished():
    _hold([
        f"{path}:{number}: {line.strip()}"
        for path in CYTHON
        for number, line in enumerate(read(path).splitlines(), 1)
        if re.search(r"\bNotImplementedError\b|\b(TODO|FIXME|XXX|HACK)\b|^\s*except\s*:|^\s*print\(", line)
    ])  # fmt: skip


def test_only_the_command_line_prints():
    _hold(_all(rules.no_prints, [p for p in PYTHON if p.parts[:2] != ("engine", "cli")]))


def test_tests_can_fail_are_on_and_do_not_sleep():
    _hold(_all(rules.honest_tests, [p for p in TESTS if p not in SAMPLES]))


def test_one_module_reads_a_clock():
    _hold(_all(rules.no_clock, [p for p in PYTHON + CYTHON if p not in CLOCK | ALONE]))


def test_what_runs_alone_imports_nothing_of_the_engine():
    imports = [name for path in ALONE for _, name in rules.python_imports(read(path))]
    assert imports
    assert not [name for name in imports if name.split(".")[0] == "engine"]


def test_the_clock_module_does_read_it():
    assert _all(rules.no_clock, CLOCK)


def test_what_is_replayed_is_told_the_time():
    deterministic = [p for p in PYTHON + CYTHON if p.parts[0] == "strategies" or p.parts[1] in TOLD_THE_TIME]
    _hold(_all(rules.no_clock_use, [p for p in deterministic if p not in CLOCK and p not in ASK_THE_CLOCK]))


# Draws the views that a user's strategy is compared on in its three forms: from a seed, like the simulator.
DRAWS = Path("engine/strategy/differential.py")


# Salts and nonces: what seals a file must not be what anybody can draw again.
SEALS = Path("engine/settings/seal.py")


def test_only_the_simulator_draws_random_numbers_and_from_a_seed():
    drawing = [p for p in PYTHON if p.parts[:2] == ("engine", "sim") or p == DRAWS]
    _hold(_all(rules.no_chance, [p for p in PYTHON + CYTHON if p not in drawing and p != SEALS]))
    assert _all(rules.no_chance, [SEALS])
    _hold(_all(rules.no_unseeded_chance, drawing))


def test_tests_and_benches_draw_from_a_seed():
    python = [p for p in sources("tests", ".py") + sources("bench", ".py", ".pyx") if p not in SAMPLES]
    _hold(_all(rules.no_unseeded_chance, python))


def test_every_nogil_function_says_how_it_fails():
    _hold(_all(rules.nogil_signatures, CYTHON + sources("bench", ".pyx", ".pxd")))


def test_no_build_is_tied_to_one_machine():
    suffixes = {".py", ".toml", ".pyx", ".pxd", ".sh", ".yml", ".c", ""}
    _hold(_all(rules.no_native_flags, [p for p in texts() if p.suffix in suffixes and p not in SAMPLES]))


def test_no_tracked_file_names_a_machine_or_a_registry():
    prose = [p for p in texts() if p not in SAMPLES]
    _hold(_all(rules.no_machine_paths, prose))
    # lock.sh switches the index lines off by naming their options; the workflow speaks to nobody.
    _hold(_all(rules.no_registries, [p for p in prose if p.name != "lock.sh"]))


def test_lock_files_are_exact_and_hashed():
    locks = sources("requirements", ".txt")
    assert {p.stem for p in locks} >= {"run", "build", "dev", "peers"}
    _hold(_all(rules.lock_is_whole, locks))


# ------------------------------------------------------------------------------------------- every stem has its parts
PARTS = {
    "pxd": "engine/_core/{}.pxd",
    "pyx": "engine/_core/{}.pyx",
    "pyi": "engine/_core/{}.pyi",
    "twin": "engine/model/{}.py",
    "bench": "bench/bench_{}.py",
}
# What a stem does without, and why. A reason that is no longer true fails: the list only shrinks.
WITHOUT = {
    "types": ({"twin"}, "layouts and numbers: nothing runs"),
    "memory": ({"twin", "bench"}, "taken once at start; a plain-Python arena would show nothing"),
    "isa": ({"twin"}, "asks the CPU once at import"),
    "scan": ({"bench"}, "the scanner of `parse`, measured in its benches"),
    "symbols": ({"bench"}, "the symbol table of `parse`, measured in its benches"),
    "order_table": ({"twin"}, "data alone: the table that both `orders` and its twin follow"),
    "bracket_table": ({"twin", "bench"}, "data alone: the table that `brackets` follows"),
    "strategy": ({"bench"}, "a row of the world, measured through the hook"),
    "triggers": ({"bench"}, "conditional orders, not yet on the path of an event"),
    "world": ({"twin"}, "the block itself: proven by whole sessions and their replay"),
}
FACE = re.compile(r"^(?:def |cpdef (?!enum)|cdef class )", re.MULTILINE)


def _stems() -> list[str]:
    return sorted({path.stem for path in CYTHON if path.parts[1] == "_core"})


def _text(stem: str) -> str:
    paths = [Path(PARTS[part].format(stem)) for part in ("pxd", "pyx")]
    return "\n".join(read(path) for path in paths if (ROOT / path).is_file())


def _missing_parts(stem: str) -> set[str]:
    """A stem that Python sees has all its parts. One that only C code uses is proven and measured by its users."""
    if not FACE.search(_text(stem)):
        users = [p for p in CYTHON if p.stem != stem and re.search(rf"\b_core\.{stem}\b", read(p))]
        return set() if users else {"user"}
    family = {part for part, form in PARTS.items() if part != "bench" and not _has(form, stem)}
    if not any(_names(path, stem) for path in TESTS if path.parts[0] == "tests"):
        family.add("test")
    # A stem that exists for another (`symbols` for `parse`) is measured in that one's bench.
    if not any(_names(path, stem) for path in sources("bench", ".py", ".pyx", ".pxd")):
        family.add("bench")
    return family


def _names(path: Path, stem: str) -> bool:
    return (
        re.search(rf"\b_core(?:\.| c?import (?:\w+, )*){stem}\b|^STEM = .{stem}.$", read(path), re.MULTILINE)
        is not None
    )


def _has(form: str, stem: str) -> bool:
    # A stem that grew a second noun (`parse_spot` beside `parse`) shares the twin of its first.
    names = [stem, stem.split("_", maxsplit=1)[0]] if form.startswith("engine/model") else [stem]
    return any((ROOT / form.format(name)).is_file() for name in names)


@pytest.mark.parametrize("stem", _stems())
def test_every_stem_has_all_its_parts(stem):
    excused = WITHOUT.get(stem, (set(), ""))[0]
    missing = _missing_parts(stem)
    assert missing <= excused, f"{stem} lacks {sorted(missing - excused)}"
    assert excused <= missing, f"{stem} has {sorted(excused - missing)} now: take it off the list"


def test_excuses_name_stems_that_exist():
    assert set(WITHOUT) <= set(_stems())


@pytest.mark.parametrize("stem", _stems())
def test_every_kernel_opens_with_what_it_owns(stem):
    contract = ROOT / f"engine/_core/{stem}.pxd"
    text = contract.read_text().lstrip()
    assert text.startswith('"""')
    assert len(text.split('"""')[1].split()) >= 15, "a contract says what it owns, its invariants and its cost"


@pytest.mark.parametrize("path", [p for p in CYTHON if p.suffix == ".pyx"], ids=str)
def test_every_kernel_is_compiled_and_can_be_imported(path):
    module = importlib.import_module(module_name(path))
    assert module.__file__ is not None
    assert module.__file__.endswith(".so")


def test_the_rule_that_an_audit_record_names_is_a_page_that_ships():
    named = {rule for path in sources("engine", ".py") for rule in re.findall(r'\brule="([^"]+)"', read(path))}
    assert len(named) >= 10
    assert [rule for rule in sorted(named) if not (ROOT / "docs" / f"{rule}.md").is_file()] == []
