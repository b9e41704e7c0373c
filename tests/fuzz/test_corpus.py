"""The fuzzer's corpus, replayed in the normal suite: every input that ever showed something, on every build."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.fuzz import target
from tests.fuzz.make_corpus import seeds

CORPUS = sorted(Path(__file__).with_name("corpus").iterdir())


def test_every_input_of_the_corpus_gets_one_answer_from_all_three_ways():
    for path in CORPUS:
        target.replay(path.read_bytes())
    assert len(CORPUS) >= len(seeds())


def test_the_seeds_stand_in_the_corpus():
    kept = {path.read_bytes() for path in CORPUS}
    assert not [seed for seed in seeds() if seed not in kept]


def test_a_twin_that_reads_otherwise_is_noticed():
    with pytest.raises(AssertionError, match="twin"):
        target.agrees((0, 0, target.ROOM), b"{}", 0, b"")


def test_the_target_compiles():
    # Its C is the one file here that no other test reads, and it was missing once.
    compiler = shlex.split(os.environ.get("CC", "cc"))
    command = [*compiler, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{sysconfig.get_path('include')}",
               str(Path(__file__).with_name("fuzz_parse.c"))]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
