"""The stubs say what the compiled modules have: names and signatures."""

from __future__ import annotations

import ast
import enum
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.source.files import ROOT, module_name, read, sources

ALLOW = Path(__file__).with_name("stubtest.allow")
STUBS = sources("engine", ".pyi")
_CLASS = re.compile(r"^cdef class (\w+)(?:\([^)]*\))?:\n((?:[ \t]+[^\n]*\n|\n)+)", re.MULTILINE)
_MAKES = re.compile(r"def __c?init__\(\s*self(?:,\s*((?:[^()]|\([^()]*\))*))?\)")


def _stubtest(*modules: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *modules, "--allowlist", str(ALLOW), "--ignore-unused-allowlist"],
        cwd=path, env=os.environ | {"PYTHONPATH": str(path), "MYPYPATH": str(path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def _parameters(text: str) -> list[str]:
    """The names of a Cython parameter list: types and defaults go, `*` stays."""
    flat = re.sub(r"\([^()]*\)|\[[^\]]*\]", "", text)
    parts = [part.split("=")[0].replace(" not None", "").replace(" or None", "").strip() for part in flat.split(",")]
    return [part.split()[-1] for part in parts if part]


def _stub_parameters(function: ast.FunctionDef) -> list[str]:
    args = function.args
    plain = [a.arg for a in args.posonlyargs + args.args][1:]
    if args.vararg:
        plain.append(f"*{args.vararg.arg}")
    elif args.kwonlyargs:
        plain.append("*")
    return plain + [a.arg for a in args.kwonlyargs] + ([f"**{args.kwarg.arg}"] if args.kwarg else [])


def constructor_mismatches(source: str, stub: str) -> list[str]:
    """Classes whose stub takes other constructor arguments than the source."""
    stubbed = {
        node.name: next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"), None)
        for node in ast.parse(stub).body
        if isinstance(node, ast.ClassDef)
    }
    findings = []
    for name, body in _CLASS.findall(source):
        made = _MAKES.search(body)
        taken = _parameters(made[1] or "") if made else []
        if name not in stubbed:
            continue
        said = _stub_parameters(stubbed[name]) if stubbed[name] else []
        if taken != said:
            findings.append(f"{name}: takes {taken}, its stub says {said}")
    return findings


def test_there_are_stubs():
    assert len(STUBS) >= 6


@pytest.mark.slow
def test_every_stub_agrees_with_its_compiled_module():
    run = _stubtest(*(module_name(path) for path in STUBS), path=ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "stub", ["def f(x: int) -> int: ...\ndef g() -> int: ...\n", "def f(x: int, y: int) -> int: ...\n", ""]
)
def test_a_stub_that_lies_is_found(tmp_path, stub):
    (tmp_path / "sample.py").write_text("def f(x):\n    return x\n")
    (tmp_path / "sample.pyi").write_text(stub)
    assert _stubtest("sample", path=tmp_path).returncode != 0


@pytest.mark.parametrize("stub", STUBS, ids=str)
def test_constructors_take_what_their_stub_says(stub):
    assert constructor_mismatches(read(stub.with_suffix(".pyx")), read(stub)) == []


def test_a_constructor_that_differs_from_its_stub_is_found():
    source = "cdef class A:\n    def __cinit__(self, int64_t x, *, bint y=True):\n        self.x = x\n"
    assert (
        constructor_mismatches(source, "class A:\n    def __init__(self, x: int, *, y: bool = ...) -> None: ...") == []
    )
    assert constructor_mismatches(source, "class A:\n    def __init__(self, x: int, y: bool = ...) -> None: ...")
    assert constructor_mismatches(source, "class A: ...")


@pytest.mark.parametrize("stub", STUBS, ids=str)
def test_enums_are_of_the_kind_that_their_stub_says(stub):
    """mypy.stubtest takes IntFlag for IntEnum: both are ints. A set of flags is not one of the flags."""
    module = importlib.import_module(module_name(stub))
    for node in ast.parse(read(stub)).body:
        kinds = [getattr(enum, base.id, None) for base in getattr(node, "bases", ()) if isinstance(base, ast.Name)]
        for said in (kind for kind in kinds if kind is not None):
            assert said in getattr(module, node.name).__mro__, f"{node.name} is no {said.__name__}"
