"""From where on a venue's list of trades is compared after a restart: nothing twice into the sum, nothing left out."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine._core.types import ORDER, Flag, Kind
from engine.venues.tally import COMPARED_NS, TallyStart

END = 10**15


def fills(*rows: tuple[int, int, bool, int, int]) -> np.ndarray:
    """(symbol, trade, sell, lots, age in ns) of each."""
    out = np.zeros(len(rows), ORDER)
    for at, (symbol, trade, sell, lots, age) in enumerate(rows):
        out[at]["kind"], out[at]["symbol"] = int(Kind.KIND_ORDER_FILL), symbol
        out[at]["flags"] = int(Flag.FLAG_SELL) if sell else 0
        out[at]["id_venue"], out[at]["qty_lots"], out[at]["ts_recv_ns"] = trade, lots, END - age
    return out


OLD, YOUNG = COMPARED_NS + 1, COMPARED_NS - 1


def test_old_fills_are_added_up_and_the_list_is_read_behind_them():
    after = TallyStart({0: 5}, {0: 7}).after(fills((0, 5, False, 3, OLD), (0, 9, True, 1, OLD)), END)
    assert (after.next_trade, after.net_lots) == ({0: 10}, {0: 9})


def test_from_the_first_young_fill_on_everything_is_looked_at_again():
    rows = fills((0, 5, False, 3, OLD), (0, 8, False, 2, YOUNG), (0, 9, True, 1, OLD))
    after = TallyStart({0: 1}, {}).after(rows, END)
    # Trade 9 came in before trade 8 did: whatever lies behind 8 may hide a hole.
    assert (after.next_trade, after.net_lots) == ({0: 6}, {0: 3})
    assert after.booked == ((0, 8, 2), (0, 9, -1))


def test_a_fill_that_was_told_twice_counts_once():
    rows = fills((0, 5, False, 3, OLD), (0, 5, False, 3, OLD))
    assert TallyStart({}, {}).after(rows, END).net_lots == {0: 3}


def test_symbols_do_not_mix_and_a_quiet_one_stays():
    after = TallyStart({0: 3, 1: 4, 2: 9}, {2: -1}).after(fills((0, 3, False, 2, OLD), (1, 6, True, 5, OLD)), END)
    assert (after.next_trade, after.net_lots) == ({0: 4, 1: 7, 2: 9}, {0: 2, 1: -5, 2: -1})


def test_what_a_session_file_keeps_is_what_was_there():
    start = TallyStart({0: 3, 7: 9}, {0: -2}, ((0, 4, -5),))
    assert TallyStart.of(start.meta()) == start
    assert TallyStart.of({}) == TallyStart({}, {})


TRADES = st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.sampled_from([OLD, YOUNG])), max_size=12)


@given(sessions=st.lists(TRADES, max_size=4))
def test_over_any_number_of_sessions_the_sum_and_the_rest_of_the_list_are_all_there_is(sessions):
    start, trade, listed = TallyStart({0: 1}, {}), 1, {}
    for session in sessions:
        rows = []
        for sell, lots, age in session:
            rows.append((0, trade, sell, lots, age))
            listed[trade] = -lots if sell else lots
            trade += 1
        start = start.after(fills(*rows), END)
    rest = sum(lots for number, lots in listed.items() if number >= start.next_trade[0])
    assert start.net_lots.get(0, 0) + rest == sum(listed.values())
