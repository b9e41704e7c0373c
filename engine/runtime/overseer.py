"""Looks at the account once a second of the engine's time, and trips where a single order's gate cannot help any more.

The gate denies single orders on the same figures; this is for what happens to positions that stand: a fall from the
peak, the day's loss, two sources of equity that do not agree, and a clock that stays away from the venue's.
"""

from __future__ import annotations

from engine.runtime.engine import Engine
from engine.safety.guard import Guard

LOOK_NS = 10**9
DIFFER_LOOKS = 3  # a fill that is on its way makes the two differ for a moment
# The gate denies from the first bad measurement on; a clock that nobody sets right again is one that nobody watches.
CLOCK_LOOKS = 30


class Overseer:
    def __init__(self, engine: Engine, guard: Guard, equity_agree_ppm: int) -> None:
        self._engine, self._guard, self._agree_ppm = engine, guard, equity_agree_ppm
        self._due_ns = 0
        self._differ = 0
        self._drifted = 0

    def turn(self, now_ns: int) -> None:
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + LOOK_NS
        world = self._engine.core.world
        account, limits = world.account(), world.limits()
        equity = int(account["equity"])
        for reason, base, most in (
            ("drawdown", int(account["peak"]), limits["drawdown_ppm"]),
            ("daily-loss", int(account["day_base"]), limits["daily_loss_ppm"]),
        ):
            if base > 0 and (base - equity) * 10**6 > most * base:
                self._guard.trip(reason, f"{equity} of {base}, limit {most} ppm", value=base - equity)
        self._compare(equity, self._engine.exchange.equity())
        self._clock(int(account["clock_drift_ns"]), limits["clock_drift_ns"])

    def _compare(self, ours: int, theirs: int) -> None:
        apart = ours > 0 and theirs > 0 and abs(ours - theirs) * 10**6 > self._agree_ppm * max(ours, theirs)
        self._differ = self._differ + 1 if apart else 0
        if self._differ >= DIFFER_LOOKS:
            self._guard.equity_seen(ours, theirs, self._agree_ppm)

    def _clock(self, drift_ns: int, most_ns: int) -> None:
        self._drifted = self._drifted + 1 if drift_ns > most_ns else 0
        if self._drifted >= CLOCK_LOOKS:
            self._guard.clock_off(drift_ns, most_ns)
