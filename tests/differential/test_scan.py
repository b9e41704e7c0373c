"""The JSON scanner: what the standard library takes, it takes; what is not RFC 8259, it refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine._core import scan as core
from engine._core.types import Status
from engine.model.scan import MALFORMED
from engine.model.scan import validate as model_validate
from tests.support.frames import MESSAGES

STEM = "scan"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=5),
    max_leaves=30,
)
VALID = [
    b"0",
    b"-0",
    b"1.5e+10",
    b" [ ] ",
    b'{"":{}}',
    b'"\\ud800"',
    b'"\xf4\x8f\xbf\xbf"',
    b'"\x7f"',
    b"[" * 32 + b"]" * 32,
]
BROKEN = {
    b"": Status.PARSE_TRUNCATED,
    b"01": Status.PARSE_TRAILING,
    b"1 2": Status.PARSE_TRAILING,
    b"+1": Status.PARSE_SYNTAX,
    b".5": Status.PARSE_SYNTAX,
    b"1.e5": Status.PARSE_SYNTAX,
    b"1.": Status.PARSE_TRUNCATED,
    b"-": Status.PARSE_TRUNCATED,
    b"tru": Status.PARSE_TRUNCATED,
    b"trux": Status.PARSE_SYNTAX,
    b"NaN": Status.PARSE_SYNTAX,
    b"[1,]": Status.PARSE_SYNTAX,
    b'{"a":1,}': Status.PARSE_SYNTAX,
    b'{"a" 1}': Status.PARSE_SYNTAX,
    b"{1:1}": Status.PARSE_SYNTAX,
    b"[1}": Status.PARSE_SYNTAX,
    b'"\n"': Status.PARSE_SYNTAX,
    b'"\\x"': Status.PARSE_SYNTAX,
    b'"\\u12g4"': Status.PARSE_SYNTAX,
    b'"\xc0\x80"': Status.PARSE_SYNTAX,
    b'"\xed\xa0\x80"': Status.PARSE_SYNTAX,
    b'"\xf4\x90\x80\x80"': Status.PARSE_SYNTAX,
    b'"\xe2\x82': Status.PARSE_TRUNCATED,
    b"\xef\xbb\xbf{}": Status.PARSE_SYNTAX,
    b"[" * 33: Status.PARSE_TOO_DEEP,
}


@pytest.mark.parametrize("document", VALID)
def test_valid_documents_are_taken(impl, document):
    assert impl.validate(document) == Status.OK


@pytest.mark.parametrize("document", BROKEN)
def test_broken_documents_are_refused_by_both_and_named_by_the_scanner(document):
    assert core.validate(document) == BROKEN[document]
    assert model_validate(document) in MALFORMED


@given(json_values, st.sampled_from([None, 1, "\t"]), st.booleans())
@settings(max_examples=500)
def test_whatever_the_library_writes_is_taken_and_every_cut_of_it_is_truncated(value, indent, ascii_only):
    document = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    expected = model_validate(document)
    assert (core.validate(document) == Status.OK) == (expected == Status.OK)
    if expected != Status.OK or not isinstance(value, list | dict):
        return
    for size in range(len(document)):
        assert core.validate(document[:size]) == Status.PARSE_TRUNCATED


@given(
    st.sampled_from(sorted(MESSAGES)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4),
)
@settings(max_examples=2000)
def test_flipped_bytes_are_judged_as_the_library_judges_them(name, flips):
    document = bytearray(MESSAGES[name])
    for at, byte in flips:
        document[at % len(document)] = byte
    got, wanted = core.validate(document), model_validate(bytes(document))
    assert got == wanted or (got in MALFORMED and wanted in MALFORMED)
