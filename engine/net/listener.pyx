cimport cython
from libc.stdint cimport int64_t
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

import socket

from engine._core.clock cimport clock_monotonic_ns, clock_utc_ns

from picows import WSCloseCode


cdef class Receiver:
    cdef int receive(self, const char* payload, size_t size, int64_t ts_recv_ns) except -1:
        raise TypeError("a receiver takes messages; this one is only their kind")


@cython.final
cdef class Listener(WSListener):
    """One connection. Frames arrive in the socket's own callback: no task, no queue, no copy."""

    def __init__(self, handler, Py_ssize_t bytes_max):
        self.handler, self.bytes_max = handler, bytes_max
        self.parts = bytearray()
        self.reason = ""

    # ------------------------------------------------------------------------------------------- the Connection seam
    def send(self, message):
        if not self.is_open:
            return False
        self.transport.send(WSMsgType.TEXT, message)
        return True

    def ping(self):
        if self.is_open:
            self.transport.send_ping(b"")

    def close(self):
        if self.is_open:
            self.reason = self.reason or "closed by us"
            self.transport.send_close(WSCloseCode.OK)
            self.transport.disconnect()

    async def wait_closed(self):
        await self.transport.wait_disconnected()

    # ------------------------------------------------------------------------------------------------ picows calls us
    cpdef on_ws_connected(self, WSTransport transport):
        self.transport = transport
        self.is_open = True
        raw = transport.underlying_transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.handler.on_open(self)

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef int64_t now_ns = clock_utc_ns()
        self.heard_ns = clock_monotonic_ns()
        if (self.receiver is not None and frame.msg_type == WSMsgType.TEXT and frame.fin and not self.joining
                and frame.payload_size <= self.bytes_max and not transport.underlying_transport.is_closing()):
            self.receiver.receive(frame.payload_ptr, <size_t>frame.payload_size, now_ns)
        else:
            self._other(transport, frame, now_ns)

    cdef int _other(self, WSTransport transport, WSFrame frame, int64_t now_ns) except -1:
        cdef WSMsgType kind = frame.msg_type
        cdef bint is_data = kind == WSMsgType.TEXT or kind == WSMsgType.BINARY
        # Once the connection is being ended for a fault, what still lies in the buffer is no message.
        if transport.underlying_transport.is_closing():
            return 0
        if frame.payload_size > self.bytes_max:
            # picows has refused this length, yet takes ten milliseconds to hang up: where the whole of the frame
            # comes within that time it hands it over all the same.
            return self._fault("message too long")
        if is_data and frame.fin and not self.joining:
            self.handler.on_message(self, frame.get_payload_as_memoryview(), now_ns)
        elif is_data or kind == WSMsgType.CONTINUATION:
            return self._join(frame, now_ns)
        elif kind == WSMsgType.CLOSE:
            code = frame.get_close_code()
            self.reason = (
                f"closed by the venue: {getattr(code, 'value', code)} {frame.get_close_reason() or ''}".strip()
            )
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            # Pings are answered by picows itself; both kinds say that the other side lives.
            self.handler.on_alive(self, now_ns)
        return 0

    cdef int _join(self, WSFrame frame, int64_t now_ns) except -1:
        cdef bint starts = frame.msg_type != WSMsgType.CONTINUATION
        if starts == self.joining or len(self.parts) + frame.payload_size > self.bytes_max:
            return self._fault(
                "pieces of a message that do not fit together" if starts == self.joining else "message too long"
            )
        self.parts += frame.get_payload_as_memoryview()
        self.joining = not frame.fin
        if frame.fin:
            whole, self.parts = bytes(self.parts), bytearray()
            self.handler.on_message(self, whole, now_ns)
        return 0

    cdef int _fault(self, str reason) except -1:
        self.reason = reason
        self.transport.disconnect(False)
        return 0

    cpdef on_ws_disconnected(self, WSTransport transport):
        if self.is_open:
            self.is_open = False
            self.handler.on_close(self, self.reason or "the connection broke")
