"""Execution algorithms inside the step: a wish becomes a parent, its children pass the gate, its end is a record.

Owns: starting a parent from a wish, carrying out the slices' actions, telling a parent how its children fared, calling
parents off, the record of each change of state (KIND_ALGO). Does not own: schedules (algos), the gate (each child goes
through `place` like any order), the rules before the first child (own limits, discipline: step_wishes).

A child is known by its tag (the parent's row), its leg (the child's number) and its signal (the parent's number), so
a late report of an older parent's child reaches no newer one. A parent that has ended stands for its wish until that is
another one, so what was done is never begun again; then its row is free. An iceberg that the venue does not have is such a
parent too; it stands in for one order, so once it is filled the same wish is a new one, as with any order.
Cost: nothing while no parent lives; then one pass over the rows for each price of their symbol.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t

from engine._core.algos cimport algo_t
from engine._core.orders cimport order_t
from engine._core.step_out cimport core_t
from engine._core.strategy_abi cimport wish_t
from engine._core.types cimport event_t
from engine._core.world cimport world_t


cdef enum:
    TAG_ALGO = 0x4000             # and the row of the parent; its child's number is the order's leg


cdef bint is_sliced(const world_t* w, uint16_t symbol, const wish_t* wish) noexcept nogil
cdef int64_t start_algo(core_t* core, const event_t* cause, uint32_t strategy, bint sell, const wish_t* wish,
                        int* status) noexcept nogil
cdef void forget_algo(core_t* core, const algo_t* a) noexcept nogil
cdef algo_t* find_algo(core_t* core, int64_t id_algo) noexcept nogil
cdef bint algo_looks_like(const algo_t* a, const wish_t* wish) noexcept nogil
cdef void call_off(core_t* core, const event_t* cause, algo_t* a) noexcept nogil
cdef void call_off_symbol(core_t* core, const event_t* cause, uint16_t symbol, bint entries_only) noexcept nogil
cdef void tell_algo(core_t* core, const event_t* cause, const order_t* o, int64_t filled_lots) noexcept nogil
cdef void work_algos(core_t* core, const event_t* cause, uint32_t symbol) noexcept nogil
