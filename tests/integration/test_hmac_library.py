"""Which libcrypto signs: one of another layout, or that answers wrongly, is passed over; that there is none is said."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.shared import ROOT

# A libcrypto of our own: it keeps more than 112 bytes, counts otherwise, or gives another answer.
SOURCE = """
#include <string.h>
struct state { unsigned int h[8], low, high, data[16], filled, length; };
int SHA256_Init(struct state *s) { memset(s, 0, BYTES); return 1; }
int SHA256_Update(struct state *s, const void *p, unsigned long n) {
    s->low = COUNTED; s->filled = n; memcpy(s->data, p, n < 64 ? n : 64); return 1;
}
int SHA256_Final(unsigned char *d, struct state *s) { memset(d, s->filled, 32); return 1; }
"""
SIGN = """
import sys, types
stub = types.ModuleType("_hashlib"); stub.__file__ = sys.argv[1]
import hashlib
sys.modules["_hashlib"] = stub
from engine._core.hmac import HmacKey
try:
    print(HmacKey(b"Jefe").sign(b"what do ya want for nothing?").hex())
except ImportError as error:
    print(error)
"""
JEFE = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
ASKED = "no libcrypto with SHA256_Init beside this interpreter: install OpenSSL's library"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("libcrypto")

    def build(name, *defines):
        source = folder / f"{name}.c"
        source.write_text(SOURCE)
        out = folder / name
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-Wl,-soname,{name}", *defines, "-o", out, source],
            check=True, capture_output=True,
        )  # fmt: skip
        return out

    return build


def sign(own, *, path=None):
    environment = os.environ | ({"LD_LIBRARY_PATH": str(path)} if path else {})
    done = subprocess.run(
        [sys.executable, "-c", SIGN, str(own)], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "defines"),
    [
        ("larger", ["-DBYTES=200", "-DCOUNTED=24"]),
        ("counts", ["-DBYTES=112", "-DCOUNTED=3"]),
        ("wrong", ["-DBYTES=112", "-DCOUNTED=24"]),
    ],
)
def test_a_library_of_another_layout_or_answer_never_signs(library, name, defines):
    assert sign(library(f"lib{name}.so", *defines)) in (JEFE, ASKED)


def test_a_path_that_is_no_library_is_passed_over():
    assert sign("/nowhere/libcrypto.so") in (JEFE, ASKED)


def test_where_no_library_is_right_it_is_said_what_to_install(library):
    bad = library("libcrypto.so.3", "-DBYTES=112", "-DCOUNTED=24")
    old = library("libcrypto.so.1.1", "-DBYTES=200", "-DCOUNTED=24")
    assert sign(bad, path=old.parent) == ASKED
