"""The gate's face where it refuses, and a symbol whose largest quantity is no limit at all."""

from __future__ import annotations

import pytest

from engine._core import risk as core
from engine.errors import UnknownSymbol
from tests.differential.test_risk import BUY, gate


def test_what_names_no_symbol_is_refused_by_every_way_in():
    g = gate(core, symbols=2)
    for act in (
        lambda: g.set_symbol(2, lots=1),
        lambda: g.symbol(2),
        lambda: g.expose(2, 100),
        lambda: g.cancel(0, 2),
        lambda: g.place(0, **BUY, symbol=2),
        lambda: g.check_order(0, **BUY, symbol=2),
        lambda: g.largest_lots(**BUY, symbol=2),
    ):
        with pytest.raises(UnknownSymbol, match="symbol 2 of 2"):
            act()
    assert g.counts["passed"] == g.counts["denied"] == 0
    g.check()


@pytest.mark.parametrize("quantity", [100_000, 2**62 - 1, 2**62, 2**63 - 1])
def test_the_largest_quantity_is_found_below_any_limit(quantity):
    g = gate(core, qty_max_lots=quantity)
    largest = g.largest_lots(**BUY)
    assert 0 < largest <= min(quantity, 100_000)
    assert g.place(0, **(BUY | {"qty_lots": largest})) == g.place(0, **(BUY | {"qty_lots": 1}))
