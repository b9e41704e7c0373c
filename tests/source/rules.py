"""The rules of the source, as functions from text to findings, so that each can be shown to fail on a bad sample.

A finding is one line of text that names the place and the rule. No rule reads a file or knows where it stands.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

# ---------------------------------------------------------------------------------------------------- import order
# DESIGN section 11. A package may import its own floor's packages and those below it.
FLOORS = {
    "cli": 5, "web": 5,
    "runtime": 4,
    "research": 3, "venues": 3, "sim": 3, "journal": 3, "safety": 3, "observe": 3, "strategy": 3,
    "settings": 2, "net": 2, "model": 2,
    "errors": 1,
    "_core": 0,
}  # fmt: skip
# The composition root knows everybody, the strategies too.
WIRING = "engine.runtime.wiring"


def package_of(module: str) -> str | None:
    """The part of a dotted name that has a floor: `engine.net.http` stands in `net`."""
    parts = module.split(".")
    if parts[0] != "engine" or len(parts) < 2:
        return None
    return parts[1]


def python_imports(source: str) -> Iterator[tuple[int, str]]:
    """Every module that Python text imports, with its line; imports for type checkers count too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            # `from engine import net` names the package in its second half.
            if module == "engine":
                yield from ((node.lineno, f"engine.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


_CYTHON_FROM = re.compile(r"^\s*from\s+([\w.]+)\s+c?import\s+\(?([^#\n]*)")
_CYTHON_IMPORT = re.compile(r"^\s*c?import\s+([\w., ]+)")


def cython_imports(source: str) -> Iterator[tuple[int, str, bool]]:
    """Every module that Cython text imports: line, name, and whether it is a cimport."""
    for number, line in enumerate(source.splitlines(), 1):
        if found := _CYTHON_FROM.match(line):
            names = [found[1]]
            if found[1] == "engine":
                names = [f"engine.{name.split()[0]}" for name in found[2].strip("() ").split(",") if name.strip()]
            yield from ((number, name, "cimport" in line) for name in names)
        elif (found := _CYTHON_IMPORT.match(line)) and not line.lstrip().startswith("importlib"):
            yield from ((number, name.split()[0], "cimport" in line) for name in found[1].split(",") if name.strip())


def import_order(module: str, source: str, *, cython: bool = False) -> list[str]:
    """Imports that run upward, or that leave the engine from inside it."""
    imports = [(line, name) for line, name, _ in cython_imports(source)] if cython else list(python_imports(source))
    mine = package_of(module)
    findings = []
    for line, name in imports:
        where = f"{module}:{line}"
        if name.startswith("."):
            findings.append(f"{where}: relative import; write the whole name")
        if name.split(".")[0] == "strategies" and module.startswith("engine.") and module != WIRING:
            findings.append(f"{where}: the engine imports {name}; only {WIRING} knows the strategies")
        if name.split(".")[0] in ("tests", "bench"):
            findings.append(f"{where}: the engine imports {name}")
        theirs = package_of(name)
        if theirs is None or mine is None:
            continue
        unknown = [package for package in (mine, theirs) if package not in FLOORS and not package.startswith("__")]
        findings += [f"{where}: package {package} has no floor in DESIGN section 11" for package in unknown]
        if FLOORS.get(theirs, 0) > FLOORS.get(mine, 99) and module != WIRING:
            findings.append(f"{where}: {mine} imports {name}, which lies above it")
        if mine == "_core" and theirs != "_core":
            findings.append(f"{where}: _core imports Python code of the engine, {name}")
        if name.startswith(WIRING) and mine not in ("cli", "web", "runtime"):
            findings.append(f"{where}: only cli and web import {WIRING}")
    return findings


# -------------------------------------------------------------------------------------------------------- no fakes
def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _does_nothing(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is Ellipsis
    )


def _name(node: ast.expr) -> str:
    """The last word of a dotted name: of `typing.Protocol` it is `Protocol`."""
    if isinstance(node, ast.Call):
        return _name(node.func)
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _without_body(tree: ast.Module) -> set[ast.AST]:
    """Functions that have no body by right: members of protocols, overloads, abstract methods."""
    allowed: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(_name(base) == "Protocol" for base in node.bases):
            allowed.update(node.body)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
            _name(mark) in ("overload", "abstractmethod") for mark in node.decorator_list
        ):
            allowed.add(node)
    return allowed


def no_fakes(where: str, source: str) -> list[str]:
    """Stubs, unfinished bodies, swallowed errors (H-16, H-17)."""
    tree = ast.parse(source)
    allowed = _without_body(tree)
    findings = []
    for node in ast.walk(tree):
        line = f"{where}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node not in allowed:
            body = [part for part in node.body if not _is_text(part)]
            # A body that is one sentence says on purpose that there is nothing to do; `pass` or `...` says nothing.
            if any(_does_nothing(part) for part in node.body) and all(_does_nothing(part) for part in body):
                findings.append(f"{line}: {node.name} has no body")
        if isinstance(node, ast.Raise) and node.exc is not None and _name(node.exc) == "NotImplementedError":
            findings.append(f"{line}: NotImplementedError")
        if isinstance(node, ast.Name) and node.id in ("Mock", "MagicMock", "AsyncMock"):
            findings.append(f"{line}: a mock")
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if any(name.startswith("unittest.mock") or name == "mock" for name in names):
                findings.append(f"{line}: unittest.mock")
        if isinstance(node, ast.ExceptHandler):
            wide = node.type is None or _name(node.type) in ("Exception", "BaseException")
            if node.type is None:
                findings.append(f"{line}: bare except")
            if wide and all(
                _does_nothing(part) or _is_text(part) or isinstance(part, ast.Continue) for part in node.body
            ):
                findings.append(f"{line}: every error swallowed")
    findings += [
        f"{where}:{number}: unfinished: {word[0]}"
        for number, text in enumerate(source.splitlines(), 1)
        if (word := re.search(r"#.*\b(TODO|FIXME|XXX|HACK)\b", text))
    ]
    return findings


def no_prints(where: str, source: str) -> list[str]:
    return [
        f"{where}:{node.lineno}: print"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("print", "breakpoint")
    ]


# ------------------------------------------------------------------------------------------------- what tests may do
def _asserts(node: ast.AST) -> bool:
    """Whether a test body can fail: an assert, a `raises`, or a helper whose name says that it checks."""
    for part in ast.walk(node):
        if isinstance(part, ast.Assert):
            # `assert True` and `assert "text"` cannot fail.
            if not isinstance(part.test, ast.Constant):
                return True
        elif isinstance(part, ast.Call):
            name = _name(part.func)
            if name in ("raises", "warns", "fail", "run_state_machine_as_test", "row"):
                return True
            if re.match(r"_?(check|assert|expect|verify|compare|hold|same|agree|must)", name):
                return True
    return False


def honest_tests(where: str, source: str) -> list[str]:
    """Tests that sleep, that are switched off, or that cannot fail."""
    findings = []
    tree = ast.parse(source)
    # A body shared by several tests of one file may do the asserting for them.
    helpers = {part.name for part in tree.body if isinstance(part, ast.FunctionDef) and _asserts(part)}
    for node in ast.walk(tree):
        line = f"{where}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call) and _dotted(node.func) in ("time.sleep", "sleep", "asyncio.sleep"):
            # sleep(0) gives the processor away and waits for nothing.
            gives_way = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            findings += [] if gives_way else [f"{line}: a test that sleeps"]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for mark in node.decorator_list:
                # `skipif` states its condition; a plain skip or xfail switches a test off for good.
                mark_name = _dotted(mark.func if isinstance(mark, ast.Call) else mark)
                findings += [f"{line}: {node.name} is switched off"] if mark_name.endswith((".skip", ".xfail")) else []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(("test_", "bench_")):
            called = {_name(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
            if not _asserts(node) and not called & helpers:
                findings.append(f"{line}: {node.name} asserts nothing")
            first = next((part for part in node.body if not _is_text(part)), None)
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Call)
                and _name(first.value) in ("skip", "xfail")
            ):
                findings.append(f"{line}: {node.name} always skips")
    return findings


# ------------------------------------------------------------------------------------------------- clocks and chance
_CLOCK_MODULES = ("time", "datetime")
_CLOCK_CALLS = re.compile(
    r"\b(?:time\.(?:time|monotonic|perf_counter|process_time|thread_time|clock_gettime|localtime|gmtime)\w*"
    r"|datetime\.(?:now|utcnow|today)|date\.today|datetime64\(\s*[\"']now|loop\.time\(|clock_gettime\(|gettimeofday\("
    r"|__rdtscp?\b|rdtsc|cntvct)"
)
# The clock module's own readings, by their names in C and in Python.
_CLOCK_USES = re.compile(
    r"\b(?:clock_(?:stamp|cycles|anchor|utc_ns|monotonic_ns)|utc_ns|monotonic_ns|cycles)\(|\.stamp\(\s*\)"
)
_CHANCE_PYTHON = re.compile(
    r"^\s*(?:import\s+secrets\b|from\s+(?:random|secrets|numpy\.random)\s+import)|(?<![\w.])random\.(?!Random\b)\w+\("
    r"|\b(?:np|numpy)\.random\.(?!default_rng|Generator|PCG64|Philox|SeedSequence|BitGenerator)\w+"
    r"|\bdefault_rng\(\s*\)|\brandom\.Random\(\s*\)|\bos\.urandom|\buuid[14]\(|\bgetrandom\(|\brandbits\(|\bSystemRandom\b"
    r"|(?<![\w.])s?rand(?:om)?\(\s*\)|\barc4random",
    re.MULTILINE,
)
_CHANCE_AT_ALL = re.compile(
    r"\b(?:np|numpy)\.random\b|\bdefault_rng\b|\brandom\.Random\b|^\s*(?:import|from)\s+random\b", re.MULTILINE
)


def _code_only(source: str) -> Iterator[tuple[int, str]]:
    """Lines without comments and without module and function texts: prose may speak of clocks."""
    inside = None
    for number, line in enumerate(source.splitlines(), 1):
        text = line
        if inside:
            if inside in text:
                text, inside = text.split(inside, 1)[1], None
            else:
                continue
        for quote in ('"""', "'''"):
            # Verbatim C blocks open with a bare quote line behind `cdef extern`; their comments are C's own.
            while quote in text:
                before, rest = text.split(quote, 1)
                if quote in rest:
                    text = before + rest.split(quote, 1)[1]
                else:
                    text, inside = before, quote
        yield number, text.split("#", 1)[0]


def _with_verbatim_c(source: str) -> Iterator[tuple[int, str]]:
    """Like `_code_only`, but the C text behind `cdef extern from` stays: a clock can hide there."""
    code = dict(_code_only(source))
    extern, opened = False, False
    for number, line in enumerate(source.splitlines(), 1):
        if re.match(r"\s*cdef extern from", line):
            extern = True
        elif extern and line.strip() and not line.startswith((" ", "\t")):
            extern = opened = False
        if extern and '"""' in line:
            opened = not opened
        yield number, line if extern and opened else code.get(number, "")


def no_clock(where: str, source: str) -> list[str]:
    """Readings of a clock. One module may: engine._core.clock."""
    return [
        f"{where}:{number}: reads a clock: {found[0]}"
        for number, text in _with_verbatim_c(source)
        if (found := _CLOCK_CALLS.search(text)) or (found := re.match(r"\s*from (?:time|datetime) import .*", text))
    ]


def no_clock_use(where: str, source: str) -> list[str]:
    """Readings through the clock module, where time has to come in as an argument: everything that is replayed."""
    return [
        f"{where}:{number}: asks the clock: {found[0]}"
        for number, text in _with_verbatim_c(source)
        if (found := _CLOCK_USES.search(text))
    ]


def no_unseeded_chance(where: str, source: str) -> list[str]:
    """Random numbers that nobody can repeat: generators without a seed, the global ones, the system's."""
    return [
        f"{where}:{number}: chance without a seed: {found[0].strip()}"
        for number, text in _with_verbatim_c(source)
        if (found := _CHANCE_PYTHON.search(text))
    ]


def no_chance(where: str, source: str) -> list[str]:
    """Any random number at all: only the simulator and tests draw them."""
    return no_unseeded_chance(where, source) + [
        f"{where}:{number}: draws random numbers: {found[0].strip()}"
        for number, text in _with_verbatim_c(source)
        if (found := _CHANCE_AT_ALL.search(text))
    ]


# --------------------------------------------------------------------------------------------------- Cython contracts
_SIGNATURE = re.compile(r"^[ \t]*(cp?def)[ \t]+([^\n#=]*?)\b(\w+)\(((?:[^()]|\([^()]*\))*)\)([^\n:]*)", re.MULTILINE)
_EXTERN = re.compile(r"^([ \t]*)cdef extern from[^\n]*\n(?:(?:\1[ \t]+[^\n]*)?\n)*", re.MULTILINE)


def nogil_signatures(where: str, source: str) -> list[str]:
    """C functions that run without the interpreter lock and do not say how they fail.

    `noexcept`, or `int ... except -1` (or `except? x`): anything else takes the lock after each call to ask.
    """
    findings = []
    extern = [block.span() for block in _EXTERN.finditer(source)]
    for found in _SIGNATURE.finditer(source):
        if any(start <= found.start() < end for start, end in extern):
            continue
        result, name, tail = found[2].replace("inline", "").strip(), found[3], found[5]
        if found[1] == "cpdef" or "nogil" not in tail or "noexcept" in tail:
            continue
        line = source.count("\n", 0, found.start()) + 1
        if "except" not in tail:
            findings.append(f"{where}:{line}: {name} is nogil without noexcept or except")
        elif result == "void" or "except *" in tail:
            findings.append(
                f"{where}:{line}: {name}, nogil and {result}, asks for the lock at each call: {tail.strip()}"
            )
    return findings


# ------------------------------------------------------------------------------------------ flags, paths, lock files
_FLAGS = re.compile(r"-m(?:arch|cpu|tune)=native|-ffast-math|-Ofast|-funsafe-math-optimizations|fastmath\s*=\s*True")
_PATHS = re.compile(r"(?<![\w./])/(?:home|Users|root|work|mnt|opt)/[\w.-]+")
_REGISTRIES = re.compile(
    r"--(?:extra-)?index-url|--find-links|--trusted-host|\bpypi\.(?:org|python\.org)|files\.pythonhosted\.org|\bpypi-\w+|devpi|artifactory"
)


def _matches(pattern: re.Pattern[str], where: str, text: str) -> list[str]:
    return [
        f"{where}:{n}: {found[0]}" for n, line in enumerate(text.splitlines(), 1) if (found := pattern.search(line))
    ]


def no_native_flags(where: str, text: str) -> list[str]:
    return _matches(_FLAGS, where, text)


def no_machine_paths(where: str, text: str) -> list[str]:
    return _matches(_PATHS, where, text)


def no_registries(where: str, text: str) -> list[str]:
    return _matches(_REGISTRIES, where, text)


def lock_is_whole(where: str, text: str) -> list[str]:
    """Every pin of a lock file is exact and has a hash."""
    findings = []
    for entry in re.split(r"\n(?=[\w])", text):
        head = entry.lstrip().split("\n")[0]
        if not re.match(r"\w", head):
            continue
        if not re.match(r"[\w.\[\]-]+==\S+", head):
            findings.append(f"{where}: not an exact pin: {head}")
        if "--hash=sha256:" not in entry:
            findings.append(f"{where}: no hash: {head}")
    return findings
