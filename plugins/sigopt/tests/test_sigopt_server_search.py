"""Searches on a server of SigOpt's API, in both ways that its users write: suggestions and runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import sigopt
from sigopt.factory import SigOptFactory

import hpsearch
from hpsearch import Categorical, Float, Int, Space, TrialState, when
from hpsearch.errors import SpaceError
from hpsearch.testing import BackendConformance
from hpsearch.testing.executors import SeveralOpen
from plugins.sigopt.tests.sigopt_server.server import SigOptServer

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


@pytest.fixture(params=[False, True], ids=["suggestions", "runs"])
def options(request: pytest.FixtureRequest, server: SigOptServer) -> Mapping[str, Any]:
    """The options of a search on the server, in one of the two ways."""
    return {
        "backend": "sigopt",
        "api_url": server.url,
        "api_token": server.token,
        "project": "huggingface",
        "runs": request.param,
        "progress": False,
    }


def loss(trial: hpsearch.Trial) -> float:
    return float(trial.assignments["lr"] * trial.assignments["n"])


def told(experiment) -> list[dict[str, Any]]:
    return list(experiment.observations.values())


def told_in(server) -> list[dict[str, Any]]:
    (experiment,) = server.experiments
    return told(experiment)


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


def test_an_experiment_of_the_server_is_continued(server, options):
    begun = hpsearch.search(loss, SIGOPT_SPACE, n_trials=3, **options)
    server.service.page_size = 2
    study = hpsearch.search(
        loss, SIGOPT_SPACE, n_trials=5, experiment_id=begun.native.id, **options
    )
    (experiment,) = server.experiments
    assert len(told(experiment)) == 5
    assert [dict(trial.params) for trial in study.trials[:3]] == [
        dict(trial.params) for trial in begun.trials
    ]
    assert [trial.objective for trial in study.trials[:3]] == [
        trial.objective for trial in begun.trials
    ]
    assert study.native.id == begun.native.id


def test_an_experiment_begun_with_sigopts_own_client_is_continued(server, options):
    """As run_hp_search_sigopt of transformers 4 left it, its failed trial included."""
    connection = sigopt.Connection(client_token=server.token, api_url=server.url)
    asked: dict[str, Any] = {
        "name": "huggingface-tune",
        "parameters": SIGOPT_SPACE,
        "metrics": [{"name": "objective", "objective": "minimize", "strategy": "optimize"}],
        "parallel_bandwidth": 1,
    }
    if options["runs"]:
        factory = SigOptFactory("huggingface", connection)
        begun = factory.create_experiment(**asked, type="offline", budget=4)
        for number in range(3):
            with begun.create_run() as run:
                if number == 1:
                    run.log_failure()
                else:
                    run.log_metric("objective", number)
    else:
        begun = connection.experiments().create(
            **asked, observation_budget=4, project="huggingface"
        )
        mine = connection.experiments(begun.id)
        for number in range(3):
            suggestion = mine.suggestions().create()
            values = [{"name": "objective", "value": number}]
            told = {"failed": True} if number == 1 else {"values": values}
            mine.observations().create(suggestion=suggestion.id, **told)
    study = hpsearch.search(
        loss, SIGOPT_SPACE, n_trials=4, experiment_id=begun.id, max_failures=3, **options
    )
    assert [trial.objective for trial in study.trials[:3]] == [0, None, 2]
    assert study.trials[1].state is TrialState.FAILED
    assert study.best.objective == 0
    assert len(told_in(server)) == 4


def test_the_trials_that_an_experiment_has_count_toward_its_budget(server, options):
    begun = hpsearch.search(loss, SIGOPT_SPACE, n_trials=3, **options)
    study = hpsearch.search(
        loss,
        SIGOPT_SPACE,
        n_trials=9,
        experiment_id=begun.native.id,
        observation_budget=5,
        **options,
    )
    assert len(study.trials) == 5


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"x": Float(0, 1)}, "'x'"),
        ({"x": Float(0, 2), "n": Int(1, 5)}, "'x'"),
        ({"x": Float(0, 1, log=False), "n": Int(1, 6)}, "'n'"),
    ],
)
def test_an_experiment_with_other_parameters_is_refused(server, options, changed, named):
    begun = hpsearch.search(
        lambda trial: trial["x"], {"x": Float(0, 1), "n": Int(1, 5)}, n_trials=1, **options
    )
    missing = "'n'" if "n" not in changed else named
    with pytest.raises(SpaceError, match=missing):
        hpsearch.search(
            lambda trial: trial["x"],
            changed,
            n_trials=3,
            experiment_id=begun.native.id,
            **options,
        )
    assert len(told_in(server)) == 1


def test_observations_of_others_do_not_count_in_a_resumed_search(server, options, tmp_path, caplog):
    kept = {"storage": tmp_path / "study.db", **options}
    begun = hpsearch.search(loss, SIGOPT_SPACE, n_trials=2, **kept)
    hpsearch.search(loss, SIGOPT_SPACE, n_trials=4, experiment_id=begun.native.id, **options)
    study = hpsearch.search(loss, SIGOPT_SPACE, n_trials=4, resume=True, **kept)
    assert "2 observations that are no trials of study 'study'" in caplog.text
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert len(told_in(server)) == 6


def test_a_resumed_search_goes_on_in_its_experiment(server, options, tmp_path):
    def interrupted(trial):
        if trial.number == 3:
            raise KeyboardInterrupt
        return loss(trial)

    kept = {"storage": tmp_path / "study.db", "n_trials": 6, **options}
    with pytest.raises(hpsearch.SearchInterrupted):
        hpsearch.search(interrupted, SIGOPT_SPACE, **kept)
    study = hpsearch.search(loss, SIGOPT_SPACE, resume=True, **kept)
    assert len(study.trials) == 6
    (experiment,) = server.experiments
    complete = [item for item in told(experiment) if not item["failed"]]
    assert sorted(item["values"][0]["value"] for item in complete) == sorted(
        trial.objective for trial in study.trials
    )


def test_a_journal_of_another_backend_is_told_to_the_server(server, options, tmp_path):
    path = tmp_path / "study.db"
    hpsearch.search(
        loss, SIGOPT_SPACE, backend="random", n_trials=3, storage=path, progress=False, seed=1
    )
    hpsearch.search(loss, SIGOPT_SPACE, n_trials=5, storage=path, resume=True, **options)
    (experiment,) = server.experiments
    assert len(told(experiment)) == 5
    assert sum(item["suggestion"] is None for item in told(experiment)) == 3


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


KILLED = """
import sys, time
import hpsearch

def objective(trial):
    if trial.number == 2:
        print("in trial 2", flush=True)
        time.sleep(60)
    return trial["x"]

url, token, runs, path = sys.argv[1:]
hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="sigopt", api_url=url, api_token=token,
    runs=runs == "True", project="huggingface", n_trials=4, storage=path, progress=False,
)
"""


def test_a_killed_search_ends_the_suggestion_that_it_had_open(server, options, tmp_path):
    arguments = [server.url, server.token, str(options["runs"]), str(tmp_path / "study.db")]
    command = [sys.executable, "-c", KILLED, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in trial 2\n"
        process.kill()
    study = hpsearch.search(
        lambda trial: trial["x"],
        {"x": Float(0, 1)},
        n_trials=4,
        storage=tmp_path / "study.db",
        resume=True,
        **options,
    )
    (experiment,) = server.experiments
    assert [item["values"][0]["value"] for item in told(experiment)] == [
        trial.objective for trial in study.trials
    ]
    assert {item["state"] for item in experiment.suggestions.values()} == {"closed"}


def test_the_environment_names_the_server(server, monkeypatch):
    monkeypatch.setenv("SIGOPT_API_URL", server.url)
    monkeypatch.setenv("SIGOPT_API_TOKEN", server.token)
    hpsearch.search(loss, SIGOPT_SPACE, n_trials=2, backend="sigopt", progress=False)
    assert len(told(server.experiments[0])) == 2


SINGLE = frozenset({"float-single", "int-single", "categorical-single"})


class OnAServer(BackendConformance):
    """The contract of a backend, on a server."""

    backend = "sigopt"
    runs = False

    @pytest.fixture(autouse=True)
    def _on_a_server(self, server: SigOptServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SIGOPT_API_URL", server.url)
        monkeypatch.setenv("SIGOPT_API_TOKEN", server.token)


class TestSuggestions(OnAServer):
    options = {"project": "huggingface"}
    refuses = SINGLE
    bad_options = {"experiment_id": "17"}


class TestRuns(OnAServer):
    options = {"project": "huggingface", "runs": True}
    refuses = SINGLE
    bad_options = {"project": "huggingfaces"}
