"""Which limits a symbol may be given: every relation that the judging code relies on."""
from engine._core.validate cimport CLASSES, PX_LIMIT, TS_END, validate_config_t


cdef enum:
    PPM = 1_000_000


cdef inline bint config_is_good(const validate_config_t* c) noexcept nogil:
    cdef int i
    for i in range(CLASSES):
        if not 0 <= c.stale_ns_max[i] < TS_END or not 0 <= c.silent_ns_max[i] < TS_END:
            return False
    return (
        0 < c.px_ticks_min <= c.px_ticks_max <= PX_LIMIT and 0 < c.qty_lots_max and 0 < c.tick_e8
        and 0 <= c.drift_ns_max < TS_END and 0 <= c.backward_ns_max < TS_END and 0 < c.ref_ns_max < TS_END
        and 0 <= c.confirm_ns < TS_END and 0 <= c.frozen_ns < TS_END and 0 <= c.halt_ns < TS_END
        and 0 < c.floor_ticks <= PX_LIMIT and 0 < c.band_ppm <= PPM and 0 < c.spike_ppm <= PPM
        and 0 < c.spike_k <= 32 and c.agree_ppm <= PPM and c.outside_ppm <= c.far_ppm <= PPM and c.mark_ppm <= PPM
        and 2 <= c.confirm_prints and 1 <= c.confirm_each and 1 <= c.suspect_trades and 1 <= c.clear_count
        and 1 <= c.window <= 64 and c.window_bad <= c.window and c.row_bad <= 64 and 1 <= c.recover_count
        and c.needs_time < 256 and c.needs_id < 256
    )
