"""Searches on a server of SigOpt's API, in both ways that its users write: suggestions and runs."""

from __future__ import annotations

from typing import Any

import hpsearch
from hpsearch import Categorical, Float, Int, Space, TrialState, when
from hpsearch.testing.executors import SeveralOpen

SIGOPT_SPACE = [
    {
        "name": "lr",
        "type": "double",
        "bounds": {"min": 1e-6, "max": 1e-1},
        "transformation": "log",
    },
    {"name": "n", "type": "int", "bounds": {"min": 1, "max": 40}},
    {"name": "batch", "type": "categorical", "categorical_values": ["16", "32"]},
]


def loss(trial: hpsearch.Trial) -> float:
    return float(trial.assignments["lr"] * trial.assignments["n"])


def told(experiment) -> list[dict[str, Any]]:
    return list(experiment.observations.values())


def test_a_search_is_an_experiment_on_the_server(server, options):
    study = hpsearch.search(loss, SIGOPT_SPACE, n_trials=5, **options)
    (experiment,) = server.experiments
    assert experiment.runs_only is options["runs"]
    assert experiment.project == "huggingface"
    assert [item["assignments"] for item in told(experiment)] == [
        dict(trial.params) for trial in study.trials
    ]
    assert [item["values"][0]["value"] for item in told(experiment)] == [
        trial.objective for trial in study.trials
    ]
    assert all(suggestion["state"] == "closed" for suggestion in experiment.suggestions.values())
    budget = "budget" if options["runs"] else "observation_budget"
    assert experiment.definition[budget] == 5
    assert experiment.definition["metrics"][0]["objective"] == "minimize"
    assert study.best.run_summary.id == str(experiment.id)
    assert study.best.run_summary.name == "study"


def test_the_server_ranks_the_best_run_as_we_do(server, options):
    study = hpsearch.search(loss, SIGOPT_SPACE, n_trials=8, direction="maximize", **options)
    (best,) = server.experiments[0].best()
    assert best["assignments"] == study.best.hyperparameters


def test_parallel_suggestions_are_open_at_a_time(server, options):
    study = hpsearch.search(
        loss,
        SIGOPT_SPACE,
        n_trials=7,
        executor=SeveralOpen(3, last_first=True),
        parallel_bandwidth=3,
        **options,
    )
    (experiment,) = server.experiments
    assert experiment.definition["parallel_bandwidth"] == 3
    made = [path for method, path in server.requests if method == "POST"]
    kind = "training_runs" if options["runs"] else "suggestions"
    assert [path.rsplit("/", 1)[-1] for path in made[1:4]] == [kind] * 3
    by_point = {tuple(item["assignments"].values()): item for item in told(experiment)}
    for trial in study.trials:
        assert by_point[tuple(trial.params.values())]["values"][0]["value"] == trial.objective


def test_worker_processes_have_as_many_suggestions_open(server, options):
    study = hpsearch.search(
        loss, SIGOPT_SPACE, n_trials=5, executor="process", n_workers=2, **options
    )
    (experiment,) = server.experiments
    assert experiment.definition["parallel_bandwidth"] == 2
    assert sorted(item["values"][0]["value"] for item in told(experiment)) == sorted(
        trial.objective for trial in study.trials
    )


def test_a_failed_trial_is_a_failed_observation(server, options):
    def sometimes(trial):
        if trial.number in (1, 2):
            return [None, float("nan")][trial.number - 1] or 1 / 0
        return loss(trial)

    study = hpsearch.search(sometimes, SIGOPT_SPACE, n_trials=4, max_failures=5, **options)
    assert [trial.state for trial in study.trials] == [
        TrialState.COMPLETE,
        TrialState.FAILED,
        TrialState.FAILED,
        TrialState.COMPLETE,
    ]
    (experiment,) = server.experiments
    assert [item["failed"] for item in told(experiment)] == [False, True, True, False]
    if options["runs"]:
        states = [run["state"] for run in experiment.runs.values()]
        assert states == ["completed", "failed", "failed", "completed"]


def test_two_metrics_are_a_pareto_front(server, options):
    def two(trial):
        return trial["n"], trial["lr"]

    study = hpsearch.search(
        two,
        SIGOPT_SPACE,
        n_trials=10,
        direction=["maximize", "minimize"],
        metrics=["size", "rate"],
        **options,
    )
    (experiment,) = server.experiments
    objectives = {item["name"]: item["objective"] for item in experiment.definition["metrics"]}
    assert objectives == {"size": "maximize", "rate": "minimize"}
    ours = sorted(tuple(run.objective) for run in study.best_runs)
    values = [{v["name"]: v["value"] for v in item["values"]} for item in experiment.best()]
    assert sorted((item["size"], item["rate"]) for item in values) == ours


def test_a_portable_space_with_conditions_runs(server, options):
    space = Space(
        {
            "kind": Categorical(["flat", "deep"]),
            "depth": Int(2, 64, log=True),
            "x": Float(0.0, 1.0, step=0.25),
            "on": Categorical([True, False, None, 3]),
        },
        conditions={"depth": when(kind="deep")},
    )
    study = hpsearch.search(lambda trial: trial["x"], space, n_trials=25, **options)
    assert {"depth" in trial.params for trial in study.trials} == {True, False}
    assert {trial["kind"] for trial in study.trials if "depth" in trial} == {"deep"}
    assert {trial["x"] for trial in study.trials} <= {0.0, 0.25, 0.5, 0.75, 1.0}
    assert {type(trial["on"]) for trial in study.trials} == {bool, type(None), int}


def test_an_enqueued_trial_is_told_with_its_own_assignments(server, options):
    first = {"lr": 0.01, "n": 7, "batch": "32"}
    study = hpsearch.search(loss, SIGOPT_SPACE, n_trials=3, enqueue=[first], **options)
    assert dict(study.trials[0].params) == first
    assert told(server.experiments[0])[0]["assignments"] == first
    assert len(told(server.experiments[0])) == 3


def test_a_trial_offers_what_the_engines_own_does(server, options):
    def objective(trial):
        if options["runs"]:
            trial.log_metadata("host", "here")
            trial.log_checkpoint({"objective": 1.0})
        else:
            assert trial.native.state == "open"
        return loss(trial)

    hpsearch.search(objective, SIGOPT_SPACE, n_trials=1, **options)
    for run in server.experiments[0].runs.values():
        assert run["metadata"]["host"] == "here"
        assert run["checkpoints"] == [[{"name": "objective", "value": 1.0}]]


def test_the_budget_ends_the_search(server, options):
    study = hpsearch.search(loss, SIGOPT_SPACE, n_trials=9, observation_budget=3, **options)
    assert len(study.trials) == 3
    assert server.experiments[0].document()["progress"].get("remaining_budget", 0) == 0


def test_the_environment_names_the_server(server, monkeypatch):
    monkeypatch.setenv("SIGOPT_API_URL", server.url)
    monkeypatch.setenv("SIGOPT_API_TOKEN", server.token)
    hpsearch.search(loss, SIGOPT_SPACE, n_trials=2, backend="sigopt", progress=False)
    assert len(told(server.experiments[0])) == 2
