"""Backends of other packages suggest for trials on Ray."""

from __future__ import annotations

import os

import pytest

import hpsearch
from hpsearch import Float, Int, hookimpl

pytest.importorskip("ray")


class Open:
    """Notes which trials are told, and how many are open at a time."""

    def __init__(self):
        self.told = []
        self.started = 0
        self.most = 0

    @hookimpl
    def hpsearch_start(self, trial):
        self.started += 1
        self.most = max(self.most, self.started - len(self.told))

    @hookimpl
    def hpsearch_tell(self, trial):
        self.told.append(trial.number)


@pytest.mark.parametrize(
    ("backend", "options", "most"),
    [("sigopt", {}, 1), ("wandb", {"mode": "offline"}, 2), ("random", {}, 2), ("cmaes", {}, 2)],
    ids=["sigopt", "wandb", "random", "a third party's"],
)
def test_a_backend_suggests_as_many_at_a_time_as_it_can(
    engines_at_rest, ray_running, caplog, tmp_path, backend, options, most
):
    def objective(trial):
        trial.annotate("pid", os.getpid())
        trial.report(trial["x"], 0)
        return trial["x"]

    trials = Open()
    study = hpsearch.search(
        objective,
        {"x": Float(0.0, 1.0), "n": Int(1, 4)},
        backend=backend,
        executor="ray",
        n_trials=4,
        n_workers=2,
        storage_path=tmp_path / "ray",
        plugins=[trials],
        progress=False,
        **options,
    )
    assert [str(trial.state) for trial in study.trials] == ["complete"] * 4
    assert sorted(trials.told) == [0, 1, 2, 3]
    assert trials.most == most
    assert ("no more of the 2 workers are used" in caplog.text) == (most == 1)
    assert os.getpid() not in {trial.attrs["pid"] for trial in study.trials}
