"""The courier's program called in this process: what its configuration must be, and what it says when it cannot do all.

As a process of its own, which is how it runs, it is tested in test_courier.py.
"""

from __future__ import annotations

import json

import pytest

from engine.safety import courier
from tests.integration.test_courier import CLEAN, CRASHED, configure, report
from tests.support.rest_venue import KEY, SECRET, RestVenue

HTTPS = 'kind = "binance-spot"\nbase_url = "https://example.invalid"\n'


def path_of(command):
    return command[command.index("--config") + 1]


def call(monkeypatch, tmp_path, command, *options, **environment):
    """`main` with the environment of the process that it would be."""
    for name in (*CLEAN, "INVOCATION_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"CREDENTIALS_DIRECTORY": str(tmp_path), **environment}.items():
        monkeypatch.setenv(name, value)
    return courier.main(["--config", path_of(command), *options])


# ------------------------------------------------------------------------------------------------------ configuration
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file"),
        ("[courier", "Expected"),
        ("[colour]\na = 1\n", "unknown table colour"),
        ("[courier]\n", "no \\[\\[venue\\]\\]"),
        ('[[venue]]\nname = "v"\nkind = "other"\n', "venue v: kind is none of"),
        ('[[venue]]\nname = "v"\nkind = "binance-spot"\nbase_url = "http://example.invalid"\n', "has to be https"),
        (f'[[venue]]\nname = "v"\n{HTTPS}', "credential courier_v: KeyError"),
        (f'[[venue]]\nname = "gone"\n{HTTPS}', "credential courier_gone: FileNotFoundError"),
        (f'[courier]\ncolour = 1\n[[venue]]\nname = "w"\n{HTTPS}', "colour"),
    ],
)
def test_a_configuration_that_is_not_whole_is_refused_and_shows_no_secret(tmp_path, text, why):
    path = tmp_path / "courier.toml"
    if text is not None:
        path.write_text(text)
    (tmp_path / "courier_v").write_text(f"key={KEY}\nsecre={SECRET}\n")
    (tmp_path / "courier_w").write_text(f"key={KEY}\nsecret={SECRET}\n")
    with pytest.raises(courier.UnusableError, match=why) as refused:
        courier.load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert SECRET not in str(refused.value)


def test_a_credential_is_a_name_in_the_directory_or_an_absolute_path(tmp_path):
    (tmp_path / "mine").write_text(f"key={KEY}\nsecret= {SECRET} \n")
    path = tmp_path / "courier.toml"
    path.write_text(f'[[venue]]\nname = "v"\ncredential = "{tmp_path}/mine"\n{HTTPS}')
    (venue,) = courier.load(path, {}).venues
    assert (venue.key, venue.secret) == (KEY, SECRET)
    path.write_text(f'[[venue]]\nname = "v"\ncredential = "mine"\n{HTTPS}')
    with pytest.raises(courier.UnusableError, match="no \\$CREDENTIALS_DIRECTORY"):
        courier.load(path, {})


# ----------------------------------------------------------------------------------------------------------- the work
def test_it_empties_the_account_and_says_so(monkeypatch, tmp_path, capsys):
    with RestVenue() as spot, RestVenue() as futures:
        spot.add("BTCUSDT", "b0")
        futures.add("ETHUSDT", "f0")
        futures.add("ETHUSDT", "stop", algo=True)
        command = configure(tmp_path, ("binance-spot", spot.base_url, 'symbols = ["BTCUSDT"]'),
                            ("binance-usdm", futures.base_url, ""))  # fmt: skip
        assert call(monkeypatch, tmp_path, command, "--after-engine", **CRASHED) == courier.EXIT_DONE
        assert (spot.orders, futures.orders) == ([], [])
    assert capsys.readouterr().out.count("nothing open") == 2
    assert report(tmp_path)["done"] is True


def test_a_dry_run_lists_and_cancels_nothing(monkeypatch, tmp_path, capsys):
    with RestVenue() as venue:
        venue.add("BTCUSDT", "b0")
        command = configure(tmp_path, ("binance-spot", venue.base_url, 'symbols = ["BTCUSDT"]'))
        assert call(monkeypatch, tmp_path, command, "--dry-run") == courier.EXIT_MAY_BE_OPEN
        assert len(venue.orders) == 1
        assert "DELETE" not in {method for method, _ in venue.seen}
    assert "left: BTCUSDT b0" in capsys.readouterr().out


def test_what_a_finished_trip_handed_over_is_kept_and_nothing_of_another_run(monkeypatch, tmp_path):
    told = {"verified": True, "invocation": "run 7", "keep": ["stop"]}
    for invocation, left in (("run 8", []), ("run 7", ["stop"])):
        with RestVenue() as venue:
            venue.add("BTCUSDT", "stop")
            venue.add("BTCUSDT", "entry")
            command = configure(tmp_path, ("binance-spot", venue.base_url, ""))
            (tmp_path / "handover.json").write_text(json.dumps(told))
            code = call(monkeypatch, tmp_path, command, **CRASHED, INVOCATION_ID=invocation)
            assert (code, [order.client_id for order in venue.orders]) == (courier.EXIT_DONE, left)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"verified": true}', '{"verified": 1, "invocation": "a", "keep": []}']
)
def test_a_damaged_handover_keeps_nothing(tmp_path, text):
    path = tmp_path / "handover.json"
    path.write_text(text)
    assert courier.kept_by_handover(path, {"INVOCATION_ID": "a"}) is None
    assert courier.kept_by_handover(None, {}) is None


def test_after_a_clean_end_and_without_an_account_there_is_nothing_to_do(monkeypatch, tmp_path, capsys):
    command = configure(tmp_path, ("binance-spot", "http://127.0.0.1:1", ""))
    assert call(monkeypatch, tmp_path, command, "--after-engine", **CLEAN) == courier.EXIT_DONE
    assert "ended cleanly" in capsys.readouterr().out
    (tmp_path / "courier.toml").write_text('[courier]\naccount = "none"\n')
    assert call(monkeypatch, tmp_path, command) == courier.EXIT_DONE
    assert "account = none" in capsys.readouterr().out


def test_a_configuration_that_cannot_be_read_says_that_something_may_be_open(monkeypatch, tmp_path, capsys):
    (tmp_path / "courier.toml").write_text("[colour]\n")
    command = ["--config", str(tmp_path / "courier.toml")]
    assert call(monkeypatch, tmp_path, command) == courier.EXIT_UNUSABLE
    assert "Something may still be open" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_is_said_and_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert courier.write_report(tmp_path / "file" / "reports", {"at_ns": 7}).startswith("report not written: ")
    written = courier.write_report(tmp_path / "reports", {"at_ns": 7})
    assert json.loads((tmp_path / "reports" / "courier-7.json").read_text()) == {"at_ns": 7}
    assert written.endswith("courier-7.json")


def test_a_user_that_is_not_there_is_said_and_the_work_goes_on(capsys):
    courier.become("nobody-of-this-name")
    assert "still with the rights it was started with" in capsys.readouterr().out


def test_a_venue_that_never_answers_is_not_confirmed(monkeypatch, tmp_path, capsys):
    quick = "deadline_s = 0.3\nsettle_s = 0.01\nbackoff_s = 0.01\nbackoff_max_s = 0.05"
    command = configure(tmp_path, ("binance-spot", "http://127.0.0.1:1", ""), general=quick)
    assert call(monkeypatch, tmp_path, command) == courier.EXIT_MAY_BE_OPEN
    assert "MAY STILL BE OPEN" in capsys.readouterr().out
    assert report(tmp_path)["venues"][0]["errors"]
