"""A setting that nobody reads is a promise that nobody keeps: each one's name stands somewhere in the engine's code."""

from __future__ import annotations

import re

import pytest

from engine.settings.keys import descriptions
from tests.source.files import ROOT

ENGINE = ROOT / "engine"
# Who only shows, checks or documents settings does not act on them.
SHOWS = ("engine/settings/", "engine/cli/doctor.py", "engine/cli/config.py")
# The one place among them that acts: a venue's schedule becomes the rates of its instruments.
ACTS = "engine/settings/load.py"
# Handed on whole: the gate's limits, the times of modes and plan, what a break of the books does.
WHOLE = {
    "discipline": r"\.discipline\.core\(",
    "limits": r"\.limits\.core\(",
    "modes": r"\.modes\.core\(",
    "reconcile": r"settings\.actions\(",
}


def _code() -> str:
    files = [*ENGINE.rglob("*.py"), *ENGINE.rglob("*.pyx")]
    names = {f: str(f.relative_to(ROOT)) for f in files}
    kept = (f for f, name in names.items() if name == ACTS or not name.startswith(SHOWS))
    return "\n".join(f.read_text() for f in kept)


CODE = _code()


@pytest.mark.parametrize("key", sorted(k for k in descriptions() if k[0] not in WHOLE), ids=".".join)
def test_somebody_reads_it(key):
    name = re.escape(key[-1])
    assert re.search(rf"\.{name}\b|[\"']{name}[\"']", CODE), f"{'.'.join(key)}: nobody reads it"


@pytest.mark.parametrize("section", sorted(WHOLE))
def test_a_section_that_is_handed_on_whole_is(section):
    assert re.search(WHOLE[section], CODE)
