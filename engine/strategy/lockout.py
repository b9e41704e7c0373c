"""Keeps the compiler out of a process that trades.

After `forbid_compiler()` numba and llvmlite cannot be imported any more, and whoever asks to compile gets a typed
error. So a hardened unit may deny writable-executable memory: nothing in the process ever wants any. One-way: a
process that has begun to trade does not become a workshop again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from engine.errors import StrategyCompileRefused

COMPILERS = ("numba", "llvmlite")


class _Lockout(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002  (the finder's protocol)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in COMPILERS:
            raise StrategyCompileRefused(f"import of {fullname}.")
        return None


_LOCKOUT = _Lockout()


def forbid_compiler() -> None:
    """From now on nothing is compiled here. Raises when a compiler is already in the process."""
    present = [name for name in COMPILERS if name in sys.modules]
    if present:
        raise StrategyCompileRefused(f"{' and '.join(present)} already in this process.")
    if _LOCKOUT not in sys.meta_path:
        sys.meta_path.insert(0, _LOCKOUT)


def is_forbidden() -> bool:
    return _LOCKOUT in sys.meta_path


def refuse_if_forbidden(what: str) -> None:
    if is_forbidden():
        raise StrategyCompileRefused(what)
