"""Going on: in an experiment that a SigOpt server has, and from our journal."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import sigopt
from sigopt.factory import SigOptFactory

import hpsearch
from hpsearch import Float, Int, TrialState
from hpsearch.errors import OptionError, SpaceError

SPACE = [
    {"name": "lr", "type": "double", "bounds": {"min": 1e-6, "max": 1e-1}},
    {"name": "n", "type": "int", "bounds": {"min": 1, "max": 40}},
    {"name": "batch", "type": "categorical", "categorical_values": ["16", "32"]},
]


def loss(trial: hpsearch.Trial) -> float:
    return float(trial.assignments["lr"] * trial.assignments["n"])


def told(server) -> list[dict[str, Any]]:
    """Return what the server's one experiment has observed."""
    (experiment,) = server.experiments
    return list(experiment.observations.values())


def test_an_experiment_of_the_server_is_continued(server, options):
    begun = hpsearch.search(loss, SPACE, n_trials=3, **options)
    server.service.page_size = 2
    study = hpsearch.search(loss, SPACE, n_trials=5, experiment_id=begun.native.id, **options)
    assert len(told(server)) == 5
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
        "parameters": SPACE,
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
            ending = {"failed": True} if number == 1 else {"values": values}
            mine.observations().create(suggestion=suggestion.id, **ending)
    study = hpsearch.search(
        loss, SPACE, n_trials=4, experiment_id=begun.id, max_failures=3, **options
    )
    assert [trial.objective for trial in study.trials[:3]] == [0, None, 2]
    assert study.trials[1].state is TrialState.FAILED
    assert study.best.objective == 0
    assert len(told(server)) == 4


def test_the_trials_that_an_experiment_has_count_toward_its_budget(server, options):
    begun = hpsearch.search(loss, SPACE, n_trials=3, **options)
    study = hpsearch.search(
        loss,
        SPACE,
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
    assert len(told(server)) == 1


def test_an_experiment_of_the_other_kind_is_refused(options):
    begun = hpsearch.search(loss, SPACE, n_trials=1, **options)
    other = {**options, "runs": not options["runs"], "experiment_id": begun.native.id}
    with pytest.raises(OptionError, match=f"give runs={options['runs']}"):
        hpsearch.search(loss, SPACE, n_trials=3, **other)


def test_observations_of_others_do_not_count_in_a_resumed_search(server, options, tmp_path, caplog):
    kept = {"storage": tmp_path / "study.db", **options}
    begun = hpsearch.search(loss, SPACE, n_trials=2, **kept)
    hpsearch.search(loss, SPACE, n_trials=4, experiment_id=begun.native.id, **options)
    study = hpsearch.search(loss, SPACE, n_trials=4, resume=True, **kept)
    assert "2 observations that are not trials of study 'study'" in caplog.text
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert len(told(server)) == 6


def test_a_resumed_search_goes_on_in_its_experiment(server, options, tmp_path):
    def interrupted(trial):
        if trial.number == 3:
            raise KeyboardInterrupt
        return loss(trial)

    kept = {"storage": tmp_path / "study.db", "n_trials": 6, **options}
    with pytest.raises(hpsearch.SearchInterrupted):
        hpsearch.search(interrupted, SPACE, **kept)
    study = hpsearch.search(loss, SPACE, resume=True, **kept)
    assert len(study.trials) == 6
    complete = [item for item in told(server) if not item["failed"]]
    assert sorted(item["values"][0]["value"] for item in complete) == sorted(
        trial.objective for trial in study.trials
    )


def test_a_journal_of_another_backend_is_told_to_the_server(server, options, tmp_path):
    path = tmp_path / "study.db"
    hpsearch.search(loss, SPACE, backend="random", n_trials=3, storage=path, progress=False, seed=1)
    hpsearch.search(loss, SPACE, n_trials=5, storage=path, resume=True, **options)
    assert len(told(server)) == 5
    assert sum(item["suggestion"] is None for item in told(server)) == 3


KILLED = """
import sys, time
import hpsearch

def objective(trial):
    if trial.number == 2:
        print("in trial 2", flush=True)
        time.sleep(600)
    return trial["x"]

url, token, runs, path = sys.argv[1:]
hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="sigopt", api_url=url, api_token=token,
    runs=runs == "True", project="huggingface", n_trials=4, storage=path, progress=False,
)
"""


def test_a_killed_search_ends_the_suggestion_that_it_had_open(programs, server, options, tmp_path):
    arguments = [server.url, server.token, options["runs"], tmp_path / "study.db"]
    process = programs.start(sys.executable, "-c", KILLED, *arguments, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "in trial 2\n"
    process.kill()
    process.wait()
    study = hpsearch.search(
        lambda trial: trial["x"],
        {"x": Float(0, 1)},
        n_trials=4,
        storage=tmp_path / "study.db",
        resume=True,
        **options,
    )
    (experiment,) = server.experiments
    assert [item["values"][0]["value"] for item in told(server)] == [
        trial.objective for trial in study.trials
    ]
    assert {item["state"] for item in experiment.suggestions.values()} == {"closed"}
