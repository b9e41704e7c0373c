"""Translates every kernel anew and fails on anything Cython says: warnings and performance hints alike.

A hint is a defect here: a `void` function without `noexcept` costs twenty times a call, and Cython only mentions it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAID = re.compile(r"^(warning|performance hint|note): ", re.MULTILINE)


def complaints(output: str) -> list[str]:
    """The lines of a translation's output that name a place to mend."""
    return [line for line in output.splitlines() if SAID.match(line)]


def main() -> int:
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
    found = complaints(output)
    print("\n".join(found) if found else "Cython: no warning, no performance hint")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
