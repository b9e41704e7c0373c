"""The decimal kernel and its twin, held against each other and against decimal.Decimal."""

from __future__ import annotations

import random
from decimal import Context, Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine import errors
from engine._core import decimal as core
from engine.model import decimal as model

STEM = "decimal"
INT64_MAX = 2**63 - 1
EXACT = Context(prec=200)

int64 = st.one_of(
    st.integers(-(2**63), INT64_MAX), st.integers(-30, 30), st.sampled_from([-(2**63), -INT64_MAX, INT64_MAX])
)
steps = st.one_of(st.integers(1, INT64_MAX), st.integers(1, 12), st.sampled_from([1, 2, 5, 25, 10**8, INT64_MAX]))


def outcome(call, *args):
    """What a call gives: its value, or the class of what it raised."""
    try:
        return call(*args)
    except errors.Bot4Error as error:
        return type(error)


REFUSED = {
    b"": errors.DecimalEmpty,
    b"+1": errors.DecimalSign,
    b"-1": errors.DecimalSign,
    b"1-": errors.DecimalSign,
    b"1e5": errors.DecimalExponent,
    b"1.0E-3": errors.DecimalExponent,
    b" 1": errors.DecimalBlank,
    b"1 ": errors.DecimalBlank,
    b"1\t2": errors.DecimalBlank,
    b"\n": errors.DecimalBlank,
    b".5": errors.DecimalEmptyPart,
    b"5.": errors.DecimalEmptyPart,
    b".": errors.DecimalEmptyPart,
    b"1.234567891": errors.DecimalTooManyDigits,
    b"0.000000001": errors.DecimalTooManyDigits,
    b"92233720368.54775808": errors.DecimalOverflow,
    b"1" + b"0" * 40: errors.DecimalOverflow,
    b"1.2.3": errors.DecimalBadCharacter,
    b"1..": errors.DecimalBadCharacter,
    b"1,5": errors.DecimalBadCharacter,
    b"0x10": errors.DecimalBadCharacter,
    b"nan": errors.DecimalBadCharacter,
    b"1\x005": errors.DecimalBadCharacter,
    b"12345678\xb2": errors.DecimalBadCharacter,
    "١".encode(): errors.DecimalBadCharacter,
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20].decode("latin-1"))
def test_each_fault_has_its_own_refusal(impl, text):
    with pytest.raises(REFUSED[text]) as caught:
        impl.parse(text, 8)
    assert type(caught.value) is REFUSED[text]


@pytest.mark.parametrize(
    ("text", "scale", "mantissa"),
    [
        (b"0", 0, 0),
        (b"67123.40", 2, 6712340),
        (b"61837.63000000", 2, 6183763),
        (b"0.00000001", 8, 1),
        (b"99999999.99999999", 8, 9999999999999999),
        (b"92233720368.54775807", 8, INT64_MAX),
        (b"9223372036854775807", 0, INT64_MAX),
        (b"9.223372036854775807", 18, INT64_MAX),
        (b"0" * 60 + b"7." + b"0" * 60, 3, 7000),
        (b"0." + b"0" * 30, 0, 0),
        (b"1.5", 9, 1500000000),
    ],
)
def test_plain_numbers_are_exact(impl, text, scale, mantissa):
    assert impl.parse(text, scale) == mantissa


@pytest.mark.parametrize("scale", [-1, 19, 1000])
def test_a_scale_outside_0_to_18_is_refused(impl, scale):
    for call in (impl.parse, impl.parse_signed):
        with pytest.raises(errors.DecimalBadScale):
            call(b"1", scale)
    with pytest.raises(errors.DecimalBadScale):
        impl.to_text(1, scale)


def test_the_signed_form_takes_one_minus_and_nothing_else(impl):
    assert impl.parse_signed(b"-0.00038167", 8) == -38167
    assert impl.parse_signed(b"-0", 0) == 0
    assert impl.parse_signed(b"7.5", 1) == 75
    assert impl.parse_signed(b"-9223372036854775807", 0) == -INT64_MAX
    for text, refusal in [
        (b"-", errors.DecimalEmpty),
        (b"--1", errors.DecimalSign),
        (b"+1", errors.DecimalSign),
        (b"-9223372036854775808", errors.DecimalOverflow),
    ]:
        with pytest.raises(refusal):
            impl.parse_signed(text, 0)


def test_a_price_between_two_steps_is_refused(impl):
    assert impl.parse_steps(b"61837.50", b"0.50000") == 123675
    assert impl.parse_steps(b"1000", b"250") == 4
    with pytest.raises(errors.DecimalOffStep):
        impl.parse_steps(b"61837.4", b"0.5")
    with pytest.raises(errors.DecimalTooManyDigits):
        impl.parse_steps(b"61837.55", b"0.5")
    with pytest.raises(errors.DecimalBadStep):
        impl.parse_steps(b"1", b"0.00")


@pytest.mark.parametrize(
    ("value", "step", "expected"),  # down, up, half even, half away
    [
        (7, 5, [5, 10, 5, 5]),
        (-7, 5, [-10, -5, -5, -5]),
        (5, 10, [0, 10, 0, 10]),
        (-5, 10, [-10, 0, 0, -10]),
        (15, 10, [10, 20, 20, 20]),
        (-15, 10, [-20, -10, -20, -20]),
        (0, 3, [0, 0, 0, 0]),
        (INT64_MAX, INT64_MAX, [INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX]),
    ],
)
def test_rounding_does_what_its_name_says(impl, value, step, expected):
    names = (impl.round_down, impl.round_up, impl.round_half_even, impl.round_half_away)
    assert [call(value, step) for call in names] == expected


def test_rounding_out_of_range_is_an_overflow(impl):
    for call, value in [(impl.round_up, INT64_MAX), (impl.round_down, -(2**63)), (impl.round_half_even, INT64_MAX)]:
        with pytest.raises(errors.DecimalOverflow):
            call(value, 10)
    with pytest.raises(errors.DecimalOverflow):
        impl.multiply_divide_floor(2**62, 4, 1)
    with pytest.raises(errors.DecimalBadStep):
        impl.multiply_divide_floor(1, 1, 0)


def test_the_short_division_refuses_what_is_off_the_step_and_steps_finer_than_1e_8():
    assert core.steps_short_way(6183763000000, b"0.01") == 6183763
    assert core.steps_short_way(6183763000001, b"0.01") is None
    assert core.steps_short_way(5, b"0.000000001") is None
    assert core.steps_short_way(0, b"0.000000001") == 0


def test_a_million_random_numbers_agree_with_decimal():
    rng = random.Random(20)
    taken = refused = 0
    for _ in range(1_000_000):
        scale = rng.randrange(19)
        whole = str(rng.getrandbits(rng.randrange(1, 67)))
        fraction = "".join(rng.choices("0123456789", k=rng.randrange(22))).ljust(rng.randrange(12), "0")
        text = f"{whole}.{fraction}" if fraction else whole
        exact = EXACT.scaleb(Decimal(text), scale)
        got = outcome(core.parse, text.encode(), scale)
        if exact != exact.to_integral_value():
            assert got is errors.DecimalTooManyDigits, text
            refused += 1
        elif exact > INT64_MAX:
            assert got is errors.DecimalOverflow, text
            refused += 1
        else:
            assert got == int(exact), text
            assert Decimal(core.to_text(got, scale).decode()) == Decimal(text)
            taken += 1
    assert taken > 100_000
    assert refused > 100_000


@given(int64, st.integers(0, 18))
@settings(max_examples=500)
def test_format_and_parse_are_each_others_inverse(mantissa, scale):
    text = core.to_text(mantissa, scale)
    assert text == model.to_text(mantissa, scale)
    assert text.decode() == f"{EXACT.scaleb(Decimal(mantissa), -scale):.{scale}f}"
    if mantissa != -(2**63):
        assert core.parse_signed(text, scale) == mantissa


@given(st.one_of(st.binary(max_size=24), st.text("0123456789.-+e ", max_size=24).map(str.encode)), st.integers(-1, 19))
@example(b"99999999.99999999", 10)
@settings(max_examples=2000)
def test_any_bytes_get_the_same_answer_from_both(text, scale):
    for name in ("parse", "parse_signed"):
        assert outcome(getattr(core, name), text, scale) == outcome(getattr(model, name), text, scale)


@given(
    st.from_regex(rb"[0-9]{1,10}(\.[0-9]{1,9})?", fullmatch=True),
    st.from_regex(rb"[0-9]{1,4}(\.[0-9]{1,9})?", fullmatch=True),
)
@settings(max_examples=1000)
def test_steps_agree_for_any_instrument(text, step):
    assert outcome(core.step_of, step) == outcome(model.step_of, step)
    assert outcome(core.parse_steps, text, step) == outcome(model.parse_steps, text, step)


@given(st.integers(0, 10**16), st.from_regex(rb"[0-9]{1,4}(\.[0-9]{1,9})?", fullmatch=True), st.booleans())
@settings(max_examples=1000)
def test_the_short_division_agrees_with_divmod(value_e8, step, on_step):
    if isinstance(size := outcome(model.step_of, step), type):
        return
    if on_step and size[0] <= 8:
        value_e8 -= value_e8 % (size[1] * 10 ** (8 - size[0]))
    assert core.steps_short_way(value_e8, step) == model.steps_short_way(value_e8, step)


@given(int64, steps, int64)
@settings(max_examples=1500)
def test_every_rounding_agrees(value, step, factor):
    for name in ("round_down", "round_up", "round_half_even", "round_half_away", "to_steps", "from_steps"):
        assert outcome(getattr(core, name), value, step) == outcome(getattr(model, name), value, step), name
    for name in ("multiply_divide_floor", "multiply_divide_ceil", "multiply_divide_half_even"):
        assert outcome(getattr(core, name), value, factor, step) == outcome(
            getattr(model, name), value, factor, step
        ), name


@given(int64, st.integers(-25, 25), st.integers(-1, 19))
@settings(max_examples=1000)
def test_rescaling_agrees(mantissa, scale_from, scale_to):
    assert outcome(core.rescale, mantissa, scale_from, scale_to) == outcome(
        model.rescale, mantissa, scale_from, scale_to
    )


@pytest.mark.parametrize("step", [0, -1, -INT64_MAX - 1])
@pytest.mark.parametrize(
    "name", ["round_down", "round_up", "round_half_even", "round_half_away", "to_steps", "from_steps"]
)
def test_a_step_that_is_not_above_zero_is_refused_by_name(impl, name, step):
    for value in (0, 1, -INT64_MAX, INT64_MAX):
        with pytest.raises(errors.DecimalBadStep):
            getattr(impl, name)(value, step)


@pytest.mark.parametrize("divisor", [0, -1, -INT64_MAX - 1])
@pytest.mark.parametrize("way", ["floor", "ceil", "half_even"])
def test_a_divisor_that_is_not_above_zero_is_refused_by_name(impl, way, divisor):
    with pytest.raises(errors.DecimalBadStep):
        getattr(impl, f"multiply_divide_{way}")(6, 7, divisor)
