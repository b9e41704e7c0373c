"""The whole core: take one event, change the world, say what comes out.

Pure: the same world and the same event give the same world and the same output bytes, on every run and every driver.
Reads no clock (time is a field of the event), draws no random number, does no I/O, allocates nothing, takes no lock.

What differs from process to process - the strategies' function pointers and the room for outputs - is in `core_t`,
outside the world. Outputs are 64-byte records of the same shape as inputs: intents to be sent, decisions to be kept.
"""
from libc.stdint cimport int64_t, uint64_t

from engine._core.strategy_abi cimport decide_t, wishes_t
from engine._core.types cimport event_t
from engine._core.world cimport World, world_t


cdef enum:
    STRATEGIES_MAX = 256
    OUTPUTS_MAX = 1024            # of one step: four wishes for each strategy, each one intent or one decision


cdef struct core_t:
    world_t* world
    decide_t decide[STRATEGIES_MAX]
    wishes_t wishes               # of the strategy being called; all zero at every call
    uint64_t out_count            # outputs of the last step
    event_t out[OUTPUTS_MAX]


cdef int step(core_t* core, const event_t* event) noexcept nogil


cdef class Core:
    cdef core_t* c
    cdef readonly World world
    cdef list kept                # what the function pointers point into
