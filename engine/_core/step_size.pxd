"""How much of a wish, and whether it is worth its price: sizing and the complete cost, as a strategy's own limits ask.

Owns: what sizing and the cost are asked with here - equity in the instrument's quote units, what is held, the account's
fees, the record behind Kelly's fraction, the levels of the live book. Does not own: the arithmetic (sizing, cost), the
record (discipline), the caps that hold for everybody (risk): this only ever makes an order smaller or refuses it.

A strategy with the limit `size_by` wishes for at most `qty_lots`. What it gets is decided when an order is placed and stays
with that order: a size that followed each tick of the equity would amend for ever. Without a stop, an equity or a price
there is no size. Kelly needs a record: too short a one may risk what exploring may; none at all is no size.
Cost: nothing for a strategy without these limits; a size some 60 ns and a pass over its record with Kelly, a cost some 60 ns.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t

from engine._core.step_orders cimport place_t
from engine._core.step_out cimport core_t
from engine._core.strategy_abi cimport wish_t


cdef int64_t size_lots(core_t* core, uint32_t strategy, uint16_t symbol, bint sell, const wish_t* wish) noexcept nogil
cdef int64_t cost_reasons(core_t* core, uint32_t strategy, const place_t* p, const wish_t* wish) noexcept nogil
