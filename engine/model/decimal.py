"""Twin of the decimal kernel: a regular expression for the form, `decimal.Decimal` for the value."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal

from engine import errors

INT64_MAX = 2**63 - 1
# Enough digits that nothing here is ever rounded: a frame's longest number is a megabyte of digits at the very most.
EXACT = Context(prec=2_000_000, Emax=999_999_999, Emin=-999_999_999)
FAULTS = {
    "+": errors.DecimalSign,
    "-": errors.DecimalSign,
    "e": errors.DecimalExponent,
    "E": errors.DecimalExponent,
} | dict.fromkeys(" \t\n\v\f\r", errors.DecimalBlank)


def _in_range(value: int) -> int:
    if not -INT64_MAX <= value <= INT64_MAX:
        raise errors.DecimalOverflow(str(value) if abs(value) < 10**40 else "")
    return value


def _is_whole(number: Decimal) -> bool:
    return number == number.to_integral_value(context=EXACT)


def _number(text: bytes) -> Decimal:
    """The number in the plain form, or its first fault."""
    if not text:
        raise errors.DecimalEmpty
    plain = text.decode("latin-1")
    # The longest part from the left that is still in form; what follows it is the fault.
    good = re.match(r"[0-9]*\.?[0-9]*", plain)
    if good and good.end() < len(plain):
        raise FAULTS.get(plain[good.end()], errors.DecimalBadCharacter)(plain[:60])
    if plain.startswith(".") or plain.endswith("."):
        raise errors.DecimalEmptyPart(plain[:60])
    return EXACT.create_decimal(plain)


def parse(text: bytes, scale: int) -> int:
    if not 0 <= scale <= 18:
        raise errors.DecimalBadScale(str(scale))
    scaled = EXACT.scaleb(_number(text), scale)
    if not _is_whole(scaled):
        raise errors.DecimalTooManyDigits(str(text[:60]))
    return _in_range(int(scaled))


def parse_signed(text: bytes, scale: int) -> int:
    return -parse(text[1:], scale) if text.startswith(b"-") else parse(text, scale)


def step_of(text: bytes) -> tuple[int, int]:
    value = _number(text)
    scale = 0
    while not _is_whole(EXACT.scaleb(value, scale)) and scale < 18:
        scale += 1
    mantissa = EXACT.scaleb(value, scale)
    if not _is_whole(mantissa):
        raise errors.DecimalTooManyDigits(str(text[:60]))
    if _in_range(int(mantissa)) < 1:
        raise errors.DecimalBadStep(str(text[:60]))
    return scale, int(mantissa)


def parse_steps(text: bytes, step: bytes) -> int:
    scale, size = step_of(step)
    return to_steps(parse(text, scale), size)


def steps_short_way(value_e8: int, step: bytes) -> int | None:
    scale, size = step_of(step)
    if scale > 8 or size * 10 ** (8 - scale) > INT64_MAX:
        return None if value_e8 else 0
    steps, rest = divmod(value_e8, size * 10 ** (8 - scale))
    return None if rest else steps


def to_text(mantissa: int, scale: int) -> bytes:
    if not 0 <= scale <= 18:
        raise errors.DecimalBadScale(str(scale))
    return f"{EXACT.scaleb(Decimal(mantissa), -scale):.{scale}f}".encode()


def rescale(mantissa: int, scale_from: int, scale_to: int) -> int:
    if not 0 <= scale_to <= 18:
        raise errors.DecimalBadScale(str(scale_to))
    scaled = EXACT.scaleb(Decimal(mantissa), scale_to - scale_from)
    if not _is_whole(scaled):
        raise errors.DecimalTooManyDigits(str(mantissa))
    return _in_range(int(scaled))


def _positive(step: int) -> int:
    if step < 1:
        raise errors.DecimalBadStep(str(step))
    return step


def to_steps(mantissa: int, step: int) -> int:
    steps, rest = divmod(mantissa, _positive(step))
    if rest:
        raise errors.DecimalOffStep(f"{mantissa} by {step}")
    return steps


def from_steps(steps: int, step: int) -> int:
    return _in_range(steps * _positive(step))


def _divided(numerator: int, denominator: int, rounding: str) -> int:
    """Divide and let Decimal round; the fraction is first cut to one that keeps its side of the middle."""
    whole, rest = divmod(numerator, _positive(denominator))
    side = 0 if not rest else (25 if 2 * rest < denominator else 50 if 2 * rest == denominator else 75)
    return int(EXACT.add(Decimal(whole), Decimal(side) / 100).to_integral_value(rounding=rounding, context=EXACT))


def round_down(value: int, lot: int) -> int:
    return _in_range(_divided(value, lot, ROUND_FLOOR) * lot)


def round_up(value: int, lot: int) -> int:
    return _in_range(_divided(value, lot, ROUND_CEILING) * lot)


def round_half_even(value: int, tick: int) -> int:
    return _in_range(_divided(value, tick, ROUND_HALF_EVEN) * tick)


def round_half_away(value: int, tick: int) -> int:
    # ROUND_HALF_UP is decimal's name for "from the middle away from zero".
    return _in_range(_divided(value, tick, ROUND_HALF_UP) * tick)


def multiply_divide_floor(a: int, b: int, c: int) -> int:
    return _in_range(_divided(a * b, c, ROUND_FLOOR))


def multiply_divide_ceil(a: int, b: int, c: int) -> int:
    return _in_range(_divided(a * b, c, ROUND_CEILING))


def multiply_divide_half_even(a: int, b: int, c: int) -> int:
    return _in_range(_divided(a * b, c, ROUND_HALF_EVEN))
