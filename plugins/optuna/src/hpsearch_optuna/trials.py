"""Trials from elsewhere: ours into an Optuna study, and those of its storage into ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from hpsearch.errors import SpaceError
from hpsearch.study.outcome import Outcome, TrialError, TrialState
from hpsearch.study.record import TrialRecord
from hpsearch_optuna.constraints import constraints_as_attrs, constraints_in
from hpsearch_optuna.space import from_optuna, to_optuna, to_optuna_value

if TYPE_CHECKING:
    import optuna

    from hpsearch.study.study import Study

_STATES = {
    TrialState.COMPLETE: "COMPLETE",
    TrialState.PRUNED: "PRUNED",
    TrialState.FAILED: "FAIL",
}


def to_optuna_state(state: TrialState) -> optuna.trial.TrialState:
    """Return Optuna's word for how a trial ended."""
    from optuna.trial import TrialState as Native

    return Native[_STATES[state]]


def teller() -> Callable[..., object]:
    """Return what tells an Optuna study how a trial ended: study, trial, values or None, state.

    ``Study.tell`` copies the trial deeply to return it, which takes longer than telling. Optuna's
    own loop calls the function beneath, which has no public name. It was tried on Optuna 4.0 to
    5.0; where it is not there, ``Study.tell`` does the same.
    """
    try:
        from optuna.study._tell import _tell_with_warning
    except ImportError:
        from optuna import Study

        return Study.tell
    return _tell_with_warning


def to_optuna_trial(trial: TrialRecord, study: Study) -> optuna.trial.FrozenTrial:
    """Return an ended trial as one that ``optuna.Study.add_trial`` takes."""
    from optuna.trial import create_trial

    distributions = study.distributions_of(trial)
    intermediate = {step: v[0] for step, v in trial.intermediate.items() if len(v) == 1}
    values = trial.objectives
    if trial.state is TrialState.PRUNED and intermediate:
        # Optuna takes the last report of a pruned trial for its value.
        last = intermediate[max(intermediate)]
        values = None if math.isnan(last) else (last,)
    frozen = create_trial(
        state=to_optuna_state(trial.state),
        values=values,
        params={n: to_optuna_value(v, distributions[n]) for n, v in trial.params.items()},
        distributions={name: to_optuna(item) for name, item in distributions.items()},
        intermediate_values=intermediate,
        user_attrs=dict(trial.attrs),
        system_attrs=constraints_as_attrs(trial.constraints),
    )
    frozen.number = trial.number
    # Optuna keeps local times without a zone.
    frozen.datetime_start = datetime.fromtimestamp(trial.started)  # noqa: DTZ006
    frozen.datetime_complete = datetime.fromtimestamp(trial.ended or trial.started)  # noqa: DTZ006
    return frozen


def add_trial(native: optuna.Study, trial: TrialRecord, study: Study) -> None:
    """Add an ended trial to an Optuna study.

    Raises:
        SpaceError: One of its parameters was drawn from something that does not go together, for
            Optuna, with what the parameter was drawn from in an earlier trial.
    """
    frozen = to_optuna_trial(trial, study)
    try:
        native.add_trial(frozen)
    except ValueError as error:
        raise SpaceError(
            f"trial {trial.number} was drawn from distributions that Optuna cannot have together "
            f"with those of earlier trials: {error}. Continue with backend 'random'"
        ) from error


def from_optuna_trial(frozen: optuna.trial.FrozenTrial, study: Study) -> TrialRecord:
    """Return an ended trial of Optuna's storage as one of the study's.

    Raises:
        SpaceError: Its parameters are no point of the study's space.
    """
    params = dict(frozen.params)
    state = next(ours for ours, theirs in _STATES.items() if theirs == frozen.state.name)
    if study.space is not None and state is not TrialState.FAILED:
        try:
            params = study.space.validate(params)
        except SpaceError as error:
            raise SpaceError(
                f"trial {frozen.number} in Optuna's storage is not in the space: {error}"
            ) from None
    trial = TrialRecord(
        frozen.number,
        params=params,
        study_seed=study.seed,
        fixed=frozen.system_attrs.get("fixed_params"),
        started=frozen.datetime_start.timestamp() if frozen.datetime_start else 0.0,
    )
    for step, value in frozen.intermediate_values.items():
        trial.report(step, (value,))
    trial.attrs = dict(frozen.user_attrs)
    trial.constraints = constraints_in(frozen)
    if study.space is None or state is TrialState.FAILED:
        trial.distributions = {n: from_optuna(item) for n, item in frozen.distributions.items()}
    outcome = Outcome(
        state,
        tuple(frozen.values) if state is TrialState.COMPLETE else None,
        TrialError("Failed", "in an earlier run; Optuna's storage has no reason")
        if state is TrialState.FAILED
        else None,
    )
    ended = trial.started
    if frozen.datetime_complete is not None:
        ended = frozen.datetime_complete.timestamp()
    trial.end(outcome, ended, max(ended - trial.started, 0.0))
    return trial
