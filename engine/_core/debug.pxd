"""Assertions: `static_assert_c` at compile time, `debug_assert` in the debug, sanitize and coverage builds.

A release build compiles `debug_assert(x)` to nothing, so x must have no effect. A broken assertion aborts: it is a
bug in the engine, never bad input, and there is no state left worth carrying on with.
"""

cdef extern from * nogil:
    """
    #include <stdio.h>
    #include <stdlib.h>
    #ifdef __clang__
    /* clang takes no offset through a null pointer for a constant in _Static_assert, but folds it in an array size. */
    #define bot4_static_assert(c) do { char bot4_asserted[(c) ? 1 : -1]; (void)bot4_asserted; } while (0)
    #else
    #define bot4_static_assert(c) _Static_assert((c), #c)
    #endif
    #ifdef BOT4_DEBUG
    #define bot4_debug_assert(c) \\
        do { if (!(c)) { fprintf(stderr, "bot4: broken invariant: %s (%s:%d)\\n", #c, __FILE__, __LINE__); abort(); } } while (0)
    #else
    #define bot4_debug_assert(c) ((void)0)
    #endif
    #define bot4_likely(c)   __builtin_expect(!!(c), 1)
    #define bot4_unlikely(c) __builtin_expect(!!(c), 0)
    """
    void static_assert_c "bot4_static_assert"(bint condition) noexcept
    void debug_assert "bot4_debug_assert"(bint condition) noexcept
    bint likely "bot4_likely"(bint condition) noexcept
    bint unlikely "bot4_unlikely"(bint condition) noexcept
