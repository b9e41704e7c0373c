"""Binance JSON, the general way: any key order, any white space, every refusal.

First the whole document is validated, then the fields of its objects are looked up and read in an order that is
fixed per message, so that the status of a bad frame does not depend on its key order. Which fields a message must
have, and which it may have, stands in docs/kernels/parse.md and in the twin. Cost: about twice the fast path.
"""
from engine._core.parse_state cimport parser_t, sink_t


cdef int binance_general(parser_t* parser, const char* p, size_t n, sink_t* sink) noexcept nogil
