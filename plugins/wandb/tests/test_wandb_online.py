"""A sweep of a server: the real agent brings its runs, and each trial is one of them."""

from __future__ import annotations

import os
import threading
import time

import pytest

import hpsearch
from hpsearch import Categorical, Float, Int, SearchFailedError, when
from hpsearch.errors import BackendError, SpaceError

pytestmark = [
    # wandb leaves the file with a run's parameters to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SPACE = {"lr": Float(1e-4, 1e-1, log=True), "layers": Int(1, 4), "kind": Categorical(["a", "b"])}


def online(objective, space=None, **options):
    return hpsearch.search(objective, space or SPACE, backend="wandb", mode="online", **options)


def test_every_trial_is_a_run_of_one_sweep(server):
    study = online(lambda trial: trial["lr"], n_trials=3, project="demo", direction="maximize")
    sweep = server.sweep
    assert [trial.id for trial in study.trials] == list(sweep.runs)
    for trial, run in zip(study.trials, sweep.runs.values(), strict=True):
        assert (run.params, run.state) == (dict(trial.params), "finished")
        assert run.summary["objective"] == trial.objective
    assert sweep.config["metric"] == {"name": "objective", "goal": "maximize"}
    assert study.best.run_summary == sweep.name
    best = max(sweep.runs.values(), key=lambda run: run.summary["objective"])
    assert study.best.run_id == best.name


def test_the_sweep_config_is_what_the_user_wrote(server):
    config = {
        "method": "random",
        "name": "mine",
        "project": "other",
        "metric": {"name": "loss", "goal": "minimize"},
        "parameters": {
            "optimizer": {"parameters": {"lr": {"min": 0.0, "max": 1.0}, "n": {"value": 3}}},
            "width": {"distribution": "q_normal", "mu": 0, "sigma": 10, "q": 2},
            "share": {"values": [1, 2], "probabilities": [0.9, 0.1]},
        },
    }
    study = online(lambda trial: trial["optimizer"]["lr"], config, n_trials=2)
    assert server.sweep.project == "other"
    sent = server.sweep.config
    sent["parameters"]["optimizer"]["parameters"]["lr"].pop("distribution", None)
    assert sent == config
    for trial, run in zip(study.trials, server.sweep.runs.values(), strict=True):
        assert run.params["optimizer"] == {"lr": trial.params["optimizer.lr"], "n": 3}
        assert run.summary["loss"] == trial.objective


def test_what_the_agent_adds_is_no_parameter(server):
    """transformers put ``assignments`` and ``metric`` into every trial's parameters."""

    def objective(trial):
        server.sweep.further = {"assignments": {"value": {"lr": 1}}, "metric": {"value": "loss"}}
        return trial["lr"]

    study = online(objective, n_trials=2)
    assert all(trial.params.keys() == SPACE.keys() for trial in study.trials)
    assert {"assignments", "metric"} <= list(server.sweep.runs.values())[1].params.keys()


def test_a_proposal_outside_of_the_space_ends_the_search_and_its_run(server):
    def objective(trial):
        server.sweep.further = {"lr": {"value": 5.0}}
        return trial["lr"]

    with pytest.raises(BackendError, match="not in the space: parameter 'lr': 5.0"):
        online(objective, n_trials=2)
    assert [run.state for run in server.sweep.runs.values()] == ["finished", "failed"]


def test_a_trial_runs_in_the_thread_of_the_search(server):
    threads = []
    online(lambda trial: threads.append(threading.current_thread()) or 0.0, n_trials=1)
    assert threads == [threading.current_thread()]
    assert not [thread for thread in threading.enumerate() if thread.name == "wandb-agent"]


def test_wandb_log_in_the_objective_goes_to_the_trials_run(server):
    import wandb

    def objective(trial):
        with wandb.init() as run:  # As functions for wandb.agent are written.
            run.log({"accuracy": 0.5})
        wandb.log({"accuracy": 0.75})
        assert run.id == trial.id
        return 1.0

    online(objective, n_trials=1, group="mine", tags=["a"])
    (run,) = server.sweep.runs.values()
    assert [row["accuracy"] for row in run.history] == [0.5, 0.75]
    assert (run.fields["groupName"], run.fields["tags"]) == ("mine", ["a"])


def test_the_environment_is_left_as_it_was(server, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "demo")
    before = dict(os.environ)
    online(lambda trial: 0.0, n_trials=1, base_url=server.url, api_key=server.key)
    assert dict(os.environ) == before
    assert server.sweep.project == "demo"


def test_the_environment_is_restored_though_a_run_cannot_be_finished(server):
    before = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}

    def objective(trial):
        run, finish = trial.native, trial.native.finish

        def finish_and_raise(exit_code=None):
            finish(exit_code=exit_code)
            raise RuntimeError("cannot finish")

        vars(run)["finish"] = finish_and_raise
        return trial["lr"]

    with pytest.raises(BackendError, match="cannot finish"):
        online(objective, n_trials=2, project="demo")
    after = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
    assert after == before
    assert not any(thread.name == "wandb-agent" for thread in threading.enumerate())


def test_failing_trials_are_judged_by_our_policy_and_not_by_the_agent(server):
    """The agent gives up after three failures in its first minute."""

    def objective(trial):
        if trial.number < 4:
            raise ValueError(f"trial {trial.number} is bad")
        return 0.0

    study = online(objective, n_trials=5, max_failures=4)
    assert [trial.state for trial in study.trials] == ["failed"] * 4 + ["complete"]
    assert "raise ValueError(f" in study.trials[0].error.traceback
    assert [run.state for run in server.sweep.runs.values()] == ["failed"] * 4 + ["finished"]


def test_the_failure_policy_ends_the_search(server):
    with pytest.raises(SearchFailedError, match="before any trial had ended well"):
        online(lambda trial: 1 / 0, n_trials=5)
    assert [run.state for run in server.sweep.runs.values()] == ["failed"]


def test_a_failed_trial_is_retried_as_another_run_of_the_sweep(server):
    def objective(trial):
        if trial.number == 0:
            raise OSError("once")
        return 0.0

    study = online(objective, n_trials=2, retries=1)
    first, second, _ = study.trials
    assert (second.retry_of, second.params) == (0, first.params)
    runs = list(server.sweep.runs.values())
    assert [run.state for run in runs] == ["failed", "finished", "finished"]
    assert runs[1].params == dict(first.params)


def test_an_enqueued_trial_is_a_run_of_the_sweep(server):
    mine = {"lr": 0.01, "layers": 2, "kind": "b"}
    study = online(lambda trial: trial["lr"], n_trials=2, enqueue=[mine])
    assert dict(study.trials[0].params) == mine
    assert next(iter(server.sweep.runs.values())).params == mine


def pruned_soon(trial, first=0):
    """Report until the server's stop has arrived, on however busy a machine."""
    for step in range(first, 10_000):
        trial.report(1.0, step)
        if trial.should_prune():
            raise hpsearch.TrialPruned
        time.sleep(0.02)
    return 1.0


def test_a_run_that_the_server_stops_is_pruned_at_its_next_report(server):
    def objective(trial):
        if trial.number == 1:
            return 0.0
        server.sweep.runs[trial.id].should_stop = True
        return pruned_soon(trial)

    study = online(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == ["pruned", "complete"]
    assert [run.state for run in server.sweep.runs.values()] == ["finished", "finished"]


def test_wandbs_hyperband_stops_runs_by_what_they_report(server):
    def objective(trial):
        last = trial.number == 3
        for step in range(2):
            trial.report(float(last), step)
        if not last:
            return 0.0
        while not server.sweep.stopped:
            time.sleep(0.02)
        return pruned_soon(trial, first=2)

    rule = {"type": "hyperband", "min_iter": 2, "eta": 2}
    study = online(objective, n_trials=4, early_terminate=rule)
    assert [trial.state for trial in study.trials] == ["complete"] * 3 + ["pruned"]
    assert server.sweep.stopped == [study.trials[3].id]


def test_conditions_hold_though_the_server_knows_none(server):
    space = hpsearch.Space(
        {"kind": Categorical(["a", "b"]), "x": Float(0, 1)}, conditions={"x": when(kind="a")}
    )
    study = online(lambda trial: trial.get("x", 0.0), space, n_trials=4)
    assert all(("x" in trial.params) == (trial["kind"] == "a") for trial in study.trials)
    assert all("x" in run.params for run in server.sweep.runs.values())


def test_a_grid_ends_when_the_server_has_nothing_left(server):
    space = {"layers": Int(1, 2), "kind": Categorical(["a", "b"])}
    study = online(lambda trial: trial["layers"], space, method="grid", n_trials=None)
    tried = {(trial["layers"], trial["kind"]) for trial in study.trials}
    assert len(study.trials) == 4
    assert tried == {(1, "a"), (1, "b"), (2, "a"), (2, "b")}
    assert server.sweep.state == "FINISHED"


def test_a_sweep_that_is_cancelled_stops_the_trial_and_the_search(server):
    def objective(trial):
        server.sweep.state = "CANCELED"
        return pruned_soon(trial)

    study = online(objective, n_trials=3)
    assert [trial.state for trial in study.trials] == ["pruned"]


def test_a_sweep_that_is_deleted_ends_the_search_after_its_trial(server):
    def objective(trial):
        with server.lock:
            server.sweep.state = "DELETED"
            before = server.operations.count("Heartbeat")
        while server.operations.count("Heartbeat") == before:  # Until the agent hears of it.
            time.sleep(0.02)
        return 0.0

    study = online(objective, n_trials=3)
    assert [trial.state for trial in study.trials] == ["complete"]


def test_a_run_that_was_open_before_is_finished(server, caplog):
    import wandb

    before = wandb.init(project="demo")
    online(lambda trial: 0.0, n_trials=1)
    assert f"W&B's run {before.id} is finished" in caplog.text
    assert server.runs[before.id].state == "finished"


def test_the_timeout_ends_a_search_that_waits_for_the_server(server):
    def objective(trial):
        server.sweep.most_runs = 1
        return 0.0

    study = online(objective, n_trials=3, timeout=15)
    assert [trial.state for trial in study.trials] == ["complete"]


def test_lost_connections_are_mended(server):
    def objective(trial):
        server.drops = 3
        return trial["lr"]

    study = online(objective, n_trials=2)
    assert [trial.state for trial in study.trials] == ["complete"] * 2
    for trial, run in zip(study.trials, server.sweep.runs.values(), strict=True):
        assert run.summary["objective"] == trial.objective


def test_steps_are_decimals_on_a_server_too(server):
    space = {
        "parameters": {
            "d": {"distribution": "q_uniform", "min": -0.05, "max": 0.55, "q": 0.1},
            "n": {"distribution": "q_normal", "sigma": 1.0, "q": 0.1},
        }
    }
    study = online(lambda trial: trial["d"], space, n_trials=3, enqueue=[{"d": 0.3, "n": 0.3}])
    values = [value for trial in study.trials for value in trial.params.values()]
    assert all(value == round(value, 1) for value in values)


@pytest.mark.parametrize(
    "distribution", [Int(2**64, 2**64 + 5), Float(-1e308, 1e308)], ids=["ints", "floats"]
)
def test_what_a_servers_floats_cannot_hold_is_refused_by_name(server, distribution):
    with pytest.raises(SpaceError, match="parameter 'n': .* is beyond a W&B server"):
        online(lambda trial: 0.0, {"n": distribution}, n_trials=1)
    assert not server.sweeps
