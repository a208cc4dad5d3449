"""Worker processes: two beside one, a trial there beside one here, and workers killed at random."""

from __future__ import annotations

import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hpsearch
from benchmarks.measure import Row, in_pairs, seconds
from hpsearch.errors import HpsearchError

CPU_TRIALS = 16
QUICK_TRIALS = 300
KILLED_TRIALS = 50
PAIRS = 5


def rows() -> Iterator[Row]:
    """Yield the rows of this benchmark."""
    two, one = search(busy, CPU_TRIALS, 2), search(busy, CPU_TRIALS, 1)
    pairs = in_pairs(one, two, PAIRS)
    yield Row(
        f"{CPU_TRIALS} CPU-bound trials: two workers beside one, one thread each",
        f"{pairs.medians[1]:.2f} s",
        f"{pairs.medians[0]:.2f} s",
        f"{pairs.ratio:.2f} times as fast",
        "1.7 times",
        met=pairs.ratio >= 1.7,
    )
    there = statistics.median(per_trial("process") for _ in range(PAIRS))
    here = statistics.median(per_trial("inline") for _ in range(PAIRS))
    yield Row(
        "a trial in a reused worker beside one in this process",
        f"{there * 1e3:.2f} ms",
        f"{here * 1e3:.2f} ms",
        f"+{(there - here) * 1e3:.2f} ms",
        "+20 ms",
        met=there - here < 0.020,
    )
    yield killed_at_random()


def busy(trial: Any) -> float:
    """Keep one core busy for some tenths of a second, the same work in every trial."""
    total = 0.0
    for number in range(4_000_000):
        total += number * trial["x"]
    return total


def quick(trial: Any) -> float:
    """Cost next to nothing."""
    x: float = trial["x"]
    return x


def search(
    objective: Callable[[Any], float], n_trials: int, n_workers: int
) -> Callable[[], object]:
    """Return a search in worker processes, start and end of the processes included."""
    return lambda: hpsearch.search(
        objective,
        {"x": hpsearch.Float(0, 1)},
        backend="random",
        n_trials=n_trials,
        executor="process",
        n_workers=n_workers,
        threads_per_worker=1,
        progress=False,
    )


def per_trial(executor: str) -> float:
    """Return the seconds that one more trial takes: a long search less a short one."""

    def run(n_trials: int) -> float:
        return seconds(
            lambda: hpsearch.search(
                quick,
                {"x": hpsearch.Float(0, 1)},
                backend="random",
                n_trials=n_trials,
                executor=executor,
                progress=False,
            )
        )

    return (run(QUICK_TRIALS + 10) - run(10)) / QUICK_TRIALS


def killed_at_random() -> Row:
    """Run a search while a thread kills one of its two workers every one to three seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told: Counter[int] = Counter()
        over = threading.Event()
        kills: list[int] = []
        thread = threading.Thread(target=_kill, args=(folder, over, kills))
        thread.start()
        try:
            study = hpsearch.search(
                _Slow(folder),
                {"x": hpsearch.Float(0, 1)},
                backend="random",
                n_trials=KILLED_TRIALS,
                executor="process",
                n_workers=2,
                retries=KILLED_TRIALS,
                plugins=[_Told(told)],
                progress=False,
            )
        except HpsearchError as error:
            return _row(f"{type(error).__name__}: {error}", len(kills), met=False)
        finally:
            over.set()
            thread.join()
    ended = study.counts()["complete"]
    once = told == dict.fromkeys(range(len(study.trials)), 1)
    return _row(
        f"{ended} ended, {study.counts()['failed']} tries failed, each told once: {once}",
        len(kills),
        met=ended == KILLED_TRIALS and once,
    )


def _row(happened: str, kills: int, *, met: bool) -> Row:
    what = f"{KILLED_TRIALS} trials of 0.5 s in two workers that are killed at random"
    return Row(what, happened, f"{kills} kills", "", "all end, told once", met)


class _Told:
    def __init__(self, counter: Counter[int]) -> None:
        self._counter = counter

    @hpsearch.hookimpl
    def hpsearch_tell(self, trial: hpsearch.Trial) -> None:
        self._counter[trial.number] += 1


class _Slow:
    """Takes half a second, reports, and leaves its process's number in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, trial: Any) -> float:
        (self._folder / str(os.getpid())).touch()
        x: float = trial["x"]
        for step in range(10):
            trial.report(x, step)
            time.sleep(0.05)
        return x


def _kill(folder: Path, over: threading.Event, kills: list[int]) -> None:
    rng = random.Random(1)
    while not over.wait(rng.uniform(1, 3)):
        files = list(folder.iterdir())
        if not files:
            continue
        file = rng.choice(files)
        file.unlink(missing_ok=True)
        try:
            os.kill(int(file.name), signal.SIGKILL)
        except ProcessLookupError:
            continue
        kills.append(int(file.name))
