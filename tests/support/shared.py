"""The recorded market data that lies beside a development checkout, or nothing.

The package must build and pass its tests without it, so a test that needs it asks through `shared_path`, which
skips with a plain reason. In the continuous integration BOT4_SHARED_REQUIRED is set and a skip becomes a failure.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def shared_root() -> Path | None:
    for candidate in (os.environ.get("BOT4_SHARED"), ROOT.parent / "shared"):
        if candidate and (Path(candidate) / "data" / "MANIFEST.tsv").is_file():
            return Path(candidate)
    return None


def shared_path(*parts: str) -> Path:
    root = shared_root()
    if root is None:
        if os.environ.get("BOT4_SHARED_REQUIRED"):
            pytest.fail("the recorded market data is required here and missing: set BOT4_SHARED")
        pytest.skip("recorded market data not present (set BOT4_SHARED to its folder)")
    return root.joinpath("data", *parts)
