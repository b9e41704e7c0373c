"""What an order can be and what can happen to it: the states, the events and the one table of legal transitions.

Owns: the table, as data. Does not own: records and quantities (orders). A target at or above `TO_WORKING` is decided
by the order's own quantities. Cost: one load from a table of 300 bytes.
"""
from libc.stdint cimport uint8_t


cpdef enum order_state_t:
    STATE_FREE = 0
    STATE_CREATED = 1
    STATE_GATED = 2
    STATE_JOURNALED = 3
    STATE_SENT = 4
    STATE_OPEN = 5
    STATE_PARTIAL = 6
    STATE_PENDING_CANCEL = 7
    STATE_PENDING_REPLACE = 8
    STATE_UNKNOWN = 9             # sent without an answer: held at its worst case until the venue gives evidence
    STATE_FILLED = 10
    STATE_CANCELED = 11
    STATE_REJECTED = 12
    STATE_EXPIRED = 13
    STATE_DENIED = 14             # the gate said no: never left
    STATE_COUNT = 15
    # Targets that the order's own quantities decide; never the state of a record.
    TO_WORKING = 16               # amend in flight: PENDING_REPLACE; all filled: FILLED; some: PARTIAL; none: OPEN
    TO_REJECTED = 17              # REJECTED; but UNKNOWN when something was filled: the evidence contradicts itself
    TO_ABSENT = 18                # REJECTED; illegal when something was filled


cpdef enum order_event_kind_t:
    ON_GATE = 0                   # the gate passed it
    ON_DENY = 1
    ON_JOURNAL = 2                # the intent is in the page cache
    ON_SEND = 3                   # the bytes left
    ON_ACK = 4                    # the venue has it, by its answer, its stream or a query
    ON_FILL_PART = 5
    ON_FILL_REST = 6
    ON_CANCEL_ASKED = 7
    ON_CANCELED = 8
    ON_CANCEL_REFUSED = 9         # and the order lives
    ON_CANCEL_TOO_LATE = 10       # refused because filled; the fills themselves are still to come
    ON_CANCEL_NO_ORDER = 11       # refused because the venue knows no such open order
    ON_REPLACE_ASKED = 12
    ON_REPLACED = 13              # with the price and quantity that now hold
    ON_REPLACE_REFUSED = 14       # and the order lives as it was
    ON_REPLACE_NO_ORDER = 15
    ON_REJECT = 16
    ON_EXPIRE = 17                # the venue ended it: IOC or FOK rest, GTD, triggered sibling
    ON_TIMEOUT = 18               # no answer in time, or the connection went away
    ON_ABSENT = 19                # asked after the request could no longer be accepted, the venue has no such order
    ON_FIRE = 20                  # its trigger of ours has fired: the bytes leave only now
    ON_COUNT = 21


cdef uint8_t ORDER_NEXT[STATE_COUNT][ON_COUNT]      # STATE_FREE means illegal


cdef inline int order_next(int state, int what) noexcept nogil:
    """Where this event leads from this state, `STATE_FREE` when it is illegal."""
    return ORDER_NEXT[state][what]
