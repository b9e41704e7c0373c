"""`bot4 doctor`: what this machine lacks, line by line, each with the command that mends it."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from engine._core import isa
from engine._core.memory import Arena
from engine.cli.config import read
from engine.cli.output import EXIT_UNHEALTHY, echo_json
from engine.cli.reach import reach
from engine.errors import Bot4Error
from engine.safety.tuning import arena_row
from engine.settings.schema import Settings
from engine.settings.secrets import Secrets

OK, WARNING, FAIL = "ok", "warning", "fail"
_COLOUR = {OK: "green", WARNING: "yellow", FAIL: "red"}


@dataclass(frozen=True)
class Line:
    """One finding: what was looked at, how it is, what mends it."""

    about: str
    state: str
    text: str
    mend: str = ""


def _word(path: str) -> str | None:
    """A file of the kernel's in one word; None where this machine has none."""
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None


def _python(_: Settings) -> Iterator[Line]:
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Line("python", OK if good else WARNING, platform.python_version(), "" if good else "use Python 3.11 to 3.13")


def _build(_: Settings) -> Iterator[Line]:
    release = isa.profile() == "release"
    yield Line("build", OK if release else WARNING, f"{isa.profile()} build", "" if release else "make build")
    yield Line("instruction set", OK, f"{isa.architecture()}, level {isa.level()} of {isa.offered()}")


def _clock(_: Settings) -> Iterator[Line]:
    # Whether a daemon disciplines the kernel's clock; how far it is off is measured against the venue at start.
    daemons = [name for name in ("/run/chrony", "/run/systemd/timesync", "/var/lib/ntpsec", "/run/ntpd.pid")
               if Path(name).exists()]  # fmt: skip
    mend = "apt install chrony" if not daemons else ""
    yield Line("clock sync", OK if daemons else WARNING, ", ".join(daemons) or "no time daemon is running", mend)
    source = _word("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    if source is not None:
        quick = source in ("tsc", "kvm-clock", "arch_sys_counter")
        yield Line("clock source", OK if quick else WARNING, source, "" if quick else "boot with clocksource=tsc")


def _limits(s: Settings) -> Iterator[Line]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield Line("open files", OK if files >= 1_024 else FAIL, str(files), "" if files >= 1_024 else "ulimit -n 4096")
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    enough = locked == resource.RLIM_INFINITY or locked >= 2**28
    if s.core.lock_memory:
        text = "unlimited" if locked == resource.RLIM_INFINITY else f"{locked >> 20} MiB"
        yield Line("locked memory", OK if enough else FAIL, text, "" if enough else "LimitMEMLOCK=infinity in the unit")
    if s.core.real_time:
        priority, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
        allowed = priority >= s.core.real_time or os.geteuid() == 0
        mend = "" if allowed else f"LimitRTPRIO={s.core.real_time} in the unit"
        yield Line("real time", OK if allowed else WARNING, f"priority up to {priority}", mend)


def _cpu(s: Settings) -> Iterator[Line]:
    pages = _word("/sys/kernel/mm/transparent_hugepage/enabled") or "not available"
    good = "[madvise]" in pages or "[always]" in pages
    mend = "" if good else "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
    yield Line("huge pages", OK if good else WARNING, pages, mend)
    sample = Arena(2**22, huge_pages=s.core.huge_pages, lock=s.core.lock_memory)
    row = arena_row(sample)
    mend = "" if row.granted else "LimitMEMLOCK=infinity in the unit; transparent_hugepage=madvise"
    yield Line("arena", OK if row.granted else WARNING, f"pages of {sample.pages}; locked: {sample.locked}", mend)
    governor = _word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor is None:
        yield Line("cpu governor", OK, "not visible, as in a virtual machine")
    else:
        fast = governor == "performance"
        yield Line(
            "cpu governor", OK if fast else WARNING, governor, "" if fast else "cpupower frequency-set -g performance"
        )
    isolated = _word("/sys/devices/system/cpu/isolated") or ""
    if s.core.cpu >= 0 or s.core.wait == "spin":
        yield Line(
            "cpu isolation", OK if isolated else WARNING, isolated or "none", "" if isolated else "boot with isolcpus=N"
        )
    cores = os.cpu_count() or 1
    if s.core.cpu >= cores:
        yield Line("core.cpu", FAIL, f"CPU {s.core.cpu} of {cores}", f"set core.cpu below {cores}")


def _disk(s: Settings) -> Iterator[Line]:
    folder = Path(s.engine.directory)
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    enough = free > s.journal.disk_free_min_bytes + 2 * s.journal.segment_bytes
    mend = "" if enough else "free space, or lower journal.disk_max_bytes"
    yield Line("disk", OK if enough else FAIL, f"{free / 1e9:.1f} GB free at {there}", mend)
    if not os.access(there, os.W_OK):
        yield Line("folder", FAIL, f"{there} cannot be written", f"chown the folder to uid {os.geteuid()}")
    elif folder.exists() and stat.S_IMODE(folder.stat().st_mode) & 0o022:
        yield Line("folder", FAIL, f"{folder} can be written by others", f"chmod go-w {folder}")
    else:
        yield Line("folder", OK, str(folder))


def _pins(s: Settings) -> Iterator[Line]:
    if s.safety.switch != "gpio":
        state = OK if s.engine.mode == "paper" else WARNING
        mend = "" if state == OK else "wire a switch: docs/howto/kill-switch.md"
        yield Line("kill switch", state, s.safety.switch, mend)
    elif not Path(s.safety.chip).exists():
        yield Line(
            "kill switch", FAIL, f"{s.safety.chip} is not there", "set safety.chip; `gpiodetect` lists the chips"
        )
    else:
        reach = os.access(s.safety.chip, os.R_OK | os.W_OK)
        yield Line("kill switch", OK if reach else FAIL, s.safety.chip, "" if reach else "add the user to group gpio")


def _keys(s: Settings) -> Iterator[Line]:
    store = Path(s.engine.directory) / "keystore"
    if store.exists():
        private = not stat.S_IMODE(store.stat().st_mode) & 0o077
        yield Line(
            "keystore", OK if private else FAIL, str(store), "" if private else f"chmod 600 {store}, rotate its keys"
        )
    known = Secrets(os.environ).names()
    for name, venue in s.venues.items():
        if venue.credential and venue.credential not in known and not store.exists():
            state = FAIL if s.engine.mode == "live" else WARNING
            yield Line(
                f"secret of {name}", state, f"{venue.credential} is not known", f"bot4 keys add {venue.credential}"
            )


def _dead_man(s: Settings) -> Iterator[Line]:
    for name, venue in s.venues.items():
        if not venue.enabled or venue.protocol == "embedded":
            continue
        has = venue.protocol in ("binance_usdm", "kraken")
        mend = "" if has else "bot4 install: the courier cancels after death"
        yield Line(
            f"dead-man of {name}", OK if has else WARNING, "the venue has a timer" if has else "it has none", mend
        )


def _reach(s: Settings) -> Iterator[Line]:
    for name, venue in s.venues.items():
        found = reach(venue) if venue.enabled else None
        if found is None:
            continue
        about, limit = f"reach of {name}", s.limits.clock_drift_ns
        if found.trouble:
            state = FAIL if s.engine.mode == "live" else WARNING
            yield Line(about, state, found.text(), f"look at network, names and clock: curl -v {found.address}")
        elif found.offset_ns is not None and abs(found.offset_ns) > limit:
            yield Line(
                about, FAIL, found.text(), f"set the clock (apt install chrony): the limit is {limit / 1e6:.0f} ms"
            )
        else:
            yield Line(about, OK, found.text())


CHECKS: tuple[Callable[[Settings], Iterator[Line]], ...] = (
    _python, _build, _clock, _limits, _cpu, _disk, _pins, _keys, _dead_man, _reach,
)  # fmt: skip


def examine(settings: Settings) -> list[Line]:
    return [line for check in CHECKS for line in check(settings)]


@click.command()
@click.option("--config", "-c", "files", multiple=True, type=click.Path(path_type=Path), help="Settings file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(files: tuple[Path, ...], as_json: bool) -> None:
    """Examine this machine for these settings. Exit code 4 when something fails, 0 with warnings.

    Example: bot4 doctor --config live.toml
    """
    try:
        loaded = read(files)
        lines = [Line("settings", OK, f"tier {loaded.tier.name}, hash {loaded.hash[:16]}"), *examine(loaded.settings)]
    except Bot4Error as error:
        lines = [Line("settings", FAIL, error.detail.strip(), "bot4 config check"), *examine(Settings())]
    if as_json:
        echo_json([{"about": x.about, "state": x.state, "text": x.text, "mend": x.mend} for x in lines])
    else:
        for line in lines:
            mark = click.style(f"{line.state:8}", fg=_COLOUR[line.state])
            click.echo(f"{mark} {line.about:16} {line.text}" + (f"\n{'':25} mend: {line.mend}" if line.mend else ""))
    if any(line.state == FAIL for line in lines):
        sys.exit(EXIT_UNHEALTHY)
