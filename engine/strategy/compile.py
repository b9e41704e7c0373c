"""Turns a plain `decide(view, wishes)` into a pointer the core calls.

The source is one; it runs as Python in unit tests, as njit in research and as a compiled pointer here. The returned
object owns the machine code: whoever holds the address must hold it too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba import types as nb

from engine._core.strategy_abi import VIEW, WISHES

_VIEW = numba.from_dtype(VIEW)
_WISHES = numba.from_dtype(WISHES)
SIGNATURE = nb.int32(nb.CPointer(_VIEW), nb.CPointer(_WISHES))


def compiled(decide: Callable[[Any, Any], int]) -> Any:
    """A numba CFunc of the strategy; `.address` is what `Core.bind` takes."""
    inner = numba.njit(decide)

    @numba.cfunc(SIGNATURE)  # type: ignore[untyped-decorator]
    def entry(view_p: Any, wishes_p: Any) -> Any:
        return inner(numba.carray(view_p, 1)[0], numba.carray(wishes_p, 1)[0])

    return entry
