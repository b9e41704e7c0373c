from libc.stdint cimport int64_t, uintptr_t

import numpy as np

from engine._core.debug cimport static_assert_c


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(view_t) == 1536)
    static_assert_c(sizeof(peer_t) == 128)
    static_assert_c(sizeof(wish_t) == 96)
    static_assert_c(sizeof(signal_t) == 64)
    static_assert_c(sizeof(wishes_t) == 448)
    static_assert_c(sizeof(double) == 8)
    static_assert_c(<size_t>&(<view_t*>NULL).last_px_ticks == 64)
    static_assert_c(<size_t>&(<view_t*>NULL).mark_px_e8 == 128)
    static_assert_c(<size_t>&(<view_t*>NULL).features == 192)
    static_assert_c(<size_t>&(<view_t*>NULL).params == 448)
    static_assert_c(<size_t>&(<view_t*>NULL).params_f64 == 576)
    static_assert_c(<size_t>&(<view_t*>NULL).state == 640)
    static_assert_c(<size_t>&(<view_t*>NULL).state_f64 == 896)
    static_assert_c(<size_t>&(<view_t*>NULL).peers == 1024)
    static_assert_c(<size_t>&(<wishes_t*>NULL).ask == 192)
    static_assert_c(<size_t>&(<wishes_t*>NULL).signal == 384)
    # The arrays' lengths and the constants that authors read are one truth.
    static_assert_c(sizeof((<view_t*>NULL).features) == FEATURES_MAX * 8)
    static_assert_c(sizeof((<view_t*>NULL).params) == PARAMS_MAX * 8)
    static_assert_c(sizeof((<view_t*>NULL).params_f64) == PARAMS_F64_MAX * 8)
    static_assert_c(sizeof((<view_t*>NULL).state) == STATE_MAX * 8)
    static_assert_c(sizeof((<view_t*>NULL).state_f64) == STATE_F64_MAX * 8)
    static_assert_c(sizeof((<wishes_t*>NULL).bid) == TAGS * 96)
    static_assert_c(sizeof((<view_t*>NULL).peers) == PEERS_MAX * sizeof(peer_t))


cdef view_t _view
cdef wish_t _wish
cdef signal_t _signal
cdef peer_t _peer

# The dtypes are read back from the structs: the compiler alone knows the layout. The buffer protocol drops the
# length of an array of structs, so the wishes are put together from their parts, at the compiler's offsets.
PEER = np.asarray(<peer_t[:1]>&_peer).dtype


def _with_peers(flat):
    """The view's dtype with its peers as records: they stand in the same bytes."""
    fields = {name: flat.fields[name] for name in flat.names}
    return np.dtype({
        "names": list(fields),
        "formats": [(PEER, (PEERS_MAX,)) if name == "peers" else kind for name, (kind, _) in fields.items()],
        "offsets": [at for _, at in fields.values()],
        "itemsize": flat.itemsize,
    })


VIEW = _with_peers(np.asarray(<view_t[:1]>&_view).dtype)
WISH = np.asarray(<wish_t[:1]>&_wish).dtype
SIGNAL = np.asarray(<signal_t[:1]>&_signal).dtype
WISHES = np.dtype({
    "names": ["bid", "ask", "signal"],
    "formats": [(WISH, (TAGS,)), (WISH, (TAGS,)), SIGNAL],
    "offsets": [<size_t>&(<wishes_t*>NULL).bid, <size_t>&(<wishes_t*>NULL).ask, <size_t>&(<wishes_t*>NULL).signal],
    "itemsize": sizeof(wishes_t),
})

ABI = STRATEGY_ABI
OK = STRATEGY_OK
STOP = STRATEGY_STOP
SIZES = {
    "features": FEATURES_MAX, "params": PARAMS_MAX, "params_f64": PARAMS_F64_MAX, "state": STATE_MAX,
    "state_f64": STATE_F64_MAX, "tags": TAGS, "peers": PEERS_MAX,
}
WishKind = wish_kind_t
WishType = wish_type_t
WishTif = wish_tif_t
WishFlag = wish_flag_t
WishFault = wish_fault_t


cdef inline bint _is_below(int64_t one, int64_t other, bint sell) noexcept nogil:
    return one > other if sell else one < other


cdef int64_t wish_check(const wish_t* wish, bint sell, int64_t now_ns) noexcept nogil:
    """Every fault of one wish as a mask; 0 when it can be carried out. A wish that asks for no order has none."""
    cdef int64_t faults = 0
    cdef bint posts, entry
    cdef int64_t kind = wish.kind, type_ = wish.type
    if kind < 0 or kind > <int64_t>WISH_NONE:
        return FAULT_KIND
    if kind != WISH_REST:
        return 0
    if type_ < 0 or type_ >= <int64_t>TYPE_COUNT:
        return FAULT_TYPE
    posts = wish.tif == TIF_GTX or (wish.flags & WISH_POST_ONLY) != 0
    if wish.tif < 0 or wish.tif >= <int64_t>TIF_COUNT:
        faults |= FAULT_TIF
    if wish.flags & ~<int64_t>WISH_FLAGS:
        faults |= FAULT_FLAGS
    # Post-only is a promise to rest: only what rests on the book at once can keep it.
    if posts and (type_ not in (TYPE_LIMIT, TYPE_ICEBERG, TYPE_TWAP, TYPE_VWAP, TYPE_POV) or wish.tif == TIF_IOC or wish.tif == TIF_FOK):
        faults |= FAULT_FLAGS
    if wish.qty_lots <= 0:
        faults |= FAULT_QTY
    if type_ in (TYPE_LIMIT, TYPE_STOP_LIMIT, TYPE_TAKE_LIMIT, TYPE_ICEBERG, TYPE_TWAP, TYPE_VWAP,
                 TYPE_POV) and wish.px_ticks <= 0:
        faults |= FAULT_PX
    if type_ in (TYPE_STOP, TYPE_STOP_LIMIT, TYPE_TAKE, TYPE_TAKE_LIMIT) and wish.trigger_px_ticks <= 0:
        faults |= FAULT_TRIGGER
    if type_ == TYPE_TRAILING and wish.trail_ticks <= 0:
        faults |= FAULT_TRAIL
    if (type_ == TYPE_ICEBERG or wish_slices(wish)) and (wish.display_lots <= 0 or wish.display_lots > wish.qty_lots):
        faults |= FAULT_DISPLAY
    if (wish.tif == TIF_GTD or wish_slices(wish)) and wish.expire_ns <= now_ns:
        faults |= FAULT_EXPIRE
    # A child is filled or killed by nobody, and its date is its parent's.
    if wish_slices(wish) and (wish.tif == TIF_FOK or wish.tif == TIF_GTD):
        faults |= FAULT_TIF
    if wish.stop_px_ticks < 0 or wish.target_px_ticks < 0:
        faults |= FAULT_BRACKET
    entry = wish.stop_px_ticks > 0 or wish.target_px_ticks > 0
    if entry:
        # A bracket protects what the entry opens: an exit opens nothing, and a triggered entry has no price yet.
        if wish.flags & WISH_REDUCE_ONLY or type_ not in (TYPE_LIMIT, TYPE_MARKET, TYPE_ICEBERG, TYPE_TWAP, TYPE_VWAP,
                                                          TYPE_POV):
            faults |= FAULT_BRACKET
        # Many children have no one target: the strategy sees its position and wishes for the exit.
        if wish_slices(wish) and wish.target_px_ticks > 0:
            faults |= FAULT_BRACKET
        # For a buyer stop < entry < target, for a seller the other way round; a market entry has no price between.
        if type_ != TYPE_MARKET:
            if wish.stop_px_ticks > 0 and not _is_below(wish.stop_px_ticks, wish.px_ticks, sell):
                faults |= FAULT_BRACKET
            if wish.target_px_ticks > 0 and not _is_below(wish.px_ticks, wish.target_px_ticks, sell):
                faults |= FAULT_BRACKET
        elif wish.stop_px_ticks > 0 and wish.target_px_ticks > 0:
            if not _is_below(wish.stop_px_ticks, wish.target_px_ticks, sell):
                faults |= FAULT_BRACKET
    return faults


cdef wish_t* _one(record) except NULL:
    # A np.void or a one-row array of dtype WISH; its memory, not a copy.
    if record.dtype != WISH:
        raise TypeError(f"a WISH record is needed, not {record.dtype}")
    return <wish_t*><uintptr_t>record.__array_interface__["data"][0]


def check_wish(wish, bint sell, int64_t now_ns):
    """The faults of one WISH record as a mask."""
    return wish_check(_one(np.ascontiguousarray(wish)), sell, now_ns)


def new_view(count=None):
    """A zeroed view of this layout's version, or an array of them."""
    views = np.zeros(1 if count is None else count, VIEW)
    views["abi"] = ABI
    return views[0] if count is None else views


def new_wishes():
    return np.zeros(1, WISHES)[0]
