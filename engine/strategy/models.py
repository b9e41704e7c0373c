"""Model files: what a strategy's model is, and for which features it was trained.

A file is JSON: `format` and `version`, the model itself (`kind`, `link`, and layers or trees), `outputs` by name, the
`inputs` by name in their order, `features` (the SHA-256 of the request that the inputs are the answer to) and `about`,
what whoever trained it wanted to say. docs/kernels/infer.md has every field.

Owns: the file and the refusal of one that was trained on other features. Does not own: the block and its answers
(infer), training and the files of other libraries (engine/research). Cost: a file is read once and kept by its time
and size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine._core.features_feed import feed_hash
from engine._core.infer import Model
from engine.errors import ModelMismatch, ModelUnreadable
from engine.journal.layout import write_whole

FORMAT, VERSION = "bot4-model", 1
Request = tuple[int, int, tuple[tuple[str, int], ...]]
# What the kernel reads; everything else in a file is for people and for the check of the features.
SPEC = {
    "dense": ("kind", "link", "centre", "factor", "layers"),
    "trees": ("kind", "link", "base", "singles", "trees"),
}


@dataclass(frozen=True)
class Trained:
    """One model as its file states it, ready to be laid into a world."""

    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    features: str
    block: bytes
    digest: str
    about: Mapping[str, Any] = field(default_factory=dict)


def names_of(request: Request) -> list[str]:
    return [f"{family}:{window}" for family, window in request[2]]


def save(
    path: Path, spec: Mapping[str, Any], request: Request, outputs: Sequence[str], about: Mapping[str, Any]
) -> None:
    """Write a model for these features. The same model gives the same bytes."""
    row = {name: spec[name] for name in SPEC[spec["kind"]] if name in spec}
    head = {
        "format": FORMAT, "version": VERSION, "features": feed_hash(request).hex(), "inputs": names_of(request),
        "outputs": list(outputs), "about": dict(about),
    }  # fmt: skip
    # Whatever is written must be readable: a wrong spec is refused here, not at the start of a session.
    _trained(path, head | row)
    write_whole(path, json.dumps(head | row, indent=1, sort_keys=True).encode() + b"\n")


def load(path: Path, request: Request) -> Trained:
    """The model of a file, for these features; one that was trained on others is refused."""
    trained = read(path)
    if trained.features != feed_hash(request).hex():
        raise ModelMismatch(
            f"{path} was trained on {' '.join(trained.inputs)} ({trained.features[:16]}); the strategy asks for "
            f"{' '.join(names_of(request))} ({feed_hash(request).hex()[:16]})"
        )
    return trained


def read(path: Path) -> Trained:
    """The model of a file, whatever it was trained on."""
    try:
        stat = path.stat()
    except OSError as error:
        raise ModelUnreadable(f"{path}: {error}") from error
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=32)
def _read(path: Path, _mtime_ns: int, _size: int) -> Trained:
    try:
        row = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelUnreadable(f"{path}: {error}") from error
    if not isinstance(row, dict) or row.get("format") != FORMAT or row.get("version") != VERSION:
        raise ModelUnreadable(f"{path}: no {FORMAT} of version {VERSION}")
    return _trained(path, row)


def _trained(path: Path, row: Mapping[str, Any]) -> Trained:
    try:
        spec = {name: row[name] for name in SPEC[row["kind"]] if name in row}
        unknown = set(row) - set(spec) - {"format", "version", "features", "inputs", "outputs", "about"}
        if unknown:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}")
        spec |= {"inputs": len(row["inputs"]), "outputs": len(row["outputs"])}
        model = Model(spec)
        return Trained(
            tuple(map(str, row["outputs"])), tuple(map(str, row["inputs"])), str(row["features"]), model.state(),
            model.digest, dict(row.get("about", {})),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise ModelUnreadable(f"{path}: {error}") from error
