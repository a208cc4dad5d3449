"""The backend: each trial of a search is a trial of one Optuna study, asked and told."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hpsearch.errors import BackendError
from hpsearch.plugins.backend import USUAL, Backend
from hpsearch.plugins.hookspecs import hookimpl
from hpsearch.study.outcome import TrialState
from hpsearch.study.record import TrialRecord
from hpsearch_optuna.constraints import (
    JUDGED,
    constraints,
    constraints_of,
    has_constraints,
    set_constraints,
)
from hpsearch_optuna.options import OptunaOptions
from hpsearch_optuna.space import draw, draws, to_optuna_value
from hpsearch_optuna.studies import open_storage, open_study, seed_sampler, take_over
from hpsearch_optuna.trials import add_trial, teller, to_optuna_state, to_optuna_trial

if TYPE_CHECKING:
    import optuna

    from hpsearch.space.distributions import Distribution
    from hpsearch.space.space import Space
    from hpsearch.study.study import Study


class OptunaBackend(Backend):
    """Optuna's samplers and pruners, through ``study.ask`` and ``study.tell``."""

    api_version = 1
    capabilities = replace(USUAL, define_by_run=True, pruning=True)
    Options = OptunaOptions

    _native: optuna.Study

    def __init__(self, options: OptunaOptions) -> None:
        super().__init__(options)
        self._closing = ExitStack()

    @hookimpl
    def hpsearch_open(self, study: Study) -> None:
        storage = open_storage(self.options)
        if storage is not None:
            self._closing.callback(storage.remove_session)
        self._native = native = open_study(storage, self.options, study)
        taken_over = take_over(native, study)
        seed_sampler(native, self.options, study)
        # Some samplers stop their study when they have drawn all there is; so may an objective.
        stop = partial(study.history.request_stop, "Optuna's study.stop() was called")
        native.stop = stop  # type: ignore[method-assign]
        self._closing.callback(vars(native).pop, "stop")
        study.native = native
        self._tell = teller()
        self._taken_over = {frozen.number for frozen in taken_over}
        self._draws = {} if study.space is None else draws(study.space)
        self._asked: deque[optuna.Trial] = deque()
        self._ended: int | None = None
        self._is_constrained = has_constraints(native.sampler)

    @hookimpl
    def hpsearch_suggest(self, study: Study, trial: TrialRecord) -> Mapping[str, Any]:
        if trial.fixed:
            trial.native = self._ask_for(trial.fixed)
        else:
            trial.native = self._asked.popleft() if self._asked else self._native.ask()
        return self._params(study.space, trial.native)

    @hookimpl
    def hpsearch_start(self, study: Study, trial: TrialRecord) -> None:
        if trial.native is not None or study.space is None:
            return
        # Nobody suggested it: it was enqueued, retried or unfinished. To Optuna it is enqueued.
        known = study.space.parameters
        params = {name: to_optuna_value(value, known[name]) for name, value in trial.params.items()}
        trial.native = self._ask_for(params)
        self._params(study.space, trial.native)
        if trial.native.params != params:
            raise BackendError(
                f"trial {trial.number} was enqueued in Optuna's storage, and another process took "
                "it from there"
            )

    @hookimpl
    def hpsearch_suggest_parameter(
        self, trial: TrialRecord, name: str, distribution: Distribution
    ) -> Any:
        return draw(name, distribution)(trial.native)

    @hookimpl
    def hpsearch_report(self, trial: TrialRecord, step: int, values: tuple[float, ...]) -> bool:
        if len(values) > 1:
            return False  # Optuna takes reports, and prunes, in one direction only.
        trial.native.report(values[0], step)
        prune: bool = trial.native.should_prune()
        return prune

    @hookimpl
    def hpsearch_constrain(self, study: Study, trial: TrialRecord) -> Mapping[str, float]:
        if not self._is_constrained:
            return {}
        if trial.native is None:
            if JUDGED in trial.constraints:
                return {}  # The record has what constraints_func answered when the trial ended.
            return constraints_of(self._native.sampler, to_optuna_trial(trial, study))
        # The sampler asks its constraints_func when the trial is told, and asks it once.
        self._end(trial)
        return constraints(self._native, trial.native)

    @hookimpl
    def hpsearch_tell(self, study: Study, trial: TrialRecord) -> None:
        if trial.native is not None:
            self._end(trial)
        elif trial.number not in self._taken_over:
            add_trial(self._native, trial, study)

    @hookimpl
    def hpsearch_close(self) -> None:
        self._closing.close()

    def _end(self, trial: TrialRecord) -> None:
        """Tell Optuna how a trial ended, unless it knows."""
        native = trial.native
        if trial.number == self._ended:
            return
        for name, value in trial.attrs.items():
            native.set_user_attr(name, value)
        set_constraints(self._native, native, trial.constraints)
        if trial.state is TrialState.COMPLETE:
            self._tell(self._native, native, trial.objectives)
        else:
            self._tell(self._native, native, None, to_optuna_state(trial.state))
        self._ended = trial.number

    def _ask_for(self, params: Mapping[str, Any]) -> optuna.Trial:
        """Ask for a trial with the given parameters."""
        from optuna.trial import TrialState as State

        # Trials that wait in Optuna come first there; they are kept for the next suggestions.
        waiting = self._native.get_trials(deepcopy=False, states=(State.WAITING,))
        self._asked.extend(self._native.ask() for _ in waiting)
        self._native.enqueue_trial(dict(params))
        return self._native.ask()

    def _params(self, space: Space | None, native: optuna.Trial) -> dict[str, Any]:
        """Return the trial's point of the space, for which it may still have to be asked."""
        if space is None:
            return {}
        params: dict[str, Any] = {}
        for name, _ in space.active(params):
            params[name] = self._draws[name](native)
        return params
