"""What every test may ask for."""

from __future__ import annotations

import importlib
from types import ModuleType

import hypothesis
import pytest

from engine._core import isa

hypothesis.settings.register_profile(
    "suite", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow first: in a parallel run a worker takes a module at a time, and none is left alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


# The twins are the same Python in every build: where the kernels are built to be watched, these alone are asked.
IMPLEMENTATIONS = ["core"] if isa.profile() in ("debug", "sanitize", "thread") else ["model", "core"]


@pytest.fixture(params=IMPLEMENTATIONS)
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """The twin and the kernel of the module's STEM, one after the other: the same test bodies run on both."""
    package = {"model": "engine.model", "core": "engine._core"}[request.param]
    return importlib.import_module(f"{package}.{request.module.STEM}")
