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
    from hpsearch.errors import HpsearchError as HpsearchError
    from hpsearch.errors import SearchFailedError as SearchFailedError
    from hpsearch.errors import SearchInterrupted as SearchInterrupted
    from hpsearch.errors import TrialPruned as TrialPruned
    from hpsearch.plugins.backend import EXHAUSTED as EXHAUSTED
    from hpsearch.plugins.backend import Backend as Backend
    from hpsearch.plugins.backend import Capabilities as Capabilities
    from hpsearch.plugins.hookspecs import hookimpl as hookimpl
    from hpsearch.session.api import search as search
    from hpsearch.space.distributions import Categorical as Categorical
    from hpsearch.space.distributions import Float as Float
    from hpsearch.space.distributions import Int as Int
    from hpsearch.space.distributions import Native as Native
    from hpsearch.space.space import Condition as Condition
    from hpsearch.space.space import Space as Space
    from hpsearch.space.space import when as when
    from hpsearch.storage.journal import load as load
    from hpsearch.study.outcome import TrialState as TrialState
    from hpsearch.study.record import TrialRecord as TrialRecord
    from hpsearch.study.study import BestRun as BestRun
    from hpsearch.study.study import Study as Study
    from hpsearch.study.trial import Trial as Trial

__version__ = "0.1.0"

_HOME = {
    "EXHAUSTED": "plugins.backend",
    "Backend": "plugins.backend",
    "BestRun": "study.study",
    "Capabilities": "plugins.backend",
    "Categorical": "space.distributions",
    "Condition": "space.space",
    "Float": "space.distributions",
    "HpsearchError": "errors",
    "Int": "space.distributions",
    "Native": "space.distributions",
    "SearchFailedError": "errors",
    "SearchInterrupted": "errors",
    "Space": "space.space",
    "Study": "study.study",
    "Trial": "study.trial",
    "TrialPruned": "errors",
    "TrialRecord": "study.record",
    "TrialState": "study.outcome",
    "hookimpl": "plugins.hookspecs",
    "load": "storage.journal",
    "search": "session.api",
    "when": "space.space",
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
    "TrialRecord",
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
