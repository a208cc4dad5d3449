"""The options of ``backend="optuna"``: what goes to ``optuna.create_study``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hpsearch.errors import OptionError
from hpsearch.validators import check_options, flag, having, text


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
        sampler, pruner = "optuna.samplers.TPESampler()", "optuna.pruners.MedianPruner()"
        check_options(self, having, "sampler", attribute="sample_independent", example=sampler)
        check_options(self, having, "pruner", attribute="prune", example=pruner)
        if not isinstance(self.storage, str):
            storage = "'sqlite:///optuna.db'"
            check_options(self, having, "storage", attribute="create_new_study", example=storage)
        check_options(self, text, "study_name")
        check_options(self, flag, "load_if_exists")
        if self.load_if_exists and self.storage is not None and self.study_name is None:
            raise OptionError("load_if_exists=True needs study_name=, the study to continue")
