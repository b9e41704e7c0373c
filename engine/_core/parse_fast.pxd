"""Binance JSON, the fast path: the venue's own key order, no white space, one pass.

Answers "read, and these are the events" or "not mine". Every "not mine", a bad frame included, goes to the general
way, which has the last word; so the fast path has no status of its own, and what it accepts the general way must
accept with the same events (tests/differential/test_parse.py and tests/fuzz hold them together). kline and
forceOrder come at most twice a second and have no fast path.

Literal text is compared with constant lengths, which compiles to word compares; numbers are read eight digits at a
time. No load reaches outside the frame: the last seven bytes are read as the end of the frame's last whole word.
"""
from engine._core.parse_state cimport parser_t, sink_t


cdef bint binance_fast(parser_t* parser, const char* p, size_t n, sink_t* sink) noexcept nogil
