"""Building a world: what cannot be is refused by name and changes nothing, an image is taken whole or not at all."""

from __future__ import annotations

import pytest

from engine._core.world import ORDER_RECORD, POSITION, World
from engine.errors import BadLayout, UnknownSymbol
from engine.runtime.wiring import INSTRUMENT

FULL = {
    "symbols": 2, "strategies": 2, "orders": 16, "brackets": 4, "triggers": 4, "algos": 2, "groups": 1, "tracked": 2,
    "venues": 2, "book_levels": 64, "book_ticks": 64, "validate": True, "discipline": {}, "features": 128,
}  # fmt: skip


def full(**other):
    return World(**(FULL | other))


@pytest.mark.parametrize(
    "shape",
    [
        {"symbols": 1025}, {"orders": 65_536}, {"algos": 65_536}, {"venues": 65}, {"brackets": 8192},
        {"triggers": 65_536}, {"sample_ns": 0}, {"rise_ns": 0}, {"mark_age_ns": 0}, {"discipline": {}},
        {"book_levels": 64, "book_ticks": 63}, {"fifo_lots": 3}, {"epoch": -1}, {"tracked": 1, "samples_min": 0},
        {"tracked": 1, "sample_weight": 0.0}, {"deadlines": {"ack_ns": 0}},
        {"brackets": 1, "bracket_rules": {"places_max": 0}}, {"modes": {"cancels_max": 0}},
    ],
    ids=str,
)  # fmt: skip
def test_a_shape_that_cannot_be_is_refused(shape):
    with pytest.raises(BadLayout) as refusal:
        World(**({"symbols": 1} | shape))
    assert "has no" not in str(refusal.value)


@pytest.mark.parametrize(
    "rules", [{"discipline": {"colour": 1}}, {"modes": {"colour": 1}}, {"deadlines": {"colour": 1}},
              {"bracket_rules": {"colour": 1}}], ids=lambda rules: next(iter(rules)),
)  # fmt: skip
def test_a_rule_that_is_not_there_is_refused_and_those_there_are_named(rules):
    with pytest.raises(BadLayout, match=next(iter(rules)) + " has no 'colour'; it has "):
        full(**rules)


@pytest.mark.parametrize("fields", [{"can": 1 << 30}, {"venue": 2}, {"tick_e8": 7, "lot_e8": 3}], ids=str)
def test_an_instrument_that_cannot_be_booked_is_refused(fields):
    with pytest.raises(BadLayout, match="symbol 1"):
        full().set_instrument(1, **(INSTRUMENT | {"can": 0} | fields))


def test_an_instrument_without_a_grid_is_known_by_name_alone():
    world = full()
    world.set_instrument(0, can=3, tick_e8=0, lot_e8=0)
    assert world.instruments()["can"].tolist() == [3, 0]


def test_the_value_of_a_unit_may_be_given():
    world = full()
    world.set_instrument(
        0, **(INSTRUMENT | {"can": 0, "tick_e8": 7, "lot_e8": 3}), unit_value=5, base=1, quote=0, linear=True
    )
    assert world.instruments()["tick_e8"][0] == 7


def test_what_names_no_symbol_is_refused():
    world = full()
    for act in (
        lambda: world.set_instrument(2),
        lambda: world.set_validate(2),
        lambda: world.set_book(2),
        lambda: world.set_gate_symbol(2),
        lambda: world.set_tracked([2]),
        lambda: world.set_group(0, [2]),
        lambda: world.set_strategy(0, 2),
        lambda: world.set_strategy(2, 0),
        lambda: world.book_top(2),
    ):
        with pytest.raises(UnknownSymbol):
            act()


def test_what_asks_for_a_section_that_is_not_there_is_refused():
    world = World(symbols=1)
    for act in (
        lambda: world.set_validate(0),
        lambda: world.set_book(0),
        lambda: world.set_group(0, [0]),
        lambda: world.set_tracked([0]),
        lambda: world.book_top(0),
    ):
        with pytest.raises(BadLayout):
            act()
    assert (world.brackets(), world.algos(), world.guards) == ([], [], ())


def test_limits_of_market_data_that_no_price_can_meet_are_refused():
    world = full()
    with pytest.raises(BadLayout):
        world.set_validate(0, px_ticks_min=10, px_ticks_max=9)


def test_the_limits_of_market_data_are_those_of_the_instrument_where_it_has_some():
    bare, bounded = full(), full()
    bare.set_instrument(0, **(INSTRUMENT | {"can": 0, "px_min_ticks": 0, "px_max_ticks": 0}))
    bounded.set_instrument(0, **(INSTRUMENT | {"can": 0, "px_min_ticks": 5, "px_max_ticks": 900}))
    with pytest.raises(BadLayout):
        bounded.set_validate(0, px_ticks_min=901)
    bare.set_validate(0, px_ticks_min=901)


def test_a_book_of_another_size_does_not_fit_into_its_place():
    world = full()
    with pytest.raises(BadLayout):
        world.set_book(0, ticks=128)
    with pytest.raises(BadLayout):
        world.set_book(0, px_unit=0)
    world.set_book(0, depth=0)
    assert world.symbols()["book_on"].tolist() == [1, 0]
    assert world.book_top(0)["bid_px_ticks"] == 0


def test_groups_and_tracked_symbols_have_a_capacity():
    world = full(tracked=1)
    world.set_group(0, [0, 1])
    assert world.instruments()["group"].tolist() == [1, 1]
    with pytest.raises(BadLayout, match="group 1"):
        world.set_group(1, [0])
    world.set_tracked([0])
    with pytest.raises(BadLayout, match="no room to track symbol 1"):
        world.set_tracked([1])


def test_cash_of_an_asset_that_is_not_there_or_without_bound_is_refused():
    world = full()
    for asset, amount in ((3, 1), (0, 1 << 62), (0, -(1 << 62))):
        with pytest.raises(BadLayout, match=f"asset {asset}: {amount}"):
            world.set_cash(asset, amount)
    assert not world.account()["equity"]
    world.set_cash(0, 77)
    assert world.assets()["balance"][0].max() == 77


def test_a_strategy_has_so_many_parameters_and_no_more():
    world = full()
    world.set_strategy(1, 0, params=range(8), params_f64=(0.5,), limits={})
    assert world.strategies()["symbol"].tolist() == [0, 0]
    for more in ({"params": range(1000)}, {"params_f64": [0.0] * 1000}):
        with pytest.raises(BadLayout, match="parameters"):
            world.set_strategy(0, 0, **more)
    with pytest.raises(BadLayout, match="colour"):
        world.set_strategy(0, 0, limits={"colour": 1})


def test_an_image_is_taken_whole_or_not_at_all():
    world = full(seed=7)
    image = bytes(memoryview(world))
    for broken in (image[:8], image[:-64], bytes(8) + image[8:], image[:8] + b"\xff" + image[9:]):
        with pytest.raises(BadLayout):
            World(image=broken)
        other = full(seed=8)
        before = other.state_hash()
        with pytest.raises(BadLayout):
            other.load(broken)
        assert other.state_hash() == before
    other = full(seed=8)
    other.load(image)
    assert other.state_hash() == world.state_hash()


def test_what_stands_in_a_world_is_read_as_records():
    world = full()
    assert world.positions().dtype == POSITION
    assert world.live_orders().dtype == ORDER_RECORD
    assert [len(rows) for rows in (world.venues(), world.trades(), world.symbols(), world.gate_symbols())] == [
        2,
        2,
        2,
        2,
    ]
    assert (world.now_ns, world.event_count, world.modes["mode"]) == (0, 0, 0)
    assert full(mode="paused").modes["mode"] != 0
    assert world.counts["live_orders"] == 0
    world.check()
