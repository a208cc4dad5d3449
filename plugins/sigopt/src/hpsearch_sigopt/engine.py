"""SigOpt's own optimiser in this process: what it consists of, and how it runs on today's NumPy.

``sigoptlite`` and ``libsigopt`` are no longer maintained. Two things keep them from running as they
are: they import qmcpy, which has no wheel, and they call ``numpy.product``, which NumPy 2 dropped.
Both are put right for these packages alone; nobody else's modules see a difference.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from hpsearch.plugins.installers import Engine

ENGINE = Engine(
    backend="sigopt",
    requirements=("numpy>=1.22.4", "scipy>=1.15,<2", "jsonschema>=3.0.1"),
    pinned=("sigoptlite==0.1.2", "libsigopt==1.0.0"),
)

_CALLERS_OF_PRODUCT = ("sigoptlite.validators", "libsigopt.compute.probabilistic_failures")

_alone = threading.RLock()
"""Held while modules are swapped or the global random state is the engine's."""


def load() -> None:
    """Import the engine, so that ``sigopt.Connection(driver="lite")`` finds it.

    Raises:
        BackendError: It is not installed; the message says what to run.
    """
    ENGINE.require()
    from hpsearch_sigopt import quasirandom

    with _alone, _standing_in("qmcpy", quasirandom):
        import_module("sigoptlite")
        import numpy as np

        for name in _CALLERS_OF_PRODUCT:
            module: Any = import_module(name)
            if not hasattr(module.numpy, "product"):
                module.numpy = _NumPyWithProduct(np)
    log = logging.getLogger("libsigopt")
    if log.level == logging.NOTSET:  # At INFO it logs every observation in full, at each step.
        log.setLevel(logging.WARNING)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Have NumPy's global random state, from which alone the engine draws, start from a seed.

    The state that the user's own code shares is as before afterwards.
    """
    from numpy import random

    with _alone:
        before = random.get_state()  # noqa: NPY002 - the engine draws from no other
        random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.set_state(before)  # noqa: NPY002


class _NumPyWithProduct(ModuleType):
    """NumPy as a module of the engine sees it: with ``product``, the old name of ``prod``."""

    def __init__(self, numpy: ModuleType) -> None:
        super().__init__(numpy.__name__)
        self._numpy = numpy
        self.product = numpy.prod

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)


@contextmanager
def _standing_in(name: str, module: ModuleType) -> Iterator[None]:
    """Have a module imported under another's name for a while."""
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        yield
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
