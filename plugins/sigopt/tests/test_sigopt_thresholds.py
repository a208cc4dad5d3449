"""Thresholds of SigOpt's metrics: they decide the best run, whichever backend goes on."""

from __future__ import annotations

import math

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.errors import JournalError, ObjectiveError, OptionError
from hpsearch.storage.journal import load

X = {"name": "x", "type": "double", "bounds": {"min": 0, "max": 1}}
LOSS = {"name": "loss", "objective": "minimize"}
MEMORY = {"name": "memory", "strategy": "constraint", "objective": "minimize", "threshold": 6}
SPEED = {"name": "speed", "strategy": "constraint", "threshold": 2}
EXPERIMENT = {"parameters": [X], "metrics": [LOSS, MEMORY, SPEED]}


def objective(trial):
    """The lowest losses take too much memory, the highest are too slow; one trial is pruned."""
    trial.annotate("memory", 10 * (1 - trial["x"]))
    trial.annotate("speed", 10 * (1 - trial["x"]))
    if trial.number == 3:
        raise hpsearch.TrialPruned
    return trial["x"]


def expected(trial):
    return {"memory": 10 * (1 - trial["x"]) - 6, "speed": 2 - 10 * (1 - trial["x"])}


def search(space=EXPERIMENT, objective=objective, **arguments):
    given = {"backend": "random", "seed": 1, "n_trials": 8, "progress": False, **arguments}
    return hpsearch.search(objective, space, **given)


def check(study):
    assert {trial.state for trial in study.trials} == {"complete", "pruned"}
    for trial in study.trials:
        assert trial.constraints == pytest.approx(expected(trial))
    kept = [t for t in study.trials if t.state == "complete" and 0.4 <= t["x"] <= 0.8]
    assert study.best.objective == min(trial.objective for trial in kept)
    assert min(trial["x"] for trial in study.trials) < 0.4


@pytest.mark.parametrize("backend", ["random", "optuna", "sigopt"])
def test_an_experiments_thresholds_count_on_every_backend(backend, tmp_path, caplog):
    journal = tmp_path / "journal.db"
    study = search(backend=backend, storage=journal, n_trials=12)
    check(study)
    assert load(journal).to_json() == study.to_json()
    assert load(journal).best.run_id == study.best.run_id
    assert "the space also has" not in caplog.text


@pytest.mark.parametrize("native", [True, False], ids=["in the experiment", "as an option"])
def test_a_study_goes_on_elsewhere_with_its_thresholds(native, tmp_path):
    journal = tmp_path / "journal.db"
    options = {} if native else {"metrics": EXPERIMENT["metrics"]}
    space = EXPERIMENT if native else [X]
    search(space, backend="sigopt", storage=journal, n_trials=4, type="random", **options)
    assert load(journal).thresholds
    for backend, n_trials in [("random", 8), ("optuna", 10), ("random", 12)]:
        # Nothing but the journal says what is to be kept.
        study = search(
            {"x": Float(0, 1)}, backend=backend, storage=journal, resume=True, n_trials=n_trials
        )
    assert len(study.trials) == 12
    check(study)
    assert load(journal).to_json() == study.to_json()


def test_thresholds_given_at_a_resume_judge_the_earlier_trials(tmp_path):
    journal = tmp_path / "journal.db"
    search({"x": Float(0, 1)}, storage=journal)
    check(search(storage=journal, resume=True, n_trials=9))
    check(load(journal))


@pytest.mark.parametrize("bar", [True, None], ids=["bar", "lines"])
@pytest.mark.parametrize("n_trials", [8, 9])
def test_thresholds_given_at_a_resume_count_in_the_progress(
    bar, n_trials, tmp_path, capsys, caplog
):
    """Trials of earlier runs are judged after the observers have counted them."""
    journal = tmp_path / "journal.db"
    lowest = search({"x": Float(0, 1)}, storage=journal).best.objective
    with caplog.at_level("INFO", "hpsearch"):
        study = search(storage=journal, resume=True, n_trials=n_trials, progress=bar)
    said = (capsys.readouterr().err if bar else caplog.text).split("best=")
    assert f"{lowest:.6g}" != f"{study.best.objective:.6g}"
    if bar or n_trials == 9:
        assert said[-1].startswith(f"{study.best.objective:.6g}")


def test_optuna_hears_of_thresholds_beside_its_own_constraints():
    optuna = pytest.importorskip("optuna")
    if not hasattr(optuna.trial.FrozenTrial, "constraints"):
        pytest.skip("Optuna 4 keeps what constraints_func answers alone")

    with pytest.warns(FutureWarning, match="constraints_func"):
        sampler = optuna.samplers.TPESampler(constraints_func=lambda _: (-1.0,), seed=1)
    study = search(backend="optuna", sampler=sampler)
    told = [trial.constraints for trial in study.native.trials]
    assert told == [trial.constraints for trial in study.trials]
    assert told[0].keys() == {"memory", "speed", "0"}


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        (
            [LOSS, {**MEMORY, "threshold": 7}, SPEED],
            "'memory' has to be at most 6.0, not at most 7",
        ),
        ([LOSS, {**MEMORY, "objective": "maximize"}, SPEED], "at most 6.0, not at least 6.0"),
        ([LOSS, MEMORY], "'speed' has to be at least 2.0, not anything"),
    ],
)
def test_other_thresholds_at_a_resume_are_refused(metrics, problem, tmp_path):
    journal = tmp_path / "journal.db"
    search(storage=journal)
    with pytest.raises(JournalError, match=f"cannot continue: metric .*{problem}"):
        search({**EXPERIMENT, "metrics": metrics}, storage=journal, resume=True, n_trials=9)
    check(load(journal))


@pytest.mark.parametrize("backend", ["random", "sigopt"])
def test_a_threshold_of_an_objective_judges_the_result(backend):
    """A front that keeps a bound, as ``threshold`` of an optimised metric asks for."""
    metrics = [{**LOSS, "threshold": 0.5}, {"name": "score", "objective": "maximize"}]
    study = search(
        {"parameters": [X], "metrics": metrics},
        lambda trial: (trial["x"], trial["x"] ** 2),
        backend=backend,
        n_trials=10,
    )
    assert study.directions == ("minimize", "maximize")
    assert all(t.constraints == {"loss": t["x"] - 0.5} for t in study.trials)
    assert max(run.hyperparameters["x"] for run in study.best_runs) <= 0.5
    assert max(trial["x"] for trial in study.trials) > 0.5


def test_a_pruned_trial_is_judged_by_what_it_reported_last():
    metrics = [{**LOSS, "threshold": 5}, {"name": "cost", "strategy": "store"}]

    def pruned(trial):
        for step, value in enumerate([9, 7, 6 if trial.number else math.nan]):
            trial.report(value, step)
        raise hpsearch.TrialPruned

    study = search({"parameters": [X], "metrics": metrics}, pruned, n_trials=2)
    assert [t.constraints for t in study.trials] == [{"loss": math.inf}, {"loss": 1.0}]


def test_the_trials_evaluation_may_say_a_metric():
    """A Trainer's evaluation is kept under ``metrics``, with its own names."""

    def evaluated(trial):
        trial.annotate("metrics", {"memory": 4.0, "speed": 3})
        return trial["x"]

    study = search(objective=evaluated, n_trials=2)
    assert all(t.constraints == {"memory": -2.0, "speed": -1.0} for t in study.trials)


@pytest.mark.parametrize("backend", ["random", "sigopt"])
@pytest.mark.parametrize(
    "value", [None, math.nan, "much", 10**400], ids=["no", "nan", "text", "huge"]
)
def test_a_metric_that_no_trial_says_ends_the_search_at_once(backend, value):
    def silent(trial):
        trial.annotate("speed", 3)
        if value is not None:
            trial.annotate("memory", value)
        return trial["x"]

    with pytest.raises(ObjectiveError, match=r"trial 0 says nothing of 'memory'.*annotate"):
        search(objective=silent, backend=backend)


def test_a_trial_that_leaves_a_metric_out_is_not_feasible(caplog):
    def forgetful(trial):
        trial.annotate("speed", 3)
        if trial.number != 1:
            trial.annotate("memory", 1)
        return trial["x"]

    study = search(objective=forgetful, n_trials=3)
    assert [trial.feasible for trial in study.trials] == [True, False, True]
    assert study.trials[1].constraints["memory"] == math.inf
    assert "trial 1 says nothing of 'memory', which has a threshold" in caplog.text


def test_a_constraint_that_the_objective_sets_itself_stays():
    def sets(trial):
        trial.set_constraint("memory", -1.0)
        trial.annotate("speed", 3)
        return trial["x"]

    study = search(objective=sets, n_trials=2)
    assert all(t.constraints == {"memory": -1.0, "speed": -1.0} for t in study.trials)


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        ([LOSS, {**MEMORY, "treshold": 1}], "Did you mean 'threshold'"),
        ([LOSS, {**MEMORY, "threshold": math.nan}], "threshold of 'memory' is nan, expected a fin"),
        ([LOSS, {**MEMORY, "threshold": 10**400}], "threshold of 'memory' is 10"),
        ([{**LOSS, "threshold": "low"}], "threshold of 'loss' is 'low', expected a finite"),
        ("loss", "metrics is 'loss'"),
        ([{"name": "a"}, {"name": "b"}, MEMORY], "2 to optimise .* 1 direction;"),
    ],
)
def test_metrics_that_cannot_be_are_refused_on_every_backend(metrics, problem):
    with pytest.raises(OptionError, match=problem):
        search({"parameters": [X], "metrics": metrics})


@pytest.mark.parametrize("metrics", [3, "loss", {"name": "loss"}])
def test_metrics_of_an_experiment_that_are_no_list_are_refused(metrics):
    with pytest.raises(OptionError, match="metrics is"):
        search({**EXPERIMENT, "metrics": metrics})
