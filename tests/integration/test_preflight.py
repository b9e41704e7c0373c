"""What a machine lacks is named in one plain line with the command that installs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.source.files import ROOT

PREFLIGHT = ROOT / "requirements" / "preflight.sh"
TOOLS = ("bash", "env", "awk", "df", "dirname")
# A Python that answers the three questions of the pre-flight as told by the environment.
PYTHON = """#!/bin/bash
case "$*" in
*version_info*) [ -z "$OLD" ] ;;
*ensurepip*) [ -z "$NO_VENV" ] ;;
*sysconfig*) echo "$HEADERS" ;;
-V) echo "Python 3.9.2" ;;
esac
"""


def _preflight(folder: Path, *, python: bool = True, cc: bool = True, headers: bool = True, mib: int = 9000, **told):
    tools = folder / "bin"
    tools.mkdir()
    for name in TOOLS[:3] + TOOLS[4:]:
        found = next(Path(p) / name for p in os.environ["PATH"].split(":") if (Path(p) / name).exists())
        (tools / name).symlink_to(found)
    scripts = {"df": f"#!/bin/bash\necho 'Filesystem'\necho '/dev/x 99999 1 {mib} 1% /'\n"}
    if python:
        scripts["python3"] = PYTHON
    if cc:
        scripts["cc"] = "#!/bin/bash\n"
    for name, text in scripts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    include = folder / "include"
    include.mkdir()
    if headers:
        (include / "Python.h").write_text("")
    return subprocess.run(
        [str(PREFLIGHT)], env={"PATH": str(tools), "HEADERS": str(include)} | told,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_whole_machine_passes_in_silence(tmp_path):
    done = _preflight(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("lack", "word", "command"),
    [
        ({"python": False}, "Python is not installed", "apt-get install -y python3"),
        ({"OLD": "1"}, "3.11 or newer is needed, this is Python 3.9.2", "make PYTHON="),
        ({"NO_VENV": "1"}, "venv", "apt-get install -y python3-venv"),
        ({"cc": False}, "no C compiler", "apt-get install -y build-essential"),
        ({"headers": False}, "headers", "apt-get install -y python3-dev"),
        ({"mib": 700}, "only 700 MiB free", "free some space"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_is_missing_is_one_line_with_its_command(tmp_path, lack, word, command):
    done = _preflight(tmp_path, **lack)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("bot4: ")
    assert word in line
    assert command in line.split("->")[1]
