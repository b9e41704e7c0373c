"""The documents are true: what they show as code runs, what is generated is current, what they link to is there."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from engine.cli.main import cli
from engine.cli.reference import pages, subcommands
from engine.settings.load import load
from engine.strategy import registry
from engine.strategy.cache import Cache
from engine.strategy.dialect import reference
from engine.strategy.differential import compare, generated_views
from tests.source.files import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "reference")
MINE = [p for p in PAGES if p.name in {"index.md", "tutorial.md", "operating.md", "control.md"}
        or p.parent.name in {"howto", "runbooks"}]  # fmt: skip
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)


@functools.cache
def _pages():
    return pages(cli)


def _blocks(*languages):
    return [
        pytest.param(page, title, text, id=f"{page.relative_to(DOCS)}:{title or text.splitlines()[0][:30]}")
        for page in MINE
        for language, title, text in BLOCK.findall(page.read_text())
        if language in languages
    ]


def test_the_reference_holds_every_command_setting_and_error():
    made = _pages()
    for name in subcommands(cli):
        assert f"## `bot4 {name}" in made["commands.md"], name
    for table, key in (
        ("[limits]", "drawdown_ppm"),
        ("[venues.NAME.breaker]", "cooldown_ms"),
        ("[alerts.sinks.NAME]", "kind"),
    ):
        assert f"## `{table}`" in made["settings.md"]
        assert f"| `{key}` |" in made["settings.md"]
    for code in ("BOT4-801", "BOT4-1201", "BOT4-1411"):
        assert f"| {code} |" in made["errors.md"]
    assert (ROOT / "config" / "base.toml").read_text() in made["base.toml.md"]


@pytest.mark.parametrize(("page", "title", "text"), _blocks("toml"))
def test_every_piece_of_settings_is_good(page, title, text, tmp_path):
    (tmp_path / title).write_text(text)
    assert load([tmp_path / title]).hash


@pytest.mark.parametrize(("page", "title", "text"), _blocks("sh"))
def test_every_command_that_is_shown_exists_with_its_options(page, title, text):
    for line in text.splitlines():
        # What stands behind a pipe or a redirection is the shell's.
        words = re.split(r"\s[|>]", line.split("  #")[0])[0].split()
        if words[:1] != ["bot4"]:
            assert words[0] in ("make", "echo", "export", "sudo", "systemctl", "journalctl"), line
            continue
        command, rest = cli, words[1:]
        while rest and isinstance(command, click.Group):
            command, rest = subcommands(command)[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= known, line


# Commands that other parts bring; a page may name them before they are merged.
OTHERS = {"parity", "sweep"}


@pytest.mark.parametrize("page", MINE, ids=lambda p: str(p.relative_to(DOCS)))
def test_every_command_in_the_text_exists(page):
    named = set(re.findall(r"`bot4 ([a-z]+)", page.read_text()))
    assert named - OTHERS <= set(subcommands(cli))


@pytest.mark.parametrize("page", MINE, ids=lambda p: str(p.relative_to(DOCS)))
def test_every_link_and_picture_is_there(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        # The reference is written by `make docs`, out of the program.
        generated = target.split("reference/")[-1] in _pages() and "reference/" in target
        assert generated or (page.parent / target).exists(), target


def test_the_tutorials_strategy_is_accepted_compiles_and_says_the_same_in_both_forms(tmp_path, monkeypatch):
    blocks = BLOCK.findall((DOCS / "tutorial.md").read_text())
    ((title, text),) = [(title, text) for language, title, text in blocks if language == "python"]
    assert title == "strategies/patient.py"
    (tmp_path / "patient_of_the_tutorial.py").write_text(text)
    # The builder is a process of its own and must find it as well.
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    definition = registry.define(importlib.import_module("patient_of_the_tutorial"))
    library = Cache(tmp_path / "cache").build(definition.decide, definition.parameters)
    views = generated_views(1, 500, definition.parameters)
    assert compare(reference(definition.decide), library, views) is None


def test_the_tutorials_settings_name_the_tutorials_strategy(tmp_path):
    blocks = {title: text for _, title, text in BLOCK.findall((DOCS / "tutorial.md").read_text())}
    (tmp_path / "mine.toml").write_text(blocks["mine.toml"])
    strategy = load([tmp_path / "mine.toml"]).settings.strategies["patient"]
    assert strategy.module == "strategies.patient"
    for name in strategy.params:
        assert f'Parameter("{name}"' in blocks["strategies/patient.py"]
    done = CliRunner().invoke(cli, ["config", "check", "--config", str(tmp_path / "mine.toml")])
    assert done.exit_code == 0, done.output


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not here: `make docs` installs it")
def test_the_site_builds_without_a_warning(tmp_path):
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "docs" / "reference").mkdir(exist_ok=True)
    for name, text in _pages().items():
        (tmp_path / "docs" / "reference" / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "tutorial.html").is_file()
    page = (tmp_path / "site" / "index.html").read_text()
    assert "fonts.googleapis" not in page
