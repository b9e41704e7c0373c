"""The shared structs as numpy sees them: derived from C, one cache line, one head, named words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from engine._core import types

CORE = Path(types.__file__).parent
VIEWS = ["LEVEL", "QUOTE", "TRADE", "BAR_PRICES", "BAR_TOTALS", "MARK", "LIQUIDATION", "ORDER", "INTENT", "DECISION"]
VIEWS += ["FEE", "FUNDING", "BALANCE", "POSITION", "FEED", "CLOCK", "INTENT_TERMS", "INCIDENT"]
VIEWS += ["CONTROL", "SYMBOL", "MODE", "BRACKET"]
HEAD = {
    "kind": ("u1", 0), "flags": ("u1", 1), "symbol": ("u2", 2), "seq": ("u4", 4),
    "ts_venue_ns": ("i8", 8), "ts_recv_ns": ("i8", 16),
}  # fmt: skip
NOT_EVENTS = ("INTENT", "INTENT_TERMS", "DECISION", "INCIDENT")
STRUCT = {"EVENT": "event_t"} | {
    name: f"{name.lower()}_t" if name in NOT_EVENTS else f"{name.lower()}_event_t" for name in VIEWS
}
C_TYPES = {"uint8_t": "u1", "uint16_t": "u2", "uint32_t": "u4", "int64_t": "i8"}


@pytest.mark.parametrize("name", ["EVENT", *VIEWS])
def test_every_record_is_one_cache_line_with_the_same_head(name):
    dtype = getattr(types, name)
    assert dtype.itemsize == 64
    for field, (kind, offset) in HEAD.items():
        assert (dtype.fields[field][0], dtype.fields[field][1]) == (np.dtype(kind), offset)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_names_the_five_words_and_leaves_no_gap(name):
    dtype = getattr(types, name)
    words = [field for field in dtype.names if field not in HEAD]
    assert [dtype.fields[word][1] for word in words] == [24, 32, 40, 48, 56]
    assert {dtype.fields[word][0] for word in words} == {np.dtype("i8")}


@pytest.mark.parametrize("name", ["EVENT", *VIEWS])
def test_the_dtype_is_the_struct_of_the_contract(name):
    body = re.search(rf"cdef struct {STRUCT[name]}:.*\n((?:    .*\n)+)", (CORE / "types.pxd").read_text())
    assert body is not None
    declared = re.findall(r"^\s+(\w+) (\w+)(\[5\])?", body[1], re.MULTILINE)
    dtype = getattr(types, name)
    assert [field for _, field, _ in declared] == list(dtype.names)
    for c_type, field, many in declared:
        assert dtype.fields[field][0] == (np.dtype((C_TYPES[c_type], 5)) if many else np.dtype(C_TYPES[c_type]))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_a_cast_and_never_a_copy(name):
    events = np.zeros(3, dtype=types.EVENT)
    view = events.view(getattr(types, name))
    last = view.dtype.names[-1]
    view[last][1] = -(2**63)
    assert events["word"][:, 4].tolist() == [0, -(2**63), 0]
    assert np.shares_memory(events, view)


def _numbers(source: str, name: str) -> dict[str, int]:
    body = re.search(rf"cpdef enum {name}:\n((?:    .*\n|\n)+)", source)
    assert body is not None
    return {key: int(value) for key, value in re.findall(r"^\s+([A-Z]\w+) = (\d+)", body[1], re.MULTILINE)}


def _names(source: str, name: str) -> list[str]:
    body = re.search(rf"class {name}\(\w+\):\n((?:    .*\n)+)", source)
    assert body is not None
    return re.findall(r"^\s+(\w+) = ", body[1], re.MULTILINE)


@pytest.mark.parametrize(("c_name", "face"), [("status_t", "Status"), ("kind_t", "Kind"), ("flag_t", "Flag")])
def test_python_and_its_stub_see_the_enums_of_the_contract(c_name, face):
    declared = _numbers((CORE / "types.pxd").read_text(), c_name)
    seen = {name: int(member) for name, member in getattr(types, face).__members__.items()}
    assert seen == declared
    assert _names((CORE / "types.pyi").read_text(), face) == list(declared)


def test_statuses_and_kinds_are_numbered_once():
    for face in (types.Status, types.Kind):
        values = [int(member) for member in face.__members__.values()]
        assert len(set(values)) == len(values)


def test_kinds_stand_in_the_range_that_says_who_sends_them():
    ranges = {"INTENT": (128, 192), "DECISION": (192, 256), "ORDER": (64, 96), "TIMER": (96, 128), "CONTROL": (96, 128)}
    ranges |= {"BREAKER": (192, 256), "REFUSAL": (192, 256), "STRATEGY": (96, 128)}
    ranges |= dict.fromkeys(("FEED", "CLOCK", "SYMBOL", "LIMIT", "DENIED"), (96, 128))
    ranges |= dict.fromkeys(("FEE", "FUNDING", "BALANCE", "POSITION"), (64, 96))
    ranges |= dict.fromkeys(("INCIDENT", "MODE", "BRACKET", "ALGO"), (192, 256))
    for kind, value in types.Kind.__members__.items():
        low, high = next((span for word, span in ranges.items() if kind.startswith(f"KIND_{word}")), (0, 64))
        assert low <= int(value) < high, kind


def test_market_flags_are_single_bits():
    assert all(int(value).bit_count() == 1 for value in types.Flag.__members__.values())
    assert types.Flag.FLAG_ASK == types.Flag.FLAG_SELL
