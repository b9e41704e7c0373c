from libc.stdint cimport INT64_MAX, int64_t, uint64_t
from libc.string cimport memcpy, memset

from engine._core.types cimport (
    DECIMAL_BAD_CHARACTER,
    DECIMAL_BAD_SCALE,
    DECIMAL_BLANK,
    DECIMAL_EMPTY,
    DECIMAL_EMPTY_PART,
    DECIMAL_EXPONENT,
    DECIMAL_SIGN,
    DECIMAL_TOO_MANY_DIGITS,
    raise_status,
)


cdef void _layout() noexcept nogil:
    static_assert_c(sizeof(step_t) == 32)


# ----------------------------------------------------------------------------------------------------- text to number
cdef inline int _fault_of(char c) noexcept nogil:
    """Which refusal a character is that is neither a digit nor the first point."""
    if c == c"+" or c == c"-":
        return DECIMAL_SIGN
    if c == c"e" or c == c"E":
        return DECIMAL_EXPONENT
    if c == c" " or (c >= c"\t" and c <= c"\r"):
        return DECIMAL_BLANK
    return DECIMAL_BAD_CHARACTER


cdef int decimal_parse_long(const char* p, size_t n, int scale, int64_t* out) noexcept nogil:
    """The general way: any length, every refusal."""
    cdef size_t i, point = n
    cdef int64_t value = 0
    cdef int kept = 0
    if scale < 0 or scale > DECIMAL_SCALE_MAX:
        return DECIMAL_BAD_SCALE
    if n == 0:
        return DECIMAL_EMPTY
    for i in range(n):
        if p[i] >= c"0" and p[i] <= c"9":
            continue
        if p[i] != c"." or point != n:
            return _fault_of(p[i])
        point = i
    if point == 0 or point == n - 1:
        return DECIMAL_EMPTY_PART
    for i in range(point + 1 + scale, n):
        if p[i] != c"0":
            return DECIMAL_TOO_MANY_DIGITS
    for i in range(n):
        if i == point:
            continue
        if i > point:
            if kept == scale:
                break
            kept += 1
        if mul_overflow(value, 10, &value) or add_overflow(value, p[i] - c"0", &value):
            return DECIMAL_OVERFLOW
    if mul_overflow(value, POW10[scale - kept], &value):
        return DECIMAL_OVERFLOW
    out[0] = value
    return OK


cdef int decimal_parse_signed(const char* p, size_t n, int scale, int64_t* out) noexcept nogil:
    """As `decimal_parse`, with one minus allowed in front: for the few fields that may be negative."""
    cdef int status
    if n > 0 and p[0] == c"-":
        status = decimal_parse(p + 1, n - 1, scale, out)
        if status == OK:
            out[0] = -out[0]
        return status
    return decimal_parse(p, n, scale, out)


cdef int decimal_parse_steps(const char* p, size_t n, const step_t* s, int64_t* out) noexcept nogil:
    """Text straight to whole steps of an instrument."""
    cdef int64_t mantissa = 0
    cdef int status = decimal_parse(p, n, s.scale, &mantissa)
    if status != OK:
        return status
    return decimal_to_steps(mantissa, s.step, out)


cdef int decimal_rescale(int64_t mantissa, int scale_from, int scale_to, int64_t* out) noexcept nogil:
    """The same number at another scale: exact, or refused. The scale it comes from may be negative (3 * 10**2)."""
    cdef int gap = scale_to - scale_from
    cdef int64_t value = 0
    if scale_to < 0 or scale_to > DECIMAL_SCALE_MAX:
        return DECIMAL_BAD_SCALE
    if mantissa == 0:
        out[0] = 0
        return OK
    if gap >= 0:
        if gap > DECIMAL_SCALE_MAX or mul_overflow(mantissa, POW10[gap], &value) or value < -INT64_MAX:
            return DECIMAL_OVERFLOW
        out[0] = value
        return OK
    # A 63-bit number has at most 18 zeros at its end, so beyond that gap it cannot be exact.
    if gap < -DECIMAL_SCALE_MAX or mantissa % POW10[-gap] != 0:
        return DECIMAL_TOO_MANY_DIGITS
    out[0] = mantissa / POW10[-gap]
    return OK


# ----------------------------------------------------------------------------------------------------- number to text
cdef size_t decimal_format(int64_t mantissa, int scale, char* out) noexcept nogil:
    """Write the number with exactly `scale` digits behind its point; the length written. `out` has DECIMAL_TEXT_MAX.

    The scale is 0 to 18: the caller has checked it where it was configured.
    """
    cdef char[DECIMAL_TEXT_MAX] text
    cdef int at = DECIMAL_TEXT_MAX, written = 0
    # Through unsigned, so that the smallest number has a magnitude too.
    cdef uint64_t rest = <uint64_t>mantissa if mantissa >= 0 else <uint64_t>0 - <uint64_t>mantissa
    debug_assert(scale >= 0 and scale <= DECIMAL_SCALE_MAX)
    while rest != 0 or written <= scale:
        if written == scale and scale != 0:
            at -= 1
            text[at] = c"."
        at -= 1
        text[at] = <char>(c"0" + <char>(rest % 10))
        rest //= 10
        written += 1
    if mantissa < 0:
        at -= 1
        text[at] = c"-"
    memcpy(out, &text[at], DECIMAL_TEXT_MAX - at)
    return DECIMAL_TEXT_MAX - at


# -------------------------------------------------------------------------------------------------------------- steps
cdef int step_init(step_t* s, int scale, int64_t step) noexcept nogil:
    """A step of `step` units of 10**-scale: 0.25 is scale 2, step 25."""
    cdef int64_t step_e8 = 0
    cdef uint64_t odd, inverse
    cdef int i
    if scale < 0 or scale > DECIMAL_SCALE_MAX:
        return DECIMAL_BAD_SCALE
    if step < 1:
        return DECIMAL_BAD_STEP
    memset(s, 0, sizeof(step_t))
    s.scale = scale
    s.step = step
    if decimal_rescale(step, scale, 8, &step_e8) != OK:
        # Finer than 1e-8, or too coarse for the short way's range: every value but zero takes the general way.
        s.inverse_e8 = 1
        return OK
    s.shift_e8 = ctz(<uint64_t>step_e8)
    odd = <uint64_t>step_e8 >> s.shift_e8
    # Newton: an odd number is its own inverse to 3 bits, and each turn doubles the bits that are right.
    inverse = odd
    for i in range(5):
        inverse *= 2 - odd * inverse
    s.inverse_e8 = inverse
    s.limit_e8 = <uint64_t>-1 // <uint64_t>step_e8
    return OK


cdef int step_from_text(step_t* s, const char* p, size_t n) noexcept nogil:
    """A step as the venue writes it: "0.01000000" is scale 2, step 1."""
    cdef int64_t mantissa = 0
    cdef int scale = DECIMAL_SCALE_MAX, status = DECIMAL_OVERFLOW
    # The finest scale that still holds the number, then as coarse as it goes.
    while scale >= 0:
        status = decimal_parse_long(p, n, scale, &mantissa)
        if status != DECIMAL_OVERFLOW:
            break
        scale -= 1
    if status != OK:
        return status
    while scale > 0 and mantissa != 0 and mantissa % 10 == 0:
        mantissa //= 10
        scale -= 1
    return step_init(s, scale, mantissa)


# ----------------------------------------------------------------------------------------------- what Python can call
cdef inline object _checked(int status, int64_t value, object what):
    if status != OK:
        raise_status(status, repr(what))
    return value


def parse(bytes text not None, int scale):
    """The mantissa of `digits[.digits]` at a scale of 0 to 18."""
    cdef int64_t value = 0
    cdef int status = decimal_parse(text, len(text), scale, &value)
    return _checked(status, value, text)


def parse_signed(bytes text not None, int scale):
    cdef int64_t value = 0
    cdef int status = decimal_parse_signed(text, len(text), scale, &value)
    return _checked(status, value, text)


def parse_steps(bytes text not None, bytes step not None):
    """Text to whole steps; the step is text too: parse_steps(b"61837.5", b"0.5") is 123675."""
    cdef step_t s
    cdef int64_t value = 0
    cdef int status = step_from_text(&s, step, len(step))
    if status != OK:
        raise_status(status, f"step {step!r}")
    status = decimal_parse_steps(text, len(text), &s, &value)
    return _checked(status, value, text)


def step_of(bytes text not None):
    """(scale, step) of a step as the venue writes it."""
    cdef step_t s
    cdef int status = step_from_text(&s, text, len(text))
    if status != OK:
        raise_status(status, f"step {text!r}")
    return s.scale, s.step


def steps_short_way(uint64_t value_e8, bytes step not None):
    """What the one-multiplication division says: the steps, or None when it leaves the answer to the general way."""
    cdef step_t s
    cdef int64_t value = 0
    cdef int status = step_from_text(&s, step, len(step))
    if status != OK:
        raise_status(status, f"step {step!r}")
    return value if steps_from_e8(value_e8, &s, &value) else None


def to_text(int64_t mantissa, int scale):
    """The text of a mantissa, with exactly `scale` digits behind the point."""
    cdef char[DECIMAL_TEXT_MAX] out
    if scale < 0 or scale > DECIMAL_SCALE_MAX:
        raise_status(DECIMAL_BAD_SCALE, f"scale {scale}")
    return out[:decimal_format(mantissa, scale, out)]


def rescale(int64_t mantissa, int scale_from, int scale_to):
    cdef int64_t value = 0
    cdef int status = decimal_rescale(mantissa, scale_from, scale_to, &value)
    return _checked(status, value, mantissa)


def to_steps(int64_t mantissa, int64_t step):
    cdef int64_t value = 0
    cdef int status = decimal_to_steps(mantissa, step, &value)
    return _checked(status, value, mantissa)


def from_steps(int64_t steps, int64_t step):
    cdef int64_t value = 0
    cdef int status = decimal_from_steps(steps, step, &value)
    return _checked(status, value, steps)


ctypedef int (*round_t)(int64_t, int64_t, int64_t*) noexcept nogil
ctypedef int (*mul_div_t)(int64_t, int64_t, int64_t, int64_t*) noexcept nogil


cdef object _rounded(round_t how, int64_t value, int64_t step):
    cdef int64_t out = 0
    cdef int status = how(value, step, &out)
    return _checked(status, out, (value, step))


def round_down(int64_t value, int64_t lot):
    """`floor_to_lot`: the highest multiple not above."""
    return _rounded(floor_to_lot, value, lot)


def round_up(int64_t value, int64_t lot):
    """`ceil_to_lot`: the lowest multiple not below."""
    return _rounded(ceil_to_lot, value, lot)


def round_half_even(int64_t value, int64_t tick):
    return _rounded(round_to_tick_half_even, value, tick)


def round_half_away(int64_t value, int64_t tick):
    return _rounded(round_to_tick_half_away, value, tick)


cdef object _mul_divided(mul_div_t how, int64_t a, int64_t b, int64_t c):
    cdef int64_t out = 0
    cdef int status = how(a, b, c, &out)
    return _checked(status, out, (a, b, c))


def multiply_divide_floor(int64_t a, int64_t b, int64_t c):
    return _mul_divided(mul_div_floor, a, b, c)


def multiply_divide_ceil(int64_t a, int64_t b, int64_t c):
    return _mul_divided(mul_div_ceil, a, b, c)


def multiply_divide_half_even(int64_t a, int64_t b, int64_t c):
    return _mul_divided(mul_div_half_even, a, b, c)
