"""Hyperparameter search for Hugging Face Trainers, with any backend of hpsearch.

>>> from hpsearch.transformers import hyperparameter_search  # doctest: +SKIP
>>> best = hyperparameter_search(trainer, hp_space=..., direction="maximize")  # doctest: +SKIP

The files in the order in which they are best read: ``search`` (the entry), ``objective`` (one
trial), ``build`` and ``arguments`` (a Trainer with the trial's values), ``run`` and ``callbacks``
(its training), ``repeats`` (several trainings in one trial), ``metrics``, ``checkpoints`` and
``folders``, ``best`` and ``weights`` (the best model), ``snapshot`` and ``state`` (a trial starts
as given), ``applied`` (Trainers of other libraries).
The names below load on first use, since transformers and torch take seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpsearch.transformers.applied import AppliesHyperparameters as AppliesHyperparameters
    from hpsearch.transformers.best import apply_hyperparameters as apply_hyperparameters
    from hpsearch.transformers.best import load_best_model as load_best_model
    from hpsearch.transformers.best import refit as refit
    from hpsearch.transformers.metrics import at_least as at_least
    from hpsearch.transformers.metrics import at_most as at_most
    from hpsearch.transformers.metrics import default_objective as default_objective
    from hpsearch.transformers.objective import TrainerObjective as TrainerObjective
    from hpsearch.transformers.repeats import Folds as Folds
    from hpsearch.transformers.repeats import Seeds as Seeds
    from hpsearch.transformers.search import disable as disable
    from hpsearch.transformers.search import enable as enable
    from hpsearch.transformers.search import hyperparameter_search as hyperparameter_search
    from hpsearch.transformers.upstream import DEFAULT_SPACE as DEFAULT_SPACE

_HOME = {
    "AppliesHyperparameters": "applied",
    "DEFAULT_SPACE": "upstream",
    "Folds": "repeats",
    "Seeds": "repeats",
    "TrainerObjective": "objective",
    "apply_hyperparameters": "best",
    "at_least": "metrics",
    "at_most": "metrics",
    "default_objective": "metrics",
    "disable": "search",
    "enable": "search",
    "hyperparameter_search": "search",
    "load_best_model": "best",
    "refit": "best",
}

__all__ = [
    "DEFAULT_SPACE",
    "AppliesHyperparameters",
    "Folds",
    "Seeds",
    "TrainerObjective",
    "apply_hyperparameters",
    "at_least",
    "at_most",
    "default_objective",
    "disable",
    "enable",
    "hyperparameter_search",
    "load_best_model",
    "refit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hpsearch.transformers' has no attribute {name!r}")
    value = getattr(import_module(f"hpsearch.transformers.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
