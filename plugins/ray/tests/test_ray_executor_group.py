"""``workers_per_trial``: Ray Train connects the workers of one trial, and they end it as one."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import ray  # noqa: E402
import torch  # noqa: E402
from torch import distributed  # noqa: E402
from transformers import PrinterCallback, Trainer, TrainingArguments  # noqa: E402

import hpsearch  # noqa: E402
from hpsearch import Float, Int  # noqa: E402
from hpsearch.errors import ArgumentError, OptionError, SearchInterrupted  # noqa: E402
from hpsearch.transformers import hyperparameter_search  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def known_to_workers():
    """No package holds this file, so workers could not import what it defines."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def gathered(value):
    """Return what each rank has."""
    values = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def search(objective, space, folder, **options):
    defaults = {"backend": "optuna", "seed": 1, "max_failures": 99, "progress": False}
    where = {"executor": "ray", "workers_per_trial": 2, "storage_path": folder}
    return hpsearch.search(objective, space, **{**defaults, **where, **options})


# A plain function: what happens to each trial of one search.


class PruneTrial0:
    """Prunes trial 0 at its second report."""

    @hpsearch.hookimpl
    def hpsearch_report(self, study, trial, step, values):
        return trial.number == 0 and step == 1


def objective(trial):
    rank = distributed.get_rank()
    momentum = trial.suggest_float("momentum", 0, 1)
    trial.annotate("seen", gathered([trial["lr"], momentum, trial.seed]))
    trial.annotate("rank", rank)
    for step in range(3):
        trial.report(trial["lr"] + step + rank, step)
    if trial.number == 1 and rank == 1:
        raise ValueError("boom on rank 1")
    if trial.number == 2 and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if trial.number == 3 and rank == 1:
        raise hpsearch.TrialPruned
    gathered(trial.number)  # Whoever is still here waits for the others.
    return trial["lr"] + rank


@pytest.fixture(scope="module")
def study(ray_running, tmp_path_factory):
    return search(
        objective,
        lambda trial: {"lr": trial.suggest_float("lr", 0, 1)},
        tmp_path_factory.mktemp("ray"),
        n_trials=5,
        plugins=[PruneTrial0()],
    )


def test_each_trial_ends_once_whatever_a_worker_does(study):
    assert [str(trial.state) for trial in study.trials] == [
        "pruned",
        "failed",
        "failed",
        "pruned",
        "complete",
    ]


def test_all_workers_of_a_trial_get_the_same_parameters_and_seed(study):
    for trial in study.trials:
        here = [trial["lr"], trial["momentum"], trial.seed]
        assert trial.attrs["seen"] == [here, here]
    assert len({trial["lr"] for trial in study.trials}) == 5


def test_what_the_first_worker_says_counts(study):
    trial = study.trials[4]
    assert trial.objective == trial["lr"]
    assert trial.intermediate == {step: (trial["lr"] + step,) for step in range(3)}
    assert trial.attrs["rank"] == 0


def test_a_trial_is_pruned_at_its_report(study):
    assert list(study.trials[0].intermediate) == [0, 1]


def test_the_exception_of_any_worker_arrives_with_its_traceback(study):
    failed = study.trials[1]
    assert str(failed.error) == "ValueError: boom on rank 1"
    assert "in objective" in failed.error.traceback
    assert failed.attrs["left_by_rank"] == failed.attrs["rank"] == 1


def test_a_worker_that_is_killed_fails_its_trial_alone(study):
    assert "actor died" in str(study.trials[2].error)


def test_a_trial_that_one_worker_prunes_alone_is_pruned(study):
    assert study.trials[3].attrs["left_by_rank"] == 1


# A Trainer.


class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = torch.nn.Linear(4, width)
        self.outer = torch.nn.Linear(width, 2)

    def forward(self, x, labels=None):
        logits = self.outer(self.inner(x).relu())
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def make_trainer(folder, **changes):
    data = [
        {"x": x, "labels": int(x.sum() > 0)}
        for x in torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    ]
    defaults = {
        "output_dir": str(folder / "out"),
        "report_to": [],
        "disable_tqdm": True,
        "save_strategy": "no",
        "eval_strategy": "epoch",
        "logging_strategy": "no",
        "num_train_epochs": 2,
        "use_cpu": True,
    }
    trainer = Trainer(
        args=TrainingArguments(**{**defaults, **changes}),
        model_init=lambda trial: Net(4 if trial is None else trial["width"]),
        train_dataset=data,
        eval_dataset=data,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def search_trainer(folder, **options):
    return hyperparameter_search(
        options.pop("trainer", None) or make_trainer(folder),
        {"learning_rate": Float(1e-3, 1e-1, log=True), "width": Int(2, 8)},
        hp_name=lambda trial: f"width-{trial['width']}",
        n_trials=2,
        seed=1,
        backend="random",
        progress=False,
        executor="ray",
        workers_per_trial=2,
        storage_path=folder,
        **options,
    )


def test_a_trainer_trains_in_all_workers_and_its_best_checkpoint_is_found(ray_running, tmp_path):
    best = search_trainer(tmp_path / "ray", keep_checkpoints=1, trainer=make_trainer(tmp_path))
    for trial in best.study.trials:
        assert str(trial.state) == "complete", trial.error
        assert trial.attrs["environment"]["world_size"] == 2
        assert trial.attrs["run_name"].startswith(f"width-{trial['width']}")
        assert list(trial.intermediate) == [1, 2]  # 8 of 16 examples in each worker at a time
    assert Path(best.checkpoint).is_dir()
    assert [path.parent.name for path in (tmp_path / "out").glob("*/checkpoint-*")] == [
        best.trial.attrs["run_name"]
    ]


def test_a_trainer_that_would_train_in_each_worker_alone_is_refused(ray_running, tmp_path):
    trainer = make_trainer(tmp_path)
    trainer.args.__dict__["use_cpu"] = False
    with pytest.raises(ArgumentError, match="2 processes were started.*use_cpu=True"):
        search_trainer(tmp_path / "ray", trainer=trainer)


# Ctrl-C, and a node that dies.


def test_an_interrupted_search_goes_on_from_its_journal(
    ray_running, tmp_path, monkeypatch, ctrl_c_once
):
    monkeypatch.chdir(tmp_path)

    def waits(trial):
        if not Path("go").exists():
            Path("reached").touch()
            for step in range(6000):
                trial.report(0.0, step)
                time.sleep(0.1)
        return gathered(trial["x"])[1]

    options = {"storage": "study.db", "resume": True, "n_trials": 1, "backend": "random"}
    with pytest.raises(SearchInterrupted), ctrl_c_once(tmp_path / "reached"):
        search(waits, {"x": Float(0, 1)}, tmp_path / "ray", **options)
    Path("go").touch()
    (trial,) = search(waits, {"x": Float(0, 1)}, tmp_path / "ray", **options).trials
    assert trial.objective == trial["x"]


DEATH = """
import json, time
import ray
from ray.cluster_utils import Cluster
import hpsearch

head = {"num_cpus": 1, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
others = [cluster.add_node(num_cpus=1) for _ in range(2)]
cluster.wait_for_nodes()

def objective(trial):
    from torch import distributed
    nodes = [None] * 2
    distributed.all_gather_object(nodes, ray.get_runtime_context().get_node_id())
    trial.annotate("nodes", nodes)
    for step in range(6000 if trial.number == 0 else 1):
        trial.report(trial["x"], step)
        time.sleep(0.1)
    return trial["x"]

class Killer:
    killed = None

    @hpsearch.hookimpl
    def hpsearch_report(self, trial):
        if self.killed is None:
            self.killed = next(node for node in others if node.node_id in trial.attrs["nodes"])
            cluster.remove_node(self.killed, allow_graceful=False)

killer = Killer()
study = hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", executor="ray", workers_per_trial=2,
    n_trials=1, seed=1, address=cluster.address, storage_path="results", retries=1,
    plugins=[killer], progress=False,
)
cluster.shutdown()
trials = [
    {"state": str(t.state), "nodes": t.attrs["nodes"], "x": t["x"], "error": str(t.error)}
    for t in study.trials
]
print(json.dumps({"killed": killer.killed.node_id, "trials": trials}))
"""


def test_a_node_that_is_killed_costs_the_trial_that_it_took_part_in(programs, tmp_path):
    answer = programs.run(sys.executable, "-W", "ignore", "-c", DEATH, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    seen = json.loads(answer.stdout.splitlines()[-1])
    failed, again = seen["trials"]
    assert (failed["state"], again["state"]) == ("failed", "complete")
    assert "actor" in failed["error"]
    assert failed["x"] == again["x"]
    assert len(set(failed["nodes"])) == len(set(again["nodes"])) == 2
    assert seen["killed"] in set(failed["nodes"]) - set(again["nodes"])


# What is refused before the first trial.


@pytest.mark.parametrize(
    ("error", "said", "options"),
    [
        (OptionError, "workers_per_trial is 0, expected a whole number", {"workers_per_trial": 0}),
        (OptionError, "workers_per_trial is '2', expected", {"workers_per_trial": "2"}),
        (
            OptionError,
            "workers_per_trial is 3, and there is not room for so many of 1 CPU each",
            {"workers_per_trial": 3},
        ),
        (
            OptionError,
            "resources_per_trial is <ResourceRequest.*a dict is expected: what each worker needs",
            {"resources_per_trial": "factory"},
        ),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_trial(
    ray_running, tmp_path, error, said, options
):
    def never(trial):
        raise AssertionError

    if "resources_per_trial" in options:
        options = {"resources_per_trial": ray.tune.PlacementGroupFactory([{"CPU": 1}])}
    with pytest.raises(error, match=said):
        search(never, {"x": Float(0, 1)}, tmp_path, n_trials=1, **options)


def test_rays_own_searches_have_no_such_option(ray_running, tmp_path):
    with pytest.raises(OptionError, match="'workers_per_trial'.*executor='ray' has"):
        hpsearch.search(
            lambda trial: 0.0, {"x": Float(0, 1)}, backend="ray", n_trials=1, workers_per_trial=2
        )
