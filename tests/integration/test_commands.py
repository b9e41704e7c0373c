"""`bot4 config`, `doctor`, `completion`, `export`, `bench`, and that every command's help is whole."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from engine._core.clock import utc_ns
from engine._core.types import Kind
from engine.cli import main as entry
from engine.cli.main import GROUPS, cli
from engine.cli.output import EXIT_CODES, EXIT_UNHEALTHY
from engine.cli.reference import subcommands
from engine.settings import keys
from engine.settings.cooldown import Cooldown
from engine.settings.load import load
from engine.settings.schema import Settings
from tests.source.files import ROOT
from tests.support.hand import Hand


def bot4(*words, code=0, **kw):
    done = CliRunner(env={"COLUMNS": "140"} | kw.pop("env", {})).invoke(cli, words, **kw)
    assert done.exit_code == code, done.output or done.exception
    return done.output


def _commands(group, path=()):
    for name, command in subcommands(group).items():
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


# ------------------------------------------------------------------------------------------------------------- help
def test_every_command_has_a_sentence_and_an_example():
    for path, command in _commands(cli):
        assert command.help, path
        assert re.search(r"Example: bot4 \w+", command.help), path
        assert f"bot4 {path[0]}" in command.help, path


def test_every_option_says_what_it_is():
    for path, command in _commands(cli):
        for parameter in command.params:
            ours = isinstance(parameter, click.Option) and path[0] in WANTED
            assert not ours or parameter.help, (path, parameter.name)


WANTED = (
    "run backtest replay record venue certify drill status top why events halt pause resume reset config tiers keys "
    "doctor audit bench export"
).split()


def test_every_command_that_was_promised_is_there_and_stands_in_a_group():
    assert set(WANTED) <= set(subcommands(cli))
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) >= set(WANTED)


@pytest.mark.parametrize("path", [path for path, _ in _commands(cli)], ids=" ".join)
def test_the_help_of_every_command_is_printed_and_shows_its_example(path):
    shown = bot4(*path, "--help")
    assert shown.startswith("Usage: ")
    assert "Example: bot4" in shown


# They show no report: a script that is taken as it is, records in a form of their own, a picture that moves, a page.
NO_JSON = {
    "completion", "export", "top", "venue", "config schema", "config hash", "record", "install", "uninstall",
    "data import", "journal cut", "journal prune", "strategy build", "keys add", "keys remove", "keys rotate",
    "keys seal", "keys unseal", "audit report", "config show", "bench",
}  # fmt: skip


def test_whatever_reports_can_do_it_as_json():
    without = {
        " ".join(path)
        for path, command in _commands(cli)
        if "--json" not in {word for parameter in command.params for word in parameter.opts}
    }
    assert without <= NO_JSON, without - NO_JSON


def test_the_help_is_grouped_and_names_the_exit_codes():
    shown = bot4("--help")
    for title in GROUPS:
        assert title.capitalize() in shown or not any(name in subcommands(cli) for name in GROUPS[title])
    for code, text in EXIT_CODES.items():
        assert f"{code}  {text.split(';', maxsplit=1)[0]}" in shown


def test_no_command_trades():
    assert not {"buy", "sell", "order", "trade", "place", "submit"} & set(subcommands(cli))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_and_completes(shell):
    assert "_BOT4_COMPLETE" in bot4("completion", shell)
    environ = os.environ | {"_BOT4_COMPLETE": "bash_complete", "COMP_WORDS": "bot4 st", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "from engine.cli.main import cli; cli(prog_name='bot4')"],
        env=environ, capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert "plain,status" in done.stdout.split()


# ----------------------------------------------------------------------------------------------------------- config
def test_config_check_says_everything_at_once_and_exits_with_one(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[limits]\ndrawdown_ppmm = 1\n[capacity]\nring_report = 3\n")
    found = json.loads(bot4("config", "check", "-c", str(path), "--json", code=1))
    assert not found["ok"]
    assert found["problems"][0].startswith(f"{path}:2: limits.drawdown_ppmm")
    good = json.loads(bot4("config", "check", "-c", str(ROOT / "config/paper.toml"), "--json"))
    assert good["hash"] == bot4("config", "hash", "-c", str(ROOT / "config/paper.toml")).strip()


def test_config_show_prints_what_can_be_read_again(tmp_path):
    shown = bot4("config", "show", "-c", str(ROOT / "config/paper.toml"))
    path = tmp_path / "again.toml"
    path.write_text(shown)
    assert load([path]).settings == load([ROOT / "config/paper.toml"]).settings
    assert "paper.toml:" in bot4("config", "show", "account", "--origin", "-c", str(ROOT / "config/paper.toml"))
    assert "no section" in bot4("config", "show", "nothing", code=2)


def test_config_diff_says_how_each_change_acts(tmp_path):
    one, other = tmp_path / "a.toml", tmp_path / "b.toml"
    one.write_text("[limits]\npx_band_ppm = 100\n[logs]\nlevel = 'info'\n")
    other.write_text("[limits]\npx_band_ppm = 50\nbook_age_ns = 1000\n[logs]\nlevel = 'error'\n")
    shown = bot4("config", "diff", str(one), str(other), code=1).splitlines()
    assert shown == [
        "limits.book_age_ns: 500_000_000 -> 1000 (tighten)",
        "limits.px_band_ppm: 100 -> 50 (tighten)",
        'logs.level: "info" -> "error" (live)',
    ]
    back = json.loads(bot4("config", "diff", str(other), str(one), "--json", code=1))
    assert [entry["effect"] for entry in back] == ["loosen", "loosen", "live"]
    assert "alike" in bot4("config", "diff", str(one), str(one))


def test_config_pending_shows_what_waits_and_how_long(tmp_path):
    env = {"BOT4__ENGINE__DIRECTORY": str(tmp_path)}
    assert "nothing waits" in bot4("config", "pending", env=env)
    guard, now = Cooldown(tmp_path / "settings.json"), utc_ns()
    guard.admit(keys.with_values(Settings(), {("limits", "px_band_ppm"): 10}), now)
    guard.admit(Settings(), now)
    assert re.search(r"limits.px_band_ppm = 50_000, due .*Z, in 2[34]\.\d h", bot4("config", "pending", env=env))
    assert json.loads(bot4("config", "pending", "--json", env=env))[0]["value"] == 50_000


# ----------------------------------------------------------------------------------------------------------- doctor
def test_doctor_looks_at_every_part_and_mends_what_it_finds(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(
        f'[engine]\ndirectory = "{tmp_path / "state"}"\n[core]\nwait = "spin"\ncpu = 4000\n'
        '[safety]\nswitch = "gpio"\nchip = "/dev/gpiochip99"\n[venues.b]\nprotocol = "binance_spot"\n'
        'rest = "http://127.0.0.1:9"\ncredential = "k"\n'
    )
    found = json.loads(bot4("doctor", "-c", str(path), "--json", code=EXIT_UNHEALTHY))
    by = {line["about"]: line for line in found}
    for about in ("settings", "python", "build", "clock sync", "open files", "huge pages", "cpu governor", "disk",
                  "folder", "kill switch", "core.cpu", "secret of b", "dead-man of b", "reach of b",
                  "cpu isolation"):  # fmt: skip
        assert about in by, about
    for about in ("kill switch", "core.cpu"):
        assert by[about]["state"] == "fail"
    assert by["secret of b"]["mend"] == "bot4 keys add k"
    assert all(line["mend"] for line in found if line["state"] != "ok")


def test_doctor_tells_wrong_settings_and_goes_on(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("[limits]\nx = 1\n")
    shown = bot4("doctor", "-c", str(path), code=EXIT_UNHEALTHY)
    assert "limits.x" in shown
    assert "python" in shown


def test_doctor_finds_a_folder_and_a_keystore_that_others_can_reach(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "keystore").write_text("")
    folder.chmod(0o777)
    (folder / "keystore").chmod(0o644)
    shown = bot4("doctor", env={"BOT4__ENGINE__DIRECTORY": str(folder)}, code=EXIT_UNHEALTHY)
    assert f"chmod go-w {folder}" in shown
    assert "rotate its keys" in shown


# ----------------------------------------------------------------------------------------------------------- export
def test_export_writes_the_records_of_a_session_of_bot4_run(tmp_path):
    hand = Hand(tmp_path / "run")
    hand.run(3_000)
    world, tape = hand.session.engine.core.world, hand.session.engine.tape
    count, fills = tape.count, world.counts["fills"]
    hand.close()
    journal = str(tmp_path / "run" / "journal")
    rows = list(csv.DictReader(io.StringIO(bot4("export", journal, "--what", "orders"))))
    assert sum(int(row["kind"]) == int(Kind.KIND_ORDER_FILL) for row in rows) == fills > 0
    trades = bot4("export", journal, "--what", "trades", "--form", "jsonl").splitlines()
    assert {"px_ticks", "qty_lots", "ts_recv_ns"} <= json.loads(trades[0]).keys()
    whole = bot4("export", journal, "--what", "all").splitlines()
    assert len(whole) == count + 1


def test_bench_needs_a_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "make build" in bot4("bench", "--smoke", code=1)


def test_a_command_that_stops_waits_for_nothing_it_does_not_need():
    code = (
        "import sys\nfrom engine.cli.main import cli\ncli(['halt', '--help'], standalone_mode=False)\n"
        "print(sorted({'aiohttp', 'numba', 'scipy', 'engine.runtime.session', 'engine.research'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("[]\n")


def test_ctrl_c_while_a_command_is_imported_is_no_traceback(monkeypatch, capsys):
    def interrupted(_name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry, "import_module", interrupted)
    monkeypatch.setattr(sys, "argv", ["bot4", "status"])
    with pytest.raises(SystemExit) as left:
        entry.main()
    assert left.value.code == 1
    assert capsys.readouterr().err.strip() == "Aborted!"
