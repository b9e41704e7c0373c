"""How one venue's dead-man timer stands, in the same words wherever it is told: at start, in the status, on every page.

Owns: when it was last renewed, and the last refusal. Does not own: who renews it: the loop that trades, so that one
that stands still vouches for nothing (`runtime/linear.py`, `runtime/bridged.py`). Time is told.

    Binance USD-M   countdownCancelAll, for each symbol        Binance spot   none
    through ccxt    cancelAllOrdersAfter, where the exchange has it (Kraken, OKX, Bybit and others)
"""

from __future__ import annotations

SECOND = 1_000_000_000


class Armed:
    def __init__(self, *, available: bool, after_ns: int = 60 * SECOND) -> None:
        self.available = available
        self.after_ns = after_ns
        self.error = ""  # the last renewal was refused: it runs on from the one before
        self._armed_ns: int | None = None

    def armed(self, now_ns: int) -> None:
        self._armed_ns, self.error = now_ns, ""

    def refused(self, error: str) -> None:
        self.error = error

    def disarmed(self) -> None:
        self._armed_ns = None

    @property
    def was_armed(self) -> bool:
        """Since it was last switched off; it may have run out."""
        return self._armed_ns is not None

    def state(self, now_ns: int) -> str:
        if not self.available:
            return "not available at this venue"
        left_ns = 0 if self._armed_ns is None else self.after_ns - (now_ns - self._armed_ns)
        told = f"armed, {left_ns // SECOND} s left" if left_ns > 0 else "NOT ARMED"
        return f"{told}: {self.error}" if self.error else told
