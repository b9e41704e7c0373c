"""CRC-32C by instruction, by table and bit by bit; BLAKE2b held against the library's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine._core import checksum as core
from engine._core import isa
from engine.model import checksum as model

STEM = "checksum"


def test_the_published_check_values(impl):
    assert impl.crc32c(b"123456789") == 0xE3069283
    assert impl.crc32c(bytes(32)) == 0x8A9136AA
    assert impl.crc32c(bytes([0xFF] * 32)) == 0x62A8AB43
    assert impl.crc32c(bytes(range(32))) == 0x46DD794E
    assert impl.crc32c(b"") == 0
    assert impl.blake2b(b"abc").hex() == "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"


@given(st.binary(max_size=300), st.integers(0, 2**32 - 1))
def test_instruction_table_and_definition_agree(data, crc):
    assert core.crc32c(data, crc) == core.crc32c_by_table(data, crc) == model.crc32c(data, crc)


@given(st.binary(max_size=600), st.integers(0, 600))
def test_blake2b_is_the_library_s_however_it_is_cut(data, cut):
    assert core.blake2b(data, cut) == model.blake2b(data)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_any_single_bit_changes_both_sums(data, draw):
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    other = bytearray(data)
    other[bit // 8] ^= 1 << bit % 8
    assert core.crc32c(data) != core.crc32c(other)
    assert core.blake2b(data) != core.blake2b(other)


def test_a_sum_is_carried_on(impl):
    assert impl.crc32c(b"6789", impl.crc32c(b"12345")) == impl.crc32c(b"123456789")


def test_the_instruction_is_used_where_the_level_offers_it():
    if isa.architecture() == "x86-64":
        assert core.by_instruction() == (isa.level() != "baseline")
    else:
        assert core.by_instruction() in (True, False)
