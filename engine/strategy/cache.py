"""Built strategies on disk: found by what they were made of, refused when they are not what the builder wrote.

A key is the hash of everything that could change the machine code: the source of the strategy and of each function
it calls, the constants they read, the parameters' schema, the layout of the view, the versions of Python, numba and
llvmlite, the architecture, the CPU asked for, and the builder itself. Beside `<key>.so` stands `<key>.json` with the
object's hash. The manifest is renamed into place last, so an object without one was never finished.

Imports neither numba nor llvmlite; a build happens in a child process. Cold.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from engine import errors
from engine._core.strategy_abi import ABI, VIEW, WISHES
from engine.strategy.contract import Parameter
from engine.strategy.dialect import accept
from engine.strategy.library import Library
from engine.strategy.lockout import refuse_if_forbidden

BUILDER = ("emit.py", "dialect.py")
BUILD_SECONDS_MAX = 300
BASELINE = {"x86_64": "x86-64", "aarch64": "generic"}


def default_directory() -> Path:
    """BOT4_STRATEGY_CACHE, or the user's cache folder."""
    if given := os.environ.get("BOT4_STRATEGY_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bot4" / "strategies"


def cpu_name(cpu: str | None) -> str:
    """The CPU built for: the architecture's baseline unless one is named."""
    return cpu or BASELINE.get(platform.machine(), "generic")


def ingredients(decide: Callable[..., Any], parameters: tuple[Parameter, ...], cpu: str | None) -> dict[str, Any]:
    """Everything that decides about the machine code, in a form that can be hashed and shown."""
    uses = accept(decide)
    here = Path(__file__).parent
    return {
        "strategy": decide.__module__,
        "sources": uses.sources,
        "constants": {name: repr(value) for name, value in uses.constants.items()},
        "parameters": [asdict(parameter) for parameter in parameters],
        "abi": ABI,
        "layout": [repr(VIEW), repr(WISHES)],
        "python": platform.python_version(),
        "numba": metadata.version("numba"),
        "llvmlite": metadata.version("llvmlite"),
        "arch": platform.machine(),
        "cpu": cpu_name(cpu),
        "builder": [hashlib.sha256((here / name).read_bytes()).hexdigest() for name in BUILDER],
    }


def key_of(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Cache:
    """A folder of built strategies."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or default_directory()

    def object_path(self, key: str) -> Path:
        return self.directory / f"{key}.so"

    def manifest_path(self, key: str) -> Path:
        return self.directory / f"{key}.json"

    # ---------------------------------------------------------------------------------------------------- the live side
    def load(
        self, decide: Callable[..., Any], parameters: tuple[Parameter, ...] = (), *, cpu: str | None = None
    ) -> Library:
        """The built object of this very source, checked; nothing is compiled."""
        key = key_of(ingredients(decide, parameters, cpu))
        self.verify(key, decide.__module__)
        return Library(str(self.object_path(key)), key)

    def is_built(
        self, decide: Callable[..., Any], parameters: tuple[Parameter, ...], *, cpu: str | None = None
    ) -> bool:
        return self.manifest_path(key_of(ingredients(decide, parameters, cpu))).exists()

    def verify(self, key: str, name: str) -> dict[str, Any]:
        """The manifest of a key, after every check. Raises a typed error otherwise."""
        manifest_path, object_path = self.manifest_path(key), self.object_path(key)
        if not manifest_path.exists():
            raise errors.StrategyNotBuilt(f"{name}, key {key[:16]} in {self.directory}.")
        for path in (self.directory, manifest_path, object_path):
            _refuse_foreign(path)
        try:
            manifest = json.loads(manifest_path.read_bytes())
        except ValueError as error:
            raise errors.StrategyCacheCorrupt(f"{manifest_path} is not JSON.") from error
        if not isinstance(manifest, dict) or manifest.get("key") != key or manifest.get("abi") != ABI:
            raise errors.StrategyCacheCorrupt(f"{manifest_path} belongs to another key or layout.")
        if hashlib.sha256(object_path.read_bytes()).hexdigest() != manifest.get("sha256"):
            raise errors.StrategyCacheCorrupt(f"{object_path} is not the object of its manifest.")
        return manifest

    # ------------------------------------------------------------------------------------------------ the workshop side
    def build(
        self,
        decide: Callable[..., Any],
        parameters: tuple[Parameter, ...] = (),
        *,
        cpu: str | None = None,
        force: bool = False,
    ) -> Library:
        """Build unless it is there, and load. Refused in a process that trades."""
        refuse_if_forbidden(f"build of {decide.__module__}.")
        parts = ingredients(decide, parameters, cpu)
        key = key_of(parts)
        if force or not self.manifest_path(key).exists():
            self._build(decide, parts, key)
        return self.load(decide, parameters, cpu=cpu)

    def _build(self, decide: Callable[..., Any], parts: dict[str, Any], key: str) -> None:
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=".build-") as scratch:
            target = Path(scratch) / "strategy.so"
            _run_builder(
                {
                    "name": decide.__module__,
                    "key": key,
                    "target": str(target),
                    "cpu": parts["cpu"],
                    "path": [p or str(Path.cwd()) for p in sys.path],
                }
            )
            target.chmod(0o644)
            manifest = {"key": key, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()} | parts
            pending = Path(scratch) / "manifest.json"
            pending.write_text(json.dumps(manifest, indent=1) + "\n")
            pending.chmod(0o644)
            # A forced build over a bad one must not leave the old manifest beside the new object, even for a moment.
            with contextlib.suppress(FileNotFoundError):
                self.manifest_path(key).unlink()
            for source, place in ((target, self.object_path(key)), (pending, self.manifest_path(key))):
                with source.open("rb") as file:
                    os.fsync(file.fileno())
                source.replace(place)


def _refuse_foreign(path: Path) -> None:
    """Machine code is loaded from files that only this user or root can change."""
    try:
        info = path.stat()
    except FileNotFoundError as error:
        raise errors.StrategyCacheCorrupt(f"{path} is missing.") from error
    if info.st_uid not in (0, os.geteuid()):
        raise errors.StrategyCacheCorrupt(f"{path} belongs to user {info.st_uid}.")
    if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise errors.StrategyCacheCorrupt(f"{path} can be written by others.")


def _run_builder(request: dict[str, Any]) -> None:
    # numba reads its target from the environment once, at import: hence a process of its own.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment |= {"NUMBA_CPU_NAME": request["cpu"], "NUMBA_CPU_FEATURES": "", "NUMBA_OPT": "3"}
    done = subprocess.run(
        [sys.executable, "-m", "engine.strategy.emit"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env=environment,
        timeout=BUILD_SECONDS_MAX,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise errors.StrategyBuildFailed(f"{request['name']}: {done.stderr.strip()[-800:]}") from None
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["detail"])
