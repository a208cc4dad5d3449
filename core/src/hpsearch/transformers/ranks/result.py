"""How a search ended, as JSON, so that it ends on every rank as on rank 0."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hpsearch import errors
from hpsearch.errors import HpsearchError, RankError, SearchFailedError, SearchInterrupted
from hpsearch.space import distributions
from hpsearch.space.space import Space
from hpsearch.study.study import BestRun, Study
from hpsearch.study.trial import Trial, TrialError, TrialState
from hpsearch.transformers.ranks.board import Note


def note_of_study(study: Study) -> Note:
    """Describe a search that came to its end."""
    return {
        "study": {
            "name": study.name,
            "directions": list(study.directions),
            "n_trials": study.n_trials,
            "timeout": study.timeout,
            "seed": study.seed,
            "space": None if study.space is None else study.space.to_dict(),
            "parameter_names": study.parameter_names,
            "backend": study.backend,
            "n_workers": study.n_workers,
        },
        "trials": [_of_trial(trial) for trial in study.trials],
        "best": None if study._best is None else [_of_run(run) for run in study._best],
    }


def note_of_error(error: BaseException) -> Note:
    """Describe what ended a search."""
    study = getattr(error, "study", None)
    told = {"type": type(error).__name__, "text": str(error)}
    return {"error": told} if study is None else {"error": told, **note_of_study(study)}


def study_of(note: Note) -> Study:
    """Return the study of a search that came to its end.

    Raises:
        HpsearchError: What ended it instead.
    """
    if "error" not in note:
        return _study(note)
    name, text = note["error"]["type"], note["error"]["text"]
    kind = getattr(errors, name, None)
    if "study" in note and kind in (SearchFailedError, SearchInterrupted):
        raise kind(text, _study(note))
    if name == KeyboardInterrupt.__name__:
        raise KeyboardInterrupt(text)
    if isinstance(kind, type) and issubclass(kind, HpsearchError):
        raise kind(text)
    raise RankError(f"rank 0 ended the search with {name}: {text}")


def _study(note: Note) -> Study:
    facts = dict(note["study"])
    space = facts.pop("space")
    names = facts.pop("parameter_names")
    study = Study(
        facts.pop("name"),
        facts.pop("directions"),
        space=None if space is None else Space.from_dict(space),
        parameter_names=None if names is None else tuple(names),
        **facts,
    )
    study._trials = [_trial(data, study.seed) for data in note["trials"]]
    if note["best"] is not None:
        trials = {trial.id: trial for trial in study.trials}
        study._best = [_run(data, trials) for data in note["best"]]
    return study


def _of_trial(trial: Trial) -> Note:
    return {
        "number": trial.number,
        "id": trial.id,
        "state": str(trial.state),
        "objectives": trial.objectives,
        "params": dict(trial.params),
        "derived": dict(trial.derived),
        "intermediate": list(trial.intermediate.items()),
        "attrs": trial.attrs,
        "distributions": {name: item.to_dict() for name, item in trial.distributions.items()},
        "error": None if trial.error is None else trial.error.to_dict(),
        "fixed": dict(trial.fixed),
        "retry_of": trial.retry_of,
        "started": trial.started,
        "ended": trial.ended,
    }


def _trial(data: Mapping[str, Any], study_seed: int) -> Trial:
    trial = Trial(
        data["number"],
        params=data["params"],
        study_seed=study_seed,
        id=data["id"],
        fixed=data["fixed"],
        retry_of=data["retry_of"],
        started=data["started"],
    )
    trial._derive(data["derived"])
    trial.state = TrialState(data["state"])
    trial.objectives = None if data["objectives"] is None else tuple(data["objectives"])
    trial.intermediate = {step: tuple(values) for step, values in data["intermediate"]}
    trial.attrs = data["attrs"]
    known = data["distributions"].items()
    trial.distributions = {name: distributions.from_dict(item) for name, item in known}
    trial.error = None if data["error"] is None else TrialError.from_dict(data["error"])
    trial.ended = data["ended"]
    return trial


def _of_run(run: BestRun) -> Note:
    try:
        summary = json.loads(json.dumps(run.run_summary))
    except (TypeError, ValueError):  # an engine's own object, which stays with rank 0
        summary = None
    return {
        "run_id": run.run_id,
        "objective": run.objective,
        "hyperparameters": run.hyperparameters,
        "run_summary": summary,
    }


def _run(data: Note, trials: Mapping[str, Trial]) -> BestRun:
    run = BestRun(**data)
    run.trial = trials[run.run_id]
    return run
