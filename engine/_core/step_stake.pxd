"""What is at stake: whether an entry could make its strategy hold more than it may without a person's word.

Owns: what an entry's stake is. Does not own: who approves and how that is proven (runtime), the approval itself
(strategy), the caps that no word lifts (risk): an approved order passes every rule of the gate or stays here.

The stake is what the strategy would hold on that side if everything it has out there fills: its position, its other
orders and parents of the side, and the wish. So many small orders are at stake as one large one, and one that only
closes what is held has nothing at stake. Reduce-only wishes, exits of brackets, plans and cancels are never asked.
It is valued against us: at the highest of the wish's prices and the touch it would take. What cannot be valued is
above every amount. Cost: one compare where the limit `approval_over` is the largest number, as it is in a world that
was not told another; else a few compares and one product a new order, none of it in the gate.
"""
from libc.stdint cimport int64_t, uint32_t

from engine._core.step_out cimport core_t
from engine._core.strategy_abi cimport wish_t


cdef bint needs_word(const core_t* core, uint32_t strategy, bint sell, const wish_t* wish, int64_t others_lots) noexcept nogil
