"""Which source is accepted: the part of Python that means the same run as Python, as njit and as built machine code.

Owns: the list of accepted syntax, builtins and modules; finding every function and constant that a strategy uses.
Does not own: compiling (emit.py). The rules refuse what differs between the three or may never end; each refusal
names the line. The list is positive: whatever is not on it is refused.

Integers are int64 and wrap, division by zero gives 0 for integers and inf or NaN for floats, and an exception stops
the strategy: in all three. Cold: runs at build, never per event.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import numpy as np

from engine.errors import StrategyNotAccepted

# sqrt, exp, log and the rest come from the C library in all three. numpy's own exp and log do not: another last bit.
LIBM = frozenset(
    "sqrt exp expm1 log log1p log10 sin cos tan asin acos atan atan2 sinh cosh tanh fabs copysign fmod "
    "floor ceil".split()
)
MATH = LIBM | frozenset("isnan isinf isfinite pi e inf nan".split())
# floor and ceil give Python integers, so their only use is inside the engine's roundings.
MATH_ENGINE_ONLY = frozenset({"floor", "ceil"})
BUILTINS = frozenset({"abs", "min", "max", "range", "float", "True", "False", "ValueError", "RuntimeError"})
CONTRACT = "engine.strategy.contract"

_NODES = (
    ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For, ast.If,
    ast.Raise, ast.Expr, ast.Pass, ast.Break, ast.Continue, ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp,
    ast.Compare, ast.Call, ast.Constant, ast.Attribute, ast.Subscript, ast.Name, ast.Tuple, ast.Load, ast.Store,
    ast.And, ast.Or, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.LShift, ast.RShift,
    ast.BitOr, ast.BitXor, ast.BitAnd, ast.Invert, ast.Not, ast.UAdd, ast.USub, ast.Eq, ast.NotEq, ast.Lt, ast.LtE,
    ast.Gt, ast.GtE,
)  # fmt: skip


@dataclass
class Uses:
    """What a strategy is made of: its functions, from the entry inwards, and the constants they read."""

    functions: dict[str, FunctionType] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def accept(decide: Callable[..., Any]) -> Uses:
    """Check a strategy and everything it calls. Raises StrategyNotAccepted at the first thing refused."""
    if not isinstance(decide, FunctionType):
        raise StrategyNotAccepted(f"{decide!r} is not a plain function.")
    if decide.__code__.co_argcount != 2 or decide.__kwdefaults__ or decide.__defaults__:
        raise StrategyNotAccepted(f"{decide.__name__} must take exactly (view, wishes).")
    uses = Uses()
    _function(decide, uses, path=())
    return uses


def _function(function: FunctionType, uses: Uses, path: tuple[str, ...]) -> None:
    name = f"{function.__module__}.{function.__name__}"
    if name in path:
        # A recursion that does not end has no return value to stop it by: it ends the process.
        raise StrategyNotAccepted(f"{name} calls itself.")
    if name in uses.functions:
        return
    try:
        source = textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise StrategyNotAccepted(f"The source of {name} cannot be read.") from error
    node = ast.parse(source).body[0]
    if not isinstance(node, ast.FunctionDef) or node.decorator_list or function.__closure__:
        raise StrategyNotAccepted(f"{name} must be a plain function at module level, without a decorator.")
    _Walk(name, function, uses, (*path, name)).check(node)
    uses.functions[name] = function
    uses.sources[name] = source


class _Walk:
    def __init__(self, name: str, function: FunctionType, uses: Uses, path: tuple[str, ...]) -> None:
        self.name = name
        self.function = function
        self.uses = uses
        self.path = path
        self.local = set(function.__code__.co_varnames)
        self.engine = function.__module__ == CONTRACT

    def refuse(self, node: ast.AST, why: str) -> StrategyNotAccepted:
        line = self.function.__code__.co_firstlineno + getattr(node, "lineno", 1) - 1
        return StrategyNotAccepted(f"{self.name}, line {line}: {why}.")

    def check(self, top: ast.FunctionDef) -> None:
        # Annotations and the docstring are not code.
        body = top.body[1:] if ast.get_docstring(top) is not None else top.body
        if top.args.vararg or top.args.kwarg or top.args.kwonlyargs or top.args.defaults:
            raise self.refuse(top, "only plain positional parameters")
        for statement in body:
            self.visit(statement)

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, _NODES):
            raise self.refuse(node, f"{type(node).__name__} is not accepted")
        special = getattr(self, f"_{type(node).__name__.lower()}", None)
        if special is not None:
            special(node)
            return
        for child in ast.iter_child_nodes(node):
            self.visit(child)

    def _functiondef(self, node: ast.FunctionDef) -> None:
        raise self.refuse(node, "a function inside a function")

    def _annassign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def _constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            return
        if isinstance(node.value, int):
            if not -(2**63) <= node.value < 2**63:
                raise self.refuse(node, "a number beyond 64 bits")
            return
        if not isinstance(node.value, float):
            raise self.refuse(node, f"{node.value!r} as a value")

    def _subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)
        # A field's name is the one place where text stands.
        if not (isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)):
            self.visit(node.slice)

    def _raise(self, node: ast.Raise) -> None:
        call = node.exc
        if isinstance(call, ast.Call):
            if any(not isinstance(arg, ast.Constant) for arg in call.args) or call.keywords:
                raise self.refuse(node, "an exception with a computed message")
            call = call.func
        if not isinstance(call, ast.Name) or call.id not in ("ValueError", "RuntimeError") or node.cause:
            raise self.refuse(node, "raise takes ValueError or RuntimeError")

    def _for(self, node: ast.For) -> None:
        call = node.iter
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range"):
            raise self.refuse(node, "for runs over range(...) only")
        if node.orelse:
            raise self.refuse(node, "for ... else")
        for child in (node.target, *call.args, *node.body):
            self.visit(child)

    def _binop(self, node: ast.BinOp) -> None:
        self._operation(node, node.op, node.right)
        self.visit(node.left)
        self.visit(node.right)

    def _augassign(self, node: ast.AugAssign) -> None:
        self._operation(node, node.op, node.value)
        self.visit(node.target)
        self.visit(node.value)

    def _operation(self, node: ast.AST, op: ast.operator, right: ast.expr) -> None:
        if isinstance(op, ast.Pow):
            # Even of a square: Python asks the C library, which may round once more than the multiplication it becomes.
            raise self.refuse(node, "** differs in the last bit: write x * x")
        shift = isinstance(op, (ast.LShift, ast.RShift))
        if shift and not (isinstance(right, ast.Constant) and right.value in range(64)):
            raise self.refuse(node, "a shift takes a constant from 0 to 63")
        if not isinstance(op, _NODES):
            raise self.refuse(node, f"{type(op).__name__} is not accepted")

    def _call(self, node: ast.Call) -> None:
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            raise self.refuse(node, "a call takes positional arguments only")
        if not isinstance(node.func, (ast.Name, ast.Attribute)):
            raise self.refuse(node, "a call of a computed function")
        if isinstance(node.func, ast.Name) and node.func.id == "range":
            raise self.refuse(node, "range stands in a for only")
        self.visit(node.func)
        for arg in node.args:
            self.visit(arg)

    def _attribute(self, node: ast.Attribute) -> None:
        owner = self.function.__globals__.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if self.engine and owner is np and node.attr == "int64":
            return
        if owner is not math or node.attr not in MATH:
            raise self.refuse(node, f"attribute {node.attr}: only functions of math, and fields by view['name']")
        if node.attr in MATH_ENGINE_ONLY and not self.engine:
            raise self.refuse(node, f"math.{node.attr}: use {node.attr}_to_int of {CONTRACT}")

    def _name(self, node: ast.Name) -> None:
        name = node.id
        if name in self.local:
            return
        if name in self.function.__globals__:
            self._global(node, self.function.__globals__[name])
        elif name not in BUILTINS:
            raise self.refuse(node, f"{name} is not accepted")

    def _global(self, node: ast.Name, value: Any) -> None:
        if isinstance(value, FunctionType):
            if value.__module__ not in (self.function.__module__, CONTRACT):
                raise self.refuse(node, f"{node.id} comes from {value.__module__}: only this module and {CONTRACT}")
            _function(value, self.uses, self.path)
        elif is_constant(value):
            self.uses.constants[f"{self.function.__module__}.{node.id}"] = value
        else:
            raise self.refuse(node, f"{node.id} is a {type(value).__name__}: a global may be a number or a tuple")


def is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        kinds = {type(item) for item in value}
        return len(kinds) == 1 and kinds <= {int, float} and all(is_constant(item) for item in value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float)


class _Ieee:
    """math as compiled code has it: outside its domain a function gives NaN or infinity and raises nothing."""

    def __getattr__(self, name: str) -> Any:
        plain = getattr(math, name)
        if not callable(plain):
            return plain

        def guarded(*args: Any) -> Any:
            try:
                return plain(*args)
            except OverflowError:
                # Only exp, expm1, sinh and cosh overflow; sinh and expm1's other end does not.
                return -math.inf if name == "sinh" and args[0] < 0 else math.inf
            except ValueError:
                return -math.inf if (name, args[0]) in _POLES else math.nan

        setattr(self, name, guarded)
        return guarded


_POLES = {("log", 0), ("log10", 0), ("log1p", -1)}


def reference(decide: Callable[..., Any]) -> Callable[[Any, Any], int]:
    """The strategy as Python, with the arithmetic of the contract: what the other two are held against.

    An exception gives 0, as it does compiled; numpy's warnings about wrapped integers and divisions are silent,
    because both are defined here.
    """
    shim = _Ieee()
    # Python's own float raises where the contract says inf: numpy's does not.
    rebuilt = rebuild(decide, lambda function: function, {"math": shim, "float": np.float64})

    def run(view: Any, wishes: Any) -> int:
        with np.errstate(all="ignore"):
            try:
                return int(rebuilt(view, wishes))
            except Exception:  # noqa: BLE001  (whatever it raises, the strategy is stopped)
                return 0

    return run


def rebuild(decide: Callable[..., Any], wrap: Callable[[FunctionType], Any], names: dict[str, Any]) -> Any:
    """A copy of the strategy in which every function it calls went through `wrap`, and `names` stand for globals.

    The author's helpers are plain functions, so that a live process can import the module without a compiler; here
    each becomes what the caller needs (a jitted function, say), and the copies call the copies.
    """
    uses = accept(decide)
    scopes: dict[str, dict[str, Any]] = {}
    made: dict[str, Any] = {}
    for name, function in uses.functions.items():
        scope = scopes.setdefault(function.__module__, dict(function.__globals__) | names)
        made[name] = wrap(FunctionType(function.__code__, scope, function.__name__))
    for scope in scopes.values():
        for key, value in list(scope.items()):
            if isinstance(value, FunctionType):
                scope[key] = made.get(f"{value.__module__}.{value.__name__}", value)
    return made[f"{decide.__module__}.{decide.__name__}"]
