"""Discipline: the rules that protect an account from people and from luck. No signal reaches the gate without them.

Owns: per strategy a bounded record of realised trade results and what it proves (edge, Sharpe ratio, significance);
per strategy and per symbol the cooldowns, streaks and detections of five biases. Does not own: the gate, positions,
prices and sentiment: they are handed in. One pass, all reasons in one mask, corrective actions beside it.

Invariants. What passes has every figure of the mathematics behind it, taken from the strategy's own record; a claim of the
signal can only make its case worse. Nothing shortens or clears a cooldown: no function here does, and `discipline_init`
refuses a rule looser than the ones it was written for. Whatever cannot be judged (missing, NaN) is refused.

A validator that observes (on paper only) lets pass what the record alone speaks against, and says so; biases refuse as ever.
What one table knows another one takes over by strategy and symbol, so a restart under other rules loses no rest.

The record is whole numbers (returns in 1e-8, rounded down), so a sliding sum is exact and a test of significance is a
comparison of integers; doubles serve the Sharpe ratio only, in a fixed order of + * / sqrt. Statistics change with a
closed trade and are judged there, so a check reads one mask. Cost of a check: some 15 ns.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cpdef enum reason_t:              # why a signal was refused; bit numbers of the mask
    REASON_FOMO = 0               # meets the rule now
    REASON_REVENGE = 1
    REASON_OVERCONFIDENCE = 2     # larger than the cap that stands
    REASON_LOSS_AVERSION = 3
    REASON_CONFIRMATION = 4
    REASON_COOLDOWN_FOMO = 5      # met it before: the time is not over
    REASON_COOLDOWN_REVENGE = 6
    REASON_TOO_FEW_SAMPLES = 7    # not enough evidence, whatever it says
    REASON_INSIGNIFICANT = 8
    REASON_NEGATIVE_EV = 9
    REASON_LOW_SHARPE = 10
    REASON_LOW_CONFIDENCE = 11
    REASON_BAD_INPUT = 12         # a fact is missing or impossible
    REASON_COUNT = 13


cpdef enum bias_t:
    BIAS_FOMO = 0
    BIAS_REVENGE = 1
    BIAS_OVERCONFIDENCE = 2
    BIAS_LOSS_AVERSION = 3
    BIAS_CONFIRMATION = 4
    BIAS_COUNT = 5


cpdef enum corrective_t:
    CORRECT_BLOCK = 1             # no entry until `until_ns`
    CORRECT_CAP = 2               # entries up to `value` account units until `until_ns`
    CORRECT_FORCE_STOP = 3        # close `value` lots (signed: the position) now
    CORRECT_CONFIRM = 4           # come back with `value` independent sources


cpdef enum sign_t:                # of overconfidence
    SIGN_STREAK = 1
    SIGN_SIZE = 2
    SIGN_WARNING = 4
    SIGN_STOPS = 8


cpdef enum claim_t:               # which numbers a signal states about itself
    CLAIM_P = 1
    CLAIM_EV = 2
    CLAIM_SHARPE = 4
    CLAIM_CONFIDENCE = 8


cdef extern from *:
    """
    #define BOT4_FACT_UNKNOWN INT64_MIN
    """
    const int64_t FACT_UNKNOWN "BOT4_FACT_UNKNOWN"


cpdef enum validator_t:           # what the figures of a strategy's record do
    VALIDATOR_ENFORCE = 0         # refuse
    VALIDATOR_OBSERVE = 1         # on paper only: are noted, so that a strategy can earn a record. Biases refuse as ever
    VALIDATOR_REHEARSE = 2        # on paper only: biases are noted too; a stop is forced as ever


cpdef enum decision_flag_t:       # on a decision's record, beside FLAG_SELL
    DECISION_OBSERVED = 1         # nothing was refused: what a validator that observes has against it


cdef struct discipline_config_t:
    double p_max                  # 0.05; divided by `trials`, the number of strategies that were tried to find this one
    double sharpe_min             # 2.0 a year
    double confidence_min         # 0.75
    int64_t sharpe_span_min_ns    # trades of a shorter time are annualised as if they had taken this long
    int64_t fomo_rise_ppm         # with at least this rise (a fall, for a sell) ...
    int64_t fomo_sentiment_ppm    # ... at this sentiment, an entry chases
    int64_t fomo_cooldown_ns
    int64_t revenge_window_ns     # an entry this soon after a loss
    int64_t revenge_cooldown_ns
    int64_t cap_ppm               # of equity, after overconfidence
    int64_t cap_cooldown_ns
    int64_t size_factor_ppm       # of the mean size recorded
    int64_t warning_window_ns     # an entry not smaller than the warned one, this soon after the warning, ignores it
    int64_t stop_grace_ns         # beyond its stop for longer than this is held on purpose
    int64_t stop_retry_ns         # between two demands to force the same stop
    int64_t explore_share_ppm     # of equity: what a strategy without a record may risk on paper
    uint32_t explore_max          # such signals per strategy, in all
    uint32_t samples_min
    uint32_t window               # trade results kept
    uint32_t trials
    uint32_t wins_max             # more wins in a row than this are a sign
    uint32_t shrinking_stops      # so many stops, each nearer than the one before, are a sign
    uint32_t confirmations_min
    uint32_t paper                # fixed at start: no signal can say it of itself
    uint32_t validator            # validator_t
    uint32_t reserved_32


cdef struct discipline_t:         # the header; strategy rows, symbol rows, critical values, records follow
    discipline_config_t config
    uint32_t strategy_count
    uint32_t symbol_count
    uint64_t symbols_at           # offsets from the header's start
    uint64_t critical_at
    uint64_t records_at
    uint64_t checked_count
    uint64_t refused_count
    uint64_t reducing_count       # exits: never refused
    uint64_t explored_count
    uint64_t results_refused_count
    uint64_t refused_by_reason[REASON_COUNT]
    uint64_t detected_by_bias[BIAS_COUNT]
    uint64_t observed_count       # passed because the validator only observes
    uint64_t observed_by_reason[REASON_COUNT]
    uint64_t reserved[10]


cdef struct discipline_strategy_t:  # three cache lines
    # line 0: what a check reads
    uint64_t failed               # reasons of the record alone; REASON_TOO_FEW_SAMPLES with whatever else fails
    int64_t revenge_until_ns
    int64_t cap_until_ns
    int64_t loss_ns               # last losing trade; INT64_MIN: none
    int64_t warned_until_ns
    int64_t warned_notional
    int64_t notional_sum          # of the record
    uint32_t wins_in_row
    uint32_t ignored_warnings
    # line 1: the sums behind the record
    int64_t sum_e8                # of returns
    uint64_t squares_low          # of returns squared, 128 bits
    uint64_t squares_high
    uint32_t count                # results kept
    uint32_t head                 # where the next one goes
    int64_t stop_last_ppm
    uint32_t stops_shrunk         # closed trades in a row, each with a nearer stop
    uint32_t explored
    int64_t result_ns             # time of the last result
    uint64_t result_count         # all time
    # line 2: what they say
    double ev                     # mean return of a trade
    double t
    double sharpe                 # a year
    double sharpe_se
    uint64_t clamped_count        # returns beyond 100 times the stake, taken as 100 times
    uint64_t refused_count
    uint64_t observed             # of the last signal that passed: what an enforcing validator had against it
    int64_t reserved


cdef struct discipline_symbol_t:  # one cache line
    int64_t fomo_until_ns
    int64_t revenge_until_ns
    int64_t loss_ns
    int64_t beyond_ns             # since when the position stands beyond its stop; INT64_MIN: it does not
    int64_t forced_ns             # last demand to force it
    uint64_t forced_count         # in this spell
    int64_t reserved[2]


cdef struct discipline_record_t:
    int64_t ts_ns
    int64_t return_e8
    int64_t notional
    int64_t stop_ppm


cdef struct signal_t:             # what a strategy asks for, and what it claims
    int64_t px_ticks
    int64_t qty_lots
    int64_t notional              # account units
    int64_t stop_ppm              # distance of its stop from the price
    uint64_t sources              # one bit for each independent source that says so
    double p                      # each claim counts if its bit is in `claims`
    double ev
    double sharpe
    double confidence
    uint16_t strategy
    uint16_t symbol
    uint8_t sell
    uint8_t claims                # claim_t, or-ed
    uint8_t reserved[2]


cdef struct facts_t:              # what the engine knows; never the strategy's word
    int64_t equity                # account units
    int64_t position_share_ppm    # the gate's limit that a cap is expressed against
    int64_t position_lots         # signed, of the signal's symbol
    int64_t px_stop_ticks         # of that position; 0: none
    int64_t bid_px_ticks
    int64_t ask_px_ticks
    int64_t rise_ppm              # of the price over the feature's window; FACT_UNKNOWN refuses
    int64_t sentiment_ppm         # -1,000,000 to 1,000,000; FACT_UNKNOWN counts as the worst
    int64_t px_band_low_ticks     # beyond these an entry chases; 0 refuses
    int64_t px_band_high_ticks


cdef struct corrective_action_t:
    uint32_t kind                 # corrective_t
    uint32_t bias
    uint16_t strategy
    uint16_t symbol
    uint32_t reserved
    int64_t until_ns
    int64_t value


cdef struct discipline_verdict_t:
    uint64_t reasons              # bit per reason_t; 0 passes
    uint64_t observed             # bit per reason_t: what it passed in spite of
    uint64_t detected             # bit per bias_t: met its rule with this signal
    int64_t until_ns              # latest end of a cooldown that stands in the way
    int64_t scale_ppm             # for account_t.position_scale_ppm
    int64_t notional_max          # the cap in account units; INT64_MAX without one
    uint32_t reducing
    uint32_t explored             # passed on the allowance of paper trading, not on evidence
    uint32_t signs                # of overconfidence, sign_t
    uint32_t news                 # `observed` is another one than with the strategy's last signal
    uint32_t action_count
    uint32_t reserved
    corrective_action_t actions[BIAS_COUNT]


cdef void discipline_defaults(discipline_config_t* config) noexcept nogil
cdef size_t discipline_bytes(const discipline_config_t* config, uint32_t strategies, uint32_t symbols) noexcept nogil
cdef int discipline_init(discipline_t* d, const discipline_config_t* config, uint32_t strategies,
                         uint32_t symbols) noexcept nogil
cdef int discipline_check(discipline_t* d, const signal_t* signal, const facts_t* facts, int64_t now_ns,
                          discipline_verdict_t* out) noexcept nogil
cdef int discipline_result(discipline_t* d, uint32_t strategy, uint32_t symbol, int64_t pnl, int64_t notional,
                           int64_t stop_ppm, int64_t now_ns) noexcept nogil
cdef int discipline_carry(discipline_t* d, uint32_t to, const discipline_t* before, uint32_t strategy) noexcept nogil
cdef int discipline_carry_symbol(discipline_t* d, uint32_t to, const discipline_t* before, uint32_t symbol) noexcept nogil
cdef void discipline_rest(discipline_t* d, int64_t now_ns) noexcept nogil
cdef int discipline_warn(discipline_t* d, uint32_t strategy, int64_t notional, int64_t now_ns) noexcept nogil
cdef int discipline_position(discipline_t* d, uint32_t symbol, const facts_t* facts, int64_t now_ns,
                             corrective_action_t* action) noexcept nogil

cdef inline discipline_strategy_t* discipline_strategies(const discipline_t* d) noexcept nogil:
    return <discipline_strategy_t*>(d + 1)

cdef inline discipline_symbol_t* discipline_symbols(const discipline_t* d) noexcept nogil:
    return <discipline_symbol_t*>(<char*>d + d.symbols_at)

cdef inline int64_t* discipline_critical(const discipline_t* d) noexcept nogil:
    """Two words per count of results: squared critical t in millionths, of significance and of confidence."""
    return <int64_t*>(<char*>d + d.critical_at)

cdef inline discipline_record_t* discipline_records(const discipline_t* d, uint32_t strategy) noexcept nogil:
    return <discipline_record_t*>(<char*>d + d.records_at) + <size_t>strategy * d.config.window


cdef class Discipline:
    cdef discipline_t* c
    cdef size_t size
