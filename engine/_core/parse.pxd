"""Frames of a venue into events: the one door market data comes through.

Owns a parser's block (`parse_state.pxd`): its settings and its counters. Does not own the frame, the events or the
symbol table. `parse_frame` reads JSON text frames, `parse_sbe_frame` binary ones. Invariants: on any status but OK
the count is 0 and nothing but the counters and the scratch room behind `out` has changed; each frame is counted under
exactly one status; no byte outside the frame is read, which need not be padded or end in a zero.

Pure: no clock, no allocation, no Python object. The same bytes give the same events.
"""
from libc.stdint cimport int32_t, int64_t, uint32_t

from engine._core.parse_state cimport parser_t
from engine._core.symbols cimport Symbols, symbols_t
from engine._core.types cimport event_t


cdef int parser_init(
    parser_t* parser,
    const symbols_t* symbols,
    int64_t time_unit_ns,
    uint32_t frame_bytes_max,
    uint32_t levels_max,
    int32_t context_symbol,
    bint context_snapshot,
) noexcept nogil
cdef int parse_frame(
    parser_t* parser, const char* p, size_t n, int64_t ts_recv_ns, event_t* out, size_t room, size_t* count
) noexcept nogil
cdef int parse_sbe_frame(
    parser_t* parser, const char* p, size_t n, int64_t ts_recv_ns, event_t* out, size_t room, size_t* count
) noexcept nogil


cdef class Parser:
    cdef parser_t* c
    cdef readonly Symbols symbols
    cdef readonly size_t room
    cdef object events
    cdef event_t* out
