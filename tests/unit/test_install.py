"""The installation into a directory that stands in for /: two versions, a way back, and what is never removed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.main import cli
from engine.errors import InstallRefused
from engine.safety import install
from tests.support.shared import ROOT


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "etc/bot4").mkdir(parents=True)
    (tmp_path / "etc/bot4/main.toml").write_text("mine")
    return install.Layout(tmp_path / "")


def environment(tmp_path, name, *, works=True):
    """A directory with a `bot4` of its own, a real program."""
    path = tmp_path / "environments" / name / "bin" / "bot4"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\necho {name}\nexit {0 if works else 1}\n")
    path.chmod(0o755)
    return path.parents[1]


def put(layout, path, monkeypatch, version):
    monkeypatch.setattr(install, "version_of", lambda source: version)
    said = []
    install.carry_out(install.plan_install(ROOT, layout, environment=path, manager=False), said.append, dry_run=False)
    return said


def answers(layout):
    return subprocess.run([str(layout.command)], capture_output=True, text=True, check=True).stdout.strip()


def test_an_installation_has_the_units_the_courier_and_a_command_that_runs(layout, tmp_path, monkeypatch):
    put(layout, environment(tmp_path, "one"), monkeypatch, "1")
    assert answers(layout) == "one"
    for name in install.UNITS:
        assert (layout.units / name).read_text() == (ROOT / "systemd" / name).read_text()
    courier = layout.library / "bot4-courier"
    assert courier.stat().st_mode & 0o111
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(courier), "--help"], capture_output=True, text=True, check=True
    )
    assert "Cancel every open order" in done.stdout


def test_the_version_before_is_one_command_away_and_so_is_the_way_forward(layout, tmp_path, monkeypatch):
    put(layout, environment(tmp_path, "one"), monkeypatch, "1")
    put(layout, environment(tmp_path, "two"), monkeypatch, "2")
    assert answers(layout) == "two"
    for expected in ("one", "two"):
        done = CliRunner().invoke(cli, ["install", "--root", str(layout.root), "--rollback"])
        assert done.exit_code == 0, done.output
        assert answers(layout) == expected


def test_a_version_that_does_not_run_never_becomes_current(layout, tmp_path, monkeypatch):
    put(layout, environment(tmp_path, "one"), monkeypatch, "1")
    with pytest.raises(InstallRefused, match="does not run"):
        put(layout, environment(tmp_path, "broken", works=False), monkeypatch, "2")
    assert answers(layout) == "one"


def test_old_versions_go_and_the_current_and_the_previous_stay(layout, tmp_path, monkeypatch):
    for n in range(6):
        put(layout, environment(tmp_path, f"v{n}"), monkeypatch, str(n))
    assert len(list(layout.versions.iterdir())) == install.KEEP_VERSIONS
    assert answers(layout) == "v5"
    assert (layout.library / "previous").resolve().name == "v4"


def test_without_a_previous_version_there_is_no_way_back(layout, tmp_path, monkeypatch):
    put(layout, environment(tmp_path, "one"), monkeypatch, "1")
    with pytest.raises(InstallRefused, match="no previous"):
        install.plan_rollback(layout)


def test_an_uninstall_leaves_what_people_and_the_engine_wrote(layout, tmp_path, monkeypatch):
    put(layout, environment(tmp_path, "one"), monkeypatch, "1")
    done = CliRunner().invoke(cli, ["uninstall", "--root", str(layout.root)])
    assert done.exit_code == 0, done.output
    assert "audit and latch are yours" in done.output
    left = sorted(
        str(p.relative_to(layout.root)) for p in layout.root.rglob("*") if p.is_file() and "environments" not in p.parts
    )
    assert left == ["etc/bot4/main.toml"]
    assert not layout.library.exists()


def test_a_dry_run_says_every_step_and_does_none(layout):
    done = CliRunner().invoke(cli, ["install", "--root", str(layout.root), "--source", str(ROOT), "--dry-run"])
    assert done.exit_code == 0, done.output
    lines = done.output.strip().split("\n")
    assert len(lines) > 10
    assert all(line.startswith("would ") for line in lines)
    assert not layout.library.exists()
    # On a real machine the manager is told and the key is made, too.
    texts = [step.text for step in install.plan_install(ROOT, install.Layout())]
    assert any("daemon-reload" in text for text in texts)


def test_a_directory_that_is_no_checkout_is_refused(tmp_path):
    (tmp_path / "pyproject.toml").write_text('version = "1"\n')
    with pytest.raises(InstallRefused, match="no checkout"):
        install.plan_install(tmp_path, install.Layout(tmp_path))


def test_the_version_names_the_commit():
    assert install.version_of(ROOT).startswith("0.")
    assert Path(install.version_of(ROOT)).name == install.version_of(ROOT)
