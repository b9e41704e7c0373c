"""The book's top line under real threads: one writer, readers on other cores, nobody holds the interpreter lock."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from bench.loops import stress_book
from engine._core.book import Book, Rule
from tests.support.books import message

STRESS = float(os.environ.get("BOT4_STRESS", "1"))


@pytest.mark.threads
@pytest.mark.parametrize("readers", [1, 2])
def test_no_reader_ever_sees_half_a_top_line(readers):
    """The writer goes on until every reader has seen that many different messages, however the cores are shared."""
    wanted = int(2000 * STRESS)
    book = Book(ticks=64, rule=Rule.RULE_SPOT)
    assert not book.apply(message([("bid", 101, 1), ("ask", 202, 1)], last=1, snapshot=True, ts_ns=1)).any()
    shared = np.array([readers, 0], dtype=np.uint64)
    seen: list[tuple[int, int, int, int]] = []
    written: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=lambda: seen.append(stress_book.read(book, shared, wanted))) for _ in range(readers)
    ]
    threads.append(threading.Thread(target=lambda: written.append(stress_book.write(book, shared))))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((last, refused),) = written
    assert refused == 0
    assert last > wanted
    assert [row[1:] for row in seen] == [(0, 0, last)] * readers
    assert all(count >= wanted for count, *_ in seen)
    book.check()
