"""The strategy under njit, for research: callable from other jitted code, with the contract's arithmetic.

Refused in a process that trades; there a strategy is loaded from the cache (cache.py) and nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine._core.strategy_abi import VIEW, WISHES
from engine.strategy.lockout import refuse_if_forbidden


def research(decide: Callable[..., Any]) -> Any:
    """A numba dispatcher of the strategy, compiled for one VIEW and one WISHES record.

    Called from Python with records (`views[0]`, `wishes[0]`); called from jitted code with the same records. An
    exception propagates here, because research wants to see it; in the loop it stops the strategy.
    """
    refuse_if_forbidden(f"research({decide.__module__}).")
    # Imported here and not above: whoever only loads what is built must not bring a compiler along.
    import numba  # noqa: PLC0415

    from engine.strategy.emit import jitted, wrapping_integers  # noqa: PLC0415

    function = jitted(decide)
    with wrapping_integers():
        function.compile(numba.types.int64(numba.from_dtype(VIEW), numba.from_dtype(WISHES)))
    function.disable_compile()
    return function
