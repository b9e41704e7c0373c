"""What an instrument is: its steps, its limits, its fees, and the touch of its book.

Static facts come from the venue and change only by a control event; the touch changes with every whole book
message. Prices are ticks and quantities are lots of this instrument everywhere in the core.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t


cdef struct instrument_t:         # three cache lines
    # line 0: what the gate and the strategies read on every event
    int64_t bid_px_ticks
    int64_t bid_qty_lots
    int64_t ask_px_ticks
    int64_t ask_qty_lots
    int64_t book_id               # the venue's update number
    int64_t book_ts_ns            # our receive time of the last whole message
    int64_t last_px_ticks         # last trade
    uint32_t book_trusted         # 0: do not quote on it
    uint32_t halted               # this symbol alone takes no new orders
    # line 1: steps and limits
    int64_t tick_e8               # one tick, in 1e-8 of the quote asset
    int64_t lot_e8                # one lot, in 1e-8 of the base asset
    int64_t px_min_ticks
    int64_t px_max_ticks
    int64_t qty_min_lots
    int64_t qty_max_lots
    int64_t notional_min_e8
    int64_t fee_maker_e8          # rates in 1e-8; negative is a rebate
    # line 2
    int64_t fee_taker_e8
    uint32_t can                  # venue_can_t of types.pxd; what is missing is emulated where it can be, and denied where not
    uint16_t venue
    uint16_t group                # of routing, plus one; 0: of no group
    int64_t cash_only             # 1: spot without a loan: what is sold must be owned
    int64_t fees_age_ns           # without news of its fees for longer nothing new is ordered; 0: they do not age
    int64_t reserved[4]


cdef inline bint instrument_touch_is_whole(const instrument_t* i) noexcept nogil:
    """Both sides there and not crossed: the least a price must be to be quoted on."""
    return i.book_trusted and 0 < i.bid_px_ticks and i.bid_px_ticks < i.ask_px_ticks
