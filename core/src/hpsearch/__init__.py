"""hpsearch: one way to search hyperparameters, with whichever engine you already trust.

>>> import hpsearch
>>> def objective(trial):
...     return (trial["x"] - 2) ** 2
>>> space = {"x": hpsearch.Float(-10, 10)}
>>> study = hpsearch.search(objective, space, backend="random", n_trials=50, seed=1)
>>> abs(study.best.hyperparameters["x"] - 2) < 1
True

The names below load on first use, so that ``import hpsearch`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.api import search as search
    from hpsearch.backend import EXHAUSTED as EXHAUSTED
    from hpsearch.backend import Backend as Backend
    from hpsearch.backend import Capabilities as Capabilities
    from hpsearch.distributions import Categorical as Categorical
    from hpsearch.distributions import Float as Float
    from hpsearch.distributions import Int as Int
    from hpsearch.distributions import Native as Native
    from hpsearch.errors import HpsearchError as HpsearchError
    from hpsearch.errors import SearchFailedError as SearchFailedError
    from hpsearch.errors import SearchInterrupted as SearchInterrupted
    from hpsearch.errors import TrialPruned as TrialPruned
    from hpsearch.hookspecs import hookimpl as hookimpl
    from hpsearch.journal import load as load
    from hpsearch.space import Condition as Condition
    from hpsearch.space import Space as Space
    from hpsearch.space import when as when
    from hpsearch.study import BestRun as BestRun
    from hpsearch.study import Study as Study
    from hpsearch.trial import Trial as Trial
    from hpsearch.trial import TrialState as TrialState

__version__ = "0.1.0"

_HOME = {
    "EXHAUSTED": "backend",
    "Backend": "backend",
    "BestRun": "study",
    "Capabilities": "backend",
    "Categorical": "distributions",
    "Condition": "space",
    "Float": "distributions",
    "HpsearchError": "errors",
    "Int": "distributions",
    "Native": "distributions",
    "SearchFailedError": "errors",
    "SearchInterrupted": "errors",
    "Space": "space",
    "Study": "study",
    "Trial": "trial",
    "TrialPruned": "errors",
    "TrialState": "trial",
    "hookimpl": "hookspecs",
    "load": "journal",
    "search": "api",
    "when": "space",
}

__all__ = [
    "EXHAUSTED",
    "Backend",
    "BestRun",
    "Capabilities",
    "Categorical",
    "Condition",
    "Float",
    "HpsearchError",
    "Int",
    "Native",
    "SearchFailedError",
    "SearchInterrupted",
    "Space",
    "Study",
    "Trial",
    "TrialPruned",
    "TrialState",
    "hookimpl",
    "load",
    "search",
    "when",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hpsearch' has no attribute {name!r}")
    value = getattr(import_module(f"hpsearch.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
