cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

import hashlib

import numpy as np

from engine._core.limits import Limit
from engine._core.strategy import STRATEGY

from engine._core.debug cimport static_assert_c
from engine._core.ledger cimport (
    ledger_bytes, ledger_check, ledger_init, ledger_set_asset, ledger_set_symbol,
)
from engine._core.memory cimport block_free, block_new
from engine._core.orders cimport (
    STATE_CREATED, STATE_UNKNOWN, order_t, orders_bytes, orders_check, orders_config, orders_config_t, orders_init,
    orders_slots,
)
from engine._core.positions cimport position_t
from engine._core.risk cimport account_t, gate_bytes, gate_init, gate_symbol_t, gate_symbols
from engine._core.strategy cimport strategy_limits_t, strategy_t
from engine._core.strategy_abi cimport PARAMS_F64_MAX, PARAMS_MAX, STRATEGY_ABI
from engine._core.types cimport OK, WORLD_BAD_LAYOUT, WORLD_UNKNOWN_SYMBOL, raise_status

cdef uint64_t MAGIC = 0x31444C524F573442        # "B4WORLD1", little-endian
cdef uint32_t LAYOUT = 2
cdef int64_t E8 = 100_000_000
cdef uint32_t FIFO_LOTS = 64     # per symbol


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(world_t) == 512)
    static_assert_c(sizeof(instrument_t) == 192)
    static_assert_c(sizeof(position_t) == 128)


cdef instrument_t _instrument
cdef position_t _position
cdef order_t _order
INSTRUMENT = np.asarray(<instrument_t[:1]>&_instrument).dtype
POSITION = np.asarray(<position_t[:1]>&_position).dtype
ORDER_RECORD = np.asarray(<order_t[:1]>&_order).dtype


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
        cdef uint64_t ledger_at = _line_up(orders_at + orders_bytes(&orders_shape))
        cdef uint64_t strategies_at = _line_up(ledger_at + ledger_bytes(1 + symbols, symbols, FIFO_LOTS))
        cdef uint64_t gate_at = _line_up(strategies_at + strategies * sizeof(strategy_t))
        cdef uint64_t size = _line_up(gate_at + gate_bytes(symbols))
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
        self.c.ledger_at = ledger_at
        self.c.strategies_at = strategies_at
        if orders_init(world_orders(self.c), &orders_shape) != OK:
            raise_status(WORLD_BAD_LAYOUT, f"epoch={epoch}")
        self.c.gate_at = gate_at
        gate_init(world_gate(self.c), symbols, seed)
        # One quote asset, which is reported in, and one base asset per symbol.
        ledger_init(world_ledger(self.c), 1 + symbols, symbols, FIFO_LOTS, 0)
        for asset in range(1 + symbols):
            ledger_set_asset(world_ledger(self.c), asset, E8)
        for strategy in range(strategies):
            world_strategies(self.c)[strategy].view.abi = STRATEGY_ABI

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
        cdef instrument_t* i = &world_instruments(self.c)[symbol]
        if i.tick_e8 == 0 and i.lot_e8 == 0:
            return
        # One tick x one lot must be a whole number of quote units, or no fill could be booked exactly.
        value, rest = divmod(int(i.tick_e8) * int(i.lot_e8), E8)
        if rest or ledger_set_symbol(world_ledger(self.c), symbol, False, <uint16_t>(1 + symbol), 0, value, i.lot_e8,
                                     i.tick_e8) != OK:
            raise_status(WORLD_BAD_LAYOUT, f"symbol {symbol}: tick_e8={i.tick_e8} and lot_e8={i.lot_e8}")

    def set_limits(self, **values):
        """By the names of Limit without their prefix, in lower case."""
        for name, value in values.items():
            self.c.limits.value[<int>Limit["LIMIT_" + name.upper()]] = value

    def set_account(self, **values):
        row = np.asarray(<account_t[:1]>&self.c.account)
        for name, value in values.items():
            row[name][0] = value

    def set_gate_symbol(self, uint32_t symbol, **values):
        """What the gate must know of a symbol beyond the instrument: values, bands, margin."""
        if symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        rows = np.asarray(<gate_symbol_t[:self.c.symbol_count]>gate_symbols(world_gate(self.c)))
        for name, value in values.items():
            rows[name][symbol] = value

    def set_strategy(self, uint32_t strategy, uint32_t symbol, params=(), params_f64=(), limits=None):
        """Bind a strategy slot to a symbol with its parameters and its own limits, by the names of STRATEGY_LIMITS."""
        if strategy >= self.c.strategy_count or symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"strategy {strategy}, symbol {symbol}")
        cdef strategy_t* s = &world_strategies(self.c)[strategy]
        if len(params) > PARAMS_MAX or len(params_f64) > PARAMS_F64_MAX:
            raise_status(WORLD_BAD_LAYOUT, f"{len(params)} and {len(params_f64)} parameters")
        s.symbol = symbol
        s.view.symbol = symbol
        s.view.strategy = strategy
        for at, value in enumerate(params):
            s.view.params[at] = value
        for at, value in enumerate(params_f64):
            s.view.params_f64[at] = value
        row = np.asarray(<strategy_limits_t[:1]>&s.limits)
        for name, value in (limits or {}).items():
            row[name][0] = value

    # -------------------------------------------------------------------------------------------------------- reading
    def instruments(self):
        return np.array(<instrument_t[:self.c.symbol_count]>world_instruments(self.c))

    def positions(self):
        return np.array(<position_t[:self.c.symbol_count]>world_positions(self.c))

    def strategies(self):
        return np.array(<strategy_t[:self.c.strategy_count]>world_strategies(self.c), STRATEGY)

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
        ledger_check(world_ledger(w))
        for i in range(w.symbol_count):
            p = world_positions(w)[i]
            assert p.lots == p.bought_lots - p.sold_lots, f"position {i}"
        broken = orders_check(world_orders(w))
        assert broken == 0, f"orders: invariant {broken}"
