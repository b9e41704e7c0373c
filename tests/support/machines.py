"""Machines that a test can boot: a real systemd manager, a kernel with a real GPIO chip. Or a plain reason why not.

The scripts lie beside a development checkout (`BOT4_SHARED`). Where BOT4_SHARED_REQUIRED is set, in the continuous
integration, a machine that cannot be had is a failure and no skip.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from engine._core import isa
from tests.support.shared import ROOT, shared_root

INSIDE = Path("/srv/bot4-tree")  # where a booted manager finds the checkout


def _unavailable(reason: str) -> None:
    if os.environ.get("BOT4_SHARED_REQUIRED"):
        pytest.fail(f"{reason}, and it is required here")
    pytest.skip(reason)


def tool(name: str) -> Path:
    """A script of the shared tools; both need root, since they make namespaces and mounts."""
    if os.geteuid() != 0:
        _unavailable(f"{name} needs root")
    root = shared_root()
    if root is None or not (root / "tools" / name).is_file():
        _unavailable(f"{name} is not beside this checkout (set BOT4_SHARED)")
    return root / "tools" / name


def gpio_machine() -> list[str]:
    """The command that boots User-Mode Linux with gpio-sim; the kernel has to be built once per machine."""
    script = tool("gpio-uml.sh")
    cache = Path(os.environ.get("GPIO_UML_CACHE", Path.home() / ".cache" / "gpio-uml"))
    if not (cache / "linux").is_file():
        _unavailable(f"no kernel with a GPIO chip yet: run {script.name} build")
    # What runs inside leaves nothing behind; a counted build's counts are let out.
    counts = ["-w", str(ROOT / "build")] if isa.profile() == "coverage" else []
    return [str(script), "run", *counts]


def require_boot(done: subprocess.CompletedProcess[str]) -> None:
    """A kernel that did not come up ran no case: that says nothing about the engine."""
    if "{" not in done.stdout and "the kernel ended" in done.stderr:
        _unavailable("the User-Mode Linux kernel did not boot here")


def systemd_machine() -> list[str]:
    script = tool("systemd-sandbox.sh")
    if shutil.which("systemd-analyze") is None or not Path("/lib/systemd/systemd").exists():
        _unavailable("systemd is not installed")
    # The machine has a /tmp of its own, and its units another one: the tree stands where both see it.
    return [str(script), "-b", f"{ROOT}:{INSIDE}"]


def run(command: list[str], *, seconds: int) -> subprocess.CompletedProcess[str]:
    """Run to the end, or to the limit: then the whole group goes, since a machine is several processes."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += f"\nno end within {seconds} s"
        return subprocess.CompletedProcess(command, process.returncode, out, err)
