"""Twin of the breakers: lists of outcomes and plain attributes, one thread, the same names.

It is the specification: the kernel must agree with it after every operation, in every answer, count and event.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from types import TracebackType
from typing import Any, Literal, NamedTuple, TypeVar

from engine import errors
from engine._core.types import Status

_T = TypeVar("_T")
TICK_NS = 1 << 20
COOLDOWN_NS_MAX = 30 * 86_400 * 1_000_000_000


class State(IntEnum):
    BREAKER_CLOSED = 0
    BREAKER_IS_OPEN = 1
    BREAKER_HALF_OPEN = 2


class Change(IntEnum):
    CHANGE_CLOSED_TO_OPEN = 0
    CHANGE_OPEN_TO_HALF_OPEN = 1
    CHANGE_HALF_OPEN_TO_CLOSED = 2
    CHANGE_HALF_OPEN_TO_OPEN = 3
    CHANGE_DENIED_BY_DEPENDENCY = 4
    CHANGE_FREED_BY_DEPENDENCY = 5
    CHANGE_GLOBAL_OPENED = 6
    CHANGE_GLOBAL_CLOSED = 7
    CHANGE_COOLDOWN_EXTENDED = 8


class Reason(IntEnum):
    REASON_ERROR_RATE = 1
    REASON_FAILURES_IN_A_ROW = 2
    REASON_TRIAL_FAILED = 3
    REASON_TRIAL_LOST = 4
    REASON_TRIALS_SUCCEEDED = 5
    REASON_COOLDOWN_OVER = 6
    REASON_BY_HAND = 7
    REASON_DEPENDENCY = 8
    REASON_SHARE_OPEN = 9
    REASON_CRITICAL_OPEN = 10
    REASON_RECOVERED = 11


class BreakerEvent(NamedTuple):
    component: str
    change: Change
    reason: Reason
    epoch: int
    now_ns: int
    open: tuple[str, ...]
    detail: int


_CHANGE_OF = {
    (State.BREAKER_CLOSED, State.BREAKER_IS_OPEN): Change.CHANGE_CLOSED_TO_OPEN,
    (State.BREAKER_IS_OPEN, State.BREAKER_HALF_OPEN): Change.CHANGE_OPEN_TO_HALF_OPEN,
    (State.BREAKER_HALF_OPEN, State.BREAKER_CLOSED): Change.CHANGE_HALF_OPEN_TO_CLOSED,
    (State.BREAKER_HALF_OPEN, State.BREAKER_IS_OPEN): Change.CHANGE_HALF_OPEN_TO_OPEN,
}
_COUNTERS = (
    *("success", "failure", "stale", "released"),
    *("denied_open", "denied_half_open", "denied_dependency", "denied_global"),
    *("closed_to_open", "open_to_half_open", "half_open_to_closed", "half_open_to_open"),
    *("trips_by_hand", "resets_honoured", "resets_refused", "resets_needless"),
)


def _tick(now_ns: int) -> int:
    return max(0, now_ns) // TICK_NS


class Breakers:
    def __init__(
        self, *, count_max: int = 64, event_capacity: int = 1024, open_share: float = 0.5, clock: Any = None
    ) -> None:
        if not (
            1 <= count_max <= 64
            and 2 <= event_capacity <= 65536
            and event_capacity.bit_count() == 1
            and 0.0 <= open_share <= 1.0
        ):
            raise errors.BreakerBadConfig(f"{count_max=}, {event_capacity=}, {open_share=}")
        self.count_max = count_max
        self.event_capacity = event_capacity
        self.open_share_bp = int(open_share * 10_000 + 0.5)
        self.clock = clock
        self.by_name: dict[str, Breaker] = {}
        self.events: deque[BreakerEvent] = deque()
        self.events_lost = 0
        self.subscribers: list[Callable[[BreakerEvent], object]] = []
        self.callback_errors = 0
        self.callback_error_last: BaseException | None = None
        self.known_open: set[str] = set()

    def declare(
        self,
        name: str,
        *,
        cooldown_ns: int = 60_000_000_000,
        window: int = 20,
        minimum_calls: int = 10,
        error_rate: float = 0.5,
        failures_in_a_row: int = 3,
        tokens: int = 1,
        successes_to_close: int | None = None,
        critical: bool = False,
        depends_on: Iterable[str] = (),
        failure_on: Iterable[type[BaseException]] = (Exception,),
        ignore: Iterable[type[BaseException]] = (),
        raise_on_trip: bool = False,
    ) -> Breaker:
        closes = tokens if successes_to_close is None else successes_to_close
        below = {self[on].name for on in depends_on}
        good = (
            name not in self.by_name
            and 0 < cooldown_ns <= COOLDOWN_NS_MAX
            and 1 <= window <= 40
            and 1 <= minimum_calls <= window
            and 0.0 <= error_rate <= 1.0
            and 0 <= failures_in_a_row <= window
            and (int(error_rate * 10_000 + 0.5) > 0 or failures_in_a_row > 0)
            and 1 <= tokens <= 15
            and 1 <= closes <= tokens
        )
        if not good:
            raise errors.BreakerBadConfig(name)
        if len(self.by_name) >= self.count_max:
            raise errors.BreakerTableFull(name)
        breaker = Breaker(self, name)
        breaker.cooldown_ticks = -(-cooldown_ns // TICK_NS)
        breaker.outcomes = deque(maxlen=window)
        breaker.minimum_calls = minimum_calls
        breaker.error_rate_bp = int(error_rate * 10_000 + 0.5)
        breaker.row_limit = failures_in_a_row
        breaker.tokens = tokens
        breaker.successes_to_close = closes
        breaker.critical = critical
        breaker.direct = below
        breaker.failure_on = tuple(failure_on)
        breaker.ignore = tuple(ignore)
        breaker.raise_on_trip = raise_on_trip
        self.by_name[name] = breaker
        return breaker

    def depend(self, name: str, on: str) -> None:
        above, below = self[name], self[on]
        if above is below or name in below.all_below():
            raise errors.BreakerCycle(f"{name} needs {on}")
        above.direct.add(on)

    def __getitem__(self, name: str) -> Breaker:
        if name not in self.by_name:
            raise errors.BreakerUnknownComponent(repr(name))
        return self.by_name[name]

    def __len__(self) -> int:
        return len(self.by_name)

    def open_names(self) -> tuple[str, ...]:
        return tuple(name for name in self.by_name if name in self.known_open)

    def _is_global_open(self, names: set[str]) -> bool:
        if any(self[name].critical for name in names):
            return True
        return self.open_share_bp > 0 and bool(names) and len(names) * 10_000 >= self.open_share_bp * len(self)

    @property
    def global_open(self) -> bool:
        return self._is_global_open(self.known_open)

    def require_global_closed(self) -> None:
        if self.global_open:
            raise errors.BreakerGlobalOpen(", ".join(self.open_names()))

    def tick(self, now_ns: int) -> int:
        due = [self[name] for name in self.open_names() if _tick(now_ns) >= self[name].retry_tick]
        for breaker in due:
            breaker.move(State.BREAKER_HALF_OPEN, Reason.REASON_COOLDOWN_OVER, 0, now_ns)
        return len(due)

    def record(self, breaker: Breaker, change: Change, reason: Reason, detail: int, now_ns: int) -> None:
        if len(self.events) >= self.event_capacity:
            self.events_lost += 1
            return
        names = self.open_names()
        self.events.append(BreakerEvent(breaker.name, change, reason, breaker.epoch, now_ns, names, detail))

    def follow(self, breaker: Breaker, now_ns: int) -> None:
        """Let what is derived follow one component: the denied dependents, and the whole."""
        before = set(self.known_open)
        if breaker.state is State.BREAKER_IS_OPEN:
            self.known_open.add(breaker.name)
        else:
            self.known_open.discard(breaker.name)
        if before == self.known_open:
            return
        for other in self.by_name.values():
            was, now = bool(before & other.all_below()), bool(self.known_open & other.all_below())
            if now and not was:
                change, reason = Change.CHANGE_DENIED_BY_DEPENDENCY, Reason.REASON_DEPENDENCY
                self.record(other, change, reason, breaker.id, now_ns)
            elif was and not now:
                change, reason = Change.CHANGE_FREED_BY_DEPENDENCY, Reason.REASON_RECOVERED
                self.record(other, change, reason, breaker.id, now_ns)
        whole_before, whole_now = self._is_global_open(before), self.global_open
        if whole_now and not whole_before:
            critical = any(self[name].critical for name in self.known_open)
            reason = Reason.REASON_CRITICAL_OPEN if critical else Reason.REASON_SHARE_OPEN
            self.record(breaker, Change.CHANGE_GLOBAL_OPENED, reason, len(self.known_open), now_ns)
        elif whole_before and not whole_now:
            reason = Reason.REASON_RECOVERED
            self.record(breaker, Change.CHANGE_GLOBAL_CLOSED, reason, len(self.known_open), now_ns)

    def subscribe(self, callback: Callable[[BreakerEvent], object]) -> None:
        self.subscribers.append(callback)

    def drain(self) -> list[BreakerEvent]:
        out = []
        while self.events:
            event = self.events.popleft()
            out.append(event)
            for callback in self.subscribers:
                try:
                    callback(event)
                except Exception as error:  # noqa: BLE001  (whatever a subscriber raises is its own affair)
                    self.callback_errors += 1
                    self.callback_error_last = error
        return out

    def metrics(self) -> dict[str, dict[str, int]]:
        return {name: breaker.metrics() for name, breaker in self.by_name.items()}

    def check(self) -> None:
        for breaker in self.by_name.values():
            assert (breaker.state is State.BREAKER_IS_OPEN) == (breaker.name in self.known_open)
            assert breaker.succeeded <= breaker.granted <= breaker.tokens
            assert breaker.name not in breaker.all_below()


class Breaker:
    cooldown_ticks: int
    outcomes: deque[bool]
    minimum_calls: int
    error_rate_bp: int
    row_limit: int
    tokens: int
    successes_to_close: int
    critical: bool
    direct: set[str]
    failure_on: tuple[type[BaseException], ...]
    ignore: tuple[type[BaseException], ...]
    raise_on_trip: bool

    def __init__(self, table: Breakers, name: str) -> None:
        self.table = table
        self.name = name
        self.id = len(table)
        self.state = State.BREAKER_CLOSED
        self.epoch = 0
        self.retry_tick = 0
        self.since_tick = 0
        self.granted = 0
        self.succeeded = 0
        self.counts = dict.fromkeys(_COUNTERS, 0)

    def all_below(self) -> set[str]:
        below: set[str] = set()
        todo = list(self.direct)
        while todo:
            name = todo.pop()
            if name not in below:
                below.add(name)
                todo += self.table[name].direct
        return below

    def move(self, state: State, reason: Reason, detail: int, now_ns: int) -> None:
        change = _CHANGE_OF[self.state, state]
        self.counts[_COUNTERS[8 + change]] += 1
        self.state = state
        self.epoch += 1
        self.outcomes.clear()
        self.granted = self.succeeded = 0
        if state is State.BREAKER_IS_OPEN:
            self.retry_tick = self._retry(now_ns)
        self.since_tick = _tick(now_ns)
        self.table.record(self, change, reason, detail, now_ns)
        self.table.follow(self, now_ns)

    def _retry(self, now_ns: int) -> int:
        return -(-max(0, now_ns) // TICK_NS) + self.cooldown_ticks

    @property
    def permit(self) -> int:
        return self.epoch << 2 | self.state

    def _deny(self, counter: str, error: type[errors.BreakerError]) -> errors.BreakerError:
        self.counts[counter] += 1
        return error(self.name)

    def allow(self, now_ns: int) -> int:
        self.table.tick(now_ns)
        if self.table.global_open:
            raise self._deny("denied_global", errors.BreakerGlobalOpen)
        if self.table.known_open & self.all_below():
            raise self._deny("denied_dependency", errors.BreakerDependencyOpen)
        if self.state is State.BREAKER_HALF_OPEN:
            if self.granted < self.tokens:
                self.granted += 1
                return self.permit
            if _tick(now_ns) - self.since_tick < self.cooldown_ticks:
                raise self._deny("denied_half_open", errors.BreakerHalfOpenExhausted)
            self.move(State.BREAKER_IS_OPEN, Reason.REASON_TRIAL_LOST, self.granted, now_ns)
        if self.state is State.BREAKER_IS_OPEN:
            raise self._deny("denied_open", errors.BreakerOpen)
        return self.permit

    def success(self, permit: int, now_ns: int) -> Status:
        return self._settle(permit, False, now_ns)

    def failure(self, permit: int, now_ns: int) -> Status:
        return self._settle(permit, True, now_ns)

    def _settle(self, permit: int, failed: bool, now_ns: int) -> Status:
        trial = self.state is State.BREAKER_HALF_OPEN
        if permit != self.permit or (trial and self.succeeded >= self.granted):
            self.counts["stale"] += 1
            return Status.OK
        self.counts["failure" if failed else "success"] += 1
        if trial:
            if failed:
                self.move(State.BREAKER_IS_OPEN, Reason.REASON_TRIAL_FAILED, 1, now_ns)
                return Status.BREAKER_TOO_MANY_FAILURES
            self.succeeded += 1
            if self.succeeded == self.successes_to_close:
                self.move(State.BREAKER_CLOSED, Reason.REASON_TRIALS_SUCCEEDED, 0, now_ns)
            return Status.OK
        self.outcomes.append(failed)
        failures = sum(self.outcomes)
        if self.row_limit and self.failures_in_a_row >= self.row_limit:
            self.move(State.BREAKER_IS_OPEN, Reason.REASON_FAILURES_IN_A_ROW, failures, now_ns)
            return Status.BREAKER_TOO_MANY_FAILURES
        if self.error_rate_bp and failures and failures * 10_000 >= self.error_rate_bp * self.calls:
            if self.calls < self.minimum_calls:
                return Status.BREAKER_MINIMUM_CALLS_NOT_MET
            self.move(State.BREAKER_IS_OPEN, Reason.REASON_ERROR_RATE, failures, now_ns)
            return Status.BREAKER_TOO_MANY_FAILURES
        return Status.OK

    def release(self, permit: int) -> None:
        if self.state is State.BREAKER_HALF_OPEN and permit == self.permit and self.granted > self.succeeded:
            self.granted -= 1
        self.counts["released"] += 1

    def trip(self, now_ns: int) -> None:
        self.counts["trips_by_hand"] += 1
        if self.state is State.BREAKER_IS_OPEN:
            self.retry_tick = max(self.retry_tick, self._retry(now_ns))
            self.table.record(self, Change.CHANGE_COOLDOWN_EXTENDED, Reason.REASON_BY_HAND, 0, now_ns)
        else:
            self.move(State.BREAKER_IS_OPEN, Reason.REASON_BY_HAND, 0, now_ns)

    def reset(self, now_ns: int) -> None:
        if self.state is not State.BREAKER_IS_OPEN:
            self.counts["resets_needless"] += 1
        elif _tick(now_ns) >= self.retry_tick:
            self.counts["resets_honoured"] += 1
            self.move(State.BREAKER_HALF_OPEN, Reason.REASON_BY_HAND, 0, now_ns)
        else:
            self.counts["resets_refused"] += 1
            raise errors.BreakerCooldown(self.name)

    @property
    def calls(self) -> int:
        return len(self.outcomes)

    @property
    def failures_in_a_row(self) -> int:
        outcomes = list(self.outcomes)
        return next((i for i, failed in enumerate(reversed(outcomes)) if not failed), len(outcomes))

    def error_rate(self) -> float:
        if self.calls < self.minimum_calls:
            raise errors.BreakerMinimumCallsNotMet(self.name)
        return sum(self.outcomes) / self.calls

    def settle_error(self, permit: int, error: BaseException) -> None:
        status = Status.OK
        if isinstance(error, self.ignore):
            status = self.success(permit, self.table.clock.now_ns)
        elif isinstance(error, self.failure_on):
            status = self.failure(permit, self.table.clock.now_ns)
        else:
            self.release(permit)
        if status == Status.BREAKER_TOO_MANY_FAILURES and self.raise_on_trip:
            raise errors.BreakerTooManyFailures(f"{self.name}: {error!r}")

    def call(self, f: Callable[..., _T], *args: Any) -> _T:
        permit = self.allow(self.table.clock.now_ns)
        try:
            result = f(*args)
        except BaseException as error:
            self.settle_error(permit, error)
            raise
        self.success(permit, self.table.clock.now_ns)
        return result

    def guard(self) -> Guard:
        return Guard(self)

    def metrics(self) -> dict[str, int]:
        allowed = sum(self.counts[name] for name in _COUNTERS[:4])
        return {"allowed": allowed, **self.counts}


class Guard:
    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.permit: int | None = None

    def __enter__(self) -> Guard:
        if self.permit is not None:
            raise RuntimeError("this guard is already entered")
        self.permit = self.breaker.allow(self.breaker.table.clock.now_ns)
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        assert self.permit is not None
        permit, self.permit = self.permit, None
        if error is None:
            self.breaker.success(permit, self.breaker.table.clock.now_ns)
        else:
            self.breaker.settle_error(permit, error)
        return False
