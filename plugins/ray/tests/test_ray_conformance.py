"""The backend keeps the contract that the conformance kit states."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpsearch.testing import BackendConformance


class TestRay(BackendConformance):
    backend = "ray"
    n_trials = 8
    bad_options = {
        "scheduler": "asha",
        "resources_per_trial": {"cpu": -1},
        "verbose": 7,
        "metric": "eval_loss",
    }

    @pytest.fixture(autouse=True)
    def _results(self, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # One worker: starting a second one costs more than it saves here.
        options = {"storage_path": results, "max_concurrent_trials": 1}
        monkeypatch.setattr(type(self), "options", options)
