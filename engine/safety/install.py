"""Putting Bot4 on a machine as a service, and taking it off again, with the previous version kept for a way back.

    <prefix>/lib/bot4/versions/<version>/   an environment of its own, never changed once made
    <prefix>/lib/bot4/current, previous     links: switching and rolling back is one rename
    <prefix>/lib/bot4/bot4-courier          the courier, outside of every environment
    <prefix>/bin/bot4                       a link through `current`
    /etc/systemd/system/...                 units, slice, sysusers, tmpfiles

Every step is an object that says what it does and can be shown instead of done (`--dry-run`). A new version becomes
current only after its own `bot4 --version` ran. Nothing under /etc/bot4 or /var/lib/bot4 is ever removed: the
configuration, the audit and the latch are the user's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.errors import InstallRefused
from engine.safety.life import new_key

UNITS = ("bot4@.service", "bot4-courier@.service", "bot4.slice")
KEEP_VERSIONS = 3


@dataclass(frozen=True)
class Step:
    text: str
    do: Callable[[], object]


@dataclass(frozen=True)
class Layout:
    """Where everything goes; `root` is / or, for packages and tests, a directory that stands in for it."""

    root: Path = Path("/")
    prefix: str = "usr/local"

    @property
    def library(self) -> Path:
        return self.root / self.prefix / "lib" / "bot4"

    @property
    def versions(self) -> Path:
        return self.library / "versions"

    @property
    def command(self) -> Path:
        return self.root / self.prefix / "bin" / "bot4"

    @property
    def units(self) -> Path:
        return self.root / "etc/systemd/system"

    def files(self, source: Path) -> dict[Path, Path]:
        """Target to source, for every file that is copied."""
        systemd = source / "systemd"
        return {
            **{self.units / name: systemd / name for name in UNITS},
            self.root / "etc/sysusers.d/bot4.conf": systemd / "bot4.sysusers.conf",
            self.root / "etc/tmpfiles.d/bot4.conf": systemd / "bot4.tmpfiles.conf",
            self.library / "bot4-courier": source / "engine/safety/courier.py",
            self.library / "no-gpio.conf": systemd / "no-gpio.conf",
        }


def version_of(source: Path) -> str:
    """The package's version, and the commit where there is one: two builds of one version are two versions here."""
    text = (source / "pyproject.toml").read_text()
    version = next(line.split('"')[1] for line in text.split("\n") if line.startswith("version = "))
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=source, capture_output=True, text=True, check=False
    )
    return f"{version}-{done.stdout.strip()}" if done.returncode == 0 else version


def relink(link: Path, target: Path) -> None:
    """Point a link somewhere else in one step: there is no moment without it."""
    temporary = link.with_name(link.name + ".new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def make_environment(path: Path, source: Path) -> None:
    """A virtual environment with the locked packages and the engine, built here from the checkout."""
    python = path / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(path)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for name in ("run", "build"):
        subprocess.run([*pip, "--require-hashes", "-r", str(source / f"requirements/{name}.txt")], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", str(source)], check=True)


def make_audit_key(directory: Path) -> None:
    """32 bytes of the kernel's own, sealed for this machine; the clear text is never on the disk."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = ["systemd-creds", "encrypt", "--name=bot4_audit-key", "-", str(directory / "audit-key")]
    subprocess.run(command, input=new_key(), check=True, capture_output=True)


def plan_install(
    source: Path, layout: Layout, *, instance: str = "main", environment: Path | None = None, manager: bool = True
) -> list[Step]:
    """The steps of an installation. `environment` links an existing one in place of making it: for development."""
    version = version_of(source)
    target = layout.versions / version
    if not target.resolve().is_relative_to(layout.library.resolve()):
        raise InstallRefused(f"{target} lies outside {layout.library}")
    missing = [path for path in layout.files(source).values() if not path.is_file()]
    if missing:
        raise InstallRefused(f"{source} is no checkout of Bot4: no {missing[0]}")
    steps = [Step(f"make {layout.versions}", lambda: layout.versions.mkdir(parents=True, exist_ok=True))]
    if environment is not None:
        steps.append(Step(f"link {target} to {environment}", lambda: relink(target, environment)))
    elif not target.exists():
        steps.append(
            Step(f"make the environment {target} from the lock files", lambda: make_environment(target, source))
        )
    steps.append(Step(f"run {target}/bin/bot4 --version", lambda: _try(target)))
    steps += [Step(f"copy {path.name} to {goal}", _copy(path, goal)) for goal, path in layout.files(source).items()]
    current, previous = layout.library / "current", layout.library / "previous"
    steps.append(
        Step(f"{previous} takes what is current, {current} points to {version}", lambda: _switch(layout, target))
    )
    steps.append(Step(f"link {layout.command}", lambda: _link_command(layout)))
    steps.append(Step(f"keep the newest {KEEP_VERSIONS} versions", lambda: _prune(layout)))
    if manager:
        steps.append(
            Step("systemd-sysusers, systemd-tmpfiles --create, systemctl daemon-reload", lambda: _tell(layout))
        )
        key = layout.root / "etc/bot4/credentials" / instance / "engine"
        if not (key / "audit-key").exists():
            steps.append(Step(f"seal a new audit key in {key}", lambda: make_audit_key(key)))
    return steps


def _try(target: Path) -> None:
    done = subprocess.run([str(target / "bin" / "bot4"), "--version"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise InstallRefused(f"{target}: the new version does not run: {done.stderr.strip()[-300:]}")


def _copy(path: Path, goal: Path) -> Callable[[], None]:
    def copy() -> None:
        goal.parent.mkdir(parents=True, exist_ok=True)
        temporary = goal.with_name(goal.name + ".new")
        shutil.copyfile(path, temporary)
        temporary.chmod(0o755 if goal.name == "bot4-courier" else 0o644)
        temporary.replace(goal)

    return copy


def _switch(layout: Layout, target: Path) -> None:
    current = layout.library / "current"
    if current.is_symlink() and current.readlink() != target:
        relink(layout.library / "previous", current.readlink())
    relink(current, target)


def _link_command(layout: Layout) -> None:
    layout.command.parent.mkdir(parents=True, exist_ok=True)
    relink(layout.command, layout.library / "current" / "bin" / "bot4")


def _prune(layout: Layout) -> None:
    """Old versions go, oldest first; never the current and never the previous one."""
    links = [layout.library / name for name in ("current", "previous")]
    held = {link.readlink() for link in links if link.is_symlink()}
    found = sorted(layout.versions.iterdir(), key=lambda path: path.lstat().st_mtime)
    for path in [path for path in found if path not in held][: max(0, len(found) - KEEP_VERSIONS)]:
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def _tell(layout: Layout) -> None:
    etc = layout.root / "etc"
    subprocess.run(["systemd-sysusers", str(etc / "sysusers.d/bot4.conf")], check=True)
    subprocess.run(["systemd-tmpfiles", "--create", str(etc / "tmpfiles.d/bot4.conf")], check=True)
    subprocess.run(["systemctl", "daemon-reload"], check=True)


def plan_rollback(layout: Layout, *, manager: bool = True) -> list[Step]:
    """Back to the previous version; done twice it is where it was."""
    current, previous = layout.library / "current", layout.library / "previous"
    if not (previous.is_symlink() and previous.exists()):
        raise InstallRefused("there is no previous version")
    target = previous.readlink()
    steps = [
        Step(f"run {target}/bin/bot4 --version", lambda: _try(target)),
        Step(f"{current} and {previous} change places: current is {target.name}", lambda: _switch(layout, target)),
    ]
    if manager:
        steps.append(
            Step("systemctl daemon-reload", lambda: subprocess.run(["systemctl", "daemon-reload"], check=True))
        )
    return steps


def plan_uninstall(layout: Layout, *, manager: bool = True) -> list[Step]:
    """Everything that an installation put there; what users and the engine wrote stays."""
    steps = []
    if manager:
        names = ["bot4@*.service", "bot4-courier@*.service"]
        steps.append(
            Step(f"systemctl stop {' '.join(names)}", lambda: subprocess.run(["systemctl", "stop", *names], check=True))
        )
    files = [*layout.files(Path()), layout.command, layout.library]
    steps += [Step(f"remove {path}", partial(_remove, path)) for path in files if os.path.lexists(path)]
    if manager:
        steps.append(
            Step("systemctl daemon-reload", lambda: subprocess.run(["systemctl", "daemon-reload"], check=True))
        )
    kept = [layout.root / name for name in ("etc/bot4", "var/lib/bot4")]
    steps.append(Step(f"keep {' and '.join(map(str, kept))}: configuration, audit and latch are yours", lambda: None))
    return steps


def carry_out(steps: Iterable[Step], say: Callable[[str], object], *, dry_run: bool) -> None:
    """One after the other; the first that fails ends it, and names itself."""
    for step in steps:
        say(("would " if dry_run else "") + step.text)
        if dry_run:
            continue
        try:
            step.do()
        except (OSError, subprocess.CalledProcessError) as error:
            raise InstallRefused(f"{step.text}: {error}") from error
