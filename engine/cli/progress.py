"""A progress bar on standard error for what may take longer than a second; none where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[[int, int | None, str], None]  # done, all where that is known, a word on where it is


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Advance]:
    """Gives what is called with how far it is. Gone when it is done: standard output has the result alone."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[where]}"))
    console = Console(stderr=True)
    with Progress(
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=None, where="")
        yield lambda done, total, where: bar.update(task, completed=done, total=total, where=where)
