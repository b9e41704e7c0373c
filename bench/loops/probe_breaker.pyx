"""The breakers' C surface as a kernel meets it: every answer as its status, no name looked up and nothing raised.

The Python faces cannot ask for a component that does not exist or hand over a table that cannot be; another kernel can.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine._core.breaker cimport (
    Breakers, breaker_allow, breaker_config_t, breaker_declare, breaker_depend, breaker_failure,
    breaker_init, breaker_release, breaker_reset, breaker_settle_slow, breaker_success, breaker_trip)


def init(Breakers table not None, uint32_t count_max, uint32_t event_capacity, uint32_t open_share_bp):
    """The status of making a table anew where `table` stands, which must be as large as the new one."""
    cdef int status
    with nogil:
        status = breaker_init(table.c, count_max, event_capacity, open_share_bp)
    return status


def declare(Breakers table not None, **fields):
    """The status of a declaration. It gives no `Breaker`: the rows of a table that was used so have no names."""
    cdef breaker_config_t config = fields
    cdef uint32_t id = 0
    cdef int status
    with nogil:
        status = breaker_declare(table.c, &config, &id)
    return status


def allow(Breakers table not None, uint32_t id, int64_t now_ns):
    cdef uint64_t permit = 0
    cdef int status
    with nogil:
        status = breaker_allow(table.c, id, now_ns, &permit)
    return status


def success(Breakers table not None, uint32_t id, int64_t now_ns, uint64_t permit=0):
    cdef int status
    with nogil:
        status = breaker_success(table.c, id, permit, now_ns)
    return status


def failure(Breakers table not None, uint32_t id, int64_t now_ns, uint64_t permit=0):
    cdef int status
    with nogil:
        status = breaker_failure(table.c, id, permit, now_ns)
    return status


def settle(Breakers table not None, uint32_t id, int64_t now_ns, uint64_t permit):
    """A success on the long way, as when the window was not clean yet at the first look."""
    cdef int status
    with nogil:
        status = breaker_settle_slow(table.c, id, permit, 0, now_ns)
    return status


def release(Breakers table not None, uint32_t id, int64_t now_ns, uint64_t permit=0):
    cdef int status
    with nogil:
        status = breaker_release(table.c, id, permit)
    return status


def trip(Breakers table not None, uint32_t id, int64_t now_ns):
    cdef int status
    with nogil:
        status = breaker_trip(table.c, id, now_ns)
    return status


def reset(Breakers table not None, uint32_t id, int64_t now_ns):
    cdef int status
    with nogil:
        status = breaker_reset(table.c, id, now_ns)
    return status


def depend(Breakers table not None, uint32_t id, uint32_t on):
    cdef int status
    with nogil:
        status = breaker_depend(table.c, id, on)
    return status


def poke(Breakers table not None, size_t offset, bytes value not None):
    """Overwrite bytes of the table, as a stray pointer would."""
    memcpy(<char*>table.c + offset, <char*>value, len(value))
