"""Going on: from our journal, from Optuna's own storage, and from other backends' trials."""

from __future__ import annotations

import math
import sys
import warnings

import cloudpickle
import optuna
import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space, TrialState, when
from hpsearch.errors import ArgumentError, CapabilityError, OptionError, SpaceError
from hpsearch.space.distributions import Distribution

SPACE: dict[str, Distribution] = {
    "x": Float(-5, 5),
    "n": Int(1, 40, log=True),
    "kind": Categorical(["a", "b", None]),
}


def loss(trial):
    return trial["x"] ** 2 + trial["n"]


def reporting(trial):
    """Some trials are pruned and some fail."""
    trial.annotate("half", trial["x"] / 2)
    for step in range(4):
        trial.report(trial["x"] ** 2 + step, step)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    if trial["n"] % 5 == 0:
        raise ArithmeticError("five")
    return loss(trial)


def function(trial):
    trial.suggest_float("x", -5, 5)
    trial.suggest_int("n", 1, 40, log=True)
    if trial.suggest_categorical("kind", ["a", "b", None]) == "b":
        trial.suggest_float("y", 0.0, 1.0, step=0.25)


CONDITIONS = Space({**SPACE, "y": Float(0, 1, step=0.25)}, {"y": when(kind="b")})


def search(objective=reporting, space=SPACE, **options):
    defaults = {"backend": "optuna", "seed": 1, "progress": False, "catch": ArithmeticError}
    return hpsearch.search(objective, space, **{**defaults, **options})


def points(trials):
    return [tuple(trial.params.items()) for trial in trials]


def as_told(native):
    """What Optuna knows of each trial, without its times."""
    return [
        (t.params, t.distributions, t.values, t.intermediate_values, t.user_attrs, t.state)
        for t in native.get_trials(deepcopy=False)
    ]


# From the journal.


@pytest.mark.parametrize(
    "space", [SPACE, CONDITIONS, function], ids=["portable", "conditions", "define-by-run"]
)
def test_a_journal_gives_optuna_every_trial_as_it_was_told(space, tmp_path):
    path = tmp_path / "study.db"
    first = search(space=space, storage=path, n_trials=25)
    assert {trial.state for trial in first.trials} == {
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAILED,
    }
    again = search(space=space, storage=path, n_trials=30, resume=True)
    assert as_told(again.native)[:25] == as_told(first.native)
    assert points(again.trials[:25]) == points(first.trials)
    assert len(again.trials) == len(again.native.trials) == 30
    for ours, native in zip(first.trials, again.native.trials, strict=False):
        assert native.datetime_start.timestamp() == pytest.approx(ours.started, abs=1e-5)
        assert native.datetime_complete.timestamp() == pytest.approx(ours.ended, abs=1e-5)


SAMPLERS = {
    "default": lambda: None,
    "random": lambda: optuna.samplers.RandomSampler(seed=1),
    "tpe": lambda: optuna.samplers.TPESampler(seed=1),
    "cma-es": lambda: optuna.samplers.CmaEsSampler(seed=1),
    # Its first generation is drawn; children may well repeat their parents.
    "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=50),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_is_drawn_twice(name, tmp_path):
    if name == "cma-es":
        pytest.importorskip("cmaes")
    space = {"x": Float(0, 1), "y": Float(0, 1)}
    options = {"space": space, "storage": tmp_path / "study.db"}
    for total in (6, 12, 18):
        study = search(
            lambda trial: trial["x"] + trial["y"],
            n_trials=total,
            resume=total > 6,
            sampler=SAMPLERS[name](),
            **options,
        )
        assert len(study.trials) == total
    assert len(set(points(study.trials))) == 18


def test_a_resumed_search_can_be_repeated(tmp_path):
    both = []
    for name in ("one.db", "two.db"):
        search(storage=tmp_path / name, n_trials=8)
        both.append(search(storage=tmp_path / name, n_trials=20, resume=True))
    assert points(both[0].trials) == points(both[1].trials)


def test_earlier_trials_teach_the_sampler(tmp_path):
    def distance(trial):
        return abs(trial["x"] - 3)

    options = {"space": {"x": Float(-5, 5)}, "storage": tmp_path / "study.db"}
    search(distance, n_trials=40, **options)
    study = search(distance, n_trials=60, resume=True, **options)
    # Drawn without knowing anything, they would be 3.4 away on average.
    assert sum(trial.objective for trial in study.trials[40:]) / 20 < 1.7


def test_trials_of_another_backend_are_continued(tmp_path):
    path = tmp_path / "study.db"
    first = search(backend="random", storage=path, n_trials=10)
    study = search(storage=path, n_trials=15, resume=True)
    assert points(study.trials[:10]) == points(first.trials)
    assert [trial.params for trial in study.native.trials] == [t.params for t in study.trials]
    back = search(backend="random", storage=path, n_trials=17, resume=True)
    assert len(back.trials) == 17


@pytest.mark.parametrize("space", [SPACE, function], ids=["portable", "define-by-run"])
def test_a_trial_cut_short_runs_again_with_its_parameters(space, tmp_path):
    path = tmp_path / "study.db"

    def interrupted(trial):
        if trial.number == 3:
            raise KeyboardInterrupt
        return loss(trial)

    with pytest.raises(hpsearch.SearchInterrupted) as raised:
        search(interrupted, space, storage=path, n_trials=6)
    cut = raised.value.study.trials[3]
    study = search(loss, space, storage=path, n_trials=6, resume=True)
    assert study.trials[3].params == cut.params
    assert study.counts()["complete"] == 6
    assert len(study.native.trials) == 6


def test_a_retried_trial_runs_again_with_its_parameters_on_optuna():
    failed = []

    def once(trial):
        if trial.number == 2:
            failed.append(dict(trial))
            raise ArithmeticError("once")
        return loss(trial)

    study = search(once, n_trials=6, retries=1)
    assert dict(study.trials[3]) == failed[0]
    assert [t.state.name for t in study.native.trials[2:4]] == ["FAIL", "COMPLETE"]


def test_a_failed_trial_that_is_not_in_the_space_is_told_as_it_was(tmp_path):
    path = tmp_path / "study.db"

    def wide(trial):
        if trial.suggest_float("x", -5, 5) < 0:
            trial.suggest_float("elsewhere", 0, 1)
            raise ArithmeticError("below")
        return trial["x"]

    first = search(wide, None, storage=path, n_trials=10)
    assert first.counts()["failed"]
    study = search(lambda t: t["x"], {"x": Float(-5, 5)}, storage=path, n_trials=12, resume=True)
    assert as_told(study.native)[:10] == as_told(first.native)


@pytest.mark.parametrize(
    "sampler",
    [
        lambda: optuna.samplers.GridSampler({"n": [1, 2, 3]}),
        lambda: optuna.samplers.QMCSampler(seed=1),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_that_would_begin_again_with_its_first_trial_is_refused(sampler, tmp_path):
    options = {"storage": tmp_path / "study.db", "space": {"n": Int(1, 3)}}
    search(lambda trial: trial["n"], n_trials=2, sampler=sampler(), **options)
    with pytest.raises(CapabilityError, match="Sampler keeps its place in Optuna's storage"):
        search(lambda trial: trial["n"], n_trials=3, sampler=sampler(), resume=True, **options)


def test_several_directions_are_resumed(tmp_path):
    def both(trial):
        return trial["x"] ** 2, trial["n"]

    options = {"storage": tmp_path / "study.db", "direction": ["minimize", "maximize"]}
    first = search(both, n_trials=8, **options)
    study = search(both, n_trials=16, resume=True, **options)
    assert as_told(study.native)[:8] == as_told(first.native)


# From Optuna's own storage.


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture
def shared():
    """A storage without a file: the disk makes the others slow."""
    return optuna.storages.InMemoryStorage()


@pytest.mark.parametrize(
    "space", [SPACE, CONDITIONS, function], ids=["portable", "conditions", "define-by-run"]
)
def test_a_study_in_optunas_storage_goes_on_to_the_same_total(space, url):
    options = {"space": space, "storage": url, "study_name": "mine", "load_if_exists": True}
    first = search(n_trials=12, **options)
    before = as_told(first.native)
    study = search(n_trials=16, **options)
    assert as_told(study.native)[:12] == before
    assert len(study.trials) == len(study.native.trials) == 16
    for ours, old in zip(study.trials, first.trials, strict=False):
        assert ours.number == old.number
        assert ours.params == old.params
        assert list(map(type, ours.params.values())) == list(map(type, old.params.values()))
        assert ours.state == old.state
        assert ours.objectives == old.objectives
        assert ours.intermediate == old.intermediate
        assert study.distributions_of(ours) == first.distributions_of(old)
        assert abs(ours.started - old.started) < 1
    assert len(set(points(study.trials))) == 16


def test_trials_that_optuna_ran_alone_are_taken_over(url):
    native = optuna.create_study(storage=url, study_name="mine", direction="maximize")
    native.optimize(
        lambda trial: trial.suggest_float("x", -5, 5) + trial.suggest_int("n", 1, 40, log=True),
        n_trials=10,
    )
    study = search(
        lambda trial: trial["x"] + trial["n"],
        {"x": Float(-5, 5), "n": Int(1, 40, log=True)},
        direction="maximize",
        storage=url,
        study_name="mine",
        load_if_exists=True,
        n_trials=12,
    )
    assert [trial.objective for trial in study.trials[:10]] == [t.value for t in native.trials[:10]]
    assert len(native.trials) == 12
    assert study.best.objective == native.best_value


def test_a_failed_trial_of_optunas_storage_may_lie_outside_the_space(shared):
    native = optuna.create_study(storage=shared, study_name="mine")

    def failing(trial):
        trial.suggest_float("x", -5, 5)
        trial.suggest_float("elsewhere", 0, 1)
        raise ArithmeticError("before it had asked for all")

    native.optimize(failing, n_trials=1, catch=ArithmeticError)
    study = search(storage=shared, study_name="mine", load_if_exists=True, n_trials=3)
    assert study.trials[0].params == native.trials[0].params
    assert set(study.distributions_of(study.trials[0])) == {"x", "elsewhere"}
    assert study.trials[0].state == "failed"
    assert "elsewhere" in study.to_csv()


def test_a_storage_object_is_taken_as_it_is(shared):
    for total in (4, 7):
        study = search(storage=shared, study_name="mine", load_if_exists=True, n_trials=total)
        assert len(study.trials) == total
    assert len(set(points(study.trials))) == 7
    assert optuna.study.get_all_study_names(shared) == ["mine"]


def test_a_study_that_has_its_total_runs_nothing_more(shared):
    options = {"storage": shared, "study_name": "mine", "load_if_exists": True, "n_trials": 5}
    first = search(**options)
    study = search(lambda trial: pytest.fail("no trial was to run"), **options)
    assert points(study.trials) == points(first.trials)
    assert study.best.objective == first.best.objective


def test_enqueued_trials_run_once(shared):
    options = {"storage": shared, "study_name": "mine", "load_if_exists": True}
    enqueue = [{"x": 4.5, "n": 3, "kind": "a"}]
    search(n_trials=3, enqueue=enqueue, **options)
    study = search(n_trials=6, enqueue=enqueue, **options)
    assert len([trial for trial in study.trials if trial["x"] == 4.5]) == 1
    assert len(study.trials) == 6


def test_a_trial_that_runs_elsewhere_is_left_alone(shared):
    native = optuna.create_study(storage=shared, study_name="mine")
    running = native.ask()
    study = search(storage=shared, study_name="mine", load_if_exists=True, n_trials=3)
    assert len(study.trials) == 3
    native.tell(running, state=optuna.trial.TrialState.FAIL)
    assert len(native.trials) == 4


def test_a_failed_trial_of_optunas_storage_says_that_the_reason_is_lost(shared):
    options = {"storage": shared, "study_name": "mine", "load_if_exists": True}
    search(n_trials=20, **options)
    study = search(n_trials=21, **options)
    failed = next(trial for trial in study.trials if trial.state == "failed")
    assert str(failed.error) == "Failed: in an earlier run; Optuna's storage has no reason"


def test_checkpoints_survive_in_optunas_storage(shared):
    def objective(trial):
        trial.annotate("checkpoint", f"run-{trial.number}")
        return trial["x"]

    options = {"storage": shared, "study_name": "mine", "load_if_exists": True}
    first = search(objective, n_trials=5, **options)
    again = search(objective, n_trials=5, **options)
    assert again.best.checkpoint == first.best.checkpoint is not None


def test_constraints_survive_in_optunas_storage(shared):
    if not hasattr(optuna.Trial, "set_constraint"):
        pytest.skip("this Optuna has constraints in samplers alone")

    def objective(trial):
        trial.set_constraint("c", 1.0 - trial["x"])
        return trial["x"]

    options = {"storage": shared, "study_name": "mine", "load_if_exists": True}
    first = search(objective, n_trials=20, **options)
    assert first.best.objective >= 1
    assert search(objective, n_trials=20, **options).best.objective == first.best.objective


def test_a_study_of_that_name_is_not_continued_by_accident(url):
    search(storage=url, study_name="mine", n_trials=2)
    with pytest.raises(OptionError, match="has a study 'mine' already; load_if_exists=True"):
        search(storage=url, study_name="mine", n_trials=2)


def test_a_study_with_other_directions_is_refused(shared):
    search(storage=shared, study_name="mine", n_trials=2)
    with pytest.raises(ArgumentError, match="the directions minimize, and this search maximize"):
        search(
            storage=shared, study_name="mine", n_trials=4, direction="maximize", load_if_exists=True
        )


def test_trials_outside_the_space_are_refused_by_name(shared):
    search(storage=shared, study_name="mine", n_trials=2)
    with pytest.raises(SpaceError, match="trial 0 in Optuna's storage .* parameter 'x'"):
        search(
            space={**SPACE, "x": Float(8, 9)},
            storage=shared,
            study_name="mine",
            load_if_exists=True,
            n_trials=4,
        )


def test_resume_is_the_journals_word(url):
    with pytest.raises(ArgumentError, match="resume=True needs storage=PATH, the journal"):
        search(storage=url, study_name="mine", resume=True)


def test_a_report_that_is_no_number_survives(tmp_path):
    def objective(trial):
        trial.report(1.0, 0)
        trial.report(math.nan, 1)
        if trial.number > 2:
            raise hpsearch.TrialPruned
        return trial["x"]

    path = tmp_path / "study.db"
    pruner = optuna.pruners.NopPruner()
    first = search(objective, storage=path, n_trials=6, pruner=pruner)
    study = search(objective, storage=path, n_trials=8, pruner=pruner, resume=True)
    assert repr(as_told(study.native)[:6]) == repr(as_told(first.native))


@pytest.fixture
def by_value():
    """Send this module's functions to workers as a script's are: they cannot import a test."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


class Asked:
    """A ``constraints_func`` that counts how often each trial is judged, and needs its facts."""

    def __init__(self):
        self.trials = []

    def __call__(self, frozen):
        self.trials.append(frozen.number)
        return [0.5 - frozen.user_attrs["x"], -1.0]

    @property
    def options(self):
        with warnings.catch_warnings():  # constraints_func is experimental, or deprecated
            warnings.simplefilter("ignore")
            return {"sampler": optuna.samplers.NSGAIISampler(seed=1, constraints_func=self)}


def limited(trial):
    """One trial fails at its first try, one is pruned."""
    trial.annotate("x", trial["x"])
    if trial.number == 1:
        raise ArithmeticError(trial.number)
    if trial.number == 2:
        raise hpsearch.TrialPruned
    return trial["x"]


@pytest.mark.parametrize(
    "options",
    [{}, {"retries": 1}, {"executor": "process", "n_workers": 2}],
    ids=["inline", "retries", "workers"],
)
def test_constraints_func_judges_each_trial_once_in_all_runs(options, tmp_path, by_value):
    journal = tmp_path / "journal.db"
    asked = Asked()
    first = search(limited, storage=journal, n_trials=5, **options, **asked.options)
    judged = sorted(trial.number for trial in first.trials if trial.ended_well)
    assert 2 in judged
    assert 1 not in judged
    assert sorted(asked.trials) == judged
    again = Asked()
    resumed = search(limited, storage=journal, n_trials=8, resume=True, **options, **again.options)
    new = {trial.number for trial in resumed.trials if trial.ended_well} - set(judged)
    assert sorted(again.trials) == sorted(new)
    for trial in resumed.trials:
        if trial.ended_well:
            assert trial.constraints == {"0": 0.5 - trial["x"], "1": -1.0}
            assert resumed.native.trials[trial.number].constraints == trial.constraints


def test_constraints_func_judges_the_trials_of_other_backends_once(tmp_path):
    journal = tmp_path / "journal.db"
    search(limited, storage=journal, n_trials=4, backend="random")
    for n_trials, judged in [(4, [0, 2, 3]), (5, [4]), (5, [])]:
        asked = Asked()
        search(limited, storage=journal, n_trials=n_trials, resume=True, **asked.options)
        assert asked.trials == judged


def test_constraints_func_does_not_judge_again_what_optunas_storage_has(shared):
    options = {"storage": shared, "study_name": "mine", "load_if_exists": True}
    for n_trials, judged in [(4, [0, 2, 3]), (5, [4])]:
        asked = Asked()
        search(limited, n_trials=n_trials, **options, **asked.options)
        assert asked.trials == judged
