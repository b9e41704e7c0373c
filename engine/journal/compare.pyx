"""The replay's inner loop: step every recorded input, hold every recorded output against the one that comes out.

Runs without the interpreter lock over the blocks of one segment; what is pending at a segment's end stands in the
core's own output buffer and is compared in the next one. `restart` belongs to recovery: the epoch that keeps client
order ids unique, and adopted orders, both before a new session's first event.
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memset

import numpy as np

from engine._core.types import EVENT
from engine._core.world import ORDER_RECORD

from engine._core.brackets cimport LEG_STOP, PHASE_CLOSED, bracket_held_lots, bracket_t, brackets_slots, leg_of
from engine._core.brackets_look cimport lives, open_of
from engine._core.orders cimport order_is_live, order_t, order_terms_t, orders_adopt, orders_slots, orders_t
from engine._core.step cimport Core, step
from engine._core.step_out cimport core_t
from engine._core.tape cimport BLOCK_RECORDS, BLOCK_SIZE, Tape, tape_append, tape_block_t
from engine._core.types cimport OK, ORDER_DUPLICATE_ID, WORLD_BAD_LAYOUT, event_t, raise_status
from engine._core.world cimport (
    SECTION_BRACKETS, World, world_brackets, world_has, world_orders, world_positions,
    world_strategies,
)

cdef enum:
    FIRST_OUTPUT = 128            # KIND_INTENT_PLACE: everything from there on comes out

EQUAL, OTHER, EXTRA, MISSING = 0, 1, 2, 3


# `self` is never None in its own methods; the debug build's check for it would need the interpreter lock.
@cython.nonecheck(False)
@cython.final
cdef class Comparer:
    """Drives one core through recorded segments. After a difference it stays where it is."""
    cdef Core core
    cdef uint64_t out_at          # outputs of the last step that were met on the tape
    cdef uint64_t out_count       # and how many there are; set by a step of ours, 0 before the first
    cdef readonly uint64_t inputs
    cdef readonly uint64_t outputs
    cdef readonly int difference

    def __cinit__(self, Core core not None):
        self.core = core

    def run(self, const unsigned char[::1] image, uint64_t first, uint64_t count, *, bint compare=True):
        """Take `count` records of a segment from its `first`; returns how many were taken before a difference."""
        cdef const tape_block_t* blocks = <const tape_block_t*>(&image[0] + BLOCK_SIZE)
        cdef core_t* core = self.core.c
        cdef const event_t* e
        cdef uint64_t at = first, end = first + count
        if <uint64_t>(image.shape[0] // BLOCK_SIZE - 1) * BLOCK_RECORDS < end:
            raise_status(WORLD_BAD_LAYOUT, f"records {first} to {end} of {image.shape[0]} bytes")
        if self.difference:
            return 0
        with nogil:
            while at < end:
                e = &blocks[at // BLOCK_RECORDS].records[at % BLOCK_RECORDS]
                if e.kind >= FIRST_OUTPUT:
                    if compare:
                        if self.out_at >= self.out_count:
                            self.difference = 2
                            break
                        if memcmp(e, &core.out[self.out_at], sizeof(event_t)) != 0:
                            self.difference = 1
                            break
                    self.out_at += 1
                    self.outputs += 1
                else:
                    if compare and self.out_at < self.out_count:
                        self.difference = 3
                        break
                    step(core, e)
                    self.out_at = 0
                    self.out_count = core.out_count
                    self.inputs += 1
                at += 1
        return at - first

    def resume(self, uint64_t out_count):
        """Begin behind outputs that are not to be met: after a snapshot, which stands between two events."""
        self.out_at = self.out_count = out_count

    @property
    def pending(self):
        """Outputs that the last step made and the tape has not shown: at a torn end they were never recorded."""
        if self.out_at >= self.out_count:
            return np.zeros(0, EVENT)
        return self.core.outputs()[self.out_at:self.out_count]


def feed(Core core not None, Tape tape not None, events):
    """Take events until one makes outputs: each to the tape, through the core, its outputs to the tape.

    Returns how many were taken; `core.outputs()` has what the last one made.
    """
    cdef const unsigned char[::1] view = memoryview(events).cast("B")
    cdef uint64_t count = view.shape[0] // sizeof(event_t), at = 0
    cdef const event_t* first = <const event_t*>&view[0]
    cdef int status = OK
    with nogil:
        while at < count:
            status = tape_append(&tape.c, &first[at], 1)
            if status != OK:
                break
            step(core.c, &first[at])
            at += 1
            if core.c.out_count:
                status = tape_append(&tape.c, core.c.out, core.c.out_count)
                break
    if status != OK:
        raise_status(status, tape.path)
    return at


def made(Core core not None):
    """The bytes of the last step's outputs: an array of them costs more to describe than to read."""
    return (<const char*>core.c.out)[:core.c.out_count * sizeof(event_t)] if core.c.out_count else b""


def live_orders(World world not None):
    """A copy of every order that may still trade, like World.live_orders, in the time that the copy takes."""
    cdef orders_t* t = world_orders(world.c)
    cdef const order_t* slots = orders_slots(t)
    cdef uint64_t i
    parts = [
        (<const char*>&slots[i])[:sizeof(order_t)] for i in range(t.capacity if t.live_count else 0)
        if order_is_live(&slots[i])
    ]
    return np.frombuffer(b"".join(parts), ORDER_RECORD)


def glance(World world not None, uint16_t symbol):
    """(position, bought, sold, live orders): what a checker asks after every event."""
    if symbol >= world.c.symbol_count:
        raise_status(WORLD_BAD_LAYOUT, f"symbol {symbol} of {world.c.symbol_count}")
    p = &world_positions(world.c)[symbol]
    return p.lots, p.bought_lots, p.sold_lots, world_orders(world.c).live_count


def owned_lots(World world not None, uint16_t symbol):
    """What the strategies hold of a symbol: the position, but for trades that lost their owner with their record."""
    cdef uint64_t i
    cdef int64_t lots = 0
    for i in range(world.c.strategy_count):
        if world_strategies(world.c)[i].symbol == symbol:
            lots += world_strategies(world.c)[i].position_lots
    return lots


def guarded(World world not None):
    """(phase, side, held, covered) of every bracket that holds something, or sold more than it held.

    The side is 1 for a long and -1 for a short.
    """
    cdef const bracket_t* b
    cdef uint64_t i
    cdef int64_t held, covered
    out = []
    if not world_has(world.c, SECTION_BRACKETS):
        return out
    for i in range(world.c.shape.brackets):
        b = &brackets_slots(world_brackets(world.c))[i]
        if b.handle == 0 or b.phase == PHASE_CLOSED:
            continue
        held = bracket_held_lots(b)
        if held:
            covered = open_of(leg_of(b, LEG_STOP)) if lives(leg_of(b, LEG_STOP)) else 0
            out.append((b.phase, -1 if b.sell else 1, held, covered))
    return out


def epoch_of(World world not None):
    """The epoch of the ids that this world gives out."""
    return world_orders(world.c).epoch


def set_epoch(World world not None, int64_t epoch):
    """Begin a new series of client order ids. Between sessions only: the change is in no journal but the snapshot."""
    cdef orders_t* t = world_orders(world.c)
    if epoch <= t.epoch or epoch >= <int64_t>1 << 22:
        raise_status(WORLD_BAD_LAYOUT, f"epoch {epoch} after {t.epoch}")
    t.epoch = epoch
    t.counter = 0


def adopt(World world not None, *, int64_t id_order, uint16_t symbol, bint sell, int64_t px_ticks, int64_t qty_lots,
          int64_t filled_lots, int64_t id_venue, uint16_t strategy, uint16_t tag, int64_t now_ns):
    """Take an order found at the venue into the table, with every right of one of ours. Twice changes nothing."""
    cdef order_terms_t terms
    cdef order_t* o = NULL
    cdef int status
    memset(&terms, 0, sizeof(terms))
    terms.id_order = id_order
    terms.symbol = symbol
    terms.sell = sell
    terms.px_ticks = px_ticks
    terms.qty_lots = qty_lots
    terms.strategy = strategy
    terms.tag = tag
    status = orders_adopt(world_orders(world.c), &terms, id_venue, filled_lots, px_ticks * filled_lots, now_ns, &o)
    if status != OK and status != ORDER_DUPLICATE_ID:
        raise_status(status, f"order {id_order} of symbol {symbol}: {qty_lots} at {px_ticks}")
    return status == OK
