"""`bot4 status`, `top`, `why`, `halt` and their kin against a paper session that really runs."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from engine.cli.main import cli
from engine.cli.output import EXIT_UNHEALTHY, EXIT_UNREACHABLE
from engine.errors import ControlRefused
from engine.observe.server import ControlServer
from tests.support.hand import Shown
from tests.support.serving import running_loop


@pytest.fixture
def engine(tmp_path):
    engine = Shown(tmp_path / "session")
    with running_loop() as loop:
        server = ControlServer(tmp_path / "control.sock", engine, engine)
        loop.run(server.start())
        yield engine
        loop.run(server.close())
    engine.close()


@pytest.fixture
def bot4(tmp_path):
    def run(*words, code=0, **kw):
        done = CliRunner(env={"COLUMNS": "140"}).invoke(cli, [*words, "--directory", str(tmp_path)], **kw)
        assert done.exit_code == code, done.output
        return done.output

    return run


def test_status_shows_mode_prices_profit_latency_and_journal(engine, bot4):
    shown = bot4("status")
    for word in ("Normal", "BTCUSDT", "equity", "tick to order", "p99", "journal", "quoter_btc"):
        assert word in shown
    assert f"{engine.status().symbols[0].bid:,.2f}" in shown


def test_status_as_json_is_the_document(engine, bot4):
    found = json.loads(bot4("status", "--json"))
    assert found["symbols"][0]["name"] == "BTCUSDT"
    assert found["counts"]["events"] == engine.status().counts["events"]


def test_halt_is_seen_in_the_exit_code_and_in_the_first_line(engine, bot4):
    assert "tripped" in bot4("halt", "--reason", "drill")
    assert engine.latch.tripped
    assert "HALTED: command" in bot4("status", code=EXIT_UNHEALTHY)


def test_pause_resume_reduce_and_liquidate_act(engine, bot4):
    for word, mode in (("pause", "Paused"), ("resume", "Normal"), ("reduce", "Reduced")):
        bot4(word)
        assert engine.status().mode == mode
    assert "Aborted" in bot4("liquidate", input="n\n", code=1)
    assert engine.status().mode == "Reduced"
    bot4("liquidate", "--yes")
    assert engine.status().mode == "Emergency"


def test_a_refusal_of_the_engine_is_an_error_with_its_words(engine, bot4, tmp_path):
    bot4("tighten", "order_notional", "5")
    done = CliRunner().invoke(cli, ["tighten", "order_notional", "6", "--directory", str(tmp_path)])
    assert isinstance(done.exception, ControlRefused)
    assert "order_notional = 6" in str(done.exception)
    assert engine.limits["order_notional"] == 5


def test_why_tells_every_reason_and_says_so_when_there_is_none(engine, bot4):
    assert "nothing was refused on NOPE" in bot4("why", "NOPE")
    found = json.loads(bot4("why", "--json"))
    assert len(found) == min(20, len(engine.why(10_000, None)))


def test_events_are_the_tail(engine, bot4):
    shown = bot4("tail", "-n", "3").splitlines()
    assert len(shown) == 3
    newest = engine.picture.latest(3)
    assert all(event.text in line for event, line in zip(newest, shown, strict=True))
    assert [event["number"] for event in json.loads(bot4("tail", "-n", "3", "--json"))] == [e.number for e in newest]


def test_top_draws_every_panel_and_leaves_when_asked(engine, bot4):
    shown = bot4("top", "--count", "1")
    for word in ("symbols", "engine", "orders", "strategies", "gate", "why not", "events"):
        assert word in shown


def test_reload_answers_with_what_differs(engine, bot4):
    assert "no limit changed" in bot4("reload")


@pytest.mark.parametrize("word", ["status", "top", "why", "tail", "halt", "pause", "resume", "reduce", "reload"])
def test_without_an_engine_the_exit_code_is_three_and_the_line_says_what_to_do(word, bot4):
    assert "bot4 run" in bot4(word, code=EXIT_UNREACHABLE)
