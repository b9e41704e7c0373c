cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

import hashlib

import numpy as np

from engine._core.debug cimport static_assert_c
from engine._core.memory cimport block_free, block_new
from engine._core.orders cimport (
    STATE_CREATED, STATE_UNKNOWN, order_t, orders_bytes, orders_check, orders_config, orders_config_t, orders_init,
    orders_slots,
)
from engine._core.types cimport OK, WORLD_BAD_LAYOUT, WORLD_UNKNOWN_SYMBOL, raise_status

cdef uint64_t MAGIC = 0x31444C524F573442        # "B4WORLD1", little-endian
cdef uint32_t LAYOUT = 1
cdef int64_t E8 = 100_000_000


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(world_t) == 256)
    static_assert_c(sizeof(instrument_t) == 192)
    static_assert_c(sizeof(position_t) == 64)
    static_assert_c(sizeof(strategy_t) == 384)


cdef instrument_t _instrument
cdef position_t _position
cdef order_t _order
cdef limits_t _limits
INSTRUMENT = np.asarray(<instrument_t[:1]>&_instrument).dtype
POSITION = np.asarray(<position_t[:1]>&_position).dtype
ORDER_RECORD = np.asarray(<order_t[:1]>&_order).dtype
LIMITS = np.asarray(<limits_t[:1]>&_limits).dtype


cdef inline uint64_t _line_up(uint64_t size) noexcept nogil:
    return (size + 63) & ~<uint64_t>63


@cython.final
cdef class World:
    """The block and its Python views. Only the step and the functions here write to it."""

    def __cinit__(self, *, uint32_t symbols, uint32_t strategies, uint32_t orders=1024, uint64_t seed=0,
                  int64_t epoch=1):
        cdef orders_config_t orders_shape = orders_config(orders, symbols, epoch)
        cdef uint64_t instruments_at = sizeof(world_t)
        cdef uint64_t orders_at = _line_up(instruments_at + symbols * sizeof(instrument_t))
        cdef uint64_t positions_at = _line_up(orders_at + orders_bytes(&orders_shape))
        cdef uint64_t strategies_at = _line_up(positions_at + symbols * sizeof(position_t))
        cdef uint64_t size = _line_up(strategies_at + strategies * sizeof(strategy_t))
        if not 1 <= symbols <= 1024 or not 1 <= orders <= 65535 or strategies > 256:
            raise_status(WORLD_BAD_LAYOUT, f"symbols={symbols}, orders={orders}, strategies={strategies}")
        self.c = <world_t*>block_new(size)
        self.c.magic = MAGIC
        self.c.layout = LAYOUT
        self.c.symbol_count = symbols
        self.c.strategy_count = strategies
        self.c.order_capacity = orders
        self.c.size = size
        self.c.seed = seed
        self.c.instruments_at = instruments_at
        self.c.orders_at = orders_at
        self.c.positions_at = positions_at
        self.c.strategies_at = strategies_at
        if orders_init(world_orders(self.c), &orders_shape) != OK:
            raise_status(WORLD_BAD_LAYOUT, f"epoch={epoch}")

    def __dealloc__(self):
        block_free(self.c)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        # Read-only: a snapshot reads the block, nobody writes through a view by accident.
        PyBuffer_FillInfo(buffer, self, self.c, <Py_ssize_t>self.c.size, 1, flags)

    # ------------------------------------------------------------------------------------------ set-up, before events
    def set_instrument(self, uint32_t symbol, **fields):
        """Set the static facts of a symbol: the fields of INSTRUMENT by name."""
        if symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        rows = np.asarray(<instrument_t[:self.c.symbol_count]>world_instruments(self.c))
        for name, value in fields.items():
            rows[name][symbol] = value

    def set_limits(self, **fields):
        row = np.asarray(<limits_t[:1]>&self.c.limits)
        for name, value in fields.items():
            row[name][0] = value

    def set_strategy(self, uint32_t strategy, uint32_t symbol, params):
        """Bind a strategy slot to a symbol with its parameters."""
        if strategy >= self.c.strategy_count or symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"strategy {strategy}, symbol {symbol}")
        cdef strategy_t* s = &world_strategies(self.c)[strategy]
        s.symbol = symbol
        s.view.symbol = symbol
        for at, value in enumerate(params):
            s.view.params[at] = value

    # -------------------------------------------------------------------------------------------------------- reading
    def instruments(self):
        return np.array(<instrument_t[:self.c.symbol_count]>world_instruments(self.c))

    def positions(self):
        return np.array(<position_t[:self.c.symbol_count]>world_positions(self.c))

    def live_orders(self):
        """A copy of every order that may still trade."""
        rows = np.array(<order_t[:self.c.order_capacity]>orders_slots(world_orders(self.c)))
        return rows[(rows["state"] >= STATE_CREATED) & (rows["state"] <= STATE_UNKNOWN)]

    @property
    def now_ns(self):
        return self.c.now_ns

    @property
    def event_count(self):
        return self.c.event_count

    @property
    def counts(self):
        """The world's counters by name."""
        cdef world_t* w = self.c
        return {
            "events": w.event_count, "refused": w.refused_count, "intents": w.intent_count, "denied": w.denied_count,
            "fills": w.fill_count, "stopped": w.stopped_count, "live_orders": world_orders(w).live_count,
            "illegal_reports": world_orders(w).illegal_count,
        }

    def state_hash(self):
        """A hash of every byte of the block."""
        return hashlib.blake2b(memoryview(self), digest_size=16).hexdigest()

    def clone(self):
        cdef World other = World(symbols=self.c.symbol_count, strategies=self.c.strategy_count,
                                 orders=self.c.order_capacity)
        memcpy(other.c, self.c, self.c.size)
        return other

    def load(self, image):
        """Take over an image of the same layout and capacities."""
        cdef const unsigned char[::1] view = image
        cdef const world_t* other
        if <uint64_t>view.shape[0] != self.c.size:
            raise_status(WORLD_BAD_LAYOUT, f"{view.shape[0]} bytes, {self.c.size} expected")
        other = <const world_t*>&view[0]
        if other.magic != MAGIC or other.layout != LAYOUT or other.size != self.c.size:
            raise_status(WORLD_BAD_LAYOUT, "magic, layout version or size differ")
        memcpy(self.c, other, self.c.size)

    def check(self):
        """Walk every invariant of every section."""
        cdef world_t* w = self.c
        cdef uint32_t i
        assert w.magic == MAGIC and w.layout == LAYOUT, "magic or layout"
        for i in range(w.symbol_count):
            p = world_positions(w)[i]
            assert p.lots == p.bought_lots - p.sold_lots, f"position {i}"
        broken = orders_check(world_orders(w))
        assert broken == 0, f"orders: invariant {broken}"
