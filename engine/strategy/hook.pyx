"""A plain Python strategy behind a `decide` pointer: the lock is taken, the object called, the wishes copied out.

A `decide` pointer carries no context, so each Python strategy of the process gets one of SLOTS ready-made C entries
that know their number. The view it sees is the very record in the world, without a copy; it holds the world alive.
The wishes are a record of its own that is copied out after the call: a strategy that keeps it cannot reach into the
core later.

An exception, or anything but OK returned, stops the strategy; `error` keeps the exception for the log. What it keeps
in its own attributes is neither journaled nor replayed: what must survive belongs into view["state"]. Cost: the
interpreter lock and one call, about 90 ns before the strategy does anything.
"""
cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from libc.stdint cimport int64_t, uint32_t, uintptr_t
from libc.string cimport memcpy

import numpy as np

from engine._core.strategy_abi import VIEW, WISHES

from engine._core.strategy_abi cimport STRATEGY_OK, STRATEGY_STOP, decide_t, view_t, wishes_clear, wishes_t
from engine._core.types cimport STRATEGY_SLOTS_FULL, WORLD_UNKNOWN_SYMBOL, raise_status
from engine._core.world cimport World, world_strategies


cdef extern from * nogil:
    """
    /* 64 entries with their number in them; the table is what a slot's address is taken from. */
    static int (*bot4_hook_target)(int, void*, void*);
    #define BOT4_HOOK(n) static int bot4_hook_##n(void* v, void* w) { return bot4_hook_target(0##n, v, w); }
    #define BOT4_HOOK8(d) BOT4_HOOK(d##0) BOT4_HOOK(d##1) BOT4_HOOK(d##2) BOT4_HOOK(d##3) \\
                          BOT4_HOOK(d##4) BOT4_HOOK(d##5) BOT4_HOOK(d##6) BOT4_HOOK(d##7)
    BOT4_HOOK8(0) BOT4_HOOK8(1) BOT4_HOOK8(2) BOT4_HOOK8(3) BOT4_HOOK8(4) BOT4_HOOK8(5) BOT4_HOOK8(6) BOT4_HOOK8(7)
    #define BOT4_NAME8(d) bot4_hook_##d##0, bot4_hook_##d##1, bot4_hook_##d##2, bot4_hook_##d##3, \\
                          bot4_hook_##d##4, bot4_hook_##d##5, bot4_hook_##d##6, bot4_hook_##d##7
    static int (*bot4_hooks[64])(void*, void*) = {
        BOT4_NAME8(0), BOT4_NAME8(1), BOT4_NAME8(2), BOT4_NAME8(3),
        BOT4_NAME8(4), BOT4_NAME8(5), BOT4_NAME8(6), BOT4_NAME8(7)
    };
    """
    int (*bot4_hook_target)(int, void*, void*) noexcept
    int (*bot4_hooks[64])(void*, void*) noexcept


cdef enum:
    SLOTS = 64

HOOKS_MAX = SLOTS

# Borrowed references: a PythonHook clears its own place when it is closed or collected.
cdef void* _hook_by_slot[SLOTS]


cdef int _enter(int slot, void* view, void* wishes) noexcept with gil:
    return (<PythonHook>_hook_by_slot[slot])._call(<view_t*>view, <wishes_t*>wishes)


bot4_hook_target = _enter


@cython.final
cdef class _Window:
    """The bytes of one view, and the world that they stand in."""
    cdef World world
    cdef view_t* view

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.view, sizeof(view_t), 0, flags)


@cython.final
cdef class PythonHook:
    """Binds `decide(view, wishes)` - a function or a bound method - to a strategy slot of a world."""

    cdef int slot
    cdef object decide
    cdef readonly object view
    cdef object wishes
    cdef view_t* view_at
    cdef wishes_t* wishes_at
    cdef readonly object error
    cdef readonly int64_t call_count

    def __cinit__(self, World world not None, uint32_t strategy, decide):
        cdef _Window window = _Window()
        cdef int slot
        self.slot = -1
        if strategy >= world.c.strategy_count:
            raise_status(WORLD_UNKNOWN_SYMBOL, f"strategy {strategy}")
        self.decide = decide
        self.view_at = &world_strategies(world.c)[strategy].view
        window.world = world
        window.view = self.view_at
        self.view = np.frombuffer(window, VIEW)[0]
        self.wishes = np.zeros(1, WISHES)[0]
        self.wishes_at = <wishes_t*><uintptr_t>self.wishes.__array_interface__["data"][0]
        for slot in range(SLOTS):
            if _hook_by_slot[slot] == NULL:
                _hook_by_slot[slot] = <void*>self
                self.slot = slot
                return
        raise_status(STRATEGY_SLOTS_FULL, f"{SLOTS} in use")

    def __dealloc__(self):
        if self.slot >= 0:
            _hook_by_slot[self.slot] = NULL

    @property
    def address(self):
        """What `Core.bind` takes; valid as long as this object lives."""
        return <uintptr_t>bot4_hooks[self.slot]

    cdef int _call(self, view_t* view, wishes_t* wishes) noexcept:
        # Another world's pointer would show this strategy the wrong view.
        if view != self.view_at:
            return STRATEGY_STOP
        wishes_clear(self.wishes_at)
        self.call_count += 1
        try:
            answer = self.decide(self.view, self.wishes)
            if answer != STRATEGY_OK:
                return STRATEGY_STOP
        except BaseException as error:
            self.error = error
            return STRATEGY_STOP
        memcpy(wishes, self.wishes_at, sizeof(wishes_t))
        return STRATEGY_OK
