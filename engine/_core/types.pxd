"""Every struct that two kernels share, every kind of event, every status. The one owner of their layout.

An event is 64 bytes, one cache line. All records that cross a ring or land in the journal have the same 24-byte
head (kind, flags, symbol, sequence, two times) and five 64-bit words; the named views below give the five words
their meaning for one kind each. A view is a cast, never a copy.

numpy dtypes are derived from these structs in types.pyx; nobody types a layout twice.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


# ---------------------------------------------------------------- statuses
# Expected trouble is a status, never an exception, in code that runs per event. The numbers are stable: they stand
# in journals and in users' logs. engine/errors/ has one class for each, for the cold paths that raise.
cpdef enum status_t:
    OK = 0

    ARENA_EXHAUSTED = 101
    ARENA_SEALED = 102
    ARENA_BAD_SIZE = 103

    RING_FULL = 201
    RING_EMPTY = 202
    RING_CLOSED = 203
    RING_BAD_SIZE = 204
    RING_NO_CONSUMER_SLOT = 205
    RING_BAD_POLICY = 206         # a class that is never dropped may only wait
    RING_WAIT = 207               # no room, and the event must not be lost: stop reading its source
    RING_CONFLATE = 208           # no room: hand the whole message to the conflation table
    RING_BAD_MESSAGE = 209        # not one whole book message of one known symbol

    POOL_EXHAUSTED = 301
    POOL_STALE_HANDLE = 302
    POOL_DOUBLE_FREE = 303
    POOL_BAD_HANDLE = 304
    POOL_WRONG_THREAD = 305

    DECIMAL_EMPTY = 401
    DECIMAL_SIGN = 402
    DECIMAL_EXPONENT = 403
    DECIMAL_BLANK = 404
    DECIMAL_EMPTY_PART = 405
    DECIMAL_TOO_MANY_DIGITS = 406
    DECIMAL_OVERFLOW = 407
    DECIMAL_BAD_CHARACTER = 408
    DECIMAL_OFF_STEP = 409
    DECIMAL_BAD_SCALE = 410
    DECIMAL_BAD_STEP = 411

    PARSE_TRUNCATED = 501
    PARSE_SYNTAX = 502
    PARSE_WRONG_TYPE = 503
    PARSE_MISSING_KEY = 504
    PARSE_UNKNOWN_SYMBOL = 505
    PARSE_UNKNOWN_EVENT = 506
    PARSE_BAD_NUMBER = 507
    PARSE_TOO_LONG = 508
    PARSE_TOO_MANY_LEVELS = 509
    PARSE_ESCAPE = 510
    PARSE_TOO_DEEP = 511
    PARSE_DUPLICATE_KEY = 512
    PARSE_NO_ROOM = 513
    PARSE_NOT_DATA = 514          # a well-formed reply to a request, not market data
    PARSE_BAD_SCHEMA = 515
    PARSE_TRAILING = 516
    PARSE_SYMBOLS_FULL = 517
    PARSE_BAD_SYMBOL = 518

    BOOK_OUTSIDE = 601            # past the horizon: levels there were dropped for want of room
    BOOK_FULL = 602
    BOOK_CROSSED = 603
    BOOK_GAP = 604
    BOOK_STALE_UPDATE = 605
    BOOK_BAD_PRICE = 606
    BOOK_BAD_QUANTITY = 607
    BOOK_UNTRUSTED = 608
    BOOK_CHECKSUM = 609
    BOOK_EMPTY_SIDE = 610
    BOOK_MISMATCH = 611           # a quote and the book of the same number disagree
    BOOK_TOO_THIN = 612

    BREAKER_OPEN = 701
    BREAKER_HALF_OPEN_EXHAUSTED = 702
    BREAKER_GLOBAL_OPEN = 703
    BREAKER_MINIMUM_CALLS_NOT_MET = 704
    BREAKER_TOO_MANY_FAILURES = 705
    BREAKER_COOLDOWN = 706
    BREAKER_CYCLE = 707
    BREAKER_UNKNOWN_COMPONENT = 708
    BREAKER_BAD_CONFIG = 709
    BREAKER_DEPENDENCY_OPEN = 710
    BREAKER_TABLE_FULL = 711

    LATCH_TRIPPED = 801
    LATCH_NOT_DURABLE = 802
    LATCH_BAD_FILE = 803

    HISTOGRAM_OUT_OF_RANGE = 851
    HISTOGRAM_MISMATCH = 852

    CLOCK_NOT_INVARIANT = 871
    CLOCK_BACKWARDS = 872

    WORLD_BAD_EVENT = 901
    WORLD_UNKNOWN_SYMBOL = 902
    WORLD_BAD_LAYOUT = 903

    ORDER_ILLEGAL = 921
    ORDER_OVERFILL = 922
    ORDER_TABLE_FULL = 923
    ORDER_UNKNOWN_ID = 924
    ORDER_BAD_TERMS = 925         # a request or a report that contradicts itself
    ORDER_DUPLICATE_ID = 926      # answered from memory
    ORDER_DUPLICATE_FILL = 927
    ORDER_LATE_FILL = 928         # applied; its order had ended, so it is an incident
    ORDER_BUSY = 929              # this strategy, symbol, side and tag has a live order
    ORDER_MISMATCH = 930          # a report names another symbol or side than its order

    BRACKET_TABLE_FULL = 935
    BRACKET_BAD_TERMS = 936
    BRACKET_UNKNOWN = 937
    BRACKET_ILLEGAL = 938         # no row of the table: changes nothing

    TRIGGER_TABLE_FULL = 941
    TRIGGER_BAD_TERMS = 942
    TRIGGER_UNKNOWN = 943

    GATE_DENIED = 951
    LIMIT_LOOSER = 952
    CORRELATION_FULL = 953
    CORRELATION_BAD_SHAPE = 954

    STRATEGY_BAD_ACT = 961
    STRATEGY_BAD_ABI = 962
    STRATEGY_SLOTS_FULL = 963

    ALGO_BAD_CONFIG = 971
    ALGO_TABLE_FULL = 972
    ALGO_UNKNOWN = 973
    ALGO_NOT_LIVE = 974
    ALGO_UNKNOWN_CHILD = 975

    TAPE_FULL = 981
    TAPE_TORN = 982
    TAPE_CORRUPT = 983
    TAPE_DIVERGED = 984
    TAPE_CLOSED = 985             # a closed segment takes no record
    TAPE_CHAIN = 986              # a block that does not follow the one before it

    ENCODE_NO_ROOM = 1201
    ENCODE_BAD_TEMPLATE = 1202
    ENCODE_BAD_TERMS = 1203       # a type or time in force that the venue does not have
    ENCODE_NO_TOKEN = 1204        # an intent to place without the gate's verdict

    MATCH_BAD_ORDER = 1251
    MATCH_FULL = 1252
    MATCH_UNKNOWN = 1253
    MATCH_WOULD_TAKE = 1254       # post-only
    MATCH_WOULD_TRIGGER = 1255
    MATCH_SELF_TRADE = 1256
    MATCH_CANNOT_FILL = 1257      # fill-or-kill
    MATCH_BAD_CONFIG = 1258
    MATCH_NO_LIQUIDITY = 1259

    FEATURE_BAD_CONFIG = 1301
    FEATURE_UNKNOWN = 1302
    FEATURE_FULL = 1303

    LEDGER_UNKNOWN_SYMBOL = 131
    LEDGER_UNKNOWN_ASSET = 132
    LEDGER_BAD_AMOUNT = 133
    LEDGER_OVERFLOW = 134
    LEDGER_UNBALANCED = 135
    LEDGER_STALE_MARK = 136      # a mark that is missing or too old: no value is given
    LEDGER_BAD_SETUP = 137
    LEDGER_UNRECONCILED = 138
    LEDGER_NO_BASE = 139         # equity was not established yet, or is not positive

    MARGIN_MISSING = 141
    MARGIN_STALE = 142
    MARGIN_INSUFFICIENT = 143
    MARGIN_LEVERAGE = 144
    MARGIN_ABOVE_TIERS = 145
    MARGIN_BAD_TIERS = 146
    MARGIN_NO_LIQUIDATION = 147  # no price liquidates this position
    MARGIN_NOT_REDUCING = 148
    MARGIN_OVERFLOW = 149

    FEES_OLD = 151               # older than the warning age: the rate is given all the same
    FEES_STALE = 152             # older than the refusal age: no rate
    FEES_UNKNOWN_VENUE = 153
    FEES_BAD_SCHEDULE = 154
    COST_DEPTH_SHORT = 155
    COST_OVERFLOW = 156
    COST_BAD_INPUT = 157
    SIZE_BELOW_MINIMUM = 158     # the largest size under all caps is no order
    VALIDATE_BAD_KIND = 1001      # not a kind of event that comes in
    VALIDATE_BAD_SYMBOL = 1002    # no such row, or one that was never configured
    VALIDATE_BAD_PRICE = 1003     # zero or negative
    VALIDATE_BAD_QUANTITY = 1004  # negative, or zero where something was traded
    VALIDATE_PX_RANGE = 1005      # beyond the instrument's price range
    VALIDATE_QTY_RANGE = 1006     # beyond the instrument's largest quantity
    VALIDATE_BAD_BAR = 1007       # a bar whose own figures contradict each other
    VALIDATE_STALE = 1008
    VALIDATE_NO_TIME = 1009       # no venue time where its class must have one
    VALIDATE_NO_ID = 1010         # no venue number where its class must have one
    VALIDATE_SILENT = 1011        # a class that should speak did not for longer than its limit
    VALIDATE_ORDER = 1012         # venue number or time running backwards
    VALIDATE_DUPLICATE = 1013
    VALIDATE_CROSSED = 1014
    VALIDATE_BAND = 1015          # too far from the reference price
    VALIDATE_SPIKE = 1016         # too large a step from the price before
    VALIDATE_CLOCK = 1017         # venue time in the future beyond drift, or no time at all
    VALIDATE_TORN = 1018          # a message without its beginning, or begun before the last one ended
    VALIDATE_CONDEMNED = 1019     # part of a message of which an earlier part was refused
    VALIDATE_BAD_CONFIG = 1031

    ROUTE_NONE = 1051             # no venue can take it; the reasons stand per venue
    ROUTE_BAD_ASK = 1052          # zero, negative or absurd quantity, side, policy or number of parts
    ROUTE_UNKNOWN_GROUP = 1053
    ROUTE_ORDER_LIVE = 1054       # an order that may still be live is never sent a second time
    ROUTE_BAD_CONFIG = 1055
    DISCIPLINE_REFUSED = 1101
    DISCIPLINE_UNKNOWN = 1102
    DISCIPLINE_BAD_CONFIG = 1103
    DISCIPLINE_BAD_RESULT = 1104

    MODE_ILLEGAL = 1121           # no such switch
    MODE_NOT_YOURS = 1122         # there is, but not for whoever asked
    MODE_NOT_READY = 1123         # a condition of the way back is not met
    MODE_BAD_CONFIG = 1124
    MODE_UNKNOWN_SYMBOL = 1125


# ------------------------------------------------------------------ events
cpdef enum kind_t:
    KIND_NONE = 0

    # Market data, 1 to 63.
    KIND_BOOK_LEVEL = 1           # one level of a depth message; FLAG_FIRST and FLAG_LAST mark the message's ends
    KIND_QUOTE = 2                # best bid and ask in one
    KIND_TRADE = 3
    KIND_AGG_TRADE = 4
    KIND_BAR_PRICES = 5           # a kline is two events: prices, then totals
    KIND_BAR_TOTALS = 6
    KIND_MARK = 7
    KIND_LIQUIDATION = 8
    KIND_BOOK_CLEAR = 9           # a snapshot without a level still empties the book

    # Our own orders' and account's reports, 64 to 95.
    KIND_ORDER_ACK = 64
    KIND_ORDER_FILL = 65
    KIND_ORDER_CANCELED = 66
    KIND_ORDER_REJECTED = 67
    KIND_ORDER_EXPIRED = 68
    KIND_ORDER_CANCEL_REFUSED = 69        # and the order lives
    KIND_ORDER_CANCEL_TOO_LATE = 70       # because it is filled
    KIND_ORDER_CANCEL_NO_ORDER = 71
    KIND_ORDER_REPLACED = 72              # px_ticks, qty_lots: what holds now
    KIND_ORDER_REPLACE_REFUSED = 73
    KIND_ORDER_REPLACE_NO_ORDER = 74
    KIND_ORDER_ABSENT = 75
    KIND_ORDER_LOST = 76                  # the connection went away with it, or an answer did
    KIND_FEE = 80                         # what the fill just before it cost, in the fee's own asset
    KIND_FUNDING = 81
    KIND_BALANCE = 82                     # what the venue says we hold of one asset
    KIND_POSITION = 83                    # what the venue says we hold of one instrument

    # Control and time, 96 to 127.
    KIND_TIMER = 96
    KIND_CONTROL = 97
    KIND_FEED = 98                # a connection came or went: market data, user stream, order path
    KIND_CLOCK = 99               # what the clock's watcher measured against the venue
    KIND_SYMBOL = 100             # halt or resume one symbol alone
    KIND_LIMIT = 101              # tighten one limit of the gate: word 0 is which one, word 1 its new value
    KIND_DENIED = 102             # breakers on the order's way that deny calls: word 0 is their mask; 0: none does
    KIND_STRATEGY = 112           # stop or resume one strategy: see strategy.pxd

    # Outputs, 128 and up: intents first, then what is reported and not sent.
    KIND_INTENT_PLACE = 128
    KIND_INTENT_CANCEL = 129
    KIND_INTENT_QUERY = 130       # ask the venue what became of an order
    KIND_INTENT_AMEND = 131       # px_ticks, qty_lots: what the live order shall become
    KIND_INTENT_CANCEL_ALL = 132  # of one symbol, or of every one (SYMBOL_ALL)
    KIND_INTENT_TERMS = 133       # the rest of the intent just before it: trigger, trail, display, expiry
    KIND_DECISION = 192
    KIND_BREAKER = 200            # a breaker changed: breaker_event_t in breaker.pxd
    KIND_REFUSAL = 201            # market data was refused: refusal_t in validate.pxd
    KIND_INCIDENT = 202           # something that must not happen did: what was believed, what was found
    KIND_MODE = 203               # the mode or the flatten plan moved on
    KIND_BRACKET = 204            # a bracket changed its state
    KIND_ALGO = 205               # a sliced parent changed its state


cpdef enum flag_t:
    FLAG_FIRST = 1                # first event of its message
    FLAG_LAST = 2                 # last event of its message: the book is whole again
    FLAG_ASK = 4                  # the ask side; without it the bid side
    FLAG_SELL = 4                 # for orders and trades the same bit says sell
    FLAG_SNAPSHOT = 8             # part of a full image, not of a change
    FLAG_BUYER_MAKER = 16         # the aggressor sold
    FLAG_CLOSED = 32              # the bar is final
    FLAG_CONFLATED = 64           # stands for more than one update
    FLAG_NO_VENUE_TIME = 128      # the venue gave no time: ts_venue_ns is zero


cdef struct event_t:
    uint8_t kind                  # kind_t
    uint8_t flags                 # flag_t, or-ed
    uint16_t symbol               # index of the instrument; a venue's symbol is one instrument
    uint32_t seq                  # low 32 bits of the event's number in the inbound ring
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t word[5]


# The named views. Same head, same size; only the five words differ.
cdef struct level_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t px_ticks
    int64_t qty_lots              # absolute; 0 deletes
    int64_t id_first              # U
    int64_t id_last               # u, or lastUpdateId
    int64_t id_prev               # pu where the venue sends it, else -1


cdef struct quote_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t bid_px_ticks
    int64_t bid_qty_lots
    int64_t ask_px_ticks
    int64_t ask_qty_lots
    int64_t id_book


cdef struct trade_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t px_ticks
    int64_t qty_lots
    int64_t id_trade              # t, or the aggregate's a
    int64_t id_first              # first and last fill of an aggregate; the trade's own id otherwise
    int64_t id_last


cdef struct bar_prices_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t open_ticks
    int64_t high_ticks
    int64_t low_ticks
    int64_t close_ticks
    int64_t volume_lots


cdef struct bar_totals_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t ts_open_ns
    int64_t ts_close_ns
    int64_t trade_count
    int64_t quote_volume_e8       # in the quote asset, 1e-8
    int64_t taker_buy_lots


cdef struct mark_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t mark_px_e8            # finer than a tick, so in 1e-8 of the quote asset
    int64_t index_px_e8
    int64_t settle_px_e8
    int64_t funding_rate_e8       # may be negative
    int64_t ts_funding_ns


cdef struct liquidation_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t px_ticks
    int64_t qty_lots
    int64_t avg_px_e8
    int64_t last_lots
    int64_t filled_lots


cdef struct order_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t id_order              # our client order number
    int64_t px_ticks
    int64_t qty_lots              # of this report
    int64_t filled_lots           # of the order so far
    int64_t id_venue              # the venue's trade id on a fill, its order id otherwise


cdef struct fee_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t id_order
    int64_t id_trade
    int64_t asset                 # index in the ledger's table of assets
    int64_t amount                # in units of that asset; what we pay is positive, a rebate negative
    int64_t maker                 # 1: the fill added liquidity


cdef struct funding_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t id_funding            # the venue's number of the payment: a repeat is known by it
    int64_t asset
    int64_t amount                # received is positive
    int64_t rate_e8
    int64_t mark_px_e8


cdef struct balance_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol               # unused, zero
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t asset
    int64_t free
    int64_t locked
    int64_t id_update             # the venue's number of the update, or zero
    int64_t reserved


cdef struct position_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t lots                  # short is negative
    int64_t entry_px_e8
    int64_t liquidation_px_e8
    int64_t margin                # in units of the margin asset
    int64_t id_update


cdef struct feed_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol               # SYMBOL_ALL, or the one symbol whose feed it is
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t feed                  # feed_t
    int64_t up                    # 1 came, 0 went
    int64_t venue
    int64_t reason
    int64_t reserved


cdef struct clock_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol               # unused, zero
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t venue
    int64_t offset_ns             # the venue's clock less ours
    int64_t uncertainty_ns        # half the fastest round trip
    int64_t synchronised          # 1: the system's clock says so
    int64_t reserved


cdef struct control_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol               # unused, zero
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t latch                 # or-ed to the latch word; it is never cleared by an event
    int64_t mode                  # mode_t of modes.pxd, looked at when `who` is not 0
    int64_t who                   # who_t of modes.pxd, exactly one; 0: no switch is asked for
    int64_t aggressive            # the plan that an emergency starts with
    int64_t equity                # a second opinion on the equity, in account units; 0: none


cdef struct symbol_event_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns
    int64_t ts_recv_ns
    int64_t halt                  # symbol_word_t
    int64_t reason
    int64_t reserved_0
    int64_t reserved_1
    int64_t reserved_2


cdef struct mode_event_t:         # KIND_MODE: what moved, and from where
    uint8_t kind
    uint8_t flags
    uint16_t symbol               # of an action of the plan, else SYMBOL_ALL
    uint32_t seq
    int64_t ts_venue_ns           # unused, zero
    int64_t ts_recv_ns
    int64_t mode
    int64_t phase                 # of the plan
    int64_t outcome
    int64_t action                # act_t, 0 when it is the mode or the phase that changed
    int64_t value                 # of the action, or the status of a switch that was refused


cdef struct bracket_event_t:      # KIND_BRACKET
    uint8_t kind
    uint8_t flags                 # FLAG_SELL: the entry sells
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns           # unused, zero
    int64_t ts_recv_ns
    int64_t bracket               # handle
    int64_t phase
    int64_t phase_before
    int64_t held_lots
    int64_t strategy


cdef struct algo_event_t:         # KIND_ALGO
    uint8_t kind
    uint8_t flags                 # FLAG_SELL: the parent sells
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns           # unused, zero
    int64_t ts_recv_ns
    int64_t id_algo
    int64_t state                 # algo_state_t
    int64_t filled_lots
    int64_t qty_lots
    int64_t strategy


cdef struct intent_t:
    uint8_t kind
    uint8_t flags                 # FLAG_FIRST: an intent_terms_t follows
    uint16_t symbol
    uint32_t seq                  # number of the event that caused it
    int64_t ts_venue_ns           # unused, zero
    int64_t ts_recv_ns            # time of the event that caused it
    int64_t id_order
    int64_t px_ticks
    int64_t qty_lots
    int64_t token                 # the gate's verdict: without it nothing is placed or made larger
    int64_t terms                 # strategy, type, time in force and flags: see terms_pack


cdef struct intent_terms_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns           # unused, zero
    int64_t ts_recv_ns
    int64_t id_order
    int64_t trigger_px_ticks
    int64_t trail_ticks
    int64_t display_lots
    int64_t expire_ns


cdef struct decision_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns           # unused, zero
    int64_t ts_recv_ns
    int64_t origin                # who asked, and which stage refused: see origin_pack
    int64_t reasons               # bit mask of every rule of that stage that failed
    int64_t headroom_lots         # the largest quantity that would have passed
    int64_t px_ticks
    int64_t qty_lots


cdef struct incident_t:
    uint8_t kind
    uint8_t flags
    uint16_t symbol
    uint32_t seq
    int64_t ts_venue_ns           # unused, zero
    int64_t ts_recv_ns
    int64_t what                  # incident_code_t
    int64_t id_order
    int64_t believed
    int64_t found
    int64_t strategy


cpdef enum feed_t:
    FEED_MARKET = 0
    FEED_USER = 1
    FEED_ORDERS = 2
    FEED_COUNT = 3


# Who refused. Each stage has its own list of rules; together with the mask it names every reason.
cpdef enum symbol_word_t:         # what a KIND_SYMBOL says
    SYMBOL_RESUMES = 0
    SYMBOL_HALTS = 1
    SYMBOL_BREAK = 2              # a comparison of books found a difference: an incident
    SYMBOL_FEES = 3               # the account pays other fees: the maker's rate and the taker's in words 2 and 3


cpdef enum stage_t:
    STAGE_STRATEGY = 0            # the strategy's own limits: strategy.pxd
    STAGE_DISCIPLINE = 1          # discipline.pxd
    STAGE_GATE = 2                # risk.pxd
    STAGE_ROUTE = 3               # routing.pxd
    STAGE_ORDERS = 4              # the order table: a status of this file
    STAGE_VENUE = 5               # a filter or a budget of the venue's driver: a status of this file
    STAGE_COUNT = 6


cpdef enum incident_code_t:
    INCIDENT_NONE = 0
    INCIDENT_LATE_FILL = 1        # a fill after the order had ended
    INCIDENT_UNKNOWN_FILL = 2     # a fill of an order that nobody knows
    INCIDENT_GATE_ON_ACK = 3      # an acknowledged order that would not pass now
    INCIDENT_BOTH_FILLED = 4      # both legs of a bracket
    INCIDENT_UNPROTECTED = 5      # a position without a live stop
    INCIDENT_OVERDUE = 6          # an order UNKNOWN past its deadline
    INCIDENT_BALANCE = 7          # the venue's balance is another one
    INCIDENT_POSITION = 8         # the venue's position is another one
    INCIDENT_LEDGER = 9           # the books do not balance
    INCIDENT_TERMS = 10           # a report names other terms than the order's
    INCIDENT_BRACKET = 11         # of a bracket, else: `believed` is a bracket_incident_t of brackets.pxd
    INCIDENT_PLAN = 12            # the flatten plan ended with something open
    INCIDENT_COUNT = 13


cpdef enum venue_can_t:           # what the venue of an instrument takes beyond a resting limit order, or-ed
    CAN_MARKET = 1
    CAN_STOP = 2
    CAN_STOP_LIMIT = 4
    CAN_TAKE = 8
    CAN_TAKE_LIMIT = 16
    CAN_TRAILING = 32
    CAN_ICEBERG = 64
    CAN_IOC = 128
    CAN_FOK = 256
    CAN_POST = 512                # post-only
    CAN_GTD = 1024
    CAN_REDUCE = 2048             # knows the reduce-only flag; without it the gate alone proves the reduction
    CAN_AMEND_DOWN = 4096         # to a smaller quantity at the same price
    CAN_AMEND = 8192              # to any price and quantity
    CAN_ALL = 16383


# The terms' word of an intent. Types and times in force are those of strategy_abi.pxd.
cpdef enum terms_flag_t:
    TERMS_POST_ONLY = 1
    TERMS_REDUCE_ONLY = 2
    TERMS_CLOSING = 4             # the flatten plan's own

cdef enum:
    SYMBOL_ALL = 0xFFFF
    STRATEGY_NONE = 0xFFFF        # the engine itself: a plan, a bracket's unwind


cdef inline int64_t terms_pack(int64_t strategy, int64_t order_type, int64_t tif, int64_t flags) noexcept nogil:
    return (strategy & 0xFFFF) | (order_type & 0xFF) << 16 | (tif & 0xFF) << 24 | (flags & 0xFF) << 32

cdef inline int64_t terms_type(int64_t terms) noexcept nogil:
    return terms >> 16 & 0xFF

cdef inline int64_t terms_tif(int64_t terms) noexcept nogil:
    return terms >> 24 & 0xFF

cdef inline int64_t terms_flags(int64_t terms) noexcept nogil:
    return terms >> 32 & 0xFF

cdef inline int64_t origin_pack(int64_t strategy, int64_t tag, int64_t stage) noexcept nogil:
    return (strategy & 0xFFFF) | (tag & 0xFFFF) << 16 | (stage & 0xFFFF) << 32


cdef extern from *:
    """
    #define BOT4_CACHE_LINE 64
    """
    const size_t CACHE_LINE "BOT4_CACHE_LINE"


cpdef int raise_status(int status, str detail=*) except -1
