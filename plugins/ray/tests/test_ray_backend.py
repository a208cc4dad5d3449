"""Searches on Ray Tune: reports, ends of all kinds, what is refused, and what the user sees."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import threading
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import TPESampler
from ray import tune
from ray.tune.schedulers import (
    ASHAScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
)
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

import hpsearch
from hpsearch import Categorical, Float, Int, hookimpl
from hpsearch.errors import (
    ArgumentError,
    BackendError,
    CapabilityError,
    OptionError,
    SearchFailedError,
    SearchInterrupted,
    SpaceError,
)
from hpsearch.pruners import MedianPruner, Pruner
from hpsearch.space.space import Space, when
from hpsearch.study.outcome import TrialState

SPACE = {"x": Float(0.0, 1.0)}


def search(objective, space=SPACE, **arguments):
    options = {"n_trials": 4, "seed": 1, "progress": False, "n_workers": 1, **arguments}
    return hpsearch.search(objective, space, backend="ray", **options)


def never(trial):
    raise AssertionError("no trial should run")


def states(study):
    return [str(trial.state) for trial in study.trials]


class Watcher:
    """Notes what happens, in order, and what the study looked like then."""

    def __init__(self):
        self.events = []

    @hookimpl
    def hpsearch_start(self, trial):
        self.events.append(("start", trial.number))

    @hookimpl
    def hpsearch_report(self, trial, step, values):
        self.events.append(("report", trial.number, step, values))

    @hookimpl
    def hpsearch_tell(self, trial):
        self.events.append(("tell", trial.number, str(trial.state)))


# What the trials say reaches the study.


def test_reports_reach_the_study_as_they_happen(results):
    def objective(trial):
        for step in range(2):
            trial.report(step + trial.number, step)
        return 5.0

    watcher = Watcher()
    search(objective, n_trials=2, plugins=[watcher], storage_path=results)
    assert watcher.events == [
        event
        for n in range(2)
        for event in (
            ("start", n),
            ("report", n, 0, (float(n),)),
            ("report", n, 1, (1.0 + n,)),
            ("tell", n, "complete"),
        )
    ]


def test_facts_derived_values_and_an_early_end_reach_the_study(results):
    def space(trial):
        return {"x": trial.suggest_float("x", 0, 1), "derived": "yes"}

    def objective(trial):
        trial.annotate("pid", os.getpid())
        if trial.number == 1:
            trial.stop_study()
        return trial["x"]

    study = search(objective, space, storage_path=results)
    assert len(study.trials) == 2
    first, second = study.trials
    assert first["derived"] == "yes"
    assert first.attrs["pid"] == second.attrs["pid"] != os.getpid()


def test_a_trial_is_read_as_ray_users_read_a_config(results):
    native = {"lr": tune.loguniform(1e-3, 1e-1), "model": {"width": tune.choice([8])}, "const": "c"}

    def objective(trial):
        assert trial.config["lr"] == trial["lr"]
        assert trial.config["model"]["width"] == trial["model.width"] == 8
        assert trial.config["const"] == "c"
        return trial.config["lr"]

    assert states(search(objective, native, n_trials=1, storage_path=results)) == ["complete"]


def test_relative_paths_mean_the_users_folder(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data.txt").write_text("0.25")
    study = search(lambda trial: float(Path("data.txt").read_text()), storage_path="ray")
    assert {trial.objective for trial in study.trials} == {0.25}
    assert (tmp_path / "ray").is_dir()


def test_trials_share_one_copy_of_the_data_that_can_be_changed_in_place(results):
    data = np.zeros(3)

    def objective(trial):
        data[0] += 1
        return data[0]

    study = search(objective, storage_path=results)
    assert [trial.objective for trial in study.trials] == [1.0, 2.0, 3.0, 4.0]
    assert data[0] == 0


# How trials end.


def test_a_failed_trial_keeps_its_traceback_and_the_search_goes_on(results):
    def objective(trial):
        if trial.number == 1:
            trial.annotate("seen", "before")
            raise KeyError("no such column")
        return trial["x"]

    study = search(objective, storage_path=results)
    assert states(study) == ["complete", "failed", "complete", "complete"]
    failed = study.trials[1]
    assert failed.error.type == "KeyError"
    assert 'raise KeyError("no such column")' in failed.error.traceback
    assert failed.attrs["seen"] == "before"
    assert [result.error is None for result in study.native] == [True, False, True, True]


def test_the_first_failure_ends_a_search_that_never_worked(results):
    def objective(trial):
        raise ZeroDivisionError("always")

    with pytest.raises(SearchFailedError, match="trial 0 failed before any trial") as caught:
        search(objective, n_trials=20, storage_path=results)
    assert len(caught.value.study.trials) == 1


def test_a_worker_that_dies_fails_its_trial_alone(results):
    def objective(trial):
        if trial.number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return trial["x"]

    study = search(objective, storage_path=results)
    assert states(study) == ["complete", "failed", "complete", "complete"]
    assert "Died" in study.trials[1].error.type


def test_nan_fails_a_trial_and_leaves_rays_best_result_alone(results):
    def objective(trial):
        trial.report(math.nan, 0)
        return math.nan if trial.number == 2 else trial["x"]

    study = search(objective, storage_path=results, direction="maximize")
    assert states(study) == ["complete", "complete", "failed", "complete"]
    assert study.trials[2].error.type == "hpsearch.errors.ObjectiveError"
    assert study.native.get_best_result().metrics["objective"] == study.best.objective


def test_a_worker_that_does_not_get_free_is_replaced(results):
    def objective(trial):
        if trial.number == 0:
            os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "1"
            try:
                steps_of(trial)
            except hpsearch.TrialPruned:
                time.sleep(60)
        return trial["x"]

    study = search(objective, n_trials=3, stop={"step": 1}, storage_path=results)
    assert states(study) == ["complete", "failed", "complete"]
    assert "Ray gave the trial up" in study.trials[1].error.message


def test_ray_starts_a_failed_trial_again_from_its_checkpoint(results, tmp_path):
    def objective(trial):
        done = int(Path(trial.resume_from, "step").read_text()) + 1 if trial.resume_from else 0
        for step in range(done, 4):
            folder = tmp_path / f"save{step}"
            folder.mkdir(exist_ok=True)
            (folder / "step").write_text(str(step))
            trial.report(float(step), step, checkpoint=str(folder))
            if step == 1 and not done:
                os.kill(os.getpid(), signal.SIGKILL)
        return float(done)

    study = search(
        objective,
        n_trials=1,
        storage_path=results,
        failure_config=tune.FailureConfig(max_failures=1),
        keep_checkpoints_num=1,
    )
    (trial,) = study.trials
    assert trial.objective == 2.0
    assert sorted(trial.intermediate) == [0, 1, 2, 3]
    assert Path(study.best.checkpoint, "step").read_text() == "3"


# What Ray stops.


def steps_of(trial, count=12):
    for step in range(count):
        trial.report(trial["x"], step)


@pytest.mark.parametrize(
    "scheduler",
    [
        ASHAScheduler(max_t=50, grace_period=2, reduction_factor=2),
        MedianStoppingRule(grace_period=2, min_samples_required=2, time_attr="step"),
    ],
    ids=["asha", "median"],
)
def test_a_scheduler_of_rays_prunes_and_the_objective_cleans_up(results, tmp_path, scheduler):
    def objective(trial):
        try:
            steps_of(trial)
        except hpsearch.TrialPruned:
            (tmp_path / f"cleaned{trial.number}").touch()
            raise
        return trial["x"]

    worse = [{"x": x} for x in (0.1, 0.2, 0.8, 0.9)]
    study = search(objective, enqueue=worse, scheduler=scheduler, storage_path=results)
    assert states(study)[0] == "complete"
    assert states(study)[3] == "pruned"
    assert len(study.trials[3].intermediate) < 12
    cleaned = {int(path.name[7:]) for path in tmp_path.glob("cleaned*")}
    assert cleaned == {t.number for t in study.trials if t.state is TrialState.PRUNED}
    assert scheduler.metric is None  # The user's object is for the next search, too.


def test_a_trial_that_used_all_of_the_schedulers_time_is_complete(results):
    def objective(trial):
        steps_of(trial, 100)
        raise AssertionError("the scheduler's max_t was passed")

    scheduler = ASHAScheduler(time_attr="step", max_t=3, grace_period=1, mode="max")
    study = search(
        objective, n_trials=2, direction="maximize", scheduler=scheduler, storage_path=results
    )
    assert study.trials[0].state is TrialState.COMPLETE
    assert study.trials[0].objective == study.trials[0]["x"]
    assert sorted(study.trials[0].intermediate) == [0, 1, 2, 3]


def test_hyperband_pauses_trials_and_goes_on_with_them(results, tmp_path):
    def objective(trial):
        start = int(Path(trial.resume_from, "step").read_text()) + 1 if trial.resume_from else 0
        for step in range(start, 9):
            folder = tmp_path / f"{trial.number}-{step}"
            folder.mkdir(exist_ok=True)
            (folder / "step").write_text(str(step))
            trial.report(trial["x"], step, checkpoint=str(folder))
        return trial["x"]

    study = search(
        objective,
        n_trials=4,
        n_workers=2,
        scheduler=HyperBandScheduler(max_t=9, reduction_factor=3),
        storage_path=results,
    )
    assert set(states(study)) <= {"complete", "pruned"}
    assert "complete" in states(study)
    best = min(study.trials, key=lambda trial: trial["x"])
    assert study.best.run_id == best.id


def test_population_based_training_goes_on_from_better_trials(results, tmp_path):
    def reached(number, step):
        while not (tmp_path / f"{number}-{step}").exists():
            time.sleep(0.01)

    def objective(trial):
        level, start = 0.0, 0
        if trial.resume_from:
            level, start = json.loads(Path(trial.resume_from, "state").read_text())
            (tmp_path / f"{trial.number}-resumed").touch()
        for step in range(start, 8):
            # At step 4 both have a result: the better one is saved, and the other one takes over.
            waits_for = {(1, 4): (0, 3), (0, 4): (1, 5), (1, 6): (0, "resumed")}
            if (trial.number, step) in waits_for and not trial.resume_from:
                reached(*waits_for[trial.number, step])
            level += trial["x"]
            folder = tmp_path / f"{trial.number}-{step}"
            folder.mkdir(exist_ok=True)
            (folder / "state").write_text(json.dumps([level, step + 1]))
            trial.report(level, step, checkpoint=str(folder))
        return level

    scheduler = PopulationBasedTraining(
        time_attr="step",
        perturbation_interval=2,
        hyperparam_mutations={"x": tune.uniform(0, 1)},
        quantile_fraction=0.5,
        resample_probability=0,
    )
    study = search(
        objective,
        n_trials=2,
        n_workers=None,
        direction="maximize",
        enqueue=[{"x": 0.0}, {"x": 0.9}],
        scheduler=scheduler,
        storage_path=results,
    )
    assert states(study) == ["complete", "complete"]
    poor = study.trials[0]
    changes = poor.attrs["changed_params"]
    assert changes[0]["params"] == {"x": 0.0}
    assert poor["x"] == pytest.approx(0.72) or poor["x"] == 1.0  # 0.9 * 1.2, kept in the space
    assert poor.objective > 2.0
    assert sorted(poor.intermediate) == list(range(8))
    level, _ = json.loads(Path(study.best.checkpoint, "state").read_text())
    assert level == study.best.objective


def test_a_pruner_of_the_core_stops_trials_on_ray(results):
    def objective(trial):
        steps_of(trial)
        return trial["x"]

    points = [{"x": x} for x in (0.1, 0.2, 0.1, 0.9)]
    pruner = MedianPruner(n_startup_trials=2)
    study = search(objective, enqueue=points, pruner=pruner, storage_path=results)
    assert states(study) == ["complete", "complete", "complete", "pruned"]
    assert len(study.trials[3].intermediate) == 1


def test_a_criterion_of_the_user_completes_a_trial(results):
    def objective(trial):
        steps_of(trial, 100)

    study = search(objective, n_trials=2, stop={"step": 4}, storage_path=results)
    assert states(study) == ["complete", "complete"]
    assert [max(trial.intermediate) for trial in study.trials] == [4, 4]


def test_the_time_budget_prunes_what_runs_and_the_timeout_does_not(results):
    def objective(trial):
        for step in range(10_000):
            trial.report(float(step), step)
            time.sleep(0.05)
        return 1.0

    study = search(objective, time_budget_s=4, storage_path=results)
    assert states(study) == ["pruned"]

    def short(trial):
        time.sleep(4.5)
        return 1.0

    study = search(short, timeout=4, storage_path=results)
    assert states(study) == ["complete"]


def test_a_timeout_before_the_first_trial_is_named(results, caplog):
    study = search(never, timeout=0.01, storage_path=results)
    assert not study.trials
    assert "ended without a trial: the timeout of 0.01 s was reached" in caplog.text


# Where parameters come from.


def test_a_grid_is_tried_in_order_and_ends_the_search(results):
    native = {"b": tune.grid_search([1, 2]), "a": tune.grid_search(["x", "y"]), "c": 7}
    study = search(lambda trial: trial["b"], native, n_trials=20, storage_path=results)
    points = [(trial["a"], trial["b"]) for trial in study.trials]
    assert points == [("x", 1), ("y", 1), ("x", 2), ("y", 2)]


def test_a_grid_with_more_points_than_trials_is_said_before_the_first(results, caplog):
    native = {"b": tune.grid_search([1, 2, 3]), "a": tune.grid_search(["x", "y"])}
    with caplog.at_level(logging.WARNING, "hpsearch"):
        search(lambda trial: trial["b"], native, n_trials=4, storage_path=results)
    assert "'b', 'a' has 6 points, and n_trials is 4: 2 points are not tried" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hpsearch"):
        search(lambda trial: trial["b"], native, n_trials=6, storage_path=results)
    assert "points" not in caplog.text


def test_workers_find_modules_where_the_driver_does(results, tmp_path, monkeypatch):
    """A folder that is put on sys.path late, as transformers does for models with own code."""
    (tmp_path / "only_on_the_drivers_path.py").write_text("VALUE = 0.25")
    monkeypatch.syspath_prepend(str(tmp_path))

    def objective(trial):
        return import_module("only_on_the_drivers_path").VALUE + trial["x"]

    study = search(objective, n_trials=1, storage_path=results)
    assert study.best.objective == 0.25 + study.trials[0]["x"]


def test_beside_a_grid_everything_else_is_drawn_for_each_point(results):
    native = {"a": tune.grid_search([1, 2]), "x": tune.uniform(0, 1)}
    study = search(lambda trial: trial["x"], native, n_trials=5, storage_path=results)
    assert [trial["a"] for trial in study.trials] == [1, 2, 1, 2, 1]
    assert len({trial["x"] for trial in study.trials}) == 5


def test_a_domain_written_for_ray_is_drawn_as_ray_draws_it(results):
    domain = tune.qloguniform(0.5, 64, 0.5)
    study = search(lambda trial: trial["q"], {"q": domain}, n_trials=6, storage_path=results)
    drawn = [
        domain.sample(random_state=np.random.default_rng(trial.seed)) for trial in study.trials
    ]
    assert [trial["q"] for trial in study.trials] == drawn


def test_a_search_algorithm_of_rays_suggests_and_learns(results):
    def objective(trial):
        trial.report(trial["x"], 0)
        if trial.number == 2:
            raise ValueError("a failure is told, too")
        return (trial["x"] - 0.3) ** 2 + trial["n"]

    algorithm = OptunaSearch(sampler=TPESampler(seed=1, n_startup_trials=4))
    space = {"x": Float(0, 1), "n": Int(2, 20, step=3), "kind": Categorical(["only"])}
    study = search(
        objective, space, n_trials=14, search_alg=algorithm, storage_path=results, max_failures=2
    )
    assert len(study.trials) == 14
    late = [trial["n"] for trial in study.trials[8:]]
    assert sum(late) / len(late) < 8, late
    assert algorithm._space is None  # The user's object is for the next search, too.


def test_a_search_algorithm_learns_from_an_earlier_run(results, tmp_path):
    journal = tmp_path / "study.db"
    search(lambda trial: trial["x"], storage=journal, storage_path=results)

    class Learner(OptunaSearch):
        learned = []

        def add_evaluated_point(self, parameters, value, **more):
            super().add_evaluated_point(parameters, value, **more)
            self.learned.append((parameters["x"], value))

    study = search(
        lambda trial: trial["x"],
        storage=journal,
        resume=True,
        n_trials=6,
        search_alg=Learner(),
        storage_path=results,
        enqueue=[{"x": 0.75}],
    )
    assert len(study.trials) == 6
    known = [trial for trial in study.trials if trial.number < 4 or trial["x"] == 0.75]
    assert Learner.learned == [(trial["x"], trial.objective) for trial in known]


def test_a_conditional_space_runs_with_a_search_algorithm(results):
    space = Space({"kind": Categorical(["a", "b"]), "depth": Int(1, 3)}, {"depth": when(kind="b")})
    study = search(
        lambda trial: float(trial.get("depth", 0)),
        space,
        n_trials=8,
        search_alg=OptunaSearch(),
        storage_path=results,
    )
    assert all(("depth" in trial) == (trial["kind"] == "b") for trial in study.trials)


STEPPED = Space(
    {
        "model.width": Int(8, 64, step=8),
        "model.d": Float(0.1, 0.7, step=0.1),
        "a.b": Int(1, 9, step=2),
        "c/d": Categorical(["u", "v"]),
        "fixed": Int(3, 3),
    },
    groups=["model"],
)


@pytest.mark.parametrize(
    "point",
    [
        {"model": {"width": 24, "d": 0.1 + 0.2}, "a.b": 7, "c/d": "v", "fixed": 3},
        {"model/width": np.int64(24), "model/d": np.float64(0.3), "a.b": 7, "c/d": "v"},
        {"model.width": 24, "model.d": 0.3, "a.b": 7, "c/d": "v"},
    ],
)
def test_points_to_evaluate_are_in_the_users_terms(point, results):
    algorithm = OptunaSearch(points_to_evaluate=[point])
    study = search(lambda trial: trial["a.b"], STEPPED, search_alg=algorithm, storage_path=results)
    right = {"model.width": 24, "model.d": 0.3, "a.b": 7, "c/d": "v", "fixed": 3}
    assert study.trials[0].params == right
    assert algorithm._points_to_evaluate == [point]


def test_evaluated_rewards_teach_the_algorithm_what_they_say(results):
    class Learner(OptunaSearch):
        learned = []

        def add_evaluated_point(self, parameters, value, **more):
            super().add_evaluated_point(parameters, value, **more)
            self.learned.append((self._ot_study.trials[-1].params, value))

    search(
        lambda trial: trial["n"],
        {"n": Int(10, 50, step=10), "x": Float(0, 1)},
        search_alg=Learner(
            points_to_evaluate=[{"n": 20, "x": 0.5}, {"n": 50, "x": 1}],
            evaluated_rewards=[2.0, 5.0],
        ),
        storage_path=results,
        n_trials=1,
    )
    # The steps are the algorithm's by their number.
    assert Learner.learned == [({"n": 1, "x": 0.5}, 2.0), ({"n": 4, "x": 1.0}, 5.0)]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([{"n": 25, "x": 0.5}], "parameter 'n': 25 .*enqueue="),
        ([{"n": 20, "y": 0.5}], "'y' is not in the space.*enqueue="),
        ([{"n": 25, "y": 0.5}], "'y' is not in the space.*enqueue="),
        ([{"m": {"n": 20}}], "'m/n' is not in the space.*enqueue="),
        ([[20, 0.5]], "not a dict of values by name.*enqueue="),
        ([{"n": 20}], "Dim of point"),
    ],
)
def test_points_that_cannot_be_are_refused_by_name(points, said, results):
    with pytest.raises(OptionError, match=f"points_to_evaluate of search_alg OptunaSearch.*{said}"):
        search(
            never,
            {"n": Int(10, 50, step=10), "x": Float(0, 1)},
            search_alg=OptunaSearch(points_to_evaluate=points),
            storage_path=results,
        )


@pytest.mark.parametrize("algorithm", [None, OptunaSearch()])
def test_steps_are_decimals_however_ray_computes_them(algorithm, results):
    space = {"d": Float(-0.3, 0.3, step=0.1), "e": Float(0, 1, step=1e-7)}
    study = search(
        lambda trial: trial["d"],
        space,
        search_alg=algorithm,
        storage_path=results,
        n_trials=6,
        enqueue=[{"d": 0.1 + 0.2, "e": 0.3}],
    )
    assert study.trials[0].params == {"d": 0.3, "e": 0.3}
    assert all(trial["d"] == round(trial["d"], 1) for trial in study.trials)
    assert all(trial["e"] == round(trial["e"], 7) for trial in study.trials)


def test_what_ray_rounds_is_a_decimal(results):
    native = {
        "q": tune.quniform(0.1, 0.9, 0.1),
        "l": tune.qloguniform(0.1, 10, 0.1),
        "n": tune.qrandn(0, 1, 0.1),
        "g": tune.grid_search([0.1, 0.2, np.float64(0.3)]),
    }
    study = search(lambda trial: trial["q"], native, storage_path=results, n_trials=8)
    values = [value for trial in study.trials for value in trial.params.values()]
    assert all(value == round(value, 1) and type(value) is float for value in values)
    assert [trial["g"] for trial in study.trials[:3]] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    "distribution", [Int(2**53, 2**53 + 5), Int(2**64, 2**64 + 10, step=5), Float(-1e308, 1e308)]
)
def test_what_rays_floats_cannot_hold_is_refused_by_name(distribution, results):
    with pytest.raises(SpaceError, match="parameter 'n': .* is beyond Ray Tune"):
        search(never, {"n": distribution}, storage_path=results)


def test_a_huge_grid_of_rays_answers_at_once(results):
    native = {f"p{number}": tune.grid_search([1, 2, 3]) for number in range(40)}
    study = search(lambda trial: trial["p0"], native, n_trials=3, storage_path=results)
    assert [trial["p0"] for trial in study.trials] == [1, 2, 3]


def test_as_many_trials_run_at_a_time_as_there_is_room_for(results, tmp_path):
    def objective(trial):
        (tmp_path / f"began{trial.number}").touch()
        while len(list(tmp_path.glob("began*"))) < 2:
            time.sleep(0.01)
        return float(len(list(tmp_path.glob("began*"))))

    study = search(objective, n_trials=3, n_workers=None, storage_path=results)
    assert study.trials[0].objective >= 2
    spans = [(trial.started, trial.ended) for trial in study.trials]
    assert max(sum(s <= t < e for s, e in spans) for t, _ in spans) == 2


# What is refused before the first trial.


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"scheduler": ASHAScheduler(metric="eval_loss", mode="min")}, OptionError, "'eval_loss'"),
        ({"scheduler": ASHAScheduler(mode="max")}, OptionError, "mode='max'.*'min'"),
        ({"search_alg": OptunaSearch(metric="acc", mode="min")}, OptionError, "metric='acc'"),
        (
            {
                "search_alg": OptunaSearch(
                    space={"x": FloatDistribution(0, 1)}, metric="objective", mode="min"
                )
            },
            OptionError,
            "has a space already",
        ),
        ({"scheduler": "ahsa"}, OptionError, "scheduler is 'ahsa'"),
        ({"search_alg": tune.search.BasicVariantGenerator()}, OptionError, "BasicVariant.*seed="),
        ({"scheduler": ASHAScheduler}, OptionError, "the class AsyncHyperBandScheduler"),
        ({"resources_per_trial": {"cpu": 64}}, OptionError, "64 CPU.*2 CPU"),
        ({"resources_per_trial": {"cpu": 1, "gpu": 1}}, OptionError, "1 GPU"),
        ({"n_workers": 2, "max_concurrent_trials": 3}, OptionError, "which say the same"),
        ({"num_samples": 10}, OptionError, "num_samples.*n_trials="),
        ({"fail_fast": True}, OptionError, "fail_fast.*max_failures=0"),
        ({"adress": "auto"}, OptionError, "'adress'.*'address'"),
        ({"address": "127.0.0.1:1"}, OptionError, "another Ray"),
        (
            {"scheduler": ASHAScheduler(), "direction": ["minimize", "maximize"]},
            CapabilityError,
            "takes one direction",
        ),
        ({"executor": "process"}, CapabilityError, "no executor"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_work_is_refused_before_the_first_trial(results, arguments, error, said):
    with pytest.raises(error, match=said):
        search(never, storage_path=results, **arguments)


def test_what_pbt_changes_must_be_searched(results):
    for mutated, said in (("y", "'y', which is not in the space"), ("c", "'c', which is constant")):
        scheduler = PopulationBasedTraining(hyperparam_mutations={mutated: [1, 2]})
        with pytest.raises(OptionError, match=said):
            search(never, {**SPACE, "c": Int(1, 1)}, scheduler=scheduler, storage_path=results)
    scheduler = PopulationBasedTraining(hyperparam_mutations={"x": tune.uniform(0, 1)})
    with pytest.raises(OptionError, match="search_alg; leave one"):
        search(never, scheduler=scheduler, search_alg=OptunaSearch(), storage_path=results)


def test_what_cannot_travel_is_named(results):
    lock = threading.Lock()

    def objective(trial):
        with lock:
            return 1.0

    with pytest.raises(ArgumentError, match="the objective uses 'lock'"):
        search(objective, storage_path=results)


# Around the search.


def test_ctrl_c_ends_the_search_in_order(results, tmp_path):
    class Interrupts:
        @hookimpl
        def hpsearch_report(self, trial):
            if trial.number == 1:
                os.kill(os.getpid(), signal.SIGINT)

    def objective(trial):
        steps_of(trial, 3)
        time.sleep(600 if trial.number == 1 else 0)
        return trial["x"]

    handler = signal.getsignal(signal.SIGINT)
    journal = tmp_path / "study.db"
    with pytest.raises(SearchInterrupted) as caught:
        search(objective, plugins=[Interrupts()], storage=journal, storage_path=results)
    assert states(caught.value.study) == ["complete", "failed"]
    assert caught.value.study.trials[1].error.type == "Interrupted"
    assert signal.getsignal(signal.SIGINT) is handler

    whole = search(lambda trial: trial["x"], storage=journal, resume=True, storage_path=results)
    assert states(whole) == ["complete"] * 4
    assert whole.trials[1].params == caught.value.study.trials[1].params


def test_a_backend_error_in_a_hook_ends_the_search_with_its_name(results):
    class Broken(Pruner):
        def should_prune(self, trial, step, cost):
            raise RuntimeError("broken pruner")

    with pytest.raises(BackendError, match="Broken.*hpsearch_report.*broken pruner"):
        search(lambda trial: steps_of(trial), pruner=Broken(), storage_path=results)


def test_callbacks_of_the_user_are_kept(results):
    class Counter(tune.Callback):
        ended = 0

        def on_trial_complete(self, iteration, trials, trial, **info):
            Counter.ended += 1
            assert "hpsearch" not in trial.last_result

    search(lambda trial: trial["x"], callbacks=[Counter()], storage_path=results)
    assert Counter.ended == 4


def test_a_search_says_nothing_unless_asked(results, capfd, caplog):
    with caplog.at_level(logging.INFO):
        search(lambda trial: trial["x"], storage_path=results)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert [record for record in caplog.records if record.name.startswith("ray")] == []


def test_a_search_with_several_directions_gives_the_front(results):
    study = search(
        lambda trial: (trial["x"], 1 - trial["x"]),
        direction=["minimize", "minimize"],
        storage_path=results,
    )
    assert len(study.best_runs) == 4
    first = study.native[0].metrics
    assert (first["objective_0"], first["objective_1"]) == study.trials[0].objectives


def test_a_concurrency_limit_is_kept(results):
    watcher = Watcher()
    search(
        lambda trial: time.sleep(0.1) or trial["x"],
        n_workers=None,
        search_alg=ConcurrencyLimiter(OptunaSearch(), max_concurrent=1),
        plugins=[watcher],
        storage_path=results,
    )
    kinds = [event[0] for event in watcher.events]
    assert kinds == ["start", "tell"] * 4
