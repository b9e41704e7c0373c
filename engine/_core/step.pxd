"""The whole core: take one event, change the world, say what comes out.

Pure: the same world and the same event give the same world and the same output bytes, on every run and every driver.
Reads no clock (time is a field of the event), draws no random number, does no I/O, allocates nothing, takes no lock.

This stem only dispatches; the nouns are `step_market` (prices), `step_reports` (what the venue says of us),
`step_account` (equity, venues, control), `step_strategy` (who decides and what is shown), `step_wishes` (what becomes of
it; with `step_discipline`, `step_routes` and `step_size`),
`step_plans` (triggers, deadlines, modes), `step_brackets` and `step_algos` (what stands between a wish and its orders),
`step_orders` (the gate and the wire) and `step_out` (outputs). They call downward in that order.

What differs from process to process - the strategies' function pointers and the room for outputs - is in `core_t`,
outside the world. Outputs are 64-byte records of the same shape as inputs: intents to be sent, decisions to be kept.
"""
from engine._core.step_out cimport OUTPUTS_MAX, STRATEGIES_MAX, core_t, features_t
from engine._core.types cimport event_t
from engine._core.world cimport World, world_t


cdef int step(core_t* core, const event_t* event) noexcept nogil


cdef class Core:
    cdef core_t* c
    cdef readonly World world
    cdef list kept                # what the function pointers point into
