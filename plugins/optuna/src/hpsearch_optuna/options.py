"""The options of ``backend="optuna"``: what goes to ``optuna.create_study``."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

from hpsearch.errors import OptionError
from hpsearch.validators import check_options, flag, text


@dataclass(frozen=True, slots=True)
class OptunaOptions:
    """What goes to ``optuna.create_study``.

    Attributes:
        sampler: An ``optuna.samplers`` object. None takes Optuna's default, seeded with the
            study's seed.
        pruner: An ``optuna.pruners`` object. None takes Optuna's default, the median pruner,
            unless a pruner of hpsearch's is in force.
        storage: An Optuna storage, or the URL of one. None keeps the study in memory.
        study_name: The study's name in the storage. None lets Optuna make one up.
        load_if_exists: Continue the study of that name.
    """

    sampler: Any = None
    pruner: Any = None
    # A URL may hold a password.
    storage: Any = field(default=None, repr=False)
    study_name: str | None = None
    load_if_exists: bool = False

    def __post_init__(self) -> None:
        _check_object("sampler", self.sampler, "sample_independent", "optuna.samplers.TPESampler()")
        _check_object("pruner", self.pruner, "prune", "optuna.pruners.MedianPruner()")
        if not isinstance(self.storage, str):
            _check_object("storage", self.storage, "create_new_study", "'sqlite:///optuna.db'")
        check_options(self, text, "study_name")
        check_options(self, flag, "load_if_exists")
        if self.load_if_exists and self.storage is not None and self.study_name is None:
            raise OptionError("load_if_exists=True needs study_name=, the study to continue")


def _check_object(option: str, given: Any, method: str, example: str) -> None:
    if given is None or (hasattr(given, method) and not inspect.isclass(given)):
        return
    what = f"the class {given.__name__}" if inspect.isclass(given) else repr(given)
    raise OptionError(f"{option} is {what}, expected an object such as {example}")
