"""What Optuna's users find again: its trial, its study, its options, its conventions."""

from __future__ import annotations

import logging

import optuna
import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.errors import ArgumentError, BackendError, OptionError, SpaceError

SPACE = {"x": Float(-5, 5), "n": Int(1, 4), "kind": Categorical(["a", "b"])}


def square(trial):
    return trial["x"] ** 2


def search(objective=square, space=SPACE, **options):
    defaults = {"backend": "optuna", "n_trials": 8, "seed": 1, "progress": False}
    return hpsearch.search(objective, space, **{**defaults, **options})


# Optuna's own objects.


def test_everything_that_optunas_trial_offers_works_on_ours():
    def objective(trial):
        assert isinstance(trial.native, optuna.Trial)
        assert isinstance(trial.study, optuna.Study)
        assert trial.datetime_start
        trial.set_user_attr("note", trial.number)
        assert trial.user_attrs == {"note": trial.number}
        return trial["x"]

    study = search(objective)
    assert [trial.user_attrs["note"] for trial in study.native.trials] == list(range(8))


@pytest.mark.parametrize("space", [SPACE, lambda t: {"x": t.suggest_float("x", -5, 5)}])
def test_an_enqueued_trial_has_optunas_trial_too_and_may_be_pruned(space):
    def objective(trial):
        trial.set_user_attr("seen", value=True)
        trial.report(abs(trial["x"]), 0)
        if trial.should_prune():
            raise hpsearch.TrialPruned
        return trial["x"] ** 2

    first = {"x": 4.5, "n": 1, "kind": "a"} if isinstance(space, dict) else {"x": 4.5}
    pruner = optuna.pruners.ThresholdPruner(upper=4.0)
    study = search(objective, space, enqueue=[first], pruner=pruner)
    assert study.trials[0].params == first
    assert study.trials[0].state == "pruned"
    assert study.native.trials[0].user_attrs == {"seen": True}


def test_an_old_suggest_method_does_not_choose_behind_the_studys_back():
    study = search(
        lambda trial: trial.suggest_uniform("y", 0, 1), n_trials=1, max_failures=1, catch=()
    )
    assert "it has suggest_float, suggest_int" in study.trials[0].error.message
    assert "y" not in study.native.trials[0].params


def test_the_best_run_carries_the_optuna_study():
    study = search()
    assert study.best.run_summary is study.native
    assert study.native.best_value == study.best.objective
    assert study.native.best_params == study.best.hyperparameters


def test_the_optuna_study_can_go_on_by_itself_afterwards():
    study = search()
    study.native.optimize(lambda trial: trial.suggest_float("x", -5, 5) ** 2, n_trials=3)
    assert len(study.native.trials) == 11


def test_facts_kept_with_a_trial_are_user_attributes():
    def objective(trial):
        trial.annotate("checkpoint", f"run-{trial.number}")
        return trial["x"]

    study = search(objective)
    assert study.native.trials[3].user_attrs == {"checkpoint": "run-3"}


def test_an_objective_can_stop_the_study_in_optunas_way():
    def objective(trial):
        if trial.number == 2:
            trial.study.stop()
        return trial["x"]

    assert len(search(objective).trials) == 3


@pytest.mark.parametrize(
    "sampler",
    [
        lambda: optuna.samplers.GridSampler({"n": [1, 2, 3, 4], "kind": ["a", "b"]}, seed=1),
        lambda: optuna.samplers.BruteForceSampler(seed=1),
    ],
)
@pytest.mark.parametrize("space", [{"n": Int(1, 4), "kind": Categorical(["a", "b"])}])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_that_has_drawn_all_there_is_ends_the_search(sampler, space):
    study = search(lambda trial: trial["n"], space, sampler=sampler(), n_trials=100)
    drawn = {tuple(trial.values()) for trial in study.trials}
    assert len(study.trials) == len(drawn) == 8


def test_trials_enqueued_in_optuna_itself_are_run(tmp_path):
    storage = optuna.storages.InMemoryStorage()
    native = optuna.create_study(storage=storage, study_name="mine")
    native.enqueue_trial({"x": 1.5, "n": 2, "kind": "a"})
    native.enqueue_trial({"x": 2.5, "n": 3, "kind": "b"})
    study = search(
        storage=storage,
        study_name="mine",
        load_if_exists=True,
        enqueue=[{"x": 3.5, "n": 4, "kind": "a"}],
    )
    # Ours first, as everywhere; then what waits in Optuna; then what it suggests.
    assert [trial["x"] for trial in study.trials[:3]] == [3.5, 1.5, 2.5]
    assert len(study.trials) == 8
    assert {trial.state.name for trial in native.trials} == {"COMPLETE"}


def test_an_enqueued_trial_that_another_process_took_is_an_error():
    class Shared(optuna.storages.InMemoryStorage):
        """Somebody else is faster at taking what waits."""

        def create_new_trial(self, study_id, template_trial=None):
            trial_id = super().create_new_trial(study_id, template_trial)
            if template_trial is not None:
                self.set_trial_state_values(trial_id, optuna.trial.TrialState.RUNNING)
            return trial_id

    with pytest.raises(BackendError, match="trial 0 was enqueued .* another process took it"):
        search(storage=Shared(), enqueue=[{"x": 3.5, "n": 4, "kind": "a"}])


# Pruners.


def reporting(trial):
    for step in range(8):
        trial.report(trial["x"] ** 2 + step, step)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    return trial["x"] ** 2


def test_optunas_median_pruner_is_in_force_when_none_is_given():
    study = search(reporting, n_trials=30)
    assert isinstance(study.native.pruner, optuna.pruners.MedianPruner)
    assert study.counts()["pruned"] > 5


def test_a_pruner_of_the_core_takes_the_place_of_optunas():
    study = search(reporting, n_trials=30, pruner="median")
    assert isinstance(study.native.pruner, optuna.pruners.NopPruner)
    assert study.counts()["pruned"] > 5
    # Optuna has the reports all the same, and the states.
    for ours, native in zip(study.trials, study.native.trials, strict=True):
        assert {step: value for step, (value,) in ours.intermediate.items()} == (
            native.intermediate_values
        )
        assert (ours.state == "pruned") == (native.state.name == "PRUNED")


def test_the_last_report_of_a_pruned_trial_is_its_value_in_optuna():
    study = search(reporting, n_trials=30)
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        last = trial.intermediate[max(trial.intermediate)]
        assert tuple(study.native.trials[trial.number].values) == last


def test_reports_in_several_directions_are_kept_and_never_prune():
    def objective(trial):
        trial.report((trial["x"], 1.0), 0)
        assert not trial.should_prune()
        return trial["x"], 1.0

    study = search(objective, direction=["minimize", "maximize"])
    assert study.counts()["complete"] == 8
    assert study.trials[0].intermediate == {0: (study.trials[0]["x"], 1.0)}


# Constraints.


def feasible_from(bound):
    def constraints(frozen):
        return [bound - frozen.params["x"]]

    return optuna.samplers.TPESampler(seed=1, constraints_func=constraints)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_best_run_keeps_the_constraints():
    study = search(sampler=feasible_from(1.0), n_trials=30)
    assert min(trial.objective for trial in study.trials) < study.best.objective
    assert study.best.hyperparameters["x"] >= 1
    assert study.best.objective == study.native.best_value
    assert study.best.run_summary is study.native


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_pareto_front_keeps_the_constraints():
    study = search(
        lambda trial: (trial["x"] ** 2, trial["n"]),
        sampler=feasible_from(1.0),
        direction=["minimize", "maximize"],
        n_trials=30,
    )
    assert all(run.hyperparameters["x"] >= 1 for run in study.best_runs)
    assert sorted(tuple(run.objective) for run in study.best_runs) == sorted(
        tuple(trial.values) for trial in study.native.best_trials
    )


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_search_in_which_no_trial_keeps_the_constraints_has_no_best(caplog):
    study = search(sampler=feasible_from(9.0))
    assert "no complete trial of study 'study' keeps its constraints" in caplog.text
    with pytest.raises(hpsearch.HpsearchError, match="no feasible trial.* among 8 trials"):
        _ = study.best


# Telling.


def test_trials_are_told_the_same_by_optunas_public_way(monkeypatch):
    def told():
        study = search(
            lambda trial: trial["x"] ** 2 if trial.number % 3 else 1 / 0, catch=Exception
        )
        return [(t.state.name, t.values, t.params) for t in study.native.trials]

    by_its_loops_way = told()
    monkeypatch.delattr(optuna.study._tell, "_tell_with_warning")
    assert told() == by_its_loops_way


# Options and mistakes.


def test_an_unknown_option_is_an_error_with_the_nearest_name():
    with pytest.raises(OptionError, match="no option 'samplr'. Did you mean 'sampler'"):
        search(samplr=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "tpe"}, "sampler is 'tpe', expected an object such as optuna.samplers.TPE"),
        ({"sampler": optuna.samplers.TPESampler}, "sampler is the class TPESampler"),
        ({"pruner": object()}, "pruner is <object .*expected an object such as optuna.pruners"),
        ({"pruner": optuna.pruners.NopPruner}, "pruner is the class NopPruner"),
        ({"storage": 3}, "storage is 3, expected an object such as 'sqlite:///optuna.db'"),
        ({"study_name": 3}, "study_name is 3, expected a text"),
        ({"load_if_exists": "yes"}, "load_if_exists is 'yes', expected True or False"),
        ({"load_if_exists": True, "storage": "sqlite://"}, "needs study_name="),
    ],
)
def test_a_wrong_option_is_refused_before_the_first_trial(options, message):
    with pytest.raises(OptionError, match=message):
        search(**options)


def test_a_storage_url_never_shows():
    url = "postgresql://me:secret@nowhere/db"
    assert "secret" not in repr(search_options(url))
    with pytest.raises(ArgumentError) as raised:
        search(backend="random", storage=url)
    assert "secret" not in str(raised.value)


def search_options(url):
    from hpsearch_optuna.options import OptunaOptions

    return OptunaOptions(storage=url)


def test_one_name_with_other_choices_in_another_trial_ends_the_search_with_a_cause():
    def space(trial):
        return {"k": trial.suggest_categorical("k", list(range(2 + trial.number)))}

    with pytest.raises(SpaceError, match="parameter 'k' is one of 0, 1, 2, and was another one"):
        search(lambda trial: trial["k"], space)


def test_one_name_with_two_ranges_is_an_error_before_the_first_trial():
    def space(trial):
        trial.suggest_float("x", 0, 1)
        trial.suggest_float("x", 0, 2)

    with pytest.raises(SpaceError, match="parameter 'x' is a float from 0.0 to 1.0 in one place"):
        search(lambda trial: trial["x"], space)


def test_steps_that_only_nearly_reach_the_end_are_all_searched():
    # In binary 0.1 + 3 * 0.2 is above 0.7, and three steps of 0.1 end below 0.3.
    space = {
        "over": Float(0.1, 0.1 + 3 * 0.2, step=0.2),
        "under": Float(0.0, 0.3 - 1e-16, step=0.1),
        "from a sum": Float(0.1 + 0.2, 0.6, step=0.1),
        "in thirds": Float(1 / 3, 2 / 3, step=1 / 3),
    }
    study = search(lambda trial: trial["over"], space, n_trials=60)
    for name, distribution in space.items():
        seen = {trial[name] for trial in study.trials}
        assert {round(x, 9) for x in seen} == {round(x, 9) for x in distribution.values()}
        assert distribution.low <= min(seen) <= max(seen) <= distribution.high


def test_steps_that_optuna_cannot_count_are_refused_by_name():
    space = {
        "x": Float(166556.17674247947, 166556.17674247947 + 96 * 4.2653532e-8, step=4.2653532e-8)
    }
    with pytest.raises(SpaceError, match="'x': a float .* more digits than Optuna can count"):
        search(lambda trial: trial["x"], space)


TENTHS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize("space", [{"d": Float(0.0, 0.5, step=0.1)}, None])
def test_steps_are_decimals_however_optuna_computes_them(space, tmp_path):
    options = {"storage": tmp_path / "s.db", "resume": True, "enqueue": [{"d": 0.1 + 0.2}]}
    for total in (20, 40):
        study = search(
            lambda trial: (
                trial.suggest_float("d", 0.0, 0.5, step=0.1) if space is None else trial["d"]
            ),
            space,
            n_trials=total,
            **options,
        )
    assert study.trials[0]["d"] == 0.3
    assert {trial["d"] for trial in study.trials} == set(TENTHS)
    assert "0000000" not in study.table() + study.to_json() + study.to_csv()


def test_a_condition_on_a_step_holds_in_optuna():
    space = Space(
        {"d": Float(0.0, 0.5, step=0.1), "r": Float(0, 1)}, {"r": when(d=[0.1 + 0.2, 0.6 - 0.1])}
    )
    study = search(lambda trial: trial["d"], space, n_trials=30)
    assert all(("r" in trial) == (trial["d"] in (0.3, 0.5)) for trial in study.trials)
    assert {"r" in trial for trial in study.trials} == {True, False}


BEYOND = [
    Int(2**53, 2**53 + 5),
    Int(2**64, 2**64 + 10, step=5),
    Int(1, 2**60, log=True),
    Float(-1e308, 1e308),
    Float(-1e308, 1e308, step=1e307),
    Float(0, 5e-324),
]


@pytest.mark.parametrize("distribution", BEYOND, ids=str)
def test_what_optunas_floats_cannot_hold_is_refused_by_name(distribution):
    with pytest.raises(SpaceError, match="parameter 'n': .* is beyond Optuna"):
        search(lambda trial: 0.0, {"n": distribution})
    with pytest.raises(SpaceError, match="parameter 'n': .* is beyond Optuna"):
        search(lambda trial: trial.suggest("n", distribution), None)


def test_what_optunas_floats_can_hold_is_searched():
    space = {
        "n": Int(2**52 - 3, 2**52),
        "one": Int(2**64, 2**64),
        "c": Categorical([2**60, 2**60 + 1]),
        "x": Float(1e-300, 1.7e308, log=True),
    }
    study = search(lambda trial: 0.0, space, n_trials=30)
    assert {trial["n"] for trial in study.trials} == set(range(2**52 - 3, 2**52 + 1))
    assert {trial["c"] for trial in study.trials} == {2**60, 2**60 + 1}


@pytest.mark.parametrize(
    ("distribution", "value"),
    [
        (Float(0, 1, step=1e-7), 0.1234567),
        (Float(-0.7, 0.7, step=0.1), -0.3),
        (Float(0, 2e4, step=1e-3), 12345.678),
    ],
    ids=str,
)
def test_any_step_can_be_enqueued(distribution, value):
    study = search(lambda trial: trial["x"], {"x": distribution}, enqueue=[{"x": value}])
    assert study.trials[0]["x"] == value


def test_a_step_that_nearly_reaches_the_end_can_be_enqueued():
    top = 0.1 + 3 * 0.2
    study = search(lambda trial: trial["x"], {"x": Float(0.1, top, step=0.2)}, enqueue=[{"x": top}])
    assert study.trials[0]["x"] == 0.7


# Logs and seeds.


def test_optuna_logs_nothing_beside_our_lines_and_keeps_its_verbosity(caplog):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(logging.INFO, logger="optuna"):
            search()
    finally:
        optuna.logging.disable_propagation()
    assert not [record for record in caplog.records if record.name.startswith("optuna")]
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


def test_a_search_without_a_seed_can_be_repeated_with_the_one_it_drew():
    first = search(seed=None)
    again = search(seed=first.seed)
    assert [trial.params for trial in first.trials] == [trial.params for trial in again.trials]


def test_conditions_may_be_enqueued():
    space = hpsearch.Space(
        {"kind": Categorical(["a", "b"]), "x": Float(0, 1)}, {"x": when(kind="b")}
    )
    study = search(lambda t: t.get("x", 1.0), space, enqueue=[{"kind": "b", "x": 0.25}])
    assert study.trials[0].params == {"kind": "b", "x": 0.25}
    assert study.native.trials[0].params == {"kind": "b", "x": 0.25}
