"""Trials on clusters: of two nodes one dies in mid-search; two trials share an accelerator."""

from __future__ import annotations

import json
import sys

import pytest

DEATH = """
import json, sys, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
import hpsearch

head = {"num_cpus": 1, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
doomed = second.node_id

def objective(trial):
    node = ray.get_runtime_context().get_node_id()
    trial.annotate("node", node)
    if trial.number < 2:  # Both nodes have a trial before one of them ends.
        Path(f"begun-{trial.number}").touch()
        while not Path(f"begun-{1 - trial.number}").exists():
            time.sleep(0.05)
    dies = node == doomed and trial.number > 1
    for step in range(6000 if dies else 4):
        trial.report(trial["x"], step)
        time.sleep(0.1)
    return trial["x"]

class Killer:
    def __init__(self):
        self.killed, self.told = [], []

    @hpsearch.hookimpl
    def hpsearch_report(self, trial, step):
        if trial.number > 1 and trial.attrs["node"] == doomed and not self.killed:
            self.killed.append(trial.number)
            cluster.remove_node(second, allow_graceful=False)

    @hpsearch.hookimpl
    def hpsearch_tell(self, trial):
        self.told.append(trial.number)

killer = Killer()
study = hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", executor="ray", n_trials=8, seed=1,
    address=cluster.address, storage_path="results", storage="study.db", retries=int(sys.argv[1]),
    plugins=[killer], progress=False,
)
cluster.shutdown()
trials = [
    {"state": str(t.state), "node": t.attrs.get("node"), "x": t["x"], "retry_of": t.retry_of,
     "error": str(t.error)} for t in study.trials
]
print(json.dumps({"killed": killer.killed, "told": killer.told, "trials": trials}))
"""


SHARING = """
import json, os, time
from pathlib import Path
from ray.cluster_utils import Cluster
import hpsearch

head = {"num_cpus": 4, "num_gpus": 1, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=head)
together = []

def objective(trial):
    trial.annotate("devices", os.environ["CUDA_VISIBLE_DEVICES"])
    if trial.number < 2:  # Neither ends before both have begun.
        Path(f"begun-{trial.number}").touch()
        while not Path(f"begun-{1 - trial.number}").exists():
            time.sleep(0.05)
    return trial["x"]

class Together:
    @hpsearch.hookimpl
    def hpsearch_start(self, study):
        together.append(study.counts()["running"])

study = hpsearch.search(
    objective, {"x": hpsearch.Float(0, 1)}, backend="random", executor="ray", n_trials=6, seed=1,
    address=cluster.address, resources_per_trial={"cpu": 1, "gpu": 0.5}, storage_path="results",
    plugins=[Together()], progress=False,
)
cluster.shutdown()
devices = [trial.attrs["devices"] for trial in study.trials]
print(json.dumps({"together": max(together), "devices": devices}))
"""


@pytest.fixture
def run(programs, tmp_path):
    """Run a script and return what its last line says."""

    def run(script, *arguments):
        command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
        answer = programs.run(*command, cwd=tmp_path)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout.splitlines()[-1])

    return run


def test_half_an_accelerator_each_puts_two_trials_on_one(run):
    assert run(SHARING) == {"together": 2, "devices": ["0"] * 6}


@pytest.mark.parametrize("retries", [0, 1])
def test_a_node_that_is_killed_costs_at_most_its_trial(run, retries):
    seen = run(DEATH, retries)
    trials, (killed,) = seen["trials"], seen["killed"]
    assert len({trial["node"] for trial in trials}) == 2
    assert sorted(seen["told"]) == list(range(8 + retries))
    assert [n for n, trial in enumerate(trials) if trial["state"] != "complete"] == [killed]
    assert trials[killed]["state"] == "failed"
    assert "ray.exceptions.Actor" in trials[killed]["error"]
    again = [trial["x"] for trial in trials if trial["retry_of"] == killed]
    assert again == [trials[killed]["x"]] * retries
