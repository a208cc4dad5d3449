"""The demonstration, run for real: small, but to its end."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

import hpsearch
from hpsearch.pruners import MedianPruner
from hpsearch.report.export import table

COMMAND = Path(sys.executable).with_name("hpsearch")


@pytest.fixture
def demo(programs, tmp_path):
    """Run ``hpsearch demo`` in the test's folder; return what it prints."""

    def demo(*options):
        return programs.run(
            *(COMMAND, "demo", "--output", "out", *options),
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
        )

    return demo


def recognised(output):
    """Read the share of test images that the best model recognises."""
    return float(re.search(r"recognises ([0-9.]+) of 360 test images", output)[1])


def test_the_demo_searches_reports_and_goes_on_where_it_was(demo, tmp_path):
    first = demo("--trials", 2, "--epochs", 1)
    assert first.returncode == 0, first.stderr
    assert 0 <= recognised(first.stdout) <= 1
    assert "2/2" in first.stderr
    study = hpsearch.load(tmp_path / "out" / "study.db")
    assert [trial.state for trial in study.trials] == ["complete", "complete"]
    assert table(study, 100) in first.stdout
    assert Path(study.best.checkpoint).is_dir()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Optimisation history" in page

    again = demo("--trials", 3, "--epochs", 1, "--backend", "random")
    assert again.returncode == 0, again.stderr
    assert "going on" in again.stdout
    resumed = hpsearch.load(tmp_path / "out" / "study.db")
    assert len(resumed.trials) == 3
    assert [dict(trial) for trial in resumed.trials[:2]] == [dict(trial) for trial in study.trials]


@pytest.mark.slow
def test_the_best_model_of_the_demo_recognises_digits_that_it_has_never_met(demo):
    result = demo("--trials", 3)
    assert result.returncode == 0, result.stderr
    assert recognised(result.stdout) > 0.85


def test_an_engine_that_is_not_installed_is_one_clear_line(demo):
    result = demo("--backend", "no-such-engine")
    assert result.returncode == 2
    assert result.stderr.startswith("Error: no backend is called 'no-such-engine'")
    assert "Traceback" not in result.stderr


def test_the_demo_compares_trials_of_other_batch_sizes_at_the_same_epoch():
    # Trial 3 is the worst at its second epoch, and at its steps the others were hardly better.
    reports = {
        0: {10: 0.1, 20: 0.5},
        1: {10: 0.1, 20: 0.5},
        2: {10: 0.1, 20: 0.5},
        3: {100: 0.05, 200: 0.06},
    }

    def objective(trial):
        for step, value in reports[trial.number].items():
            trial.report(value, step)
            if trial.should_prune():
                raise hpsearch.TrialPruned
        return value

    study = hpsearch.search(
        objective,
        {"x": hpsearch.Float(0, 1)},
        backend="random",
        direction="maximize",
        n_trials=4,
        pruner=MedianPruner(n_startup_trials=3, n_warmup_steps=2, by_report=True),
        progress=False,
    )
    assert [trial.state for trial in study.trials] == ["complete"] * 3 + ["pruned"]
    assert list(study.trials[3].intermediate) == [100, 200]
