"""Offline sweeps: every trial is one W&B run that ``wandb sync`` can upload."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hpsearch
from hpsearch.errors import (
    ArgumentError,
    CapabilityError,
    HpsearchError,
    OptionError,
    SearchFailedError,
    SpaceError,
)
from hpsearch.pruners import Pruner
from hpsearch.space.distributions import Categorical, Float, Int
from hpsearch.study.outcome import TrialState
from hpsearch.testing.executors import OtherProcess
from plugins.wandb.tests.wandb_files import run_files

SPACE = {"x": Float(-5, 5), "n": Int(1, 64, log=True)}
CONFIG = {
    "method": "random",
    "name": "a sweep",
    "metric": {"name": "score", "goal": "minimize"},
    "parameters": {
        "x": {"distribution": "normal"},
        "optimizer": {"parameters": {"lr": {"min": 0.0, "max": 1.0}}},
    },
}


def reports(trial):
    for step in (0, 10, 20):
        trial.report(trial["x"] ** 2 + 1 / (step + 1), step)
        if trial.should_prune():
            raise hpsearch.TrialPruned
    return trial["x"] ** 2


def search(objective=reports, space=SPACE, **options):
    # W&B reads WANDB_DIR once in a process.
    defaults = {"n_trials": 2, "seed": 0, "progress": False, "mode": "offline"}
    defaults["dir"] = os.environ["WANDB_DIR"]
    return hpsearch.search(objective, space, backend="wandb", **{**defaults, **options})


@pytest.fixture
def runs(tmp_path):
    return lambda: run_files(tmp_path / "wandb_home")


def test_each_trial_is_a_run_of_the_sweep_with_its_config_history_and_summary(runs):
    study = search(space=CONFIG, project="demo", entity="team", tags=["tried"])
    found = runs()
    assert len(found) == len(study.trials) == 2
    for trial, run in zip(study.trials, found, strict=True):
        config = {name: run.config[name] for name in ("x", "optimizer")}
        assert config == {"x": trial["x"], "optimizer": {"lr": trial["optimizer"]["lr"]}}
        assert [(row["step"], row["score/report"]) for row in run.history] == [
            (step, *values) for step, values in trial.intermediate.items()
        ]
        assert run.summary["score"] == trial.objective
        assert (run.summary["trial"], run.summary["state"]) == (trial.number, "complete")
        assert run.exit_code == 0
        assert run.record.sweep_id == run.record.run_group == study.native
        assert (run.record.project, run.record.entity) == ("demo", "team")
        assert run.record.display_name == f"run-{trial.id}"
        assert list(run.record.tags) == ["tried"]
        noted = trial.attrs["wandb"]
        assert noted == {"sweep": study.native, "run": run.record.run_id, "dir": noted["dir"]}
        assert Path(noted["dir"]) == run.path.parent
    assert study.best.run_summary == study.native


def test_the_runs_are_uploaded_by_wandb_sync(server):
    study = search(space=CONFIG, project="demo", entity="team")
    folders = [trial.attrs["wandb"]["dir"] for trial in study.trials]
    command = [sys.executable, "-m", "wandb", "sync", *folders]
    subprocess.run(command, check=True, capture_output=True)
    assert {run.name for run in server.runs.values()} == {
        trial.attrs["wandb"]["run"] for trial in study.trials
    }
    for trial in study.trials:
        run = server.runs[trial.attrs["wandb"]["run"]]
        assert run.params == {"x": trial["x"], "optimizer": {"lr": trial["optimizer.lr"]}}
        assert run.summary["score"] == trial.objective
        assert [row["score/report"] for row in run.history] == [
            values[0] for values in trial.intermediate.values()
        ]
        assert run.state == "finished"
        assert run.fields["sweep"] == run.fields["groupName"] == study.native


def test_without_a_key_and_a_mode_a_search_is_offline(runs):
    assert search(mode=None).native
    assert len(runs()) == 2


def test_disabled_keeps_no_run(runs):
    assert search(mode="disabled").best
    assert runs() == []


def test_the_objective_finds_the_run_as_wandb_run_and_as_the_trials_own(runs):
    import wandb

    def objective(trial):
        assert trial.native is wandb.run
        trial.native.log({"mine": 1.5})
        wandb.log({"yours": 2.5})
        assert trial.config["n"] == wandb.config["n"]
        return 0.0

    search(objective, n_trials=1)
    (run,) = runs()
    assert [row.get("mine") or row.get("yours") for row in run.history] == [1.5, 2.5]


def test_an_objective_written_for_the_agent_logs_into_the_same_run(runs):
    import wandb

    def objective():
        with wandb.init() as run:
            run.log({"loss": run.config.x})
            return run.config.x

    study = search(lambda trial: objective())
    assert [run.summary["objective"] for run in runs()] == [t.objective for t in study.trials]
    assert [run.history[0]["loss"] for run in runs()] == [t["x"] for t in study.trials]
    assert wandb.setup().settings.mode == "online"
    assert not {"WANDB_MODE", "WANDB_RUN_GROUP"} & os.environ.keys()


def test_a_trial_of_another_process_has_its_run_here(runs):
    study = search(executor=OtherProcess(), n_trials=3)
    assert [run.summary["objective"] for run in runs()] == [t.objective for t in study.trials]
    assert [len(run.history) for run in runs()] == [3, 3, 3]


def opens_a_run(trial):
    import wandb

    with wandb.init() as run:
        run.log({"mine": 1})
    return 0.0


def test_what_a_worker_process_opens_itself_is_offline_and_in_the_sweeps_group(runs):
    study = search(opens_a_run, executor="process", n_trials=1)
    theirs, ours = runs()
    assert ours.summary["objective"] == 0.0
    assert theirs.history[0]["mine"] == 1
    assert theirs.record.run_group == ours.record.run_group == study.native


def test_a_run_of_the_users_own_stays_open_and_apart(runs):
    import wandb

    own = wandb.init(mode="offline", project="own", dir=os.environ["WANDB_DIR"])
    try:
        search(n_trials=1, project="main")
        assert wandb.run is own
        own.log({"after": 1})
    finally:
        own.finish()
    assert {run.record.project for run in runs()} == {"main", "own"}


def test_a_failed_trial_is_a_failed_run_and_a_pruned_one_a_finished_run(runs):
    def objective(trial):
        if trial.number == 1:
            raise ValueError("too deep")
        if trial.number == 2:
            raise hpsearch.TrialPruned
        return math.nan if trial.number == 3 else 1.0

    study = search(objective, n_trials=5, max_failures=10)
    codes = {run.summary["trial"]: (run.summary["state"], run.exit_code) for run in runs()}
    assert codes == {
        0: ("complete", 0),
        1: ("failed", 1),
        2: ("pruned", 0),
        3: ("failed", 1),
        4: ("complete", 0),
    }
    assert "too deep" in study.trials[1].error.message
    assert "finite" in study.trials[3].error.message


def test_a_search_that_breaks_leaves_no_run_open(runs):
    class BrokenPruner(Pruner):
        def should_prune(self, trial, step, cost):
            raise RuntimeError("the pruner broke")

    with pytest.raises(HpsearchError, match="the pruner broke"):
        search(pruner=BrokenPruner())
    assert [run.exit_code for run in runs()] == [1]


def test_ctrl_c_ends_the_run_as_failed(runs):
    def objective(trial):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(objective)
    assert [run.exit_code for run in runs()] == [1]


def test_the_failure_policy_ends_the_search(runs):
    def objective(trial):
        raise ValueError("never works")

    with pytest.raises(SearchFailedError) as caught:
        search(objective, n_trials=10)
    assert "never works" in caught.value.study.trials[0].error.traceback
    assert [run.exit_code for run in runs()] == [1]


@pytest.mark.parametrize("method", ["random", "grid", "bayes"])
def test_a_resumed_sweep_keeps_its_id_and_goes_on(runs, tmp_path, method):
    space = {"x": Float(0, 4, step=0.5), "kind": Categorical(["a", "b"])}
    journal = {"storage": tmp_path / "study.db", "method": method, "name": "resumed"}
    first = search(space=space, n_trials=3, **journal)
    whole = search(space=space, n_trials=6, resume=True, **journal)
    assert whole.native == first.native
    assert [t.params for t in whole.trials[:3]] == [t.params for t in first.trials]
    assert {run.record.sweep_id for run in runs()} == {first.native}
    assert len(runs()) == 6
    if method != "bayes":
        straight = search(space=space, n_trials=6, method=method, mode="disabled")
        assert [t.params for t in whole.trials] == [t.params for t in straight.trials]


def test_a_sweep_begun_by_another_backend_goes_on_here(runs, tmp_path):
    journal = {"storage": tmp_path / "study.db", "progress": False, "seed": 0}
    hpsearch.search(reports, SPACE, backend="random", n_trials=3, **journal)
    study = search(n_trials=5, resume=True, method="bayes", storage=tmp_path / "study.db")
    assert len(study.trials) == 5
    assert len(runs()) == 2


def test_wandbs_hyperband_stops_bad_trials_by_their_reports():
    def objective(trial):
        for step in range(9):
            trial.report(trial["x"], step)
            if trial.should_prune():
                raise hpsearch.TrialPruned
        return trial["x"]

    config = {
        "method": "grid",
        "metric": {"name": "loss", "goal": "minimize"},
        "early_terminate": {"type": "hyperband", "min_iter": 3},
        "parameters": {"x": {"min": 0, "max": 8}},
    }
    study = search(objective, config, n_trials=9, mode="disabled")
    # The first is the best: of those after it, each is in the worse two thirds at report 3.
    assert study.trials[0].state is TrialState.COMPLETE
    assert {len(t.intermediate) for t in study.trials if t.state is TrialState.PRUNED} == {3}
    assert study.counts()["pruned"] >= 6
    config["metric"]["goal"] = "maximize"
    again = search(objective, config, n_trials=9, mode="disabled")
    assert again.counts()["pruned"] < 6


def test_reports_have_the_metrics_name_where_wandb_stops_by_it(runs):
    search(n_trials=1, early_terminate={"type": "hyperband", "min_iter": 2})
    (run,) = runs()
    assert [row["objective"] for row in run.history][-1] != run.summary["objective"]
    assert len(run.history) == 3


def test_a_direction_that_contradicts_the_goal_is_refused():
    with pytest.raises(ArgumentError, match="direction is maximize, and the space says minimize"):
        search(space=CONFIG, direction="maximize", mode="disabled")


def test_the_goal_is_the_direction_where_none_is_given():
    config = {**CONFIG, "metric": {"name": "score", "goal": "maximize"}}
    study = search(space=config, mode="disabled")
    assert study.directions == ("maximize",)
    assert study.best.objective == max(trial.objective for trial in study.trials)


def test_an_option_counts_before_the_sweep_config_and_is_said(runs, caplog):
    search(space=CONFIG, metric="eval/loss", n_trials=1)
    assert "metric='eval/loss'" in caplog.text
    assert "eval/loss" in runs()[0].summary


def test_run_cap_and_target_of_a_config_end_the_search():
    capped = search(space={**CONFIG, "run_cap": 3}, n_trials=9, mode="disabled")
    assert len(capped.trials) == 3
    metric = {"name": "score", "target": 100.0}
    reached = search(space={**CONFIG, "metric": metric}, n_trials=9, mode="disabled")
    assert len(reached.trials) == 1


def test_conditions_hold_whatever_the_method():
    space = hpsearch.Space(
        {"kind": Categorical(["a", "b"]), "beta": Int(0, 3)},
        {"beta": hpsearch.when(kind="a")},
    )
    for method in ("random", "grid", "bayes"):
        study = search(
            lambda trial: trial.get("beta", 0),
            space,
            n_trials=5,
            method=method,
            mode="disabled",
        )
        assert {len(t.params) for t in study.trials} == {1, 2}


def test_a_space_of_constants_alone_is_searched_by_bayes_too():
    config = {"method": "bayes", "parameters": {"x": {"value": 3.0}}}
    assert search(space=config, mode="disabled").best.hyperparameters == {"x": 3.0}


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"direction": ["minimize", "maximize"]}, CapabilityError, "one direction"),
        ({"method": "baies"}, OptionError, "Did you mean 'bayes'"),
        ({"mode": "on-line"}, OptionError, "Did you mean 'online'"),
        ({"mode": "online"}, OptionError, "wandb login"),
        ({"metrics": "loss"}, OptionError, "Did you mean 'metric'"),
        ({"early_terminate": {"type": "hyperband"}}, HpsearchError, "min_iter"),
        ({"early_terminate": {"type": "hyperband", "min_it": 3}}, HpsearchError, "'min_iter'"),
        ({"early_terminate": {"type": "median"}}, HpsearchError, "hyperband"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, HpsearchError, "at least 1"),
        ({"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 2}}, HpsearchError, "raise"),
        ({"dir": __file__}, OptionError, "cannot write"),
        ({"method": "grid"}, HpsearchError, "'x'"),
        ({"tags": "one"}, OptionError, "tags"),
        ({"base_url": "wandb.ai"}, OptionError, "base_url"),
        ({"api_key": " "}, OptionError, "api_key"),
    ],
)
def test_bad_input_is_refused_before_the_first_trial(runs, options, error, named):
    with pytest.raises(error, match=named):
        search(**options)
    assert runs() == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"method": "custom"}, "'custom'"),
        ({"metric": {"name": "a", "gaol": "minimize"}}, "Did you mean 'goal'"),
        ({"metric": "loss"}, "metric is 'loss'"),
        ({"metric": {"name": "a", "goal": "minimise"}}, "Did you mean 'minimize'"),
        ({"run_cap": 0}, "run_cap"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 3, "eat": 2}}, "'eta'"),
        ({"method": "grid"}, "'x'"),
    ],
)
def test_a_config_that_no_sweep_can_have_is_refused_before_the_first_trial(runs, changes, named):
    with pytest.raises(HpsearchError, match=named):
        search(space={**CONFIG, **changes})
    assert runs() == []


def test_the_engine_is_asked_for_by_the_command_that_installs_it(monkeypatch):
    from hpsearch.plugins.installers import Engine
    from hpsearch_wandb import engine

    absent = Engine("wandb", requirements=(), pinned=("no-such-sweeps==0.3.0",))
    monkeypatch.setattr(engine, "ENGINE", absent)
    for options in ({"method": "bayes"}, {"early_terminate": {"type": "hyperband", "min_iter": 1}}):
        with pytest.raises(HpsearchError, match="hpsearch install wandb"):
            search(mode="disabled", **options)
    for method in ("random", "grid"):
        assert search(space={"n": Int(1, 3)}, objective=lambda t: t["n"], method=method).best


def test_a_key_is_in_no_message_report_or_journal(tmp_path, caplog):
    secret = "0123456789abcdef" * 2 + "deadbeef"
    storage = tmp_path / "study.db"
    study = search(api_key=secret, storage=storage, mode="offline")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert storage in files
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert secret not in caplog.text
    assert secret not in repr(study.options) + study.to_json() + study.table()


TENTHS = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize("method", ["random", "grid", "bayes"])
@pytest.mark.parametrize(
    "space",
    [
        {"d": Float(0.0, 0.5, step=0.1)},
        {"parameters": {"d": {"distribution": "q_uniform", "min": -0.05, "max": 0.55, "q": 0.1}}},
    ],
)
def test_steps_are_decimals_however_wandb_computes_them(space, method):
    if method == "grid" and "parameters" in space:  # A grid counts from min by q, without max.
        space = {"method": "grid", "parameters": {"d": {**space["parameters"]["d"], "min": 0.0}}}
    study = search(
        lambda trial: trial["d"],
        space,
        mode="disabled",
        method=method,
        enqueue=[{"d": 0.1 + 0.2}],
        n_trials=6 if method == "grid" else 40,
    )
    assert study.trials[0]["d"] == 0.3
    assert {trial["d"] for trial in study.trials} <= set(TENTHS)
    assert method == "bayes" or {trial["d"] for trial in study.trials} == set(TENTHS)


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_rounded_normal_draws_are_decimals(method):
    space = {"parameters": {"d": {"distribution": "q_normal", "sigma": 0.5, "q": 0.1}}}
    study = search(lambda trial: trial["d"], space, mode="disabled", method=method, n_trials=30)
    assert all(trial["d"] == round(trial["d"], 1) for trial in study.trials)


@pytest.mark.parametrize(
    "distribution", [Int(2**64, 2**64 + 5), Float(-1e308, 1e308), Int(2**53, 2**53 + 4, step=2)]
)
def test_what_the_bayesian_searchs_floats_cannot_hold_is_refused_by_name(distribution):
    with pytest.raises(SpaceError, match="parameter 'n': .* is beyond W&B's Bayesian search"):
        search(lambda trial: 0.0, {"n": distribution}, mode="disabled", method="bayes")
    study = search(lambda trial: 0.0, {"n": distribution}, mode="disabled", n_trials=30)
    assert len({trial["n"] for trial in study.trials}) > 2


def test_many_choices_are_read_and_searched_at_once():
    begun = time.process_time()
    space = {"parameters": {"c": {"values": list(range(100_000))}}}
    study = search(lambda trial: trial["c"], space, mode="disabled")
    assert len({trial["c"] for trial in study.trials}) == 2
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    ("raised", "ends"), [(RuntimeError, HpsearchError), (KeyboardInterrupt, KeyboardInterrupt)]
)
def test_the_environment_is_restored_though_a_run_cannot_be_finished(raised, ends, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_GROUP", "mine")
    before = dict(os.environ)

    def objective(trial):
        assert os.environ["WANDB_MODE"] == "offline"
        run, finish = trial.native, trial.native.finish

        def finish_and_raise(exit_code=None):
            finish(exit_code=exit_code)
            raise raised("cannot finish")

        vars(run)["finish"] = finish_and_raise
        return trial["x"]

    with pytest.raises(ends):
        search(objective)
    assert dict(os.environ) == before
