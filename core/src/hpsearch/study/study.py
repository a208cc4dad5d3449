"""A :class:`Study`: what is searched and how, and every trial so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from hpsearch.errors import HpsearchError
from hpsearch.study.best import best_of
from hpsearch.study.capabilities import Capabilities
from hpsearch.study.outcome import TrialState

if TYPE_CHECKING:
    import pandas

    from hpsearch.space.distributions import Distribution
    from hpsearch.space.space import Space
    from hpsearch.space.thresholds import Threshold
    from hpsearch.study.control import Control
    from hpsearch.study.record import TrialRecord


class _BestRun(NamedTuple):
    run_id: str
    objective: float | list[float]
    hyperparameters: dict[str, Any]
    run_summary: Any = None


class BestRun(_BestRun):
    """The tuple that users of transformers know, with the trial behind it.

    Attributes:
        run_id: The trial's id.
        objective: Its objective, or the list of them with several directions.
        hyperparameters: What the objective got, by name.
        run_summary: The engine's own result where it has one, else None.
        trial: The :class:`~hpsearch.study.record.TrialRecord`.
        study: The :class:`Study` that it is the best of, with every other trial.
    """

    trial: TrialRecord
    study: Study

    @classmethod
    def of(cls, trial: TrialRecord, run_summary: Any = None) -> BestRun:
        """Describe a complete trial."""
        objectives = trial.objectives or ()
        objective = objectives[0] if len(objectives) == 1 else list(objectives)
        run = cls(trial.id, objective, dict(trial), run_summary)
        run.trial = trial
        return run

    @property
    def checkpoint(self) -> str | None:
        """The folder of what the run saved, if it saved anything that is still kept."""
        return self.trial.checkpoint


class Study:
    """The specification of a search and its history.

    Attributes:
        name: Its name in the journal.
        directions: ``"minimize"`` or ``"maximize"``, one for each objective value.
        n_trials: How many trials were asked for, None for no limit.
        timeout: Seconds after which no trial starts, None for no limit.
        seed: The seed of the whole search; drawn where none was given, and always recorded.
        space: The portable space, None for a define-by-run search.
        parameter_names: The names known before the first trial, None where none can be.
        backend: The backend's name.
        options: The backend's typed options.
        capabilities: What the backend can do, with these options.
        metrics: The names of the metrics that the space or the backend's options say to optimise,
            one for each direction; None where they name none.
        native_space: The space as the user wrote it, where that is the backend's own dialect; else
            None.
        thresholds: The bounds that metrics of each trial have to keep, whatever the backend.
        n_workers: How many trials may run at a time, None where the user did not say.
        pruner: The core's pruner, None where there is none or the backend prunes itself.
        native: The engine's own study or result, where the backend has one.
        control: What plugins and executors may call while the search runs, None otherwise. They
            reach it as ``history``.
        chosen: The numbers of the best trials, where a backend with a view of its own named them
            (``hpsearch_best``); None where the records decide.
    """

    def __init__(
        self,
        name: str,
        directions: Sequence[str],
        *,
        n_trials: int | None = None,
        timeout: float | None = None,
        seed: int = 0,
        space: Space | None = None,
        parameter_names: tuple[str, ...] | None = None,
        backend: str = "",
        options: Any = None,
        capabilities: Capabilities | None = None,
        metrics: Sequence[str] | None = None,
        native_space: Any = None,
        thresholds: Sequence[Threshold] = (),
        n_workers: int | None = None,
        pruner: Any = None,
        trials: list[TrialRecord] | None = None,
    ) -> None:
        self.name = name
        self.directions = tuple(directions)
        self.n_trials = n_trials
        self.timeout = timeout
        self.seed = seed
        self.space = space
        self.parameter_names = parameter_names
        self.backend = backend
        self.options = options
        self.capabilities = Capabilities() if capabilities is None else capabilities
        self.metrics = None if metrics is None else tuple(metrics)
        self.native_space = native_space
        self.thresholds = tuple(thresholds)
        self.n_workers = n_workers
        self.pruner = pruner
        self.native: Any = None
        self.control: Control | None = None
        self.chosen: tuple[int, ...] | None = None
        self._trials: list[TrialRecord] = [] if trials is None else trials

    @property
    def trials(self) -> Sequence[TrialRecord]:
        """Every trial, by number: ended ones and, while the search runs, running ones."""
        return self._trials

    @property
    def history(self) -> Control:
        """What plugins and executors may call on the search, while it runs.

        Raises:
            HpsearchError: The search does not run.
        """
        if self.control is None:
            raise HpsearchError(f"study {self.name!r} is not running")
        return self.control

    @property
    def best(self) -> BestRun:
        """The best run of a study with one direction: of the feasible trials, the best complete.

        Raises:
            HpsearchError: No trial is complete and feasible, or there are several directions.
        """
        if len(self.directions) > 1:
            raise HpsearchError(
                f"study {self.name!r} has {len(self.directions)} directions and no single best "
                "run; read study.best_runs, the Pareto front"
            )
        return self.best_runs[0]

    @property
    def best_runs(self) -> list[BestRun]:
        """The best run alone, or the Pareto front with several directions.

        Raises:
            HpsearchError: No trial is complete and feasible.
        """
        best = self.best_trials()
        if not best:
            raise HpsearchError(self._why_none_is_best())
        runs = [BestRun.of(trial, self.native) for trial in best]
        for run in runs:
            run.study = self
        return runs

    def best_trials(self) -> list[TrialRecord]:
        """Return the trial of the best run, those of the Pareto front, or none if there is none."""
        if self.chosen is not None:
            chosen = frozenset(self.chosen)
            return [trial for trial in self._trials if trial.number in chosen]
        return best_of(self._trials, self.directions)

    def counts(self) -> dict[str, int]:
        """Return how many trials are in each state."""
        counted = Counter(trial.state for trial in self._trials)
        return {str(state): counted[state] for state in TrialState}

    def distributions_of(self, trial: TrialRecord) -> Mapping[str, Distribution]:
        """Return what each of a trial's parameters was drawn from."""
        if self.space is None or trial.distributions:
            return trial.distributions
        return {name: self.space.parameters[name] for name in trial.params}

    def table(self) -> str:
        """Return the trials as a plain-text table."""
        from hpsearch.report import export

        return export.table(self)

    def dataframe(self) -> pandas.DataFrame:
        """Return the trials as a pandas data frame, one row for each.

        Raises:
            HpsearchError: pandas is not installed.
        """
        from hpsearch.report import export

        return export.dataframe(self)

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return the study and its trials as JSON text, and write it to ``path`` if given."""
        from hpsearch.report import export

        return export.to_json(self, path)

    def to_csv(self, path: str | PathLike[str] | None = None, *, raw: bool = False) -> str:
        """Return the trials as CSV text, and write it to ``path`` if given.

        Text that a spreadsheet would run as a formula gets an apostrophe in front, unless ``raw``.
        """
        from hpsearch.report import export

        return export.to_csv(self, path, raw=raw)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {state}" for state, count in self.counts().items() if count)
        return f"<Study {self.name!r} {'/'.join(self.directions)}: {counts or 'no trials'}>"

    def _why_none_is_best(self) -> str:
        counts = self.counts()
        if not counts["complete"]:
            missing = "complete trial"
        elif any(t.feasible for t in self._trials if t.state is TrialState.COMPLETE):
            missing = "best run"
        else:
            missing = "feasible trial: each complete one has a constraint above 0,"
        return (
            f"study {self.name!r} has no {missing} among {len(self._trials)} trials "
            f"({counts['pruned']} pruned, {counts['failed']} failed); study.trials has each "
            "one's constraints and error"
        )
