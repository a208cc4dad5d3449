"""Searching with SigOpt's own optimiser in this process: what it is asked and what it is told."""

from __future__ import annotations

import logging
import math

import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, Space, when
from hpsearch.errors import CapabilityError, ObjectiveError, OptionError, SpaceError

X = {"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)}
SUM_AT_MOST_ONE = {
    "type": "less_than",
    "threshold": 1,
    "terms": [{"name": "x", "weight": 1}, {"name": "y", "weight": 1}],
}


def search(objective, space=X, **arguments):
    given = {"backend": "sigopt", "seed": 1, "n_trials": 7, "progress": False, **arguments}
    return hpsearch.search(objective, space, **given)


def first(trial):
    return next(iter(trial.values()))


def observations(connections):
    """What the experiment was told, from the experiment itself."""
    page = connections[0].experiments(-1).observations().fetch()
    return [observation.to_json() for observation in page.iterate_pages()]


def test_the_optimiser_finds_a_minimum_that_random_draws_do_not():
    def bowl(trial):
        return (trial["x"] - 0.3) ** 2 + (trial["y"] - 0.7) ** 2

    found, drawn = (
        search(bowl, n_trials=16, type=kind).best.objective for kind in (None, "random")
    )
    assert found < 0.001 < drawn


def test_every_type_comes_back_as_itself(connections):
    space = [
        {"name": "double", "type": "double", "bounds": {"min": 1, "max": 2}},
        {"name": "int", "type": "int", "bounds": {"min": 1, "max": 9}},
        {"name": "text", "type": "categorical", "categorical_values": ["16", "32"]},
        {"name": "grid", "type": "int", "grid": [1, 10, 100]},
    ]
    study = search(lambda trial: trial["double"], space)
    for trial in study.trials:
        assert [type(value) for value in trial.values()] == [float, int, str, int]
        assert trial["text"] in ("16", "32")
        assert trial["grid"] in (1, 10, 100)
    assert [told["assignments"] for told in observations(connections)] == [
        dict(trial) for trial in study.trials
    ]


def test_what_sigopt_has_not_is_searched_in_terms_that_it_has():
    space = {
        "log": Int(1, 1000, log=True),
        "fine": Float(0.0, 1.0, step=1e-4),
        "mixed": Categorical([16, "16", True, None, 0.5]),
        "constant": Categorical(["adam"]),
    }
    study = search(lambda trial: trial["fine"], space, n_trials=12)
    assert {type(trial["mixed"]) for trial in study.trials} > {int, str}
    assert all(trial["constant"] == "adam" for trial in study.trials)


def test_a_log_transformation_is_searched_on_that_scale():
    space = {"x": Float(1e-6, 1.0, log=True)}
    study = search(first, space, n_trials=200, type="random")
    logs = sorted(math.log10(trial["x"]) / 6 + 1 for trial in study.trials)
    # Kolmogorov and Smirnov: beyond 1.95 / sqrt(n) once in a thousand samples of that law.
    gap = max(abs(value - (rank + 0.5) / 200) for rank, value in enumerate(logs))
    assert gap < 1.95 / math.sqrt(200)


def test_a_grid_on_a_log_scale_gives_its_own_values(connections):
    """The optimiser answers 0.003000000000000001, and refuses an observation of that."""
    grid = [1e-5, 1e-4, 3e-3]
    space = [
        {"name": "g", "type": "double", "grid": grid, "transformation": "log"},
        {"name": "x", "type": "double", "bounds": {"min": 0, "max": 1}},
    ]
    study = search(lambda trial: trial["x"], space)
    assert {trial["g"] for trial in study.trials} == set(grid)
    assert len(observations(connections)) == 7


def test_a_prior_draws_what_it_says():
    space = [
        {
            "name": "x",
            "type": "double",
            "bounds": {"min": 0, "max": 100},
            "prior": {"name": "normal", "mean": 20, "scale": 1},
        },
        {
            "name": "y",
            "type": "double",
            "bounds": {"min": 0, "max": 1},
            "prior": {"name": "beta", "shape_a": 20, "shape_b": 2},
        },
    ]
    study = search(first, space, n_trials=40, type="random")
    assert all(15 < trial["x"] < 25 for trial in study.trials)
    assert 0.85 < sum(trial["y"] for trial in study.trials) / 40 < 0.95


def test_conditions_are_sigopts_where_it_has_such(connections):
    space = Space(
        {"optimizer": Categorical(["sgd", "adam"]), "lr": Float(0, 1), "momentum": Float(0.5, 0.9)},
        {"momentum": when(optimizer="sgd")},
    )
    study = search(lambda trial: trial["lr"], space, n_trials=9)
    assert [c.name for c in study.native.conditionals] == ["optimizer"]
    assert {trial["optimizer"]: "momentum" in trial for trial in study.trials} == {
        "sgd": True,
        "adam": False,
    }
    assert ["momentum" in told["assignments"] for told in observations(connections)] == [
        "momentum" in trial for trial in study.trials
    ]


def test_conditions_beyond_sigopts_are_kept_all_the_same():
    """A condition on a condition, and one of two cases."""
    space = Space(
        {"a": Categorical(["u", "v"]), "b": Int(1, 2), "c": Float(0, 1), "d": Float(0, 1)},
        {"b": when(a="u"), "c": when(b=2), "d": when(a="v") | when(b=1)},
    )
    study = search(lambda trial: 1.0, space, n_trials=12)
    assert study.native.conditionals == []
    seen = {tuple(trial) for trial in study.trials}
    assert seen == {("a", "b", "c"), ("a", "b", "d"), ("a", "d")}


@pytest.mark.parametrize("way", ["option", "experiment"])
def test_linear_constraints_are_kept(way):
    parameters = [
        {"name": name, "type": "double", "bounds": {"min": 0, "max": 1}} for name in ("x", "y")
    ]
    if way == "option":
        space, options = parameters, {"linear_constraints": [SUM_AT_MOST_ONE]}
    else:
        space, options = {"parameters": parameters, "linear_constraints": [SUM_AT_MOST_ONE]}, {}
    study = search(lambda trial: trial["x"] + trial["y"], space, direction="maximize", **options)
    assert all(trial["x"] + trial["y"] <= 1 for trial in study.trials)
    assert study.best.objective > 0.9


def test_linear_constraints_between_whole_numbers_are_kept():
    """The optimiser finds none within them now and then; it is not asked twice for nothing."""
    tight = {**SUM_AT_MOST_ONE, "type": "greater_than", "threshold": 19}
    study = search(
        lambda trial: trial["x"],
        {"x": Int(0, 10), "y": Int(0, 10)},
        linear_constraints=[tight],
        n_trials=8,
    )
    assert all(trial["x"] + trial["y"] >= 19 for trial in study.trials)


@pytest.mark.parametrize(
    ("space", "constraint", "problem"),
    [
        (
            X,
            {**SUM_AT_MOST_ONE, "terms": [{"name": "z", "weight": 1}]},
            "'z', which is not a param",
        ),
        (X, {"type": "less_than"}, "is not of the form"),
        (X, {**SUM_AT_MOST_ONE, "threshold": -1}, "Infeasible"),
        ({**X, "y": Float(0.1, 1, log=True)}, SUM_AT_MOST_ONE, "'y' .* log scale"),
        ({**X, "y": Float(0, 1, step=1e-4)}, SUM_AT_MOST_ONE, "'y' .* step"),
    ],
)
def test_a_linear_constraint_that_cannot_be_is_refused(space, constraint, problem):
    with pytest.raises(SpaceError, match=problem):
        search(first, space, linear_constraints=[constraint])


def test_the_objective_is_the_metric_called_objective(connections):
    study = search(lambda trial: trial["x"], type="random", direction="maximize", n_trials=3)
    (metric,) = study.native.metrics
    assert (metric.name, metric.objective, metric.strategy) == (
        "objective",
        "maximize",
        "optimize",
    )
    assert [told["values"][0]["value"] for told in observations(connections)] == [
        trial.objective for trial in study.trials
    ]


def test_stored_and_constraint_metrics_come_from_what_a_trial_annotates(connections):
    metrics = [
        "loss",
        {"name": "memory", "strategy": "constraint", "objective": "minimize", "threshold": 5},
        {"name": "tokens", "strategy": "store"},
    ]

    def objective(trial):
        trial.annotate("memory", 10 * trial["x"])
        trial.annotate("tokens", 3)
        return (trial["x"] - 0.9) ** 2 + trial["y"]

    study = search(objective, metrics=metrics, n_trials=8, enqueue=[{"x": 0.9, "y": 0.0}])
    for trial, told in zip(study.trials, observations(connections), strict=True):
        assert {value["name"]: value["value"] for value in told["values"]} == {
            "loss": trial.objective,
            "memory": 10 * trial["x"],
            "tokens": 3.0,
        }
    assert study.best.hyperparameters["x"] <= 0.5
    assert study.trials[0].objective == 0.0
    assert study.best.run_summary.progress.observation_count == 8


def test_no_run_is_best_when_none_keeps_the_thresholds(caplog):
    metric = {"name": "memory", "strategy": "constraint", "threshold": 5}

    def objective(trial):
        trial.annotate("memory", 0.0)
        return trial["x"]

    study = search(objective, metrics=["loss", metric], n_trials=3)
    with pytest.raises(hpsearch.HpsearchError, match="no feasible trial"):
        print(study.best)
    assert "keeps its constraints" in caplog.text


def test_a_metric_that_no_trial_speaks_of_ends_the_search_at_once():
    with pytest.raises(ObjectiveError, match=r"trial 0 says nothing of 'memory'.*annotate"):
        search(first, metrics=["loss", {"name": "memory", "strategy": "store"}])


def test_a_metric_that_one_trial_leaves_out_is_that_trials_error(connections, caplog):
    def objective(trial):
        if trial.number != 1:
            trial.annotate("memory", 1.0)
        return trial["x"]

    metrics = ["loss", {"name": "memory", "strategy": "store"}]
    study = search(objective, metrics=metrics, type="random", n_trials=3)
    assert "trial 1 says nothing of 'memory'" in caplog.text
    assert [told["failed"] for told in observations(connections)] == [False, True, False]
    assert study.trials[1].objective is not None


def test_two_metrics_are_optimised_to_a_front():
    def objective(trial):
        return trial["x"], (1 - trial["x"]) ** 2 + trial["y"]

    study = search(objective, direction=["minimize", "minimize"], n_trials=12)
    assert [metric.name for metric in study.native.metrics] == ["objective_0", "objective_1"]
    assert len(study.best_runs) > 2
    assert sorted(run.hyperparameters["y"] for run in study.best_runs)[1] < 0.1


def test_more_than_two_directions_are_refused():
    with pytest.raises(CapabilityError, match="one metric or two, and 3 directions"):
        search(first, direction=["minimize"] * 3)


@pytest.mark.parametrize(
    ("metrics", "problem"),
    [
        (["a", "b"], "2 to optimise .* 1 direction;"),
        (
            [{"name": "a", "objective": "maximize"}],
            "'maximize' for 'a', and direction .*'minimize'",
        ),
        ([{"name": "a", "strategy": "stored"}], "Did you mean 'store'"),
        ([{"name": "a", "treshold": 1}], "Did you mean 'threshold'"),
        (["a", {"name": "b", "strategy": "constraint"}], "'b' is a constraint and needs"),
        (["a", {"name": "a", "strategy": "store"}], "one name twice"),
        ([{"strategy": "store"}], "no name"),
    ],
)
def test_metrics_that_cannot_be_are_refused(metrics, problem):
    with pytest.raises(OptionError, match=problem):
        search(first, metrics=metrics)


def test_a_failed_trial_is_told_as_failed_and_the_model_goes_on(connections):
    def objective(trial):
        if trial["x"] > 0.5:
            raise ValueError("out of memory")
        return (trial["x"] - 0.4) ** 2

    study = search(objective, n_trials=14, catch=ValueError)
    failed = [trial.state == "failed" for trial in study.trials]
    assert [told["failed"] for told in observations(connections)] == failed
    assert 0 < sum(failed) < 14
    assert study.native.progress.observation_count == 14


def test_nan_is_a_failed_observation_and_does_not_poison_the_experiment(connections):
    def objective(trial):
        return math.nan if trial.number % 3 == 0 else trial["x"]

    study = search(objective, n_trials=10, catch=ObjectiveError, max_failures=20)
    assert [told["failed"] for told in observations(connections)] == [
        trial.number % 3 == 0 for trial in study.trials
    ]
    assert study.best.objective < 0.2


def test_a_pruned_trial_is_told_with_what_it_reported_last(connections):
    def objective(trial):
        if trial.number == 0:
            raise hpsearch.TrialPruned
        for step in range(3):
            trial.report(trial["x"] + step, step)
        if trial.number == 1:
            raise hpsearch.TrialPruned
        return trial["x"]

    study = search(objective, type="random", n_trials=3)
    silent, pruned, complete = observations(connections)
    assert silent["failed"]
    assert pruned["values"][0]["value"] == study.trials[1]["x"] + 2
    assert complete["values"][0]["value"] == study.trials[2]["x"]


def test_the_budget_ends_the_search(caplog):
    caplog.set_level(logging.INFO)
    study = search(first, type="random", n_trials=9, observation_budget=4)
    assert len(study.trials) == 4
    assert study.native.observation_budget == 4


def test_the_budget_is_the_number_of_trials_unless_given():
    assert search(first, type="random", n_trials=2).native.observation_budget == 2


def test_what_needs_a_budget_says_so():
    with pytest.raises(SpaceError, match="observation_budget is required"):
        search(lambda trial: (1, 1), direction=["minimize"] * 2, n_trials=None, timeout=5)


@pytest.mark.parametrize(
    ("space", "points"),
    [
        ({"a": Categorical(["u", "v"])}, 2),
        ({"g": Float(0.1, 0.5, step=0.2)}, 3),
    ],
)
def test_a_small_space_is_tried_in_full_and_the_search_goes_on(space, points, caplog):
    """The optimiser alone raises "list index out of range", often before each point was tried."""
    study = search(lambda trial: trial.number, space, n_trials=points + 5)
    assert len(study.trials) == points + 5
    assert len({tuple(trial.values()) for trial in study.trials}) == points
    assert caplog.text.count("drawn at random") == 1


def test_several_solutions_are_looked_for_with_the_density_estimator():
    study = search(first, num_solutions=2, compute_mode="kde_only", n_trials=9)
    assert study.native.num_solutions == 2


def test_a_trial_shows_sigopts_suggestion_and_the_study_its_experiment():
    seen = []

    def objective(trial):
        seen.append((dict(trial.native.assignments), dict(trial.assignments), trial.native.id))
        return trial["x"]

    study = search(objective, type="random", n_trials=2, name="two of them")
    assert [native == ours for native, ours, _ in seen] == [True, True]
    assert [number for _, _, number in seen] == ["1", "2"]
    assert study.best.run_summary is study.native
    assert study.native.name == "two of them"
    assert study.native.progress.observation_count == 2


def test_an_experiments_own_words_are_used():
    body = {
        "name": "theirs",
        "type": "random",
        "parameters": [{"name": "x", "type": "double", "bounds": {"min": 0, "max": 1}}],
        "metrics": [{"name": "loss", "objective": "minimize"}],
        "observation_budget": 3,
    }
    study = search(first, body)
    assert len(study.trials) == 3
    native = study.native
    assert (native.name, native.type, native.metrics[0].name) == ("theirs", "random", "loss")


def test_an_option_comes_before_the_experiments_own_words():
    body = {
        "type": "random",
        "parameters": [{"name": "x", "type": "double", "bounds": {"min": 0, "max": 1}}],
        "observation_budget": 3,
    }
    assert len(search(first, body, observation_budget=2).trials) == 2


def test_what_only_a_server_uses_is_said(caplog):
    parameters = [{"name": "x", "type": "double", "bounds": {"min": 0, "max": 1}}]
    search(first, {"parameters": parameters, "project": "mine"}, type="random", n_trials=1)
    assert "'project', which only a server uses" in caplog.text


def test_a_space_without_a_choice_is_refused():
    with pytest.raises(SpaceError, match="more than one value .* 'x'"):
        search(first, {"x": Float(1.0, 1.0)})


@pytest.mark.parametrize(
    "space",
    [
        {"d": Float(-0.5, 0.5, step=0.1)},
        {"d": Float(0, 1, step=1e-7)},
        [{"name": "d", "type": "double", "grid": [0.1, 0.2, 0.1 + 0.2]}],
    ],
)
def test_steps_are_decimals_however_sigopt_computes_them(space):
    study = search(first, space, enqueue=[{"d": 0.1 + 0.2}], n_trials=8)
    assert study.trials[0]["d"] == 0.3
    assert all(trial["d"] == round(trial["d"], 7) for trial in study.trials)


@pytest.mark.parametrize(
    "distribution",
    [
        Int(2**64, 2**64 + 10, step=5),
        Int(1, 2**60, log=True),
        Float(-1e308, 1e308),
        Float(-1e308, 1e308, step=1e307),
    ],
    ids=str,
)
def test_what_sigopts_floats_cannot_hold_is_refused_by_name(distribution):
    with pytest.raises(SpaceError, match="parameter 'n': .* is beyond SigOpt"):
        search(first, {"n": distribution})


def test_more_choices_than_the_optimiser_has_room_for_are_refused():
    with pytest.raises(SpaceError, match="parameter 'c' has 100000 choices, .* at most 1000"):
        search(first, {"c": Categorical(range(100_000))})


def test_whole_numbers_beyond_a_doubles_are_refused():
    with pytest.raises(SpaceError, match=r"'n': .* beyond SigOpt.* up to 2\*\*53"):
        search(first, {"n": Int(0, 2**60)})


def test_the_optimisers_own_log_is_not_in_the_users(caplog):
    caplog.set_level(logging.INFO)
    search(first, n_trials=7)
    assert {record.name for record in caplog.records} == {"hpsearch"}
