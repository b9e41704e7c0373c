"""The error tree: one class for each status, stable codes, plain words."""

from __future__ import annotations

import builtins
import re

import pytest

from engine import errors
from engine._core import types as core
from engine.errors import Bot4Error, by_status


def _tree(root: type[Bot4Error]) -> list[type[Bot4Error]]:
    return [root, *(below for child in root.__subclasses__() for below in _tree(child))]


TREE = [cls for cls in dict.fromkeys(_tree(Bot4Error)) if cls.__module__.startswith("engine.errors.")]
STATUSES = [status for status in core.Status if status != core.Status.OK]
NO_REASON = {"Bot4Error"}


@pytest.mark.parametrize("status", STATUSES, ids=lambda s: s.name)
def test_every_status_has_exactly_one_class(status):
    owners = [cls for cls in TREE if cls.__dict__.get("status") == status]
    assert len(owners) == 1
    assert by_status(status) is owners[0]


def test_ok_is_no_error():
    with pytest.raises(KeyError):
        by_status(core.Status.OK)


def test_codes_are_stable_in_form_and_never_shared():
    codes = [cls.__dict__["code"] for cls in TREE]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"BOT4-\d{3,4}", code) for code in codes)


@pytest.mark.parametrize("cls", TREE, ids=lambda c: c.__name__)
def test_every_class_says_what_is_wrong_and_what_to_do(cls):
    assert cls.__dict__["sentence"].endswith(".")
    assert len(cls.sentence.split()) >= 4
    assert cls.remedy
    shown = str(cls("17 of them"))
    assert shown.startswith(f"[{cls.code}] {cls.sentence} 17 of them")
    assert shown.endswith(cls.remedy)


@pytest.mark.parametrize("cls", [c for c in TREE if c is not Bot4Error], ids=lambda c: c.__name__)
def test_every_class_is_also_a_fitting_builtin(cls):
    fits = {base for base in cls.__mro__ if base.__module__ == "builtins"} - {Exception, BaseException, object}
    leaf = not cls.__subclasses__()
    assert fits or not leaf or cls.__mro__[1] is not Bot4Error, f"{cls.__name__} inherits no builtin"
    assert all(isinstance(getattr(builtins, base.__name__), type) for base in fits)


@pytest.mark.parametrize("status", STATUSES, ids=lambda s: s.name)
def test_the_kernels_raise_the_class_of_the_status(status):
    with pytest.raises(by_status(status)) as caught:
        core.raise_status(int(status), "here")
    assert caught.value.detail == "here"


def test_a_status_without_a_class_is_a_plain_bug():
    with pytest.raises(RuntimeError, match="31999"):
        core.raise_status(31999, "x")


def test_errors_can_be_caught_as_the_builtin_that_a_stranger_expects():
    for cls, builtin in (
        (errors.ArenaExhausted, MemoryError), (errors.StaleHandle, LookupError), (errors.DecimalSign, ValueError),
        (errors.FrameTruncated, EOFError), (errors.LatchNotDurable, OSError), (errors.BreakerOpen, RuntimeError),
    ):  # fmt: skip
        with pytest.raises(builtin):
            raise cls
