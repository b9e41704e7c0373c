"""One report for the whole bench run; printed, written and judged at its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.harness import Report

_REPORT = Report()


@pytest.fixture(scope="session")
def report() -> Report:
    return _REPORT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _REPORT.rows:
        return
    terminalreporter.section("figures")
    terminalreporter.write_line(_REPORT.table())
    if _REPORT.stages_of:
        terminalreporter.write_line("\n" + _REPORT.stage_tables())
    if path := os.environ.get("BOT4_BENCH_JSON"):
        _REPORT.write_json(Path(path))
        terminalreporter.write_line(f"written to {path}")
    for row in _REPORT.past_floor():
        terminalreporter.write_line(f"PAST FLOOR: {row.id} {row.p50:.1f} {row.unit}, floor {row.floor}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _REPORT.past_floor():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
