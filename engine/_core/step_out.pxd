"""What a step is given and what it says: the core's record, the room for outputs, denials and incidents.

Owns: `core_t` (the world's pointer, the strategies' code, the outputs of the last step) and the only way to write an
output. Does not own: any decision. An output that finds no room is counted and trips the latch: what was not said
must not be acted upon later as if it had been. `expose` tells gate and correlation what a symbol holds; it is called
after every change of a position, a live order or a price, so nobody reads an exposure that is older than its cause.
Cost: a record is one cache line; exposing a symbol some 10 ns, its touch alone 3 ns while nothing is held.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.ledger cimport ledger_owned_lots, ledger_positions
from engine._core.strategy_abi cimport decide_t, view_t, wish_t, wishes_t
from engine._core.types cimport event_t, stage_t
from engine._core.world cimport world_instruments, world_ledger, world_t


cdef enum:
    STRATEGIES_MAX = 256
    OUTPUTS_MAX = 8192            # of one step: four wishes for each strategy, each an intent, its terms and a record

cdef extern from *:
    """
    /* The latch bits that the core itself sets; the lower ones are the reasons of the latch in memory. */
    #define BOT4_OUTPUT_LATCH (INT64_C(1) << 32)
    #define BOT4_LEDGER_LATCH (INT64_C(1) << 33)
    #define BOT4_DRAWDOWN_LATCH (INT64_C(1) << 34)
    """
    const int64_t OUTPUT_LATCH "BOT4_OUTPUT_LATCH"
    const int64_t LEDGER_LATCH "BOT4_LEDGER_LATCH"
    const int64_t DRAWDOWN_LATCH "BOT4_DRAWDOWN_LATCH"


# Fills a view's features before its strategy decides: given the section, the event and whose view it is. Returns how many.
ctypedef int (*features_t)(void* section, const event_t* event, uint32_t strategy, view_t* view) noexcept nogil


cdef struct core_t:
    world_t* world
    decide_t decide[STRATEGIES_MAX]
    features_t features
    wishes_t wishes               # of the strategy being called; all zero at every call
    uint64_t out_count            # outputs of the last step
    uint64_t depth                # of actions that lead to actions
    event_t out[OUTPUTS_MAX + 1]  # the last one takes what finds no room


cdef event_t* next_output(core_t* core, const event_t* cause, uint8_t kind) noexcept nogil
cdef void deny(core_t* core, const event_t* cause, int64_t strategy, int64_t tag, stage_t stage, uint16_t symbol,
               bint sell, int64_t px_ticks, int64_t qty_lots, int64_t reasons, int64_t headroom_lots) noexcept nogil
cdef void note(core_t* core, const event_t* cause, int64_t strategy, int64_t tag, uint16_t symbol, bint sell,
               int64_t px_ticks, int64_t qty_lots, int64_t reasons) noexcept nogil
cdef void incident(core_t* core, const event_t* cause, int64_t what, uint16_t symbol, int64_t id_order,
                   int64_t believed, int64_t found, int64_t strategy) noexcept nogil
cdef void expose(world_t* w, uint16_t symbol) noexcept nogil
cdef void expose_touch(world_t* w, uint16_t symbol) noexcept nogil
cdef void expose_venue(world_t* w, int64_t venue) noexcept nogil


cdef inline bint owned_only(const world_t* w, uint16_t symbol) noexcept nogil:
    """Whether what is sold of a symbol must be there: spot without a loan."""
    return world_instruments(w)[symbol].cash_only != 0


cdef inline int64_t dust_lots(const world_t* w, uint16_t symbol) noexcept nogil:
    """Lots of a long position that the account does not have whole: fees in the base asset took a part of them."""
    cdef int64_t lots = ledger_positions(world_ledger(w))[symbol].lots, owned
    if lots <= 0 or not owned_only(w, symbol):
        return 0
    owned = ledger_owned_lots(world_ledger(w), symbol)
    return lots - owned if owned < lots else 0
