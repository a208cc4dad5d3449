"""The progress bar, through real searches."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

import hpsearch
from hpsearch import Float
from hpsearch.report import progress
from hpsearch.report.progress import ProgressBar, wanted
from hpsearch.report.text import duration

SPACE = {"x": Float(0.0, 1.0)}


def last_line(capsys):
    """The bar as it stands at the end."""
    drawn = re.split(r"[\r\n]+", capsys.readouterr().err)
    return [line for line in drawn if "|" in line][-1]


def search(objective, **arguments):
    arguments = {"backend": "random", "n_trials": 6, "seed": 0, "progress": True} | arguments
    return hpsearch.search(objective, SPACE, **arguments)


def test_the_bar_counts_to_the_total_and_shows_the_best_value(capsys):
    study = search(lambda trial: trial["x"], direction="maximize")
    line = last_line(capsys)
    assert "6/6" in line
    assert f"best={study.best.objective:.6g}" in line


def test_the_bar_counts_pruned_and_failed_trials(capsys):
    def objective(trial):
        if trial.number == 1:
            raise hpsearch.TrialPruned
        if trial.number in (2, 3):
            raise ValueError
        return trial["x"]

    search(objective)
    line = last_line(capsys)
    assert "pruned=1" in line
    assert "failed=2" in line


def test_the_bar_of_several_directions_shows_the_size_of_the_front(capsys):
    def objective(trial):
        return (trial.number % 3, -(trial.number % 3))

    study = search(objective, direction=["minimize", "minimize"])
    assert f"front={len(study.best_runs)}" in last_line(capsys)


@pytest.mark.parametrize("seed", range(20))
def test_the_size_of_the_front_is_that_of_the_core(seed, capsys):
    def objective(trial):
        return [round(4 * trial["x"]), round(4 * (1 - trial["x"]) ** 2), trial.number % 2]

    study = search(objective, direction=["minimize", "maximize", "minimize"], seed=seed)
    assert f"front={len(study.best_runs)}" in last_line(capsys)


def test_the_size_of_a_front_that_is_costly_to_count_is_right_at_the_end(capsys, monkeypatch):
    # As if each count took so long that the next one is due only after the search.
    monkeypatch.setattr(progress, "_SHARE", 1e-9)
    study = search(lambda trial: (trial["x"], -trial["x"]), direction=["minimize", "minimize"])
    assert len(study.best_runs) == 6
    assert "front=6" in last_line(capsys)


def test_a_control_code_in_the_name_of_a_study_does_not_reach_the_terminal(capsys):
    search(lambda trial: trial["x"], name="a\x1b]0;b\x07\u202e")
    drawn = capsys.readouterr().err
    assert "\x1b]" not in drawn
    assert not {"\x07", "\u202e"} & set(drawn)
    assert r"a\x1b]0;b\x07\u202e" in drawn


def test_a_trial_run_again_takes_the_place_of_the_one_that_failed(capsys):
    def objective(trial):
        if trial.number in (0, 2):
            raise ValueError
        return trial["x"]

    study = search(objective, n_trials=3, retries=1, max_failures=5)
    assert len(study.trials) == 5
    assert "3/3" in last_line(capsys)


def test_a_resumed_search_counts_the_trials_of_earlier_runs(capsys, tmp_path):
    storage = tmp_path / "study.db"
    search(lambda trial: trial["x"], storage=storage, n_trials=4)
    capsys.readouterr()
    study = search(lambda trial: 2.0, storage=storage, n_trials=6, resume=True)
    drawn = capsys.readouterr().err
    best = f"best={study.best.objective:.6g}"
    assert any("4/6" in line and best in line for line in drawn.split("\r"))
    assert "6/6" in drawn


def test_a_failure_is_logged_on_a_line_of_its_own(capsys):
    def objective(trial):
        if trial.number == 0:
            raise ValueError("boom")
        return trial["x"]

    logger, handler = logging.getLogger("hpsearch"), logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        search(objective, max_failures=3)
    finally:
        logger.removeHandler(handler)
    before, *after = capsys.readouterr().err.split("trial 0 failed: ValueError: boom\n")
    assert after
    assert "0/6" in before
    assert re.split("[\r\n]", before)[-1] == ""
    assert not re.split("[\r\n]", before)[-2].strip()


def test_the_bar_ends_with_a_search_that_fails(capsys):
    def objective(trial):
        raise ValueError

    with pytest.raises(hpsearch.SearchFailedError):
        search(objective)
    assert "failed=1" in last_line(capsys)
    assert not logging.getLogger("hpsearch").filters
    search(lambda trial: trial["x"], progress=False)
    assert not capsys.readouterr().err


def test_no_bar_is_drawn_where_nobody_looks(capsys):
    assert not wanted()
    search(lambda trial: trial["x"], progress=None)
    assert not capsys.readouterr().err


def test_a_bar_is_wanted_in_a_terminal_and_in_a_notebook(monkeypatch):
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    assert wanted()
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace())
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert not wanted()
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    assert wanted()


def test_a_bar_is_not_wanted_without_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not wanted()


def test_a_bar_that_never_opened_closes():
    ProgressBar().hpsearch_close(None)


# Where there is no terminal.

SCRIPT = """
import hpsearch

def objective(trial):
    if trial.number == 1:
        raise hpsearch.TrialPruned
    if trial.number == 2:
        raise ValueError("boom")
    return 4.0 - trial["x"]

hpsearch.search(
    objective, {"x": hpsearch.Int(1, 3), "kind": hpsearch.Categorical(["a"])},
    backend="grid", n_trials=4, storage="study.db", resume=True,
)
"""


@pytest.mark.parametrize("logs", [False, True])
def test_each_trial_is_one_line_and_the_best_comes_last(tmp_path, logs):
    """To standard error where logging is not set up, else once to the log."""
    setup = "import logging; logging.basicConfig(level='INFO', format='LOG %(message)s')\n"
    done = subprocess.run(
        [sys.executable, "-c", (setup if logs else "") + SCRIPT],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = r"\d+\.\d s"
    expected = [
        rf"trial 0 of 4 complete, 3, best=3, {seconds}",
        rf"trial 1 of 4 pruned, best=3, {seconds}",
        rf"trial 2 of 4 failed, best=3, {seconds}",
        rf"study 'study': {seconds}, trials: 1 complete, 1 pruned, 1 failed",
        r"best trial 0, 3: x=1, kind=a",
    ]
    prefix = "LOG " if logs else ""
    said = [
        line for line in done.stderr.splitlines() if re.match(rf"{prefix}(trial|study|best)", line)
    ]
    said = [line for line in said if "boom" not in line and "minimize" not in line]
    assert len(said) == len(expected)
    for line, pattern in zip(said, expected, strict=True):
        assert re.fullmatch(prefix + pattern, line)
    assert not done.stdout


def test_lines_of_several_directions_sum_up_the_front(caplog):
    with caplog.at_level(logging.INFO, "hpsearch"):
        search(lambda trial: (trial["x"], -trial["x"]), direction=["minimize"] * 2, progress=None)
    lines = [record.getMessage() for record in caplog.records]
    last = r"trial 5 of 6 complete, 0\.\d+ and -0\.\d+, \d\.\d s"
    assert any(re.fullmatch(last, line) for line in lines)
    assert "6 trials on the Pareto front" in lines
    assert sum(line.startswith("trial") and "x=" in line for line in lines) == 5


def test_nothing_is_said_where_progress_is_off(caplog):
    with caplog.at_level(logging.INFO, "hpsearch"):
        search(lambda trial: trial["x"], progress=False)
    assert "complete" not in caplog.text


def test_the_bar_is_followed_by_the_summary(capsys, caplog):
    with caplog.at_level(logging.INFO, "hpsearch"):
        study = search(lambda trial: trial["x"])
    *_, counts, best = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"study 'study': .* s, trials: 6 complete", counts)
    assert best.startswith(f"best trial {study.best.trial.number}, ")
    assert "complete" not in caplog.text


def test_the_summary_of_a_refused_search_is_left_out(caplog):
    class Refuses:
        def prepare(self, study):
            raise hpsearch.errors.ArgumentError("no")

        def __call__(self, trial):
            return 0.0

    with caplog.at_level(logging.INFO, "hpsearch"), pytest.raises(hpsearch.errors.ArgumentError):
        search(Refuses(), progress=None)
    assert "trials:" not in caplog.text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (245.2, "4 min 5 s"), (12000, "3 h 20 min")]
)
def test_a_duration_is_written_for_people(seconds, text):
    assert duration(seconds) == text
