"""The ingest gate: judges each event of a venue before the book or anything else sees it.

Owns: per symbol the stream positions (numbers, times), a robust reference price, the last quote, the message being
judged, the breaker on refusals, what is suspect, and a count per reason. Does not own: books, trust, halts; it says
what to do in `refusal_t.actions` and the step does it. A refused event is never repaired: it gets one status, the
first that applies in the order of `status_t`'s groups (shape, time, number, values, market).

Symbols are actors: a row changes only through events, touches and resets of its own symbol. Invariants: a refusal
moves no stream position, no reference and no quote; of a depth message with one bad level nothing more passes until
its end; `check()` walks the rest. One row is a fixed number of cache lines, an event touches about six of them.

Prices inside are doubled (`px2`: bid + ask, or twice a trade), so a mid is exact. Clock: every limit on time is
judged against `now_ns`, which the caller keeps from running backwards and below 2**62.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine._core.types cimport event_t


cpdef enum class_t:               # streams of a symbol with their own numbers, times and limits
    CLASS_DEPTH = 0
    CLASS_IMAGE = 1               # depth with FLAG_SNAPSHOT: fetched beside the stream, numbered apart from it
    CLASS_QUOTE = 2
    CLASS_TRADE = 3
    CLASS_AGG = 4
    CLASS_BAR = 5                 # bars of one interval; several intervals need CLASS_BAR taken out of `needs_id`
    CLASS_MARK = 6
    CLASS_LIQUIDATION = 7


cpdef enum action_t:              # what the step has to do, or-ed
    ACTION_HALT = 1               # no new orders in this symbol
    ACTION_RESUME = 2
    ACTION_SUSPECT = 4            # trades, quotes and mark contradict each other
    ACTION_CLEAR = 8
    ACTION_BOOK = 16              # levels of a message that was refused stand in the book: rebuild it
    ACTION_JUMP = 32              # a large move was confirmed and is the new reference
    ACTION_HEARD = 64             # a class that was reported silent speaks again


cpdef enum suspect_t:             # why a symbol is suspect, or-ed
    SUSPECT_OUTSIDE = 1           # a trade far outside a fresh quote
    SUSPECT_FROZEN = 2            # the quote stands still while trades or the mark leave it
    SUSPECT_SPLIT = 4             # trades alone confirmed a jump beside a fresh quote that did not follow


cdef enum:
    CLASSES = 8
    REASONS = 24
    MESSAGE_NONE = 0
    MESSAGE_OPEN = 1
    MESSAGE_CONDEMNED = 2
    PRICE_QUOTE = 0
    PRICE_TRADE = 1
    CLASS_NEEDS_TIME = 1
    CLASS_NEEDS_ID = 2

cdef extern from *:
    """
    #define BOT4_VALIDATE_BASE 1000
    #define BOT4_VALIDATE_TS_MAX ((int64_t)1 << 62)
    #define BOT4_VALIDATE_PX_MAX ((int64_t)1 << 48)
    #define BOT4_VALIDATE_ID_STEP ((uint64_t)1 << 40)
    """
    const int REASON_BASE "BOT4_VALIDATE_BASE"
    const int64_t TS_END "BOT4_VALIDATE_TS_MAX"
    const int64_t PX_LIMIT "BOT4_VALIDATE_PX_MAX"
    const uint64_t ID_STEP_END "BOT4_VALIDATE_ID_STEP"


cdef struct validate_config_t:
    int64_t px_ticks_min
    int64_t px_ticks_max
    int64_t qty_lots_max
    int64_t tick_e8               # for the mark, which is not in ticks
    int64_t drift_ns_max          # how far a venue time may lie in the future
    int64_t backward_ns_max       # how far one may run backwards within a class
    int64_t ref_ns_max            # an older reference judges nothing: the next price is adopted
    int64_t confirm_ns            # outliers further apart do not confirm each other
    int64_t frozen_ns             # how long a quote may stand while others leave it
    int64_t halt_ns               # shortest halt
    int64_t floor_ticks           # no width below is smaller than this
    uint32_t band_ppm             # farthest from the reference
    uint32_t spike_ppm            # a smaller step is never a spike
    uint32_t spike_k              # of mean absolute deviations
    uint32_t agree_ppm            # how close outliers must be to confirm each other
    uint32_t outside_ppm          # a trade this far past the quote is outside it
    uint32_t far_ppm              # and this far is suspect at once
    uint32_t mark_ppm             # how far the mark may go while the quote stands
    uint32_t confirm_prints       # so many outliers of any kind confirm a jump
    uint32_t confirm_each         # or so many of quotes and so many of trades
    uint32_t suspect_trades
    uint32_t clear_count          # agreements in a row that clear a suspicion
    uint32_t window               # outcomes the breaker looks at, 1 to 64
    uint32_t window_bad           # refusals among them that halt, 0 for none
    uint32_t row_bad              # refusals in a row that halt, 0 for none; at most 64
    uint32_t recover_count        # accepted events in a row that end a halt
    uint32_t breaker_mask         # bit per reason that counts as a refusal for the breaker
    uint32_t needs_time           # bit per class
    uint32_t needs_id             # bit per class: numbers exist and rise
    int64_t stale_ns_max[8]       # 0: no limit
    int64_t silent_ns_max[8]      # 0: may be silent
    int64_t reserved[4]


cdef struct validate_class_t:     # one cache line
    int64_t id_last
    int64_t ts_venue_ns           # of the last accepted event
    int64_t ts_heard_ns           # ours; 0 until it is armed
    int64_t stale_ns_max
    int64_t silent_ns_max
    uint64_t accepted_count       # events
    uint32_t needs                # CLASS_NEEDS_*
    uint32_t strict               # equal times are a repetition: no number tells them apart
    int64_t reserved


cdef struct validate_row_t:
    # line 0: limits and the breaker
    int64_t px_ticks_min
    int64_t px_ticks_max
    int64_t qty_lots_max
    int64_t drift_ns_max
    int64_t clock_offset_ns       # the venue's clock minus ours
    uint64_t history              # a bit per outcome, newest lowest, 1 for refused
    uint32_t configured
    uint32_t halted
    uint32_t suspect              # suspect_t
    uint32_t silent               # bit per class that was reported
    # line 1: the reference
    int64_t ref16                 # 16 x px2
    int64_t ts_ref_ns             # 0 for none
    int64_t widths_at             # px2 at which the widths below were taken
    int64_t band2
    int64_t spike2
    int64_t agree2
    int64_t outside2
    int64_t far2
    # line 2: the two kinds of price
    int64_t bid_px_ticks          # last accepted quote, 0 for none
    int64_t ask_px_ticks
    int64_t ts_quote_ns
    int64_t ts_changed_ns         # when its prices last changed
    int64_t last2[2]
    int64_t mad256[2]             # 256 x the mean absolute step, each step clipped at its limit
    # line 3: what is open
    int64_t jump2                 # newest outlier
    int64_t ts_jump_ns            # 0 for none
    uint32_t jump_seen[2]
    int64_t mark_anchor_e8        # the mark when the quote last changed
    int64_t ts_outside_ns
    uint32_t outside_count
    uint32_t agree_count
    uint32_t changed              # the quote moved since the suspicion
    uint32_t good_count           # accepted in a row while halted
    int64_t ts_halted_ns
    # line 4: the message being judged
    uint32_t message              # MESSAGE_*
    uint32_t message_class
    uint32_t message_bar
    uint32_t message_levels       # levels that passed already
    int64_t message_id
    int64_t message_bid           # highest bid and lowest ask of it
    int64_t message_ask
    uint64_t halt_count
    uint64_t jump_count
    uint64_t suspect_count
    validate_class_t classes[8]
    uint64_t reason_count[24]     # status minus REASON_BASE
    validate_config_t config


cdef struct validate_t:           # the header, two cache lines; rows follow
    uint32_t symbol_count
    uint32_t reserved_0
    uint64_t accepted_count
    uint64_t refused_count
    uint64_t unknown_count        # events of no configured symbol
    uint64_t reserved[12]


cdef struct refusal_t:            # KIND_REFUSAL, the record for the report ring
    uint8_t kind
    uint8_t flags                 # class_t
    uint16_t symbol
    uint32_t seq                  # number of the event
    int64_t ts_venue_ns
    int64_t ts_recv_ns            # the time of judgement
    int64_t reason                # status_t
    int64_t value                 # what was measured
    int64_t limit                 # what it was held against
    int64_t id_event              # the venue's number, 0 where the kind has none
    int64_t actions               # action_t; the only field that is set when the event passes


cdef inline validate_row_t* validate_rows(const validate_t* v) noexcept nogil:
    return <validate_row_t*>(<char*>v + sizeof(validate_t))


cdef inline bint validate_usable(const validate_t* v, uint16_t symbol) noexcept nogil:
    """What the gate asks: configured, not halted, not suspect, nobody silent."""
    cdef const validate_row_t* r = &validate_rows(v)[symbol]
    return symbol < v.symbol_count and r.configured and not (r.halted | r.suspect | r.silent)


cdef size_t validate_bytes(uint32_t symbol_count) noexcept nogil
cdef int validate_init(validate_t* v, uint32_t symbol_count) noexcept nogil
cdef void validate_defaults(validate_config_t* config) noexcept nogil
cdef int validate_configure(validate_t* v, uint16_t symbol, const validate_config_t* config) noexcept nogil
cdef int validate_event(validate_t* v, const event_t* event, int64_t now_ns, refusal_t* out) noexcept nogil
cdef int validate_touch(validate_t* v, uint16_t symbol, int64_t bid_px_ticks, int64_t ask_px_ticks,
                        int64_t now_ns) noexcept nogil
cdef int validate_clock(validate_t* v, uint16_t symbol, int64_t offset_ns) noexcept nogil
cdef int validate_reset(validate_t* v, uint16_t symbol, bint keep_reference) noexcept nogil
cdef uint32_t validate_due(validate_t* v, int64_t now_ns, refusal_t* out, uint32_t room) noexcept nogil


cdef class Validate:
    cdef validate_t* c
    cdef refusal_t refusal
    cdef int _known(self, uint32_t symbol) except -1
