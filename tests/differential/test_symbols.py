"""The symbol table and its twin."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import errors
from engine._core import symbols as core
from engine.model import symbols as model

STEM = "symbols"
STEPS = ("0.01", "0.001")


def test_a_symbol_is_found_by_its_whole_text_only(impl):
    table = impl.Symbols([("BTCUSDT", 7, *STEPS), ("BTCUSDT_250926", 8, *STEPS), ("币安人生USDT", 9, *STEPS)])
    table.check()
    assert len(table) == 3
    assert table.find(b"BTCUSDT") == 7
    assert table.find(b"BTCUSDT_250926") == 8
    assert table.find("币安人生USDT".encode()) == 9
    for other in (b"", b"BTCUSD", b"BTCUSDT\x00", b"btcusdt", b"BTCUSDTX", b"B" * 25):
        assert table.find(other) is None


def test_stream_names_find_their_symbol_in_small_letters(impl):
    table = impl.Symbols([("BTCUSDT_250926", 3, *STEPS), ("币安人生USDT", 4, *STEPS)])
    assert table.find(b"btcusdt_250926", fold=True) == 3
    assert table.find("币安人生usdt".encode(), fold=True) == 4
    assert table.find(b"btcusdt`250926", fold=True) is None


@pytest.mark.parametrize("text", ["", "B" * 25, "BTC USDT", 'BTC"', "BTC\\", "BTC\n", "BTCUSDT"])
def test_a_symbol_that_cannot_stand_in_a_frame_or_stands_there_already_is_refused(impl, text):
    table = impl.Symbols([("BTCUSDT", 0, *STEPS)], capacity=4)
    with pytest.raises(errors.BadSymbol):
        table.add(text, 1, *STEPS)
    table.check()
    assert len(table) == 1


def test_a_full_table_and_bad_steps_are_refused(impl):
    table = impl.Symbols([("A", 0, *STEPS)], capacity=1)
    with pytest.raises(errors.SymbolsFull):
        table.add("B", 1, *STEPS)
    with pytest.raises(errors.DecimalBadStep):
        table.add("C", 1, "0.000", "1")
    with pytest.raises(errors.BadSize):
        impl.Symbols([], capacity=40_000)


@given(
    st.lists(st.text("AB_1", min_size=1, max_size=24), unique=True, max_size=60),
    st.lists(st.text("ABab_1`z{", max_size=26), max_size=30),
)
@settings(max_examples=200)
def test_both_find_the_same(names, asked):
    rows = [(name, i, *STEPS) for i, name in enumerate(names)]
    ours, twin = core.Symbols(rows), model.Symbols(rows)
    ours.check()
    for name in [*names, *asked, *map(str.lower, names)]:
        for fold in (False, True):
            assert ours.find(name.encode(), fold=fold) == twin.find(name.encode(), fold=fold)
