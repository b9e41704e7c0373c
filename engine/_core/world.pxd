"""The world: all core state in one block without a pointer.

A header with magic, layout version, capacities, seed and the sections' offsets, then one section per kind of record.
So a snapshot is a copy, a clone is a copy, the state hash is a hash of the block, and recovery is "load a copy, step
the tail". Function pointers, file descriptors and output buffers live outside, in whoever drives the step: they
differ from process to process and must not enter the hash.

Every padding byte is a named, zeroed field, because the block is hashed.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from engine._core.instruments cimport instrument_t
from engine._core.ledger cimport ledger_positions, ledger_t
from engine._core.orders cimport orders_t
from engine._core.limits cimport limits_t
from engine._core.positions cimport position_t
from engine._core.risk cimport account_t, gate_t
from engine._core.strategy cimport strategy_t


cdef struct world_t:
    # line 0: what it is
    uint64_t magic
    uint32_t layout
    uint32_t symbol_count
    uint64_t size                 # of the whole block
    uint64_t seed
    uint32_t strategy_count
    uint32_t order_capacity
    uint64_t reserved_0[3]
    # line 1: what changes with every event
    int64_t now_ns
    uint64_t event_count
    uint64_t refused_count        # events that the step refused with a status
    uint64_t intent_count
    uint64_t denied_count
    uint64_t fill_count
    uint64_t stopped_count        # strategies stopped
    uint64_t reserved_1
    # line 2: where the sections begin
    uint64_t instruments_at
    uint64_t orders_at
    uint64_t ledger_at
    uint64_t strategies_at
    uint64_t gate_at
    uint64_t reserved_2[3]
    limits_t limits
    account_t account


cdef inline instrument_t* world_instruments(world_t* w) noexcept nogil:
    return <instrument_t*>(<char*>w + w.instruments_at)

cdef inline orders_t* world_orders(world_t* w) noexcept nogil:
    return <orders_t*>(<char*>w + w.orders_at)

cdef inline ledger_t* world_ledger(world_t* w) noexcept nogil:
    return <ledger_t*>(<char*>w + w.ledger_at)

cdef inline position_t* world_positions(world_t* w) noexcept nogil:
    return ledger_positions(world_ledger(w))

cdef inline gate_t* world_gate(world_t* w) noexcept nogil:
    return <gate_t*>(<char*>w + w.gate_at)

cdef inline strategy_t* world_strategies(world_t* w) noexcept nogil:
    return <strategy_t*>(<char*>w + w.strategies_at)


cdef class World:
    cdef world_t* c
