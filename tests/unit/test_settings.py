"""Settings: layers, mistakes told all at once, relations, documents that come out of the schema."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine._core.limits import Limit
from engine._core.modes import Mode, Modes
from engine._core.world import World
from engine.errors import SettingsInvalid, SettingsMissing, TierForbids, TierTooSmall
from engine.model.limits import FLOORS, NAMES
from engine.runtime.wiring import ACCOUNT, GATE_SYMBOL, INSTRUMENT, LIMITS
from engine.settings import document, keys, tiers
from engine.settings.load import config_directory, load
from engine.settings.locate import lines_of
from engine.settings.problems import dotted
from engine.settings.schema import Settings
from engine.settings.trading import Instrument
from engine.settings.units import from_text, to_text
from tests.source.files import ROOT

PAPER = ROOT / "config" / "paper.toml"


def _file(tmp_path, text, name="user.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def _problems(*files, **kw):
    with pytest.raises(SettingsInvalid) as caught:
        load(files, **kw)
    return {problem.key: problem for problem in caught.value.problems}


# --------------------------------------------------------------------------------------------------- what ships
def test_base_toml_is_what_the_schema_says():
    assert (ROOT / "config" / "base.toml").read_text() == document.base_toml()


def test_base_toml_alone_gives_the_defaults_of_the_schema():
    # A capital that stands in no looser tier: the layer in between is then the strictest one.
    loaded = load(tier="survival")
    changed = {dotted(c.key): c.effect for c in keys.differences(Settings(), loaded.settings)}
    assert set(changed.values()) <= {"tighten"}
    assert {key.split(".")[0] for key in changed} <= {"limits"}


def test_every_shipped_file_is_good():
    loaded = load([PAPER])
    assert loaded.settings.engine.mode == "paper"
    assert len(loaded.settings.instruments) == 3
    assert loaded.tier.name == "whale"


def test_every_key_says_what_it_is():
    for key, description in keys.descriptions().items():
        assert description.text.endswith("."), dotted(key)
        assert description.unit, dotted(key)
        assert description.range() or description.unit in ("text", "list", "table"), dotted(key)


def test_the_core_takes_what_the_settings_hand_out():
    settings = load([PAPER]).settings
    world = World(symbols=len(settings.instruments), strategies=settings.capacity.strategies, orders=64, seed=1)
    for index, instrument in enumerate(settings.instruments.values()):
        world.set_instrument(index, **instrument.core())
        world.set_gate_symbol(index, **instrument.gate())
    world.set_limits(**settings.limits.core())
    world.set_account(**settings.account.core())
    world.check()
    assert [int(row["tick_e8"]) for row in world.instruments()] == [i.tick for i in settings.instruments.values()]
    assert Modes(symbols=1, **settings.modes.core()).state["mode"] == Mode.MODE_PAUSED


def test_every_limit_of_the_gate_is_reachable_and_knows_its_strict_direction():
    assert list(Settings().limits.core()) == NAMES
    assert {"LIMIT_" + name.upper() for name in NAMES} == set(Limit.__members__) - {"LIMIT_COUNT"}
    for name in NAMES:
        description = keys.descriptions()[("limits", name)]
        assert description.strict == ("up" if name in FLOORS else "down")


def test_the_settings_make_the_same_words_as_the_smallest_core_has():
    instrument = Instrument(base="BTC", tick=INSTRUMENT["tick_e8"], lot=INSTRUMENT["lot_e8"])
    assert instrument.core() == INSTRUMENT
    assert instrument.gate() == GATE_SYMBOL | {"notional_min": 0}
    assert Settings().account.core() == ACCOUNT
    assert set(Settings().limits.core()) == set(LIMITS)


# ------------------------------------------------------------------------------------------------------ layers
def test_each_later_layer_wins_key_by_key(tmp_path):
    first = _file(tmp_path, "[limits]\npx_band_ppm = 40_000\nopen_orders_all = 60\n", "a.toml")
    second = _file(tmp_path, "[limits]\npx_band_ppm = 30_000\n", "b.toml")
    loaded = load([first, second], environ={"BOT4__LIMITS__BOOK_AGE_NS": "1000000"}, tier="growth")
    limits = loaded.settings.limits
    assert (limits.px_band_ppm, limits.open_orders_all, limits.book_age_ns) == (30_000, 60, 1_000_000)
    assert loaded.origin(("limits", "px_band_ppm")) == f"{second}:2"
    assert loaded.origin(("limits", "open_orders_all")) == f"{first}:3"
    assert loaded.origin(("limits", "book_age_ns")) == "environment BOT4__LIMITS__BOOK_AGE_NS"
    assert "growth.toml" in loaded.origin(("limits", "leverage_tier_ppm"))
    assert "base.toml" in loaded.origin(("limits", "correlation_ppm"))


def test_the_environment_reaches_entries_whatever_their_case_and_needs_no_quotes():
    environ = {
        "BOT4__INSTRUMENTS__BTCUSDT__TICK": "0.1",
        "BOT4__ENGINE__NAME": "desk-7",
        "BOT4__STRATEGIES__QUOTER_BTC__PARAMS": "{ qty = 9 }",
        "BOT4__FEATURES__ENABLED": '["ta_basic", "market_making"]',
        "BOT4_BENCH": "1",
    }
    settings = load([PAPER], environ=environ).settings
    assert settings.instruments["BTCUSDT"].tick == 10_000_000
    assert settings.engine.name == "desk-7"
    assert settings.strategies["quoter_btc"].params["qty"] == 9


def test_the_hash_names_the_meaning_not_the_spelling(tmp_path):
    one = load([_file(tmp_path, "[account]\ncapital = '7000'\n[engine]\nseed = 1_0\n", "a.toml")])
    other = load([_file(tmp_path, 'engine.seed = 10\naccount = { capital = "7000.0" } # same\n', "b.toml")])
    assert one.hash == other.hash
    assert one.hash != load([_file(tmp_path, "[engine]\nseed = 11\n[account]\ncapital = '7000'", "c.toml")]).hash


def test_settings_are_frozen():
    with pytest.raises(AttributeError):
        Settings().limits.drawdown_ppm = 1


# ---------------------------------------------------------------------------------------------------- mistakes
def test_all_mistakes_are_told_at_once_with_file_line_key_found_and_expected(tmp_path):
    path = _file(
        tmp_path,
        """[limits]
drawdown_ppmm = 3
order_notional = 5
px_band_ppm = "x"

[engin]
name = "a"

[core]
wait = "spinn"

[account]
capital = "1.123456789"
""",
    )
    found = _problems(path, environ={"BOT4__JOURNAL__GROUP_MS": "0", "BOT4__NOWHERE__X": "1"})
    told = {key: (str(p.origin).removeprefix(str(path)), p.nearest) for key, p in found.items()}
    assert told == {
        "limits.drawdown_ppmm": (":2", "drawdown_ppm"),
        "limits.order_notional": (":3", None),
        "limits.px_band_ppm": (":4", None),
        "engin": (":6", "engine"),
        "core.wait": (":10", "spin"),
        "account.capital": (":13", None),
        "journal.group_ms": ("environment BOT4__JOURNAL__GROUP_MS", None),
        "nowhere": ("environment BOT4__NOWHERE__X", None),
    }
    assert found["limits.px_band_ppm"].expected == "a whole number from 1 to 200000 ppm"
    assert found["limits.order_notional"].found == "5"
    assert "in quotes" in found["limits.order_notional"].expected


CIRCLE = '[breakers.data]\ndepends_on = ["clock"]\n[breakers.clock]\ndepends_on = ["data"]'


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("[journal]\nsegment_bytes = 100_000", "journal.segment_bytes", "power of two"),
        ("[limits]\nopen_orders_symbol = 65", "limits.open_orders_symbol", "limits.open_orders_all, 64"),
        ("[limits]\nopen_orders_symbol = 1\n[capacity]\norders = 32\nbrackets = 1", "limits.open_orders_all", "32"),
        ("[limits]\ndaily_loss_ppm = 149_000", "limits.daily_loss_ppm", "drawdown_ppm"),
        ("[limits]\ngross_share_ppm = 5", "limits.net_share_ppm", "gross_share_ppm"),
        ("[capacity]\nbrackets = 2000", "capacity.brackets", "capacity.orders"),
        ("[safety]\npin_red = 17", "safety.pin_red", "pin_switch"),
        ('[dashboard]\nhost = "0.0.0.0"', "dashboard.token", "not loopback"),
        ('[metrics]\nhost = "10.0.0.1"', "metrics.host", "loopback"),
        ("[metrics]\nport = 8080", "metrics.port", "dashboard.port"),
        ('[instruments.X]\nbase = "B"', "instruments.X.tick", "no default"),
        ('[strategies.s]\nmodule = "strategies.quoter"\nsymbol = "NO"', "strategies.s.symbol", "[instruments]"),
        (
            '[strategies.s]\nmodule = "strategies.quoter"\nsymbol = "BTCUSDT"\npeers = ["BTCUSDT"]',
            "strategies.s.peers",
            "another",
        ),
        ('[venues.a]\nbreaker = { depends_on = ["b"] }', "venues.a.breaker.depends_on", "one of a, clock"),
        ("[breakers.data]\nminimum_calls = 21", "breakers.data.minimum_calls", "window"),
        ("[breakers.data]\nerror_rate_ppm = 0\nfailures_in_a_row = 0", "breakers.data.failures_in_a_row", "both"),
        ("[breakers.disk]\ntokens = 2", "breakers.disk", "data, journal, clock"),
        ("[venues.clock]\ntestnet = false", "venues.clock", "a name of its own"),
        (CIRCLE, "breakers.clock.depends_on", "do not need"),
        ('[breakers.data]\ndepends_on = ["v"]\n[venues.v]\ntestnet = false', "breakers.data.depends_on", "do not need"),
        ("[journal]\ndisk_max_bytes = 2_000_000", "journal.disk_max_bytes", "two segments"),
        ("[safety]\ndead_man_ms = 20_000", "safety.dead_man_ms", "30000"),
        ('[safety]\nchip = "/dev/null"', "safety.chip", "form"),
        ("[alerts]\nquiet_from = \"25:00\"", "alerts.quiet_from", "form"),
        ("[dashboard]\nenabled = 1", "dashboard.enabled", "true or false"),
        ("limits = 3", "limits", "a table"),
        ("[features]\nenabled = 3", "features.enabled", "a list"),
        ("[strategies.s.params]\na = 'x'", "strategies.s.params.a", "a number"),
    ],
    ids=lambda v: v.replace("\n", " ")[:40] if isinstance(v, str) else v,
)  # fmt: skip
def test_a_broken_relation_names_the_key_to_move(tmp_path, text, key, expected):
    found = _problems(_file(tmp_path, text), tier="growth")
    assert key in found, list(found)
    assert expected in found[key].expected


INSTRUMENT_TEXT = '[venues.v]\n[instruments.X]\nvenue = "v"\nbase = "BTC"\ntick = "0.01"\nlot = "0.001"\n'


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('lot = "0.0000001"', "lot"), ('px_min = "0.005"', "px_min"), ('qty_max = "0.0005"', "qty_max"),
        ('px_min = "2"\npx_max = "1"', "px_max"), ('qty_min = "2"\nqty_max = "1"', "qty_max"),
        ('quote = "EUR"', "quote"),
        ('fee_maker = "0.2"\nfee_taker = "0.1"', "fee_maker"), ('venue = "w"', "venue"),
    ],
)  # fmt: skip
def test_an_instrument_must_be_whole_in_its_own_steps(tmp_path, line, field):
    names = [part.split(" =")[0] for part in line.split("\n")]
    kept = [text for text in INSTRUMENT_TEXT.split("\n") if text.split(" =")[0] not in names]
    assert f"instruments.X.{field}" in _problems(_file(tmp_path, "\n".join([*kept, line])))


def test_live_needs_a_journal_on_disk_a_real_venue_and_a_secrets_name(tmp_path):
    text = '[engine]\nmode = "live"\n[journal]\nenabled = false\nmode = "off"\n'
    text += '[venues.a]\n[venues.b]\nprotocol = "binance_spot"\n'
    found = _problems(_file(tmp_path, text))
    assert {"journal.enabled", "journal.mode", "venues.a.protocol", "venues.b.credential"} <= set(found)


def test_a_file_that_is_not_toml_is_a_mistake_and_a_missing_one_is_told_by_name(tmp_path):
    found = _problems(_file(tmp_path, "[limits\n"))
    assert "file" in found
    with pytest.raises(SettingsMissing, match="nowhere"):
        load([tmp_path / "nowhere.toml"])


# ---------------------------------------------------------------------------------------- lines, numbers, documents
def test_lines_are_found_in_every_form_of_toml():
    text = (
        'top = 1\n\n# note = 2\n[a."b c"]\nlist = [\n  1, # ]\n  "x]",\n]\nlast = """\nfoo = 1\n"""\n'
        "[[many]]\nk = 1\n'quoted' = 1\nx.y.z = 2\n"
    )
    lines = lines_of(text)
    assert lines["top",] == 1
    assert lines["a", "b c"] == 4
    assert lines["a", "b c", "list"] == 5
    assert lines["a", "b c", "last"] == 9
    assert lines["many",] == 12
    assert (lines["many", "k"], lines["many", "quoted"], lines["many", "x", "y", "z"]) == (13, 14, 15)
    assert ("foo",) not in lines


@given(st.integers(-(10**18), 10**18))
def test_an_amount_survives_the_way_to_text_and_back(value):
    assert from_text(to_text(value, "amount"), "amount") == value
    assert from_text(to_text(value, "percent"), "percent") == value


def test_the_json_schema_is_one_and_accepts_what_ships():
    jsonschema = pytest.importorskip("jsonschema")
    import tomllib  # noqa: PLC0415

    schema = document.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in (ROOT / "config" / "base.toml", PAPER):
        assert not list(validator.iter_errors(tomllib.loads(path.read_text())))
    assert list(validator.iter_errors({"limits": {"drawdown_ppmm": 1}}))
    assert list(validator.iter_errors({"limits": {"order_notional": 5}}))


def test_values_and_with_values_are_inverse():
    settings = load([PAPER]).settings
    every = keys.values(settings)
    assert keys.with_values(settings, every) == settings
    assert every["instruments", "BTCUSDT", "tick"] == 1_000_000
    changed = keys.with_values(settings, {("venues", "paper", "breaker", "window"): 30})
    assert [str(change) for change in keys.differences(settings, changed)] == [
        "venues.paper.breaker.window: 20 -> 30 (restart)"
    ]
    assert msgspec.structs.replace(changed, venues=settings.venues) == settings


# ------------------------------------------------------------------------------------------------------- tiers
LADDER = tiers.read_ladder(config_directory() / "tiers")
E8 = 10**8


def test_no_tier_is_looser_than_the_base_without_a_reason():
    for file in LADDER:
        assert list(tiers.looser_than_base(file, Settings())) == []


def test_a_tier_without_its_reasons_or_with_reasons_for_nothing_is_found():
    growth = tiers.find(LADDER, "growth")
    silent = msgspec.structs.replace(growth.tier, why={"limits.px_band_ppm": "no such setting in this tier"})
    found = list(tiers.looser_than_base(tiers.TierFile(silent, growth.path, growth.lines), Settings()))
    assert {key for key, _, _ in found} >= {("limits", "leverage_tier_ppm"), ("why", "limits.px_band_ppm")}


@pytest.mark.parametrize(
    ("capital", "current", "name"),
    [
        (1_999, None, None), (2_000, None, "survival"), (5_000, None, "survival"), (5_001, None, "growth"),
        (20_000, None, "growth"), (100_000, None, "acceleration"), (100_001, None, "institutional"),
        (1_000_000, None, "institutional"), (1_000_001, None, "whale"), (50_000_000, None, "whale"),
        # On the way up the bound must be cleared by the hysteresis; down acts at the bound.
        (5_001, "survival", "survival"), (5_250, "survival", "survival"), (5_251, "survival", "growth"),
        (5_000, "growth", "survival"), (5_001, "growth", "growth"), (1_500, "growth", None),
        (20_900, "growth", "growth"), (21_001, "growth", "acceleration"),
    ],
)  # fmt: skip
def test_the_tier_follows_the_capital_the_lower_one_at_the_bound(capital, current, name):
    at = tiers.choose(LADDER, capital * E8, current=current, hysteresis_ppm=50_000)
    assert (LADDER[at].tier.name if at is not None else None) == name


def test_live_below_two_thousand_is_refused_and_paper_is_not(tmp_path):
    text = '[venues.b]\nprotocol = "binance_spot"\ncredential = "k"\n[account]\ncapital = "1999.99"\n'
    live = _file(tmp_path, text + '[engine]\nmode = "live"\n')
    with pytest.raises(TierTooSmall):
        load([live])
    assert load([_file(tmp_path, text, "paper.toml")]).tier.name == "survival"
    assert load([live], capital=2_000 * E8).tier.name == "survival"


VENUES = "".join(f"[venues.v{n}]\n" for n in range(13))
OVER = {
    "venues": lambda g: "".join(f"[venues.v{n}]\n" for n in range(g.venues_max + 1)),
    "limits.leverage_tier_ppm": lambda g: f"[limits]\nleverage_tier_ppm = {min(g.leverage_max_ppm + 1, 10**7)}\n",
    "models.calls_per_day": lambda g: f"[models]\ncalls_per_day = {g.calls_per_day + 1}\n",
    "features.enabled": lambda g: '[features]\nenabled = ["no_such_feature"]\n',
    "models.enabled": lambda g: '[models]\nenabled = ["no_such_model"]\n',
}


@pytest.mark.parametrize("name", tiers.NAMES)
@pytest.mark.parametrize("key", OVER)
def test_each_grant_of_each_tier_is_held(tmp_path, name, key):
    grants = tiers.find(LADDER, name).tier.grants
    if (name, key) == ("whale", "limits.leverage_tier_ppm"):
        # The highest tier grants what the schema allows at most.
        assert grants.leverage_max_ppm == keys.descriptions()["limits", "leverage_tier_ppm"].kind.le
        return
    found = _problems(_file(tmp_path, OVER[key](grants)), tier=name)
    assert key in found
    assert name in found[key].expected


def test_what_a_higher_tier_grants_a_lower_one_refuses(tmp_path):
    for below, above in itertools.pairwise(LADDER):
        new = [f for f in above.tier.grants.features if f not in below.tier.grants.features]
        models = [m for m in above.tier.grants.models if m not in below.tier.grants.models]
        text = f"[features]\nenabled = {new}\n[models]\nenabled = {models}\n"
        path = _file(tmp_path, text.replace("'", '"'))
        assert load([path], tier=above.tier.name).settings.features.enabled == tuple(new)
        expected = ({"features.enabled"} if new else set()) | ({"models.enabled"} if models else set())
        assert set(_problems(path, tier=below.tier.name)) == expected


def test_a_strategy_asks_its_tier_for_what_it_needs():
    found = _problems(PAPER, tier="institutional")
    assert "strategies.quoter_btc.features" in found
    settings = load([PAPER]).settings
    with pytest.raises(TierForbids, match="market_making"):
        tiers.require_allowed(settings, tiers.find(LADDER, "growth").tier)
