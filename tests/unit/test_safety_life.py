"""After a trip: the reset and its refusals; the dead-man timer; the host; the drills; the commands over all of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine._core.clock import utc_ns
from engine._core.latch import Latch
from engine.cli.main import cli
from engine.errors import AuditBadKey, DrillFailed, LineRefused, ResetRefused
from engine.safety import drill, tuning
from engine.safety.audit import Audit, Entry, Kind, Report, read, segments, verify
from engine.safety.life import PHRASE, audit_key, reset
from engine.safety.wiring import NAME, Wiring, no_switch, recall, remember
from tests.support.rest_venue import KEY as VENUE_KEY
from tests.support.rest_venue import SECRET, RestVenue

KEY = bytes(range(32))


def tripped(tmp_path):
    with Latch(tmp_path / "latch") as latch:
        latch.trip("switch", "pressed")
        latch.persist()
    return tmp_path


def ask(state, **changes):
    wanted = {"typed": PHRASE, "key": KEY, "switch_closed": no_switch, "switch": "none", "reason": "a test"}
    return reset(state, **{**wanted, "journal_socket": None, **changes})


# --------------------------------------------------------------------------------------------------------------- reset
def test_a_reset_leaves_a_clear_latch_the_evidence_and_a_record(tmp_path):
    state = tripped(tmp_path)
    done = ask(state)
    assert done.reasons == ("switch",)
    assert not Latch(state / "latch").tripped
    (kept,) = done.kept
    assert "first switch" in Path(kept).read_text()
    last = list(read(state / "audit", KEY, Report()))[-1]
    assert (last.entry.kind, last.entry.human, last.entry.explanation) == (Kind.RESET, True, "a test")
    assert last.audit_id == done.audit_id


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"typed": "yes"}, "the phrase is"), ({"typed": PHRASE.lower()}, "the phrase is"),
        ({"typed": ""}, "the phrase is"),
        ({"reason": "  "}, "cause"), ({"switch_closed": lambda: "line 17 is open"}, "line 17 is open"),
    ],
)  # fmt: skip
def test_a_reset_that_lacks_anything_changes_nothing(changes, says, tmp_path):
    state = tripped(tmp_path)
    with pytest.raises(ResetRefused, match=says):
        ask(state, **changes)
    assert Latch(state / "latch").reasons == ("switch",)
    if (state / "audit").exists():
        assert [r.entry.kind for r in read(state / "audit", KEY, Report())] == [Kind.OPENED]


def test_a_clear_latch_is_not_reset(tmp_path):
    with pytest.raises(ResetRefused, match="not tripped"):
        ask(tmp_path)


def test_a_running_engine_is_not_reset_under(tmp_path):
    state = tripped(tmp_path)
    with Audit(state / "audit", KEY, journal_socket=None), pytest.raises(ResetRefused, match="an engine runs"):
        ask(state)
    assert Latch(state / "latch").tripped


def test_without_the_chip_there_is_no_reset(tmp_path):
    state = tripped(tmp_path)
    with pytest.raises(LineRefused):
        ask(state, switch_closed=Wiring(chip="/dev/gpiochip999").check())
    assert Latch(state / "latch").tripped


@pytest.mark.parametrize("name", ["latch", "latch.tmp"])
def test_a_damaged_or_unfinished_file_is_put_aside_too(name, tmp_path):
    (tmp_path / name).write_text("nonsense")
    assert Latch(tmp_path / "latch").tripped
    done = ask(tmp_path)
    assert any(Path(kept).read_text() == "nonsense" for kept in done.kept)
    assert not Latch(tmp_path / "latch").tripped


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try it as somebody else")
def test_somebody_else_is_refused():
    with tempfile.TemporaryDirectory() as directory:
        state = tripped(Path(directory))
        state.chmod(0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(ResetRefused, match="neither root nor the owner"):
                ask(state)
        finally:
            os.seteuid(0)
        assert Latch(state / "latch").tripped


def commanded(state, *more, typed=PHRASE):
    (state / "key").write_bytes(KEY)
    words = ["reset", "--state", str(state), "--key", str(state / "key"), "--reason", "tested", *more]
    return CliRunner().invoke(cli, words, input=f"{typed}\n")


def test_the_command_asks_for_the_phrase_and_the_next_start_is_paused(tmp_path):
    state = tripped(tmp_path)
    assert isinstance(commanded(state, "--switch", "none", typed="let me").exception, ResetRefused)
    done = commanded(state, "--switch", "none")
    assert done.exit_code == 0, done.output
    assert "The next start is Paused." in done.output
    assert not Latch(state / "latch").tripped


def asked_switch(state):
    return [r.entry.data["switch"] for r in read(state / "audit", KEY, Report()) if r.entry.kind is Kind.RESET]


def test_the_command_asks_the_switch_that_the_engine_was_started_with(tmp_path):
    state = tripped(tmp_path)
    remember(state, Wiring(switch="simulated"))
    assert commanded(state).exit_code == 0
    assert asked_switch(state) == ["simulated"]


def test_without_a_word_of_the_engine_the_command_asks_the_usual_lines(tmp_path):
    assert recall(tmp_path) == Wiring(switch="gpio", chip="/dev/gpiochip0", lines=(17, 27), bias="pull-up")


def test_an_option_of_the_command_changes_only_what_it_names(tmp_path):
    state = tripped(tmp_path)
    remember(state, Wiring(chip="/dev/gpiochip998", lines=(5, 6), bias="external"))
    refused = commanded(state, "--chip", "/dev/gpiochip999")
    assert isinstance(refused.exception, LineRefused)
    assert "lines 5, 6 of /dev/gpiochip999, external" in refused.output
    assert Latch(state / "latch").tripped


@pytest.mark.parametrize("text", ["", "{", '{"switch": 1}', '{"unknown": 1}'])
def test_a_damaged_word_about_the_switch_refuses_until_somebody_names_it(text, tmp_path):
    state = tripped(tmp_path)
    (state / NAME).write_text(text)
    assert isinstance(commanded(state).exception, ResetRefused)
    assert Latch(state / "latch").tripped
    assert commanded(state, "--switch", "none").exit_code == 0


def test_a_key_that_cannot_be_had_is_said_with_the_way_to_it(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(AuditBadKey, match="root, or --key"):
        audit_key("no-such-instance")
    (tmp_path / "bot4_audit-key").write_bytes(KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert audit_key("any") == KEY


# ---------------------------------------------------------------------------------------------------------------- host
TUNE = """
import json, sys
from engine.safety.tuning import tune
rows = tune(cpus=json.loads(sys.argv[1]), priority=int(sys.argv[2]))
sys.stdout.write(json.dumps([[row.name, row.granted, row.detail] for row in rows]))
"""


def tuned(cpus, priority, **more):
    done = subprocess.run(
        [sys.executable, "-c", TUNE, json.dumps(cpus), str(priority)],
        capture_output=True,
        text=True,
        check=True,
        **more,
    )
    return {name: (granted, detail) for name, granted, detail in json.loads(done.stdout)}


def test_what_was_asked_of_the_host_is_told_row_by_row():
    cpu = min(os.sched_getaffinity(0))
    rows = tuned([cpu], 0)
    assert list(rows) == ["memory lock", "collector", "affinity", "real time", "timer slack", "huge pages"]
    assert rows["real time"] == (True, "not asked for")
    assert rows["collector"][0]
    assert f"[{cpu}]" in rows["affinity"][1]
    assert all(detail for _, detail in rows.values())


def test_what_the_kernel_refuses_is_told_with_its_reason_and_ends_nothing():
    rows = tuned([100_000], 1000)
    assert rows["affinity"] == (False, "Invalid argument")
    assert rows["real time"] == (False, "Invalid argument")
    assert rows["collector"][0]


def test_text_says_refused():
    assert tuning.Tuned("x", granted=False, detail="no").text() == "x: REFUSED, no"


# -------------------------------------------------------------------------------------------------------------- drills
@pytest.mark.parametrize("kind", ["switch", "tamper", "stall", "venue", "feed"])
def test_each_drill_passes_and_leaves_its_evidence(kind, tmp_path):
    evidence = drill.run(kind, tmp_path)
    assert evidence.passed, evidence.notes
    assert drill.history(tmp_path) == [evidence]
    if kind != "feed":
        assert evidence.cause_to_latch_us > 0
        assert 0 <= evidence.latch_to_cancelled_us <= evidence.latch_to_flat_us


def test_the_crash_drill_kills_a_real_chain_and_empties_the_account(tmp_path):
    with RestVenue() as venue:
        venue.add("BTCUSDT", "order")
        (tmp_path / "key").write_text(f"key={VENUE_KEY}\nsecret={SECRET}\n")
        (tmp_path / "courier.toml").write_text(
            '[courier]\nsettle_s = 0.05\n[[venue]]\nname = "v"\nkind = "binance-spot"\n'
            f'credential = "{tmp_path}/key"\nbase_url = "{venue.base_url}"\n'
        )
        evidence = drill.run("crash", tmp_path / "drills", courier=tmp_path / "courier.toml")
        assert (evidence.passed, venue.orders) == (True, []), evidence.notes
        assert evidence.death_to_cancelled_us > 0


def test_the_crash_drill_does_not_touch_a_live_account_unasked(tmp_path):
    (tmp_path / "key").write_text("key=a\nsecret=b\n")
    (tmp_path / "courier.toml").write_text(
        f'[[venue]]\nname = "v"\nkind = "binance-spot"\ncredential = "{tmp_path}/key"\nbase_url = "https://venue.example"\n'
    )
    with pytest.raises(DrillFailed, match="live-cancel-only"):
        drill.run("crash", tmp_path, courier=tmp_path / "courier.toml")
    with pytest.raises(DrillFailed, match="wants --courier"):
        drill.run("crash", tmp_path)


def test_a_drill_is_overdue_until_it_passed_lately(tmp_path):
    now = utc_ns()
    assert drill.overdue(tmp_path, now) == list(drill.KINDS)
    drill.run("feed", tmp_path)
    assert "feed" not in drill.overdue(tmp_path, utc_ns())
    assert "feed" in drill.overdue(tmp_path, utc_ns() + 8 * drill.DAY_NS)
    # A failed one after it counts: the last word is the last drill's.
    later = drill.Evidence("feed", passed=False, at_ns=utc_ns())
    (tmp_path / later.name).write_text(json.dumps(later.__dict__))
    assert "feed" in drill.overdue(tmp_path, utc_ns())
    (tmp_path / "drill-feed-9.json").write_text("{")
    assert len(drill.history(tmp_path)) == 2


def test_the_command_shows_what_is_overdue(tmp_path):
    run = CliRunner()
    assert run.invoke(cli, ["drill", "feed", "--state", str(tmp_path)]).exit_code == 0
    status = run.invoke(cli, ["drill", "status", "--state", str(tmp_path)])
    assert status.exit_code == 4
    assert "feed: passed" in status.output
    assert "crash: OVERDUE; never tried" in status.output
    told = json.loads(run.invoke(cli, ["drill", "status", "--state", str(tmp_path), "--json"]).output)
    assert "feed" not in told["overdue"]


# ----------------------------------------------------------------------------------------------- the audit's command
@pytest.fixture
def state(tmp_path):
    (tmp_path / "key").write_bytes(KEY)
    with Audit(tmp_path / "audit", KEY, journal_socket=None) as audit:
        audit.append(
            Entry(Kind.TRIP, "trip", trigger="switch", human=True, explanation="pressed | hard", at_ns=86_400 * 10**9)
        )
        audit.append(Entry(Kind.MODE, "paused", at_ns=2 * 86_400 * 10**9))
    return tmp_path


def bot4(*arguments):
    return CliRunner().invoke(cli, ["audit", *map(str, arguments)])


def test_show_lists_the_newest_and_filters(state):
    text = bot4("show", "--state", state, "--kind", "trip").output
    assert "1970-01-02T00:00:00.000000Z" in text
    assert "switch  engine (human): pressed | hard" in text
    assert len(bot4("show", "--state", state, "--last", "1", "--json").output.strip().split("\n")) == 1


def test_verify_says_whole_and_says_where_it_is_not(state):
    whole = bot4("verify", "--state", state, "--key", state / "key")
    assert (whole.exit_code, whole.output) == (0, "3 records, 1 anchors: whole\n")
    path = segments(state / "audit")[0]
    path.write_bytes(path.read_bytes().replace(b"pressed", b"touched"))
    changed = bot4("verify", "--state", state, "--key", state / "key", "--json")
    assert changed.exit_code == 3
    assert json.loads(changed.output)["findings"][0]["place"] == "audit-00000001.log:2"
    assert not verify(state / "audit", KEY).whole


def test_the_report_has_the_period_alone_in_both_forms(state):
    arguments = ("report", "--state", state, "--key", state / "key", "--from", "1970-01-02", "--to", "1970-01-03")
    text = bot4(*arguments).output
    assert "1 of 3 records. Chain: whole." in text
    assert "| trip | switch |" in text
    assert "pressed \\| hard" in text
    rows = bot4(*arguments, "--csv").output.strip().split("\n")
    assert rows[0].startswith("id,time,kind,action,trigger,rule,affected,decided_by,human_override,explanation")
    assert len(rows) == 2
    assert bot4("report", "--state", state, "--key", state / "key", "--from", "yesterday").exit_code == 2
