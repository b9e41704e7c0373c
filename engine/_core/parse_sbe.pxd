"""Binance SBE market data (schema 1): templates 10000 trades, 10001 best bid and ask, 10002 depth image, 10003 depth
change, into the same events as the JSON.

Little-endian. Always advances by the block length on the wire, never by the one compiled in: a newer version of the
schema appends fields, and they are stepped over. A block shorter than the fields we read is PARSE_BAD_SCHEMA. The
symbol stands behind the groups, so a frame is walked once for its shape and once for its values. Times are in
microseconds. Cost: about 3 ns a level.
"""
from engine._core.parse_state cimport parser_t, sink_t


cdef int sbe_frame(parser_t* parser, const char* p, size_t n, sink_t* sink) noexcept nogil
