"""One picows connection, compiled: frames go from the transport's buffer to whoever takes them, many to a read.

picows parses what one read brought and calls `on_ws_frame` for each frame without leaving compiled code; so does this,
straight to a `Receiver` once its owner has given one, else to the handler's `on_message`. Whole text frames take that
way; pieces, pings, ends and faults the other. Its promises are those of engine/net/transport.py, which makes it.

Owns: the pieces of a message that is not whole, when the other side was last heard, why the connection ended. Does not
own: what messages mean. Invariants: a payload is valid only inside the call; `on_close` once for every connection that
opened. Cost: 50 ns a frame beside what takes it.
"""
from libc.stdint cimport int64_t
from picows.picows cimport WSFrame, WSListener, WSTransport


cdef class Receiver:
    """Takes messages in place. An exception closes the connection that they came over."""

    cdef int receive(self, const char* payload, size_t size, int64_t ts_recv_ns) except -1


cdef class Listener(WSListener):
    cdef public Receiver receiver  # takes whole messages instead of the handler, once it is set
    cdef readonly int64_t heard_ns  # monotonic, of the last frame
    cdef readonly bint is_open
    cdef object handler
    cdef readonly WSTransport transport
    cdef Py_ssize_t bytes_max
    cdef bytearray parts
    cdef bint joining
    cdef str reason
    cpdef on_ws_connected(self, WSTransport transport)
    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame)
    cpdef on_ws_disconnected(self, WSTransport transport)
    cdef int _other(self, WSTransport transport, WSFrame frame, int64_t now_ns) except -1
    cdef int _join(self, WSFrame frame, int64_t now_ns) except -1
    cdef int _fault(self, str reason) except -1
