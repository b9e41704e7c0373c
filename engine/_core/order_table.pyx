from libc.stdint cimport uint8_t
from libc.string cimport memset

# The legal transitions, and nothing else is legal: state -> what happened -> state. Reports overtake each other on
# the way (two connections, a query beside a stream), so a row exists wherever an honest venue can be seen to say it:
#   a fill before the ack            SENT
#   an ack after the fills           PARTIAL, FILLED
#   fills after a cancel request     PENDING_CANCEL, and after the cancel itself: CANCELED
#   a cancel that came too late      UNKNOWN until the fills are here; never "filled" by hearsay
#   an amend accepted after a fill   PENDING_REPLACE; its quantities decide (TO_WORKING)
#   answers that come twice          the row that leads to itself
# A report that contradicts what is known (a reject of a part-filled order) makes the order UNKNOWN: the venue is asked.
cdef list LEGAL = [(state, what, target) for state, row in [
    (STATE_CREATED, [
        (ON_GATE, STATE_GATED), (ON_DENY, STATE_DENIED),
    ]),
    (STATE_GATED, [
        (ON_JOURNAL, STATE_JOURNALED), (ON_DENY, STATE_DENIED),     # denied here: the journal could not be written
    ]),
    # After a crash the journal says "meant", not "sent": every answer that a sent order can get is possible.
    (STATE_JOURNALED, [
        (ON_SEND, STATE_SENT), (ON_ACK, TO_WORKING), (ON_FILL_PART, STATE_PARTIAL), (ON_FILL_REST, STATE_FILLED),
        (ON_CANCEL_ASKED, STATE_PENDING_CANCEL), (ON_CANCELED, STATE_CANCELED), (ON_REJECT, TO_REJECTED),
        (ON_EXPIRE, STATE_EXPIRED), (ON_TIMEOUT, STATE_UNKNOWN),
    ]),
    (STATE_SENT, [
        (ON_ACK, TO_WORKING), (ON_FILL_PART, STATE_PARTIAL), (ON_FILL_REST, STATE_FILLED),
        (ON_CANCEL_ASKED, STATE_PENDING_CANCEL), (ON_CANCELED, STATE_CANCELED), (ON_REJECT, TO_REJECTED),
        (ON_EXPIRE, STATE_EXPIRED), (ON_TIMEOUT, STATE_UNKNOWN),
    ]),
    (STATE_OPEN, [
        (ON_ACK, STATE_OPEN), (ON_FILL_PART, STATE_PARTIAL), (ON_FILL_REST, STATE_FILLED),
        (ON_CANCEL_ASKED, STATE_PENDING_CANCEL), (ON_CANCELED, STATE_CANCELED), (ON_CANCEL_REFUSED, STATE_OPEN),
        (ON_CANCEL_TOO_LATE, STATE_UNKNOWN), (ON_CANCEL_NO_ORDER, STATE_UNKNOWN),
        (ON_REPLACE_ASKED, STATE_PENDING_REPLACE), (ON_REPLACED, TO_WORKING), (ON_REPLACE_REFUSED, STATE_OPEN),
        (ON_REPLACE_NO_ORDER, STATE_UNKNOWN), (ON_REJECT, TO_REJECTED), (ON_EXPIRE, STATE_EXPIRED),
        (ON_TIMEOUT, STATE_UNKNOWN), (ON_FIRE, STATE_SENT),         # held back by a trigger of ours until now
    ]),
    (STATE_PARTIAL, [
        (ON_ACK, STATE_PARTIAL), (ON_FILL_PART, STATE_PARTIAL), (ON_FILL_REST, STATE_FILLED),
        (ON_CANCEL_ASKED, STATE_PENDING_CANCEL), (ON_CANCELED, STATE_CANCELED), (ON_CANCEL_REFUSED, STATE_PARTIAL),
        (ON_CANCEL_TOO_LATE, STATE_UNKNOWN), (ON_CANCEL_NO_ORDER, STATE_UNKNOWN),
        (ON_REPLACE_ASKED, STATE_PENDING_REPLACE), (ON_REPLACED, TO_WORKING), (ON_REPLACE_REFUSED, STATE_PARTIAL),
        (ON_REPLACE_NO_ORDER, STATE_UNKNOWN), (ON_REJECT, TO_REJECTED), (ON_EXPIRE, STATE_EXPIRED),
        (ON_TIMEOUT, STATE_UNKNOWN),
    ]),
    # An amend may still be in flight under a cancel; then a refused cancel falls back to PENDING_REPLACE.
    (STATE_PENDING_CANCEL, [
        (ON_SEND, STATE_PENDING_CANCEL), (ON_ACK, STATE_PENDING_CANCEL), (ON_FILL_PART, STATE_PENDING_CANCEL),
        (ON_FILL_REST, STATE_FILLED), (ON_CANCEL_ASKED, STATE_PENDING_CANCEL), (ON_CANCELED, STATE_CANCELED),
        (ON_CANCEL_REFUSED, TO_WORKING), (ON_CANCEL_TOO_LATE, STATE_UNKNOWN), (ON_CANCEL_NO_ORDER, STATE_UNKNOWN),
        (ON_REPLACED, STATE_PENDING_CANCEL), (ON_REPLACE_REFUSED, STATE_PENDING_CANCEL),
        (ON_REPLACE_NO_ORDER, STATE_UNKNOWN), (ON_REJECT, TO_REJECTED), (ON_EXPIRE, STATE_EXPIRED),
        (ON_TIMEOUT, STATE_UNKNOWN),
    ]),
    (STATE_PENDING_REPLACE, [
        (ON_ACK, STATE_PENDING_REPLACE), (ON_FILL_PART, STATE_PENDING_REPLACE), (ON_FILL_REST, STATE_FILLED),
        (ON_CANCEL_ASKED, STATE_PENDING_CANCEL), (ON_CANCELED, STATE_CANCELED),
        (ON_CANCEL_REFUSED, STATE_PENDING_REPLACE), (ON_CANCEL_TOO_LATE, STATE_UNKNOWN),
        (ON_CANCEL_NO_ORDER, STATE_UNKNOWN), (ON_REPLACED, TO_WORKING), (ON_REPLACE_REFUSED, TO_WORKING),
        (ON_REPLACE_NO_ORDER, STATE_UNKNOWN), (ON_REJECT, TO_REJECTED), (ON_EXPIRE, STATE_EXPIRED),
        (ON_TIMEOUT, STATE_UNKNOWN),
    ]),
    # Only evidence ends it. A fill alone does not: the rest may have been canceled or may still be open.
    (STATE_UNKNOWN, [
        (ON_SEND, STATE_UNKNOWN), (ON_ACK, TO_WORKING), (ON_FILL_PART, STATE_UNKNOWN), (ON_FILL_REST, STATE_FILLED),
        (ON_CANCEL_ASKED, STATE_UNKNOWN), (ON_CANCELED, STATE_CANCELED), (ON_CANCEL_REFUSED, TO_WORKING),
        (ON_CANCEL_TOO_LATE, STATE_UNKNOWN), (ON_CANCEL_NO_ORDER, STATE_UNKNOWN), (ON_REPLACED, TO_WORKING),
        (ON_REPLACE_REFUSED, TO_WORKING), (ON_REPLACE_NO_ORDER, STATE_UNKNOWN), (ON_REJECT, TO_REJECTED),
        (ON_EXPIRE, STATE_EXPIRED), (ON_TIMEOUT, STATE_UNKNOWN), (ON_ABSENT, TO_ABSENT),
    ]),
    # Ended. What is still on its way is taken as said; only a fill changes anything.
    (STATE_FILLED, [
        (ON_SEND, STATE_FILLED), (ON_ACK, STATE_FILLED), (ON_CANCEL_REFUSED, STATE_FILLED),
        (ON_CANCEL_TOO_LATE, STATE_FILLED), (ON_CANCEL_NO_ORDER, STATE_FILLED),
        (ON_REPLACED, STATE_FILLED), (ON_REPLACE_REFUSED, STATE_FILLED),    # the amend's fills overtook its answer
        (ON_REPLACE_NO_ORDER, STATE_FILLED),
    ]),
    (STATE_CANCELED, [
        (ON_SEND, STATE_CANCELED), (ON_ACK, STATE_CANCELED), (ON_FILL_PART, STATE_CANCELED),
        (ON_FILL_REST, STATE_FILLED), (ON_CANCELED, STATE_CANCELED), (ON_CANCEL_REFUSED, STATE_CANCELED),
        (ON_CANCEL_TOO_LATE, STATE_CANCELED), (ON_CANCEL_NO_ORDER, STATE_CANCELED), (ON_REPLACED, STATE_CANCELED),
        (ON_REPLACE_REFUSED, STATE_CANCELED), (ON_REPLACE_NO_ORDER, STATE_CANCELED), (ON_EXPIRE, STATE_CANCELED),
    ]),
    (STATE_REJECTED, [
        (ON_SEND, STATE_REJECTED), (ON_FILL_PART, STATE_REJECTED), (ON_FILL_REST, STATE_FILLED),
        (ON_CANCEL_NO_ORDER, STATE_REJECTED), (ON_REPLACE_NO_ORDER, STATE_REJECTED), (ON_REJECT, STATE_REJECTED),
        (ON_EXPIRE, STATE_REJECTED), (ON_ABSENT, STATE_REJECTED),
    ]),
    (STATE_EXPIRED, [
        (ON_SEND, STATE_EXPIRED), (ON_ACK, STATE_EXPIRED), (ON_FILL_PART, STATE_EXPIRED),
        (ON_FILL_REST, STATE_FILLED), (ON_CANCELED, STATE_EXPIRED), (ON_CANCEL_REFUSED, STATE_EXPIRED),
        (ON_CANCEL_TOO_LATE, STATE_EXPIRED), (ON_CANCEL_NO_ORDER, STATE_EXPIRED), (ON_REPLACED, STATE_EXPIRED),
        (ON_REPLACE_REFUSED, STATE_EXPIRED), (ON_REPLACE_NO_ORDER, STATE_EXPIRED), (ON_EXPIRE, STATE_EXPIRED),
    ]),
] for what, target in row]

# The same table laid out for one look-up; STATE_FREE as a target means illegal.
memset(ORDER_NEXT, STATE_FREE, sizeof(ORDER_NEXT))
for _state, _what, _target in LEGAL:
    ORDER_NEXT[<int>_state][<int>_what] = <uint8_t>_target

OrderState = order_state_t
OrderEvent = order_event_kind_t


def transitions():
    """The legal transitions as (state, event, target): what the documents and the twin are held against."""
    return [(order_state_t(a), order_event_kind_t(b), order_state_t(c)) for a, b, c in LEGAL]
