cimport cython
from libc.stdint cimport uint32_t, uintptr_t

from engine._core.types import EVENT

from engine._core.debug cimport likely, unlikely
from engine._core.memory cimport block_free, block_new
from engine._core.step_account cimport (
    denied_event, clock_event, control_event, feed_event, limit_event, revalue, symbol_event,
)
from engine._core.step_market cimport market_event, market_on_time
from engine._core.step_plans cimport plans_on_time
from engine._core.step_reports cimport balance_event, fee_event, funding_event, position_event, report_event
from engine._core.step_strategy cimport strategy_event
from engine._core.strategy_abi cimport decide_t
from engine._core.types cimport (
    KIND_BALANCE, KIND_CLOCK, KIND_CONTROL, KIND_DENIED, KIND_FEE, KIND_FEED, KIND_FUNDING, KIND_LIMIT, KIND_ORDER_ACK,
    KIND_ORDER_LOST, KIND_POSITION, KIND_STRATEGY, KIND_SYMBOL, KIND_TIMER, OK, SYMBOL_ALL, WORLD_BAD_EVENT, WORLD_UNKNOWN_SYMBOL,
    event_t, raise_status,
)
from engine._core.world cimport rows_copy


cdef int _other_event(core_t* core, const event_t* event) noexcept nogil:
    """Everything that is neither market data nor a report on an order."""
    if event.kind == KIND_TIMER:
        market_on_time(core, event)
        revalue(core, event)
        plans_on_time(core, event)
        return OK
    if event.kind == KIND_FEE:
        return fee_event(core, event)
    if event.kind == KIND_FUNDING:
        return funding_event(core, event)
    if event.kind == KIND_BALANCE:
        return balance_event(core, event)
    if event.kind == KIND_POSITION:
        return position_event(core, event)
    if event.kind == KIND_CONTROL:
        return control_event(core, event)
    if event.kind == KIND_LIMIT:
        return limit_event(core, event)
    if event.kind == KIND_FEED:
        return feed_event(core, event)
    if event.kind == KIND_CLOCK:
        return clock_event(core, event)
    if event.kind == KIND_DENIED:
        return denied_event(core, event)
    if event.kind == KIND_SYMBOL:
        return symbol_event(core, event)
    if event.kind == KIND_STRATEGY:
        return strategy_event(core, event)
    return WORLD_BAD_EVENT


cdef int step(core_t* core, const event_t* event) noexcept nogil:
    cdef world_t* w = core.world
    cdef int status
    core.out_count = 0
    # A connection may be that of every symbol; everything else is of one.
    if unlikely(event.symbol >= w.symbol_count and not (event.kind == KIND_FEED and event.symbol == SYMBOL_ALL)):
        w.refused_count += 1
        return WORLD_UNKNOWN_SYMBOL
    w.event_count += 1
    # Time never runs backwards inside: a late stamp is taken as "now".
    if event.ts_recv_ns > w.now_ns:
        w.now_ns = event.ts_recv_ns
    if event.kind < 64:
        status = market_event(core, event)
    elif KIND_ORDER_ACK <= event.kind <= KIND_ORDER_LOST:
        status = report_event(core, event)
    else:
        status = _other_event(core, event)
    if unlikely(status != OK):
        w.refused_count += 1
    return status


@cython.final
cdef class Core:
    """A world with its strategies' pointers and the room for outputs: what a driver steps."""

    def __cinit__(self, World world not None):
        self.c = <core_t*>block_new(sizeof(core_t))
        self.c.world = world.c
        self.world = world
        self.kept = []

    def __dealloc__(self):
        block_free(self.c)

    def bind(self, uint32_t strategy, address, keep=None):
        """Give a strategy slot its compiled `decide`. `keep` is held as long as the core: the owner of the code."""
        if strategy >= self.world.c.strategy_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"strategy {strategy}")
        self.c.decide[strategy] = <decide_t><uintptr_t>address
        self.kept.append(keep)

    def bind_features(self, address, keep=None):
        """Give the view's features their function: see features_t in step_out.pxd."""
        self.c.features = <features_t><uintptr_t>address
        self.kept.append(keep)

    def step(self, event):
        """Step one 64-byte record; returns (status, outputs as an EVENT array). For tests and tools."""
        cdef const unsigned char[::1] view = memoryview(event).cast("B")
        if view.shape[0] != sizeof(event_t):
            raise_status(WORLD_BAD_EVENT, f"{view.shape[0]} bytes")
        status = step(self.c, <const event_t*>&view[0])
        return status, self.outputs()

    def outputs(self):
        return rows_copy(self.c.out, self.c.out_count * sizeof(event_t), EVENT)
