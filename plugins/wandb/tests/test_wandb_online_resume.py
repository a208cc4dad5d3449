"""What is known before the agent starts: earlier trials, unfinished ones, a sweep of the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, SearchInterrupted
from hpsearch.errors import BackendError, OptionError, SpaceError
from plugins.wandb.tests.wandb_server.sweeps import Sweep

pytestmark = [
    # wandb leaves the file with a run's parameters to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SPACE = {"x": Float(0, 1), "n": Int(1, 4)}


def online(objective, space=None, **options):
    return hpsearch.search(objective, space or SPACE, backend="wandb", mode="online", **options)


def test_a_resumed_search_goes_on_in_its_sweep(server, tmp_path):
    journal = {"storage": tmp_path / "study.db", "resume": True}
    online(lambda trial: trial["x"], n_trials=2, **journal)
    study = online(lambda trial: trial["x"], n_trials=3, **journal)
    assert [trial.id for trial in study.trials] == list(server.sweep.runs)
    assert study.best.run_summary == server.sweep.name


def test_trials_of_another_backend_are_handed_to_the_sweep(server, tmp_path):
    journal = {"storage": tmp_path / "study.db", "resume": True}

    def objective(trial):
        trial.report(0.5, 1)
        if trial.number == 1:
            raise ValueError("bad")
        return trial["x"]

    hpsearch.search(objective, SPACE, backend="random", n_trials=2, **journal)
    online(objective, n_trials=3, **journal)
    study = online(objective, n_trials=4, **journal)
    first, second, third, fourth = server.sweep.runs.values()
    assert first.params == dict(study.trials[0].params)
    assert first.summary["objective"] == study.trials[0].objective
    assert [row["objective/report"] for row in first.history] == [0.5]
    assert [run.state for run in (first, second, third)] == ["finished", "failed", "finished"]
    assert [third.name, fourth.name] == [trial.id for trial in study.trials[2:]]


def test_ctrl_c_ends_the_search_in_order_and_resume_runs_the_trial_again(server, tmp_path):
    journal = {"storage": tmp_path / "study.db", "resume": True}

    def objective(trial):
        if trial.number == 1 and not resumed:
            os.kill(os.getpid(), signal.SIGINT)
        return trial["x"]

    resumed = False
    with pytest.raises(SearchInterrupted) as interrupted:
        online(objective, n_trials=3, **journal)
    cut = interrupted.value.study.trials[1]
    assert [run.state for run in server.sweep.runs.values()] == ["finished", "failed"]
    resumed = True
    study = online(objective, n_trials=3, **journal)
    assert [trial.state for trial in study.trials] == ["complete"] * 3
    assert study.trials[1].params == cut.params
    runs = list(server.sweep.runs.values())
    assert [run.state for run in runs] == ["finished", "failed", "finished", "finished"]
    assert runs[2].params == dict(cut.params)


def test_ctrl_c_ends_a_search_that_waits_for_the_server(server, programs):
    """In a process of its own, since the signal comes from elsewhere."""
    config = {"method": "random", "parameters": {"x": {"min": 0.0, "max": 1.0}}}
    sweep = Sweep.create("team", "demo", json.dumps(config))
    sweep.most_runs = 0
    server.sweeps[sweep.name] = sweep
    search = {"backend": "wandb", "mode": "online", "project": "demo", "sweep_id": sweep.name}
    script = f"import hpsearch; hpsearch.search(lambda trial: 0.0, {config}, **{search})"
    process = programs.start(sys.executable, "-c", script, stderr=subprocess.PIPE)
    while "Heartbeat" not in server.operations and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate()
    assert "hpsearch.errors.SearchInterrupted: interrupted with 0 trials" in stderr
    assert process.returncode


def test_a_sweep_of_the_server_is_continued(server):
    config = {
        "method": "random",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {"x": {"min": 0.0, "max": 1.0}, "n": {"min": 1, "max": 4}},
    }
    sweep = Sweep.create("team", "demo", json.dumps(config))
    server.sweeps[sweep.name] = sweep
    study = online(
        lambda trial: trial["x"], n_trials=1, sweep_id=f"demo/{sweep.name}", metric="loss"
    )
    assert study.best.run_summary == sweep.name
    assert [run.summary["loss"] for run in sweep.runs.values()] == [study.best.objective]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sweep_id": "gone"}, BackendError, "no sweep 'gone'"),
        ({"project": "nowhere"}, BackendError, "no sweep .*project team/nowhere was not found"),
        ({"entity": "nobody"}, BackendError, "no sweep .*project nobody/demo was not found"),
        ({"state": "FINISHED"}, BackendError, "is finished"),
        ({"state": "CANCELED"}, BackendError, "is canceled"),
        ({"metric": "accuracy"}, OptionError, "name 'loss', and the search 'accuracy'"),
        ({"direction": "maximize"}, OptionError, "goal 'minimize', and the search 'maximize'"),
        (
            {"space": {"x": Float(0, 1)}},
            SpaceError,
            "parameter 'n' is an int from 1 to 4 in .*, and missing in the study",
        ),
        (
            {"space": {"x": Float(0, 1), "n": Int(1, 5)}},
            SpaceError,
            "from 1 to 4 in the W&B sweep .*, and an int from 1 to 5 in the study",
        ),
        (
            {"space": {**SPACE, "kind": Categorical(["a"])}},
            SpaceError,
            "parameter 'kind' is missing in the W&B sweep",
        ),
    ],
)
def test_a_sweep_that_cannot_be_continued_is_an_error(server, options, error, message):
    online(lambda trial: 0.0, n_trials=1, project="demo", metric="loss")
    ran = len(server.sweep.runs)
    server.sweep.state = options.pop("state", "RUNNING")
    given = {"sweep_id": server.sweep.name, "project": "demo", "metric": "loss", **options}
    with pytest.raises(error, match=message):
        online(lambda trial: 0.0, n_trials=1, **given)
    assert len(server.sweep.runs) == ran


def test_a_study_whose_sweep_has_ended_goes_on_in_another(server, tmp_path, caplog):
    journal = {"storage": tmp_path / "study.db", "resume": True}
    online(lambda trial: trial["x"], n_trials=1, **journal)
    server.sweep.state = "FINISHED"
    study = online(lambda trial: trial["x"], n_trials=2, **journal)
    assert "goes on in another W&B sweep" in caplog.text
    _, sweep = server.sweeps.values()
    assert [run.params for run in sweep.runs.values()] == [dict(t.params) for t in study.trials]
