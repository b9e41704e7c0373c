"""One rate budget for one venue: what may be sent now, by whom, and when there is room again.

Owns: the counts of every limit the venue states (weight, orders, raw requests) - the windows themselves are compiled
and lie in `Spender` -, the lanes' shares, back-off and ban.
Does not own: the clock (the venue's time comes in), sockets, what a request weighs (the venue's own tables).

REST and WebSocket of a venue draw on one budget, because the venue counts them so. Windows are the venue's: aligned to
the wall clock. Our clock and the path differ from the venue's, so what was sent in the last `guard_ns` before a window
began counts in the new one too: it may have arrived there.

Lanes: CANCEL (cancels and orders that reduce) may use a limit up to its safety margin; RECONCILE leaves CANCEL its
reserve; NEW leaves both theirs. So a storm of new orders never stands in the way of a cancel.

After a 429 the venue is left alone for the time it named, longer each time it repeats; a few cancels still pass, then
none: whoever goes on is banned, and a ban takes cancels too. Under a ban nothing passes. Cost: what is allowed is
allowed by compiled code (engine/net/spending.pxd); a denial takes a microsecond or two to be explained.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from engine.net.spending import Spender, Window

SECOND = 1_000_000_000
NEVER = 2**63 - 1


class Lane(IntEnum):
    CANCEL = 0
    RECONCILE = 1
    NEW = 2


class LimitKind(IntEnum):
    WEIGHT = 0
    ORDERS = 1
    RAW = 2


class Deny(IntEnum):
    """Why not."""

    NONE = 0
    LIMIT = 1
    BACK_OFF = 2
    BANNED = 3
    TOO_HEAVY = 4  # more than the lane's whole share: it will never pass


@dataclass(frozen=True)
class Limit:
    kind: LimitKind
    interval_ns: int
    most: int

    def __post_init__(self) -> None:
        if self.interval_ns <= 0 or self.most <= 0:
            raise ValueError(f"{self}: interval and limit are positive")


@dataclass(frozen=True)
class Verdict:
    deny: Deny
    wait_ns: int = 0
    limit: Limit | None = None

    @property
    def ok(self) -> bool:
        return self.deny is Deny.NONE


@dataclass(frozen=True)
class BudgetConfig:
    margin: float = 0.05  # of a limit, never used: what others on this address may send
    reserve_cancel: float = 0.20
    reserve_reconcile: float = 0.15
    guard_ns: int = SECOND
    back_off_ns: int = 5 * SECOND  # after a 429 that names no time
    back_off_most_ns: int = 300 * SECOND
    cancels_in_back_off: int = 3
    ban_ns: int = 120 * SECOND  # after a 418 that names no time

    def __post_init__(self) -> None:
        shares = (self.margin, self.reserve_cancel, self.reserve_reconcile)
        if any(s < 0 for s in shares) or sum(shares) >= 1:
            raise ValueError(f"margin and reserves {shares} leave nothing")


_OK = Verdict(Deny.NONE)


class RateBudget(Spender):
    """The budget of one venue and address (or account)."""

    def __init__(self, limits: Iterable[Limit], config: BudgetConfig | None = None) -> None:
        self.config = config or BudgetConfig()
        super().__init__([], self.config.guard_ns)
        self.windows = [Window(limit, self._shares(limit)) for limit in limits]
        if len({(w.limit.kind, w.limit.interval_ns) for w in self.windows}) != len(self.windows):
            raise ValueError("a limit of one kind and interval stands twice")
        self._strikes = 0
        self._cancels_left = 0
        self.denied_count = dict.fromkeys(Lane, 0)
        self.strike_count = 0
        self.ban_count = 0

    # -------------------------------------------------------------------------------------------------- before sending
    def share(self, limit: Limit, lane: Lane) -> int:
        """How much of a limit a lane may fill."""
        c = self.config
        kept = c.margin + (c.reserve_cancel if lane > Lane.CANCEL else 0)
        kept += c.reserve_reconcile if lane > Lane.RECONCILE else 0
        return max(1, int(limit.most * (1 - kept)))

    def _shares(self, limit: Limit) -> list[int]:
        return [self.share(limit, lane) for lane in Lane]

    def ask(self, lane: Lane, now_ns: int, *, weight: int = 1, orders: int = 0) -> Verdict:
        """Whether a request may go now; nothing is spent."""
        if now_ns < self.banned_until_ns:
            return Verdict(Deny.BANNED, self.banned_until_ns - now_ns)
        if now_ns < self.back_off_until_ns and not (lane is Lane.CANCEL and self._cancels_left > 0):
            return Verdict(Deny.BACK_OFF, self.back_off_until_ns - now_ns)
        if orders and lane is Lane.NEW and now_ns < self.orders_until_ns:
            return Verdict(Deny.BACK_OFF, self.orders_until_ns - now_ns)
        worst = _OK
        for window in self.windows:
            window.roll(now_ns, self.config.guard_ns)
            count, share = window.count(weight, orders), window.share(lane)
            if count > share:
                return Verdict(Deny.TOO_HEAVY, NEVER, window.limit)
            if count and window.used + count > share:
                wait = max(1, window.ends_ns() - now_ns)
                if wait > worst.wait_ns:
                    worst = Verdict(Deny.LIMIT, wait, window.limit)
        return worst

    def take(self, lane: Lane, now_ns: int, *, weight: int = 1, orders: int = 0) -> Verdict:
        """Ask, and spend when allowed. Call it right before the bytes leave."""
        if self.spend(lane, now_ns, weight=weight, orders=orders):
            return _OK
        verdict = self.ask(lane, now_ns, weight=weight, orders=orders)
        if not verdict.ok:
            self.denied_count[lane] += 1
            return verdict
        if now_ns < self.back_off_until_ns:
            self._cancels_left -= 1
        for window in self.windows:
            window.spend(window.count(weight, orders), now_ns)
        return verdict

    def open_until(self, now_ns: int) -> int:
        """New orders may be asked for until then: 0 when they may not now."""
        blocked = now_ns < max(self.banned_until_ns, self.back_off_until_ns, self.orders_until_ns)
        return 0 if blocked else NEVER

    # ------------------------------------------------------------------------------------------- what the venue says
    def told(self, kind: LimitKind, interval_ns: int, count: int, now_ns: int) -> None:
        """The venue's own count. It can only raise ours: an answer is older than what was sent since."""
        for window in self.windows:
            if window.limit.kind is kind and window.limit.interval_ns == interval_ns:
                window.roll(now_ns, self.config.guard_ns)
                window.used = max(window.used, count)

    def give_back(self, kind: LimitKind, count: int, now_ns: int) -> None:
        """The venue returns what it said it would: an order's first fill, a request that weighed nothing after all."""
        for window in self.windows:
            if window.limit.kind is kind:
                window.roll(now_ns, self.config.guard_ns)
                window.used = max(0, window.used - count)

    def too_many(self, now_ns: int, retry_after_ns: int | None = None) -> None:
        """A 429: leave the venue alone. Repeats inside a back-off were under way already and do not double it."""
        self.strike_count += 1
        if now_ns >= self.back_off_until_ns:
            calm = now_ns - self.back_off_until_ns > self.config.back_off_most_ns
            self._strikes = 0 if calm else self._strikes + 1
            self._cancels_left = self.config.cancels_in_back_off
        wait = retry_after_ns if retry_after_ns is not None else self.config.back_off_ns
        wait = max(wait, min(self.config.back_off_ns << min(self._strikes, 10), self.config.back_off_most_ns))
        self.back_off_until_ns = max(self.back_off_until_ns, min(now_ns + wait, NEVER))

    def too_many_orders(self, now_ns: int, retry_after_ns: int | None = None) -> None:
        """The order count alone is used up: cancels and questions go on."""
        ends = [w.ends_ns() for w in self.windows if w.limit.kind is LimitKind.ORDERS and w.number >= 0]
        wait = retry_after_ns if retry_after_ns is not None else self.config.back_off_ns
        until = max([now_ns + wait, *(min(end, now_ns + self.config.back_off_most_ns) for end in ends[:1])])
        self.orders_until_ns = max(self.orders_until_ns, min(until, NEVER))

    def banned(self, now_ns: int, until_ns: int | None = None) -> None:
        """A 418, or a text that says so: nothing at all until it ends."""
        self.ban_count += 1
        until = until_ns if until_ns is not None else now_ns + self.config.ban_ns
        self.banned_until_ns = max(self.banned_until_ns, min(until, NEVER))

    def resize(self, limits: Iterable[Limit]) -> None:
        """Limits as the venue states them now. Counts of those that stay are kept."""
        kept = {(w.limit.kind, w.limit.interval_ns): w for w in self.windows}
        self.windows = []
        for limit in limits:
            shares = self._shares(limit)
            window = kept.get((limit.kind, limit.interval_ns)) or Window(limit, shares)
            window.resize(limit, shares)
            self.windows.append(window)

    # ----------------------------------------------------------------------------------------------------- to be shown
    def forecast_ns(self, now_ns: int, lane: Lane = Lane.NEW) -> int:
        """Time until the lane's share of some limit is used up at this window's pace; NEVER when it will not be."""
        soonest = NEVER
        for window in self.windows:
            window.roll(now_ns, self.config.guard_ns)
            elapsed = max(1, now_ns - window.number * window.limit.interval_ns)
            left = self.share(window.limit, lane) - window.used
            if left <= 0:
                return 0
            if window.used:
                need = left * elapsed // window.used
                if now_ns + need < window.ends_ns():
                    soonest = min(soonest, need)
        return soonest

    def usage(self, now_ns: int) -> dict[str, tuple[int, int]]:
        """Used and limit, by name."""
        out = {}
        for window in self.windows:
            window.roll(now_ns, self.config.guard_ns)
            name = f"{window.limit.kind.name.lower()}_{window.limit.interval_ns // SECOND}s"
            out[name] = (window.used, window.limit.most)
        return out

    def check(self) -> None:
        for window in self.windows:
            assert window.used >= 0
            assert window.recent_count >= 0
        assert self._cancels_left >= 0
