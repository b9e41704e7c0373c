"""Asks the CPU through the compiler's builtins, which also check that the operating system saves wide registers."""
import os

cdef extern from * nogil:
    """
    #if defined(__x86_64__)
    #define BOT4_ISA_NAME "x86-64"
    static int bot4_isa_detect(void) {
        __builtin_cpu_init();
        if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("ssse3") || !__builtin_cpu_supports("popcnt"))
            return 1;
        /* LZCNT and F16C have no name here in older compilers; no CPU has AVX2, BMI2 and FMA without them. */
        if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2")
            || !__builtin_cpu_supports("fma"))
            return 2;
        if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")
            || !__builtin_cpu_supports("avx512cd") || !__builtin_cpu_supports("avx512dq")
            || !__builtin_cpu_supports("avx512vl"))
            return 3;
        return 4;
    }
    #elif defined(__aarch64__)
    #define BOT4_ISA_NAME "aarch64-neon"
    static int bot4_isa_detect(void) { return 1; }
    #else
    #define BOT4_ISA_NAME "portable"
    static int bot4_isa_detect(void) { return 1; }
    #endif
    #ifndef BOT4_PROFILE
    #define BOT4_PROFILE "unknown"
    #endif
    """
    int bot4_isa_detect() noexcept
    const char* BOT4_ISA_NAME
    const char* BOT4_PROFILE

cdef dict _LEVELS = {"baseline": ISA_BASELINE, "v2": ISA_V2, "v3": ISA_V3, "v4": ISA_V4}


cdef int isa_detect() noexcept nogil:
    return bot4_isa_detect()


cdef int _chosen(str wanted) except -1:
    """The level for an override; one above the CPU's is refused, because the process would die of SIGILL later."""
    cdef int offered = isa_detect()
    if not wanted:
        return offered
    if wanted not in _LEVELS:
        raise ValueError(f"BOT4_ISA={wanted!r}: one of {', '.join(_LEVELS)}")
    if _LEVELS[wanted] > offered:
        raise ValueError(f"BOT4_ISA={wanted!r}, but this CPU offers {_name(offered)!r} only")
    return _LEVELS[wanted]


cdef str _name(int level):
    return next(name for name, number in _LEVELS.items() if number == level)


# Written once, under the import lock, before any kernel can ask.
cdef int _level = _chosen(os.environ.get("BOT4_ISA", ""))


cdef int isa_level() noexcept nogil:
    return _level


def architecture():
    """The family the kernels were compiled for: x86-64, aarch64-neon or portable."""
    return BOT4_ISA_NAME.decode()


def offered():
    """The level of this CPU: baseline, v2, v3 or v4."""
    return _name(isa_detect())


def level():
    """The level the kernels use: `offered`, unless BOT4_ISA names a lower one."""
    return _name(isa_level())


def profile():
    """The build profile of the compiled kernels: release, debug, sanitize, thread or coverage."""
    return BOT4_PROFILE.decode()
