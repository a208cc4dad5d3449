"""W&B's own sweep engine in this process: its Bayesian search and its hyperband stopping.

The engine is the package ``sweeps``. It wants numpy below 2 and works with any, so pip is told not
to ask it: ``hpsearch install wandb``.
"""

from __future__ import annotations

import random
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

from hpsearch.plugins.installers import Engine
from hpsearch.space.distributions import Distribution, Float, Int, Native
from hpsearch.study.outcome import TrialState
from hpsearch_wandb.choosing import Chooser
from hpsearch_wandb.definitions import quantized
from hpsearch_wandb.parameters import draw, encode

if TYPE_CHECKING:
    from hpsearch.space.space import Space
    from hpsearch.study.record import TrialRecord
    from hpsearch.study.study import Study
    from hpsearch_wandb.sweep import Sweep

ENGINE = Engine(
    "wandb",
    requirements=(
        "numpy",
        "scipy>=1.5.4",
        "scikit-learn>=1.0",
        "pydantic>=2.6",
        "PyYAML>=5.4",
        "jsonschema>=3.2",
        "jsonref>=1.0",
    ),
    pinned=("sweeps==0.3.0",),
)


class Bayes(Chooser):
    """Asks the engine for each trial, given the trials that ended and those that still run.

    A complete trial counts with its objective, a pruned one with the best of what it reported, and
    a failed one as the sweep's ``impute`` says: as bad as the worst, if nothing else.
    """

    def __init__(self, study: Study, sweep: Sweep) -> None:
        ENGINE.require()
        assert study.space is not None  # The core refuses a define-by-run search beforehand.
        self._space: Space = study.space
        self._space.check_exact("W&B's Bayesian search")
        self._metric = sweep.metric
        self._axes = {name: axis_of(item) for name, item in self._space.parameters.items()}
        self._searched = {name: axis for name, axis in self._axes.items() if axis.definition}
        self._config = {
            "method": "bayes",
            "metric": dict(sweep.config["metric"]),
            "parameters": {name: axis.definition for name, axis in self._searched.items()},
        }
        self._ended: list[Any] = []
        self._running: dict[int, TrialRecord] = {}

    def suggest(self, trial: TrialRecord) -> Mapping[str, Any]:
        """Return a point of the space."""
        found: Mapping[str, Any] = {}
        if self._searched:
            with engine_at_work(trial.seed) as sweeps:
                running = [self._run(other, "running") for other in self._running.values()]
                found = sweeps.next_run(self._config, [*self._ended, *running]).config
        # What has one value alone is not searched, and its axis needs no position.
        values = {
            name: axis.value(found[name]["value"] if name in found else 0.0)
            for name, axis in self._axes.items()
        }
        return self._space.restrict(values)

    def start(self, trial: TrialRecord) -> None:
        """Take note of a trial that runs, whoever chose it."""
        self._running[trial.number] = trial

    def tell(self, trial: TrialRecord) -> None:
        """Take note of how a trial ended."""
        self._running.pop(trial.number, None)
        if trial.state is TrialState.COMPLETE:
            (objective,) = trial.objectives or ()
            self._ended.append(self._run(trial, "finished", summary={self._metric: objective}))
        elif trial.state is TrialState.PRUNED and trial.intermediate:
            self._ended.append(self._run(trial, "finished", history=curve(trial, self._metric)))
        else:
            self._ended.append(self._run(trial, "failed"))

    def _run(
        self,
        trial: TrialRecord,
        state: str,
        summary: Mapping[str, float] | None = None,
        history: Sequence[Mapping[str, float]] = (),
    ) -> Any:
        # The engine knows no conditions: what was not searched gets a value by lot.
        rng = random.Random(trial.seed)
        values = {name: draw(item, rng) for name, item in self._space.parameters.items()}
        values.update(trial.params)
        config = {
            name: {"value": axis.position(values[name])} for name, axis in self._searched.items()
        }
        with engine_at_work() as sweeps:
            return sweeps.SweepRun(
                name=trial.id,
                state=state,
                config=config,
                summary_metrics=dict(summary or {}),
                history=list(history),
            )


class Hyperband:
    """Asks the engine at each report whether a trial is to be stopped.

    Its iterations are the reports, counted from 1, whatever their steps.
    """

    def __init__(self, sweep: Sweep) -> None:
        ENGINE.require()
        self._metric = sweep.metric
        self._config = {
            "method": sweep.method,
            "metric": dict(sweep.config["metric"]),
            "early_terminate": dict(sweep.early_terminate or {}),
        }
        self._others: dict[int, Any] = {}

    def stops(self, trial: TrialRecord) -> bool:
        """Whether the trial is to be stopped, as of its last report."""
        with engine_at_work() as sweeps:
            run = self._run(sweeps, trial, "running")
            # The others that run are compared and not judged: each is judged when it reports.
            others = [known for number, known in self._others.items() if number != trial.number]
            stopped = sweeps.stop_runs(self._config, [*others, run])
            self._others[trial.number] = self._run(sweeps, trial, "finished")
        return any(candidate is run for candidate in stopped)

    def tell(self, trial: TrialRecord) -> None:
        """Take note of a trial that ended, also in an earlier run of the study."""
        with engine_at_work() as sweeps:
            self._others[trial.number] = self._run(sweeps, trial, "finished")

    def _run(self, sweeps: Any, trial: TrialRecord, state: str) -> Any:
        return sweeps.SweepRun(name=trial.id, state=state, history=curve(trial, self._metric))


def curve(trial: TrialRecord, metric: str) -> list[dict[str, float]]:
    """Return what a trial reported, as the engine reads a run's history."""
    return [{metric: values[0]} for values in trial.intermediate.values()]


class Axis(Protocol):
    """A parameter as the engine searches it.

    Attributes:
        definition: What the engine is told, empty for a parameter with one value alone.
    """

    definition: Mapping[str, Any]

    def position(self, value: Any) -> Any:
        """Return the engine's value for one of the parameter's."""

    def value(self, position: Any) -> Any:
        """Return the parameter's value, a plain Python one, for one of the engine's."""


def axis_of(distribution: Distribution) -> Axis:
    """Return how the engine searches a parameter: in W&B's words, else as a list of its values.

    Raises:
        SpaceError: There are no such words, and too many values.
    """
    definition = encode(distribution)
    if "values" not in definition:
        return _Scale(distribution, definition)
    values = definition["values"]
    return _Choices(values, definition.get("probabilities", [1.0] * len(values)))


class _Scale:
    """A parameter that the engine's own distribution says exactly."""

    def __init__(self, distribution: Distribution, definition: Mapping[str, Any]) -> None:
        self.definition = definition
        support = distribution.support if isinstance(distribution, Native) else distribution
        assert isinstance(support, Float | Int)
        self._support = support

    def position(self, value: Any) -> Any:
        return value

    def value(self, position: Any) -> float:
        # A numpy number; on a log scale rounding may put it just outside.
        if "q" in self.definition:
            position = quantized(float(position), self.definition["q"])
        return self._support.nearest(position)


_UNIT = {"distribution": "uniform", "min": 0.0, "max": 1.0}


class _Choices:
    """Values with their shares of the unit interval, which is what the engine searches.

    It is what the engine makes of choices, each at the upper end of its share. It is done here
    since the engine takes every choice that is false (0, "", None) for the first, and fails on
    probabilities.
    """

    def __init__(self, values: Sequence[Any], shares: Sequence[float]) -> None:
        total = sum(shares)
        self._values = list(values)
        self._places = {(type(value), value): place for place, value in enumerate(values)}
        self._ends = [end / total for end in accumulate(shares)]
        several = len(self._values) > 1
        self.definition: Mapping[str, Any] = dict(_UNIT) if several else {}

    def position(self, value: Any) -> float:
        return self._ends[self._places[type(value), value]]

    def value(self, position: Any) -> Any:
        return self._values[min(bisect_left(self._ends, float(position)), len(self._values) - 1)]


@contextmanager
def engine_at_work(seed: int | None = None) -> Iterator[Any]:
    """Give the engine: seeded through numpy's global state, which is put back, and without noise.

    It draws from there alone when it searches, and warns of what is not a mistake of the user's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np
        import sweeps

        before = np.random.get_state()  # noqa: NPY002 - the state that the engine draws from
        if seed is not None:
            np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield sweeps
        finally:
            np.random.set_state(before)  # noqa: NPY002
