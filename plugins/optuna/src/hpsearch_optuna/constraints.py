"""Constraints of trials, which Optuna keeps in the trials' system attributes.

Optuna 5 has one attribute for each name, and a trial's ``set_constraint``; Optuna 4 has one list,
which ``constraints_func`` of a sampler fills. The samplers of each read their own form.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger("hpsearch")

_LIST = "constraints"

JUDGED = "0"
"""The name of what ``constraints_func`` answers first: a trial that has it was judged."""


def has_constraints(sampler: optuna.samplers.BaseSampler) -> bool:
    """Whether a sampler has a ``constraints_func``."""
    return _function(sampler) is not None


def constraints_of(
    sampler: optuna.samplers.BaseSampler, frozen: optuna.trial.FrozenTrial
) -> dict[str, float]:
    """Return what a sampler's ``constraints_func`` says of a trial that ended earlier.

    It may read facts that a trial of another search does not have; then it says nothing.
    """
    function = _function(sampler)
    try:
        values = () if function is None else tuple(function(frozen))
    except Exception as error:  # noqa: BLE001 - the user's function, about a trial it did not see
        logger.warning(
            "constraints_func cannot judge trial %d of an earlier search: %s: %s",
            *(frozen.number, type(error).__name__, error),
        )
        values = ()
    return {str(index): float(value) for index, value in enumerate(values)}


def constraints(native: optuna.Study, trial: optuna.Trial) -> dict[str, float]:
    """Return the constraints of a trial of a study that has just been told."""
    frozen = native.get_trials(deepcopy=False)[trial.number]
    return constraints_in(frozen)


def constraints_in(frozen: optuna.trial.FrozenTrial) -> dict[str, float]:
    """Return the constraints that Optuna keeps of a trial, by name."""
    if hasattr(frozen, "constraints"):
        return {name: float(value) for name, value in frozen.constraints.items()}
    values = frozen.system_attrs.get(_LIST) or ()
    return {str(index): float(value) for index, value in enumerate(values)}


def set_constraints(native: optuna.Study, trial: optuna.Trial, values: Mapping[str, float]) -> None:
    """Give a running trial its constraints."""
    if not values:
        return
    if hasattr(trial, "set_constraint"):
        known = trial.constraints
        for name, value in values.items():
            if name not in known:
                trial.set_constraint(name, value)
    else:
        native._storage.set_trial_system_attr(trial._trial_id, _LIST, list(values.values()))


def constraints_as_attrs(values: Mapping[str, float]) -> dict[str, Any]:
    """Return the system attributes that a trial with these constraints has."""
    from optuna.trial import FrozenTrial

    if not values:
        return {}
    if hasattr(FrozenTrial, "constraints"):
        return {f"{_LIST}:{name}": value for name, value in values.items()}
    return {_LIST: list(values.values())}


def _function(sampler: optuna.samplers.BaseSampler) -> Any:
    # Samplers have no public name for it. PartialFixedSampler has another sampler inside.
    inner = getattr(sampler, "_base_sampler", None)
    return getattr(sampler, "_constraints_func", None) or (inner and _function(inner))
