"""Which files the rules are held against: those that git tracks, or in an unpacked sdist those that are there."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE = {
    ".venv",
    "build",
    "dist",
    ".git",
    "__pycache__",
    "var",
    ".hypothesis",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
}
TEXT = {
    ".py",
    ".pyx",
    ".pxd",
    ".pyi",
    ".toml",
    ".txt",
    ".in",
    ".md",
    ".sh",
    ".yml",
    ".yaml",
    ".c",
    ".h",
    ".service",
    "",
}


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project, as paths relative to its root."""
    if (ROOT / ".git").exists():
        # New files count before they are added: a gate that waits for `git add` is met too late.
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        paths = [Path(line) for line in listed]
    else:
        paths = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
    return tuple(
        sorted(
            path for path in paths if not MADE & set(path.parts) and path.suffix != ".so" and (ROOT / path).is_file()
        )
    )


def sources(folder: str, *suffixes: str) -> list[Path]:
    return [path for path in tracked() if path.parts[0] == folder and path.suffix in suffixes]


def texts() -> list[Path]:
    """The tracked files that are text: a fuzz corpus holds bytes under names of every form."""
    return [path for path in tracked() if path.suffix in TEXT and path.name != "LICENSE" and _is_text(path)]


def _is_text(path: Path) -> bool:
    try:
        return "\0" not in read(path)
    except UnicodeDecodeError:
        return False


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
