"""What a strategy sees and what it may wish for. Flat records: the same for Python, njit and a compiled pointer.

A strategy asks, it never sends. It states wishes per side and tag, level-triggered: "keep a bid of 5 at 101" is true
until it says otherwise; the core compares the wish with the live order and places or cancels. The view is a record
of the world, so its `state` is journaled, replayed and reset with everything else.

Every field is eight bytes wide, int64 or float64. So a value means the same in numpy, numba and C, nothing is
narrowed on the way, and there is no padding. The layout has a version, `STRATEGY_ABI`: it stands in the view's first
word and in every built object, and a difference is refused before the first call. Any change here raises it.

Owns: the two layouts, the numbers in them, the check of one wish. Does not own: orders, limits, verdicts.
"""
from libc.stdint cimport int64_t


cdef enum:
    STRATEGY_ABI = 3

    STRATEGY_STOP = 0             # a compiled strategy that raised returns 0: it is stopped alone
    STRATEGY_OK = 1

    FEATURES_MAX = 32             # subscribed features in the view
    PARAMS_MAX = 16
    PARAMS_F64_MAX = 8
    STATE_MAX = 32
    STATE_F64_MAX = 16
    TAGS = 2                      # wishes per side: say, a quote and an exit
    PEERS_MAX = 4                 # other symbols that a strategy watches


# What to do about one side and tag.
cpdef enum wish_kind_t:
    WISH_KEEP = 0                 # as it is
    WISH_REST = 1                 # one live order like this
    WISH_NONE = 2                 # no order


# The numbers are the layout's own: they stand in users' strategies and never change. Prices by type: LIMIT `px`;
# MARKET none; STOP and TAKE `trigger_px`; STOP_LIMIT and TAKE_LIMIT both; TRAILING `trail_ticks`; ICEBERG `px` and
# `display_lots`. The sliced ones: `px` is the worst price of any child, `qty_lots` the parent, `display_lots` the
# largest child, `expire_ns` the end; IOC takes at once, GTC rests and sweeps at the end, GTX only rests. A VWAP's
# volume profile is the view's `state`, from its first word to the first 0.
cpdef enum wish_type_t:
    TYPE_LIMIT = 0
    TYPE_MARKET = 1
    TYPE_STOP = 2
    TYPE_STOP_LIMIT = 3
    TYPE_TAKE = 4
    TYPE_TAKE_LIMIT = 5
    TYPE_TRAILING = 6
    TYPE_ICEBERG = 7
    TYPE_TWAP = 8                 # sliced by time
    TYPE_VWAP = 9                 # by a volume profile
    TYPE_POV = 10                 # by the market's volume: a share that the strategy's limits name
    TYPE_COUNT = 11


cpdef enum wish_tif_t:
    TIF_GTC = 0
    TIF_IOC = 1
    TIF_FOK = 2
    TIF_GTX = 3                   # post-only
    TIF_GTD = 4                   # until `expire_ns`
    TIF_COUNT = 5


cpdef enum wish_flag_t:
    WISH_POST_ONLY = 1            # the same as TIF_GTX
    WISH_REDUCE_ONLY = 2
    WISH_FLAGS = 3                # every flag there is


# Why a wish is malformed: a bit each, all of them reported.
cpdef enum wish_fault_t:
    FAULT_KIND = 1
    FAULT_TYPE = 2
    FAULT_TIF = 4
    FAULT_FLAGS = 8               # unknown flag, or post-only together with a type or time in force that takes
    FAULT_PX = 16
    FAULT_QTY = 32
    FAULT_TRIGGER = 64
    FAULT_TRAIL = 128
    FAULT_DISPLAY = 256
    FAULT_EXPIRE = 512
    FAULT_BRACKET = 1024          # stop or target on the wrong side of the entry, or on an exit


cdef struct peer_t:               # 128 bytes: another symbol that a strategy watches and does not trade
    int64_t symbol
    int64_t bid_px_ticks          # in ticks and lots of its own
    int64_t bid_qty_lots
    int64_t ask_px_ticks
    int64_t ask_qty_lots
    int64_t last_px_ticks
    int64_t position_lots         # the whole account's
    int64_t open_buy_lots
    int64_t open_sell_lots
    int64_t book_trusted
    int64_t book_ns               # when its touch was last told
    int64_t mark_px_e8            # the three are 0 where nobody told them
    int64_t funding_rate_e8
    int64_t funding_ns
    int64_t tick_e8
    int64_t lot_e8


cdef struct view_t:               # 1,536 bytes
    # line 0
    int64_t abi                   # STRATEGY_ABI
    int64_t now_ns
    int64_t symbol
    int64_t cause                 # kind of the event that woke it, `kind_t`
    int64_t bid_px_ticks
    int64_t bid_qty_lots
    int64_t ask_px_ticks
    int64_t ask_qty_lots
    # line 1
    int64_t last_px_ticks
    int64_t position_lots         # its own
    int64_t symbol_position_lots  # the whole account's in this symbol
    int64_t open_buy_lots         # the whole account's live orders in this symbol
    int64_t open_sell_lots
    int64_t feature_count         # features that are filled in; the rest is 0.0
    int64_t strategy              # its own number
    int64_t book_trusted
    # line 2
    int64_t mark_px_e8            # as the venue told it last, 0 where it tells none
    int64_t funding_rate_e8       # what a long pays a short at the next exchange, of the position's value
    int64_t funding_ns            # when that is
    int64_t tick_e8               # what a price and a quantity mean: to compare them with a peer's
    int64_t lot_e8
    int64_t peer_count            # peers that are filled in
    int64_t book_ns               # when the own touch was last told: a peer's may have woken the strategy
    int64_t reserved
    double features[32]
    int64_t params[16]
    double params_f64[8]
    int64_t state[32]             # its own, kept from call to call
    double state_f64[16]
    int64_t peers[4][16]          # peer_t each: the buffer protocol keeps the length of plain numbers alone


cdef struct wish_t:               # 96 bytes
    int64_t kind
    int64_t px_ticks
    int64_t qty_lots
    int64_t type
    int64_t tif
    int64_t flags
    int64_t stop_px_ticks         # with an entry: its protective stop, 0 without a bracket
    int64_t target_px_ticks
    int64_t trigger_px_ticks
    int64_t trail_ticks
    int64_t display_lots
    int64_t expire_ns


cdef struct signal_t:             # one cache line. Evidence for the discipline rules; it decides no amount
    int64_t valid
    int64_t id                    # the strategy's own number of this signal
    int64_t sample_count          # behind the four figures; 0: it claims none of them
    double p_value
    double expected_value         # in quote units per lot
    double sharpe
    double confidence             # 0 to 1
    int64_t sources               # a bit for each independent source that says so, of the lowest 32


cdef struct wishes_t:             # 448 bytes; all zero when `decide` is called: KEEP everywhere, no signal
    wish_t bid[2]
    wish_t ask[2]
    signal_t signal


ctypedef int (*decide_t)(view_t* view, wishes_t* wishes) noexcept nogil


cdef extern from * nogil:
    """
    #include <string.h>
    /* One memset of 448 bytes becomes `rep stos`, whose start costs 15 ns; line by line it is plain stores. */
    static inline void bot4_clear_lines(void* block, size_t size) {
        #pragma GCC unroll 8
        for (size_t at = 0; at < size; at += 64) memset((char*)block + at, 0, 64);
    }
    """
    void clear_lines "bot4_clear_lines"(void* block, size_t size) noexcept


cdef inline peer_t* view_peer(view_t* view, int64_t at) noexcept nogil:
    return <peer_t*>&view.peers[at][0]


cdef inline void wishes_clear(wishes_t* wishes) noexcept nogil:
    clear_lines(wishes, sizeof(wishes_t))


cdef inline wish_t* wishes_at(wishes_t* wishes, int tag, bint sell) noexcept nogil:
    return &wishes.ask[tag] if sell else &wishes.bid[tag]


cdef inline bint wish_slices(const wish_t* wish) noexcept nogil:
    """A parent order that the core cuts into children."""
    return wish.type >= <int64_t>TYPE_TWAP and wish.type <= <int64_t>TYPE_POV


cdef int64_t wish_check(const wish_t* wish, bint sell, int64_t now_ns) noexcept nogil
