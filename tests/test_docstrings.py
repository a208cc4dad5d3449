"""Every public name says what it is for: itself, or through the class that it implements."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import FunctionType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["hpsearch", *sorted(path.name for path in ROOT.glob("plugins/*/src/hpsearch_*"))]
MODULES = sorted(
    module.name
    for name in PACKAGES
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}.")
    if "._" not in module.name
)


def undocumented(name, thing):
    """Name the public functions, classes and methods at or below `thing` that say nothing."""
    if not inspect.getdoc(thing):
        yield name
    if inspect.isclass(thing):
        for attribute in vars(thing):
            method = getattr(thing, attribute)
            public = not attribute.startswith(("_", "hpsearch_"))
            if public and inspect.isroutine(method) and not inspect.getdoc(method):
                yield f"{name}.{attribute}"


@pytest.mark.parametrize("name", [*PACKAGES, *MODULES])
def test_every_public_name_of_a_module_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    public = {
        key: value
        for key, value in vars(module).items()
        if not key.startswith("_")
        and isinstance(value, type | FunctionType)
        and value.__module__ == name
    }
    assert not [line for key, thing in public.items() for line in undocumented(key, thing)]
