"""The builder: one strategy in, one shared object out. Runs in a process of its own, which then ends.

numba lowers the strategy to LLVM's intermediate form for the baseline CPU of the architecture; an entry with the C
signature `int bot4_decide(view_t*, wishes_t*)` is put beside it, everything else becomes internal, and what is left
is emitted as position-independent code and linked with nothing but the C library. numba's own entry (cfunc) is not
used: it calls the interpreter to print an exception. Here an exception is a status, and a status is a return of 0.

Refused: an allocation, a call of the interpreter, any symbol outside the short list. Two of numba's integer rules
are replaced while it lowers: its arithmetic is marked "never overflows", which lets the optimiser assume what is
not so, and its INT64_MIN // -1 is 0; both wrap here, as they do in numpy.

Only cache.py starts this; it imports numba, so nobody else may import it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
import numba.cpython.numbers as numba_numbers
from numba import types as nb

from engine import errors
from engine._core.strategy_abi import ABI, VIEW, WISHES
from engine.strategy.dialect import LIBM, rebuild

ENTRY = "bot4_decide"
STAMP = "bot4_strategy"
MAGIC = 0x3153_5452_5442_3442  # "B4BTRTS1", little-endian: not a number that stands anywhere by chance
OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": True, "fastmath": False, "nogil": True}

# The C library's mathematics, and the three that a compiler calls on its own. Nothing here allocates or waits.
SYMBOLS = LIBM | {"memcpy", "memset", "memmove"}
LINK = (
    "-shared", "-nostdlib", "-nostartfiles", "-Wl,-z,defs,-z,now,-z,relro,-z,noexecstack,--as-needed,--build-id=none",
)  # fmt: skip


@contextlib.contextmanager
def wrapping_integers() -> Iterator[None]:
    """numba lowers int64 arithmetic that wraps, while this lasts."""
    flags, divmod_signed = numba_numbers._int_arith_flags, numba_numbers.int_divmod_signed

    def divmod_wrapping(context: Any, builder: Any, ty: Any, x: Any, y: Any) -> Any:
        # INT64_MIN // -1 traps on x86. Divided by 1 instead it gives what wrapping gives: INT64_MIN, remainder 0.
        overflows = builder.and_(
            builder.icmp_signed("==", x, x.type(ty.minval)), builder.icmp_signed("==", y, y.type(-1))
        )
        divisor = builder.select(overflows, y.type(1), y)
        return divmod_signed(context, builder, ty, x, divisor)  # type: ignore[no-untyped-call]

    numba_numbers._int_arith_flags = lambda _: []
    numba_numbers.int_divmod_signed = divmod_wrapping
    try:
        yield
    finally:
        numba_numbers._int_arith_flags, numba_numbers.int_divmod_signed = flags, divmod_signed


def jitted(decide: Callable[..., Any], **options: Any) -> Any:
    """The strategy and its helpers under njit, with the contract's arithmetic."""

    def wrap(function: FunctionType) -> Any:
        return numba.njit(**(OPTIONS | options))(function)

    return rebuild(decide, wrap, {})


def lower(decide: Callable[..., Any]) -> tuple[str, str]:
    """(LLVM text, name of the strategy's function in it)"""
    function = jitted(decide, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    arguments = (numba.from_dtype(VIEW), numba.from_dtype(WISHES))
    try:
        with wrapping_integers():
            function.compile(nb.int64(*arguments))
    except numba.core.errors.NumbaError as error:
        raise errors.StrategyNotAccepted(f"{decide.__module__}: {_first_lines(error)}") from error
    result = function.overloads[arguments]
    return result.library.get_llvm_str(), result.fndesc.llvm_func_name


def _first_lines(error: Exception) -> str:
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines() if line.strip()]
    return " ".join(lines[:4])


def with_entry(text: str, inner: str, key: str) -> str:
    """Add the C entry and the stamp that the loader checks before the first call."""
    stamp = ", ".join(f"i64 {value}" for value in (MAGIC, ABI, VIEW.itemsize, WISHES.itemsize))
    return (
        text
        + f"""
@{STAMP} = constant {{ i64, i64, i64, i64, [64 x i8] }} {{ {stamp}, [64 x i8] c"{key}" }}

define i32 @{ENTRY}(ptr %view, ptr %wishes) {{
  %answer = alloca i64
  %excinfo = alloca ptr
  store i64 0, ptr %answer
  store ptr null, ptr %excinfo
  %status = call i32 @{inner}(ptr %answer, ptr %excinfo, ptr %view, ptr %wishes)
  %value = load i64, ptr %answer
  %ok = icmp eq i64 %value, 1
  %clean = icmp eq i32 %status, 0
  %both = and i1 %ok, %clean
  %out = zext i1 %both to i32
  ret i32 %out
}}
"""
    )


def optimise(text: str, cpu: str) -> tuple[Any, Any]:
    """(module, target machine): only the entry is visible, the rest is folded into it."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(text)
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration and value.name not in (ENTRY, STAMP):
            value.linkage = "internal"
    machine = llvm.Target.from_triple(module.triple).create_target_machine(
        cpu=cpu, features="", opt=3, reloc="pic", codemodel="default"
    )
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)
    module.verify()
    return module, machine


def refuse(names: list[str], where: str) -> None:
    """Typed errors for what a strategy must not reach."""
    names = sorted(set(names))
    if allocating := [name for name in names if name.startswith("NRT_")]:
        raise errors.StrategyAllocates(f"{where}: {', '.join(allocating)}.")
    interpreter = [name for name in names if name.startswith(("Py", "_Py", "numba_"))]
    if interpreter:
        raise errors.StrategyNotAccepted(f"{where} would call the interpreter: {', '.join(interpreter)}.")
    if unknown := [name for name in names if name not in SYMBOLS]:
        raise errors.StrategyNotAccepted(f"{where} needs {', '.join(unknown)}, which is not in the C mathematics.")


def undefined(path: Path) -> list[str]:
    out = subprocess.run(
        ["nm", "--undefined-only", "--format=posix", str(path)], capture_output=True, text=True, check=True
    )
    names = [line.split()[0].partition("@")[0] for line in out.stdout.splitlines() if line.strip()]
    return [name for name in names if name != "_GLOBAL_OFFSET_TABLE_"]


def emit(name: str, key: str, target: Path, cpu: str) -> None:
    """Build the strategy of module `name` into `target`."""
    decide = importlib.import_module(name).decide
    text, inner = lower(decide)
    module, machine = optimise(with_entry(text, inner, key), cpu)
    refuse(
        [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")]
        + [f.name for f in module.functions if f.name.startswith(("NRT_", "Py"))],
        name,
    )
    with tempfile.TemporaryDirectory() as scratch:
        object_file = Path(scratch) / "strategy.o"
        object_file.write_bytes(machine.emit_object(module))
        # Once more on the object: the code generator may call a function that no instruction named.
        refuse(undefined(object_file), name)
        command = ["cc", *LINK, "-o", str(target), str(object_file), "-lm", "-lc"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise errors.StrategyBuildFailed(f"{name}: {done.stderr.strip()[:500]}")


def main() -> int:
    """Read a request from standard input, answer on standard output: an empty object, or the error's class."""
    request = json.loads(sys.stdin.read())
    sys.path[:0] = request["path"]
    try:
        emit(request["name"], request["key"], Path(request["target"]), request["cpu"])
    except errors.Bot4Error as error:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "detail": error.detail}))
        return 3
    sys.stdout.write(json.dumps({}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
