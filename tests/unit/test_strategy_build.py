"""Built strategies: what is accepted, what is refused, what a process that trades may and may not do."""

from __future__ import annotations

import ctypes
import json
import math
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from engine import errors
from engine._core.strategy_abi import ABI, VIEW, WISHES, new_view, new_wishes
from engine.strategy import cache as cache_module
from engine.strategy.cache import Cache, ingredients, key_of
from engine.strategy.dialect import accept, reference
from engine.strategy.library import Library
from engine.strategy.registry import find
from strategies import quoter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("strategies"))
    return cache, cache.build(quoter.decide, quoter.PARAMETERS)


def copy_of(built, tmp_path):
    """A cache of its own with the same files, to be spoiled."""
    cache, library = built
    other = Cache(tmp_path / "cache")
    other.directory.mkdir(mode=0o755)
    for path in (cache.object_path(library.key), cache.manifest_path(library.key)):
        (other.directory / path.name).write_bytes(path.read_bytes())
        (other.directory / path.name).chmod(0o644)
    return other, library.key


# ------------------------------------------------------------------------------------------------------------- sources
SOURCES = {
    "a while": "while view['symbol']: pass",
    "a list": "x = [1, 2]",
    "a comprehension": "x = sum(i for i in range(3))",
    "a dictionary": "x = {}",
    "a string": "x = 'text'",
    "an f-string": "x = f'{view}'",
    "a number beyond 64 bits": "x = 9223372036854775808",
    "try": "try:\n        pass\n    except ValueError:\n        pass",
    "with": "with view: pass",
    "assert": "assert view['symbol']",
    "import": "import os",
    "a global statement": "global SOMETHING",
    "a lambda": "x = lambda: 1",
    "a nested function": "def f(): return 1",
    "del": "del view",
    "int()": "x = int(view['symbol'])",
    "round()": "x = round(2.5)",
    "print()": "print(1)",
    "open()": "open('x')",
    "range as a value": "x = range(3)",
    "a for over something else": "for x in view['state']: pass",
    "for else": "for i in range(2):\n        pass\n    else:\n        pass",
    "a square": "x = view['symbol'] ** 2",
    "a cube": "x = view['symbol'] ** 3",
    "a computed power": "x = view['symbol'] ** view['symbol']",
    "a power in place": "x = view['symbol']\n    x **= 2",
    "a shift by 64 in place": "x = view['symbol']\n    x <<= 64",
    "a computed shift": "x = 1 << view['symbol']",
    "a shift by 64": "x = view['symbol'] << 64",
    "an attribute": "x = view.dtype",
    "a keyword argument": "x = max(1, 2, key=abs)",
    "starred arguments": "x = max(*PAIR)",
    "numpy": "x = np.sqrt(2.0)",
    "math.floor": "x = math.floor(2.5)",
    "math.gamma": "x = math.gamma(2.5)",
    "math.pow": "x = math.pow(2.5, 2.0)",
    "a module as a value": "x = math",
    "a function of another module": "x = textwrap.dedent",
    "a mutable global": "x = TABLE",
    "a mixed tuple": "x = MIXED[0]",
    "an unknown name": "x = nowhere",
    "another exception": "raise KeyError('x')",
    "a computed message": "raise ValueError(view['symbol'])",
    "is": "x = view is None",
    "in": "x = 1 in PAIR",
    "walrus": "(x := 1)",
    "recursion": "return decide(view, wishes)",
}


def module_of(tmp_path, body, name="sample"):
    source = (
        "import math\nimport textwrap\nimport numpy as np\nfrom engine.strategy.contract import OK\n"
        "PARAMETERS = ()\nTABLE = [1]\nPAIR = (1, 2)\nMIXED = (1, 2.0)\n\n\n"
        f"def decide(view, wishes):\n    {body}\n    return OK\n"
    )
    path = tmp_path / f"{name}.py"
    path.write_text(source)
    scope = {"__name__": name}
    exec(compile(source, str(path), "exec"), scope)
    return scope["decide"]


@pytest.mark.parametrize("what", SOURCES)
def test_source_that_could_differ_or_not_end_is_refused(tmp_path, what):
    decide = module_of(tmp_path, SOURCES[what])
    with pytest.raises(errors.StrategyNotAccepted) as refused:
        accept(decide)
    assert "sample" in str(refused.value)


def test_what_the_list_allows_is_accepted(tmp_path):
    body = (
        "x = -view['state'][PAIR[0]] if not view['symbol'] else abs(3)\n"
        "    for i in range(1, 10, 2):\n        if i > 5 or x < 2:\n            break\n        x += i\n"
        "    view['features'][0] = math.sqrt(float(x)) + math.pi"
    )
    uses = accept(module_of(tmp_path, body))
    assert list(uses.functions) == ["sample.decide"]
    assert uses.constants["sample.PAIR"] == (1, 2)


@pytest.mark.parametrize("value", ["a text", 5, len, reference])
def test_only_a_plain_function_of_two_arguments_is_a_strategy(value):
    with pytest.raises(errors.StrategyNotAccepted):
        accept(value)


def test_a_decorated_function_or_a_closure_is_refused():
    def closing(view, wishes):
        return SOURCES and math and closing

    with pytest.raises(errors.StrategyNotAccepted):
        accept(closing)


def test_an_allocation_is_refused_even_if_the_source_check_let_it_pass():
    # The second fence alone: numba's code of a function that keeps an array, straight into the builder.
    import numba  # noqa: PLC0415

    from engine.strategy import emit  # noqa: PLC0415

    def allocating(view, wishes):
        scratch = np.zeros(view["symbol"])
        scratch[0] = view["now_ns"]
        view["features"][0] = scratch.sum()
        return 1

    arguments = (numba.from_dtype(new_view().dtype), numba.from_dtype(new_wishes().dtype))
    function = numba.njit(no_cpython_wrapper=True)(allocating)
    function.compile(numba.types.int64(*arguments))
    result = function.overloads[arguments]
    module, _ = emit.optimise(
        emit.with_entry(result.library.get_llvm_str(), result.fndesc.llvm_func_name, "0" * 64), "x86-64"
    )
    names = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
    with pytest.raises(errors.StrategyAllocates, match="NRT_"):
        emit.refuse(names, "allocating")


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["NRT_Allocate"], errors.StrategyAllocates),
        (["PyErr_SetString"], errors.StrategyNotAccepted),
        (["_Py_Dealloc"], errors.StrategyNotAccepted),
        (["numba_gil_ensure"], errors.StrategyNotAccepted),
        (["malloc"], errors.StrategyNotAccepted),
        (["exp", "system"], errors.StrategyNotAccepted),
    ],
)
def test_a_symbol_outside_the_list_is_refused(names, error):
    from engine.strategy import emit  # noqa: PLC0415

    emit.refuse(["exp", "log", "memset"], "x")
    with pytest.raises(error):
        emit.refuse(names, "x")


def test_a_type_error_of_the_strategy_comes_back_as_a_typed_error(tmp_path, monkeypatch):
    (tmp_path / "wrong_types.py").write_text(
        "PARAMETERS = ()\n\n\ndef decide(view, wishes):\n    return view['no_such_field']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import wrong_types  # noqa: PLC0415

    with pytest.raises(errors.StrategyNotAccepted, match="wrong_types"):
        Cache(tmp_path / "cache").build(wrong_types.decide)


def test_nothing_but_the_entry_the_stamp_and_the_c_library_is_in_the_object(built):
    _, library = built
    names = subprocess.run(["nm", "-D", library.path], capture_output=True, text=True, check=True).stdout.split()
    assert {"bot4_decide", "bot4_strategy"} <= set(names)
    assert not any(name.startswith(("Py", "NRT_", "numba", "_ZN")) for name in names)


# --------------------------------------------------------------------------------------------------------------- cache
def test_a_strategy_that_was_not_built_is_a_typed_error(tmp_path):
    with pytest.raises(errors.StrategyNotBuilt):
        Cache(tmp_path).load(quoter.decide, quoter.PARAMETERS)


@pytest.mark.parametrize("at", [0, 4096, -1])
def test_a_changed_byte_of_the_object_is_refused(built, tmp_path, at):
    cache, key = copy_of(built, tmp_path)
    data = bytearray(cache.object_path(key).read_bytes())
    data[at] ^= 1
    cache.object_path(key).write_bytes(data)
    with pytest.raises(errors.StrategyCacheCorrupt):
        cache.load(quoter.decide, quoter.PARAMETERS)


def test_a_cut_or_missing_object_is_refused_and_force_mends_it(built, tmp_path):
    cache, key = copy_of(built, tmp_path)
    cache.object_path(key).write_bytes(cache.object_path(key).read_bytes()[:-1])
    with pytest.raises(errors.StrategyCacheCorrupt):
        cache.load(quoter.decide, quoter.PARAMETERS)
    cache.object_path(key).unlink()
    with pytest.raises(errors.StrategyCacheCorrupt):
        cache.load(quoter.decide, quoter.PARAMETERS)
    cache.build(quoter.decide, quoter.PARAMETERS, force=True)
    assert cache.load(quoter.decide, quoter.PARAMETERS).key == key
    assert sorted(path.suffix for path in cache.directory.iterdir()) == [".json", ".so"]


@pytest.mark.parametrize("change", [{"key": "0" * 64}, {"abi": 1}, {"sha256": "0" * 64}, {"sha256": None}])
def test_a_manifest_of_something_else_is_refused(built, tmp_path, change):
    cache, key = copy_of(built, tmp_path)
    path = cache.manifest_path(key)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(errors.StrategyCacheCorrupt):
        cache.load(quoter.decide, quoter.PARAMETERS)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_manifest_that_is_not_one_is_refused(built, tmp_path, text):
    cache, key = copy_of(built, tmp_path)
    cache.manifest_path(key).write_text(text)
    with pytest.raises(errors.StrategyCacheCorrupt):
        cache.load(quoter.decide, quoter.PARAMETERS)


@pytest.mark.parametrize("which", ["object_path", "manifest_path", "directory"])
def test_a_file_that_others_may_write_is_refused(built, tmp_path, which):
    cache, key = copy_of(built, tmp_path)
    path = cache.directory if which == "directory" else getattr(cache, which)(key)
    path.chmod(0o777)
    with pytest.raises(errors.StrategyCacheCorrupt, match="written by others"):
        cache.load(quoter.decide, quoter.PARAMETERS)


def test_an_object_under_another_key_is_refused_by_its_stamp(built):
    with pytest.raises(errors.StrategyCacheCorrupt, match="another key"):
        Library(built[1].path, "0" * 64)


def test_a_library_that_is_no_strategy_is_refused():
    from engine._core import histogram  # noqa: PLC0415

    with pytest.raises(errors.StrategyCacheCorrupt):
        Library(histogram.__file__, "0" * 64)


def test_a_file_that_is_no_library_is_refused(tmp_path):
    (tmp_path / "text.so").write_text("not one")
    with pytest.raises(errors.StrategyCacheCorrupt):
        Library(str(tmp_path / "text.so"), "0" * 64)


def test_a_stamp_without_an_entry_is_refused(tmp_path):
    key, sizes = "b" * 64, (ABI, VIEW.itemsize, WISHES.itemsize)
    stamp = ", ".join(map(str, sizes))
    source = tmp_path / "empty.c"
    source.write_text(
        "struct { unsigned long long magic; long long abi, view, wishes; char key[64]; } bot4_strategy ="
        f' {{ 0x3153545254423442ull, {stamp}, "{key}" }};\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(tmp_path / "empty.so"), str(source)], check=True)
    with pytest.raises(errors.StrategyCacheCorrupt, match="no entry"):
        Library(str(tmp_path / "empty.so"), key)


def test_a_call_takes_the_contracts_records_and_no_others(built):
    library = built[1]
    assert library(new_view(), new_wishes()) in (0, 1)
    with pytest.raises(TypeError, match="contract's layout"):
        library(np.zeros(1, dtype="i8"), new_wishes())


def test_an_object_of_another_layout_is_refused(tmp_path):
    # A real shared object with a stamp of layout 1.
    source = tmp_path / "old.c"
    key = "a" * 64
    source.write_text(
        "struct { unsigned long long magic; long long abi, view, wishes; char key[64]; } bot4_strategy ="
        f' {{ 0x3153545254423442ull, 1, 1024, 448, "{key}" }};\nint bot4_decide(void *v, void *w) {{ return 1; }}\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(tmp_path / "old.so"), str(source)], check=True)
    with pytest.raises(errors.StrategyBadAbi):
        Library(str(tmp_path / "old.so"), key)


def test_the_key_depends_on_everything_that_makes_the_code(tmp_path, monkeypatch):
    def keys_of(body, constant="PAIR = (1, 2)", parameters=(), cpu=None):
        decide = module_of(tmp_path, body)
        decide.__globals__["PAIR"] = eval(constant.partition("=")[2])
        return key_of(ingredients(decide, parameters, cpu))

    base = keys_of("x = PAIR[0]")
    assert base == keys_of("x = PAIR[0]")
    assert base != keys_of("x = PAIR[1]")
    assert base != keys_of("x = PAIR[0]", constant="PAIR = (1, 3)")
    assert base != keys_of("x = PAIR[0]", parameters=quoter.PARAMETERS)
    assert base != keys_of("x = PAIR[0]", cpu="skylake")
    monkeypatch.setattr(cache_module, "ABI", 99)
    assert base != keys_of("x = PAIR[0]")
    monkeypatch.undo()
    for name in ("numba", "llvmlite"):
        real = cache_module.metadata.version
        monkeypatch.setattr(
            cache_module.metadata, "version", lambda n, name=name, real=real: "0" if n == name else real(n)
        )
        assert base != keys_of("x = PAIR[0]")
        monkeypatch.undo()


# ------------------------------------------------------------------------------------------------ a process that trades
def child(code, *arguments, memory_deny_write_execute=False):
    """Run code in a process of its own, under MemoryDenyWriteExecute if asked."""
    prelude = ""
    if memory_deny_write_execute:
        # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN: what systemd's MemoryDenyWriteExecute= does, by the kernel itself.
        prelude = "import ctypes\nassert ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0) == 0\n"
    return subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONFAULTHANDLER": "0"},
    )


LIVE = """
    import sys
    from pathlib import Path
    from engine.strategy.lockout import forbid_compiler
    forbid_compiler()
    from engine._core.step import Core
    from engine._core.world import World
    from engine.errors import StrategyCompileRefused
    from engine.strategy import registry
    from engine.strategy.cache import Cache
    from strategies import quoter
    cache = Cache(Path(sys.argv[1]))
    world = World(symbols=1, strategies=1)
    core = Core(world)
    registry.bind(core, 0, registry.Placement("strategies.quoter", 0), cache=cache)
    from engine.sim.market import random_walk
    for event in random_walk(seed=1, count=50):
        core.step(event.reshape(1))
    assert world.strategies()["decided_count"][0] > 0
    refused = 0
    for attempt in (lambda: cache.build(quoter.decide, quoter.PARAMETERS, force=True),
                    lambda: __import__("numba"), lambda: __import__("llvmlite.binding"),
                    lambda: __import__("engine.strategy.compile").strategy.compile.research(quoter.decide)):
        try:
            attempt()
        except StrategyCompileRefused:
            refused += 1
    assert refused == 4, refused
    present = [name for name in sys.modules if name.partition(".")[0] in ("numba", "llvmlite")]
    assert not present, present
    print("ran")
"""
JIT = """
    import numba
    print(numba.njit(lambda x: x + 1)(1))
"""


def has_mdwe():
    # Asked in a child: the answer cannot be taken back.
    probe = "import ctypes, sys; sys.exit(ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0)"
    return subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_a_live_process_loads_and_runs_a_strategy_without_a_compiler(built):
    done = child(LIVE, built[0].directory)
    assert done.stdout == "ran\n", done.stderr[-800:]


@pytest.mark.skipif(not has_mdwe(), reason="this kernel has no PR_SET_MDWE (Linux 6.3 and later)")
def test_where_memory_may_not_be_written_and_executed_a_built_strategy_runs_and_a_jit_does_not(built):
    done = child(LIVE, built[0].directory, memory_deny_write_execute=True)
    assert done.stdout == "ran\n", done.stderr[-800:]
    assert child(JIT).stdout == "2\n"
    jit = child(JIT, memory_deny_write_execute=True)
    assert jit.returncode != 0
    assert jit.stdout == ""


def test_a_process_that_already_has_a_compiler_cannot_begin_to_trade():
    done = child("import numba\nfrom engine.strategy.lockout import forbid_compiler\nforbid_compiler()")
    assert "StrategyCompileRefused" in done.stderr
    assert done.returncode != 0


def test_listing_and_defining_strategies_imports_no_compiler():
    code = (
        "import sys\nfrom engine.strategy import registry\n"
        "[registry.find(name) for name in registry.names()]\nimport engine.cli.main\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('numba', 'llvmlite')])"
    )
    assert child(code).stdout == "[]\n"


def test_an_address_can_be_called_from_c(built):
    _, library = built
    view, wishes = new_view(), new_wishes()
    view["params"][:4] = quoter_values = find("strategies.quoter").values({})[0]
    assert quoter_values == (5, 200, 20, 500)
    view["book_trusted"], view["bid_px_ticks"], view["ask_px_ticks"] = 1, 100, 102
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(library.address)
    assert call(view.__array_interface__["data"][0], wishes.__array_interface__["data"][0]) == 1
    assert (wishes["bid"][0]["px_ticks"], wishes["ask"][0]["px_ticks"]) == (100, 102)
