"""Each rule fails on a bad sample and lets a good one pass: a gate that cannot fail guards nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.source import rules

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("module", "text", "words"),
    [
        ("engine.model.book", "from engine.runtime.wiring import make", "lies above"),
        ("engine.net.http", "import engine.sim.market", "lies above"),
        ("engine.net.http", "from engine import venues", "lies above"),
        ("engine.sim.venue", "def f():\n    from engine.cli.main import main", "lies above"),
        ("engine._core.book", "from engine.errors import Bot4Error", "Python code of the engine"),
        ("engine.errors", "import engine.model.book", "lies above"),
        ("engine.sim.venue", "from strategies import quoter", "knows the strategies"),
        ("engine.sim.venue", "from tests.support import shared", "imports tests"),
        ("engine.sim.venue", "from . import market", "relative"),
        ("engine.gadgets.x", "import engine._core.book", "no floor"),
    ],
)
def test_an_import_that_runs_upward_is_found(module, text, words):
    assert any(words in finding for finding in rules.import_order(module, text))


@pytest.mark.parametrize(
    "text",
    [
        "from engine.errors import Bot4Error",
        "from engine.model.book cimport Book",
        "import engine.errors",
        "cimport engine.runtime.drive",
        "    from engine.errors import (\n    Bot4Error,\n)",
        "from engine cimport runtime",
    ],
)
def test_a_kernel_that_imports_python_code_is_found(text):
    assert rules.import_order("engine._core.book", text, cython=True)


def test_imports_downward_and_within_a_floor_pass():
    good = "from engine._core.book import Book\nfrom engine.journal import replay\nimport numpy as np\n"
    assert rules.import_order("engine.sim.venue", good) == []
    kernel = "from engine._core.types cimport (\n    OK, event_t,\n)\ncimport cython\nimport numpy as np\n"
    assert rules.import_order("engine._core.book", kernel, cython=True) == []
    assert rules.import_order(rules.WIRING, "from strategies import quoter\nimport engine.cli.main") == []


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    pass",
        "def f():\n    'Does it.'\n    ...",
        "async def f():\n    ...",
        "def f():\n    raise NotImplementedError",
        "def f():\n    raise NotImplementedError('later')",
        "try:\n    f()\nexcept:\n    g()",
        "try:\n    f()\nexcept Exception:\n    pass",
        "for x in y:\n    try:\n        f()\n    except BaseException:\n        continue",
        "from unittest.mock import patch",
        "from unittest import mock\nm = mock.MagicMock()",
        "x = 1  # TODO: the rest",
    ],
)
def test_a_fake_is_found(text):
    assert rules.no_fakes("x.py", text)


def test_protocols_overloads_and_stated_emptiness_are_no_fakes():
    good = (
        "class P(Protocol):\n    def f(self) -> int: ...\n"
        "@overload\ndef g(x: int) -> int: ...\n"
        "def h() -> None:\n    '''Nothing to do: a manual clock hangs on nothing.'''\n"
        "try:\n    f()\nexcept OSError:\n    pass\n"
    )
    assert rules.no_fakes("x.py", good) == []


def test_a_print_is_found():
    assert rules.no_prints("x.py", "def f():\n    print('here')")
    assert rules.no_prints("x.py", "breakpoint()")
    assert rules.no_prints("x.py", "# print(x)\nblueprint(1)\nself.print()") == []


@pytest.mark.parametrize(
    "text",
    [
        "def test_x():\n    f()",
        "def test_x():\n    assert True",
        "def test_x():\n    assert 'text'",
        "def test_x():\n    time.sleep(0.1)\n    assert x",
        "async def test_x():\n    await asyncio.sleep(1)\n    assert x",
        "@pytest.mark.skip\ndef test_x():\n    assert x",
        "@pytest.mark.xfail(reason='no')\ndef test_x():\n    assert x",
        "def test_x():\n    pytest.skip('later')\n    assert x",
    ],
)
def test_a_test_that_sleeps_is_off_or_cannot_fail_is_found(text):
    assert rules.honest_tests("test_x.py", text)


def test_honest_tests_pass():
    good = (
        "def test_a():\n    assert f() == 1\n"
        "def test_b():\n    with pytest.raises(ValueError):\n        f()\n"
        "def test_c(impl):\n    impl.Book().check()\n"
        "@pytest.mark.skipif(not BIG, reason='needs 8 GiB')\ndef test_d():\n    assert f()\n"
        "def test_e():\n    time.sleep(0)\n    assert f()\n"
    )
    assert rules.honest_tests("test_x.py", good) == []


@pytest.mark.parametrize(
    "text",
    [
        "now = time.time()",
        "now = time.perf_counter_ns()",
        "from time import monotonic",
        "now = datetime.now(UTC)",
        "x = np.datetime64('now')",
        'cdef extern from "time.h" nogil:\n    int clock_gettime(int clock, timespec* out)',
        'cdef extern from *:\n    """\n    static long f(void) { return __rdtsc(); }\n    """\n    long f()',
        "await loop.time()",
    ],
)
def test_a_reading_of_a_clock_is_found(text):
    assert rules.no_clock("x", text)


def test_prose_about_clocks_and_injected_time_pass():
    assert rules.no_clock("x", '"""Never calls time.time()."""\n# time.time() is banned\nnow = clock_now(word)\n') == []
    assert rules.no_clock("x", "ts = event.ts_recv_ns\nuptime.timer = 5\ntimetable.time_of = 1\n") == []


def test_asking_the_clock_module_is_found_where_time_must_come_in():
    assert rules.no_clock_use("x", "cdef int64_t now = clock_stamp(word)")
    assert rules.no_clock_use("x", "now = clock.utc_ns()")
    assert rules.no_clock_use("x", "now = clock_now(word)") == []


@pytest.mark.parametrize(
    "text",
    [
        "x = random.choice(y)",
        "rng = random.Random()",
        "from random import choice",
        "import secrets",
        "rng = np.random.default_rng()",
        "x = np.random.rand(3)",
        "np.random.seed(4)",
        "key = os.urandom(8)",
        "key = uuid.uuid4()",
        'cdef extern from "stdlib.h":\n    int rand()',
    ],
)
def test_chance_without_a_seed_is_found(text):
    assert rules.no_unseeded_chance("x", text)


def test_a_seeded_generator_passes_where_chance_is_allowed_and_nowhere_else():
    text = "rng = np.random.default_rng(seed)\n"
    assert rules.no_unseeded_chance("x", text) == []
    assert rules.no_chance("x", text)


@pytest.mark.parametrize(
    "text",
    [
        "cdef void f(int x) nogil:\n    pass",
        "cdef inline int f(int x) nogil:\n    return x",
        "cdef void f(int x) except * nogil:\n    pass",
        "    cdef void f(\n        self, int x,\n    ) nogil:\n        pass",
        "cdef int f(int x) except * nogil",
    ],
)
def test_a_nogil_function_that_hides_how_it_fails_is_found(text):
    assert rules.nogil_signatures("x.pyx", text)


def test_nogil_functions_that_say_how_they_fail_pass():
    good = (
        "cdef void f(int x) noexcept nogil:\n    pass\n"
        "cdef int g(int x) except -1 nogil\n"
        "cdef int64_t h(const int64_t* x, int (*call)(int)) noexcept nogil\n"
        "cdef extern from *:\n    '''\n    '''\n    int k(int x) nogil\n"
        "cdef int z = 4\ndef p(x): return x\n"
    )
    assert rules.nogil_signatures("x.pyx", good) == []


@pytest.mark.parametrize("flag", ["-march" + "=native", "-ffast" + "-math", "-O" + "fast", "fastmath" + "=True"])
def test_a_flag_that_ties_the_build_to_one_machine_or_rounds_freely_is_found(flag):
    assert rules.no_native_flags("setup.py", f"COMPILE = ['{flag}']")


def test_machine_paths_and_registries_are_found():
    assert rules.no_machine_paths("x", "path = '/" + "home/somebody/x'")
    assert rules.no_machine_paths("x", "https://example.com/" + "home/page") == []
    assert rules.no_registries("x", "--extra-" + "index-url https://example.com/simple")
    assert rules.no_registries("x", "https://files.python" + "hosted.org/packages/x")


def test_a_lock_file_without_hash_or_with_a_range_is_found():
    good = "numpy==2.2.6 \\\n    --hash=sha256:abc\n    # via numba\nmsgspec==0.19 \\\n    --hash=sha256:d\n"
    assert rules.lock_is_whole("x", good) == []
    assert rules.lock_is_whole("x", "numpy==2.2.6\nmsgspec==0.19 \\\n    --hash=sha256:d\n")
    assert rules.lock_is_whole("x", "numpy>=2 \\\n    --hash=sha256:d\n")


def test_what_cython_says_is_found_in_its_output():
    spec = importlib.util.spec_from_file_location("cython_hints", ROOT / ".ci" / "cython_hints.py")
    assert spec is not None
    assert spec.loader is not None
    hints = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hints)
    said = "[1/2] Cythonizing x.pyx\nperformance hint: x.pyx:3:5: Exception check on 'f' will always require the GIL\n"
    assert hints.complaints(said + "warning: y.pyx:1:0: Unused\n") == [
        said.splitlines()[1],
        "warning: y.pyx:1:0: Unused",
    ]
    assert hints.complaints("[1/2] Cythonizing x.pyx\n") == []
