"""The world: all core state in one block without a pointer.

A header with magic, layout version, capacities, seed and the sections' offsets, then one section per stem.
So a snapshot is a copy, a clone is a copy, the state hash is a hash of the block, and recovery is "load a copy, step
the tail". Function pointers, file descriptors and output buffers live outside, in whoever drives the step: they
differ from process to process and must not enter the hash.

A section whose capacity is 0 is not there, and `guards` names those that are: a world without `validate` or
`discipline` is for tests of one part; what trades is built with all of them.

Every padding byte is a named, zeroed field, because the block is hashed.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from engine._core.algos cimport algos_t
from engine._core.book cimport book_t
from engine._core.brackets cimport brackets_t
from engine._core.correlation cimport correlation_t
from engine._core.discipline cimport discipline_t
from engine._core.instruments cimport instrument_t
from engine._core.ledger cimport ledger_positions, ledger_t
from engine._core.limits cimport limits_t
from engine._core.modes cimport modes_fact_t, modes_t
from engine._core.orders cimport orders_t
from engine._core.positions cimport position_t
from engine._core.risk cimport account_t, gate_t
from engine._core.routing cimport routing_t
from engine._core.strategy cimport strategy_t
from engine._core.triggers cimport triggers_t
from engine._core.validate cimport validate_t
from engine._core.world_rows cimport world_shape_t, world_symbol_t, world_trade_t, world_venue_t


cdef enum section_t:
    SECTION_INSTRUMENTS = 0
    SECTION_ORDERS = 1
    SECTION_LEDGER = 2
    SECTION_STRATEGIES = 3
    SECTION_GATE = 4
    SECTION_SYMBOLS = 5
    SECTION_VENUES = 6
    SECTION_TRADES = 7
    SECTION_MODES = 8
    SECTION_FACTS = 9             # what the modes are shown: filled anew before each of their steps
    SECTION_VALIDATE = 10
    SECTION_BOOKS = 11
    SECTION_BRACKETS = 12
    SECTION_TRIGGERS = 13
    SECTION_DISCIPLINE = 14
    SECTION_CORRELATION = 15
    SECTION_ROUTING = 16
    SECTION_ALGOS = 17
    SECTION_FEATURES = 18
    SECTION_COUNT = 19
    SECTIONS_MAX = 24


cdef struct world_t:
    # line 0: what it is
    uint64_t magic
    uint32_t layout
    uint32_t symbol_count
    uint64_t size                 # of the whole block
    uint64_t seed
    uint32_t strategy_count
    uint32_t order_capacity
    uint64_t book_bytes           # of one book
    int64_t ts_sampled_ns         # last sample of the correlation
    uint32_t accounted            # the account's words follow the ledger
    uint32_t venue_count
    # line 1: what changes with every event
    int64_t now_ns
    uint64_t event_count
    uint64_t refused_count        # events that the step refused with a status
    uint64_t intent_count
    uint64_t denied_count
    uint64_t fill_count
    uint64_t stopped_count        # strategies stopped
    uint64_t incident_count
    # line 2
    int64_t venue_equity          # what the venue's balances add up to; 0: never stated
    int64_t ts_venue_equity_ns
    uint64_t output_lost_count    # outputs that found no room: trips the latch
    uint64_t revalue_failed_count
    uint64_t mode_refused_count
    int64_t id_funding            # highest payment booked
    uint64_t reserved_2[2]
    world_shape_t shape
    limits_t limits
    account_t account
    uint64_t at[SECTIONS_MAX]     # offset of each section, 0: not there


cdef inline void* world_section(const world_t* w, int which) noexcept nogil:
    return <char*>w + w.at[which]

cdef inline bint world_has(const world_t* w, int which) noexcept nogil:
    return w.at[which] != 0

cdef inline instrument_t* world_instruments(const world_t* w) noexcept nogil:
    return <instrument_t*>world_section(w, SECTION_INSTRUMENTS)

cdef inline orders_t* world_orders(const world_t* w) noexcept nogil:
    return <orders_t*>world_section(w, SECTION_ORDERS)

cdef inline ledger_t* world_ledger(const world_t* w) noexcept nogil:
    return <ledger_t*>world_section(w, SECTION_LEDGER)

cdef inline position_t* world_positions(const world_t* w) noexcept nogil:
    return ledger_positions(world_ledger(w))

cdef inline gate_t* world_gate(const world_t* w) noexcept nogil:
    return <gate_t*>world_section(w, SECTION_GATE)

cdef inline strategy_t* world_strategies(const world_t* w) noexcept nogil:
    return <strategy_t*>world_section(w, SECTION_STRATEGIES)

cdef inline world_symbol_t* world_symbols(const world_t* w) noexcept nogil:
    return <world_symbol_t*>world_section(w, SECTION_SYMBOLS)

cdef inline world_venue_t* world_venues(const world_t* w) noexcept nogil:
    return <world_venue_t*>world_section(w, SECTION_VENUES)

cdef inline world_trade_t* world_trades(const world_t* w) noexcept nogil:
    return <world_trade_t*>world_section(w, SECTION_TRADES)

cdef inline modes_t* world_modes(const world_t* w) noexcept nogil:
    return <modes_t*>world_section(w, SECTION_MODES)

cdef inline modes_fact_t* world_facts(const world_t* w) noexcept nogil:
    return <modes_fact_t*>world_section(w, SECTION_FACTS)

# The rest may be absent: ask `world_has` first.
cdef inline validate_t* world_validate(const world_t* w) noexcept nogil:
    return <validate_t*>world_section(w, SECTION_VALIDATE)

cdef inline book_t* world_book(const world_t* w, uint16_t symbol) noexcept nogil:
    return <book_t*>(<char*>world_section(w, SECTION_BOOKS) + <size_t>symbol * w.book_bytes)

cdef inline brackets_t* world_brackets(const world_t* w) noexcept nogil:
    return <brackets_t*>world_section(w, SECTION_BRACKETS)

cdef inline triggers_t* world_triggers(const world_t* w) noexcept nogil:
    return <triggers_t*>world_section(w, SECTION_TRIGGERS)

cdef inline discipline_t* world_discipline(const world_t* w) noexcept nogil:
    return <discipline_t*>world_section(w, SECTION_DISCIPLINE)

cdef inline correlation_t* world_correlation(const world_t* w) noexcept nogil:
    return <correlation_t*>world_section(w, SECTION_CORRELATION)

cdef inline routing_t* world_routing(const world_t* w) noexcept nogil:
    return <routing_t*>world_section(w, SECTION_ROUTING)

cdef inline algos_t* world_algos(const world_t* w) noexcept nogil:
    return <algos_t*>world_section(w, SECTION_ALGOS)


# A copy of `size` bytes of rows as an array of a dtype made once: deriving one from a struct costs tens of microseconds.
cdef object rows_copy(const void* rows, size_t size, dtype)


cdef class World:
    cdef world_t* c

    cdef int _build(self, const world_shape_t* s, uint64_t seed, dict rules, dict modes, dict deadlines,
                    dict bracket_rules, mode, uint32_t samples_min, double weight, int64_t day_cut_ns) except -1
    cdef int _take(self, image) except -1
    cdef int _symbol(self, uint32_t symbol) except -1
    cdef int _check_sums(self) except -1
