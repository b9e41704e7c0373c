"""Layout checks, the numpy dtypes of the shared structs, and the bridge from a status to its error class.

The dtypes are read back from the structs through the buffer protocol: the compiler is the only one who knows the
layout, so a field moved in types.pxd moves in Python too.
"""
import numpy as np

from engine._core.debug cimport static_assert_c


cdef void _layout() noexcept nogil:
    # Never called; compiled so that a wrong size or offset is a build error on every architecture.
    static_assert_c(sizeof(event_t) == 64)
    static_assert_c(sizeof(level_event_t) == 64)
    static_assert_c(sizeof(quote_event_t) == 64)
    static_assert_c(sizeof(trade_event_t) == 64)
    static_assert_c(sizeof(bar_prices_event_t) == 64)
    static_assert_c(sizeof(bar_totals_event_t) == 64)
    static_assert_c(sizeof(mark_event_t) == 64)
    static_assert_c(sizeof(liquidation_event_t) == 64)
    static_assert_c(sizeof(order_event_t) == 64)
    static_assert_c(sizeof(intent_t) == 64)
    static_assert_c(sizeof(decision_t) == 64)
    static_assert_c(sizeof(fee_event_t) == 64)
    static_assert_c(sizeof(funding_event_t) == 64)
    static_assert_c(sizeof(balance_event_t) == 64)
    static_assert_c(sizeof(position_event_t) == 64)
    static_assert_c(sizeof(feed_event_t) == 64)
    static_assert_c(sizeof(clock_event_t) == 64)
    static_assert_c(sizeof(intent_terms_t) == 64)
    static_assert_c(sizeof(incident_t) == 64)
    static_assert_c(sizeof(control_event_t) == 64)
    static_assert_c(sizeof(symbol_event_t) == 64)
    static_assert_c(sizeof(mode_event_t) == 64)
    static_assert_c(sizeof(bracket_event_t) == 64)
    static_assert_c(sizeof(algo_event_t) == 64)
    static_assert_c(<size_t>&(<event_t*>NULL).kind == 0)
    static_assert_c(<size_t>&(<event_t*>NULL).flags == 1)
    static_assert_c(<size_t>&(<event_t*>NULL).symbol == 2)
    static_assert_c(<size_t>&(<event_t*>NULL).seq == 4)
    static_assert_c(<size_t>&(<event_t*>NULL).ts_venue_ns == 8)
    static_assert_c(<size_t>&(<event_t*>NULL).ts_recv_ns == 16)
    static_assert_c(<size_t>&(<event_t*>NULL).word == 24)
    static_assert_c(<size_t>&(<level_event_t*>NULL).px_ticks == 24)
    static_assert_c(<size_t>&(<quote_event_t*>NULL).bid_px_ticks == 24)
    static_assert_c(<size_t>&(<trade_event_t*>NULL).px_ticks == 24)
    static_assert_c(<size_t>&(<bar_prices_event_t*>NULL).open_ticks == 24)
    static_assert_c(<size_t>&(<bar_totals_event_t*>NULL).ts_open_ns == 24)
    static_assert_c(<size_t>&(<mark_event_t*>NULL).mark_px_e8 == 24)
    static_assert_c(<size_t>&(<liquidation_event_t*>NULL).px_ticks == 24)
    static_assert_c(<size_t>&(<order_event_t*>NULL).id_order == 24)
    static_assert_c(<size_t>&(<intent_t*>NULL).id_order == 24)
    static_assert_c(<size_t>&(<decision_t*>NULL).origin == 24)
    static_assert_c(<size_t>&(<fee_event_t*>NULL).id_order == 24)
    static_assert_c(<size_t>&(<funding_event_t*>NULL).id_funding == 24)
    static_assert_c(<size_t>&(<balance_event_t*>NULL).asset == 24)
    static_assert_c(<size_t>&(<position_event_t*>NULL).lots == 24)
    static_assert_c(<size_t>&(<feed_event_t*>NULL).feed == 24)
    static_assert_c(<size_t>&(<clock_event_t*>NULL).venue == 24)
    static_assert_c(<size_t>&(<intent_terms_t*>NULL).id_order == 24)
    static_assert_c(<size_t>&(<incident_t*>NULL).what == 24)
    static_assert_c(<size_t>&(<control_event_t*>NULL).latch == 24)
    static_assert_c(<size_t>&(<symbol_event_t*>NULL).halt == 24)
    static_assert_c(<size_t>&(<mode_event_t*>NULL).mode == 24)
    static_assert_c(<size_t>&(<bracket_event_t*>NULL).bracket == 24)
    static_assert_c(<size_t>&(<algo_event_t*>NULL).id_algo == 24)


cdef event_t _event
cdef level_event_t _level
cdef quote_event_t _quote
cdef trade_event_t _trade
cdef bar_prices_event_t _bar_prices
cdef bar_totals_event_t _bar_totals
cdef mark_event_t _mark
cdef liquidation_event_t _liquidation
cdef order_event_t _order
cdef intent_t _intent
cdef decision_t _decision
cdef fee_event_t _fee
cdef funding_event_t _funding
cdef balance_event_t _balance
cdef position_event_t _position
cdef feed_event_t _feed
cdef clock_event_t _clock
cdef intent_terms_t _intent_terms
cdef incident_t _incident
cdef control_event_t _control
cdef symbol_event_t _symbol
cdef mode_event_t _mode
cdef bracket_event_t _bracket
cdef algo_event_t _algo

EVENT = np.asarray(<event_t[:1]>&_event).dtype
LEVEL = np.asarray(<level_event_t[:1]>&_level).dtype
QUOTE = np.asarray(<quote_event_t[:1]>&_quote).dtype
TRADE = np.asarray(<trade_event_t[:1]>&_trade).dtype
BAR_PRICES = np.asarray(<bar_prices_event_t[:1]>&_bar_prices).dtype
BAR_TOTALS = np.asarray(<bar_totals_event_t[:1]>&_bar_totals).dtype
MARK = np.asarray(<mark_event_t[:1]>&_mark).dtype
LIQUIDATION = np.asarray(<liquidation_event_t[:1]>&_liquidation).dtype
ORDER = np.asarray(<order_event_t[:1]>&_order).dtype
INTENT = np.asarray(<intent_t[:1]>&_intent).dtype
DECISION = np.asarray(<decision_t[:1]>&_decision).dtype
FEE = np.asarray(<fee_event_t[:1]>&_fee).dtype
FUNDING = np.asarray(<funding_event_t[:1]>&_funding).dtype
BALANCE = np.asarray(<balance_event_t[:1]>&_balance).dtype
POSITION = np.asarray(<position_event_t[:1]>&_position).dtype
FEED = np.asarray(<feed_event_t[:1]>&_feed).dtype
CLOCK = np.asarray(<clock_event_t[:1]>&_clock).dtype
INTENT_TERMS = np.asarray(<intent_terms_t[:1]>&_intent_terms).dtype
INCIDENT = np.asarray(<incident_t[:1]>&_incident).dtype
CONTROL = np.asarray(<control_event_t[:1]>&_control).dtype
SYMBOL = np.asarray(<symbol_event_t[:1]>&_symbol).dtype
MODE = np.asarray(<mode_event_t[:1]>&_mode).dtype
BRACKET = np.asarray(<bracket_event_t[:1]>&_bracket).dtype
ALGO = np.asarray(<algo_event_t[:1]>&_algo).dtype

# The Python faces of the enums. `Status(201).name` is what logs and errors print.
Status = status_t
Kind = kind_t
Flag = flag_t
Feed = feed_t
SymbolWord = symbol_word_t
Stage = stage_t
Incident = incident_code_t
TermsFlag = terms_flag_t
Can = venue_can_t


# Dependency inversion: engine/errors/ hands its classes in when `engine` is imported, so that the core can raise them
# without importing Python code of the engine.
cdef dict _error_by_status = {}


def bind_errors(classes):
    """Let `raise_status` raise these classes: a mapping from status to exception class."""
    _error_by_status.update(classes)


cpdef int raise_status(int status, str detail="") except -1:
    """Raise the error class bound to a status. For cold paths; per-event code returns the status."""
    error = _error_by_status.get(status)
    if error is None:
        raise RuntimeError(f"status {status} has no error class: {detail}")
    raise error(detail)
