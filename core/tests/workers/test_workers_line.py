"""A worker's line to its search: threads, forks and late reports reach their own trial or nobody's.

What a trial does to its worker's streams, and what lies in the working directory, harms no other.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import hpsearch
from hpsearch import SearchInterrupted
from hpsearch.cli.installers import run_pip
from hpsearch.errors import HpsearchError, OptionError


def states(study):
    return [str(trial.state) for trial in study.trials]


# Threads.


def test_each_of_many_threads_gets_its_own_answers(search):
    def objective(trial):
        def ask(low):
            for k in range(low, low + 20):
                assert k <= trial.suggest_float(f"x{k}", k, k + 0.5) <= k + 0.5
                trial.report(float(k), k)
            return low

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(0, 160, 20))) == list(range(0, 160, 20))
        return 0.0

    study = hpsearch.search(
        objective, backend="random", n_trials=3, executor="process", n_workers=2, progress=False
    )
    for trial in study.trials:
        assert trial.state == "complete", trial.error
        assert trial.intermediate == {k: (float(k),) for k in range(160)}
        assert all(k <= trial.params[f"x{k}"] <= k + 0.5 for k in range(160))


def test_a_request_that_a_signal_cut_short_leaves_no_answer_for_the_next(search):
    class SlowReports:
        @hpsearch.hookimpl
        def hpsearch_report(self, step):
            time.sleep(0.5 if step == 0 else 0.0)

    def objective(trial):
        def too_late(number, frame):
            raise TimeoutError

        signal.signal(signal.SIGALRM, too_late)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with contextlib.suppress(TimeoutError):
            trial.report(1.0, 0)
        return trial.suggest_float("y", 2, 3)

    study = hpsearch.search(
        objective,
        backend="random",
        n_trials=2,
        executor="process",
        n_workers=1,
        progress=False,
        plugins=[SlowReports()],
    )
    assert states(study) == ["complete"] * 2
    assert all(2 <= trial.objective <= 3 for trial in study.trials)


def test_a_signal_handler_may_report(search):
    def objective(trial):
        def report(number, frame):
            trial.report(1.0, 1000)

        signal.signal(signal.SIGALRM, report)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        until = time.monotonic() + 0.3
        step = 0
        while time.monotonic() < until:
            trial.report(0.0, step)
            step += 1
            assert step < 1000
            time.sleep(0.001)
        return 0.0

    study = search(objective, n_trials=1, n_workers=1)
    assert states(study) == ["complete"]
    assert study.trials[0].intermediate[1000] == (1.0,)


def test_threads_that_wait_for_an_answer_end_with_the_search(search, tmp_path):
    class Interrupts:
        """Presses Ctrl-C while eight threads wait for an answer."""

        @hpsearch.hookimpl
        def hpsearch_report(self):
            time.sleep(0.3)
            raise KeyboardInterrupt

    def objective(trial):
        (tmp_path / str(os.getpid())).touch()
        threads = [threading.Thread(target=trial.report, args=(0.0, step)) for step in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 0.0

    started = time.monotonic()
    with pytest.raises(SearchInterrupted):
        search(objective, n_trials=1, n_workers=1, plugins=[Interrupts()])
    assert time.monotonic() - started < 60
    assert len(list(tmp_path.iterdir())) == 1


def test_a_late_thread_reaches_no_other_trial(search, tmp_path):
    def objective(trial):
        if trial.number == 0:
            channel = trial.channel  # kept, so that it is not the handle that refuses

            def later():
                time.sleep(0.3)
                for step in range(20):
                    try:
                        channel.report(step, (99.0,))
                    except HpsearchError as error:
                        (tmp_path / "refused").write_text(str(error))
                    time.sleep(0.01)

            threading.Thread(target=later, daemon=True).start()
            return 0.0
        time.sleep(0.5)
        trial.report(1.0, 100)
        return 1.0

    study = search(objective, n_trials=2, n_workers=1)
    assert states(study) == ["complete"] * 2
    assert study.trials[0].intermediate == {}
    assert study.trials[1].intermediate == {100: (1.0,)}
    assert "trial 0 has ended" in (tmp_path / "refused").read_text()


# Forks.


def return_from_it(trial):
    return 99.0


def raise_in_it(trial):
    raise RuntimeError("of the child")


def exit_it(trial):
    sys.exit(7)


def interrupt_it(trial):
    raise KeyboardInterrupt


def report_in_it(trial):
    trial.report(99.0, 99)


@pytest.mark.parametrize(
    ("ends", "code"),
    [(return_from_it, 0), (raise_in_it, 1), (exit_it, 7), (interrupt_it, 1), (report_in_it, 1)],
)
def test_a_forked_child_that_comes_out_of_the_objective_ends_there(search, tmp_path, ends, code):
    def objective(trial):
        child = os.fork()
        if child == 0:
            return ends(trial)
        _, status = os.waitpid(child, 0)
        trial.annotate("code", os.waitstatus_to_exitcode(status))
        trial.report(trial["x"], 0)
        with (tmp_path / "outcomes").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return trial["x"]

    study = search(objective, n_trials=3, n_workers=1)
    assert states(study) == ["complete"] * 3
    for trial in study.trials:
        assert trial.objective == trial["x"]
        assert trial.intermediate == {0: (trial["x"],)}
        assert trial.attrs["code"] == code
    assert len(set((tmp_path / "outcomes").read_text().split())) == 1


def test_a_child_of_multiprocessing_cannot_talk_for_the_trial(search):
    def objective(trial):
        context = multiprocessing.get_context("fork")
        answers = context.Queue()

        def target():
            try:
                trial.report(99.0, 99)
            except HpsearchError as error:
                answers.put(str(error))

        child = context.Process(target=target)
        child.start()
        said = answers.get(timeout=30)
        child.join()
        trial.annotate("said", said)
        return trial["x"]

    study = search(objective, n_trials=2, n_workers=1)
    assert states(study) == ["complete"] * 2
    for trial in study.trials:
        assert "was forked from it, cannot talk to the study" in trial.attrs["said"]
        assert trial.intermediate == {}


def test_what_was_not_written_yet_is_not_written_twice_by_a_child(search, capfd):
    def objective(trial):
        sys.stdout.write("once")
        child = os.fork()
        if child == 0:
            sys.stdout.write(", and by the child")
            return 0.0
        os.waitpid(child, 0)
        return trial["x"]

    search(objective, n_trials=1, n_workers=1)
    assert capfd.readouterr().out == "[trial 0] once, and by the child\n"


# Time.


@pytest.mark.parametrize("seconds", [1e-9, 0.001])
def test_a_tiny_limit_of_time_ends(search, seconds):
    study = search(lambda trial: time.sleep(600), n_trials=2, trial_timeout=seconds, max_failures=9)
    assert [trial.error.type for trial in study.trials] == ["hpsearch.errors.TrialTimeoutError"] * 2


@pytest.mark.parametrize("seconds", [1e300, 10**300])
def test_a_huge_limit_of_time_is_none(search, seconds):
    assert states(search(lambda trial: 0.0, n_trials=2, trial_timeout=seconds)) == ["complete"] * 2


@pytest.mark.parametrize(
    "seconds", [10**400, 10**5000, float("inf"), float("nan"), -1], ids=range(5)
)
def test_a_limit_that_is_no_time_is_refused(search, seconds):
    with pytest.raises(OptionError, match=r"trial_timeout is .*, expected a finite number"):
        search(lambda trial: 0.0, trial_timeout=seconds)


def test_a_worker_that_never_takes_up_its_trial_fails_it_once(search, monkeypatch):
    from hpsearch.execution.process import executor

    monkeypatch.setattr(executor, "_TIME_TO_BEGIN", 1.0)

    class Stops:
        """Stops the worker of trial 0 once that has ended."""

        @hpsearch.hookimpl
        def hpsearch_tell(self, trial):
            if trial.number == 0:
                os.kill(trial.attrs["pid"], signal.SIGSTOP)

    def objective(trial):
        trial.annotate("pid", os.getpid())
        return trial["x"]

    study = search(
        objective, n_trials=3, n_workers=1, trial_timeout=0.9, max_failures=9, plugins=[Stops()]
    )
    assert states(study) == ["complete", "failed", "complete"]
    assert study.trials[1].error.type == "hpsearch.errors.TrialTimeoutError"


def test_an_isolated_worker_that_ends_slowly_holds_up_no_other_trial(search):
    def objective(trial):
        if trial.number == 0:
            import atexit

            atexit.register(time.sleep, 3)
            return 0.0
        started = time.monotonic()
        for step in range(20):
            trial.report(0.0, step)
            time.sleep(0.05)
        return time.monotonic() - started

    study = search(objective, n_trials=2, n_workers=2, isolate=True)
    assert study.trials[1].objective < 2.9


def test_what_a_dead_worker_wrote_is_told_once(search, caplog):
    def objective(trial):
        if trial.number == 1:
            print("the last words")
            os._exit(3)
        return trial["x"]

    with pytest.raises(hpsearch.SearchFailedError) as raised:
        search(objective, n_trials=4, n_workers=1, max_failures=0)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert logged.count("the last words") == 1
    assert raised.value.study.trials[1].error.traceback.count("the last words") == 1
    assert not getattr(raised.value.__cause__, "__notes__", [])


# What a trial leaves behind.


def close_both(trial):
    sys.stdout.close()
    sys.stderr.close()


def remove_both(trial):
    sys.stdout = sys.stderr = None


def replace_both(trial):
    sys.stdout = sys.stderr = object()


def close_below(trial):
    print("not ended", end="")
    os.close(1)
    os.close(2)


@pytest.mark.parametrize("does", [close_both, remove_both, replace_both, close_below])
def test_streams_that_a_trial_closed_or_replaced_harm_no_other(search, capfd, does):
    def objective(trial):
        trial.annotate("pid", os.getpid())
        if trial.number == 1:
            does(trial)
        else:
            print("out of", trial.number)
            print("err of", trial.number, file=sys.stderr)
        return trial["x"]

    study = search(objective, n_trials=4, n_workers=1)
    assert states(study) == ["complete"] * 4
    assert len({trial.attrs["pid"] for trial in study.trials}) == 1
    out, err = capfd.readouterr()
    for number in (0, 2, 3):
        assert f"[trial {number}] out of {number}\n" in out
        assert f"[trial {number}] err of {number}\n" in err


# What lies in the working directory.

NAMES = ("json", "string", "tempfile", "random", "signal", "pip", "multiprocessing")


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A working directory with modules that say when they are imported."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in NAMES:
        text = f"open({str(tmp_path / 'sprung')!r}, 'a').write({name!r}); raise SystemExit(9)"
        (folder / f"{name}.py").write_text(text)
    monkeypatch.chdir(folder)
    return tmp_path / "sprung"


def test_a_worker_imports_nothing_from_the_working_directory(search, trap):
    study = search(lambda trial: len(list(Path.cwd().iterdir())), n_trials=2)
    assert not trap.exists(), trap.read_text()
    assert {trial.objective for trial in study.trials} == {float(len(NAMES))}


SCRIPT = """
import hpsearch
from hpsearch.testing.executors import OtherProcess

def objective(trial):
    import own_module
    return own_module.VALUE

if __name__ == "__main__":
    for executor in ("process", OtherProcess()):
        study = hpsearch.search(
            objective, {"x": hpsearch.Float(0, 1)}, backend="random", n_trials=2, n_workers=1,
            executor=executor, progress=False,
        )
        print(study.best.objective)
"""


def test_what_a_script_starts_imports_nothing_from_the_working_directory(trap, tmp_path):
    (tmp_path / "own_module.py").write_text("VALUE = 3.0")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "3.0\n3.0\n", done.stderr
    assert not trap.exists(), trap.read_text()


def test_the_installer_imports_nothing_from_the_working_directory(trap):
    run_pip("--version")
    assert not trap.exists(), trap.read_text()
