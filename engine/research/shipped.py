"""The samples that the package ships: small recordings under permissive licences, one for each form that is imported.

They are files of that form, unchanged by us but cut; what their numbers mean stands beside them in index.json, because
their forms do not say it. `sample:NAME` names one wherever a data set is asked for. Made by docs/make_samples.py.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import DatasetUnreadable

HERE = Path(__file__).with_name("samples")
PREFIX = "sample:"


@cache
def index() -> dict[str, dict[str, Any]]:
    """Every sample by its name: file, form, symbol, tick, lot, market, source, licence."""
    return dict(json.loads((HERE / "index.json").read_text()))


def find(name: str) -> tuple[Path, dict[str, Any]]:
    """The file of `sample:NAME` or `NAME`, and what its numbers mean."""
    known = index()
    row = known.get(name.removeprefix(PREFIX))
    if row is None:
        raise DatasetUnreadable(f"no sample {name!r}; there are {', '.join(known)}")
    return HERE / row["file"], row
