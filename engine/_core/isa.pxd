"""Which instruction set the kernels may use: asked of the CPU once, overridable downward for tests.

Owns: the one cached level word and its names. Does not own: the versions of a kernel, which stand beside the kernel
and are chosen by `isa_level() >= ISA_V3` once, outside their loop. Invariant: the level never exceeds what the CPU
offers, and every version of a kernel gives bit-identical results, so the level is never visible in a replay.
Cost: one load of a word that never changes after the module is imported.

x86-64 levels are the psABI ones: baseline (SSE2), v2 (SSE4.2, POPCNT), v3 (AVX2, BMI2, FMA), v4 (AVX-512 F, BW, CD,
DQ, VL). aarch64 has one level, its baseline NEON.
"""

cdef enum isa_t:
    ISA_BASELINE = 1
    ISA_V2 = 2
    ISA_V3 = 3
    ISA_V4 = 4


# What the kernels use: the CPU's level, or the lower one that BOT4_ISA names.
cdef int isa_level() noexcept nogil
# What the CPU and the operating system offer, whatever the override says.
cdef int isa_detect() noexcept nogil
