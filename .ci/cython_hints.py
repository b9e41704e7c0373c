"""Fails on anything Cython says of any kernel: warnings and performance hints alike.

When the last release build translated every kernel, and nothing changed since, its log holds what Cython said; else
every kernel is translated anew.

A hint is a defect here: a `void` function without `noexcept` costs twenty times a call, and Cython only mentions it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Several translate at once, so two names may share a line.
TRANSLATED = re.compile(r"\[ *\d+/\d+\] Cythonizing ([\w/]+\.pyx)")
SAID = re.compile(r"^(warning|performance hint|note): ", re.MULTILINE)


def complaints(output: str) -> list[str]:
    """The lines of a translation's output that name a place to mend."""
    return [line for line in output.splitlines() if SAID.match(line)]


def said_by_the_build() -> str | None:
    """What the release build's log holds, if it speaks of every kernel as it is now."""
    log = ROOT / "build" / "release.log"
    if not log.is_file():
        return None
    kernels = [path for part in ("engine", "bench") for path in (ROOT / part).rglob("*.p[yx][xd]")]
    if any(path.stat().st_mtime > log.stat().st_mtime for path in kernels):
        return None
    output = log.read_text()
    translated = set(TRANSLATED.findall(output))
    named = {str(path.relative_to(ROOT)) for path in kernels if path.suffix == ".pyx"}
    return output if named <= translated else None


def judge(output: str) -> int:
    found = complaints(output)
    print("\n".join(found) if found else "Cython: no warning, no performance hint")
    return bool(found)


def main() -> int:
    built = said_by_the_build()
    if built is not None:
        return judge(built)
    run = subprocess.run(
        [sys.executable, "setup.py"],
        cwd=ROOT,
        env=os.environ | {"BOT4_CYTHONIZE_ONLY": "1", "BOT4_BENCH": "1", "BOT4_PROFILE": "release"},
        capture_output=True,
        text=True,
        check=False,
    )
    output = run.stdout + run.stderr
    if run.returncode:
        print(output)
        return run.returncode
    return judge(output)


if __name__ == "__main__":
    sys.exit(main())
