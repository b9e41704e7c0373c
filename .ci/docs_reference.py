"""Writes the pages of docs/reference out of the program: `make docs` runs it before the site is built."""

from __future__ import annotations

from pathlib import Path

from engine.cli.main import cli
from engine.cli.reference import pages

for name, text in pages(cli).items():
    path = Path(__file__).resolve().parents[1] / "docs" / "reference" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
