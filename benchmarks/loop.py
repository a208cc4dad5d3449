"""The core's loop with Optuna, beside Optuna alone: same sampler, same seed, trivial objective.

In processor time, for both sides only compute, in this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import RandomSampler, TPESampler

import hpsearch
from benchmarks.measure import Row, in_pairs

TRIALS = 300
PAIRS = 31


def rows() -> Iterator[Row]:
    """Yield the rows of this benchmark."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tpe = in_pairs(ours(TPESampler), optimize(TPESampler), PAIRS, time.process_time)
    yield _row(
        tpe.medians, "TPE: beside `study.optimize`", f"{tpe.ratio:.3f}", "1.05", tpe.ratio <= 1.05
    )
    bare = in_pairs(ours(RandomSampler), ask_and_tell(RandomSampler), PAIRS, time.process_time)
    above = bare.difference / TRIALS * 1e6
    yield _row(
        bare.medians, "random: beside bare ask and tell", f"+{above:.0f} µs", "+30 µs", above <= 30
    )
    random = in_pairs(ours(RandomSampler), optimize(RandomSampler), PAIRS, time.process_time)
    yield _row(
        random.medians, "random: beside `study.optimize`", f"{random.ratio:.2f}", "none", met=True
    )


def _row(medians: tuple[float, float], what: str, ratio: str, target: str, met: bool) -> Row:
    us = [f"{seconds / TRIALS * 1e6:.0f} µs a trial" for seconds in medians]
    return Row(f"loop with Optuna, {what}", us[0], us[1], ratio, target, met)


Sampler: TypeAlias = type[RandomSampler] | type[TPESampler]


def objective(trial: Any) -> float:
    """Cost next to nothing."""
    x: float = trial["x"]
    return x * x


def ours(sampler: Sampler) -> Callable[[], object]:
    """Return a search of ours."""
    space = {"x": hpsearch.Float(-10, 10)}

    def run() -> None:
        hpsearch.search(
            objective,
            space,
            backend="optuna",
            sampler=sampler(seed=1),
            n_trials=TRIALS,
            progress=False,
        )

    return run


def optimize(sampler: Sampler) -> Callable[[], object]:
    """Return a search with Optuna's own loop."""

    def run() -> None:
        study = optuna.create_study(sampler=sampler(seed=1))
        study.optimize(lambda trial: trial.suggest_float("x", -10, 10) ** 2, n_trials=TRIALS)

    return run


def ask_and_tell(sampler: Sampler) -> Callable[[], object]:
    """Return the barest loop around Optuna that has the parameters at hand."""
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(-10, 10)}

    def run() -> None:
        study = optuna.create_study(sampler=sampler(seed=1))
        for _ in range(TRIALS):
            trial = study.ask(space)
            study.tell(trial, objective(trial.params))

    return run
