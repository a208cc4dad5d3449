"""One record on every backend: live, loaded and resumed studies agree, constraints included."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from typing import Any

import cloudpickle
import pytest

import hpsearch
from hpsearch import Categorical, Float, Int
from hpsearch.storage.journal import load

pytestmark = [
    pytest.mark.usefixtures("ray_running", "engines_at_rest"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SPACE = {
    "x": Float(0, 1, step=0.1),
    "n": Int(1, 4),
    "c": Categorical(["a", "b"]),
}
ENQUEUED = [{"x": 0.1 + 0.2, "n": 1, "c": "a"}, {"x": 0.7, "n": 2, "c": "b"}]
N_TRIALS, MORE = 8, 11


class Refused(Exception):
    pass


def objective(trial):
    """The best values break a constraint; one trial fails, one is pruned."""
    trial.annotate("memory", 10 * trial["x"])
    trial.report(trial["x"], 5)
    trial.report(math.nan, 2)
    trial.set_constraint("size", 0.35 - trial["x"])
    if trial.number == 3:
        raise Refused(f"no {trial['x']}")
    if trial.number == 4:
        raise hpsearch.TrialPruned
    return trial["x"]


def two(trial):
    trial.annotate("memory", 10 * trial["x"])
    trial.set_constraint("size", 0.35 - trial["x"])
    if trial.number == 3:
        raise Refused(f"no {trial['x']}")
    return trial["x"], float(trial["n"])


def sampler(name, **options):
    """Return what makes one of Optuna's samplers, without importing Optuna yet."""

    def make():
        import optuna

        return {"sampler": getattr(optuna.samplers, name)(seed=1, **options)}

    return make


def constraints_func(frozen):
    return [frozen.params["n"] - 3.0]


BOTH = ["minimize", "maximize"]
MEMORY = {"name": "memory", "strategy": "constraint", "objective": "minimize", "threshold": 8}


@dataclass
class Case:
    """A backend, with the options that matter to its constraints and directions.

    Attributes:
        backend: Its name.
        options: Returns its options.
        directions: Of the study.
        sees: The constraint that the engine has of its own.
    """

    backend: str
    options: Any = dict
    directions: list[str] = field(default_factory=lambda: ["minimize"])
    sees: str | None = None


CASES = {
    "random": Case("random"),
    "grid": Case("grid"),
    "random, two directions": Case("random", directions=BOTH),
    "optuna": Case("optuna"),
    "optuna with constraints_func": Case(
        "optuna", sampler("TPESampler", constraints_func=constraints_func), sees="0"
    ),
    "optuna NSGA-II": Case(
        "optuna", sampler("NSGAIISampler", constraints_func=constraints_func), BOTH, sees="0"
    ),
    "sigopt with a threshold": Case("sigopt", lambda: {"metrics": ["loss", MEMORY]}, sees="memory"),
    "sigopt, two metrics": Case("sigopt", lambda: {"metrics": ["loss", "n"]}, BOTH),
    "ray": Case("ray"),
    "wandb": Case("wandb", lambda: {"mode": "disabled"}),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def search(case, path, backend=None, **options):
    own = case.options() if backend is None else {}
    return hpsearch.search(
        objective if len(case.directions) == 1 else two,
        SPACE,
        backend=backend or case.backend,
        direction=case.directions,
        storage=path,
        catch=Refused,
        progress=False,
        **{"seed": 1, "n_trials": N_TRIALS, "enqueue": ENQUEUED, **own, **options},
    )


def said(study):
    """Return what users read from a study, except the name of its backend."""
    return {
        "json": {**json.loads(study.to_json()), "backend": None},
        "best": [(run.trial.number, run.objective, run.hyperparameters) for run in study.best_runs],
        "table": study.table(),
        "csv": study.to_csv(),
    }


def trials(study):
    return json.loads(study.to_json())["trials"]


def check_best(study):
    """The best runs are the best among the trials that keep every constraint."""
    assert study.best_runs
    assert all(value <= 0 for run in study.best_runs for value in run.trial.constraints.values())
    kept = [trial for trial in study.trials if trial.state == "complete" and trial.feasible]
    if len(study.directions) == 1:
        assert study.best.objective == min(trial.objective for trial in kept)
    assert any(trial.state == "complete" and not trial.feasible for trial in study.trials)


def test_live_loaded_and_resumed_studies_agree(case, tmp_path):
    path = tmp_path / "study.db"
    live = search(case, path)
    check_best(live)
    names = {"size"} if case.sees is None else {"size", case.sees}
    assert all(trial.constraints.keys() == names for trial in live.trials if trial.ended_well)
    assert all(trial.constraints.keys() == {"size"} for trial in live.trials if trial.error)
    expected = said(live)
    assert said(load(path)) == expected
    assert said(search(case, path, resume=True)) == expected
    assert said(load(path)) == expected
    assert said(search(case, path, "random", resume=True)) == expected
    assert "0.30000000000000004" not in live.to_json() + live.table() + live.to_csv()


@pytest.mark.parametrize("backend", [None, "random"], ids=["the same", "random"])
def test_a_study_that_goes_on_keeps_what_it_had(case, backend, tmp_path):
    path = tmp_path / "study.db"
    live = search(case, path)
    resumed = search(case, path, backend, resume=True, n_trials=MORE)
    assert len(resumed.trials) == MORE
    assert trials(resumed)[:N_TRIALS] == trials(live)
    if case.sees == "memory":  # a threshold, which is the study's; a function is the sampler's
        assert all("memory" in trial.constraints for trial in resumed.trials if trial.ended_well)
    check_best(resumed)
    assert said(load(path)) == said(resumed)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("optuna")])
def test_optuna_knows_the_constraints_after_a_resume(name, tmp_path):
    case, path = CASES[name], tmp_path / "study.db"
    search(case, path, "random")
    study = search(case, path, resume=True, n_trials=MORE)
    for trial in study.trials:
        if trial.ended_well:
            assert study.native.trials[trial.number].constraints == trial.constraints


@pytest.fixture(scope="module", autouse=True)
def _this_module_goes_by_value():
    """Workers cannot import a test file, so its functions are sent by value, as a script's are."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


@pytest.mark.parametrize("executor", ["process", "ray"])
def test_constraints_are_the_same_wherever_trials_run(executor, tmp_path):
    case = CASES["random"]
    here = search(case, tmp_path / "here.db")
    options = {"storage_path": tmp_path} if executor == "ray" else {}
    there = search(case, tmp_path / "there.db", executor=executor, n_workers=1, **options)
    for study in (there, load(tmp_path / "there.db")):
        assert [t.constraints for t in study.trials] == [t.constraints for t in here.trials]
        assert [t.feasible for t in study.trials] == [t.feasible for t in here.trials]
        assert study.best.hyperparameters == here.best.hyperparameters
