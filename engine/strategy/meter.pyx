"""Measures each call of a strategy, for the driver; the core never learns of a clock.

A metered strategy is bound through an entry of this module, which reads the cycle counter, calls the real `decide`
and reads it again. What it finds is a fact about this run and this machine, so it must not change the world by
itself: it becomes a KIND_STRATEGY event, which the driver records on the tape and steps like any other input. A
replay has the event and needs no meter, and stops the same strategy at the same place.

The policy: one call beyond `hard_ns` stops at once. A call beyond `budget_ns` is a strike; `strikes_max` strikes
stop; `forgive_count` calls in time take one strike away again. A single preemption by the system is thus no verdict.
A call that never returns is not seen here - accepted sources have no such loop, and the watchdog has the last word.

One thread owns a meter: the one that steps. Cost: two readings of the counter, about 20 ns a call.
"""
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

import numpy as np

from engine._core.clock import ns_per_cycle
from engine._core.strategy import StopReason, StrategyAct
from engine._core.types import EVENT, Kind

from engine._core.clock cimport clock_cycles
from engine._core.memory cimport block_free, block_new
from engine._core.strategy_abi cimport decide_t, view_t, wishes_t
from engine._core.types cimport STRATEGY_BAD_ACT, STRATEGY_SLOTS_FULL, raise_status


cdef extern from * nogil:
    """
    static int (*bot4_meter_target)(int, void*, void*);
    #define BOT4_METER(n) static int bot4_meter_##n(void* v, void* w) { return bot4_meter_target(0##n, v, w); }
    #define BOT4_METER8(d) BOT4_METER(d##0) BOT4_METER(d##1) BOT4_METER(d##2) BOT4_METER(d##3) \\
                           BOT4_METER(d##4) BOT4_METER(d##5) BOT4_METER(d##6) BOT4_METER(d##7)
    #define BOT4_METER64(h) BOT4_METER8(h##0) BOT4_METER8(h##1) BOT4_METER8(h##2) BOT4_METER8(h##3) \\
                            BOT4_METER8(h##4) BOT4_METER8(h##5) BOT4_METER8(h##6) BOT4_METER8(h##7)
    BOT4_METER64(0) BOT4_METER64(1) BOT4_METER64(2) BOT4_METER64(3)
    #define BOT4_MNAME8(d) bot4_meter_##d##0, bot4_meter_##d##1, bot4_meter_##d##2, bot4_meter_##d##3, \\
                           bot4_meter_##d##4, bot4_meter_##d##5, bot4_meter_##d##6, bot4_meter_##d##7
    #define BOT4_MNAME64(h) BOT4_MNAME8(h##0), BOT4_MNAME8(h##1), BOT4_MNAME8(h##2), BOT4_MNAME8(h##3), \\
                            BOT4_MNAME8(h##4), BOT4_MNAME8(h##5), BOT4_MNAME8(h##6), BOT4_MNAME8(h##7)
    static int (*bot4_meters[256])(void*, void*) = {
        BOT4_MNAME64(0), BOT4_MNAME64(1), BOT4_MNAME64(2), BOT4_MNAME64(3)
    };
    """
    int (*bot4_meter_target)(int, void*, void*) noexcept
    int (*bot4_meters[256])(void*, void*) noexcept


cdef enum:
    SLOTS = 256


cdef struct slot_t:               # two cache lines
    decide_t decide
    uint64_t budget_cycles
    uint64_t hard_cycles
    int64_t strikes
    int64_t strikes_max
    int64_t in_time_count         # since the last strike was given or taken away
    int64_t forgive_count
    uint64_t call_count
    uint64_t worst_cycles
    uint64_t over_count
    uint64_t over_cycles          # of the call that brought the verdict, 0 without one
    uint32_t strategy
    uint32_t used
    uint64_t* pending             # the meter's count of verdicts that no event was made of yet
    int64_t reserved[3]


cdef slot_t _slots[SLOTS]


cdef int _measure(int at, void* view, void* wishes) noexcept nogil:
    cdef slot_t* s = &_slots[at]
    cdef uint64_t start = clock_cycles(), took
    cdef int answer = s.decide(<view_t*>view, <wishes_t*>wishes)
    took = clock_cycles() - start
    s.call_count += 1
    if took > s.worst_cycles:
        s.worst_cycles = took
    if took <= s.budget_cycles:
        if s.strikes:
            s.in_time_count += 1
            if s.in_time_count >= s.forgive_count:
                s.strikes -= 1
                s.in_time_count = 0
        return answer
    s.over_count += 1
    s.strikes += 1
    s.in_time_count = 0
    if s.over_cycles == 0 and (took > s.hard_cycles or s.strikes >= s.strikes_max):
        s.over_cycles = took
        s.pending[0] += 1
    return answer


bot4_meter_target = _measure


@cython.final
cdef class Meter:
    """The time budgets of one core's strategies."""

    cdef uint64_t* pending
    cdef list slots
    cdef list kept

    def __cinit__(self):
        self.pending = <uint64_t*>block_new(64)
        self.slots = []
        self.kept = []

    def __dealloc__(self):
        for at in self.slots or ():
            _slots[at].used = 0
        block_free(self.pending)

    def wrap(self, uint32_t strategy, uintptr_t address, *, int64_t budget_ns, int64_t hard_ns, int64_t strikes_max=3,
             int64_t forgive_count=1000, keep=None):
        """The address to bind in place of `address`. `keep` owns the code and is held as long as the meter."""
        cdef slot_t* s
        cdef double cycles = 1.0 / ns_per_cycle()
        cdef int at
        if budget_ns < 0 or hard_ns < budget_ns or strikes_max < 1 or forgive_count < 1 or address == 0:
            raise_status(STRATEGY_BAD_ACT, f"budget_ns={budget_ns}, hard_ns={hard_ns}, strikes_max={strikes_max}")
        for at in range(SLOTS):
            s = &_slots[at]
            if not s.used:
                s.decide = <decide_t>address
                s.budget_cycles = <uint64_t>(budget_ns * cycles)
                s.hard_cycles = <uint64_t>(hard_ns * cycles)
                s.strikes = s.in_time_count = 0
                s.call_count = s.worst_cycles = s.over_count = s.over_cycles = 0
                s.strikes_max = strikes_max
                s.forgive_count = forgive_count
                s.strategy = strategy
                s.pending = self.pending
                s.used = 1
                self.slots.append(at)
                self.kept.append(keep)
                return <uintptr_t>bot4_meters[at]
        raise_status(STRATEGY_SLOTS_FULL, f"{SLOTS} in use")

    @property
    def pending_count(self):
        """Verdicts without an event yet: what a driver looks at after each batch."""
        return self.pending[0]

    def stop_events(self, int64_t now_ns):
        """The verdicts as input events, in the order of their strategies; each is given once."""
        events = []
        for at in sorted(self.slots, key=lambda at: _slots[at].strategy):
            if _slots[at].over_cycles:
                event = np.zeros(1, EVENT)
                event["kind"] = Kind.KIND_STRATEGY
                event["ts_recv_ns"] = now_ns
                event["word"][0, :4] = (
                    _slots[at].strategy, StrategyAct.STRATEGY_ACT_STOP, StopReason.STOPPED_OVERTIME,
                    <int64_t>(_slots[at].over_cycles * ns_per_cycle()),
                )
                events.append(event)
                # Stopped strategies are not called again; a resumed one begins with a clean slate.
                _slots[at].over_cycles = 0
                _slots[at].strikes = 0
        self.pending[0] = 0
        return np.concatenate(events) if events else np.zeros(0, EVENT)

    def figures(self):
        """{strategy: {calls, worst_ns, over}} for reports."""
        return {
            _slots[at].strategy: {
                "calls": _slots[at].call_count,
                "worst_ns": int(_slots[at].worst_cycles * ns_per_cycle()),
                "over": _slots[at].over_count,
                "strikes": _slots[at].strikes,
            }
            for at in self.slots
        }
