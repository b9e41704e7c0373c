"""The table of families: what it says of warm-ups is a number for every family and nothing for what is none."""

from __future__ import annotations

import pytest

from engine._core.features_table import TABLE, Number, warm_up


def test_every_family_stands_at_its_own_number():
    assert [family.number for family in TABLE] == list(range(len(TABLE))) == list(range(Number.FAMILIES))
    assert [Number["F_" + family.name.upper()] for family in TABLE] == [family.number for family in TABLE]


@pytest.mark.parametrize("window", [2, 3, 25, 26, 100])
def test_every_family_warms_up_and_never_sooner_in_a_longer_window(window):
    for family in TABLE:
        assert 1 <= warm_up(family.number, window) <= warm_up(family.number, window + 1), family.name


@pytest.mark.parametrize("number", [-1, int(Number.FAMILIES), 1 << 20])
def test_what_is_no_family_never_warms_up(number):
    assert warm_up(number, 10) == -1
