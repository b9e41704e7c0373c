cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from libc.stdint cimport INT64_MAX, int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

import hashlib

import numpy as np

from engine._core.limits import Limit
from engine._core.modes import Mode
from engine._core.strategy import STRATEGY

from engine._core.algos cimport algos_bytes, algos_init, algos_rows, algos_t
from engine._core.book cimport (
    QUOTES_CHECK, RULE_NONE, TRUST_LIVE, TRUST_REBUILDING, book_bytes, book_config_t, book_init, book_level_t, book_levels,
    book_t,
)
from engine._core.brackets cimport (
    brackets_bytes, brackets_check, brackets_config, brackets_config_t, brackets_init, brackets_slots, bracket_t,
)
from engine._core.correlation cimport correlation_bytes, correlation_init, correlation_track
from engine._core.debug cimport static_assert_c
from engine._core.discipline cimport (
    discipline_bytes, discipline_config_t, discipline_defaults, discipline_init, discipline_t,
)
from engine._core.equity cimport equity_t, ledger_revalue
from engine._core.ledger cimport (
    ASSET_NONE, ledger_assets, ledger_bytes, ledger_check, ledger_init, ledger_set_asset, ledger_set_symbol,
    ledger_transfer, asset_t, posting_t,
)
from engine._core.limits cimport LIMIT_APPROVAL_OVER, LIMIT_COUNT, limit
from engine._core.memory cimport block_free, block_new
from engine._core.modes cimport (
    MODE_EMERGENCY, MODE_PAUSED, PHASE_ENDED, PHASE_IDLE, modes_bytes, modes_config_t, modes_defaults, modes_fact_t,
    modes_init, modes_t,
)
from engine._core.orders cimport (
    STATE_CREATED, STATE_UNKNOWN, order_t, orders_bytes, orders_check, orders_config, orders_config_t, orders_init,
    orders_slots,
)
from engine._core.positions cimport position_t
from engine._core.risk cimport account_t, gate_bytes, gate_init, gate_symbol_t, gate_symbols
from engine._core.routing cimport POLICY_SMART, routing_add, routing_bytes, routing_groups, routing_init
from engine._core.strategy cimport strategy_limits_t, strategy_t
from engine._core.strategy_abi cimport PARAMS_F64_MAX, PARAMS_MAX, PEERS_MAX, STRATEGY_ABI, view_peer
from engine._core.triggers cimport triggers_bytes, triggers_check, triggers_init
from engine._core.types cimport CAN_ALL, OK, WORLD_BAD_LAYOUT, WORLD_UNKNOWN_SYMBOL, raise_status
from engine._core.validate cimport (
    validate_bytes, validate_config_t, validate_configure, validate_defaults, validate_init, validate_rows,
    validate_row_t,
)

cdef uint64_t MAGIC = 0x31444C524F573442        # "B4WORLD1", little-endian
cdef uint32_t LAYOUT = 7
cdef int64_t E8 = 100_000_000
cdef int64_t SECOND = 1_000_000_000
cdef enum:
    VENUES_MAX = 64
    SYMBOLS_MAX = 1024

GUARDS = ("validate", "books", "brackets", "triggers", "discipline", "correlation", "routing", "algos", "features")
cdef int _guard_sections[9]
_guard_sections[:] = [
    SECTION_VALIDATE, SECTION_BOOKS, SECTION_BRACKETS, SECTION_TRIGGERS, SECTION_DISCIPLINE, SECTION_CORRELATION,
    SECTION_ROUTING, SECTION_ALGOS, SECTION_FEATURES,
]


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(world_t) == 960)
    static_assert_c(sizeof(instrument_t) == 192)
    static_assert_c(sizeof(position_t) == 128)
    static_assert_c(sizeof(world_symbol_t) == 128)
    static_assert_c(sizeof(world_venue_t) == 64)
    static_assert_c(sizeof(world_trade_t) == 64)
    static_assert_c(sizeof(world_shape_t) == 192)
    static_assert_c(SECTION_COUNT <= SECTIONS_MAX)


cdef instrument_t _instrument
cdef position_t _position
cdef order_t _order
cdef bracket_t _bracket
cdef asset_t _asset
cdef world_symbol_t _symbol_row
cdef world_venue_t _venue_row
cdef world_trade_t _trade_row
cdef gate_symbol_t _gate_row
INSTRUMENT = np.asarray(<instrument_t[:1]>&_instrument).dtype
POSITION = np.asarray(<position_t[:1]>&_position).dtype
ORDER_RECORD = np.asarray(<order_t[:1]>&_order).dtype
cdef object ASSET = np.asarray(<asset_t[:1]>&_asset).dtype
cdef object SYMBOL_ROW = np.asarray(<world_symbol_t[:1]>&_symbol_row).dtype
cdef object VENUE_ROW = np.asarray(<world_venue_t[:1]>&_venue_row).dtype
cdef object GATE_ROW = np.asarray(<gate_symbol_t[:1]>&_gate_row).dtype
cdef object TRADE_ROW = np.asarray(<world_trade_t[:1]>&_trade_row).dtype
cdef tuple LIMIT_NAMES = tuple(Limit(i).name[len("LIMIT_"):].lower() for i in range(<int>LIMIT_COUNT))


cdef object rows_copy(const void* rows, size_t size, dtype):
    # An empty buffer makes no array.
    if size == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(PyByteArray_FromStringAndSize(<const char*>rows, <Py_ssize_t>size), dtype)


cdef inline uint64_t _line_up(uint64_t size) noexcept nogil:
    return (size + 63) & ~<uint64_t>63


cdef object _fill_row(row, dict values, str what):
    """Set fields of a one-row array by name; a name that is not there is an error that says what there is."""
    for name, value in values.items():
        if name not in row.dtype.names:
            raise_status(WORLD_BAD_LAYOUT, f"{what} has no {name!r}; it has {', '.join(row.dtype.names)}")
        row[name][0] = value


cdef book_config_t _book_config(const world_shape_t* shape) noexcept nogil:
    cdef book_config_t c
    c.ticks = shape.book_ticks
    c.levels_max = shape.book_levels
    c.rule = RULE_NONE
    c.crossed_trust = TRUST_REBUILDING
    c.quotes = QUOTES_CHECK
    c.depth = 0
    c.px_ticks_max = <int64_t>1 << 40
    c.qty_lots_max = <int64_t>1 << 40
    c.px_unit = 1
    c.qty_unit = 1
    return c


cdef uint64_t _place_sections(const world_shape_t* s, const orders_config_t* orders, const brackets_config_t* brackets,
                              const discipline_config_t* rules, uint64_t book, uint64_t* at) noexcept nogil:
    """Where each section begins; returns the size of the whole block."""
    cdef uint64_t bytes[SECTIONS_MAX]
    cdef uint64_t size = _line_up(sizeof(world_t))
    cdef int i
    memset(bytes, 0, sizeof(bytes))
    bytes[<int>SECTION_INSTRUMENTS] = s.symbols * sizeof(instrument_t)
    bytes[<int>SECTION_ORDERS] = orders_bytes(orders)
    bytes[<int>SECTION_LEDGER] = ledger_bytes(s.assets, s.symbols, s.fifo_lots)
    bytes[<int>SECTION_STRATEGIES] = (s.strategies if s.strategies else 1) * sizeof(strategy_t)
    bytes[<int>SECTION_GATE] = gate_bytes(s.symbols)
    bytes[<int>SECTION_SYMBOLS] = s.symbols * sizeof(world_symbol_t)
    bytes[<int>SECTION_VENUES] = s.venues * sizeof(world_venue_t)
    bytes[<int>SECTION_TRADES] = (s.strategies if s.strategies else 1) * sizeof(world_trade_t)
    bytes[<int>SECTION_MODES] = modes_bytes(s.symbols)
    bytes[<int>SECTION_FACTS] = s.symbols * sizeof(modes_fact_t)
    bytes[<int>SECTION_VALIDATE] = validate_bytes(s.symbols) if s.validate else 0
    bytes[<int>SECTION_BOOKS] = s.symbols * book
    bytes[<int>SECTION_BRACKETS] = brackets_bytes(brackets) if s.brackets else 0
    bytes[<int>SECTION_TRIGGERS] = triggers_bytes(s.triggers, s.symbols) if s.triggers else 0
    bytes[<int>SECTION_DISCIPLINE] = discipline_bytes(rules, s.strategies, s.symbols) if s.discipline else 0
    bytes[<int>SECTION_CORRELATION] = correlation_bytes(s.tracked, s.symbols) if s.tracked else 0
    bytes[<int>SECTION_ROUTING] = routing_bytes(s.groups) if s.groups else 0
    bytes[<int>SECTION_ALGOS] = algos_bytes(s.algos) if s.algos else 0
    bytes[<int>SECTION_FEATURES] = s.features
    for i in range(<int>SECTION_COUNT):
        if bytes[i]:
            at[i] = size
            size = _line_up(size + bytes[i])
    return size


@cython.final
cdef class World:
    """The block and its Python views. Only the step and the functions here write to it."""

    def __cinit__(self, *, uint32_t symbols=1, uint32_t strategies=0, uint32_t orders=1024, uint64_t seed=0,
                  int64_t epoch=1, uint32_t brackets=0, uint32_t triggers=0, uint32_t algos=0, uint32_t groups=0,
                  uint32_t tracked=0, uint32_t venues=1, uint32_t assets=0, uint32_t fifo_lots=64,
                  uint32_t book_levels=0, uint32_t book_ticks=256, bint validate=False, discipline=None,
                  uint64_t features=0, mode="normal", modes=None, deadlines=None, bracket_rules=None,
                  int64_t sample_ns=60 * SECOND, int64_t rise_ns=300 * SECOND, int64_t mark_age_ns=5 * SECOND,
                  uint32_t samples_min=30, double sample_weight=0.02, int64_t day_cut_ns=0, image=None):
        cdef world_shape_t s
        if image is not None:
            self._take(image)
            return
        memset(&s, 0, sizeof(s))
        s.symbols, s.strategies, s.orders, s.brackets, s.triggers = symbols, strategies, orders, brackets, triggers
        s.algos, s.groups, s.tracked, s.venues, s.fifo_lots = algos, groups, tracked, venues, fifo_lots
        # One quote asset, which is reported in, and one base asset per symbol, unless more are asked for.
        s.assets = assets if assets else 1 + symbols
        s.book_levels, s.book_ticks, s.validate, s.discipline = book_levels, book_ticks, validate, discipline is not None
        s.features, s.epoch, s.sample_ns, s.rise_ns, s.mark_age_ns = features, epoch, sample_ns, rise_ns, mark_age_ns
        if (not 1 <= symbols <= SYMBOLS_MAX or not 1 <= orders <= 65535 or strategies > 256 or algos > 8191
                or not 1 <= venues <= VENUES_MAX or brackets > 8191 or triggers > 65535 or sample_ns <= 0
                or rise_ns <= 0 or mark_age_ns <= 0 or tracked > symbols or (discipline is not None and not strategies)):
            raise_status(WORLD_BAD_LAYOUT, f"symbols={symbols}, orders={orders}, strategies={strategies}, "
                         f"brackets={brackets}, triggers={triggers}, algos={algos}, venues={venues}, tracked={tracked}")
        self._build(&s, seed, discipline or {}, modes or {}, deadlines or {}, bracket_rules or {}, mode, samples_min,
                    sample_weight, day_cut_ns)

    cdef int _build(self, const world_shape_t* s, uint64_t seed, dict rules, dict modes, dict deadlines,
                    dict bracket_rules, mode, uint32_t samples_min, double weight, int64_t day_cut_ns) except -1:
        """Lay out the block and start every section empty."""
        cdef orders_config_t orders = orders_config(s.orders, s.symbols, s.epoch)
        cdef brackets_config_t brackets = brackets_config(s.brackets)
        cdef discipline_config_t discipline
        cdef modes_config_t plan
        cdef book_config_t book = _book_config(s)
        cdef uint64_t at[SECTIONS_MAX]
        cdef uint64_t size, one_book = 0
        cdef world_t* w
        discipline_defaults(&discipline)
        modes_defaults(&plan)
        _fill_row(np.asarray(<discipline_config_t[:1]>&discipline), rules, "discipline")
        _fill_row(np.asarray(<modes_config_t[:1]>&plan), modes, "modes")
        _fill_row(np.asarray(<orders_config_t[:1]>&orders), deadlines, "deadlines")
        _fill_row(np.asarray(<brackets_config_t[:1]>&brackets), bracket_rules, "bracket_rules")
        if s.book_levels:
            one_book = book_bytes(&book)
            if one_book == 0:
                raise_status(WORLD_BAD_LAYOUT, f"book_ticks={s.book_ticks}, book_levels={s.book_levels}")
        memset(at, 0, sizeof(at))
        size = _place_sections(s, &orders, &brackets, &discipline, one_book, at)
        self.c = w = <world_t*>block_new(size)
        w.magic, w.layout, w.size, w.seed, w.shape = MAGIC, LAYOUT, size, seed, s[0]
        # Nobody is asked in a world that was not told from which amount on.
        w.limits.value[<int>LIMIT_APPROVAL_OVER] = INT64_MAX
        w.symbol_count, w.strategy_count, w.order_capacity = s.symbols, s.strategies, s.orders
        w.venue_count, w.book_bytes = s.venues, one_book
        memcpy(w.at, at, sizeof(at))
        gate_init(world_gate(w), s.symbols, seed)
        if (orders_init(world_orders(w), &orders) != OK
                or ledger_init(world_ledger(w), s.assets, s.symbols, s.fifo_lots, day_cut_ns) != OK
                or modes_init(world_modes(w), &plan, s.symbols) != OK
                or (s.validate and validate_init(world_validate(w), s.symbols) != OK)
                or (s.brackets and brackets_init(world_brackets(w), &brackets) != OK)
                or (s.triggers and triggers_init(world_triggers(w), s.triggers, s.symbols) != OK)
                or (s.discipline and discipline_init(world_discipline(w), &discipline, s.strategies, s.symbols) != OK)
                or (s.tracked and correlation_init(world_correlation(w), s.tracked, s.symbols, samples_min, weight) != OK)
                or (s.groups and routing_init(world_routing(w), s.groups) != OK)
                or (s.algos and algos_init(world_algos(w), s.algos) != OK)):
            raise_status(WORLD_BAD_LAYOUT, f"epoch={s.epoch}, fifo_lots={s.fifo_lots}, {rules}, {modes}, {deadlines}")
        for asset in range(s.assets):
            ledger_set_asset(world_ledger(w), asset, E8)
        for strategy in range(s.strategies):
            world_strategies(w)[strategy].view.abi = STRATEGY_ABI
        if s.book_levels:
            for symbol in range(s.symbols):
                book_init(world_book(w, <uint16_t>symbol), &book)
        # A start is a pause unless whoever builds the world says otherwise: see runtime's lifecycle.
        world_modes(w).mode = <uint32_t>int(Mode["MODE_" + mode.upper()])
        w.account.mode = world_modes(w).mode
        return 0

    cdef int _take(self, image) except -1:
        """A world of its own from an image: the capacities stand in it."""
        cdef const unsigned char[::1] view = image
        cdef const world_t* other
        if <uint64_t>view.shape[0] < sizeof(world_t):
            raise_status(WORLD_BAD_LAYOUT, f"{view.shape[0]} bytes are no world")
        other = <const world_t*>&view[0]
        if other.magic != MAGIC or other.layout != LAYOUT or other.size != <uint64_t>view.shape[0]:
            raise_status(WORLD_BAD_LAYOUT, "magic, layout version or size differ")
        self.c = <world_t*>block_new(other.size)
        memcpy(self.c, other, other.size)
        return 0

    def __dealloc__(self):
        block_free(self.c)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        # Read-only: a snapshot reads the block, nobody writes through a view by accident.
        PyBuffer_FillInfo(buffer, self, self.c, <Py_ssize_t>self.c.size, 1, flags)

    cdef int _symbol(self, uint32_t symbol) except -1:
        if symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"symbol {symbol} of {self.c.symbol_count}")
        return 0

    # ------------------------------------------------------------------------------------------ set-up, before events
    def set_instrument(self, uint32_t symbol, *, uint32_t base=ASSET_NONE, uint32_t quote=0, bint linear=False,
                       unit_value=None, **fields):
        """Set the static facts of a symbol: the fields of INSTRUMENT by name; its assets; spot or linear perpetual."""
        self._symbol(symbol)
        rows = np.asarray(<instrument_t[:self.c.symbol_count]>world_instruments(self.c))
        _fill_row(rows[symbol:symbol + 1], fields, "an instrument")
        cdef instrument_t* i = &world_instruments(self.c)[symbol]
        if i.can > <uint32_t>CAN_ALL or i.venue >= self.c.venue_count:
            raise_status(WORLD_BAD_LAYOUT, f"symbol {symbol}: can={i.can}, venue={i.venue} of {self.c.venue_count}")
        if i.fees_age_ns < 0:
            raise_status(WORLD_BAD_LAYOUT, f"symbol {symbol}: fees_age_ns={i.fees_age_ns}")
        # Fees that age are none until they were heard.
        gate_symbols(world_gate(self.c))[symbol].fees_until_ns = i.fees_age_ns > 0
        if i.tick_e8 == 0 and i.lot_e8 == 0:
            return
        # One tick x one lot must be a whole number of quote units, or no fill could be booked exactly.
        value, rest = divmod(int(i.tick_e8) * int(i.lot_e8), E8) if unit_value is None else (unit_value, 0)
        if rest or ledger_set_symbol(world_ledger(self.c), symbol, linear,
                                     <uint16_t>(1 + symbol if base == ASSET_NONE else base), <uint16_t>quote, value,
                                     i.lot_e8, i.tick_e8) != OK:
            raise_status(WORLD_BAD_LAYOUT, f"symbol {symbol}: tick_e8={i.tick_e8} and lot_e8={i.lot_e8}")
        if world_has(self.c, SECTION_VALIDATE):
            self.set_validate(symbol)

    def set_validate(self, uint32_t symbol, **limits):
        """The limits of a symbol's market data: the fields of the ingest gate's config, the rest at its defaults."""
        cdef validate_config_t config
        cdef instrument_t* i
        self._symbol(symbol)
        if not world_has(self.c, SECTION_VALIDATE):
            raise_status(WORLD_BAD_LAYOUT, "this world has no section `validate`")
        i = &world_instruments(self.c)[symbol]
        validate_defaults(&config)
        config.px_ticks_min = i.px_min_ticks if i.px_min_ticks > 0 else config.px_ticks_min
        config.px_ticks_max = i.px_max_ticks if i.px_max_ticks > 0 else config.px_ticks_max
        config.tick_e8 = i.tick_e8 if i.tick_e8 > 0 else config.tick_e8
        _fill_row(np.asarray(<validate_config_t[:1]>&config), limits, "the limits of market data")
        if validate_configure(world_validate(self.c), <uint16_t>symbol, &config) != OK:
            raise_status(WORLD_BAD_LAYOUT, f"symbol {symbol}: {limits}")

    def set_book(self, uint32_t symbol, **rules):
        """Keep depth for a symbol: rule, quotes, depth, crossed_trust, px_unit, qty_unit and maxima of its book."""
        cdef book_config_t config = _book_config(&self.c.shape)
        self._symbol(symbol)
        if not world_has(self.c, SECTION_BOOKS):
            raise_status(WORLD_BAD_LAYOUT, "this world has no books")
        _fill_row(np.asarray(<book_config_t[:1]>&config), rules, "a book")
        if book_bytes(&config) != self.c.book_bytes or book_init(world_book(self.c, <uint16_t>symbol), &config) != OK:
            raise_status(WORLD_BAD_LAYOUT, f"symbol {symbol}: {rules}")
        world_symbols(self.c)[symbol].book_on = 1

    def set_limits(self, **values):
        """By the names of Limit without their prefix, in lower case."""
        for name, value in values.items():
            self.c.limits.value[<int>Limit["LIMIT_" + name.upper()]] = value

    def set_account(self, **values):
        _fill_row(np.asarray(<account_t[:1]>&self.c.account), values, "the account")

    def begin_paused(self):
        """A start behind an emergency whose plan is over: Paused, which leads on. One that runs is carried on with."""
        cdef modes_t* m = world_modes(self.c)
        if m.mode == MODE_EMERGENCY and (m.phase == PHASE_IDLE or m.phase == PHASE_ENDED):
            m.mode, m.since_ns = MODE_PAUSED, self.c.now_ns
            m.switch_count += 1
            self.c.account.mode = MODE_PAUSED

    def set_cash(self, uint32_t asset, int64_t amount):
        """Book a holding that was there before. From the first one on the account's words follow the ledger."""
        cdef posting_t posting
        if asset >= self.c.shape.assets or ledger_transfer(world_ledger(self.c), <uint16_t>asset, amount, &posting) != OK:
            raise_status(WORLD_BAD_LAYOUT, f"asset {asset}: {amount}")
        self.c.accounted = 1

    def set_gate_symbol(self, uint32_t symbol, **values):
        """What the gate must know of a symbol beyond the instrument: values, bands, margin."""
        self._symbol(symbol)
        rows = np.asarray(<gate_symbol_t[:self.c.symbol_count]>gate_symbols(world_gate(self.c)))
        _fill_row(rows[symbol:symbol + 1], values, "the gate's symbol")

    def set_group(self, uint32_t group, symbols, uint32_t policy=POLICY_SMART):
        """These instruments are one underlying on several venues; its orders go by this policy."""
        if not world_has(self.c, SECTION_ROUTING):
            raise_status(WORLD_BAD_LAYOUT, "this world has no routing")
        if group >= self.c.shape.groups or policy > <uint32_t>POLICY_SMART:
            raise_status(WORLD_BAD_LAYOUT, f"group {group} of {self.c.shape.groups}, policy {policy}")
        routing_groups(world_routing(self.c))[group].policy = policy
        for symbol in symbols:
            self._symbol(symbol)
            if routing_add(world_routing(self.c), group, <uint16_t>symbol) != OK:
                raise_status(WORLD_BAD_LAYOUT, f"group {group}: symbol {symbol}")
            world_instruments(self.c)[<uint32_t>symbol].group = <uint16_t>(group + 1)

    def set_tracked(self, symbols):
        """The symbols whose returns are correlated."""
        for symbol in symbols:
            self._symbol(symbol)
            if (not world_has(self.c, SECTION_CORRELATION)
                    or correlation_track(world_correlation(self.c), <uint16_t>symbol) != OK):
                raise_status(WORLD_BAD_LAYOUT, f"no room to track symbol {symbol}")

    def set_strategy(self, uint32_t strategy, uint32_t symbol, params=(), params_f64=(), limits=None, peers=()):
        """Bind a strategy slot to a symbol with its parameters and its own limits, by the names of STRATEGY_LIMITS.

        `peers` are other symbols that it watches: it is called on their touches too, and trades none of them.
        """
        cdef uint32_t peer
        if strategy >= self.c.strategy_count or symbol >= self.c.symbol_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"strategy {strategy}, symbol {symbol}")
        cdef strategy_t* s = &world_strategies(self.c)[strategy]
        if len(params) > PARAMS_MAX or len(params_f64) > PARAMS_F64_MAX:
            raise_status(WORLD_BAD_LAYOUT, f"{len(params)} and {len(params_f64)} parameters")
        if len(peers) > PEERS_MAX or symbol in peers or len(set(peers)) != len(peers):
            raise_status(WORLD_BAD_LAYOUT, f"peers {list(peers)} of symbol {symbol}: up to {PEERS_MAX} different ones")
        for peer in peers:
            self._symbol(peer)
        s.symbol = symbol
        s.view.symbol = symbol
        s.view.strategy = strategy
        for at, value in enumerate(params):
            s.view.params[at] = value
        for at, value in enumerate(params_f64):
            s.view.params_f64[at] = value
        s.view.peer_count = len(peers)
        for at, value in enumerate(peers):
            view_peer(&s.view, at).symbol = value
        _fill_row(np.asarray(<strategy_limits_t[:1]>&s.limits), dict(limits or {}), "a strategy's limits")

    def put_discipline(self, const unsigned char[::1] image not None):
        """What was learned before this world: records and rests under the same rules. Before the first event only."""
        cdef discipline_t* mine
        cdef const discipline_t* other = <const discipline_t*>&image[0]
        if not world_has(self.c, SECTION_DISCIPLINE) or self.c.event_count:
            raise_status(WORLD_BAD_LAYOUT, "no section `discipline`, or events were stepped already")
        mine = world_discipline(self.c)
        size = discipline_bytes(&mine.config, mine.strategy_count, mine.symbol_count)
        if (<uint64_t>image.shape[0] != size or other.strategy_count != mine.strategy_count
                or other.symbol_count != mine.symbol_count
                or memcmp(&other.config, &mine.config, sizeof(discipline_config_t)) != 0):
            raise_status(WORLD_BAD_LAYOUT, "a table of discipline with other rules or sizes")
        memcpy(mine, other, size)

    # -------------------------------------------------------------------------------------------------------- reading
    def discipline(self):
        """A copy of the section, for `Discipline.load`; empty where there is none."""
        cdef discipline_t* d
        if not world_has(self.c, SECTION_DISCIPLINE):
            return b""
        d = world_discipline(self.c)
        return (<char*>d)[:discipline_bytes(&d.config, d.strategy_count, d.symbol_count)]

    def instruments(self):
        return rows_copy(world_instruments(self.c), self.c.symbol_count * sizeof(instrument_t), INSTRUMENT)

    def positions(self):
        return rows_copy(world_positions(self.c), self.c.symbol_count * sizeof(position_t), POSITION)

    def strategies(self):
        return rows_copy(world_strategies(self.c), self.c.strategy_count * sizeof(strategy_t), STRATEGY)

    def symbols(self):
        """The world's own row of each symbol."""
        return rows_copy(world_symbols(self.c), self.c.symbol_count * sizeof(world_symbol_t), SYMBOL_ROW)

    def venues(self):
        return rows_copy(world_venues(self.c), self.c.venue_count * sizeof(world_venue_t), VENUE_ROW)

    def trades(self):
        """The open trade of each strategy."""
        return rows_copy(world_trades(self.c), self.c.strategy_count * sizeof(world_trade_t), TRADE_ROW)

    def assets(self):
        return rows_copy(ledger_assets(world_ledger(self.c)), self.c.shape.assets * sizeof(asset_t), ASSET)

    def account(self):
        """The account as the gate sees it, by name."""
        row = <object>self.c.account
        return {name: value for name, value in row.items() if name != "reserved"}

    def limits(self):
        """The limits in force now, by name: those of the set-up and what was tightened since."""
        return {name: limit(&self.c.limits, at) for at, name in enumerate(LIMIT_NAMES)}

    def gate_symbols(self):
        return rows_copy(gate_symbols(world_gate(self.c)), self.c.symbol_count * sizeof(gate_symbol_t), GATE_ROW)

    def brackets(self):
        """A copy of every bracket that is in use, closed ones included."""
        if not world_has(self.c, SECTION_BRACKETS):
            return []
        return [<object>brackets_slots(world_brackets(self.c))[i] for i in range(self.c.shape.brackets)
                if brackets_slots(world_brackets(self.c))[i].handle]

    def algos(self):
        if not world_has(self.c, SECTION_ALGOS):
            return []
        return [<object>algos_rows(world_algos(self.c))[i] for i in range(self.c.shape.algos)
                if algos_rows(world_algos(self.c))[i].id_algo]

    def book_top(self, uint32_t symbol):
        """Prices, trust, number and time of a symbol's book, by name."""
        self._symbol(symbol)
        if not world_has(self.c, SECTION_BOOKS):
            raise_status(WORLD_BAD_LAYOUT, "this world has no books")
        return <object>world_book(self.c, <uint16_t>symbol).top

    def book_levels(self, uint32_t symbol, int side, uint32_t count):
        """The best levels of one side of a symbol's book, price and quantity, best first; none while it is not trusted."""
        self._symbol(symbol)
        if not world_has(self.c, SECTION_BOOKS):
            raise_status(WORLD_BAD_LAYOUT, "this world has no books")
        cdef book_t* b = world_book(self.c, <uint16_t>symbol)
        rows = np.zeros((count, 2), dtype=np.int64)
        cdef int64_t[:, ::1] view = rows
        if count == 0 or b.top.trust != TRUST_LIVE:
            return rows[:0]
        return rows[:book_levels(b, side & 1, <book_level_t*>&view[0, 0], count)]

    @property
    def modes(self):
        cdef modes_t* m = world_modes(self.c)
        return {
            "mode": m.mode, "phase": m.phase, "outcome": m.outcome, "steps": m.steps, "since_ns": m.since_ns,
            "cooldown_ns": m.config.cooldown_ns,
        }

    def live_orders(self):
        """A copy of every order that may still trade."""
        cdef const order_t* slots = orders_slots(world_orders(self.c))
        cdef uint32_t i, count = 0
        cdef order_t* rows
        for i in range(self.c.order_capacity):
            count += STATE_CREATED <= slots[i].state <= STATE_UNKNOWN
        if count == 0:
            return np.zeros(0, ORDER_RECORD)
        room = PyByteArray_FromStringAndSize(NULL, <Py_ssize_t>(count * sizeof(order_t)))
        rows = <order_t*>PyByteArray_AS_STRING(room)
        for i in range(self.c.order_capacity):
            if STATE_CREATED <= slots[i].state <= STATE_UNKNOWN:
                rows[0] = slots[i]
                rows += 1
        return np.frombuffer(room, ORDER_RECORD)

    @property
    def guards(self):
        """The sections that this world has beyond those that every world has."""
        return tuple(name for at, name in enumerate(GUARDS) if world_has(self.c, _guard_sections[at]))

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
            "fills": w.fill_count, "stopped": w.stopped_count, "incidents": w.incident_count,
            "outputs_lost": w.output_lost_count, "live_orders": world_orders(w).live_count,
            "illegal_reports": world_orders(w).illegal_count,
        }

    def state_hash(self):
        """A hash of every byte of the block."""
        return hashlib.blake2b(memoryview(self), digest_size=16).hexdigest()

    def clone(self):
        return World(image=self)

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
        assert w.account.mode == world_modes(w).mode, "the gate and the modes disagree"
        ledger_check(world_ledger(w))
        for i in range(w.symbol_count):
            p = world_positions(w)[i]
            assert p.lots == p.bought_lots - p.sold_lots, f"position {i}"
            assert gate_symbols(world_gate(w))[i].lots == p.lots or w.event_count == 0, f"the gate's position {i}"
        broken = orders_check(world_orders(w))
        assert broken == 0, f"orders: invariant {broken}"
        if world_has(w, SECTION_BRACKETS):
            broken = brackets_check(world_brackets(w))
            assert broken == 0, f"brackets: invariant {broken}"
        if world_has(w, SECTION_TRIGGERS):
            broken = triggers_check(world_triggers(w))
            assert broken == 0, f"triggers: invariant {broken}"
        self._check_sums()

    cdef int _check_sums(self) except -1:
        """The account's exposure is the sum over the symbols, whatever the way it was reached."""
        cdef world_t* w = self.c
        cdef gate_symbol_t* row
        cdef int64_t gross = 0, longs = 0, shorts = 0
        for i in range(w.symbol_count):
            row = &gate_symbols(world_gate(w))[i]
            gross += row.gross_value
            longs += row.long_value
            shorts += row.short_value
        assert (gross, longs, shorts) == (w.account.gross_worst, w.account.long_worst, w.account.short_worst), "exposure"
        for i in range(w.strategy_count):
            s = &world_strategies(w)[i]
            assert s.position_lots == s.bought_lots - s.sold_lots, f"strategy {i}: position"
            assert (s.stopped == 0) == (s.reason == 0), f"strategy {i}: stopped without a reason"
        return 0
