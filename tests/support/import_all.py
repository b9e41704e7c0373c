"""Imports every module of the installed package, and says where it was found: run outside the checkout."""

from __future__ import annotations

import importlib
import pkgutil

import engine
import strategies


def import_all() -> list[str]:
    names = []
    for package in (engine, strategies):
        names.append(package.__name__)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
            names.append(found.name)
    return sorted(names)


if __name__ == "__main__":
    print(engine.__file__)  # noqa: T201
    print("\n".join(import_all()))  # noqa: T201
