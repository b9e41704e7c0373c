"""Evidence for a promotion is read from the engine's folder, and what cannot be read counts for nothing."""

from __future__ import annotations

import json
import os
from dataclasses import asdict

from click.testing import CliRunner

from engine._core.clock import utc_ns
from engine._core.latch import Latch
from engine.cli.main import cli
from engine.journal.layout import SessionFile, sessions, write_session
from engine.research.parity import Parity
from engine.runtime.evidence import Comparison, as_evidence, gather, keep_parity, root_of
from engine.safety.audit import Audit, Entry, Kind
from engine.safety.drill import KINDS
from engine.safety.drill import Evidence as Drill
from engine.settings import tiers
from engine.settings.tiers import DAY_NS

DAY = 20_000  # days since 1970
KEY = b"k" * 32


def _session(root, number, day, *, mode="live", days=1):
    path = root / "journal" / f"s-{number:06d}"
    (path / "segments").mkdir(parents=True)
    created = day * DAY_NS + 3_600 * 10**9
    write_session(
        path,
        SessionFile(format=1, session=f"{number:032x}", number=number, seed=1, epoch=1, created_ns=created, boot="",
                    meta={"settings": {"engine": {"mode": mode}}}),
    )  # fmt: skip
    segment = path / "segments" / "000000.b4t"
    segment.write_bytes(b"")
    end = created + (days - 1) * DAY_NS
    os.utime(segment, ns=(end, end))


def _drill(root, kind, day, *, passed=True):
    evidence = Drill(kind=kind, passed=passed, at_ns=day * DAY_NS)
    (root / "drills").mkdir(exist_ok=True)
    (root / "drills" / evidence.name).write_text(json.dumps(asdict(evidence)))


def test_an_empty_folder_shows_nothing(tmp_path):
    shown = gather(tmp_path, 0)
    assert shown.evidence == tiers.Evidence(drills_overdue=KINDS)
    assert (shown.trips, shown.comparisons, shown.days_paper) == ((), 0, 0)


def test_days_are_those_it_traded_live_on_each_once_and_paper_counts_for_nothing(tmp_path):
    _session(tmp_path, 1, DAY, days=3)
    _session(tmp_path, 2, DAY + 2)
    _session(tmp_path, 3, DAY + 9)
    _session(tmp_path, 4, DAY + 10, mode="paper")
    shown = gather(tmp_path, 0)
    assert (shown.evidence.days_clean, shown.days_paper) == (4, 1)
    assert gather(tmp_path, (DAY + 2) * DAY_NS).evidence.days_clean == 2


def test_a_trip_begins_the_count_anew_whichever_trace_it_left(tmp_path):
    for number in range(6):
        _session(tmp_path, number + 1, DAY + number)
    assert gather(tmp_path, 0).evidence.days_clean == 6
    with Audit(tmp_path / "audit", KEY) as audit:
        audit.append(Entry(Kind.START, "start", at_ns=(DAY + 5) * DAY_NS))
        audit.append(Entry(Kind.TRIP, "trip", at_ns=(DAY + 1) * DAY_NS + 1))
    assert gather(tmp_path, 0).evidence.days_clean == 4
    latch = Latch(tmp_path / "latch")
    latch.trip("command", "a test")
    latch.persist()
    at_ns = latch.record()[0][1]
    latch.close()
    assert gather(tmp_path, 0).trips[-1] == at_ns
    assert gather(tmp_path, 0).evidence.days_clean == 0
    # Put aside by a reset it is still a trip.
    (tmp_path / "latch").rename(tmp_path / "latch.cleared-1")
    assert gather(tmp_path, 0).trips[-1] == at_ns


def test_drills_count_when_they_passed_in_this_tier(tmp_path):
    _drill(tmp_path, "switch", DAY)
    _drill(tmp_path, "switch", DAY + 3)
    _drill(tmp_path, "stall", DAY + 4)
    _drill(tmp_path, "crash", DAY + 5, passed=False)
    (tmp_path / "drills" / "drill-forged.json").write_text("{}")
    shown = gather(tmp_path, (DAY + 1) * DAY_NS)
    assert (shown.evidence.drills, shown.drills_failed) == (2, 1)


def test_a_drill_is_overdue_a_week_after_it_passed_and_at_once_when_it_failed(tmp_path):
    for kind in KINDS:
        _drill(tmp_path, kind, DAY, passed=kind != "crash")
    assert gather(tmp_path, 0, (DAY + 7) * DAY_NS).evidence.drills_overdue == ("crash",)
    assert gather(tmp_path, 0, (DAY + 7) * DAY_NS + 1).evidence.drills_overdue == KINDS


def test_parity_is_live_over_paper_of_all_comparisons(tmp_path):
    keep_parity(tmp_path, Comparison(session="a", at_ns=1, live=900, paper=1_000))
    keep_parity(tmp_path, Comparison(session="b", at_ns=2, live=300, paper=1_000))
    (tmp_path / "parity" / "parity-3.json").write_text("not one")
    assert gather(tmp_path, 0).evidence.parity_ppm == 600_000
    assert gather(tmp_path, 2).evidence.parity_ppm == 300_000
    keep_parity(tmp_path, Comparison(session="c", at_ns=9, live=5_000, paper=1_000))
    assert gather(tmp_path, 9).evidence.parity_ppm == 1_000_000
    keep_parity(tmp_path, Comparison(session="d", at_ns=20, live=-3, paper=-2))
    assert gather(tmp_path, 20).evidence.parity_ppm == 0


def test_bot4_tiers_shows_what_was_earned_and_promotes_on_it(tmp_path):
    runner = CliRunner(env={"BOT4__ENGINE__DIRECTORY": str(tmp_path), "BOT4__ACCOUNT__CAPITAL": "6000"})
    tiers.write_standing(tmp_path / "tier.json", tiers.Standing(name="survival", since_ns=DAY * DAY_NS))
    before = json.loads(runner.invoke(cli, ["tiers", "--json"]).output)
    assert before["change"] == "wait"
    # Twice as much as any tier asks for.
    for number in range(400):
        _session(tmp_path, number + 1, DAY + number)
    for number in range(24):
        _drill(tmp_path, "switch", DAY + number)
    keep_parity(tmp_path, Comparison(session="a", at_ns=(DAY + 1) * DAY_NS, live=99, paper=100))
    # All of it long ago: nobody knows whether the switch still works.
    stale = json.loads(runner.invoke(cli, ["tiers", "--json"]).output)
    assert (stale["change"], stale["missing"]) == ("wait", [f"the overdue drills: {', '.join(KINDS)}"])
    for kind in KINDS:
        _drill(tmp_path, kind, utc_ns() // DAY_NS)
    after = json.loads(runner.invoke(cli, ["tiers", "--json"]).output)
    assert (after["change"], after["missing"]) == ("promote", [])
    assert after["evidence"] | {"drills_overdue": []} == {
        "days_clean": 400, "parity_ppm": 990_000, "drills": 30, "drills_overdue": [],
    }  # fmt: skip
    shown = runner.invoke(cli, ["tiers"]).output
    assert "Earned: 400 clean days live (0 on paper, which do not count), 30 drills passed and 0 failed" in shown
    assert "99 % parity, 0 trips." in shown


def _held(recorded, simulated, *, differing=0):
    return Parity((), {}, recorded, simulated, differing, "", False)


def test_a_live_sessions_comparison_is_kept_where_a_promotion_looks_for_it_and_counts_once(tmp_path):
    _session(tmp_path, 1, DAY)
    (session,) = sessions(tmp_path / "journal")
    for _ in range(2):
        found = as_evidence(session, _held(0.9, 1.0))
        path = keep_parity(root_of(session), found)
    assert path.parent == tmp_path / "parity"
    assert found.at_ns // DAY_NS == DAY
    shown = gather(tmp_path, DAY * DAY_NS)
    assert (shown.comparisons, shown.evidence.parity_ppm) == (1, 900_000)


def test_a_session_on_paper_or_one_that_decided_otherwise_shows_nothing(tmp_path):
    _session(tmp_path, 1, DAY, mode="paper")
    _session(tmp_path, 2, DAY)
    paper, live = sessions(tmp_path / "journal")
    assert as_evidence(paper, _held(1.0, 1.0)) is None
    assert as_evidence(live, _held(1.0, 1.0, differing=1)) is None
